//! The two stores, and all that each of them has, as text in the forms that `src/holds/redis/lua/` documents.

use std::collections::BTreeMap;
use std::sync::Arc;

use fred::clients::Client;
use futures::FutureExt;
use stockhold::domain::{Lines, Location, Reservation, ReservationId, Sku, State, StockRow};
use stockhold::holds::embedded::{EmbeddedHolds, LocationHolds, Scored, Snapshot};
use stockhold::holds::redis::RedisHolds;
use stockhold::holds::{Command, Holds, Reply};

use super::CONFIG;
use crate::support::holds::{TestClock, location, redis_config};
use crate::support::redis::{client, run};
use crate::support::required;

/// All that a store has, each value under the name of its key, and of the field if it has some.
pub(super) type Contents = BTreeMap<String, String>;

/// Applies commands to the twin at a time, and answers what it then has.
pub(super) fn apply_to_twin(twin: LocationHolds, now_ms: u64, commands: Vec<Command>) -> (LocationHolds, Vec<Reply>) {
    let (holds, location) = (EmbeddedHolds::new(CONFIG, Arc::new(move || now_ms)), location("twin"));
    holds.restore(Snapshot::from([(location.clone(), twin)]));
    let replies = holds.apply(&location, &commands).now_or_never().expect("the twin never waits");
    (holds.look(Snapshot::clone).remove(&location).unwrap_or_default(), replies.expect("the twin always answers"))
}

pub(super) fn contents_of_twin(twin: &LocationHolds) -> Contents {
    let mut values = Contents::new();
    values.extend(twin.registers.iter().map(|(sku, row)| (format!("stock {sku}"), register(row))));
    let held = |(sku, held): (&Sku, &stockhold::holds::Held)| {
        (format!("held {sku}"), format!("{} {}", held.units, held.changes))
    };
    values.extend(twin.held.iter().map(held));
    values.extend(twin.records.iter().map(|(id, record)| (format!("records {id}"), record_text(record))));
    let scores = |name: &'static str, scored: &Scored| {
        scored.iter().map(move |(score_ms, id)| (format!("{name} {id}"), score_ms.to_string())).collect::<Vec<_>>()
    };
    values.extend(scores("deadlines", &twin.deadlines));
    values.extend(scores("unsettled", &twin.unsettled));
    let ended = |(number, (time_ms, ids)): (usize, &(u64, Vec<ReservationId>))| {
        let ids: Vec<_> = ids.iter().map(ReservationId::as_str).collect();
        (format!("ended {}", number + 1), format!("{time_ms}\t{}", ids.join("\t")))
    };
    values.extend(twin.ended.iter().enumerate().map(ended));
    let tombstones = Some(twin.tombstones).filter(|tombstones| *tombstones > 0);
    values.extend(tombstones.map(|tombstones| ("tombstones".to_owned(), tombstones.to_string())));
    values.extend(twin.synced.map(|version| ("synced".to_owned(), version.to_string())));
    values
}

fn register(row: &StockRow) -> String {
    format!("{} {} {} {}", row.version, row.on_hand, row.floor, u8::from(row.retired))
}

fn record_text(record: &Reservation) -> String {
    let state = match record.state {
        State::Held => "HELD",
        State::Confirming => "CONFIRMING",
        State::Confirmed => "CONFIRMED",
        State::Cancelled => "CANCELLED",
        State::Expired => "EXPIRED",
        State::Rejected => "REJECTED",
    };
    let or_empty = |value: Option<String>| value.unwrap_or_default();
    let time = |ms: Option<i64>| or_empty(ms.map(|ms| ms.to_string()));
    let fingerprints = [record.reserved, record.confirmed].map(|print| or_empty(print.map(|print| print.to_string())));
    let [create_ms, expire_ms, end_ms] =
        [record.create_ms, record.expire_ms, record.end_ms].map(|ms| ms.map(|ms| ms as i64));
    let ttl_ms = expire_ms.zip(create_ms).map(|(expire_ms, create_ms)| expire_ms - create_ms);
    let [create, ttl, end] = [create_ms, ttl_ms, end_ms].map(time);
    let [reserved, confirmed] = fingerprints;
    ["1", state, &create, &ttl, &end, &reserved, &confirmed, &lines_text(&record.lines)].join("\t")
}

