//! The protocol between the two stores. Each case runs over the embedded pair, as `embedded::case`, and over Redis and
//! MySQL, as `servers::case`. It ends with everything settled and nothing to reconcile.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::ConnectionTrait;
use stockhold::domain::{Outcome, State};
use stockhold::holds::{Command, Reply};
use stockhold::ledger::{Intent, Ledger, LedgerConfig};
use stockhold::service::LatePolicy::{Reacquire, Reject};
use stockhold::service::Service;
use stockhold::service::reconcile::{FindingKind, ReconcileReport};

use crate::support::holds::{TTL_MS, begin, cancel, id, lines, location, reserve, row, sku};
use crate::support::redis::{client, run};
use crate::support::service::Came::{Refused, To};
use crate::support::service::{LocalService, came, limits};
use crate::support::{eventually, required};

/// Runs each case over both pairs of stores.
macro_rules! cases {
    ($($case:ident)*) => {
        mod embedded {
            $(#[tokio::test] async fn $case() { super::$case(super::LocalService::embedded().await).await })*
        }
        mod servers {
            $(#[tokio::test] async fn $case() { super::$case(super::LocalService::servers().await).await })*
        }
    };
}

mod crashes;
mod locations;
mod losses;
mod orders;
