//! What must hold at every moment, one file for each property. The properties are told what every replica
//! says, writes, leads and applies, and answer with a violation as soon as one does not hold.

mod acknowledged;
mod committed_on_quorum;
mod durable_promises;
mod election_safety;
mod leader_append_only;
mod leader_completeness;
mod log_matching;
mod monotonic;
mod sessions;
mod shadow;
mod state_machine_safety;

use super::cluster::Remembered;
use acknowledged::Acknowledged;
use committed_on_quorum::CommittedOnQuorum;
use durable_promises::DurablePromises;
use election_safety::ElectionSafety;
use eraft::ids::{GroupId, Index, NodeId, Term};
use eraft::net::message::UnitId;
use eraft::raft::{Entry, Message, Role, Status};
use eraft::store::wal::LogWrite;
use leader_completeness::LeaderCompleteness;
use log_matching::LogMatching;
use monotonic::Monotonic;
use sessions::Sessions;
use shadow::Shadow;
use state_machine_safety::StateMachineSafety;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

/// A replica.
pub(crate) type Replica = (NodeId, GroupId);

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) property: &'static str,
    pub(crate) story: String,
}

impl Violation {
    pub(crate) fn new(property: &'static str, story: String) -> Self {
        Self { property, story }
    }
}

impl Display for Violation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.story)
    }
}

/// Whether a property holds.
pub(crate) type Held = Result<(), Violation>;

/// All of them.
#[derive(Debug)]
pub(crate) struct Properties {
    nodes: usize,
    /// The logs as their replicas have handed them out to be written.
    logs: BTreeMap<Replica, Shadow>,
    elections: ElectionSafety,
    matching: LogMatching,
    completeness: LeaderCompleteness,
    quorum: CommittedOnQuorum,
    machines: StateMachineSafety,
    monotonic: Monotonic,
    promises: DurablePromises,
    acknowledged: Acknowledged,
    sessions: Sessions,
}

impl Properties {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            nodes,
            logs: BTreeMap::new(),
            elections: ElectionSafety::default(),
            matching: LogMatching::default(),
            completeness: LeaderCompleteness::default(),
            quorum: CommittedOnQuorum::default(),
            machines: StateMachineSafety::default(),
            monotonic: Monotonic::default(),
            promises: DurablePromises::default(),
            acknowledged: Acknowledged::default(),
            sessions: Sessions,
        }
    }

    /// A replica starts from what its disk remembers.
    pub(crate) fn started(&mut self, replica: Replica, remembered: &Remembered) -> Held {
        let log = Shadow::of(remembered);
        self.promises.check(replica, remembered, &log)?;
        self.monotonic.started(replica);
        self.quorum.durable(replica, &log);
        self.logs.insert(replica, log);
        Ok(())
    }

    /// A replica stays silent: what it promised it may have forgotten.
    pub(crate) fn silent(&mut self, replica: Replica) {
        self.logs.remove(&replica);
    }

    /// A replica says this.
    pub(crate) fn sent(&mut self, group: GroupId, message: &Message) -> Held {
        self.elections.voted(group, message)?;
        let log = &self.logs[&(message.from, group)];
        self.promises.promised((message.from, group), message, log);
        Ok(())
    }

    /// A replica hands this to its log.
    pub(crate) fn wrote(&mut self, node: NodeId, write: &LogWrite) -> Held {
        let replica = (node, write.group);
        let log = self.logs.get_mut(&replica).expect("it has started");
        let leads = self.monotonic.leads(replica);
        leader_append_only::check(replica, leads, log, write)?;
        self.matching.check(replica, log, write)?;
        log.write(write);
        self.promises.cut(replica, log);
        Ok(())
    }

    /// A replica's log has synced this.
    pub(crate) fn synced(&mut self, node: NodeId, write: &LogWrite) {
        self.quorum.synced((node, write.group), write);
    }

    /// A replica leads.
    pub(crate) fn leads(&mut self, node: NodeId, group: GroupId, term: Term) -> Held {
        let log = &self.logs[&(node, group)];
        self.elections.leads(group, term, node)?;
        self.acknowledged.leads(node, group, term, log)?;
        self.completeness.leads(node, group, term, log)
    }

    /// How a replica stands after it has handled something.
    pub(crate) fn stands(&mut self, group: GroupId, status: &Status) -> Held {
        let replica = (status.id, group);
        self.monotonic.stands(replica, status)?;
        if status.role == Role::Leader && status.commit > Index(0) {
            let log = &self.logs[&replica];
            if let Some(term) = log.term(status.commit) {
                let at = (status.commit, term);
                self.completeness.commits(group, status.term, at)?;
                self.quorum.check(replica, at, self.nodes)?;
            }
        }
        Ok(())
    }

    /// A replica in this term hands an entry to its state machine; these units wait for it.
    pub(crate) fn applies(
        &mut self,
        replica: Replica,
        term: Term,
        entry: &Entry,
        units: &[UnitId],
    ) -> Held {
        self.acknowledged.carries(replica.1, term, entry, units);
        self.machines.applies(replica, entry)
    }

    /// What the rows of a replica that has applied this far come to. Answers whether there was another
    /// one to compare it with.
    pub(crate) fn state(
        &mut self,
        replica: Replica,
        index: Index,
        digest: u64,
    ) -> Result<bool, Violation> {
        self.machines.state(replica, index, digest)
    }

    /// A client is told that a unit of writes is done.
    pub(crate) fn acknowledged(&mut self, unit: UnitId) -> Held {
        self.acknowledged.done(unit)
    }

    /// A client reads a text.
    pub(crate) fn read(&mut self, text: &str) -> Held {
        self.sessions.read(text)
    }

    /// At the end, everything acknowledged is in the logs of all who take part.
    pub(crate) fn all_is_there(&self) -> Held {
        self.logs.iter().try_for_each(|(replica, log)| self.acknowledged.is_in(*replica, log))
    }
}
