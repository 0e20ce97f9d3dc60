//! Requests about one reservation: which use case each calls, whether it came alone, in a Many or on a Session.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{answer, checked, v1};
use crate::service::{Error, Service};

/// A request about one reservation.
pub(super) trait ReservationRequest: Send + 'static {
    /// The path of the call that carries nothing but this request.
    const RPC: &'static str;

    /// Checks its fields, calls one use case, and answers in protobuf.
    ///
    /// The future is boxed where it is made, because what is around it would copy it.
    fn perform(self, service: Arc<Service>) -> BoxFuture<'static, Result<v1::Reservation, Error>>;
}

impl ReservationRequest for v1::ReserveRequest {
    const RPC: &'static str = "/stockhold.v1.ReservationService/Reserve";

    fn perform(self, service: Arc<Service>) -> BoxFuture<'static, Result<v1::Reservation, Error>> {
        Box::pin(async move {
            let (location, id, lines, ttl) = checked::reserve(&self, service.limits())?;
            let reservation = service.reserve(&location, id, lines, ttl).await?;
            Ok(answer::reservation(&location, reservation))
        })
    }
}

impl ReservationRequest for v1::ConfirmRequest {
    const RPC: &'static str = "/stockhold.v1.ReservationService/Confirm";

    fn perform(self, service: Arc<Service>) -> BoxFuture<'static, Result<v1::Reservation, Error>> {
        Box::pin(async move {
            let (location, id, lines, late) = checked::confirm(&self)?;
            let reservation = service.confirm(&location, id, lines, late).await?;
            Ok(answer::reservation(&location, reservation))
        })
    }
}

impl ReservationRequest for v1::CancelRequest {
    const RPC: &'static str = "/stockhold.v1.ReservationService/Cancel";

    fn perform(self, service: Arc<Service>) -> BoxFuture<'static, Result<v1::Reservation, Error>> {
        Box::pin(async move {
            let (location, id) = checked::named(&self.location, &self.reservation_id)?;
            let reservation = service.cancel(&location, id).await?;
            Ok(answer::reservation(&location, reservation))
        })
    }
}

impl ReservationRequest for v1::ExtendRequest {
    const RPC: &'static str = "/stockhold.v1.ReservationService/Extend";

    fn perform(self, service: Arc<Service>) -> BoxFuture<'static, Result<v1::Reservation, Error>> {
        Box::pin(async move {
            let (location, id, expire_ms, late) = checked::extend(&self)?;
            let reservation = service.extend(&location, id, expire_ms, late).await?;
            Ok(answer::reservation(&location, reservation))
        })
    }
}

impl ReservationRequest for v1::GetReservationRequest {
    const RPC: &'static str = "/stockhold.v1.ReservationService/GetReservation";

    fn perform(self, service: Arc<Service>) -> BoxFuture<'static, Result<v1::Reservation, Error>> {
        Box::pin(async move {
            let (location, id) = checked::named(&self.location, &self.reservation_id)?;
            let reservation = service.get_reservation(&location, id).await?;
            Ok(answer::reservation(&location, reservation))
        })
    }
}
