//! Changes of the groups' memberships, as an operator may ask for them: wild, but never such that a group
//! could lose its majority for good by them, together with the disks that are lost.

use super::cluster::Chance;
use super::coverage::Kind;
use super::node::Node;
use super::properties::memberships::is_quorum;
use super::swarm::GROUPS;
use super::world::World;
use eraft::actors::group::event::Event;
use eraft::ids::{GroupId, Index, NodeId, Term};
use eraft::raft::{
    Change, ChangeKind, Entry, Membership, MembershipChange, ProposeError, Role, Transition,
};

/// How often another change is thought of, if one cannot be made.
const TRIES: u32 = 12;

/// A change that was asked for, until it is known to be done, or that it never will be.
#[derive(Clone, Debug)]
struct Prospect {
    token: u64,
    group: GroupId,
    /// Who was asked, in which of its lives.
    asked: (NodeId, u64),
    /// Where it stands in the log, once it is there.
    index: Option<Index>,
    kind: Kind,
    /// What it makes of the membership.
    membership: Membership,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Prospects {
    last_token: u64,
    open: Vec<Prospect>,
}

impl Prospects {
    fn of(&self, group: GroupId) -> impl Iterator<Item = &Prospect> {
        self.open.iter().filter(move |one| one.group == group)
    }

    /// This node has died: what it was asked for and had not heard, it never will.
    pub(crate) fn died(&mut self, node: NodeId, life: u64) {
        self.open.retain(|one| one.index.is_some() || one.asked != (node, life));
    }

    /// What became of a proposal.
    pub(crate) fn proposed(&mut self, token: u64, result: &Result<(Index, Term), ProposeError>) {
        match result {
            Ok((index, _)) => {
                self.open
                    .iter_mut()
                    .filter(|one| one.token == token)
                    .for_each(|one| one.index = Some(*index));
            }
            Err(_) => self.open.retain(|one| one.token != token),
        }
    }

    /// An entry is committed: which of these it is, if it is one.
    pub(crate) fn settled(&self, group: GroupId, entry: &Entry, made: &Membership) -> Option<Kind> {
        let done = self.open.iter().find(|one| {
            one.group == group && one.index == Some(entry.index) && one.membership == *made
        });
        done.map(|one| one.kind)
    }

    /// Up to here everything is committed: what stands there and is not known to be done never will be.
    pub(crate) fn passed(&mut self, group: GroupId, through: Index) {
        self.open.retain(|one| one.group != group || one.index.is_none_or(|index| index > through));
    }
}

impl World {
    /// Asks a leader for a change.
    pub(crate) fn reconfigure(&mut self) {
        let group = self.faults.pick(&GROUPS);
        let Some((leader, membership)) = self.some_leader(group) else { return };
        let mut chance = self.faults.clone();
        self.faults.next();
        for _ in 0..TRIES {
            let Some((change, kind)) = self.any_change(&membership, group, &mut chance) else {
                continue;
            };
            let Ok(changed) = change.apply(&membership) else { continue };
            if self.can_go_on(group, &changed.membership, None) {
                self.ask(leader, group, change, changed.membership, kind);
                return;
            }
        }
    }

    /// Has every group leave the joint configuration in which it waits for somebody to say so.
    pub(crate) fn leave_joint(&mut self) {
        for group in GROUPS {
            let Some((leader, membership)) = self.some_leader(group) else { continue };
            if membership.is_joint() && !membership.auto_leave {
                let change = MembershipChange::leave();
                if let Ok(changed) = change.apply(&membership) {
                    self.ask(leader, group, change, changed.membership, Kind::JointLeft);
                }
            }
        }
    }

    fn ask(
        &mut self,
        leader: NodeId,
        group: GroupId,
        change: MembershipChange,
        membership: Membership,
        kind: Kind,
    ) {
        self.prospects.last_token += 1;
        let token = self.prospects.last_token;
        self.note(
            || format!("{leader} is asked to change {group} to {membership:?}"),
            &[9, leader.0 as u8],
        );
        let asked = (leader, self.node(leader).life);
        self.prospects.open.push(Prospect { token, group, asked, index: None, kind, membership });
        if let Some(process) = &mut self.node_mut(leader).process {
            process.push(group, Event::Change { token, change });
        }
        self.plan_turns(leader);
    }

    pub(crate) fn some_leader(&self, group: GroupId) -> Option<(NodeId, Membership)> {
        let mut leaders = self.nodes.iter().filter_map(|node| node.status(group));
        let leader = leaders.find(|status| status.role == Role::Leader)?;
        Some((leader.id, leader.membership))
    }

