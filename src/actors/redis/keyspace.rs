//! Commands on the keys of all groups: DBSIZE, SCAN, KEYS, FLUSHALL, RANDOMKEY.
//!
//! The plain port speaks for all groups. The cluster port speaks for those led here, because cluster
//! clients ask every master and add up.

use super::connection::Connection;
use crate::actors::router::{Mode, Target, trouble_reply};
use crate::ids::GroupId;
use crate::kv::parse::{ClusterWide, Split};
use crate::kv::{Command, Reply, ReplyError, ScanPage};
use crate::limits;
use crate::net::message::{Ask, Outcome, Work};
use crate::shard::{Bounds, BucketRange};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// Keys looked at by one page of KEYS.
const KEYS_PAGE: u32 = 1_000;
/// FLUSHALL waits so long for buckets that are between two groups, and looks again so often.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);
const FLUSH_PAUSE: Duration = Duration::from_millis(10);
/// The most that KEYS answers, bytes; use SCAN beyond.
const KEYS_BYTES_MAX: usize = 256 * 1024 * 1024;

pub(super) async fn run(connection: &Connection, command: ClusterWide) -> Reply {
    let done = match command {
        ClusterWide::DbSize => all(connection, Command::DbSize).await.map(|replies| sum(&replies)),
        ClusterWide::FlushAll => flush_all(connection).await,
        ClusterWide::RandomKey => random_key(connection).await,
        ClusterWide::Keys { pattern } => keys(connection, pattern).await,
        ClusterWide::Scan { cursor, count, pattern, kind } => {
            scan(connection, cursor, count, pattern, kind).await.map(|(next, keys)| {
                Reply::Array(vec![Reply::text(next.to_string()), Reply::Array(keys)])
            })
        }
    };
    done.unwrap_or_else(|reply| reply)
}

/// The groups this port speaks for.
fn groups(connection: &Connection) -> Result<Vec<GroupId>, Reply> {
    let Some(routing) = connection.router.routing() else {
        return Err(ReplyError::new("CLUSTERDOWN", "the cluster has no table yet").into());
    };
    let here = connection.router.shared().node;
    let all = routing.table().data_groups().map(|(group, _)| group);
    Ok(match connection.context.kind.mode() {
        Mode::Cluster => all.collect(),
        Mode::Here => all.filter(|group| connection.router.leader(*group) == Some(here)).collect(),
    })
}

/// The reply of each group, errors among them.
async fn ask_each(connection: &Connection, groups: Vec<GroupId>, command: Command) -> Vec<Reply> {
    let units = groups
        .into_iter()
        .map(|group| {
            let ask = Ask { command: command.clone(), session: None };
            (Target::Group(group), Work::Keys(vec![ask]))
        })
        .collect();
    let settled = connection.router.submit(units, Mode::Cluster).await;
    settled
        .into_iter()
        .map(|one| match one.outcome {
            Outcome::Done(mut replies) => replies.pop().unwrap_or(Reply::Nil),
            trouble => trouble_reply(&trouble, one.hint.as_deref()),
        })
        .collect()
}

/// The reply of each group, or the error of any.
async fn ask(
    connection: &Connection,
    groups: Vec<GroupId>,
    command: Command,
) -> Result<Vec<Reply>, Reply> {
    let replies = ask_each(connection, groups, command).await;
    match Split::trouble(&replies, false) {
        Some(error) => Err(error.into()),
        None => Ok(replies),
    }
}

/// Each group forgets the keys that it serves. A bucket that is between two groups then is nobody's: all is
/// done again until every bucket was somebody's, so that no key of before stays.
async fn flush_all(connection: &Connection) -> Result<Reply, Reply> {
    let began = Instant::now();
    let speaks_for_all = connection.context.kind.mode() == Mode::Cluster;
    let mut flushed = Flushed::new();
    loop {
        let replies = ask_each(connection, groups(connection)?, Command::Flush).await;
        if let Some(error) = Split::trouble(&replies, true) {
            return Err(error.into());
        }
        for reply in &replies {
            let ranges = reply.decode::<Vec<BucketRange>>();
            flushed.add(&ranges.map_err(|error| Reply::from(ReplyError::outcome_unknown(error)))?);
        }
        let left = flushed.left();
        if left == 0 || !speaks_for_all {
            return Ok(Reply::Ok);
        }
        if began.elapsed() > FLUSH_PATIENCE {
            let why = format!("{left} buckets are between two groups: send it again");
            return Err(ReplyError::outcome_unknown(why).into());
        }
        tokio::time::sleep(FLUSH_PAUSE).await;
    }
}

/// Of which buckets the keys were forgotten, by whichever group served them then.
struct Flushed(Vec<bool>);

impl Flushed {
    fn new() -> Self {
        Self(vec![false; usize::from(limits::BUCKETS)])
    }

