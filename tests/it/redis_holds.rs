//! What only the store in Redis can show: settings that weaken a promise, a full memory, lost functions, lost
//! connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stockhold::domain::State;
use stockhold::holds::redis::{RedisConfig, RedisHolds};
use stockhold::holds::{Command, Holds, HoldsError, Reply};
use stockhold_servers::proxy::Proxy;
use stockhold_servers::redis::Redis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::support::eventually;
use crate::support::holds::*;
use crate::support::redis::{client, run};

fn config(server: &Redis) -> RedisConfig {
    RedisConfig { url: server.url(), timeout: Duration::from_secs(1), ..redis_config("stockhold") }
}

async fn apply(holds: &RedisHolds, command: Command) -> Result<Reply, HoldsError> {
    holds.apply(&location("l"), &[command]).await.map(|mut replies| replies.remove(0))
}

async fn stocked(holds: &RedisHolds) {
    apply(holds, Command::Push { rows: vec![(sku("a"), Some(row(1, 100_000)))] }).await.expect("pushes");
}

#[tokio::test]
async fn a_redis_that_may_evict_holds_is_refused() {
    let server = Redis::private(&["--maxmemory-policy", "allkeys-lru"]).await;
    let error = RedisHolds::connect(&config(&server)).await.map(|_| ()).expect_err("refuses");
    assert!(error.to_string().contains("set it to noeviction"), "{error}");
}

#[tokio::test]
async fn a_redis_without_an_append_only_file_is_warned_about() {
    for (settings, warning) in [
        (&["--appendonly", "no"][..], Some("all holds are lost")),
        (&["--appendonly", "no", "--save", "60 1"], Some("since the last snapshot")),
        (&["--appendonly", "yes"], None),
    ] {
        let server = Redis::private(settings).await;
        let holds = RedisHolds::connect(&config(&server)).await.expect("connects");
        match warning {
            Some(warning) => assert!(holds.warnings()[0].contains(warning), "{:?}", holds.warnings()),
            None => assert_eq!(holds.warnings(), [] as [String; 0]),
        }
    }
}

#[tokio::test]
async fn a_full_redis_refuses_holds_and_frees_stock() {
    let server = Redis::private(&[]).await;
    let holds = RedisHolds::connect(&config(&server)).await.expect("connects");
    stocked(&holds).await;
    for name in ["1", "2"] {
        apply(&holds, reserve(name, &[("a", 1)])).await.expect("held");
    }
    run::<String>(&client(&server.url()).await, "CONFIG", &["SET", "maxmemory", "1"]).await;

    let refused = apply(&holds, reserve("3", &[("a", 1)])).await;
    assert!(matches!(refused, Err(HoldsError::Full)), "{refused:?}");
    // An instance that starts now can free stock too.
    let holds = RedisHolds::connect(&config(&server)).await.expect("connects");
    let freeing = [
        // The hold is live, so it is confirmed without taking stock again.
        reacquire("1"),
        settle("1", stockhold::domain::Outcome::Confirmed, &[("a", 1)], &[("a", 99)]),
        cancel("2"),
        Command::Sweep,
    ];
    for command in freeing {
        apply(&holds, command.clone()).await.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    }
    let stock = apply(&holds, Command::Stock { skus: vec![sku("a")] }).await.expect("reads");
    assert!(matches!(&stock, Reply::Stock(items) if items[0].held == 0), "{stock:?}");
}

#[tokio::test]
async fn lost_functions_are_loaded_again_and_those_of_other_versions_stay() {
    let server = Redis::private(&[]).await;
    let holds = RedisHolds::connect(&config(&server)).await.expect("connects");
    stocked(&holds).await;
    let redis = client(&server.url()).await;
    run::<String>(&redis, "FUNCTION", &["FLUSH"]).await;
    let other =
        "#!lua name=stockhold_other\nredis.register_function('stockhold_other_taking', function() return 1 end)";
    run::<String>(&redis, "FUNCTION", &["LOAD", other]).await;
    let reply = apply(&holds, reserve("1", &[("a", 1)])).await.expect("held");
    assert_eq!(outcome(&reply), ("accepted", Some(State::Held)));
    assert_eq!(run::<i64>(&redis, "FCALL", &["stockhold_other_taking", "0"]).await, 1);
}

