//! The replica itself: its parts, its birth, its clock, and the change back to a follower.
//!
//! What it does in each role, and about each concern, stands in the files beside this one as further
//! `impl Raft` blocks.

use super::apply::Apply;
use super::config::Config;
use super::entry::{HardState, Membership};
use super::log::Log;
use super::random::Random;
use super::read::Forwarded;
use super::ready::{Outbox, SoftState};
use super::restore::{RestoreError, Restored};
use super::role::{Role, RoleState};
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::{Index, NodeId, ReadyNumber, Term};

/// One replica of one Raft group. See the module's essay for how to drive it.
#[derive(Debug)]
pub struct Raft {
    pub(super) config: Config,
    pub(super) random: Random,
    pub(super) term: Term,
    pub(super) vote: Option<NodeId>,
    /// Term and vote as they are known to be on disk.
    pub(super) durable_vote: (Term, Option<NodeId>),
    pub(super) log: Log,
    pub(super) apply: Apply,
    /// The newest membership in force.
    pub(super) membership: Membership,
    /// Whom this replica feeds, besides the members, while it leads.
    pub(super) observers: Vec<NodeId>,
    /// By whom it may send while it leads.
    pub(super) secretaries: Vec<NodeId>,
    /// As an observer: up to where the log is known to agree with the leader's, in which term.
    pub(super) agreed: (Term, Index),
    pub(super) role: RoleState,
    /// Ticks since a leader was heard, a vote given, or an election begun.
    pub(super) election_elapsed: u32,
    /// Where `election_elapsed` starts an election; drawn anew whenever it starts from zero in a
    /// new term or role.
    pub(super) election_timeout: u32,
    /// All ticks so far.
    pub(super) ticks: u64,
    /// The time as the caller told it last, milliseconds; for leases only.
    pub(super) clock: u64,
    /// With leases on, no other leader is helped into the lead before this tick.
    pub(super) bound_until: u64,
    /// Who had better not lead for now.
    pub(super) unfit: Vec<NodeId>,
    /// Candidates refused for this replica's own priority since a leader was heard.
    pub(super) refusals: u32,
    /// Times that it waited longer because others are preferred, since a leader was heard.
    pub(super) handicaps: u32,
    /// Nothing happens, and no time is counted.
    pub(super) quiet: bool,
    /// Whom a replica without a vote calls that hears nothing: the leader that it followed last.
    pub(super) called: Option<NodeId>,
    /// Reads that this follower has asked its leader about.
    pub(super) forwarded: Forwarded,
    /// What the next Ready will carry.
    pub(super) outbox: Outbox,
    /// The number of the last Ready.
    pub(super) ready_number: ReadyNumber,
    /// The hard state that the last Readys asked to be written.
    pub(super) hard_handed: HardState,
    /// A change of the membership is in force: that it is committed must be durable soon. Who goes by it may give
    /// up what the membership before would need, if all forgot.
    pub(super) marks_commit: bool,
    /// The soft state that the last Readys told.
    pub(super) soft_handed: SoftState,
}

impl Raft {
    /// A replica as its disk remembers it: a follower that knows no leader.
    ///
    /// If the state is older than the log's start (`applied < base.index`), the replica votes and
    /// acknowledges as usual, but cannot lead or apply until it was given a snapshot, which it asks its
    /// leader for.
    ///
    /// # Errors
    /// When the settings cannot work, or what was remembered does not belong together.
    pub fn new(config: Config, restored: Restored) -> Result<Raft, RestoreError> {
        config.check()?;
        let terms = restored.check()?;
        let HardState { term, vote, commit } = restored.hard_state;
        #[cfg(feature = "controls")]
        let vote = vote.filter(|_| !active(Control::VoteTwiceAfterCrash));
        let commit = commit.min(restored.last).max(restored.base.index).max(restored.applied);
        let commit = commit.max(restored.known_by_changes(&config));
        let mut random = Random::new(config.seed);
        let election_timeout = config.election_ticks + random.below(config.election_ticks);
        let mut raft = Raft {
            term,
            vote,
            durable_vote: (term, vote),
            log: Log::new(terms, restored.tail, commit, config.tail_bytes_max),
            apply: Apply::new(restored.applied),
            membership: restored.membership,
            observers: Vec::new(),
            secretaries: Vec::new(),
            agreed: (Term(0), Index(0)),
            role: RoleState::Follower(None),
            election_elapsed: 0,
            election_timeout,
            ticks: 0,
            clock: 0,
            // Unless it is newborn, it may have answered a leader just before it stopped.
            bound_until: if term > Term(0) { u64::from(config.election_ticks) } else { 0 },
            unfit: Vec::new(),
            refusals: 0,
            handicaps: 0,
            quiet: false,
            called: None,
            forwarded: Forwarded::default(),
            outbox: Outbox::default(),
            ready_number: ReadyNumber(0),
            hard_handed: HardState { term, vote, commit },
            marks_commit: false,
            soft_handed: SoftState { role: Role::Follower, leader: None, term },
            random,
            config,
        };
        raft.election_timeout += raft.handicap();
        raft.apply.begin_blank(raft.membership == Membership::default());
        Ok(raft)
    }

