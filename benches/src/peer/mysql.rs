//! The naive peer: everything is in MySQL, and every call is one transaction.
//!
//! The last statement before COMMIT takes the stock, `UPDATE ... WHERE on_hand - held >= ?`. So the row of a hot sku is
//! locked as briefly as this design allows.

use std::error::Error;

use sea_orm::sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use sea_orm::sqlx::{self, Executor, MySql, Row, Transaction};
use stockhold::grpc::v1;
use tonic::Status;

use super::{Peer, broken, now_ms, reservation, short, ttl_ms};

/// A usual size. With one hot row, more connections would only wait in the database.
const CONNECTIONS_MAX: u32 = 32;

const TABLES: [&str; 3] = [
    "CREATE TABLE stock (
        location varchar(128) NOT NULL, sku varchar(128) NOT NULL, on_hand bigint NOT NULL, held bigint NOT NULL,
        PRIMARY KEY (location, sku)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
    "CREATE TABLE reservations (
        location varchar(128) NOT NULL, id varchar(128) NOT NULL, state varchar(16) NOT NULL,
        expire_at_ms bigint NOT NULL,
        PRIMARY KEY (location, id)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
    "CREATE TABLE reservation_lines (
        location varchar(128) NOT NULL, id varchar(128) NOT NULL, sku varchar(128) NOT NULL, quantity bigint NOT NULL,
        PRIMARY KEY (location, id, sku)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
];

/// A pool whose transactions lock only what they change.
pub(crate) async fn connect(url: &str, tables: &[&'static str]) -> Result<MySqlPool, Box<dyn Error>> {
    let options = MySqlPoolOptions::new().max_connections(CONNECTIONS_MAX).test_before_acquire(false);
    let options = options.after_connect(|connection, _| {
        Box::pin(async move {
            connection.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
            Ok(())
        })
    });
    let pool = options.connect(url).await?;
    for table in tables {
        pool.execute(*table).await?;
    }
    Ok(pool)
}

pub(crate) struct MysqlPeer {
    pool: MySqlPool,
}

impl MysqlPeer {
    pub(crate) async fn open(url: &str) -> Result<Self, Box<dyn Error>> {
        Ok(Self { pool: connect(url, &TABLES).await? })
    }

    /// The answer to a Reserve that was made before.
    async fn repeated(&self, location: String, id: String) -> Result<v1::ReserveResponse, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let (state, lines) =
            (state(&mut transaction, &location, &id).await?, lines(&mut transaction, &location, &id).await?);
        Ok(v1::ReserveResponse { reservation: reservation(location, id, lines, state) })
    }
}

impl Peer for MysqlPeer {
    async fn set_stock(&self, request: v1::SetStockRequest) -> Result<(), Status> {
        let mut transaction = self.pool.begin().await.map_err(broken)?;
        for item in request.items {
            sqlx::query("INSERT INTO stock VALUES (?, ?, ?, 0)")
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
        let expire_at_ms = now_ms() + ttl_ms(&request);
        let v1::ReserveRequest { location, reservation_id: id, mut lines, .. } = request;
        // Locking rows in one order avoids deadlocks.
        lines.sort_by(|one, other| one.sku.cmp(&other.sku));
        let mut transaction = self.pool.begin().await.map_err(broken)?;
        let inserted = sqlx::query("INSERT INTO reservations VALUES (?, ?, 'HELD', ?)")
            .bind(&location)
            .bind(&id)
            .bind(expire_at_ms)
            .execute(&mut *transaction)
            .await;
        match inserted {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                transaction.rollback().await.map_err(broken)?;
                return self.repeated(location, id).await.map_err(broken);
            }
            inserted => inserted.map_err(broken)?,
        };
        for line in &lines {
            sqlx::query("INSERT INTO reservation_lines VALUES (?, ?, ?, ?)")
                .bind(&location)
                .bind(&id)
                .bind(&line.sku)
                .bind(line.quantity)
                .execute(&mut *transaction)
                .await
                .map_err(broken)?;
        }
        for line in &lines {
            let taken =
                sqlx::query("UPDATE stock SET held = held + ? WHERE location = ? AND sku = ? AND on_hand - held >= ?")
                    .bind(line.quantity)
                    .bind(&location)
                    .bind(&line.sku)
                    .bind(line.quantity)
                    .execute(&mut *transaction)
                    .await
                    .map_err(broken)?;
            if taken.rows_affected() == 0 {
                transaction.rollback().await.map_err(broken)?;
                return Err(short(&line.sku));
            }
        }
        transaction.commit().await.map_err(broken)?;
        Ok(v1::ReserveResponse { reservation: reservation(location, id, lines, v1::ReservationState::Held) })
    }

