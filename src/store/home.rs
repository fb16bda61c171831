//! The data directory: who lives here, and that nobody else does.
//!
//! ```text
//! DIR/LOCK       held while the process runs: a second one on the same directory is refused
//! DIR/identity   node id, incarnation (random, one life of this disk), the node's secret
//! DIR/cluster    the plan this node was founded by, once `init` has run
//! DIR/table      the newest config table that the node has seen
//! DIR/leases     replicas here may have promised what leases for reads rest on
//! DIR/reserve    space given back when the disk is full, so that deletes and compaction still run
//! DIR/log        the write-ahead log
//! DIR/state      the state store
//! ```
//! Files are replaced by writing a new one, syncing it, renaming it, and syncing the directory.

use crate::ids::{ClusterId, Incarnation, NodeId};
use crate::limits;
use crate::shard::{InitPlan, Table};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The directory cannot be made, read or written.
    #[error("cannot use the data directory {path}: {error} (is it there, writable, and not full?)")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Another process holds it.
    #[error("the data directory {0} is in use by another process; stop that one first")]
    InUse(PathBuf),
    /// It was made by another node.
    #[error(
        "the data directory {path} belongs to node {found}, but this process was started as node \
         {wanted}; check --node-id and --data-dir"
    )]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// Who we are.
        wanted: NodeId,
    },
    /// A file in it makes no sense.
    #[error(
        "{path} is damaged ({error}); restore it, or give this node an empty directory and a new id"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: String,
    },
}

/// Who lives here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeIdentity {
    /// The node.
    pub node: NodeId,
    /// The life of this disk.
    pub incarnation: Incarnation,
    /// What the node's connection ids and stateless resets are derived from.
    pub secret: [u8; 32],
}

/// An open data directory; closing it gives the lock back.
#[derive(Debug)]
pub struct Home {
    dir: PathBuf,
    identity: HomeIdentity,
    plan: Option<InitPlan>,
    table: Option<Table>,
    _lock: Flock<File>,
}

