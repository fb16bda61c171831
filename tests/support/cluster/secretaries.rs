//! The secretaries of a node: what their actors do, in turns. They live as long as the process, and begin
//! with nothing.

use eraft::ids::{GroupId, NodeId};
use eraft::raft::{Message, Secretary};
use std::collections::BTreeMap;

/// See the module's first lines.
#[derive(Debug, Default)]
pub(crate) struct Secretaries(BTreeMap<GroupId, Desk>);

#[derive(Debug)]
struct Desk {
    secretary: Secretary,
    inbox: Vec<Message>,
}

impl Secretaries {
    /// This group has a secretary on this node from now on.
    pub(crate) fn employ(&mut self, group: GroupId, node: NodeId) {
        let desk = || Desk { secretary: Secretary::new(node), inbox: Vec::new() };
        self.0.entry(group).or_insert_with(desk);
    }

    /// It has none any more.
    pub(crate) fn dismiss(&mut self, group: GroupId) {
        self.0.remove(&group);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// For the group's secretary; dropped if there is none here.
    pub(crate) fn push(&mut self, group: GroupId, message: Message) {
        if let Some(desk) = self.0.get_mut(&group) {
            desk.inbox.push(message);
        }
    }

    /// Whether a message waits.
    pub(crate) fn has_work(&self) -> bool {
        self.0.values().any(|desk| !desk.inbox.is_empty())
    }

    /// A turn of all of them: each takes in what waits for it, and then says what it has to say.
    pub(crate) fn turn(&mut self) -> Vec<(GroupId, Message)> {
        let mut sent = Vec::new();
        for (group, desk) in &mut self.0 {
            for message in desk.inbox.drain(..) {
                // What does not fit is dropped, as on a node.
                let _ = desk.secretary.step(message);
            }
            sent.extend(desk.secretary.take_messages().into_iter().map(|one| (*group, one)));
        }
        sent
    }
}
