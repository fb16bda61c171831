//! Sessions on the move: what is remembered of clients goes along with a bucket, so that a retry is
//! recognised wherever the bucket is served.
//!
//! A client's numbers are its own, whichever group a request is for. So the lowest unanswered number and
//! the expiry hold in every group, and a reply stays true wherever it is kept: taking in more than is
//! needed does no harm, forgetting some would.

use super::{Kept, Sessions};
use crate::kv::migration::{MovedReply, MovedSession, Ranges};
use crate::kv::session::SessionLimits;
use crate::time::UnixMillis;

impl Sessions {
    /// What is remembered of the first client behind this place, as far as it concerns these buckets:
    /// at most about so many bytes, and the place it ends at. A place is a client and the sequence of its
    /// last reply that was given, `u64::MAX` for all of them.
    pub(in crate::kv) fn next_piece(
        &self,
        behind: Option<(u64, u64)>,
        ranges: &Ranges,
        bytes_max: usize,
    ) -> Option<(MovedSession, (u64, u64))> {
        let from = match behind {
            None => 0,
            Some((client, u64::MAX)) => client.checked_add(1)?,
            Some((client, _)) => client,
        };
        let client = *self.sessions.range(from..).next()?.0;
        let after = behind.filter(|place| place.0 == client).map(|place| place.1);
        self.piece_of(client, after, ranges, bytes_max)
    }

    /// The same for this client; `None` if nothing is remembered of it.
    pub(in crate::kv) fn piece_of(
        &self,
        client: u64,
        after: Option<u64>,
        ranges: &Ranges,
        bytes_max: usize,
    ) -> Option<(MovedSession, (u64, u64))> {
        let session = self.sessions.get(&client)?;
        let mut piece = MovedSession {
            client,
            low: session.low,
            expires: session.expires,
            replies: Vec::new(),
        };
        let mut bytes = 0;
        let from = after.map_or(Some(0), |after| after.checked_add(1));
        let rest = from.map(|from| session.replies.range(from..)).into_iter().flatten();
        for (sequence, kept) in rest {
            let Some(bucket) = kept.bucket.filter(|bucket| ranges.contains(*bucket)) else {
                continue;
            };
            if let Some(last) = piece.replies.last()
                && bytes + kept.reply.bytes() > bytes_max
            {
                let place = (client, last.sequence);
                return Some((piece, place));
            }
            bytes += kept.reply.bytes();
            let reply = kept.reply.clone();
            piece.replies.push(MovedReply { sequence: *sequence, bucket, reply });
        }
        Some((piece, (client, u64::MAX)))
    }

