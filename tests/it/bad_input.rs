//! No request, however malformed, panics, answers `INTERNAL`, breaks the connection, or changes a store without being
//! answered OK: thousands of them, over one connection to a service in this process, over the embedded stores and over
//! real servers. After each of them the stores are read past the service and compared with what they were.
//!
//! The requests follow from a seed, which `PROPTEST_RNG_SEED` chooses. A request that fails is made as small as it can
//! be, and printed.

mod requests;
mod stores;
mod wire;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use proptest::test_runner::{Config, TestRunner};
use stockhold::domain::State;
use stockhold::grpc::calls::{Calls, CallsConfig};
use stockhold::grpc::health::Health;
use stockhold::grpc::http2::{ConnectionsConfig, serve};
use stockhold::grpc::served::Served;
use stockhold::grpc::session::Sessions;
use stockhold::grpc::unsent::Unsent;
use stockhold::grpc::v1;
use stockhold::holds::Command;
use stockhold::service::Service;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tower::Layer;

use self::requests::{Case, RPCS, Tokens, cases};
use self::stores::{Dump, Stores};
use self::wire::{Answer, Wire};
use crate::support::client::{Caller, refusal};
use crate::support::holds::{TTL_MS, begin};
use crate::support::service::Came::{Refused, To};
use crate::support::service::LocalService;

/// How many requests each pair of stores is sent.
const CASES: u32 = 2000;

/// Far more than any step here takes.
const BOUND: Duration = Duration::from_secs(30);

/// Longer than any test runs.
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

/// Much more than is ever unsent here.
const UNSENT_BYTES_MAX: usize = 1 << 30;

/// Every error that a caller can bring about alone. Callers cannot make a store go away or the load too high,
/// and `INTERNAL` is never their doing.
const REFUSALS: [(Code, &str); 16] = [
    (Code::InvalidArgument, "INVALID_FIELD"),
    (Code::FailedPrecondition, "INSUFFICIENT_STOCK"),
    (Code::NotFound, "UNKNOWN_LOCATION"),
    (Code::NotFound, "UNKNOWN_SKU"),
    (Code::FailedPrecondition, "SKU_RETIRED"),
    (Code::NotFound, "RESERVATION_NOT_FOUND"),
    (Code::AlreadyExists, "RESERVATION_ID_REUSED"),
    (Code::AlreadyExists, "REQUEST_ID_REUSED"),
    (Code::FailedPrecondition, "CONFIRM_MISMATCH"),
    (Code::FailedPrecondition, "RESERVATION_EXPIRED"),
    (Code::FailedPrecondition, "RESERVATION_CANCELLED"),
    (Code::FailedPrecondition, "RESERVATION_CONFIRMED"),
    (Code::FailedPrecondition, "RESERVATION_REJECTED"),
    (Code::Aborted, "VERSION_MISMATCH"),
    (Code::DeadlineExceeded, "OUTCOME_UNKNOWN"),
    (Code::Unimplemented, "UNIMPLEMENTED"),
];

