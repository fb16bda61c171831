//! The overlay: what has been applied and is not in the store yet, with the store behind it.
//!
//! The apply thread owns it and sees through it what all applied entries have written, however far
//! behind the state thread is. Layers, newest first; the first that knows a key is right:
//!
//! ```text
//! active batch (being written to) ► frozen batches (on their way to the store) ► store
//! ```
//!
//! A frozen batch stays until the store has it, so a row is never invisible in between. How much may
//! stay is limited. So the apply thread's turn is: apply; freeze and submit if [`Overlay::can_freeze`];
//! and while [`Overlay::must_wait`], wait for `written` and do nothing else.

use super::batch::{Batch, BatchNumber, FrozenBatch};
use super::cache::RowCache;
use super::layers::Layers;
use super::store::{StateError, StateStore};
use crate::ids::{GroupId, Index};
use crate::limits;
use crate::rows::Rows;
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

/// Frozen batches on their way at any time. Each is one more map to look into at every read (some 200 ns
/// when it does not have the key), and one being written with one waiting keeps the state thread busy.
pub const FROZEN_BATCHES_MAX: usize = 3;

/// What was in the active batch before a step, newest change last.
type Undo = Vec<(Vec<u8>, Option<Option<Bytes>>)>;

/// Rows applied and not yet written. See the module.
pub struct Overlay {
    store: Arc<dyn StateStore>,
    active: Batch,
    /// Oldest first.
    frozen: VecDeque<FrozenBatch>,
    frozen_bytes: usize,
    last_frozen: BatchNumber,
    step: Option<Undo>,
    /// In front of all layers.
    cache: RefCell<RowCache>,
    /// The first read of the store that failed.
    error: OnceLock<StateError>,
}

impl Overlay {
    /// An empty overlay on `store`.
    #[must_use]
    pub fn new(store: Arc<dyn StateStore>) -> Self {
        Self {
            store,
            active: Batch::new(),
            frozen: VecDeque::new(),
            frozen_bytes: 0,
            last_frozen: BatchNumber(0),
            step: None,
            cache: RefCell::new(RowCache::new(limits::ROW_CACHE_BYTES)),
            error: OnceLock::new(),
        }
    }

    /// Starts a step that can be taken back as a whole: the apply of one entry.
    ///
    /// # Panics
    /// When a step is under way.
    pub fn begin_step(&mut self) {
        assert!(self.step.is_none(), "a step inside a step");
        self.step = Some(Vec::new());
    }

    /// The step succeeded: with it, `group` is applied up to `index`. Also without a step begun.
    pub fn end_step(&mut self, group: GroupId, index: Index) {
        self.step = None;
        self.active.set_applied(group, index);
    }

    /// The step failed half way (a panic, a read error): everything is as it was when it began. Without
    /// a step under way this does nothing.
    pub fn undo_step(&mut self) {
        for (key, before) in self.step.take().unwrap_or_default().into_iter().rev() {
            self.cache.get_mut().forget(&key);
            self.active.unset(key, before);
        }
    }

    /// Whether there is something to freeze and room for it on the way to the store.
    #[must_use]
    pub fn can_freeze(&self) -> bool {
        !self.active.is_empty() && self.frozen.len() < FROZEN_BATCHES_MAX
    }

    /// Whether there is anything to freeze.
    #[must_use]
    pub fn has_active(&self) -> bool {
        !self.active.is_empty()
    }

