//! Changes of a group's membership as values, and what each makes of a membership: pure functions.
//!
//! ```text
//!               simple: at most one voter differs
//!              ┌──────────┐
//!              ▼          │
//!         ┌─────────┐ ────┘        ┌──────────────────┐
//!         │  plain  │ enter_joint  │      joint       │
//!         │ voters  │ ───────────► │ voters, outgoing │
//!         └─────────┘              └──────────────────┘
//!              ▲       leave_joint         │
//!              └───────────────────────────┘
//! ```
//!
//! Two majorities of lists that differ by one voter always meet, so one voter may be exchanged in one
//! step; for more the group passes through joint consensus, where both lists must agree (thesis §4.3).
//! A voter that is to become a learner keeps its vote in the outgoing list and waits in `learners_next`,
//! because nobody may be both at once.

use super::entry::Membership;
use crate::codec;
use crate::ids::{Era, Incarnation, NodeId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What is to become of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeKind {
    /// It becomes a voter.
    Voter,
    /// It becomes a learner.
    Learner,
    /// It leaves the group.
    Remove,
    /// Nothing changes for the group: the entry only carries something for the caller.
    Update,
}

/// One replica's part of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What is to become of it.
    pub kind: ChangeKind,
    /// The replica; node 0 is nobody, and such a change means nothing.
    pub id: NodeId,
    /// The life of its disk that becomes a voter or a learner; `None`: the one it is known by.
    pub disk: Option<Incarnation>,
}

impl Change {
    /// A change of a replica that stays who it is.
    #[must_use]
    pub fn new(kind: ChangeKind, id: NodeId) -> Self {
        Self { kind, id, disk: None }
    }
}

/// How the group gets from the old membership to the new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transition {
    /// In one step if one change is all there is, else through a joint configuration that the
    /// leader leaves by itself.
    #[default]
    Auto,
    /// Through a joint configuration that the leader leaves by itself.
    Implicit,
    /// Through a joint configuration that somebody leaves by proposing an empty change.
    Explicit,
    /// By decree: the group has lost its majority for good, and one replica goes on alone, in this era.
    /// Nobody proposes that; see [`Raft::decree`](super::Raft::decree).
    Recovery(Era),
}

/// The payload of an entry of kind `Membership`. One without changes leaves a joint configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembershipChange {
    /// By which way.
    pub transition: Transition,
    /// What changes, applied in order.
    pub changes: Vec<Change>,
    /// Whatever the caller wants to find again when the entry is applied.
    pub context: Bytes,
}

/// What a change makes of a membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The new membership.
    pub membership: Membership,
    /// Those who belong to it anew, sorted: whatever was known about them before is void.
    pub newcomers: Vec<NodeId>,
}

/// Why a change cannot be made. A committed entry with such a change has no effect, on any replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// One joint configuration must be left before the next is entered.
    #[error("the configuration is joint")]
    Joint,
    /// There is no joint configuration to leave.
    #[error("the configuration is not joint")]
    NotJoint,
    /// A group without voters could never decide anything again.
    #[error("no voter would be left")]
    NoVoters,
    /// Nobody can hand over from a configuration without voters.
    #[error("a configuration without voters cannot become joint")]
    FromNothing,
    /// More than one voter may only be exchanged through a joint configuration.
    #[error("more than one voter would change in one step")]
    TooManyVoters,
    /// A voter is to become another replica under the same name. Two majorities that differ by that meet
    /// only in the one that is gone: it must lose its vote first.
    #[error("a voter cannot become another replica in one step")]
    OtherDisk,
    /// The entry's payload is no change.
    #[error("the entry holds no change of the membership")]
    Malformed,
    /// A recovery names one voter and a later era, and is no proposal.
    #[error("a recovery is decreed, for one voter, in a later era")]
    Recovery,
}

impl MembershipChange {
    /// One change, in one step.
    #[must_use]
    pub fn one(kind: ChangeKind, id: NodeId) -> Self {
        Self { changes: vec![Change::new(kind, id)], ..Self::default() }
    }

