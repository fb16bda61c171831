//! The Raft consensus core: a library of its own, without I/O.
//!
//! A [`Raft`] is one replica of one group. It has no clock, disk, network, threads or chance of its own:
//! its caller tells it what happened ([`Raft::step`], [`Raft::tick`], [`Raft::propose`], …) and then
//! asks what to do about it ([`Raft::ready`]). The same seed and the same calls always give the same
//! answers, so whole clusters can be run in a test, with every fault one can think of.
//!
//! # What the caller has to do
//!
//! 1. **Tick.** Call [`Raft::tick`] at a steady pace. [`Config`] says what ticks are worth.
//! 2. **Deliver.** Give each message from a peer to [`Raft::step`]. An error means that somebody is
//!    wrong about something: count it, drop the message, go on. Messages may be lost, repeated and
//!    reordered; they must not be altered, nor their sender be forged.
//! 3. **Ask for work.** After any of these calls, and after 5 to 9, take [`Raft::ready`] while
//!    [`Raft::has_ready`]. It is a promise to do all that it says:
//! 4. **Send** `messages` at once, `after_persist` only when this Ready and all before it are durable.
//!    Sending is best effort.
//! 5. **Persist** in order: `restart`, then `hard_state` and `entries`, synced if `must_sync`; then call
//!    [`Raft::persisted`]. Several Readys may be on their way at once and be synced together. A Ready
//!    that [`Ready::needs_persist`] must pass through the same queue even if it has nothing to write.
//!    If a sync fails, the process must end: nobody knows what is on the disk.
//! 6. **Apply** `committed` in order, once each, and call [`Raft::applied`]. The payload of an entry of
//!    kind [`EntryKind::Membership`] goes to [`Raft::apply_change`] first, and the membership that this
//!    answers (or leaves as it was, if it is an error) belongs to the state from then on; an empty normal
//!    entry is a term's first and means nothing. The state machine must remember its applied index and
//!    membership together with its state.
//! 7. **Answer reads.** A [`ReadState`] may be answered once its index is applied *here*. What is in
//!    `reads_lost` was not answered and will not be.
//! 8. **Fetch** entries that are only on disk, and answer each [`Fetch`] with [`Raft::fetched`], if need
//!    be with nothing. A Ready's entries must be readable when it was persisted.
//! 9. **Send snapshots.** For each [`SnapshotNeeded`] make a snapshot, send it by a way of its own, and
//!    answer with [`Raft::report_snapshot`] in any case. The receiver calls [`Raft::snapshot_offered`]
//!    with what it is offered, fetches it if it is wanted, asks [`Raft::check_snapshot`] again before it
//!    switches its state machine over, installs it durably, and calls [`Raft::snapshot_installed`].
//! 10. **Compact.** Call [`Raft::compact`] for what is applied and will be remembered, as often as
//!     the log should shrink, and purge the stored log up to the index it answers.
//! 11. **Restart** from what is durable, by [`Raft::new`] with another seed. Nothing that an earlier life
//!     had on its way may reach the disk, the network or the new life afterwards. If the disk has
//!     forgotten anything that was durable, start with [`Config::forgotten`]: the replica then says
//!     nothing that counts, until its group has removed it and added it again as a learner.
//! 12. **Watch the nodes**, if groups may sleep ([`Config::quiet_ticks`]): when a node dies, call
//!     [`Raft::leader_lost`] on what followed a leader there, and [`Raft::peer_returned`] when it is back.
//!     What sleeps need not be ticked; the ticks that it missed must be made up for, before anything else
//!     happens to it.
//! 13. **Tell the time**, if leases are on ([`Config::lease`]): [`Raft::set_clock`] before the other
//!     calls; and ask [`Raft::lease_holds`] again when the answer to a read by lease is ready. A node that
//!     is started with leases off, and had them on before, must wait for an election time-out first.
//!
//! # The loop
//!
//! One replica whose "disk" is a vector; a real caller sends, syncs and applies elsewhere and calls
//! `persisted` and `applied` when that is done.
//!
//! ```
//! use bytes::Bytes;
//! use eraft::ids::{Index, NodeId};
//! use eraft::raft::{Config, Entry, Raft, Restored};
//!
//! fn work(raft: &mut Raft, disk: &mut Vec<Entry>, state: &mut Vec<Bytes>) {
//!     while raft.has_ready() {
//!         let mut ready = raft.ready();
//!         let needs_persist = ready.needs_persist();
//!         // send(ready.messages)
//!         if let Some(first) = ready.entries.first() {
//!             disk.retain(|entry| entry.index < first.index);
//!         }
//!         disk.append(&mut ready.entries); // and ready.hard_state, and sync
//!         if needs_persist {
//!             raft.persisted(ready.number);
//!             // send(ready.after_persist)
//!         }
//!         for entry in ready.committed {
//!             state.push(entry.data);
//!             raft.applied(entry.index);
//!         }
//!         for fetch in ready.fetches {
//!             let stored = disk.iter().skip_while(|entry| entry.index < fetch.from_index);
//!             raft.fetched(fetch.to, stored.cloned().collect());
//!         }
//!         // ready.read_states, ready.reads_lost, ready.snapshots, ready.soft
//!     }
//! }
//!
//! let config = Config::new(NodeId(1), 7);
//! let mut raft = Raft::new(config, Restored::newborn([NodeId(1)])).expect("a newborn");
//! let (mut disk, mut state) = (Vec::new(), Vec::new());
//! raft.campaign();
//! work(&mut raft, &mut disk, &mut state);
//! raft.propose(Bytes::from_static(b"hello")).expect("the only voter leads");
//! work(&mut raft, &mut disk, &mut state);
//! assert_eq!(state, ["", "hello"]);
//! assert_eq!(raft.status().applied, Index(2));
//! ```
//!
//! # What it does
//!
//! **Elections** with pre-votes and a leader that steps down without a quorum (thesis §9.6, §6.2); a
//! preferred leader; transfer of the lead (§3.10). A refused candidate is told what is committed, so that
//! it never waits for the votes of replicas that were removed without its knowing.
//!
//! **Replication** is parallel and pipelined: the leader sends before it has synced, its own sync counts
//! like any other, and only what is on a replica's own disk is applied there. Windows in messages and
//! bytes, batches capped in bytes, a limit on what is uncommitted. Completions of writes may be late and
//! may be overtaken by changes of term: each counts for what its Ready wrote and nobody has cut since.
//!
//! **Reads** are linearizable, from any replica and without the log: by asking a quorum, many reads at a
//! time, or, opt-in, on the word of a quorum that has not expired.
//!
//! **Membership** changes by one voter in one step, or by any number through a joint configuration
//! (§4.3), which the leader leaves by itself or when asked. Changes take effect when they are applied;
//! one is under way at a time. Learners get everything and count nowhere. A replica whose state begins
//! nowhere, because it was added later, starts with a snapshot: the founders stand in no entry.
//!
//! **Helpers** without a vote and without an entry: observers, which are fed and serve reads
//! ([`Raft::set_observers`]), and secretaries ([`Secretary`]), which pass a leader's entries on, so that these
//! leave it once for many followers ([`Raft::set_secretaries`]).
//!
//! **Idle groups** can sleep, without any message, until something happens.
//!
//! # What it does not do
//!
//! It does not store, send, or make snapshots. It does not know what entries mean, who is allowed to
//! send, or whether a peer's disk was replaced: the caller must compare identities of disks, and keep
//! out who is not the one that was admitted. It does not choose members. It does not know that a majority is
//! lost for good: a person does, and [`Raft::decree`] says what makes one replica go on alone. It is not safe
//! against peers that lie, but they cannot make it panic.
//!
//! # Where things are
//!
//! | file | is about |
//! |---|---|
//! | `replica` | the replica's parts, its birth and its clock |
//! | `step`, `message`, `display` | what may come in |
//! | `ready`, `status` | what goes out |
//! | `role`, `election`, `priority`, `quorum` | who leads, and who has decided |
//! | `membership`, `change`, `reconfigure` | who belongs to the group |
//! | `recovery` | going on alone when a majority is lost for good |
//! | `leader`, `uncommitted`, `transfer`, `quiet` | leading |
//! | `replication`, `progress`, `inflights`, `snapshot` | bringing followers up to date |
//! | `follower` | following |
//! | `observer` | replicas outside the membership, for reading |
//! | `secretary`, `staff`, `relay` | sending by way of others |
//! | `read`, `lease` | linearizable reads |
//! | `log`, `terms`, `writes`, `apply`, `restore`, `queue` | the log, between memory and disk |
//! | `storage` | a disk for those who embed the core, and what any disk must do |
//! | `scripts` | stories that tell all of it |

