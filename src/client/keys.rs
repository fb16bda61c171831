//! The calls that most people need: get, put, append, delete.

use super::error::ClientError;
use super::handle::Client;
use crate::ids::Bucket;
use crate::kv::{Command, Condition, Expiry, Reply};
use crate::shard::bucket_of;
use bytes::Bytes;
use std::collections::BTreeMap;
use tokio::task::JoinSet;

/// Deletes of one call that are under way at the same time.
const DELETES_MAX: usize = 32;

impl Client {
    /// The value of a key, if it is there.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>, ClientError> {
        match self.execute(Command::Get { key: copy(key) }).await? {
            Reply::Bulk(value) => Ok(Some(value)),
            Reply::Nil => Ok(None),
            other => Err(unexpected(&other)),
        }
    }

    /// Sets a key; it does not expire.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<(), ClientError> {
        let (condition, expiry) = (Condition::Always, Expiry::Clear);
        let set =
            Command::Set { key: copy(key), value: copy(value), condition, expiry, get: false };
        match self.execute(set).await? {
            Reply::Ok => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Appends to a key's value, which is empty if it is not there; gives the new length in bytes.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn append(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<u64, ClientError> {
        count(self.execute(Command::Append { key: copy(key), value: copy(value) }).await?)
    }

    /// Removes keys; gives how many were there. Keys of one bucket go together, buckets on their own: after
    /// an error some may be gone.
    ///
    /// # Errors
    /// The first one; see [`ClientError`].
    pub async fn del(
        &self,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<u64, ClientError> {
        let mut buckets: BTreeMap<Bucket, Vec<Bytes>> = BTreeMap::new();
        for key in keys {
            buckets.entry(bucket_of(key.as_ref())).or_default().push(copy(key));
        }
        let mut waiting = buckets.into_values();
        let mut running = JoinSet::new();
        let mut removed = 0;
        loop {
            while running.len() < DELETES_MAX
                && let Some(keys) = waiting.next()
            {
                let client = self.clone();
                running.spawn(async move { client.execute(Command::Del { keys }).await });
            }
            match running.join_next().await {
                None => return Ok(removed),
                Some(Ok(reply)) => removed += count(reply?)?,
                Some(Err(error)) => return Err(ClientError::OutcomeUnknown(error.to_string())),
            }
        }
    }
}

fn copy(bytes: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(bytes.as_ref())
}

fn count(reply: Reply) -> Result<u64, ClientError> {
    match reply {
        Reply::Integer(number) => u64::try_from(number).map_err(|_| unexpected(&reply)),
        other => Err(unexpected(&other)),
    }
}

/// The command was carried out, by a node that answers differently from what this program knows.
fn unexpected(reply: &Reply) -> ClientError {
    let text: String = format!("{reply:?}").chars().take(80).collect();
    ClientError::OutcomeUnknown(format!("an answer that does not fit the command: {text}"))
}
