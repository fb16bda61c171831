//! Nothing that a peer sends may panic: one replica against peers that send anything at all.

use crate::ids::{Index, NodeId, Term};
use crate::raft::random::Random;
use crate::raft::{
    Change, ChangeKind, Config, Entry, EntryKind, Lease, Membership, MembershipChange, Message,
    MessageBody, Raft, ReadContext, RejectHint, RelayAnswer, Restored, SnapshotMeta, Transition,
};
use bytes::Bytes;

struct Garbage(Random);

impl Garbage {
    /// Mostly a number near `around`, sometimes a huge one.
    fn number(&mut self, around: u64) -> u64 {
        match self.0.below(40) {
            0 => u64::MAX,
            1 => u64::MAX / 2,
            2 => 0,
            _ => around.saturating_add(u64::from(self.0.below(7))).saturating_sub(3),
        }
    }

    fn entries(&mut self, prev: u64, term: u64) -> Vec<Entry> {
        let strange = self.0.below(8) == 0;
        (1..=u64::from(self.0.below(4)))
            .map(|at| Entry {
                index: Index(if strange { self.number(prev) } else { prev.wrapping_add(at) }),
                term: Term(if strange { self.number(term) } else { term }),
                kind: if self.0.below(5) == 0 { EntryKind::Membership } else { EntryKind::Normal },
                data: self.data(),
            })
            .collect()
    }

    /// Sometimes a change of the membership, sometimes the beginning of one.
    fn data(&mut self) -> Bytes {
        let data = self.change().encode();
        match self.0.below(4) {
            0 => data.slice(..data.len() / 2),
            1 => data,
            2 => Bytes::new(),
            _ => Bytes::from_static(b"x"),
        }
    }

    fn change(&mut self) -> MembershipChange {
        let kinds =
            [ChangeKind::Voter, ChangeKind::Learner, ChangeKind::Remove, ChangeKind::Update];
        let changes = (0..self.0.below(4))
            .map(|_| Change::new(kinds[self.0.below(4) as usize], NodeId(self.0.below(5))))
            .collect();
        let transitions = [Transition::Auto, Transition::Implicit, Transition::Explicit];
        let transition = transitions[self.0.below(3) as usize];
        MembershipChange { transition, changes, context: Bytes::new() }
    }

    fn message(&mut self, raft: &Raft) -> Message {
        let last = raft.last_index().0;
        let index = Index(self.number(last));
        // Terms rise slowly, or the replica would never hear the same leader twice.
        let term = Term(raft.term().0.max(1) + u64::from(self.0.below(30) / 29));
        let known = raft.term_at(index).unwrap_or(term);
        let round = self.number(2);
        let body = match self.0.below(19) {
            0..3 => MessageBody::Append {
                prev_index: index,
                prev_term: known,
                commit: Index(self.number(last)),
                entries: self.entries(index.0, term.0),
            },
            3..5 => {
                let hint = RejectHint { index: Index(self.number(last)), term: known };
                let reject = (self.0.below(2) == 0).then_some(hint);
                MessageBody::AppendResponse { index, reject }
            }
            5 => MessageBody::Heartbeat { commit: index, round },
            6 => MessageBody::HeartbeatResponse { round, bound: index.0.is_multiple_of(2) },
            7 => MessageBody::PreVote { last_index: index, last_term: known },
            8 => MessageBody::PreVoteResponse { granted: self.0.below(3) > 0 },
            9 => MessageBody::Vote { last_index: index, last_term: known, transfer: round == 1 },
            10 => MessageBody::VoteResponse { granted: self.0.below(3) > 0 },
            11 => MessageBody::TimeoutNow,
            12 => match self.0.below(3) {
                0 => MessageBody::ReadIndex { id: round },
                1 => MessageBody::ReadIndexResponse { id: round, index: Some(index) },
                _ => MessageBody::ReadIndexResponse { id: round, index: None },
            },
            13 => MessageBody::Quiet { index, log_term: known },
            14 => MessageBody::Awake,
            15 => MessageBody::Committed { index, log_term: known },
            16 => self.relayed(index, known, term),
            17 => self.report(last),
            _ => MessageBody::SnapshotRequest { index_min: index },
        };
        let strange = self.0.below(50) == 0;
        let from = NodeId(if strange { 1 + self.0.below(9) } else { 2 + self.0.below(2) });
        let term = if strange { Term(self.number(term.0)) } else { term };
        // A term out of range is refused; one at its end would end the test's usefulness.
        let term = if term.0 == u64::MAX / 2 { Term(u64::MAX) } else { term };
        Message { from, to: NodeId(1), term, body }
    }

    fn relayed(&mut self, prev_index: Index, prev_term: Term, term: Term) -> MessageBody {
        let entries = self.entries(prev_index.0, term.0);
        let commit = Index(self.number(prev_index.0));
        let (leader, session) = (NodeId(1 + self.0.below(4)), self.number(2));
        let (number, targets) = (1, Vec::new());
        match self.0.below(4) {
            0 => MessageBody::Relay { number, prev_index, prev_term, commit, entries, targets },
            1 => MessageBody::RelayedResponse { session, index: commit, reject: None },
            _ => MessageBody::Relayed { leader, session, prev_index, prev_term, commit, entries },
        }
    }

