use super::call::Call;
use crate::domain::{Lines, Reservation, ReservationId, State};
use crate::holds::Reply;

impl Call<'_> {
    pub(super) fn cancel(&mut self, id: &ReservationId) -> Reply {
        let record = self.addressed(id);
        match record {
            Some(record) if matches!(record.state, State::Confirming | State::Cancelled) => {
                return Reply::Accepted(record);
            }
            Some(record) if matches!(record.state, State::Confirmed | State::Rejected) => return Reply::Ended(record),
            None if self.holds.registers.is_empty() => return Reply::UnknownLocation,
            None if self.holds.tombstones >= self.tombstones_max => return Reply::TombstonesFull,
            _ => {}
        }

        if let Some(record) = record.as_ref().filter(|record| record.state == State::Held) {
            self.hold(&record.lines, -1);
        }
        let (state, end_ms) = (State::Cancelled, None);
        self.write(match record {
            Some(record) => Reservation { state, end_ms, ..record },
            None => Reservation {
                id: id.clone(),
                state,
                lines: Lines::default(),
                reserved: None,
                confirmed: None,
                create_ms: None,
                expire_ms: None,
                end_ms,
            },
        })
    }
}
