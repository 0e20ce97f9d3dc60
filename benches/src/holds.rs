//! The memory that live holds take in Redis: its use before and after, all keys counted.

use std::error::Error;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::InfoKind;
use futures::future::try_join_all;
use stockhold_client::v1;
use stockhold_servers::patience::within;
use tonic::Status;

use crate::figures::{Figures, Measured};
use crate::meter::number_behind;
use crate::shape::Shape;
use crate::stock::stock_up;
use crate::way::{Caller, Way};
use crate::workload::{Workload, location, new_id, sku};

/// Holds under way at a time.
const CALLERS: usize = 256;

/// Within this time Redis frees what its connections needed.
const QUIET_MAX: Duration = Duration::from_secs(1);

/// Makes `holds` holds of `lines` lines each at a service on this port, and answers what one takes.
pub(crate) async fn measure(port: u16, redis: &Client, lines: usize, holds: usize) -> Result<Measured, Box<dyn Error>> {
    stock_up(port, Workload::Reserve, Shape { locations: 1, skus: lines }).await?;
    let mut callers = Way::Unary.open(port, CALLERS).await?;
    // The first calls leave buffers of connections and scripts behind, which are not part of the holds.
    hold(&mut callers, lines, CALLERS).await?;
    let before_bytes = used_bytes(redis).await?;
    let held = hold(&mut callers, lines, holds).await?;
    let after_bytes = used_bytes(redis).await?;
    let figures: Figures = [("redis_bytes_per_hold".to_owned(), (after_bytes - before_bytes) / held as f64)].into();
    Ok(Measured { figures, ..Measured::default() })
}

/// Answers how many holds were made: every caller makes the same number.
async fn hold(callers: &mut [Caller], lines: usize, holds: usize) -> Result<usize, Status> {
    let each = holds.div_ceil(callers.len());
    let all = callers.iter_mut().map(async |caller| {
        for _ in 0..each {
            let lines = (0..lines).map(|number| v1::Line { sku: sku(number), quantity: 1 }).collect();
            let request = v1::ReserveRequest { location: location(0), reservation_id: new_id(), lines, ttl: None };
            caller.reserve(vec![request]).await.into_iter().collect::<Result<(), _>>()?;
        }
        Ok::<_, Status>(())
    });
    try_join_all(all).await.map(|all| all.len() * each)
}

/// The least use within `QUIET_MAX`, because the buffer of the append-only file comes and goes.
async fn used_bytes(redis: &Client) -> Result<f64, Box<dyn Error>> {
    let mut least_bytes = f64::INFINITY;
    let _ = within(QUIET_MAX, async || {
        let info: Result<String, _> = redis.info(Some(InfoKind::Memory)).await;
        if let Ok(info) = info {
            least_bytes = least_bytes.min(number_behind(&info, "used_memory:"));
        }
        false
    })
    .await;
    Ok(least_bytes)
}
