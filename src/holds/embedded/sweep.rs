use super::call::Call;
use super::records::awaits_settlement;
use crate::holds::{FORGET_MAX, Reply};

impl Call<'_> {
    pub(super) fn sweep(&mut self) -> Reply {
        let holds = self.reclaim();
        let more = self.forget() || self.overdue_remain;
        Reply::Swept { holds, more }
    }

    /// Forgets a bounded number of those that have ended for longer than the retention time; tells whether others
    /// remain. Again the record decides.
    fn forget(&mut self) -> bool {
        let (now_ms, retention_ms) = (self.now_ms, self.retention_ms);
        let is_over = |since_ms: u64| since_ms + retention_ms <= now_ms;
        let mut looked = 0;
        // One from the future, before the clock went back, must not hold up those behind it.
        while self.holds.ended.front().is_some_and(|(time_ms, _)| *time_ms > now_ms || is_over(*time_ms)) {
            if looked >= FORGET_MAX {
                return true;
            }
            let (_, ids) = self.holds.ended.pop_front().unwrap_or_default();
            looked += ids.len();
            self.worked += ids.len();
            for id in ids {
                let Some(record) = self.holds.records.get(&id) else { continue };
                if record.state.is_live() || awaits_settlement(record) {
                    // It is entered again when it ends again, or is settled.
                    continue;
                }
                if is_over(record.end_ms.unwrap_or(0)) {
                    self.remove(&id);
                } else {
                    self.ended.push(id);
                }
            }
        }
        false
    }
}
