//! The Lua library against its specification: the same commands, drawn at random, for Redis and for the twin
//! (`holds::embedded`). After every step both have given equal replies and have an equal state.
//!
//! Compared are, by reading Redis past the service: every register, every held counter with its changes, every record
//! with all its fields, both indexes with their scores, what waits to be forgotten, the sync mark, and that there is no
//! other key. Time is passed in.
//!
//! The order and the paging of `Reply::Skus` are Redis' own: it is compared as a set, at the end of each case. Then
//! also no index lacks anything (`Command::Reindex`).
//!
//! `PROPTEST_CASES` makes the run longer, `PROPTEST_RNG_SEED` repeats one. A failing case is made as small as possible
//! and then printed as commands.

mod steps;
mod stores;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use proptest_state_machine::ReferenceStateMachine;
use stockhold::domain::{Location, Sku, State};
use stockhold::holds::embedded::LocationHolds;
use stockhold::holds::{Command, HoldsConfig, Position, Reply};

use self::steps::{Ask, Step};
use self::stores::{Contents, Redis};
use crate::support::holds::{START_MS, location};

/// How long what has ended is remembered.
const RETENTION: Duration = Duration::from_secs(3600 * 1000);

/// Few tombstones, so that their bound is met.
const CONFIG: HoldsConfig = HoldsConfig { retention: RETENTION, tombstones_max: 3 };

/// In CI. Crowds count as one each: their commands are all the same.
const COMMANDS_MIN: usize = 10_000;

const STEPS_MIN: usize = 30;
const STEPS_MAX: usize = 45;

/// The twin, and what it was last asked.
#[derive(Clone, Debug)]
struct Model {
    twin: LocationHolds,
    now_ms: u64,
    page_end: Option<Position>,
    crowds: usize,
    /// The last step: what was asked of the twin.
    commands: Vec<Command>,
    /// What the twin answered of it: the first commands.
    exchanges: Vec<(Command, Reply)>,
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        // Late enough that the clock can go back in every step.
        let now_ms = START_MS + 100_000_000;
        Just(Self {
            twin: LocationHolds::default(),
            now_ms,
            page_end: None,
            crowds: 0,
            commands: vec![],
            exchanges: vec![],
        })
        .boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        steps::step().boxed()
    }

    fn apply(mut model: Self, step: &Step) -> Self {
        model.now_ms = step.wait.from(model.now_ms, &model.twin);
        // A repair states a sum, which would not be true any more behind another command of the call.
        let is_first = |(number, ask): &(usize, &Ask)| *number == 0 || !matches!(ask, Ask::ReplaceHeld { .. });
        let asks = step.asks.iter().enumerate().filter(is_first).map(|(_, ask)| ask);
        let mut commands = Vec::new();
        for ask in asks {
            commands.extend(ask.commands(&model.twin, model.now_ms, model.page_end.as_ref(), model.crowds));
            model.crowds += usize::from(matches!(ask, Ask::Crowd { .. }));
        }
        let (twin, replies) = stores::apply_to_twin(model.twin, model.now_ms, commands.clone());
        model.twin = twin;
        if let Some(Reply::Page(page)) = replies.last() {
            model.page_end.clone_from(&page.next);
        }
        model.exchanges = commands.iter().cloned().zip(replies).collect();
        model.commands = commands;
        model
    }
}

/// What a run has shown.
#[derive(Default)]
struct Seen {
    commands: usize,
    replies: BTreeMap<&'static str, usize>,
}

/// One case against Redis. The error tells what was done and what differs.
async fn play(
    redis: &Redis,
    location: &Location,
    mut model: Model,
    steps: Vec<Step>,
    begun: Option<Arc<AtomicUsize>>,
    seen: &mut Seen,
) -> Result<(), String> {
    let mut story = String::new();
    for step in steps {
        // The shrinking begins by dropping the steps that were not begun.
        if let Some(begun) = &begun {
            begun.fetch_add(1, Ordering::SeqCst);
        }
        let (before_ms, before) = (model.now_ms, model.twin.records.len());
        model = Model::apply(model, &step);
        *seen.replies.entry("forgotten").or_default() += usize::from(model.twin.records.len() < before);
        tell(&mut story, before_ms, &model);

        redis.clock.at(model.now_ms - START_MS);
        let commands = model.commands.clone();
        let replies = redis.apply(location, commands).await.map_err(|error| format!("{story}Redis: {error}\n"))?;
        seen.commands += step.asks.len();
        if model.exchanges.len() != replies.len() {
            let (twin, redis) = (model.exchanges.len(), replies.len());
            return Err(format!("{story}The twin answers {twin} commands, Redis {redis}\n"));
        }
        *seen.replies.entry("left for later").or_default() += usize::from(replies.len() < model.commands.len());
        for ((_, expected), reply) in model.exchanges.iter().zip(&replies) {
            *seen.replies.entry(kind(expected)).or_default() += 1;
            if expected != reply {
                return Err(format!("{story}The replies differ:\n  twin   {expected:?}\n  Redis  {reply:?}\n"));
            }
        }
        let twin = stores::contents_of_twin(&model.twin);
        let differences = differences(&twin, &redis.contents(location).await);
        if !differences.is_empty() {
            return Err(format!("{story}The states differ:\n{differences}"));
        }
    }
    let expected: BTreeSet<&Sku> = model.twin.registers.keys().chain(model.twin.held.keys()).collect();
    let found = redis.skus(location).await?;
    if expected != found.iter().collect() {
        return Err(format!("{story}The skus differ:\n  twin   {expected:?}\n  Redis  {found:?}\n"));
    }
    let lacking = redis.unindexed(location).await?;
    if !lacking.is_empty() {
        return Err(format!("{story}An index lacks {lacking:?}\n"));
    }
    Ok(())
}

