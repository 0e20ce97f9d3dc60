//! Reading and writing the record of one reservation.

use super::call::Call;
use crate::domain::{Reservation, ReservationId, State};
use crate::holds::Reply;

impl Call<'_> {
    /// The reservation that a command is about, expired if it is overdue.
    pub(super) fn addressed(&mut self, id: &ReservationId) -> Option<Reservation> {
        let record = self.holds.records.get(id)?.clone();
        Some(if self.is_overdue(&record) { self.expire(record) } else { record })
    }

    pub(super) fn is_overdue(&self, record: &Reservation) -> bool {
        record.state == State::Held && record.expire_ms <= Some(self.now_ms)
    }

    pub(super) fn expire(&mut self, mut record: Reservation) -> Reservation {
        self.hold(&record.lines, -1);
        record.state = State::Expired;
        record.end_ms = record.expire_ms;
        self.finish(record.clone());
        record
    }

    /// Writes a record that time does not make forgotten, and enters it in the index of its state.
    pub(super) fn write(&mut self, record: Reservation) -> Reply {
        let id = &record.id;
        match record.state {
            State::Held => self.holds.deadlines.set(id, record.expire_ms.unwrap_or(0)),
            _ => {
                self.holds.deadlines.remove(id);
                self.holds.unsettled.set(id, self.now_ms);
            }
        }
        self.holds.records.insert(id.clone(), record.clone());
        Reply::Accepted(record)
    }

    /// Writes a record that has ended and needs no settlement (any more): it is forgotten after the retention time.
    pub(super) fn finish(&mut self, record: Reservation) -> Reply {
        let id = &record.id;
        self.holds.deadlines.remove(id);
        self.holds.unsettled.remove(id);
        self.ended.push(id.clone());
        self.holds.records.insert(id.clone(), record.clone());
        Reply::Accepted(record)
    }
}
