//! Commands on several keys. Keys of one bucket go together as one command, atomic; the others as parts,
//! each atomic on its own, whose replies are joined to the one that the client waits for.

use super::arguments::Answer;
use super::parsed::Parsed;
use crate::ids::Bucket;
use crate::kv::{Command, Reply, ReplyError};
use crate::limits::ENTRY_BYTES_MAX;
use crate::shard::bucket_of;
use bytes::Bytes;

/// The keys and values of one command on one bucket, bytes: what fits an entry, wrapping included.
pub const COMMAND_BYTES_MAX: usize = ENTRY_BYTES_MAX - 64 * 1024;

/// The first word of [`ReplyError::outcome_unknown`].
const UNKNOWN: &str = "UNKNOWN";

/// A command over several buckets, in parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// One for each bucket, by ascending bucket; at least two.
    pub parts: Vec<Part>,
    /// How their replies become one.
    pub join: Join,
    /// Whether it may change state. A write that was carried out in part is not "not done".
    pub writes: bool,
}

/// What one bucket has to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The bucket.
    pub bucket: Bucket,
    /// The command on its keys.
    pub command: Command,
    /// Where its keys stood among the client's, from 0, in the order of the command.
    pub places: Vec<usize>,
}

/// How the replies of the parts become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Numbers are added (DEL, UNLINK, EXISTS, TOUCH).
    Sum,
    /// All must be OK (MSET).
    AllOk,
    /// Values go where their keys stood (MGET).
    Values,
}

impl Split {
    /// The reply to the client, given those to the parts, in their order. An error of any part is an
    /// error of the whole.
    ///
    /// # Panics
    /// When there are not as many replies as parts.
    #[must_use]
    pub fn join(&self, replies: Vec<Reply>) -> Reply {
        assert_eq!(replies.len(), self.parts.len(), "a reply for each part");
        if let Some(error) = Self::trouble(&replies, self.writes) {
            return error.into();
        }
        match self.join {
            Join::AllOk => Reply::Ok,
            Join::Sum => {
                let numbers = replies.iter().map(|reply| match reply {
                    Reply::Integer(number) => *number,
                    _ => 0,
                });
                Reply::Integer(numbers.sum())
            }
            Join::Values => {
                let count = self.parts.iter().map(|part| part.places.len()).sum();
                let mut all = vec![Reply::Nil; count];
                for (part, reply) in self.parts.iter().zip(replies) {
                    let Reply::Array(values) = reply else {
                        return ReplyError::err("a part of the reply is malformed").into();
                    };
                    if values.len() != part.places.len() {
                        return ReplyError::err("a part of the reply is malformed").into();
                    }
                    for (place, value) in part.places.iter().zip(values) {
                        all[*place] = value;
                    }
                }
                Reply::Array(all)
            }
        }
    }

    /// The error of the whole, if any part has one. When a write was carried out in one part and not in
    /// another, or nobody knows, then its outcome is "unknown": whoever sends it again after a "not
    /// done" must not find that some of it happens twice.
    #[must_use]
    pub fn trouble(replies: &[Reply], writes: bool) -> Option<ReplyError> {
        let errors = || {
            replies.iter().filter_map(|reply| match reply {
                Reply::Error(error) => Some(error),
                _ => None,
            })
        };
        let first = errors().next()?;
        if !writes {
            return Some(first.clone());
        }
        if errors().count() < replies.len() {
            let why = first.text.split(" (").next().unwrap_or_default();
            let why = format!("carried out in part: another part met {} {why}", first.code);
            return Some(ReplyError::outcome_unknown(why));
        }
        Some(errors().find(|error| error.code == UNKNOWN).unwrap_or(first).clone())
    }
}

/// A command on these keys, or pairs: as one if they are all of one bucket.
pub(super) fn by_bucket<T>(
    items: Vec<T>,
    key: impl Fn(&T) -> &Bytes,
    join: Join,
    command: impl Fn(Vec<T>) -> Command,
) -> Answer<Parsed> {
    let mut buckets: Vec<Bucket> = items.iter().map(|item| bucket_of(key(item))).collect();
    buckets.dedup();
    if buckets.len() <= 1 {
        return fitting(command(items)).map(Parsed::Data);
    }
    let mut placed: Vec<(Bucket, usize, T)> = items
        .into_iter()
        .enumerate()
        .map(|(place, item)| (bucket_of(key(&item)), place, item))
        .collect();
    placed.sort_by_key(|(bucket, place, _)| (*bucket, *place));
    let mut parts = Vec::new();
    let mut placed = placed.into_iter().peekable();
    while let Some((bucket, place, item)) = placed.next() {
        let (mut places, mut of_bucket) = (vec![place], vec![item]);
        while let Some((_, place, item)) = placed.next_if(|(next, ..)| *next == bucket) {
            places.push(place);
            of_bucket.push(item);
        }
        parts.push(Part { bucket, command: fitting(command(of_bucket))?, places });
    }
    match <[Part; 1]>::try_from(parts) {
        Ok([part]) => Ok(Parsed::Data(part.command)),
        Err(parts) => {
            let writes = parts.iter().any(|part| part.command.is_write());
            Ok(Parsed::Split(Split { parts, join, writes }))
        }
    }
}

