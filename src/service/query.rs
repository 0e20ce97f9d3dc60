//! Reading reservations.

use super::{Error, Service, unexpected};
use crate::domain::{Location, Refusal, Reservation, ReservationId, Sku, State};
use crate::holds::{Command, Position, Reply};

/// How many index entries are looked at for one page before it is answered, full or not.
const ENTRIES_MAX: usize = 1000;

/// How many of them are read at a time.
const READ_MAX: usize = 100;

/// A page with so many lines is answered, full or not: clients refuse messages of more than 4 MiB. One more read of 100
/// reservations with 100 lines each stays below that.
const LINES_MAX: usize = 10_000;

impl Service {
    /// What became of a reservation.
    ///
    /// # Errors
    /// Refused: `ReservationNotFound`.
    pub async fn get_reservation(&self, location: &Location, id: ReservationId) -> Result<Reservation, Error> {
        match self.apply(location, Command::Get { id: id.clone() }).await? {
            Reply::Accepted(reservation) => self.known(location, reservation).await,
            Reply::NotFound => {
                let word = self.final_word(location, &id).await?;
                word.ok_or_else(|| Refusal::ReservationNotFound(id).into())
            }
            reply => Err(unexpected(&reply)),
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
            let page = match self.apply(location, Command::List { after, limit }).await? {
                Reply::Page(page) => page,
                reply => return Err(unexpected(&reply)),
            };
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
