//! The holds' store as the use cases see it: one function for each step of the protocol. It pairs a command with the
//! replies that the command can have, so that no use case has to.
//!
//! A step that needs registers which the store does not have fills them from the ledger and repeats. A step that finds
//! overdue holds in its way repeats until none are left. The use cases see neither.

mod fill;
mod locate;
mod upkeep;

use super::error::{Cause, Error};
use crate::domain::{Lines, Location, Refusal, Reservation, ReservationId, Settlement, Shortage, Sku, StockItem};
use crate::holds::batched::BatchedHolds;
use crate::holds::{Command, HoldsError, Reply, Rows};
use crate::ledger::Ledger;
use fill::Fills;
use locate::Locations;

/// How often one call repeats a command because overdue holds were in its way: enough for two million of one line each.
const RECLAIMS_MAX: usize = 10_000;

/// How often one call fills registers. Once is enough, unless the store forgets them again at once.
const FILLS_MAX: usize = 5;

/// How often rows are added for a hold whose lines the settlement does not name. Once is enough unless the reservation
/// changes meanwhile.
const SETTLES_MAX: usize = 5;

/// The holds' store, which fills its registers from the ledger.
pub(super) struct FillingHolds {
    store: BatchedHolds,
    ledger: Ledger,
    fills: Fills,
    locations: Locations,
}

/// What the first step of a confirm came to.
pub(super) enum Begun {
    /// The confirm has begun and rolls forward from here.
    Confirming(Reservation),
    /// It was confirmed before, with the same lines.
    Confirmed(Reservation),
    /// The reservation ended before.
    Ended(Reservation),
    /// The reservation had expired, and its stock could not be taken again. Nothing was changed.
    Short(Vec<Shortage>),
    /// Refused. Nothing was changed.
    No(Refusal),
}

/// What an Extend came to.
pub(super) enum Extended {
    /// The reservation as it stands, extended or ended.
    Known(Reservation),
    /// The store has no such reservation.
    NotFound,
    /// The deadline would be later than this, in Unix milliseconds. Nothing was changed.
    BeyondLifetime(u64),
}

/// What the first step of a cancel came to.
pub(super) enum CancelBegun {
    /// The units are free, or a confirm has begun: the ledger must settle the cancel.
    Unsettled,
    /// The reservation was settled before.
    Ended(Reservation),
}

impl FillingHolds {
    pub(super) fn new(store: BatchedHolds, ledger: Ledger) -> Self {
        let fills = Fills::new(store.clone(), ledger.clone());
        let locations = Locations::new(store.clone(), ledger.clone());
        Self { store, ledger, fills, locations }
    }

    /// Answers if the store is there.
    pub(super) async fn ping(&self) -> Result<(), HoldsError> {
        self.store.ping().await
    }

    /// Holds all lines or none. Answers the reservation as it stands: held now, or what the same lines came to before.
    ///
    /// # Errors
    /// Refused: `ReservationIdReused`, `InsufficientStock`, `UnknownSkus`, `RetiredSkus`.
    pub(super) async fn reserve(
        &self,
        location: &Location,
        id: &ReservationId,
        lines: Lines,
        ttl_ms: u64,
    ) -> Result<Reservation, Error> {
        match self.apply_filling(location, Command::Reserve { id: id.clone(), lines, ttl_ms }).await? {
            Reply::Accepted(reservation) | Reply::Ended(reservation) => Ok(reservation),
            Reply::IdReused => Err(Refusal::ReservationIdReused(id.clone()).into()),
            reply => Err(refused(reply)),
        }
    }

    /// The first step of a confirm, of all lines or of a part.
    pub(super) async fn begin(
        &self,
        location: &Location,
        id: &ReservationId,
        part: Option<Lines>,
        reacquire: bool,
    ) -> Result<Begun, Error> {
        use crate::domain::State::Confirming;
        Ok(match self.apply_filling(location, Command::Begin { id: id.clone(), lines: part, reacquire }).await {
            Ok(Reply::Accepted(reservation)) if reservation.state == Confirming => Begun::Confirming(reservation),
            Ok(Reply::Accepted(reservation)) => Begun::Confirmed(reservation),
            Ok(Reply::Ended(reservation)) => Begun::Ended(reservation),
            Ok(Reply::NotFound) => Begun::No(Refusal::ReservationNotFound(id.clone())),
            Ok(Reply::Mismatch) => Begun::No(Refusal::ConfirmMismatch(id.clone())),
            Ok(Reply::Retired(skus)) => Begun::No(Refusal::RetiredSkus(skus)),
            Ok(Reply::Short(shortages)) => Begun::Short(shortages),
            Ok(reply) => return Err(unexpected(&reply)),
            Err(Error::Refused(refusal)) => Begun::No(refusal),
            Err(error) => return Err(error),
        })
    }

