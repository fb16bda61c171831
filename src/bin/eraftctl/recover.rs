//! `recover`: shows what may be lost when one replica goes on alone, and lets it, once that is confirmed.

use crate::answer::{Answer, Trouble, print, print_json};
use crate::args::Recover;
use crate::leader::answered;
use crate::reach::Reach;
use eraft::net::message::{AdminRequest, AdminResponse, MemberSeen, RecoveryReport};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// How long the other nodes are waited for, which are expected to be gone.
const LOOK: Duration = Duration::from_secs(3);

/// `recover`.
pub(crate) async fn run(reach: &Reach, asked: &Recover) -> Result<Answer, Trouble> {
    let said = reach.statuses(reach.endpoints.clone(), Instant::now() + LOOK).await;
    let (address, _) = answered(&said, asked.node)?;
    let request = AdminRequest::Recover { group: asked.group, token: asked.confirm.clone() };
    match reach.ask(&address, &request).await? {
        AdminResponse::Recovery(report) if reach.json => print_json(&document(&report))?,
        AdminResponse::Recovery(report) => print(text(&report))?,
        AdminResponse::Recovered { group, era, table } => {
            if reach.json {
                let node = asked.node.0;
                print_json(&json!({ "group": group.0, "node": node, "era": era, "table": table }))?;
            } else {
                print(done(asked, era, table))?;
            }
        }
        AdminResponse::Failed(reason) => return Err(Trouble::new(reason)),
        _ => return Err(Trouble::new("the node gave an answer that does not fit the question")),
    }
    Ok(Answer::Yes)
}

fn done(asked: &Recover, era: u32, table: bool) -> String {
    let (group, node) = (asked.group.0, asked.node.0);
    let mut text = format!(
        "group {group} goes on with node {node} alone (recovery {era} of this group).\n\
         It has one copy of its data now: add replicas on other nodes as soon as you can."
    );
    if !table {
        text.push_str(&format!(
            "\nThe config table does not say so yet; node {node} goes on telling it. See `eraftctl query`."
        ));
    }
    text
}

fn document(report: &RecoveryReport) -> Value {
    let other = |other: &MemberSeen| {
        json!({
            "node": other.node.0,
            "voter": other.voter,
            "connected": other.connected,
            "silent_ms": other.silent_millis,
        })
    };
    json!({
        "group": report.group.0,
        "node": report.node.0,
        "era": report.era,
        "role": report.role,
        "term": report.term.0,
        "first": report.first.0,
        "commit": report.commit.0,
        "applied": report.applied.0,
        "last": report.last.0,
        "keys": report.keys,
        "bytes": report.bytes,
        "others": report.others.iter().map(other).collect::<Vec<_>>(),
        "uptime_seconds": report.uptime_seconds,
        "obstacle": report.obstacle,
        "token": report.token,
    })
}

fn text(report: &RecoveryReport) -> String {
    let RecoveryReport { group, node, commit, last, .. } = report;
    let mut lines = vec![
        format!("Group {} as node {} has it:", group.0, node.0),
        format!(
            "  role {}, term {}, {} recoveries so far; {} keys, {} bytes",
            report.role, report.term.0, report.era, report.keys, report.bytes
        ),
        format!(
            "  log {} to {}; committed up to {}, applied up to {}",
            report.first.0, last.0, commit.0, report.applied.0
        ),
        match last.0.saturating_sub(commit.0) {
            0 => "  nothing in it is undecided".into(),
            1 => format!(
                "  entry {} is undecided: it may have been committed or not, and will be",
                last.0
            ),
            _ => format!(
                "  entries {} to {} are undecided: each may have been committed or not, and all will be",
                commit.next().0,
                last.0
            ),
        },
        "The other members:".into(),
    ];
    lines.extend(report.others.iter().map(|other| seen(other, report.uptime_seconds)));
    lines.push(String::new());
    lines.push(format!(
        "May be lost: every write that a majority without node {} has acknowledged. How many there are, or\n\
         whether there are any, cannot be told from here: only the lost members know.",
        node.0
    ));
    lines.push(
        "If any of them can be brought back with its disk, do that instead. Else stop them, or wipe their\n\
         disks, before you go on: a majority of them that comes back and is reached by clients, but not by\n\
         this node, could serve a second group of the same name."
            .into(),
    );
    lines.push(String::new());
    lines.push(match &report.obstacle {
        Some(obstacle) => format!("It cannot be recovered now: {obstacle}."),
        None => format!(
            "To go on with node {} alone:\n  eraftctl recover {} --node {} --confirm {}",
            node.0, group.0, node.0, report.token
        ),
    });
    lines.join("\n")
}

fn seen(other: &MemberSeen, uptime_seconds: u64) -> String {
    let MemberSeen { node, voter, connected, silent_millis, .. } = other;
    let kind = if *voter { "voter" } else { "learner" };
    let link = if *connected { "connected" } else { "not connected" };
    match silent_millis {
        Some(millis) => {
            format!("  node {} ({kind}): {link}, last heard {} s ago", node.0, millis / 1_000)
        }
        None => format!(
            "  node {} ({kind}): {link}, not heard since this node started {uptime_seconds} s ago",
            node.0
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eraft::ids::{GroupId, Incarnation, Index, NodeId, Term};

    fn report(last: u64) -> RecoveryReport {
        let other = |node, silent_millis| MemberSeen {
            node: NodeId(node),
            disk: Some(Incarnation(5)),
            voter: true,
            connected: false,
            silent_millis,
        };
        RecoveryReport {
            group: GroupId(1),
            node: NodeId(3),
            disk: Some(Incarnation(4)),
            era: 0,
            role: "follower".into(),
            term: Term(4),
            first: Index(1),
            commit: Index(7),
            applied: Index(7),
            last: Index(last),
            keys: 2,
            bytes: 20,
            others: vec![other(1, Some(61_500)), other(2, None)],
            uptime_seconds: 90,
            obstacle: None,
            token: "0123".into(),
        }
    }

    #[test]
    fn it_says_what_is_undecided_and_what_cannot_be_known() {
        assert!(text(&report(7)).contains("nothing in it is undecided"));
        assert!(text(&report(8)).contains("entry 8 is undecided"));
        let said = text(&report(9));
        for words in [
            "entries 8 to 9 are undecided",
            "last heard 61 s ago",
            "not heard since this node started 90 s ago",
            "cannot be told from here",
            "eraftctl recover 1 --node 3 --confirm 0123",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }

    #[test]
    fn without_a_way_to_do_it_no_token_is_offered() {
        let led = RecoveryReport { obstacle: Some("n2 leads the group".into()), ..report(7) };
        let said = text(&led);
        assert!(said.contains("n2 leads the group") && !said.contains("0123"), "{said}");
        assert_eq!(document(&led)["obstacle"], "n2 leads the group");
    }
}
