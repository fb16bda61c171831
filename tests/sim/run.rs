//! One run: faults, then none, then the last words.

use super::coverage::{Coverage, Kind};
use super::properties::{Held, Violation, linearizable};
use super::swarm::GROUPS;
use super::world::World;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// When the faults have stopped, everything is well again within this, microseconds.
const BOUND: u64 = 30_000_000;
/// Units that each client may still begin then.
const UNITS_AFTER: u32 = 2;

/// What a run came to.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    /// The same for the same seed.
    pub(crate) trace: u64,
    pub(crate) events: u64,
    /// Operations whose history was checked.
    pub(crate) operations: u64,
    pub(crate) coverage: Coverage,
    pub(crate) violation: Option<Violation>,
}

/// Runs a seed and judges it. A panic inside is a violation as well.
pub(crate) fn run(seed: u64, tell: bool) -> Report {
    let mut report = Report {
        seed,
        trace: 0,
        events: 0,
        operations: 0,
        coverage: Coverage::default(),
        violation: None,
    };
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, tell);
        let lived = live(&mut world);
        report.trace = world.trace.hash();
        report.events = world.events;
        report.operations = world.clients.operations;
        report.coverage = world.coverage.clone();
        lived.and_then(|()| linearizable::judge(&world.clients.history().operations()))
    }));
    report.violation = match lived {
        Ok(lived) => lived.err(),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
            let story = words.unwrap_or("without words").to_owned();
            Some(Violation::new("no panic", story))
        }
    };
    report
}

fn live(world: &mut World) -> Held {
    let until = world.swarm.faults_until;
    world.run(until, |world| world.clients.are_idle())?;
    calm(world)?;
    within_bound(world, "all nodes start", World::all_are_up)?;
    within_bound(world, "every client is answered", |world| world.clients.are_idle())?;
    world.clients.audit();
    for at in 0..GROUPS.len() {
        world.wake_client(at);
    }
    within_bound(world, "a write succeeds and all can be read", |world| world.clients.are_idle())?;
    within_bound(world, "every group has a leader and equal replicas", World::is_settled)?;
    world.scanners.begin_last();
    within_bound(world, "every bucket can be scanned", |world| world.scanners.are_done())?;
    within_bound(world, "every replica has all of it again", World::is_settled)?;
    equal(world)?;
    for node in &world.nodes {
        if let Some(process) = &node.process {
            world.coverage.add(Kind::Fetches, process.fetches);
            world.coverage.add(Kind::Compactions, process.compactions);
            world.coverage.add(Kind::SnapshotsResumed, process.resumed);
        }
    }
    Ok(())
}

/// From now on nothing goes wrong.
fn calm(world: &mut World) -> Held {
    world.is_calm = true;
    world.lull_until = 0;
    world.network.heal();
    world.release();
    let now = world.now;
    for node in &mut world.nodes {
        node.calm(now);
    }
    world.end_low_disks();
    world.let_all_move();
    world.place_for_good();
    world.end_silences();
    world.clients.hurry(UNITS_AFTER);
    world.note(|| "nothing goes wrong any more".into(), &[6]);
    Ok(())
}

fn within_bound(world: &mut World, what: &str, until: impl Fn(&World) -> bool) -> Held {
    let deadline = world.now + BOUND;
    if until(world) || world.run(deadline, until)? {
        return Ok(());
    }
    Err(Violation::new("liveness", format!("not so in time: {what}; {}", world.describe())))
}

/// All replicas hold the same rows.
fn equal(world: &mut World) -> Held {
    for group in world.groups() {
        for status in world.leader(group).map(|(_, members)| members).unwrap_or_default() {
            let id = status.id;
            let digest = world.digest(id, group);
            world.properties.state((id, group), status.applied, digest)?;
            world.properties.all_is_there((id, group))?;
            world.note(|| format!("{id} {group} holds {digest:016x}"), &digest.to_le_bytes());
        }
    }
    Ok(())
}
