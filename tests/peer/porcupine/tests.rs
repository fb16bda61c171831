//! The readers, on lines that the published files have, might have and must not have.

use std::fs;
use std::path::PathBuf;

use super::{jepsen, jepsen_log, kv, kv_log};
use crate::linearizability::map;
use crate::linearizability::register::{Input, Output};

fn jepsen_lines(events: &[&str]) -> String {
    events.iter().map(|event| format!("INFO  jepsen.util - {event}\n")).collect()
}

#[test]
fn a_jepsen_log_tells_answers_failures_and_lost_outcomes() {
    let log = jepsen_lines(&[
        "0\t:invoke\t:read\tnil",
        "11   :invoke :write  4",
        "0\t:ok\t:read\tnil",
        ":nemesis\t:info\t:start\tnil",
        "11   :info   :write  :timed-out",
        "2\t:invoke\t:cas\t[4 1]",
        "3\t:invoke\t:read\tnil",
        "2\t:ok\t:cas\t[4 1]",
        "3\t:fail\t:read\t:timed-out",
        "3\t:invoke\t:cas\t[9 1]",
        "3\t:fail\t:cas\t[9 1]",
        "3\t:invoke\t:write\t2",
        "3\t:fail\t:write\t:no-leader",
        "3\t:invoke\t:write\t3",
        "3\t:fail\t:write\t:timed-out",
        "4\t:invoke\t:cas\t[1 -2]",
    ]);
    let operations = jepsen_log::parse(&log).expect("well formed");
    let compare = |expected, new| Input::CompareAndSet { expected: Some(expected), new: Some(new) };
    let read: Vec<_> = operations
        .into_iter()
        .map(|operation| (operation.client, operation.input, operation.returned))
        .collect();
    assert_eq!(
        read,
        [
            (0, Input::Read, Some((3, Output::Value(None)))),
            (11, Input::Write(Some(4)), None),
            (2, compare(4, 1), Some((8, Output::Swapped(true)))),
            (3, compare(9, 1), Some((11, Output::Swapped(false)))),
            (3, Input::Write(Some(3)), None),
            (4, compare(1, -2), None),
        ]
    );
}

#[test]
fn a_malformed_jepsen_line_is_an_error() {
    for events in [
        &["0 :invoke :read"][..],
        &["0 :invoke :read 3"],
        &["0 :invoke :write x"],
        &["0 :invoke :write 99999999999999999999"],
        &["0 :invoke :cas [1]"],
        &["0 :invoke :cas [1 2 3]"],
        &["0 :invoke :cas 1 2"],
        &["0 :invoke :erase nil"],
        &["x :invoke :read nil"],
        &["0 :ok :read nil"],
        &["0 :invoke :read nil", "0 :ok :read"],
        &["0 :invoke :read nil", "0 :ok :write 1"],
        &["0 :invoke :write 1", "0 :ok :write 2"],
        &["0 :invoke :write 1", "0 :done :write 1"],
        &["0 :invoke :read nil", "0 :invoke :read nil"],
        &["0 :invoke :read nil", "0 :ok :read 1", "0 :ok :read 1"],
        &[""],
    ] {
        assert!(jepsen_log::parse(&jepsen_lines(events)).is_err(), "{events:?}");
    }
    assert!(jepsen_log::parse("WARN  jepsen.util - 0 :invoke :read nil").is_err());
}

