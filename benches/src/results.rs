//! All that was measured.

use std::collections::BTreeMap;

use crate::args::Arguments;
use crate::cell::Cell;
use crate::figures::{Measured, Spread, spread, spreads};

/// All rounds of all cells, and where they were measured.
pub(crate) struct Results {
    /// Facts about the machine and the run, in the order of the report.
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) cells: Vec<CellResults>,
}

/// The cells of one round. The machine had less time to change between them than over the whole run.
pub(crate) struct Round<'a> {
    results: &'a Results,
    index: usize,
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
        self.over_rounds(|round| round.figure(cell, figure)).map(|spread| spread.median)
    }

    /// The spread of a value over the rounds that have all its figures, if there are any.
    pub(crate) fn over_rounds(&self, value: impl Fn(&Round) -> Option<f64>) -> Option<Spread> {
        let rounds = self.cells.iter().map(|cell| cell.rounds.len()).max()?;
        let values: Vec<_> = (0..rounds).filter_map(|index| value(&Round { results: self, index })).collect();
        (!values.is_empty()).then(|| spread(values))
    }

    /// The names of cells in which something went wrong.
    pub(crate) fn failed(&self) -> Vec<String> {
        self.cells.iter().filter(|cell| cell.has_failed()).map(|cell| cell.cell.name()).collect()
    }
}

impl Round<'_> {
    pub(crate) fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.results.cells.iter().map(|cell| &cell.cell)
    }

    /// A figure of a cell, if both were measured and nothing failed there in any round.
    pub(crate) fn figure(&self, cell: &Cell, figure: &str) -> Option<f64> {
        let name = cell.name();
        let found = self.results.cells.iter().find(|found| found.cell.name() == name && !found.has_failed())?;
        found.rounds.get(self.index)?.figures.get(figure).copied()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;

    #[test]
    fn a_ratio_is_of_figures_of_one_round() {
        let cells = [Cell::RedisPing, Cell::GroupCommit { orders: 1, workers: 1 }];
        let [base, compared] = &cells;
        let rounds = |values: [f64; 3]| values.map(figure_of).to_vec();
        let results = Results {
            facts: Vec::new(),
            cells: vec![
                CellResults { cell: base.clone(), rounds: rounds([5.0, 10.0, 20.0]) },
                CellResults { cell: compared.clone(), rounds: rounds([20.0, 10.0, 60.0]) },
            ],
        };
        let ratio = results.over_rounds(|round| Some(round.figure(compared, "x")? / round.figure(base, "x")?));
        assert_eq!(ratio, Some(Spread { median: 3.0, min: 1.0, max: 4.0 }));
        assert_eq!(results.over_rounds(|round| round.figure(base, "y")), None);
        assert_eq!(results.median(compared, "x"), Some(20.0));
    }

    fn figure_of(value: f64) -> Measured {
        Measured { figures: Figures::from([("x".to_owned(), value)]), ..Measured::default() }
    }
}
