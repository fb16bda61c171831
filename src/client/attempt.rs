//! One attempt's answer, judged: is the command done, is it to be sent again, or is it settled otherwise?
//!
//! Stands apart because everything depends on it and none of it needs a network. Must always hold: "not
//! done" is said of a command only if it is known of every attempt.

use super::error::ClientError;
use crate::codec;
use crate::kv::{Reply, ReplyError};
use crate::net::message::{AdminResponse, Outcome, Refusal};
use crate::net::quic::RequestError;
use crate::net::wire::CloseCode;

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Done.
    Done(Reply),
    /// Send it again: the answer was no answer.
    Again {
        /// This attempt may have had an effect all the same.
        maybe_done: bool,
        /// Another node should be asked next.
        elsewhere: bool,
        /// Why.
        reason: String,
    },
    /// No use in sending it again anywhere; this attempt had no effect.
    Never(ClientError),
}

/// Judges the answer to a command.
pub(super) fn judge(answer: Result<impl AsRef<[u8]>, RequestError>) -> Verdict {
    let again =
        |maybe_done, elsewhere, reason: String| Verdict::Again { maybe_done, elsewhere, reason };
    let response = match answer {
        Ok(frame) => codec::decode::<AdminResponse>(frame.as_ref()),
        Err(RequestError::TooLong(_)) => {
            return Verdict::Never(ClientError::NotDone(
                "the command is larger than any node takes".into(),
            ));
        }
        Err(error) => return again(error.outcome_unknown(), true, error.to_string()),
    };
    let outcome = match response {
        Ok(AdminResponse::Executed(mut outcomes)) if outcomes.len() == 1 => outcomes.pop(),
        // A node says this before it has done anything, but also when it stops half way.
        Ok(AdminResponse::Failed(reason)) => return again(true, true, reason),
        Ok(_) => None,
        Err(error) => return again(true, true, format!("an answer that cannot be read: {error}")),
    };
    match outcome {
        Some(Outcome::Done(mut replies)) if replies.len() == 1 => match replies.pop() {
            Some(Reply::Error(error)) => of_error(error),
            Some(reply) => Verdict::Done(reply),
            None => unreachable!("one was counted"),
        },
        Some(Outcome::NotDone(refusal @ (Refusal::DiskLow | Refusal::TooLarge))) => {
            Verdict::Never(ClientError::NotDone(refusal.to_string()))
        }
        Some(Outcome::NotDone(refusal)) => {
            again(false, refusal == Refusal::Stopping, refusal.to_string())
        }
        Some(Outcome::Unknown) => {
            again(true, true, "the node does not know what became of it".into())
        }
        _ => again(true, true, "an answer that does not fit the question".into()),
    }
}

fn of_error(error: ReplyError) -> Verdict {
    let again = |maybe_done, reason| Verdict::Again { maybe_done, elsewhere: false, reason };
    match error.code.as_str() {
        "TRYAGAIN" => again(false, error.to_string()),
        // The session has forgotten it; a later attempt can learn no more.
        "UNKNOWN" => Verdict::Never(ClientError::OutcomeUnknown(error.text)),
        _ => Verdict::Never(ClientError::Rejected(error)),
    }
}

/// Whether a node's refusal of the connection will be the same tomorrow.
pub(super) fn is_final(error: &RequestError) -> bool {
    let RequestError::Refused { refusal, .. } = error else { return false };
    matches!(
        refusal.code,
        CloseCode::Version | CloseCode::WrongCluster | CloseCode::WrongRole | CloseCode::WrongNode
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn executed(outcome: Outcome) -> Verdict {
        judge(Ok(codec::encode(&AdminResponse::Executed(vec![outcome]))))
    }

    fn lost(error: RequestError) -> Verdict {
        judge(Err::<Bytes, _>(error))
    }

    fn maybe_done(verdict: &Verdict) -> Option<bool> {
        match verdict {
            Verdict::Again { maybe_done, .. } => Some(*maybe_done),
            _ => None,
        }
    }

    #[test]
    fn an_answer_is_an_answer() {
        assert_eq!(executed(Outcome::Done(vec![Reply::Ok])), Verdict::Done(Reply::Ok));
        let error = ReplyError::value_too_large(5);
        let rejected = executed(Outcome::Done(vec![Reply::Error(error.clone())]));
        assert_eq!(rejected, Verdict::Never(ClientError::Rejected(error)));
    }

    #[test]
    fn not_done_and_perhaps_done_are_kept_apart() {
        let address = "a:1".to_owned();
        let reason = String::new();
        assert_eq!(maybe_done(&executed(Outcome::NotDone(Refusal::Busy))), Some(false));
        assert_eq!(maybe_done(&executed(Outcome::Unknown)), Some(true));
        assert_eq!(maybe_done(&lost(RequestError::TimedOutUnsent(address.clone()))), Some(false));
        assert_eq!(maybe_done(&lost(RequestError::TimedOut(address.clone()))), Some(true));
        assert_eq!(maybe_done(&lost(RequestError::Lost { address, reason })), Some(true));
        let busy = Reply::Error(ReplyError::not_done("too many client sessions"));
        assert_eq!(maybe_done(&executed(Outcome::Done(vec![busy]))), Some(false));
        assert_eq!(maybe_done(&judge(Ok([250, 1, 2]))), Some(true));
        assert_eq!(maybe_done(&executed(Outcome::Done(vec![]))), Some(true));
        let stopped = AdminResponse::Failed("stopping".into());
        assert_eq!(maybe_done(&judge(Ok(codec::encode(&stopped)))), Some(true));
    }

    #[test]
    fn what_will_never_work_is_not_tried_again() {
        for refusal in [Refusal::DiskLow, Refusal::TooLarge] {
            let settled = executed(Outcome::NotDone(refusal));
            assert!(matches!(settled, Verdict::Never(ClientError::NotDone(_))));
        }
        let forgotten = Reply::Error(ReplyError::outcome_unknown("the request is too old"));
        let forgotten = executed(Outcome::Done(vec![forgotten]));
        assert!(matches!(forgotten, Verdict::Never(ClientError::OutcomeUnknown(_))));
        let long = lost(RequestError::TooLong(9));
        assert!(matches!(long, Verdict::Never(ClientError::NotDone(_))));
    }
}
