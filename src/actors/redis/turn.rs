//! One turn of a connection: all commands that have arrived, sent off together, answered together.
//!
//! Commands on keys are gathered into one unit per group, in order; so a pipeline is one message to
//! each group and its commands on one bucket apply in the order sent. Replies go back in the order of
//! the commands.
//!
//! A unit becomes one entry, so its bytes are bounded, and so are the values that one turn asks for. What
//! does not fit waits for the next turn, which begins when this one is answered: two units on their way
//! to one group might overtake each other.

use crate::actors::router::{Mode, Router, Target};
use crate::ids::Bucket;
use crate::kv::parse::Split;
use crate::kv::{Command, Reply, ReplyError};
use crate::limits;
use crate::net::message::{Ask, Work};

/// Where a unit of several commands ends, bytes; a larger command goes alone.
const UNIT_BYTES_TARGET: usize = limits::ENTRY_BYTES_MAX / 2;
/// Replies known already that a turn may gather, bytes.
const READY_BYTES_MAX: usize = 1024 * 1024;
/// About how many bytes of values one turn should bring. Well below what a group is ready to answer to
/// one unit, beyond which it answers with errors.
const VALUES_BYTES_TARGET: usize = 32 * 1024 * 1024;

/// Where a command's reply comes from.
enum Slot {
    Ready(Reply),
    Unit { unit: usize, position: usize },
    Split { split: Split, parts: Vec<(usize, usize)> },
}

struct Draft {
    target: Target,
    asks: Vec<Ask>,
    bytes: usize,
}

/// See the module's first lines.
pub(super) struct Turn {
    units: Vec<Draft>,
    slots: Vec<Slot>,
    ready_bytes: usize,
    /// Values asked for, and how many may be.
    values: usize,
    values_max: usize,
    /// A group has two units: nothing may be added.
    sealed: bool,
}

/// How large a connection's values are, about: judged by those it got lately, and forgotten slowly.
pub(super) struct ValueSize(usize);

impl ValueSize {
    /// Of a connection that has asked for none yet: as large as may be.
    pub(super) fn unknown(value_bytes_max: usize) -> Self {
        Self(value_bytes_max)
    }

    /// The largest value of a turn.
    pub(super) fn seen(&mut self, largest: usize) {
        self.0 = largest.max(self.0 - self.0.div_ceil(8));
    }

    fn per_turn(&self) -> usize {
        (VALUES_BYTES_TARGET / self.0.max(1)).max(1)
    }
}

impl Turn {
    /// An empty turn of a connection with values of this size.
    pub(super) fn new(size: &ValueSize) -> Self {
        Self {
            units: Vec::new(),
            slots: Vec::new(),
            ready_bytes: 0,
            values: 0,
            values_max: size.per_turn(),
            sealed: false,
        }
    }

    /// Whether it holds so much that it should be answered before more is added.
    pub(super) fn is_full(&self) -> bool {
        self.ready_bytes > READY_BYTES_MAX
    }

    /// Whether any of it may bring a value.
    pub(super) fn asks_for_values(&self) -> bool {
        self.values > 0
    }

    /// A reply that is known already.
    pub(super) fn ready(&mut self, reply: Reply) {
        self.ready_bytes += reply.bytes();
        self.slots.push(Slot::Ready(reply));
    }

    /// A command for the group of its bucket.
    ///
    /// # Errors
    /// The command, when it has to wait for the next turn. An empty turn takes any.
    pub(super) fn data(
        &mut self,
        router: &Router,
        bucket: Bucket,
        command: Command,
    ) -> Result<(), Command> {
        let values = values_of(&command);
        if self.sealed || !self.has_room_for(values) {
            return Err(command);
        }
        let target = target_of(router, bucket);
        let bytes = bytes_of(&command);
        let unit = match self.last_unit(target) {
            Some(unit) if self.units[unit].bytes + bytes > UNIT_BYTES_TARGET => {
                return Err(command);
            }
            Some(unit) => unit,
            None => self.begin(target),
        };
        self.values += values;
        let position = self.push(unit, command, bytes);
        self.slots.push(Slot::Unit { unit, position });
        Ok(())
    }

