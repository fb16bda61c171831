//! `host:port` as it is written in flags and files, and the list of a cluster's nodes.

use eraft::shard::Address;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// An address whose form was checked. The host may be a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    /// Without brackets.
    pub(crate) host: String,
    /// Never 0.
    pub(crate) port: u16,
}

impl HostPort {
    /// The address to listen on; of several, an IPv4 one.
    pub(crate) fn resolve(&self) -> Result<SocketAddr, String> {
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let found: Vec<SocketAddr> =
            found.map_err(|error| format!("cannot resolve {}: {error}", self.host))?.collect();
        let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
        first.copied().ok_or_else(|| format!("{} has no address", self.host))
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = Address::parse(text);
        let address = parsed.map_err(|error| format!("{text:?} is no HOST:PORT: {error}"))?;
        Ok(Self { host: address.host.to_owned(), port: address.port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Serialize for HostPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The founders by node id. As a flag `1=HOST:PORT,2=HOST:PORT`, in the file also a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cluster(pub(crate) BTreeMap<u32, HostPort>);

impl Cluster {
    fn add(&mut self, node: &str, address: HostPort) -> Result<(), String> {
        let id: u32 = match node.parse() {
            Ok(id) if id > 0 => id,
            _ => return Err(format!("{node:?} is no node id (a number from 1)")),
        };
        match self.0.insert(id, address) {
            None => Ok(()),
            Some(_) => Err(format!("node {id} is named twice")),
        }
    }
}

impl FromStr for Cluster {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut cluster = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (node, address) =
                entry.split_once('=').ok_or_else(|| format!("{entry:?} is no NODE=HOST:PORT"))?;
            cluster.add(node.trim(), address.trim().parse()?)?;
        }
        Ok(cluster)
    }
}

impl Serialize for Cluster {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(node, address)| (node.to_string(), address)))
    }
}

impl<'de> Deserialize<'de> for Cluster {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Table(BTreeMap<String, String>),
        }
        let cluster = match Form::deserialize(deserializer) {
            Ok(Form::Text(text)) => text.parse(),
            Ok(Form::Table(entries)) => {
                entries.iter().try_fold(Self::default(), |mut all, (node, address)| {
                    all.add(node, address.parse()?)?;
                    Ok(all)
                })
            }
            Err(_) => Err("cluster is a text \"1=HOST:PORT,…\" or a table of them".to_owned()),
        };
        cluster.map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_form() {
        for text in ["127.0.0.1:6379", "node-1:1", "[::1]:65535"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
        for text in ["nonsense", "a:0", ":1", "a:70000"] {
            assert!(text.parse::<HostPort>().unwrap_err().contains(text), "{text}");
        }
        let local: HostPort = "127.0.0.1:5".parse().unwrap();
        assert_eq!(local.resolve(), Ok(([127, 0, 0, 1], 5).into()));
    }

    #[test]
    fn a_cluster_is_a_list_of_nodes() {
        let cluster: Cluster = "1=a:1, 3=b:2".parse().unwrap();
        assert_eq!(cluster.0.keys().copied().collect::<Vec<_>>(), [1, 3]);
        for (text, said) in
            [("a:1", "NODE="), ("0=a:1", "\"0\""), ("1=a:1,1=b:1", "twice"), ("1=a", "\"a\"")]
        {
            let error = text.parse::<Cluster>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
