//! A disk in memory that behaves as badly as a real one may, by plan: the same calls with the same
//! plan always end the same way.
//!
//! Every call that changes something is a *step*; steps are numbered from 1. The disk can be told to
//! lose power at a step, to fail a sync, to be full, to flip bits; and at any time [`SimDisk::crash`]
//! gives the disk that the next process would find.

use super::crash::{Chance, Contents, Crash};
use super::device::{Disk, File};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// See the module. A clone is the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk(Arc<Mutex<World>>);

/// An open file of it.
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    id: u64,
}

#[derive(Debug, Default)]
struct World {
    dirs: BTreeSet<PathBuf>,
    /// Names as a reader sees them, and as they are certain to be after a power cut.
    names: BTreeMap<PathBuf, u64>,
    names_durable: BTreeMap<PathBuf, u64>,
    files: BTreeMap<u64, Contents>,
    file_ids: u64,
    steps: u64,
    syncs: u64,
    cut_at: Option<u64>,
    fail_sync_at: Option<u64>,
    free: Option<u64>,
}

impl World {
    /// Counts a step. `true`: the power goes off at this one, so it takes effect (in the cache, whose
    /// fate is open) and then fails.
    fn step(&mut self) -> io::Result<bool> {
        self.power()?;
        self.steps += 1;
        Ok(self.cut_at == Some(self.steps))
    }

    /// Fails if the power is off.
    fn power(&self) -> io::Result<()> {
        match self.cut_at {
            Some(at) if self.steps >= at => Err(off()),
            _ => Ok(()),
        }
    }

    fn id(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn off() -> io::Error {
    io::Error::other("the power is off")
}

fn done(cut: bool) -> io::Result<()> {
    if cut { Err(off()) } else { Ok(()) }
}

impl SimDisk {
    /// An empty disk without limits or faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("no call panics inside")
    }

    /// The disk that is found after the power was cut now. This one stays as it is.
    #[must_use]
    pub fn crash(&self, crash: Crash) -> Self {
        let world = self.world();
        let mut chance = Chance::new(crash);
        let mut left =
            World { dirs: world.dirs.clone(), file_ids: world.file_ids, ..World::default() };
        let paths: BTreeSet<&PathBuf> =
            world.names.keys().chain(world.names_durable.keys()).collect();
        for path in paths {
            let (cached, durable) = (world.names.get(path), world.names_durable.get(path));
            let id = if cached != durable && chance.keeps() { cached } else { durable };
            if let Some(id) = id {
                left.names.insert(path.clone(), *id);
            }
        }
        left.names_durable = left.names.clone();
        for (id, file) in &world.files {
            left.files.insert(*id, file.after(&mut chance));
        }
        Self(Arc::new(Mutex::new(left)))
    }

    /// The disk that the next process finds if only this one was killed: nothing is lost, and nothing
    /// that was not synced is any safer than before. This one stays as it is.
    #[must_use]
    pub fn killed(&self) -> Self {
        let world = self.world();
        Self(Arc::new(Mutex::new(World {
            dirs: world.dirs.clone(),
            names: world.names.clone(),
            names_durable: world.names_durable.clone(),
            files: world.files.clone(),
            file_ids: world.file_ids,
            ..World::default()
        })))
    }

    /// The power goes off at this step: it, and every later call, fails.
    pub fn cut_power_at(&self, step: u64) {
        self.world().cut_at = Some(step);
    }

    /// This sync (counted from 1) fails, and loses what it should have saved.
    pub fn fail_sync_at(&self, sync: u64) {
        self.world().fail_sync_at = Some(sync);
    }

    /// Only this many bytes may still be added to files; `None`: no limit.
    pub fn set_free(&self, bytes: Option<u64>) {
        self.world().free = bytes;
    }

    /// Flips the bits of `mask` in one byte of a file. Nothing happens beyond its end.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn flip(&self, path: &Path, offset: u64, mask: u8) -> io::Result<()> {
        let mut world = self.world();
        let id = world.id(path)?;
        if let (Some(file), Ok(offset)) = (world.files.get_mut(&id), usize::try_from(offset)) {
            file.flip(offset, mask);
        }
        Ok(())
    }

    /// Steps so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.world().steps
    }

    /// Pages whose fate a power cut now would leave to chance.
    #[must_use]
    pub fn unsynced_pages(&self) -> usize {
        self.world().files.values().map(Contents::unsynced_pages).sum()
    }

    /// Syncs of files so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.world().syncs
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        // A directory's own name is taken to be durable; the log's directory is made by its owner.
        self.world().power()?;
        self.world().dirs.insert(dir.to_owned());
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<SimFile> {
        let mut world = self.world();
        let cut = world.step()?;
        if world.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        world.file_ids += 1;
        let id = world.file_ids;
        world.names.insert(path.to_owned(), id);
        world.files.insert(id, Contents::default());
        done(cut).map(|()| SimFile { disk: self.clone(), id })
    }

    fn open(&self, path: &Path) -> io::Result<SimFile> {
        let world = self.world();
        world.power()?;
        Ok(SimFile { disk: self.clone(), id: world.id(path)? })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        world.power()?;
        if !world.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = world.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        let cut = world.step()?;
        let id = world.id(from)?;
        world.names.remove(from);
        world.names.insert(to.to_owned(), id);
        done(cut)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        let cut = world.step()?;
        let id = world.id(path)?;
        world.names.remove(path);
        let bytes = world.files.get(&id).map_or(0, |file| file.cached.len() as u64);
        world.free = world.free.map(|free| free + bytes);
        done(cut)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.world();
        if world.step()? {
            return Err(off());
        }
        let inside = |path: &Path| path.parent() == Some(dir);
        world.names_durable.retain(|path, _| !inside(path));
        let names = world.names.clone();
        world.names_durable.extend(names.into_iter().filter(|(path, _)| inside(path)));
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.world().free.unwrap_or(u64::MAX))
    }
}

impl SimFile {
    fn with<T>(&self, act: impl FnOnce(&mut World, u64) -> io::Result<T>) -> io::Result<T> {
        act(&mut self.disk.world(), self.id)
    }
}

/// A file that was removed while open is still there for those who have it open.
fn contents(world: &mut World, id: u64) -> &mut Contents {
    world.files.entry(id).or_default()
}

impl File for SimFile {
    fn write_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.with(|world, id| {
            let cut = world.step()?;
            let length: usize = slices.iter().map(|slice| slice.len()).sum();
            let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
            let growth = (offset + length).saturating_sub(contents(world, id).cached.len()) as u64;
            if let Some(free) = &mut world.free {
                *free = free.checked_sub(growth).ok_or(io::ErrorKind::StorageFull)?;
            }
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            contents(world, id).write(&bytes, offset);
            done(cut)
        })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|world, id| {
            world.power()?;
            let bytes = &contents(world, id).cached;
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let length = buffer.len().min(bytes.len() - from);
            buffer[..length].copy_from_slice(&bytes[from..from + length]);
            Ok(length)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|world, id| {
            if world.step()? {
                return Err(off());
            }
            world.syncs += 1;
            if world.fail_sync_at == Some(world.syncs) {
                contents(world, id).fail_sync();
                return Err(io::Error::other("the sync failed"));
            }
            contents(world, id).sync();
            Ok(())
        })
    }

    fn length(&self) -> io::Result<u64> {
        self.with(|world, id| {
            world.power()?;
            Ok(contents(world, id).cached.len() as u64)
        })
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.with(|world, id| {
            let cut = world.step()?;
            let length = usize::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
            contents(world, id).set_length(length);
            done(cut)
        })
    }
}
