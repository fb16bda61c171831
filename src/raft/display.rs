//! How messages print: one line each, the way traces and golden scripts show them.

use super::entry::Entry;
use super::message::{Message, MessageBody, RejectHint};
use crate::ids::Index;
use std::fmt;

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{} {} ", self.from, self.to, self.term)?;
        match &self.body {
            MessageBody::Append { prev_index, prev_term, commit, entries } => {
                write!(f, "Append after {prev_index}/{prev_term} commit {commit}")?;
                range(f, entries)
            }
            MessageBody::AppendResponse { index, reject } => answer(f, *index, *reject),
            MessageBody::Relay { number, prev_index, prev_term, commit, entries, targets } => {
                if targets.is_empty() {
                    return write!(f, "Relay {number}: are you there?");
                }
                write!(f, "Relay {number} after {prev_index}/{prev_term} commit {commit}")?;
                range(f, entries)?;
                targets.iter().try_for_each(|target| {
                    write!(f, " to {} s{} from {}", target.to, target.session, target.next)
                })
            }
            MessageBody::Relayed { leader, session, prev_index, prev_term, commit, entries } => {
                write!(f, "Relayed for {leader} s{session}")?;
                write!(f, " after {prev_index}/{prev_term} commit {commit}")?;
                range(f, entries)
            }
            MessageBody::RelayedResponse { session, index, reject } => {
                answer(f, *index, *reject)?;
                write!(f, " s{session}")
            }
            MessageBody::RelayReport { number, answers } => {
                write!(f, "Report {number}")?;
                answers.iter().try_for_each(|one| {
                    write!(f, ", {} s{} ", one.from, one.session)?;
                    answer(f, one.index, one.reject)
                })
            }
            MessageBody::Heartbeat { commit, round } => {
                write!(f, "Heartbeat commit {commit} round {round}")
            }
            MessageBody::HeartbeatResponse { round, bound } => {
                let promise = if *bound { " bound" } else { "" };
                write!(f, "HeartbeatResponse round {round}{promise}")
            }
            MessageBody::PreVote { last_index, last_term } => {
                write!(f, "PreVote last {last_index}/{last_term}")
            }
            MessageBody::PreVoteResponse { granted } => {
                write!(f, "PreVoteResponse {}", if *granted { "yes" } else { "no" })
            }
            MessageBody::Vote { last_index, last_term, transfer } => {
                let why = if *transfer { " transfer" } else { "" };
                write!(f, "Vote last {last_index}/{last_term}{why}")
            }
            MessageBody::VoteResponse { granted } => {
                write!(f, "VoteResponse {}", if *granted { "yes" } else { "no" })
            }
            MessageBody::TimeoutNow => write!(f, "TimeoutNow"),
            MessageBody::ReadIndex { .. } => write!(f, "ReadIndex"),
            MessageBody::ReadIndexResponse { index: Some(index), .. } => {
                write!(f, "ReadIndexResponse {index}")
            }
            MessageBody::ReadIndexResponse { index: None, .. } => {
                write!(f, "ReadIndexResponse ask another")
            }
            MessageBody::Quiet { index, log_term } => write!(f, "Quiet at {index}/{log_term}"),
            MessageBody::Committed { index, log_term } => write!(f, "Committed {index}/{log_term}"),
            MessageBody::Awake => write!(f, "Awake"),
            MessageBody::SnapshotRequest { index_min } => {
                write!(f, "SnapshotRequest from {index_min}")
            }
        }
    }
}

fn range(f: &mut fmt::Formatter<'_>, entries: &[Entry]) -> fmt::Result {
    match (entries.first(), entries.last()) {
        (Some(first), Some(last)) => {
            write!(f, " entries {}/{}..{}/{}", first.index, first.term, last.index, last.term)
        }
        _ => Ok(()),
    }
}

fn answer(f: &mut fmt::Formatter<'_>, index: Index, reject: Option<RejectHint>) -> fmt::Result {
    match reject {
        None => write!(f, "Appended {index}"),
        Some(hint) => write!(f, "Rejected {index} hint {}/{}", hint.index, hint.term),
    }
}
