use super::call::Call;
use super::refusal::sorted;
use crate::domain::{Lines, Outcome, Settlement, State};
use crate::holds::{Reply, Rows};

impl Call<'_> {
    pub(super) fn settle(&mut self, settlement: Settlement, rows: Rows) -> Reply {
        let record = self.addressed(&settlement.id);
        let live = record.as_ref().filter(|record| record.state.is_live());
        if settlement.outcome != Outcome::Cancelled {
            let held = live.map(|record| &record.lines).into_iter().flat_map(Lines::skus);
            let needed = settlement.lines.skus().chain(held);
            let missing = sorted(needed.filter(|sku| !rows.iter().any(|(given, _)| given == *sku)));
            if !missing.is_empty() {
                return Reply::Missing(missing);
            }
        }

        self.push(rows);
        let Some(record) = record else { return Reply::NotFound };
        if record.state.is_live() {
            self.hold(&record.lines, -1);
        }
        let mut ended = settlement.into_reservation();
        if (record.state, record.end_ms) == (ended.state, ended.end_ms)
            && (ended.state != State::Confirmed
                || (record.reserved, record.confirmed) == (ended.reserved, ended.confirmed))
        {
            return Reply::Accepted(record);
        }
        ended.create_ms = record.create_ms;
        ended.expire_ms = record.expire_ms;
        if ended.state != State::Confirmed {
            ended.lines = record.lines;
            ended.reserved = record.reserved;
            ended.confirmed = record.confirmed;
        }
        self.finish(ended)
    }
}
