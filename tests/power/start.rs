//! How a node starts: everything is rebuilt from what its disks remember, the way the group actor does
//! it.

use super::checks::Violation;
use super::sink::Sink;
use super::turn::Failure;
use eraft::actors::apply::{Applier, ApplyCommand, Birth, Live, Opened};
use eraft::actors::group::driver::Driver;
use eraft::actors::group::payload::PayloadKind;
use eraft::ids::{ClusterId, Generation, GroupId, Incarnation, Index, NodeId, ReadyNumber};
use eraft::kv::{Genesis, SessionLimits};
use eraft::limits;
use eraft::raft::{Config, Membership, Raft, Restored};
use eraft::shard::bucket_of;
use eraft::store::disk::SimDisk;
use eraft::store::state::{ModelStore, Overlay};
use eraft::store::wal::{Damage, Log, LogIdentity, LogOp, LogOptions, LogWrite, RecoveredGroup};
use eraft::time::{MonoMillis, UnixMillis};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, mpsc};

/// The groups; each has a replica on each node.
pub(crate) const GROUPS: [GroupId; 2] = [GroupId(1), GroupId(2)];
/// The nodes.
pub(crate) const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// Small, so that a short run fills several.
const OPTIONS: LogOptions = LogOptions { segment_bytes: 32 * 1024, background_prepare: false };

/// All keys of a group begin with this, which puts them into one bucket.
pub(crate) fn hash_tag(group: GroupId) -> String {
    format!("{{{group}}}")
}

/// The real things of one life of a node.
pub(crate) struct Machinery {
    pub(crate) generation: Generation,
    pub(crate) log: Log<SimDisk>,
    pub(crate) drivers: BTreeMap<GroupId, Driver>,
    pub(crate) applier: Applier<Sink>,
    pub(crate) sink: Sink,
    pub(crate) store: ModelStore,
}

impl Machinery {
    /// Opens the log and the state, and puts drivers on top.
    pub(crate) fn start(
        node: NodeId,
        life: u64,
        seed: u64,
        disk: &SimDisk,
        store: &ModelStore,
    ) -> Result<Self, Failure> {
        let identity = LogIdentity {
            cluster: ClusterId([7; 16]),
            node,
            incarnation: Incarnation(u64::from(node.0)),
        };
        let (log, recovered) = Log::open(disk.clone(), Path::new("/log"), identity, OPTIONS)
            .map_err(|error| Failure::Disk(error.to_string()))?;
        if recovered.damage != Damage::None {
            let (damage, places) = (recovered.damage, recovered.damaged_places);
            return Err(does_not_open(node, format!("{damage:?} at {places:?}")));
        }
        let sink = Sink::default();
        let overlay = Overlay::new(Arc::new(store.clone()));
        let applier = Applier::new(overlay, Arc::new(Live::default()), sink.clone());
        let generation = Generation(life);
        let drivers = BTreeMap::new();
        let mut machinery = Self { generation, log, drivers, applier, sink, store: store.clone() };
        for group in GROUPS {
            let driver = machinery.build(node, group, seed ^ u64::from(group.0))?;
            machinery.drivers.insert(group, driver);
        }
        Ok(machinery)
    }

    fn build(&mut self, node: NodeId, group: GroupId, seed: u64) -> Result<Driver, Failure> {
        let wrong = |what: String| does_not_open(node, format!("{group}: {what}"));
        let opened = self.open_state(group).map_err(wrong)?;
        let recovered = match self.recover(group)? {
            Some(recovered) => recovered,
            None => {
                self.born(group)?;
                self.recover(group)?.ok_or_else(|| wrong("its birth is forgotten".into()))?
            }
        };
        if opened.applied.index > recovered.last {
            let story = format!(
                "the state is at {}, the log ends at {}",
                opened.applied.index, recovered.last
            );
            return Err(wrong(story));
        }
        if opened.applied.index < recovered.base.index {
            return Err(wrong("the log was cut further than the state is".into()));
        }
        let mut config = Config::new(node, seed);
        config.eager_commit = false;
        // So that some entries have to be read back from the log.
        config.tail_bytes_max = 4 * 1024;
        let membership = recovered.base.membership.clone();
        let restored = Restored {
            hard_state: recovered.hard_state,
            base: recovered.base,
            terms: recovered.terms,
            last: recovered.last,
            tail: recovered.tail,
            membership,
            applied: opened.applied.index,
        };
        let raft = Raft::new(config, restored).map_err(|error| wrong(error.to_string()))?;
        let kind = PayloadKind::Keys;
        let mut driver = Driver::new(group, node, self.generation, kind, raft, opened.applied);
        // So that even these short logs are cut off at their beginning.
        driver.set_log_floor(0);
        Ok(driver)
    }

    fn open_state(&mut self, group: GroupId) -> Result<Opened, String> {
        let (send, receive) = mpsc::channel();
        let reply = Box::new(move |opened| {
            let _ = send.send(opened);
        });
        let birth = Birth::Keys(Box::new(genesis(group)));
        let open = ApplyCommand::Open { group, generation: self.generation, birth, reply };
        self.applier.turn(vec![open], MonoMillis(0));
        receive.try_recv().map_err(|error| error.to_string())?
    }

    fn recover(&self, group: GroupId) -> Result<Option<RecoveredGroup>, Failure> {
        self.log.recover_group(group).map_err(|error| Failure::Disk(error.to_string()))
    }

    fn born(&mut self, group: GroupId) -> Result<(), Failure> {
        let birth = LogWrite {
            group,
            generation: self.generation,
            number: ReadyNumber(0),
            entries: Vec::new(),
            hard_state: None,
            op: Some(LogOp::Born(Membership::of_voters(NODES))),
            must_sync: true,
        };
        self.log.write(&[birth])?;
        Ok(())
    }

    /// How far the replicas have come, by group.
    pub(crate) fn applied(&self) -> impl Iterator<Item = (GroupId, Index)> {
        self.drivers.iter().map(|(group, driver)| (*group, driver.status().applied))
    }
}

fn does_not_open(node: NodeId, what: String) -> Failure {
    Failure::Violation(Violation::DoesNotOpen(format!("{node}: {what}")))
}

/// The groups' state at birth. Of the buckets only those that the clients use.
fn genesis(group: GroupId) -> Genesis {
    Genesis {
        hash_key: [9; 16],
        buckets: vec![bucket_of(hash_tag(group).as_bytes())],
        time: UnixMillis(0),
        value_bytes_max: limits::VALUE_BYTES_MAX_DEFAULT as u64,
        sessions: SessionLimits {
            sessions: limits::SESSIONS_MAX as u64,
            replies: limits::SESSION_REPLIES_MAX as u64,
            bytes: limits::SESSION_BYTES_MAX as u64,
        },
    }
}
