//! Answers, from the words of the domain to protobuf, and how much memory they take.

use prost::Message;
use prost_types::Timestamp;

use super::v1;
use crate::domain::{Location, Reservation, Sku, State, StockItem};
use crate::service::reconcile::{Finding, FindingKind, ReconcileReport};

pub(super) fn reservation(location: &Location, reservation: Reservation) -> v1::Reservation {
    let lines = reservation.lines.iter();
    v1::Reservation {
        location: location.to_string(),
        reservation_id: reservation.id.to_string(),
        lines: lines.map(|line| v1::Line { sku: line.sku.to_string(), quantity: line.quantity }).collect(),
        state: state(reservation.state).into(),
        create_time: reservation.create_ms.map(timestamp),
        expire_time: reservation.expire_ms.map(timestamp),
        end_time: reservation.end_ms.map(timestamp),
    }
}

/// How much memory an outcome takes, near enough.
pub(super) fn memory_bytes(outcome: &v1::Outcome) -> usize {
    let more = match &outcome.outcome {
        Some(v1::outcome::Outcome::Reservation(reservation)) => {
            let lines = reservation.lines.iter();
            lines.map(|line| size_of::<v1::Line>() + line.sku.len()).sum()
        }
        Some(v1::outcome::Outcome::Error(error)) => error.encoded_len(),
        None => 0,
    };
    size_of::<v1::Outcome>() + more
}

fn state(state: State) -> v1::ReservationState {
    match state {
        State::Held => v1::ReservationState::Held,
        State::Confirming => v1::ReservationState::Confirming,
        State::Confirmed => v1::ReservationState::Confirmed,
        State::Cancelled => v1::ReservationState::Cancelled,
        State::Expired => v1::ReservationState::Expired,
        State::Rejected => v1::ReservationState::Rejected,
    }
}

fn timestamp(millis: u64) -> Timestamp {
    // A store's clock is far from the ends of these types.
    let seconds = i64::try_from(millis / 1000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(millis % 1000 * 1_000_000).unwrap_or_default();
    Timestamp { seconds, nanos }
}

pub(super) fn stock(items: Vec<StockItem>) -> Vec<v1::StockItem> {
    items.into_iter().map(stock_item).collect()
}

fn stock_item(item: StockItem) -> v1::StockItem {
    v1::StockItem {
        sku: item.sku.to_string(),
        on_hand: item.row.on_hand,
        floor: item.row.floor,
        held: item.held,
        available: item.row.available(item.held),
        version: item.row.version,
        retired: item.row.retired,
    }
}

pub(super) fn report(report: ReconcileReport) -> v1::ReconcileResponse {
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    v1::ReconcileResponse {
        finding_count: count(report.finding_count),
        repaired_count: count(report.repaired_count),
        sku_count: count(report.sku_count),
        reservation_count: count(report.reservation_count),
        findings: report.findings.into_iter().map(finding).collect(),
    }
}

fn finding(finding: Finding) -> v1::ReconcileFinding {
    use v1::reconcile_finding::Kind;
    let kind = match finding.kind {
        FindingKind::Register => Kind::Register,
        FindingKind::Held => Kind::Held,
        FindingKind::Settled => Kind::Settled,
        FindingKind::Index => Kind::Index,
        FindingKind::Books => Kind::Books,
    };
    v1::ReconcileFinding {
        kind: kind.into(),
        sku: finding.sku.as_ref().map(Sku::to_string).unwrap_or_default(),
        reservation_id: finding.id.map(|id| id.to_string()).unwrap_or_default(),
        description: finding.description,
        repaired: finding.repaired,
    }
}
