//! Answers for people, as tables.

use std::time::{Duration, SystemTime};

use comfy_table::{CellAlignment, Table, presets};

use tonic_health::pb::health_check_response::ServingStatus;

use crate::grpc::v1;

/// A table without lines. A header that begins with `>` marks a column of numbers, aligned to the right.
fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.map(|name| name.trim_start_matches('>')));
    table.add_rows(rows);
    for (column, name) in table.column_iter_mut().zip(header) {
        column.set_padding((0, 2));
        if name.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// Some skus.
pub(super) fn stock(items: &[v1::StockItem]) -> String {
    if items.is_empty() {
        return "no stock".into();
    }
    let row = |item: &v1::StockItem| {
        [
            item.sku.clone(),
            item.on_hand.to_string(),
            item.floor.to_string(),
            item.held.to_string(),
            item.available.to_string(),
            item.version.to_string(),
            if item.retired { "retired".into() } else { String::new() },
        ]
    };
    table(["SKU", ">ON HAND", ">FLOOR", ">HELD", ">AVAILABLE", ">VERSION", ""], items.iter().map(row))
}

/// One reservation.
pub(super) fn reservation(reservation: Option<&v1::Reservation>) -> String {
    let Some(reservation) = reservation else { return "no reservation".into() };
    let head = format!(
        "{} in {}: {}{}",
        reservation.reservation_id,
        reservation.location,
        state(reservation),
        until(reservation, SystemTime::now()).map(|text| format!(", {text}")).unwrap_or_default()
    );
    if reservation.lines.is_empty() {
        return head;
    }
    let row = |line: &v1::Line| [line.sku.clone(), line.quantity.to_string()];
    format!("{head}\n{}", table(["SKU", ">UNITS"], reservation.lines.iter().map(row)))
}

/// Live reservations, a line each.
pub(super) fn reservations(reservations: &[v1::Reservation]) -> String {
    if reservations.is_empty() {
        return "no live reservations".into();
    }
    let now = SystemTime::now();
    let line = |line: &v1::Line| format!("{}={}", line.sku, line.quantity);
    let row = |reservation: &v1::Reservation| {
        [
            reservation.reservation_id.clone(),
            state(reservation).to_owned(),
            reservation.lines.iter().map(line).collect::<Vec<_>>().join(" "),
            until(reservation, now).unwrap_or_default(),
        ]
    };
    table(["RESERVATION", "STATE", "LINES", "UNTIL"], reservations.iter().map(row))
}

/// What a reconciliation found.
pub(super) fn findings(answer: &v1::ReconcileResponse) -> String {
    let head = format!(
        "compared: {} skus, {} live reservations; differences: {}, repaired: {}",
        answer.sku_count, answer.reservation_count, answer.finding_count, answer.repaired_count
    );
    if answer.findings.is_empty() {
        return head;
    }
    let row = |finding: &v1::ReconcileFinding| {
        [
            finding.kind().as_str_name().trim_start_matches("KIND_").to_owned(),
            finding.sku.clone(),
            finding.reservation_id.clone(),
            if finding.repaired { "yes".into() } else { "no".into() },
            finding.description.clone(),
        ]
    };
    let rows = table(["KIND", "SKU", "RESERVATION", "REPAIRED", "DESCRIPTION"], answer.findings.iter().map(row));
    format!("{head}\n{rows}")
}

/// The health of some services.
pub(super) fn health(statuses: &[(String, ServingStatus)]) -> String {
    let row = |(service, status): &(String, ServingStatus)| {
        [if service.is_empty() { "(server)".into() } else { service.clone() }, status.as_str_name().to_owned()]
    };
    table(["SERVICE", "STATUS"], statuses.iter().map(row))
}

fn state(reservation: &v1::Reservation) -> &'static str {
    reservation.state().as_str_name().trim_start_matches("RESERVATION_STATE_")
}

/// How long a reservation still lasts, or when it ended. The remaining time goes by this machine's clock and the
/// service by its own, so the absolute time is shown too.
fn until(reservation: &v1::Reservation, now: SystemTime) -> Option<String> {
    let time = |time: Option<prost_types::Timestamp>| SystemTime::try_from(time?).ok();
    if let Some(end) = time(reservation.end_time) {
        return Some(format!("since {}", humantime::format_rfc3339_millis(end)));
    }
    // A reservation that is being confirmed no longer expires.
    if reservation.state() != v1::ReservationState::Held {
        return None;
    }
    let expires = time(reservation.expire_time)?;
    let remaining = Duration::from_secs(expires.duration_since(now).unwrap_or_default().as_secs());
    let absolute = humantime::format_rfc3339_millis(expires);
    Some(format!("expires in {} ({absolute})", humantime::format_duration(remaining)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_at_the_right() {
        let items = [
            v1::StockItem {
                sku: "sku-a".into(),
                on_hand: 100,
                held: 2,
                available: 98,
                version: 7,
                ..Default::default()
            },
            v1::StockItem {
                sku: "long-sku".into(),
                on_hand: -5,
                floor: -20,
                available: 0,
                version: 12,
                retired: true,
                held: 0,
            },
        ];
        let expected = "\
SKU       ON HAND  FLOOR  HELD  AVAILABLE  VERSION
sku-a         100      0     2         98        7
long-sku       -5    -20     0          0       12  retired";
        assert_eq!(stock(&items), expected);
        assert_eq!(stock(&[]), "no stock");
    }

    #[test]
    fn the_remaining_time_stands_beside_the_absolute_one() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_363_200);
        let at = |seconds: u64, nanos: u32| Some((now + Duration::new(seconds, nanos)).into());
        let (held, confirming, expired) =
            (v1::ReservationState::Held, v1::ReservationState::Confirming, v1::ReservationState::Expired);
        for (state, expire_time, end_time, text) in [
            (held, at(598, 999_000_000), None, Some("expires in 9m 58s (2026-11-22T16:09:58.999Z)")),
            (confirming, at(598, 0), None, None),
            (expired, at(0, 0), at(0, 0), Some("since 2026-11-22T16:00:00.000Z")),
            (held, None, None, None),
        ] {
            let reservation = v1::Reservation { state: state.into(), expire_time, end_time, ..Default::default() };
            assert_eq!(until(&reservation, now).as_deref(), text, "{state:?}");
        }
    }

    #[test]
    fn an_id_that_was_cancelled_unseen_has_no_lines_to_show() {
        let cancelled = v1::Reservation {
            location: "default".into(),
            reservation_id: "order-1".into(),
            state: v1::ReservationState::Cancelled.into(),
            ..Default::default()
        };
        assert_eq!(reservation(Some(&cancelled)), "order-1 in default: CANCELLED");
    }

    #[test]
    fn findings_are_counted_and_named() {
        let answer = v1::ReconcileResponse {
            findings: vec![v1::ReconcileFinding {
                kind: v1::reconcile_finding::Kind::Held.into(),
                sku: "sku-a".into(),
                description: "held 3, expected 2".into(),
                repaired: true,
                ..Default::default()
            }],
            finding_count: 1,
            repaired_count: 1,
            sku_count: 2,
            reservation_count: 1,
        };
        let expected = "\
compared: 2 skus, 1 live reservations; differences: 1, repaired: 1
KIND  SKU    RESERVATION  REPAIRED  DESCRIPTION
HELD  sku-a               yes       held 3, expected 2";
        assert_eq!(findings(&answer), expected);
    }
}
