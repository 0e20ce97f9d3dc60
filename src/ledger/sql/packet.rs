//! Statements that travel together. A round trip costs more than most statements, and any number of statements in text
//! shares one. A prepared statement needs its own, and one more preparation for each length of its lists.
//!
//! Both engines run the statements of a packet in order and stop at the first that fails, so a `COMMIT` behind a
//! failure does not run. Galera is the exception: it runs the rest of a packet whose transaction it has aborted. `open`
//! refuses it. Neither engine waits for the client within a packet: a packet that has arrived is run even if its answer
//! is never read.

use futures::TryStreamExt;
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::{self, AssertSqlSafe, Either, Executor, MySql, Sqlite};
use sea_orm::{ConnAcquireErr, DatabaseConnection, DbErr, QueryResult, RuntimeErr};

use super::dialect::Dialect;

/// The rows that each statement answered.
pub(super) type Answers = Vec<Vec<QueryResult>>;

/// One connection of a pool, to which it goes back when it is dropped.
pub(super) enum Connection {
    MySql(PoolConnection<MySql>),
    Sqlite(PoolConnection<Sqlite>),
}

impl Connection {
    /// Waits for a connection.
    pub(super) async fn of(db: &DatabaseConnection, dialect: Dialect) -> Result<Self, DbErr> {
        let connection = match dialect {
            Dialect::MySql => db.get_mysql_connection_pool().acquire().await.map(Self::MySql),
            Dialect::Sqlite => db.get_sqlite_connection_pool().acquire().await.map(Self::Sqlite),
        };
        connection.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => DbErr::ConnectionAcquire(ConnAcquireErr::Timeout),
            sqlx::Error::PoolClosed => DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed),
            error => DbErr::Conn(RuntimeErr::SqlxError(error.into())),
        })
    }

    /// Runs these statements, up to the first that fails.
    pub(super) async fn run(&mut self, statements: &[String]) -> Result<Answers, DbErr> {
        let text = statements.join("; ");
        let answers = match self {
            Self::MySql(connection) => run::<MySql>(connection, text).await,
            Self::Sqlite(connection) => run::<Sqlite>(connection, text).await,
        };
        answers.map_err(|error| DbErr::Query(RuntimeErr::SqlxError(error.into())))
    }

    /// Ends it without waiting for the server, and frees its place in the pool. The server rolls back what was begun.
    pub(super) fn cut(self) {
        match self {
            Self::MySql(connection) => drop(connection.detach()),
            Self::Sqlite(connection) => drop(connection.detach()),
        }
    }
}

async fn run<DB: sqlx::Database>(connection: &mut DB::Connection, text: String) -> Result<Answers, sqlx::Error>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    QueryResult: From<DB::Row>,
{
    // sea-query wrote every value in it, escaped.
    let mut answered = sqlx::raw_sql(AssertSqlSafe(text)).fetch_many(connection);
    let (mut answers, mut rows) = (Vec::new(), Vec::new());
    while let Some(next) = answered.try_next().await? {
        match next {
            Either::Right(row) => rows.push(row.into()),
            Either::Left(_) => answers.push(std::mem::take(&mut rows)),
        }
    }
    Ok(answers)
}
