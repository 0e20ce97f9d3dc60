//! What a case is made of. Steps are drawn without knowing what the stores have, and say what they want in terms of it
//! ("to the deadline of the second hold", "the register as it is"): so most of them hit something, also after shrinking
//! took away what went before them.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use stockhold::domain::lines::QUANTITY_MAX;
use stockhold::domain::stock::UNITS_MAX;
use stockhold::domain::{Lines, Outcome, Reservation, ReservationId, Settlement, Sku, State, StockRow};
use stockhold::holds::embedded::LocationHolds;
use stockhold::holds::{Command, Held, Index, Position, Rows};

use super::RETENTION;
use crate::support::holds::{START_MS, id, sku};

/// Few, so that commands meet. Their order by bytes is not that of any language, and a name may contain what separates
/// fields elsewhere.
const IDS: [&str; 8] = ["1", "a", "B", "é", "a b", "2", "3", "4"];
const SKUS: [&str; 3] = ["a", "B 1", "é"];

/// Time passes, then some commands arrive in one call.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) wait: Wait,
    pub(super) asks: Vec<Ask>,
}

/// How the clock moves.
#[derive(Clone, Debug)]
pub(super) enum Wait {
    Ms(u64),
    /// The clock goes back.
    Back(u64),
    /// To the deadline of one of the holds, less so many ms, forward or back, if it is near.
    Deadline(usize, u64),
    /// Past every deadline, and twice this is past the retention time of all that ended before.
    Long,
}

/// What a [`Wait::Long`] takes.
const LONG_MS: u64 = RETENTION.as_millis() as u64 / 10 * 6;

/// How far other steps go at most.
const NEAR_MS: u64 = 200_000;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// What does not depend on what the stores have.
    Plain(Command),
    Begin {
        whose: Whose,
        part: Part,
        reacquire: bool,
    },
    Extend {
        whose: Whose,
        deadline: Deadline,
        lifetime_ms: u64,
        reacquire: bool,
    },
    Settle {
        whose: Whose,
        outcome: Outcome,
        part: Part,
        time_ms: u64,
        rows: Rows,
    },
    ReplaceRegister {
        sku: Sku,
        judged: Judged<Option<StockRow>>,
        row: Option<StockRow>,
    },
    /// The sum of the live lines, or more of it: less would be released twice.
    ReplaceHeld {
        sku: Sku,
        judged: Judged<Held>,
        beyond: i64,
    },
    SetSynced {
        judged: Judged<Option<i64>>,
        version: i64,
    },
    List {
        after: After,
        limit: usize,
    },
    /// More holds with one deadline than one command reclaims, and then a lower supply, so that it is short without
    /// them.
    Crowd {
        skus: Vec<Sku>,
        ttl_ms: u64,
        on_hand: i64,
    },
}

/// An id.
#[derive(Clone, Debug)]
pub(super) enum Whose {
    Named(ReservationId),
    /// One whose story may go on: it is live, or has expired.
    Open(usize),
}

/// Lines, seen from the record.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// None are named.
    Unnamed,
    /// Those of the record.
    Same,
    /// One line of the record.
    OneLine(usize),
    /// One unit less of each line that has two or more.
    Fewer,
    Other(Lines),
}

/// A time.
#[derive(Clone, Debug)]
pub(super) enum Deadline {
    /// Counted from now.
    FromNow(i64),
    /// Counted from the deadline of the record.
    FromIts(i64),
}

/// What a caller believes that the store has.
#[derive(Clone, Debug)]
pub(super) enum Judged<T> {
    Right,
    This(T),
}

/// Where a page begins.
#[derive(Clone, Debug)]
pub(super) enum After {
    Start,
    /// Where the page before ended.
    Last,
    /// At the entry of this id, or where it would be; and so many ms later.
    Entry(Index, ReservationId, u64),
}

/// With three skus, more than the work of one call.
const CROWD: usize = 300;

impl Wait {
    pub(super) fn from(&self, now_ms: u64, twin: &LocationHolds) -> u64 {
        match self {
            Wait::Ms(ms) => now_ms + ms,
            Wait::Back(ms) => now_ms - ms,
            Wait::Deadline(which, before_ms) => {
                let count = twin.deadlines.iter().count().max(1);
                let deadline = twin.deadlines.iter().nth(which % count).map(|(deadline_ms, _)| deadline_ms - before_ms);
                // Only a `Long` step is no small one.
                deadline.filter(|deadline_ms| deadline_ms.abs_diff(now_ms) < NEAR_MS).unwrap_or(now_ms)
            }
            Wait::Long => now_ms + LONG_MS,
        }
    }
}

