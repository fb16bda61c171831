//! The native client: reads and writes keys over QUIC, each write exactly once.
//!
//! A [`Client`] knows some nodes and asks the one that answers first; any node will do, since nodes carry a
//! command on to its group's leader. Every write is numbered in the client's session, and a retry, at this
//! node or another, carries the same number: the group applies it once and gives the first reply again.
//! That is why this client may retry where a plain Redis client may not.
//!
//! ```text
//! Client ──► numbers   which request is this? (client id, sequence, lowest unanswered, expiry)
//!    │  └──► nodes     who is asked? (one connection per node, the first to answer is kept)
//!    └─────► attempt   what did the answer mean? done, again, or no
//! ```
//!
//! What may be done and what was not done are never mixed up: [`ClientError::NotDone`] says that a command
//! certainly had no effect, [`ClientError::OutcomeUnknown`] that it may have had one.
//!
//! ```no_run
//! use eraft::client::{Client, ClientOptions};
//! use eraft::net::tls::{Identity, Role};
//! use std::path::Path;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let identity = Identity::load(Path::new("eraft-data/certs"), Role::Client)?;
//! let nodes = ["127.0.0.1:6379", "127.0.0.1:6380", "127.0.0.1:6381"];
//! let client = Client::connect(nodes, &identity, ClientOptions::default()).await?;
//!
//! client.put("greeting", "hello").await?;
//! client.append("greeting", " world").await?;
//! assert_eq!(client.get("greeting").await?.as_deref(), Some(&b"hello world"[..]));
//!
//! // Clones share the session and the connections, and may be used at the same time.
//! let other = client.clone();
//! let (one, two) = tokio::join!(client.get("greeting"), other.del(["greeting"]));
//! # let _ = (one?, two?);
//! # Ok(())
//! # }
//! ```
//!
//! Must be used on a tokio runtime with time and I/O. Not here: caching of any kind, and batches.

mod attempt;
mod error;
mod handle;
mod keys;
mod nodes;
mod numbers;
mod options;
mod scan;

pub use error::ClientError;
pub use handle::Client;
pub use options::ClientOptions;
pub use scan::Scan;