impl Home {
    /// Opens or creates the directory for this node.
    ///
    /// # Errors
    /// See [`HomeError`].
    pub fn open(dir: &Path, node: NodeId) -> Result<Self, HomeError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| HomeError::Io { path, error }
        };
        fs::create_dir_all(dir).map_err(at(dir))?;
        let lock_path = dir.join("LOCK");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(at(&lock_path))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
            .map_err(|_| HomeError::InUse(dir.to_owned()))?;

        let identity_path = dir.join("identity");
        let identity = match read::<HomeIdentity>(&identity_path)? {
            Some(identity) if identity.node != node => {
                return Err(HomeError::OtherNode {
                    path: dir.to_owned(),
                    found: identity.node,
                    wanted: node,
                });
            }
            Some(identity) => identity,
            None => {
                let mut random = [0; 40];
                getrandom::fill(&mut random)
                    .map_err(|error| at(&identity_path)(io::Error::other(error.to_string())))?;
                let (incarnation, secret) = random.split_at(8);
                let identity = HomeIdentity {
                    node,
                    incarnation: Incarnation(u64::from_le_bytes(
                        incarnation.try_into().expect("eight bytes"),
                    )),
                    secret: secret.try_into().expect("thirty-two bytes"),
                };
                write(dir, "identity", &identity)?;
                identity
            }
        };
        let plan = read(&dir.join("cluster"))?;
        let table = Self::read_table(dir)?;
        let home = Self { dir: dir.to_owned(), identity, plan, table, _lock: lock };
        home.fill_reserve();
        Ok(home)
    }

    /// Who lives here.
    #[must_use]
    pub fn identity(&self) -> &HomeIdentity {
        &self.identity
    }

    /// The plan this node was founded by.
    #[must_use]
    pub fn plan(&self) -> Option<&InitPlan> {
        self.plan.as_ref()
    }

    /// Remembers the plan this node was founded by, synced.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn found(&mut self, plan: InitPlan) -> Result<(), HomeError> {
        write(&self.dir, "cluster", &plan)?;
        self.plan = Some(plan);
        Ok(())
    }

    /// The newest config table that the node has seen in its earlier lives.
    #[must_use]
    pub fn table(&self) -> Option<&Table> {
        self.table.as_ref()
    }

    /// The cluster that the node belongs to.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        let of_table = self.table.as_ref().map(|table| table.cluster);
        of_table.or(self.plan.as_ref().map(|plan| plan.cluster))
    }

    /// Remembers the newest config table, synced.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn remember(&mut self, table: Table) -> Result<(), HomeError> {
        write_bytes(&self.dir, "table", &table.encode())?;
        self.table = Some(table);
        Ok(())
    }

    /// What cannot be read can be had from any other node.
    fn read_table(dir: &Path) -> Result<Option<Table>, HomeError> {
        let path = dir.join("table");
        match fs::read(&path) {
            Ok(bytes) => Ok(Table::decode(&bytes)
                .inspect_err(|error| {
                    tracing::warn!("the table in {} is left aside: {error}", path.display())
                })
                .ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(HomeError::Io { path, error }),
        }
    }

    /// Whether replicas here may have promised what leases rest on, in this life or an earlier one.
    #[must_use]
    pub fn promises_leases(&self) -> bool {
        // If it cannot be told, they may.
        !matches!(self.dir.join("leases").try_exists(), Ok(false))
    }

    /// Remembers whether they may, synced. Before they do; and not before what they promised is over.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_promises_leases(&self, may: bool) -> Result<(), HomeError> {
        if may {
            return write(&self.dir, "leases", &true);
        }
        let path = self.dir.join("leases");
        let removed = fs::remove_file(&path).and_then(|()| File::open(&self.dir)?.sync_all());
        removed.map_err(|error| HomeError::Io { path, error })
    }

    /// Where the write-ahead log lives.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Where the state store lives.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// The directory itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Free bytes on its disk.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        free_bytes(&self.dir)
    }

    /// Gives the reserve back to the disk. It comes back by [`Home::fill_reserve`].
    pub fn release_reserve(&self) {
        let _ = fs::remove_file(self.dir.join("reserve"));
    }

    /// Makes the reserve, if there is ample room for it. Having none is no error.
    pub fn fill_reserve(&self) {
        let path = self.dir.join("reserve");
        let enough = self.free_bytes() > limits::DISK_LOW_BYTES + 2 * limits::DISK_RESERVE_BYTES;
        if path.exists() || !enough {
            return;
        }
        let made = File::create(&path).and_then(|file| {
            nix::fcntl::posix_fallocate(&file, 0, limits::DISK_RESERVE_BYTES.cast_signed())
                .map_err(io::Error::from)
        });
        if made.is_err() {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Free bytes on the disk under `path`; 0 if that cannot be told.
#[must_use]
pub fn free_bytes(path: &Path) -> u64 {
    nix::sys::statvfs::statvfs(path)
        .map_or(0, |stat| stat.blocks_available().saturating_mul(stat.fragment_size()))
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>, HomeError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(HomeError::Io { path: path.to_owned(), error }),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| HomeError::Damaged { path: path.to_owned(), error: error.to_string() })
}

fn write<T: Serialize>(dir: &Path, name: &str, value: &T) -> Result<(), HomeError> {
    write_bytes(dir, name, &serde_json::to_vec_pretty(value).expect("our own types are JSON"))
}

fn write_bytes(dir: &Path, name: &str, text: &[u8]) -> Result<(), HomeError> {
    let path = dir.join(name);
    let fresh = dir.join(format!("{name}.new"));
    let written = (|| {
        let mut file = OpenOptions::new();
        file.create(true).truncate(true).write(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
        let mut file = file.open(&fresh)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(dir)?.sync_all()
    })();
    written.map_err(|error| HomeError::Io { path, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let first = Home::open(dir.path(), NodeId(1)).unwrap().identity().clone();
        let again = Home::open(dir.path(), NodeId(1)).unwrap().identity().clone();
        assert_eq!(first, again);
        let other = Home::open(dir.path(), NodeId(2));
        assert!(matches!(other, Err(HomeError::OtherNode { .. })));
    }

    #[test]
    fn a_second_holder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let held = Home::open(dir.path(), NodeId(1)).unwrap();
        assert!(matches!(Home::open(dir.path(), NodeId(1)), Err(HomeError::InUse(_))));
        drop(held);
        assert!(Home::open(dir.path(), NodeId(1)).is_ok());
    }

    #[test]
    fn a_promise_is_remembered_until_it_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path(), NodeId(1)).unwrap();
        assert!(!home.promises_leases());
        home.set_promises_leases(true).unwrap();
        drop(home);
        let home = Home::open(dir.path(), NodeId(1)).unwrap();
        assert!(home.promises_leases());
        home.set_promises_leases(false).unwrap();
        assert!(!home.promises_leases());
    }

    #[test]
    fn a_damaged_identity_is_an_error_and_not_a_new_life() {
        let dir = tempfile::tempdir().unwrap();
        drop(Home::open(dir.path(), NodeId(1)).unwrap());
        fs::write(dir.path().join("identity"), b"{\"node\":1").unwrap();
        assert!(matches!(Home::open(dir.path(), NodeId(1)), Err(HomeError::Damaged { .. })));
    }
}
