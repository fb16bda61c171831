//! Several sorted maps seen as one: where they disagree, the newest is right.
//!
//! The overlay reads through it, and the store writes several batches as one through it. It yields
//! removals too, because the reader below needs them to hide older rows.

use super::batch::{Batch, RowMap};
use super::key::RowKey;
use bytes::Bytes;
use std::collections::btree_map;
use std::iter::Peekable;
use std::ops::Bound;

/// The rows of some batches in key order, each key once.
pub(super) struct Layers<'a> {
    /// Newest first. There are few (see `FROZEN_BATCHES_MAX`), so the smallest head is found by looking.
    layers: Vec<Peekable<btree_map::Range<'a, RowKey, Option<Bytes>>>>,
}

impl<'a> Layers<'a> {
    /// The rows of `from..to`.
    pub(super) fn range(
        newest_first: impl Iterator<Item = &'a Batch>,
        from: &[u8],
        to: &[u8],
    ) -> Self {
        if from >= to {
            return Self { layers: Vec::new() };
        }
        let bounds = (Bound::Included(RowKey::from(from)), Bound::Excluded(RowKey::from(to)));
        Self::of(newest_first, |rows| rows.range((bounds.0.as_ref(), bounds.1.as_ref())))
    }

    /// All rows.
    pub(super) fn all(newest_first: impl Iterator<Item = &'a Batch>) -> Self {
        Self::of(newest_first, |rows| rows.range(..))
    }

    fn of(
        newest_first: impl Iterator<Item = &'a Batch>,
        cut: impl Fn(&'a RowMap) -> btree_map::Range<'a, RowKey, Option<Bytes>>,
    ) -> Self {
        let mut layers: Vec<_> = newest_first.map(|batch| cut(batch.map()).peekable()).collect();
        layers.retain_mut(|layer| layer.peek().is_some());
        Self { layers }
    }

    /// The smallest key not yet taken.
    pub(super) fn peek_key(&mut self) -> Option<&'a [u8]> {
        self.layers.iter_mut().filter_map(|layer| layer.peek().map(|(key, _)| key.bytes())).min()
    }
}

impl<'a> Iterator for Layers<'a> {
    type Item = (&'a [u8], Option<&'a Bytes>);

    fn next(&mut self) -> Option<Self::Item> {
        if let [only] = self.layers.as_mut_slice() {
            return only.next().map(|(key, value)| (key.bytes(), value.as_ref()));
        }
        let key = self.peek_key()?;
        let mut newest = None;
        for layer in &mut self.layers {
            if let Some((_, value)) = layer.next_if(|(other, _)| other.bytes() == key) {
                newest = newest.or(Some((key, value.as_ref())));
            }
        }
        newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(rows: &[(&str, Option<&'static str>)]) -> Batch {
        let mut batch = Batch::new();
        for (key, value) in rows {
            batch.set(
                key.as_bytes().to_vec(),
                value.map(|value| Bytes::from_static(value.as_bytes())),
            );
        }
        batch
    }

    #[test]
    fn the_newest_word_on_a_key_counts() {
        let old = batch(&[("a", Some("old")), ("b", Some("old")), ("d", None)]);
        let new = batch(&[("b", None), ("c", Some("new")), ("d", Some("new"))]);
        let seen: Vec<_> = Layers::all([&new, &old].into_iter())
            .map(|(key, value)| (key.to_vec(), value.map(|value| value.to_vec())))
            .collect();
        let want = [("a", Some("old")), ("b", None), ("c", Some("new")), ("d", Some("new"))].map(
            |(key, value)| (key.as_bytes().to_vec(), value.map(|v: &str| v.as_bytes().to_vec())),
        );
        assert_eq!(seen, want);
        assert_eq!(Layers::range([&new, &old].into_iter(), b"b", b"d").count(), 2);
        assert_eq!(Layers::range([&new, &old].into_iter(), b"d", b"b").count(), 0);
    }
}
