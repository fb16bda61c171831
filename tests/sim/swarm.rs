//! What one seed is like: the size of the cluster, its settings, the weather, and which faults there are.
//! Each seed has its own mixture, since faults that are always all there hide each other.

use super::cluster::{Chance, Disks, Shape, small_segments};
use super::nemesis::Fault;
use super::network::{FAIR, Weather};
use super::plots::Plot;
use eraft::ids::{GroupId, NodeId};
use eraft::raft::{Config, Lease, Membership};

/// The groups.
pub(crate) const GROUPS: [GroupId; 2] = [GroupId(1), GroupId(2)];

/// A group that is born while the others are at work, in some seeds in which replicas come and go.
pub(crate) const LATE: GroupId = GroupId(3);
/// All that there may be.
pub(crate) const ALL: [GroupId; 3] = [GROUPS[0], GROUPS[1], LATE];

/// One seed in so many has observers and secretaries.
const HELPED_ONE_IN: u64 = 4;

/// Microseconds that clocks count in a second.
const WILD: [u64; 5] = [700_000, 950_000, 1_000_000, 1_050_000, 1_400_000];
const DRIFTING: [u64; 3] = [950_000, 1_000_000, 1_050_000];

/// See the module's first lines.
#[derive(Clone, Debug)]
pub(crate) struct Swarm {
    pub(crate) shape: Shape,
    pub(crate) weather: Weather,
    pub(crate) faults: Vec<Fault>,
    /// Between two faults, microseconds, on average.
    pub(crate) pause: u64,
    /// The faults end at the latest after this, microseconds.
    pub(crate) faults_until: u64,
    /// Memberships are changed so often, microseconds, if at all.
    pub(crate) operator: Option<u64>,
    /// Of a thousand new leads, and of a thousand installed snapshots, so many are struck at once.
    pub(crate) ambushes: u64,
    pub(crate) clients: usize,
    /// Clients besides that only read, each from one node.
    pub(crate) readers: usize,
    /// Units of each client.
    pub(crate) units: u32,
    /// Clients think for up to so long, microseconds.
    pub(crate) thought: u64,
    /// Some values have up to so many bytes more, so that batches span sectors and pages.
    pub(crate) padding: u64,
    /// A request of a session may be remembered for so long, milliseconds.
    pub(crate) session_millis: u64,
    /// The state is brought to the disk at one tick in so many.
    pub(crate) persist_one_in: u64,
    /// How many microseconds clocks may count in a second. With leases on, no two of them drift apart by more
    /// than the leases allow for.
    pub(crate) rates: &'static [u64],
    /// Clocks are wrong by up to so much at the start, milliseconds.
    pub(crate) skew: u64,
    /// One unit in so many is sent once more after it was answered.
    pub(crate) stray_one_in: u64,
    /// Buckets move, and the operator has another wish so often, microseconds.
    pub(crate) wishes: Option<u64>,
    /// Replicas come and go, and the operator names other nodes so often, microseconds.
    pub(crate) placements: Option<u64>,
    /// What the seed is about.
    pub(crate) plot: Option<Plot>,
}

