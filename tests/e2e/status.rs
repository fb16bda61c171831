//! `eraftctl status --json` as tests read it.

use serde::Deserialize;

/// The whole answer.
#[derive(Deserialize, Debug, Clone)]
pub(crate) struct Status {
    /// All nodes of the table.
    pub(crate) nodes: Vec<Node>,
    /// All groups, the config group (0) among them.
    pub(crate) groups: Vec<Group>,
}

/// One node.
#[derive(Deserialize, Debug, Clone)]
pub(crate) struct Node {
    /// Its number.
    pub(crate) id: u16,
    /// Whether it answered.
    pub(crate) alive: bool,
    /// The life of its disk.
    #[serde(default)]
    pub(crate) disk: String,
    /// What is wrong with who it is.
    #[serde(default)]
    pub(crate) troubles: Vec<String>,
}

/// One group.
#[derive(Deserialize, Debug, Clone)]
pub(crate) struct Group {
    /// Its number.
    pub(crate) id: u64,
    /// The node that leads it.
    pub(crate) leader: Option<u16>,
    /// The nodes whose replicas vote.
    pub(crate) voters: Vec<u16>,
    /// Its replicas on the nodes that answered.
    pub(crate) replicas: Vec<Replica>,
    /// Who passes its entries on.
    pub(crate) secretaries: Vec<Secretary>,
}

/// A secretary of a group, as its leader sees it.
#[derive(Deserialize, Debug, Clone)]
pub(crate) struct Secretary {
    /// The node.
    pub(crate) node: u16,
    /// Whether it answers.
    pub(crate) present: bool,
    /// To whom it passes entries on.
    pub(crate) serves: Vec<u16>,
}

/// One group's replica on one node.
#[derive(Deserialize, Debug, Clone)]
pub(crate) struct Replica {
    /// The node.
    pub(crate) node: u16,
    /// `leader`, `follower`, …
    pub(crate) role: String,
    /// Its term.
    pub(crate) term: u64,
    /// Its commit index.
    pub(crate) commit: u64,
    /// Its applied index.
    pub(crate) applied: u64,
    /// The oldest entry in its log.
    pub(crate) first: u64,
    /// How much of a snapshot has gone to it.
    pub(crate) snapshot_percent: Option<u8>,
}

impl Group {
    /// The highest commit index that any replica knows.
    pub(crate) fn commit(&self) -> u64 {
        self.replicas.iter().map(|replica| replica.commit).max().unwrap_or(0)
    }

    /// What its replica on a node is.
    pub(crate) fn role_on(&self, node: u16) -> Option<&str> {
        let replica = self.replicas.iter().find(|replica| replica.node == node);
        replica.map(|replica| replica.role.as_str())
    }
}

impl Status {
    /// A node by its number.
    pub(crate) fn node(&self, id: u16) -> &Node {
        self.nodes
            .iter()
            .find(|node| node.id == id)
            .unwrap_or_else(|| panic!("no node {id} in {self:?}"))
    }

    /// Whether a node answers.
    pub(crate) fn alive(&self, id: u16) -> bool {
        self.nodes.iter().any(|node| node.id == id && node.alive)
    }

    /// A group by its number.
    pub(crate) fn group(&self, id: u64) -> &Group {
        self.groups
            .iter()
            .find(|group| group.id == id)
            .unwrap_or_else(|| panic!("no group {id} in {self:?}"))
    }

    /// The groups that hold keys.
    pub(crate) fn data_groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| group.id != 0)
    }

    /// How many data groups a node leads.
    pub(crate) fn leads(&self, node: u16) -> usize {
        self.data_groups().filter(|group| group.leader == Some(node)).count()
    }

    /// Who leads each group.
    pub(crate) fn leaders(&self) -> Vec<(u64, Option<u16>)> {
        self.groups.iter().map(|group| (group.id, group.leader)).collect()
    }
}
