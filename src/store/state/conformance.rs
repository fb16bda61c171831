//! What every [`StateStore`] must do, whichever it is. Both stores' tests call [`all`].

use super::batch::Batch;
use super::chunk::next_chunk;
use super::store::{Forgotten, StateStore};
use crate::ids::{Bucket, Epoch, GroupId, Index};
use crate::rows::{RowGeneration, bucket_prefix, home, prefix_end};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Makes stores: empty ones, and the same one again as after a restart in good order.
pub(super) trait Factory {
    /// The store under test.
    type Store: StateStore;
    /// An empty store in a place of its own.
    fn fresh(&mut self, forgotten: Forgotten) -> Self::Store;
    /// Closes `store` and opens what it left behind.
    fn reopen(&mut self, store: Self::Store) -> Self::Store;
}

/// Runs the whole suite.
pub(super) fn all(factory: &mut impl Factory) {
    reads_what_was_written(factory);
    the_last_word_counts(factory);
    any_row_size_fits(factory);
    a_view_never_changes(factory);
    chunks_cover_the_range_once(factory);
    persisted_rows_survive(factory);
    forgotten_rows_go_and_neighbours_stay(factory);
}

fn nothing_forgotten() -> Forgotten {
    Arc::new(|_| false)
}

fn batch(rows: &[(&[u8], Option<&[u8]>)]) -> Arc<Batch> {
    let mut batch = Batch::new();
    for (key, value) in rows {
        match value {
            Some(value) => batch.put(key.to_vec(), Bytes::copy_from_slice(value)),
            None => batch.delete(key.to_vec()),
        }
    }
    Arc::new(batch)
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn rows(store: &dyn StateStore, from: &[u8], to: &[u8], at_most: usize) -> Pairs {
    let mut seen = Vec::new();
    let mut each = |key: &[u8], value: &[u8]| {
        seen.push((key.to_vec(), value.to_vec()));
        seen.len() < at_most
    };
    store.range(from, to, &mut each).expect("reads");
    seen
}

fn pairs(rows: &[(&str, &str)]) -> Pairs {
    rows.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

fn reads_what_was_written(factory: &mut impl Factory) {
    let store = factory.fresh(nothing_forgotten());
    assert_eq!(store.get(b"a"), Ok(None));
    store
        .write(&[batch(&[(b"a", Some(b"1")), (b"b", Some(b"2")), (b"c", Some(b""))])])
        .expect("writes");
    assert_eq!(store.get(b"b"), Ok(Some(Bytes::from_static(b"2"))));
    assert_eq!(store.get(b"c"), Ok(Some(Bytes::new())));
    assert_eq!(rows(&store, b"a", b"c", 9), pairs(&[("a", "1"), ("b", "2")]));
    assert_eq!(rows(&store, b"a", b"z", 2), pairs(&[("a", "1"), ("b", "2")]));
    assert_eq!(rows(&store, b"c", b"a", 9), pairs(&[]));
    assert_eq!(rows(&store, b"b", b"b", 9), pairs(&[]));
    store.write(&[batch(&[(b"a", None), (b"nothing", None)])]).expect("writes");
    assert_eq!(rows(&store, b"a", b"z", 9), pairs(&[("b", "2"), ("c", "")]));
    // A batch without rows is fine.
    store.write(&[batch(&[])]).expect("writes");
}

fn the_last_word_counts(factory: &mut impl Factory) {
    let store = factory.fresh(nothing_forgotten());
    let old = batch(&[(b"a", Some(b"old")), (b"b", None), (b"c", Some(b"old"))]);
    let new = batch(&[(b"a", None), (b"b", Some(b"new")), (b"c", Some(b"new"))]);
    store.write(&[old, new]).expect("writes");
    assert_eq!(rows(&store, b"a", b"z", 9), pairs(&[("b", "new"), ("c", "new")]));
}

fn any_row_size_fits(factory: &mut impl Factory) {
    let store = factory.fresh(nothing_forgotten());
    let long_key = vec![7; 65_535];
    let value = vec![3; 9 << 20];
    let mut rows = Batch::new();
    rows.put(long_key.clone(), Bytes::from(value.clone()));
    rows.put(vec![0], Bytes::new());
    store.write(&[Arc::new(rows)]).expect("writes");
    store.persist().expect("syncs");
    let store = factory.reopen(store);
    assert_eq!(store.get(&long_key).expect("reads"), Some(Bytes::from(value)));
    assert_eq!(store.get(&[0]), Ok(Some(Bytes::new())));
}

fn a_view_never_changes(factory: &mut impl Factory) {
    let store = factory.fresh(nothing_forgotten());
    store.write(&[batch(&[(b"a", Some(b"1")), (b"b", Some(b"1"))])]).expect("writes");
    let view = store.view();
    store.write(&[batch(&[(b"a", Some(b"2")), (b"b", None), (b"c", Some(b"2"))])]).expect("writes");
    store.reclaim().expect("starts");
    store.maintain().expect("tidies up");
    assert_eq!(view.get(b"a"), Ok(Some(Bytes::from_static(b"1"))));
    assert_eq!(view.get(b"c"), Ok(None));
    let chunk = next_chunk(view.as_ref(), b"a", b"z", 1024).expect("reads");
    let seen: Pairs = chunk.rows.into_iter().map(|(key, value)| (key, value.to_vec())).collect();
    assert_eq!(seen, pairs(&[("a", "1"), ("b", "1")]));
    assert_eq!(rows(&store, b"a", b"z", 9), pairs(&[("a", "2"), ("c", "2")]));
}

fn chunks_cover_the_range_once(factory: &mut impl Factory) {
    let store = factory.fresh(nothing_forgotten());
    let mut batch = Batch::new();
    for n in 0..100u32 {
        let size = if n == 50 { 5000 } else { 90 };
        batch.put(n.to_be_bytes().to_vec(), Bytes::from(vec![1; size]));
    }
    store.write(&[Arc::new(batch)]).expect("writes");
    let view = store.view();
    let (mut from, to) = (5u32.to_be_bytes().to_vec(), 95u32.to_be_bytes());
    let (mut seen, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let chunk = next_chunk(view.as_ref(), &from, &to, 1000).expect("reads");
        sizes.push(chunk.rows.len());
        seen.extend(chunk.rows.into_iter().map(|(key, _)| key));
        match chunk.next {
            Some(next) => from = next,
            None => break,
        }
    }
    let want: Vec<_> = (5..95u32).map(|n| n.to_be_bytes().to_vec()).collect();
    assert_eq!(seen, want);
    // Rows 5 to 49 in tens, row 50 alone, rows 51 to 94 in tens.
    assert_eq!(sizes, [10, 10, 10, 10, 5, 1, 10, 10, 10, 10, 4]);
}

fn persisted_rows_survive(factory: &mut impl Factory) {
    let store = factory.fresh(nothing_forgotten());
    for n in 1..=20u64 {
        let mut batch = Batch::new();
        batch.put(b"applied".to_vec(), Bytes::copy_from_slice(&n.to_be_bytes()));
        batch.put(format!("row {n:02}").into_bytes(), Bytes::from_static(b"x"));
        batch.set_applied(GroupId(1), Index(n));
        store.write(&[Arc::new(batch)]).expect("writes");
    }
    store.persist().expect("syncs");
    let store = factory.reopen(store);
    assert_eq!(store.get(b"applied"), Ok(Some(Bytes::copy_from_slice(&20u64.to_be_bytes()))));
    assert_eq!(rows(&store, b"row", b"s", 99).len(), 20);
    store.write(&[batch(&[(b"row 21", Some(b"x"))])]).expect("writes after a restart");
    assert_eq!(rows(&store, b"row", b"s", 99).len(), 21);
}

fn forgotten_rows_go_and_neighbours_stay(factory: &mut impl Factory) {
    const ROWS: u32 = 2000;
    let prefix =
        |bucket, epoch| bucket_prefix(GroupId(1), RowGeneration(1), Bucket(bucket), Epoch(epoch));
    let is_forgotten = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_forgotten);
    let store = factory.fresh(Arc::new(move |key| {
        flag.load(Ordering::Acquire)
            && home(key).is_some_and(|home| home.bucket == Some((Bucket(5), Epoch(1))))
    }));
    for (bucket, epoch) in [(4, 1), (5, 1), (5, 2), (6, 1)] {
        let mut batch = Batch::new();
        for n in 0..ROWS {
            let mut key = prefix(bucket, epoch);
            key.extend_from_slice(&n.to_be_bytes());
            // Bytes that do not compress, so that they show on the disk.
            let value: Vec<u8> = (0..1000u32)
                .map(|i| ((n * 1000 + i).wrapping_mul(2_654_435_761) >> 13) as u8)
                .collect();
            batch.put(key, Bytes::from(value));
        }
        store.write(&[Arc::new(batch)]).expect("writes");
    }
    let count = |bucket, epoch| {
        let prefix = prefix(bucket, epoch);
        rows(&store, &prefix, &prefix_end(&prefix), usize::MAX).len() as u32
    };
    let view = store.view();
    reclaim(&store);
    let before = store.stats().disk_bytes;
    assert_eq!(count(5, 1), ROWS, "nothing is forgotten yet");

    is_forgotten.store(true, Ordering::Release);
    store.persist().expect("syncs");
    reclaim(&store);
    let after = store.stats().disk_bytes;
    assert!(after < before * 4 / 5, "{before} bytes before, {after} after");
    assert_eq!((count(4, 1), count(5, 1)), (ROWS, 0));
    assert_eq!((count(5, 2), count(6, 1)), (ROWS, ROWS));
    // The view is older than all this.
    let from = prefix(5, 1);
    let mut seen = 0;
    view.range(&from, &prefix_end(&from), &mut |_, value| {
        assert_eq!(value.len(), 1000);
        seen += 1;
        true
    })
    .expect("reads");
    assert_eq!(seen, ROWS);
}

/// Gives back what can be given back, and waits for it.
fn reclaim(store: &impl StateStore) {
    let rounds = store.stats().reclaims;
    let start = Instant::now();
    store.reclaim().expect("starts");
    while store.stats().reclaims == rounds {
        assert!(start.elapsed() < Duration::from_secs(20), "no round has ended");
        std::thread::sleep(Duration::from_millis(5));
        store.maintain().expect("tidies up");
    }
    store.maintain().expect("tidies up");
}
