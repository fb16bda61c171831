//! We answer as Redis 7 does: `redis_script.txt` holds commands and the replies that a real Redis gave.
//!
//! Two tests read it: one holds a real Redis to it (if one is installed), so that the file stays true; one holds us to
//! it. `ERAFT_BLESS=1 cargo test --release --test e2e redis_gives` writes the replies of the real Redis anew.
//!
//! The file: `# title` begins a section, on a new connection and an empty database. A line is a command as one would
//! type it into redis-cli; the next one, `=> reply`, is its reply. Before a command may stand `~` (an integer that may
//! differ by 2000, such as time left in ms), `?` (only the kind of reply counts) or `!` (only the first word of the
//! error counts). `@sleep MS` pauses.
//!
//! Where we differ on purpose: a page of `SCAN` ends where a group's buckets end, so the cursor comes back 0 only after
//! the last group; `WAIT` tells how many replicas certainly have the write; `INCRBYFLOAT` counts exactly.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::outside::Redis;
use crate::reply::Reply;
use crate::resp::Client;

/// The Redis whose replies the file holds; another version's answers may differ in words.
const VERSION: &str = "7.0.";

enum Step {
    Section(String),
    Comment(String),
    Sleep(u64),
    Command { how: How, line: String, expected: String },
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    Exact,
    Near,
    Kind,
    FirstWord,
}

impl How {
    fn mark(self) -> &'static str {
        match self {
            How::Exact => "",
            How::Near => "~ ",
            How::Kind => "? ",
            How::FirstWord => "! ",
        }
    }
}

#[test]
fn redis_gives_these_replies() {
    let Some(redis) = Redis::start() else { return };
    let info =
        Client::connect(&redis.address).expect("it listens").command(&["INFO", "server"]).text();
    if !info.contains(&format!("redis_version:{VERSION}")) {
        crate::outside::skipped(&format!("redis-server {VERSION}x (another version is installed)"));
        return;
    }
    let steps = load();
    if std::env::var_os("ERAFT_BLESS").is_some() {
        bless(&redis.address, steps);
    } else {
        check("Redis", &redis.address, &steps);
    }
}

#[test]
fn we_give_the_same_replies() {
    let cluster = Cluster::start();
    check("node 1", &cluster.plain(1), &load());
}

#[test]
fn we_give_them_through_any_node() {
    let cluster = Cluster::start();
    check("node 3", &cluster.plain(3), &load());
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/redis_script.txt")
}

fn load() -> Vec<Step> {
    let text = fs::read_to_string(path()).expect("the script can be read");
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if let Some(reply) = line.strip_prefix("=> ") {
            match steps.last_mut() {
                Some(Step::Command { expected, .. }) => *expected = reply.to_owned(),
                _ => panic!("a reply without a command: {line}"),
            }
        } else if let Some(title) = line.strip_prefix("# ") {
            steps.push(Step::Section(title.to_owned()));
        } else if let Some(text) = line.strip_prefix("## ") {
            steps.push(Step::Comment(text.to_owned()));
        } else if let Some(millis) = line.strip_prefix("@sleep ") {
            steps.push(Step::Sleep(millis.parse().expect("milliseconds")));
        } else {
            let (how, rest) = match line.as_bytes()[0] {
                b'~' => (How::Near, line[1..].trim_start()),
                b'?' => (How::Kind, line[1..].trim_start()),
                b'!' => (How::FirstWord, line[1..].trim_start()),
                _ => (How::Exact, line),
            };
            steps.push(Step::Command { how, line: rest.to_owned(), expected: String::new() });
        }
    }
    steps
}

/// Runs the steps on a server; calls `found` with each command's reply.
fn play(address: &str, steps: &[Step], mut found: impl FnMut(usize, &Reply)) {
    let mut client = Client::connect(address).expect("it listens");
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Section(_) => {
                client = Client::connect(address).expect("it listens");
                let flushed = client.command(&["FLUSHALL"]);
                assert!(flushed.is_ok(), "FLUSHALL: {flushed}");
            }
            Step::Comment(_) => {}
            Step::Sleep(millis) => std::thread::sleep(Duration::from_millis(*millis)),
            Step::Command { line, .. } => {
                let words = split(line);
                let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
                let reply =
                    client.try_command(&words).unwrap_or_else(|error| panic!("{line}: {error}"));
                found(at, &reply);
            }
        }
    }
}

