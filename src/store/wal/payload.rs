//! What a record says, and the bytes of it.
//!
//! Entries have an encoding of their own, so that a whole run of them is gathered into one buffer and
//! read back without copying a payload; everything else is small and goes through the codec.

use crate::codec;
use crate::ids::{ClusterId, Era, Incarnation, Index, Term};
use crate::raft::{Entry, EntryKind, HardState, Membership, SnapshotMeta};
use crate::store::wal::format::{u32_at, u64_at};
use bytes::Bytes;

/// Bytes before the table of entries: first index, term, count.
const ENTRIES_HEAD: usize = 20;
/// Bytes of the table for each entry: kind, length of its data.
const ENTRY_HEAD: usize = 5;

/// What a record says of its group, or of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Contiguous entries of one term. What was at `first` and after is cut off.
    Entries { first: Index, last: Index, term: Term },
    /// The same, copied from a segment that is given up: nothing is cut off.
    Kept { first: Index, last: Index, term: Term },
    /// The newest hard state.
    HardState(HardState),
    /// See `LogOp`.
    Born(Membership),
    /// See `LogOp`.
    Compacted(SnapshotMeta),
    /// See `LogOp`.
    Installed(SnapshotMeta),
    /// See `LogOp`.
    Dead,
    /// Hard state and base, copied from a segment that is given up.
    State(HardState, SnapshotMeta),
    /// The group has lost something, once.
    Damaged,
    /// Something is lost, once, and nobody knows whose.
    DamagedAll,
    /// The cluster that the log belongs to.
    Cluster(ClusterId),
    /// Segments of a lower life are not needed any more.
    Oldest(u64),
    /// The segment ends here; the log goes on in this life, or (0) was closed.
    End(u64),
    /// See `LogOp`.
    Identity(Incarnation),
    /// See `LogOp`.
    LeftBehind(Era),
    /// Whatever was lost, nobody knows whose, every group concerned has begun anew since (or, copied from a
    /// segment that is given up: had, once). What the log knows nothing of may have lived here.
    Mended {
        /// It is no copy.
        now: bool,
    },
}

impl Change {
    /// The number that stands for it on the disk.
    pub(super) fn kind(&self) -> u8 {
        match self {
            Self::Entries { .. } => 1,
            Self::Kept { .. } => 2,
            Self::HardState(_) => 3,
            Self::Born(_) => 4,
            Self::Compacted(_) => 5,
            Self::Installed(_) => 6,
            Self::Dead => 7,
            Self::State(..) => 8,
            Self::Damaged => 9,
            Self::DamagedAll => 10,
            Self::Cluster(_) => 11,
            Self::Oldest(_) => 12,
            Self::End(_) => 13,
            Self::Identity(_) => 14,
            Self::LeftBehind(_) => 15,
            Self::Mended { .. } => 16,
        }
    }

    /// Appends the payload of anything but entries.
    pub(super) fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Entries { .. } | Self::Kept { .. } => {
                unreachable!("entries are encoded with their data")
            }
            Self::HardState(hard) => codec::encode_into(hard, out),
            Self::Born(membership) => codec::encode_into(membership, out),
            Self::Compacted(meta) | Self::Installed(meta) => codec::encode_into(meta, out),
            Self::State(hard, base) => codec::encode_into(&(hard, base), out),
            Self::Cluster(cluster) => codec::encode_into(cluster, out),
            Self::Oldest(life) | Self::End(life) => codec::encode_into(life, out),
            Self::Identity(incarnation) => codec::encode_into(incarnation, out),
            Self::Mended { now } => codec::encode_into(now, out),
            Self::LeftBehind(era) => codec::encode_into(era, out),
            Self::Dead | Self::Damaged | Self::DamagedAll => {}
        }
    }

    /// What a record of this kind and payload says; `None` if it says nothing we know.
    pub(super) fn decode(kind: u8, payload: &[u8]) -> Option<Self> {
        let empty = |change: Self| payload.is_empty().then_some(change);
        Some(match kind {
            1 => {
                let (first, last, term) = entries_span(payload)?;
                Self::Entries { first, last, term }
            }
            2 => {
                let (first, last, term) = entries_span(payload)?;
                Self::Kept { first, last, term }
            }
            3 => Self::HardState(codec::decode(payload).ok()?),
            4 => Self::Born(codec::decode(payload).ok()?),
            5 => Self::Compacted(codec::decode(payload).ok()?),
            6 => Self::Installed(codec::decode(payload).ok()?),
            7 => empty(Self::Dead)?,
            8 => {
                let (hard, base) = codec::decode(payload).ok()?;
                Self::State(hard, base)
            }
            9 => empty(Self::Damaged)?,
            10 => empty(Self::DamagedAll)?,
            11 => Self::Cluster(codec::decode(payload).ok()?),
            12 => Self::Oldest(codec::decode(payload).ok()?),
            13 => Self::End(codec::decode(payload).ok()?),
            14 => Self::Identity(codec::decode(payload).ok()?),
            15 => Self::LeftBehind(codec::decode(payload).ok()?),
            16 => Self::Mended { now: codec::decode(payload).ok()? },
            _ => return None,
        })
    }
}

