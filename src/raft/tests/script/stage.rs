//! The commands of a story, on the cluster in memory.

use super::super::cluster::Cluster;
use super::view::{View, members, peers};
use crate::ids::{Era, Incarnation, Index, NodeId};
use crate::raft::{
    Change, ChangeKind, Config, EntryKind, Lease, Membership, MembershipChange, Message,
    ReadContext, Secretary, Transition,
};
use bytes::Bytes;
use goldenscript::{ArgumentConsumer, Command};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;

type Done = Result<(), Box<dyn Error>>;

/// See the module.
#[derive(Default)]
pub(super) struct Stage {
    cluster: Option<Cluster>,
    views: BTreeMap<NodeId, View>,
    /// Entries of which it was told that they are applied.
    applied: BTreeMap<NodeId, usize>,
    out: String,
}

impl Stage {
    /// What has happened since the last call.
    pub(super) fn told(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    pub(super) fn carry_out(&mut self, command: &Command) -> Done {
        let mut arguments = command.consume_args();
        if command.name == "cluster" {
            self.found(&mut arguments)?;
        } else {
            let cluster = self.cluster.as_mut().ok_or("a story begins with `cluster`")?;
            match command.name.as_str() {
                "settle" => self.settle()?,
                "run" => {
                    for _ in 0..number(&mut arguments)? {
                        self.cluster()?.tick();
                        self.settle()?;
                    }
                }
                "tick" => {
                    let id = arguments.next_pos().ok_or("tick who?")?.to_owned();
                    let times = arguments.next_pos().map_or(Ok(1), str::parse::<u32>)?;
                    for _ in 0..times {
                        match id.as_str() {
                            "all" => self.cluster()?.tick(),
                            id => self.raft(id)?.tick(),
                        }
                        self.tell()?;
                    }
                }
                "deliver" => self.deliver(&mut arguments, true)?,
                "drop" => self.deliver(&mut arguments, false)?,
                "repeat" => {
                    let copy = cluster.wire.clone();
                    cluster.wire.extend(copy);
                }
                "reverse" => cluster.wire.reverse(),
                "wire" => {
                    for message in &cluster.wire {
                        writeln!(self.out, "{message}")?;
                    }
                }
                "cut" => self.cut(&mut arguments, true)?,
                "silence" => self.cut(&mut arguments, false)?,
                "isolate" => cluster.isolate(number(&mut arguments)?),
                "heal" => cluster.heal(),
                "observers" => {
                    let ids = nodes(&mut arguments)?;
                    self.cluster()?.observe(&ids);
                }
                "secretaries" => {
                    let ids = nodes(&mut arguments)?;
                    self.cluster()?.employ(&ids);
                }
                "lose" => {
                    for id in nodes(&mut arguments)? {
                        self.cluster()?.secretaries.remove(&id).ok_or("no such secretary")?;
                    }
                }
                "return" => {
                    for id in nodes(&mut arguments)? {
                        self.cluster()?.secretaries.insert(id, Secretary::new(id));
                    }
                }
                "snapshot" => {
                    let arrives = match arguments.next_pos() {
                        Some("arrives") | None => true,
                        Some("lost") => false,
                        Some(other) => return Err(format!("a snapshot cannot {other}").into()),
                    };
                    if !cluster.deliver_snapshot(arrives) {
                        return Err("no snapshot is on its way".into());
                    }
                }
                _ => self.one(&command.name, &mut arguments)?,
            }
        }
        arguments.reject_next()?;
        self.tell()
    }

    /// Commands to one replica.
    fn one(&mut self, name: &str, arguments: &mut ArgumentConsumer<'_>) -> Done {
        let text = arguments.next_pos().ok_or("which replica?")?.to_owned();
        let id = node(&text)?;
        match name {
            "campaign" => self.raft(&text)?.campaign(),
            "step-down" => self.raft(&text)?.step_down(),
            "propose" => {
                while let Some(data) = arguments.next_pos() {
                    self.raft(&text)?.propose(Bytes::copy_from_slice(data.as_bytes()))?;
                }
                while let Some(("bytes", size)) = arguments.next_key() {
                    self.raft(&text)?.propose(Bytes::from(vec![b'x'; size.parse()?]))?;
                }
            }
            "read" => {
                while let Some(context) = arguments.next_pos() {
                    self.raft(&text)?.read_index(ReadContext(context.parse()?))?;
                }
            }
            "transfer" => {
                let to = node(arguments.next_pos().ok_or("to whom?")?)?;
                self.raft(&text)?.transfer_leader(to)?;
            }
            "wipe" => {
                let cluster = self.cluster()?;
                cluster.crash(id, 0);
                cluster.add(id, super::super::disk::Disk::default());
                self.views.remove(&id);
                self.applied.remove(&id);
            }
            "decree" => {
                let era = Era { number: number(arguments)?, mark: 0 };
                self.cluster()?.decree(id, era)?;
                self.views.remove(&id);
            }
            "forget-leader" => {
                self.raft(&text)?.forget_leader().map_err(|error| format!("{error}"))?
            }
            "clock" => self.raft(&text)?.set_clock(number(arguments)?.into()),
            "lease-read" => {
                let now = number(arguments)?.into();
                let read = self.raft(&text)?.lease_read(now)?;
                writeln!(self.out, "{id} may prepare a read at {}", read.index)?;
                // It is answered later, if it may be.
                if let Some(then) = arguments.next_pos() {
                    let holds = self.raft(&text)?.lease_holds(&read, then.parse()?);
                    writeln!(
                        self.out,
                        "{id} {} answer it",
                        if holds { "may" } else { "must not" }
                    )?;
                }
            }
            "wake" => self.raft(&text)?.wake(),
            "unfit" => {
                let unfit = nodes(arguments)?;
                self.raft(&text)?.set_unfit(unfit);
            }
            "leader-lost" => {
                let ticks = number(arguments)?;
                self.raft(&text)?.leader_lost(ticks);
            }
            "returned" => {
                let peer = node(arguments.next_pos().ok_or("which peer?")?)?;
                self.raft(&text)?.peer_returned(peer);
            }
            "unreachable" => {
                let peer = node(arguments.next_pos().ok_or("which peer?")?)?;
                self.raft(&text)?.report_unreachable(peer);
            }
            "send-snapshot" => {
                let peer = node(arguments.next_pos().ok_or("to whom?")?)?;
                if !self.raft(&text)?.send_snapshot(peer) {
                    return Err("not now".into());
                }
            }
            "time-out" => {
                let ticks = number(arguments)?;
                self.raft(&text)?.set_election_timeout(ticks);
            }
            "change" => {
                let change = change(arguments)?;
                self.raft(&text)?.propose_change(&change)?;
            }
            "ready" => while self.cluster()?.take_ready(id) {},
            "sync" => {
                let times = arguments.next_pos().map_or(Ok(1), str::parse::<u32>)?;
                for _ in 0..times {
                    if !self.cluster()?.sync(id) {
                        return Err("there is nothing to sync".into());
                    }
                    self.tell()?;
                }
            }
            "fetch" => {
                let works = arguments.next_pos() != Some("fails");
                if !self.cluster()?.fetch(id, works) {
                    return Err("nothing is to be fetched".into());
                }
            }
            "crash" => {
                let kept = arguments.take_key("kept").map_or(Ok(0), str::parse)?;
                self.cluster()?.crash(id, kept);
                writeln!(self.out, "{id} is down")?;
                self.views.remove(&id);
            }
            "restart" => {
                let tail = arguments.take_key("tail").map_or(Ok(usize::MAX), str::parse)?;
                self.cluster()?.restart(id, tail);
            }
            "add" => {
                // Born as its peers were: what has changed since is in the log, or in a snapshot.
                let membership = self.cluster()?.membership.clone();
                let base = crate::raft::SnapshotMeta { membership, ..Default::default() };
                let disk = super::super::disk::Disk { base, ..Default::default() };
                self.cluster()?.add(id, disk);
            }
            "compact" => {
                let through = Index(number(arguments)?.into());
                let replica = self.cluster()?.replica(id.0);
                replica.checkpoint = replica.machine.clone();
                let raft = replica.raft.as_mut().ok_or("it is down")?;
                if through > raft.applied_index() {
                    return Err(format!("only {} is applied", raft.applied_index()).into());
                }
                let compacted = raft.compact(through);
                replica.disk.compact(compacted, &replica.machine.membership.clone());
                writeln!(self.out, "{id} forgets its log up to {compacted}")?;
            }
            "log" => {
                let replica = self.cluster()?.replica(id.0);
                let entries = replica.disk.entries.iter();
                let entries: Vec<_> =
                    entries.map(|entry| format!("{}/{}", entry.index, entry.term)).collect();
                writeln!(self.out, "{id} {}", entries.join(" "))?;
            }
            "peers" => {
                let status = self.raft(&text)?.status();
                peers(&status, &mut self.out);
            }
            "members" => {
                let text = members(self.raft(&text)?.membership());
                writeln!(self.out, "{id} {text}")?;
            }
            other => return Err(format!("there is no command {other}").into()),
        }
        Ok(())
    }

    fn found(&mut self, arguments: &mut ArgumentConsumer<'_>) -> Done {
        let mut membership = Membership::default();
        let (mut learners, mut settings) = (0, Vec::<(String, String)>::new());
        let leader = arguments.take_key("leader").map(str::parse::<u32>).transpose()?;
        while let Some((key, value)) = arguments.next_key() {
            match key {
                "voters" => membership.voters = (1..=value.parse()?).map(NodeId).collect(),
                "learners" => learners = value.parse()?,
                _ => settings.push((key.to_owned(), value.to_owned())),
            }
        }
        let voters = u32::try_from(membership.voters.len())?;
        membership.learners = (voters + 1..=voters + learners).map(NodeId).collect();
        set(&mut Config::new(NodeId(1), 0), &settings)?;
        let change = move |config: &mut Config| {
            // A story says when: nothing happens by a time-out that it did not set.
            config.election_ticks = 10;
            config.heartbeat_ticks = 2;
            set(config, &settings).expect("tried above");
        };
        self.cluster = Some(Cluster::new(membership, 1, change));
        self.views.clear();
        self.applied.clear();
        if let Some(leader) = leader {
            self.raft(&leader.to_string())?.campaign();
            self.settle()?;
        }
        // How it came to be is told by other stories.
        self.tell()?;
        self.out.clear();
        Ok(())
    }

    fn deliver(&mut self, arguments: &mut ArgumentConsumer<'_>, arrives: bool) -> Done {
        let mut pairs = Vec::new();
        while let Some(pair) = arguments.next_pos() {
            let (from, to) = pair.split_once('-').ok_or("from-to")?;
            pairs.push((node(from)?, node(to)?));
        }
        let fits =
            |message: &Message| pairs.is_empty() || pairs.contains(&(message.from, message.to));
        let cluster = self.cluster()?;
        let (chosen, kept): (Vec<_>, Vec<_>) = cluster.wire.drain(..).partition(fits);
        cluster.wire = kept;
        if chosen.is_empty() {
            return Err("no such message is on its way".into());
        }
        for message in chosen.into_iter().filter(|_| arrives) {
            self.cluster()?.step(message);
            self.tell()?;
        }
        Ok(())
    }

    /// Nothing from the first of each pair reaches the second any more, if `both` nor the other way.
    fn cut(&mut self, arguments: &mut ArgumentConsumer<'_>, both: bool) -> Done {
        while let Some(pair) = arguments.next_pos() {
            let (from, to) = pair.split_once('-').ok_or("which two?")?;
            let (from, to) = (node(from)?, node(to)?);
            let cluster = self.cluster()?;
            cluster.cut.insert((from, to));
            if both {
                cluster.cut.insert((to, from));
            }
        }
        Ok(())
    }

    /// Lets everything happen that needs no time, in order, until nothing does.
    fn settle(&mut self) -> Done {
        for _ in 0..10_000 {
            let mut moved = false;
            let ids: Vec<NodeId> = self.cluster()?.replicas.keys().copied().collect();
            for id in ids {
                for act in [Cluster::take_ready, Cluster::sync, |cluster: &mut Cluster, id| {
                    cluster.fetch(id, true)
                }] {
                    moved |= act(self.cluster()?, id);
                    self.tell()?;
                }
            }
            let cluster = self.cluster()?;
            moved |= cluster.deliver_snapshot(true);
            if !cluster.wire.is_empty() {
                cluster.deliver(0);
                moved = true;
            }
            self.tell()?;
            if !moved {
                return Ok(());
            }
        }
        Err("the cluster does not come to rest".into())
    }

    /// Tells what has changed.
    fn tell(&mut self) -> Done {
        let Some(cluster) = &mut self.cluster else { return Ok(()) };
        for line in cluster.sent() {
            writeln!(self.out, "{line}")?;
        }
        for error in cluster.secretary_errors.drain(..) {
            writeln!(self.out, "a secretary refuses: {error}")?;
        }
        for (&id, replica) in &mut cluster.replicas {
            for error in replica.errors.drain(..) {
                writeln!(self.out, "{id} refuses: {error}")?;
            }
            let Some(raft) = &replica.raft else { continue };
            let view = View::of(raft);
            view.tell(id, self.views.get(&id), &mut self.out);
            self.views.insert(id, view);
            let history = &replica.machine.history;
            let told = self.applied.entry(id).or_default();
            // After a crash it begins again where it was saved.
            *told = (*told).min(history.len());
            let base = usize::try_from(raft.status().base.0)?;
            if *told < base {
                writeln!(self.out, "{id} takes a snapshot of {}", Index(base as u64))?;
                *told = base;
            }
            for (at, (_, data)) in history.iter().enumerate().skip(*told) {
                let index = Index(at as u64 + 1);
                let entry = replica.disk.entry(index);
                let what = match entry.map(|entry| entry.kind) {
                    Some(EntryKind::Membership) => "a change of membership".to_owned(),
                    _ if data.is_empty() => "nothing".to_owned(),
                    _ if data.len() > 24 => format!("{} bytes", data.len()),
                    _ => format!("\"{}\"", String::from_utf8_lossy(data)),
                };
                writeln!(self.out, "{id} applies {index} {what}")?;
            }
            *told = history.len();
            for read in replica.reads.drain(..) {
                writeln!(self.out, "{id} answers read {} at {}", read.context.0, read.index)?;
            }
            for lost in replica.reads_lost.drain(..) {
                writeln!(self.out, "{id} gives up read {}", lost.0)?;
            }
        }
        Ok(())
    }

    fn cluster(&mut self) -> Result<&mut Cluster, Box<dyn Error>> {
        self.cluster.as_mut().ok_or_else(|| "a story begins with `cluster`".into())
    }

    fn raft(&mut self, id: &str) -> Result<&mut crate::raft::Raft, Box<dyn Error>> {
        let id = node(id)?;
        let replica = self.cluster()?.replicas.get_mut(&id).ok_or("there is no such replica")?;
        replica.raft.as_mut().ok_or_else(|| format!("{id} is down").into())
    }
}

fn nodes(arguments: &mut ArgumentConsumer<'_>) -> Result<Vec<NodeId>, Box<dyn Error>> {
    let mut ids = Vec::new();
    while let Some(text) = arguments.next_pos() {
        ids.push(node(text)?);
    }
    Ok(ids)
}

fn number(arguments: &mut ArgumentConsumer<'_>) -> Result<u32, Box<dyn Error>> {
    Ok(arguments.next_pos().ok_or("how many, or which?")?.parse()?)
}

fn node(text: &str) -> Result<NodeId, Box<dyn Error>> {
    Ok(NodeId(text.parse().map_err(|_| format!("{text} is no replica"))?))
}

/// `voter=4 learner=5/7 remove=1` (5 with its disk 7), in order, and `by=auto|implicit|explicit`; nothing leaves a joint
/// configuration.
fn change(arguments: &mut ArgumentConsumer<'_>) -> Result<MembershipChange, Box<dyn Error>> {
    let mut change = MembershipChange::leave();
    while let Some((key, value)) = arguments.next_key() {
        let kind = match key {
            "voter" => ChangeKind::Voter,
            "learner" => ChangeKind::Learner,
            "remove" => ChangeKind::Remove,
            "by" => {
                change.transition = match value {
                    "auto" => Transition::Auto,
                    "implicit" => Transition::Implicit,
                    "explicit" => Transition::Explicit,
                    other => return Err(format!("there is no way {other}").into()),
                };
                continue;
            }
            other => return Err(format!("nobody becomes a {other}").into()),
        };
        let (id, disk) = match value.split_once('/') {
            Some((id, disk)) => (id, Some(Incarnation(disk.parse()?))),
            None => (value, None),
        };
        change.changes.push(Change { kind, id: node(id)?, disk });
    }
    Ok(change)
}

fn set(config: &mut Config, settings: &[(String, String)]) -> Done {
    for (key, value) in settings {
        let on = || match value.as_str() {
            "on" => Ok(true),
            "off" => Ok(false),
            other => Err(format!("{key} is on or off, not {other}")),
        };
        match key.as_str() {
            "pre-vote" => config.pre_vote = on()?,
            "check-quorum" => config.check_quorum = on()?,
            "eager-commit" => config.eager_commit = on()?,
            "back-off" => config.back_off = on()?,
            "step-down-on-removal" => config.step_down_on_removal = on()?,
            "validate-changes" => config.validate_changes = on()?,
            "promotion-lag" => config.promotion_lag_max = Some(value.parse()?),
            "append-bytes" => config.append_bytes_max = value.parse()?,
            "inflight-messages" => config.inflight_messages_max = value.parse()?,
            "inflight-bytes" => config.inflight_bytes_max = value.parse()?,
            "uncommitted-bytes" => config.uncommitted_bytes_max = value.parse()?,
            "tail-bytes" => config.tail_bytes_max = value.parse()?,
            "apply-bytes" => config.apply_bytes_max = value.parse()?,
            "lease" => config.lease = Some(Lease { millis: value.parse()? }),
            "prefers" => config.priorities = vec![(node(value)?, 1)],
            "quiet-ticks" => config.quiet_ticks = Some(value.parse()?),
            "forgotten" => config.forgotten |= node(value)? == config.id,
            "reads" => config.reads_max = value.parse()?,
            other => return Err(format!("there is no setting {other}").into()),
        }
    }
    Ok(())
}
