//! How a node starts: everything is rebuilt from what its disks remember, the way the group actor does
//! it.

use super::disks::Disks;
use super::sink::Sink;
use super::turn::Failure;
use eraft::actors::apply::{Applier, ApplyCommand, Birth, Live, Opened};
use eraft::actors::group::driver::Driver;
use eraft::actors::group::intake::Intake;
use eraft::actors::group::payload::PayloadKind;
use eraft::actors::group::recovered::{goes_with, restored};
use eraft::ids::{
    Bucket, ClusterId, Generation, GroupId, Incarnation, Index, NodeId, ReadyNumber, Term,
};
use eraft::kv::{Genesis, SessionLimits};
use eraft::limits::{self, BUCKETS};
use eraft::raft::{Config, HardState, Membership, Raft};
use eraft::rows::RowGeneration;
use eraft::shard::{BucketRange, bucket_of};
use eraft::store::disk::SimDisk;
use eraft::store::state::Overlay;
use eraft::store::wal::{
    Damage, Log, LogIdentity, LogOp, LogOptions, LogWrite, RecoveredGroup, Standing,
};
use eraft::time::{MonoMillis, UnixMillis};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, mpsc};

/// What all nodes of a cluster have in common.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) nodes: Vec<NodeId>,
    /// Each has a replica on each node, unless they come and go.
    pub(crate) groups: Vec<GroupId>,
    /// Of the groups the one that is born later, if any, by the same founders, and owns nothing at first.
    pub(crate) late: Option<GroupId>,
    /// The groups own all buckets, not only those that the clients use.
    pub(crate) shared_out: bool,
    /// Replicas come and go as the config table wishes. Besides the founders' none is there at first.
    pub(crate) come_and_go: bool,
    /// With which each group begins. Replicas outside of it wait until they are admitted.
    pub(crate) founders: Membership,
    /// Nodes that no group ever admits: what replicates there observes.
    pub(crate) helpers: Vec<NodeId>,
    pub(crate) options: LogOptions,
    /// With the replica's id and seed put in.
    pub(crate) config: Config,
    /// See [`Driver::set_log_floor`].
    pub(crate) log_floor: u64,
    /// Of one chunk of a snapshot.
    pub(crate) chunk_bytes: usize,
}

/// Small, so that a short run fills several.
pub(crate) fn small_segments(bytes: u64) -> LogOptions {
    LogOptions { segment_bytes: bytes, background_prepare: false }
}

/// All keys of a group begin with this, which puts them into one bucket.
pub(crate) fn hash_tag(group: GroupId) -> String {
    format!("{{{group}}}")
}

/// What a group owns at its birth: the bucket that its clients use, or the half of all buckets in which that one is.
pub(crate) fn first_range(group: GroupId, shared_out: bool) -> BucketRange {
    let home = bucket_of(hash_tag(group).as_bytes());
    let half = BUCKETS / 2;
    let (first, last) = match (shared_out, home.0 < half) {
        (false, _) => (home.0, home.0),
        (true, true) => (0, half - 1),
        (true, false) => (half, BUCKETS - 1),
    };
    BucketRange { first: Bucket(first), last: Bucket(last) }
}

/// What a log remembers of a replica, in short.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    pub(crate) hard_state: HardState,
    pub(crate) base: (Index, Term),
    /// First index and term of each run after the base.
    pub(crate) terms: Vec<(Index, Term)>,
    pub(crate) last: Index,
}

/// The real things of one life of a node.
pub(crate) struct Machinery {
    pub(crate) node: NodeId,
    pub(crate) generation: Generation,
    seed: u64,
    shape: Shape,
    pub(crate) log: Log<SimDisk>,
    /// The replicas on these disks, and the disk by which each is known to its group.
    pub(crate) identities: BTreeMap<GroupId, Incarnation>,
    /// Replicas born where there had been one before, in this life.
    births: u32,
    /// Of the groups that take part.
    pub(crate) drivers: BTreeMap<GroupId, Driver>,
    pub(crate) intakes: BTreeMap<GroupId, Intake>,
    /// Which life of a group's rows is its state.
    pub(crate) rows: BTreeMap<GroupId, RowGeneration>,
    pub(crate) applier: Applier<Sink>,
    pub(crate) sink: Sink,
    pub(crate) disks: Disks,
    /// What the log has lost: replicas of these groups stay silent.
    pub(crate) damage: Damage,
    /// Where the log says that it was found, for people.
    pub(crate) places: String,
    /// The log was cut at its end.
    pub(crate) torn: bool,
    pub(crate) remembered: BTreeMap<GroupId, Remembered>,
    pub(crate) chunk_bytes: usize,
}

