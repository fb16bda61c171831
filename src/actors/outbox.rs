//! All groups' Raft messages of one turn of the event loop, one frame per peer, or a few if they are
//! large. One outbox per worker thread, shared by the group actors that live there.

use crate::actors::peers::frames_of;
use crate::actors::shared::Shared;
use crate::ids::{Era, GroupId, Incarnation, NodeId};
use crate::net::message::{GroupMessages, RaftFrame};
use crate::net::wire::Lane;
use crate::raft::{Entry, Message, MessageBody};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

thread_local! {
    static HERE: RefCell<Option<Outbox>> = const { RefCell::new(None) };
}

/// See the module's first lines. Cloning gives another handle.
#[derive(Clone)]
pub struct Outbox(Rc<RefCell<Inner>>);

struct Inner {
    shared: Arc<Shared>,
    waiting: BTreeMap<NodeId, Vec<(Speaker, Message)>>,
    scheduled: bool,
}

/// Which replica of this node speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// Its group.
    pub group: GroupId,
    /// The era that it is in.
    pub era: Era,
    /// The disk by which it is known, if that is not the node's.
    pub disk: Option<Incarnation>,
}

impl Outbox {
    /// The outbox of this worker thread.
    #[must_use]
    pub fn of_this_thread(shared: &Arc<Shared>) -> Self {
        HERE.with_borrow_mut(|here| {
            here.get_or_insert_with(|| {
                let shared = shared.clone();
                let inner = Inner { shared, waiting: BTreeMap::new(), scheduled: false };
                Self(Rc::new(RefCell::new(inner)))
            })
            .clone()
        })
    }

    /// Takes messages of a replica; they leave at the end of this turn.
    pub fn push(&self, speaker: Speaker, messages: Vec<Message>) {
        let mut inner = self.0.borrow_mut();
        for message in messages {
            inner.waiting.entry(message.to).or_default().push((speaker, message));
        }
        if !std::mem::replace(&mut inner.scheduled, true) {
            drop(inner);
            let outbox = self.clone();
            tokio::task::spawn_local(async move {
                // Behind everything that is ready now: that is the batch.
                tokio::task::yield_now().await;
                outbox.flush();
            });
        }
    }

    fn flush(&self) {
        let mut inner = self.0.borrow_mut();
        inner.scheduled = false;
        for (peer, messages) in std::mem::take(&mut inner.waiting) {
            for messages in frames_of(messages, |(.., message)| bytes_of(message)) {
                inner.shared.sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                // A peer that is away or slow loses messages; Raft sends again.
                let _ = inner.shared.peers.send(peer, Lane::Raft, &by_group(messages));
            }
        }
    }
}

/// More than anything takes besides its data, bytes.
const FIXED: usize = 64;

/// An upper bound of what a message takes in a frame, bytes.
fn bytes_of(message: &Message) -> usize {
    match &message.body {
        MessageBody::Append { entries, .. } | MessageBody::Relayed { entries, .. } => {
            FIXED + bytes_of_entries(entries)
        }
        MessageBody::Relay { entries, targets, .. } => {
            FIXED * (1 + targets.len()) + bytes_of_entries(entries)
        }
        MessageBody::RelayReport { answers, .. } => FIXED * (1 + answers.len()),
        _ => FIXED,
    }
}

fn bytes_of_entries(entries: &[Entry]) -> usize {
    entries.iter().map(|entry| FIXED + entry.data.len()).sum()
}

fn by_group(messages: Vec<(Speaker, Message)>) -> RaftFrame {
    let mut groups: Vec<GroupMessages> = Vec::new();
    for (Speaker { group, era, disk }, message) in messages {
        match groups.last_mut() {
            Some(last) if (last.group, last.era, last.disk) == (group, era, disk) => {
                last.messages.push(message);
            }
            _ => groups.push(GroupMessages { group, era, disk, messages: vec![message] }),
        }
    }
    RaftFrame { groups, pulse: None }
}
