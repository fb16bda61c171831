//! The config table from outside: what operators ask for is judged, planned, kept and shown.

use std::time::Duration;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::ctl::stdout;
use crate::nodes::{NODES, Nodes};
use crate::outside;
use crate::reply::Reply;

/// For a node to be there again, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// What `eraftctl --json ARGS` says, which must end with this exit code.
fn ran(nodes: &Nodes, args: &[&str], code: i32) -> Value {
    let mut all = vec!["--json"];
    all.extend(args);
    let output = nodes.ctl(&all);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", outside::text(&output));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{args:?}: {error}: {}", outside::text(&output)))
}

/// The newest version of the table.
fn version(nodes: &Nodes) -> u64 {
    ran(nodes, &["query"], 0)["config"].as_u64().expect("a version")
}

/// Waits until no version is made any more: nodes tell where they are when they start.
fn settled(nodes: &Nodes) -> u64 {
    let mut last = version(nodes);
    loop {
        std::thread::sleep(Duration::from_millis(1_500));
        match version(nodes) {
            same if same == last => return same,
            newer => last = newer,
        }
    }
}

fn has_group(nodes: &Nodes, group: u64) {
    nodes.wait_for_status("the new group is led and whole", Duration::from_secs(30), |status| {
        let found = status.groups.iter().find(|one| one.id == group);
        found.is_some_and(|one| one.leader.is_some() && one.replicas.len() == usize::from(NODES))
    });
}

#[test]
fn a_group_is_born_while_the_cluster_runs_and_outlives_restarts() {
    let mut cluster = Cluster::start();
    let plan = ran(&cluster, &["group", "create", "3", "--dry-run"], 0);
    assert_eq!(plan["groups"][0]["born"], true, "{plan}");
    assert!(cluster.status().groups.iter().all(|group| group.id != 3), "only a plan");

    let made = ran(&cluster, &["group", "create", "3", "--wait"], 0);
    assert_eq!(made["groups"][0]["replicas"], serde_json::json!([1, 2, 3]), "{made}");
    assert_eq!(made["moved_buckets"], 0, "{made}");
    has_group(&cluster, 3);
    let again = ran(&cluster, &["group", "create", "3"], 0);
    assert_eq!((&again["changes"], &again["version"]), (&Value::Bool(false), &made["version"]));
    let elsewhere = ran(&cluster, &["group", "create", "3", "--replicas", "1,2"], 2);
    assert!(elsewhere["refused"].as_str().expect("why").contains("g3 exists"), "{elsewhere}");
    // Commands for the whole keyspace speak for the new group too.
    assert!(cluster.client(1).command(&["SET", "born:k", "v"]).is_ok());
    assert_eq!(cluster.client(2).line("DBSIZE"), Reply::Integer(1));

    let killed = cluster.status().groups.iter().find(|one| one.id == 3).and_then(|one| one.leader);
    let killed = killed.expect("a leader");
    cluster.kill(killed);
    cluster.revive(killed);
    has_group(&cluster, 3);
    cluster.kill_all();
    cluster.start_again();
    has_group(&cluster, 3);
    assert_eq!(cluster.client(3).command(&["GET", "born:k"]).text(), "v");
}

