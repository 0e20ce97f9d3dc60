//! One fault after the other, each with callers of its own.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures::future::join;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::act::Act;
use crate::fault::Fault;
use crate::instance::SYNC_EVERY;
use crate::plan::rng;
use crate::run::{Run, locked};
use crate::table::Table;
use crate::world::World;
use crate::{audit, caller, heal, window};

/// How many callers there are at a time, and how many keepers, which send receipts.
const CALLERS: usize = 64;
const KEEPERS: usize = 4;

/// Callers run this long before the fault strikes, so that it meets orders under way.
const BEFORE: Duration = Duration::from_millis(500);

/// Callers run this long after the service has healed. By then registers must have caught up.
const AFTER: Duration = SYNC_EVERY.saturating_mul(3);

/// Callers finish within this time once nothing is wrong. It is longer than a caller takes to give up.
const FINISH_MAX: Duration = Duration::from_secs(120);

/// Longer than all bounds of a run together. A run seldom takes more than half a minute.
const RUN_MAX: Duration = Duration::from_secs(600);

/// The part of the seed that concerns a run and not a caller.
const HARNESS: u64 = 1 << 40;

/// Causes every fault once, or so many as are drawn, then again until they have lasted for `budget`. Answers the number
/// of violations.
pub(crate) async fn torture(
    home: &Path,
    seed: u64,
    budget: Duration,
    only: &[String],
    drawn: Option<NonZeroUsize>,
) -> Result<u64, String> {
    let mut faults = Fault::all();
    faults.retain(|fault| only.is_empty() || only.iter().any(|only| fault.name().contains(only)));
    if faults.is_empty() {
        return Err("no fault has such a name".to_owned());
    }
    let mut order = rng(seed, 0, HARNESS);
    if let Some(drawn) = drawn {
        order.shuffle(&mut faults);
        faults.truncate(drawn.get());
    }
    let mut world = World::start(home).await?;
    let (mut runs, mut lasted) = (Vec::new(), Duration::ZERO);
    loop {
        let is_first_round = runs.len() < faults.len();
        order.shuffle(&mut faults);
        for fault in &faults {
            if !is_first_round && lasted >= budget {
                break;
            }
            let number = runs.len() + 1;
            let mut rng = rng(seed, number, HARNESS);
            let lasting = Duration::from_millis(rng.u64(fault.lasting_ms()));
            let run = Run::new(number, fault.name(), seed, fault.redis_forgets(), world.clients.clone());
            let begin = Instant::now();
            if timeout(RUN_MAX, torment(&mut world, &run, *fault, lasting, &mut rng)).await.is_err() {
                // The state of the servers is unknown, so it is useless to go on.
                run.violation(format!("not over within {RUN_MAX:?}"));
                return Err(format!("run {number} is stuck"));
            }
            println!("run {number}: {}, {:.1} s", fault.name(), begin.elapsed().as_secs_f64());
            lasted += lasting;
            runs.push(run);
        }
        if lasted >= budget {
            break;
        }
    }
    // Later runs must not have changed what earlier ones were told.
    for run in &runs {
        audit::audit_books(&world, run).await;
    }
    println!("\n{}", Table::of(&runs));
    Ok(runs.iter().map(|run| run.violations()).sum())
}

/// One run: callers begin, the fault strikes and ends, the service heals, callers finish, and the run is audited.
async fn torment(world: &mut World, run: &Arc<Run>, fault: Fault, lasting: Duration, rng: &mut Rng) {
    audit::stock_up(run).await;
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        callers.spawn(caller::orders(run.clone(), number));
    }
    for number in 0..KEEPERS {
        callers.spawn(caller::receipts(run.clone(), number));
    }
    let windows = window::prepare(run).await;
    let watch = Box::pin(window::watch(run.clone(), windows));
    let hurt = async {
        tokio::time::sleep(BEFORE).await;
        let victim = rng.usize(0..world.instances.len());
        let act = Act::new(run, lasting, fault.promises(victim));
        if let Err(harmless) = Box::pin(fault.strike(world, victim, &act)).await {
            run.violation(format!("the fault did no harm: {harmless}"));
        }
        run.repair();
        let bound = fault.heal_max();
        let (first, second) = join(heal::heal(run, 0, bound), heal::heal(run, 1, bound)).await;
        if first.max(second) > bound {
            // That was reported. Later runs must be about other faults.
            for instance in &mut world.instances {
                instance.restart().await;
            }
        }
        act.finish().await;
        tokio::time::sleep(AFTER).await;
        run.counts.findings.store(audit::reconcile_under_traffic(run).await, Ordering::Relaxed);
        locked(&run.counts.healed).extend([first, second]);
        run.end();
    };
    let ((), windows) = join(hurt, watch).await;
    Box::pin(window::close(run, windows)).await;
    let finished = timeout(FINISH_MAX, async {
        while let Some(ended) = callers.join_next().await {
            if let Err(error) = ended {
                run.violation(format!("a caller broke down: {error}"));
            }
        }
    });
    if finished.await.is_err() {
        run.violation(format!("callers did not finish within {FINISH_MAX:?}"));
    }
    audit::audit(world, run).await;
    for instance in &mut world.instances {
        for line in instance.bugs() {
            run.violation(format!("{} logged: {line}", instance.name));
        }
        if let Some(status) = instance.ended() {
            run.violation(format!("{} ended by itself: {status}", instance.name));
            instance.restart().await;
        }
    }
    run.forget_stories();
}
