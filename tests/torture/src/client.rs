//! Calls to one instance, and what their answers come to.

use std::error::Error;
use std::time::Duration;

use stockhold::grpc::v1;
use stockhold::grpc::v1::reservation_service_client::ReservationServiceClient;
use stockhold::grpc::v1::stock_service_client::StockServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

use crate::instance::DEADLINE_MAX;

/// A connection that does not come about by then is given up, and the call with it.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// A call that takes longer hangs: the instance answers within its deadline, and the machine may be busy.
pub(crate) const CALL_MAX: Duration = DEADLINE_MAX.saturating_add(Duration::from_secs(3));

/// One instance, seen by callers that share a connection.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) reservations: ReservationServiceClient<Channel>,
    pub(crate) stock: StockServiceClient<Channel>,
}

impl Client {
    /// Connects at the first call, and again whenever the connection is lost.
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
    /// The caller does not know: he shall repeat.
    Unknown(Unknown),
}

/// Why a caller does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// The service says that nothing was done.
    NothingDone,
    /// The service says that it does not know.
    Outcome,
    /// The connection broke, or there was none.
    Broken,
    /// There was no answer within the bound.
    Hung(Duration),
}

/// A definite "no", or what should never be answered.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) reason: String,
    pub(crate) message: String,
    /// The skus that are short, where that is the reason.
    pub(crate) short: Vec<String>,
}

/// Makes a call and says what it came to.
pub(crate) async fn call<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Answer<T> {
    call_within(CALL_MAX, call).await
}

/// The same for a call that may take another time.
pub(crate) async fn call_within<T>(
    bound: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Answer<T> {
    // A call is large, and many wait inside of other futures.
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

/// Whether the client made this up because its connection broke: only then it knows a source. By these codes it tells
/// that it could not connect, that an error of the socket ended the stream, or that the call was dropped with the
/// connection; by others it tells that the service broke the rules of HTTP/2.
fn is_broken(status: &Status) -> bool {
    status.source().is_some() && matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled)
}

/// Every error of the service itself has a reason.
fn unexplained<T>(status: &Status) -> Answer<T> {
    let reason = format!("{:?} without a reason", status.code());
    Answer::Refused(Refused { reason, message: status.to_string(), short: Vec::new() })
}

/// Lines as requests have them.
pub(crate) fn to_lines(lines: &[(String, u32)]) -> Vec<v1::Line> {
    lines.iter().map(|(sku, quantity)| v1::Line { sku: sku.clone(), quantity: *quantity }).collect()
}

/// Lines as answers have them.
pub(crate) fn from_lines(lines: &[v1::Line]) -> Vec<(String, u32)> {
    lines.iter().map(|line| (line.sku.clone(), line.quantity)).collect()
}
