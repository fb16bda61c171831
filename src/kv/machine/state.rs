//! The machine itself: how it is born and opened, applies an entry, answers a read, and writes down
//! what it keeps in memory.

use super::buckets::Buckets;
use super::budget::Budget;
use super::fault::{Answer, ApplyError, Fault, OpenError};
use super::layout::{Layout, due_deadline};
use super::meta::Meta;
use super::moves::MoveLedger;
use crate::codec;
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::{Bucket, Epoch, GroupId, Index};
use crate::kv::command::Command;
use crate::kv::entry::{EntryReader, Record};
use crate::kv::migration::{LiveMarks, Moves};
use crate::kv::reply::{Reply, ReplyError};
use crate::kv::session::{Session, SessionLimits, SessionRef, Sessions, Verdict};
use crate::rows::{RowGeneration, Rows};
use crate::shard::BucketRange;
use crate::time::UnixMillis;
use bytes::Bytes;

/// With what a data group is born: equal on all its replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The key of the hash that orders keys; the same in the whole cluster.
    pub hash_key: [u8; 16],
    /// The buckets it owns at birth, all empty.
    pub buckets: Vec<Bucket>,
    /// Where replicated time begins.
    pub time: UnixMillis,
    /// The largest value, bytes.
    pub value_bytes_max: u64,
    /// How much it remembers of its clients.
    pub sessions: SessionLimits,
}

/// How much a machine holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineStats {
    /// Keys, expired ones that were not removed yet included.
    pub keys: u64,
    /// Bytes of those keys and their values.
    pub bytes: u64,
    /// Buckets that it serves.
    pub buckets: u32,
    /// Sessions that it remembers.
    pub sessions: u64,
}

/// The replicated state of one data group. See the module's first lines.
#[derive(Debug)]
pub struct Machine {
    pub(super) layout: Layout,
    pub(super) meta: Meta,
    pub(super) buckets: Buckets,
    pub(super) sessions: Sessions,
    pub(super) moves: MoveLedger,
    /// The deadline of the first due row, or earlier; `None` only if there is no due row.
    pub(super) next_due: Option<UnixMillis>,
    /// No due row has a deadline before this one.
    pub(super) swept: UnixMillis,
    /// What the present entry has cost.
    pub(super) budget: Budget,
}

const SESSION: &[u8] = b"session";

impl Machine {
    /// The state of a newborn group, at index 0. Its meta rows are written at once.
    ///
    /// # Panics
    /// When a bucket of the genesis does not exist.
    pub fn create(
        group: GroupId,
        generation: RowGeneration,
        rows: &mut impl Rows,
        genesis: &Genesis,
    ) -> Self {
        let meta = Meta {
            applied: Index(0),
            time: genesis.time,
            value_bytes_max: genesis.value_bytes_max,
            session_limits: genesis.sessions,
            hash_key: genesis.hash_key,
        };
        let mut machine = Self {
            layout: Layout { group, generation },
            meta,
            buckets: Buckets::of_birth(&genesis.buckets),
            sessions: Sessions::default(),
            moves: MoveLedger::new(),
            next_due: None,
            swept: UnixMillis(0),
            budget: Budget::default(),
        };
        machine.flush_meta(rows);
        machine
    }

    /// The state in these rows; `None` if there is none.
    ///
    /// # Errors
    /// When a row is missing or cannot be read.
    pub fn open(
        group: GroupId,
        generation: RowGeneration,
        rows: &impl Rows,
    ) -> Result<Option<Self>, OpenError> {
        let layout = Layout { group, generation };
        let Some(meta) = Meta::read(layout, rows)? else { return Ok(None) };
        Ok(Some(Self {
            layout,
            meta,
            buckets: Buckets::open(layout, rows)?,
            sessions: open_sessions(layout, rows)?,
            moves: MoveLedger::open(layout, rows)?,
            next_due: first_due(layout, rows)?,
            swept: UnixMillis(0),
            budget: Budget::default(),
        }))
    }

    /// The last entry that was applied.
    #[must_use]
    pub fn applied(&self) -> Index {
        self.meta.applied
    }