    /// A command in parts, each atomic on its own.
    ///
    /// # Errors
    /// The command, when it has to wait for the next turn. An empty turn takes any.
    pub(super) fn split(&mut self, router: &Router, mut split: Split) -> Result<(), Split> {
        let values = split.parts.iter().map(|part| values_of(&part.command)).sum();
        let bytes: usize = split.parts.iter().map(|part| bytes_of(&part.command)).sum();
        let held = self.units.iter().map(|unit| unit.bytes).max();
        let fits = held.is_none_or(|held| held + bytes <= UNIT_BYTES_TARGET);
        if self.sealed || !fits || !self.has_room_for(values) {
            return Err(split);
        }
        self.values += values;
        let mut parts = Vec::with_capacity(split.parts.len());
        for part in &mut split.parts {
            // The part's command is not needed to join the replies.
            let command = std::mem::replace(&mut part.command, Command::DbSize);
            let target = target_of(router, part.bucket);
            let bytes = bytes_of(&command);
            let unit = match self.last_unit(target) {
                Some(unit) if self.units[unit].bytes + bytes > UNIT_BYTES_TARGET => {
                    // The parts are on different buckets and may overtake each other; what follows
                    // them may not.
                    self.sealed = true;
                    self.begin(target)
                }
                Some(unit) => unit,
                None => self.begin(target),
            };
            parts.push((unit, self.push(unit, command, bytes)));
        }
        self.slots.push(Slot::Split { split, parts });
        Ok(())
    }

    fn has_room_for(&self, values: usize) -> bool {
        self.values == 0 || self.values + values <= self.values_max
    }

    fn last_unit(&self, target: Target) -> Option<usize> {
        self.units.iter().rposition(|unit| unit.target == target)
    }

    fn begin(&mut self, target: Target) -> usize {
        self.units.push(Draft { target, asks: Vec::new(), bytes: 0 });
        self.units.len() - 1
    }

    fn push(&mut self, unit: usize, command: Command, bytes: usize) -> usize {
        let unit = &mut self.units[unit];
        unit.bytes += bytes;
        unit.asks.push(Ask { command, session: None });
        unit.asks.len() - 1
    }

