//! The state machine of group 0: it turns entries into versions of the table and keeps their chain.
//!
//! ```text
//! meta rows   "birth"             the plan of `init`
//!             "state"             how far the machine is, written by `flush_meta`
//!             "version" + u64 BE  an encoded table
//!             "history" + u64 BE  its summary
//! ```
//!
//! The chain is bounded: each row "version" is a whole table, so the oldest one kept is the base of the
//! chain, and older ones are simply deleted.
//!
//! Must always hold: the same entries give the same rows; the rows alone, copied under another generation,
//! give an equal machine; applying entries again after a crash, from the state that was flushed, writes
//! what is there already.

use super::change::{
    ConfigCommand, ConfigPayload, ConfigQuery, ConfigReply, ConfigRequest, PayloadError,
    VersionSummary,
};
use super::plan::InitPlan;
use super::refusal::Refusal;
use super::table::{Table, TableError};
use crate::codec::{self, DecodeError};
use crate::ids::{GroupId, Index, TableVersion};
use crate::rows::{RowGeneration, Rows, meta_key};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Versions of the table that are kept.
pub const VERSIONS_KEPT: u64 = 1024;
/// Links of the chain in one answer.
pub const HISTORY_ROWS_MAX: u32 = 256;

/// The state machine of the config group, one replica of it.
#[derive(Debug)]
pub struct ConfigMachine {
    group: GroupId,
    generation: RowGeneration,
    state: State,
    newest: Option<Arc<Table>>,
}

/// The row "state".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    applied: Index,
    time: UnixMillis,
    /// The versions that are there; both 0 before `init`.
    oldest: TableVersion,
    newest: TableVersion,
}

/// Why rows are no config machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A row is malformed.
    #[error("the row {0:?} cannot be read: {1}")]
    Row(&'static str, DecodeError),
    /// The newest table is missing.
    #[error("the table {0} is missing")]
    Missing(TableVersion),
    /// The newest table cannot be right.
    #[error("the table {0}: {1}")]
    Table(TableVersion, TableError),
}

/// Why an entry cannot be applied. The replica must stop: it cannot know what the others did with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The entry's payload cannot be read.
    #[error("the payload of {0} cannot be read: {1}")]
    Payload(Index, PayloadError),
    /// The entry, or a later one, has been applied before.
    #[error("{index} comes after {applied}")]
    Order {
        /// The entry.
        index: Index,
        /// The last one applied.
        applied: Index,
    },
    /// A row that the machine wrote cannot be read.
    #[error("the row {0:?} cannot be read: {1}")]
    Row(&'static str, DecodeError),
}

const BIRTH: &str = "birth";
const STATE: &str = "state";
const VERSION: &str = "version";
const HISTORY: &str = "history";

impl ConfigMachine {
    /// A newborn machine, which has no table. Its rows are there from the first moment.
    pub fn create<R: Rows + ?Sized>(
        group: GroupId,
        generation: RowGeneration,
        rows: &mut R,
    ) -> Self {
        let mut machine = Self { group, generation, state: State::default(), newest: None };
        machine.flush_meta(rows);
        machine
    }

    /// The machine that these rows are; `None` if there is none.
    ///
    /// # Errors
    /// When rows are there and cannot be right.
    pub fn open<R: Rows + ?Sized>(
        group: GroupId,
        generation: RowGeneration,
        rows: &R,
    ) -> Result<Option<Self>, OpenError> {
        let mut machine = Self { group, generation, state: State::default(), newest: None };
        let Some(bytes) = rows.get(&machine.key(STATE)) else {
            return Ok(None);
        };
        machine.state = codec::decode(&bytes).map_err(|error| OpenError::Row(STATE, error))?;
        let newest = machine.state.newest;
        if newest != TableVersion(0) {
            let key = machine.version_key(VERSION, newest);
            let bytes = rows.get(&key).ok_or(OpenError::Missing(newest))?;
            let table = Table::decode(&bytes).map_err(|error| OpenError::Table(newest, error))?;
            machine.newest = Some(Arc::new(table));
        }
        Ok(Some(machine))
    }

    /// The last entry applied.
    #[must_use]
    pub fn applied(&self) -> Index {
        self.state.applied
    }

    /// The group's replicated time.
    #[must_use]
    pub fn time(&self) -> UnixMillis {
        self.state.time
    }

    /// The newest table; `None` before `init`.
    #[must_use]
    pub fn newest(&self) -> Option<&Arc<Table>> {
        self.newest.as_ref()
    }

    /// Applies the entry at `index`; one reply per request of its payload, in order. An empty payload
    /// (the first entry of a term, a membership change) only moves `applied`.
    ///
    /// # Errors
    /// When it cannot; the replica must stop then.
    pub fn apply<R: Rows + ?Sized>(
        &mut self,
        rows: &mut R,
        index: Index,
        payload: &[u8],
    ) -> Result<Vec<ConfigReply>, ApplyError> {
        let applied = self.state.applied;
        if index <= applied {
            return Err(ApplyError::Order { index, applied });
        }
        let payload = ConfigPayload::decode(payload);
        let payload = payload.map_err(|error| ApplyError::Payload(index, error))?;
        let mut replies = Vec::new();
        if let Some(ConfigPayload { time, requests }) = payload {
            self.state.time = self.state.time.max(time);
            for request in requests {
                replies.push(self.change(rows, request)?);
            }
        }
        self.state.applied = index;
        Ok(replies)
    }

    /// Writes how far the machine is. The rows of all entries applied since the last call, and this one,
    /// must become durable together or in order.
    pub fn flush_meta<R: Rows + ?Sized>(&mut self, rows: &mut R) {
        rows.put(self.key(STATE), codec::encode(&self.state).into());
    }

