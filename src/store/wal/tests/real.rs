//! The log thread, and the log on a real disk.

use super::model::{DIR, Model, SMALL, Work, append, entry, identity, open, write};
use crate::ids::{GroupId, Index, ReadyNumber};
use crate::store::disk::{Disk, File, RealDisk, RealFile, SimDisk};
use crate::store::wal::{
    BatchStats, Closed, Done, Log, LogError, LogEvents, LogOptions, LogThread, LogWrite,
};
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A real disk that counts writes and syncs of files.
#[derive(Clone, Default)]
struct Counting(Arc<(AtomicU64, AtomicU64)>);

#[derive(Debug)]
struct CountingFile(RealFile, Arc<(AtomicU64, AtomicU64)>);

impl Disk for Counting {
    type File = CountingFile;
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }
    fn create(&self, path: &Path) -> io::Result<CountingFile> {
        Ok(CountingFile(RealDisk.create(path)?, Arc::clone(&self.0)))
    }
    fn open(&self, path: &Path) -> io::Result<CountingFile> {
        Ok(CountingFile(RealDisk.open(path)?, Arc::clone(&self.0)))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(dir)
    }
}

impl File for CountingFile {
    fn write_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.1.0.fetch_add(1, SeqCst);
        self.0.write_at(slices, offset)
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.1.1.fetch_add(1, SeqCst);
        self.0.sync_data()
    }
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_length(length)
    }
}

#[test]
fn on_a_real_disk_each_batch_is_one_write_and_one_sync() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (disk, dir) = (Counting::default(), home.path().join("log"));
    let options = LogOptions { segment_bytes: 1 << 20, background_prepare: false };
    let open = || Log::open(disk.clone(), &dir, identity(), options).expect("opens");
    let mut log = open().0;
    let counts = || (disk.0.0.load(SeqCst), disk.0.1.load(SeqCst));
    for index in 1..=50 {
        let (writes, syncs) = counts();
        let batch = [append(1, vec![entry(index, 1, 100)]), append(2, vec![entry(index, 1, 5000)])];
        log.write(&batch).expect("writes");
        assert_eq!(counts(), (writes + 1, syncs + 1));
        let lazy = LogWrite { must_sync: false, ..append(3, vec![entry(index, 1, 10)]) };
        log.write(&[lazy]).expect("writes");
        assert_eq!(counts(), (writes + 2, syncs + 1));
    }
    log.close().expect("closes");
    let (_, recovered) = open();
    assert!(recovered.groups.values().all(|group| group.last == Index(50)));
}

#[test]
fn random_work_on_a_real_disk_with_segments_made_ahead() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let options = LogOptions { segment_bytes: 256 * 1024, background_prepare: true };
    let mut work = Work::new(5);
    for _ in 0..5 {
        let (mut log, recovered) =
            Log::open(RealDisk, home.path(), identity(), options).expect("opens");
        assert_eq!(Model::of(&log, &recovered), work.model);
        for _ in 0..300 {
            let batch = work.batch();
            log.write(&batch).expect("writes");
            log.maintain().expect("maintains");
        }
    }
}

struct Events(Sender<Event>);

#[derive(Debug)]
enum Event {
    Done(Vec<Done>),
    Wrote(BatchStats),
    Fatal(LogError),
}

impl LogEvents for Events {
    fn done(&mut self, done: Vec<Done>) {
        let _ = self.0.send(Event::Done(done));
    }
    fn wrote(&mut self, stats: &BatchStats) {
        let _ = self.0.send(Event::Wrote(*stats));
    }
    fn fatal(&mut self, error: LogError) {
        let _ = self.0.send(Event::Fatal(error));
    }
}

fn spawn(disk: &SimDisk) -> (LogThread<SimDisk>, Receiver<Event>) {
    let (sender, receiver) = mpsc::channel();
    (LogThread::spawn(open(disk).0, Box::new(Events(sender))).expect("a thread"), receiver)
}

