//! The nodes that a client knows, and which of them it asks.
//!
//! One is kept until it fails. To find another, connections are tried side by side, each a little later than
//! the one before, so that a dead node costs a moment and not the whole time of a handshake.

use super::attempt::is_final;
use crate::net::quic::{self, RequestError};
use crate::net::tls::Identity;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

/// The pause before the next node is tried beside the ones that have not answered yet.
const STAGGER: Duration = Duration::from_millis(150);

/// See the module's first lines.
pub(super) struct Nodes {
    clients: Vec<Arc<quic::Client>>,
    current: AtomicUsize,
}

/// No node could be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unreached {
    /// What each of them said.
    pub(super) reason: String,
    /// It will be so tomorrow.
    pub(super) is_final: bool,
}

impl Nodes {
    /// Nothing is sent yet. `first` says which is to be asked first.
    pub(super) fn new(
        endpoints: Vec<String>,
        identity: &Identity,
        first: usize,
    ) -> Result<Self, quic::ClientError> {
        let client = |endpoint| quic::Client::new(endpoint, identity, None, None).map(Arc::new);
        let clients = endpoints.into_iter().map(client).collect::<Result<Vec<_>, _>>()?;
        let current = AtomicUsize::new(first % clients.len().max(1));
        Ok(Self { clients, current })
    }

    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }

    /// The number of a node with a connection; `avoid` only if there is no other.
    pub(super) async fn choose(
        &self,
        avoid: Option<usize>,
        within: Duration,
    ) -> Result<usize, Unreached> {
        let deadline = Instant::now() + within;
        let current = self.current.load(Relaxed);
        if avoid != Some(current) {
            let connecting = timeout(STAGGER.min(within), self.clients[current].connect(within));
            if let Ok(Ok(_)) = connecting.await {
                return Ok(current);
            }
        }
        let mut order: VecDeque<usize> =
            (1..=self.clients.len()).map(|step| (current + step) % self.clients.len()).collect();
        if let Some(avoided) = avoid {
            order.retain(|node| *node != avoided);
            order.push_back(avoided);
        }
        self.race(order, deadline).await
    }

    async fn race(
        &self,
        mut order: VecDeque<usize>,
        deadline: Instant,
    ) -> Result<usize, Unreached> {
        let mut trying = JoinSet::new();
        let mut errors: Vec<RequestError> = Vec::new();
        loop {
            if let Some(node) = order.pop_front() {
                let client = self.clients[node].clone();
                let within = deadline.saturating_duration_since(Instant::now());
                trying.spawn(async move { (node, client.connect(within).await) });
            }
            let until =
                if order.is_empty() { deadline } else { deadline.min(Instant::now() + STAGGER) };
            match timeout_at(until, trying.join_next()).await {
                Ok(Some(Ok((node, Ok(_))))) => {
                    self.current.store(node, Relaxed);
                    return Ok(node);
                }
                Ok(Some(Ok((_, Err(error))))) => errors.push(error),
                Ok(Some(Err(error))) => return Err(unreached(&errors, Some(error.to_string()))),
                Ok(None) if order.is_empty() => return Err(unreached(&errors, None)),
                Err(_) if Instant::now() >= deadline => {
                    let names: Vec<&str> =
                        self.clients.iter().map(|client| client.address()).collect();
                    let late = format!("no connection in time; asked {}", names.join(", "));
                    return Err(unreached(&errors, Some(late)));
                }
                Ok(None) | Err(_) => {}
            }
        }
    }

    pub(super) async fn request(
        &self,
        node: usize,
        frame: Bytes,
        within: Duration,
    ) -> Result<Bytes, RequestError> {
        self.clients[node].request(frame, within).await
    }
}

fn unreached(errors: &[RequestError], late: Option<String>) -> Unreached {
    let is_final = late.is_none() && !errors.is_empty() && errors.iter().all(is_final);
    let reasons: Vec<String> = errors.iter().map(ToString::to_string).chain(late).collect();
    Unreached { reason: reasons.join("; "), is_final }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::{Role, create_ca, issue};
    use crate::net::wire::{CloseCode, Refusal};

    #[test]
    fn a_refusal_is_final_only_if_all_refuse_for_good() {
        let refused = |code| RequestError::Refused {
            address: "a:1".into(),
            refusal: Refusal::new(code, "because"),
        };
        let (wrong, busy) = (refused(CloseCode::WrongCluster), refused(CloseCode::Busy));
        assert!(unreached(&[wrong.clone(), wrong.clone()], None).is_final);
        assert!(!unreached(&[wrong.clone(), busy], None).is_final);
        assert!(!unreached(&[wrong], Some("late".into())).is_final);
        assert!(!unreached(&[], None).is_final);
    }

    #[tokio::test]
    async fn nobody_there_is_said_in_time() {
        let dir = tempfile::tempdir().unwrap();
        create_ca(dir.path()).unwrap();
        issue(dir.path(), Role::Client, dir.path()).unwrap();
        let identity = Identity::load(dir.path(), Role::Client).unwrap();
        // A socket that takes datagrams and never answers.
        let deaf = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = deaf.local_addr().unwrap().to_string();
        let nodes = Nodes::new(vec![address.clone(), address.clone()], &identity, 5).unwrap();
        let begun = Instant::now();
        let error = nodes.choose(None, Duration::from_millis(400)).await.unwrap_err();
        assert!(error.reason.contains(&address) && !error.is_final, "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
}
