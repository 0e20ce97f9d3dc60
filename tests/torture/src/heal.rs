//! Finds out whether and when an instance works again after a fault.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::caller::Errand;
use crate::plan::Plan;
use crate::run::{BUSY, Run};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// Reserves and confirms at one instance until both succeed in every location. Answers how long that took. More than
/// `bound` is a violation.
pub(crate) async fn heal(run: &Arc<Run>, instance: usize, bound: Duration) -> Duration {
    let begin = Instant::now();
    let (mut tried, mut done) = (Vec::new(), 0);
    while done < BUSY.len() && begin.elapsed() <= bound {
        let id = format!("{}heal{instance}-{}", run.prefix(), tried.len());
        let errand = Errand::new(run, instance, id, Plan::probe(run, instance, BUSY[done]));
        if errand.reserve_and_confirm().await {
            done += 1;
        } else {
            tokio::time::sleep(PAUSE).await;
        }
        tried.push(errand);
    }
    let took = begin.elapsed();
    if done < BUSY.len() || took > bound {
        run.violation(format!("instance {} did not reserve and confirm within {bound:?}", instance + 1));
    }
    // The orders of the failed tries must come to an end too.
    join_all(tried.iter().map(Errand::finish)).await;
    took
}
