//! Writes commands as script arguments. The forms are described in `holds.lua`.

use std::fmt::Write;

use crate::domain::{Fingerprint, Lines, Outcome, Sku, StockRow};
use crate::holds::{Command, Held, Index, Rows};

/// The name of the command and its arguments.
pub(super) fn write(command: &Command) -> Vec<String> {
    match command {
        Command::Reserve { id, lines, ttl_ms } => {
            args("reserve", [id.to_string(), write_lines(lines), lines.fingerprint().to_string(), ttl_ms.to_string()])
        }
        Command::Begin { id, lines, reacquire } => {
            let fingerprint = lines.as_ref().map(Lines::fingerprint);
            let lines = lines.as_ref().map(write_lines).unwrap_or_default();
            args("begin", [id.to_string(), lines, write_fingerprint(fingerprint), write_flag(*reacquire)])
        }
        Command::Cancel { id } => args("cancel", [id.to_string()]),
        Command::Extend { id, expire_ms, lifetime_ms, reacquire } => {
            args("extend", [id.to_string(), expire_ms.to_string(), lifetime_ms.to_string(), write_flag(*reacquire)])
        }
        Command::Settle { settlement, rows } => args(
            "settle",
            [
                settlement.id.to_string(),
                write_outcome(settlement.outcome).into(),
                write_fingerprint(settlement.reserved),
                write_fingerprint(settlement.confirmed),
                settlement.time_ms.to_string(),
                write_lines(&settlement.lines),
                write_rows(rows),
            ],
        ),
        Command::Push { rows } => args("push", [write_rows(rows)]),
        Command::ReplaceRegister { sku, judged, row } => {
            args("replace_register", [sku.to_string(), write_row(judged.as_ref()), write_row(row.as_ref())])
        }
        Command::ReplaceHeld { sku, judged, units } => {
            args("replace_held", [sku.to_string(), write_held(judged), units.to_string()])
        }
        Command::Stock { skus } => args("stock", [write_skus(skus)]),
        Command::Counters { skus } => args("counters", [write_skus(skus)]),
        Command::Skus { cursor } => args("skus", [cursor.clone()]),
        Command::Get { id } => args("get", [id.to_string()]),
        Command::List { after: None, limit } => {
            args("list", [String::new(), String::new(), String::new(), limit.to_string()])
        }
        Command::List { after: Some(position), limit } => args(
            "list",
            [
                write_index(position.index).into(),
                position.score_ms.to_string(),
                position.id.to_string(),
                limit.to_string(),
            ],
        ),
        Command::Sweep => args("sweep", []),
        Command::Claim { limit, grace_ms } => args("claim", [limit.to_string(), grace_ms.to_string()]),
        Command::GetSynced => args("get_synced", []),
        Command::SetSynced { judged, version } => {
            args("set_synced", [judged.map(|judged| judged.to_string()).unwrap_or_default(), version.to_string()])
        }
    }
}

fn args<const N: usize>(name: &str, arguments: [String; N]) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(arguments).collect()
}

fn write_lines(lines: &Lines) -> String {
    let mut text = String::with_capacity(lines.len() * 24);
    for line in lines.iter() {
        let tab = if text.is_empty() { "" } else { "\t" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{tab}{}\t{}", line.sku, line.quantity);
    }
    text
}

fn write_skus(skus: &[Sku]) -> String {
    skus.iter().map(Sku::as_str).collect::<Vec<_>>().join("\t")
}

fn write_rows(rows: &Rows) -> String {
    rows.iter().map(|(sku, row)| format!("{sku}\t{}", write_row(row.as_ref()))).collect::<Vec<_>>().join("\t")
}

fn write_row(row: Option<&StockRow>) -> String {
    row.map_or_else(String::new, |row| {
        format!("{} {} {} {}", row.version, row.on_hand, row.floor, u8::from(row.retired))
    })
}

fn write_held(held: &Held) -> String {
    format!("{} {}", held.units, held.changes)
}

fn write_fingerprint(fingerprint: Option<Fingerprint>) -> String {
    fingerprint.map(|fingerprint| fingerprint.to_string()).unwrap_or_default()
}

fn write_flag(flag: bool) -> String {
    u8::from(flag).to_string()
}

fn write_outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Confirmed => "CONFIRMED",
        Outcome::Cancelled => "CANCELLED",
        Outcome::Rejected => "REJECTED",
    }
}

fn write_index(index: Index) -> &'static str {
    match index {
        Index::Deadlines => "deadlines",
        Index::Unsettled => "unsettled",
    }
}
