//! Units whose buckets have moved: sent on to where they are, as a whole or in parts.

use super::super::gather::{Gather, Sink};
use super::{Flight, Inner, Mode, Moving, Place, RETRY_MILLIS, Target};
use crate::ids::{Bucket, GroupId};
use crate::kv::{Redirect, Reply};
use crate::net::message::{Refusal, UnitId, Work};
use crate::time::MonoMillis;
use std::collections::BTreeMap;

/// The pause before a unit is sent again whose bucket is between two groups, milliseconds.
pub(super) const MOVING_MILLIS: u64 = 5;
/// So often a unit follows its bucket without a pause.
const REDIRECTS_AT_ONCE: u32 = 3;

impl Inner {
    /// Sends on what the asked group does not serve any more, or not yet: all of the unit, or its commands
    /// on these buckets, the commands on one bucket in their order. The replies, if none of it is sent on.
    ///
    /// Writes keep their numbers: what may have been carried out before the bucket moved is known where
    /// it is now, because replies that are kept for clients move along.
    pub(super) fn redirected(
        &mut self,
        id: UnitId,
        replies: Vec<Reply>,
        now: MonoMillis,
    ) -> Option<Vec<Reply>> {
        let elsewhere = |reply: &Reply| matches!(reply, Reply::Redirect(_));
        if !replies.iter().any(elsewhere) {
            return Some(replies);
        }
        self.learn(&replies);
        let asks = match self.flights.get(&id).map(|flight| (flight.mode, &flight.work)) {
            Some((Mode::Cluster, Work::Keys(asks))) if asks.len() == replies.len() => asks.clone(),
            // Whose client follows redirects itself.
            _ => return Some(replies),
        };
        let mut places: BTreeMap<(Option<GroupId>, bool), (Bucket, Vec<usize>)> = BTreeMap::new();
        for (place, reply) in replies.iter().enumerate() {
            let Reply::Redirect(redirect) = reply else { continue };
            let bucket = redirect.bucket();
            let moved = matches!(redirect, Redirect::Moved { .. });
            let part = places.entry((self.owner(bucket), moved)).or_insert((bucket, Vec::new()));
            part.1.push(place);
        }
        self.counters.redirected();
        let missing = places.values().map(|(_, places)| places.len()).sum();
        if places.len() == 1 && missing == replies.len() {
            let ((_, moved), (bucket, _)) = places.pop_first()?;
            self.send_on(id, bucket, moved, now);
            return None;
        }
        let whole = self.flights.remove(&id)?;
        self.shared.give_request_bytes(whole.bytes);
        if let Some(group) = whole.numbered {
            let done = asks.iter().zip(&replies).filter(|(_, reply)| !elsewhere(reply));
            self.sessions.settle(group, &Work::Keys(done.map(|(ask, _)| ask.clone()).collect()));
        }
        let gather = Gather::new(replies, missing, whole.sink);
        for ((_, moved), (bucket, places)) in places {
            let work = Work::Keys(places.iter().map(|place| asks[*place].clone()).collect());
            let bytes = work.bytes();
            self.shared.keep_request_bytes(bytes);
            let part = self.insert(Flight {
                target: Target::Bucket(bucket),
                is_read: work.is_read(),
                work,
                bytes,
                sink: Sink::Part(gather.clone(), places),
                mode: whole.mode,
                observer: whole.observer,
                numbered: whole.numbered,
                deadline: whole.deadline,
                place: whole.place,
                asked: whole.asked,
                open: whole.open,
                pause_millis: RETRY_MILLIS.0,
                redirects: whole.redirects,
                refusal: whole.refusal,
            });
            self.send_on(part, bucket, moved, now);
        }
        None
    }

    /// Takes to heart where buckets have moved.
    fn learn(&self, replies: &[Reply]) {
        let Some(routing) = &self.routing else { return };
        for reply in replies {
            if let Reply::Redirect(Redirect::Moved { bucket, to, epoch }) = *reply {
                self.shared.hints.learn(bucket, to, epoch, routing.table());
            }
        }
    }

    /// To where the bucket is now: at once if that is known and new, else after a moment.
    fn send_on(&mut self, id: UnitId, bucket: Bucket, moved: bool, now: MonoMillis) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        flight.target = Target::Bucket(bucket);
        flight.redirects += 1;
        flight.refusal = Some(Refusal::Moving);
        flight.give_up_observer();
        if moved && flight.redirects <= REDIRECTS_AT_ONCE {
            self.send(id, now);
        } else {
            flight.place = Place::Waiting(MonoMillis(now.0 + MOVING_MILLIS));
            if self.moving == Moving::None {
                self.moving = Moving::Wanted;
            }
        }
    }
}
