//! Whether an instance answers again after a fault, and when.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::caller::Errand;
use crate::plan::Plan;
use crate::run::Run;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// Reserves and confirms at one instance until both succeed; answers how long that took. A violation if it takes longer than `bound`.
pub(crate) async fn heal(run: &Arc<Run>, instance: usize, bound: Duration) -> Duration {
    let begin = Instant::now();
    let (mut tried, mut number) = (Vec::new(), 0);
    let healed = loop {
        let id = format!("{}heal{instance}-{number}", run.prefix());
        let errand = Errand::new(run, instance, id, Plan::probe(run, instance));
        let done = errand.reserve_and_confirm().await;
        tried.push(errand);
        if done || begin.elapsed() > bound {
            break done;
        }
        number += 1;
        tokio::time::sleep(PAUSE).await;
    };
    let took = begin.elapsed();
    if !healed || took > bound {
        run.violation(format!("instance {} did not reserve and confirm within {bound:?}", instance + 1));
    }
    // Those that failed on the way must have an end too.
    for errand in tried {
        errand.finish().await;
    }
    took
}
