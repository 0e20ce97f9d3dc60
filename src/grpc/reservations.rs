//! `stockhold.v1.ReservationService`: each RPC checks its fields, calls one use case, and says its answer in protobuf.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::fields::Fields;
use super::v1::reservation_service_server::ReservationService;
use super::{answer, page_token, v1};
use crate::domain::{Location, ReservationId};
use crate::service::{Error, Service};

/// The handlers of reservations.
pub(super) struct Reservations(pub(super) Arc<Service>);

#[tonic::async_trait]
impl ReservationService for Reservations {
    async fn reserve(&self, request: Request<v1::ReserveRequest>) -> Result<Response<v1::ReserveResponse>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        let location = fields.location(&request.location);
        let id = fields.reservation_id(&request.reservation_id);
        let lines = fields.lines(&request.lines);
        let ttl = fields.ttl(request.ttl, self.0.limits());
        let (Some(location), Some(id), Some(lines), Some(ttl)) = (location, id, lines, ttl) else {
            return Err(fields.refuse().into());
        };
        let reservation = self.0.reserve(&location, id, lines, ttl).await?;
        Ok(Response::new(v1::ReserveResponse { reservation: Some(answer::reservation(&location, reservation)) }))
    }

    async fn confirm(&self, request: Request<v1::ConfirmRequest>) -> Result<Response<v1::ConfirmResponse>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        let location = fields.location(&request.location);
        let id = fields.reservation_id(&request.reservation_id);
        let lines = fields.lines_or_all(&request.lines);
        let late = fields.late_policy(request.late_policy);
        let (Some(location), Some(id), Some(lines), Some(late)) = (location, id, lines, late) else {
            return Err(fields.refuse().into());
        };
        let reservation = self.0.confirm(&location, id, lines, late).await?;
        Ok(Response::new(v1::ConfirmResponse { reservation: Some(answer::reservation(&location, reservation)) }))
    }

    async fn cancel(&self, request: Request<v1::CancelRequest>) -> Result<Response<v1::CancelResponse>, Status> {
        let request = request.into_inner();
        let (location, id) = named(&request.location, &request.reservation_id)?;
        let reservation = self.0.cancel(&location, id).await?;
        Ok(Response::new(v1::CancelResponse { reservation: Some(answer::reservation(&location, reservation)) }))
    }

    async fn extend(&self, request: Request<v1::ExtendRequest>) -> Result<Response<v1::ExtendResponse>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        let location = fields.location(&request.location);
        let id = fields.reservation_id(&request.reservation_id);
        let expire_ms = fields.expire_ms(request.expire_time);
        let late = fields.late_policy(request.late_policy);
        let (Some(location), Some(id), Some(expire_ms), Some(late)) = (location, id, expire_ms, late) else {
            return Err(fields.refuse().into());
        };
        let reservation = self.0.extend(&location, id, expire_ms, late).await?;
        Ok(Response::new(v1::ExtendResponse { reservation: Some(answer::reservation(&location, reservation)) }))
    }

    async fn get_reservation(
        &self,
        request: Request<v1::GetReservationRequest>,
    ) -> Result<Response<v1::GetReservationResponse>, Status> {
        let request = request.into_inner();
        let (location, id) = named(&request.location, &request.reservation_id)?;
        let reservation = self.0.get_reservation(&location, id).await?;
        Ok(Response::new(v1::GetReservationResponse { reservation: Some(answer::reservation(&location, reservation)) }))
    }

    async fn list_reservations(
        &self,
        request: Request<v1::ListReservationsRequest>,
    ) -> Result<Response<v1::ListReservationsResponse>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        let location = fields.location(&request.location);
        let sku = fields.sku_or_all(&request.sku);
        let page_size = fields.page_size(request.page_size);
        let after = fields.page_token(&request.page_token, page_token::read_position);
        let (Some(location), Some(sku), Some(page_size), Some(after)) = (location, sku, page_size, after) else {
            return Err(fields.refuse().into());
        };
        let (page, next) = self.0.list_reservations(&location, sku.as_ref(), page_size, after).await?;
        let next_page_token = next.as_ref().map(page_token::write_position).unwrap_or_default();
        let reservations = page.into_iter().map(|reservation| answer::reservation(&location, reservation)).collect();
        Ok(Response::new(v1::ListReservationsResponse { reservations, next_page_token }))
    }
}

/// The fields of the requests that name one reservation and nothing else.
fn named(location: &str, reservation_id: &str) -> Result<(Location, ReservationId), Error> {
    let mut fields = Fields::default();
    let location = fields.location(location);
    let id = fields.reservation_id(reservation_id);
    location.zip(id).ok_or_else(|| fields.refuse())
}
