//! What peers say of their clocks: for each the distance from ours, as of its last word. From these the
//! median of a group's voters is taken (see `group::clock`).

use crate::ids::NodeId;
use crate::time::{MonoMillis, UnixMillis};
use std::collections::BTreeMap;
use std::sync::RwLock;

/// A peer's word on its clock is believed for this long, milliseconds.
const FRESH_MILLIS: u64 = 10_000;

/// See the module's first lines.
#[derive(Debug, Default)]
pub struct PeerClocks(RwLock<BTreeMap<NodeId, Heard>>);

#[derive(Clone, Copy, Debug)]
struct Heard {
    at: MonoMillis,
    /// The peer's clock minus ours, milliseconds.
    ahead: i64,
}

impl PeerClocks {
    /// A peer told its clock.
    pub fn heard(&self, peer: NodeId, clock: UnixMillis, wall: UnixMillis, now: MonoMillis) {
        let ahead = i64::try_from(i128::from(clock.0) - i128::from(wall.0)).unwrap_or(0);
        self.0.write().expect("no panic while held").insert(peer, Heard { at: now, ahead });
    }

    /// The median of these voters' clocks, ours among them, if a majority of them is known.
    ///
    /// With an even number known, the smaller of the two in the middle: expiring late does less harm
    /// than expiring early.
    pub fn median(
        &self,
        me: NodeId,
        voters: &[NodeId],
        wall: UnixMillis,
        now: MonoMillis,
    ) -> Option<UnixMillis> {
        let heard = self.0.read().expect("no panic while held");
        let mut ahead: Vec<i64> = voters
            .iter()
            .filter_map(|voter| {
                if *voter == me {
                    return Some(0);
                }
                heard.get(voter).filter(|h| now.since(h.at) <= FRESH_MILLIS).map(|h| h.ahead)
            })
            .collect();
        if ahead.len() * 2 <= voters.len() {
            return None;
        }
        ahead.sort_unstable();
        let middle = ahead[(ahead.len() - 1) / 2];
        Some(UnixMillis(wall.0.saturating_add_signed(middle)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: MonoMillis = MonoMillis(1_000);
    const WALL: UnixMillis = UnixMillis(50_000);

    #[test]
    fn one_wild_clock_of_three_does_not_matter() {
        let voters = [NodeId(1), NodeId(2), NodeId(3)];
        let clocks = PeerClocks::default();
        assert_eq!(clocks.median(NodeId(1), &voters, WALL, NOW), None);
        clocks.heard(NodeId(2), UnixMillis(4_000_000_000_000), WALL, NOW);
        // Of two clocks the slower one is believed.
        assert_eq!(clocks.median(NodeId(1), &voters, WALL, NOW), Some(WALL));
        clocks.heard(NodeId(3), UnixMillis(50_040), WALL, NOW);
        assert_eq!(clocks.median(NodeId(1), &voters, WALL, NOW), Some(UnixMillis(50_040)));
    }

    #[test]
    fn old_words_are_not_believed() {
        let voters = [NodeId(1), NodeId(2), NodeId(3)];
        let clocks = PeerClocks::default();
        clocks.heard(NodeId(2), WALL, WALL, NOW);
        let later = MonoMillis(NOW.0 + FRESH_MILLIS + 1);
        assert_eq!(clocks.median(NodeId(1), &voters, WALL, later), None);
        assert_eq!(clocks.median(NodeId(1), &[NodeId(1)], WALL, later), Some(WALL));
    }
}
