//! Reading one reservation, or those that are live.

use super::call::Call;
use crate::domain::{Reservation, ReservationId};
use crate::holds::{Index, PAGE_BYTES_MAX, Page, Position, Reply};

impl Call<'_> {
    pub(super) fn get(&mut self, id: &ReservationId) -> Reply {
        self.addressed(id).map_or(Reply::NotFound, Reply::Accepted)
    }

    pub(super) fn list(&mut self, after: Option<Position>, limit: usize) -> Page {
        let mut entries = Vec::new();
        for (index, members) in [(Index::Deadlines, &self.holds.deadlines), (Index::Unsettled, &self.holds.unsettled)] {
            let place = match &after {
                Some(position) if position.index > index => continue,
                Some(position) if position.index == index => Some((position.score_ms, position.id.clone())),
                _ => None,
            };
            let found = members.after(place, limit - entries.len());
            entries.extend(found.into_iter().map(|(score_ms, id)| Position { index, score_ms, id }));
        }
        let (mut reservations, mut bytes, mut looked) = (Vec::new(), 0, 0);
        while looked < entries.len() && bytes < PAGE_BYTES_MAX {
            let record = self.holds.records.get(&entries[looked].id).filter(|record| record.state.is_live());
            bytes += record.map_or(0, terms_bytes);
            reservations.extend(record.cloned());
            looked += 1;
        }
        self.worked += looked;
        let is_last = looked == entries.len() && looked < limit;
        let next = if is_last { None } else { entries.into_iter().take(looked).next_back() };
        Page { reservations, next, now_ms: self.now_ms }
    }
}

/// The bytes of fingerprints and lines in the form in which Redis keeps them.
fn terms_bytes(record: &Reservation) -> usize {
    let prints = [record.reserved, record.confirmed].into_iter().flatten();
    let lines = record.lines.iter().map(|line| line.sku.as_str().len() + line.quantity.to_string().len() + 2);
    let separators = if record.lines.is_empty() { 2 } else { 1 };
    prints.map(|print| print.to_string().len()).sum::<usize>() + lines.sum::<usize>() + separators
}
