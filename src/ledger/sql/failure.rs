//! What kind of failure an error of the driver is.

use sea_orm::sqlx;
use sea_orm::sqlx::mysql::MySqlDatabaseError;
use sea_orm::{DbErr, RuntimeErr};

use crate::ledger::error::{DatabaseError, Failure, LedgerError};

impl From<DbErr> for LedgerError {
    fn from(error: DbErr) -> Self {
        DatabaseError { failure: failure(&error), cause: std::sync::Arc::new(error) }.into()
    }
}

fn failure(error: &DbErr) -> Failure {
    match error {
        DbErr::ConnectionAcquire(_) => Failure::NoConnection,
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => match &**cause {
            sqlx::Error::Database(cause) => match cause.try_downcast_ref::<MySqlDatabaseError>() {
                Some(cause) => mysql_failure(cause.number()),
                None => sqlite_failure(cause.code().as_deref()),
            },
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Failure::Connection,
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Failure::NoConnection,
            _ => Failure::Statement,
        },
        _ => Failure::Statement,
    }
}

fn mysql_failure(number: u16) -> Failure {
    match number {
        1062 => Failure::Duplicate,
        // Lock wait timeout, deadlock, and (MariaDB) a row changed since the snapshot.
        1205 | 1213 | 1020 => Failure::Collision,
        // Too many connections, access while starting, shutdown, killed, interrupted.
        1040 | 1053 | 1077 | 1152 | 1184 | 1317 | 1927 | 3169 | 4031 => Failure::Connection,
        // Read-only: by option, as a demoted primary is, by the session, by the engine. Full: error while writing a
        // file, disk full, table full.
        1290 | 1792 | 1836 | 3 | 1021 | 1026 | 1114 => Failure::Unwritable,
        _ => Failure::Statement,
    }
}

fn sqlite_failure(code: Option<&str>) -> Failure {
    // The low byte is the primary code.
    let Some(code) = code.and_then(|code| code.parse::<u32>().ok()) else { return Failure::Statement };
    match (code, code & 0xff) {
        // Duplicate key: of a primary key, of a unique index.
        (1555 | 2067, _) => Failure::Duplicate,
        // Busy, locked.
        (_, 5 | 6) => Failure::Collision,
        // Read-only, input or output error, disk full, file cannot be opened.
        (_, 8 | 10 | 13 | 14) => Failure::Unwritable,
        _ => Failure::Statement,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart() {
        for (number, expected) in [
            (1062, Failure::Duplicate),
            (1213, Failure::Collision),
            (1927, Failure::Connection),
            (1290, Failure::Unwritable),
            (1021, Failure::Unwritable),
            (1146, Failure::Statement),
        ] {
            assert_eq!(mysql_failure(number), expected, "{number}");
        }
        for (code, expected) in [
            ("5", Failure::Collision),
            ("517", Failure::Collision),
            ("1555", Failure::Duplicate),
            ("8", Failure::Unwritable),
            ("13", Failure::Unwritable),
            ("778", Failure::Unwritable),
            ("11", Failure::Statement),
        ] {
            assert_eq!(sqlite_failure(Some(code)), expected, "{code}");
        }
    }
}
