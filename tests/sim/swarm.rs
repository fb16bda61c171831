//! What one seed is like: the size of the cluster, its settings, the weather, and which faults there are.
//! Each seed has its own mixture, since faults that are always all there hide each other.

use super::cluster::{Chance, Shape, small_segments};
use super::nemesis::Fault;
use super::network::Weather;
use eraft::ids::{GroupId, NodeId};
use eraft::raft::Config;

/// The groups.
pub(crate) const GROUPS: [GroupId; 2] = [GroupId(1), GroupId(2)];

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
    /// Clocks are wrong by up to so much at the start, milliseconds.
    pub(crate) skew: u64,
}

impl Swarm {
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 0x7377_6172);
        let nodes = match chance.below(20) {
            0 => 1,
            1..=3 => 5,
            _ => 3,
        };
        let election_ticks = chance.pick(&[6, 8, 8, 10, 16]);
        let config = Config {
            election_ticks,
            heartbeat_ticks: if election_ticks > 8 { 2 } else { 1 + chance.below(2) as u32 },
            append_bytes_max: chance.pick(&[150, 600, 1 << 20]),
            inflight_messages_max: chance.pick(&[1, 2, 4, 256]),
            tail_bytes_max: chance.pick(&[300, 2_000, 1 << 20]),
            apply_bytes_max: chance.pick(&[200, 1 << 20]),
            eager_commit: chance.below(4) == 0,
            pre_vote: chance.below(8) != 0,
            check_quorum: chance.below(5) != 0,
            ..Config::new(NodeId(0), 0)
        };
        let shape = Shape {
            nodes: (1..=nodes).map(NodeId).collect(),
            groups: GROUPS.to_vec(),
            options: small_segments(chance.pick(&[16, 32]) * 1024),
            config,
            log_floor: chance.pick(&[0, 0, 1 << 20]),
            chunk_bytes: chance.pick(&[8, 24, 512]) * 1024,
        };
        let faults: Vec<_> = Fault::ALL.iter().copied().filter(|_| chance.below(5) < 2).collect();
        let rough = chance.below(3);
        let weather = Weather {
            delay_min: chance.pick(&[20, 50, 500, 3_000]),
            delay_more: chance.pick(&[200, 1_000, 5_000]),
            lost: rough * chance.below(60),
            duplicated: rough * chance.below(60),
            delayed: chance.pick(&[0, 5, 30]),
        };
        Self {
            shape,
            weather,
            faults,
            pause: chance.pick(&[40_000, 120_000, 300_000]),
            faults_until: 6_000_000,
            ambushes: chance.pick(&[0, 0, 300, 700]),
            clients: chance.between(4, 8) as usize,
            readers: chance.pick(&[0, 0, GROUPS.len() * nodes as usize]),
            units: chance.between(20, 50) as u32,
            thought: chance.pick(&[5_000, 50_000, 150_000, 400_000]),
            padding: chance.pick(&[0, 1_500, 3_000, 8_000]),
            session_millis: chance.pick(&[2_500, 60_000, 540_000]),
            persist_one_in: chance.pick(&[2, 6, 30]),
            skew: chance.pick(&[0, 50, 5_000, 3_600_000]),
        }
    }
}
