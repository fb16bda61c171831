//! What must hold at every moment, one file for each property; of the clients' whole history
//! (`linearizable`) it is judged at the end. The properties are told what every replica
//! says, writes, leads and applies, and answer with a violation as soon as one does not hold.

mod acknowledged;
mod committed_on_quorum;
mod durable_promises;
mod election_safety;
mod leader_append_only;
mod leader_completeness;
pub(crate) mod linearizable;
mod log_matching;
pub(crate) mod memberships;
mod monotonic;
mod ownership;
mod sessions;
mod shadow;
mod state_machine_safety;

use super::cluster::Remembered;
use acknowledged::Acknowledged;
use committed_on_quorum::CommittedOnQuorum;
use durable_promises::DurablePromises;
use election_safety::ElectionSafety;
use eraft::actors::apply::Holdings;
use eraft::ids::{GroupId, Incarnation, Index, NodeId, Term};
use eraft::net::message::UnitId;
use eraft::raft::{Entry, Membership, Message, Role, Status};
use eraft::store::wal::LogWrite;
use leader_completeness::LeaderCompleteness;
use log_matching::LogMatching;
use memberships::Memberships;
use monotonic::Monotonic;
use ownership::{Novelties, Ownership};
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
    /// The disks by which the replicas are known at the moment.
    disks: BTreeMap<Replica, Incarnation>,
    /// The logs as their replicas have handed them out to be written.
    logs: BTreeMap<Replica, Shadow>,
    elections: ElectionSafety,
    matching: LogMatching,
    completeness: LeaderCompleteness,
    memberships: Memberships,
    quorum: CommittedOnQuorum,
    machines: StateMachineSafety,
    monotonic: Monotonic,
    promises: DurablePromises,
    acknowledged: Acknowledged,
    sessions: Sessions,
    ownership: Ownership,
}

impl Properties {
    pub(crate) fn new(founders: Membership) -> Self {
        Self {
            disks: BTreeMap::new(),
            logs: BTreeMap::new(),
            elections: ElectionSafety::default(),
            matching: LogMatching::default(),
            completeness: LeaderCompleteness::default(),
            memberships: Memberships::new(founders),
            quorum: CommittedOnQuorum::default(),
            machines: StateMachineSafety::default(),
            monotonic: Monotonic::default(),
            promises: DurablePromises::default(),
            acknowledged: Acknowledged::default(),
            sessions: Sessions,
            ownership: Ownership::default(),
        }
    }

    /// A replica starts from what its disk remembers.
    pub(crate) fn started(
        &mut self,
        replica: Replica,
        disk: Incarnation,
        remembered: &Remembered,
    ) -> Held {
        let log = Shadow::of(remembered);
        self.disks.insert(replica, disk);
        let commit = remembered.hard_state.commit.max(remembered.base.0);
        self.memberships.started(replica, commit);
        self.promises.check(replica, remembered, &log)?;
        self.monotonic.started(replica);
        self.ownership.died(replica);
        self.quorum.durable(replica, disk, &log);
        self.logs.insert(replica, log);
        Ok(())
    }

    /// A replica stays silent: what it promised it may have forgotten.
    pub(crate) fn silent(&mut self, replica: Replica) {
        self.logs.remove(&replica);
        self.ownership.died(replica);
    }

    /// A replica has lost its disk: under its name there is another one now, which has promised nothing.
    pub(crate) fn wiped(&mut self, replica: Replica) {
        self.silent(replica);
        self.memberships.forget(replica);
        self.promises.forget(replica);
    }

    /// A replica says this.
    pub(crate) fn sent(&mut self, group: GroupId, message: &Message) -> Held {
        self.elections.voted(group, self.disk((message.from, group)), message)?;
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
        let replica = (node, write.group);
        self.quorum.synced(replica, self.disk(replica), write);
        self.memberships.synced(replica, write);
    }

    /// A replica leads.
    pub(crate) fn leads(&mut self, node: NodeId, group: GroupId, term: Term) -> Held {
        let log = &self.logs[&(node, group)];
        let memberships = self.memberships.in_force((node, group));
        self.elections.leads(group, term, node, memberships)?;
        self.acknowledged.leads(node, group, term, log)?;
        self.completeness.leads(node, group, term, log)
    }

    /// How a replica stands after it has handled something.
    pub(crate) fn stands(&mut self, group: GroupId, status: &Status) -> Held {
        let replica = (status.id, group);
        self.monotonic.stands(replica, status)?;
        self.memberships.stands(replica, status)?;
        let log = &self.logs[&replica];
        let Some(term) = log.term(status.commit).filter(|_| status.commit > Index(0)) else {
            return Ok(());
        };
        let at = (status.commit, term);
        if status.role != Role::Leader {
            self.quorum.learnt(replica, at);
            return Ok(());
        }
        self.completeness.commits(group, status.term, at)?;
        self.quorum.check(replica, at, self.memberships.in_force(replica))
    }

    /// A replica in this term hands an entry to its state machine; these units wait for it. Answers whether
    /// the entry makes a new membership that nobody has heard of before.
    pub(crate) fn applies(
        &mut self,
        replica: Replica,
        term: Term,
        entry: &Entry,
        units: &[UnitId],
    ) -> Result<bool, Violation> {
        self.acknowledged.carries(replica.1, term, entry, units);
        self.machines.applies(replica, entry)?;
        Ok(self.memberships.applies(replica.1, entry))
    }

    /// A replica that is known by this disk is destroyed.
    pub(crate) fn let_go(&self, replica: Replica, disk: Incarnation) -> Held {
        self.memberships.let_go(replica, disk)
    }

    /// The newest membership of a group that was ever in force.
    pub(crate) fn membership(&self, group: GroupId) -> &Membership {
        self.memberships.newest(group)
    }

    /// Whether a replica will know of its group's newest membership after any start.
    pub(crate) fn knows_newest(&self, replica: Replica) -> bool {
        self.memberships.knows_newest(replica)
    }

    fn disk(&self, replica: Replica) -> Incarnation {
        self.disks.get(&replica).copied().unwrap_or_default()
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

    /// A replica has come to hold this. Answers what nobody had seen before.
    pub(crate) fn held(
        &mut self,
        replica: Replica,
        holdings: &Holdings,
    ) -> Result<Novelties, Violation> {
        self.ownership.held(replica, holdings)
    }

    /// A client is told that a unit of writes is done.
    pub(crate) fn acknowledged(&mut self, unit: UnitId) -> Held {
        self.acknowledged.done(unit)
    }

    /// A client reads a text.
    pub(crate) fn read(&mut self, text: &str) -> Held {
        self.sessions.read(text)
    }

    /// At the end, everything acknowledged is in the log of this replica.
    pub(crate) fn all_is_there(&self, replica: Replica) -> Held {
        let log = self.logs.get(&replica);
        log.map_or(Ok(()), |log| self.acknowledged.is_in(replica, log))
    }
}
