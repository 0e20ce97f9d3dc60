//! The usual flash-sale peer: Reserve is one script in Redis, one call each; Confirm is one MySQL transaction an order,
//! then the reservation is dropped in Redis.
//!
//! As in such designs, Redis has a counter of available units. It drifts after a crash, because nothing heals it.

use std::error::Error;

use fred::clients::Pool;
use fred::interfaces::{ClientLike, KeysInterface, LuaInterface};
use fred::types::config::{Config, ConnectionConfig, TcpConfig};
use sea_orm::sqlx;
use sea_orm::sqlx::mysql::MySqlPool;
use stockhold::grpc::v1;
use tonic::Status;

use super::mysql::connect;
use super::{Peer, broken, reservation, short, ttl_ms};

/// The service's default.
const REDIS_CONNECTIONS: usize = 2;

/// KEYS: the reservation, then the counter of each line. ARGV: the lines as text, the ttl in ms, then the units of each
/// line. Answers 0, or the number of the line that is short.
const RESERVE: &str = "
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
for i = 2, #KEYS do
  if tonumber(redis.call('GET', KEYS[i]) or '0') < tonumber(ARGV[i + 1]) then return i - 1 end
end
for i = 2, #KEYS do redis.call('DECRBY', KEYS[i], ARGV[i + 1]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 0";

/// Gives the units back, once. KEYS and ARGV as above, without the lines as text and the ttl.
const CANCEL: &str = "
if redis.call('DEL', KEYS[1]) == 0 then return 0 end
for i = 2, #KEYS do redis.call('INCRBY', KEYS[i], ARGV[i - 1]) end
return 0";

const TABLES: [&str; 2] = [
    "CREATE TABLE stock (
        location varchar(128) NOT NULL, sku varchar(128) NOT NULL, on_hand bigint NOT NULL,
        PRIMARY KEY (location, sku)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
    "CREATE TABLE orders (
        location varchar(128) NOT NULL, id varchar(128) NOT NULL, order_lines text NOT NULL,
        PRIMARY KEY (location, id)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
];

pub(crate) struct SeckillPeer {
    redis: Pool,
    database: MySqlPool,
    reserve_digest: String,
    cancel_digest: String,
}

impl SeckillPeer {
    pub(crate) async fn open(redis_url: &str, database_url: &str) -> Result<Self, Box<dyn Error>> {
        let connection = ConnectionConfig {
            tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
            ..ConnectionConfig::default()
        };
        let redis = Pool::new(Config::from_url(redis_url)?, None, Some(connection), None, REDIS_CONNECTIONS)?;
        redis.init().await?;
        let reserve_digest = redis.next().script_load(RESERVE).await?;
        let cancel_digest = redis.next().script_load(CANCEL).await?;
        Ok(Self { redis, database: connect(database_url, &TABLES).await?, reserve_digest, cancel_digest })
    }

    /// The lines that a reservation holds, unless it has ended.
    async fn held(&self, location: &str, id: &str) -> Result<Option<String>, Status> {
        self.redis.get(reservation_key(location, id)).await.map_err(broken)
    }

    async fn order(&self, location: &str, id: &str) -> Result<Option<String>, Status> {
        sqlx::query_scalar("SELECT order_lines FROM orders WHERE location = ? AND id = ?")
            .bind(location)
            .bind(id)
            .fetch_optional(&self.database)
            .await
            .map_err(broken)
    }