    fn add(&mut self, ranges: &[BucketRange]) {
        for bucket in ranges.iter().flat_map(|range| range.buckets()) {
            if let Some(flushed) = self.0.get_mut(usize::from(bucket.0)) {
                *flushed = true;
            }
        }
    }

    /// How many buckets nobody has served yet.
    fn left(&self) -> usize {
        self.0.iter().filter(|flushed| !**flushed).count()
    }
}

async fn all(connection: &Connection, command: Command) -> Result<Vec<Reply>, Reply> {
    ask(connection, groups(connection)?, command).await
}

fn sum(replies: &[Reply]) -> Reply {
    let numbers = replies.iter().map(|reply| match reply {
        Reply::Integer(number) => *number,
        _ => 0,
    });
    Reply::Integer(numbers.sum())
}

/// Each group is drawn as often as its share of the keys.
async fn random_key(connection: &Connection) -> Result<Reply, Reply> {
    let groups = groups(connection)?;
    let counts = ask(connection, groups.clone(), Command::DbSize).await?;
    let counts: Vec<u64> = counts
        .iter()
        .map(|count| match count {
            Reply::Integer(count) => u64::try_from(*count).unwrap_or(0),
            _ => 0,
        })
        .collect();
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return Ok(Reply::Nil);
    }
    let random = connection.context.random();
    let mut at = random % total;
    for (group, count) in groups.into_iter().zip(counts) {
        if at < count {
            let command = Command::RandomKey { random: connection.context.random() };
            return Ok(ask(connection, vec![group], command).await?.pop().unwrap_or(Reply::Nil));
        }
        at -= count;
    }
    Ok(Reply::Nil)
}

/// A page of keys from the range of buckets in which the cursor lies, or the first behind it that this
/// port speaks for; and where to go on, 0 at the end.
async fn scan(
    connection: &Connection,
    cursor: u64,
    count: u32,
    pattern: Option<Bytes>,
    kind: Option<Bytes>,
) -> Result<(u64, Vec<Reply>), Reply> {
    let served = groups(connection)?;
    let Some(routing) = connection.router.routing() else { return Ok((0, Vec::new())) };
    let bucket = (cursor >> crate::kv::HASH_BITS).min(limits::BUCKETS.into());
    let ranges = routing.table().owners.ranges(Bounds::Actual);
    let mut rest = ranges
        .into_iter()
        .filter_map(|(range, group)| Some((range, group.filter(|group| served.contains(group))?)))
        .filter(|(range, _)| u64::from(range.last.0) >= bucket);
    let Some((range, group)) = rest.next() else { return Ok((0, Vec::new())) };
    let start = u64::from(range.first.0) << crate::kv::HASH_BITS;
    let page =
        ScanPage { cursor: cursor.max(start), until: range.last.0 + 1, count, pattern, kind };
    let reply = ask(connection, vec![group], Command::Scan(page)).await?.pop();
    let (next, keys) = match reply {
        Some(Reply::Array(mut parts)) if parts.len() == 2 => match (parts.pop(), parts.pop()) {
            (Some(Reply::Array(keys)), Some(Reply::Integer(next))) => (next.cast_unsigned(), keys),
            _ => return Err(ReplyError::err("a malformed page").into()),
        },
        _ => return Err(ReplyError::err("a malformed page").into()),
    };
    if next != 0 {
        return Ok((next, keys));
    }
    // This range is at its end: on to the next.
    let next = rest.next().map_or(0, |(range, _)| u64::from(range.first.0) << crate::kv::HASH_BITS);
    Ok((next, keys))
}

async fn keys(connection: &Connection, pattern: Bytes) -> Result<Reply, Reply> {
    let (mut cursor, mut found, mut bytes) = (0, Vec::new(), 0);
    loop {
        let (next, keys) = scan(connection, cursor, KEYS_PAGE, Some(pattern.clone()), None).await?;
        bytes += keys.iter().map(Reply::bytes).sum::<usize>();
        found.extend(keys);
        if bytes > KEYS_BYTES_MAX {
            return Err(ReplyError::err("too many keys for one reply; use SCAN").into());
        }
        if next == 0 {
            return Ok(Reply::Array(found));
        }
        cursor = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Bucket;

    #[test]
    fn buckets_between_two_groups_are_left_until_somebody_has_served_them() {
        let range = |first, last| BucketRange { first: Bucket(first), last: Bucket(last) };
        let mut flushed = Flushed::new();
        flushed.add(&[range(0, 99), range(200, limits::BUCKETS - 1)]);
        flushed.add(&[range(0, 149), range(200, 299)]);
        assert_eq!(flushed.left(), 50);
        // No such buckets, whoever says so.
        flushed.add(&[range(limits::BUCKETS, u16::MAX), range(9, 3)]);
        assert_eq!(flushed.left(), 50);
        flushed.add(&[range(150, 199)]);
        assert_eq!(flushed.left(), 0);
    }
}