    fn report(&mut self, last: u64) -> MessageBody {
        let hint = RejectHint { index: Index(self.number(last)), term: Term(1) };
        let answers = (0..self.0.below(3))
            .map(|_| RelayAnswer {
                from: NodeId(self.0.below(6)),
                session: self.number(3),
                index: Index(self.number(last)),
                reject: (self.0.below(2) == 0).then_some(hint),
            })
            .collect();
        MessageBody::RelayReport { number: self.number(3), answers }
    }

    fn snapshot(&mut self, raft: &Raft) -> SnapshotMeta {
        let index = Index(self.number(raft.commit_index().0 + 2));
        let term = Term(self.number(raft.term().0));
        let ids = (0..3).map(|_| NodeId(1 + self.0.below(4))).collect();
        let membership = match self.0.below(4) {
            0 => Membership { voters: ids, ..Membership::default() },
            _ => Membership::of_voters((1..=3).map(NodeId)),
        };
        SnapshotMeta { index, term, membership }
    }
}

fn live(seed: u64) -> (u64, u64) {
    let mut garbage = Garbage(Random::new(seed));
    let mut config = Config::new(NodeId(1), seed);
    config.tail_bytes_max = 200;
    config.check_quorum = seed.is_multiple_of(2);
    config.lease = seed.is_multiple_of(4).then_some(Lease { millis: 50 });
    config.quiet_ticks = seed.is_multiple_of(3).then_some(2);
    config.validate_changes = !seed.is_multiple_of(5);
    config.step_down_on_removal = !seed.is_multiple_of(7);
    config.forgotten = seed.is_multiple_of(31);
    config.observer = seed.is_multiple_of(29);
    config.priorities = vec![(NodeId(1), garbage.0.below(2)), (NodeId(2), 1)];
    let voters = (1..=3).map(NodeId);
    let mut raft = Raft::new(config, Restored::newborn(voters)).expect("a newborn");
    let (mut led, mut refused) = (0, 0);
    for _ in 0..3000 {
        match garbage.0.below(100) {
            0..60 => {
                let message = garbage.message(&raft);
                refused += u64::from(raft.step(message).is_err());
            }
            60..70 => raft.tick(),
            70..74 => _ = raft.propose(Bytes::from_static(b"y")),
            74..76 => _ = raft.read_index(ReadContext(1)),
            76 => _ = raft.snapshot_installed(garbage.snapshot(&raft)),
            77 => _ = raft.transfer_leader(NodeId(2)),
            83 => {
                let meta = garbage.snapshot(&raft);
                let term = Term(garbage.number(raft.term().0));
                let term = if term.0 == u64::MAX / 2 { Term(u64::MAX) } else { term };
                _ = raft.snapshot_offered(NodeId(1 + garbage.0.below(3)), term, &meta);
            }
            84 => _ = raft.propose_change(&garbage.change()),
            85 => _ = raft.forget_leader(),
            89 => raft.set_observers(&[NodeId(2 + garbage.0.below(4))]),
            90 => raft.set_secretaries(&[NodeId(2 + garbage.0.below(2)), NodeId(8)]),
            86 => {
                let now = garbage.number(100);
                if let Ok(read) = raft.lease_read(now) {
                    _ = raft.lease_holds(&read, garbage.number(100));
                }
            }
            87 => _ = raft.send_snapshot(NodeId(2)),
            88 => raft.report_unreachable(NodeId(3)),
            78 => raft.report_snapshot(NodeId(3), seed.is_multiple_of(3)),
            79 => raft.campaign(),
            80 => {
                let through = raft.applied_index();
                raft.compact(through);
            }
            81..83 => {
                let entries = garbage.entries(raft.last_index().0 / 2, raft.term().0);
                raft.fetched(NodeId(1 + garbage.0.below(3)), entries);
            }
            _ => {
                let ready = raft.ready();
                if garbage.0.below(4) > 0 {
                    raft.persisted(ready.number);
                }
                for entry in &ready.committed {
                    if entry.kind == EntryKind::Membership {
                        _ = raft.apply_change(&entry.data);
                    }
                }
                if let Some(last) = ready.committed.last() {
                    raft.applied(last.index);
                }
            }
        }
        led += u64::from(raft.is_leader());
    }
    (led, refused)
}

#[test]
fn nothing_that_peers_send_panics() {
    let (mut led, mut refused) = (0, 0);
    for seed in 0..300 {
        let seen = std::panic::catch_unwind(|| live(seed));
        let (leading, errors) = seen.unwrap_or_else(|_| panic!("seed {seed}"));
        led += leading;
        refused += errors;
    }
    assert!(led > 10_000 && refused > 10_000, "it led {led} steps, and refused {refused} messages");
}
