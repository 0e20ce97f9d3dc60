//! `stockhold reserve`, `confirm`, `cancel`, `extend`, `show` and `reservations`.

use std::time::{Duration, SystemTime};

use clap::Args;
use prost_types::Timestamp;

use super::call::Execute;
use super::client::Client;
use super::failure::{Failure, SAME_COMMAND};
use super::output::Output;
use super::{args, args::Units, table};
use crate::config::duration;
use crate::grpc::{PAGE_SIZE_MAX, v1};

/// Which reservation.
#[derive(Debug, Args)]
struct Id {
    /// The reservation's id, chosen by the caller, such as an order id
    #[arg(value_name = "ID")]
    reservation_id: String,
}

/// What to do with a reservation that has expired.
#[derive(Debug, Args)]
struct Late {
    /// If it has expired, take its stock again, provided that it is still there
    #[arg(long)]
    reacquire: bool,
}

impl Late {
    fn policy(&self) -> i32 {
        if self.reacquire { v1::LatePolicy::Reacquire.into() } else { v1::LatePolicy::Reject.into() }
    }
}

fn lines(units: Vec<Units<u32>>) -> Vec<v1::Line> {
    units.into_iter().map(|line| v1::Line { sku: line.sku, quantity: line.units }).collect()
}

/// See [`super::ClientCommand::Reserve`].
#[derive(Debug, Args)]
pub struct Reserve {
    #[command(flatten)]
    id: Id,
    /// The skus and the units to hold of each
    #[arg(required = true, value_name = "SKU=UNITS")]
    lines: Vec<Units<u32>>,
    /// How long to hold, such as 10m; the service's --ttl-default unless given
    #[arg(long, value_name = "TIME", value_parser = duration)]
    ttl: Option<Duration>,
}

impl Execute for Reserve {
    async fn execute(self, client: &mut Client) -> Result<Output, Failure> {
        let ttl = self.ttl.map(prost_types::Duration::try_from).transpose();
        let request = client.request(v1::ReserveRequest {
            location: client.location.clone(),
            reservation_id: self.id.reservation_id,
            lines: lines(self.lines),
            ttl: ttl.map_err(|error| Failure::local(format!("--ttl: {error}")))?,
        });
        let answer = client.reservations.reserve(request).await;
        let answer = answer.map_err(|status| Failure::of_write(status, SAME_COMMAND))?.into_inner();
        Ok(Output::new("ReserveResponse", &answer, table::reservation(answer.reservation.as_ref())))
    }
}

/// See [`super::ClientCommand::Confirm`].
#[derive(Debug, Args)]
pub struct Confirm {
    #[command(flatten)]
    id: Id,
    /// Units to confirm, while the rest is given back; everything unless given
    #[arg(value_name = "SKU=UNITS")]
    lines: Vec<Units<u32>>,
    #[command(flatten)]
    late: Late,
}

impl Execute for Confirm {
    async fn execute(self, client: &mut Client) -> Result<Output, Failure> {
        let request = client.request(v1::ConfirmRequest {
            location: client.location.clone(),
            reservation_id: self.id.reservation_id,
            lines: lines(self.lines),
            late_policy: self.late.policy(),
        });
        let answer = client.reservations.confirm(request).await;
        let answer = answer.map_err(|status| Failure::of_write(status, SAME_COMMAND))?.into_inner();
        Ok(Output::new("ConfirmResponse", &answer, table::reservation(answer.reservation.as_ref())))
    }
}

/// See [`super::ClientCommand::Cancel`].
#[derive(Debug, Args)]
pub struct Cancel {
    #[command(flatten)]
    id: Id,
}

impl Execute for Cancel {
    async fn execute(self, client: &mut Client) -> Result<Output, Failure> {
        let request = client
            .request(v1::CancelRequest { location: client.location.clone(), reservation_id: self.id.reservation_id });
        let answer = client.reservations.cancel(request).await;
        let answer = answer.map_err(|status| Failure::of_write(status, SAME_COMMAND))?.into_inner();
        Ok(Output::new("CancelResponse", &answer, table::reservation(answer.reservation.as_ref())))
    }
}

/// See [`super::ClientCommand::Extend`].
#[derive(Debug, Args)]
pub struct Extend {
    #[command(flatten)]
    id: Id,
    #[command(flatten)]
    later: Later,
    #[command(flatten)]
    late: Late,
}