/// The service, served, and what became of the requests so far.
struct Site {
    wire: Wire,
    calls: Calls,
    service: Arc<Service>,
    stores: Stores,
    /// What the stores have.
    dump: Dump,
    /// How often each RPC was answered in each way.
    answers: BTreeMap<(&'static str, String), u32>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

/// Reservations in every state, and a clock that stands still: nothing expires by itself from here on.
async fn prepare(it: &LocalService) {
    it.set("a", 1_000_000).await;
    it.set("b", 10).await;
    it.set("scarce", 1).await;
    it.set("going", 2).await;
    it.set_with_floor("huge", 100_000_000_000_000, -100_000_000_000_000).await;
    for (id, sku) in [("expired", "a"), ("expired and gone", "scarce")] {
        assert_eq!(it.reserve(id, &[(sku, 1)]).await, To(State::Held));
    }
    it.clock.at(TTL_MS);
    it.at_holds(Command::Sweep).await;
    assert_eq!(it.reserve("took it", &[("scarce", 1)]).await, To(State::Held));
    for id in ["held", "confirmed", "cancelled", "confirming"] {
        assert_eq!(it.reserve(id, &[("a", 2), ("b", 1)]).await, To(State::Held));
    }
    assert_eq!(it.reserve("rejected", &[("going", 2)]).await, To(State::Held));
    it.set("going", 1).await;
    assert_eq!(it.confirm("rejected").await, Refused("rejected"));
    assert_eq!(it.confirm("confirmed").await, To(State::Confirmed));
    assert_eq!(it.cancel("cancelled").await, To(State::Cancelled));
    it.at_holds(begin("confirming")).await;
}

/// What pages really give, to be tampered with.
async fn tokens(caller: &mut Caller) -> Tokens {
    let list = v1::ListStockRequest { location: "l".into(), page_size: 2, ..Default::default() };
    let of_stock = caller.stock.list_stock(list).await.expect("lists").into_inner().next_page_token;
    let list = v1::ListReservationsRequest { location: "l".into(), page_size: 1, ..Default::default() };
    let page = caller.reservations.list_reservations(list).await.expect("lists").into_inner();
    let tokens = Tokens { of_stock, of_reservations: page.next_page_token };
    assert!(!tokens.of_stock.is_empty() && !tokens.of_reservations.is_empty(), "there are more pages");
    tokens
}

impl Site {
    async fn start(it: LocalService) -> (Self, Tokens) {
        prepare(&it).await;
        let (service, stores) = Stores::of(it).await;
        let calls = Calls::new(&CallsConfig { concurrency_max: 10, call_bytes_max: 1 << 20, deadline_max: BOUND });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let (_, health) = Health::follow(service.clone()).await;
        let sessions = Sessions::until(stop.clone(), BOUND, 10);
        let served = Served::new(&service, health, &calls, sessions, true).expect("the services");
        let connections = ConnectionsConfig::new(10, FOR_EVER, FOR_EVER);
        let unsent = Unsent::new(UNSENT_BYTES_MAX);
        let server = tokio::spawn(serve(calls.layer(served), listener, connections, unsent, stop.clone()));
        let tokens = tokens(&mut Caller::connect(address).await).await;
        let wire = Wire::connect(address).await;
        let dump = stores.dump().await;
        (Self { wire, calls, service, stores, dump, answers: BTreeMap::new(), stop, server }, tokens)
    }

    async fn ask(&mut self, case: &Case) {
        let answer = timeout(BOUND, self.wire.call(case)).await.expect("an answer");
        let (name, may_change) = match answer {
            Answer::NoCall(status) => {
                assert!(!case.is_a_call() && status == StatusCode::UNSUPPORTED_MEDIA_TYPE, "answered {status}");
                (status.to_string(), false)
            }
            Answer::Done(body) => {
                case.read_answer(body);
                ("OK".to_owned(), true)
            }
            Answer::Refused(status) => {
                let (code, reason) = refusal(Err::<(), _>(status));
                assert!(REFUSALS.contains(&(code, &reason)), "answered {code:?} {reason}");
                // A late Confirm that finds the stock gone ends the reservation, and a session does what came before
                // the bytes that it refuses.
                let may_change = code == Code::DeadlineExceeded
                    || reason == "RESERVATION_REJECTED"
                    || case.rpc() == "ReservationService/Session" && case.is_followed();
                (format!("{code:?} {reason}"), may_change)
            }
        };
        // What has begun runs on when the caller's time is up, and a Confirm is settled after its answer.
        timeout(BOUND, self.calls.finish()).await.expect("it ends");
        timeout(BOUND, self.service.quiet()).await.expect("it ends");
        let before = std::mem::replace(&mut self.dump, self.stores.dump().await);
        if !(may_change && case.writes()) {
            let changed: Vec<_> = before.symmetric_difference(&self.dump).collect();
            assert!(changed.is_empty(), "answered {name}, and this was changed: {changed:#?}");
        }
        *self.answers.entry((case.rpc(), name)).or_default() += 1;
    }

    /// The requests were no waste: each RPC was done, and found its request malformed.
    fn assert_spread(&self) {
        for ((rpc, answer), count) in &self.answers {
            println!("{count:6} {rpc} {answer}");
        }
        for rpc in RPCS {
            for answer in ["OK", "InvalidArgument INVALID_FIELD"] {
                assert!(self.answers.contains_key(&(rpc, answer.to_owned())), "{rpc} was never answered {answer}");
            }
        }
    }

    async fn end(self) {
        self.wire.end().await;
        self.stop.cancel();
        timeout(BOUND, self.server).await.expect("ends in time").expect("does not panic");
        self.stores.remove().await;
    }
}

fn no_request_harms(it: impl Future<Output = LocalService>) {
    let config = Config { cases: CASES, failure_persistence: None, max_shrink_iters: 500, ..Config::default() };
    let seed = config.rng_seed;
    println!("PROPTEST_RNG_SEED={seed}");
    let mut runner = TestRunner::new(config);

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (site, tokens) = runtime.block_on(async { Site::start(it.await).await });
    let site = RefCell::new(site);
    let ran = runner.run(&cases(&tokens), |case| {
        runtime.block_on(site.borrow_mut().ask(&case));
        Ok(())
    });
    ran.unwrap_or_else(|failure| panic!("with PROPTEST_RNG_SEED={seed}: {failure}"));
    let site = site.into_inner();
    site.assert_spread();
    runtime.block_on(site.end());
}

#[test]
fn no_request_harms_the_embedded_stores() {
    no_request_harms(LocalService::embedded());
}

#[test]
fn no_request_harms_real_servers() {
    no_request_harms(LocalService::servers());
}