    /// The replicated time: the latest stamp of all entries.
    #[must_use]
    pub fn time(&self) -> UnixMillis {
        self.meta.time
    }

    /// When a key must be removed next, or somewhat earlier, never later. The leader then moves time on
    /// by an entry.
    #[must_use]
    pub fn next_due(&self) -> Option<UnixMillis> {
        self.next_due
    }

    /// Applies the next entry: one reply per command and per step of a move, none for a tick. An empty payload only moves the
    /// index on.
    ///
    /// # Errors
    /// When it is not the next entry or cannot be read, or the state cannot. Then the machine must be
    /// dropped and what it wrote in this call undone.
    pub fn apply(
        &mut self,
        rows: &mut impl Rows,
        index: Index,
        payload: &[u8],
    ) -> Result<Vec<Reply>, ApplyError> {
        let applied = self.meta.applied;
        if index != applied.next() {
            return Err(ApplyError::OutOfOrder { index, applied });
        }
        let mut replies = Vec::new();
        self.budget = Budget::default();
        if !payload.is_empty() {
            let reader = EntryReader::new(payload)?;
            self.meta.time = self.meta.time.max(reader.time());
            self.sweep(rows)?;
            self.sessions.expire(self.meta.time);
            for record in reader {
                match record? {
                    Record::Command(command, session) => {
                        replies.push(self.apply_once(rows, &command, session)?);
                    }
                    Record::Tick => {}
                    Record::Move(record) => {
                        replies.push(Reply::encoded(&self.apply_move(rows, *record)?));
                    }
                }
            }
        }
        self.meta.applied = index;
        Ok(replies)
    }

    /// Carries a command out, unless it is the retry of a write that was.
    fn apply_once(
        &mut self,
        rows: &mut impl Rows,
        command: &Command,
        session: Option<SessionRef>,
    ) -> Result<Reply, ApplyError> {
        let request = session.filter(|_| command.is_write());
        #[cfg(feature = "controls")]
        let request = request.filter(|_| !active(Control::NoSessions));
        if let Some(request) = request {
            match self.sessions.judge(request, self.meta.time, &self.meta.session_limits) {
                Verdict::Apply => {}
                Verdict::Again(reply) => {
                    self.budget.replied(&reply);
                    return Ok(reply);
                }
                Verdict::Refuse(error) => {
                    // Elsewhere it may be taken.
                    let bucket = command.bucket();
                    let elsewhere = bucket.and_then(|bucket| self.buckets.served(bucket).err());
                    return Ok(elsewhere.map_or_else(|| error.into(), Reply::Redirect));
                }
            }
        }
        let admitted = self.budget.admit(command).map_err(Fault::from);
        let reply = match admitted.and_then(|()| self.run(rows, command)) {
            Ok(reply) => reply,
            Err(Fault::Refused(error)) => error.into(),
            // Not recorded: the same request is going to be sent elsewhere, and may come back here with
            // its bucket.
            Err(Fault::Elsewhere(redirect)) => return Ok(Reply::Redirect(redirect)),
            Err(Fault::Damaged(row)) => return Err(row.into()),
        };
        if command.is_write() {
            self.budget.replied(&reply);
        }
        // Errors are recorded too: a client that was told "not done" must not be proved wrong by a
        // second copy of its request that is still on its way.
        if let Some(request) = request {
            let bucket = command.bucket();
            self.sessions.record(request, bucket, &reply);
            if let Some(bucket) = bucket {
                self.mark_session(rows, bucket, request.client);
            }
        }
        Ok(reply)
    }

    /// Answers a command that is no write. `now` is the time by which the rest of a key's life is told;
    /// whether a key is there is judged by replicated time alone.
    #[must_use]
    pub fn read(&self, rows: &impl Rows, command: &Command, now: UnixMillis) -> Reply {
        reply_of(self.answer(rows, command, now.max(self.meta.time)))
    }