#[tokio::test]
async fn while_redis_is_away_calls_fail_without_being_sent_and_later_ones_succeed() {
    let mut server = Redis::private(&[]).await;
    let holds = RedisHolds::connect(&config(&server)).await.expect("connects");
    stocked(&holds).await;
    server.kill();
    eventually("calls are refused without being sent", Duration::from_secs(5), async || {
        let refused = apply(&holds, reserve("1", &[("a", 1)])).await;
        matches!(refused.expect_err("it is away"), HoldsError::Unavailable(_))
    })
    .await;

    server.restart_empty().await;
    eventually("Redis answers again", Duration::from_secs(10), async || holds.ping().await.is_ok()).await;
    let reply = apply(&holds, reserve("1", &[("a", 1)])).await.expect("answers");
    assert_eq!(reply, Reply::Missing(vec![sku("a")]), "no earlier call was executed later");
}

/// Holds in a Redis behind a proxy.
async fn behind_proxy(server: &Redis) -> (Proxy, RedisHolds) {
    let proxy = Proxy::to(&server.server()).await;
    let url = format!("redis://127.0.0.1:{}", proxy.port());
    let config = RedisConfig { url, timeout: Duration::from_millis(300), ..config(server) };
    let holds = RedisHolds::connect(&config).await.expect("connects");
    (proxy, holds)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_follow_to_a_server_that_takes_over() {
    let (first, second) = (Redis::private(&[]).await, Redis::private(&[]).await);
    let (mut proxy, holds) = behind_proxy(&first).await;
    stocked(&holds).await;
    proxy.redirect_to(&second.server()).await;
    eventually("Redis answers again", Duration::from_secs(10), async || holds.ping().await.is_ok()).await;
    let reply = apply(&holds, reserve("1", &[("a", 1)])).await.expect("answers");
    assert_eq!(reply, Reply::Missing(vec![sku("a")]), "the other one is empty");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_fell_silent_are_replaced_under_load() {
    let server = Redis::private(&[]).await;
    let (proxy, holds) = behind_proxy(&server).await;
    stocked(&holds).await;
    // What is sent over them is acknowledged by TCP and never answered.
    proxy.silence();
    let unknown = apply(&holds, reserve("1", &[("a", 1)])).await;
    assert!(matches!(unknown, Err(HoldsError::OutcomeUnknown(_))), "{unknown:?}");
    eventually("calls succeed again", Duration::from_secs(10), async || {
        let calls = (0..10).map(|_| apply(&holds, Command::Sweep));
        futures::future::join_all(calls).await.iter().all(Result::is_ok)
    })
    .await;
}

/// A server that answers every request with an error after which fred gives up for good. Answers its address and how
/// often it was asked.
async fn server_with_a_final_error() -> (String, Arc<AtomicUsize>, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let serving = tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.expect("accepts");
            let mut request = [0; 1024];
            if connection.read(&mut request).await.is_ok_and(|count| count > 0) {
                let answer = b"-ERR This instance has cluster support disabled\r\n";
                connection.write_all(answer).await.expect("answers");
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    (address, asked, AbortOnDropHandle::new(serving))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_fred_has_given_up_is_replaced() {
    let server = Redis::private(&[]).await;
    let (mut proxy, holds) = behind_proxy(&server).await;
    stocked(&holds).await;
    let (other, asked, _serving) = server_with_a_final_error().await;
    proxy.redirect_to(&other).await;
    eventually("both connections have given up", Duration::from_secs(10), async || asked.load(Ordering::Relaxed) >= 4)
        .await;
    let refused = holds.ping().await;
    assert!(matches!(refused, Err(HoldsError::Unavailable(_))), "a ping must fail: {refused:?}");

    proxy.redirect_to(&server.server()).await;
    eventually("new connections are up", Duration::from_secs(10), async || holds.ping().await.is_ok()).await;
    let reply = apply(&holds, reserve("1", &[("a", 1)])).await.expect("held");
    assert_eq!(outcome(&reply), ("accepted", Some(State::Held)));
}

#[tokio::test]
async fn the_keys_are_those_of_the_documentation() {
    let server = Redis::private(&[]).await;
    let holds = RedisHolds::connect(&config(&server)).await.expect("connects");
    stocked(&holds).await;
    apply(&holds, reserve("order-1", &[("a", 2)])).await.expect("held");
    apply(&holds, reserve("order-2", &[("a", 1)])).await.expect("held");
    apply(&holds, cancel("order-2")).await.expect("cancelled");
    apply(&holds, Command::SetSynced { judged: None, version: 7 }).await.expect("written");

    let client = client(&server.url()).await;
    let mut keys: Vec<String> = run(&client, "KEYS", &["*"]).await;
    keys.sort();
    let expected = ["deadlines", "held", "records", "stock", "synced", "unsettled"];
    assert_eq!(keys, expected.map(|name| format!("stockhold:{{l}}:{name}")));
    let register: String = run(&client, "HGET", &["stockhold:{l}:stock", "a"]).await;
    let held: String = run(&client, "HGET", &["stockhold:{l}:held", "a"]).await;
    assert_eq!((register.as_str(), held.as_str()), ("1 100000 0 0", "2 3"));
    let record: String = run(&client, "HGET", &["stockhold:{l}:records", "order-1"]).await;
    assert!(record.starts_with("1\tHELD\t") && record.ends_with("\ta\t2"), "{record:?}");
}

#[tokio::test]
async fn times_are_those_of_redis() {
    let server = Redis::private(&[]).await;
    let holds = RedisHolds::connect(&config(&server)).await.expect("connects");
    stocked(&holds).await;
    let time: Vec<u64> = run(&client(&server.url()).await, "TIME", &[]).await;
    let held = accepted(apply(&holds, reserve("1", &[("a", 1)])).await.expect("held"));
    let create_ms = held.create_ms.expect("a time");
    assert!(create_ms.abs_diff(time[0] * 1000 + time[1] / 1000) < 60_000, "{create_ms} and {time:?}");
    assert_eq!(held.expire_ms, Some(create_ms + TTL_MS));
}

#[tokio::test]
async fn an_entry_of_unsettled_whose_record_is_live_or_gone_is_dropped() {
    let server = Redis::private(&[]).await;
    let holds = RedisHolds::connect(&config(&server)).await.expect("connects");
    stocked(&holds).await;
    apply(&holds, reserve("held", &[("a", 2)])).await.expect("held");
    let client = client(&server.url()).await;
    run::<i64>(&client, "ZADD", &["stockhold:{l}:unsettled", "1", "held", "1", "unknown", "1", "tampered"]).await;
    run::<i64>(&client, "HSET", &["stockhold:{l}:records", "tampered", "with"]).await;
    let claimed = apply(&holds, Command::Claim { limit: 10, grace_ms: 0 }).await.expect("claims");
    assert_eq!(claimed, Reply::Claimed(vec![]));
    assert_eq!(run::<i64>(&client, "ZCARD", &["stockhold:{l}:unsettled"]).await, 0);
    let held = accepted(apply(&holds, Command::Get { id: id("held") }).await.expect("reads"));
    assert_eq!(held.state, State::Held);
}

#[tokio::test]
async fn an_entry_of_deadlines_alone_releases_no_hold() {
    let server = Redis::private(&[]).await;
    let holds = RedisHolds::connect(&config(&server)).await.expect("connects");
    stocked(&holds).await;
    apply(&holds, reserve("confirming", &[("a", 2)])).await.expect("held");
    apply(&holds, begin("confirming")).await.expect("begun");
    let client = client(&server.url()).await;
    run::<i64>(&client, "ZADD", &["stockhold:{l}:deadlines", "1", "confirming", "1", "unknown", "1", "tampered"]).await;
    run::<i64>(&client, "HSET", &["stockhold:{l}:records", "tampered", "with"]).await;
    let swept = apply(&holds, Command::Sweep).await.expect("sweeps");
    assert_eq!(swept, Reply::Swept { holds: 0, more: false });
    assert_eq!(run::<i64>(&client, "ZCARD", &["stockhold:{l}:deadlines"]).await, 0);
    let confirming = accepted(apply(&holds, Command::Get { id: id("confirming") }).await.expect("reads"));
    assert_eq!(confirming.state, State::Confirming);
    let stock = apply(&holds, Command::Stock { skus: vec![sku("a")] }).await.expect("reads");
    assert!(matches!(&stock, Reply::Stock(items) if items[0].held == 2), "{stock:?}");
}
