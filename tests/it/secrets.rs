//! No secret of a URL ever stands in the log, at any level: the real binary starts, works, fails, stops and refuses to
//! start with planted passwords.

use std::process::Stdio;
use std::time::Duration;

use sea_orm::ConnectionTrait;
use stockhold::grpc::v1::ReservationState;
use stockhold_servers::proxy::Proxy;
use stockhold_servers::redis::Redis;
use tempfile::NamedTempFile;

use crate::support::client::Caller;
use crate::support::database;
use crate::support::eventually;
use crate::support::server::{Instance, stockhold};

/// A word that occurs nowhere else.
const DATABASE_SECRET: &str = "opensesame-database";
const REDIS_SECRET: &str = "opensesame-redis";
const SECRET: &str = "opensesame";

/// Fails if a log has a secret: as text, or as the list of its bytes.
fn has_no_secret(log: &str) {
    let bytes = SECRET.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    for line in log.lines() {
        assert!(!line.contains(SECRET) && !line.contains(&bytes), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_at_trace_has_no_secret_of_start_work_failure_and_stop() {
    let database = database::mysql().await;
    let root = database.connect().await;
    let (_, schema) = database.url.rsplit_once('/').expect("a schema");
    let user = format!("u_{}", fastrand::u64(..));
    root.execute_unprepared(&format!("CREATE USER {user} IDENTIFIED BY '{DATABASE_SECRET}'")).await.expect("a user");
    root.execute_unprepared(&format!("GRANT ALL ON {schema}.* TO {user}")).await.expect("rights");
    let server = Redis::private(&["--requirepass", REDIS_SECRET]).await;
    let mut to_redis = Proxy::to(&server.server()).await;
    let (mut to_database, database_url) = Proxy::to_database(&database.url).await;
    let (_, place) = database_url.split_once('@').expect("a place");

    // One URL stands in a file, the other in the environment, and one secret is escaped.
    let database_file = NamedTempFile::new().expect("a file");
    let escaped = DATABASE_SECRET.replace('-', "%2D");
    std::fs::write(database_file.path(), format!("mysql://{user}:{escaped}@{place}?charset=utf8mb4")).expect("writes");
    let instance = Instance::bare()
        .arg("--database-url-file")
        .arg(&database_file.path().display().to_string())
        .env("STOCKHOLD_REDIS_URL", &format!("redis://:{REDIS_SECRET}@127.0.0.1:{}", to_redis.port()))
        .env("RUST_LOG", "trace");
    let mut service = instance.start();
    let mut caller = Caller::connect(service.address()).await;
    caller.set("a", 10).await;
    for id in ["confirmed", "cancelled", "later"] {
        caller.reserve(id, &[("a", 1)]).await.expect("held");
    }
    caller.confirm("confirmed").await.expect("confirmed");
    caller.cancel("cancelled").await.expect("cancelled");

    to_redis.cut().await;
    to_database.cut().await;
    caller.reserve("away", &[("a", 1)]).await.expect_err("Redis is away");
    to_redis.mend().await;
    eventually("Redis is back", Duration::from_secs(20), async || caller.is("later", ReservationState::Held).await)
        .await;
    caller.confirm("later").await.expect_err("the database is away");
    to_database.mend().await;
    eventually("the database is back", Duration::from_secs(30), async || caller.confirm("later").await.is_ok()).await;
    service.terminate();
    assert!(service.wait_exit().success());

    let log = service.log();
    for trace in ["TRACE", "sqlx", "fred"] {
        assert!(log.contains(trace), "the log is not complete without {trace}");
    }
    has_no_secret(&log);
    root.execute_unprepared(&format!("DROP USER {user}")).await.expect("drops");
    root.close().await.expect("closes");
    database.remove().await;
}

#[test]
fn a_start_that_fails_tells_no_secret() {
    let nobody = "127.0.0.1:1";
    let database = |url: &str| ("STOCKHOLD_DATABASE_URL", url.to_owned());
    let redis = |url: &str| ("STOCKHOLD_REDIS_URL", url.to_owned());
    for (name, url) in [
        database(&format!("mysql://app:{SECRET}@{nobody}/shop")),
        database(&format!("mysql://app:{SECRET}@{nobody}/shop?password={SECRET}")),
        database(&format!("mysql://app:{SECRET}/shop")),
        database(&format!("mysql://app:x/{SECRET}@{nobody}/shop")),
        database(&format!("mysql://app:{SECRET}?x@{nobody}/shop")),
        database(&format!("mysql://app:{SECRET}#x@{nobody}/shop")),
        database(&format!("mysql://{SECRET}:{nobody}/shop")),
        database(&format!("postgres://app:{SECRET}@{nobody}/shop")),
        database(&format!("app:{SECRET}@{nobody}/shop")),
        database(&format!("sqlite:///nowhere/stock.db?password={SECRET}")),
        redis(&format!("redis://:{SECRET}@{nobody}")),
        redis(&format!("redis://:{SECRET}")),
        redis(&format!("redis://:x/{SECRET}@{nobody}")),
        redis(&format!("redis://{nobody}?password={SECRET}")),
        redis(&format!("rediss://app:{SECRET}@{nobody}")),
        redis(&format!("redis-cluster://app:{SECRET}@{nobody}?node={nobody}")),
        redis(&format!("redis-sentinel://{nobody}?sentinelServiceName=x&sentinelPassword={SECRET}")),
        ("STOCKHOLD_REDIS_URL_FILE", format!("redis://:{SECRET}@{nobody}")),
        ("STOCKHOLD_DATABASE_URL_FILE", format!("mysql://app:{SECRET}@{nobody}/shop")),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = stockhold();
        command.args(["serve", "--listen", "127.0.0.1:0", "--start-timeout", "1ms"]).current_dir(folder.path());
        command.env(name, &url).env("RUST_LOG", "trace").stdin(Stdio::null());
        let output = command.output().expect("stockhold runs");
        let stderr = String::from_utf8(output.stderr).expect("text");
        assert!(!output.status.success(), "{url} was accepted");
        has_no_secret(&stderr);
    }
}
