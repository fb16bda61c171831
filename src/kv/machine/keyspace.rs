//! Commands on keys, whatever their values: DEL, EXISTS, TYPE, RENAME, COPY, OBJECT.

use super::fault::Answer;
use super::layout::row_overhead;
use super::slot::Life;
use super::state::Machine;
use crate::kv::command::Describe;
use crate::kv::number;
use crate::kv::reply::{Reply, ReplyError};
use crate::rows::Rows;
use bytes::Bytes;

/// The longest value that OBJECT ENCODING calls `embstr`, bytes; as in Redis.
const EMBSTR_BYTES_MAX: usize = 44;

impl Machine {
    pub(super) fn del(&mut self, rows: &mut impl Rows, keys: &[Bytes]) -> Answer {
        self.check_keys(keys)?;
        let mut removed = 0;
        for key in keys {
            let slot = self.find(rows, key)?;
            removed += i64::from(slot.live.is_some());
            self.remove(rows, slot);
        }
        Ok(Reply::Integer(removed))
    }

    pub(super) fn exists(&self, rows: &impl Rows, keys: &[Bytes]) -> Answer {
        let mut found = 0;
        for key in keys {
            found += i64::from(self.find(rows, key)?.live.is_some());
        }
        Ok(Reply::Integer(found))
    }

    pub(super) fn type_of(&self, rows: &impl Rows, key: &Bytes) -> Answer {
        let there = self.find(rows, key)?.live.is_some();
        Ok(Reply::Status(if there { "string" } else { "none" }.to_owned()))
    }

    pub(super) fn rename(
        &mut self,
        rows: &mut impl Rows,
        from: &Bytes,
        to: &Bytes,
        if_absent: bool,
    ) -> Answer {
        let mut source = self.find(rows, from)?;
        let held = source.live.take().ok_or_else(|| ReplyError::err("no such key"))?;
        let done = if from == to {
            // Of RENAMENX the new name is taken.
            !if_absent
        } else {
            let target = self.find(rows, to)?;
            let free = !if_absent || target.live.is_none();
            if free {
                self.remove(rows, source);
                self.put(rows, target, Life::of(&held), &held.value);
            }
            free
        };
        Ok(if if_absent { Reply::flag(done) } else { Reply::Ok })
    }

    pub(super) fn copy(
        &mut self,
        rows: &mut impl Rows,
        from: &Bytes,
        to: &Bytes,
        replace: bool,
    ) -> Answer {
        if from == to {
            return Err(ReplyError::err("source and destination objects are the same").into());
        }
        let Some(held) = self.find(rows, from)?.live else { return Ok(Reply::flag(false)) };
        let target = self.find(rows, to)?;
        if target.live.is_some() && !replace {
            return Ok(Reply::flag(false));
        }
        self.put(rows, target, Life::of(&held), &held.value);
        Ok(Reply::flag(true))
    }

    pub(super) fn describe(&self, rows: &impl Rows, key: &Bytes, what: Describe) -> Answer {
        let Some(held) = self.find(rows, key)?.live else { return Ok(Reply::Nil) };
        Ok(match what {
            Describe::Encoding if number::integer(&held.value).is_some() => Reply::text("int"),
            Describe::Encoding if held.value.len() <= EMBSTR_BYTES_MAX => Reply::text("embstr"),
            Describe::Encoding => Reply::text("raw"),
            Describe::Memory => {
                let bytes = row_overhead(held.deadline) + key.len() + held.value.len();
                Reply::Integer(i64::try_from(bytes).expect("an allocation is below 2^63 bytes"))
            }
        })
    }
}
