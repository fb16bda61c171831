//! Programs that are not ours. A test that needs one that is absent says so by name; `.ci/run` installs all of them
//! and fails on any such line.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::keeper::Keeper;
use crate::port;

/// Where `name` is; prints `skipped: no …` if nowhere.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        skipped(name);
    }
    found
}

/// Says that a test did not run for want of `what`.
pub(crate) fn skipped(what: &str) {
    say(&format!("\nskipped: no {what}"));
}

/// Prints straight to the terminal: what a passing test prints is otherwise swallowed.
pub(crate) fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A Python that has the `redis` package: the one in `ERAFT_PYTHON` (set by `.ci/run`), else `python3`.
pub(crate) fn python_with_redis() -> Option<PathBuf> {
    let python =
        std::env::var_os("ERAFT_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let has_package = Command::new(&python)
        .args(["-c", "import redis"])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .status();
    if !has_package.is_ok_and(|status| status.success()) {
        skipped("Python with the redis package (pip install redis, ERAFT_PYTHON=…)");
        return None;
    }
    Some(python)
}

/// Runs a command to its end; panics if that takes longer than `limit`.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Output {
    let name = format!("{command:?}");
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    finish(child.unwrap_or_else(|error| panic!("{name}: {error}")), &name, limit)
}

/// Waits for a child with a limit, reading all it prints meanwhile.
pub(crate) fn finish(child: Child, name: &str, limit: Duration) -> Output {
    let process = child.id();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(limit) {
        Ok(output) => output.expect("the output of a child can be read"),
        Err(_) => {
            crate::process::signal(process, nix::sys::signal::Signal::SIGKILL);
            panic!("{name} did not end within {limit:?}");
        }
    }
}

/// What a command printed, both ways, for messages.
pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}\n--- stdout\n{}--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A real Redis, not durable, to compare with.
pub(crate) struct Redis {
    child: Child,
    /// Host and port.
    pub(crate) address: String,
    keeper: Option<Keeper>,
    _folder: tempfile::TempDir,
}

impl Redis {
    /// Starts one, if it is installed.
    pub(crate) fn start() -> Option<Redis> {
        let program = find("redis-server")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = port::one();
        let child = Command::new(program)
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
            ])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(fs::File::create(folder.path().join("log")).expect("a log file"))
            .spawn()
            .expect("redis-server starts");
        let redis = Redis {
            keeper: Some(Keeper::start(child.id(), None)),
            child,
            address: format!("127.0.0.1:{port}"),
            _folder: folder,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(&redis.address).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(redis)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(keeper) = self.keeper.take() {
            keeper.dismiss();
        }
    }
}