    /// Whether there is room for these, going by the limits.
    pub(in crate::kv) fn have_room_for<'a>(
        &self,
        pieces: impl IntoIterator<Item = &'a MovedSession>,
        bounds: &SessionLimits,
    ) -> bool {
        let (mut sessions, mut bytes) = (self.sessions.len() as u64, self.bytes);
        let mut last = None;
        for piece in pieces {
            let known = self.sessions.get(&piece.client);
            if known.is_none() && last != Some(piece.client) {
                sessions += 1;
            }
            last = Some(piece.client);
            let is_new =
                |kept: &&MovedReply| known.is_none_or(|s| !s.replies.contains_key(&kept.sequence));
            let added = piece.replies.iter().filter(is_new);
            bytes += added.map(|kept| kept.reply.bytes() as u64 + 32).sum::<u64>();
        }
        sessions <= bounds.sessions && bytes <= bounds.bytes
    }

    /// Takes in what another group remembers of a client.
    pub(in crate::kv) fn take_in(&mut self, piece: &MovedSession, time: UnixMillis) {
        if piece.expires <= time {
            return;
        }
        let low = self.sessions.get(&piece.client).map_or(0, |session| session.low).max(piece.low);
        let replies = piece.replies.iter().filter(|kept| kept.sequence >= low).map(|kept| {
            (kept.sequence, Kept { bucket: Some(kept.bucket), reply: kept.reply.clone() })
        });
        self.keep(piece.client, low, piece.expires, replies);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Bucket;
    use crate::kv::{Reply, SessionRef};

    const LIMITS: SessionLimits = SessionLimits { sessions: 3, replies: 100, bytes: 10_000 };

    fn filled() -> Sessions {
        let mut sessions = Sessions::default();
        for (client, sequence, bucket) in [
            (1, 1, Some(5)),
            (1, 2, Some(6)),
            (1, 3, Some(5)),
            (2, 1, None),
            (u64::MAX, 1, Some(5)),
        ] {
            let expires = UnixMillis(100);
            let request = SessionRef { client, sequence, lowest_unanswered: 1, expires };
            sessions.record(
                request,
                bucket.map(Bucket),
                &Reply::text(format!("{client}/{sequence}")),
            );
        }
        sessions
    }

    fn copied(sessions: &Sessions, bytes_max: usize) -> Sessions {
        let ranges = Ranges::of([Bucket(5)]).unwrap();
        let (mut copy, mut behind, mut pieces) = (Sessions::default(), None, 0);
        while let Some((piece, place)) = sessions.next_piece(behind, &ranges, bytes_max) {
            assert!(Some(place) > behind && pieces < 10);
            copy.take_in(&piece, UnixMillis(5));
            behind = Some(place);
            pieces += 1;
        }
        copy
    }

    #[test]
    fn what_concerns_a_bucket_is_copied_in_pieces_of_any_size() {
        let sessions = filled();
        let whole = copied(&sessions, usize::MAX);
        assert_eq!(whole.sessions.len(), 3, "also of who has no reply the lowest number counts");
        assert_eq!(whole.sessions[&1].replies.keys().copied().collect::<Vec<_>>(), [1, 3]);
        let bytes = whole.sessions.values().map(super::super::Session::bytes).sum::<u64>();
        assert_eq!(whole.bytes, bytes);
        let pieces = copied(&sessions, 1);
        assert_eq!(whole.sessions, pieces.sessions);
        assert_eq!((whole.bytes, &whole.by_expiry), (pieces.bytes, &pieces.by_expiry));
    }

    #[test]
    fn what_was_acknowledged_elsewhere_is_not_kept_again() {
        let mut sessions = filled();
        let piece = MovedSession {
            client: 1,
            low: 3,
            expires: UnixMillis(200),
            replies: vec![MovedReply { sequence: 4, bucket: Bucket(9), reply: Reply::Ok }],
        };
        sessions.take_in(&piece, UnixMillis(5));
        assert_eq!(sessions.sessions[&1].replies.keys().copied().collect::<Vec<_>>(), [3, 4]);
        let late = MovedSession { low: 1, ..piece.clone() };
        let late = MovedSession {
            replies: vec![MovedReply { sequence: 1, ..late.replies[0].clone() }],
            ..late
        };
        sessions.take_in(&late, UnixMillis(5));
        assert_eq!(sessions.sessions[&1].replies.keys().copied().collect::<Vec<_>>(), [3, 4]);
        let over = MovedSession { client: 77, expires: UnixMillis(5), ..piece };
        sessions.take_in(&over, UnixMillis(5));
        assert!(!sessions.sessions.contains_key(&77));
    }

    #[test]
    fn room_is_counted_before_anything_is_taken_in() {
        let sessions = filled();
        let piece = |client| MovedSession {
            client,
            low: 1,
            expires: UnixMillis(200),
            replies: vec![MovedReply { sequence: 9, bucket: Bucket(9), reply: Reply::Ok }],
        };
        assert!(sessions.have_room_for([&piece(1), &piece(2)], &LIMITS));
        assert!(!sessions.have_room_for([&piece(3)], &LIMITS), "a fourth client");
        let small = SessionLimits { bytes: sessions.bytes + 50, ..LIMITS };
        assert!(sessions.have_room_for([&piece(1)], &small));
        assert!(!sessions.have_room_for([&piece(1), &piece(2)], &small));
    }
}