fn lines_text(lines: &Lines) -> String {
    lines.iter().map(|line| format!("{}\t{}", line.sku, line.quantity)).collect::<Vec<_>>().join("\t")
}

/// Redis, with one location a case.
pub(super) struct Redis {
    holds: RedisHolds,
    pub(super) clock: TestClock,
    client: Client,
    prefix: String,
}

/// Answers `name value` of every key, or of every field of it, whose name begins with the argument.
const READ_ALL: &str = r"
local found, begin = {}, ARGV[1]
local function add(name, value)
  found[#found + 1] = name
  found[#found + 1] = value
end
for _, key in ipairs(redis.call('KEYS', begin .. '*')) do
  local name, kind = string.sub(key, #begin + 1), redis.call('TYPE', key).ok
  if kind == 'string' then
    add(name, redis.call('GET', key))
  elseif kind == 'list' then
    for at, entry in ipairs(redis.call('LRANGE', key, 0, -1)) do add(name .. ' ' .. at, entry) end
  else
    local fields = kind == 'hash' and redis.call('HGETALL', key) or redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for at = 1, #fields, 2 do add(name .. ' ' .. fields[at], fields[at + 1]) end
  end
end
return found";

/// Deletes every key whose name begins with the argument.
const DELETE_ALL: &str = r"for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do redis.call('DEL', key) end";

impl Redis {
    pub(super) async fn connect() -> Self {
        let clock = TestClock::default();
        let prefix = format!("specification-{}", uuid::Uuid::new_v4());
        let config = stockhold::holds::redis::RedisConfig { holds: CONFIG, ..redis_config(&prefix) };
        let holds = RedisHolds::connect_with_clock(&config, Some(clock.clock())).await.expect("connects");
        Self { holds, clock, client: client(&required("STOCKHOLD_TEST_REDIS_URL")).await, prefix }
    }

    pub(super) async fn apply(&self, location: &Location, commands: Vec<Command>) -> Result<Vec<Reply>, String> {
        self.holds.apply(location, &commands).await.map_err(|error| error.to_string())
    }

    /// All skus that paging finds.
    pub(super) async fn skus(&self, location: &Location) -> Result<Vec<Sku>, String> {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            match self.apply(location, vec![Command::Skus { cursor }]).await?.remove(0) {
                Reply::Skus(skus, next) => {
                    found.extend(skus);
                    cursor = next;
                }
                other => return Err(format!("no skus: {other:?}")),
            }
            if cursor.is_empty() {
                found.sort();
                found.dedup();
                return Ok(found);
            }
        }
    }

    /// All reservations that paging finds to be missing in an index.
    pub(super) async fn unindexed(&self, location: &Location) -> Result<Vec<ReservationId>, String> {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            match self.apply(location, vec![Command::Reindex { cursor, repair: true }]).await?.remove(0) {
                Reply::Unindexed(ids, next) => {
                    found.extend(ids);
                    cursor = next;
                }
                other => return Err(format!("no index: {other:?}")),
            }
            if cursor.is_empty() {
                return Ok(found);
            }
        }
    }

    pub(super) async fn contents(&self, location: &Location) -> Contents {
        let found: Vec<String> = run(&self.client, "EVAL", &[READ_ALL, "0", &self.begin_of(location)]).await;
        found.chunks(2).map(|entry| (entry[0].clone(), entry[1].clone())).collect()
    }

    pub(super) async fn delete_all(&self, location: &Location) {
        run::<()>(&self.client, "EVAL", &[DELETE_ALL, "0", &self.begin_of(location)]).await;
    }

    fn begin_of(&self, location: &Location) -> String {
        format!("{}:{{{location}}}:", self.prefix)
    }
}
