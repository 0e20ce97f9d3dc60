//! `stockhold.v1.ReservationService`: each RPC checks its fields, calls one use case, and says its answer in protobuf.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::v1::reservation_service_server::ReservationService;
use super::{answer, checked, page_token, v1};
use crate::service::Service;

/// The handlers of reservations.
pub(super) struct Reservations(pub(super) Arc<Service>);

#[tonic::async_trait]
impl ReservationService for Reservations {
    async fn reserve(&self, request: Request<v1::ReserveRequest>) -> Result<Response<v1::ReserveResponse>, Status> {
        let (location, id, lines, ttl) = checked::reserve(request.get_ref(), self.0.limits())?;
        let reservation = self.0.reserve(&location, id, lines, ttl).await?;
        Ok(Response::new(v1::ReserveResponse { reservation: Some(answer::reservation(&location, reservation)) }))
    }

    async fn confirm(&self, request: Request<v1::ConfirmRequest>) -> Result<Response<v1::ConfirmResponse>, Status> {
        let (location, id, lines, late) = checked::confirm(request.get_ref())?;
        let reservation = self.0.confirm(&location, id, lines, late).await?;
        Ok(Response::new(v1::ConfirmResponse { reservation: Some(answer::reservation(&location, reservation)) }))
    }

    async fn cancel(&self, request: Request<v1::CancelRequest>) -> Result<Response<v1::CancelResponse>, Status> {
        let request = request.get_ref();
        let (location, id) = checked::named(&request.location, &request.reservation_id)?;
        let reservation = self.0.cancel(&location, id).await?;
        Ok(Response::new(v1::CancelResponse { reservation: Some(answer::reservation(&location, reservation)) }))
    }

    async fn extend(&self, request: Request<v1::ExtendRequest>) -> Result<Response<v1::ExtendResponse>, Status> {
        let (location, id, expire_ms, late) = checked::extend(request.get_ref())?;
        let reservation = self.0.extend(&location, id, expire_ms, late).await?;
        Ok(Response::new(v1::ExtendResponse { reservation: Some(answer::reservation(&location, reservation)) }))
    }

    async fn get_reservation(
        &self,
        request: Request<v1::GetReservationRequest>,
    ) -> Result<Response<v1::GetReservationResponse>, Status> {
        let request = request.get_ref();
        let (location, id) = checked::named(&request.location, &request.reservation_id)?;
        let reservation = self.0.get_reservation(&location, id).await?;
        Ok(Response::new(v1::GetReservationResponse { reservation: Some(answer::reservation(&location, reservation)) }))
    }

    async fn list_reservations(
        &self,
        request: Request<v1::ListReservationsRequest>,
    ) -> Result<Response<v1::ListReservationsResponse>, Status> {
        let (location, sku, page_size, after) = checked::list_reservations(request.get_ref())?;
        let (page, next) = self.0.list_reservations(&location, sku.as_ref(), page_size, after).await?;
        let next_page_token = next.as_ref().map(page_token::write_position).unwrap_or_default();
        let reservations = page.into_iter().map(|reservation| answer::reservation(&location, reservation)).collect();
        Ok(Response::new(v1::ListReservationsResponse { reservations, next_page_token }))
    }
}