impl Ask {
    /// The commands, given what the twin has, when it is, where the last page ended, and how many crowds there were
    /// before.
    pub(super) fn commands(
        &self,
        twin: &LocationHolds,
        now_ms: u64,
        page_end: Option<&Position>,
        crowds: usize,
    ) -> Vec<Command> {
        vec![match self.clone() {
            Ask::Plain(command) => command,
            Ask::Begin { whose, part, reacquire } => {
                let id = whose.id(twin);
                Command::Begin { lines: part.lines(twin.records.get(&id)), id, reacquire }
            }
            Ask::Extend { whose, deadline, lifetime_ms, reacquire } => {
                let id = whose.id(twin);
                let its_ms = twin.records.get(&id).and_then(|record| record.expire_ms).unwrap_or(now_ms);
                let expire_ms = match deadline {
                    Deadline::FromNow(ms) => now_ms.saturating_add_signed(ms),
                    Deadline::FromIts(ms) => its_ms.saturating_add_signed(ms),
                };
                Command::Extend { id, expire_ms, lifetime_ms, reacquire }
            }
            Ask::Settle { whose, outcome, part, time_ms, rows } => {
                let id = whose.id(twin);
                let record = twin.records.get(&id);
                let of_record = record.map(|record| record.lines.clone()).filter(|lines| !lines.is_empty());
                let lines = (outcome == Outcome::Confirmed)
                    .then(|| part.lines(record).or(of_record).unwrap_or_else(|| one_unit(sku(SKUS[0]))));
                let confirmed = lines.as_ref().map(Lines::fingerprint);
                let reserved =
                    confirmed.map(|confirmed| record.and_then(|record| record.reserved).unwrap_or(confirmed));
                let lines = lines.unwrap_or_default();
                Command::Settle { settlement: Settlement { id, outcome, reserved, confirmed, lines, time_ms }, rows }
            }
            Ask::ReplaceRegister { sku, judged, row } => {
                let judged = judged.or(|| twin.registers.get(&sku).copied());
                Command::ReplaceRegister { sku, judged, row }
            }
            Ask::ReplaceHeld { sku, judged, beyond } => {
                let live = twin.records.values().filter(|record| record.state.is_live());
                let sum: i64 = live.map(|record| i64::from(record.lines.quantity(&sku))).sum();
                let judged = judged.or(|| twin.held.get(&sku).copied().unwrap_or_default());
                Command::ReplaceHeld { sku, judged, units: sum + beyond.min(UNITS_MAX - sum) }
            }
            Ask::SetSynced { judged, version } => Command::SetSynced { judged: judged.or(|| twin.synced), version },
            Ask::List { after, limit } => {
                let after = match after {
                    After::Start => None,
                    After::Last => page_end.cloned(),
                    After::Entry(index, id, later_ms) => {
                        let entries = if index == Index::Deadlines { &twin.deadlines } else { &twin.unsettled };
                        Some(Position { index, score_ms: entries.score(&id).unwrap_or(now_ms) + later_ms, id })
                    }
                };
                Command::List { after, limit }
            }
            Ask::Crowd { skus, ttl_ms, on_hand } => return crowd(twin, &skus, ttl_ms, on_hand, crowds),
        }]
    }
}

fn crowd(twin: &LocationHolds, skus: &[Sku], ttl_ms: u64, on_hand: i64, crowds: usize) -> Vec<Command> {
    let enough = |sku: &Sku| twin.held.get(sku).map_or(0, |held| held.units) + CROWD as i64;
    let row = |on_hand| Some(StockRow { version: 1, on_hand, floor: 0, retired: false });
    let lines = Lines::merge(skus.iter().map(|sku| (sku.clone(), 1))).expect("within bounds");
    let replace = |sku: &Sku, judged, row| Command::ReplaceRegister { sku: sku.clone(), judged, row };
    let raise = skus.iter().map(|sku| replace(sku, twin.registers.get(sku).copied(), row(enough(sku))));
    let reserve = (0..CROWD).map(|number| {
        let id = id(&format!("crowd-{crowds}-{number}"));
        Command::Reserve { id, lines: lines.clone(), ttl_ms }
    });
    let lower = skus.iter().map(|sku| replace(sku, row(enough(sku)), row(on_hand)));
    raise.chain(reserve).chain(lower).collect()
}

