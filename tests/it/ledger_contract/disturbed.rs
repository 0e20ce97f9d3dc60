//! A database that is slow at one place, or away. SQLite is not tested here, because it has one writer and is never
//! away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use futures::future::join;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement, TransactionTrait};
use stockhold_servers::proxy::Proxy;

use stockhold::ledger::Failure;
use stockhold::ledger::database::{Database, Reads, Transaction};

use super::*;
use crate::support::client::Caller;
use crate::support::eventually;
use crate::support::memory_database::{Calm, CommitFate, MemoryDatabase, Weather, failed};
use crate::support::server::Instance;

/// "About ten seconds", on a machine that has other things to do.
const ANSWER_MAX: Duration = Duration::from_secs(20);

async fn settle_at(ledger: &Ledger, location: &Location, name: &str, intent: Intent) -> (Duration, bool) {
    let begun = Instant::now();
    let permit = ledger.queue_permit(location).expect("a permit");
    let answer = permit.settle(location.clone(), id(name), intent).await;
    (begun.elapsed(), answer.is_ok())
}

/// True while a statement of the ledger that locks rows is under way.
async fn is_locking(connection: &DatabaseConnection) -> bool {
    let sql = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE '%FOR UPDATE'";
    let found = connection.query_one_raw(Statement::from_string(DbBackend::MySql, sql)).await;
    found.expect("answers").is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_kept_locked_stops_its_location_only() {
    run(database::mysql().await, async |f: &Fixture| {
        let locations = ["kept", "b", "c", "d", "e", "f", "g", "h"].map(|name| Location::parse(name).unwrap());
        for location in &locations {
            let targets = [target("a", 100), target("b", 100)];
            f.ledger.set_stock(location, &request("q"), &targets).await.unwrap().unwrap();
        }
        let [kept, others @ ..] = &locations;
        let (keeper, observer) = (f.database.connect().await, f.database.connect().await);
        let keeping = keeper.begin().await.unwrap();
        keeping.execute_unprepared("UPDATE stock SET floor = 1 WHERE location = 'kept' AND sku = 'a'").await.unwrap();

        // One of the first wave wants the row; the second wave comes while the first one waits for it.
        let first = (0..16).map(|number| (number, if number == 5 { "a" } else { "b" }));
        let first_is_over = AtomicBool::new(false);
        let first = async {
            let answers = join_all(first.map(async |(number, sku)| {
                settle_at(&f.ledger, kept, &format!("r{number}"), confirm(&[(sku, 1)])).await
            }));
            let answers = answers.await;
            first_is_over.store(true, Ordering::Relaxed);
            answers
        };
        let later = async {
            eventually("a lock wait", ANSWER_MAX, async || is_locking(&observer).await).await;
            let second = join_all(
                (0..16)
                    .map(async |number| settle_at(&f.ledger, kept, &format!("s{number}"), confirm(&[("b", 1)])).await),
            );
            let innocent = join_all(others.iter().map(async |location| {
                let (took, settled) = settle_at(&f.ledger, location, "r", confirm(&[("a", 1)])).await;
                (took, settled && !first_is_over.load(Ordering::Relaxed))
            }));
            join(second, innocent).await
        };
        let (first, (second, innocent)) = join(first, later).await;

        assert!(innocent.iter().all(|(_, in_time)| *in_time), "they did not wait for the row: {innocent:?}");
        let waves = [first, second].concat();
        assert!(waves.iter().all(|(took, _)| *took < ANSWER_MAX), "{waves:?}");
        let settled = waves.iter().filter(|(_, settled)| *settled).count();
        assert!(
            settled > 0,
            "halving saves some of those who came with the one; how many came with it is chance: {waves:?}"
        );

        keeping.rollback().await.unwrap();
        assert!(settle_at(&f.ledger, kept, "r5", confirm(&[("a", 1)])).await.1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_requests_do_not_wait_for_each_other() {
    requests_do_not_wait_for_each_other(async |proxy| proxy.cut().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_silent_requests_do_not_wait_for_each_other() {
    requests_do_not_wait_for_each_other(async |proxy| proxy.silence_all()).await;
}

async fn requests_do_not_wait_for_each_other(stop: impl AsyncFn(&mut Proxy)) {
    run(database::mysql().await, async |f: &Fixture| {
        f.stock(&[("a", 1000)]).await;
        let (mut proxy, url) = Proxy::to_database(&f.database.url).await;
        let ledger = Ledger::connect(&LedgerConfig { url, batch_max: 16, ..config(&f.database) }).await.unwrap();
        settle(&ledger, "before", confirm(&[("a", 1)])).await.unwrap();

        stop(&mut proxy).await;
        let begun = Instant::now();
        let there = Location::parse("there").unwrap();
        let answers = together((0..500).map(async |number: usize| {
            let location = if number.is_multiple_of(2) { here() } else { there.clone() };
            settle_at(&ledger, &location, &format!("r{number}"), confirm(&[("a", 1)])).await
        }));
        assert!(answers.await.iter().all(|(_, settled)| !settled));
        // One wait for a connection takes 3 s, and there are 32 batches.
        assert!(begun.elapsed() < Duration::from_secs(15), "all were answered after {:?}", begun.elapsed());

        // One request may try again, and waits for 3 s. The others fail at once.
        let begun = Instant::now();
        let answers = together((0..100).map(async |number: usize| {
            let name = format!("again {number}");
            settle_at(&ledger, &here(), &name, confirm(&[("a", 1)])).await;
            begun.elapsed() < Duration::from_millis(2500)
        }));
        assert_eq!(answers.await.iter().filter(|at_once| !**at_once).count(), 1);
        proxy.mend().await;
        settle(&ledger, "after", confirm(&[("a", 1)])).await.unwrap();
        let answers = together((0..2).map(async |number: usize| {
            settle_at(&ledger, &there, &format!("back {number}"), confirm(&[("a", 1)])).await
        }));
        assert!(answers.await.iter().all(|(_, settled)| *settled), "it is back for all");
        ledger.close().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_fell_silent_are_replaced() {
    run(database::mysql().await, async |f: &Fixture| {
        f.stock(&[("a", 1000)]).await;
        let (proxy, url) = Proxy::to_database(&f.database.url).await;
        let ledger = Ledger::connect(&LedgerConfig { url, connections_max: 2, ..config(&f.database) }).await.unwrap();
        let locations = [here(), Location::parse("there").unwrap()];
        let use_all = async |name: &str| {
            let reads = together((0..2).map(async |_| ledger.rows(&locations[0], &[sku("a")]).await.is_ok()));
            let settles = together(
                locations.iter().map(async |location| settle_at(&ledger, location, name, Intent::Cancel).await.1),
            );
            join(reads, settles).await.1
        };
        assert_eq!(use_all("before").await, [true, true]);
        // It may happen again soon: a link that is bad once is often bad twice.
        for time in ["first", "second"] {
            proxy.silence();
            use_all(&format!("{time} silence")).await;
            let healed = async || use_all(&format!("after the {time}")).await == [true, true];
            eventually("it heals by itself", Duration::from_secs(60), healed).await;
        }
        // A connection that fell silent while it was on its way back may not end.
        let _ = tokio::time::timeout(ANSWER_MAX, ledger.close()).await.expect("nobody waits for it");
    })
    .await;
}

/// Every other COMMIT ends its connection: in turn once the server has answered it, and before the server sees it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_counts_once() {
    run(database::mysql().await, async |f: &Fixture| {
        f.stock(&[("a", 1000)]).await;
        let (proxy, url) = Proxy::to_database(&f.database.url).await;
        let ledger = Ledger::connect(&LedgerConfig { url, ..config(&f.database) }).await.unwrap();
        proxy.cut_commits(3);
        for number in 0..10 {
            settle(&ledger, &format!("r{number}"), confirm(&[("a", 1)])).await.unwrap();
        }
        assert!(proxy.commits_cut() >= 7, "{} were cut off", proxy.commits_cut());
        assert_eq!(f.on_hand("a").await, 990);
        proxy.cut_commits(0);
        ledger.close().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_changes_behind_one_lock_does_not_stop_confirms_elsewhere() {
    run(database::mysql().await, async |f: &Fixture| {
        let there = Location::parse("there").unwrap();
        for location in [here(), there.clone()] {
            f.ledger.set_stock(&location, &request("q"), &[target("a", 100)]).await.unwrap().unwrap();
        }
        let (keeper, observer) = (f.database.connect().await, f.database.connect().await);
        let keeping = keeper.begin().await.unwrap();
        keeping.execute_unprepared("UPDATE stock SET floor = 1 WHERE location = 'here'").await.unwrap();
        let crowd = join_all((0..50).map(async |number| {
            let change = [adjustment("a", 1)];
            f.ledger.adjust_stock(&here(), &request(&format!("q{number}")), "receipt", &change).await.is_ok()
        }));
        let elsewhere = async {
            eventually("a lock wait", ANSWER_MAX, async || is_locking(&observer).await).await;
            let mut settled = Vec::new();
            for number in 0..10 {
                settled.push(settle_at(&f.ledger, &there, &format!("r{number}"), confirm(&[("a", 1)])).await.1);
            }
            keeping.rollback().await.unwrap();
            settled
        };
        let (_, settled) = join(crowd, elsewhere).await;
        assert_eq!(settled, [true; 10]);
    })
    .await;
}

#[tokio::test]
async fn a_location_outlives_a_batch_that_panicked() {
    let service = Instance::embedded().env("FAILPOINTS", "ledger-before-commit=1*panic").start();
    let mut caller = Caller::connect(service.address()).await;
    caller.set("a", 5).await;
    caller.reserve("r", &[("a", 1)]).await.expect("held");
    assert!(caller.confirm("r").await.is_err(), "its batch is lost");
    caller.confirm("r").await.expect("the next one is not");
}

/// A database that is away until it is told otherwise.
struct Away {
    is_away: AtomicBool,
    /// How long a connection takes to fail.
    fails_after: Duration,
    /// How often a connection failed.
    failed: AtomicUsize,
}

impl Away {
    /// A ledger over such a database, which commits one intent at a time.
    fn ledger(fails_after: Duration) -> (Arc<Self>, Ledger) {
        let away = Arc::new(Self { is_away: AtomicBool::new(true), fails_after, failed: AtomicUsize::new(0) });
        let database = MemoryDatabase::new(Arc::default(), 0, Arc::clone(&away) as _);
        (away, Ledger::over(Arc::new(database), 1000, 1))
    }
}

#[async_trait::async_trait]
impl Weather for Away {
    async fn connect(&self) -> Result<(), LedgerError> {
        if self.is_away.load(Ordering::Relaxed) {
            self.failed.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(self.fails_after).await;
            return Err(failed(Failure::NoConnection, "away"));
        }
        Ok(())
    }

    async fn statement(&self) -> Result<(), LedgerError> {
        self.connect().await
    }

    fn commit(&self) -> CommitFate {
        CommitFate::Done
    }

    fn now_micros(&self) -> i64 {
        Calm.now_micros()
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_waited_when_the_database_went_away_fail_with_the_first_of_them() {
    let (away, ledger) = Away::ledger(Duration::from_secs(3));
    let begun = tokio::time::Instant::now();
    let settles = join_all((0..100).map(async |number| {
        let location = Location::parse(&format!("l{}", number % 10)).unwrap();
        settle_at(&ledger, &location, &format!("r{number}"), Intent::Cancel).await.1
    }));
    assert_eq!(settles.await, [false; 100]);
    assert!(begun.elapsed() < Duration::from_millis(3100), "{:?}", begun.elapsed());
    let tries = away.failed.load(Ordering::Relaxed);
    assert!(tries <= 4, "{tries} asked: more than the batches that run at once");
}

/// The simulation found this: long after an absence the first of many confirms was committed, and the others were
/// refused because the database was away.
#[tokio::test]
async fn a_database_that_was_away_closes_the_circuit_breaker_by_any_answer() {
    let (away, ledger) = Away::ledger(Duration::ZERO);
    settle(&ledger, "r", Intent::Cancel).await.expect_err("it is away");
    away.is_away.store(false, Ordering::Relaxed);
    ledger.locations().await.expect("it is back");
    let all = together((0..4).map(async |number| settle(&ledger, &format!("r{number}"), Intent::Cancel).await.is_ok()));
    assert_eq!(all.await, [true; 4]);
}

/// Locks the row `a` of a location for as long as what it answers is kept.
async fn keep_locked(database: &MemoryDatabase, location: &Location) -> Box<dyn Transaction> {
    let a = sku("a");
    database.begin(location, Reads { skus: [&a].into(), ..Reads::default() }).await.expect("locks").1
}

#[tokio::test(start_paused = true)]
async fn locations_that_are_kept_locked_leave_a_permit_to_the_others() {
    let database = Arc::new(MemoryDatabase::new(Arc::default(), 0, Arc::new(Calm)));
    let ledger = Ledger::over(database.clone(), 1000, 64);
    // Enough for any queue to have more of them than permits.
    let named =
        |kind: &str| [0, 1, 2, 3, 4, 5, 6, 7].map(|number| Location::parse(&format!("{kind} {number}")).unwrap());
    let (kept, free) = (named("kept"), named("free"));
    for location in kept.iter().chain(&free) {
        ledger.set_stock(location, &request("q"), &[target("a", 1000)]).await.unwrap().unwrap();
    }
    let keepers = join_all(kept.iter().map(|location| keep_locked(&database, location))).await;

    let waiting = join_all(kept.iter().map(async |location| {
        let mut settled = Vec::new();
        for number in 0..3 {
            settled.push(settle_at(&ledger, location, &format!("r{number}"), confirm(&[("a", 1)])).await.1);
        }
        settled
    }));
    let free = async {
        // By then each locked location has had a slow batch, and is known to be slow.
        tokio::time::sleep(Duration::from_secs(8)).await;
        let mut longest = Duration::ZERO;
        for number in 0..30 {
            let begun = tokio::time::Instant::now();
            let name = format!("r{number}");
            let settled =
                join_all(free.iter().map(|location| settle_at(&ledger, location, &name, confirm(&[("a", 1)]))));
            assert!(settled.await.iter().all(|(_, settled)| *settled));
            longest = longest.max(begun.elapsed());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        longest
    };
    let (settled, longest) = join(waiting, free).await;
    assert_eq!(settled.concat(), [false; 24]);
    assert!(longest < Duration::from_millis(100), "one waited {longest:?} for rows of others");
    drop(keepers);
    settle_at(&ledger, &kept[0], "r0", confirm(&[("a", 1)])).await.1.then_some(()).expect("it is free");
}
