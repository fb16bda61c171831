//! EXPIRE, TTL, PERSIST and their kin.

use super::fault::Answer;
use super::slot::Life;
use super::state::Machine;
use crate::kv::command::{Deadline, ExpireCondition, TtlUnit};
use crate::kv::reply::Reply;
use crate::rows::Rows;
use crate::time::UnixMillis;
use bytes::Bytes;

/// What TTL answers for a key that is not there.
const NO_KEY: i64 = -2;
/// What TTL answers for a key that lives for ever.
const ENDLESS: i64 = -1;

impl Machine {
    pub(super) fn expire(
        &mut self,
        rows: &mut impl Rows,
        key: &Bytes,
        deadline: Deadline,
        condition: ExpireCondition,
    ) -> Answer {
        let life = self.life_until(deadline, "expire")?;
        let mut slot = self.find(rows, key)?;
        let Some(held) = slot.live.take() else { return Ok(Reply::flag(false)) };
        let before = Life::of(&held);
        let met = condition_met(condition, before, life);
        if met && life != before {
            self.put(rows, slot, life, &held.value);
        }
        Ok(Reply::flag(met))
    }

    pub(super) fn persist(&mut self, rows: &mut impl Rows, key: &Bytes) -> Answer {
        let mut slot = self.find(rows, key)?;
        let held = slot.live.take().filter(|held| held.deadline.is_some());
        if let Some(held) = &held {
            self.put(rows, slot, Life::Endless, &held.value);
        }
        Ok(Reply::flag(held.is_some()))
    }

    pub(super) fn ttl(
        &self,
        rows: &impl Rows,
        key: &Bytes,
        unit: TtlUnit,
        now: UnixMillis,
    ) -> Answer {
        let Some(held) = self.find(rows, key)?.live else { return Ok(Reply::Integer(NO_KEY)) };
        let Some(deadline) = held.deadline else { return Ok(Reply::Integer(ENDLESS)) };
        let left = deadline.0.saturating_sub(now.0);
        let answer = match unit {
            TtlUnit::SecondsLeft => rounded(left),
            TtlUnit::MillisLeft => left,
            TtlUnit::Seconds => rounded(deadline.0),
            TtlUnit::Millis => deadline.0,
        };
        Ok(Reply::Integer(i64::try_from(answer).unwrap_or(i64::MAX)))
    }
}

/// Milliseconds as the nearest number of seconds.
fn rounded(millis: u64) -> u64 {
    millis.saturating_add(500) / 1000
}

fn condition_met(condition: ExpireCondition, before: Life, after: Life) -> bool {
    let ExpireCondition { if_none, if_some, if_later, if_earlier } = condition;
    let expires = before != Life::Endless;
    !(if_none && expires
        || if_some && !expires
        || if_later && rank(after) <= rank(before)
        || if_earlier && rank(after) >= rank(before))
}

/// Lives by their length.
fn rank(life: Life) -> (u8, u64) {
    match life {
        Life::Over => (0, 0),
        Life::Until(deadline) => (1, deadline.0),
        Life::Endless => (2, 0),
    }
}
