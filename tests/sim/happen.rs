//! What each thing on the agenda does to the world.

use super::cluster::{Failure, Output, Part};
use super::coverage::Kind;
use super::pollers::Word;
use super::properties::{Held, Violation};
use super::scanners::Scanners;
use super::swarm::GROUPS;
use super::world::{Happening, Parcel, World};
use eraft::actors::group::event::{Event, Leaver, ReplyTo};
use eraft::codec;
use eraft::ids::{GroupId, Index, NodeId, Term};
use eraft::net::message::{Answer, Outcome, Refusal, Unit};
use eraft::raft::{Entry, MessageBody, Role, Status};
use eraft::store::wal::{LogOp, LogWrite};

/// One tick of the Raft clock, microseconds.
const TICK: u64 = 50_000;
/// The state is brought to the disk before one turn of the applier in so many, so that at times the state is
/// quicker than the log.
const PERSIST_ONE_TURN_IN: u64 = 24;
/// One turn in so many takes much longer than the others.
const SLOW_ONE_IN: u64 = 25;
/// Where buckets move, one state in so many is compared on the way: it takes longer then.
const DIGEST_ONE_IN: u64 = 30;
/// Events that the drivers take in one turn.
const EVENTS_PER_TURN: usize = 8;

impl World {
    /// One thing from the agenda.
    pub(crate) fn happen(&mut self, happening: Happening) -> Held {
        match happening {
            Happening::Tick(id, life) => self.tick(id, life),
            Happening::Turn(id, life, part) => return self.turn_of(id, life, part),
            Happening::Deliver(to, Parcel::Word(from, word, [theirs, own])) => {
                if own == self.disk(to) {
                    self.hear_word(to, from, word, theirs)?;
                    self.plan_turns(to);
                }
            }
            Happening::Deliver(to, parcel) => self.deliver(to, parcel),
            Happening::Answer(answer) => return self.answer(answer),
            Happening::Wake(at) if self.clients.wake_is_due(at, self.now) => self.wake(at),
            Happening::Wake(_) => {}
            Happening::Start(id) => return self.start(id),
            Happening::Fault if !self.is_calm => {
                self.strike();
                self.plan_fault();
            }
            Happening::Fault => {}
            Happening::Operate => {
                if self.is_calm {
                    self.leave_joint();
                } else {
                    self.reconfigure();
                }
                self.plan_operator();
            }
            Happening::Helpers => self.change_helpers(),
            Happening::Hear(id, number) => self.hear_of_helpers(id, number),
            Happening::Ambush(id) if !self.is_calm => self.ambush(id),
            Happening::Ambush(_) => {}
            Happening::Clog((from, to), length) if !self.is_calm => {
                self.network.clog(from, to, self.now + length);
            }
            Happening::Clog(..) => {}
            Happening::Plot(act) => self.act(act),
            Happening::Wish if !self.is_calm => {
                if self.now >= self.lull_until {
                    self.wish();
                }
                self.plan_wish();
            }
            Happening::Wish => {}
            Happening::Place if !self.is_calm => {
                self.place();
                self.plan_placement();
            }
            Happening::Place => {}
            Happening::Enlist(id, disk) => self.enlisted(id, disk),
            Happening::News(id, table) => self.news(id, table),
            Happening::Report(claims) => self.reported(claims),
        }
        Ok(())
    }

    /// Whether a node is in this life; what it should do while it is paused is put off.
    fn lives(&mut self, id: NodeId, life: u64, happening: Happening) -> bool {
        let node = self.node(id);
        if node.process.is_none() || node.life != life {
            return false;
        }
        let paused_until = node.paused_until;
        if self.now < paused_until {
            self.agenda.note(paused_until, happening);
            return false;
        }
        true
    }

