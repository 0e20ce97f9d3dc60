use super::call::Call;
use crate::domain::{Lines, Reservation, ReservationId, State};
use crate::holds::Reply;

impl Call<'_> {
    pub(super) fn reserve(&mut self, id: ReservationId, lines: Lines, ttl_ms: u64) -> Reply {
        let fingerprint = lines.fingerprint();
        if let Some(record) = self.addressed(&id) {
            return match record.state {
                _ if record.reserved.is_some_and(|reserved| reserved != fingerprint) => Reply::IdReused,
                State::Held | State::Confirming | State::Confirmed => Reply::Accepted(record),
                State::Cancelled | State::Expired | State::Rejected => Reply::Ended(record),
            };
        }
        if let Some(refusal) = self.refusal_to_hold(&lines) {
            return refusal;
        }

        self.hold(&lines, 1);
        self.write(Reservation {
            id,
            state: State::Held,
            lines,
            reserved: Some(fingerprint),
            confirmed: None,
            create_ms: Some(self.now_ms),
            expire_ms: Some(self.now_ms + ttl_ms),
            end_ms: None,
        })
    }
}
