//! The claim of one process on a SQLite file.
//!
//! It is a lock of the operating system on a file beside the database. The kernel releases it when the process ends, so
//! it is never left behind. The file stays: removing it would let two processes lock two files of the same name.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::open::Address;
use crate::ledger::error::LedgerError;

/// A SQLite file is this process's until this is dropped.
#[derive(Debug)]
pub struct Claim {
    _locked: File,
}

impl Claim {
    /// Claims the file of this URL; `None` if it is not a SQLite URL.
    pub(in crate::ledger) fn of(url: &str) -> Result<Option<Self>, LedgerError> {
        let Address::Sqlite(options) = Address::parse(url)? else { return Ok(None) };
        let path = lock_path(options.get_filename());
        let shown = path.display();
        let failed = |error: io::Error| {
            LedgerError::Unsuitable(format!(
                "the SQLite file cannot be claimed, because {shown} cannot be locked: {error}. \
                 Check the path in the URL, and that this user may write to its folder"
            ))
        };
        let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _locked: file })),
            Err(TryLockError::WouldBlock) => Err(LedgerError::Unsuitable(format!(
                "another stockhold process uses the SQLite file (it has locked {shown}). \
                 Stop it first, or give this one a file of its own"
            ))),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// Beside the file itself, whichever link leads to it.
fn lock_path(database: &Path) -> PathBuf {
    let mut path = OsString::from(where_links_lead(database));
    path.push(".lock");
    path.into()
}

/// The file behind all links, also if it does not exist yet.
fn where_links_lead(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    // The kernel follows no more.
    for _ in 0..40 {
        if let Ok(file) = path.canonicalize() {
            return file;
        }
        let Ok(target) = path.read_link() else { break };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    // The file does not exist, but its folder may be behind a link too.
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => folder.canonicalize().map(|folder| folder.join(name)).unwrap_or(path),
        _ => path,
    }
}

#[cfg(test)]
mod tests;
