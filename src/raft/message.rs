//! What replicas of one group say to each other.
//!
//! Every message may be lost, duplicated, delayed or overtaken: nothing here relies on order, and a
//! message is never an order to trust its sender. The largest one is an [`MessageBody::Append`], which
//! is capped in bytes by its sender's configuration.

use super::entry::Entry;
use crate::ids::{Index, NodeId, Term};
use crate::limits::{ENTRY_BYTES_MAX, RELAY_TARGETS_MAX};
use serde::{Deserialize, Serialize};

/// One message from one replica to another of the same group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who sends it.
    pub from: NodeId,
    /// Whom it is for.
    pub to: NodeId,
    /// The sender's term. For [`MessageBody::PreVote`], and a granted answer to it, the term that the
    /// election would have, which nobody has entered yet.
    pub term: Term,
    /// What it says.
    pub body: MessageBody,
}

/// Where a leader should look next after a rejected append: the newest entry of the follower that may
/// still agree with the leader's log (the largest index at or below the rejected one whose term is not
/// above the leader's term there).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectHint {
    /// The index of that entry.
    pub index: Index,
    /// Its term in the follower's log; 0 if the follower does not know it.
    pub term: Term,
}

/// Whom a secretary is to pass entries on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayTarget {
    /// The peer.
    pub to: NodeId,
    /// The number under which the leader has dealt it to this secretary.
    pub session: u64,
    /// It gets the entries from this index on.
    pub next: Index,
}

/// What a peer has answered to a relayed append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayAnswer {
    /// The peer.
    pub from: NodeId,
    /// The session of the append.
    pub session: u64,
    /// As in [`MessageBody::AppendResponse`].
    pub index: Index,
    /// Present when refused.
    pub reject: Option<RejectHint>,
}

/// The kinds of messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageBody {
    /// Leader to follower: here are entries, put them after `prev_index`. Sent as soon as there is
    /// something new, before the leader has synced it itself. Without entries it probes how far the
    /// follower's log agrees, or tells a new commit index.
    Append {
        /// The index before the first entry.
        prev_index: Index,
        /// The term of that index: the follower must have the same.
        prev_term: Term,
        /// The leader's commit index.
        commit: Index,
        /// Consecutive entries from `prev_index + 1`.
        entries: Vec<Entry>,
    },
    /// Follower to leader, once what it speaks of is on the follower's disk: the log agrees with the
    /// leader's up to `index`; or, with a hint, the append after `index` did not fit. Also the answer
    /// to a leader of an older term, which only needs to see the newer one.
    AppendResponse {
        /// The last index known to agree, or the refused `prev_index`.
        index: Index,
        /// Present when refused.
        reject: Option<RejectHint>,
    },
    /// Leader to everybody, every few ticks and at the start of a round for reads: I still lead.
    /// Speaks for itself, never for entries, so it needs no disk on either side.
    Heartbeat {
        /// The commit index, as far as this follower is known to have the log.
        commit: Index,
        /// The newest round of reads, to be sent back.
        round: u64,
    },
    /// Follower to leader, at once: yes, you lead as far as I know.
    HeartbeatResponse {
        /// The round of the heartbeat answered.
        round: u64,
        /// I help nobody else into the lead for an election time-out from now: leases may rest on that.
        bound: bool,
    },
    /// A replica that has lost its leader to all voters: would you vote for me? Changes nobody's
    /// state.
    PreVote {
        /// The asker's last index.
        last_index: Index,
        /// The term of its last entry.
        last_term: Term,
    },
    /// The answer, at once. A refusal carries the refuser's own term.
    PreVoteResponse {
        /// Whether the vote would be given.
        granted: bool,
    },
    /// Candidate to all voters, once its own vote is on disk: vote for me.
    Vote {
        /// The candidate's last index.
        last_index: Index,
        /// The term of its last entry.
        last_term: Term,
        /// The leader itself asked for this election: its followers need not defend it.
        transfer: bool,
    },
    /// The answer, once the vote is on disk.
    VoteResponse {
        /// Whether the vote was given.
        granted: bool,
    },
    /// Leader to the follower that shall take over, once that one has the whole log: campaign now.
    TimeoutNow,
    /// Follower to leader, for each read that its caller asked for: from which index on may I read?
    ReadIndex {
        /// Chosen by the follower, never twice.
        id: u64,
    },
    /// Leader to follower, once a quorum has confirmed the lead; or at once from one that does not
    /// lead.
    ReadIndexResponse {
        /// The id of the question.
        id: u64,
        /// The read may be answered when this index is applied; `None`: ask somebody else.
        index: Option<Index>,
    },
    /// Follower to leader, at each heartbeat while it lasts: my log is fine, but my state is older
    /// than my log's start; please send a snapshot.
    SnapshotRequest {
        /// It must cover at least this index.
        index_min: Index,
    },
    /// Leader to everybody, once, when nothing has happened for a while: stop counting time, and so
    /// will I. Means nothing to a follower whose log does not end exactly there.
    Quiet {
        /// The last index of the log, which is committed.
        index: Index,
        /// Its term.
        log_term: Term,
    },
    /// Follower to leader: I cannot sleep, because my log is not as you think, or I wait for an answer; or I
    /// have not heard you for an election time-out, and cannot find out by an election whether you sleep.
    Awake,
    /// With the refusal of a vote or pre-vote: this entry is committed, should you have it. A candidate
    /// may lack just that knowledge: as long as it has not applied a change of the membership that is
    /// committed, it asks for votes that it does not need, of replicas that were removed and whose logs
    /// are longer.
    Committed {
        /// The newest index that the refuser knows to be committed and the candidate may have.
        index: Index,
        /// Its term.
        log_term: Term,
    },
    /// Leader to secretary: pass these entries on, to each target those that it lacks. Without targets
    /// it asks whether the secretary is there.
    Relay {
        /// Counts the leader's messages to this secretary in its term; never one number twice.
        number: u64,
        /// The index before the first entry.
        prev_index: Index,
        /// The term of that index.
        prev_term: Term,
        /// The leader's commit index.
        commit: Index,
        /// Consecutive entries from `prev_index + 1`.
        entries: Vec<Entry>,
        /// Who gets them.
        targets: Vec<RelayTarget>,
    },
    /// Secretary to follower: an append of `leader`, which leads in this message's term.
    Relayed {
        /// Who leads.
        leader: NodeId,
        /// To be sent back.
        session: u64,
        /// The index before the first entry.
        prev_index: Index,
        /// The term of that index.
        prev_term: Term,
        /// The leader's commit index.
        commit: Index,
        /// Consecutive entries from `prev_index + 1`.
        entries: Vec<Entry>,
    },
    /// Follower to secretary: what it would else answer to the leader, and not before.
    RelayedResponse {
        /// The session of the append.
        session: u64,
        /// As in [`MessageBody::AppendResponse`].
        index: Index,
        /// Present when refused.
        reject: Option<RejectHint>,
    },
    /// Secretary to leader: what was answered since the last report; and, by coming at all, that it is
    /// there.
    RelayReport {
        /// The newest of the leader's messages that it has seen.
        number: u64,
        /// At most one for each peer.
        answers: Vec<RelayAnswer>,
    },
}

