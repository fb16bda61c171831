//! What changes make of a membership, step by step, and of what the leader knows about each member.

use crate::folder::{peer_data, scripts};
use crate::script::{Directive, parse};
use crate::tally::Tally;
use eraft::ids::{Index, NodeId};
use eraft::raft::change::{Changed, enter_joint, leave_joint, simple};
use eraft::raft::{Change, ChangeKind, Membership, first_probe};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A group whose log grows by one entry per directive.
#[derive(Default)]
struct Group {
    membership: Membership,
    /// Where the leader would begin to look for each member's log.
    next: BTreeMap<NodeId, Index>,
    last: Index,
}

/// Changes as the cases write them: `v1 l2 r3 u4`.
pub(crate) fn changes(text: &str) -> Result<Vec<Change>, String> {
    text.split_whitespace()
        .map(|word| {
            let kind = match word.chars().next() {
                Some('v') => ChangeKind::Voter,
                Some('l') => ChangeKind::Learner,
                Some('r') => ChangeKind::Remove,
                Some('u') => ChangeKind::Update,
                _ => return Err(format!("unknown input: {word}")),
            };
            let id = word[1..].parse().map_err(|_| format!("unknown input: {word}"))?;
            Ok(Change::new(kind, NodeId(id)))
        })
        .collect()
}

/// A membership as the cases write it.
pub(crate) fn describe(membership: &Membership) -> String {
    let list = |ids: &[NodeId]| {
        let ids: Vec<String> = ids.iter().map(|id| id.0.to_string()).collect();
        format!("({})", ids.join(" "))
    };
    let mut text = format!("voters={}", list(&membership.voters));
    if membership.is_joint() {
        _ = write!(text, "&&{}", list(&membership.outgoing));
    }
    if !membership.learners.is_empty() {
        _ = write!(text, " learners={}", list(&membership.learners));
    }
    if !membership.learners_next.is_empty() {
        _ = write!(text, " learners_next={}", list(&membership.learners_next));
    }
    if membership.auto_leave {
        text.push_str(" autoleave");
    }
    text
}

impl Group {
    fn run(&mut self, directive: &Directive) -> Result<String, String> {
        let list = changes(&directive.input.join(" "))?;
        let changed = match directive.command.verb.as_str() {
            "simple" => simple(&self.membership, &list),
            "enter-joint" => {
                let auto_leave = directive.command.value("autoleave").unwrap_or(false);
                enter_joint(&self.membership, &list, auto_leave)
            }
            "leave-joint" if list.is_empty() => leave_joint(&self.membership),
            "leave-joint" => return Err("takes no input".to_owned()),
            verb => return Err(format!("{verb} is not supported")),
        };
        let Changed { membership, newcomers } = changed.map_err(|error| error.to_string())?;
        self.next.retain(|&id, _| membership.contains(id));
        for id in newcomers {
            self.next.insert(id, first_probe(self.last));
        }
        self.membership = membership;
        let mut text = describe(&self.membership);
        for (&id, next) in &self.next {
            _ = write!(text, "\n{}: StateProbe match=0 next={}", id.0, next.0);
            if self.membership.learners.contains(&id) {
                text.push_str(" learner");
            }
        }
        Ok(text)
    }
}

fn judge(group: &mut Group, directive: &Directive) -> Option<String> {
    let expected = directive.expected.as_str();
    let answer = group.run(directive);
    group.last = group.last.next();
    // The words of an error may differ, the fact may not.
    let agrees = match &answer {
        Ok(text) => text == expected,
        Err(_) => !expected.starts_with("voters="),
    };
    (!agrees).then(|| format!("{answer:?}, not {expected:?}"))
}

#[test]
fn changes_of_membership_agree() {
    let Some(folder) = peer_data() else { return };
    let mut tally = Tally::new("confchange");
    for (name, text) in scripts(&folder.join("etcd-raft/confchange")) {
        let mut group = Group::default();
        for directive in parse(&text) {
            let difference = judge(&mut group, &directive);
            tally.count(&format!("{name}:{}", directive.line), difference);
        }
    }
    tally.report(100);
}
