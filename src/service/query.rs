//! Reading reservations.

use super::{Error, Service};
use crate::domain::{Location, Refusal, Reservation, ReservationId, Sku, State};
use crate::holds::Position;

/// How many index entries are read for one page before it is answered, full or not.
const ENTRIES_MAX: usize = 1000;

/// How many of them are read at a time.
const READ_MAX: usize = 100;

/// A page with so many lines is answered, full or not, because clients refuse messages of more than 4 MiB. One more
/// read of 100 reservations with 100 lines each stays below that.
const LINES_MAX: usize = 10_000;

impl Service {
    /// What became of a reservation.
    ///
    /// # Errors
    /// Refused: `ReservationNotFound`.
    pub async fn get_reservation(&self, location: &Location, id: ReservationId) -> Result<Reservation, Error> {
        match self.holds.get(location, &id).await? {
            Some(reservation) => self.checked_with_ledger(location, reservation).await,
            None => {
                let settled = self.read_settlement(location, &id).await?;
                settled.ok_or_else(|| Refusal::ReservationNotFound(id).into())
            }
        }
    }

    /// Live reservations, with a line of `sku` if one is named, and where to go on; none at the end.
    pub async fn list_reservations(
        &self,
        location: &Location,
        sku: Option<&Sku>,
        page_size: usize,
        mut after: Option<Position>,
    ) -> Result<(Vec<Reservation>, Option<Position>), Error> {
        let (mut found, mut entries, mut lines) = (Vec::new(), 0, 0);
        loop {
            let limit = READ_MAX.min(page_size - found.len());
            let page = self.holds.list(location, after, limit).await?;
            let counts = |reservation: &Reservation| {
                let overdue = reservation.state == State::Held && reservation.expire_ms <= Some(page.now_ms);
                !overdue && sku.is_none_or(|sku| reservation.lines.quantity(sku) > 0)
            };
            let counted = page.reservations.into_iter().filter(counts);
            found.extend(counted.inspect(|reservation| lines += reservation.lines.len()));
            entries += limit;
            after = page.next;
            let is_full = found.len() == page_size || entries >= ENTRIES_MAX || lines >= LINES_MAX;
            if after.is_none() || is_full {
                return Ok((found, after));
            }
        }
    }
}
