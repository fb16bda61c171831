//! Units into the payload of an entry. Which language the payload speaks depends on the group: the
//! config group's is `shard`'s, a data group's is `kv`'s.

use crate::kv::EntryBuilder;
use crate::kv::migration::MoveRecord;
use crate::limits;
use crate::net::message::Work;
use crate::shard::{ConfigPayload, ConfigRequest};
use crate::time::UnixMillis;
use bytes::Bytes;

/// Which state machine a group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadKind {
    /// The config table.
    Config,
    /// Keys and values.
    Keys,
}

impl PayloadKind {
    /// Whether the work may grow the data on disk.
    #[must_use]
    pub fn grows(self, work: &Work) -> bool {
        match work {
            Work::Keys(asks) => asks.iter().any(|ask| ask.command.grows()),
            Work::Steps(steps) => steps.iter().any(MoveRecord::grows),
            Work::Change(_) | Work::Query(_) | Work::Look(_) => false,
        }
    }

    /// An entry that only moves replicated time on.
    #[must_use]
    pub fn tick(self, time: UnixMillis) -> Bytes {
        match self {
            Self::Keys => {
                let mut builder = EntryBuilder::new(time);
                builder.push_tick();
                builder.finish()
            }
            Self::Config => ConfigPayload { time, requests: Vec::new() }.encode().into(),
        }
    }
}

/// An entry's payload in the making.
#[derive(Debug)]
pub enum Payload {
    /// See [`ConfigPayload`].
    Config(ConfigPayload),
    /// See [`EntryBuilder`].
    Keys(EntryBuilder),
}

impl Payload {
    /// An empty payload stamped with this time.
    #[must_use]
    pub fn new(kind: PayloadKind, time: UnixMillis) -> Self {
        match kind {
            PayloadKind::Config => Self::Config(ConfigPayload { time, requests: Vec::new() }),
            PayloadKind::Keys => Self::Keys(EntryBuilder::new(time)),
        }
    }

    /// Whether nothing was pushed yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Config(payload) => payload.requests.is_empty(),
            Self::Keys(builder) => builder.is_empty(),
        }
    }

    /// Whether the work should still go into this entry. An empty payload takes any.
    #[must_use]
    pub fn fits(&self, work: &Work) -> bool {
        match self {
            Self::Config(payload) => payload.requests.len() < limits::ENTRY_COMMANDS_MAX,
            Self::Keys(builder) => {
                builder.len() + work.replies() <= limits::ENTRY_COMMANDS_MAX
                    && builder.bytes() + work.bytes() <= limits::ENTRY_BYTES_TARGET
            }
        }
    }

    /// Puts the work in. It always gets as many replies as [`Work::replies`] says; work in the other
    /// language gets errors at apply.
    pub fn push(&mut self, work: &Work) {
        match (self, work) {
            (Self::Keys(builder), Work::Keys(asks)) => {
                for ask in asks {
                    builder.push(&ask.command, ask.session);
                }
            }
            (Self::Keys(builder), Work::Steps(steps)) => {
                for step in steps {
                    builder.push_move(step);
                }
            }
            (Self::Config(payload), Work::Change(bytes)) => {
                if let Ok(request) = crate::codec::decode::<ConfigRequest>(bytes) {
                    payload.requests.push(request);
                }
            }
            // A unit sent to the wrong kind of group is a peer's mistake; it is filtered in `speaks`.
            _ => {}
        }
    }

    /// The finished bytes.
    #[must_use]
    pub fn finish(self) -> Bytes {
        match self {
            Self::Config(payload) => payload.encode().into(),
            Self::Keys(builder) => builder.finish(),
        }
    }
}

/// Whether this work can be understood by a group of this kind at all.
#[must_use]
pub fn speaks(kind: PayloadKind, work: &Work) -> bool {
    match (kind, work) {
        (PayloadKind::Keys, Work::Keys(asks)) => !asks.is_empty(),
        (PayloadKind::Config, Work::Change(bytes)) => {
            crate::codec::decode::<ConfigRequest>(bytes).is_ok()
        }
        (PayloadKind::Keys, Work::Steps(steps)) => !steps.is_empty(),
        (PayloadKind::Config, Work::Query(_)) | (PayloadKind::Keys, Work::Look(_)) => true,
        _ => false,
    }
}