fn check(who: &str, address: &str, steps: &[Step]) {
    let mut wrong = Vec::new();
    let mut count = 0;
    play(address, steps, |at, reply| {
        count += 1;
        let Step::Command { how, line, expected } = &steps[at] else {
            return;
        };
        let got = reply.to_string();
        let fits = match how {
            How::Exact => got == *expected,
            How::Near => near(&got, expected),
            How::Kind => kind(&got) == kind(expected),
            How::FirstWord => got.split(' ').next() == expected.split(' ').next(),
        };
        if !fits {
            let section = steps[..at].iter().rev().find_map(|s| match s {
                Step::Section(title) => Some(title.as_str()),
                _ => None,
            });
            wrong.push(format!(
                "[{}] {line}\n   expected {expected}\n   got      {got}",
                section.unwrap_or("")
            ));
        }
    });
    assert!(count > 300, "the script holds only {count} commands");
    assert!(
        wrong.is_empty(),
        "{who}: {} of {count} replies differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn near(got: &str, expected: &str) -> bool {
    let number = |text: &str| text.strip_prefix(':').and_then(|digits| digits.parse::<i64>().ok());
    match (number(got), number(expected)) {
        // Absolute times in the file are of the day it was written; those only agree in their kind.
        (Some(_), Some(expected)) if expected > 1_000_000_000 => true,
        (Some(got), Some(expected)) => (got - expected).abs() <= 2000,
        _ => false,
    }
}

fn kind(reply: &str) -> &str {
    if reply == "nil" || reply == "null" { reply } else { &reply[..1] }
}

fn bless(address: &str, mut steps: Vec<Step>) {
    let mut replies = Vec::new();
    play(address, &steps, |at, reply| replies.push((at, reply.to_string())));
    for (at, reply) in replies {
        if let Step::Command { how, expected, .. } = &mut steps[at] {
            *expected = if *how == How::Kind { kind(&reply).to_owned() } else { reply };
        }
    }
    let mut text = String::new();
    for step in &steps {
        match step {
            Step::Section(title) => text.push_str(&format!("\n# {title}\n")),
            Step::Comment(comment) => text.push_str(&format!("## {comment}\n")),
            Step::Sleep(millis) => text.push_str(&format!("@sleep {millis}\n")),
            Step::Command { how, line, expected } => {
                text.push_str(&format!("{}{line}\n=> {expected}\n", how.mark()));
            }
        }
    }
    fs::write(path(), text.trim_start()).expect("the script can be written");
}

/// Words of a line as redis-cli splits it: spaces between, `"…"` with escapes, `'…'` without.
fn split(line: &str) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    let mut bytes = line.bytes().peekable();
    loop {
        while bytes.next_if_eq(&b' ').is_some() {}
        let Some(first) = bytes.next() else {
            return words;
        };
        let mut word = Vec::new();
        match first {
            b'"' => loop {
                match bytes.next().expect("a closing quote") {
                    b'"' => break,
                    b'\\' => match bytes.next().expect("something escaped") {
                        b'n' => word.push(b'\n'),
                        b'r' => word.push(b'\r'),
                        b't' => word.push(b'\t'),
                        b'x' => {
                            let digits = [
                                bytes.next().expect("two digits"),
                                bytes.next().expect("two digits"),
                            ];
                            let digits = std::str::from_utf8(&digits).expect("two digits");
                            word.push(
                                u8::from_str_radix(digits, 16).expect("two hexadecimal digits"),
                            );
                        }
                        other => word.push(other),
                    },
                    other => word.push(other),
                }
            },
            b'\'' => loop {
                match bytes.next().expect("a closing quote") {
                    b'\'' => break,
                    other => word.push(other),
                }
            },
            other => {
                word.push(other);
                while let Some(byte) = bytes.next_if(|&b| b != b' ') {
                    word.push(byte);
                }
            }
        }
        words.push(word);
    }
}

#[test]
fn lines_are_split_as_redis_cli_does() {
    assert_eq!(split(r#"SET "a b" '' "\x00\n" c"#), [&b"SET"[..], b"a b", b"", b"\0\n", b"c"]);
}
