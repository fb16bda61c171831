//! How messages print: one line each, the way traces and golden scripts show them.

use super::message::{Message, MessageBody};
use std::fmt;

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{} {} ", self.from, self.to, self.term)?;
        match &self.body {
            MessageBody::Append { prev_index, prev_term, commit, entries } => {
                write!(f, "Append after {prev_index}/{prev_term} commit {commit}")?;
                match (entries.first(), entries.last()) {
                    (Some(first), Some(last)) => write!(
                        f,
                        " entries {}/{}..{}/{}",
                        first.index, first.term, last.index, last.term
                    ),
                    _ => Ok(()),
                }
            }
            MessageBody::AppendResponse { index, reject: None } => write!(f, "Appended {index}"),
            MessageBody::AppendResponse { index, reject: Some(hint) } => {
                write!(f, "Rejected {index} hint {}/{}", hint.index, hint.term)
            }
            MessageBody::Heartbeat { commit, round } => {
                write!(f, "Heartbeat commit {commit} round {round}")
            }
            MessageBody::HeartbeatResponse { round } => {
                write!(f, "HeartbeatResponse round {round}")
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
