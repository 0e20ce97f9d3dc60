//! The report: a line for each cell while the run goes on; at its end a table, also on standard output, plots, and
//! everything as JSON.

mod json;
mod plots;
mod table;

use std::error::Error;
use std::fs;
use std::path::Path;

use crate::figures::Measured;
use crate::results::Results;

/// The figures that show at a glance how a cell went.
const GLANCE: [&str; 6] = [
    "operations_per_s",
    "reserve_p50_us",
    "reserve_p99_us",
    "confirm_p50_us",
    "confirm_p99_us",
    "redis_bytes_per_hold",
];

/// One round of a cell in short.
pub(crate) fn line(measured: &Measured) -> String {
    let figures = GLANCE.iter().filter_map(|name| Some(format!("{name} {:.0}", measured.figures.get(*name)?)));
    let errors = measured.errors.iter().map(|(error, count)| format!("FAILED {count} times: {error}"));
    figures.chain(errors).collect::<Vec<_>>().join(", ")
}

/// Prints the table and writes all files into this folder.
pub(crate) fn write(results: &Results, out: &Path) -> Result<(), Box<dyn Error>> {
    let table = table::table(results);
    println!("\n{table}");
    fs::write(out.join("table.md"), table)?;
    fs::write(out.join("results.json"), format!("{:#}\n", json::json(results)))?;
    plots::draw(results, out)
}
