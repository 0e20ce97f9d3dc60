//! All that the stores have, read past the service.

use std::collections::BTreeSet;
use std::sync::Arc;

use fred::clients::Client;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use stockhold::domain::Location;
use stockhold::holds::batched::BatchedHolds;
use stockhold::holds::{Command, Reply};
use stockhold::ledger::Ledger;
use stockhold::service::Service;

use crate::support::database::TestDatabase;
use crate::support::redis::{client, run};
use crate::support::required;
use crate::support::service::LocalService;

/// What the stores have, a line each.
pub(super) type Dump = BTreeSet<String>;

/// Every column of every table.
const TABLES: &str = "\
    SELECT CONCAT_WS(' | ', 'stock', location, sku, on_hand, floor, version, retired) AS line FROM stock \
    UNION ALL SELECT CONCAT_WS(' | ', 'settlement', location, reservation_id, outcome, COALESCE(reserved, '-'), \
        COALESCE(confirmed, '-'), settled_at_ms) FROM settlements \
    UNION ALL SELECT CONCAT_WS(' | ', 'deduction', location, reservation_id, sku, quantity, version) FROM deductions \
    UNION ALL SELECT CONCAT_WS(' | ', 'movement', location, request_id, position, sku, delta, reason, on_hand, \
        version, fingerprint) FROM movements";

/// Every key that begins with a prefix, whatever its type, and whether it is to be forgotten.
const KEYS: &str = "
    local lines = {}
    for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
      local kind = redis.call('TYPE', key).ok
      local ends = redis.call('PTTL', key) >= 0 and ' (ends)' or ''
      if kind == 'string' then
        lines[#lines + 1] = key .. ends .. ' | ' .. redis.call('GET', key)
      elseif kind == 'list' then
        for _, entry in ipairs(redis.call('LRANGE', key, 0, -1)) do
          lines[#lines + 1] = key .. ends .. ' | ' .. entry
        end
      else
        local pairs = kind == 'hash' and redis.call('HGETALL', key) or redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
        for at = 1, #pairs, 2 do lines[#lines + 1] = key .. ends .. ' | ' .. pairs[at] .. ' | ' .. pairs[at + 1] end
      end
    end
    return lines";

pub(super) struct Stores {
    holds: BatchedHolds,
    /// A view past the service, and the names of its keys, if holds are in Redis.
    redis: Option<(Client, String)>,
    ledger: Ledger,
    database: TestDatabase,
    connection: DatabaseConnection,
}

impl Stores {
    /// Takes a service and its stores apart.
    pub(super) async fn of(it: LocalService) -> (Arc<Service>, Self) {
        let redis = match it.redis_prefix() {
            Some(prefix) => Some((client(&required("STOCKHOLD_TEST_REDIS_URL")).await, prefix.to_owned())),
            None => None,
        };
        let LocalService { service, holds, ledger, database, .. } = it;
        let connection = database.connect().await;
        (service, Self { holds, redis, ledger, database, connection })
    }

    pub(super) async fn dump(&self) -> Dump {
        let mut dump = self.tables().await;
        match &self.redis {
            Some((client, prefix)) => dump.extend(run::<Vec<String>>(client, "EVAL", &[KEYS, "0", prefix]).await),
            None => dump.extend(self.live_holds().await),
        }
        dump
    }

    async fn tables(&self) -> Dump {
        let backend = if self.database.is_mysql() { DbBackend::MySql } else { DbBackend::Sqlite };
        let rows = self.connection.query_all_raw(Statement::from_string(backend, TABLES)).await.expect("reads");
        rows.into_iter().map(|row| row.try_get("", "line").expect("text")).collect()
    }

    /// What the embedded store tells of the locations that have stock: everything but what has ended, which the tables
    /// have.
    async fn live_holds(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for location in self.ledger.locations().await.expect("reads") {
            let Reply::Skus(skus, _) = self.at(&location, Command::Skus { cursor: String::new() }).await else {
                panic!("no skus");
            };
            let counters = self.at(&location, Command::Counters { skus: skus.clone() }).await;
            let page = self.at(&location, Command::List { after: None, limit: usize::MAX }).await;
            let synced = self.at(&location, Command::GetSynced).await;
            lines.push(format!("{location} {skus:?} {counters:?} {synced:?}"));
            let Reply::Page(page) = page else { panic!("no page") };
            lines.extend(page.reservations.iter().map(|reservation| format!("{location} {reservation:?}")));
        }
        lines
    }

    async fn at(&self, location: &Location, command: Command) -> Reply {
        self.holds.apply(location, command).await.expect("the store answers")
    }

    pub(super) async fn remove(self) {
        self.ledger.close().await.expect("closes");
        self.connection.close().await.expect("closes");
        self.database.remove().await;
    }
}
