//! The stores: a private Redis and a private MariaDB, which the systems use one after the other.
//!
//! Each cell finds them empty, so that no cell pays for data of another.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::InfoKind;
use fred::types::config::{Config, ConnectionConfig, TcpConfig};
use sea_orm::sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use sea_orm::sqlx::{self, Executor};
use stockhold_servers::mariadb::Mariadb;
use stockhold_servers::patience::within;
use stockhold_servers::redis::{Fsync, Redis};

use crate::meter::Meter;

/// Large enough for all tables of a cell.
const BUFFER_POOL_MIB: u32 = 512;

/// The database of the system that is measured.
const SCHEMA: &str = "bench";

/// The bound of rewriting an empty append-only file, which takes far less.
const REWRITE_MAX: Duration = Duration::from_secs(20);

/// The stores.
pub(crate) struct World {
    pub(crate) home: PathBuf,
    redis: Redis,
    mariadb: Mariadb,
    /// Connections of the bench itself.
    pub(crate) client: Client,
    pub(crate) database: MySqlPool,
}

impl World {
    /// Starts them, with files in this folder.
    pub(crate) async fn start(home: &Path) -> Result<Self, Box<dyn Error>> {
        let redis = Redis::start(home, "redis", Fsync::EverySecond).await?;
        let mariadb = Mariadb::start(home, BUFFER_POOL_MIB).await?;
        // A rewrite in the middle of a cell would distort it.
        redis.command(&["CONFIG", "SET", "auto-aof-rewrite-percentage", "0"]).await;
        // As docs/operations.md advises.
        redis.command(&["CONFIG", "SET", "zset-max-listpack-entries", "0"]).await;
        let client = connect(&format!("redis://{}", redis.server())).await?;
        let database = MySqlPoolOptions::new().max_connections(1).connect(&mariadb.root_url("")).await?;
        Ok(Self { home: home.to_owned(), redis, mariadb, client, database })
    }

    pub(crate) fn redis_url(&self) -> String {
        format!("redis://{}", self.redis.server())
    }

    pub(crate) fn database_url(&self) -> String {
        self.mariadb.root_url(SCHEMA)
    }

    /// Empties both.
    pub(crate) async fn clean(&self) -> Result<(), Box<dyn Error>> {
        self.redis.command(&["FLUSHALL", "SYNC"]).await;
        self.redis.command(&["BGREWRITEAOF"]).await;
        let rewritten = within(REWRITE_MAX, async || {
            let info: Result<String, _> = self.client.info(Some(InfoKind::Persistence)).await;
            info.is_ok_and(|info| {
                info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0")
            })
        });
        rewritten.await.ok_or("Redis does not rewrite its append-only file")?;
        for statement in [format!("DROP DATABASE IF EXISTS {SCHEMA}"), format!("CREATE DATABASE {SCHEMA}")] {
            self.database.execute(sqlx::AssertSqlSafe(statement)).await?;
        }
        Ok(())
    }

    /// The units that a system has on hand by its own books. All systems have such a table.
    pub(crate) async fn units_left(&self) -> Result<i64, Box<dyn Error>> {
        let sum = format!("SELECT CAST(SUM(on_hand) AS SIGNED) FROM {SCHEMA}.stock");
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sum)).fetch_one(&self.database).await?)
    }

    /// Reads the work of the stores, and that of a system's process if there is one.
    pub(crate) fn meter(&self, server: Option<u32>) -> Meter {
        let mut processes = vec![("client", std::process::id())];
        processes.extend(server.map(|id| ("server", id)));
        processes.extend([("redis", self.redis.id()), ("mariadb", self.mariadb.id())]);
        Meter { processes, redis: self.client.clone(), database: self.database.clone() }
    }
}

/// A connection that sends without delay.
pub(crate) async fn connect(url: &str) -> Result<Client, Box<dyn Error>> {
    let connection = ConnectionConfig {
        tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
        ..ConnectionConfig::default()
    };
    let client = Client::new(Config::from_url(url)?, None, Some(connection), None);
    client.init().await?;
    Ok(client)
}