#[test]
fn the_thread_does_all_in_order_and_joins_what_came_meanwhile() {
    let disk = SimDisk::new();
    let (thread, events) = spawn(&disk);
    let handle = thread.handle();
    // Holds the thread up, so that what follows is one batch.
    let (go, wait) = mpsc::channel::<()>();
    let (entered, is_held) = mpsc::channel::<()>();
    let hold = move |_: &mut Log<SimDisk>| {
        entered.send(()).expect("somebody listens");
        wait.recv().expect("goes on");
    };
    handle.call(Box::new(hold)).expect("open");
    is_held.recv().expect("the thread is held");
    let seen = Arc::new(Mutex::new(Vec::new()));
    for number in 1..=100 {
        let write =
            LogWrite { number: ReadyNumber(number), ..append(1, vec![entry(number, 1, 10)]) };
        handle.submit(write).expect("open");
        if number == 60 {
            let seen = Arc::clone(&seen);
            let look = move |log: &mut Log<SimDisk>| {
                let found =
                    log.recover_group(GroupId(1), Index(0)).expect("reads").expect("is there");
                seen.lock().expect("not poisoned").push(found.last);
            };
            handle.call(Box::new(look)).expect("open");
        }
    }
    go.send(()).expect("it waits");
    thread.stop();
    assert_eq!(handle.submit(write(1)), Err(Closed));
    assert_eq!(*seen.lock().expect("not poisoned"), [Index(60)]);
    let (mut done, mut groups) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Done(batch) => done.extend(batch.iter().map(|done| done.number.0)),
            Event::Wrote(stats) => groups.push(stats.groups),
            Event::Fatal(error) => panic!("{error}"),
        }
    }
    assert_eq!(done, (1..=100).collect::<Vec<_>>());
    assert_eq!(groups, [60, 40]);
    let (_, recovered) = open(&disk.killed());
    assert_eq!((recovered.groups[&GroupId(1)].last, recovered.torn_tail_bytes), (Index(100), 0));
    assert_eq!(handle.reader().read(GroupId(1), Index(7), 1).expect("reads")[0], entry(7, 1, 10));
}

#[test]
fn the_thread_reports_a_failure_once_and_closes() {
    for panics in [false, true] {
        let disk = SimDisk::new();
        let (thread, events) = spawn(&disk);
        let handle = thread.handle();
        match panics {
            true => handle.call(Box::new(|_| panic!("as planned"))).expect("open"),
            false => disk.fail_sync_at(disk.syncs() + 1),
        }
        // It may be refused already.
        let _ = handle.submit(append(1, vec![entry(1, 1, 10)]));
        let first = events.recv_timeout(Duration::from_secs(10)).expect("hears of it");
        match (panics, &first) {
            (true, Event::Fatal(LogError::Panicked))
            | (false, Event::Fatal(LogError::Io { .. })) => {}
            _ => panic!("{first:?}"),
        }
        assert!(events.recv_timeout(Duration::from_secs(10)).is_err(), "and nothing more");
        assert_eq!(handle.submit(write(1)), Err(Closed));
        thread.stop();
    }
}

#[test]
fn a_failure_inside_a_call_is_reported_too() {
    let disk = SimDisk::new();
    let (thread, events) = spawn(&disk);
    disk.fail_sync_at(disk.syncs() + 1);
    let call =
        |log: &mut Log<SimDisk>| assert!(log.write(&[append(1, vec![entry(1, 1, 10)])]).is_err());
    thread.handle().call(Box::new(call)).expect("open");
    let first = events.recv_timeout(Duration::from_secs(10)).expect("hears of it");
    assert!(matches!(first, Event::Fatal(LogError::Failed)), "{first:?}");
    thread.stop();
}

#[test]
fn a_directory_that_cannot_be_used_is_an_error() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let path = home.path().join("file");
    std::fs::write(&path, "no directory").expect("writes");
    assert!(Log::open(RealDisk, &path, identity(), SMALL).is_err());
    assert!(!Path::new(DIR).exists(), "the simulated one is not real");
}
