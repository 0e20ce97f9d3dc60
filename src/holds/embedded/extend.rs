use super::call::Call;
use crate::domain::{ReservationId, State};
use crate::holds::Reply;

impl Call<'_> {
    pub(super) fn extend(&mut self, id: &ReservationId, expire_ms: u64, lifetime_ms: u64, reacquire: bool) -> Reply {
        let Some(mut record) = self.addressed(id) else { return Reply::NotFound };
        match record.state {
            State::Confirming => return Reply::Accepted(record),
            State::Held if Some(expire_ms) <= record.expire_ms => return Reply::Accepted(record),
            State::Held => {}
            State::Expired if reacquire && expire_ms > self.now_ms => {}
            State::Expired | State::Confirmed | State::Cancelled | State::Rejected => return Reply::Ended(record),
        }
        let latest_ms = record.create_ms.unwrap_or(0) + lifetime_ms;
        if expire_ms > latest_ms {
            return Reply::BeyondLifetime(latest_ms);
        }
        if record.state == State::Expired
            && let Some(refusal) = self.refusal_to_hold(&record.lines)
        {
            return refusal;
        }

        if record.state == State::Expired {
            self.hold(&record.lines, 1);
        }
        record.state = State::Held;
        record.expire_ms = Some(expire_ms);
        record.end_ms = None;
        self.write(record)
    }
}
