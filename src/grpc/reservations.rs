//! `stockhold.v1.ReservationService`: each RPC checks its fields, calls one use case, and answers in protobuf.

use std::sync::Arc;

use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use super::calls::{Calls, Parent};
use super::many::Carrier;
use super::reservation_request::ReservationRequest;
use super::session::Sessions;
use super::v1::reservation_service_server::ReservationService;
use super::{answer, checked, page_token, status, v1};
use crate::service::Service;

/// The handlers of reservations.
pub(super) struct Reservations {
    pub(super) service: Arc<Service>,
    pub(super) calls: Calls,
    pub(super) sessions: Sessions,
}

impl Reservations {
    async fn reservation(&self, request: Request<impl ReservationRequest>) -> Result<Option<v1::Reservation>, Status> {
        Ok(Some(request.into_inner().perform(self.service.clone()).await?))
    }

    fn carrier<T>(&self, request: &Request<T>) -> Result<Carrier, Status> {
        let parent = request.extensions().get::<Parent>().cloned().ok_or_else(status::panicked)?;
        Ok(Carrier { service: self.service.clone(), calls: self.calls.clone(), parent })
    }
}

#[tonic::async_trait]
impl ReservationService for Reservations {
    async fn reserve(&self, request: Request<v1::ReserveRequest>) -> Result<Response<v1::ReserveResponse>, Status> {
        Ok(Response::new(v1::ReserveResponse { reservation: self.reservation(request).await? }))
    }

    async fn confirm(&self, request: Request<v1::ConfirmRequest>) -> Result<Response<v1::ConfirmResponse>, Status> {
        Ok(Response::new(v1::ConfirmResponse { reservation: self.reservation(request).await? }))
    }

    async fn cancel(&self, request: Request<v1::CancelRequest>) -> Result<Response<v1::CancelResponse>, Status> {
        Ok(Response::new(v1::CancelResponse { reservation: self.reservation(request).await? }))
    }

    async fn extend(&self, request: Request<v1::ExtendRequest>) -> Result<Response<v1::ExtendResponse>, Status> {
        Ok(Response::new(v1::ExtendResponse { reservation: self.reservation(request).await? }))
    }

    async fn get_reservation(
        &self,
        request: Request<v1::GetReservationRequest>,
    ) -> Result<Response<v1::GetReservationResponse>, Status> {
        Ok(Response::new(v1::GetReservationResponse { reservation: self.reservation(request).await? }))
    }

    async fn list_reservations(
        &self,
        request: Request<v1::ListReservationsRequest>,
    ) -> Result<Response<v1::ListReservationsResponse>, Status> {
        let (location, sku, page_size, after) = checked::list_reservations(request.get_ref())?;
        let (page, next) = self.service.list_reservations(&location, sku.as_ref(), page_size, after).await?;
        let next_page_token = next.as_ref().map(page_token::write_position).unwrap_or_default();
        let reservations = page.into_iter().map(|reservation| answer::reservation(&location, reservation)).collect();
        Ok(Response::new(v1::ListReservationsResponse { reservations, next_page_token }))
    }

    async fn reserve_many(
        &self,
        request: Request<v1::ReserveManyRequest>,
    ) -> Result<Response<v1::ReserveManyResponse>, Status> {
        let outcomes = self.carrier(&request)?.outcomes(request.into_inner().requests).await?;
        Ok(Response::new(v1::ReserveManyResponse { outcomes }))
    }

    async fn confirm_many(
        &self,
        request: Request<v1::ConfirmManyRequest>,
    ) -> Result<Response<v1::ConfirmManyResponse>, Status> {
        let outcomes = self.carrier(&request)?.outcomes(request.into_inner().requests).await?;
        Ok(Response::new(v1::ConfirmManyResponse { outcomes }))
    }

    async fn cancel_many(
        &self,
        request: Request<v1::CancelManyRequest>,
    ) -> Result<Response<v1::CancelManyResponse>, Status> {
        let outcomes = self.carrier(&request)?.outcomes(request.into_inner().requests).await?;
        Ok(Response::new(v1::CancelManyResponse { outcomes }))
    }

    async fn session(
        &self,
        request: Request<Streaming<v1::SessionRequest>>,
    ) -> Result<Response<BoxStream<v1::SessionResponse>>, Status> {
        let carrier = self.carrier(&request)?;
        let answers = self.sessions.open(carrier, request.into_inner())?;
        Ok(Response::new(Box::pin(answers)))
    }
}