impl Swarm {
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 0x7377_6172);
        let founders = match chance.below(20) {
            0 => 1,
            1..=3 => 5,
            _ => 3,
        };
        // Others stand by, to be admitted.
        let spare = if founders < 5 { chance.pick(&[0, 0, 1, 2]) } else { 0 };
        let nodes = founders + spare;
        let election_ticks = chance.pick(&[6, 8, 8, 10, 16]);
        let check_quorum = chance.below(5) != 0;
        let lease = (check_quorum && chance.below(3) == 0).then(|| longest_lease(election_ticks));
        let config = Config {
            election_ticks,
            heartbeat_ticks: if election_ticks > 8 { 2 } else { 1 + chance.below(2) as u32 },
            append_bytes_max: chance.pick(&[150, 600, 1 << 20]),
            inflight_messages_max: chance.pick(&[1, 2, 4, 256]),
            tail_bytes_max: chance.pick(&[300, 2_000, 1 << 20]),
            apply_bytes_max: chance.pick(&[200, 1 << 20]),
            eager_commit: chance.below(4) == 0,
            pre_vote: chance.below(8) != 0,
            check_quorum,
            lease,
            quiet_ticks: chance
                .pick(&[None, Some(1), Some(2), Some(4)])
                .map(|more| election_ticks + more),
            promotion_lag_max: chance.pick(&[None, Some(0), Some(20)]),
            priorities: if chance.below(4) == 0 { priorities(nodes, &mut chance) } else { vec![] },
            ..Config::new(NodeId(0), 0)
        };
        let shape = Shape {
            nodes: (1..=nodes).map(NodeId).collect(),
            groups: GROUPS.to_vec(),
            late: None,
            shared_out: wishes(seed).is_some() && shared_out(seed),
            come_and_go: false,
            founders: founded_by(founders),
            helpers: Vec::new(),
            options: small_segments(chance.pick(&[16, 32]) * 1024),
            config,
            log_floor: chance.pick(&[0, 0, 1 << 20]),
            chunk_bytes: chance.pick(&[8, 24, 512]) * 1024,
        };
        // Only when clients rest do groups fall asleep.
        let share = |fault| match fault {
            Fault::Lull | Fault::CutInWrite | Fault::Wipe => 4,
            _ => 2,
        };
        let mut faults = Fault::ALL.to_vec();
        faults.retain(|fault| chance.below(5) < share(*fault));
        let rough = chance.below(3);
        let weather = Weather {
            delay_min: chance.pick(&[20, 50, 500, 3_000]),
            delay_more: chance.pick(&[200, 1_000, 5_000]),
            lost: rough * chance.below(60),
            duplicated: rough * chance.below(60),
            delayed: chance.pick(&[0, 5, 30]),
        };
        let swarm = Self {
            shape,
            weather,
            faults,
            pause: chance.pick(&[40_000, 100_000, 300_000]),
            faults_until: 4_200_000,
            operator: chance.pick(&[None, None, Some(60_000), Some(200_000)]),
            ambushes: chance.pick(&[0, 0, 300, 700]),
            clients: chance.between(4, 8) as usize,
            readers: chance.pick(&[0, 0, GROUPS.len() * nodes as usize]),
            units: chance.between(20, 50) as u32,
            thought: chance.pick(&[5_000, 50_000, 150_000, 400_000]),
            padding: chance.pick(&[0, 1_500, 3_000, 8_000, 8_000, 8_000]),
            session_millis: chance.pick(&[2_500, 60_000, 540_000]),
            persist_one_in: chance.pick(&[2, 6, 30]),
            rates: if lease.is_some() { &DRIFTING } else { &WILD },
            skew: chance.pick(&[0, 50, 5_000, 3_600_000]),
            wishes: wishes(seed),
            stray_one_in: if wishes(seed).is_some() { 2 } else { 12 },
            placements: None,
            plot: Plot::of(seed),
        };
        match (swarm.plot, placements(seed)) {
            (Some(plot), _) => swarm.about(plot, &mut chance),
            (None, Some(pause)) if swarm.wishes.is_some() => swarm.placed(seed, pause),
            (None, _) => swarm.helped(seed),
        }
    }

    /// Three nodes found the groups, others stand by, and the table says which of them are to have a replica.
    fn placed(self, seed: u64, pause: u64) -> Self {
        let mut chance = Chance::new(seed, 0x7370_6172);
        let founders = 3;
        let nodes = founders + chance.pick(&[1, 2, 2]);
        let mut faults = self.faults;
        // Damage and empty disks are what brings most replicas to go and to come back.
        faults.extend([Fault::BitFlip; 5]);
        for fault in [Fault::Wipe, Fault::BitFlip] {
            if chance.below(2) == 0 {
                faults.push(fault);
            }
        }
        let shape = Shape {
            nodes: (1..=nodes).map(NodeId).collect(),
            founders: founded_by(founders),
            groups: ALL.to_vec(),
            late: Some(LATE).filter(|_| self.shape.shared_out),
            come_and_go: true,
            // Without pre-votes a replica that is removed unawares disturbs the others until it hears so (thesis, 4.2.3);
            // nodes always ask first.
            config: Config { pre_vote: true, ..self.shape.config },
            ..self.shape
        };
        let readers = self.readers.min(GROUPS.len() * nodes as usize);
        let placements = Some(pause);
        Self { shape, readers, operator: None, placements, faults, ..self }
    }

    /// Some seeds have nodes besides, to be observers and secretaries.
    fn helped(self, seed: u64) -> Self {
        let mut chance = Chance::new(seed, 0x6865_6c70);
        if chance.below(HELPED_ONE_IN) != 0 {
            return self;
        }
        let known = self.shape.nodes.len() as u32;
        let helpers: Vec<NodeId> =
            (1..=chance.pick(&[1, 2, 2])).map(|more| NodeId(known + more)).collect();
        let nodes = [&self.shape.nodes[..], &helpers].concat();
        let config = Config { relay_ticks: chance.pick(&[1, 2, 4]), ..self.shape.config };
        // Each observer is read from.
        let readers = GROUPS.len() * nodes.len();
        // What a secretary reports may be about a member that has come back with another disk since.
        let operator = self.operator.or(chance.pick(&[None, Some(60_000)]));
        let mut faults = self.faults;
        if !faults.contains(&Fault::Wipe) && chance.below(2) == 0 {
            faults.push(Fault::Wipe);
        }
        let shape = Shape { nodes, helpers, config, ..self.shape };
        Self { shape, readers, operator, faults, ..self }
    }

    /// Three nodes in fair weather, to which little happens but the plot.
    fn about(self, plot: Plot, chance: &mut Chance) -> Self {
        let election_ticks = chance.pick(&[6, 8]);
        let lease = (plot == Plot::LeaseEdge).then(|| longest_lease(election_ticks));
        let config = Config {
            election_ticks,
            heartbeat_ticks: 1 + chance.below(2) as u32,
            append_bytes_max: chance.pick(&[1, 1, 150, 1 << 20]),
            check_quorum: lease.is_some() || self.shape.config.check_quorum,
            lease,
            quiet_ticks: None,
            priorities: Vec::new(),
            promotion_lag_max: None,
            ..self.shape.config
        };
        let nodes = 3;
        let shape = Shape {
            nodes: (1..=nodes).map(NodeId).collect(),
            founders: founded_by(nodes),
            shared_out: false,
            config,
            ..self.shape
        };
        let weather = Weather {
            delay_min: chance.pick(&[20, 500]),
            delay_more: chance.pick(&[200, 1_000]),
            ..FAIR
        };
        Self {
            shape,
            weather,
            faults: Fault::PLOTTED.iter().copied().filter(|_| chance.below(4) == 0).collect(),
            pause: 400_000,
            operator: None,
            ambushes: 0,
            readers: if lease.is_some() { GROUPS.len() * nodes as usize } else { 0 },
            wishes: None,
            units: 60,
            thought: 150_000,
            rates: if lease.is_some() { &DRIFTING } else { &WILD },
            ..self
        }
    }
}

