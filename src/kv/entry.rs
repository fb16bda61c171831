//! The payload of one entry of a data group: the leader's time, and the commands of many clients.
//!
//! ```text
//! version u8 │ time u64 LE │ record …
//! record: 0 │ length u32 LE │ command                          a command
//!         1 │ session 32 bytes │ length u32 LE │ command       a command under a session
//!         2                                                    nothing but the time (a tick)
//!         3 │ length u32 LE │ move record                      a step in the life of a move
//! ```

use super::command::Command;
use super::migration::MoveRecord;
use super::session::SessionRef;
use crate::codec::{self, DecodeError};
use crate::time::UnixMillis;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

const VERSION: u8 = 2;
const COMMAND: u8 = 0;
const SESSION_COMMAND: u8 = 1;
const TICK: u8 = 2;
const MOVE: u8 = 3;

/// Builds a payload.
#[derive(Debug)]
pub struct EntryBuilder {
    bytes: Vec<u8>,
    records: usize,
}

impl EntryBuilder {
    /// An empty payload stamped with this time.
    #[must_use]
    pub fn new(time: UnixMillis) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.push(VERSION);
        bytes.extend_from_slice(&time.0.to_le_bytes());
        Self { bytes, records: 0 }
    }

    /// Adds a command.
    pub fn push(&mut self, command: &Command, session: Option<SessionRef>) {
        match session {
            None => self.bytes.push(COMMAND),
            Some(session) => {
                self.bytes.push(SESSION_COMMAND);
                self.bytes.extend_from_slice(&session.to_bytes());
            }
        }
        self.push_encoded(command);
    }

    /// Adds a step in the life of a move.
    pub fn push_move(&mut self, record: &MoveRecord) {
        self.bytes.push(MOVE);
        self.push_encoded(record);
    }

    fn push_encoded(&mut self, body: &impl Serialize) {
        let length_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        codec::encode_into(body, &mut self.bytes);
        let length = self.bytes.len() - length_at - 4;
        let length = u32::try_from(length).expect("a record is bounded by limits::ENTRY_BYTES_MAX");
        self.bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
        self.records += 1;
    }

    /// Adds a tick: time moves on, keys that are due go.
    pub fn push_tick(&mut self) {
        self.bytes.push(TICK);
        self.records += 1;
    }

    /// Records so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records
    }

    /// Whether there is no record yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Bytes so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The payload.
    #[must_use]
    pub fn finish(self) -> Bytes {
        Bytes::from(self.bytes)
    }
}

/// Why a payload cannot be applied. A replica that meets one must stop: others may have applied it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Written by a newer program.
    #[error("payload version {0}, this program knows {VERSION}")]
    Version(u8),
    /// A record of a kind that this program does not know.
    #[error("unknown record kind {0}")]
    Kind(u8),
    /// It ends too early.
    #[error("the payload is cut off")]
    Short,
    /// A command or a step of a move that this program cannot read.
    #[error("a record cannot be read: {0}")]
    Command(#[from] DecodeError),
}

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A command, perhaps under a session.
    Command(Command, Option<SessionRef>),
    /// Time moves on.
    Tick,
    /// A step in the life of a move.
    Move(Box<MoveRecord>),
}

/// Reads a payload.
#[derive(Debug)]
pub struct EntryReader<'a> {
    time: UnixMillis,
    rest: &'a [u8],
}

impl<'a> EntryReader<'a> {
    /// Begins to read.
    ///
    /// # Errors
    /// When it is no payload of this version.
    pub fn new(payload: &'a [u8]) -> Result<Self, PayloadError> {
        let (version, rest) = payload.split_first().ok_or(PayloadError::Short)?;
        if *version != VERSION {
            return Err(PayloadError::Version(*version));
        }
        let (time, rest) = rest.split_first_chunk().ok_or(PayloadError::Short)?;
        Ok(Self { time: UnixMillis(u64::from_le_bytes(*time)), rest })
    }

    /// The leader's stamp.
    #[must_use]
    pub fn time(&self) -> UnixMillis {
        self.time
    }

    fn body<T: DeserializeOwned>(&mut self) -> Result<T, PayloadError> {
        let (length, rest) = self.rest.split_first_chunk().ok_or(PayloadError::Short)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (bytes, rest) = rest.split_at_checked(length).ok_or(PayloadError::Short)?;
        self.rest = rest;
        Ok(codec::decode(bytes)?)
    }

    fn record(&mut self, kind: u8) -> Result<Record, PayloadError> {
        match kind {
            COMMAND => Ok(Record::Command(self.body()?, None)),
            SESSION_COMMAND => {
                let (session, rest) = self.rest.split_first_chunk().ok_or(PayloadError::Short)?;
                self.rest = rest;
                let session = SessionRef::from_bytes(session);
                Ok(Record::Command(self.body()?, Some(session)))
            }
            TICK => Ok(Record::Tick),
            MOVE => Ok(Record::Move(Box::new(self.body()?))),
            other => Err(PayloadError::Kind(other)),
        }
    }
}

impl Iterator for EntryReader<'_> {
    type Item = Result<Record, PayloadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        let record = self.record(*kind);
        if record.is_err() {
            self.rest = &[];
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::GroupId;
    use crate::kv::migration::MoveId;

    fn sample() -> (Vec<Record>, Bytes) {
        let get = Command::Get { key: Bytes::from_static(b"k") };
        let del = Command::Del { keys: vec![Bytes::from_static(b"a")] };
        let session = SessionRef {
            client: 1,
            sequence: 2,
            lowest_unanswered: 2,
            expires: UnixMillis(u64::MAX),
        };
        let mut builder = EntryBuilder::new(UnixMillis(77));
        builder.push(&get, None);
        builder.push(&del, Some(session));
        builder.push_tick();
        let cancel = MoveRecord::Cancel { id: MoveId { source: GroupId(1), number: 300 } };
        builder.push_move(&cancel);
        let records = vec![
            Record::Command(get, None),
            Record::Command(del, Some(session)),
            Record::Tick,
            Record::Move(Box::new(cancel)),
        ];
        (records, builder.finish())
    }

    #[test]
    fn a_payload_reads_as_it_was_built() {
        let (records, payload) = sample();
        let reader = EntryReader::new(&payload).unwrap();
        assert_eq!(reader.time(), UnixMillis(77));
        assert_eq!(reader.collect::<Result<Vec<_>, _>>().unwrap(), records);
    }

    #[test]
    fn every_cut_is_an_error_or_a_whole_number_of_records() {
        let (records, payload) = sample();
        for cut in 0..payload.len() {
            let Ok(reader) = EntryReader::new(&payload[..cut]) else { continue };
            if let Ok(read) = reader.collect::<Result<Vec<_>, _>>() {
                assert_eq!(read, records[..read.len()]);
            }
        }
    }
}