    /// A replica with this life of its disk becomes a learner, in one step. If the group knows its node
    /// by another disk, that one leaves in the same step.
    #[must_use]
    pub fn admit(id: NodeId, disk: Incarnation) -> Self {
        let learner = Change { kind: ChangeKind::Learner, id, disk: Some(disk) };
        Self { changes: vec![learner], ..Self::default() }
    }

    /// The change that leaves a joint configuration.
    #[must_use]
    pub fn leave() -> Self {
        Self::default()
    }

    /// One replica goes on alone.
    #[must_use]
    pub fn recovery(id: NodeId, disk: Option<Incarnation>, era: Era) -> Self {
        let voter = Change { kind: ChangeKind::Voter, id, disk };
        let transition = Transition::Recovery(era);
        Self { transition, changes: vec![voter], ..Self::default() }
    }

    /// Whether it leaves a joint configuration.
    #[must_use]
    pub fn leaves_joint(&self) -> bool {
        self.changes.is_empty() && self.transition == Transition::Auto
    }

    /// Whether it enters a joint configuration.
    #[must_use]
    pub fn enters_joint(&self) -> bool {
        self.transition != Transition::Auto || self.changes.len() > 1
    }

    /// The payload of its entry; empty for a plain leave, which must fit wherever an entry does.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        if *self == Self::leave() { Bytes::new() } else { Bytes::from(codec::encode(self)) }
    }

    /// The change that a payload stands for.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(data: &[u8]) -> Result<Self, ChangeError> {
        if data.is_empty() {
            return Ok(Self::leave());
        }
        codec::decode(data).map_err(|_| ChangeError::Malformed)
    }

    /// What it makes of `membership`.
    ///
    /// # Errors
    /// When it cannot be made there.
    pub fn apply(&self, membership: &Membership) -> Result<Changed, ChangeError> {
        if let Transition::Recovery(era) = self.transition {
            recover(membership, &self.changes, era)
        } else if self.leaves_joint() {
            leave_joint(membership)
        } else if self.enters_joint() {
            enter_joint(membership, &self.changes, self.transition != Transition::Explicit)
        } else {
            simple(membership, &self.changes)
        }
    }
}

/// Changes the membership in one step, in which at most one voter comes or goes.
///
/// # Errors
/// When that is not so, when no voter would be left, or when the configuration is joint.
pub fn simple(membership: &Membership, changes: &[Change]) -> Result<Changed, ChangeError> {
    if membership.is_joint() {
        return Err(ChangeError::Joint);
    }
    let changed = change(membership.clone(), changes)?;
    let missing = |from: &[NodeId], of: &[NodeId]| {
        of.iter().filter(|id| from.binary_search(id).is_err()).count()
    };
    let (old, new) = (&membership.voters, &changed.membership.voters);
    if missing(old, new) + missing(new, old) > 1 {
        return Err(ChangeError::TooManyVoters);
    }
    Ok(changed)
}

/// Makes the old voters the outgoing list, and the changed ones the incoming list.
///
/// # Errors
/// When the configuration is joint already, or has or would have no voters.
pub fn enter_joint(
    membership: &Membership,
    changes: &[Change],
    auto_leave: bool,
) -> Result<Changed, ChangeError> {
    if membership.is_joint() {
        return Err(ChangeError::Joint);
    }
    if membership.voters.is_empty() {
        return Err(ChangeError::FromNothing);
    }
    let outgoing = membership.voters.clone();
    change(Membership { outgoing, auto_leave, ..membership.clone() }, changes)
}

