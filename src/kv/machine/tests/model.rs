//! Random commands against a model that is a plain map, with replicas that restart beside it.

use super::{Dice, Replica, b, flushed};
use crate::ids::Bucket;
use crate::kv::{
    Command, Condition, Deadline, ExpireCondition, Expiry, GetExpiry, Reply, TtlUnit, number,
};
use crate::limits::BUCKETS;
use crate::shard::bucket_of;
use bytes::Bytes;
use std::collections::BTreeMap;

impl Dice {
    fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    /// One of a few keys, in three buckets.
    fn key(&mut self) -> Bytes {
        b(&format!("{{{}}}{}", self.below(3), self.below(6)))
    }

    fn value(&mut self) -> Bytes {
        match self.below(3) {
            0 => b(&self.below(100).to_string()),
            1 => b("text"),
            _ => b(&"x".repeat(self.below(60) as usize)),
        }
    }

    fn deadline(&mut self, now: u64) -> Deadline {
        let millis = self.below(300).cast_signed() - 20;
        if self.flip() { Deadline::After(millis) } else { Deadline::At(now.cast_signed() + millis) }
    }

    fn command(&mut self, now: u64) -> Command {
        let (key, value) = (self.key(), self.value());
        match self.below(22) {
            0..=4 => {
                let condition = [
                    Condition::Always,
                    Condition::Always,
                    Condition::IfAbsent,
                    Condition::IfPresent,
                ][self.below(4) as usize];
                let expiry = match self.below(3) {
                    0 => Expiry::Clear,
                    1 => Expiry::Keep,
                    _ => Expiry::Set(self.deadline(now)),
                };
                Command::Set { key, value, condition, expiry, get: self.flip() }
            }
            5 => Command::SetNx { key, value },
            6 => Command::GetDel { key },
            7 => {
                let deadline = self.deadline(now);
                let expiry =
                    if self.flip() { GetExpiry::Persist } else { GetExpiry::Set(deadline) };
                Command::GetEx { key, expiry }
            }
            8 => Command::Append { key, value },
            9 => Command::SetRange { key, offset: self.below(70), value },
            10 => Command::IncrBy { key, by: self.below(20).cast_signed() - 10 },
            11 => Command::MSet { pairs: vec![(key, value.clone()), (self.key(), value)] },
            12 => Command::MSetNx { pairs: vec![(key, value.clone()), (self.key(), value)] },
            13 => Command::Del { keys: vec![key, self.key()] },
            14 | 15 => {
                let condition = ExpireCondition {
                    if_none: self.below(4) == 0,
                    if_later: self.below(4) == 0,
                    if_earlier: self.below(4) == 0,
                    ..ExpireCondition::default()
                };
                Command::Expire { key, deadline: self.deadline(now), condition }
            }
            16 => Command::Persist { key },
            17 => Command::Rename { from: key, to: self.key(), if_absent: self.flip() },
            18 => Command::Copy { from: key, to: self.key(), replace: self.flip() },
            19 if self.below(20) == 0 => Command::Flush,
            20 => Command::Ttl { key, unit: TtlUnit::MillisLeft },
            _ => Command::MGet { keys: vec![key, self.key()] },
        }
    }
}

#[derive(Default)]
struct Model {
    keys: BTreeMap<Bytes, (Bytes, Option<u64>)>,
    time: u64,
}

const LIMIT: usize = super::VALUE_BYTES_MAX as usize;

impl Model {
    fn advance(&mut self, time: u64) {
        self.time = time;
        self.keys.retain(|_, (_, deadline)| deadline.is_none_or(|deadline| deadline > time));
    }

    fn put(&mut self, key: &Bytes, value: impl Into<Bytes>, deadline: Option<u64>) {
        self.keys.insert(key.clone(), (value.into(), deadline));
        self.advance(self.time);
    }

    fn value(&self, key: &Bytes) -> Reply {
        self.keys.get(key).map_or(Reply::Nil, |(value, _)| Reply::Bulk(value.clone()))
    }

    fn instant(&self, deadline: Deadline) -> Option<u64> {
        let instant = match deadline {
            Deadline::After(millis) => self.time.cast_signed() + millis,
            Deadline::At(millis) => millis,
        };
        Some(instant.cast_unsigned())
    }