impl Machinery {
    /// Opens the log and the state, and puts drivers on top.
    pub(crate) fn start(
        node: NodeId,
        life: u64,
        seed: u64,
        disks: &Disks,
        shape: &Shape,
    ) -> Result<Self, Failure> {
        let identity =
            LogIdentity { cluster: ClusterId([7; 16]), node, incarnation: disks.incarnation(node) };
        let log = Log::open(disks.log.clone(), Path::new("/log"), identity, shape.options);
        let (log, recovered) = log.map_err(|error| Failure::Disk(error.to_string()))?;
        let sink = Sink::default();
        let overlay = Overlay::new(Arc::new(disks.state.clone()));
        let applier = Applier::new(overlay, Arc::new(Live::default()), sink.clone());
        let mut machinery = Self {
            node,
            generation: Generation(life),
            seed,
            shape: shape.clone(),
            log,
            identities: BTreeMap::new(),
            births: 0,
            drivers: BTreeMap::new(),
            intakes: BTreeMap::new(),
            rows: BTreeMap::new(),
            applier,
            sink,
            disks: disks.clone(),
            places: format!("{:?}", recovered.damaged_places),
            torn: recovered.torn_tail_bytes > 0,
            damage: recovered.damage,
            remembered: BTreeMap::new(),
            chunk_bytes: shape.chunk_bytes,
        };
        for group in &shape.groups {
            machinery.wake(*group)?;
        }
        Ok(machinery)
    }

    /// Whether the replica may have forgotten what it promised.
    pub(crate) fn is_silent(&self, group: GroupId) -> bool {
        self.log.standing(group).0 == Standing::Damaged
    }

    /// The replica that is on the disks, or has always to be.
    fn wake(&mut self, group: GroupId) -> Result<(), Failure> {
        let (standing, identity) = self.log.standing(group);
        let is_there = match standing {
            Standing::Alive | Standing::Damaged => true,
            // Whether it is born yet is in the config table.
            Standing::Unknown if self.shape.late == Some(group) => false,
            Standing::Unknown => !self.shape.come_and_go || self.founds(),
            Standing::Dead => false,
        };
        if !is_there {
            return Ok(());
        }
        let disk = identity.unwrap_or_else(|| self.disks.incarnation(self.node));
        self.identities.insert(group, disk);
        if standing != Standing::Damaged {
            self.build(group)?;
        }
        Ok(())
    }

    /// A replica begins here. Where one had been before, it is somebody else, who has promised nothing; the
    /// rows of that one are gone already.
    pub(super) fn bear(&mut self, group: GroupId) -> Result<(), Failure> {
        let own = self.disks.incarnation(self.node);
        let mut disk = own;
        if self.log.standing(group).0 == Standing::Dead {
            self.births += 1;
            // Nobody else is ever known by this.
            disk.0 += u64::from(self.births) << 32 | self.generation.0 << 48;
            self.write(group, [LogOp::Born(Membership::default()), LogOp::Identity(disk)])?;
        }
        self.identities.insert(group, disk);
        self.build(group)
    }

    /// The replica is no more.
    pub(super) fn bury(&mut self, group: GroupId) {
        self.identities.remove(&group);
        self.intakes.remove(&group);
        self.rows.remove(&group);
        self.remembered.remove(&group);
    }

    /// Which life of a group's replica this is: what was on its way to another one comes too late.
    pub(super) fn generation_of(&self, group: GroupId) -> Generation {
        let own = self.disks.incarnation(self.node);
        let life = self.identities.get(&group).map_or(0, |disk| disk.0 - own.0);
        Generation(self.generation.0 + life)
    }

    fn founds(&self) -> bool {
        let (founders, own) = (&self.shape.founders, self.disks.incarnation(self.node));
        founders.contains(self.node) && founders.disk(self.node).is_none_or(|disk| disk == own)
    }