mod apply;
pub mod change;
mod config;
mod display;
mod election;
pub mod entry;
mod follower;
mod inflights;
mod leader;
mod lease;
mod log;
mod membership;
mod message;
mod observer;
mod priority;
mod progress;
mod queue;
mod quiet;
pub mod quorum;
mod random;
mod read;
mod ready;
mod reconfigure;
mod recovery;
mod relay;
mod replica;
mod replication;
mod restore;
mod role;
mod secretary;
mod snapshot;
mod staff;
mod status;
mod step;
pub mod storage;
mod terms;
#[cfg(test)]
mod tests;
mod transfer;
mod uncommitted;
mod writes;

pub use change::{Change, ChangeError, ChangeKind, MembershipChange, Transition};
pub use config::{Config, ConfigError, Lease};
pub use entry::{Entry, EntryKind, HardState, Membership, SnapshotMeta};
pub use follower::LeasesOn;
pub use leader::ProposeError;
pub use lease::{LeaseError, LeaseRead};
pub use message::{Message, MessageBody, RejectHint, RelayAnswer, RelayTarget};
pub use progress::{ProgressState, first_probe};
pub use read::{ReadContext, ReadError, ReadState};
pub use ready::{Fetch, Ready, SnapshotNeeded, SoftState};
pub use recovery::{Decree, DecreeError};
pub use replica::Raft;
pub use restore::{RestoreError, Restored};
pub use role::Role;
pub use secretary::Secretary;
pub use snapshot::{InstallError, Installed};
pub use status::{PeerStatus, SecretaryStatus, Status};
pub use step::StepError;
pub use transfer::TransferError;