    /// The first step of a cancel.
    ///
    /// # Errors
    /// Refused: `UnknownLocation`. `Overloaded` also if the location has as many tombstones as it may have.
    pub(super) async fn cancel(&self, location: &Location, id: &ReservationId) -> Result<CancelBegun, Error> {
        match self.apply_filling(location, Command::Cancel { id: id.clone() }).await? {
            Reply::Accepted(_) => Ok(CancelBegun::Unsettled),
            Reply::Ended(reservation) => Ok(CancelBegun::Ended(reservation)),
            Reply::TombstonesFull => Err(Error::Overloaded),
            reply => Err(unexpected(&reply)),
        }
    }

    /// Moves a deadline later, never earlier; `expire_ms` in Unix milliseconds.
    ///
    /// # Errors
    /// Refused, only where an expired reservation takes its stock again: `InsufficientStock`, `UnknownSkus`,
    /// `RetiredSkus`.
    pub(super) async fn extend(
        &self,
        location: &Location,
        id: &ReservationId,
        expire_ms: u64,
        lifetime_ms: u64,
        reacquire: bool,
    ) -> Result<Extended, Error> {
        let command = Command::Extend { id: id.clone(), expire_ms, lifetime_ms, reacquire };
        match self.apply_filling(location, command).await? {
            Reply::Accepted(reservation) | Reply::Ended(reservation) => Ok(Extended::Known(reservation)),
            Reply::NotFound => Ok(Extended::NotFound),
            Reply::BeyondLifetime(latest_ms) => Ok(Extended::BeyondLifetime(latest_ms)),
            reply => Err(refused(reply)),
        }
    }

    /// Writes a settlement, drops the hold that it ends, and pushes the rows in the same step. Rows that the store asks
    /// for beyond those given are read from the ledger.
    pub(super) async fn settle(
        &self,
        location: &Location,
        settlement: Settlement,
        mut rows: Rows,
    ) -> Result<Reservation, Error> {
        for _ in 0..SETTLES_MAX {
            let command = Command::Settle { settlement: settlement.clone(), rows: rows.clone() };
            match self.apply(location, command).await? {
                Reply::Accepted(reservation) => return Ok(reservation),
                Reply::NotFound => return Ok(settlement.into_reservation()),
                Reply::Missing(skus) => rows.extend(self.ledger.rows(location, &skus).await?),
                reply => return Err(unexpected(&reply)),
            }
        }
        Err(Error::broken("the holds' store keeps asking for rows"))
    }

    /// One reservation, whatever its state.
    pub(super) async fn get(&self, location: &Location, id: &ReservationId) -> Result<Option<Reservation>, Error> {
        match self.apply(location, Command::Get { id: id.clone() }).await? {
            Reply::Accepted(reservation) => Ok(Some(reservation)),
            Reply::NotFound => Ok(None),
            reply => Err(unexpected(&reply)),
        }
    }

    /// These skus as a caller sees them, in the order asked for.
    ///
    /// # Errors
    /// Refused: `UnknownSkus`.
    pub(super) async fn stock(&self, location: &Location, skus: Vec<Sku>) -> Result<Vec<StockItem>, Error> {
        match self.apply_filling(location, Command::Stock { skus }).await? {
            Reply::Stock(items) => Ok(items),
            reply => Err(unexpected(&reply)),
        }
    }

    async fn apply(&self, location: &Location, command: Command) -> Result<Reply, Error> {
        Ok(self.store.apply(location, command).await?)
    }

    /// Applies a command that may lack registers or find overdue holds in its way. Never answers `Missing`,
    /// `UnknownLocation` or `More`.
    async fn apply_filling(&self, location: &Location, command: Command) -> Result<Reply, Error> {
        let (mut reclaims, mut fills) = (0, 0);
        while reclaims < RECLAIMS_MAX && fills < FILLS_MAX {
            match self.apply(location, command.clone()).await? {
                Reply::Missing(skus) => {
                    // Filling is rare. Boxed, it does not enlarge the future of every call that takes stock.
                    Box::pin(self.fills.fill(location, skus)).await?;
                    fills += 1;
                }
                Reply::UnknownLocation => {
                    Box::pin(self.locations.locate(location)).await?;
                    fills += 1;
                }
                Reply::More => reclaims += 1,
                reply => return Ok(reply),
            }
        }
        let cause = "the holds' store cannot keep up with what expires or is asked for";
        Err(Error::Unavailable(Cause::Broken(cause.into())))
    }
}

/// The error of a reply by which a command that takes stock refuses.
fn refused(reply: Reply) -> Error {
    match reply {
        Reply::Short(shortages) => Refusal::InsufficientStock(shortages).into(),
        Reply::Retired(skus) => Refusal::RetiredSkus(skus).into(),
        reply => unexpected(&reply),
    }
}

/// The error of a reply that the command cannot have.
fn unexpected(reply: &Reply) -> Error {
    Error::broken(format!("the holds' store answered {reply:?}"))
}
