//! Errors of the database. A refused write is not an error: see [`super::Refusal`].

/// Why the store could not answer. Messages are one line and hold no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store's URL makes no sense.
    #[error("{0}")]
    Url(String),
    /// The database turns us away for good: wrong password, unknown database, missing permission, unwritable path, a
    /// file that is not a database.
    #[error("{0}")]
    Denied(String),
    /// The database cannot be reached now. Nothing was written.
    #[error("{0}")]
    Unavailable(String),
    /// The database takes no writes, though it may be readable: its disk is full, it is read-only, or its file has changed. Nothing was written.
    #[error("{0}")]
    Unwritable(String),
    /// The database is reachable but did not finish in time. Nothing was written.
    #[error("{0}")]
    Busy(String),
    /// The database gave the transaction up in favour of another, repeatedly. Nothing was written.
    #[error("{0}")]
    Aborted(String),
    /// Another process has the SQLite file open.
    #[error("{0}")]
    InUse(String),
    /// A newer Podberth has migrated the database.
    #[error("the database has schema version {applied}, newer than version {known} of this binary: run a newer one")]
    SchemaTooNew {
        /// The newest migration the database has.
        applied: i64,
        /// The newest migration this binary has.
        known: i64,
    },
    /// The tables are not there.
    #[error("the database has not been migrated yet")]
    NotMigrated,
    /// The change feed no longer reaches back that far: read everything again.
    #[error("revision {after} has been compacted; the oldest one to follow from is {compact_revision}")]
    Compacted {
        /// The requested revision.
        after: u64,
        /// The oldest revision that can be requested (besides 0).
        compact_revision: u64,
    },
    /// The revision read before is no part of the cluster's history any more: an older copy of the database has come back. Call
    /// [`super::Store::begin_epoch`], and read everything again.
    #[error(
        "history was lost: the cluster is at revision {revision} of epoch {epoch}, and does not know what was read"
    )]
    HistoryLost {
        /// The cluster's newest revision.
        revision: u64,
        /// Its epoch.
        epoch: u64,
    },
    /// The judge's state is too far behind the cluster's: follow the change feed first. Nothing was written.
    #[error("the state known is of revision {known}, too far from {revision} to write on it")]
    Behind {
        /// The revision known.
        known: u64,
        /// The cluster's.
        revision: u64,
    },
    /// The connection was lost during the commit, and the database could not be queried again: the batch may or may not have been written.
    #[error("the connection to the database was lost during a commit, its outcome is unknown: {0}")]
    OutcomeUnknown(String),
    /// A visitor or a source stopped the transfer of a cluster. Nothing was written.
    #[error("{0}")]
    Stopped(String),
    /// The batch would exceed a bound of the cluster. Nothing was written.
    #[error("{0}")]
    Full(String),
    /// A fork, or the state that it began with, is not kept any more.
    #[error("{0}")]
    Gone(String),
    /// A key or name that the store cannot hold.
    #[error("{0}")]
    Invalid(String),
    /// Stored data is invalid.
    #[error("the database holds something unexpected: {0}")]
    Corrupt(String),
    /// Anything else; a bug or a broken installation.
    #[error("{0}")]
    Internal(String),
}

impl StoreError {
    /// `true` if the call may succeed later without intervention.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_)
                | Self::Unwritable(_)
                | Self::Busy(_)
                | Self::Aborted(_)
                | Self::OutcomeUnknown(_)
                | Self::Behind { .. }
        )
    }
}