    async fn confirm(&self, request: v1::ConfirmRequest) -> Result<v1::ConfirmResponse, Status> {
        let v1::ConfirmRequest { location, reservation_id: id, .. } = request;
        let end = End { to: v1::ReservationState::Confirmed, on_hand: -1 };
        let lines = self.end(&location, &id, end).await?;
        Ok(v1::ConfirmResponse { reservation: reservation(location, id, lines, v1::ReservationState::Confirmed) })
    }

    async fn cancel(&self, request: v1::CancelRequest) -> Result<v1::CancelResponse, Status> {
        let v1::CancelRequest { location, reservation_id: id } = request;
        let end = End { to: v1::ReservationState::Cancelled, on_hand: 0 };
        let lines = self.end(&location, &id, end).await?;
        Ok(v1::CancelResponse { reservation: reservation(location, id, lines, v1::ReservationState::Cancelled) })
    }
}

/// How a reservation ends, and what becomes of `on_hand` for every unit.
struct End {
    to: v1::ReservationState,
    on_hand: i64,
}

impl MysqlPeer {
    async fn end(&self, location: &str, id: &str, end: End) -> Result<Vec<v1::Line>, Status> {
        let mut transaction = self.pool.begin().await.map_err(broken)?;
        let ended = sqlx::query(
            "UPDATE reservations SET state = ? WHERE location = ? AND id = ? AND state = 'HELD' AND expire_at_ms > ?",
        )
        .bind(word(end.to))
        .bind(location)
        .bind(id)
        .bind(now_ms())
        .execute(&mut *transaction)
        .await
        .map_err(broken)?;
        let lines = lines(&mut transaction, location, id).await.map_err(broken)?;
        if ended.rows_affected() == 0 {
            let is = state(&mut transaction, location, id).await.map_err(broken)?;
            // Repeating is safe.
            return if is == end.to { Ok(lines) } else { Err(Status::failed_precondition(word(is))) };
        }
        for line in &lines {
            sqlx::query("UPDATE stock SET on_hand = on_hand + ?, held = held - ? WHERE location = ? AND sku = ?")
                .bind(end.on_hand * i64::from(line.quantity))
                .bind(line.quantity)
                .bind(location)
                .bind(&line.sku)
                .execute(&mut *transaction)
                .await
                .map_err(broken)?;
        }
        transaction.commit().await.map_err(broken)?;
        Ok(lines)
    }
}

async fn lines(
    transaction: &mut Transaction<'_, MySql>,
    location: &str,
    id: &str,
) -> Result<Vec<v1::Line>, sqlx::Error> {
    let rows = sqlx::query("SELECT sku, quantity FROM reservation_lines WHERE location = ? AND id = ? ORDER BY sku")
        .bind(location)
        .bind(id)
        .fetch_all(&mut **transaction)
        .await?;
    rows.iter()
        .map(|row| Ok(v1::Line { sku: row.try_get(0)?, quantity: row.try_get::<i64, _>(1)?.unsigned_abs() as u32 }))
        .collect()
}

/// The state that is written; unspecified where there is no such reservation.
async fn state(
    transaction: &mut Transaction<'_, MySql>,
    location: &str,
    id: &str,
) -> Result<v1::ReservationState, sqlx::Error> {
    let row = sqlx::query("SELECT state FROM reservations WHERE location = ? AND id = ?")
        .bind(location)
        .bind(id)
        .fetch_optional(&mut **transaction)
        .await?;
    let written: String = row.map_or(Ok(String::new()), |row| row.try_get(0))?;
    let states = [v1::ReservationState::Held, v1::ReservationState::Confirmed, v1::ReservationState::Cancelled];
    Ok(states.into_iter().find(|state| word(*state) == written).unwrap_or(v1::ReservationState::Unspecified))
}

fn word(state: v1::ReservationState) -> &'static str {
    match state {
        v1::ReservationState::Held => "HELD",
        v1::ReservationState::Confirmed => "CONFIRMED",
        v1::ReservationState::Cancelled => "CANCELLED",
        _ => "UNKNOWN",
    }
}
