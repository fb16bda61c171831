//! A leader never overwrites or deletes entries of its log, it only appends (paper §5.3).

use super::shadow::Shadow;
use super::{Held, Replica, Violation};
use eraft::ids::Term;
use eraft::store::wal::{LogOp, LogWrite};

/// Checks a write of a replica that has led since before it, if it has, against the log before the write.
pub(super) fn check(
    (node, group): Replica,
    leads: Option<Term>,
    log: &Shadow,
    write: &LogWrite,
) -> Held {
    let Some(term) = leads else { return Ok(()) };
    // A replica may be deposed and write what the next leader sends, all in one event.
    let own = write.entries.iter().all(|entry| entry.term == term);
    let overwrites = write.entries.first().is_some_and(|first| first.index <= log.last());
    let restarts = matches!(write.op, Some(LogOp::SnapshotInstalled(_)));
    if own && !write.entries.is_empty() && (overwrites || restarts) {
        let last = log.last();
        let story = format!("{node} leads {group} in {term} and writes behind its last, {last}");
        return Err(Violation::new("leader append-only", story));
    }
    Ok(())
}
