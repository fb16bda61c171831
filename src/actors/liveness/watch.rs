//! Decides which nodes live, from their pulses and the time. A plain struct.
//!
//! ```text
//!   Unknown ──── a pulse ────► Well ◄──── its beat grows, or it is another process ───┐
//!      │                        │                                                     │
//!      └────────────────────────┴──── its beat has not grown for SILENCE_MILLIS ──► Lost
//! ```
//! Only pulses whose beat has grown count: a node that lives, but whose disk does not, is as good as lost.
//! When this process itself was held up, its peers are not to blame: that time is not counted.

use super::health::{Health, PeerState};
use crate::ids::{BootId, GroupId, NodeId, Term};
use crate::limits;
use crate::net::message::Pulse;
use crate::time::MonoMillis;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Silence after which a node is taken for lost, milliseconds: an election time-out.
pub(super) const SILENCE_MILLIS: u64 =
    limits::TICK.as_millis() as u64 * limits::ELECTION_TICKS as u64;
/// Steps that come later than this after the last one show that this process was held up, milliseconds.
pub(super) const HELD_UP_MILLIS: u64 = 6 * limits::TICK.as_millis() as u64;
/// How long a lost lead is told, milliseconds: several times as long as it takes to notice a connection
/// that is gone.
const TOLD_MILLIS: u64 = 4 * SILENCE_MILLIS;

/// A peer has said that it led a group until a term, and leads it no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The group.
    pub group: GroupId,
    /// Who led it.
    pub leader: NodeId,
    /// The last term of its lead.
    pub term: Term,
}

/// What a step has found out.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct WatchTurn {
    /// How the nodes are, if that has changed.
    pub health: Option<Arc<Health>>,
    /// Leads that have ended elsewhere.
    pub ended: Vec<Ended>,
}

/// See the module's first lines.
#[derive(Debug, Default)]
pub struct Watch {
    health: Health,
    told: Arc<Health>,
    peers: BTreeMap<NodeId, Beat>,
    stepped_at: Option<MonoMillis>,
    /// Leads that have ended elsewhere since the last step.
    ended: Vec<Ended>,
    /// Leads that have ended here, until which term, and when.
    own_ended: BTreeMap<GroupId, (Term, MonoMillis)>,
}

#[derive(Debug)]
struct Beat {
    newest: u64,
    grew_at: MonoMillis,
    /// What was told last of leads that have ended, so that each is heard once.
    ended: Vec<(GroupId, Term)>,
}

impl Watch {
    /// A peer has sent a pulse.
    pub fn heard(&mut self, from: NodeId, pulse: &Pulse, now: MonoMillis) {
        let health = self.health.peers.entry(from).or_default();
        let beat = self.peers.entry(from).or_insert_with(|| Beat::new(now));
        let is_new = health.boot.replace(pulse.boot) != Some(pulse.boot);
        (health.disk_slow, health.disk_low) = (pulse.disk_slow, pulse.disk_low);
        if is_new || pulse.beat > beat.newest {
            (beat.newest, beat.grew_at) = (pulse.beat, now);
            health.state = PeerState::Well;
        }
        let news = pulse.ended.iter().filter(|ended| !beat.ended.contains(ended));
        self.ended.extend(news.map(|&(group, term)| Ended { group, leader: from, term }));
        beat.ended.clone_from(&pulse.ended);
    }

    /// A lead of this node has ended.
    pub fn lead_ended(&mut self, group: GroupId, term: Term, now: MonoMillis) {
        self.own_ended.insert(group, (term, now));
    }

    /// The leads that are told to the peers as ended.
    #[must_use]
    pub fn told_ended(&self) -> Vec<(GroupId, Term)> {
        self.own_ended.iter().map(|(group, (term, _))| (*group, *term)).collect()
    }

    /// Time has passed; `peers` are the nodes there should be, and the rest is this node's own disk.
    pub fn step(
        &mut self,
        now: MonoMillis,
        peers: &[NodeId],
        slow: bool,
        stuck: bool,
    ) -> WatchTurn {
        let gap = self.stepped_at.map_or(0, |last| now.since(last));
        self.stepped_at = Some(now);
        (self.health.slow, self.health.stuck) = (slow, stuck);
        for peer in peers {
            self.health.peers.entry(*peer).or_default();
            self.peers.entry(*peer).or_insert_with(|| Beat::new(now));
        }
        for (peer, beat) in &mut self.peers {
            if gap > HELD_UP_MILLIS {
                beat.grew_at = MonoMillis(beat.grew_at.0.saturating_add(gap).min(now.0));
            }
            if now.since(beat.grew_at) >= SILENCE_MILLIS {
                self.health.peers.entry(*peer).or_default().state = PeerState::Lost;
            }
        }
        self.own_ended.retain(|_, (_, at)| now.since(*at) < TOLD_MILLIS);
        let health = (self.health != *self.told).then(|| {
            self.told = Arc::new(self.health.clone());
            self.told.clone()
        });
        WatchTurn { health, ended: std::mem::take(&mut self.ended) }
    }

