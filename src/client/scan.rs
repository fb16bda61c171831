//! All keys of a cluster, page by page.
//!
//! The config table says which group owns which range of buckets; each range is read from its group, in
//! order. A key that is there during the whole scan is found at least once.

use super::error::ClientError;
use super::handle::Client;
use crate::ids::{Bucket, GroupId};
use crate::kv::scan::cursor;
use crate::kv::{Reply, ScanPage};
use crate::net::message::{AdminRequest, AdminResponse, Outcome, TableAnswer};
use crate::shard::{Bounds, BucketRange};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a page that no leader could give is asked for again.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause between two such questions.
const PAUSE: Duration = Duration::from_millis(100);

/// A scan under way.
#[derive(Debug)]
pub struct Scan {
    client: Client,
    ranges: VecDeque<(BucketRange, GroupId)>,
    /// Where in the first range to go on.
    cursor: u64,
    pattern: Option<Bytes>,
    count: u32,
}

impl Client {
    /// Begins a scan of all keys, or of those that match a glob, with about `count` keys looked at for each
    /// page. Needs the role of an admin.
    ///
    /// # Errors
    /// When the config table cannot be had.
    pub async fn scan(&self, pattern: Option<Bytes>, count: u32) -> Result<Scan, ClientError> {
        let TableAnswer::Found(table) = self.table(None).await? else {
            return Err(ClientError::Unanswered("there is no config table yet".into()));
        };
        let ranges = table.owners.ranges(Bounds::Actual).into_iter();
        let ranges: VecDeque<_> =
            ranges.filter_map(|(range, group)| Some((range, group?))).collect();
        let cursor = ranges.front().map_or(0, |(range, _)| cursor(range.first, 0));
        Ok(Scan { client: self.clone(), ranges, cursor, pattern, count })
    }
}

impl Scan {
    /// The keys of the next page, which may be none; `None` at the end.
    ///
    /// # Errors
    /// When the group's leader cannot be reached in time. The scan may be gone on with.
    pub async fn next(&mut self) -> Result<Option<Vec<Bytes>>, ClientError> {
        let Some(&(range, group)) = self.ranges.front() else { return Ok(None) };
        let page = ScanPage {
            cursor: self.cursor,
            until: range.last.0 + 1,
            count: self.count,
            pattern: self.pattern.clone(),
            kind: None,
        };
        let (next, keys) = self.page(&AdminRequest::Scan { group, page }).await?;
        if next == 0 {
            self.ranges.pop_front();
            let start = |(range, _): &(BucketRange, GroupId)| cursor(Bucket(range.first.0), 0);
            self.cursor = self.ranges.front().map_or(0, start);
        } else {
            self.cursor = next;
        }
        Ok(Some(keys))
    }

    async fn page(&self, request: &AdminRequest) -> Result<(u64, Vec<Bytes>), ClientError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let AdminResponse::Executed(outcomes) = self.client.ask(request).await? else {
                return Err(ClientError::Unanswered(
                    "an answer that does not fit the question".into(),
                ));
            };
            match outcomes.into_iter().next() {
                Some(Outcome::Done(replies)) => return read(replies),
                Some(Outcome::NotDone(refusal)) if Instant::now() >= deadline => {
                    return Err(ClientError::Unanswered(refusal.to_string()));
                }
                Some(Outcome::Unknown) if Instant::now() >= deadline => {
                    return Err(ClientError::Unanswered("nobody has answered in time".into()));
                }
                None => return Err(ClientError::Unanswered("an empty answer".into())),
                Some(Outcome::NotDone(_) | Outcome::Unknown) => sleep(PAUSE).await,
            }
        }
    }
}

/// The next cursor and the keys of a page.
fn read(replies: Vec<Reply>) -> Result<(u64, Vec<Bytes>), ClientError> {
    let malformed = || ClientError::Unanswered("a malformed page of keys".into());
    match replies.into_iter().next() {
        Some(Reply::Error(error)) => Err(ClientError::Rejected(error)),
        Some(Reply::Array(parts)) => match <[Reply; 2]>::try_from(parts) {
            Ok([Reply::Integer(next), Reply::Array(keys)]) => {
                let keys = keys.into_iter().map(|key| match key {
                    Reply::Bulk(key) => Ok(key),
                    _ => Err(malformed()),
                });
                Ok((next.cast_unsigned(), keys.collect::<Result<_, _>>()?))
            }
            _ => Err(malformed()),
        },
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_is_a_page() {
        let key = Reply::text("k");
        let page = Reply::Array(vec![Reply::Integer(9), Reply::Array(vec![key.clone()])]);
        assert_eq!(read(vec![page]), Ok((9, vec![Bytes::from_static(b"k")])));
        for wrong in [
            Reply::Ok,
            Reply::Array(vec![Reply::Integer(9)]),
            Reply::Array(vec![Reply::Integer(9), Reply::Array(vec![Reply::Ok])]),
            Reply::Array(vec![key, Reply::Array(vec![])]),
        ] {
            assert!(matches!(read(vec![wrong]), Err(ClientError::Unanswered(_))));
        }
        assert!(matches!(read(vec![]), Err(ClientError::Unanswered(_))));
    }
}
