//! The snapshots that this node sends, so that answers, broken links and new terms find them; what they
//! share; and whose turn it is: one at a time to each peer, whichever groups need one.

use super::pace::Pace;
use crate::ids::{GroupId, Index, NodeId, Term};
use crate::limits;
use crate::net::message::SnapshotFrame;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// What a transfer is told.
#[derive(Debug)]
pub(super) enum Told {
    /// The receiver's word.
    Answer(Box<SnapshotFrame>),
    /// The link to the receiver has broken, or stands again.
    Link(bool),
    /// This node does not lead any more.
    LeadLost,
    /// It leads in this term, and the receiver needs a snapshot still.
    Renewed(Term),
}

#[derive(Debug)]
struct Entry {
    tell: mpsc::Sender<Told>,
    index: Index,
    percent: Arc<AtomicU8>,
}

/// See the module's first lines.
#[derive(Debug)]
pub struct Transfers {
    running: Mutex<BTreeMap<(GroupId, NodeId), Entry>>,
    turns: Mutex<BTreeMap<NodeId, Arc<Semaphore>>>,
    pace: Mutex<Pace>,
    start: Instant,
}

impl Default for Transfers {
    fn default() -> Self {
        Self {
            running: Mutex::default(),
            turns: Mutex::default(),
            pace: Mutex::new(Pace::new(limits::SNAPSHOT_BYTES_PER_SECOND_DEFAULT)),
            start: Instant::now(),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A transfer's place among the others; it is given up when this is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    transfers: &'a Transfers,
    key: (GroupId, NodeId),
    pub(super) inbox: mpsc::Receiver<Told>,
    pub(super) percent: Arc<AtomicU8>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // Another transfer may have taken the place: this one's inbox is closed then.
        let mut running = locked(&self.transfers.running);
        let own = |entry: &Entry| Arc::ptr_eq(&entry.percent, &self.percent);
        if running.get(&self.key).is_some_and(own) {
            running.remove(&self.key);
        }
    }
}

impl Transfers {
    /// All transfers together send at most so many bytes per second.
    pub fn set_rate(&self, bytes_per_second: u64) {
        *locked(&self.pace) = Pace::new(bytes_per_second);
    }

    /// How long so many bytes must wait.
    pub(super) fn reserve(&self, bytes: u64) -> Duration {
        let now = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        locked(&self.pace).reserve(bytes, now)
    }

    /// Waits until no other snapshot is on its way to `peer`. The turn ends when the permit is dropped.
    pub(crate) async fn turn(&self, peer: NodeId) -> OwnedSemaphorePermit {
        let turn =
            locked(&self.turns).entry(peer).or_insert_with(|| Arc::new(Semaphore::new(1))).clone();
        turn.acquire_owned().await.expect("it is never closed")
    }

    /// A transfer of the state at `index` begins; an earlier one of the group to the same receiver hears no
    /// more.
    pub(super) fn begin(&self, key: (GroupId, NodeId), index: Index) -> Place<'_> {
        let (tell, inbox) = mpsc::channel(limits::SNAPSHOT_ANSWERS_MAX);
        let percent = Arc::new(AtomicU8::new(0));
        locked(&self.running).insert(key, Entry { tell, index, percent: percent.clone() });
        Place { transfers: self, key, inbox, percent }
    }

    /// A receiver has answered. What nobody waits for is dropped.
    pub fn answered(&self, from: NodeId, frame: SnapshotFrame) {
        if let Some(entry) = locked(&self.running).get(&(frame.group(), from)) {
            // Full: the receiver is asked again.
            let _ = entry.tell.try_send(Told::Answer(Box::new(frame)));
        }
    }

    /// The link to a peer has broken, or stands again.
    pub(crate) fn link(&self, peer: NodeId, connected: bool) {
        for ((_, to), entry) in &*locked(&self.running) {
            if *to == peer {
                let _ = entry.tell.try_send(Told::Link(connected));
            }
        }
    }

    /// This node does not lead the group any more.
    pub(crate) fn lead_lost(&self, group: GroupId) {
        for ((of, _), entry) in &*locked(&self.running) {
            if *of == group {
                let _ = entry.tell.try_send(Told::LeadLost);
            }
        }
    }

    /// In `term`, which this node leads, `peer` needs a snapshot that covers `index_min` at least. Whether
    /// one on its way goes on for that.
    pub(crate) fn renew(&self, group: GroupId, peer: NodeId, term: Term, index_min: Index) -> bool {
        let running = locked(&self.running);
        let fitting = running.get(&(group, peer)).filter(|entry| entry.index >= index_min);
        fitting.is_some_and(|entry| entry.tell.try_send(Told::Renewed(term)).is_ok())
    }

    /// How much of a snapshot to `peer` has gone, if one is on its way.
    pub(crate) fn percent(&self, group: GroupId, peer: NodeId) -> Option<u8> {
        let running = locked(&self.running);
        running.get(&(group, peer)).map(|entry| entry.percent.load(Ordering::Relaxed))
    }

    /// How many are on their way.
    pub(super) fn running(&self) -> usize {
        locked(&self.running).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mpsc::error::TryRecvError;

    const GROUP: GroupId = GroupId(1);
    const PEER: NodeId = NodeId(2);

    #[test]
    fn the_end_of_an_earlier_transfer_leaves_its_successor_alone() {
        let transfers = Transfers::default();
        let mut first = transfers.begin((GROUP, PEER), Index(1));
        let mut second = transfers.begin((GROUP, PEER), Index(2));
        assert!(matches!(first.inbox.try_recv(), Err(TryRecvError::Disconnected)));
        drop(first);
        transfers.answered(PEER, SnapshotFrame::Refused { group: GROUP, view: 9 });
        assert!(matches!(second.inbox.try_recv(), Ok(Told::Answer(_))));
        assert_eq!(transfers.running(), 1);
        drop(second);
        assert_eq!(transfers.running(), 0);
    }

    #[test]
    fn links_and_terms_find_the_transfers_they_are_about() {
        let transfers = Transfers::default();
        let mut place = transfers.begin((GROUP, PEER), Index(5));
        transfers.link(NodeId(3), false);
        transfers.lead_lost(GroupId(2));
        assert!(matches!(place.inbox.try_recv(), Err(TryRecvError::Empty)));
        transfers.link(PEER, false);
        transfers.lead_lost(GROUP);
        assert!(matches!(place.inbox.try_recv(), Ok(Told::Link(false))));
        assert!(matches!(place.inbox.try_recv(), Ok(Told::LeadLost)));
        assert!(transfers.renew(GROUP, PEER, Term(4), Index(5)));
        assert!(matches!(place.inbox.try_recv(), Ok(Told::Renewed(Term(4)))));
        assert!(!transfers.renew(GROUP, PEER, Term(4), Index(6)), "it covers too little");
        assert!(!transfers.renew(GROUP, NodeId(3), Term(4), Index(1)), "there is none");
        assert_eq!(transfers.percent(GROUP, PEER), Some(0));
        assert_eq!(transfers.percent(GROUP, NodeId(3)), None);
    }

    #[tokio::test]
    async fn a_peer_is_sent_one_snapshot_at_a_time() {
        let transfers = Transfers::default();
        let turn = transfers.turn(PEER).await;
        let _other = transfers.turn(NodeId(3)).await;
        let waiting = transfers.turn(PEER);
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("two at once"),
            () = tokio::task::yield_now() => {}
        }
        drop(turn);
        drop(waiting.await);
    }
}
