//! Entering reservations in the index that lacks them.

use super::call::Call;
use super::records::awaits_settlement;
use crate::domain::{Reservation, State};
use crate::holds::Reply;

impl Call<'_> {
    pub(super) fn reindex(&mut self, repair: bool) -> Reply {
        let holds = &mut *self.holds;
        let is_lacking = |record: &&Reservation| {
            let (deadline, touched) = (holds.deadlines.score(&record.id), holds.unsettled.score(&record.id));
            (record.state == State::Held && deadline != record.expire_ms)
                || (awaits_settlement(record) && touched.is_none())
        };
        let mut lacking: Vec<_> = holds.records.values().filter(is_lacking).cloned().collect();
        lacking.sort_by(|one, other| one.id.cmp(&other.id));
        for record in lacking.iter().filter(|_| repair) {
            match record.state {
                State::Held => holds.deadlines.set(&record.id, record.expire_ms.unwrap_or(0)),
                _ => holds.unsettled.set(&record.id, self.now_ms),
            }
        }
        Reply::Unindexed(lacking.into_iter().map(|record| record.id).collect(), String::new())
    }
}
