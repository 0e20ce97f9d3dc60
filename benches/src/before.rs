//! What the stores have before the load begins: live holds, holds that expire together, or settlements.
//!
//! They are in the location of the load, under a sku of their own.

use std::error::Error;
use std::fmt;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use sea_orm::sqlx::mysql::MySqlPool;
use sea_orm::sqlx::{AssertSqlSafe, Executor};
use stockhold_client::Client;
use stockhold_client::v1;
use stockhold_client::v1::stock_service_client::StockServiceClient;
use stockhold_servers::patience::within;

use crate::stock::set_stock;
use crate::way::connect;
use crate::workload::{location, new_id};

/// The sku whose units are held.
const OLD: &str = "old";

/// Reserves under way at a time, as many as a session takes.
const AT_ONCE: usize = 1000;

/// The longest that a live hold lives.
const TTL_MAX: Duration = Duration::from_secs(3600);

/// The time that it takes to make a hold, with some seconds to spare.
const MAKING_MAX: Duration = Duration::from_micros(25);
const SPARE: Duration = Duration::from_secs(4);

/// Callers who want a unit of what has just expired.
const EAGER: usize = 100;

/// By then nothing may be left of the holds that expired.
const SWEPT_WITHIN: Duration = Duration::from_secs(120);

/// What the stores have when the load begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing.
    Nothing,
    /// This many live holds.
    Live(usize),
    /// This many holds that expire at the same instant, when the measured span begins.
    Expiring(usize),
    /// This many confirmed reservations in the database, which Redis has forgotten.
    Settled(usize),
}

impl Before {
    /// The units that they need. They stay on hand.
    pub(crate) fn units(self) -> i64 {
        match self {
            Self::Live(holds) | Self::Expiring(holds) => holds as i64,
            Self::Nothing | Self::Settled(_) => 0,
        }
    }

    /// Makes them. Answers when the holds expire, if they do.
    pub(crate) async fn make(self, port: u16, database: &MySqlPool) -> Result<Option<Instant>, Box<dyn Error>> {
        match self {
            Self::Nothing => Ok(None),
            Self::Live(holds) => hold(port, holds, Instant::now() + TTL_MAX).await.map(|()| None),
            Self::Expiring(holds) => {
                let expire = Instant::now() + SPARE + MAKING_MAX * holds as u32;
                hold(port, holds, expire).await?;
                if Instant::now() + SPARE / 2 > expire {
                    return Err("the holds were not made in time".into());
                }
                Ok(Some(expire))
            }
            Self::Settled(settlements) => settle(database, settlements).await.map(|()| None),
        }
    }

    /// Reserves units right after their holds have expired, which must succeed.
    pub(crate) async fn buy_back(self, port: u16) -> Result<(), Box<dyn Error>> {
        if matches!(self, Self::Expiring(_)) {
            reserve(&Client::new(connect(port).await?), EAGER, TTL_MAX).await?;
        }
        Ok(())
    }

    /// Waits until the expired holds are gone, and checks that every unit is free again.
    pub(crate) async fn is_gone(self, port: u16) -> Result<(), Box<dyn Error>> {
        let Self::Expiring(holds) = self else { return Ok(()) };
        let mut reservations = v1::reservation_service_client::ReservationServiceClient::new(connect(port).await?);
        let request = || v1::ListReservationsRequest {
            location: location(0),
            sku: OLD.into(),
            page_size: 1000,
            ..Default::default()
        };
        let mut left = 0;
        let swept = within(SWEPT_WITHIN, async || {
            let listed = reservations.list_reservations(request()).await;
            left = listed.map_or(usize::MAX, |answer| answer.into_inner().reservations.len());
            left == EAGER
        });
        swept.await.ok_or_else(|| format!("{left} holds are left of those that expired"))?;
        let mut stock = StockServiceClient::new(connect(port).await?);
        let request = v1::GetStockRequest { location: location(0), skus: vec![OLD.into()] };
        let item = stock.get_stock(request).await?.into_inner().items.remove(0);
        if item.available != (holds - EAGER) as i64 {
            return Err(format!("{} of {holds} units are there again, {EAGER} of them held", item.available).into());
        }
        Ok(())
    }
}

/// Holds a unit each, all until the same instant.
async fn hold(port: u16, holds: usize, expire: Instant) -> Result<(), Box<dyn Error>> {
    let item = v1::SetStockItem { sku: OLD.into(), on_hand: holds as i64, ..Default::default() };
    set_stock(&StockServiceClient::new(connect(port).await?), location(0), vec![item]).await?;
    let client = Client::new(connect(port).await?);
    let mut answers = stream::iter(0..holds)
        .map(|_| reserve_one(&client, expire.saturating_duration_since(Instant::now())))
        .buffer_unordered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        answer?;
    }
    Ok(())
}

async fn reserve(client: &Client, count: usize, ttl: Duration) -> Result<(), tonic::Status> {
    let mut answers = stream::iter(0..count).map(|_| reserve_one(client, ttl)).buffer_unordered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        answer?;
    }
    Ok(())
}

async fn reserve_one(client: &Client, ttl: Duration) -> Result<(), tonic::Status> {
    let lines = vec![v1::Line { sku: OLD.into(), quantity: 1 }];
    let ttl = prost_types::Duration { seconds: ttl.as_secs() as i64, nanos: ttl.subsec_nanos() as i32 };
    let request = v1::ReserveRequest { location: location(0), reservation_id: new_id(), lines, ttl: Some(ttl) };
    client.reserve(request).await.map(drop)
}

/// Writes rows as the service does. Their ids are random, as those of orders are, but they are inserted in order, which
/// is many times faster. MariaDB's sequence engine numbers them.
async fn settle(database: &MySqlPool, settlements: usize) -> Result<(), Box<dyn Error>> {
    let location = location(0);
    let id = "INSERT(INSERT(INSERT(INSERT(MD5(seq), 9, 0, '-'), 14, 0, '-'), 19, 0, '-'), 24, 0, '-')";
    let print = "'HI6r1REgg_Lm1UMlSGJQfA'";
    for insert in [
        format!("settlements SELECT '{location}', {id} AS id, 'CONFIRMED', {print}, {print}, 1795368293501"),
        format!("deductions SELECT '{location}', {id} AS id, '{OLD}', 1, 1795368293501761"),
    ] {
        let insert = format!("INSERT INTO bench.{insert} FROM bench.seq_1_to_{settlements} ORDER BY id");
        database.execute(AssertSqlSafe(insert)).await?;
    }
    Ok(())
}

impl fmt::Display for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Live(holds) => write!(f, ", {holds} holds live"),
            Self::Expiring(holds) => write!(f, ", {holds} holds expire"),
            Self::Settled(settlements) => write!(f, ", {settlements} settled"),
        }
    }
}
