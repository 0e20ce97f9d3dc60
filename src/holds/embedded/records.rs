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

    fn put(&mut self, record: Reservation) {
        let is = is_tombstone(&record);
        let was = self.holds.records.insert(record.id.clone(), record).is_some_and(|old| is_tombstone(&old));
        self.holds.tombstones = self.holds.tombstones + usize::from(is) - usize::from(was);
    }

    pub(super) fn remove(&mut self, id: &ReservationId) {
        let was = self.holds.records.remove(id).is_some_and(|old| is_tombstone(&old));
        self.holds.tombstones -= usize::from(was);
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
        self.put(record.clone());
        Reply::Accepted(record)
    }

    /// Writes a record that has ended and needs no settlement (any more): it is forgotten after the retention time.
    pub(super) fn finish(&mut self, record: Reservation) -> Reply {
        let id = &record.id;
        self.holds.deadlines.remove(id);
        self.holds.unsettled.remove(id);
        self.ended.push(id.clone());
        self.put(record.clone());
        Reply::Accepted(record)
    }
}

/// Whether the id was cancelled and never held.
fn is_tombstone(record: &Reservation) -> bool {
    record.state == State::Cancelled && record.create_ms.is_none()
}

/// Whether the ledger's word on it is not known here. A cancelled reservation has no end until it is settled.
pub(super) fn awaits_settlement(record: &Reservation) -> bool {
    record.state == State::Confirming || (record.state == State::Cancelled && record.end_ms.is_none())
}
