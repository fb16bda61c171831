//! Trouble with observers and secretaries, for the random schedules: they come and go, replicas disagree on
//! who they are, secretaries die and forget, observers lose their disks, and what was sent by way of a
//! secretary comes again very much later, also for leaders of the past.

use super::chaos::Chaos;
use super::cluster::n;
use super::disk::Disk;
use crate::ids::NodeId;
use crate::raft::{Config, Membership, Message, MessageBody, Secretary};

/// Observers have numbers above this.
pub(super) const OBSERVERS: u32 = 20;
const SECRETARIES: u32 = 30;
/// Messages that may come again.
const KEPT_MAX: usize = 50;

/// What is remembered for this.
#[derive(Debug, Default)]
pub(super) struct Helping {
    kept: Vec<Message>,
}

impl Chaos {
    pub(super) fn with_helpers(membership: Membership, seed: u64, change: fn(&mut Config)) -> Self {
        // Every other run also changes the membership, if any does.
        let lazy = {
            let mut config = Config::new(n(1), 1);
            change(&mut config);
            !config.eager_commit
        };
        let mut chaos = match lazy {
            true => Self::with_changes(membership, seed, change),
            false => Self::new(membership, seed, change),
        };
        let observers = [n(OBSERVERS + 1), n(OBSERVERS + 2)];
        chaos.cluster.observe(&observers);
        chaos.cluster.employ(&[n(SECRETARIES + 1), n(SECRETARIES + 2)]);
        chaos.ids.extend(observers);
        chaos.helpers = Some(Helping::default());
        chaos
    }

    fn some(&mut self, above: u32) -> Vec<NodeId> {
        let all = [n(above + 1), n(above + 2)];
        all.into_iter().filter(|_| self.random.below(3) > 0).collect()
    }

    /// Something happens to helpers, or replica `id` hears of other ones.
    pub(super) fn trouble_helpers(&mut self, id: NodeId) {
        match self.random.below(12) {
            0 => {
                let observers = self.some(OBSERVERS);
                self.cluster.raft(id.0).set_observers(&observers);
            }
            1 => {
                let secretaries = self.some(SECRETARIES);
                self.cluster.raft(id.0).set_secretaries(&secretaries);
            }
            2 => self.agree_on_helpers(),
            3..6 => {
                let secretary = n(SECRETARIES + 1 + self.random.below(2));
                if self.cluster.secretaries.remove(&secretary).is_some() {
                    self.seen.lost += 1;
                } else {
                    self.cluster.secretaries.insert(secretary, Secretary::new(secretary));
                }
            }
            6 => {
                let secretary = n(SECRETARIES + 1 + self.random.below(2));
                self.cluster.raft(id.0).report_unreachable(secretary);
            }
            7 if id.0 > OBSERVERS => {
                self.cluster.crash(id, 0);
                self.collect_reads();
                self.cluster.add(id, Disk::default());
            }
            _ => self.repeat(),
        }
    }

    /// Keeps what is on its way to and from secretaries, or sends again what was kept.
    fn repeat(&mut self) {
        let by_secretary = |message: &&Message| {
            matches!(
                message.body,
                MessageBody::Relay { .. }
                    | MessageBody::Relayed { .. }
                    | MessageBody::RelayedResponse { .. }
                    | MessageBody::RelayReport { .. }
            )
        };
        let found: Vec<_> = self.cluster.wire.iter().filter(by_secretary).cloned().collect();
        let at = self.random.below(KEPT_MAX as u32) as usize;
        let Some(helpers) = &mut self.helpers else { return };
        if let Some(old) = helpers.kept.get(at) {
            self.cluster.wire.push(old.clone());
        }
        helpers.kept.extend(found);
        let excess = helpers.kept.len().saturating_sub(KEPT_MAX);
        helpers.kept.drain(..excess);
    }

    /// Everybody hears of the same helpers, and all of them are there.
    pub(super) fn agree_on_helpers(&mut self) {
        if self.helpers.is_none() {
            return;
        }
        self.cluster.wanted.observers = vec![n(OBSERVERS + 1), n(OBSERVERS + 2)];
        self.cluster.employ(&[n(SECRETARIES + 1), n(SECRETARIES + 2)]);
    }
}