/// A command on keys that must all be of one bucket.
pub(super) fn in_one_bucket<'a>(mut keys: impl Iterator<Item = &'a Bytes>) -> Answer<()> {
    let Some(first) = keys.next() else { return Ok(()) };
    let bucket = bucket_of(first);
    if keys.all(|key| bucket_of(key) == bucket) { Ok(()) } else { Err(ReplyError::cross_slot()) }
}

/// The command, unless it is too large for an entry.
pub(super) fn fitting(command: Command) -> Answer<Command> {
    if command.bytes() > COMMAND_BYTES_MAX {
        let text = format!("command is larger than {COMMAND_BYTES_MAX} bytes in one bucket");
        return Err(ReplyError::err(text));
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&'static str]) -> Vec<Bytes> {
        words.iter().map(|word| Bytes::from_static(word.as_bytes())).collect()
    }

    fn mget(keys: &[&'static str]) -> Parsed {
        by_bucket(words(keys), |key| key, Join::Values, |keys| Command::MGet { keys }).unwrap()
    }

    #[test]
    fn keys_of_one_bucket_stay_together() {
        let keys = ["{a}1", "{a}2", "{a}1"];
        assert_eq!(mget(&keys), Parsed::Data(Command::MGet { keys: words(&keys) }));
    }

    #[test]
    fn values_go_where_their_keys_stood() {
        let Parsed::Split(split) = mget(&["{a}1", "{b}1", "{a}2", "{c}1", "{b}1"]) else {
            panic!()
        };
        let mut seen = Vec::new();
        let replies = split.parts.iter().map(|part| {
            assert_eq!(part.command.bucket(), Some(part.bucket));
            seen.push(part.bucket);
            let Command::MGet { keys } = &part.command else { panic!() };
            Reply::Array(keys.iter().map(|key| Reply::Bulk(key.clone())).collect())
        });
        let reply = split.join(replies.collect());
        let wanted = words(&["{a}1", "{b}1", "{a}2", "{c}1", "{b}1"]);
        assert_eq!(reply, Reply::Array(wanted.into_iter().map(Reply::Bulk).collect()));
        assert_eq!(seen.len(), 3);
        assert!(seen.is_sorted());
    }

    #[test]
    fn numbers_add_up_and_one_error_of_a_read_is_the_error_of_all() {
        let exists = |keys| Command::Exists { keys };
        let split = by_bucket(words(&["a", "b", "c"]), |key| key, Join::Sum, exists).unwrap();
        let Parsed::Split(split) = split else { panic!() };
        let one = Reply::Integer(1);
        assert_eq!(split.join(vec![one.clone(), one.clone(), one.clone()]), Reply::Integer(3));
        let error = Reply::from(ReplyError::not_done("x"));
        assert_eq!(split.join(vec![one.clone(), error.clone(), one]), error);
    }

    #[test]
    fn a_write_done_in_part_is_never_called_not_done() {
        let del = |keys| Command::Del { keys };
        let split = by_bucket(words(&["a", "b", "c"]), |key| key, Join::Sum, del).unwrap();
        let Parsed::Split(split) = split else { panic!() };
        let one = Reply::Integer(1);
        let not_done = Reply::from(ReplyError::not_done("busy"));
        let unknown = Reply::from(ReplyError::outcome_unknown("late"));
        let text =
            |replies: &[&Reply]| match split.join(replies.iter().map(|r| (*r).clone()).collect()) {
                Reply::Error(error) => error.to_string(),
                other => panic!("{other:?}"),
            };
        let partly = text(&[&one, &not_done, &one]);
        assert!(partly.starts_with("UNKNOWN carried out in part: "), "{partly}");
        assert!(partly.contains("busy") && !partly.contains("(not done)"), "{partly}");
        assert!(text(&[&not_done, &unknown, &not_done]).starts_with("UNKNOWN "));
        assert!(text(&[&not_done, &not_done, &not_done]).ends_with("(not done)"));
    }
}
