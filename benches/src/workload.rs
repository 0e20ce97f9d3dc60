//! What a caller wants: the calls of one operation, and the stock that this needs.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use stockhold_client::v1;

use crate::notes::{Notes, Step};
use crate::shape::Shape;
use crate::way::Caller;

/// More than a run can sell.
const PLENTY: i64 = 1_000_000_000;

/// A sku of which nothing is left.
const GONE: &str = "gone";

/// One in this many operations of a mixed sale succeeds.
const MIXED_ONE_IN: u32 = 100;

/// By how much a cart is extended.
const EXTENSION: Duration = Duration::from_secs(1200);

/// What a caller does, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Reserves only.
    Reserve,
    /// Reserves and confirms.
    Order,
    /// Reserves, and is refused because nothing is left.
    SoldOut,
    /// Is mostly refused, and sometimes reserves and confirms.
    MixedSale,
    /// Reserves, extends and cancels.
    Cart,
}

impl Workload {
    /// Whether refusals for want of stock are expected.
    pub(crate) fn may_be_refused(self) -> bool {
        matches!(self, Self::SoldOut | Self::MixedSale)
    }

    /// The stock of one location.
    pub(crate) fn stock(self, shape: Shape) -> Vec<v1::SetStockItem> {
        let item = |sku, on_hand| v1::SetStockItem { sku, on_hand, ..Default::default() };
        let gone = self.may_be_refused().then(|| item(GONE.to_owned(), 0));
        (0..shape.skus).map(|number| item(sku(number), PLENTY)).chain(gone).collect()
    }

    /// All units of all locations.
    pub(crate) fn units(self, shape: Shape) -> i64 {
        let on_hand: i64 = self.stock(shape).iter().map(|item| item.on_hand).sum();
        on_hand * shape.locations as i64
    }

    /// A group of operations that travel together. Their latency counts from `meant`.
    pub(crate) async fn once(self, caller: &mut Caller, shape: Shape, group: usize, meant: Instant, notes: &Notes) {
        let reserves: Vec<_> = (0..group).map(|_| self.reserve(shape)).collect();
        let mut carts: Vec<_> = reserves.iter().map(Cart::of).collect();
        notes.note(Step::Reserve, meant, meant, &mut carts, caller.reserve(reserves).await);
        match self {
            Self::Reserve | Self::SoldOut => {}
            Self::Order | Self::MixedSale => {
                let confirms = carts.iter().map(Cart::confirm).collect();
                let begin = Instant::now();
                notes.note(Step::Confirm, meant, begin, &mut carts, caller.confirm(confirms).await);
            }
            Self::Cart => {
                let extends = carts.iter().map(Cart::extend).collect();
                let begin = Instant::now();
                notes.note(Step::Extend, meant, begin, &mut carts, caller.extend(extends).await);
                let cancels = carts.iter().map(Cart::cancel).collect();
                let begin = Instant::now();
                notes.note(Step::Cancel, meant, begin, &mut carts, caller.cancel(cancels).await);
            }
        }
        notes.finished(carts.len() as u64);
    }

    fn reserve(self, shape: Shape) -> v1::ReserveRequest {
        let location = location(fastrand::usize(0..shape.locations));
        let is_refused = match self {
            Self::SoldOut => true,
            Self::MixedSale => fastrand::u32(0..MIXED_ONE_IN) > 0,
            Self::Reserve | Self::Order | Self::Cart => false,
        };
        let sku = if is_refused { GONE.to_owned() } else { sku(fastrand::usize(0..shape.skus)) };
        let lines = vec![v1::Line { sku, quantity: 1 }];
        v1::ReserveRequest { location, reservation_id: new_id(), lines, ttl: None }
    }
}

/// An operation that has not failed so far.
struct Cart {
    location: String,
    id: String,
}

impl Cart {
    fn of(reserve: &v1::ReserveRequest) -> Self {
        Self { location: reserve.location.clone(), id: reserve.reservation_id.clone() }
    }

    fn confirm(&self) -> v1::ConfirmRequest {
        let Self { location, id } = self;
        v1::ConfirmRequest { location: location.clone(), reservation_id: id.clone(), ..Default::default() }
    }

    fn extend(&self) -> v1::ExtendRequest {
        let Self { location, id } = self;
        let expire_time = Some((SystemTime::now() + EXTENSION).into());
        let (location, reservation_id) = (location.clone(), id.clone());
        v1::ExtendRequest { location, reservation_id, expire_time, ..Default::default() }
    }

    fn cancel(&self) -> v1::CancelRequest {
        let Self { location, id } = self;
        v1::CancelRequest { location: location.clone(), reservation_id: id.clone() }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reserve => "reserve",
            Self::Order => "order",
            Self::SoldOut => "sold-out",
            Self::MixedSale => "mixed sale",
            Self::Cart => "cart",
        })
    }
}

pub(crate) fn location(number: usize) -> String {
    format!("location-{number}")
}

pub(crate) fn sku(number: usize) -> String {
    format!("sku-{number}")
}

/// An id like that of an order: a UUID, 36 bytes.
pub(crate) fn new_id() -> String {
    uuid::Uuid::from_u128(fastrand::u128(..)).to_string()
}
