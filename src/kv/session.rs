//! Sessions: how a retry is recognised, so that it never applies twice (thesis §6.3).
//!
//! A session is a client id; its requests are numbered. The reply to a request is kept until the client
//! says that it needs it no more (each request carries the client's lowest unanswered number), or until
//! the request's own expiry in replicated time. A retry after that is refused as "outcome unknown". The
//! table is bounded: when it is full, new requests are refused as "not done" rather than old ones
//! forgotten. Sessions are replicated state; they are judged by replicated time alone.

mod moved;

use super::reply::{Reply, ReplyError};
use crate::ids::Bucket;
use crate::limits;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Names a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRef {
    /// The client: random, made at its start.
    pub client: u64,
    /// The request's number, from 1, never used for another request.
    pub sequence: u64,
    /// All requests of this client below this one are answered.
    pub lowest_unanswered: u64,
    /// When the request may be forgotten, in replicated time; the same in every retry.
    pub expires: UnixMillis,
}

impl SessionRef {
    /// Its 32 bytes in an entry.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let fields = [self.client, self.sequence, self.lowest_unanswered, self.expires.0];
        for (part, field) in bytes.chunks_exact_mut(8).zip(fields) {
            part.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// Reads them back.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let field = |at: usize| {
            u64::from_le_bytes(bytes[at..at + 8].try_into().expect("a slice of eight bytes"))
        };
        Self {
            client: field(0),
            sequence: field(8),
            lowest_unanswered: field(16),
            expires: UnixMillis(field(24)),
        }
    }
}

/// How much the table may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLimits {
    /// Sessions.
    pub sessions: u64,
    /// Replies of one session.
    pub replies: u64,
    /// Bytes of all replies.
    pub bytes: u64,
}

/// One client's replies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Session {
    /// Requests below this are answered.
    low: u64,
    /// The latest expiry of all its requests: after it none of them may be applied.
    expires: UnixMillis,
    replies: BTreeMap<u64, Kept>,
}

/// A reply that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    /// The bucket that was written to, with which the reply moves; `None` of a command for all of them.
    bucket: Option<Bucket>,
    reply: Reply,
}

/// What is to be done with a request.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is new.
    Apply,
    /// It was answered with this.
    Again(Reply),
    /// It may not be applied.
    Refuse(ReplyError),
}

/// See the module's first lines.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    sessions: BTreeMap<u64, Session>,
    by_expiry: BTreeSet<(UnixMillis, u64)>,
    bytes: u64,
    dirty: BTreeSet<u64>,
}

/// Expired sessions that one entry may remove.
const EXPIRED_PER_ENTRY: usize = 16;

impl Sessions {
    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Puts back what was stored.
    pub(super) fn restore(&mut self, client: u64, session: Session) {
        self.bytes += session.bytes();
        self.by_expiry.insert((session.expires, client));
        self.sessions.insert(client, session);
    }

    /// Judges a request at this replicated time.
    pub(super) fn judge(
        &self,
        request: SessionRef,
        time: UnixMillis,
        bounds: &SessionLimits,
    ) -> Verdict {
        if request.expires <= time {
            return Verdict::Refuse(ReplyError::outcome_unknown("the request is too old"));
        }
        if request.expires.0 - time.0 > limits::SESSION_LIFE_MAX_MILLIS {
            // It would have to be remembered for as long.
            return Verdict::Refuse(ReplyError::not_done("the request expires too late"));
        }
        let session = self.sessions.get(&request.client);
        if let Some(kept) = session.and_then(|session| session.replies.get(&request.sequence)) {
            return Verdict::Again(kept.reply.clone());
        }
        let low = session.map_or(0, |session| session.low).max(request.lowest_unanswered);
        if request.sequence < low {
            let why = "the request was answered, and its reply acknowledged, before";
            return Verdict::Refuse(ReplyError::outcome_unknown(why));
        }
        if session.is_none() && self.sessions.len() as u64 >= bounds.sessions {
            return Verdict::Refuse(ReplyError::not_done("too many client sessions"));
        }
        // What the request acknowledges makes room for its own reply.
        let held = session.map_or(0, |session| session.replies.len() as u64);
        if (held >= bounds.replies || self.bytes >= bounds.bytes)
            && let Some((held, bytes)) = session.map(|session| session.acknowledged_by(low))
            && (held >= bounds.replies || self.bytes - bytes >= bounds.bytes)
        {
            let why = "too many unacknowledged replies are kept for clients";
            return Verdict::Refuse(ReplyError::not_done(why));
        }
        if session.is_none() && self.bytes >= bounds.bytes {
            let why = "too many unacknowledged replies are kept for clients";
            return Verdict::Refuse(ReplyError::not_done(why));
        }
        Verdict::Apply
    }

    /// Remembers the reply to a request that was applied.
    pub(super) fn record(&mut self, request: SessionRef, bucket: Option<Bucket>, reply: &Reply) {
        let SessionRef { client, sequence, lowest_unanswered, expires } = request;
        self.keep(
            client,
            lowest_unanswered,
            expires,
            [(sequence, Kept { bucket, reply: reply.clone() })],
        );
    }