impl Whose {
    fn id(self, twin: &LocationHolds) -> ReservationId {
        match self {
            Whose::Named(id) => id,
            Whose::Open(which) => {
                let is_open = |record: &&Reservation| record.state.is_live() || record.state == State::Expired;
                let mut open: Vec<_> = twin.records.values().filter(is_open).map(|record| &record.id).collect();
                open.sort();
                open.get(which % open.len().max(1)).map_or_else(|| id(IDS[0]), |id| (*id).clone())
            }
        }
    }
}

impl Part {
    fn lines(&self, record: Option<&Reservation>) -> Option<Lines> {
        let of_record: Vec<_> = record
            .iter()
            .flat_map(|record| record.lines.iter())
            .map(|line| (line.sku.clone(), line.quantity))
            .collect();
        let lines = match self {
            Part::Unnamed => vec![],
            Part::Same => of_record,
            Part::OneLine(which) => {
                let count = of_record.len().max(1);
                of_record.into_iter().skip(which % count).take(1).collect()
            }
            Part::Fewer => of_record.into_iter().map(|(sku, quantity)| (sku, (quantity - 1).max(1))).collect(),
            Part::Other(lines) => return Some(lines.clone()),
        };
        Lines::merge(lines).ok()
    }
}

impl<T> Judged<T> {
    fn or(self, right: impl FnOnce() -> T) -> T {
        match self {
            Judged::Right => right(),
            Judged::This(value) => value,
        }
    }
}

fn one_unit(sku: Sku) -> Lines {
    Lines::merge([(sku, 1)]).expect("within bounds")
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![
        30 => Just(Wait::Ms(0)),
        20 => Just(Wait::Ms(1)),
        15 => (1..70_000_u64).prop_map(Wait::Ms),
        15 => (any::<usize>(), 0..2_u64).prop_map(|(which, before_ms)| Wait::Deadline(which, before_ms)),
        5 => (1..70_000_u64).prop_map(Wait::Back),
        6 => Just(Wait::Long),
    ];
    let asks = prop_oneof![3 => vec(ask(), 1), 1 => vec(ask(), 2..=12)];
    (wait, asks).prop_map(|(wait, asks)| Step { wait, asks })
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        40 => (an_id(), lines(), ttl_ms())
            .prop_map(|(id, lines, ttl_ms)| Ask::Plain(Command::Reserve { id, lines, ttl_ms })),
        25 => begin(),
        8 => an_id().prop_map(|id| Ask::Plain(Command::Cancel { id })),
        15 => extend(),
        15 => settle(),
        15 => rows().prop_map(|rows| Ask::Plain(Command::Push { rows })),
        3 => (a_sku(), judged(option::of(row())), option::weighted(0.8, row()))
            .prop_map(|(sku, judged, row)| Ask::ReplaceRegister { sku, judged, row }),
        3 => replace_held(),
        5 => some_skus().prop_map(|skus| Ask::Plain(Command::Stock { skus })),
        3 => some_skus().prop_map(|skus| Ask::Plain(Command::Counters { skus })),
        8 => an_id().prop_map(|id| Ask::Plain(Command::Get { id })),
        10 => (after(), 0..6_usize).prop_map(|(after, limit)| Ask::List { after, limit }),
        8 => Just(Ask::Plain(Command::Sweep)),
        10 => (0..5_usize, select(&[0, 1, 1000, 60_000][..]))
            .prop_map(|(limit, grace_ms)| Ask::Plain(Command::Claim { limit, grace_ms })),
        1 => Just(Ask::Plain(Command::GetSynced)),
        3 => (judged(option::of(version())), version())
            .prop_map(|(judged, version)| Ask::SetSynced { judged, version }),
        1 => (subsequence(&SKUS[..], 1..=3), select(&[0, 1, 20_000][..]), 0..60_i64)
            .prop_map(|(names, ttl_ms, on_hand)| {
                Ask::Crowd { skus: names.into_iter().map(sku).collect(), ttl_ms, on_hand }
            }),
    ]
}

fn begin() -> impl Strategy<Value = Ask> {
    (whose(), part(), any::<bool>()).prop_map(|(whose, part, reacquire)| Ask::Begin { whose, part, reacquire })
}

fn extend() -> impl Strategy<Value = Ask> {
    let deadline = prop_oneof![
        (-2..70_000_i64).prop_map(Deadline::FromNow),
        (-1..=1_i64).prop_map(Deadline::FromNow),
        (-1..=1_i64).prop_map(Deadline::FromIts),
        (-70_000..70_000_i64).prop_map(Deadline::FromIts),
    ];
    let lifetime_ms = select(&[2 * LONG_MS * 100, 3_600_000, 60_000, 0][..]);
    (whose(), deadline, lifetime_ms, any::<bool>()).prop_map(|(whose, deadline, lifetime_ms, reacquire)| Ask::Extend {
        whose,
        deadline,
        lifetime_ms,
        reacquire,
    })
}

