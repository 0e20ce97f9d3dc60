//! The audit of a run. Once its callers are done, it waits until all is quiet, then compares what callers were told
//! with what the stores have. It reads the stores past the service.

mod books;
mod quiet;
mod repeat;

use std::time::Duration;

use stockhold::grpc::v1;
use stockhold::grpc::v1::reconcile_finding::Kind;
use stockhold_servers::patience::within;

use crate::client::{Answer, call_within};
use crate::run::{LOCATIONS, Run};
use crate::world::World;

pub(crate) use books::{audit_books, stock_up};

/// Both stores work by then. A call may still fail when the machine is so busy that Redis answers late.
const RECONCILE_MAX: Duration = Duration::from_secs(15);

/// Reconcile has no deadline of its own: it takes as long as there is stock to compare.
const RECONCILE_CALL_MAX: Duration = Duration::from_secs(60);

/// Audits everything.
pub(crate) async fn audit(world: &World, run: &Run) {
    quiet::wait(world, run).await;
    reconcile(run, false, |_| false).await;
    audit_books(world, run).await;
    repeat::repeat_all(world, run).await;
    quiet::wait(world, run).await;
}

/// Compares every location right after a fault, while callers go on. It repairs nothing, because the service must heal
/// by itself. Answers how many differences were found that the fault permits: a register may be behind until it is
/// pushed, and only a Redis that lost data can hold what the ledger has settled.
pub(crate) async fn reconcile_under_traffic(run: &Run) -> u64 {
    reconcile(run, true, |kind| kind == Kind::Register || (kind == Kind::Settled && run.redis_forgets)).await
}

/// Answers how many permitted differences were found. Any other difference is a violation.
async fn reconcile(run: &Run, validate_only: bool, permitted: impl Fn(Kind) -> bool) -> u64 {
    let mut found = 0;
    for (location, clients) in LOCATIONS.into_iter().zip(run.clients.iter().cycle()) {
        let mut client = clients[0].clone();
        let request = v1::ReconcileRequest { location: location.to_owned(), validate_only };
        let mut findings = Vec::new();
        let done = within(RECONCILE_MAX, async || {
            match call_within(RECONCILE_CALL_MAX, client.stock.reconcile(request.clone())).await {
                Answer::Ok(report) => {
                    findings = report.findings;
                    true
                }
                Answer::Refused(refused) => {
                    run.violation(format!("Reconcile of {location} was refused: {refused:?}"));
                    true
                }
                Answer::Unknown(_) => false,
            }
        });
        if done.await.is_none() {
            run.violation(format!("Reconcile of {location} did not succeed within {RECONCILE_MAX:?}"));
        }
        for finding in findings {
            if permitted(finding.kind()) {
                found += 1;
            } else {
                run.violation(format!("Reconcile found in {location}: {finding:?}"));
            }
        }
    }
    found
}