    /// Takes in what is known of a client: replies of which none is below `low`.
    fn keep(
        &mut self,
        client: u64,
        low: u64,
        expires: UnixMillis,
        replies: impl IntoIterator<Item = (u64, Kept)>,
    ) {
        let session = self.sessions.entry(client).or_default();
        if expires > session.expires {
            self.by_expiry.remove(&(session.expires, client));
            session.expires = expires;
            self.by_expiry.insert((session.expires, client));
        }
        if low > session.low {
            session.low = low;
            let kept = session.replies.split_off(&session.low);
            let gone = std::mem::replace(&mut session.replies, kept);
            self.bytes -= gone.values().map(cost).sum::<u64>();
        }
        for (sequence, kept) in replies {
            self.bytes += cost(&kept);
            if let Some(before) = session.replies.insert(sequence, kept) {
                self.bytes -= cost(&before);
            }
        }
        self.dirty.insert(client);
    }

    /// Forgets some of the sessions whose requests are all too old.
    pub(super) fn expire(&mut self, time: UnixMillis) {
        for _ in 0..EXPIRED_PER_ENTRY {
            let Some(&(expires, client)) = self.by_expiry.first() else { return };
            if expires > time {
                return;
            }
            self.by_expiry.pop_first();
            if let Some(session) = self.sessions.remove(&client) {
                self.bytes -= session.bytes();
            }
            self.dirty.insert(client);
        }
    }

    /// The sessions changed since the last call; `None` for those that are gone.
    pub(super) fn take_dirty(&mut self) -> impl Iterator<Item = (u64, Option<&Session>)> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().map(|client| (client, self.sessions.get(&client)))
    }
}

impl Session {
    /// Replies left, and bytes given back, once everything below `low` is forgotten.
    fn acknowledged_by(&self, low: u64) -> (u64, u64) {
        let left = self.replies.range(low..).count() as u64;
        (left, self.replies.range(..low).map(|(_, kept)| cost(kept)).sum())
    }

    fn bytes(&self) -> u64 {
        self.replies.values().map(cost).sum()
    }
}

/// Bytes a kept reply is charged with.
fn cost(kept: &Kept) -> u64 {
    kept.reply.bytes() as u64 + 32
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SessionLimits = SessionLimits { sessions: 2, replies: 3, bytes: 10_000 };

    fn request(client: u64, sequence: u64, low: u64, expires: u64) -> SessionRef {
        let expires = UnixMillis(expires);
        SessionRef { client, sequence, lowest_unanswered: low, expires }
    }

    fn apply(sessions: &mut Sessions, request: SessionRef, time: u64) -> Verdict {
        let verdict = sessions.judge(request, UnixMillis(time), &LIMITS);
        if verdict == Verdict::Apply {
            sessions.record(request, None, &Reply::Integer(request.sequence.cast_signed()));
        }
        verdict
    }

    fn refused(verdict: &Verdict, code: &str) -> bool {
        matches!(verdict, Verdict::Refuse(error) if error.code == code)
    }

    #[test]
    fn a_retry_gets_the_first_reply() {
        let mut sessions = Sessions::default();
        assert_eq!(apply(&mut sessions, request(1, 1, 1, 100), 5), Verdict::Apply);
        let again = Verdict::Again(Reply::Integer(1));
        assert_eq!(apply(&mut sessions, request(1, 1, 1, 100), 6), again);
        // The next request acknowledges it: now a late retry cannot be told from a new request.
        assert_eq!(apply(&mut sessions, request(1, 2, 2, 100), 7), Verdict::Apply);
        assert!(refused(&apply(&mut sessions, request(1, 1, 1, 100), 8), "UNKNOWN"));
    }

    #[test]
    fn a_full_table_refuses_rather_than_forgets() {
        let mut sessions = Sessions::default();
        for sequence in 1..=3 {
            assert_eq!(apply(&mut sessions, request(1, sequence, 1, 100), 5), Verdict::Apply);
        }
        assert!(refused(&apply(&mut sessions, request(1, 4, 1, 100), 5), "TRYAGAIN"));
        assert_eq!(apply(&mut sessions, request(2, 1, 1, 100), 5), Verdict::Apply);
        assert!(refused(&apply(&mut sessions, request(3, 1, 1, 100), 5), "TRYAGAIN"));
        // An acknowledgement makes room.
        assert_eq!(apply(&mut sessions, request(1, 4, 2, 100), 5), Verdict::Apply);
        let again = Verdict::Again(Reply::Integer(2));
        assert_eq!(apply(&mut sessions, request(1, 2, 1, 100), 5), again);
    }

    #[test]
    fn nobody_is_remembered_for_ever() {
        let mut sessions = Sessions::default();
        assert!(refused(&apply(&mut sessions, request(1, 1, 1, u64::MAX), 5), "TRYAGAIN"));
        assert!(refused(&apply(&mut sessions, request(1, 1, 2, 100), 5), "UNKNOWN"));
    }

    #[test]
    fn what_has_expired_is_forgotten_and_never_applied() {
        let mut sessions = Sessions::default();
        apply(&mut sessions, request(1, 1, 1, 100), 5);
        sessions.expire(UnixMillis(99));
        assert_eq!(sessions.len(), 1);
        sessions.expire(UnixMillis(100));
        assert_eq!((sessions.len(), sessions.bytes), (0, 0));
        assert!(refused(&apply(&mut sessions, request(1, 1, 1, 100), 100), "UNKNOWN"));
        let gone: Vec<_> = sessions.take_dirty().map(|(client, s)| (client, s.is_none())).collect();
        assert_eq!(gone, [(1, true)]);
    }
}
