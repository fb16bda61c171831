//! The agenda: all that is still to happen, in order.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// See the module's first lines. What is to happen at the same time happens in the order in which it was
/// noted down.
#[derive(Debug)]
pub(crate) struct Agenda<H> {
    open: BinaryHeap<Item<H>>,
    noted: u64,
}

#[derive(Debug)]
struct Item<H> {
    at: u64,
    noted: u64,
    happening: H,
}

impl<H> Default for Agenda<H> {
    fn default() -> Self {
        Self { open: BinaryHeap::new(), noted: 0 }
    }
}

impl<H> Agenda<H> {
    /// Notes down what is to happen at this time, microseconds.
    pub(crate) fn note(&mut self, at: u64, happening: H) {
        self.noted += 1;
        self.open.push(Item { at, noted: self.noted, happening });
    }

    /// What is next, and when.
    pub(crate) fn next(&mut self) -> Option<(u64, H)> {
        self.open.pop().map(|item| (item.at, item.happening))
    }
}

impl<H> Ord for Item<H> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives the greatest first.
        (other.at, other.noted).cmp(&(self.at, self.noted))
    }
}

impl<H> PartialOrd for Item<H> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<H> PartialEq for Item<H> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<H> Eq for Item<H> {}
