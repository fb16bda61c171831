//! `eraftctl`: asks and operates a cluster, over QUIC with mutual TLS.
//!
//! ```text
//! args ─► reach (which nodes, which certificate, how long) ─► one command ─► answer (text or JSON, exit code)
//! ```
//!
//! Results go to stdout, trouble goes once to stderr. Exit code 0: fine. 1: a negative answer (no such key, no
//! such version, no cluster yet). 2: trouble, also when the time is over. Words that change the config table:
//! 2 if the change is refused, and 1 for trouble. A command line that cannot be read: 2, whatever the word.

mod answer;
mod args;
mod bench;
mod cert;
mod change;
mod helper;
mod history;
mod init;
mod keys;
mod leader;
mod moves;
mod number;
mod plan;
mod query;
mod reach;
mod recover;
mod replica;
mod status;
mod table;
mod wait;
mod words;

use answer::{Answer, Trouble};
use args::{Arguments, Command, Debug, Leader, Replica};
use clap::Parser;
use eraft::shard::Helper;
use reach::Reach;
use replica::Wished;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::timeout;
use words::{Group, Node};

/// How long a command may take, unless it is told.
const USUAL: Duration = Duration::from_secs(10);
/// The same for one that waits until data has moved.
const WAITING: Duration = Duration::from_secs(600);
/// How much longer than its own deadlines a command may take before it is cut off: they give the better message.
const GRACE: Duration = Duration::from_millis(300);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let trouble_code = if changes_table(&arguments.command) { 1 } else { 2 };
    match run(arguments) {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Ok(Answer::Refused) => ExitCode::from(2),
        Err(trouble) => {
            answer::say(&trouble.to_string());
            ExitCode::from(trouble_code)
        }
    }
}

fn run(arguments: Arguments) -> Result<Answer, Trouble> {
    if let Command::Cert(cert) = &arguments.command {
        return cert::run(cert, arguments.global.certs.as_deref(), arguments.global.json);
    }
    let reach = Reach::new(&arguments.global, limit(&arguments.command))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Trouble::new(format!("cannot start: {error}")))?;
    let limit = reach.timeout + GRACE;
    let done = runtime.block_on(async {
        match &arguments.command {
            // These last as long as they are asked to; each of their steps has the deadline.
            Command::Scan(scan) => return keys::scan(&reach, scan).await,
            Command::Bench(bench) => return bench::run(&reach, bench).await,
            Command::Watch => return moves::watch(&reach).await,
            _ => {}
        }
        timeout(limit, one(&reach, &arguments.command)).await.unwrap_or_else(|_| Err(reach.late()))
    });
    // Name look-ups may still run on a thread of their own; nobody waits for them.
    runtime.shutdown_background();
    done
}

/// Whether it is a word that changes the config table.
fn changes_table(command: &Command) -> bool {
    match command {
        Command::Join(_)
        | Command::Leave(_)
        | Command::Move(_)
        | Command::Rebalance(_)
        | Command::Pause(_)
        | Command::Resume(_)
        | Command::Cancel(_)
        | Command::Rate(_)
        | Command::Node(_)
        | Command::Group(_)
        | Command::Observer(_)
        | Command::Secretary(_)
        | Command::Replica(_) => true,
        Command::Status
        | Command::Init(_)
        | Command::Get(_)
        | Command::Put(_)
        | Command::Append(_)
        | Command::Del(_)
        | Command::Query(_)
        | Command::History(_)
        | Command::Moves
        | Command::Watch
        | Command::Leader(_)
        | Command::Recover(_)
        | Command::Debug(_)
        | Command::Scan(_)
        | Command::Bench(_)
        | Command::Cert(_) => false,
    }
}

/// How long it may take, unless it is told.
fn limit(command: &Command) -> Duration {
    if waits(command) { WAITING } else { USUAL }
}

/// Whether it returns only when data has moved.
fn waits(command: &Command) -> bool {
    match command {
        Command::Join(join) => join.how.wait,
        Command::Leave(leave) => leave.how.wait,
        Command::Move(shift) => shift.how.wait,
        Command::Rebalance(rebalance) => rebalance.how.wait,
        Command::Node(Node::Drain(drain)) => drain.how.wait,
        Command::Group(Group::Create { how, .. }) => how.wait,
        Command::Replica(Replica::Add(on) | Replica::Remove(on)) => on.wait,
        _ => false,
    }
}