    /// Whether there is room for another frozen batch on the way to the store.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.frozen.len() < FROZEN_BATCHES_MAX
    }

    /// Throws away what the active batch says about keys with this prefix, and about `group`: the rows
    /// are as they were at the last freeze.
    ///
    /// # Panics
    /// When a step is under way.
    pub fn discard(&mut self, prefix: &[u8], group: GroupId) {
        assert!(self.step.is_none(), "a step under way is undone, not discarded");
        self.active.discard(prefix, group);
        self.cache.get_mut().clear();
    }

    /// Takes the active batch for the state thread; `None` if [`Overlay::can_freeze`] is false. Hand the
    /// batches on in the order of their numbers.
    ///
    /// # Panics
    /// When a step is under way.
    pub fn freeze(&mut self) -> Option<FrozenBatch> {
        assert!(self.step.is_none(), "half a step must not reach the store");
        if !self.can_freeze() {
            return None;
        }
        self.last_frozen.0 += 1;
        let batch = Arc::new(std::mem::take(&mut self.active));
        self.frozen_bytes += batch.bytes();
        let frozen = FrozenBatch { number: self.last_frozen, batch };
        self.frozen.push_back(frozen.clone());
        Some(frozen)
    }

    /// The store has all batches up to this one.
    pub fn written(&mut self, up_to: BatchNumber) {
        while self.frozen.front().is_some_and(|first| first.number <= up_to) {
            if let Some(gone) = self.frozen.pop_front() {
                self.frozen_bytes -= gone.batch.bytes();
            }
        }
    }

    /// Bytes of all rows not yet written.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.active.bytes() + self.frozen_bytes
    }

    /// Bytes of the rows that are not frozen yet.
    #[must_use]
    pub fn active_bytes(&self) -> usize {
        self.active.bytes()
    }

    /// Whether apply has to pause until the state thread has written something. False while there is
    /// something to freeze: waiting then could be for ever.
    #[must_use]
    pub fn must_wait(&self) -> bool {
        self.bytes() >= limits::OVERLAY_BYTES_MAX && !self.can_freeze()
    }

    /// Whether everything is in the store.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.active.is_empty() && self.frozen.is_empty()
    }

    /// The store behind it.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn StateStore> {
        &self.store
    }

    /// The first read that failed since this was last asked. [`Rows`] cannot say so; whatever was
    /// applied since may rest on rows that seemed to be missing, so take the step back and stop.
    pub fn take_error(&mut self) -> Option<StateError> {
        self.error.take()
    }

    fn newest_first(&self) -> impl Iterator<Item = &Batch> {
        let frozen = self.frozen.iter().rev().map(|frozen| frozen.batch.as_ref());
        std::iter::once(&self.active).chain(frozen)
    }

    fn set(&mut self, key: Vec<u8>, value: Option<Bytes>) {
        self.cache.get_mut().put(&key, value.clone());
        match &mut self.step {
            None => {
                self.active.set(key, value);
            }
            Some(undo) => {
                let before = self.active.set(key.clone(), value);
                undo.push((key, before));
            }
        }
    }
}

impl Rows for Overlay {
    fn get(&self, key: &[u8]) -> Option<Bytes> {
        let mut cache = self.cache.borrow_mut();
        if let Some(value) = cache.get(key) {
            return value;
        }
        let value = match self.newest_first().find_map(|batch| batch.get(key)) {
            Some(value) => value.clone(),
            None => match self.store.get(key) {
                Ok(value) => value,
                Err(error) => {
                    self.error.get_or_init(|| error);
                    return None;
                }
            },
        };
        cache.put(key, value.clone());
        value
    }

    fn range(&self, from: &[u8], to: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        let mut newer = Layers::range(self.newest_first(), from, to);
        let mut go_on = true;
        let read = self.store.range(from, to, &mut |key, value| {
            // Our rows before this one, and on it.
            while go_on && newer.peek_key().is_some_and(|ours| ours < key) {
                go_on = emit(&mut newer, each);
            }
            if go_on {
                go_on = match newer.peek_key() {
                    Some(ours) if ours == key => emit(&mut newer, each),
                    _ => each(key, value),
                };
            }
            go_on
        });
        if let Err(error) = read {
            self.error.get_or_init(|| error);
            return;
        }
        while go_on && newer.peek_key().is_some() {
            go_on = emit(&mut newer, each);
        }
    }

    fn put(&mut self, key: Vec<u8>, value: Bytes) {
        self.set(key, Some(value));
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.set(key, None);
    }
}

/// Shows the next row, unless it is a removal; false if `each` has had enough.
fn emit(layers: &mut Layers<'_>, each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> bool {
    match layers.next() {
        Some((key, Some(value))) => each(key, value),
        _ => true,
    }
}
