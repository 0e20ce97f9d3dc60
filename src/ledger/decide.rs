//! What becomes of a batch of intents. It is pure, so every rule of settling can be read and tested without a database.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::database::Facts;
use super::intent::Intent;
use crate::domain::stock::next_version;
use crate::domain::{Lines, Outcome, ReservationId, Settlement, Shortage, Sku, StockRow};

/// What is to be written, and what each intent is answered once it is.
#[derive(Default)]
pub(super) struct Decision {
    /// One for each intent, in order.
    pub(super) answers: Vec<Answer>,
    /// All rows of the facts, as they stand after the batch.
    pub(super) rows: BTreeMap<Sku, StockRow>,
    /// Those of the rows that the batch changes.
    pub(super) changed: BTreeSet<Sku>,
}

/// The settlement that stands, and why it is a rejection if this intent made it one.
pub(super) struct Answer {
    pub(super) settlement: Settlement,
    pub(super) shortages: Vec<Shortage>,
    /// Whether it is this intent that settled the reservation.
    pub(super) is_new: bool,
}

/// Decides in order of arrival. What is settled already, by the facts or earlier in this batch, stands. The rows of the
/// facts cover all lines to confirm, except skus that have no row.
pub(super) fn decide<'a>(facts: Facts, intents: impl IntoIterator<Item = (&'a ReservationId, &'a Intent)>) -> Decision {
    let Facts { now_micros, rows, settled, .. } = facts;
    let mut decision = Decision { rows, ..Decision::default() };
    // Where the answer stands of each reservation that is settled in this batch.
    let mut settled_here = HashMap::new();
    for (place, (id, intent)) in intents.into_iter().enumerate() {
        let earlier = settled_here.get(id).map(|earlier: &usize| &decision.answers[*earlier].settlement);
        let answer = match settled.get(id).or(earlier) {
            Some(settlement) => Answer { settlement: settlement.clone(), shortages: Vec::new(), is_new: false },
            None => {
                settled_here.insert(id, place);
                decision.settle(now_micros, id, intent)
            }
        };
        decision.answers.push(answer);
    }
    decision
}

impl Decision {
    fn settle(&mut self, now_micros: i64, id: &ReservationId, intent: &Intent) -> Answer {
        let settlement = |outcome| Settlement {
            id: id.clone(),
            outcome,
            reserved: None,
            confirmed: None,
            lines: Lines::default(),
            time_ms: now_micros.cast_unsigned() / 1000,
        };
        let answer = |settlement, shortages| Answer { settlement, shortages, is_new: true };
        match intent {
            Intent::Cancel => answer(settlement(Outcome::Cancelled), Vec::new()),
            Intent::Reject { .. } => answer(settlement(Outcome::Rejected), Vec::new()),
            Intent::Confirm { lines, reserved, confirmed } => {
                let shortages = self.shortages(lines);
                if !shortages.is_empty() {
                    return answer(settlement(Outcome::Rejected), shortages);
                }
                self.deduct(now_micros, lines);
                let settlement = Settlement {
                    reserved: Some(*reserved),
                    confirmed: Some(*confirmed),
                    lines: lines.clone(),
                    ..settlement(Outcome::Confirmed)
                };
                answer(settlement, shortages)
            }
        }
    }

    /// The lines that would take their row below its floor. A retired sku settles what was held before.
    fn shortages(&self, lines: &Lines) -> Vec<Shortage> {
        let short = |sku: &Sku, requested: i64| {
            let available = self.rows.get(sku).map_or(0, |row| row.on_hand - row.floor);
            (requested > available).then(|| Shortage {
                sku: sku.clone(),
                requested,
                available: available.max(0),
                held: 0,
            })
        };
        lines.iter().filter_map(|line| short(&line.sku, line.quantity.into())).collect()
    }

    /// A row gets one new version in a batch, because it is never seen in between.
    fn deduct(&mut self, now_micros: i64, lines: &Lines) {
        for line in lines.iter() {
            let Some(row) = self.rows.get_mut(&line.sku) else { continue };
            row.on_hand -= i64::from(line.quantity);
            if self.changed.insert(line.sku.clone()) {
                row.version = next_version(row.version, now_micros);
            }
        }
    }
}

#[cfg(test)]
mod tests;
