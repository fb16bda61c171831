//! Scenarios of one to seven replicas, replayed on our core.
//!
//! The core is driven as any caller drives it; what the reference does around its own core (one `Ready`
//! for all that happened, storage threads, forwarded proposals, snapshots as messages) is done here.
//! Nothing here looks at what is expected before it has been answered.

mod compare;
mod env;
mod network;
mod node;
mod node_ready;
mod node_show;
mod storage;
mod wire;

use crate::folder::{peer_data, scripts};
use crate::script::parse;
use crate::tally::Tally;
use env::Env;

/// What part of the cases of tier B has to agree; the README explains the rest.
const STEPS_PERCENT: usize = 90;

#[test]
fn scenarios_agree() {
    let Some(folder) = peer_data() else { return };
    let (mut shown, mut done) = (Tally::new("interaction-A"), Tally::new("interaction-B"));
    for (name, text) in scripts(&folder.join("etcd-raft/interaction")) {
        let mut env = Env::default();
        for directive in parse(&text) {
            let place = format!("{name}:{}", directive.line);
            let outcome = env.run(&directive);
            let expected = directive.expected.as_str();
            if std::env::var_os("PEER_SHOW").is_some() {
                println!("\n{place} {}\n----\n{}", directive.command.verb, outcome.text);
            }
            let (ours, theirs) = (compare::states(&outcome.text), compare::states(expected));
            let verbs = std::iter::once(directive.command.verb.as_str())
                .chain(directive.input.iter().filter_map(|line| line.split(' ').next()));
            let asks = verbs.into_iter().any(|v| matches!(v, "raft-state" | "raft-log" | "status"));
            if asks {
                let differs = ours != theirs || outcome.unsupported.is_some();
                shown.count(&place, differs.then(|| format!("{ours:#?}, not {theirs:#?}")));
            }
            let (ours, theirs) = (compare::steps(&outcome.text), compare::steps(expected));
            let bare = asks && directive.input.is_empty();
            let counts = !ours.is_empty() || !theirs.is_empty();
            if counts && !bare {
                let difference = compare::difference(&ours, &theirs);
                done.count(&place, difference.or(outcome.unsupported));
            } else if let Some(error) = outcome.unsupported {
                done.count(&place, Some(error));
            }
        }
    }
    // Both are shown before either may fail.
    let failed = std::panic::catch_unwind(|| shown.report(100)).is_err();
    done.report(STEPS_PERCENT);
    assert!(!failed, "interaction-A: not all agree");
}