    fn tick(&mut self, id: NodeId, life: u64) {
        if !self.lives(id, life, Happening::Tick(id, life)) {
            return;
        }
        let one_in = if self.is_calm { 2 } else { self.swarm.persist_one_in };
        let (persists, now) = (self.chance.below(one_in) == 0, self.now);
        let node = self.node_mut(id);
        node.tick(now);
        if persists && let Some(process) = &mut node.process {
            process.persist();
        }
        let after = node.clock.truly(TICK);
        self.watch(id);
        self.look_after_moves(id);
        self.poll(id);
        self.scan();
        self.plot_ticks(id);
        self.plan(after, Happening::Tick(id, life));
        self.plan_turns(id);
    }

    fn deliver(&mut self, to: NodeId, parcel: Parcel) {
        let now = self.now;
        match &parcel {
            Parcel::Raft(group, message, ..) => {
                let bytes = codec::encode(message);
                self.trace.note(now, || format!("{group} {message}"), &bytes);
            }
            Parcel::Snapshot(from, frame, _) => {
                let bytes = codec::encode(frame);
                self.trace.note(now, || format!("{from} to {to}: {}", short(frame)), &bytes);
            }
            Parcel::Unit(unit) => {
                let bytes = codec::encode(unit);
                self.trace.note(now, || format!("a client to {to}: {unit:?}"), &bytes);
            }
            Parcel::Word(..) | Parcel::Pulse(..) => {}
        }
        let disk = self.disk(to);
        let counts = match &parcel {
            Parcel::Raft(_, message, _, [theirs, _]) => self.counts(to, message.from, *theirs),
            Parcel::Snapshot(from, frame, [theirs, _]) if frame.is_for_receiver() => {
                self.counts(to, *from, *theirs)
            }
            _ => true,
        };
        if !counts {
            self.coverage.count(Kind::Strangers);
            return;
        }
        let node = &mut self.nodes[to.0 as usize - 1];
        let Some(process) = &mut node.process else {
            if let Parcel::Unit(unit) = parcel {
                self.not_delivered(to, unit.id);
            }
            return;
        };
        match parcel {
            Parcel::Raft(.., [_, known]) | Parcel::Snapshot(.., [_, known]) if known != disk => {}
            Parcel::Raft(group, message, ..) if message.is_for_secretary() => {
                process.secretaries.push(group, message);
            }
            Parcel::Raft(group, message, from, _) => {
                if matches!(message.body, MessageBody::Relayed { .. }) && message.entry_bytes() > 0
                {
                    self.coverage.count(Kind::Relayed);
                }
                if matches!(message.body, MessageBody::TimeoutNow) {
                    self.coverage.count(Kind::Transfers);
                }
                if message.counts_for_sender()
                    && let Some(driver) = process.driver(group)
                    && !driver.membership().means(message.from, Some(from))
                {
                    self.coverage.count(Kind::Strangers);
                }
                process.push(group, Event::Peer(from, vec![message]));
            }
            Parcel::Snapshot(from, frame, _) => process.push_frame(from, frame),
            Parcel::Pulse(from, pulse) => {
                let (wall, mono) = (node.clock.wall(now), node.clock.mono(now));
                node.clocks.heard(from, pulse.clock, wall, mono);
                node.warden.watch.heard(from, &pulse, mono);
            }
            Parcel::Unit(unit) if process.driver(unit.group).is_none() => {
                let outcome = Outcome::NotDone(Refusal::NoReplica);
                self.plan(100, Happening::Answer(Answer { unit: unit.id, outcome }));
            }
            Parcel::Unit(unit) => {
                process.push(unit.group, Event::Units(ReplyTo::Worker(0), vec![unit]));
            }
            Parcel::Word(..) => {}
        }
        self.plan_turns(to);
    }

    /// The node is down, or its replica is silent.
    pub(crate) fn not_delivered(&mut self, to: NodeId, unit: eraft::net::message::UnitId) {
        if let Some(asker) = self.tasks.asker(unit) {
            let outcome = Outcome::NotDone(Refusal::NoReplica);
            return self.send_to_driver(to, asker, Answer { unit, outcome });
        }
        if let Some(at) = self.clients.was_not_sent(unit, &mut self.coverage) {
            let after = self.chance.between(20_000, 250_000);
            self.plan_wake(at, after);
        }
    }

