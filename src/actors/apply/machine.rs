//! The two kinds of state machines behind one face.

use super::command::{Birth, Holdings, Stats};
use super::live::GroupLife;
use crate::actors::group::event::Applied;
use crate::codec;
use crate::ids::{Generation, GroupId, Index};
use crate::kv::{self, Reply, ReplyError};
use crate::net::message::Work;
use crate::raft::{Membership, SnapshotMeta};
use crate::rows::{RowGeneration, Rows, generation_prefix, meta_key, prefix_end};
use crate::shard::{ConfigMachine, ConfigQuery, Table};
use crate::time::UnixMillis;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A state machine.
pub(super) enum Machine {
    Config(ConfigMachine),
    Keys(Box<kv::Machine>),
}

/// The group's control row: which life of its rows is the state. It is written in one batch with the
/// applied index that it belongs to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Control {
    pub(super) generation: u32,
    pub(super) installed: Option<SnapshotMeta>,
    /// The group's membership as the state's newest entry leaves it.
    pub(super) membership: Membership,
}

/// The first life of a replica's rows.
pub(super) const FIRST: RowGeneration = RowGeneration(1);

fn control_key(group: GroupId) -> Vec<u8> {
    meta_key(group, RowGeneration(0), b"control")
}

/// Reads which life of a group's rows is the state; `None` if there is no state.
pub(super) fn control(group: GroupId, rows: &impl Rows) -> Result<Option<Control>, String> {
    let row = rows.get(&control_key(group));
    row.map(|bytes| codec::decode(&bytes))
        .transpose()
        .map_err(|error| format!("the control row of {group} is damaged: {error}"))
}

/// The newest life, not before `live`, that any row of the group belongs to.
pub(super) fn newest_rows(group: GroupId, live: RowGeneration, rows: &impl Rows) -> RowGeneration {
    let end = prefix_end(&generation_prefix(group, RowGeneration(0))[..4]);
    let mut newest = live;
    while let Some(next) = newest.0.checked_add(1) {
        let mut found = None;
        rows.range(&generation_prefix(group, RowGeneration(next)), &end, &mut |key, _| {
            let generation = key.get(4..8).and_then(|bytes| bytes.try_into().ok());
            found = generation.map(|bytes| RowGeneration(u32::from_be_bytes(bytes)));
            false
        });
        let Some(found) = found else { break };
        newest = found;
    }
    newest
}

/// Writes it.
pub(super) fn set_control(group: GroupId, control: &Control, rows: &mut impl Rows) {
    rows.put(control_key(group), Bytes::from(codec::encode(control)));
}

impl Machine {
    /// Opens the state in these rows, or makes the state of a newborn group.
    pub(super) fn open(
        group: GroupId,
        generation: RowGeneration,
        birth: &Birth,
        rows: &mut impl Rows,
    ) -> Result<Self, String> {
        match birth {
            Birth::Config => {
                let found =
                    ConfigMachine::open(group, generation, rows).map_err(|e| e.to_string())?;
                Ok(Self::Config(
                    found.unwrap_or_else(|| ConfigMachine::create(group, generation, rows)),
                ))
            }
            Birth::Keys(genesis) => {
                let found =
                    kv::Machine::open(group, generation, rows).map_err(|e| e.to_string())?;
                let machine = match found {
                    Some(machine) => machine,
                    None => kv::Machine::create(group, generation, rows, genesis),
                };
                Ok(Self::Keys(Box::new(machine)))
            }
        }
    }

    pub(super) fn index(&self) -> Index {
        match self {
            Self::Config(machine) => machine.applied(),
            Self::Keys(machine) => machine.applied(),
        }
    }

    pub(super) fn applied(&self, generation: Generation) -> Applied {
        let (time, next_due) = match self {
            Self::Config(machine) => (machine.time(), None),
            Self::Keys(machine) => (machine.time(), machine.next_due()),
        };
        Applied { generation, index: self.index(), time, next_due }
    }

    pub(super) fn apply(
        &mut self,
        rows: &mut impl Rows,
        index: Index,
        payload: &Bytes,
    ) -> Result<Vec<Reply>, String> {
        match self {
            Self::Config(machine) => {
                let replies =
                    machine.apply(rows, index, payload).map_err(|error| error.to_string())?;
                Ok(replies.iter().map(Reply::encoded).collect())
            }
            Self::Keys(machine) => {
                machine.apply(rows, index, payload).map_err(|error| error.to_string())
            }
        }
    }

    pub(super) fn read(&self, rows: &impl Rows, work: &Work, now: UnixMillis) -> Vec<Reply> {
        match (self, work) {
            (Self::Keys(machine), Work::Keys(asks)) => {
                machine.read_all(rows, asks.iter().map(|ask| &ask.command), now)
            }
            (Self::Keys(machine), Work::Look(look)) => {
                vec![Reply::encoded(&machine.look(rows, look))]
            }
            (Self::Config(machine), Work::Query(bytes)) => {
                let reply = codec::decode::<ConfigQuery>(bytes)
                    .map_err(|error| error.to_string())
                    .and_then(|query| machine.read(rows, &query).map_err(|e| e.to_string()));
                vec![match reply {
                    Ok(reply) => Reply::encoded(&reply),
                    Err(trouble) => ReplyError::err(trouble).into(),
                }]
            }
            _ => vec![ReplyError::err("asked of the wrong kind of group").into(); work.replies()],
        }
    }

    pub(super) fn flush_meta(&mut self, rows: &mut impl Rows) {
        match self {
            Self::Config(machine) => machine.flush_meta(rows),
            Self::Keys(machine) => machine.flush_meta(rows),
        }
    }

    pub(super) fn stats(&self) -> Stats {
        match self {
            Self::Config(_) => Stats::default(),
            Self::Keys(machine) => {
                let stats = machine.stats();
                Stats {
                    keys: stats.keys,
                    bytes: stats.bytes,
                    buckets: stats.buckets,
                    sessions: stats.sessions,
                }
            }
        }
    }

    pub(super) fn life(&self, generation: RowGeneration) -> GroupLife {
        match self {
            Self::Config(_) => GroupLife::of_nothing(generation),
            Self::Keys(machine) => GroupLife {
                generation,
                epochs: machine.live_epochs(),
                marks: machine.live_marks(),
                forgotten_bytes: machine.forgotten_bytes(),
            },
        }
    }

    /// Grows with every change of its holdings in this life of the machine.
    pub(super) fn holdings_revision(&self) -> Option<u64> {
        match self {
            Self::Config(_) => None,
            Self::Keys(machine) => Some(machine.moves_revision()),
        }
    }

    pub(super) fn holdings(&self) -> Option<Holdings> {
        match self {
            Self::Config(_) => None,
            Self::Keys(machine) => {
                Some(Holdings { owned: machine.owned_runs(), moves: machine.moves().clone() })
            }
        }
    }

    pub(super) fn table(&self) -> Option<&Arc<Table>> {
        match self {
            Self::Config(machine) => machine.newest(),
            Self::Keys(_) => None,
        }
    }
}