/// No term or index of a real log comes near this; beyond it lies only arithmetic that overflows.
pub(super) const NUMBER_MAX: u64 = u64::MAX / 2;

impl Message {
    /// Checks what must hold for a message whoever sends it, so that no arithmetic and no invariant of
    /// the receiver can be broken by it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), &'static str> {
        // Only who has never seen an election refuses a pre-vote in term 0.
        let may_be_zero = matches!(
            self.body,
            MessageBody::PreVoteResponse { granted: false } | MessageBody::Committed { .. }
        );
        if self.term.0 > NUMBER_MAX || (self.term == Term(0) && !may_be_zero) {
            return Err("a term out of range");
        }
        match &self.body {
            MessageBody::Append { prev_index, prev_term, entries, .. }
            | MessageBody::Relayed { prev_index, prev_term, entries, .. } => {
                self.check_entries((*prev_index, *prev_term), entries).map(drop)
            }
            MessageBody::Relay { prev_index, prev_term, entries, targets, .. } => {
                let last = self.check_entries((*prev_index, *prev_term), entries)?;
                let fits =
                    |target: &RelayTarget| target.next > *prev_index && target.next.prev() <= last;
                if targets.len() > RELAY_TARGETS_MAX || !targets.iter().all(fits) {
                    return Err("targets that the entries are not for");
                }
                Ok(())
            }
            MessageBody::AppendResponse { index, reject }
            | MessageBody::RelayedResponse { index, reject, .. } => check_answer(*index, *reject),
            MessageBody::RelayReport { answers, .. } => {
                if answers.len() > RELAY_TARGETS_MAX {
                    return Err("more answers than questions");
                }
                answers.iter().try_for_each(|answer| check_answer(answer.index, answer.reject))
            }
            MessageBody::Quiet { index, .. } | MessageBody::Committed { index, .. } => {
                if index.0 > NUMBER_MAX { Err("an index out of range") } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    /// Checks entries that follow after `prev`; answers the index that they reach.
    fn check_entries(&self, prev: (Index, Term), entries: &[Entry]) -> Result<Index, &'static str> {
        if prev.0.0 > NUMBER_MAX {
            return Err("an index out of range");
        }
        let (mut index, mut term) = prev;
        for entry in entries {
            if entry.index != index.next() {
                return Err("entries with a hole");
            }
            if entry.data.len() > ENTRY_BYTES_MAX {
                return Err("an entry larger than any may be");
            }
            if entry.term < term {
                return Err("entries whose terms fall");
            }
            (index, term) = (entry.index, entry.term);
        }
        if term > self.term { Err("entries from a later term") } else { Ok(index) }
    }

    /// The size of the entries that it carries, as in [`Entry::cost`].
    #[must_use]
    pub fn entry_bytes(&self) -> usize {
        match &self.body {
            MessageBody::Append { entries, .. }
            | MessageBody::Relay { entries, .. }
            | MessageBody::Relayed { entries, .. } => entries.iter().map(Entry::cost).sum(),
            _ => 0,
        }
    }

    /// Whether it counts for whoever sends it, as a vote, an acknowledgement or a confirmation, or is about
    /// what its sender's disk holds. It means nothing if the sender is not the replica that its receiver
    /// knows by that name.
    #[must_use]
    pub fn counts_for_sender(&self) -> bool {
        matches!(
            self.body,
            MessageBody::AppendResponse { .. }
                | MessageBody::HeartbeatResponse { .. }
                | MessageBody::VoteResponse { .. }
                | MessageBody::PreVoteResponse { .. }
                | MessageBody::SnapshotRequest { .. }
        )
    }

    /// Whether it is for a secretary, not for a replica.
    #[must_use]
    pub fn is_for_secretary(&self) -> bool {
        matches!(self.body, MessageBody::Relay { .. } | MessageBody::RelayedResponse { .. })
    }
}

fn check_answer(index: Index, reject: Option<RejectHint>) -> Result<(), &'static str> {
    let hint = reject.map_or(Index(0), |hint| hint.index);
    if index.0.max(hint.0) > NUMBER_MAX { Err("an index out of range") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::super::entry::EntryKind;
    use super::*;
    use bytes::Bytes;

    #[test]
    fn messages_that_could_break_the_receiver_are_refused() {
        let entry = |index, term| Entry {
            index: Index(index),
            term: Term(term),
            kind: EntryKind::Normal,
            data: Bytes::new(),
        };
        let append = |term, prev: u64, entries| {
            let (prev_index, prev_term, commit) = (Index(prev), Term(2), Index(0));
            let body = MessageBody::Append { prev_index, prev_term, commit, entries };
            Message { from: NodeId(1), to: NodeId(2), term: Term(term), body }.check()
        };
        assert_eq!(append(3, 4, vec![entry(5, 2), entry(6, 3)]), Ok(()));
        assert!(append(0, 4, vec![]).is_err());
        assert!(append(u64::MAX, 4, vec![]).is_err());
        assert!(append(3, u64::MAX, vec![]).is_err());
        assert!(append(3, 4, vec![entry(6, 3)]).is_err());
        assert!(append(3, 4, vec![entry(5, 3), entry(7, 3)]).is_err());
        assert!(append(3, 4, vec![entry(5, 1)]).is_err());
        assert!(append(3, 4, vec![entry(5, 4)]).is_err());
        assert!(append(1, 4, vec![]).is_err(), "after an entry of a later term");
        let mut large = entry(5, 2);
        large.data = Bytes::from(vec![0; ENTRY_BYTES_MAX + 1]);
        assert!(append(3, 4, vec![large.clone()]).is_err());
        large.data.truncate(ENTRY_BYTES_MAX);
        assert_eq!(append(3, 4, vec![large]), Ok(()));
    }

    #[test]
    fn a_message_survives_its_encoding_and_prints_short() {
        let entry = |index| Entry {
            index: Index(index),
            term: Term(2),
            kind: EntryKind::Normal,
            data: Bytes::from_static(b"x"),
        };
        let message = Message {
            from: NodeId(1),
            to: NodeId(2),
            term: Term(3),
            body: MessageBody::Append {
                prev_index: Index(4),
                prev_term: Term(2),
                commit: Index(4),
                entries: vec![entry(5), entry(6)],
            },
        };
        let bytes = crate::codec::encode(&message);
        assert_eq!(crate::codec::decode::<Message>(&bytes), Ok(message.clone()));
        assert_eq!(
            message.to_string(),
            "n1->n2 t3 Append after i4/t2 commit i4 entries i5/t2..i6/t2"
        );
    }
}