/// A command with one deadline.
async fn one(reach: &Reach, command: &Command) -> Result<Answer, Trouble> {
    match command {
        Command::Status => status::run(reach).await,
        Command::Init(init) => init::run(reach, init).await,
        Command::Get(get) => keys::get(reach, get).await,
        Command::Put(put) => keys::put(reach, put).await,
        Command::Append(append) => keys::append(reach, append).await,
        Command::Del(del) => keys::del(reach, &del.keys).await,
        Command::Query(query) => query::run(reach, query.version).await,
        Command::History(history) => history::run(reach, history).await,
        Command::Moves => moves::moves(reach).await,
        Command::Join(join) => change::join(reach, join).await,
        Command::Leave(leave) => change::leave(reach, leave).await,
        Command::Move(shift) => change::shift(reach, shift).await,
        Command::Rebalance(rebalance) => change::rebalance(reach, rebalance.how).await,
        Command::Pause(only) => change::pause(reach, only.pair()).await,
        Command::Resume(only) => change::resume(reach, only.pair()).await,
        Command::Cancel(cancel) => change::cancel(reach, cancel).await,
        Command::Rate(rate) => change::rate(reach, rate).await,
        Command::Node(node) => change::node(reach, node).await,
        Command::Group(group) => change::group(reach, group).await,
        Command::Leader(Leader::Transfer { group, node }) => {
            leader::transfer(reach, *group, *node).await
        }
        Command::Observer(change) => helper::run(reach, Helper::Observer, change).await,
        Command::Secretary(change) => helper::run(reach, Helper::Secretary, change).await,
        Command::Replica(Replica::Add(on)) => {
            let (group, node, wait) = (on.group, on.node, on.wait);
            replica::run(reach, Wished { group, node, wanted: true, wait }).await
        }
        Command::Replica(Replica::Remove(on)) => {
            let (group, node, wait) = (on.group, on.node, on.wait);
            replica::run(reach, Wished { group, node, wanted: false, wait }).await
        }
        Command::Recover(asked) => recover::run(reach, asked).await,
        Command::Debug(Debug::Panic { group, node }) => leader::panic(reach, *group, *node).await,
        Command::Scan(_) | Command::Bench(_) | Command::Watch | Command::Cert(_) => {
            unreachable!("these have no single deadline")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// A line for each word that has `--wait`.
    const WAITING_WORDS: [&str; 8] = [
        "join 3",
        "leave 3",
        "move 0-5 3",
        "rebalance",
        "node drain 3",
        "group create 3",
        "replica add 1 3",
        "replica remove 1 3",
    ];

    /// The words below these that have `--wait`.
    fn with_wait(command: &clap::Command, words: &str, found: &mut Vec<String>) {
        if command.get_arguments().any(|one| one.get_long() == Some("wait")) {
            found.push(words.to_owned());
        }
        for word in command.get_subcommands() {
            with_wait(word, format!("{words} {}", word.get_name()).trim_start(), found);
        }
    }

    #[test]
    fn who_waits_for_data_has_ten_minutes() {
        let mut command = Arguments::command();
        command.build();
        let mut found = Vec::new();
        with_wait(&command, "", &mut found);
        for words in &found {
            assert!(WAITING_WORDS.iter().any(|line| line.starts_with(words.as_str())), "{words}");
        }
        assert_eq!(found.len(), WAITING_WORDS.len(), "{found:?}");

        let limit_of = |line: String| {
            let arguments = Arguments::try_parse_from(line.split(' '));
            limit(&arguments.expect("a good line").command)
        };
        for line in WAITING_WORDS {
            assert_eq!(limit_of(format!("eraftctl {line} --wait")), WAITING, "{line}");
            assert_eq!(limit_of(format!("eraftctl {line}")), USUAL, "{line}");
        }
        assert_eq!(limit_of("eraftctl status".into()), USUAL);
    }
}
