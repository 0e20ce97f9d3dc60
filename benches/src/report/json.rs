//! Everything as JSON: all rounds, their medians, the targets and the machine.

use serde_json::{Map, Value, json};

use crate::cell::Cell;
use crate::figures::Spread;
use crate::pace::Pace;
use crate::results::{CellResults, Results};
use crate::targets::{Bound, TARGETS};

pub(super) fn json(results: &Results) -> Value {
    let facts = results.facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
    json!({
        "facts": facts.collect::<Map<_, _>>(),
        "cells": results.cells.iter().map(cell).collect::<Vec<_>>(),
        "targets": targets(results),
    })
}

fn cell(results: &CellResults) -> Value {
    let spreads = results.spreads().into_iter().map(|(name, spread)| (name, over_rounds(&spread)));
    let rounds = results.rounds.iter().map(|round| json!({ "figures": round.figures, "errors": round.errors }));
    let mut object = json!({
        "name": results.cell.name(),
        "failed": results.has_failed(),
        "medians": spreads.collect::<Map<_, _>>(),
        "rounds": rounds.collect::<Vec<_>>(),
    });
    if let Cell::Load { system, load } = &results.cell {
        object["system"] = json!(system.name());
        object["workload"] = json!(load.workload.to_string());
        object["way"] = json!(load.way.to_string());
        object["locations"] = json!(load.shape.locations);
        object["skus"] = json!(load.shape.skus);
        match load.pace {
            Pace::Closed { callers } => object["callers"] = json!(callers),
            Pace::Open { per_second } => object["operations_meant_per_s"] = json!(per_second),
        }
    }
    object
}

fn targets(results: &Results) -> Vec<Value> {
    let target = TARGETS.iter().map(|target| {
        let value = target.value(results);
        let (bound, limit) = match target.bound {
            Bound::AtLeast(least) => ("at least", least),
            Bound::AtMost(most) => ("at most", most),
        };
        json!({
            "name": target.name,
            "formula": target.formula,
            "bound": bound,
            "limit": limit,
            "value": value.as_ref().map(over_rounds),
            "met": value.map(|value| target.bound.is_met_by(value.median)),
        })
    });
    target.collect()
}

fn over_rounds(spread: &Spread) -> Value {
    json!({ "median": spread.median, "min": spread.min, "max": spread.max })
}
