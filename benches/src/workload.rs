//! What a caller wants: the calls of one operation, and the stock that this needs.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use stockhold::grpc::v1;

use crate::cell::Shape;
use crate::load::{Notes, Step};
use crate::way::Caller;

/// More than anybody can sell here.
const PLENTY: i64 = 1_000_000_000;

/// A sku of which nothing is left.
const GONE: &str = "gone";

/// One operation of a mixed sale in so many succeeds.
const MIXED_ONE_IN: u32 = 100;

/// How much later a cart is wanted to end.
const EXTENSION: Duration = Duration::from_secs(1200);

/// What a caller does, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Reserves, and leaves it at that.
    Reserve,
    /// Reserves and confirms.
    Order,
    /// Is refused: nothing is left.
    SoldOut,
    /// Mostly is refused, and now and then reserves and confirms.
    MixedSale,
    /// Reserves, extends and cancels.
    Cart,
}

impl Workload {
    /// Whether a refusal for want of stock is what is meant to happen.
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

    /// One operation. Its latency counts from `meant`.
    pub(crate) async fn once(self, caller: &mut Caller, shape: Shape, meant: Instant, notes: &Notes) {
        let location = location(fastrand::usize(0..shape.locations));
        let is_refused = match self {
            Self::SoldOut => true,
            Self::MixedSale => fastrand::u32(0..MIXED_ONE_IN) > 0,
            Self::Reserve | Self::Order | Self::Cart => false,
        };
        let sku = if is_refused { GONE.to_owned() } else { sku(fastrand::usize(0..shape.skus)) };
        let id = new_id();
        let (lines, reserve_id) = (vec![v1::Line { sku, quantity: 1 }], id.clone());
        let reserve = v1::ReserveRequest { location: location.clone(), reservation_id: reserve_id, lines, ttl: None };
        let reserved = notes.note(Step::Reserve, meant, meant, caller.reserve(reserve).await);
        let done = match self {
            _ if !reserved => false,
            Self::Reserve | Self::SoldOut => true,
            Self::Order | Self::MixedSale => {
                let confirm = v1::ConfirmRequest { location, reservation_id: id, ..Default::default() };
                let begin = Instant::now();
                notes.note(Step::Confirm, meant, begin, caller.confirm(confirm).await)
            }
            Self::Cart => {
                let expire_time = Some((SystemTime::now() + EXTENSION).into());
                let (location_again, id_again) = (location.clone(), id.clone());
                let extend = v1::ExtendRequest {
                    location: location_again,
                    reservation_id: id_again,
                    expire_time,
                    ..Default::default()
                };
                let begin = Instant::now();
                let extended = notes.note(Step::Extend, meant, begin, caller.extend(extend).await);
                let cancel = v1::CancelRequest { location, reservation_id: id };
                let begin = Instant::now();
                extended && notes.note(Step::Cancel, meant, begin, caller.cancel(cancel).await)
            }
        };
        if done {
            notes.finished();
        }
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

/// As order ids look: a UUID, 36 bytes.
pub(crate) fn new_id() -> String {
    uuid::Uuid::from_u128(fastrand::u128(..)).to_string()
}
