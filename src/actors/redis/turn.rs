//! One turn of a connection: all commands that have arrived, sent off together, answered together.
//!
//! Commands on keys are gathered into one unit per group, in order; so a pipeline is one message to
//! each group and its commands on one bucket apply in the order sent. Replies go back in the order of
//! the commands.

use crate::actors::router::{Mode, Router, Settled, Target};
use crate::ids::{Bucket, GroupId};
use crate::kv::parse::Split;
use crate::kv::{Command, Reply, ReplyError};
use crate::net::message::{Ask, Outcome, Refusal, Work};

/// Where a command's reply comes from.
enum Slot {
    Ready(Reply),
    Unit { unit: usize, position: usize },
    Split { split: Split, parts: Vec<(usize, usize)> },
}

/// See the module's first lines.
pub(super) struct Turn {
    units: Vec<(Target, Vec<Ask>)>,
    slots: Vec<Slot>,
}

impl Turn {
    pub(super) fn new() -> Self {
        Self { units: Vec::new(), slots: Vec::new() }
    }

    /// A reply that is known already.
    pub(super) fn ready(&mut self, reply: Reply) {
        self.slots.push(Slot::Ready(reply));
    }

    /// A command for the group of its bucket.
    pub(super) fn data(&mut self, router: &Router, bucket: Bucket, command: Command) {
        let (unit, position) = self.add(router, bucket, command);
        self.slots.push(Slot::Unit { unit, position });
    }

    /// A command in parts.
    pub(super) fn split(&mut self, router: &Router, mut split: Split) {
        let mut parts = Vec::with_capacity(split.parts.len());
        for part in &mut split.parts {
            // The part's command is not needed to join the replies.
            let command = std::mem::replace(&mut part.command, Command::DbSize);
            parts.push(self.add(router, part.bucket, command));
        }
        self.slots.push(Slot::Split { split, parts });
    }

    fn add(&mut self, router: &Router, bucket: Bucket, command: Command) -> (usize, usize) {
        let group: Option<GroupId> = router.routing().and_then(|routing| routing.group_of(bucket));
        let target = group.map_or(Target::Bucket(bucket), Target::Group);
        let ask = Ask { command, session: None };
        let known = self.units.iter_mut().enumerate().find(|(_, (other, _))| *other == target);
        match known {
            Some((unit, (_, asks))) => {
                asks.push(ask);
                (unit, asks.len() - 1)
            }
            None => {
                self.units.push((target, vec![ask]));
                (self.units.len() - 1, 0)
            }
        }
    }

    /// Sends everything off; the replies, in order.
    pub(super) async fn finish(self, router: &Router, mode: Mode) -> Vec<Reply> {
        let units: Vec<_> =
            self.units.into_iter().map(|(target, asks)| (target, Work::Keys(asks))).collect();
        let mut outcomes: Vec<Vec<Option<Reply>>> = if units.is_empty() {
            Vec::new()
        } else {
            let counts: Vec<usize> = units.iter().map(|(_, work)| work.replies()).collect();
            let settled = router.submit(units, mode).await;
            settled.into_iter().zip(counts).map(|(one, count)| replies(one, count)).collect()
        };
        let mut take = |(unit, position): (usize, usize)| {
            let lost = || ReplyError::outcome_unknown("the reply was lost").into();
            outcomes
                .get_mut(unit)
                .and_then(|replies| replies.get_mut(position))
                .and_then(Option::take)
                .unwrap_or_else(lost)
        };
        self.slots
            .into_iter()
            .map(|slot| match slot {
                Slot::Ready(reply) => reply,
                Slot::Unit { unit, position } => take((unit, position)),
                Slot::Split { split, parts } => {
                    let replies = parts.into_iter().map(&mut take).collect();
                    split.join(replies)
                }
            })
            .collect()
    }
}

/// The replies of one unit, whatever became of it.
fn replies(settled: Settled, count: usize) -> Vec<Option<Reply>> {
    match settled.outcome {
        Outcome::Done(replies) => replies.into_iter().map(Some).collect(),
        trouble => vec![Some(trouble_reply(&trouble, settled.hint.as_deref())); count],
    }
}

/// What a client is told of a unit that was not, or perhaps not, carried out.
pub(super) fn trouble_reply(outcome: &Outcome, hint: Option<&str>) -> Reply {
    let hint = hint.unwrap_or("the cluster");
    match outcome {
        Outcome::NotDone(Refusal::DiskLow) => ReplyError::new(
            "OOM",
            "the disk is nearly full: only deletes are taken until there is room (not done)",
        ),
        Outcome::NotDone(Refusal::Busy) => {
            ReplyError::not_done(format!("{hint} has too many requests waiting; slow down"))
        }
        Outcome::NotDone(Refusal::Stopping) => ReplyError::not_done("this node is stopping"),
        Outcome::NotDone(refusal) => ReplyError::new(
            "CLUSTERDOWN",
            format!("{hint} did not answer in time: {refusal}; see 'eraftctl status' (not done)"),
        ),
        _ => ReplyError::outcome_unknown(format!("{hint} did not answer in time")),
    }
    .into()
}