    fn wake(&mut self, at: usize) {
        if let wait @ 1.. = self.lull_until.saturating_sub(self.now) {
            let after = wait + self.chance.below(100_000);
            return self.plan_wake(at, after);
        }
        let (sent, again) = self.clients.wake(at, self.now, &mut self.coverage);
        if let Some((node, unit)) = sent {
            self.send_unit(node, unit);
        }
        if let Some(again) = again {
            self.plan_wake(at, again - self.now);
        }
    }

    fn send_unit(&mut self, node: NodeId, unit: Unit) {
        let after = self.network.client_way();
        self.plan(after, Happening::Deliver(node, Parcel::Unit(unit)));
    }

    fn answer(&mut self, answer: Answer) -> Held {
        let bytes = codec::encode(&answer);
        self.trace.note(self.now, || format!("{answer:?}"), &bytes);
        if self.tasks.asker(answer.unit).is_some() {
            self.hear_for_moves(answer);
            return Ok(());
        }
        if Scanners::is_theirs(answer.unit) {
            return self.scanned(&answer);
        }
        let (now, properties) = (self.now, &mut self.properties);
        let told = self.clients.answer(answer, now, properties, &mut self.coverage)?;
        if let Some((at, wait)) = told {
            self.plan_wake(at, 1 + wait);
        }
        for (mut node, mut unit) in self.clients.take_strays() {
            self.coverage.count(Kind::Strays);
            if self.movers.table().is_some() && self.wishes.below(2) == 0 {
                // As a router sends it that has heard where the buckets are now.
                let [one, other] = GROUPS;
                unit.group = if unit.group == one { other } else { one };
                node = self.some_leader(unit.group).map_or(node, |(leader, _)| leader);
            }
            let after = self.chance.between(1_000, 800_000);
            self.plan(after, Happening::Deliver(node, Parcel::Unit(unit)));
        }
        Ok(())
    }

    fn turn_of(&mut self, id: NodeId, life: u64, part: Part) -> Held {
        if !self.lives(id, life, Happening::Turn(id, life, part)) {
            return Ok(());
        }
        self.node_mut(id).begins(part);
        let turned = match part {
            Part::Drivers => self.drive(id),
            Part::Log => self.write(id),
            Part::Apply => self.apply(id),
            Part::State => self.store(id),
        };
        match turned? {
            Ok(()) => self.plan_turns(id),
            Err(Failure::Disk(why)) => {
                let node = self.node(id);
                if !node.is_doomed && !node.bitrot.is_done() {
                    return Err(Violation::new("disks work", format!("{id}: {why}")));
                }
                self.goes_down(id, &why);
            }
            Err(Failure::Broken(why) | Failure::DoesNotOpen(why)) => {
                return Err(Violation::new("a node's own checks", format!("{id}: {why}")));
            }
        }
        Ok(())
    }

    fn drive(&mut self, id: NodeId) -> Result<Result<(), Failure>, Violation> {
        self.pass_on(id);
        for _ in 0..EVENTS_PER_TURN {
            let now = self.node(id).time(self.now);
            let process = self.node_mut(id).process.as_mut().expect("it lives");
            let out = match process.drive(now, None) {
                Ok(Some(out)) => out,
                Ok(None) => break,
                Err(failure) => return Ok(Err(failure)),
            };
            self.carry_out(id, out)?;
        }
        Ok(Ok(()))
    }

