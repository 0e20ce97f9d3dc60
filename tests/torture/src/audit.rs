//! The audit of a run, once its callers are done: waits until all is quiet, then compares what was told with what the stores have, past the service.

mod books;
mod quiet;
mod repeat;

use stockhold::grpc::v1;
use stockhold::grpc::v1::reconcile_finding::Kind;

use crate::client::{Answer, call};
use crate::run::{LOCATIONS, Run};
use crate::world::World;

pub(crate) use books::{audit_books, stock_up};

/// Audits everything.
pub(crate) async fn audit(world: &World, run: &Run) {
    quiet::wait(world, run).await;
    reconcile(run, |_| false).await;
    audit_books(world, run).await;
    repeat::repeat_all(world, run).await;
    quiet::wait(world, run).await;
}

/// Reconciles every location while callers go on, right after a fault; answers how many differences were found. A register may be behind until it is pushed, and
/// only a Redis that forgot can hold what the ledger has settled.
pub(crate) async fn reconcile_under_traffic(run: &Run) -> u64 {
    reconcile(run, |kind| kind == Kind::Register || (kind == Kind::Settled && run.permits.redis_forgets)).await
}

/// Answers how many permitted differences were found; others are violations.
async fn reconcile(run: &Run, permitted: impl Fn(Kind) -> bool) -> u64 {
    let mut found = 0;
    for (location, clients) in LOCATIONS.into_iter().zip(&run.clients) {
        let mut client = clients[0].clone();
        let request = v1::ReconcileRequest { location: location.to_owned(), validate_only: false };
        match call(client.stock.reconcile(request)).await {
            (Answer::Ok(report), _) => {
                for finding in &report.findings {
                    if permitted(finding.kind()) {
                        found += 1;
                    } else {
                        run.violation(format!("Reconcile found in {location}: {finding:?}"));
                    }
                }
            }
            (answer, _) => run.violation(format!("Reconcile of {location} failed: {answer:?}")),
        }
    }
    found
}
