//! The result of a measurement: figures by name, with the unit at the end of each name.
//!
//! The table, the targets and `results.json` refer to figures by name. A new figure needs nothing else there.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// Figures by name.
pub(crate) type Figures = BTreeMap<String, f64>;

/// One cell in one round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) figures: Figures,
    /// What went wrong, and how often. It must be empty.
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Measured {
    /// A cell that could not be measured.
    pub(crate) fn failed(error: String) -> Self {
        Self { figures: Figures::new(), errors: [(error, 1)].into() }
    }
}

/// A value over all rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// Every figure over the rounds that have it.
pub(crate) fn spreads(rounds: &[Measured]) -> BTreeMap<String, Spread> {
    let mut values = BTreeMap::<String, Vec<f64>>::new();
    for (name, value) in rounds.iter().flat_map(|round| &round.figures) {
        values.entry(name.clone()).or_default().push(*value);
    }
    values.into_iter().map(|(name, values)| (name, spread(values))).collect()
}

/// The spread of at least one value.
pub(crate) fn spread(mut values: Vec<f64>) -> Spread {
    values.sort_by(f64::total_cmp);
    let (low, high) = ((values.len() - 1) / 2, values.len() / 2);
    Spread { median: f64::midpoint(values[low], values[high]), min: values[0], max: values[values.len() - 1] }
}

/// Latencies in nanoseconds, up to a minute, to three digits.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("these bounds are sound")
}

/// Adds the usual quantiles of these latencies.
pub(crate) fn add_latencies(figures: &mut Figures, name: &str, latencies: &Histogram<u64>) {
    if latencies.is_empty() {
        return;
    }
    for (label, quantile) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)] {
        figures.insert(format!("{name}_{label}_us"), latencies.value_at_quantile(quantile) as f64 / 1000.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        for (values, expected) in [
            (vec![3.0], Spread { median: 3.0, min: 3.0, max: 3.0 }),
            (vec![3.0, 1.0, 2.0], Spread { median: 2.0, min: 1.0, max: 3.0 }),
            (vec![4.0, 1.0, 2.0, 3.0], Spread { median: 2.5, min: 1.0, max: 4.0 }),
        ] {
            assert_eq!(spread(values), expected);
        }
    }
}