    /// Sends everything off; the replies, in order.
    pub(super) async fn finish(self, router: &Router, mode: Mode) -> Vec<Reply> {
        let counts: Vec<usize> = self.units.iter().map(|unit| unit.asks.len()).collect();
        let units: Vec<_> =
            self.units.into_iter().map(|unit| (unit.target, Work::Keys(unit.asks))).collect();
        let settled = if units.is_empty() { Vec::new() } else { router.submit(units, mode).await };
        let mut outcomes: Vec<Vec<Reply>> =
            settled.into_iter().zip(counts).map(|(one, count)| one.into_replies(count)).collect();
        // Each place is taken once.
        let mut take = |(unit, position): (usize, usize)| {
            let reply = outcomes.get_mut(unit).and_then(|replies| replies.get_mut(position));
            match reply.map(|reply| std::mem::replace(reply, Reply::Nil)) {
                Some(Reply::Redirect(redirect)) => super::cluster::moved(router, redirect).into(),
                Some(reply) => reply,
                None => ReplyError::outcome_unknown("the reply was lost").into(),
            }
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

fn target_of(router: &Router, bucket: Bucket) -> Target {
    router.group_of(bucket).map_or(Target::Bucket(bucket), Target::Group)
}

fn bytes_of(command: &Command) -> usize {
    crate::net::message::COMMAND_WRAPPING_BYTES + command.bytes()
}

/// How many values a command may bring.
fn values_of(command: &Command) -> usize {
    match command {
        Command::Get { .. }
        | Command::GetDel { .. }
        | Command::GetEx { .. }
        | Command::GetRange { .. }
        | Command::Set { get: true, .. } => 1,
        Command::MGet { keys } => keys.len(),
        _ => 0,
    }
}

/// The largest value in a reply, bytes.
pub(super) fn value_bytes(reply: &Reply) -> usize {
    match reply {
        Reply::Bulk(value) => value.len(),
        Reply::Array(items) => items.iter().map(value_bytes).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::router::UNIT_BYTES_MAX;
    use crate::actors::shared::Shared;
    use crate::ids::NodeId;
    use crate::kv::parse::{Parsed, parse, resolve};
    use bytes::Bytes;
    use std::sync::Arc;

    const MIB: usize = 1024 * 1024;

    /// Without a table each bucket is a target of its own.
    fn router() -> Router {
        Router::new(Arc::new(Shared::new(NodeId(1))), 0, 7)
    }

    fn turn() -> Turn {
        Turn::new(&ValueSize::unknown(8 * MIB))
    }

    fn append(value: usize) -> Command {
        Command::Append { key: Bytes::from_static(b"k"), value: Bytes::from(vec![0; value]) }
    }

    fn mset(pairs: &[(&'static str, usize)]) -> Split {
        let mut words = vec![Bytes::from_static(b"MSET")];
        for (key, value) in pairs {
            words.push(Bytes::from_static(key.as_bytes()));
            words.push(Bytes::from(vec![0; *value]));
        }
        match parse(resolve(&words).unwrap(), &words) {
            Ok(Parsed::Split(split)) => split,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_unit_that_grows_too_large_waits_for_the_next_turn() {
        let (router, mut turn) = (router(), turn());
        turn.data(&router, Bucket(1), append(20 * MIB)).unwrap();
        turn.data(&router, Bucket(1), append(MIB)).unwrap();
        assert!(turn.data(&router, Bucket(1), append(20 * MIB)).is_err());
        turn.data(&router, Bucket(2), append(60 * MIB)).unwrap();
        assert!(turn.units.iter().all(|unit| unit.bytes < UNIT_BYTES_MAX));
        let mut empty = self::turn();
        empty.data(&router, Bucket(1), append(64 * MIB)).unwrap();
    }

    #[test]
    fn a_large_split_takes_a_turn_of_its_own() {
        let (router, mut turn) = (router(), turn());
        turn.data(&router, Bucket(1), append(1)).unwrap();
        turn.split(&router, mset(&[("a", 1), ("b", 1)])).unwrap();
        let large = turn.split(&router, mset(&[("a", 20 * MIB), ("b", 20 * MIB)])).unwrap_err();
        assert_eq!(large.parts.len(), 2);
        self::turn().split(&router, large).unwrap();
    }

    #[test]
    fn parts_that_do_not_fit_one_unit_go_in_two_and_nothing_follows_them() {
        let (router, mut turn) = (router(), turn());
        let mut split = mset(&[("a", 20 * MIB), ("b", 20 * MIB)]);
        // As if both buckets were one group's.
        split.parts[1].bucket = split.parts[0].bucket;
        turn.split(&router, split).unwrap();
        assert_eq!(turn.units.len(), 2);
        assert!(turn.data(&router, Bucket(1), append(1)).is_err());
    }

    #[test]
    fn the_values_of_one_turn_are_bounded_by_what_was_seen() {
        let router = router();
        let taken = |size: &ValueSize| {
            let mut turn = Turn::new(size);
            let get = || Command::Get { key: Bytes::from_static(b"k") };
            (0..2_000).take_while(|_| turn.data(&router, Bucket(1), get()).is_ok()).count()
        };
        let mut size = ValueSize::unknown(8 * MIB);
        assert_eq!(taken(&size), 4);
        size.seen(100);
        assert_eq!(taken(&size), 4);
        for _ in 0..50 {
            size.seen(100);
        }
        assert!(taken(&size) > 1_024);
        size.seen(64 * MIB);
        assert_eq!(taken(&size), 1);
    }
}