#[test]
fn what_cannot_be_done_is_refused_and_makes_no_version() {
    let cluster = Cluster::shared();
    let before = settled(&cluster);
    for (args, why) in [
        (&["leave", "1", "2"][..], "let another one join first"),
        (&["leave", "9"], "there is no g9"),
        (&["move", "0-5", "9"], "there is no g9"),
        (&["move", "0-5", "0"], "config group"),
        (&["move", "5-0", "2"], "no range of buckets"),
        (&["move", "0-5,3", "2"], "named twice"),
        (&["join", "0"], "config group"),
        (&["join", "7", "--replication", "4"], "eraftctl node add"),
        (&["join", "7", "--replicas", "1,1"], "named twice"),
        (&["join", "7", "--replicas", "1,9"], "n9 is not a node"),
        (&["node", "drain", "3"], "eraftctl node add"),
        (&["node", "remove", "3"], "eraftctl node drain 3"),
        (&["node", "drain", "9"], "n9 is not a node"),
        (&["pause", "--from", "9"], "there is no g9"),
        (&["rebalance", "--planned-on", "999"], "changed since"),
    ] {
        let mut all = vec!["--json"];
        all.extend(args);
        let output = cluster.ctl(&all);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", outside::text(&output));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(why), "{args:?}: {}", outside::text(&output));
    }
    for args in [&["move", "0-16384", "1"][..], &["move", "a", "1"], &["rate", "fast"], &["join"]] {
        let output = cluster.ctl(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", outside::text(&output));
    }
    for args in [&["rebalance"][..], &["join", "1"], &["move", "0", "1"], &["resume"], &["cancel"]]
    {
        let same = ran(&cluster, args, 0);
        assert_eq!(same["changes"], false, "{args:?}: {same}");
    }
    assert_eq!(version(&cluster), before, "nothing was changed");
}

#[test]
fn a_plan_shows_buckets_keys_and_bytes_and_changes_nothing() {
    let cluster = Cluster::start();
    let mut client = cluster.client(1);
    for n in 0..300 {
        assert!(client.command(&["SET", &format!("plan:{n}"), "0123456789"]).is_ok());
    }
    let before = settled(&cluster);
    let plan = ran(&cluster, &["join", "3", "--replicas", "1,2,3", "--dry-run"], 0);
    assert_eq!(plan["moved_buckets"], 5461, "{plan}");
    assert_eq!(plan["planned_on"], before);
    let moves = plan["moves"].as_array().expect("moves");
    let keys: u64 = moves.iter().map(|one| one["keys"].as_u64().expect("keys")).sum();
    assert!((50..150).contains(&keys), "about a third of 300 keys: {plan}");
    assert!(moves.iter().all(|one| one["bytes"].as_u64().is_some_and(|bytes| bytes > 0)), "{plan}");
    assert_eq!(version(&cluster), before);
    let text = stdout(&cluster.ctl(&["leave", "1", "--dry-run"]));
    assert!(text.contains("0-8191 (8192 buckets): group 1 → group 2"), "{text}");
    // As many as stand in the plan, for all that anybody knows.
    let whole = ran(&cluster, &["move", "0-16383", "2", "--dry-run"], 0);
    assert_eq!(whole["moves"][0]["buckets"], "0-8191", "{whole}");
}

#[test]
fn shardgroup_needs_the_password() {
    let mut cluster = Cluster::start();
    cluster.wait_until_whole(LIMIT);
    cluster.kill(3);
    cluster.revive_with(3, &[("ERAFT_REQUIREPASS", "secret")]);
    cluster.wait_until_whole(LIMIT);
    let before = settled(&cluster);
    let refused = Reply::Error("NOAUTH Authentication required.".into());
    for mut client in [cluster.client(3), cluster.cluster_client(3)] {
        for words in ["QUERY", "JOIN 3", "LEAVE 1", "MOVE 2 0-9"] {
            assert_eq!(client.line(&format!("SHARDGROUP {words}")), refused, "{words}");
        }
        assert!(client.line("AUTH wrong").is_error());
        assert_eq!(client.line("SHARDGROUP MOVE 2 0-9"), refused);
    }
    assert_eq!(settled(&cluster), before);
    let mut client = cluster.client(3);
    assert!(client.line("AUTH secret").is_ok());
    assert!(client.line("SHARDGROUP MOVE 2 0-9").is_ok());
    assert!(version(&cluster) > before);
}

#[test]
fn the_table_is_changed_by_three_ways_and_its_history_tells() {
    let cluster = Cluster::start();
    let before = settled(&cluster);
    // Nothing is to move in this story.
    ran(&cluster, &["pause"], 0);
    let mut client = cluster.client(2);
    assert_eq!(client.line("SHARDGROUP MOVE 2 0-9 20"), Reply::Simple("OK".into()));
    assert_eq!(client.line("SHARDGROUP MOVE 2 0-9 20"), Reply::Simple("OK".into()), "so already");
    for (line, why) in [
        ("SHARDGROUP MOVE 9 0-9", "there is no g9"),
        ("SHARDGROUP MOVE 2 0-16384", "slot out_of_range"),
        ("SHARDGROUP MOVE 2 x", "slot invalid_argument"),
        ("SHARDGROUP LEAVE 9", "there is no g9"),
        ("SHARDGROUP JOIN 5 1,8", "n8 is not a node"),
        ("SHARDGROUP JOIN 5 nowhere:1", "neither a node's id"),
    ] {
        let reply = client.line(line);
        assert!(matches!(&reply, Reply::Error(text) if text.contains(why)), "{line}: {reply}");
    }
    let query = ran(&cluster, &["query"], 0);
    let pending: Vec<&str> = query["pending"]
        .as_array()
        .expect("what is to move")
        .iter()
        .map(|one| one["buckets"].as_str().expect("a range"))
        .collect();
    assert_eq!(pending, ["0-9", "20"], "{query}");
    assert_eq!(query["pending"][0]["paused"], true, "{query}");
    let wait = cluster.ctl(&["move", "0-9", "2", "--wait", "--timeout", "2"]);
    assert_eq!(wait.status.code(), Some(1), "{}", outside::text(&wait));
    let said = String::from_utf8_lossy(&wait.stderr).into_owned();
    assert!(said.contains("0 of 10 buckets") && said.contains("eraftctl resume"), "{said}");

    let address = cluster.plain(1);
    assert_eq!(
        client.line(&format!("SHARDGROUP JOIN 3 {address},2,3")),
        Reply::Simple("OK".into())
    );
    assert_eq!(client.line("SHARDGROUP LEAVE 1"), Reply::Simple("OK".into()));
    assert_eq!(ran(&cluster, &["rate", "20MB"], 0)["bytes_per_second"], 20_000_000);
    assert_eq!(ran(&cluster, &["rate"], 0)["bytes_per_second"], 20_000_000);
    let cancelled = ran(&cluster, &["cancel"], 0);
    assert_eq!(cancelled["moved_buckets"], 0, "{cancelled}");
    let query = ran(&cluster, &["query"], 0);
    assert_eq!(query["pending"].as_array().map(Vec::len), Some(0), "{query}");
    assert_eq!(query["groups"][1]["joined"], true, "who keeps its buckets has not left: {query}");

    let history = ran(&cluster, &["history", "--count", "6"], 0);
    let what: Vec<(&str, &str)> = history["versions"]
        .as_array()
        .expect("versions")
        .iter()
        .map(|one| (one["by"].as_str().expect("who"), one["what"].as_str().expect("what")))
        .collect();
    let expected = [
        ("admin@127.0.0.1", "pause: all moves"),
        ("redis@127.0.0.1", "move 0-9, 20 to g2"),
        ("redis@127.0.0.1", "join g3, replicas on n1, n2, n3"),
        ("redis@127.0.0.1", "leave g1"),
        ("admin@127.0.0.1", "rate: 20000000 bytes per second"),
        ("admin@127.0.0.1", "cancel: all moves"),
    ];
    assert_eq!(what, expected, "{history}");
    assert_eq!(version(&cluster), before + 6);
    let old = ran(&cluster, &["query", &before.to_string()], 0);
    assert_eq!(old["groups"].as_array().map(Vec::len), Some(3), "{old}");
    let text = stdout(&cluster.ctl(&["history"]));
    assert!(text.contains("VERSION") && text.contains("leave g1"), "{text}");
}

#[test]
fn looks_write_nothing_into_the_tables_log() {
    let cluster = Cluster::start();
    settled(&cluster);
    let state = || {
        let status = cluster.status();
        let table = status.group(0);
        (table.replicas.iter().map(|replica| replica.term).max(), table.commit())
    };
    for _ in 0..5 {
        let before = state();
        for node in 1..=NODES {
            for words in [&["query"][..], &["history"], &["moves"], &["status"]] {
                ran(&cluster, words, 0);
            }
            for line in ["SHARDGROUP QUERY", "CLUSTER SLOTS", "CLUSTER NODES", "INFO", "DBSIZE"] {
                assert!(!cluster.client(node).line(line).is_error(), "{line}");
            }
            assert_eq!(cluster.http_get(node, "/metrics").0, 200);
        }
        let after = state();
        // A new leader writes an entry of its own.
        if before.0 == after.0 {
            return assert_eq!(before, after);
        }
    }
    panic!("the config group does not keep its leader");
}

#[test]
fn a_restart_repeats_no_change_of_the_table() {
    let mut cluster = Cluster::start();
    ran(&cluster, &["join", "3", "--wait"], 0);
    ran(&cluster, &["move", "0-99", "2", "--wait"], 0);
    ran(&cluster, &["leave", "3", "--wait"], 0);
    settled(&cluster);
    let look = |nodes: &Nodes| (ran(nodes, &["query"], 0), ran(nodes, &["history"], 0));
    let before = look(&cluster);
    for _ in 0..2 {
        cluster.kill_all();
        cluster.start_again();
        settled(&cluster);
        assert_eq!(look(&cluster), before);
    }
}
