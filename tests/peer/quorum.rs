//! What a majority has decided, or a joint quorum: votes and commit indexes.

use crate::folder::{peer_data, scripts};
use crate::script::{Directive, parse};
use crate::tally::Tally;
use eraft::ids::NodeId;
use eraft::raft::Membership;
use eraft::raft::quorum::{VoteResult, joint_reached, joint_vote};
use std::collections::BTreeMap;

/// A case: a configuration, and what is known of each voter that something is known of.
struct Case {
    membership: Membership,
    known: BTreeMap<NodeId, String>,
}

impl Case {
    fn of(directive: &Directive) -> Result<Self, String> {
        let command = &directive.command;
        let ids = |key| -> Vec<NodeId> {
            let ids = command.values(key).into_iter().filter(|id| *id != "zero");
            ids.filter_map(|id| id.parse().ok().map(NodeId)).collect()
        };
        let (incoming, outgoing) = (ids("cfg"), ids("cfgj"));
        // Values are given in the order in which the voters are named first.
        let mut order: Vec<NodeId> = Vec::new();
        for id in incoming.iter().chain(&outgoing) {
            if !order.contains(id) {
                order.push(*id);
            }
        }
        let key = if command.verb == "vote" { "votes" } else { "idx" };
        let values = command.values(key);
        if values.len() != order.len() {
            return Err("error: mismatched input".to_owned());
        }
        let known = order.into_iter().zip(values).filter(|known| known.1 != "_");
        Ok(Self {
            known: known.map(|(id, value)| (id, value.to_owned())).collect(),
            membership: Membership {
                outgoing: Membership::of_voters(outgoing).voters,
                ..Membership::of_voters(incoming)
            },
        })
    }

    fn answer(&self, verb: &str) -> Option<String> {
        match verb {
            "vote" => {
                let vote = |id| self.known.get(&id).map(|vote| vote == "y");
                Some(match joint_vote(&self.membership, vote) {
                    VoteResult::Won => "VoteWon".to_owned(),
                    VoteResult::Lost => "VoteLost".to_owned(),
                    VoteResult::Pending => "VotePending".to_owned(),
                })
            }
            "committed" => {
                let index = |id| self.known.get(&id).map_or(0, |index| index.parse().unwrap_or(0));
                match joint_reached(&self.membership, index) {
                    u64::MAX => Some("∞".to_owned()),
                    index => Some(index.to_string()),
                }
            }
            _ => None,
        }
    }

    /// The same with the two lists exchanged: the answer must be the same.
    fn mirrored(&self) -> Self {
        let Membership { voters, outgoing, .. } = self.membership.clone();
        let membership = Membership { voters: outgoing, outgoing: voters, ..Membership::default() };
        Self { membership, known: self.known.clone() }
    }
}

fn judge(directive: &Directive) -> Option<String> {
    // What stands before the answer is drawn for the reader.
    let expected = directive.expected.lines().last().unwrap_or_default();
    let verb = directive.command.verb.as_str();
    let answer = match Case::of(directive) {
        Err(error) => {
            return (!expected.starts_with(&error)).then(|| format!("{error}, not {expected}"));
        }
        Ok(case) => {
            let Some(answer) = case.answer(verb) else {
                return Some(format!("{verb} is not supported"));
            };
            assert_eq!(
                case.mirrored().answer(verb),
                Some(answer.clone()),
                "both lists weigh the same"
            );
            answer
        }
    };
    // The picture of an empty configuration has no end of line before the answer.
    let agrees = expected == answer || expected == format!("<empty majority quorum>{answer}");
    (!agrees).then(|| format!("{answer}, not {expected}"))
}

#[test]
fn quorums_agree() {
    let Some(folder) = peer_data() else { return };
    let mut tally = Tally::new("quorum");
    for (name, text) in scripts(&folder.join("etcd-raft/quorum")) {
        for directive in parse(&text) {
            tally.count(&format!("{name}:{}", directive.line), judge(&directive));
        }
    }
    tally.report(100);
}