/// The new expire time.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Later {
    /// How much to add to the expire time; an expired reservation is extended from now
    #[arg(long, value_name = "TIME", value_parser = duration)]
    by: Option<Duration>,
    /// The new expire time, in UTC, such as 2026-11-22T16:00:00Z
    #[arg(long, value_name = "TIMESTAMP", value_parser = args::time)]
    until: Option<SystemTime>,
}

impl Execute for Extend {
    async fn execute(self, client: &mut Client) -> Result<Output, Failure> {
        let location = client.location.clone();
        let reservation_id = self.id.reservation_id;
        let expire_time = match self.later.by {
            None => self.later.until,
            Some(by) => {
                let request =
                    v1::GetReservationRequest { location: location.clone(), reservation_id: reservation_id.clone() };
                let answer = client.reservations.get_reservation(client.request(request)).await;
                let answer = answer.map_err(Failure::of_read)?.into_inner();
                later_by(answer.reservation.unwrap_or_default(), by, SystemTime::now())
            }
        };
        let request = client.request(v1::ExtendRequest {
            location,
            reservation_id,
            expire_time: expire_time.map(Timestamp::from),
            late_policy: self.late.policy(),
        });
        let answer = client.reservations.extend(request).await;
        // Repeating `--by` would extend once more if this call has taken effect.
        let until = expire_time.map(|time| format!("--until {}", humantime::format_rfc3339_millis(time)));
        let repeat_with = format!("`extend` and {}", until.unwrap_or_default());
        let answer = answer.map_err(|status| Failure::of_write(status, &repeat_with))?.into_inner();
        Ok(Output::new("ExtendResponse", &answer, table::reservation(answer.reservation.as_ref())))
    }
}

/// The expire time of a reservation that is extended by `by`.
fn later_by(reservation: v1::Reservation, by: Duration, now: SystemTime) -> Option<SystemTime> {
    let is_held = reservation.state() == v1::ReservationState::Held;
    let expire_time = reservation.expire_time.filter(|_| is_held).and_then(|time| SystemTime::try_from(time).ok());
    // An expired reservation is extended from now: its old expire time plus `by` may have passed too. If it has ended
    // otherwise, the service refuses whatever time is sent.
    expire_time.unwrap_or(now).checked_add(by)
}

/// See [`super::ClientCommand::Show`].
#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    id: Id,
}

impl Execute for Show {
    async fn execute(self, client: &mut Client) -> Result<Output, Failure> {
        let request = client.request(v1::GetReservationRequest {
            location: client.location.clone(),
            reservation_id: self.id.reservation_id,
        });
        let answer = client.reservations.get_reservation(request).await.map_err(Failure::of_read)?.into_inner();
        Ok(Output::new("GetReservationResponse", &answer, table::reservation(answer.reservation.as_ref())))
    }
}

/// See [`super::ClientCommand::Reservations`].
#[derive(Debug, Args)]
pub struct List {
    /// Only reservations with a line of this sku
    #[arg(long, default_value = "")]
    sku: String,
}

impl Execute for List {
    /// All pages, joined to one answer.
    async fn execute(self, client: &mut Client) -> Result<Output, Failure> {
        let mut all = v1::ListReservationsResponse::default();
        loop {
            let request = client.request(v1::ListReservationsRequest {
                location: client.location.clone(),
                sku: self.sku.clone(),
                page_size: PAGE_SIZE_MAX,
                page_token: all.next_page_token,
            });
            let page = client.reservations.list_reservations(request).await.map_err(Failure::of_read)?.into_inner();
            all.reservations.extend(page.reservations);
            all.next_page_token = page.next_page_token;
            if all.next_page_token.is_empty() {
                return Ok(Output::new("ListReservationsResponse", &all, table::reservations(&all.reservations)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_live_lasts_longer_from_its_expire_time_and_what_has_expired_from_now() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let by = Duration::from_secs(300);
        for (state, expires, later) in [
            (v1::ReservationState::Held, Some(at(2000)), Some(at(2300))),
            (v1::ReservationState::Expired, Some(at(100)), Some(at(1300))),
            (v1::ReservationState::Expired, None, Some(at(1300))),
            (v1::ReservationState::Cancelled, Some(at(100)), Some(at(1300))),
        ] {
            let reservation = v1::Reservation {
                state: state.into(),
                expire_time: expires.map(Timestamp::from),
                ..Default::default()
            };
            assert_eq!(later_by(reservation, by, at(1000)), later, "{state:?}");
        }
    }
}
