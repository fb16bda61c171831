//! GET, SET and their kin, and the commands that look at or change a part of a value.

use super::budget::Budget;
use super::fault::{Answer, Fault};
use super::layout::Held;
use super::slot::Life;
use super::state::Machine;
use crate::kv::command::{Condition, Expiry, GetExpiry};
use crate::kv::reply::Reply;
use crate::rows::Rows;
use bytes::Bytes;
use std::collections::BTreeMap;

impl Machine {
    pub(super) fn get(&self, rows: &impl Rows, key: &Bytes) -> Answer {
        Ok(bulk_or_nil(self.find(rows, key)?.live))
    }

    pub(super) fn mget(&self, rows: &impl Rows, keys: &[Bytes]) -> Answer {
        let mut budget = Budget::default();
        let values = keys.iter().map(|key| budget.answered(self.get(rows, key)));
        Ok(Reply::Array(values.collect::<Result<_, _>>()?))
    }

    pub(super) fn set(
        &mut self,
        rows: &mut impl Rows,
        key: &Bytes,
        value: &Bytes,
        condition: Condition,
        expiry: Expiry,
        get: bool,
    ) -> Answer {
        self.check_size(value.len() as u64)?;
        let given = match expiry {
            Expiry::Clear | Expiry::Keep => Life::Endless,
            Expiry::Set(deadline) => self.life_until(deadline, "set")?,
        };
        let mut slot = self.find(rows, key)?;
        let before = slot.live.take();
        let met = match condition {
            Condition::Always => true,
            Condition::IfAbsent => before.is_none(),
            Condition::IfPresent => before.is_some(),
        };
        if let Some(held) = before.as_ref().filter(|_| get) {
            self.budget.check_reply(held.value.len())?;
        }
        if met {
            let life = match (&before, expiry) {
                (Some(held), Expiry::Keep) => Life::of(held),
                _ => given,
            };
            self.put(rows, slot, life, value);
        }
        Ok(match (get, met) {
            (true, _) => bulk_or_nil(before),
            (false, true) => Reply::Ok,
            (false, false) => Reply::Nil,
        })
    }

    pub(super) fn set_nx(&mut self, rows: &mut impl Rows, key: &Bytes, value: &Bytes) -> Answer {
        let reply = self.set(rows, key, value, Condition::IfAbsent, Expiry::Clear, false)?;
        Ok(Reply::flag(reply == Reply::Ok))
    }

    pub(super) fn mset(&mut self, rows: &mut impl Rows, pairs: &[(Bytes, Bytes)]) -> Answer {
        self.check_pairs(pairs)?;
        for (key, value) in pairs {
            let slot = self.find(rows, key)?;
            self.put(rows, slot, Life::Endless, value);
        }
        Ok(Reply::Ok)
    }

    pub(super) fn mset_nx(&mut self, rows: &mut impl Rows, pairs: &[(Bytes, Bytes)]) -> Answer {
        self.check_pairs(pairs)?;
        // Of a key that is named twice the last value counts, and its slot must be written once.
        let last: BTreeMap<&Bytes, &Bytes> =
            pairs.iter().map(|(key, value)| (key, value)).collect();
        let mut slots = Vec::with_capacity(last.len());
        for (key, value) in last {
            let slot = self.find(rows, key)?;
            if slot.live.is_some() {
                return Ok(Reply::flag(false));
            }
            slots.push((slot, value));
        }
        for (slot, value) in slots {
            self.put(rows, slot, Life::Endless, value);
        }
        Ok(Reply::flag(true))
    }

    fn check_pairs(&self, pairs: &[(Bytes, Bytes)]) -> Result<(), Fault> {
        self.check_keys(pairs.iter().map(|(key, _)| key))?;
        let check = |(_, value): &(Bytes, Bytes)| self.check_size(value.len() as u64);
        Ok(pairs.iter().try_for_each(check)?)
    }

