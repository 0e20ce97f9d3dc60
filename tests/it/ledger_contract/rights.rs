//! What the database's user may do, and what happens without one of the rights.

use sea_orm::ConnectionTrait;

use super::*;

/// A user of the server who has some rights on one schema, until it is dropped by hand.
pub(super) struct User {
    name: String,
    pub(super) config: LedgerConfig,
}

impl User {
    pub(super) async fn with(rights: &str, root: &DatabaseConnection, database: &TestDatabase) -> Self {
        let (server, schema) = database.url.rsplit_once('/').expect("a URL with a schema");
        let name = format!("u{}", &uuid::Uuid::new_v4().simple().to_string()[..20]);
        root.execute_unprepared(&format!("CREATE USER {name}@'127.0.0.1'")).await.unwrap();
        root.execute_unprepared(&format!("GRANT {rights} ON {schema}.* TO {name}@'127.0.0.1'")).await.unwrap();
        let url = format!("{}/{schema}", server.replace("root@", &format!("{name}@")));
        Self { name, config: LedgerConfig { url, ..config(database) } }
    }

    pub(super) async fn drop(self, root: &DatabaseConnection) {
        root.execute_unprepared(&format!("DROP USER {}@'127.0.0.1'", self.name)).await.unwrap();
    }
}

/// All that the ledger does, in the order in which it is first done. Answers the name of the step that fails.
async fn first_failure(config: &LedgerConfig) -> Result<(), (&'static str, String)> {
    let failed = |step| move |error: LedgerError| (step, format!("{error:?}"));
    let ledger = Ledger::connect(config).await.map_err(failed("connect"))?;
    let done = async {
        ledger.migrate().await.map_err(failed("migrate"))?;
        ledger.durability_warnings().await.map_err(failed("settings"))?;
        ledger.ping().await.map_err(failed("ping"))?;
        let set = ledger.set_stock(&here(), &request("set"), &[target("a", 5)]).await;
        set.map_err(failed("set"))?.expect("it is not refused");
        settle(&ledger, "r", confirm(&[("a", 1)])).await.map_err(failed("settle"))?;
        settle(&ledger, "r", confirm(&[("a", 1)])).await.map_err(failed("settle again"))?;
        ledger.rows_behind_locks(&here(), &[sku("a")]).await.map_err(failed("locked rows"))?;
        ledger.books(&here(), None).await.map_err(failed("books"))?;
        Ok(())
    };
    let done = done.await;
    ledger.close().await.expect("closes");
    done
}

#[tokio::test]
async fn the_rights_that_are_documented_suffice_and_each_is_needed() {
    let database = database::mysql().await;
    let root = database.connect().await;
    for (rights, fails_at) in [
        ("INSERT, UPDATE, CREATE", Some("migrate")),
        ("SELECT, UPDATE, CREATE", Some("migrate")),
        ("SELECT, INSERT, UPDATE", Some("migrate")),
        ("SELECT, INSERT, CREATE", Some("ping")),
        ("SELECT, INSERT, UPDATE, CREATE", None),
        // Also once all tables are there.
        ("SELECT, INSERT, UPDATE", Some("migrate")),
    ] {
        let user = User::with(rights, &root, &database).await;
        let failure = first_failure(&user.config).await.err();
        assert_eq!(failure.as_ref().map(|(step, _)| *step), fails_at, "{rights}: {failure:?}");
        assert!(failure.is_none_or(|(_, error)| error.contains("command denied")), "{rights}");
        user.drop(&root).await;
    }
    database.remove().await;
}
