//! `eraftctl`: asks and operates a cluster, over QUIC with mutual TLS.
//!
//! ```text
//! args ─► reach (which nodes, which certificate, how long) ─► one command ─► answer (text or JSON, exit code)
//! ```
//!
//! Results go to stdout, trouble goes once to stderr. Exit code 0: fine. 1: a negative answer (no such key, no
//! such version, no cluster yet). 2: trouble, also when the time is over.

mod answer;
mod args;
mod bench;
mod cert;
mod init;
mod keys;
mod leader;
mod number;
mod query;
mod reach;
mod status;
mod table;

use answer::{Answer, Trouble};
use args::{Arguments, Command, Debug, Leader};
use clap::Parser;
use reach::Reach;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::timeout;

/// How much longer than its own deadlines a command may take before it is cut off: they give the better message.
const GRACE: Duration = Duration::from_millis(300);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(trouble) => {
            answer::say(&trouble.to_string());
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Arguments) -> Result<Answer, Trouble> {
    if let Command::Cert(cert) = &arguments.command {
        return cert::run(cert, arguments.global.certs.as_deref(), arguments.global.json);
    }
    let reach = Reach::new(&arguments.global)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Trouble::new(format!("cannot start: {error}")))?;
    let limit = reach.timeout + GRACE;
    let done = runtime.block_on(async {
        match &arguments.command {
            // These last as long as they are asked to; each of their steps has the deadline.
            Command::Scan(scan) => return keys::scan(&reach, scan).await,
            Command::Bench(bench) => return bench::run(&reach, bench).await,
            _ => {}
        }
        timeout(limit, one(&reach, &arguments.command)).await.unwrap_or_else(|_| Err(reach.late()))
    });
    // Name look-ups may still run on a thread of their own; nobody waits for them.
    runtime.shutdown_background();
    done
}

/// A command with one deadline.
async fn one(reach: &Reach, command: &Command) -> Result<Answer, Trouble> {
    match command {
        Command::Status => status::run(reach).await,
        Command::Init(init) => init::run(reach, init.groups).await,
        Command::Get(get) => keys::get(reach, get).await,
        Command::Put(put) => keys::put(reach, put).await,
        Command::Append(append) => keys::append(reach, append).await,
        Command::Del(del) => keys::del(reach, &del.keys).await,
        Command::Query(query) => query::run(reach, query.version).await,
        Command::Leader(Leader::Transfer { group, node }) => {
            leader::transfer(reach, *group, *node).await
        }
        Command::Debug(Debug::Panic { group, node }) => leader::panic(reach, *group, *node).await,
        Command::Scan(_) | Command::Bench(_) | Command::Cert(_) => {
            unreachable!("these have no single deadline")
        }
    }
}