    /// The reply; `None` for one of the errors.
    fn run(&mut self, command: &Command) -> Option<Reply> {
        let held = command.first_key().and_then(|key| self.keys.get(key)).cloned();
        let life = held.as_ref().and_then(|(_, deadline)| *deadline);
        let old = held.as_ref().map_or_else(Bytes::new, |(value, _)| value.clone());
        Some(match command {
            Command::Set { key, value, condition, expiry, get } => {
                let before = self.value(key);
                let met = match condition {
                    Condition::Always => true,
                    Condition::IfAbsent => held.is_none(),
                    Condition::IfPresent => held.is_some(),
                };
                if met {
                    let deadline = match expiry {
                        Expiry::Clear => None,
                        Expiry::Keep => life,
                        Expiry::Set(deadline) => self.instant(*deadline),
                    };
                    self.put(key, value.clone(), deadline);
                }
                if *get {
                    before
                } else if met {
                    Reply::Ok
                } else {
                    Reply::Nil
                }
            }
            Command::SetNx { key, value } => {
                if held.is_none() {
                    self.put(key, value.clone(), None);
                }
                Reply::flag(held.is_none())
            }
            Command::GetDel { key } => {
                let before = self.value(key);
                self.keys.remove(key);
                before
            }
            Command::GetEx { key, expiry } => {
                let before = self.value(key);
                if held.is_some() {
                    let deadline = match expiry {
                        GetExpiry::Set(deadline) => self.instant(*deadline),
                        _ => None,
                    };
                    self.put(key, old, deadline);
                }
                before
            }
            Command::Append { key, value } => {
                let joined = [old, value.clone()].concat();
                let length = joined.len();
                if length > LIMIT {
                    return None;
                }
                self.put(key, joined, life);
                Reply::Integer(length as i64)
            }
            Command::SetRange { key, offset, value } => {
                let mut bytes = old.to_vec();
                if !value.is_empty() {
                    let (from, to) = (*offset as usize, *offset as usize + value.len());
                    bytes.resize(bytes.len().max(to), 0);
                    if bytes.len() > LIMIT {
                        return None;
                    }
                    bytes[from..to].copy_from_slice(value);
                    self.put(key, bytes.clone(), life);
                }
                Reply::Integer(bytes.len() as i64)
            }
            Command::IncrBy { key, by } => {
                let before = if held.is_some() { number::integer(&old)? } else { 0 };
                self.put(key, (before + by).to_string(), life);
                Reply::Integer(before + by)
            }
            Command::MSet { pairs } => {
                pairs.iter().for_each(|(key, value)| self.put(key, value.clone(), None));
                Reply::Ok
            }
            Command::MSetNx { pairs } => {
                let free = pairs.iter().all(|(key, _)| !self.keys.contains_key(key));
                if free {
                    pairs.iter().for_each(|(key, value)| self.put(key, value.clone(), None));
                }
                Reply::flag(free)
            }
            Command::Del { keys } => {
                let gone = keys.iter().filter(|key| self.keys.remove(*key).is_some());
                Reply::Integer(gone.count() as i64)
            }
            Command::Expire { key, deadline, condition } => {
                let new = self.instant(*deadline)?;
                let now = life.unwrap_or(u64::MAX);
                let met = held.is_some()
                    && (!condition.if_none || life.is_none())
                    && (!condition.if_later || new > now)
                    && (!condition.if_earlier || new < now);
                if met {
                    self.put(key, old, Some(new));
                }
                Reply::flag(met)
            }
            Command::Persist { key } => {
                if held.is_some() {
                    self.put(key, old, None);
                }
                Reply::flag(life.is_some())
            }
            Command::Rename { from, to, if_absent } => {
                held.as_ref()?;
                let free = !if_absent || !self.keys.contains_key(to);
                if free {
                    self.keys.remove(from);
                    self.put(to, old, life);
                }
                if *if_absent { Reply::flag(free) } else { Reply::Ok }
            }
            Command::Copy { from, to, replace } => {
                if from == to {
                    return None;
                }
                let done = held.is_some() && (*replace || !self.keys.contains_key(to));
                if done {
                    self.put(to, old, life);
                }
                Reply::flag(done)
            }
            Command::Flush => {
                self.keys.clear();
                flushed(0, BUCKETS - 1)
            }
            Command::Ttl { .. } => Reply::Integer(match (held, life) {
                (None, _) => -2,
                (Some(_), None) => -1,
                (_, Some(deadline)) => (deadline - self.time).cast_signed(),
            }),
            Command::MGet { keys } => {
                Reply::Array(keys.iter().map(|key| self.value(key)).collect())
            }
            other => unreachable!("the dice have no {other:?}"),
        })
    }

    fn check(&self, replica: &Replica) {
        let stats = replica.machine.stats();
        let bytes =
            self.keys.iter().map(|(key, (value, _))| key.len() + value.len()).sum::<usize>();
        assert_eq!((stats.keys, stats.bytes), (self.keys.len() as u64, bytes as u64));
        assert_eq!(replica.read(&Command::DbSize), Reply::Integer(self.keys.len() as i64));
        for name in ["0", "1", "2"] {
            let bucket: Bucket = bucket_of(name.as_bytes());
            let here = self.keys.keys().filter(|key| bucket_of(key) == bucket).count();
            assert_eq!(replica.read(&Command::CountKeys { bucket }), Reply::Integer(here as i64));
        }
        let first = self.keys.values().filter_map(|(_, deadline)| *deadline).min();
        let told = replica.machine.next_due().map(|due| due.0);
        assert!(
            first.is_none_or(|first| told.is_some_and(|told| told <= first)),
            "{told:?} {first:?}"
        );
        assert!(told.is_none_or(|told| told > self.time), "what is due is gone");
    }
}

#[test]
fn random_commands_do_what_a_map_would() {
    for seed in 1..=12 {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut replica = Replica::new();
        let mut twin = Replica::new();
        let mut model = Model::default();
        for step in 0..1_500 {
            if dice.below(4) == 0 {
                replica.time += dice.below(40);
            }
            twin.time = replica.time;
            model.advance(replica.time);
            let command = dice.command(replica.time);
            let reply = replica.run(command.clone());
            match model.run(&command) {
                Some(expected) => {
                    assert_eq!(reply, expected, "seed {seed} step {step}: {command:?}")
                }
                None => assert!(
                    matches!(reply, Reply::Error(_)),
                    "seed {seed} step {step}: {command:?}"
                ),
            }
            model.check(&replica);
            assert_eq!(twin.run(command), reply);
            if dice.below(200) == 0 {
                twin = twin.reopened();
            }
        }
        assert_eq!(
            replica.dump(),
            twin.dump(),
            "seed {seed}: a replica that restarted is no other"
        );
    }
}
