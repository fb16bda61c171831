//! The shell around a secretary: one small supervised actor for each group whose entries this node passes
//! on. It has no log, no rows and no clock; what it does is decided by [`raft::Secretary`].
//!
//! Mailbox: `limits::GROUP_MAILBOX` messages, each a batch. Full: the batch is dropped and counted; the leader
//! sends directly what nobody acknowledges. It ends with the last address, which [`Secretaries`] keeps.

use crate::actors::metrics;
use crate::actors::outbox::{Outbox, Speaker};
use crate::actors::shared::{Shared, Undelivered};
use crate::actors::supervision::{Restarts, guarded};
use crate::ids::{Era, GroupId};
use crate::limits;
use crate::raft::{self, Secretary};
use ::metrics::Counter;
use actix::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// See the module's first lines.
pub(crate) struct SecretaryActor {
    group: GroupId,
    shared: Arc<Shared>,
    outbox: Outbox,
    /// The group's newest era heard of, and what serves the leader in it.
    core: Option<(Era, Secretary)>,
    relayed: Counter,
    restarts: Restarts,
}

/// Messages of one node for a secretary, spoken in this era of the group.
#[derive(Debug)]
pub(crate) struct Relays(pub Era, pub Vec<raft::Message>);

impl Message for Relays {
    type Result = ();
}

impl SecretaryActor {
    /// Starts the actor, supervised, on an arbiter.
    #[must_use]
    pub(crate) fn start_on(
        arbiter: &actix_rt::ArbiterHandle,
        shared: Arc<Shared>,
        group: GroupId,
    ) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            outbox: Outbox::of_this_thread(&shared),
            core: Some((Era::default(), Secretary::new(shared.node))),
            relayed: metrics::relayed_bytes(group),
            restarts: Restarts::default(),
            group,
            shared,
        })
    }
}

/// Takes messages in, and gives out what is to be sent; also how many were refused.
fn carry(core: &mut Secretary, messages: Vec<raft::Message>) -> (Vec<raft::Message>, usize) {
    let refused = messages.into_iter().filter_map(|message| core.step(message).err()).count();
    (core.take_messages(), refused)
}

impl Actor for SecretaryActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(limits::GROUP_MAILBOX);
    }
}

impl Supervised for SecretaryActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.core = Some((Era::default(), Secretary::new(self.shared.node)));
    }
}

impl Handler<Relays> for SecretaryActor {
    type Result = ();

    fn handle(&mut self, Relays(era, messages): Relays, context: &mut Self::Context) {
        let Some((known, core)) = &mut self.core else { return };
        if era > *known {
            // What was said before a recovery is nobody's business any more.
            (*known, *core) = (era, Secretary::new(self.shared.node));
        } else if era < *known {
            return metrics::messages_rejected(self.group, messages.len());
        }
        match guarded(|| carry(core, messages)) {
            Ok((messages, refused)) => {
                metrics::messages_rejected(self.group, refused);
                let bytes: usize = messages.iter().map(raft::Message::entry_bytes).sum();
                self.relayed.increment(bytes as u64);
                let speaker = Speaker { group: self.group, era, disk: None };
                self.outbox.push(speaker, messages);
            }
            Err(panicked) => {
                self.core = None;
                let group = self.group;
                if self.restarts.died(self.shared.mono()).is_some() {
                    tracing::error!(%group, "the secretary panicked and begins anew: {}", panicked.0);
                    context.stop();
                } else {
                    tracing::error!(
                        %group,
                        "the secretary panicked too often and is given up until the node restarts; the \
                         leader sends directly: {}", panicked.0
                    );
                }
            }
        }
    }
}

/// The secretaries on this node. Written by the poller.
#[derive(Debug, Default)]
pub(crate) struct Secretaries(RwLock<BTreeMap<GroupId, Addr<SecretaryActor>>>);

impl Secretaries {
    /// The groups that have one here.
    pub(crate) fn groups(&self) -> Vec<GroupId> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// One was started.
    pub(crate) fn add(&self, group: GroupId, addr: Addr<SecretaryActor>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(group, addr);
    }

    /// The group needs it no more: with its address it ends.
    pub(crate) fn remove(&self, group: GroupId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&group);
    }

    /// Brings a node's messages to the group's secretary here. Always through the one address kept
    /// here: to actix each clone of an address is a sender of its own with room for one message.
    ///
    /// # Errors
    /// When they were not brought.
    pub(crate) fn deliver(
        &self,
        group: GroupId,
        era: Era,
        messages: Vec<raft::Message>,
    ) -> Result<(), Undelivered> {
        use actix::dev::SendError;
        let secretaries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let addr = secretaries.get(&group).ok_or(Undelivered::NoReplica)?;
        addr.try_send(Relays(era, messages)).map_err(|error| match error {
            SendError::Full(_) => Undelivered::Full,
            SendError::Closed(_) => Undelivered::NoReplica,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Index, NodeId, Term};
    use crate::raft::MessageBody;
    use actix::System;

    #[test]
    fn what_no_secretary_takes_is_refused_and_counted() {
        let question = |to| raft::Message {
            from: NodeId(1),
            to: NodeId(to),
            term: Term(1),
            body: MessageBody::Relay {
                number: 1,
                prev_index: Index(0),
                prev_term: Term(0),
                commit: Index(0),
                entries: Vec::new(),
                targets: Vec::new(),
            },
        };
        let (answers, refused) =
            carry(&mut Secretary::new(NodeId(6)), vec![question(6), question(7)]);
        assert_eq!((answers.len(), refused), (1, 1));
        assert_eq!((answers[0].from, answers[0].to), (NodeId(6), NodeId(1)));
    }

    #[test]
    fn it_ends_with_its_address() {
        System::new().block_on(async {
            let shared = Arc::new(Shared::new(NodeId(6)));
            let secretaries = Secretaries::default();
            let group = GroupId(1);
            let addr = SecretaryActor::start_on(&Arbiter::current(), shared, group);
            let watch = addr.downgrade();
            secretaries.add(group, addr);
            tokio::task::yield_now().await;
            assert_eq!(secretaries.groups(), [group]);
            assert_eq!(secretaries.deliver(group, Era::default(), Vec::new()), Ok(()));
            secretaries.remove(group);
            let delivered = secretaries.deliver(group, Era::default(), Vec::new());
            assert_eq!(delivered, Err(Undelivered::NoReplica));
            while watch.upgrade().is_some_and(|addr| addr.connected()) {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        });
    }
}
