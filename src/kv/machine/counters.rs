//! INCR and INCRBYFLOAT with their kin: values that are numbers.

use super::fault::Answer;
use super::slot::Life;
use super::state::Machine;
use crate::kv::number::{self, SumError};
use crate::kv::reply::{Reply, ReplyError};
use crate::rows::Rows;
use bytes::Bytes;

impl Machine {
    pub(super) fn incr_by(&mut self, rows: &mut impl Rows, key: &Bytes, by: i64) -> Answer {
        let mut slot = self.find(rows, key)?;
        let held = slot.live.take();
        let before = match &held {
            Some(held) => number::integer(&held.value).ok_or_else(ReplyError::not_an_integer)?,
            None => 0,
        };
        let overflow = || ReplyError::err("increment or decrement would overflow");
        let after = before.checked_add(by).ok_or_else(overflow)?;
        let text = after.to_string();
        self.check_size(text.len() as u64)?;
        self.put(rows, slot, held.as_ref().map_or(Life::Endless, Life::of), text.as_bytes());
        Ok(Reply::Integer(after))
    }

    pub(super) fn incr_by_float(
        &mut self,
        rows: &mut impl Rows,
        key: &Bytes,
        by: &Bytes,
    ) -> Answer {
        let mut slot = self.find(rows, key)?;
        let held = slot.live.take();
        let before = held.as_ref().map_or(&b"0"[..], |held| &held.value);
        let text = number::sum(before, by).map_err(|error| match error {
            SumError::NotAFloat => ReplyError::not_a_float(),
            SumError::NotFinite => ReplyError::err("increment would produce NaN or Infinity"),
        })?;
        self.check_size(text.len() as u64)?;
        self.put(rows, slot, held.as_ref().map_or(Life::Endless, Life::of), text.as_bytes());
        Ok(Reply::text(text))
    }
}
