//! A sorted set: members by score, then by their bytes; as Redis orders them.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use crate::domain::ReservationId;

#[derive(Default)]
pub(super) struct Scored {
    order: BTreeSet<(u64, ReservationId)>,
    scores: HashMap<ReservationId, u64>,
}

impl Scored {
    pub(super) fn set(&mut self, id: &ReservationId, score: u64) {
        self.remove(id);
        self.order.insert((score, id.clone()));
        self.scores.insert(id.clone(), score);
    }

    pub(super) fn remove(&mut self, id: &ReservationId) {
        if let Some(score) = self.scores.remove(id) {
            self.order.remove(&(score, id.clone()));
        }
    }

    /// The first `limit` members with a score of at most `score`.
    pub(super) fn up_to(&self, score: u64, limit: usize) -> Vec<(u64, ReservationId)> {
        self.order.iter().take_while(|(entry, _)| *entry <= score).take(limit).cloned().collect()
    }

    /// The first `limit` members with a score of more than `score`.
    pub(super) fn beyond(&self, score: u64, limit: usize) -> Vec<(u64, ReservationId)> {
        self.order.iter().skip_while(|(entry, _)| *entry <= score).take(limit).cloned().collect()
    }

    /// The first `limit` members behind a place, or from the beginning.
    pub(super) fn after(&self, place: Option<(u64, ReservationId)>, limit: usize) -> Vec<(u64, ReservationId)> {
        let from = place.map_or(Bound::Unbounded, Bound::Excluded);
        self.order.range((from, Bound::Unbounded)).take(limit).cloned().collect()
    }
}