    fn carry_out(&mut self, id: NodeId, out: Output) -> Held {
        for lead in out.leads.iter().filter(|lead| lead.role == Role::Leader) {
            self.plot_thickens(id, lead.group);
        }
        for group in out.ended {
            self.ended(id, group);
        }
        for group in out.begun {
            self.begun(id, group)?;
        }
        for (group, message) in out.messages {
            self.properties.sent(group, &message)?;
            let (to, disks) = (message.to, [self.disk(id), self.disk(message.to)]);
            let own = self.identity(id, group);
            self.send(id, to, Parcel::Raft(group, message, own, disks));
        }
        for write in &out.written {
            self.properties.wrote(id, write)?;
        }
        for lead in &out.leads {
            self.lead_changed(id, lead.group, lead.role, lead.term);
        }
        for lead in out.leads.iter().filter(|lead| lead.role == Role::Leader) {
            self.coverage.count(Kind::Elections);
            self.note(|| format!("{id} leads {} in {}", lead.group, lead.term), &[id.0 as u8, 3]);
            self.properties.leads(id, lead.group, lead.term)?;
            self.perhaps_ambush(id, 60_000);
            // A new leader is asked before it knows much.
            for at in self.clients.loyal_to(id, lead.group) {
                let after = self.chance.between(1, 3_000);
                self.plan_wake(at, after);
            }
        }
        for (group, entry, units) in &out.committed {
            let term = self.node(id).status(*group).map_or(Term(0), |status| status.term);
            if self.properties.applies((id, *group), term, entry, units)? {
                self.changed(*group, entry);
            }
            self.prospects.passed(*group, entry.index);
        }
        self.coverage.add(Kind::LeaseReads, out.leased);
        for (token, result) in &out.changes {
            self.prospects.proposed(*token, result);
        }
        if let Some(group) = out.touched
            && let Some(status) = self.node(id).status(group)
        {
            self.stands(group, &status)?;
        }
        for group in out.holdings {
            if let Some(holdings) = self.node(id).holdings(group).cloned() {
                self.held(id, group, &holdings)?;
            }
        }
        self.send_answers(id, out.answers);
        for (group, Leaver { node, disk, request }) in out.farewells {
            self.send_word(id, node, Word::Farewell(group, disk, request));
        }
        for (to, frame) in out.frames {
            let disks = [self.disk(id), self.disk(to)];
            self.send(id, to, Parcel::Snapshot(id, frame, disks));
        }
        self.coverage.add(Kind::SnapshotsSent, out.snapshots.len() as u64);
        if !out.installed.is_empty() {
            self.coverage.add(Kind::SnapshotsInstalled, out.installed.len() as u64);
            self.perhaps_ambush(id, 10_000);
        }
        Ok(())
    }

    /// Answers to units leave a node.
    pub(crate) fn send_answers(&mut self, id: NodeId, answers: Vec<Answer>) {
        for answer in answers {
            if let Some(asker) = self.tasks.asker(answer.unit) {
                self.send_to_driver(id, asker, answer);
                continue;
            }
            if self.loses_answer(id) {
                continue;
            }
            let after = self.network.client_way();
            self.plan(after, Happening::Answer(answer));
        }
    }

    /// A group has another membership, and nobody had heard of that before.
    fn changed(&mut self, group: GroupId, entry: &Entry) {
        let made = self.properties.membership(group).clone();
        self.note(|| format!("{group} is {made:?} at {}", entry.index), &[10]);
        if self.come_and_go() {
            self.coverage.count(Kind::Placed);
            return;
        }
        match self.prospects.settled(group, entry, &made) {
            Some(kind) => self.coverage.count(kind),
            None if !made.is_joint() => self.coverage.count(Kind::JointLeft),
            None => {}
        }
    }

    fn stands(&mut self, group: GroupId, status: &Status) -> Held {
        let slept = self.node_mut(status.id).sleeps(group, status.quiet);
        if status.role == Role::Leader && status.quiet && !slept {
            self.coverage.count(Kind::Sleeps);
            self.perhaps_ambush(status.id, 200_000);
        }
        self.properties.stands(group, status)
    }