    /// The Raft clock moves on by one tick.
    pub fn tick(&mut self) {
        self.ticks += 1;
        self.apply.retry_fetch();
        if self.quiet {
            return;
        }
        if let RoleState::Leader(_) = self.role {
            self.tick_leader();
        } else {
            self.expire_forwarded();
            self.election_elapsed = self.election_elapsed.saturating_add(1);
            if let Some(late) = self.election_elapsed.checked_sub(self.election_timeout) {
                self.campaign();
                if late.is_multiple_of(self.config.election_ticks) {
                    self.call_sleeping_leader(late / self.config.election_ticks);
                }
            }
        }
    }

    /// Gives up the lead, or a candidacy, for now; somebody else will be elected, or this replica
    /// again after an election time-out. Nothing happens to a follower.
    pub fn step_down(&mut self) {
        self.wake();
        if !matches!(self.role, RoleState::Follower(_)) {
            self.become_follower(self.term, None);
        }
    }

    /// All Readys up to `number` are durable: their hard states and entries are synced.
    ///
    /// # Panics
    /// When `number` was not handed out yet.
    pub fn persisted(&mut self, number: ReadyNumber) {
        assert!(number <= self.ready_number, "only what was handed out can be durable");
        let durable = self.log.persisted(number);
        if let Some(vote) = durable.vote {
            self.durable_vote = vote;
            self.count_own_vote();
        }
        if durable.last > Index(0) {
            self.leader_commit();
        }
    }

    /// The state machine has applied everything up to `index`. Older news than what is known are
    /// ignored.
    ///
    /// # Panics
    /// When `index` was not handed out yet.
    pub fn applied(&mut self, index: Index) {
        self.apply.applied(index);
        self.leave_joint_by_itself();
    }

    /// The log up to and including `through` may be forgotten: all of it is applied, and the state
    /// machine is certain to remember that. Answers up to where it *is* forgotten now (less, if the
    /// replica itself still needs some of it): the caller may purge its disk that far, after everything
    /// that the Readys so far have asked to be written.
    ///
    /// # Panics
    /// When `through` is not applied.
    pub fn compact(&mut self, through: Index) -> Index {
        assert!(through <= self.apply.applied_index(), "only what is applied is compacted");
        if !self.has_lost_state() {
            self.log.compact(through);
        }
        self.log.base_index()
    }

    /// Sets the current election time-out, which the seed had chosen: for scripted elections, and to
    /// let one replica be quicker than its peers after a planned stop. Lasts until the next change of
    /// term or role.
    pub fn set_election_timeout(&mut self, ticks: u32) {
        self.election_timeout = ticks.max(1);
    }

    /// Becomes a follower of `leader`, or of nobody yet, in `term`; the same term or a newer one.
    pub(super) fn become_follower(&mut self, term: Term, leader: Option<NodeId>) {
        assert!(term >= self.term, "a term never falls");
        let knew = self.leader();
        let role = std::mem::replace(&mut self.role, RoleState::Follower(leader));
        if let RoleState::Leader(leader) = role {
            self.lose_reads(*leader);
        }
        if term > self.term || leader != knew {
            self.lose_forwarded();
        }
        self.quiet = false;
        self.enter(term);
        self.restart_election_clock();
    }

    /// Enters a newer term, in which this replica has not voted.
    pub(super) fn enter(&mut self, term: Term) {
        if term > self.term {
            self.term = term;
            self.vote = None;
        }
    }

    /// A new election time-out from now on.
    pub(super) fn restart_election_clock(&mut self) {
        self.election_elapsed = 0;
        let ticks = self.config.election_ticks;
        let handicap = self.handicap();
        self.election_timeout = ticks + self.random.below(ticks) + handicap;
        self.handicaps += u32::from(handicap > 0);
    }

    /// The leader of this term, if it is known.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        match &self.role {
            RoleState::Follower(leader) => *leader,
            RoleState::Leader(_) => Some(self.config.id),
            RoleState::PreCandidate(_) | RoleState::Candidate(_) => None,
        }
    }

    /// Whether the state is older than the log's start, so that only a snapshot can mend it.
    pub(super) fn has_lost_state(&self) -> bool {
        self.apply.handed_index() < self.log.base_index() || self.apply.is_blank()
    }
}