    fn build(&mut self, group: GroupId) -> Result<(), Failure> {
        let node = self.node;
        let wrong = |what: String| Failure::DoesNotOpen(format!("{node}: {group}: {what}"));
        let disk = self.identities[&group];
        let is_founder = self.founds() && disk == self.disks.incarnation(node);
        let founders = if is_founder { self.shape.founders.clone() } else { Membership::default() };
        let opened = self.open_state(group, founders.clone()).map_err(wrong)?;
        let applied = opened.applied.index;
        let mut recovered = match self.recover(group, applied)? {
            Some(recovered) => recovered,
            None => {
                self.write(group, [LogOp::Born(founders)])?;
                self.recover(group, applied)?
                    .ok_or_else(|| wrong("its birth is forgotten".into()))?
            }
        };
        if let Some(meta) = &opened.installed
            && !goes_with(&recovered, meta)
        {
            // A snapshot whose rows are installed but whose mark did not reach the log.
            self.write(group, [LogOp::SnapshotInstalled(meta.clone())])?;
            let again = self.recover(group, applied)?;
            recovered = again.ok_or_else(|| wrong("its snapshot is forgotten".into()))?;
        }
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
        let remembered = Remembered {
            hard_state: recovered.hard_state,
            base: (recovered.base.index, recovered.base.term),
            terms: recovered.terms.clone(),
            last: recovered.last,
        };
        self.remembered.insert(group, remembered);
        let observer = self.shape.helpers.contains(&node);
        let seed = self.seed ^ u64::from(group.0);
        let config =
            Config { id: node, seed, disk: Some(disk), observer, ..self.shape.config.clone() };
        let restored = restored(recovered, applied, opened.membership);
        let raft = Raft::new(config, restored).map_err(|error| wrong(error.to_string()))?;
        let kind = PayloadKind::Keys;
        let generation = self.generation_of(group);
        let mut driver = Driver::new(group, node, generation, kind, raft, opened.applied);
        driver.set_log_floor(self.shape.log_floor);
        self.intakes.insert(group, Intake::new(group, opened.newest_rows));
        self.rows.insert(group, opened.row_generation);
        self.drivers.insert(group, driver);
        Ok(())
    }

    fn open_state(&mut self, group: GroupId, founders: Membership) -> Result<Opened, String> {
        let (send, receive) = mpsc::channel();
        let reply = Box::new(move |opened| {
            let _ = send.send(opened);
        });
        let is_founder = !founders.everyone().is_empty();
        let owns = is_founder || !self.shape.come_and_go;
        let owns = owns && self.shape.late != Some(group);
        let owned = owns.then(|| first_range(group, self.shape.shared_out));
        let birth = Birth::Keys(Box::new(genesis(owned)));
        let generation = self.generation_of(group);
        let open = ApplyCommand::Open { group, generation, birth, founders, reply };
        self.applier.turn(vec![open], MonoMillis(0));
        receive.try_recv().map_err(|error| error.to_string())?
    }

    fn recover(&self, group: GroupId, applied: Index) -> Result<Option<RecoveredGroup>, Failure> {
        let recovered = self.log.recover_group(group, applied);
        recovered.map_err(|error| Failure::Disk(error.to_string()))
    }

    /// In one batch.
    fn write<const N: usize>(&mut self, group: GroupId, ops: [LogOp; N]) -> Result<(), Failure> {
        let generation = self.generation_of(group);
        let writes = ops.map(|op| LogWrite {
            group,
            generation,
            number: ReadyNumber(0),
            entries: Vec::new(),
            hard_state: None,
            op: Some(op),
            must_sync: true,
        });
        self.log.write(&writes)?;
        Ok(())
    }

    /// How far the replicas have come, by group.
    pub(crate) fn applied(&self) -> impl Iterator<Item = (GroupId, Index)> {
        self.drivers.iter().map(|(group, driver)| (*group, driver.status().applied))
    }
}

/// A group's state at birth, with these buckets where it is founded; elsewhere all comes with a snapshot.
fn genesis(owned: Option<BucketRange>) -> Genesis {
    Genesis {
        hash_key: [9; 16],
        buckets: owned.into_iter().flat_map(BucketRange::buckets).collect(),
        time: UnixMillis(0),
        value_bytes_max: limits::VALUE_BYTES_MAX_DEFAULT as u64,
        sessions: SessionLimits {
            sessions: limits::SESSIONS_MAX as u64,
            replies: limits::SESSION_REPLIES_MAX as u64,
            bytes: limits::SESSION_BYTES_MAX as u64,
        },
    }
}
