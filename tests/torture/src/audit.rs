//! The audit of a run, once its callers are done: waits until all is quiet, then compares what was told with what the
//! stores have, past the service.

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

/// Both stores are well by then. A call may fail where the machine has so much to do that Redis is late.
const RECONCILE_MAX: Duration = Duration::from_secs(15);

/// Nobody bounds it but its caller: it takes as long as there is stock to compare.
const RECONCILE_CALL_MAX: Duration = Duration::from_secs(60);

/// Audits everything.
pub(crate) async fn audit(world: &World, run: &Run) {
    quiet::wait(world, run).await;
    reconcile(run, false, |_| false).await;
    audit_books(world, run).await;
    repeat::repeat_all(world, run).await;
    quiet::wait(world, run).await;
}

/// Compares every location while callers go on, right after a fault, and repairs nothing: it must heal by itself.
/// Answers how many differences were found. A register may be behind until it is pushed, and only a Redis that forgot
/// can hold what the ledger has settled.
pub(crate) async fn reconcile_under_traffic(run: &Run) -> u64 {
    reconcile(run, true, |kind| kind == Kind::Register || (kind == Kind::Settled && run.redis_forgets)).await
}

/// Answers how many permitted differences were found; others are violations.
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
