//! What a caller wants to do with an order, drawn from the seed.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;

use crate::order::Lines;
use crate::run::{BUSY, Run, SUPPLIES, Supply};

/// Long enough to confirm in time when nothing is wrong.
const TTL_MS: u64 = 6_000;

/// Short enough that callers can wait for the end.
const TTL_SHORT_MS: std::ops::Range<u64> = 100..400;

/// The course of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    Confirm,
    ConfirmPart,
    Cancel,
    /// The caller does nothing more.
    Expire,
    ExpireThenReacquire,
    ExpireThenCancel,
    ExtendThenConfirm,
    /// Confirm and Cancel at the same time, by two callers.
    Race,
}

const COURSES: [(Course, u32); 8] = [
    (Course::Confirm, 25),
    (Course::ConfirmPart, 15),
    (Course::Cancel, 15),
    (Course::Expire, 5),
    (Course::ExpireThenReacquire, 15),
    (Course::ExpireThenCancel, 5),
    (Course::ExtendThenConfirm, 10),
    (Course::Race, 10),
];

/// An order and its course.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) location: &'static str,
    pub(crate) lines: Lines,
    pub(crate) part: Lines,
    pub(crate) ttl_ms: u64,
    pub(crate) course: Course,
    /// Every accepted request is sent once more, to the other instance.
    pub(crate) duplicates: bool,
    /// The caller gives up the first try of every request after this time.
    pub(crate) gives_up_after: Option<Duration>,
    /// The caller cancels a refused Reserve, to be sure.
    pub(crate) tidy: bool,
    /// The instance that is asked first.
    pub(crate) instance: usize,
}

impl Plan {
    pub(crate) fn draw(rng: &mut Rng, run: &Run) -> Self {
        let weight = rng.u32(0..COURSES.iter().map(|(_, weight)| weight).sum());
        let course = pick(weight);
        let lines = match course {
            // A plentiful sku would always be there when the caller comes back.
            Course::ExpireThenReacquire => draw_lines(rng, run, |supply| !supply.is_plenty),
            _ => draw_lines(rng, run, |_| true),
        };
        let part = if course == Course::ConfirmPart { draw_part(rng, &lines) } else { lines.clone() };
        let ttl_ms = match course {
            Course::Expire | Course::ExpireThenReacquire | Course::ExpireThenCancel => rng.u64(TTL_SHORT_MS),
            _ => TTL_MS,
        };
        Self {
            location: BUSY[rng.usize(0..BUSY.len())],
            lines,
            part,
            ttl_ms,
            course,
            duplicates: rng.f64() < 0.15,
            gives_up_after: (rng.f64() < 0.1).then(|| Duration::from_micros(rng.u64(200..20_000))),
            tidy: rng.bool(),
            instance: rng.usize(0..2),
        }
    }

    /// One unit of a plentiful sku, from one instance.
    pub(crate) fn probe(run: &Run, instance: usize, location: &'static str) -> Self {
        let lines = vec![(SUPPLIES[0].sku(run), 1)];
        Self {
            location,
            part: lines.clone(),
            lines,
            ttl_ms: TTL_MS,
            course: Course::Confirm,
            duplicates: false,
            gives_up_after: None,
            tidy: true,
            instance,
        }
    }
}

fn pick(mut weight: u32) -> Course {
    for (course, share) in COURSES {
        if weight < share {
            return course;
        }
        weight -= share;
    }
    Course::Confirm
}

/// One to three lines of these.
fn draw_lines(rng: &mut Rng, run: &Run, of: impl Fn(&Supply) -> bool) -> Lines {
    let supplies: Vec<_> = SUPPLIES.iter().filter(|supply| of(supply)).collect();
    let lines = (0..rng.u32(1..=3)).map(|_| {
        let supply = supplies[rng.usize(0..supplies.len())];
        (supply.sku(run), rng.u32(1..=4))
    });
    let merged: BTreeMap<_, _> = lines.collect();
    merged.into_iter().collect()
}

/// Some of the lines, at least one unit.
fn draw_part(rng: &mut Rng, lines: &Lines) -> Lines {
    let part: Lines = lines
        .iter()
        .map(|(sku, quantity)| (sku.clone(), rng.u32(0..=*quantity)))
        .filter(|(_, quantity)| *quantity > 0)
        .collect();
    if part.is_empty() { vec![(lines[0].0.clone(), 1)] } else { part }
}

/// A random number generator for one part of one run. What other parts draw does not change it.
pub(crate) fn rng(seed: u64, run: usize, part: u64) -> Rng {
    // Each number goes through a generator, so that neighbouring numbers have nothing in common.
    let mixed = [run as u64, part].into_iter().fold(seed, |mixed, number| Rng::with_seed(mixed ^ number).u64(..));
    Rng::with_seed(mixed)
}
