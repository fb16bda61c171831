//! From a command to the function that carries it out. Every command is named once here.

use super::fault::{Answer, Fault};
use super::state::Machine;
use crate::kv::command::{Command, GetExpiry};
use crate::kv::reply::ReplyError;
use crate::rows::Rows;
use crate::time::UnixMillis;

impl Machine {
    /// Carries out any command.
    pub(super) fn run(&mut self, rows: &mut impl Rows, command: &Command) -> Answer {
        match command {
            Command::Set { key, value, condition, expiry, get } => {
                self.set(rows, key, value, *condition, *expiry, *get)
            }
            Command::SetNx { key, value } => self.set_nx(rows, key, value),
            Command::GetDel { key } => self.get_del(rows, key),
            Command::GetEx { key, expiry } if *expiry != GetExpiry::Keep => {
                self.get_ex(rows, key, *expiry)
            }
            Command::Append { key, value } => self.append(rows, key, value),
            Command::SetRange { key, offset, value } => self.set_range(rows, key, *offset, value),
            Command::MSet { pairs } => self.mset(rows, pairs),
            Command::MSetNx { pairs } => self.mset_nx(rows, pairs),
            Command::IncrBy { key, by } => self.incr_by(rows, key, *by),
            Command::IncrByFloat { key, by } => self.incr_by_float(rows, key, by),
            Command::Del { keys } => self.del(rows, keys),
            Command::Rename { from, to, if_absent } => self.rename(rows, from, to, *if_absent),
            Command::Copy { from, to, replace } => self.copy(rows, from, to, *replace),
            Command::Expire { key, deadline, condition } => {
                self.expire(rows, key, *deadline, *condition)
            }
            Command::Persist { key } => self.persist(rows, key),
            Command::Flush => self.forget_all_keys(rows),
            reads => {
                let answer = self.answer(rows, reads, self.meta.time);
                self.budget.answered(answer)
            }
        }
    }

    /// Answers a command that is no write, at this time (see [`Machine::read`]).
    pub(super) fn answer(&self, rows: &impl Rows, command: &Command, now: UnixMillis) -> Answer {
        match command {
            Command::Get { key } | Command::GetEx { key, expiry: GetExpiry::Keep } => {
                self.get(rows, key)
            }
            Command::MGet { keys } => self.mget(rows, keys),
            Command::Strlen { key } => self.strlen(rows, key),
            Command::GetRange { key, start, end } => self.get_range(rows, key, *start, *end),
            Command::Exists { keys } | Command::Touch { keys } => self.exists(rows, keys),
            Command::Type { key } => self.type_of(rows, key),
            Command::Describe { key, what } => self.describe(rows, key, *what),
            Command::Ttl { key, unit } => self.ttl(rows, key, *unit, now),
            Command::Scan(page) => self.scan(rows, page),
            Command::RandomKey { random } => self.random_key(rows, *random),
            Command::DbSize => self.db_size(),
            Command::CountKeys { bucket } => self.count_keys(*bucket),
            Command::KeysInBucket { bucket, count } => self.keys_in_bucket(rows, *bucket, *count),
            Command::Set { .. }
            | Command::SetNx { .. }
            | Command::GetDel { .. }
            | Command::GetEx { .. }
            | Command::Append { .. }
            | Command::SetRange { .. }
            | Command::MSet { .. }
            | Command::MSetNx { .. }
            | Command::IncrBy { .. }
            | Command::IncrByFloat { .. }
            | Command::Del { .. }
            | Command::Rename { .. }
            | Command::Copy { .. }
            | Command::Expire { .. }
            | Command::Persist { .. }
            | Command::Flush => {
                Err(Fault::Refused(ReplyError::not_done("a write was sent as a read")))
            }
        }
    }
}
