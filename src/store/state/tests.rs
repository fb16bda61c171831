//! Tests of the parts of the state store together.

use super::conformance::{self, Factory};
use super::*;
use crate::ids::{Bucket, Epoch, GroupId, Index};
use crate::rows::{RowGeneration, Rows, bucket_prefix, prefix_end};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Opens small stores, so that a test of a second sees rotations, flushes and compactions.
fn options() -> FjallOptions {
    FjallOptions { cache_bytes: 4 << 20, memtable_bytes: 1 << 20, ..FjallOptions::default() }
}

struct OnDisk {
    folders: Vec<TempDir>,
    options: FjallOptions,
}

impl Factory for OnDisk {
    type Store = FjallStore;

    fn fresh(&mut self, forgotten: Forgotten) -> FjallStore {
        self.folders.push(tempfile::tempdir().expect("a folder"));
        self.options = FjallOptions { forgotten, ..options() };
        let folder = self.folders.last().expect("just made");
        FjallStore::open(folder.path(), &self.options).expect("opens")
    }

    fn reopen(&mut self, store: FjallStore) -> FjallStore {
        drop(store);
        let folder = self.folders.last().expect("made before");
        FjallStore::open(folder.path(), &self.options).expect("opens again")
    }
}

struct InMemory;

impl Factory for InMemory {
    type Store = ModelStore;

    fn fresh(&mut self, forgotten: Forgotten) -> ModelStore {
        ModelStore::new(forgotten)
    }

    fn reopen(&mut self, store: ModelStore) -> ModelStore {
        store.crash(0);
        store
    }
}

#[test]
fn the_store_on_disk_conforms() {
    conformance::all(&mut OnDisk { folders: Vec::new(), options: options() });
}

#[test]
fn the_model_conforms() {
    conformance::all(&mut InMemory);
}

fn one_row(key: &[u8], value: impl Into<Bytes>) -> Batch {
    let mut batch = Batch::new();
    batch.put(key.to_vec(), value.into());
    batch
}

/// A batch as apply makes them: some rows, and the applied index they belong to.
fn applied_batch(index: u64) -> Batch {
    let mut batch = one_row(b"applied", index.to_be_bytes().to_vec());
    for n in 0..index % 7 {
        batch.put(format!("row {n} of {index:06}").into_bytes(), Bytes::from_static(b"value"));
    }
    batch.set_applied(GroupId(1), Index(index));
    batch
}

/// Reads the applied index, and checks that exactly the rows up to it are there.
fn applied_with_its_rows(store: &dyn StateStore) -> u64 {
    let applied = store.get(b"applied").expect("reads");
    let applied = applied
        .map_or(0, |bytes| u64::from_be_bytes(bytes.as_ref().try_into().expect("eight bytes")));
    let mut seen = BTreeMap::<u64, u64>::new();
    store
        .range(b"row", b"s", &mut |key, _| {
            let text = String::from_utf8_lossy(key);
            let index = text.rsplit(' ').next().and_then(|index| index.parse().ok());
            *seen.entry(index.expect("a number")).or_default() += 1;
            true
        })
        .expect("reads");
    let want: BTreeMap<_, _> =
        (1..=applied).map(|index| (index, index % 7)).filter(|(_, rows)| *rows > 0).collect();
    assert_eq!(seen, want, "the rows and the applied index {applied} have parted");
    applied
}

#[test]
fn a_crash_of_the_model_takes_away_the_newest_writes_only() {
    let store = ModelStore::default();
    for index in 1..=10 {
        store.write(&[Arc::new(applied_batch(index))]).expect("writes");
        if index == 4 {
            store.persist().expect("syncs");
        }
    }
    assert_eq!((applied_with_its_rows(&store), store.unpersisted()), (10, 6));
    store.crash(3);
    assert_eq!((applied_with_its_rows(&store), store.unpersisted()), (7, 0));
    store.fail_after(1);
    store.write(&[Arc::new(applied_batch(8))]).expect("the last one that works");
    assert!(store.write(&[Arc::new(applied_batch(9))]).is_err());
    assert!(store.persist().is_err());
    store.crash(0);
    assert_eq!(applied_with_its_rows(&store), 7);
}