    /// Answers the commands of one unit, none of which is a write; see [`Machine::read`]. If the replies
    /// together would be too large, some of them are errors.
    #[must_use]
    pub fn read_all<'a>(
        &self,
        rows: &impl Rows,
        commands: impl IntoIterator<Item = &'a Command>,
        now: UnixMillis,
    ) -> Vec<Reply> {
        let mut budget = Budget::default();
        let read = |command| {
            let answer = budget
                .admit(command)
                .map_err(Fault::from)
                .and_then(|()| self.answer(rows, command, now.max(self.meta.time)));
            reply_of(budget.answered(answer))
        };
        commands.into_iter().map(read).collect()
    }

    /// Writes down what is kept in memory, so that the rows are all there is to know.
    pub fn flush_meta(&mut self, rows: &mut impl Rows) {
        self.buckets.flush(self.layout, rows);
        self.moves.flush(self.layout, rows);
        for (client, session) in self.sessions.take_dirty() {
            let row = self.layout.meta(SESSION, &client.to_be_bytes());
            match session {
                Some(session) => rows.put(row, Bytes::from(codec::encode(session))),
                None => rows.delete(row),
            }
        }
        #[cfg(feature = "controls")]
        if active(Control::ApplyTwice) && self.meta.applied > Index(0) {
            let applied = self.meta.applied.prev();
            return Meta { applied, ..self.meta }.write(self.layout, rows);
        }
        self.meta.write(self.layout, rows);
    }

    /// The epoch of each bucket, by bucket: data rows of earlier ones are forgotten.
    #[must_use]
    pub fn live_epochs(&self) -> Vec<Epoch> {
        self.buckets.states().iter().map(|state| state.epoch).collect()
    }

    /// What it remembers of its moves.
    #[must_use]
    pub fn moves(&self) -> &Moves {
        self.moves.get()
    }

    /// Grows with every change of [`Machine::moves`] in this life of the machine.
    #[must_use]
    pub fn moves_revision(&self) -> u64 {
        self.moves.revision()
    }

    /// Bytes of keys and values that were forgotten with their bucket's epoch since this state was opened.
    #[must_use]
    pub fn forgotten_bytes(&self) -> u64 {
        self.buckets.forgotten
    }

    /// Which marks of changes are alive: data rows that mark changes of other moves are forgotten.
    #[must_use]
    pub fn live_marks(&self) -> LiveMarks {
        self.moves.get().live_marks()
    }

    /// The buckets that it serves, as runs of one epoch, by bucket: what the config table is told.
    #[must_use]
    pub fn owned_runs(&self) -> Vec<(BucketRange, Epoch)> {
        self.buckets.owned_runs()
    }

    /// How much it holds.
    #[must_use]
    pub fn stats(&self) -> MachineStats {
        MachineStats {
            keys: self.buckets.keys(),
            bytes: self.buckets.bytes(),
            buckets: self.buckets.count_served(),
            sessions: self.sessions.len() as u64,
        }
    }
}

/// What the asker of a read is told.
fn reply_of(answer: Answer) -> Reply {
    match answer {
        Ok(reply) => reply,
        Err(Fault::Refused(error)) => error.into(),
        Err(Fault::Elsewhere(redirect)) => Reply::Redirect(redirect),
        Err(Fault::Damaged(row)) => ReplyError::not_done(row).into(),
    }
}

fn open_sessions(layout: Layout, rows: &impl Rows) -> Result<Sessions, OpenError> {
    let mut sessions = Sessions::default();
    let mut trouble = None;
    let (from, to) = layout.meta_range(SESSION);
    rows.range(&from, &to, &mut |row, value| {
        let client = row.get(from.len()..).and_then(|rest| rest.try_into().ok());
        let session = codec::decode::<Session>(value);
        match (client.map(u64::from_be_bytes), session) {
            (Some(client), Ok(session)) => sessions.restore(client, session),
            (None, _) => trouble = Some(super::DamagedRow("sessions").into()),
            (_, Err(error)) => trouble = Some(OpenError::Row { row: "session", error }),
        }
        trouble.is_none()
    });
    trouble.map_or(Ok(sessions), Err)
}

fn first_due(layout: Layout, rows: &impl Rows) -> Result<Option<UnixMillis>, OpenError> {
    let mut first = None;
    let (from, to) = layout.all_due();
    rows.range(&from, &to, &mut |row, _| {
        first = Some(due_deadline(row));
        false
    });
    Ok(first.transpose()?)
}
