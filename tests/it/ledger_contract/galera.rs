//! A Galera node is refused, because it can commit the rest of a transaction that it has aborted.

use std::process::Stdio;

use sea_orm::ConnectionTrait;

use super::*;
use crate::support::eventually;
use crate::support::galera::Galera;
use crate::support::server::stockhold;

#[tokio::test]
async fn a_galera_node_ends_the_start_before_anything_is_written() {
    let galera = Galera::start().await;
    let url = galera.database_url();
    for arguments in
        [&["migrate", "--database-url", &url][..], &["serve", "--listen", "127.0.0.1:0", "--database-url", &url]]
    {
        let output = stockhold().args(arguments).stdin(Stdio::null()).output().expect("stockhold runs");
        let stderr = String::from_utf8(output.stderr).expect("text");
        let last = stderr.lines().last().unwrap_or_default();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert!(last.starts_with("error: ") && last.contains("is a Galera node (wsrep_on is ON)"), "{stderr}");
    }
    let connection = galera.connect().await;
    let tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()";
    assert_eq!(numbers(&connection, tables).await, [0]);

    // Without replication it is a server like any other. Once it replicates again no new connection is used.
    connection.execute_unprepared("SET GLOBAL wsrep_on = OFF").await.expect("replication ends");
    let config = LedgerConfig { url, connections_max: 5, queue_max: 10, batch_max: 10 };
    let ledger = Ledger::connect(&config).await.expect("connects");
    ledger.migrate().await.expect("migrates");
    settle(&ledger, "before", Intent::Cancel).await.expect("settles");
    connection.execute_unprepared("SET GLOBAL wsrep_on = ON").await.expect("replication begins");
    kill_connections_of_others(&connection).await;
    settle(&ledger, "while it replicates", Intent::Cancel).await.expect_err("the node is refused");
    assert!(ledger.ping().await.is_err());
    assert_eq!(numbers(&connection, "SELECT COUNT(*) FROM settlements").await, [1]);

    connection.execute_unprepared("SET GLOBAL wsrep_on = OFF").await.expect("replication ends");
    let settles = async || settle(&ledger, "after", Intent::Cancel).await.is_ok();
    eventually("it is used again", Duration::from_secs(30), settles).await;
    ledger.close().await.expect("closes");
}
