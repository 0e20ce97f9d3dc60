//! The table of what happened, one row for each fault.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::order::End;
use crate::run::{Run, locked};

/// All runs of one fault.
#[derive(Default)]
struct Row {
    runs: u64,
    requests: u64,
    acknowledged: u64,
    refused: u64,
    unknown: u64,
    windows: u64,
    probes: u64,
    confirmed: usize,
    healed: Vec<Duration>,
    findings: u64,
    violations: u64,
}

/// One row for each fault.
#[derive(Default)]
pub(crate) struct Table(BTreeMap<&'static str, Row>);

const HEAD: [&str; 12] = [
    "fault",
    "runs",
    "requests",
    "acknowledged",
    "refused",
    "unknown",
    "confirmed",
    "heals in ms (median/max)",
    "probes",
    "windows",
    "findings",
    "violations",
];

impl Table {
    /// What is known of these runs when no audit of them is left.
    pub(crate) fn of(runs: &[Arc<Run>]) -> Self {
        let mut table = Self::default();
        for run in runs {
            table.add(run);
        }
        table
    }

    fn add(&mut self, run: &Run) {
        let row = self.0.entry(run.fault).or_default();
        row.runs += 1;
        row.requests += run.counts.requests.load(Ordering::Relaxed);
        row.acknowledged += run.counts.acknowledged.load(Ordering::Relaxed);
        row.refused += run.counts.refused.load(Ordering::Relaxed);
        row.unknown += run.counts.unknown.load(Ordering::Relaxed);
        row.confirmed += run.ended().iter().filter(|order| order.end == Some(End::Confirmed)).count();
        row.healed.extend(locked(&run.counts.healed).iter());
        row.probes += run.counts.probes.load(Ordering::Relaxed);
        row.windows += run.counts.windows.load(Ordering::Relaxed);
        row.findings += run.counts.findings.load(Ordering::Relaxed);
        row.violations += run.violations();
    }
}

impl Row {
    fn cells(&self, fault: &str) -> [String; 12] {
        let mut healed: Vec<_> = self.healed.iter().map(Duration::as_millis).collect();
        healed.sort_unstable();
        let heals = match (healed.get(healed.len().saturating_sub(1) / 2), healed.last()) {
            (Some(median), Some(max)) => format!("{median}/{max}"),
            _ => "-".to_owned(),
        };
        let Self { runs, requests, acknowledged, refused, unknown, probes, windows, findings, violations, .. } = self;
        let [runs, requests, acknowledged, refused, unknown, probes, windows, findings, violations] =
            [runs, requests, acknowledged, refused, unknown, probes, windows, findings, violations].map(u64::to_string);
        let Self { confirmed, .. } = self;
        let confirmed = confirmed.to_string();
        let fault = fault.to_owned();
        [fault, runs, requests, acknowledged, refused, unknown, confirmed, heals, probes, windows, findings, violations]
    }

    fn sum<'a>(rows: impl Iterator<Item = &'a Self>) -> Self {
        rows.fold(Self::default(), |mut sum, row| {
            sum.runs += row.runs;
            sum.requests += row.requests;
            sum.acknowledged += row.acknowledged;
            sum.refused += row.refused;
            sum.unknown += row.unknown;
            sum.confirmed += row.confirmed;
            sum.healed.extend(&row.healed);
            sum.probes += row.probes;
            sum.windows += row.windows;
            sum.findings += row.findings;
            sum.violations += row.violations;
            sum
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![HEAD.map(str::to_owned)];
        rows.extend(self.0.iter().map(|(fault, row)| row.cells(fault)));
        rows.push(Row::sum(self.0.values()).cells("all"));
        let widths: Vec<_> = (0..HEAD.len()).map(|cell| rows.iter().map(|row| row[cell].len()).max()).collect();
        for (number, row) in rows.iter().enumerate() {
            let mut line = String::from("|");
            for (cell, (text, width)) in row.iter().zip(&widths).enumerate() {
                let width = width.unwrap_or_default();
                if cell == 0 { write!(line, " {text:width$} |")? } else { write!(line, " {text:>width$} |")? }
            }
            writeln!(f, "{line}")?;
            if number == 0 {
                let rules: Vec<_> = widths.iter().map(|width| "-".repeat(width.unwrap_or_default())).collect();
                writeln!(f, "| {} |", rules.join(" | "))?;
            }
        }
        Ok(())
    }
}
