//! Certificates: who may speak to whom.
//!
//! A cluster has its own certificate authority. A certificate names one role, a node, an admin or a
//! client, as a DNS name that resolves nowhere (`node-7.eraft`). Addresses are never part of it, so a node may move.
//! The handshake proves "signed by our authority"; the role is checked after it, against what the hello
//! claims.

mod config;
mod identity;
mod issue;
mod redis;
mod role;
mod verify;

pub(crate) use config::{client_config, node_config, server_config};
pub use identity::{Identity, IdentityError};
pub use issue::{CA_CERTIFICATE, CA_KEY, IssueError, create_ca, issue};
pub use redis::{RedisTlsError, redis_acceptor};
pub use role::Role;
pub use tokio_rustls::TlsAcceptor;
pub use verify::certificate_names;
