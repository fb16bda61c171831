//! Signals, and what `/proc` says about a process.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Sends a signal; a process that is gone is no error.
pub(crate) fn signal(process: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(process as i32), signal);
}

/// Whether any of its threads still runs. The first thread of a killed process is a zombie already while another one
/// finishes a sync in the kernel, and until then files and ports are still held.
pub(crate) fn alive(process: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return false;
    };
    threads.flatten().any(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    })
}

/// Waits for its end.
pub(crate) fn wait_until_gone(process: u32, limit: Duration) {
    let deadline = Instant::now() + limit;
    while alive(process) {
        assert!(Instant::now() < deadline, "process {process} is still there after {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Processor time of all its threads, seconds.
pub(crate) fn cpu_seconds(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let Some((_, fields)) = stat.rsplit_once(')') else {
        return 0.0;
    };
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
    // Linux reports in hundredths of a second on every architecture.
    ticks as f64 / 100.0
}

/// Resident memory, bytes.
pub(crate) fn resident_bytes(process: u32) -> u64 {
    memory(process, "VmRSS:")
}

/// The most that it has ever been, bytes.
pub(crate) fn peak_bytes(process: u32) -> u64 {
    memory(process, "VmHWM:")
}

fn memory(process: u32, which: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix(which))
        .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

/// How a process was started.
#[derive(Clone)]
pub(crate) struct Started {
    /// The program and its arguments.
    pub(crate) words: Vec<String>,
    /// Its environment.
    pub(crate) environment: Vec<(String, String)>,
}

impl Started {
    /// Reads it from a living process.
    pub(crate) fn read(process: u32) -> Started {
        let read = |name: &str| -> Vec<String> {
            let bytes = fs::read(format!("/proc/{process}/{name}")).unwrap_or_default();
            let words = bytes.split(|&b| b == 0).filter(|word| !word.is_empty());
            words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
        };
        let environment = read("environ");
        let pairs = environment.iter().filter_map(|pair| pair.split_once('='));
        Started {
            words: read("cmdline"),
            environment: pairs.map(|(name, value)| (name.into(), value.into())).collect(),
        }
    }

    /// The same command again.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).env_clear().envs(self.environment.iter().cloned());
        command
    }
}
