//! All that was measured.

use std::collections::BTreeMap;

use crate::args::Arguments;
use crate::cell::Cell;
use crate::figures::{Measured, Spread, spreads};

/// All rounds of all cells, and where they were measured.
pub(crate) struct Results {
    /// About the machine and the run, in the order in which they are told.
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) cells: Vec<CellResults>,
}

/// All rounds of a cell.
pub(crate) struct CellResults {
    pub(crate) cell: Cell,
    pub(crate) rounds: Vec<Measured>,
}

impl Results {
    pub(crate) fn new(mut facts: Vec<(&'static str, String)>, arguments: &Arguments, cells: &[Cell]) -> Self {
        facts.push(("run", if arguments.quick { "quick" } else { "full" }.to_owned()));
        facts.push(("rounds", arguments.rounds().to_string()));
        facts.push(("seconds a cell", arguments.measured().as_secs_f64().to_string()));
        facts.push(("client threads", arguments.client_threads.to_string()));
        let cells = cells.iter().map(|cell| CellResults { cell: cell.clone(), rounds: Vec::new() }).collect();
        Self { facts, cells }
    }

    pub(crate) fn add(&mut self, cell: usize, measured: Measured) {
        self.cells[cell].rounds.push(measured);
    }

    /// The median of a figure of a cell, if both were measured and nothing failed there.
    pub(crate) fn median(&self, cell: &Cell, figure: &str) -> Option<f64> {
        let name = cell.name();
        let found = self.cells.iter().find(|found| found.cell.name() == name && !found.has_failed())?;
        found.spreads().get(figure).map(|spread| spread.median)
    }

    /// The names of cells in which something went wrong.
    pub(crate) fn failed(&self) -> Vec<String> {
        self.cells.iter().filter(|cell| cell.has_failed()).map(|cell| cell.cell.name()).collect()
    }
}

impl CellResults {
    pub(crate) fn has_failed(&self) -> bool {
        self.rounds.iter().any(|round| !round.errors.is_empty())
    }

    pub(crate) fn spreads(&self) -> BTreeMap<String, Spread> {
        spreads(&self.rounds)
    }

    /// All that went wrong in any round.
    pub(crate) fn errors(&self) -> BTreeMap<&str, u64> {
        let mut errors = BTreeMap::new();
        for (error, count) in self.rounds.iter().flat_map(|round| &round.errors) {
            *errors.entry(error.as_str()).or_default() += count;
        }
        errors
    }
}