fn settle() -> impl Strategy<Value = Ask> {
    let outcome =
        prop_oneof![2 => Just(Outcome::Confirmed), 1 => Just(Outcome::Cancelled), 1 => Just(Outcome::Rejected)];
    // The database has a clock of its own.
    let time_ms = START_MS..START_MS + 1_000_000;
    (whose(), outcome, part(), time_ms, rows()).prop_map(|(whose, outcome, part, time_ms, rows)| Ask::Settle {
        whose,
        outcome,
        part,
        time_ms,
        rows,
    })
}

fn replace_held() -> impl Strategy<Value = Ask> {
    let held = (0..5_i64, 0..9_i64).prop_map(|(units, changes)| Held { units, changes });
    let beyond = prop_oneof![4 => Just(0), 1 => 1..3_i64, 1 => UNITS_MAX - 3..=UNITS_MAX];
    (a_sku(), judged(held), beyond).prop_map(|(sku, judged, beyond)| Ask::ReplaceHeld { sku, judged, beyond })
}

fn after() -> impl Strategy<Value = After> {
    let index = select(&[Index::Deadlines, Index::Unsettled][..]);
    prop_oneof![
        Just(After::Start),
        Just(After::Last),
        (index, an_id(), 0..2_u64).prop_map(|(index, id, later_ms)| After::Entry(index, id, later_ms)),
    ]
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        3 => Just(Part::Unnamed),
        1 => Just(Part::Same),
        1 => any::<usize>().prop_map(Part::OneLine),
        1 => Just(Part::Fewer),
        1 => lines().prop_map(Part::Other),
    ]
}

fn judged<T: Clone + std::fmt::Debug>(other: impl Strategy<Value = T>) -> impl Strategy<Value = Judged<T>> {
    prop_oneof![2 => Just(Judged::Right), 1 => other.prop_map(Judged::This)]
}

fn an_id() -> impl Strategy<Value = ReservationId> {
    select(&IDS[..]).prop_map(id)
}

fn whose() -> impl Strategy<Value = Whose> {
    prop_oneof![1 => an_id().prop_map(Whose::Named), 2 => any::<usize>().prop_map(Whose::Open)]
}

fn a_sku() -> impl Strategy<Value = Sku> {
    select(&SKUS[..]).prop_map(sku)
}

fn some_skus() -> impl Strategy<Value = Vec<Sku>> {
    subsequence(&SKUS[..], 1..=3).prop_shuffle().prop_map(|names| names.into_iter().map(sku).collect())
}

fn ttl_ms() -> impl Strategy<Value = u64> {
    select(&[60_000, 60_000, 10_000, 1000, 1, 0][..])
}

fn lines() -> impl Strategy<Value = Lines> {
    let quantity = prop_oneof![40 => 1..=4_u32, 1 => Just(QUANTITY_MAX)];
    btree_map(a_sku(), quantity, 1..=3).prop_map(|lines| Lines::merge(lines).expect("within bounds"))
}

/// Rows as of a push or a settlement: mostly of every sku, in any order; some are absent.
fn rows() -> impl Strategy<Value = Rows> {
    let skus = prop_oneof![2 => subsequence(&SKUS[..], 3), 1 => subsequence(&SKUS[..], 0..=3)].prop_shuffle();
    (skus, vec(option::weighted(0.9, row()), 3))
        .prop_map(|(names, rows)| names.into_iter().map(sku).zip(rows).collect())
}

fn row() -> impl Strategy<Value = StockRow> {
    let on_hand = prop_oneof![
        20 => 0..16_i64,
        2 => -3..0_i64,
        1 => UNITS_MAX - 2..=UNITS_MAX,
        1 => -UNITS_MAX..=2 - UNITS_MAX,
    ];
    let floor = prop_oneof![
        20 => Just(0),
        3 => -4..=4_i64,
        1 => UNITS_MAX - 2..=UNITS_MAX,
        1 => -UNITS_MAX..=2 - UNITS_MAX,
    ];
    (version(), on_hand, floor, proptest::bool::weighted(0.08))
        .prop_map(|(version, on_hand, floor, retired)| StockRow { version, on_hand, floor, retired })
}

/// Few, so that some are equal; and some with as many digits as real ones have.
fn version() -> impl Strategy<Value = i64> {
    prop_oneof![20 => 1..12_i64, 1 => 1_790_000_000_123_456..1_790_000_000_123_460_i64]
}
