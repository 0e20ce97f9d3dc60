//! Redis alone: scripts that do no more than an order needs, for many orders a call; and the round trip of a lone
//! caller.

use std::error::Error;
use std::fmt;

use fred::clients::Client;
use fred::interfaces::{ClientLike, HashesInterface, LuaInterface};

use super::repeat;
use crate::figures::Measured;
use crate::meter::Meter;
use crate::pace::Spans;
use crate::workload::{new_id, sku};
use crate::world::connect;

/// The keys have the lengths of the service's.
const KEYS: [&str; 4] = [
    "stockhold:{location-0}:stock",
    "stockhold:{location-0}:held",
    "stockhold:{location-0}:deadlines",
    "stockhold:{location-0}:unsettled",
];

/// More units than a run can take.
const PLENTY: &str = "1000000000";

/// Locations over which the calls in flight are spread.
const CONNECTIONS: usize = 2;

/// What a call does for each of its orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// Holds units.
    Reserve,
    /// Holds units, marks them as confirming, and settles them: everything that an order needs of Redis.
    Order,
}

impl Script {
    fn text(self) -> &'static str {
        match self {
            Self::Reserve => include_str!("reserve.lua"),
            Self::Order => include_str!("order.lua"),
        }
    }

    fn rate(self) -> &'static str {
        match self {
            Self::Reserve => "accepted_per_s",
            Self::Order => "confirmed_per_s",
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reserve => "reserve",
            Self::Order => "order",
        })
    }
}

pub(crate) async fn scripts(
    url: &str,
    script: Script,
    orders: usize,
    calls: usize,
    spans: Spans,
    meter: &Meter,
) -> Result<Measured, Box<dyn Error>> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(connect(url).await?);
    }
    let digest: String = clients[0].script_load(script.text()).await?;
    let () = clients[0].hset(KEYS[0], (sku(0), PLENTY)).await?;
    let worker = |client: Client| {
        let digest = digest.clone();
        async move || {
            let mut arguments = vec![sku(0)];
            arguments.extend((0..orders).map(|_| new_id()));
            let done: usize = client.evalsha(digest.as_str(), KEYS.to_vec(), arguments).await?;
            if done == orders { Ok(()) } else { Err(format!("{done} of {orders} orders were done").into()) }
        }
    };
    let workers = clients.iter().cycle().take(calls).cloned().map(worker).collect();
    Ok(repeat(workers, spans, meter).await?.measured(script.rate(), orders))
}

pub(crate) async fn ping(url: &str, spans: Spans, meter: &Meter) -> Result<Measured, Box<dyn Error>> {
    let client = connect(url).await?;
    let worker = async move || Ok(client.ping::<()>(None).await?);
    Ok(repeat(vec![worker], spans, meter).await?.measured("pings_per_s", 1))
}
