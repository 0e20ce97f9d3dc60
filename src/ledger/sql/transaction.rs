//! A transaction in two packets: one begins it, locks and asks, the other writes and commits.
//!
//! A connection never goes back to the pool with a transaction open: whoever had it next would write into that, and its
//! locks would stay. It goes back when the server has said that the transaction is over, and is cut in every other
//! case.

use async_trait::async_trait;
use sea_orm::sqlx;
use sea_orm::{DatabaseConnection, DbErr, RuntimeErr};

use super::dialect::Dialect;
use super::packet::{Answers, Connection};
use super::{insert, select};
use crate::domain::Location;
use crate::ledger::LedgerError;
use crate::ledger::database::{Ask, Facts, Transaction, Writes};

pub(super) struct SqlTransaction {
    open: Open,
    dialect: Dialect,
    location: Location,
}

impl SqlTransaction {
    pub(super) async fn begin(
        db: &DatabaseConnection,
        dialect: Dialect,
        location: &Location,
        ask: &Ask<'_>,
    ) -> Result<(Facts, Self), LedgerError> {
        let question = Question::new(dialect, location, ask);
        let mut open = Open(Some(Connection::of(db, dialect).await?));
        let answers = open.run(&question.statements()).await?;
        // An answer that cannot be read drops the transaction.
        let facts = question.read(answers)?;
        Ok((facts, Self { open, dialect, location: location.clone() }))
    }
}

#[async_trait]
impl Transaction for SqlTransaction {
    async fn commit(mut self: Box<Self>, writes: Writes<'_>) -> Result<(), LedgerError> {
        let mut statements = insert::statements(self.dialect, &self.location, &writes);
        statements.push("COMMIT".to_owned());
        self.open.run(&statements).await?;
        self.open.is_over();
        Ok(())
    }
}

/// The first packet. A statement sees what is committed when it is run, so those behind the locks see what their last
/// holders wrote.
struct Question {
    begin: &'static str,
    rows: Vec<String>,
    settled: Vec<String>,
    change_made: Option<String>,
    now_micros: &'static str,
}

impl Question {
    fn new(dialect: Dialect, location: &Location, ask: &Ask<'_>) -> Self {
        let skus: Vec<_> = ask.skus.iter().copied().collect();
        let reservations: Vec<_> = ask.reservations.iter().copied().collect();
        Self {
            begin: dialect.begin(),
            rows: select::rows(dialect, location, &skus, true),
            settled: select::settlements(dialect, location, &reservations),
            change_made: ask.change.map(|request_id| select::change_made(dialect, location, request_id)),
            now_micros: dialect.now_micros(),
        }
    }

    fn statements(&self) -> Vec<String> {
        let Self { begin, rows, settled, change_made, now_micros } = self;
        let asked = rows.iter().chain(settled).chain(change_made).cloned();
        [(*begin).to_owned()].into_iter().chain(asked).chain([(*now_micros).to_owned()]).collect()
    }

    fn read(&self, answers: Answers) -> Result<Facts, LedgerError> {
        // Nothing is answered to the first.
        let mut answers = answers.into_iter().skip(1);
        let mut next = |statements: usize| answers.by_ref().take(statements).flatten().collect::<Vec<_>>().into_iter();
        let rows = select::read_rows(next(self.rows.len()))?;
        let settled = select::read_settlements(next(self.settled.len()))?;
        let change_made = select::read_change_made(next(self.change_made.iter().len()))?;
        let now_micros = select::read_now_micros(next(1))?;
        Ok(Facts { now_micros, rows, settled, change_made })
    }
}

/// A connection on which a transaction may be open.
struct Open(Option<Connection>);

impl Open {
    /// Runs statements. If the server says that one failed, all of the transaction is undone before the error is told.
    async fn run(&mut self, statements: &[String]) -> Result<Answers, DbErr> {
        let Some(connection) = &mut self.0 else { return Err(DbErr::Custom("the transaction is over".into())) };
        let result = connection.run(statements).await;
        if result.as_ref().is_err_and(was_answered) && connection.run(&["ROLLBACK".to_owned()]).await.is_ok() {
            self.is_over();
        }
        result
    }

    fn is_over(&mut self) {
        self.0 = None;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            connection.cut();
        }
    }
}

/// True if the server said this, and so is there and waits for what comes next.
fn was_answered(error: &DbErr) -> bool {
    let DbErr::Query(RuntimeErr::SqlxError(cause)) = error else { return false };
    matches!(**cause, sqlx::Error::Database(_))
}
