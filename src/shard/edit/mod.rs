//! What each command makes of a table: the one place where a change is judged. The config group runs it
//! when it applies, `--dry-run` runs it on a copy.
//!
//! Must always hold: the same table and command give the same answer on every node; what comes out is
//! whole ([`Table::check`]); a command that is refused changes nothing.

mod buckets;
mod groups;
mod helpers;
mod moves;
mod nodes;

use super::change::ConfigCommand;
use super::owners::Bounds;
use super::refusal::Refusal;
use super::table::Table;
use crate::ids::TableVersion;

impl Table {
    /// The table after `command`. If that changes nothing it is equal to this one, version and all.
    ///
    /// # Errors
    /// When the command cannot be done, or was planned on a version that is out of date.
    pub fn after(&self, command: &ConfigCommand) -> Result<Self, Refusal> {
        let mut after = self.clone();
        match command {
            ConfigCommand::Init(_) => return Err(Refusal::AlreadyInitialised(self.cluster)),
            ConfigCommand::NodeAddress { node, info } => nodes::address(&mut after, *node, info)?,
            ConfigCommand::SetLimits(limits) => {
                limits.check().map_err(|error| Refusal::Invalid(error.to_string()))?;
                after.limits = *limits;
            }
            ConfigCommand::Recover { group, from, recovery } => {
                groups::recover(&mut after, *group, *from, *recovery)?;
            }
            ConfigCommand::AdoptDisk { node, info } => nodes::adopt_disk(&mut after, *node, info)?,
            ConfigCommand::Replica { group, node, wanted } => {
                groups::wish_replica(&mut after, *group, *node, *wanted)?;
            }
            ConfigCommand::SetHelper { group, node, helper, wanted } => {
                helpers::set(&mut after, *group, *node, *helper, *wanted)?;
            }
            ConfigCommand::AddNode { node, info } => nodes::add(&mut after, *node, info)?,
            ConfigCommand::RemoveNode { node, planned_on } => {
                self.still_fits(*planned_on)?;
                nodes::remove(&mut after, *node)?;
            }
            ConfigCommand::DrainNode { node, undo, planned_on } => {
                self.still_fits(*planned_on)?;
                nodes::drain(&mut after, *node, *undo)?;
            }
            ConfigCommand::CreateGroup { group, replicas, planned_on } => {
                self.still_fits(*planned_on)?;
                groups::create(&mut after, *group, replicas)?;
            }
            ConfigCommand::Join { groups, replicas, planned_on } => {
                self.still_fits(*planned_on)?;
                groups::join(&mut after, groups, replicas)?;
            }
            ConfigCommand::Leave { groups, planned_on } => {
                self.still_fits(*planned_on)?;
                groups::leave(&mut after, groups)?;
            }
            ConfigCommand::Move { ranges, to, planned_on } => {
                self.still_fits(*planned_on)?;
                buckets::assign(&mut after, ranges, *to)?;
            }
            ConfigCommand::Rebalance { planned_on } => {
                self.still_fits(*planned_on)?;
                buckets::rebalance(&mut after)?;
            }
            ConfigCommand::PauseMoves(pair) => moves::pause(&mut after, *pair)?,
            ConfigCommand::ResumeMoves(pair) => moves::resume(&mut after, *pair)?,
            ConfigCommand::CancelMoves(pair) => moves::cancel(&mut after, *pair)?,
            ConfigCommand::SetMoveRate(rate) => moves::rate(&mut after, *rate)?,
            ConfigCommand::OwnerReport(claims) => buckets::report(&mut after, claims)?,
        }
        if after != *self {
            after.version = TableVersion(self.version.0 + 1);
            if !self.has_shape_of(&after) {
                after.shaped = after.version;
            }
        }
        Ok(after)
    }

    /// A plan that was made on this version is still what was meant.
    fn still_fits(&self, planned_on: TableVersion) -> Result<(), Refusal> {
        if planned_on >= self.shaped && planned_on <= self.version {
            return Ok(());
        }
        Err(Refusal::Stale { planned_on, newest: self.version })
    }

    /// Whether plans come out the same, addresses, actual owners and how moves go aside.
    fn has_shape_of(&self, other: &Self) -> bool {
        let places = |table: &Self| {
            table.nodes.iter().map(|(node, info)| (*node, info.zone.clone())).collect::<Vec<_>>()
        };
        self.groups == other.groups
            && self.draining == other.draining
            && self.owners.ranges(Bounds::Desired) == other.owners.ranges(Bounds::Desired)
            && places(self) == places(other)
    }
}

#[cfg(test)]
mod tests;
