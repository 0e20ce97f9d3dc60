//! The two stores, and all that each of them has, as text in the forms that `src/holds/redis/holds.lua` documents.

use std::collections::BTreeMap;
use std::sync::Arc;

use fred::clients::Client;
use futures::FutureExt;
use stockhold::domain::{Lines, Location, Reservation, Sku, State, StockRow};
use stockhold::holds::embedded::{EmbeddedHolds, LocationHolds, Scored, Snapshot};
use stockhold::holds::redis::RedisHolds;
use stockhold::holds::{Command, Holds, Reply};

use super::RETENTION;
use crate::support::holds::{TestClock, location, redis_config};
use crate::support::redis::{client, run};
use crate::support::required;

/// All that a store has, each value under the name of its key, and of the field if it has some.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) values: BTreeMap<String, String>,
    /// In how many ms a key is forgotten; those that time does not make forgotten have no entry.
    pub(super) forgotten_in_ms: BTreeMap<String, i64>,
}

/// Applies commands to the twin at a time, and answers what it then has.
pub(super) fn apply_to_twin(twin: LocationHolds, now_ms: u64, commands: Vec<Command>) -> (LocationHolds, Vec<Reply>) {
    let (holds, location) = (EmbeddedHolds::new(RETENTION, Arc::new(move || now_ms)), location("twin"));
    holds.restore(Snapshot::from([(location.clone(), twin)]));
    let replies = holds.apply(&location, commands).now_or_never().expect("the twin never waits");
    (holds.look(Snapshot::clone).remove(&location).unwrap_or_default(), replies.expect("the twin always answers"))
}

impl Contents {
    pub(super) fn of_twin(twin: &LocationHolds, now_ms: u64) -> Self {
        let mut values = BTreeMap::new();
        values.extend(twin.registers.iter().map(|(sku, row)| (format!("stock {sku}"), register(row))));
        let held = |(sku, held): (&Sku, &stockhold::holds::Held)| {
            (format!("held {sku}"), format!("{} {}", held.units, held.changes))
        };
        values.extend(twin.held.iter().map(held));
        values.extend(twin.records.iter().map(|(id, record)| (format!("r:{id}"), record_text(record))));
        let scores = |name: &'static str, scored: &Scored| {
            scored.iter().map(move |(score_ms, id)| (format!("{name} {id}"), score_ms.to_string())).collect::<Vec<_>>()
        };
        values.extend(scores("deadlines", &twin.deadlines));
        values.extend(scores("unsettled", &twin.unsettled));
        values.extend(twin.synced.map(|version| ("synced".to_owned(), version.to_string())));
        let forgotten = |(at_ms, id): &(u64, _)| (format!("r:{id}"), *at_ms as i64 - now_ms as i64);
        Self { values, forgotten_in_ms: twin.forget.iter().map(forgotten).collect() }
    }
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
    let time = |ms: Option<u64>| or_empty(ms.map(|ms| ms.to_string()));
    let fingerprints = [record.reserved, record.confirmed].map(|print| or_empty(print.map(|print| print.to_string())));
    let [create, expire, end] = [record.create_ms, record.expire_ms, record.end_ms].map(time);
    let [reserved, confirmed] = fingerprints;
    ["1", state, &create, &expire, &end, &reserved, &confirmed, &lines_text(&record.lines)].join("\t")
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

/// Answers `name value ttl` of every key, or of every field of it, whose name begins with the argument; -1 is no TTL.
const READ_ALL: &str = r"
local found, begin = {}, ARGV[1]
for _, key in ipairs(redis.call('KEYS', begin .. '*')) do
  local name, kind, ttl_ms = string.sub(key, #begin + 1), redis.call('TYPE', key).ok, redis.call('PTTL', key)
  if kind == 'string' then
    for _, text in ipairs({ name, redis.call('GET', key), ttl_ms }) do found[#found + 1] = text end
  else
    local fields = kind == 'hash' and redis.call('HGETALL', key) or redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for at = 1, #fields, 2 do
      for _, text in ipairs({ name .. ' ' .. fields[at], fields[at + 1], ttl_ms }) do found[#found + 1] = text end
    end
  end
end
return found";

/// Does what time does to keys with a TTL: it is shorter by the second argument, or the key is gone.
const PASS_TIME: &str = r"
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local ttl_ms = redis.call('PTTL', key)
  if ttl_ms > tonumber(ARGV[2]) then
    redis.call('PEXPIRE', key, ttl_ms - ARGV[2])
  elseif ttl_ms >= 0 then
    redis.call('DEL', key)
  end
end";

/// Deletes every key whose name begins with the argument.
const DELETE_ALL: &str = r"for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do redis.call('DEL', key) end";

impl Redis {
    pub(super) async fn connect() -> Self {
        let clock = TestClock::default();
        let prefix = format!("specification-{}", uuid::Uuid::new_v4());
        let config = stockhold::holds::redis::RedisConfig { retention: RETENTION, ..redis_config(&prefix) };
        let holds = RedisHolds::connect_with_clock(&config, Some(clock.clock())).await.expect("connects");
        Self { holds, clock, client: client(&required("STOCKHOLD_TEST_REDIS_URL")).await, prefix }
    }

    pub(super) async fn apply(&self, location: &Location, commands: Vec<Command>) -> Result<Vec<Reply>, String> {
        self.holds.apply(location, commands).await.map_err(|error| error.to_string())
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

    pub(super) async fn contents(&self, location: &Location) -> Contents {
        let found: Vec<String> = run(&self.client, "EVAL", &[READ_ALL, "0", &self.begin_of(location)]).await;
        let mut contents = Contents { values: BTreeMap::new(), forgotten_in_ms: BTreeMap::new() };
        for entry in found.chunks(3) {
            let [name, value, ttl_ms] = entry else { panic!("{entry:?}") };
            contents.values.insert(name.clone(), value.clone());
            if ttl_ms != "-1" {
                contents.forgotten_in_ms.insert(name.clone(), ttl_ms.parse().expect("a number"));
            }
        }
        contents
    }

    pub(super) async fn pass_time(&self, location: &Location, ms: u64) {
        run::<()>(&self.client, "EVAL", &[PASS_TIME, "0", &self.begin_of(location), &ms.to_string()]).await;
    }

    pub(super) async fn delete_all(&self, location: &Location) {
        run::<()>(&self.client, "EVAL", &[DELETE_ALL, "0", &self.begin_of(location)]).await;
    }

    fn begin_of(&self, location: &Location) -> String {
        format!("{}:{{{location}}}:", self.prefix)
    }
}
