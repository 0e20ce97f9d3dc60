//! Calls to one instance, and the kinds of their answers.

use std::error::Error;
use std::time::Duration;

use stockhold::grpc::v1;
use stockhold::grpc::v1::reservation_service_client::ReservationServiceClient;
use stockhold::grpc::v1::stock_service_client::StockServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

use crate::instance::DEADLINE_MAX;

/// A connection attempt that takes longer fails, and the call with it.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// A call that takes longer hangs. It is longer than the instance's deadline, because the machine may be busy.
pub(crate) const CALL_MAX: Duration = DEADLINE_MAX.saturating_add(Duration::from_secs(3));

/// One instance, over a connection that several callers share.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) reservations: ReservationServiceClient<Channel>,
    pub(crate) stock: StockServiceClient<Channel>,
}

impl Client {
    /// Connects at the first call, and again after the connection is lost.
    pub(crate) fn new(port: u16) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).expect("an address");
        let channel = endpoint.connect_timeout(CONNECT_MAX).connect_lazy();
        Self { reservations: ReservationServiceClient::new(channel.clone()), stock: StockServiceClient::new(channel) }
    }
}

/// What a call came to.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    /// Done.
    Ok(T),
    /// The service said no, for this reason.
    Refused(Refused),
    /// The outcome is unknown: the caller repeats the call.
    Unknown(Unknown),
}

/// Why an outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// The service says that nothing was done.
    NothingDone,
    /// The service says that the outcome is unknown.
    Outcome,
    /// The connection broke, or there was none.
    Broken,
    /// There was no answer within the bound.
    Hung(Duration),
}

/// A definite refusal, or an answer that must never come.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) reason: String,
    pub(crate) message: String,
    /// The skus that are short, if that is the reason.
    pub(crate) short: Vec<String>,
}

/// Makes a call and answers what kind of answer came.
pub(crate) async fn call<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Answer<T> {
    call_within(CALL_MAX, call).await
}

/// The same with a bound of its own.
pub(crate) async fn call_within<T>(
    bound: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Answer<T> {
    // A call is a large future, and many are awaited inside of other futures.
    match tokio::time::timeout(bound, Box::pin(call)).await {
        Ok(Ok(response)) => Answer::Ok(response.into_inner()),
        Ok(Err(status)) => no(&status),
        Err(_) => Answer::Unknown(Unknown::Hung(bound)),
    }
}

fn no<T>(status: &Status) -> Answer<T> {
    let details = status.get_error_details();
    let Some(info) = details.error_info().filter(|info| info.domain == "stockhold") else {
        return if is_broken(status) { Answer::Unknown(Unknown::Broken) } else { unexplained(status) };
    };
    match info.reason.as_str() {
        "STORE_UNAVAILABLE" | "OVERLOADED" => Answer::Unknown(Unknown::NothingDone),
        "OUTCOME_UNKNOWN" => Answer::Unknown(Unknown::Outcome),
        reason => {
            let short = details.precondition_failure().into_iter().flat_map(|failure| &failure.violations);
            Answer::Refused(Refused {
                reason: reason.to_owned(),
                message: status.message().to_owned(),
                short: short.map(|violation| violation.subject.clone()).collect(),
            })
        }
    }
}

/// Whether the client made up this status because its connection broke. Such a status has a source, and one of these
/// codes: connecting failed, an error of the socket ended the stream, or the call was dropped with the connection. A
/// source with another code means that the service broke the rules of HTTP/2.
fn is_broken(status: &Status) -> bool {
    status.source().is_some() && matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled)
}

/// Every error of the service itself has a reason.
fn unexplained<T>(status: &Status) -> Answer<T> {
    let reason = format!("{:?} without a reason", status.code());
    Answer::Refused(Refused { reason, message: status.to_string(), short: Vec::new() })
}

/// Lines in the form of a request.
pub(crate) fn to_lines(lines: &[(String, u32)]) -> Vec<v1::Line> {
    lines.iter().map(|(sku, quantity)| v1::Line { sku: sku.clone(), quantity: *quantity }).collect()
}

/// Lines in the form of an answer.
pub(crate) fn from_lines(lines: &[v1::Line]) -> Vec<(String, u32)> {
    lines.iter().map(|line| (line.sku.clone(), line.quantity)).collect()
}
