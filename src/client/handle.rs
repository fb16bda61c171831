//! The client itself: a command's way through its attempts, until it is settled or the time is over.

use super::attempt::{Verdict, judge};
use super::error::ClientError;
use super::nodes::Nodes;
use super::numbers::Numbers;
use super::options::ClientOptions;
use crate::codec;
use crate::ids::TableVersion;
use crate::kv::{Command, Reply, ReplyError};
use crate::net::message::{AdminRequest, AdminResponse, Ask, TableAnswer};
use crate::net::tls::Identity;
use crate::time::UnixMillis;
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, sleep};

/// How long the first attempt waits for its answer before another node is asked; it doubles with each
/// attempt, so that large values on slow links get through as well.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pause before a command is sent again; it doubles up to the second figure.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(320));

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
        let random = getrandom::u64().map_err(|error| ClientError::Setup(error.to_string()))?;
        let client = Self(Arc::new(Inner {
            nodes: Nodes::new(endpoints, identity, options.first)?,
            numbers: Numbers::new(random),
            options,
        }));
        match client.0.nodes.choose(None, options.timeout).await {
            Ok(_) => Ok(client),
            Err(unreached) => Err(ClientError::Setup(unreached.reason)),
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

fn wall_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