/// Forgets the outgoing list; those who waited for it become learners.
///
/// # Errors
/// When the configuration is not joint.
pub fn leave_joint(membership: &Membership) -> Result<Changed, ChangeError> {
    if !membership.is_joint() {
        return Err(ChangeError::NotJoint);
    }
    let mut left = Membership {
        voters: membership.voters.clone(),
        learners: membership.learners.clone(),
        era: membership.era,
        ..Membership::default()
    };
    for &id in &membership.learners_next {
        insert(&mut left.learners, id);
    }
    left.disks = membership.disks.clone();
    forget_strangers(&mut left);
    Ok(Changed { membership: left, newcomers: Vec::new() })
}

/// Leaves everybody out but one, and begins another era.
fn recover(membership: &Membership, changes: &[Change], era: Era) -> Result<Changed, ChangeError> {
    let &[Change { kind: ChangeKind::Voter, id, disk }] = changes else {
        return Err(ChangeError::Recovery);
    };
    if id == NodeId(0) || era.number <= membership.era.number {
        return Err(ChangeError::Recovery);
    }
    let disks = disk.map(|disk| (id, disk)).into_iter().collect();
    let membership = Membership { disks, era, ..Membership::of_voters([id]) };
    Ok(Changed { membership, newcomers: Vec::new() })
}

fn change(mut membership: Membership, changes: &[Change]) -> Result<Changed, ChangeError> {
    let before = membership.clone();
    let mut newcomers = Vec::new();
    for &Change { kind, id, disk } in changes {
        if id == NodeId(0) {
            continue;
        }
        let known = membership.contains(id);
        match kind {
            ChangeKind::Voter => {
                remove(&mut membership.learners, id);
                remove(&mut membership.learners_next, id);
                insert(&mut membership.voters, id);
            }
            ChangeKind::Learner if membership.learners.binary_search(&id).is_ok() => {}
            ChangeKind::Learner => {
                remove(&mut membership.voters, id);
                let still_votes = membership.outgoing.binary_search(&id).is_ok();
                let Membership { learners, learners_next, .. } = &mut membership;
                insert(if still_votes { learners_next } else { learners }, id);
            }
            ChangeKind::Remove => {
                remove(&mut membership.voters, id);
                remove(&mut membership.learners, id);
                remove(&mut membership.learners_next, id);
            }
            ChangeKind::Update => {}
        }
        let known_disk = membership.disk(id);
        if let Some(disk) = disk
            && matches!(kind, ChangeKind::Voter | ChangeKind::Learner)
            && known_disk != Some(disk)
        {
            set_disk(&mut membership.disks, id, disk);
            insert(&mut newcomers, id);
        }
        match (known, membership.contains(id)) {
            (false, true) => insert(&mut newcomers, id),
            (true, false) => {
                remove(&mut newcomers, id);
                forget_strangers(&mut membership);
            }
            _ => {}
        }
    }
    if membership.voters.is_empty() {
        return Err(ChangeError::NoVoters);
    }
    let becomes_another = |&id: &NodeId| {
        before.is_voter(id) && membership.is_voter(id) && before.disk(id) != membership.disk(id)
    };
    if membership.everyone().iter().any(becomes_another) {
        return Err(ChangeError::OtherDisk);
    }
    Ok(Changed { membership, newcomers })
}

/// Forgets the disks of those who do not belong to the group.
fn forget_strangers(membership: &mut Membership) {
    let mut disks = std::mem::take(&mut membership.disks);
    disks.retain(|disk| membership.contains(disk.0));
    membership.disks = disks;
}

fn set_disk(disks: &mut Vec<(NodeId, Incarnation)>, id: NodeId, disk: Incarnation) {
    match disks.binary_search_by_key(&id, |known| known.0) {
        Ok(at) => disks[at].1 = disk,
        Err(at) => disks.insert(at, (id, disk)),
    }
}

fn insert(list: &mut Vec<NodeId>, id: NodeId) {
    if let Err(at) = list.binary_search(&id) {
        list.insert(at, id);
    }
}

fn remove(list: &mut Vec<NodeId>, id: NodeId) {
    if let Ok(at) = list.binary_search(&id) {
        list.remove(at);
    }
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