/// Copies a store as it lies on the disk while it is open: what a `kill -9` leaves.
fn copy_as_killed(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("lists") {
        let entry = entry.expect("lists");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_as_killed(&entry.path(), &target);
        } else {
            let mut bytes = std::fs::read(entry.path()).expect("reads");
            // Journals are mostly zeros still to be written over; a hole will do for those.
            let length = bytes.len() as u64;
            bytes.truncate(used_bytes(&bytes));
            std::fs::write(&target, bytes).expect("writes");
            let file = std::fs::OpenOptions::new().write(true).open(target).expect("opens");
            file.set_len(length).expect("grows");
        }
    }
}

/// Up to the last byte that is not zero.
fn used_bytes(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn last_journal(dir: &Path) -> std::path::PathBuf {
    let journals = std::fs::read_dir(dir).expect("lists").filter_map(|entry| {
        let path = entry.expect("lists").path();
        path.extension().is_some_and(|ext| ext == "jnl").then_some(path)
    });
    journals.max().expect("a journal")
}

#[test]
fn whatever_byte_of_the_journal_is_hurt_a_prefix_survives() {
    const BATCHES: u64 = 60;
    let folder = tempfile::tempdir().expect("a folder");
    let store = FjallStore::open(folder.path(), &options()).expect("opens");
    for index in 1..=BATCHES {
        store.write(&[Arc::new(applied_batch(index))]).expect("writes");
    }
    let used = used_bytes(&std::fs::read(last_journal(folder.path())).expect("reads"));
    let mut lengths = Vec::new();
    // `journal.rs` tries each single byte; here a few, with fjall reading what is left.
    for at in (0..used).step_by(used / 12) {
        let hurt = tempfile::tempdir().expect("a folder");
        copy_as_killed(folder.path(), hurt.path());
        let file = last_journal(hurt.path());
        let mut journal = std::fs::read(&file).expect("reads");
        journal[at] ^= 0x55;
        journal.truncate(used);
        std::fs::write(&file, &journal).expect("writes");

        let store = FjallStore::open(hurt.path(), &options()).expect("opens all the same");
        let applied = applied_with_its_rows(&store);
        let cut = store.journal_cut().expect("says so").clone();
        assert!(
            cut.at as usize <= at && applied < BATCHES,
            "byte {at}: {cut:?}, applied {applied}"
        );
        lengths.push(applied);
        // It goes on from there, and the next start finds nothing to cut.
        store.write(&[Arc::new(applied_batch(applied + 1))]).expect("writes");
        drop(store);
        let store = FjallStore::open(hurt.path(), &options()).expect("opens");
        assert_eq!((applied_with_its_rows(&store), store.journal_cut()), (applied + 1, None));
    }
    assert!(lengths.is_sorted(), "a later byte can only take away less: {lengths:?}");
    assert!(*lengths.last().expect("some") > BATCHES * 4 / 5);
}

#[test]
fn a_torn_end_is_cut_and_all_whole_batches_survive() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FjallStore::open(folder.path(), &options()).expect("opens");
    for index in 1..=20 {
        store.write(&[Arc::new(applied_batch(index))]).expect("writes");
    }
    let killed = tempfile::tempdir().expect("a folder");
    copy_as_killed(folder.path(), killed.path());
    let store = FjallStore::open(killed.path(), &options()).expect("opens");
    assert_eq!((applied_with_its_rows(&store), store.journal_cut()), (20, None));
    drop(store);

    let torn = tempfile::tempdir().expect("a folder");
    copy_as_killed(folder.path(), torn.path());
    let file = last_journal(torn.path());
    let mut journal = std::fs::read(&file).expect("reads");
    journal.truncate(used_bytes(&journal) - 5);
    std::fs::write(&file, &journal).expect("writes");
    let store = FjallStore::open(torn.path(), &options()).expect("opens");
    assert_eq!(applied_with_its_rows(&store), 19);
}

