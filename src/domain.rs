//! The words of the service (README, "Words") and the rules that need no store: pure, no async, no I/O, no clock.

pub mod ids;
pub mod lines;
pub mod refusal;
pub mod reservation;
pub mod settlement;
pub mod stock;

pub use ids::{Location, RequestId, ReservationId, Sku};
pub use lines::{Fingerprint, Line, Lines};
pub use refusal::{FieldViolation, Refusal, Shortage};
pub use reservation::{Reservation, State};
pub use settlement::{Outcome, Settlement};
pub use stock::{Adjustment, StockItem, StockRow, StockTarget};
