//! What can go wrong between us and Postgres, apart from what an operation's own rules refuse.

use std::{error::Error, fmt};

use deadpool_postgres::PoolError;
use rally_units::Epoch;
use tokio_postgres::{error::SqlState, types::WrongType};

/// An operation failed for a reason that lies in Postgres or on the way to it.
#[derive(Debug, thiserror::Error)]
#[error("store operation {operation} failed: {kind}")]
pub struct StoreError {
    /// The operation, as in the metrics' label.
    pub operation: &'static str,
    /// Whether it makes sense to try again.
    pub kind: StoreErrorKind,
    /// What the driver said.
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

impl StoreError {
    /// True if Postgres could not be reached or did not answer in time: try again later, tell a client 503.
    pub fn is_unavailable(&self) -> bool {
        self.kind == StoreErrorKind::Unavailable
    }

    pub(crate) fn new(operation: &'static str, fault: Fault) -> Self {
        Self { operation, kind: fault.kind(), source: Box::new(fault) }
    }
}

/// The kinds of [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Not reachable, shutting down, read-only, out of connections, too slow, or chosen as a deadlock's victim.
    /// The same call may succeed later.
    Unavailable,
    /// The server refused the statement: a constraint, a missing table, a value that it cannot hold. The same call
    /// fails again.
    Refused,
    /// The driver or this crate could not read a row or write a parameter: a newer node wrote what this one does not
    /// know.
    Malformed,
}

impl StoreErrorKind {
    /// The metrics' label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
        }
    }
}

impl fmt::Display for StoreErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "Postgres is not available",
            Self::Refused => "Postgres refused the statement",
            Self::Malformed => "a value does not have the expected form",
        })
    }
}

/// A write for a match was refused because of the match's state.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// Another owner holds the match now.
    #[error("the match is at epoch {current}")]
    Fenced {
        /// The epoch that Postgres has granted last.
        current: Epoch,
    },
    /// The match has ended.
    #[error("the match has ended")]
    Ended,
    /// There is no such match.
    #[error("no such match")]
    NoSuchMatch,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FenceError {
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Fenced { .. } => "fenced",
            Self::Ended => "ended",
            Self::NoSuchMatch => "no_such_match",
            Self::Store(error) => error.kind.as_str(),
        }
    }
}

/// The cause of a [`StoreError`], before the operation's name is added to it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("no connection")]
    Pool(#[from] PoolError),
    #[error("no connection in time")]
    AcquireTimeout,
    #[error("no answer in time")]
    OperationTimeout,
    #[error("the database is read-only")]
    ReadOnly,
    #[error("the server's disk is full")]
    DiskFull,
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    #[error("the migration was interrupted")]
    Migration(#[source] refinery::Error),
    #[error("unexpected {0}")]
    Malformed(&'static str),
}

impl Fault {
    /// That the server has had no room for a write.
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.code() == Some(&SqlState::DISK_FULL))
    }

    fn kind(&self) -> StoreErrorKind {
        match self {
            Self::Pool(_)
            | Self::AcquireTimeout
            | Self::OperationTimeout
            | Self::ReadOnly
            | Self::DiskFull
            | Self::Migration(_) => StoreErrorKind::Unavailable,
            Self::Postgres(error) => kind_of(error),
            Self::Malformed(_) => StoreErrorKind::Malformed,
        }
    }
}

pub(crate) fn kind_of(error: &tokio_postgres::Error) -> StoreErrorKind {
    let Some(code) = error.code() else {
        // The driver's own errors are about the connection, but for values of the wrong type.
        let wrong_type = error.source().is_some_and(|source| source.is::<WrongType>());
        return if wrong_type { StoreErrorKind::Malformed } else { StoreErrorKind::Unavailable };
    };
    // https://www.postgresql.org/docs/current/errcodes-appendix.html; the first two characters are the class.
    match code.code() {
        // read_only_sql_transaction: a standby, or a primary that is being demoted.
        "25006" => StoreErrorKind::Unavailable,
        // idle_in_transaction_session_timeout: this process stood still.
        "25P03" => StoreErrorKind::Unavailable,
        // lock_not_available
        "55P03" => StoreErrorKind::Unavailable,
        code => match code.get(..2) {
            // Connection, authorization (a role may be on its way), rollback (deadlock), resources, operator's
            // intervention (shutdown, statement timeout), system error.
            Some("08" | "28" | "40" | "53" | "57" | "58") => StoreErrorKind::Unavailable,
            _ => StoreErrorKind::Refused,
        },
    }
}