    /// How long ago a peer's disk last proved to live, milliseconds; `None` if it never did since this
    /// process started.
    #[must_use]
    pub fn silent_millis(&self, peer: NodeId, now: MonoMillis) -> Option<u64> {
        self.health.boot(peer)?;
        self.peers.get(&peer).map(|beat| now.since(beat.grew_at))
    }

    /// The process of a peer, if it was ever heard.
    #[must_use]
    pub fn boot(&self, peer: NodeId) -> Option<BootId> {
        self.health.boot(peer)
    }
}

impl Beat {
    fn new(now: MonoMillis) -> Self {
        Self { newest: 0, grew_at: now, ended: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::TableStamp;
    use crate::time::UnixMillis;

    const PEER: NodeId = NodeId(2);

    fn pulse(boot: u64, beat: u64) -> Pulse {
        Pulse {
            boot: BootId(boot),
            beat,
            disk_slow: false,
            disk_low: false,
            clock: UnixMillis(0),
            table: TableStamp::default(),
            ended: Vec::new(),
        }
    }

    struct Story {
        watch: Watch,
        now: u64,
    }

    impl Story {
        fn new() -> Self {
            Self { watch: Watch::default(), now: 10_000 }
        }

        /// Steps every tick for so many milliseconds; answers the states told on the way.
        fn pass(&mut self, millis: u64) -> Vec<PeerState> {
            let mut told = Vec::new();
            for _ in 0..millis / 50 {
                self.now += 50;
                let turn = self.watch.step(MonoMillis(self.now), &[PEER], false, false);
                told.extend(turn.health.map(|health| health.peers[&PEER].state));
            }
            told
        }

        fn hear(&mut self, pulse: &Pulse) {
            self.watch.heard(PEER, pulse, MonoMillis(self.now));
        }
    }

    #[test]
    fn a_node_that_falls_silent_is_lost_after_an_election_timeout_and_comes_back() {
        let mut story = Story::new();
        assert_eq!(story.pass(100), [PeerState::Unknown]);
        story.hear(&pulse(7, 1));
        assert_eq!(story.pass(750), [PeerState::Well]);
        assert_eq!(story.pass(50), [PeerState::Lost]);
        assert_eq!(story.pass(5_000), [], "it is told once");
        story.hear(&pulse(7, 2));
        assert_eq!(story.pass(50), [PeerState::Well]);
    }

    #[test]
    fn a_node_that_was_never_heard_is_lost_too() {
        let mut story = Story::new();
        assert_eq!(story.pass(2_000), [PeerState::Unknown, PeerState::Lost]);
    }

    #[test]
    fn a_node_whose_beat_stands_still_is_lost_although_it_talks() {
        let mut story = Story::new();
        story.hear(&pulse(7, 5));
        story.pass(50);
        let mut told = Vec::new();
        for _ in 0..20 {
            story.hear(&pulse(7, 5));
            told.extend(story.pass(50));
        }
        assert_eq!(told, [PeerState::Lost]);
    }

    #[test]
    fn another_process_is_told_even_if_nobody_was_missed() {
        let mut story = Story::new();
        story.hear(&pulse(7, 500));
        story.pass(50);
        story.hear(&pulse(8, 1));
        assert_eq!(story.pass(50), [PeerState::Well]);
        assert_eq!(story.watch.boot(PEER), Some(BootId(8)));
    }

    #[test]
    fn the_time_in_which_this_process_was_held_up_is_nobodys_silence() {
        let mut story = Story::new();
        story.hear(&pulse(7, 1));
        story.pass(100);
        story.now += 60_000;
        assert_eq!(story.pass(500), []);
        assert_eq!(story.pass(300), [PeerState::Lost], "but it is not forgotten either");
    }

    #[test]
    fn a_lead_that_has_ended_is_heard_once_per_term_and_told_for_a_while() {
        let mut story = Story::new();
        let ended = |term| Pulse { ended: vec![(GroupId(3), Term(term))], ..pulse(7, term) };
        let heard = |story: &mut Story, pulse: &Pulse| {
            story.hear(pulse);
            story.watch.step(MonoMillis(story.now), &[PEER], false, false).ended
        };
        let is = |term| [Ended { group: GroupId(3), leader: PEER, term: Term(term) }];
        assert_eq!(heard(&mut story, &ended(4)), is(4));
        assert_eq!(heard(&mut story, &ended(4)), []);
        assert_eq!(heard(&mut story, &ended(6)), is(6));

        story.watch.lead_ended(GroupId(1), Term(2), MonoMillis(story.now));
        story.pass(TOLD_MILLIS - 50);
        assert_eq!(story.watch.told_ended(), [(GroupId(1), Term(2))]);
        story.pass(50);
        assert_eq!(story.watch.told_ended(), []);
    }
}
