//! One transaction that settles many reservations of one location.
//!
//! It locks, looks, decides and writes, in this order, and promises nothing before its commit. Repeating it after a commit whose answer was
//! lost finds its own settlements and answers them.

use std::collections::BTreeSet;

use super::database::{Database, Transaction};
use super::decide::{Answer, Decision, Facts, decide};
use super::{Intent, LedgerError, Verdict};
use crate::domain::{Location, ReservationId, Sku};

/// Settles these, in order; one verdict each.
pub(super) async fn commit(
    database: &dyn Database,
    location: &Location,
    intents: &[(&ReservationId, &Intent)],
) -> Result<Vec<Verdict>, LedgerError> {
    let mut transaction = database.begin().await?;
    // An error from here on drops the transaction, which rolls it back.
    let to_confirm: Vec<Sku> = intents.iter().flat_map(|(_, intent)| lines_to_confirm(intent)).collect();
    let rows = transaction.lock_rows(location, &to_confirm).await?;
    let ids: Vec<ReservationId> = intents.iter().map(|(id, _)| (*id).clone()).collect();
    let settled = transaction.settlements(location, &ids).await?;
    // Read behind the locks: a version is never much older than its commit, on which the sync task's overlap rests.
    let now_micros = transaction.now_micros().await?;

    let mut decision = decide(Facts { now_micros, rows, settled }, intents.iter().copied());

    write(&mut *transaction, location, &decision).await?;
    let unseen = skus_to_answer(intents, &decision).into_iter().filter(|sku| !decision.rows.contains_key(sku));
    let seen = transaction.rows(location, &unseen.collect::<Vec<_>>()).await?;
    decision.rows.extend(seen);
    before_commit();
    transaction.commit().await?;
    after_commit();
    Ok(verdicts(intents, decision))
}

async fn write(transaction: &mut dyn Transaction, location: &Location, decision: &Decision) -> Result<(), LedgerError> {
    let mut settlements: Vec<_> = decision.settlements.iter().collect();
    // Two instances that settle the same ids must meet at the first of them, not crosswise.
    settlements.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    transaction.insert_settlements(location, &settlements, &decision.rows).await?;
    let changed = decision.changed.iter().filter_map(|sku| Some((sku, decision.rows.get(sku)?)));
    transaction.update_rows(location, &changed.collect::<Vec<_>>()).await
}

fn lines_to_confirm(intent: &Intent) -> impl Iterator<Item = Sku> {
    let lines = match intent {
        Intent::Confirm { lines, .. } => Some(lines),
        Intent::Cancel | Intent::Reject { .. } => None,
    };
    lines.into_iter().flat_map(|lines| lines.skus().cloned())
}

/// The skus of which an intent is answered the row.
fn skus_of(intent: &Intent, answer: &Answer) -> BTreeSet<Sku> {
    intent.lines().into_iter().chain([&answer.settlement.lines]).flat_map(|lines| lines.skus().cloned()).collect()
}

fn skus_to_answer(intents: &[(&ReservationId, &Intent)], decision: &Decision) -> BTreeSet<Sku> {
    intents.iter().zip(&decision.answers).flat_map(|((_, intent), answer)| skus_of(intent, answer)).collect()
}

fn verdicts(intents: &[(&ReservationId, &Intent)], decision: Decision) -> Vec<Verdict> {
    let Decision { answers, rows, .. } = decision;
    let verdict = |((_, intent), answer): (&(&ReservationId, &Intent), Answer)| {
        let skus = skus_of(intent, &answer).into_iter();
        let rows = skus.map(|sku| (sku.clone(), rows.get(&sku).copied())).collect();
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
