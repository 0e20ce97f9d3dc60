//! One transaction that settles many reservations of one location.
//!
//! It reads, decides and writes in two round trips, whatever the size of the batch, because others wait for the rows
//! that it locks. No verdict is returned before its commit.
//!
//! The first attempt skips reading existing settlements, because there almost never are any. If the primary key rejects
//! an insert, the transaction is repeated and reads them. So a repetition after a commit whose answer was lost finds
//! its own settlements and answers them.

use std::collections::BTreeSet;

use super::clock::Clock;
use super::database::{Database, Facts, Reads, Writes};
use super::decide::{Answer, Decision, decide};
use super::error::{Failure, LedgerError};
use super::intent::{Intent, Verdict};
use crate::domain::{Lines, Location, ReservationId, Sku};

/// Settles these, in order; one verdict each.
pub(super) async fn commit(
    database: &dyn Database,
    clock: &Clock,
    location: &Location,
    intents: &[(&ReservationId, &Intent)],
) -> Result<Vec<Verdict>, LedgerError> {
    match attempt(database, clock, location, intents, BTreeSet::new()).await {
        Err(error) if error.failure() == Some(Failure::Duplicate) => {
            attempt(database, clock, location, intents, intents.iter().map(|(id, _)| *id).collect()).await
        }
        done => done,
    }
}

async fn attempt(
    database: &dyn Database,
    clock: &Clock,
    location: &Location,
    intents: &[(&ReservationId, &Intent)],
    may_be_settled: BTreeSet<&ReservationId>,
) -> Result<Vec<Verdict>, LedgerError> {
    let skus = intents.iter().flat_map(|(_, intent)| skus_to_deduct(intent)).collect();
    let reads = Reads { skus, reservations: may_be_settled, change: None };
    let (facts, transaction) = database.begin(location, reads).await?;
    let now_micros = clock.now_micros(facts.now_micros);
    let mut decision = decide(Facts { now_micros, ..facts }, intents.iter().copied());
    before_commit();
    transaction.commit(writes(&decision)).await?;
    after_commit();

    // Some rows are answered and were not locked, such as those of a repeated confirm. Read now, they are at least as
    // new as the commit. The transaction has just given back the connection that this takes.
    let to_answer = intents.iter().zip(&decision.answers).flat_map(|((_, intent), answer)| skus_of(intent, answer));
    let not_locked: BTreeSet<_> = to_answer.filter(|sku| !decision.rows.contains_key(*sku)).cloned().collect();
    if !not_locked.is_empty() {
        let not_locked: Vec<_> = not_locked.into_iter().collect();
        decision.rows.extend(database.rows(location, &not_locked).await?);
    }
    Ok(verdicts(intents, decision))
}

fn writes(decision: &Decision) -> Writes<'_> {
    let new = decision.answers.iter().filter(|answer| answer.is_new);
    Writes {
        settlements: new.map(|answer| (&answer.settlement.id, &answer.settlement)).collect(),
        changed_rows: decision.changed.iter().filter_map(|sku| decision.rows.get_key_value(sku)).collect(),
        ..Writes::default()
    }
}

fn skus_to_deduct(intent: &Intent) -> impl Iterator<Item = &Sku> {
    let lines = match intent {
        Intent::Confirm { lines, .. } => Some(lines),
        Intent::Cancel | Intent::Reject { .. } => None,
    };
    lines.into_iter().flat_map(Lines::skus)
}

/// The skus whose rows are answered to an intent, each once.
fn skus_of<'a>(intent: &'a Intent, answer: &'a Answer) -> impl Iterator<Item = &'a Sku> {
    let (asked, settled) = (intent.lines(), &answer.settlement.lines);
    let is_asked = move |sku: &&Sku| asked.is_some_and(|lines| lines.quantity(sku) > 0);
    asked.into_iter().flat_map(Lines::skus).chain(settled.skus().filter(move |sku| !is_asked(sku)))
}

fn verdicts(intents: &[(&ReservationId, &Intent)], decision: Decision) -> Vec<Verdict> {
    let Decision { answers, rows, .. } = decision;
    let verdict = |((_, intent), answer): (&(&ReservationId, &Intent), Answer)| {
        let rows = skus_of(intent, &answer).map(|sku| (sku.clone(), rows.get(sku).copied())).collect();
        Verdict { settlement: answer.settlement, rows, shortages: answer.shortages }
    };
    intents.iter().zip(answers).map(verdict).collect()
}

fn before_commit() {
    fail::fail_point!("ledger-before-commit", |_| std::process::abort());
}

fn after_commit() {
    fail::fail_point!("ledger-after-commit", |_| std::process::abort());
}
