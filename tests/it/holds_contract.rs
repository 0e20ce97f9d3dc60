//! The contract of `holds::Holds`. Each case runs against the embedded store, against Redis, and against Redis behind
//! shared calls, as `embedded::case`, `redis::case` and `batched::case`.

use stockhold::domain::Outcome::{Cancelled, Confirmed, Rejected};
use stockhold::domain::{ReservationId, Shortage, State, StockRow};
use stockhold::holds::{Command, Held, Position, Reply};

use crate::support::holds::*;
use crate::support::redis::{client, run as run_redis};
use crate::support::required;

/// Runs each case against every store.
macro_rules! cases {
    ($($case:ident)*) => {
        mod embedded {
            $(#[tokio::test] async fn $case() { super::$case(super::TestHolds::embedded().await).await })*
        }
        mod redis {
            $(#[tokio::test] async fn $case() { super::$case(super::TestHolds::redis().await).await })*
        }
        mod batched {
            $(#[tokio::test] async fn $case() { super::$case(super::TestHolds::batched().await).await })*
        }
    };
}

mod calls;
mod life;
mod stock;
mod time;
mod tombstones;
mod upkeep;

/// A row of a table: when, what, what is answered, and then held of sku `a`.
type Row = (u64, Command, (&'static str, Option<State>), i64);

async fn run(holds: &TestHolds, table: Vec<Row>) {
    for (number, (ms, command, expected, held)) in table.into_iter().enumerate() {
        holds.at(ms);
        let what = format!("row {number}, at {ms} ms: {command:?}");
        assert_eq!(outcome(&holds.apply(command).await), expected, "{what}");
        assert_eq!(holds.held_available("a").await.0, held, "held after {what}");
    }
}

const HELD: (&str, Option<State>) = ("accepted", Some(State::Held));
const CONFIRMING: (&str, Option<State>) = ("accepted", Some(State::Confirming));
const CONFIRMED: (&str, Option<State>) = ("accepted", Some(State::Confirmed));
const CANCELLED: (&str, Option<State>) = ("accepted", Some(State::Cancelled));
const REJECTED: (&str, Option<State>) = ("accepted", Some(State::Rejected));
const IS_EXPIRED: (&str, Option<State>) = ("ended", Some(State::Expired));
const IS_CANCELLED: (&str, Option<State>) = ("ended", Some(State::Cancelled));
const IS_CONFIRMED: (&str, Option<State>) = ("ended", Some(State::Confirmed));
const IS_REJECTED: (&str, Option<State>) = ("ended", Some(State::Rejected));
const NOT_FOUND: (&str, Option<State>) = ("not found", None);
const MISMATCH: (&str, Option<State>) = ("mismatch", None);
const ID_REUSED: (&str, Option<State>) = ("id reused", None);
const SHORT: (&str, Option<State>) = ("short", None);
const MISSING: (&str, Option<State>) = ("missing", None);