/// Whose lead is preferred.
fn priorities(nodes: u32, chance: &mut Chance) -> Vec<(NodeId, u32)> {
    (1..=nodes).map(|id| (NodeId(id), chance.below(3) as u32)).collect()
}

/// Whether buckets move, and how often.
fn wishes(seed: u64) -> Option<u64> {
    let mut chance = Chance::new(seed, 0x6d_6f7665);
    chance.pick(&[None, None, Some(60_000), Some(300_000)])
}

/// Whether the groups own all buckets, which leave and join by many.
fn shared_out(seed: u64) -> bool {
    let mut chance = Chance::new(seed, 0x7368_6172);
    chance.below(2) == 0
}

/// Whether replicas come and go, and how often others are wished for.
fn placements(seed: u64) -> Option<u64> {
    let mut chance = Chance::new(seed, 0x706c_6163);
    chance.pick(&[None, None, Some(150_000), Some(500_000)])
}

/// The founders' membership.
fn founded_by(count: u32) -> Membership {
    Membership::of_disks((1..=count).map(|id| {
        let id = NodeId(id);
        (id, Disks::default().incarnation(id))
    }))
}

/// The longest that is safe: a follower keeps its word from the middle of a tick on, and its clock may be the
/// quicker one.
fn longest_lease(election_ticks: u32) -> Lease {
    Lease { millis: u64::from(election_ticks - 1) * 50 * 9 / 10 }
}
