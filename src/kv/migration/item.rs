//! What is copied from the source to the destination.

use super::progress::Progress;
use super::record::Handoff;
use crate::ids::{Bucket, Epoch};
use crate::kv::reply::Reply;
use crate::time::UnixMillis;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A reply that is kept for a client which may ask again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MovedReply {
    /// The request's number.
    pub sequence: u64,
    /// The bucket it wrote to.
    pub bucket: Bucket,
    /// What it was answered.
    pub reply: Reply,
}

/// What the source remembers of one client, or a part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MovedSession {
    /// The client.
    pub client: u64,
    /// Its requests below this are answered, whichever bucket they were for.
    pub low: u64,
    /// After this none of its requests may be applied.
    pub expires: UnixMillis,
    /// Replies to requests for the moving buckets.
    pub replies: Vec<MovedReply>,
}

/// One thing that is copied. Bucket and hash of a key are worked out anew by who takes it in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Item {
    /// A key as it is now.
    Row {
        /// The key.
        key: Bytes,
        /// When it expires.
        deadline: Option<UnixMillis>,
        /// Its value.
        value: Bytes,
    },
    /// A key that is there no more.
    Gone {
        /// The key.
        key: Bytes,
    },
    /// All keys of the bucket are gone. What is there again follows.
    Emptied {
        /// The bucket.
        bucket: Bucket,
        /// The source's epoch of the bucket; the destination's becomes a greater one.
        epoch: Epoch,
    },
    /// Replies kept for a client.
    Session(MovedSession),
}

impl Item {
    /// Bytes it holds, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const FIXED: usize = 24;
        match self {
            Self::Row { key, value, .. } => FIXED + key.len() + value.len(),
            Self::Gone { key } => FIXED + key.len(),
            Self::Emptied { .. } => FIXED,
            Self::Session(session) => {
                let of_replies = session.replies.iter().map(|kept| FIXED + kept.reply.bytes());
                FIXED + of_replies.sum::<usize>()
            }
        }
    }
}

/// The next part of a copy, as the source reads it at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// What to take in, in order.
    pub items: Vec<Item>,
    /// How far the copy is then; equal to what was asked with if there is nothing new.
    pub becomes: Progress,
    /// The hand-off, once there is one: then nothing changes any more.
    pub handoff: Option<Handoff>,
    /// Bytes of `items`, about.
    pub bytes: u64,
    /// Bytes of all keys and values of the move, now.
    pub total: u64,
}
