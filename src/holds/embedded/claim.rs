use super::call::Call;
use super::records::awaits_settlement;
use crate::holds::Reply;

impl Call<'_> {
    pub(super) fn claim(&mut self, limit: usize, grace_ms: u64) -> Reply {
        let mut claimed = Vec::new();
        let unsettled = &self.holds.unsettled;
        let mut entries = unsettled.up_to(self.now_ms.saturating_sub(grace_ms), limit);
        entries.extend(unsettled.beyond(self.now_ms, limit - entries.len()));
        self.worked += entries.len();
        for (touched_ms, id) in entries {
            match self.holds.records.get(&id) {
                Some(record) if awaits_settlement(record) => {
                    claimed.push(record.clone());
                    // Never earlier than before, whatever the clock does: who pages by this order must not miss
                    // anything.
                    self.holds.unsettled.set(&id, self.now_ms.max(touched_ms + 1));
                }
                _ => self.holds.unsettled.remove(&id),
            }
        }
        Reply::Claimed(claimed)
    }
}
