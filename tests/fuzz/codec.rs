//! Messages, as they stand in frames and in the log.

use super::mutate::{Chance, damage};
use bytes::Bytes;
use eraft::codec::{decode, encode};
use eraft::ids::{GroupId, Index, NodeId, Term};
use eraft::kv::{Command, Condition, Expiry};
use eraft::net::message::{AdminRequest, AdminResponse, Ask, PeerMessage, Unit, UnitId, Work};
use eraft::raft::{
    Change, ChangeKind, Entry, EntryKind, HardState, Membership, MembershipChange, Message,
    MessageBody, SnapshotMeta, Transition,
};
use eraft::shard::Table;
use serde::{Serialize, de::DeserializeOwned};

pub(crate) fn messages(chance: &mut Chance) {
    let mut bytes = valid(chance);
    damage(chance, &mut bytes);
    decode_all(&bytes);
}

/// Some message's bytes.
pub(crate) fn valid(chance: &mut Chance) -> Vec<u8> {
    let (index, term) = (Index(chance.number() >> 20), Term(chance.number() >> 40));
    let entry = Entry { index, term, kind: EntryKind::Normal, data: Bytes::from(chance.bytes(30)) };
    let ask = || Ask {
        command: Command::Set {
            key: Bytes::from_static(b"key"),
            value: Bytes::from_static(b"value"),
            condition: Condition::Always,
            expiry: Expiry::Clear,
            get: false,
        },
        session: None,
    };
    let raft = |body| encode(&Message { from: NodeId(1), to: NodeId(2), term, body });
    match chance.below(9) {
        0 => raft(MessageBody::Append {
            prev_index: index,
            prev_term: term,
            commit: index,
            entries: vec![entry.clone(), entry],
        }),
        1 => raft(MessageBody::Heartbeat { commit: index, round: 7 }),
        2 => encode(&PeerMessage::Forward(vec![Unit {
            id: UnitId(1),
            group: GroupId(1),
            work: Work::Keys(vec![ask(), ask()]),
        }])),
        3 => encode(&AdminRequest::Execute(vec![ask()])),
        4 => encode(&AdminResponse::Failed("no".to_owned())),
        5 => encode(&SnapshotMeta {
            index,
            term,
            membership: Membership::of_voters([1, 2, 3].map(NodeId)),
        }),
        6 => encode(&MembershipChange {
            transition: Transition::Explicit,
            changes: vec![Change::new(ChangeKind::Learner, NodeId(4))],
            context: Bytes::from_static(b"why"),
        }),
        7 => encode(&entry),
        _ => {
            let length = chance.below(200);
            chance.bytes(length)
        }
    }
}

/// What can be decoded can be encoded, and is then the same.
pub(crate) fn decode_all(bytes: &[u8]) {
    again::<Message>(bytes);
    again::<PeerMessage>(bytes);
    again::<AdminRequest>(bytes);
    again::<AdminResponse>(bytes);
    again::<Entry>(bytes);
    again::<HardState>(bytes);
    again::<SnapshotMeta>(bytes);
    again::<MembershipChange>(bytes);
    again::<Command>(bytes);
    again::<Table>(bytes);
}

fn again<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(value) = decode::<T>(bytes) {
        let encoded = encode(&value);
        let copy = decode::<T>(&encoded).expect("what was just encoded");
        assert_eq!(encode(&copy), encoded);
    }
}