#[test]
fn a_kv_log_tells_texts_with_all_they_hold() {
    let log = r#"
        {:process 0, :type :invoke, :f :put, :key "a", :value "x, }\"\\ y"}
        {:type :ok :process 0 :time 17 :f :put, :key "a", :value "x, }\"\\ y"}
        {:process 1, :type :invoke, :f :append, :key "a", :value ""}
        {:process 0, :type :invoke, :f :get, :key "a", :value nil}
        {:process 1, :type :info, :f :append, :key "a", :value nil}
        {:process 0, :type :ok, :f :get, :key "a", :value "x, }\"\\ y"}
        {:process 0, :type :invoke, :f :put, :key "b", :value "z"}
        {:process 0, :type :fail, :f :put, :key "b", :value "z"}
    "#;
    let operations = kv_log::parse(log).expect("well formed");
    let text = "x, }\"\\ y".to_owned();
    let read: Vec<_> = operations
        .into_iter()
        .map(|operation| (operation.input.action, operation.returned))
        .collect();
    assert_eq!(
        read,
        [
            (map::Action::Put(text.clone()), Some((3, map::Output::Done))),
            (map::Action::Append(String::new()), None),
            (map::Action::Get, Some((7, map::Output::Text(text)))),
        ]
    );
}

#[test]
fn a_malformed_kv_line_is_an_error() {
    for log in [
        "{",
        "{}",
        "nonsense",
        r#"{:process 0, :type :invoke, :f :get, :key "a", :value}"#,
        r#"{:process 0, :type :invoke, :f :get, :key "a", :value nil"#,
        r#"{:process 0, :type :invoke, :f :get, :key "a, :value nil}"#,
        r#"{:process 0, :type :invoke, :f :get, :key a, :value nil}"#,
        r#"{:process 0, :type :invoke, :f :get, :value nil}"#,
        r#"{:process 0, :process 1, :type :invoke, :f :get, :key "a", :value nil}"#,
        r#"{:process x, :type :invoke, :f :get, :key "a", :value nil}"#,
        r#"{:process 0, :type :invoke, :f :put, :key "a", :value nil}"#,
        r#"{:process 0, :type :invoke, :f :swap, :key "a", :value "b"}"#,
        r#"{:process 0, :type :ok, :f :get, :key "a", :value "b"}"#,
        r#"{:process 0, :type :invoke, :f :put, :key "a", :value "\q"}"#,
    ] {
        assert!(kv_log::parse(log).is_err(), "{log}");
    }
}

/// A folder for one test, with these files.
fn folder(name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("eraft-peer-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).expect("the temporary folder is writable");
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).expect("the temporary folder is writable");
    }
    folder
}

#[test]
fn every_history_counts_and_only_the_same_verdict_agrees() {
    let good = jepsen_lines(&["0 :invoke :read nil", "0 :ok :read nil"]);
    let bad = jepsen_lines(&["0 :invoke :read nil", "0 :ok :read 1"]);
    let jepsen_folder = folder(
        "jepsen",
        &[
            ("VERDICTS.txt", b"a.log linearizable\r\nb.log violation\nc.log violation\nd.log linearizable\nf.log perhaps\ng.log linearizable"),
            ("a.log", good.as_bytes()),
            ("b.log", bad.as_bytes()),
            ("c.log", good.as_bytes()),
            ("d.log", b"INFO nonsense"),
            ("e.log", good.as_bytes()),
            ("f.log", good.as_bytes()),
            ("g.log", b"\xff\xfe"),
            ("README", b"not a history"),
        ],
    );
    let tally = jepsen(&jepsen_folder);
    assert_eq!((tally.cases, tally.differences.len()), (7, 5), "{tally:?}");

    let line: &[u8] = br#"{:process 0, :type :invoke, :f :get, :key "a", :value nil}"#;
    let kv_folder = folder(
        "kv",
        &[("c1-ok.txt", line), ("c1-bad.txt", line), ("c2.txt", line), ("c3-ok.txt", b"{")],
    );
    let tally = kv(&kv_folder);
    assert_eq!((tally.cases, tally.differences.len()), (4, 3), "{tally:?}");

    for folder in [jepsen_folder, kv_folder] {
        fs::remove_dir_all(folder).expect("made above");
    }
}

#[test]
fn a_folder_that_is_not_there_has_no_cases() {
    assert_eq!(jepsen(&PathBuf::from("/nowhere")).cases, 0);
}
