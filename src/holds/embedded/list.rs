//! Reading one reservation, or those that are live.

use super::call::Call;
use crate::domain::ReservationId;
use crate::holds::{Index, Page, Position, Reply};

impl Call<'_> {
    pub(super) fn get(&mut self, id: &ReservationId) -> Reply {
        self.addressed(id).map_or(Reply::NotFound, Reply::Accepted)
    }

    pub(super) fn list(&self, after: Option<Position>, limit: usize) -> Page {
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
        let records = entries.iter().filter_map(|entry| self.holds.records.get(&entry.id));
        let reservations = records.filter(|record| record.state.is_live()).cloned().collect();
        let next = if entries.len() < limit { None } else { entries.pop() };
        Page { reservations, next, now_ms: self.now_ms }
    }
}
