//! Reclaiming overdue holds, a bounded number, once a call.

use super::call::Call;
use crate::holds::{RECLAIM_HOLDS_MAX, RECLAIM_LINES_MAX};

impl Call<'_> {
    /// Reclaims a bounded number of overdue holds, once a call. The index only says where to look: the record decides.
    pub(super) fn reclaim(&mut self) -> usize {
        if self.reclaimed {
            return 0;
        }
        let entries = self.holds.deadlines.up_to(self.now_ms, RECLAIM_HOLDS_MAX + 1);
        let (mut looked, mut holds, mut lines) = (0, 0, 0);
        while looked < entries.len().min(RECLAIM_HOLDS_MAX) && lines < RECLAIM_LINES_MAX {
            let (_, id) = &entries[looked];
            looked += 1;
            match self.holds.records.get(id).cloned() {
                Some(record) if self.is_overdue(&record) => {
                    lines += record.lines.len();
                    holds += 1;
                    self.expire(record);
                }
                _ => self.holds.deadlines.remove(id),
            }
        }
        (self.reclaimed, self.overdue_remain) = (true, looked < entries.len());
        holds
    }
}
