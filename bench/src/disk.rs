//! The disk by itself: how many 4 KiB writes per second it makes durable, one after the other.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::Place;
use crate::system::Work;

/// The file is written with zeros once, so that a sync has no new extents to record.
const FILE_BYTES: u64 = 16 * 1024 * 1024;
const BLOCK_BYTES: usize = 4096;

/// Options of `sync`.
#[derive(Args)]
pub struct Options {
    /// How long to measure, seconds
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

/// Prints the rate.
pub fn run(place: &Place, options: &Options) -> Result<bool> {
    let work = Work::create(place)?;
    let mut probe = Probe::create(&work.path().join("probe"))?;
    let rate = probe.rate(Duration::from_secs_f64(options.seconds))?;
    if place.json {
        println!("{}", serde_json::json!({ "fdatasync_per_second": rate }));
    } else {
        println!("{rate:.0} pwrite(4 KiB) + fdatasync per second");
    }
    Ok(true)
}

/// A zero-filled file to write to.
pub struct Probe {
    file: File,
    next: u64,
}

impl Probe {
    /// Makes and fills the file.
    pub fn create(path: &Path) -> Result<Probe> {
        refuse_memory(path)?;
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
        let zeros = vec![0; 1024 * 1024];
        for at in (0..FILE_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, at)?;
        }
        file.sync_all()?;
        Ok(Probe { file, next: 0 })
    }

    /// Durable writes per second over `time`.
    pub fn rate(&mut self, time: Duration) -> Result<f64> {
        let block = [0x5a; BLOCK_BYTES];
        let start = Instant::now();
        let mut count = 0u32;
        while start.elapsed() < time {
            self.file.write_all_at(&block, self.next)?;
            self.file.sync_data()?;
            self.next = (self.next + BLOCK_BYTES as u64) % FILE_BYTES;
            count += 1;
        }
        Ok(f64::from(count) / start.elapsed().as_secs_f64())
    }
}

/// A file system in memory would make every durable system look alike.
fn refuse_memory(path: &Path) -> Result<()> {
    let folder = path.parent().context("the probe file has a folder")?;
    let kind = nix::sys::statfs::statfs(folder)?.filesystem_type();
    if kind == nix::sys::statfs::TMPFS_MAGIC {
        bail!("{} is in memory (tmpfs); give --dir on a real disk", folder.display());
    }
    Ok(())
}
