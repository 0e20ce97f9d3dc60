//! A caller of a running service, and what its answers say.

use std::collections::HashMap;
use std::net::SocketAddr;

use stockhold::grpc::v1;
use stockhold::grpc::v1::reservation_service_client::ReservationServiceClient;
use stockhold::grpc::v1::stock_service_client::StockServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) reservations: ReservationServiceClient<Channel>,
    pub(crate) stock: StockServiceClient<Channel>,
}

impl Caller {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address").connect().await;
        let channel = channel.expect("the service accepts connections");
        Self { reservations: ReservationServiceClient::new(channel.clone()), stock: StockServiceClient::new(channel) }
    }

    pub(crate) async fn set(&mut self, sku: &str, on_hand: i64) {
        let item = v1::SetStockItem { sku: sku.into(), on_hand, ..Default::default() };
        let request_id = Uuid::new_v4().to_string();
        let request = v1::SetStockRequest { request_id, items: vec![item], ..Default::default() };
        self.stock.set_stock(request).await.expect("the stock is set");
    }

    pub(crate) async fn reserve(&mut self, id: &str, lines: &[(&str, u32)]) -> Result<v1::Reservation, Status> {
        let request = v1::ReserveRequest { reservation_id: id.into(), lines: to_lines(lines), ..Default::default() };
        let answer = self.reservations.reserve(request).await?;
        Ok(answer.into_inner().reservation.expect("a reservation"))
    }

    pub(crate) async fn confirm(&mut self, id: &str) -> Result<v1::Reservation, Status> {
        let request = v1::ConfirmRequest { reservation_id: id.into(), ..Default::default() };
        let answer = self.reservations.confirm(request).await?;
        Ok(answer.into_inner().reservation.expect("a reservation"))
    }

    pub(crate) async fn cancel(&mut self, id: &str) -> Result<v1::Reservation, Status> {
        let request = v1::CancelRequest { reservation_id: id.into(), ..Default::default() };
        let answer = self.reservations.cancel(request).await?;
        Ok(answer.into_inner().reservation.expect("a reservation"))
    }

    pub(crate) async fn state(&mut self, id: &str) -> Result<v1::ReservationState, Status> {
        let request = v1::GetReservationRequest { reservation_id: id.into(), ..Default::default() };
        let answer = self.reservations.get_reservation(request).await?;
        Ok(answer.into_inner().reservation.expect("a reservation").state())
    }

    pub(crate) async fn is(&mut self, id: &str, state: v1::ReservationState) -> bool {
        matches!(self.state(id).await, Ok(found) if found == state)
    }

    /// `on_hand`, `held` and `available` of a sku.
    pub(crate) async fn counts(&mut self, sku: &str) -> (i64, i64, i64) {
        let request = v1::GetStockRequest { skus: vec![sku.into()], ..Default::default() };
        let items = self.stock.get_stock(request).await.expect("reads").into_inner().items;
        (items[0].on_hand, items[0].held, items[0].available)
    }
}

pub(crate) fn to_lines(lines: &[(&str, u32)]) -> Vec<v1::Line> {
    lines.iter().map(|(sku, quantity)| v1::Line { sku: (*sku).into(), quantity: *quantity }).collect()
}

/// The code and the reason of an error. Every error has the form that the contract promises, or the test fails here.
pub(crate) fn refusal<T>(answer: Result<T, Status>) -> (Code, String) {
    let Err(status) = answer else { panic!("it was not refused") };
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "stockhold");
    let request_id =
        details.request_info().unwrap_or_else(|| panic!("no RequestInfo in {status:?}")).request_id.clone();
    assert_eq!(status.metadata().get("x-request-id").expect("a request id").as_bytes(), request_id.as_bytes());
    let retries = matches!(status.code(), Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded);
    assert_eq!(details.retry_info().is_some(), retries, "{status:?}");
    assert!(!status.message().is_empty());
    (status.code(), info.reason.clone())
}

/// The violations that an error names: the field or subject, and the description.
pub(crate) fn violations<T>(answer: &Result<T, Status>) -> HashMap<String, String> {
    let Err(status) = answer else { panic!("it was not refused") };
    let details = status.get_error_details();
    let fields = details.bad_request().into_iter().flat_map(|bad| &bad.field_violations);
    let fields = fields.map(|field| (field.field.clone(), field.description.clone()));
    let conditions = details.precondition_failure().into_iter().flat_map(|failure| &failure.violations);
    fields.chain(conditions.map(|found| (found.subject.clone(), found.description.clone()))).collect()
}

pub(crate) fn request_id_of<T>(answer: &Response<T>) -> String {
    answer.metadata().get("x-request-id").expect("a request id").to_str().expect("text").to_owned()
}
