//! The client itself: a command's way through its attempts, and the calls that people use.

use super::attempt::{Verdict, judge};
use super::error::ClientError;
use super::nodes::Nodes;
use super::numbers::Numbers;
use super::options::ClientOptions;
use crate::codec;
use crate::ids::{Bucket, TableVersion};
use crate::kv::{Command, Condition, Expiry, Reply, ReplyError};
use crate::net::message::{AdminRequest, AdminResponse, Ask, TableAnswer};
use crate::net::tls::Identity;
use crate::shard::bucket_of;
use crate::time::UnixMillis;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// How long the first attempt waits for its answer before another node is asked; it doubles with each
/// attempt, so that large values on slow links get through as well.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pause before a command is sent again; it doubles up to the second figure.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(320));
/// Deletes of one call that are under way at the same time.
const DELETES_MAX: usize = 32;

/// A client of a cluster; see the [module](super). Cloning gives another handle on the same session.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    nodes: Nodes,
    numbers: Numbers,
    options: ClientOptions,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the cluster whose nodes are at these QUIC addresses (`host:port`; one is enough, more are
    /// for the case that it is down). Connects to the first that answers.
    ///
    /// # Errors
    /// When the certificates cannot be used, or no node answers within the time of one call.
    pub async fn connect(
        endpoints: impl IntoIterator<Item = impl Into<String>>,
        identity: &Identity,
        options: ClientOptions,
    ) -> Result<Self, ClientError> {
        let endpoints: Vec<String> = endpoints.into_iter().map(Into::into).collect();
        if endpoints.is_empty() {
            return Err(ClientError::Setup("no endpoint was given".into()));
        }
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| ClientError::Setup(error.to_string()))?;
        let client = Self(Arc::new(Inner {
            nodes: Nodes::new(endpoints, identity, options.first)?,
            numbers: Numbers::new(u64::from_le_bytes(random)),
            options,
        }));
        match client.0.nodes.choose(None, options.timeout).await {
            Ok(_) => Ok(client),
            Err(unreached) => Err(ClientError::Setup(unreached.reason)),
        }
    }

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

    /// Carries out any command that names a key. An error that the command itself gives is
    /// [`ClientError::Rejected`].
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn execute(&self, command: Command) -> Result<Reply, ClientError> {
        if command.first_key().is_none() {
            return Err(ClientError::Rejected(ReplyError::err("a command without a key")));
        }
        let is_write = command.is_write();
        let numbered = is_write.then(|| {
            let life = self.0.options.life_millis();
            self.0.numbers.take(UnixMillis(wall_millis().saturating_add(life)))
        });
        let session = numbered.as_ref().map(|numbered| numbered.session);
        let frame = codec::encode(&AdminRequest::Execute(vec![Ask { command, session }]));
        self.attempts(Bytes::from(frame), is_write).await
    }

    /// Sends the same frame until it is settled or the time is over.
    async fn attempts(&self, frame: Bytes, is_write: bool) -> Result<Reply, ClientError> {
        let Inner { nodes, options, .. } = &*self.0;
        let deadline = Instant::now() + options.timeout;
        let (mut patience, mut pause) = (PATIENCE, PAUSE.0);
        let (mut maybe_done, mut avoid, mut trouble) = (false, None, String::new());
        let settle = |maybe_done: bool, reason: String| {
            if maybe_done && is_write {
                ClientError::OutcomeUnknown(reason)
            } else {
                ClientError::NotDone(reason)
            }
        };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let seconds = options.timeout.as_secs_f32();
                return Err(settle(maybe_done, format!("not within {seconds} s: {trouble}")));
            }
            match nodes.choose(avoid, left).await {
                Err(unreached) if unreached.is_final => {
                    return Err(settle(maybe_done, unreached.reason));
                }
                Err(unreached) => trouble = unreached.reason,
                Ok(node) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let answer = nodes.request(node, frame.clone(), patience.min(left)).await;
                    match judge(answer) {
                        Verdict::Done(reply) => return Ok(reply),
                        // True of this attempt; an earlier one may have got further.
                        Verdict::Never(ClientError::NotDone(reason)) => {
                            return Err(settle(maybe_done, reason));
                        }
                        Verdict::Never(error) => return Err(error),
                        Verdict::Again { maybe_done: perhaps, elsewhere, reason } => {
                            maybe_done |= perhaps;
                            avoid = elsewhere.then_some(node);
                            trouble = reason;
                            patience *= 2;
                        }
                    }
                }
            }
            sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// A version of the config table, the newest for `None`. Needs the role of an admin.
    ///
    /// # Errors
    /// [`ClientError::Unanswered`] when no node can tell.
    pub async fn table(&self, version: Option<TableVersion>) -> Result<TableAnswer, ClientError> {
        match self.ask(&AdminRequest::Table(version)).await? {
            AdminResponse::Table(answer) => Ok(answer),
            _ => Err(ClientError::Unanswered("an answer that does not fit the question".into())),
        }
    }

    /// Asks any node a question that changes nothing, or may be asked twice without harm.
    ///
    /// # Errors
    /// [`ClientError::Unanswered`] when no node can answer: each was asked at least once, or the time of one
    /// call is over.
    pub async fn ask(&self, request: &AdminRequest) -> Result<AdminResponse, ClientError> {
        let Inner { nodes, options, .. } = &*self.0;
        let frame = Bytes::from(codec::encode(request));
        let deadline = Instant::now() + options.timeout;
        let (mut patience, mut pause, mut avoid, mut refusals) = (PATIENCE, PAUSE.0, None, 0);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let trouble = match nodes.choose(avoid, left).await {
                Err(unreached) if unreached.is_final => {
                    return Err(ClientError::Unanswered(unreached.reason));
                }
                Err(unreached) => unreached.reason,
                Ok(node) => {
                    avoid = Some(node);
                    let left = deadline.saturating_duration_since(Instant::now());
                    match nodes.request(node, frame.clone(), patience.min(left)).await {
                        Err(error) => error.to_string(),
                        Ok(frame) => match codec::decode(&frame) {
                            Ok(AdminResponse::Failed(reason)) if refusals + 1 < nodes.len() => {
                                refusals += 1;
                                reason
                            }
                            Ok(AdminResponse::Failed(reason)) => {
                                return Err(ClientError::Unanswered(reason));
                            }
                            Ok(response) => return Ok(response),
                            Err(error) => format!("an answer that cannot be read: {error}"),
                        },
                    }
                }
            };
            if Instant::now() >= deadline {
                let seconds = options.timeout.as_secs_f32();
                return Err(ClientError::Unanswered(format!("not within {seconds} s: {trouble}")));
            }
            patience *= 2;
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
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

fn wall_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