#[test]
fn a_store_opens_once_and_damage_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FjallStore::open(folder.path(), &options()).expect("opens");
    let second = FjallStore::open(folder.path(), &options());
    assert!(matches!(second, Err(OpenError::Locked { .. })), "opened twice");
    drop(store);

    let version = folder.path().join("version");
    assert!(version.exists());
    std::fs::write(version, b"what is this").expect("writes");
    let Err(error) = FjallStore::open(folder.path(), &options()) else { panic!("it opened") };
    let text = error.to_string();
    assert!(text.contains("move that directory away"), "{text}");

    let file = folder.path().join("a file");
    std::fs::write(&file, b"").expect("writes");
    let nowhere = FjallStore::open(&file.join("below"), &options());
    assert!(matches!(nowhere, Err(OpenError::Io { .. })));
}

/// Waits for something that other threads bring about.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_large_store_gives_back_the_space_of_its_last_level() {
    const ROWS: u32 = 30_000;
    let folder = tempfile::tempdir().expect("a folder");
    let is_forgotten = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = Arc::clone(&is_forgotten);
    let prefix = |bucket| bucket_prefix(GroupId(1), RowGeneration(1), Bucket(bucket), Epoch(1));
    let forgotten: Forgotten =
        Arc::new(move |key| flag.load(Ordering::Relaxed) && key.starts_with(&prefix(1)));
    let options = FjallOptions { reclaim_whole_bytes_max: 0, forgotten, ..options() };
    let store = FjallStore::open(folder.path(), &options).expect("opens");
    for from in (0..ROWS).step_by(1000) {
        let mut batch = Batch::new();
        for n in from..from + 1000 {
            let mut key = prefix((n % 3) as u16);
            key.extend_from_slice(&n.to_be_bytes());
            batch.put(key, Bytes::from(vec![n as u8; 500]));
        }
        store.write(&[Arc::new(batch)]).expect("writes");
    }
    wait_until("most of it is in the last level", || {
        store.maintain().expect("healthy");
        store.stats().level0_runs < 4 && store.stats().sealed_memtables == 0
    });
    let before = store.stats().disk_bytes;
    is_forgotten.store(true, Ordering::Relaxed);
    let view = store.view();
    store.reclaim().expect("starts");
    wait_until("a round has ended", || {
        store.maintain().expect("healthy");
        store.stats().reclaims == 1
    });
    store.maintain().expect("tidies up");
    let after = store.stats().disk_bytes;
    assert!(after * 20 < before * 17, "{before} bytes before, {after} after");
    let count = |view: &dyn StateView, bucket| {
        let (mut rows, from) = (0, prefix(bucket));
        let mut each = |_: &[u8], _: &[u8]| {
            rows += 1;
            true
        };
        view.range(&from, &prefix_end(&from), &mut each).expect("reads");
        rows
    };
    let now = store.view();
    assert_eq!((count(now.as_ref(), 0), count(now.as_ref(), 2)), (ROWS / 3, ROWS / 3));
    assert_eq!(count(view.as_ref(), 1), ROWS / 3, "the view is older");
    drop((view, now));
    let files =
        || std::fs::read_dir(folder.path().join("keyspaces/1/tables")).expect("lists").count();
    let before = files();
    wait_until("the old tables are unlinked", || {
        store.write(&[Arc::new(one_row(b"x", vec![0; 2 << 20]))]).expect("writes");
        files() < before
    });
}

#[test]
fn a_store_that_cannot_flush_fails_and_does_not_hang() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FjallStore::open(folder.path(), &options()).expect("opens");
    std::fs::remove_dir_all(folder.path().join("keyspaces")).expect("removes");
    let start = Instant::now();
    let error = loop {
        assert!(start.elapsed() < PATIENCE, "it goes on without a disk");
        let wrote = store.write(&[Arc::new(one_row(b"key", vec![0; 1 << 20]))]);
        if let Err(error) = wrote.and_then(|()| store.maintain()) {
            break error;
        }
    };
    assert!(error.to_string().contains("takes no more writes"), "{error}");
    assert!(store.write(&[Arc::new(one_row(b"key", Bytes::new()))]).is_err());
    assert!(store.persist().is_err());
}

