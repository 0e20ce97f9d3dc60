//! The results as Markdown: cells, targets, and the machine.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::figures::Spread;
use crate::results::Results;
use crate::targets::{Bound, TARGETS};

/// A column: its head, its figures, and how many of the figures' unit make one of the column's.
type Column = (&'static str, &'static [&'static str], f64);

/// The columns after the first two, which are the cell and its rate with its spread.
const COLUMNS: [Column; 9] = [
    ("accepted/s", &["accepted_per_s"], 1.0),
    ("refused/s", &["refused_per_s"], 1.0),
    ("confirmed/s", &["confirmed_per_s"], 1.0),
    ("reserve ms p50/p99/p99.9", &["reserve_p50_us", "reserve_p99_us", "reserve_p999_us"], 1000.0),
    ("confirm ms p50/p99/p99.9", &["confirm_p50_us", "confirm_p99_us", "confirm_p999_us"], 1000.0),
    (
        "CPU us/op client/server/Redis/MariaDB",
        &["client_cpu_us_per_op", "server_cpu_us_per_op", "redis_cpu_us_per_op", "mariadb_cpu_us_per_op"],
        1.0,
    ),
    ("script calls/op", &["redis_script_calls_per_op"], 1.0),
    ("commits, questions/confirm", &["mysql_commits_per_confirm", "mysql_questions_per_confirm"], 1.0),
    ("peak MB", &["server_resident_peak_mb"], 1.0),
];

/// Figures that only a few cells have, in the last column, with their names there.
const OTHERS: [(&str, &str); 4] = [
    ("redis_bytes_per_hold", "bytes a hold"),
    ("call_p50_us", "us a call p50"),
    ("extended_per_s", "extended/s"),
    ("cancelled_per_s", "cancelled/s"),
];

pub(super) fn table(results: &Results) -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = write_all(&mut text, results);
    text
}

fn write_all(text: &mut String, results: &Results) -> std::fmt::Result {
    let heads: Vec<_> = COLUMNS.iter().map(|(head, ..)| *head).collect();
    writeln!(text, "| cell | operations/s (min–max) | {} | other |", heads.join(" | "))?;
    writeln!(text, "| --- |{}", " ---: |".repeat(COLUMNS.len() + 2))?;
    for cell in &results.cells {
        let spreads = cell.spreads();
        let failed = if cell.has_failed() { "**FAILED** " } else { "" };
        let rate = spreads.get("operations_per_s").map(with_spread).unwrap_or_default();
        let columns: Vec<_> = COLUMNS.iter().map(|column| figures(&spreads, column)).collect();
        let others =
            OTHERS.iter().filter_map(|(figure, name)| Some(format!("{} {name}", number(spreads.get(*figure)?.median))));
        let others = others.collect::<Vec<_>>().join(", ");
        writeln!(text, "| {failed}{} | {rate} | {} | {others} |", cell.cell.name(), columns.join(" | "))?;
    }
    for cell in &results.cells {
        for (error, count) in cell.errors() {
            writeln!(text, "\n**FAILED** {}: {count} times: {error}", cell.cell.name())?;
        }
    }

    writeln!(text, "\n| target | formula | value (min–max) | wanted | |\n| --- | --- | ---: | ---: | --- |")?;
    for target in TARGETS {
        let (value, met) = match target.value(results) {
            Some(value) if target.bound.is_met_by(value.median) => (with_spread(&value), "met"),
            Some(value) => (with_spread(&value), "**missed**"),
            None => (String::new(), "not measured"),
        };
        let wanted = match target.bound {
            Bound::AtLeast(least) => format!("at least {least}"),
            Bound::AtMost(most) => format!("at most {most}"),
        };
        writeln!(text, "| {} | {} | {value} | {wanted} | {met} |", target.name, target.formula)?;
    }

    let facts: Vec<_> = results.facts.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    writeln!(text, "\nMedians over rounds. {}.", facts.join("; "))
}

/// The medians of a column's figures, unless the cell has none of them.
fn figures(spreads: &BTreeMap<String, Spread>, (_, names, unit): &Column) -> String {
    let medians: Vec<_> = names.iter().map(|name| spreads.get(*name).map(|spread| spread.median / unit)).collect();
    if medians.iter().all(Option::is_none) {
        return String::new();
    }
    medians.into_iter().map(|median| median.map_or("–".to_owned(), number)).collect::<Vec<_>>().join(" / ")
}

fn with_spread(spread: &Spread) -> String {
    format!("{} ({}–{})", number(spread.median), number(spread.min), number(spread.max))
}

/// To about three digits; more would not be accurate.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
