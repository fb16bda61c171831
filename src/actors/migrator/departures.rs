//! What the log is told of moves at the group that gives: by the node with its leader, once for each step.

use crate::actors::apply::Holdings;
use crate::ids::{Bucket, GroupId};
use crate::kv::migration::{MoveId, Outgoing, OutgoingPhase};

/// A step of a move, as its source has applied it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Begun,
    HandedOff,
    Cancelled,
    Forgotten,
}

/// Tells of what lies between these two looks at what the group owns; `config` is the newest table known.
pub(crate) fn tell(group: GroupId, before: &Holdings, now: &Holdings, config: u64) {
    for (number, outgoing, step) in steps(before, now) {
        let id = MoveId { source: group, number };
        let (to, epoch, buckets) = (outgoing.to, outgoing.epoch, outgoing.ranges.count());
        match step {
            Step::Begun => {
                tracing::info!(%group, %id, %to, buckets, %epoch, config, "buckets begin to leave");
            }
            Step::HandedOff => {
                tracing::info!(%group, %id, %to, buckets, %epoch, config, "buckets are handed off");
            }
            Step::Cancelled => {
                tracing::info!(%group, %id, %to, buckets, %epoch, config, "a move is cancelled: its buckets stay");
            }
            Step::Forgotten => {
                tracing::info!(%group, %id, %to, buckets, %epoch, config, "buckets are gone: their rows are forgotten");
            }
        }
    }
}

fn steps<'a>(before: &'a Holdings, now: &'a Holdings) -> Vec<(u64, &'a Outgoing, Step)> {
    let mut steps = Vec::new();
    for (number, outgoing) in now.moves.outgoing() {
        let known = before.moves.leaving(number);
        if known.is_none() {
            steps.push((number, outgoing, Step::Begun));
        }
        let was_moving = known.is_none_or(|known| known.phase == OutgoingPhase::Moving);
        if was_moving && outgoing.phase != OutgoingPhase::Moving {
            steps.push((number, outgoing, Step::HandedOff));
        }
    }
    for (number, outgoing) in before.moves.outgoing() {
        if now.moves.leaving(number).is_some() {
            continue;
        }
        let first = outgoing.ranges.buckets().next();
        let stays = |bucket: Bucket| {
            let mut owned = now.owned.iter();
            owned.any(|(range, _)| range.first <= bucket && bucket <= range.last)
        };
        match outgoing.phase {
            OutgoingPhase::Moving if first.is_some_and(stays) => {
                steps.push((number, outgoing, Step::Cancelled));
            }
            OutgoingPhase::Moving => {
                steps.push((number, outgoing, Step::HandedOff));
                steps.push((number, outgoing, Step::Forgotten));
            }
            OutgoingPhase::HandedOff(_) => steps.push((number, outgoing, Step::Forgotten)),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode, encode};
    use crate::ids::{Epoch, Index};
    use crate::kv::migration::{Handoff, Incoming, Moves, Ranges};
    use crate::shard::{BucketRange, TableStamp};
    use crate::time::UnixMillis;
    use std::collections::BTreeMap;

    /// What a group says whose move 1 of bucket 5 is this far, and that serves the bucket, or not.
    fn holdings(phase: Option<OutgoingPhase>, served: bool) -> Holdings {
        let outgoing = phase.map(|phase| Outgoing {
            ranges: Ranges::of([Bucket(5)]).unwrap(),
            to: GroupId(2),
            table: TableStamp::of(3),
            begun: Index(9),
            began: UnixMillis(0),
            epoch: Epoch(1),
            phase,
        });
        let outgoing: BTreeMap<u64, Outgoing> = outgoing.into_iter().map(|one| (1, one)).collect();
        let (incoming, ended) =
            (BTreeMap::<MoveId, Incoming>::new(), BTreeMap::<GroupId, u64>::new());
        let moves: Moves =
            decode(&encode(&(1_u64, TableStamp::of(3), outgoing, incoming, ended))).unwrap();
        let range = BucketRange { first: Bucket(5), last: Bucket(5) };
        Holdings { owned: served.then_some((range, Epoch(1))).into_iter().collect(), moves }
    }

    #[test]
    fn each_step_is_told_once() {
        let handoff = Handoff { index: Index(12), time: UnixMillis(0) };
        let nothing = holdings(None, true);
        let moving = holdings(Some(OutgoingPhase::Moving), true);
        let handed_off = holdings(Some(OutgoingPhase::HandedOff(handoff)), false);
        let gone = holdings(None, false);
        let told = |before, now| -> Vec<Step> {
            steps(before, now).into_iter().map(|(_, _, step)| step).collect()
        };
        assert_eq!(told(&nothing, &moving), [Step::Begun]);
        assert_eq!(told(&moving, &moving), []);
        assert_eq!(told(&moving, &handed_off), [Step::HandedOff]);
        assert_eq!(told(&handed_off, &handed_off), []);
        assert_eq!(told(&handed_off, &gone), [Step::Forgotten]);
        assert_eq!(told(&moving, &nothing), [Step::Cancelled]);
        assert_eq!(told(&nothing, &handed_off), [Step::Begun, Step::HandedOff]);
        assert_eq!(told(&moving, &gone), [Step::HandedOff, Step::Forgotten], "at one look");
    }
}
