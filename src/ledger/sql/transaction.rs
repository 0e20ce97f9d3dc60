//! A transaction in two packets: one begins it, locks and reads, the other writes and commits.
//!
//! A connection never goes back to the pool with a transaction open, because its next user would write into that
//! transaction, and its locks would stay. It goes back when the server has said that the transaction is over, and is
//! cut in every other case.

use async_trait::async_trait;
use sea_orm::sqlx;
use sea_orm::{DatabaseConnection, DbErr, RuntimeErr};

use super::dialect::Dialect;
use super::packet::{Answers, Connection};
use super::writable::Writable;
use super::{insert, select};
use crate::domain::Location;
use crate::ledger::database::{Facts, Reads, Transaction, Writes};
use crate::ledger::error::{Failure, LedgerError};

pub(super) struct SqlTransaction {
    open: OpenTransaction,
    dialect: Dialect,
    location: Location,
}

impl SqlTransaction {
    pub(super) async fn begin(
        db: &DatabaseConnection,
        dialect: Dialect,
        location: &Location,
        reads: &Reads<'_>,
        writable: &Writable,
    ) -> Result<(Facts, Self), LedgerError> {
        let packet = FirstPacket::new(dialect, location, reads);
        let mut open = OpenTransaction::on(db, dialect, writable).await?;
        let answers = open.run(&packet.statements()).await?;
        // An answer that cannot be read drops the transaction.
        let facts = packet.read(answers)?;
        Ok((facts, Self { open, dialect, location: location.clone() }))
    }
}

#[async_trait]
impl Transaction for SqlTransaction {
    async fn commit(mut self: Box<Self>, writes: Writes<'_>) -> Result<(), LedgerError> {
        let mut statements = insert::statements(self.dialect, &self.location, &writes);
        let writes = !statements.is_empty();
        statements.push("COMMIT".to_owned());
        self.open.run(&statements).await?;
        self.open.is_over();
        if writes {
            self.open.writable.proved();
        }
        Ok(())
    }
}

/// A statement sees what is committed when it runs, so those behind the locks see what the last holders of the locks
/// wrote.
struct FirstPacket {
    begin: &'static str,
    rows: Vec<String>,
    settled: Vec<String>,
    change_made: Option<String>,
    now_micros: String,
}

impl FirstPacket {
    fn new(dialect: Dialect, location: &Location, reads: &Reads<'_>) -> Self {
        let skus: Vec<_> = reads.skus.iter().copied().collect();
        let reservations: Vec<_> = reads.reservations.iter().copied().collect();
        Self {
            begin: dialect.begin(),
            rows: select::rows(dialect, location, &skus, true),
            settled: select::settlements(dialect, location, &reservations),
            change_made: reads.change.map(|request_id| select::change_made(dialect, location, request_id)),
            now_micros: dialect.now_micros(),
        }
    }

    fn statements(&self) -> Vec<String> {
        let Self { begin, rows, settled, change_made, now_micros } = self;
        let read = rows.iter().chain(settled).chain(change_made).chain([now_micros]).cloned();
        [(*begin).to_owned()].into_iter().chain(read).collect()
    }

    fn read(&self, answers: Answers) -> Result<Facts, LedgerError> {
        // The first statement has no answer.
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
pub(super) struct OpenTransaction {
    /// `None` once the transaction is over.
    connection: Option<Connection>,
    writable: Writable,
}

impl OpenTransaction {
    /// Waits for a connection.
    pub(super) async fn on(db: &DatabaseConnection, dialect: Dialect, writable: &Writable) -> Result<Self, DbErr> {
        Ok(Self { connection: Some(Connection::of(db, dialect).await?), writable: writable.clone() })
    }

    /// Runs statements. If the server refuses one, the transaction is undone before the error is returned. A connection
    /// to a server that takes no writes is cut instead, because a new one may reach another server.
    pub(super) async fn run(&mut self, statements: &[String]) -> Result<Answers, LedgerError> {
        let closed = || DbErr::Custom("the transaction is over".into());
        let connection = self.connection.as_mut().ok_or_else(closed)?;
        let error = match connection.run(statements).await {
            Ok(answers) => return Ok(answers),
            Err(error) => error,
        };
        let was_answered = was_answered(&error);
        let error = LedgerError::from(error);
        let may_stay = was_answered && error.failure() != Some(Failure::Unwritable);
        if may_stay && connection.run(&["ROLLBACK".to_owned()]).await.is_ok() {
            self.is_over();
        }
        Err(error)
    }

    /// The server has said that the transaction is over.
    pub(super) fn is_over(&mut self) {
        self.connection = None;
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.cut();
            self.writable.doubt();
        }
    }
}

/// True if the server said this, so it is there and waits for the next statement.
fn was_answered(error: &DbErr) -> bool {
    let DbErr::Query(RuntimeErr::SqlxError(cause)) = error else { return false };
    matches!(**cause, sqlx::Error::Database(_))
}
