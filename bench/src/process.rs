//! Child processes that never outlive us, and what `/proc` says about any process.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A server process; it ends when this is dropped, and (by `setpriv`) when we are killed.
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts `program`; its output goes to `log`.
    pub fn start<I: AsRef<OsStr>>(
        program: &Path,
        args: impl IntoIterator<Item = I>,
        log: &Path,
    ) -> Result<Server> {
        let out = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        // A parent-death signal needs a call between fork and exec; setpriv (util-linux) makes it for us.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM"])
            .arg(program)
            .args(args)
            // A pipe that stays open as long as we live: a node may read the end of it as the end of its parent.
            .stdin(Stdio::piped())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {} by setpriv", program.display()))?;
        Ok(Server { child })
    }

    /// Its process id (setpriv replaces itself by the program).
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error with the end of its log if it has ended.
    pub fn check(&mut self, log: &Path) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let text = fs::read_to_string(log).unwrap_or_default();
            let tail: Vec<&str> = text.lines().rev().take(15).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            bail!("server ended with {status}; end of {}:\n{}", log.display(), tail.join("\n"));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill(pid(self.child.id()), Signal::SIGTERM);
        let deadline = Instant::now() + Duration::from_secs(12);
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `kill -9`; a process that is gone already is no error.
pub fn kill_hard(process: u32) {
    let _ = kill(pid(process), Signal::SIGKILL);
}

fn pid(process: u32) -> Pid {
    Pid::from_raw(i32::try_from(process).expect("the kernel's process ids are below 2^22"))
}

/// CPU time of a process with all its threads and its ended children, in seconds; 0 once it is gone.
pub fn cpu_seconds(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The command name, in brackets, may hold spaces: count fields from behind it.
    let Some((_, fields)) = stat.rsplit_once(')') else {
        return 0.0;
    };
    // utime, stime, cutime, cstime are fields 14 to 17 of the line, 11 to 14 of the rest.
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(4).filter_map(|f| f.parse::<u64>().ok()).sum();
    ticks as f64 / ticks_per_second()
}

/// CPU time of several processes together, seconds.
pub fn cpu_seconds_all(processes: &[u32]) -> f64 {
    processes.iter().map(|&p| cpu_seconds(p)).sum()
}

/// Resident memory of a process, bytes; 0 once it is gone.
pub fn resident_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

fn ticks_per_second() -> f64 {
    nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100) as f64
}
