//! What a command answers, before it is put into RESP2 or RESP3.
//!
//! System errors come in two classes that are never mixed up: *not done* (sending it again is safe) and
//! *outcome unknown* (it may or may not have been carried out).

use crate::codec::{self, DecodeError};
use crate::ids::{Bucket, Epoch, GroupId};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;

/// See the module's first lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// `+OK`.
    Ok,
    /// A simple string.
    Status(String),
    /// An integer.
    Integer(i64),
    /// A string of bytes.
    Bulk(Bytes),
    /// No such value.
    Nil,
    /// A list.
    Array(Vec<Reply>),
    /// Pairs; in RESP2 a flat list.
    Map(Vec<(Reply, Reply)>),
    /// Without duplicates; in RESP2 a list.
    Set(Vec<Reply>),
    /// A floating-point number; in RESP2 a bulk string.
    Double(f64),
    /// Yes or no; in RESP2 1 or 0.
    Bool(bool),
    /// Text for people; in RESP2 a bulk string.
    Verbatim(String),
    /// No such list.
    NilArray,
    /// An error.
    Error(ReplyError),
    /// The bucket is not served by the asked group, and nothing was done. For routers; a client never
    /// sees it.
    Redirect(Redirect),
}

/// Where a bucket is that the asked group does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Redirect {
    /// It was here and has moved on.
    Moved {
        /// The bucket.
        bucket: Bucket,
        /// The group that it was handed to.
        to: GroupId,
        /// That group's epoch of it, or an earlier one; of all that is heard about a bucket the highest
        /// epoch is right.
        epoch: Epoch,
    },
    /// It is on its way here: ask again in a moment, and its owner of before meanwhile.
    NotYet {
        /// The bucket.
        bucket: Bucket,
    },
    /// It was never here, or there is no such bucket.
    NotHere {
        /// The bucket.
        bucket: Bucket,
    },
}

impl Redirect {
    /// The bucket.
    #[must_use]
    pub fn bucket(self) -> Bucket {
        let (Self::Moved { bucket, .. } | Self::NotYet { bucket } | Self::NotHere { bucket }) =
            self;
        bucket
    }

    /// What a client is told if the command cannot be carried out elsewhere.
    #[must_use]
    pub fn to_error(self) -> ReplyError {
        match self {
            Self::Moved { bucket, to, .. } => {
                ReplyError::not_done(format_args!("bucket {bucket} has moved to {to}"))
            }
            Self::NotYet { bucket } => {
                ReplyError::not_done(format_args!("bucket {bucket} is on its way"))
            }
            Self::NotHere { bucket } => {
                ReplyError::not_done(format_args!("bucket {bucket} is not here"))
            }
        }
    }
}

/// An error, by its first word and the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyError {
    /// `ERR`, `WRONGTYPE`, `MOVED`, …
    pub code: String,
    /// What follows it.
    pub text: String,
}

impl ReplyError {
    /// An error of this code.
    #[must_use]
    pub fn new(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self { code: code.into(), text: text.into() }
    }

    /// A plain `ERR`.
    #[must_use]
    pub fn err(text: impl Into<String>) -> Self {
        Self::new("ERR", text)
    }

    /// The command was certainly not carried out.
    #[must_use]
    pub fn not_done(reason: impl fmt::Display) -> Self {
        Self::new("TRYAGAIN", format!("{reason} (not done)"))
    }

    /// The command may or may not have been carried out.
    #[must_use]
    pub fn outcome_unknown(reason: impl fmt::Display) -> Self {
        Self::new(
            "UNKNOWN",
            format!("{reason} (outcome unknown: it may or may not have been done)"),
        )
    }

    /// `ERR syntax error`.
    #[must_use]
    pub fn syntax() -> Self {
        Self::err("syntax error")
    }

    /// A number was expected.
    #[must_use]
    pub fn not_an_integer() -> Self {
        Self::err("value is not an integer or out of range")
    }

    /// A floating-point number was expected.
    #[must_use]
    pub fn not_a_float() -> Self {
        Self::err("value is not a valid float")
    }

    /// `ERR wrong number of arguments for '…' command`.
    #[must_use]
    pub fn arity(command: &str) -> Self {
        Self::err(format!("wrong number of arguments for '{command}' command"))
    }

    /// Keys of different buckets where one is needed.
    #[must_use]
    pub fn cross_slot() -> Self {
        Self::new("CROSSSLOT", "Keys in request don't hash to the same slot")
    }

    /// A value over the replicated limit.
    #[must_use]
    pub fn value_too_large(limit: u64) -> Self {
        Self::err(format!("value is larger than {limit} bytes"))
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

impl From<ReplyError> for Reply {
    fn from(error: ReplyError) -> Self {
        Self::Error(error)
    }
}

impl Reply {
    /// A value of another part of the program, encoded: such replies never reach a client.
    #[must_use]
    pub fn encoded(value: &impl Serialize) -> Self {
        Self::Bulk(Bytes::from(codec::encode(value)))
    }

    /// Reads such a value back.
    ///
    /// # Errors
    /// When it is the reply of something else.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        match self {
            Self::Bulk(bytes) => codec::decode(bytes),
            _ => codec::decode(&[]),
        }
    }

    /// A bulk string of some text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Bulk(Bytes::from(text.into()))
    }

    /// 1 or 0.
    #[must_use]
    pub fn flag(yes: bool) -> Self {
        Self::Integer(i64::from(yes))
    }

    /// Bytes it holds, about: what it is charged with wherever bytes are limited.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const FIXED: usize = 16;
        match self {
            Self::Status(text) | Self::Verbatim(text) => FIXED + text.len(),
            Self::Bulk(bytes) => FIXED + bytes.len(),
            Self::Array(items) | Self::Set(items) => {
                FIXED + items.iter().map(Self::bytes).sum::<usize>()
            }
            Self::Map(pairs) => {
                FIXED + pairs.iter().map(|(key, value)| key.bytes() + value.bytes()).sum::<usize>()
            }
            Self::Error(error) => FIXED + error.code.len() + error.text.len(),
            Self::Ok
            | Self::Integer(_)
            | Self::Nil
            | Self::Double(_)
            | Self::Bool(_)
            | Self::NilArray
            | Self::Redirect(_) => FIXED,
        }
    }
}