    fn write(&mut self, id: NodeId) -> Result<Result<(), Failure>, Violation> {
        let node = &mut self.nodes[id.0 as usize - 1];
        let process = node.process.as_mut().expect("it lives");
        if node.cuts_large_write && process.next_write_may_tear() {
            node.disks.log.cut_power_at(node.disks.log.steps() + 1);
        }
        let written = match process.write() {
            Ok(written) => written,
            Err(failure) => return Ok(Err(failure)),
        };
        let counts = |write: &&LogWrite| {
            !node.silent.contains(&write.group) && !matches!(write.op, Some(LogOp::Dead))
        };
        for write in written.iter().filter(counts) {
            self.properties.synced(id, write);
        }
        node.warden.log.end(node.clock.mono(self.now));
        node.batches += u64::from(!written.is_empty());
        if node.bitrot.strike(&node.disks.log, node.batches, node.life, &mut self.faults) {
            self.coverage.count(Kind::BitFlips);
            self.note(|| format!("a bit flips in the log of {id}"), &[id.0 as u8, 4]);
            self.goes_down_later(id);
        }
        Ok(Ok(()))
    }

    fn apply(&mut self, id: NodeId) -> Result<Result<(), Failure>, Violation> {
        let persists = self.chance.below(PERSIST_ONE_TURN_IN) == 0;
        let now = self.node(id).clock.mono(self.now);
        #[cfg(feature = "controls")]
        eraft::controls::set_wall(self.node(id).clock.wall(self.now));
        let process = self.node_mut(id).process.as_mut().expect("it lives");
        if persists {
            process.persist();
        }
        match process.apply(now) {
            Ok(out) => self.carry_out(id, out).map(Ok),
            Err(failure) => Ok(Err(failure)),
        }
    }

    fn store(&mut self, id: NodeId) -> Result<Result<(), Failure>, Violation> {
        let node = &mut self.nodes[id.0 as usize - 1];
        let written = match node.process.as_mut().expect("it lives").store() {
            Ok(written) => written,
            Err(failure) => return Ok(Err(failure)),
        };
        for (group, index) in written {
            if self.movers.table().is_some() && self.wishes.below(DIGEST_ONE_IN) != 0 {
                continue;
            }
            if index == Index(0) {
                // Founders own buckets, others nothing at all.
                continue;
            }
            let digest = self.digest(id, group);
            if self.properties.state((id, group), index, digest)? {
                self.coverage.count(Kind::StatesCompared);
            }
        }
        Ok(Ok(()))
    }

    /// Every part that has something to do gets a turn soon.
    pub(crate) fn plan_turns(&mut self, id: NodeId) {
        for part in Part::ALL {
            let node = &mut self.nodes[id.0 as usize - 1];
            if !node.plan(part) {
                continue;
            }
            let (life, now) = (node.life, self.now);
            if part == Part::Log {
                node.warden.log.begin(node.clock.mono(now));
            }
            let slow = self.chance.below(SLOW_ONE_IN) == 0;
            let (from, to) = match part {
                Part::Drivers if slow => (500, 5_000),
                Part::Drivers => (1, 100),
                Part::Log if now < node.log_slow_until => (50_000, 600_000),
                Part::Log if slow => (5_000, 60_000),
                Part::Log => (50, 2_000),
                Part::Apply if slow => (1_000, 20_000),
                Part::Apply => (5, 300),
                Part::State if now < node.state_slow_until => (50_000, 900_000),
                Part::State if slow => (2_000, 20_000),
                Part::State => (20, 500),
            };
            let after = self.chance.between(from, to);
            self.plan(after, Happening::Turn(id, life, part));
        }
    }
}

/// A frame of a snapshot, without its rows.
fn short(frame: &eraft::net::message::SnapshotFrame) -> String {
    use eraft::net::message::SnapshotFrame::Chunk;
    match frame {
        Chunk { group, term, view, meta, sequence, rows, last } => {
            let (index, rows) = (meta.index, rows.len());
            format!(
                "chunk {sequence} of view {view} of {group} at {index} in {term}, {rows} rows, last {last}"
            )
        }
        other => format!("{other:?}"),
    }
}
