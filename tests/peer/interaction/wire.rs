//! What travels between the replicas of a scenario, and to and from their storage threads, written the
//! way the scenarios write it.
//!
//! The core's messages say the same things in other words; here each is given the reference's name and
//! fields. What the reference sends as messages although the core has another way for it (snapshots,
//! forwarded proposals, the answers of the storage threads) is mail with a content of its own.

use eraft::ids::{Index, NodeId, ReadyNumber};
use eraft::raft::{
    ChangeKind, Entry, EntryKind, MembershipChange, Message, MessageBody, SnapshotMeta,
};
use std::fmt;

/// Who sends or receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    Node(u32),
    AppendThread,
    ApplyThread,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Node(id) => write!(f, "{id:x}"),
            Party::AppendThread => write!(f, "AppendThread"),
            Party::ApplyThread => write!(f, "ApplyThread"),
        }
    }
}

/// What the receiver does with it.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Steps it.
    Message(Message),
    /// Is offered a snapshot.
    Snapshot(SnapshotMeta),
    /// Learns that its storage has all Readys up to this one.
    Persisted(ReadyNumber),
    /// Learns that its state machine has applied up to here.
    Applied(Index),
    /// Takes a proposal, or forwards it.
    Proposal(EntryKind, bytes::Bytes),
    /// Nothing: the core knows it by itself.
    Nothing,
}

/// One message of the scenario.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub(super) from: Party,
    pub(super) to: Party,
    pub(super) kind: &'static str,
    pub(super) term: u64,
    pub(super) log_term: u64,
    pub(super) index: u64,
    pub(super) rejected: Option<u64>,
    pub(super) commit: u64,
    pub(super) vote: u32,
    pub(super) entries: Vec<Entry>,
    pub(super) snapshot: Option<SnapshotMeta>,
    pub(super) responses: Vec<Mail>,
    pub(super) content: Content,
}

impl Mail {
    /// Mail without any field but its term.
    pub(super) fn plain(from: Party, to: Party, kind: &'static str, term: u64) -> Self {
        Self {
            from,
            to,
            kind,
            term,
            log_term: 0,
            index: 0,
            rejected: None,
            commit: 0,
            vote: 0,
            entries: Vec::new(),
            snapshot: None,
            responses: Vec::new(),
            content: Content::Nothing,
        }
    }

    /// A message of the core; `None` for those that the scenarios do not know.
    pub(super) fn of(message: Message) -> Option<Self> {
        let (from, to) = (Party::Node(message.from.0), Party::Node(message.to.0));
        let refused = |granted: bool| (!granted).then_some(0);
        let plain = |kind| Self::plain(from, to, kind, message.term.0);
        let mail = match message.body.clone() {
            MessageBody::Append { prev_index, prev_term, commit, entries } => Self {
                log_term: prev_term.0,
                index: prev_index.0,
                commit: commit.0,
                entries,
                ..plain("MsgApp")
            },
            MessageBody::AppendResponse { index, reject } => Self {
                index: index.0,
                log_term: reject.map_or(0, |hint| hint.term.0),
                rejected: reject.map(|hint| hint.index.0),
                ..plain("MsgAppResp")
            },
            MessageBody::Heartbeat { commit, .. } => {
                Self { commit: commit.0, ..plain("MsgHeartbeat") }
            }
            MessageBody::HeartbeatResponse { .. } => plain("MsgHeartbeatResp"),
            MessageBody::PreVote { last_index, last_term } => {
                Self { index: last_index.0, log_term: last_term.0, ..plain("MsgPreVote") }
            }
            MessageBody::PreVoteResponse { granted } => {
                Self { rejected: refused(granted), ..plain("MsgPreVoteResp") }
            }
            MessageBody::Vote { last_index, last_term, .. } => {
                Self { index: last_index.0, log_term: last_term.0, ..plain("MsgVote") }
            }
            MessageBody::VoteResponse { granted } => {
                Self { rejected: refused(granted), ..plain("MsgVoteResp") }
            }
            MessageBody::TimeoutNow => plain("MsgTimeoutNow"),
            _ => return None,
        };
        Some(Self { content: Content::Message(message), ..mail })
    }

