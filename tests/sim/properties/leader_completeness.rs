//! What was committed in a term is in the logs of the leaders of all later terms (paper §5.4).

use super::shadow::Shadow;
use super::{Held, Violation};
use eraft::ids::{GroupId, Index, NodeId, Term};
use std::collections::BTreeMap;

/// Commits and leads so far.
#[derive(Debug, Default)]
pub(super) struct LeaderCompleteness {
    /// By the term of the leader that committed: the newest entry.
    commits: BTreeMap<(GroupId, Term), (Index, Term)>,
    /// The logs with which leaders were elected.
    elected: BTreeMap<(GroupId, Term), (NodeId, Shadow)>,
}

impl LeaderCompleteness {
    /// A node leads from now on, with this log.
    pub(super) fn leads(&mut self, node: NodeId, group: GroupId, term: Term, log: &Shadow) -> Held {
        self.elected.entry((group, term)).or_insert_with(|| (node, log.clone()));
        for ((_, in_term), at) in self.commits.range((group, Term(0))..(group, term)) {
            missing(node, group, term, log, *in_term, *at)?;
        }
        Ok(())
    }

    /// The leader of a term has committed everything up to an entry.
    pub(super) fn commits(&mut self, group: GroupId, term: Term, at: (Index, Term)) -> Held {
        if self.commits.insert((group, term), at) == Some(at) {
            return Ok(());
        }
        for ((_, later), (node, log)) in
            self.elected.range((group, Term(term.0 + 1))..(group, Term(u64::MAX)))
        {
            missing(*node, group, *later, log, term, at)?;
        }
        Ok(())
    }
}

fn missing(
    node: NodeId,
    group: GroupId,
    term: Term,
    log: &Shadow,
    in_term: Term,
    at: (Index, Term),
) -> Held {
    if log.has(at) {
        return Ok(());
    }
    let story = format!(
        "{node} leads {group} in {term} without {} of {}, which was committed in {in_term}",
        at.0, at.1
    );
    Err(Violation::new("leader completeness", story))
}
