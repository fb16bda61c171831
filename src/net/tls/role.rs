//! What a certificate's bearer is.

use crate::ids::NodeId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A role; each certificate names exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// A node: it accepts connections and opens them.
    Node(NodeId),
    /// An operator: may ask everything.
    Admin,
    /// A program that uses the store: may read and write keys.
    Client,
}

impl Role {
    /// The DNS name that stands for it in a certificate.
    #[must_use]
    pub fn dns_name(self) -> String {
        format!("{}.eraft", self.file_stem())
    }

    /// How its files are called: `<stem>.pem` and `<stem>-key.pem`.
    #[must_use]
    pub fn file_stem(self) -> String {
        match self {
            Role::Node(id) => format!("node-{}", id.0),
            Role::Admin => "admin".to_owned(),
            Role::Client => "client".to_owned(),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Node(id) => write!(f, "node {}", id.0),
            Role::Admin => f.write_str("admin"),
            Role::Client => f.write_str("client"),
        }
    }
}