    /// Answers a query from what has been applied.
    ///
    /// # Errors
    /// When a row that the machine wrote cannot be read.
    pub fn read<R: Rows + ?Sized>(
        &self,
        rows: &R,
        query: &ConfigQuery,
    ) -> Result<ConfigReply, ApplyError> {
        let newest = self.state.newest;
        match *query {
            ConfigQuery::Newest { known } if newest <= known => Ok(ConfigReply::Unchanged(newest)),
            ConfigQuery::Newest { .. } => self.version(rows, newest),
            ConfigQuery::Version(version) => self.version(rows, version),
            ConfigQuery::History { until, count } => {
                let last = until.unwrap_or(newest).min(newest);
                self.history(rows, last, count)
            }
        }
    }

    fn change<R: Rows + ?Sized>(
        &mut self,
        rows: &mut R,
        request: ConfigRequest,
    ) -> Result<ConfigReply, ApplyError> {
        if let ConfigCommand::Init(plan) = &request.command {
            return self.init(rows, plan, &request);
        }
        let Some(before) = self.newest.clone() else {
            return Ok(ConfigReply::Refused(Refusal::NotInitialised));
        };
        Ok(match before.after(&request.command) {
            Err(refusal) => ConfigReply::Refused(refusal),
            Ok(after) if after == *before => ConfigReply::Unchanged(before.version),
            Ok(after) => self.install(rows, after, &request),
        })
    }

    fn init<R: Rows + ?Sized>(
        &mut self,
        rows: &mut R,
        plan: &InitPlan,
        request: &ConfigRequest,
    ) -> Result<ConfigReply, ApplyError> {
        if let Some(table) = &self.newest {
            let first: Option<InitPlan> = match rows.get(&self.key(BIRTH)) {
                Some(bytes) => Some(decode_row(BIRTH, &bytes)?),
                None => None,
            };
            return Ok(if first.as_ref() == Some(plan) {
                ConfigReply::Unchanged(table.version)
            } else {
                ConfigReply::Refused(Refusal::AlreadyInitialised(table.cluster))
            });
        }
        Ok(match Table::found(plan) {
            Err(error) => ConfigReply::Refused(Refusal::Plan(error)),
            Ok(table) => {
                rows.put(self.key(BIRTH), codec::encode(plan).into());
                self.install(rows, table, request)
            }
        })
    }

    /// Makes `table` the newest version and forgets the oldest if there are too many.
    fn install<R: Rows + ?Sized>(
        &mut self,
        rows: &mut R,
        table: Table,
        request: &ConfigRequest,
    ) -> ConfigReply {
        let version = table.version;
        assert_eq!(version.0, self.state.newest.0 + 1, "versions have no gaps");
        assert_eq!(table.check(), Ok(()), "a change keeps the table whole");
        let summary = VersionSummary {
            version,
            time: self.state.time,
            by: request.by.to_string(),
            what: request.command.to_string(),
        };
        rows.put(self.version_key(VERSION, version), table.encode().into());
        rows.put(self.version_key(HISTORY, version), codec::encode(&summary).into());
        self.state.newest = version;
        self.state.oldest = self.state.oldest.max(TableVersion(1));
        while version.0 - self.state.oldest.0 >= VERSIONS_KEPT {
            rows.delete(self.version_key(VERSION, self.state.oldest));
            rows.delete(self.version_key(HISTORY, self.state.oldest));
            self.state.oldest.0 += 1;
        }
        self.newest = Some(Arc::new(table));
        ConfigReply::Changed(version)
    }

    fn version<R: Rows + ?Sized>(
        &self,
        rows: &R,
        version: TableVersion,
    ) -> Result<ConfigReply, ApplyError> {
        let State { oldest, newest, .. } = self.state;
        // A row may be there and not count yet, or still: between a crash and the entries' return.
        let kept = oldest <= version && version <= newest && version != TableVersion(0);
        let found = |name| rows.get(&self.version_key(name, version));
        match (kept, found(VERSION), found(HISTORY)) {
            (true, Some(table), Some(summary)) => {
                let summary = decode_row(HISTORY, &summary)?;
                Ok(ConfigReply::Table { summary, table: table.to_vec() })
            }
            _ => Ok(ConfigReply::NoSuchVersion { oldest, newest }),
        }
    }

    fn history<R: Rows + ?Sized>(
        &self,
        rows: &R,
        last: TableVersion,
        count: u32,
    ) -> Result<ConfigReply, ApplyError> {
        let count = u64::from(count.min(HISTORY_ROWS_MAX));
        let first = (last.0 + 1).saturating_sub(count).max(self.state.oldest.0);
        let mut links = Vec::new();
        for version in (first.max(1)..=last.0).map(TableVersion) {
            if let Some(bytes) = rows.get(&self.version_key(HISTORY, version)) {
                links.push(decode_row(HISTORY, &bytes)?);
            }
        }
        Ok(ConfigReply::History(links))
    }

    fn key(&self, name: &str) -> Vec<u8> {
        meta_key(self.group, self.generation, name.as_bytes())
    }

    fn version_key(&self, name: &str, version: TableVersion) -> Vec<u8> {
        let mut key = self.key(name);
        key.extend_from_slice(&version.0.to_be_bytes());
        key
    }
}

fn decode_row<'a, T: Deserialize<'a>>(
    name: &'static str,
    bytes: &'a [u8],
) -> Result<T, ApplyError> {
    codec::decode(bytes).map_err(|error| ApplyError::Row(name, error))
}

#[cfg(test)]
mod tests;