    /// The offer of a snapshot.
    pub(super) fn snapshot(from: u32, to: NodeId, term: u64, meta: SnapshotMeta) -> Self {
        Self {
            snapshot: Some(meta.clone()),
            content: Content::Snapshot(meta),
            ..Self::plain(Party::Node(from), Party::Node(to.0), "MsgSnap", term)
        }
    }

    /// Whether it stays within one replica, where nothing is lost.
    pub(super) fn is_local(&self) -> bool {
        self.from == self.to || !matches!((self.from, self.to), (Party::Node(_), Party::Node(_)))
    }

    /// Whether the reference sends it only after what was to be written is written.
    pub(super) fn waits_for_storage(&self) -> bool {
        matches!(self.kind, "MsgAppResp" | "MsgVoteResp" | "MsgPreVoteResp")
    }
}

/// Entries and messages as the scenarios write them.
impl fmt::Display for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, kind, term, log_term, index, .. } = self;
        write!(f, "{from}->{to} {kind} Term:{term} Log:{log_term}/{index}")?;
        if let Some(hint) = self.rejected {
            write!(f, " Rejected (Hint: {hint})")?;
        }
        if self.commit != 0 {
            write!(f, " Commit:{}", self.commit)?;
        }
        if self.vote != 0 {
            write!(f, " Vote:{}", self.vote)?;
        }
        match self.entries.as_slice() {
            [] => {}
            [entry] => write!(f, " Entries:[{}]", describe_entry(entry))?,
            entries => {
                write!(f, " Entries:[")?;
                for entry in entries {
                    write!(f, "\n  {}", describe_entry(entry))?;
                }
                write!(f, "\n]")?;
            }
        }
        if let Some(meta) = &self.snapshot {
            write!(f, "\n  Snapshot: {}", describe_snapshot(meta))?;
        }
        if !self.responses.is_empty() {
            write!(f, " Responses:[")?;
            for response in &self.responses {
                write!(f, "\n{}", indent(&response.to_string()))?;
            }
            write!(f, "\n]")?;
        }
        Ok(())
    }
}

/// Marks a change that was proposed in the older of the reference's two forms.
pub(super) const FIRST_FORM: &[u8] = b"v1";

pub(super) fn describe_entry(entry: &Entry) -> String {
    let (term, index) = (entry.term.0, entry.index.0);
    if entry.kind == EntryKind::Normal {
        let data = String::from_utf8_lossy(&entry.data);
        return format!("{term}/{index} EntryNormal {data:?}");
    }
    let change = MembershipChange::decode(&entry.data).unwrap_or_default();
    let kind = if change.context == FIRST_FORM { "EntryConfChange" } else { "EntryConfChangeV2" };
    let words: Vec<String> = change
        .changes
        .iter()
        .map(|change| {
            let letter = match change.kind {
                ChangeKind::Voter => 'v',
                ChangeKind::Learner => 'l',
                ChangeKind::Remove => 'r',
                ChangeKind::Update => 'u',
            };
            format!("{letter}{}", change.id.0)
        })
        .collect();
    format!("{term}/{index} {kind} {}", words.join(" ")).trim_end().to_owned()
}

pub(super) fn describe_snapshot(meta: &SnapshotMeta) -> String {
    let list = |ids: &[NodeId]| {
        let ids: Vec<String> = ids.iter().map(|id| id.0.to_string()).collect();
        format!("[{}]", ids.join(" "))
    };
    let members = &meta.membership;
    format!(
        "Index:{} Term:{} ConfState:Voters:{} VotersOutgoing:{} Learners:{} LearnersNext:{} \
         AutoLeave:{}",
        meta.index.0,
        meta.term.0,
        list(&members.voters),
        list(&members.outgoing),
        list(&members.learners),
        list(&members.learners_next),
        members.auto_leave
    )
}

pub(super) fn indent(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}