/// Everything the state thread says, as it says it.
#[derive(Debug, PartialEq)]
enum Said {
    Written(u64),
    Persisted(u64, Vec<(GroupId, Index)>),
    Fenced(u64),
    Fatal,
}

struct Ear(Sender<Said>);

impl StateEvents for Ear {
    fn written(&mut self, up_to: BatchNumber) {
        let _ = self.0.send(Said::Written(up_to.0));
    }

    fn persisted(&mut self, token: u64, applied: &[(GroupId, Index)]) {
        let _ = self.0.send(Said::Persisted(token, applied.to_vec()));
    }

    fn fenced(&mut self, token: u64) {
        let _ = self.0.send(Said::Fenced(token));
    }

    fn fatal(&mut self, _: StateError) {
        let _ = self.0.send(Said::Fatal);
    }
}

fn spawn(store: Arc<dyn StateStore>) -> (StateThread, Receiver<Said>) {
    let (sender, said) = channel();
    (StateThread::spawn(store, Box::new(Ear(sender))).expect("a thread"), said)
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn the_thread_answers_in_order() {
    let store = ModelStore::default();
    let (thread, said) = spawn(Arc::new(store.clone()));
    let handle = thread.handle();
    let mut overlay = Overlay::new(Arc::new(store.clone()));
    let (views, view) = channel();
    let (acks, ack) = channel();
    for index in 1..=3u64 {
        overlay.begin_step();
        overlay.put(b"applied".to_vec(), Bytes::copy_from_slice(&index.to_be_bytes()));
        overlay.end_step(GroupId(9), Index(index));
        handle.submit(Command::Write(overlay.freeze().expect("rows"))).expect("room");
        let views = views.clone();
        let reply = Box::new(move |view: Box<dyn StateView>| views.send(view).expect("asked"));
        handle.submit(Command::View { reply }).expect("room");
    }
    let done = Box::new(move || acks.send(()).expect("asked"));
    let batch = Arc::new(one_row(b"bulk", Bytes::from_static(b"row")));
    handle.submit(Command::Bulk { batch, done }).expect("room");
    handle.submit(Command::Fence { token: 4 }).expect("room");
    handle.submit(Command::Persist { token: 5 }).expect("room");
    handle.submit(Command::Persist { token: 6 }).expect("room");
    for index in 1..=3u64 {
        let view = view.recv_timeout(PATIENCE).expect("a view");
        assert_eq!(view.get(b"applied"), Ok(Some(Bytes::copy_from_slice(&index.to_be_bytes()))));
        assert_eq!(said.recv_timeout(PATIENCE), Ok(Said::Written(index)));
        overlay.written(BatchNumber(index));
    }
    assert!(overlay.is_empty() && overlay.bytes() == 0);
    assert_eq!(said.recv_timeout(PATIENCE), Ok(Said::Fenced(4)));
    ack.try_recv().expect("acknowledged before the fence");
    let applied = vec![(GroupId(9), Index(3))];
    assert_eq!(said.recv_timeout(PATIENCE), Ok(Said::Persisted(5, applied)));
    assert_eq!(said.recv_timeout(PATIENCE), Ok(Said::Persisted(6, Vec::new())));
    handle
        .submit(Command::Write(FrozenBatch {
            number: BatchNumber(4),
            batch: Arc::new(one_row(b"late", Bytes::new())),
        }))
        .expect("room");
    thread.stop();
    assert_eq!(said.recv_timeout(PATIENCE), Ok(Said::Written(4)));
    assert_eq!(store.unpersisted(), 0, "stopping syncs");
    assert!(matches!(handle.submit(Command::Reclaim), Err(SubmitError::Closed(_))));
}

#[test]
fn a_failing_store_ends_the_thread_once() {
    let store = ModelStore::default();
    store.fail_after(1);
    let (thread, said) = spawn(Arc::new(store));
    let handle = thread.handle();
    let write = |number| {
        let batch = Arc::new(one_row(b"key", Bytes::new()));
        Command::Write(FrozenBatch { number: BatchNumber(number), batch })
    };
    handle.submit(write(1)).expect("room");
    assert_eq!(said.recv_timeout(PATIENCE), Ok(Said::Written(1)));
    handle.submit(write(2)).expect("room");
    assert_eq!(said.recv_timeout(PATIENCE), Ok(Said::Fatal));
    assert!(matches!(handle.submit(write(3)), Err(SubmitError::Closed(_))));
    drop(thread);
    assert!(said.recv().is_err(), "nothing after the last word");
}

/// Reads that fail are not mistaken for rows that are missing.
#[test]
fn the_overlay_remembers_a_failed_read() {
    struct Broken;
    impl StateStore for Broken {
        fn get(&self, _: &[u8]) -> Result<Option<Bytes>, StateError> {
            Err(StateError::Fatal("no".to_string()))
        }
        fn range(
            &self,
            _: &[u8],
            _: &[u8],
            _: &mut dyn FnMut(&[u8], &[u8]) -> bool,
        ) -> Result<(), StateError> {
            Err(StateError::Fatal("no".to_string()))
        }
        fn write(&self, _: &[Arc<Batch>]) -> Result<(), StateError> {
            Ok(())
        }
        fn persist(&self) -> Result<(), StateError> {
            Ok(())
        }
        fn view(&self) -> Box<dyn StateView> {
            ModelStore::default().view()
        }
        fn maintain(&self) -> Result<(), StateError> {
            Ok(())
        }
        fn reclaim(&self) -> Result<(), StateError> {
            Ok(())
        }
        fn stats(&self) -> StateStats {
            StateStats::default()
        }
    }
    let mut overlay = Overlay::new(Arc::new(Broken));
    overlay.put(b"a".to_vec(), Bytes::new());
    assert!(overlay.get(b"a").is_some() && overlay.take_error().is_none());
    assert_eq!(overlay.get(b"b"), None);
    assert!(overlay.take_error().is_some() && overlay.take_error().is_none());
    overlay.range(b"a", b"z", &mut |_, _| true);
    assert!(overlay.take_error().is_some());
}

/// What may happen to an overlay.
#[derive(Clone, Debug)]
enum Op {
    Put(u8, u8),
    Delete(u8),
    Begin,
    End,
    Undo,
    Freeze,
    /// The state thread writes the oldest frozen batch; the overlay hears of it later.
    Write,
    Hear,
    Get(u8),
    Range(u8, u8, u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..40u8, any::<u8>()).prop_map(|(key, value)| Op::Put(key, value)),
        3 => (0..40u8).prop_map(Op::Delete),
        1 => Just(Op::Begin),
        1 => Just(Op::End),
        1 => Just(Op::Undo),
        2 => Just(Op::Freeze),
        2 => Just(Op::Write),
        2 => Just(Op::Hear),
        3 => (0..40u8).prop_map(Op::Get),
        3 => (0..40u8, 0..45u8, 1..40u8).prop_map(|(from, to, most)| Op::Range(from, to, most)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn an_overlay_is_a_map(ops in prop::collection::vec(op(), 1..200)) {
        let store = ModelStore::default();
        let mut overlay = Overlay::new(Arc::new(store.clone()));
        let mut model = BTreeMap::<Vec<u8>, Vec<u8>>::new();
        let mut before_step = None;
        let (mut on_the_way, mut unheard) = (std::collections::VecDeque::new(), None);
        for op in ops {
            match op {
                Op::Put(key, value) => {
                    overlay.put(vec![key], Bytes::from(vec![value]));
                    model.insert(vec![key], vec![value]);
                }
                Op::Delete(key) => {
                    overlay.delete(vec![key]);
                    model.remove(&vec![key]);
                }
                Op::Begin if before_step.is_none() => {
                    overlay.begin_step();
                    before_step = Some(model.clone());
                }
                Op::Begin => {}
                Op::End => {
                    overlay.end_step(GroupId(1), Index(1));
                    before_step = None;
                }
                Op::Undo => {
                    overlay.undo_step();
                    model = before_step.take().unwrap_or(model);
                }
                Op::Freeze if before_step.is_none() => on_the_way.extend(overlay.freeze()),
                Op::Freeze => {}
                Op::Write => {
                    if let Some(frozen) = on_the_way.pop_front() {
                        store.write(&[frozen.batch]).expect("writes");
                        unheard = Some(frozen.number);
                    }
                }
                Op::Hear => {
                    if let Some(number) = unheard.take() {
                        overlay.written(number);
                    }
                }
                Op::Get(key) => {
                    let got = overlay.get(&[key]).map(|value| value.to_vec());
                    prop_assert_eq!(got.as_ref(), model.get(&vec![key]));
                }
                Op::Range(from, to, most) => {
                    let mut got = Vec::new();
                    overlay.range(&[from], &[to], &mut |key, value| {
                        got.push((key.to_vec(), value.to_vec()));
                        got.len() < usize::from(most)
                    });
                    let want: Vec<_> = model
                        .iter()
                        .filter(|(key, _)| (from..to).contains(&key[0]))
                        .take(usize::from(most))
                        .map(|(key, value)| (key.clone(), value.clone()))
                        .collect();
                    prop_assert_eq!(got, want);
                }
            }
        }
    }
}

/// The work-around for fjall's worker dead-lock holds: memtables of 1 MiB, writes as fast as they go.
#[test]
fn saturating_writes_do_not_stall() {
    const SECONDS: u64 = 4;
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(FjallStore::open(folder.path(), &options()).expect("opens"));
    let (thread, said) = spawn(store.clone());
    let handle = thread.handle();
    let mut overlay = Overlay::new(store.clone());
    let (start, mut row, mut longest) = (Instant::now(), 0u64, Duration::ZERO);
    while start.elapsed() < Duration::from_secs(SECONDS) {
        for _ in 0..64 {
            row += 1;
            let key = (row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40).to_be_bytes().to_vec();
            overlay.put(key, Bytes::from(vec![row as u8; 1000]));
        }
        overlay.put(b"applied".to_vec(), Bytes::copy_from_slice(&row.to_be_bytes()));
        overlay.end_step(GroupId(1), Index(row));
        let waiting = Instant::now();
        loop {
            if let Some(frozen) = overlay.freeze() {
                handle.submit(Command::Write(frozen)).expect("few are on their way at any time");
            }
            let heard = match overlay.bytes() > 8 << 20 {
                true => said.recv_timeout(PATIENCE).map_err(|_| "the state thread hangs"),
                false => match said.try_recv() {
                    Ok(said) => Ok(said),
                    Err(_) => break,
                },
            };
            match heard.expect("an answer") {
                Said::Written(number) => overlay.written(BatchNumber(number)),
                other => panic!("{other:?}"),
            }
        }
        longest = longest.max(waiting.elapsed());
    }
    while overlay.has_active() {
        match overlay.freeze() {
            Some(frozen) => handle.submit(Command::Write(frozen)).expect("room"),
            None => match said.recv_timeout(PATIENCE).expect("an answer") {
                Said::Written(number) => overlay.written(BatchNumber(number)),
                other => panic!("{other:?}"),
            },
        }
    }
    handle.submit(Command::Persist { token: 1 }).expect("room");
    while said.recv_timeout(PATIENCE).expect("an answer")
        != Said::Persisted(1, vec![(GroupId(1), Index(row))])
    {}
    let stats = store.stats();
    println!("{row} rows in {SECONDS} s, longest wait {longest:?}, {stats:?}");
    assert!(stats.journal_bytes < 512 << 20, "old journals are not given back: {stats:?}");
    assert!(stats.memtable_bytes < 64 << 20, "memtables pile up: {stats:?}");
    assert!(row > 20_000, "only {row} rows in {SECONDS} s");
}
