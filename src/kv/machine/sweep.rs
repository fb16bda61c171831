//! The removal of what is due: a little with every entry, in the order of deadlines.
//!
//! Must always hold: which rows go depends only on the rows and on replicated time, not on when a
//! replica was opened. What `next_due` and `swept` remember only saves looking.

use super::buckets::Standing;
use super::fault::DamagedRow;
use super::layout::{due_deadline, due_place};
use super::state::Machine;
use crate::rows::Rows;

/// Due rows that one entry may remove.
const DUE_PER_ENTRY: usize = 64;

impl Machine {
    /// Removes some of the keys whose time has come.
    pub(super) fn sweep(&mut self, rows: &mut impl Rows) -> Result<(), DamagedRow> {
        let time = self.meta.time;
        #[cfg(feature = "controls")]
        let time = match crate::controls::active(crate::controls::Control::ExpireByLocalClock) {
            true => crate::controls::wall(),
            false => time,
        };
        if self.next_due.is_none_or(|due| due > time) {
            return Ok(());
        }
        let mut due = Vec::new();
        let mut next = None;
        let (from, to) = self.layout.due_range(self.swept);
        rows.range(&from, &to, &mut |row, _| {
            let deadline = due_deadline(row);
            let later = deadline.is_ok_and(|deadline| deadline > time);
            if later || due.len() == DUE_PER_ENTRY {
                next = Some(deadline);
                return false;
            }
            due.push(row.to_vec());
            true
        });
        for row in due {
            let (bucket, epoch, hash, key) = due_place(&row)?;
            let living = self.buckets.get(bucket).ok_or(DamagedRow("deadlines"))?;
            // What has left is not touched: it may still be copied as it was handed off. What is coming
            // may go: when it is served, the time is not before this.
            if living.standing != Standing::Left && living.epoch == epoch {
                let data_row = self.layout.data(bucket, epoch, hash, key);
                let deadline = due_deadline(&row)?;
                self.remove_due(rows, bucket, data_row, key.len() as u64, deadline)?;
            }
            rows.delete(row);
        }
        self.next_due = next.transpose()?;
        self.swept = self.next_due.map_or(time, |next| next.min(time));
        Ok(())
    }
}