/// Adds a step to the story of a case.
fn tell(story: &mut String, before_ms: u64, model: &Model) {
    // Writing to a String cannot fail.
    let _ = writeln!(story, "{:+} ms, it is {}:", model.now_ms as i64 - before_ms as i64, model.now_ms);
    let (first, last) = (5, model.exchanges.len().saturating_sub(5));
    for (number, (command, reply)) in model.exchanges.iter().enumerate() {
        if number < first || number >= last {
            let _ = writeln!(story, "  {command:?}\n    {reply:?}");
        } else if number == first {
            let _ = writeln!(story, "  ... {} more of a crowd", last - first);
        }
    }
}

/// What one store has and the other has not.
fn differences(twin: &Contents, redis: &Contents) -> String {
    let mut text = String::new();
    let names: BTreeSet<_> = twin.keys().chain(redis.keys()).collect();
    for name in names {
        let (expected, found) = (twin.get(name), redis.get(name));
        if expected != found {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {name}\n    twin   {expected:?}\n    Redis  {found:?}");
        }
    }
    text
}

/// The kinds of replies that a run must have met, each of them.
const KINDS: [&str; 34] = [
    "held",
    "confirming",
    "confirmed",
    "cancelled",
    "expired",
    "rejected",
    "ended: confirmed",
    "ended: cancelled",
    "ended: expired",
    "ended: rejected",
    "id reused",
    "not found",
    "mismatch",
    "beyond lifetime",
    "short",
    "retired",
    "missing",
    "more",
    "pushed",
    "not pushed",
    "stock",
    "counters",
    "page",
    "last page",
    "swept",
    "swept, more",
    "claimed",
    "none claimed",
    "synced",
    "never synced",
    "forgotten",
    "left for later",
    "unknown location",
    "tombstones full",
];

fn kind(reply: &Reply) -> &'static str {
    match reply {
        Reply::Accepted(reservation) => match reservation.state {
            State::Held => "held",
            State::Confirming => "confirming",
            State::Confirmed => "confirmed",
            State::Cancelled => "cancelled",
            State::Expired => "expired",
            State::Rejected => "rejected",
        },
        Reply::Ended(reservation) => match reservation.state {
            State::Held | State::Confirming => "ended, but live",
            State::Confirmed => "ended: confirmed",
            State::Cancelled => "ended: cancelled",
            State::Expired => "ended: expired",
            State::Rejected => "ended: rejected",
        },
        Reply::IdReused => "id reused",
        Reply::NotFound => "not found",
        Reply::Mismatch => "mismatch",
        Reply::BeyondLifetime(_) => "beyond lifetime",
        Reply::Short(_) => "short",
        Reply::Retired(_) => "retired",
        Reply::Missing(_) => "missing",
        Reply::UnknownLocation => "unknown location",
        Reply::TombstonesFull => "tombstones full",
        Reply::Unindexed(..) => "unindexed",
        Reply::More => "more",
        Reply::Corrupt(_) => "corrupt",
        Reply::Pushed(0) => "not pushed",
        Reply::Pushed(_) => "pushed",
        Reply::Stock(_) => "stock",
        Reply::Counters(_) => "counters",
        Reply::Skus(..) => "skus",
        Reply::Page(page) => {
            if page.next.is_some() {
                "page"
            } else {
                "last page"
            }
        }
        Reply::Swept { more, .. } => {
            if *more {
                "swept, more"
            } else {
                "swept"
            }
        }
        Reply::Claimed(found) => {
            if found.is_empty() {
                "none claimed"
            } else {
                "claimed"
            }
        }
        Reply::Synced(version) => {
            if version.is_some() {
                "synced"
            } else {
                "never synced"
            }
        }
    }
}

#[test]
fn redis_does_what_the_twin_does() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let redis = runtime.block_on(Redis::connect());
    let config = Config { failure_persistence: None, max_shrink_time: 60_000, ..Config::default() };
    let seed = config.rng_seed;
    let (seen, cases, found_in) = (RefCell::new(Seen::default()), Cell::new(0), Cell::new(None));
    let result =
        TestRunner::new(config).run(&Model::sequential_strategy(STEPS_MIN..=STEPS_MAX), |(model, steps, begun)| {
            cases.set(cases.get() + 1);
            let location = location(&format!("case {}", cases.get()));
            let seen = &mut *seen.borrow_mut();
            let result = runtime.block_on(async {
                let result = play(&redis, &location, model, steps, begun, seen).await;
                redis.delete_all(&location).await;
                result
            });
            result.map_err(|reason| {
                found_in.set(found_in.get().or(Some(cases.get())));
                TestCaseError::fail(reason)
            })
        });
    let (seen, cases) = (seen.into_inner(), cases.get());
    println!("PROPTEST_RNG_SEED={seed}: {cases} cases, {} commands; replies: {:?}", seen.commands, seen.replies);
    match result {
        Ok(()) => {}
        Err(TestError::Abort(reason)) => panic!("PROPTEST_RNG_SEED={seed}: {reason}"),
        Err(TestError::Fail(reason, _)) => panic!(
            "PROPTEST_RNG_SEED={seed}: case {} failed. The smallest that does, of {cases} tried:\n{reason}",
            found_in.get().unwrap_or(cases)
        ),
    }
    assert!(seen.commands >= COMMANDS_MIN, "{} commands", seen.commands);
    for kind in KINDS {
        let count = seen.replies.get(kind).copied().unwrap_or_default();
        assert!(count > 0, "no reply of the kind {kind:?}: the cases no longer reach what they are for");
    }
}
