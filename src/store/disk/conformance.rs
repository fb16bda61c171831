//! What both disks must do alike, and what only the simulated one can show.

use super::{Crash, Disk, File, RealDisk, SimDisk};
use std::io::{ErrorKind, IoSlice};
use std::path::Path;

fn read<D: Disk>(disk: &D, path: &Path) -> Vec<u8> {
    let file = disk.open(path).expect("open");
    let mut bytes = vec![0; file.length().expect("length") as usize];
    file.read_exact_at(&mut bytes, 0).expect("read");
    bytes
}

fn write(file: &impl File, bytes: &[u8], offset: u64) {
    file.write_at(&mut [IoSlice::new(bytes)], offset).expect("write");
}

fn conforms<D: Disk>(disk: &D, dir: &Path) {
    let (one, two) = (dir.join("one"), dir.join("two"));
    assert_eq!(disk.list(dir).unwrap_err().kind(), ErrorKind::NotFound);
    disk.create_dir(dir).expect("create_dir");
    disk.create_dir(dir).expect("again is no error");
    assert_eq!(disk.open(&one).unwrap_err().kind(), ErrorKind::NotFound);

    let file = disk.create(&one).expect("create");
    assert_eq!(disk.create(&one).unwrap_err().kind(), ErrorKind::AlreadyExists);
    file.write_at(&mut [IoSlice::new(b""), IoSlice::new(b"abc"), IoSlice::new(b"def")], 2)
        .expect("write");
    file.write_at(&mut [], 0).expect("nothing is written");
    assert_eq!(read(disk, &one), b"\0\0abcdef");
    write(&file, b"XY", 4);
    assert_eq!(read(disk, &one), b"\0\0abXYef");
    let mut buffer = [7; 4];
    assert_eq!(file.read_at(&mut buffer, 6).expect("read"), 2);
    assert_eq!(&buffer[..2], b"ef");
    assert_eq!(file.read_at(&mut buffer, 99).expect("read"), 0);
    assert_eq!(file.read_exact_at(&mut buffer, 6).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    file.set_length(3).expect("cut");
    file.set_length(5).expect("grow");
    assert_eq!(read(disk, &one), b"\0\0a\0\0");
    assert_eq!(file.length().expect("length"), 5);
    file.sync_data().expect("sync");

    disk.create(&two).expect("create");
    assert_eq!(disk.list(dir).expect("list"), ["one", "two"]);
    disk.rename(&one, &two).expect("rename over");
    disk.sync_dir(dir).expect("sync_dir");
    assert_eq!(disk.list(dir).expect("list"), ["two"]);
    assert_eq!(read(disk, &two).len(), 5);
    disk.remove(&two).expect("remove");
    assert_eq!(disk.remove(&two).unwrap_err().kind(), ErrorKind::NotFound);
    write(&file, b"still open", 0);
    assert!(disk.list(dir).expect("list").is_empty());
    assert!(disk.free_bytes(dir).expect("free") > 0);
}

#[test]
fn the_real_disk_conforms() {
    let home = tempfile::tempdir().expect("a temporary folder");
    conforms(&RealDisk, &home.path().join("files"));
}

#[test]
fn the_simulated_disk_conforms() {
    conforms(&SimDisk::new(), Path::new("/files"));
}

#[test]
fn a_crash_spares_what_was_synced_and_decides_the_rest_page_by_page() {
    let (disk, dir) = (SimDisk::new(), Path::new("/d"));
    disk.create_dir(dir).expect("create_dir");
    let path = dir.join("f");
    let file = disk.create(&path).expect("create");
    write(&file, &[1; 16 * 4096], 0);
    file.sync_data().expect("sync");
    assert!(disk.crash(Crash::Drop).open(&path).is_err(), "the name was not synced");
    disk.sync_dir(dir).expect("sync_dir");
    write(&file, &[2; 16 * 4096], 0);

    assert_eq!(read(&disk.crash(Crash::Drop), &path), [1; 16 * 4096]);
    assert_eq!(read(&disk.crash(Crash::Keep), &path), [2; 16 * 4096]);
    let mixed = read(&disk.crash(Crash::Mixed(5)), &path);
    assert_eq!(mixed, read(&disk.crash(Crash::Mixed(5)), &path), "the seed decides");
    let pages: Vec<_> = mixed.chunks(4096).collect();
    assert!(pages.iter().any(|page| page.iter().all(|byte| *byte == 1)), "some are dropped");
    assert!(pages.iter().any(|page| page.iter().all(|byte| *byte == 2)), "some are kept");
    let torn =
        pages.iter().find(|page| page.contains(&1) && page.contains(&2)).expect("some are torn");
    assert!(torn.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));

    file.sync_data().expect("sync");
    assert_eq!(read(&disk.crash(Crash::Drop), &path), [2; 16 * 4096]);
}

#[test]
fn a_failed_sync_loses_its_pages_for_good() {
    let (disk, dir) = (SimDisk::new(), Path::new("/d"));
    disk.create_dir(dir).expect("create_dir");
    let path = dir.join("f");
    let file = disk.create(&path).expect("create");
    disk.sync_dir(dir).expect("sync_dir");
    write(&file, b"gone", 0);
    disk.fail_sync_at(1);
    file.sync_data().expect_err("as planned");
    file.sync_data().expect("and the next one succeeds");
    assert_eq!(read(&disk, &path), b"gone", "the cache still shows it");
    assert_eq!(read(&disk.crash(Crash::Keep), &path), [0; 4]);
}

#[test]
fn the_power_goes_off_at_its_step_and_a_full_disk_takes_nothing() {
    let (disk, dir) = (SimDisk::new(), Path::new("/d"));
    disk.create_dir(dir).expect("create_dir");
    let file = disk.create(&dir.join("f")).expect("create");
    disk.set_free(Some(10));
    write(&file, &[0; 8], 0);
    write(&file, &[1; 8], 0);
    let full = file.write_at(&mut [IoSlice::new(&[0; 4])], 8).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    let steps = disk.steps();
    disk.cut_power_at(steps + 2);
    write(&file, &[2; 8], 0);
    file.sync_data().expect_err("the power goes off");
    assert!(file.read_at(&mut [0], 0).is_err());
    assert_eq!(disk.steps(), steps + 2);
    assert_eq!(disk.syncs(), 0);
}
