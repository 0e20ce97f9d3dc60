//! A sorted set: members by score, then by their bytes; as Redis orders them.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use crate::domain::ReservationId;

/// A sorted set. Scores are Unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scored {
    order: BTreeSet<(u64, ReservationId)>,
    scores: HashMap<ReservationId, u64>,
}

impl Scored {
    /// All members, in order.
    pub fn iter(&self) -> impl Iterator<Item = &(u64, ReservationId)> {
        self.order.iter()
    }

    /// The score of a member.
    pub fn score(&self, id: &ReservationId) -> Option<u64> {
        self.scores.get(id).copied()
    }

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