    /// Writes the order. A repeat finds it.
    async fn write(&self, location: &str, id: &str, kept: &str) -> Result<(), sqlx::Error> {
        let mut transaction = self.database.begin().await?;
        let inserted = sqlx::query("INSERT INTO orders VALUES (?, ?, ?)")
            .bind(location)
            .bind(id)
            .bind(kept)
            .execute(&mut *transaction)
            .await;
        match inserted {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => return transaction.rollback().await,
            inserted => inserted?,
        };
        for line in unpack(kept) {
            sqlx::query("UPDATE stock SET on_hand = on_hand - ? WHERE location = ? AND sku = ?")
                .bind(line.quantity)
                .bind(location)
                .bind(line.sku)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }
}

impl Peer for SeckillPeer {
    async fn set_stock(&self, request: v1::SetStockRequest) -> Result<(), Status> {
        let mut transaction = self.database.begin().await.map_err(broken)?;
        for item in request.items {
            let counter = counter_key(&request.location, &item.sku);
            let () = self.redis.set(counter, item.on_hand, None, None, false).await.map_err(broken)?;
            sqlx::query("INSERT INTO stock VALUES (?, ?, ?)")
                .bind(&request.location)
                .bind(item.sku)
                .bind(item.on_hand)
                .execute(&mut *transaction)
                .await
                .map_err(broken)?;
        }
        transaction.commit().await.map_err(broken)
    }

    async fn reserve(&self, request: v1::ReserveRequest) -> Result<v1::ReserveResponse, Status> {
        let ttl_ms = ttl_ms(&request);
        let v1::ReserveRequest { location, reservation_id: id, lines, .. } = request;
        let mut arguments = vec![pack(&lines), ttl_ms.to_string()];
        arguments.extend(lines.iter().map(|line| line.quantity.to_string()));
        let keys = keys(&location, &id, &lines);
        let short_line: usize =
            self.redis.evalsha(self.reserve_digest.as_str(), keys, arguments).await.map_err(broken)?;
        match short_line.checked_sub(1).and_then(|index| lines.get(index)) {
            Some(line) => Err(short(&line.sku)),
            None => {
                Ok(v1::ReserveResponse { reservation: reservation(location, id, lines, v1::ReservationState::Held) })
            }
        }
    }

    async fn confirm(&self, request: v1::ConfirmRequest) -> Result<v1::ConfirmResponse, Status> {
        let v1::ConfirmRequest { location, reservation_id: id, .. } = request;
        let kept = match self.held(&location, &id).await? {
            Some(kept) => {
                self.write(&location, &id, &kept).await.map_err(broken)?;
                let () = self.redis.del(reservation_key(&location, &id)).await.map_err(broken)?;
                kept
            }
            // A repeat, perhaps.
            None => self.order(&location, &id).await?.ok_or_else(|| Status::not_found("no such reservation"))?,
        };
        let lines = unpack(&kept).collect();
        Ok(v1::ConfirmResponse { reservation: reservation(location, id, lines, v1::ReservationState::Confirmed) })
    }

    async fn cancel(&self, request: v1::CancelRequest) -> Result<v1::CancelResponse, Status> {
        let v1::CancelRequest { location, reservation_id: id } = request;
        let lines: Vec<_> = self.held(&location, &id).await?.as_deref().map(unpack).into_iter().flatten().collect();
        let units: Vec<_> = lines.iter().map(|line| line.quantity.to_string()).collect();
        let keys = keys(&location, &id, &lines);
        let () = self.redis.evalsha(self.cancel_digest.as_str(), keys, units).await.map_err(broken)?;
        Ok(v1::CancelResponse { reservation: reservation(location, id, lines, v1::ReservationState::Cancelled) })
    }
}

fn reservation_key(location: &str, id: &str) -> String {
    format!("seckill:{{{location}}}:r:{id}")
}

fn counter_key(location: &str, sku: &str) -> String {
    format!("seckill:{{{location}}}:s:{sku}")
}

fn keys(location: &str, id: &str, lines: &[v1::Line]) -> Vec<String> {
    let counters = lines.iter().map(|line| counter_key(location, &line.sku));
    [reservation_key(location, id)].into_iter().chain(counters).collect()
}

/// Lines as one text: no name contains a tab.
fn pack(lines: &[v1::Line]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| format!("{}\t{}", line.sku, line.quantity)).collect();
    lines.join("\n")
}

fn unpack(kept: &str) -> impl Iterator<Item = v1::Line> {
    kept.lines().filter_map(|line| {
        let (sku, quantity) = line.split_once('\t')?;
        Some(v1::Line { sku: sku.to_owned(), quantity: quantity.parse().ok()? })
    })
}
