//! The network: every parcel takes its own time, so they overtake each other; some are lost, some arrive
//! twice. A link may be cut (what is sent is lost) or clogged (it waits until the link is free), one way or
//! both ways.

use super::cluster::Chance;
use super::coverage::{Coverage, Kind};
use eraft::ids::NodeId;

/// What the network is like, apart from faults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// The shortest way and the usual detour, microseconds.
    pub(crate) delay_min: u64,
    pub(crate) delay_more: u64,
    /// Of a thousand parcels.
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) delayed: u64,
}

/// Weather in which nothing goes wrong.
pub(crate) const FAIR: Weather =
    Weather { delay_min: 50, delay_more: 1_000, lost: 0, duplicated: 0, delayed: 5 };

/// One direction between two nodes.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    cut_until: u64,
    clogged_until: u64,
    /// When the newest parcel that keeps its place arrives.
    last_in_order: u64,
}

/// See the module's first lines.
#[derive(Debug)]
pub(crate) struct Network {
    chance: Chance,
    weather: Weather,
    storm: Option<(u64, Weather)>,
    nodes: usize,
    links: Vec<Link>,
}

impl Network {
    pub(crate) fn new(seed: u64, nodes: usize, weather: Weather) -> Self {
        let links = vec![Link::default(); nodes * nodes];
        Self { chance: Chance::new(seed, 0x6e_6574), weather, storm: None, nodes, links }
    }

    fn link(&mut self, from: NodeId, to: NodeId) -> &mut Link {
        &mut self.links[(from.0 as usize - 1) * self.nodes + to.0 as usize - 1]
    }

    /// What is sent this way is lost until then.
    pub(crate) fn cut(&mut self, from: NodeId, to: NodeId, until: u64) {
        self.link(from, to).cut_until = until;
    }

    /// What is sent this way waits until then.
    pub(crate) fn clog(&mut self, from: NodeId, to: NodeId, until: u64) {
        self.link(from, to).clogged_until = until;
    }

    /// Other weather for a while.
    pub(crate) fn storm(&mut self, until: u64, weather: Weather) {
        self.storm = Some((until, weather));
    }

    /// All links work, and the weather is fair from now on.
    pub(crate) fn heal(&mut self) {
        self.weather = FAIR;
        self.storm = None;
        self.free();
    }

    /// All links work from now on.
    pub(crate) fn free(&mut self) {
        for link in &mut self.links {
            (link.cut_until, link.clogged_until) = (0, 0);
        }
    }

    /// Whether nothing gets through this way.
    pub(crate) fn is_cut(&mut self, from: NodeId, to: NodeId, now: u64) -> bool {
        now < self.link(from, to).cut_until
    }

    /// When a parcel sent now arrives: never, once, or twice.
    pub(crate) fn arrivals(
        &mut self,
        from: NodeId,
        to: NodeId,
        now: u64,
        coverage: &mut Coverage,
    ) -> [Option<u64>; 2] {
        let weather = self.storm.filter(|(until, _)| now < *until).map_or(self.weather, |s| s.1);
        let link = *self.link(from, to);
        if now < link.cut_until || self.chance.permille(weather.lost) {
            coverage.count(Kind::Lost);
            return [None, None];
        }
        let free_at = now.max(link.clogged_until);
        let first = Some(free_at + self.way(weather, coverage));
        if !self.chance.permille(weather.duplicated) {
            return [first, None];
        }
        coverage.count(Kind::Duplicated);
        // Some copies come when the world has become another one.
        let late = if self.chance.below(4) == 0 { self.chance.below(3_000_000) } else { 0 };
        [first, Some(free_at + 10 * self.way(weather, coverage) + late)]
    }

    /// The same for a parcel that never overtakes another one of its kind, nor arrives twice.
    pub(crate) fn arrival_in_order(
        &mut self,
        from: NodeId,
        to: NodeId,
        now: u64,
        coverage: &mut Coverage,
    ) -> Option<u64> {
        let at = self.arrivals(from, to, now, coverage)[0]?;
        let link = self.link(from, to);
        link.last_in_order = at.max(link.last_in_order + 1);
        Some(link.last_in_order)
    }

    fn way(&mut self, weather: Weather, coverage: &mut Coverage) -> u64 {
        let usual = weather.delay_min + self.chance.below(weather.delay_more);
        if self.chance.permille(weather.delayed) {
            coverage.count(Kind::Delayed);
            return usual * self.chance.between(10, 200);
        }
        usual
    }

    /// How long it takes from a client to a node, or back.
    pub(crate) fn client_way(&mut self) -> u64 {
        self.chance.between(20, 600)
    }
}
