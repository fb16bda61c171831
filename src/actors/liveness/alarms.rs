//! When groups that sleep want to be looked at: keys expire there without anybody asking. One clock for all
//! of them, looked at by the warden.

use crate::ids::GroupId;
use crate::time::MonoMillis;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// See the module's first lines. A group has one alarm at most.
#[derive(Debug, Default)]
pub struct Alarms(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_time: BTreeSet<(MonoMillis, GroupId)>,
    by_group: BTreeMap<GroupId, MonoMillis>,
}

impl Alarms {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group wants to be looked at then, or not at all.
    pub fn set(&self, group: GroupId, at: Option<MonoMillis>) {
        let mut inner = self.inner();
        let old = match at {
            Some(at) => inner.by_group.insert(group, at),
            None => inner.by_group.remove(&group),
        };
        if let Some(old) = old {
            inner.by_time.remove(&(old, group));
        }
        if let Some(at) = at {
            inner.by_time.insert((at, group));
        }
    }

    /// The groups whose time has come; their alarms are gone.
    pub fn due(&self, now: MonoMillis) -> Vec<GroupId> {
        let mut inner = self.inner();
        let mut due = Vec::new();
        while let Some(&(at, group)) = inner.by_time.first()
            && at <= now
        {
            inner.by_time.pop_first();
            inner.by_group.remove(&group);
            due.push(group);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_has_one_alarm_and_it_rings_once() {
        let alarms = Alarms::default();
        alarms.set(GroupId(1), Some(MonoMillis(50)));
        alarms.set(GroupId(1), Some(MonoMillis(30)));
        alarms.set(GroupId(2), Some(MonoMillis(20)));
        alarms.set(GroupId(3), Some(MonoMillis(10)));
        alarms.set(GroupId(3), None);
        assert_eq!(alarms.due(MonoMillis(19)), []);
        assert_eq!(alarms.due(MonoMillis(40)), [GroupId(2), GroupId(1)]);
        assert_eq!(alarms.due(MonoMillis(99)), []);
    }
}
