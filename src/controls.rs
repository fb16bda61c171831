//! Known bugs, put back on purpose: the simulator must find each of them, or it has a hole.
//!
//! Exists only with the feature `controls`, which no other build has. Each control is one branch of one
//! condition where it belongs; which of them is active is told to each thread.

use crate::time::UnixMillis;
use std::cell::Cell;

macro_rules! controls {
    ($($control:ident = $words:literal,)*) => {
        /// A bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Control {
            $(#[doc = $words] $control,)*
        }

        impl Control {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$control,)*];

            /// In words.
            #[must_use]
            pub fn words(self) -> &'static str {
                match self {
                    $(Self::$control => $words,)*
                }
            }
        }
    };
}

controls! {
    CommitOldTerm = "commit an entry of an older term by counting",
    AcknowledgeBeforeSync = "acknowledge before the sync",
    VoteTwiceAfterCrash = "know the vote no more after a start",
    ForgetVote = "forget a vote as soon as it is given",
    LeadBeforeOwnVote = "lead before the own vote is on disk",
    VoteForShorterLog = "vote for a candidate whose log is behind",
    CountOwnUnsynced = "count the leader's own copy before it is synced",
    ApplyUnsynced = "apply what is committed and not on the own disk",
    ApplyTwice = "apply the last entry again after a start",
    ReadWithoutQuorum = "serve a read without a quorum",
    ReadBeforeFirstCommit = "serve reads before the first commit of the term",
    FollowOldTerm = "follow the leader of an older term",
    AppendWithoutMatch = "append after an entry of another term",
    StaleAppendCuts = "cut the log at a late append that says nothing new",
    DropInflightWindow = "never open a full in-flight window again",
    SnapshotBeforePersisted = "say that a snapshot is installed before it is on disk",
    ForgetSessionsInSnapshot = "leave the sessions out of a snapshot",
    NoSessions = "apply the retry of a request again",
    CompactBeforePersisted = "cut the log before the state is on disk",
    ExpireByLocalClock = "expire keys by the local clock",
    TornTailTooFar = "cut a torn tail too far",
    DamageAsTail = "take damage in the middle of the log for a tail",
    GoOnAfterFailedSync = "go on after a failed sync",
    CountLearner = "count a learner",
    CountObserver = "count an observer",
    RelayedBeforeSync = "acknowledge to a secretary before the sync",
    NewQuorumTooEarly = "use the new configuration's quorum too early",
    LeaseWithoutMargin = "serve reads by a lease without a margin",
    IgnoreIncarnation = "take another disk for the member that is gone",
    NameNotSynced = "leave the name of a new segment un-synced",
    ServeAfterHandoff = "serve a bucket that was handed off",
    AcceptWithoutHandoff = "accept a bucket that was not handed off",
    CollectBeforeAcceptance = "forget what was handed off before it is accepted",
    LoseTailOfChanges = "leave the last changes out of a move",
    ForgetSessionsOnMove = "leave the sessions out of a move",
    BornAfterDamage = "begin anew in silence where all of a replica's log is lost",
    FarewellUnasked = "let a replica go without asking a majority",
    AdoptOlderTable = "begin a move by an older table",
    PassOverElsewhere = "pass over buckets of other groups in a scan",
}

thread_local! {
    static ACTIVE: Cell<Option<Control>> = const { Cell::new(None) };
    static WALL: Cell<UnixMillis> = const { Cell::new(UnixMillis(0)) };
}

/// From now on this bug, or none, is active on this thread.
pub fn activate(control: Option<Control>) {
    ACTIVE.set(control);
}

/// Whether this bug is active on this thread.
#[must_use]
pub fn active(control: Control) -> bool {
    ACTIVE.get() == Some(control)
}

/// What the node's wall clock shows, for code that should not ask.
pub fn set_wall(wall: UnixMillis) {
    WALL.set(wall);
}

/// See [`set_wall`].
#[must_use]
pub fn wall() -> UnixMillis {
    WALL.get()
}
