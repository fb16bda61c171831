//! What happened in a run: a run in which something never went wrong proves nothing about it.

use std::fmt::{self, Display, Formatter};
use std::ops::AddAssign;

macro_rules! kinds {
    ($($kind:ident = $words:literal,)*) => {
        /// Something worth counting.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind {
            $($kind,)*
        }

        const KINDS: &[(Kind, &str)] = &[$((Kind::$kind, $words),)*];
    };
}

kinds! {
    Elections = "elections won",
    Transfers = "replicas told to take the lead over",
    SnapshotsSent = "snapshots needed",
    SnapshotsInstalled = "snapshots installed",
    SnapshotsResumed = "snapshots that went on in the middle",
    Compactions = "logs cut at their beginning",
    Fetches = "entries read back from the log",
    Kills = "processes killed",
    PowerLosses = "nodes that lost power",
    PowerLossesOfAll = "power lost on all nodes",
    LogUnsynced = "crashes with un-synced pages of the log",
    StateUnsynced = "crashes that lost rows of the state",
    TornTails = "torn ends of a log",
    CutsInWrites = "power lost within a write",
    SyncFailures = "failed syncs",
    SlowSyncs = "slow disks",
    SlowLeadsLost = "leads lost by nodes with slow disks",
    SlowStates = "slow state stores",
    DisksFull = "full disks",
    DisksLow = "disks nearly full",
    BitFlips = "bits flipped in a log",
    SilentReplicas = "replicas silent after damage",
    WipedDisks = "wiped disks",
    DisksReplaced = "nodes that came back with an empty disk",
    LearnersAdded = "learners added",
    Promoted = "learners promoted",
    Demoted = "voters demoted",
    Removed = "members removed",
    ReAdmitted = "members admitted again with another disk",
    JointEntered = "joint configurations entered",
    JointLeft = "joint configurations left",
    ReplicasWished = "replicas wished for, or away, by the table",
    Placed = "memberships changed as the table wishes",
    ReplicasBegun = "replicas begun where none had been",
    ReplicasDestroyed = "replicas let go and destroyed",
    ReplicasReborn = "replicas born again where one had been",
    ReplicasRepaired = "damaged replicas let go and destroyed",
    DisksAdopted = "new disks adopted by the table",
    HelpersNamed = "lists of observers and secretaries heard of",
    Relayed = "appends with entries passed on by a secretary",
    ObserverReads = "reads answered by observers",
    ObserversWiped = "observers with a wiped disk",
    SecretariesLost = "secretaries lost with their processes",
    Strangers = "words of another disk under a member's name",
    Pauses = "nodes paused",
    LongPauses = "nodes paused for longer than an election",
    ClockJumps = "clocks that jumped",
    ClockRates = "clocks that changed their rate",
    Isolations = "nodes cut off",
    Splits = "clusters split in two",
    OneWays = "one-way partitions",
    Rings = "ring partitions",
    Swizzles = "links clogged and freed one by one",
    Muffled = "nodes whose words came late",
    Storms = "storms of loss and delay",
    Ambushes = "nodes struck as they began to lead or installed a snapshot",
    Silenced = "leaders that fell silent one after the other",
    LateWords = "leaders heard late, by nodes that had just started",
    LeaseEdges = "leaders cut off and read from until their leases end",
    Lulls = "times without clients",
    Sleeps = "groups that fell asleep",
    Bereaved = "nodes lost while what they led slept",
    Unreachable = "peers noticed to be out of reach",
    Lost = "messages lost",
    Duplicated = "messages duplicated",
    Delayed = "messages much delayed",
    Restarts = "nodes started again",
    Refused = "units refused as not done",
    Unknown = "operations with unknown outcome",
    Retries = "units sent again under a session",
    Strays = "late copies of answered units",
    Expiries = "keys with a deadline",
    Acknowledged = "writes acknowledged",
    Reads = "reads answered",
    LeaseReads = "units read by lease",
    HandOffs = "moves handed off",
    Acceptances = "moves accepted",
    GivenUp = "moves given up",
    MovesCanceled = "moves canceled by the operator",
    MovesBeside = "hand-offs of a group that had other moves under way",
    GroupsBorn = "groups born while others were at work",
    SharesWished = "groups that were to join or leave, or to share equally",
    ConfigSilent = "times in which the config group had no leader",
    NodesDrained = "nodes to be drained",
    Scans = "scans of a bucket that moves now and then",
    Redirected = "units redirected to another group",
    StatesCompared = "states of replicas compared on the way",
}

/// See the module's first lines.
#[derive(Clone, Debug)]
pub(crate) struct Coverage([u64; KINDS.len()]);

impl Default for Coverage {
    fn default() -> Self {
        Self([0; KINDS.len()])
    }
}

impl Coverage {
    pub(crate) fn count(&mut self, kind: Kind) {
        self.add(kind, 1);
    }

    pub(crate) fn add(&mut self, kind: Kind, times: u64) {
        self.0[kind as usize] += times;
    }

    /// What happened less often than this.
    pub(crate) fn rarer_than(&self, times: u64) -> Vec<&'static str> {
        let rare = KINDS.iter().filter(|(kind, _)| self.0[*kind as usize] < times);
        rare.map(|(_, words)| *words).collect()
    }
}

impl AddAssign<&Self> for Coverage {
    fn add_assign(&mut self, other: &Self) {
        for (sum, times) in self.0.iter_mut().zip(&other.0) {
            *sum += times;
        }
    }
}

impl Display for Coverage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        KINDS
            .iter()
            .try_for_each(|(kind, words)| writeln!(f, "{:>12}  {words}", self.0[*kind as usize]))
    }
}
