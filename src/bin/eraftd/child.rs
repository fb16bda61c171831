//! A node of a dev cluster: a process of this same program, started, watched, ended.

use crate::plan::{DevNode, Plan, certs};
use crate::trouble::Trouble;
use crate::{parent, plan};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The pause before a dead node is started again; it doubles up to the second figure.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A node that lived this long starts with the shortest pause again.
const LIVED: Duration = Duration::from_secs(10);

/// What is passed on to every node.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    /// `--debug-commands`.
    pub(crate) debug_commands: bool,
    /// `--snapshot-rate`.
    pub(crate) snapshot_rate: Option<u32>,
    /// `--lease-reads`.
    pub(crate) lease_reads: bool,
    /// `--log`.
    pub(crate) log: String,
}

/// See the module's first lines.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) plan: DevNode,
    state: State,
    started: Instant,
    pause: Duration,
}

#[derive(Debug)]
enum State {
    Running(Child),
    /// To be started again then, if that is wanted.
    Dead(Instant),
}

impl Node {
    /// Starts a node.
    pub(crate) fn start(
        dir: &Path,
        whole: &Plan,
        node: &DevNode,
        passed: &Passed,
    ) -> Result<Self, Trouble> {
        let child = spawn(dir, whole, node, passed)?;
        Ok(Self {
            plan: node.clone(),
            state: State::Running(child),
            started: Instant::now(),
            pause: BACK_OFF.0,
        })
    }

    /// Its process id, while it lives.
    pub(crate) fn pid(&self) -> Option<u32> {
        match &self.state {
            State::Running(child) => Some(child.id()),
            State::Dead(_) => None,
        }
    }

    /// Looks whether it has died since it was last looked at; says of what.
    pub(crate) fn died(&mut self) -> Option<String> {
        let State::Running(child) = &mut self.state else { return None };
        let status = match child.try_wait() {
            Ok(None) => return None,
            Ok(Some(status)) => describe(status),
            Err(error) => format!("cannot be waited for: {error}"),
        };
        let said = format!("node {} (pid {}) {status}", self.plan.id, child.id());
        if self.started.elapsed() > LIVED {
            self.pause = BACK_OFF.0;
        }
        self.state = State::Dead(Instant::now() + self.pause);
        Some(said)
    }

    /// The pause before it is started again.
    pub(crate) fn pause(&self) -> Duration {
        self.pause
    }

    /// Starts it again, if it is dead and its pause is over.
    pub(crate) fn revive(
        &mut self,
        dir: &Path,
        whole: &Plan,
        passed: &Passed,
    ) -> Result<(), Trouble> {
        let State::Dead(due) = self.state else { return Ok(()) };
        if Instant::now() < due {
            return Ok(());
        }
        self.pause = (self.pause * 2).min(BACK_OFF.1);
        // Unless it starts: the next try is later.
        self.state = State::Dead(Instant::now() + self.pause);
        self.state = State::Running(spawn(dir, whole, &self.plan, passed)?);
        self.started = Instant::now();
        Ok(())
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid().and_then(|pid| i32::try_from(pid).ok()) {
            // It may have ended in this moment.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Waits for its end, which must have been asked for.
    pub(crate) fn wait(&mut self) {
        if let State::Running(child) = &mut self.state {
            let _ = child.wait();
        }
    }
}

fn spawn(dir: &Path, whole: &Plan, node: &DevNode, passed: &Passed) -> Result<Child, Trouble> {
    let log = node.log(dir);
    let open = || OpenOptions::new().create(true).append(true).open(&log);
    let out = open().map_err(|error| Trouble::file("open", &log, error))?;
    let err = out.try_clone().map_err(|error| Trouble::file("open", &log, error))?;
    let program = std::env::current_exe()
        .map_err(|error| Trouble::new(format!("cannot find this program itself: {error}")))?;
    // What is in there from an earlier life is nobody now.
    let _ = std::fs::remove_file(node.pid_file(dir));
    let mut command = Command::new(&program);
    for (name, _) in std::env::vars_os() {
        // Meant for somebody else: a dev cluster is what its flags say.
        if name.to_string_lossy().starts_with("ERAFT_") {
            command.env_remove(name);
        }
    }
    command
        .args(["--log", &passed.log, "run", "--node-id", &node.id.to_string()])
        .arg("--data-dir")
        .arg(node.folder(dir).join("data"))
        .args(["--quic", &node.quic, "--redis", &node.redis, "--redis-cluster", &node.cluster])
        .args(["--http", &node.http, "--cluster", &whole.cluster()])
        .arg("--certs")
        .arg(certs(dir))
        .arg("--pid-file")
        .arg(node.pid_file(dir))
        .env(parent::VARIABLE, std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err);
    if passed.debug_commands {
        command.arg("--debug-commands");
    }
    if passed.lease_reads {
        command.arg("--lease-reads");
    }
    if let Some(rate) = passed.snapshot_rate {
        command.args(["--snapshot-rate", &rate.to_string()]);
    }
    command.spawn().map_err(|error| Trouble::file("start", &program, error))
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "has ended".into(),
        (Some(code), _) => format!("has ended with code {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(signal) => format!("was killed by signal {number} ({signal})"),
            Err(_) => format!("was killed by signal {number}"),
        },
        (None, None) => "has ended".into(),
    }
}

/// Makes the folder of a node.
pub(crate) fn make_folder(dir: &Path, node: &plan::DevNode) -> Result<(), Trouble> {
    let folder = node.folder(dir);
    std::fs::create_dir_all(&folder).map_err(|error| Trouble::file("make", &folder, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_in_words() {
        assert_eq!(describe(ExitStatus::from_raw(9)), "was killed by signal 9 (SIGKILL)");
        assert_eq!(describe(ExitStatus::from_raw(2 << 8)), "has ended with code 2");
        assert_eq!(describe(ExitStatus::from_raw(0)), "has ended");
    }
}
