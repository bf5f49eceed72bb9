//! Options with which a database is opened.

use std::time::Duration;

use super::PlanMode;

/// Options of a store. None of them changes its semantics.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections at most (SQLite: readers; the writer is one).
    pub max_connections: u32,
    /// How long to wait for a connection: a new one to be made, or a used one to become free.
    pub acquire_timeout: Duration,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// How long to wait for another transaction's lock.
    pub lock_timeout: Duration,
    /// How long a transaction may stand idle before the server ends it (PostgreSQL): frees the counter row from a
    /// process that has stopped while holding it.
    pub idle_in_transaction_timeout: Duration,
    /// How long superseded versions of objects are kept; `None` keeps none, and costs nothing. All processes on a database
    /// should agree.
    pub history: Option<Duration>,
    /// `true` if a missing database file is created (SQLite).
    pub create: bool,
    /// How long to wait for a database that cannot be reached yet (PostgreSQL).
    pub wait: Duration,
    /// Which plans write transactions use (PostgreSQL).
    pub plans: PlanMode,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 8,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
            idle_in_transaction_timeout: Duration::from_secs(2),
            history: None,
            create: true,
            wait: Duration::ZERO,
            plans: PlanMode::Auto,
        }
    }
}