    pub(super) fn get_del(&mut self, rows: &mut impl Rows, key: &Bytes) -> Answer {
        let mut slot = self.find(rows, key)?;
        let before = slot.live.take();
        self.budget.check_reply(before.as_ref().map_or(0, |held| held.value.len()))?;
        self.remove(rows, slot);
        Ok(bulk_or_nil(before))
    }

    pub(super) fn get_ex(
        &mut self,
        rows: &mut impl Rows,
        key: &Bytes,
        expiry: GetExpiry,
    ) -> Answer {
        let given = match expiry {
            GetExpiry::Set(deadline) => Some(self.life_until(deadline, "getex")?),
            GetExpiry::Persist => Some(Life::Endless),
            GetExpiry::Keep => None,
        };
        let mut slot = self.find(rows, key)?;
        let Some(held) = slot.live.take() else { return Ok(Reply::Nil) };
        self.budget.check_reply(held.value.len())?;
        if let Some(life) = given.filter(|life| *life != Life::of(&held)) {
            self.put(rows, slot, life, &held.value);
        }
        Ok(Reply::Bulk(held.value))
    }

    pub(super) fn strlen(&self, rows: &impl Rows, key: &Bytes) -> Answer {
        let held = self.find(rows, key)?.live;
        Ok(length(held.map_or(0, |held| held.value.len())))
    }

    pub(super) fn append(&mut self, rows: &mut impl Rows, key: &Bytes, value: &Bytes) -> Answer {
        let mut slot = self.find(rows, key)?;
        let held = slot.live.take();
        let life = held.as_ref().map_or(Life::Endless, Life::of);
        let before = held.map_or_else(Bytes::new, |held| held.value);
        let after = before.len() + value.len();
        self.check_size(after as u64)?;
        self.put_parts(rows, slot, life, &[&before, value]);
        Ok(length(after))
    }

    pub(super) fn get_range(&self, rows: &impl Rows, key: &Bytes, start: i64, end: i64) -> Answer {
        let held = self.find(rows, key)?.live;
        let value = held.map_or_else(Bytes::new, |held| held.value);
        Ok(Reply::Bulk(part(&value, start, end)))
    }

    pub(super) fn set_range(
        &mut self,
        rows: &mut impl Rows,
        key: &Bytes,
        offset: u64,
        value: &Bytes,
    ) -> Answer {
        let mut slot = self.find(rows, key)?;
        let held = slot.live.take();
        let life = held.as_ref().map_or(Life::Endless, Life::of);
        let before = held.map_or_else(Bytes::new, |held| held.value);
        if value.is_empty() {
            return Ok(length(before.len()));
        }
        let end = offset.saturating_add(value.len() as u64);
        self.check_size(end.max(before.len() as u64))?;
        // Within the limit on values now, so it fits the memory's numbers.
        let (offset, end) = (offset as usize, end as usize);
        let head = &before[..offset.min(before.len())];
        let gap = vec![0; offset - head.len()];
        let tail = before.get(end..).unwrap_or_default();
        self.put_parts(rows, slot, life, &[head, &gap, value, tail]);
        Ok(length(end.max(before.len())))
    }
}

/// The bytes from `start` to `end`, both included; negative ones count from the end.
fn part(value: &Bytes, start: i64, end: i64) -> Bytes {
    let length = i64::try_from(value.len()).expect("an allocation is below 2^63 bytes");
    if start < 0 && end < 0 && start > end {
        return Bytes::new();
    }
    let from_start = |at: i64| if at < 0 { at.saturating_add(length).max(0) } else { at };
    let (start, end) = (from_start(start), from_start(end).min(length - 1));
    if start > end {
        return Bytes::new();
    }
    value.slice(start as usize..=end as usize)
}

fn length(length: usize) -> Reply {
    Reply::Integer(i64::try_from(length).expect("an allocation is below 2^63 bytes"))
}

fn bulk_or_nil(held: Option<Held>) -> Reply {
    held.map_or(Reply::Nil, |held| Reply::Bulk(held.value))
}
