//! All groups' Raft messages of one turn of the event loop, one frame per peer, or a few if they are
//! large. One outbox per worker thread, shared by the group actors that live there.

use crate::actors::peers::frames_of;
use crate::actors::shared::Shared;
use crate::ids::{GroupId, NodeId};
use crate::net::message::RaftFrame;
use crate::net::wire::Lane;
use crate::raft::{Message, MessageBody};
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
    waiting: BTreeMap<NodeId, Vec<(GroupId, Message)>>,
    scheduled: bool,
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

    /// Takes messages of a group; they leave at the end of this turn.
    pub fn push(&self, group: GroupId, messages: Vec<Message>) {
        let mut inner = self.0.borrow_mut();
        for message in messages {
            inner.waiting.entry(message.to).or_default().push((group, message));
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
            for messages in frames_of(messages, |(_, message)| bytes_of(message)) {
                inner.shared.sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                // A peer that is away or slow loses messages; Raft sends again.
                let _ = inner.shared.peers.send(peer, Lane::Raft, &by_group(messages));
            }
        }
    }
}

/// An upper bound of what a message takes in a frame, bytes.
fn bytes_of(message: &Message) -> usize {
    const FIXED: usize = 64;
    match &message.body {
        MessageBody::Append { entries, .. } => {
            FIXED + entries.iter().map(|entry| FIXED + entry.data.len()).sum::<usize>()
        }
        _ => FIXED,
    }
}

fn by_group(messages: Vec<(GroupId, Message)>) -> RaftFrame {
    let mut groups: Vec<(GroupId, Vec<Message>)> = Vec::new();
    for (group, message) in messages {
        match groups.last_mut() {
            Some((last, messages)) if *last == group => messages.push(message),
            _ => groups.push((group, vec![message])),
        }
    }
    RaftFrame { groups, pulse: None }
}