/// Appends the payload of these entries, which are contiguous, of one term, and at least one.
pub(super) fn encode_entries(entries: &[Entry], out: &mut Vec<u8>) {
    let first = entries.first().expect("at least one entry");
    let count = u32::try_from(entries.len()).expect("records are split long before");
    out.extend_from_slice(&first.index.0.to_le_bytes());
    out.extend_from_slice(&first.term.0.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    for entry in entries {
        let length = u32::try_from(entry.data.len()).expect("entries are limited");
        out.push(match entry.kind {
            EntryKind::Normal => 0,
            EntryKind::Membership => 1,
        });
        out.extend_from_slice(&length.to_le_bytes());
    }
    for entry in entries {
        out.extend_from_slice(&entry.data);
    }
}

/// First index, last index and term of a payload of entries.
fn entries_span(payload: &[u8]) -> Option<(Index, Index, Term)> {
    if payload.len() < ENTRIES_HEAD {
        return None;
    }
    let (first, term, count) = (u64_at(payload, 0), u64_at(payload, 8), u32_at(payload, 16));
    let last = first.checked_add(u64::from(count).checked_sub(1)?)?;
    Some((Index(first), Index(last), Term(term)))
}

/// The entries of a payload from `from` to `to`. They share its memory.
pub(super) fn decode_entries(payload: &Bytes, from: Index, to: Index) -> Option<Vec<Entry>> {
    let (first, last, term) = entries_span(payload)?;
    let count = usize::try_from(last.0 - first.0 + 1).ok()?;
    let table_end = count.checked_mul(ENTRY_HEAD)?.checked_add(ENTRIES_HEAD)?;
    let table = payload.get(ENTRIES_HEAD..table_end)?;
    let mut entries = Vec::new();
    let mut at = table_end;
    for (index, head) in (first.0..).zip(table.chunks_exact(ENTRY_HEAD)) {
        let end = at.checked_add(u32_at(head, 1) as usize)?;
        if end > payload.len() {
            return None;
        }
        let kind = match head[0] {
            0 => EntryKind::Normal,
            1 => EntryKind::Membership,
            _ => return None,
        };
        if (from.0..=to.0).contains(&index) {
            entries.push(Entry { index: Index(index), term, kind, data: payload.slice(at..end) });
        }
        at = end;
    }
    (at == payload.len()).then_some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;

    #[test]
    fn changes_come_back() {
        let meta = SnapshotMeta {
            index: Index(9),
            term: Term(2),
            membership: Membership::of_disks([
                (NodeId(1), Incarnation(7)),
                (NodeId(2), Incarnation(8)),
            ]),
        };
        let hard = HardState { term: Term(3), vote: Some(NodeId(2)), commit: Index(8) };
        let changes = [
            Change::HardState(hard),
            Change::Born(meta.membership.clone()),
            Change::Compacted(meta.clone()),
            Change::Installed(meta.clone()),
            Change::Dead,
            Change::State(hard, meta),
            Change::Damaged,
            Change::DamagedAll,
            Change::Cluster(ClusterId([7; 16])),
            Change::Oldest(4),
            Change::End(0),
            Change::Identity(Incarnation(5)),
            Change::Mended { now: true },
            Change::Mended { now: false },
            Change::LeftBehind(Era { number: 2, mark: 9 }),
        ];
        for change in changes {
            let mut payload = Vec::new();
            change.encode_into(&mut payload);
            assert_eq!(Change::decode(change.kind(), &payload), Some(change.clone()));
            payload.push(0);
            assert_eq!(
                Change::decode(change.kind(), &payload),
                None,
                "{change:?} and then something"
            );
        }
        assert_eq!(Change::decode(99, &[]), None);
    }

    #[test]
    fn entries_come_back_in_any_part() {
        let entry = |index: u64, kind, data: &[u8]| Entry {
            index: Index(index),
            term: Term(4),
            kind,
            data: Bytes::copy_from_slice(data),
        };
        let entries = [
            entry(10, EntryKind::Normal, b"ten"),
            entry(11, EntryKind::Membership, b""),
            entry(12, EntryKind::Normal, b"twelve"),
        ];
        let mut payload = Vec::new();
        encode_entries(&entries, &mut payload);
        let span = Change::Entries { first: Index(10), last: Index(12), term: Term(4) };
        assert_eq!(Change::decode(1, &payload), Some(span));
        let payload = Bytes::from(payload);
        assert_eq!(decode_entries(&payload, Index(0), Index(99)).as_deref(), Some(&entries[..]));
        assert_eq!(decode_entries(&payload, Index(11), Index(11)).as_deref(), Some(&entries[1..2]));
        for length in 0..payload.len() {
            assert_eq!(
                decode_entries(&payload.slice(..length), Index(0), Index(99)),
                None,
                "{length}"
            );
        }
        let mut many = payload.to_vec();
        many[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode_entries(&many.into(), Index(0), Index(99)), None, "an impossible count");
    }
}
