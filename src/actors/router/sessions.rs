//! This router as a client of the groups: the sessions under which it forwards writes.
//!
//! One for each group, under a client id of its own. A group forgets a session's replies up to the
//! lowest unanswered request; with one session for all, a group that does not answer would keep the
//! others from forgetting anything.

use crate::ids::GroupId;
use crate::kv::SessionRef;
use crate::net::message::Work;
use crate::time::UnixMillis;
use std::collections::{BTreeMap, BTreeSet};

/// How long a forwarded write may be retried and is remembered by its group, milliseconds of
/// replicated time. Well above the router's own deadline, clocks that differ included.
const REMEMBERED_MILLIS: u64 = 60_000;

/// See the module's first lines.
#[derive(Debug)]
pub(super) struct Sessions {
    base: u64,
    groups: BTreeMap<GroupId, Session>,
}

#[derive(Debug)]
struct Session {
    client: u64,
    next: u64,
    unanswered: BTreeSet<u64>,
}

impl Sessions {
    /// Sessions whose client ids are made of this number, fresh and random for each router.
    pub(super) fn new(base: u64) -> Self {
        Self { base, groups: BTreeMap::new() }
    }

    /// Numbers the writes of a unit that is about to be forwarded to this group. Those that carry a
    /// session already (a native client's own) keep it.
    pub(super) fn number(&mut self, group: GroupId, work: &mut Work, now: UnixMillis) {
        let Work::Keys(asks) = work else { return };
        let client = client_of(self.base, group);
        let session = self.groups.entry(group).or_insert_with(|| Session {
            client,
            next: 1,
            unanswered: BTreeSet::new(),
        });
        for ask in asks.iter_mut().filter(|ask| ask.command.is_write() && ask.session.is_none()) {
            let sequence = session.next;
            session.next += 1;
            session.unanswered.insert(sequence);
            ask.session = Some(SessionRef {
                client,
                sequence,
                lowest_unanswered: session.unanswered.first().copied().unwrap_or(sequence),
                expires: UnixMillis(now.0.saturating_add(REMEMBERED_MILLIS)),
            });
        }
    }

    /// Whether all of a unit that was numbered for this group are writes under our session.
    pub(super) fn covers(&self, group: GroupId, work: &Work) -> bool {
        let Work::Keys(asks) = work else { return false };
        let client = client_of(self.base, group);
        asks.iter().all(|ask| ask.session.is_some_and(|session| session.client == client))
    }

    /// Takes the numbers back from a unit that was numbered for this group and was not carried out under
    /// them, nor ever can be. It may be numbered anew.
    pub(super) fn withdraw(&mut self, group: GroupId, work: &mut Work) {
        self.settle(group, work);
        let client = client_of(self.base, group);
        let Work::Keys(asks) = work else { return };
        for ask in asks {
            ask.session = ask.session.filter(|session| session.client != client);
        }
    }

    /// The unit, numbered for this group, will not be sent again.
    pub(super) fn settle(&mut self, group: GroupId, work: &Work) {
        let (Work::Keys(asks), Some(session)) = (work, self.groups.get_mut(&group)) else { return };
        for request in asks.iter().filter_map(|ask| ask.session) {
            if request.client == session.client {
                session.unanswered.remove(&request.sequence);
            }
        }
    }
}

/// The client id for one group.
fn client_of(base: u64, group: GroupId) -> u64 {
    // The finish of SplitMix64 (Steele, Lea, Flood 2014), which maps no two numbers to the same one:
    // groups of one router never share an id.
    let mut mixed = base ^ (u64::from(group.0) << 32);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::Command;
    use crate::net::message::Ask;
    use bytes::Bytes;

    fn write() -> Work {
        let command = Command::IncrBy { key: Bytes::from_static(b"k"), by: 1 };
        Work::Keys(vec![Ask { command, session: None }])
    }

    fn session(work: &Work) -> Option<SessionRef> {
        let Work::Keys(asks) = work else { panic!() };
        asks[0].session
    }

    fn numbered(sessions: &mut Sessions, group: u32) -> Work {
        let mut work = write();
        sessions.number(GroupId(group), &mut work, UnixMillis(5));
        work
    }

    #[test]
    fn a_group_that_does_not_answer_holds_up_no_other() {
        let mut sessions = Sessions::new(7);
        let stuck = session(&numbered(&mut sessions, 1)).unwrap();
        let first = numbered(&mut sessions, 2);
        sessions.settle(GroupId(2), &first);
        let second = session(&numbered(&mut sessions, 2)).unwrap();
        assert_ne!(stuck.client, second.client);
        assert_eq!((second.sequence, second.lowest_unanswered), (2, 2));
        let next = session(&numbered(&mut sessions, 1)).unwrap();
        assert_eq!((next.sequence, next.lowest_unanswered), (2, 1));
    }

    #[test]
    fn what_is_numbered_keeps_its_number_and_reads_get_none() {
        let mut sessions = Sessions::new(7);
        let mut work = numbered(&mut sessions, 1);
        let before = work.clone();
        sessions.number(GroupId(1), &mut work, UnixMillis(99));
        assert_eq!(work, before);
        let command = Command::Get { key: Bytes::from_static(b"k") };
        let mut read = Work::Keys(vec![Ask { command, session: None }]);
        sessions.number(GroupId(1), &mut read, UnixMillis(5));
        assert_eq!(session(&read), None);
        assert!(!sessions.covers(GroupId(1), &read) && sessions.covers(GroupId(1), &work));
    }

    #[test]
    fn a_withdrawn_number_is_never_used_again() {
        let mut sessions = Sessions::new(7);
        let mut work = numbered(&mut sessions, 1);
        sessions.withdraw(GroupId(1), &mut work);
        assert_eq!(session(&work), None);
        sessions.number(GroupId(1), &mut work, UnixMillis(5));
        let again = session(&work).unwrap();
        assert_eq!((again.sequence, again.lowest_unanswered), (2, 2));
    }

    #[test]
    fn routers_and_groups_have_different_ids() {
        let ids: BTreeSet<u64> = (0..8)
            .flat_map(|worker| (0..100).map(move |group| client_of(1_000 + worker, GroupId(group))))
            .collect();
        assert_eq!(ids.len(), 800);
    }
}
