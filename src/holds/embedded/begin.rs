use super::call::Call;
use super::units::rest_of;
use crate::domain::{Lines, ReservationId, State};
use crate::holds::Reply;

impl Call<'_> {
    pub(super) fn begin(&mut self, id: &ReservationId, part: Option<Lines>, reacquire: bool) -> Reply {
        let Some(mut record) = self.addressed(id) else { return Reply::NotFound };
        let confirmed = part.as_ref().map(Lines::fingerprint).or(record.reserved);
        match record.state {
            State::Confirming | State::Confirmed if record.confirmed == confirmed => return Reply::Accepted(record),
            State::Confirming | State::Confirmed => return Reply::Mismatch,
            State::Cancelled | State::Rejected => return Reply::Ended(record),
            State::Expired if !reacquire => return Reply::Ended(record),
            State::Held | State::Expired => {}
        }
        let lines = part.unwrap_or_else(|| record.lines.clone());
        if lines != record.lines {
            self.worked += record.lines.len();
        }
        if !lines.within(&record.lines) {
            return Reply::Mismatch;
        }
        if record.state == State::Expired
            && let Some(refusal) = self.refusal_to_hold(&lines)
        {
            return refusal;
        }

        match record.state {
            State::Held => self.hold(&rest_of(&record.lines, &lines), -1),
            _ => self.hold(&lines, 1),
        }
        record.state = State::Confirming;
        record.lines = lines;
        record.confirmed = confirmed;
        record.end_ms = None;
        self.write(record)
    }
}