    /// Whether a group of this membership has a majority of disks that are well, also without `lost`.
    fn can_go_on(&self, group: GroupId, membership: &Membership, lost: Option<NodeId>) -> bool {
        is_quorum(membership, |id, disk| Some(id) != lost && self.node(id).is_whole(group, disk))
    }

    /// Whether every group can go on without the disk of this node, whatever becomes of the changes under
    /// way.
    pub(crate) fn can_lose(&self, id: NodeId) -> bool {
        if self.come_and_go() {
            return self.can_lose_by_wish(id);
        }
        GROUPS.into_iter().all(|group| {
            let newest = self.properties.membership(group);
            let prospects = self.prospects.of(group).map(|one| &one.membership);
            let mut all = std::iter::once(newest).chain(prospects);
            // Who has not heard of the newest membership still needs a majority of its own.
            let have_heard = newest.everyone().into_iter().all(|member| {
                let is_whole = self.node(member).is_whole(group, newest.disk(member));
                let status = self.node(member).status(group);
                let knows = self.properties.knows_newest((member, group));
                !is_whole || (knows && status.is_some_and(|at| at.membership == *newest))
            });
            have_heard && all.all(|membership| self.can_go_on(group, membership, Some(id)))
        })
    }

    /// Some change that makes sense.
    fn any_change(
        &self,
        membership: &Membership,
        group: GroupId,
        chance: &mut Chance,
    ) -> Option<(MembershipChange, Kind)> {
        if membership.is_joint() {
            return Some((MembershipChange::leave(), Kind::JointLeft));
        }
        let (first, kind) = self.one_change(membership, group, chance)?;
        if chance.below(3) != 0 {
            let change = MembershipChange { changes: vec![first], ..MembershipChange::default() };
            return Some((change, kind));
        }
        let mut changes = vec![first];
        for _ in 0..chance.between(1, 3) {
            if let Some((more, _)) = self.one_change(membership, group, chance)
                && changes.iter().all(|change| change.id != more.id)
            {
                changes.push(more);
            }
        }
        let transition =
            chance.pick(&[Transition::Auto, Transition::Implicit, Transition::Explicit]);
        let change = MembershipChange { transition, changes, ..MembershipChange::default() };
        Some((change, Kind::JointEntered))
    }

    fn one_change(
        &self,
        membership: &Membership,
        group: GroupId,
        chance: &mut Chance,
    ) -> Option<(Change, Kind)> {
        // Who has come back with another disk waits for nothing else.
        let comes_back = |node: &&Node| {
            let own = node.disks.incarnation(node.id);
            node.disks.life > 0
                && node.is_whole(group, Some(own))
                && !membership.holds(node.id, own)
        };
        // Observers and secretaries stand last, and stay outside.
        let nodes = &self.nodes[..self.nodes.len() - self.swarm.shape.helpers.len()];
        let back: Vec<NodeId> = nodes.iter().filter(comes_back).map(|node| node.id).collect();
        let id = match back.is_empty() || chance.below(2) == 0 {
            true => NodeId(chance.below(nodes.len() as u64) as u32 + 1),
            false => chance.pick(&back),
        };
        let node = self.node(id);
        let own = node.disks.incarnation(id);
        let is_whole = node.is_whole(group, Some(own));
        let admit = Change { kind: ChangeKind::Learner, id, disk: Some(own) };
        let known = membership.disk(id);
        let one = |kind| Change::new(kind, id);
        Some(match (membership.contains(id), known == Some(own)) {
            (false, _) if is_whole => {
                let again =
                    if node.disks.life > 0 { Kind::ReAdmitted } else { Kind::LearnersAdded };
                (admit, again)
            }
            (false, _) => return None,
            // It is there under a disk that is gone.
            (true, false) if is_whole && chance.below(4) != 0 => (admit, Kind::ReAdmitted),
            (true, false) => (one(ChangeKind::Remove), Kind::Removed),
            (true, true) if membership.is_learner(id) => match chance.below(6) {
                0 => (one(ChangeKind::Remove), Kind::Removed),
                // Without a state it could never lead, and if nobody else votes, nobody ever does.
                _ if node.status(group).is_none_or(|status| status.needs_snapshot) => return None,
                _ => (one(ChangeKind::Voter), Kind::Promoted),
            },
            (true, true) => match chance.below(8) {
                0 => (one(ChangeKind::Learner), Kind::Demoted),
                1 => (one(ChangeKind::Remove), Kind::Removed),
                _ => return None,
            },
        })
    }
}
