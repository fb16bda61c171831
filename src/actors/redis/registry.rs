//! The connections of a node, for CLIENT LIST, CLIENT KILL and the limit on their number.

use crate::kv::parse::KillFilter;
use crate::limits;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// See the module's first lines.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    connections: Mutex<BTreeMap<u64, Arc<Entry>>>,
    last_id: AtomicU64,
    /// All connections so far, for INFO.
    pub accepted: AtomicU64,
    /// All commands so far, for INFO.
    pub commands: AtomicU64,
}

/// One connection, as others see it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its number.
    pub id: u64,
    /// The client's address.
    pub address: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
    since: Instant,
    about: Mutex<About>,
    killed: AtomicBool,
    kill: Notify,
}

#[derive(Debug, Default, Clone)]
struct About {
    name: String,
    library: String,
    library_version: String,
    last_command: &'static str,
    resp: u8,
}

impl Registry {
    /// A new connection, or `None` when there are too many.
    pub(crate) fn open(&self, address: SocketAddr, local: SocketAddr) -> Option<Arc<Entry>> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if connections.len() >= limits::CONNECTIONS_MAX {
            return None;
        }
        self.accepted.fetch_add(1, Relaxed);
        let id = self.last_id.fetch_add(1, Relaxed) + 1;
        let entry = Arc::new(Entry {
            id,
            address,
            local,
            since: Instant::now(),
            about: Mutex::new(About { resp: 2, ..About::default() }),
            killed: AtomicBool::new(false),
            kill: Notify::new(),
        });
        connections.insert(id, entry.clone());
        Some(entry)
    }

    /// The connection has ended.
    pub(crate) fn close(&self, id: u64) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A line for each connection that `wanted` picks.
    pub(crate) fn list(&self, wanted: impl Fn(u64) -> bool) -> String {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.values().filter(|entry| wanted(entry.id)).map(|entry| entry.line()).collect()
    }

    /// Closes the connections that fit; how many.
    pub(crate) fn kill(&self, own: u64, filter: &KillFilter) -> usize {
        let is = |wanted: &Option<bytes::Bytes>, address: SocketAddr| {
            wanted.as_ref().is_none_or(|wanted| address.to_string().as_bytes() == &wanted[..])
        };
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = connections.values().filter(|entry| {
            filter.normal
                && filter.id.is_none_or(|id| id == entry.id)
                && is(&filter.address, entry.address)
                && is(&filter.local_address, entry.local)
                && !(filter.skip_me && entry.id == own)
        });
        fitting.map(|entry| entry.kill()).count()
    }
}

impl Entry {
    /// Its line in CLIENT LIST.
    pub(crate) fn line(&self) -> String {
        let about = self.about();
        format!(
            "id={} addr={} laddr={} fd=0 name={} age={} idle=0 flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 \
             qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 \
             events=r cmd={} user=default redir=-1 resp={} lib-name={} lib-ver={}\n",
            self.id,
            self.address,
            self.local,
            about.name,
            self.since.elapsed().as_secs(),
            about.last_command,
            about.resp,
            about.library,
            about.library_version,
        )
    }

    fn about(&self) -> About {
        self.about.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut About)) {
        change(&mut self.about.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Its name; empty for none.
    pub(crate) fn name(&self) -> String {
        self.about().name
    }

    /// Names it.
    pub(crate) fn set_name(&self, name: &[u8]) {
        self.change(|about| about.name = String::from_utf8_lossy(name).into_owned());
    }

    /// Names the client's library.
    pub(crate) fn set_library(&self, name: &[u8]) {
        self.change(|about| about.library = String::from_utf8_lossy(name).into_owned());
    }

    /// And its version.
    pub(crate) fn set_library_version(&self, version: &[u8]) {
        self.change(|about| about.library_version = String::from_utf8_lossy(version).into_owned());
    }

    /// What it asked for last, and in which protocol.
    pub(crate) fn set_last(&self, command: &'static str, resp: u8) {
        self.change(|about| {
            about.last_command = command;
            about.resp = resp;
        });
    }

    fn kill(&self) {
        self.killed.store(true, Relaxed);
        self.kill.notify_one();
    }

    /// Whether it was killed.
    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Relaxed)
    }

    /// Resolves when it is killed.
    pub(crate) async fn killed(&self) {
        while !self.is_killed() {
            self.kill.notified().await;
        }
    }
}
