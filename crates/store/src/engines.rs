//! The SQL engines: one is opened by the scheme of its URL, and the errors of both are put into words here.

use std::sync::Arc;

use sqlx::postgres::PgDatabaseError;

use super::guard::Guarded;
use super::{Finding, Options, Storage, StoreError, postgres, rows, sqlite};

/// Opens the database of `url`: `postgres://…` (or `postgresql://…`), `sqlite:path`, or `sqlite::memory:`, which keeps nothing. It connects at once,
/// so that faults are reported at the start; it does not migrate.
pub async fn open(url: &str, options: &Options) -> Result<Arc<dyn Storage>, StoreError> {
    let store: Arc<dyn Storage> = match url.split_once(':') {
        Some(("postgres" | "postgresql", _)) => Arc::new(Guarded::new(postgres::Postgres::open(url, options).await?)),
        Some(("sqlite", path)) => Arc::new(Guarded::new(sqlite::Sqlite::open(path, options).await?)),
        _ => {
            return Err(StoreError::Url(
                "the store's URL must begin with postgres://, postgresql:// or sqlite: (sqlite:path or sqlite::memory:)"
                    .into(),
            ));
        }
    };
    if let Err(error) = store.migration_status().await {
        store.close().await;
        return Err(error);
    }
    Ok(store)
}

/// Spreads the tables of a migrated PostgreSQL over the servers of Citus. No process may use the database meanwhile.
///
/// # Errors
/// Why it cannot be done, with the remedy.
pub async fn distribute(url: &str, options: &Options) -> Result<(), StoreError> {
    only_postgres(url)?;
    postgres::distribute(url, options).await
}

/// Refuses a database whose tables cannot be spread, and changes nothing.
///
/// # Errors
/// Why not; why it cannot be reached.
pub async fn can_distribute(url: &str, options: &Options) -> Result<(), StoreError> {
    only_postgres(url)?;
    postgres::can_distribute(url, options).await
}

/// Looks at a PostgreSQL: what it is, and what of it does not fit.
///
/// # Errors
/// Why it cannot be reached, or is none for Podberth.
pub async fn inspect(url: &str, options: &Options) -> Result<Vec<Finding>, StoreError> {
    only_postgres(url)?;
    postgres::inspect(url, options).await
}

fn only_postgres(url: &str) -> Result<(), StoreError> {
    if url.starts_with("postgres") {
        return Ok(());
    }
    Err(StoreError::Url("SQLite is a file of one process: this needs a URL that begins with postgres://".into()))
}

/// The hosts of a URL that are asked over a network without TLS that verifies them.
pub fn unverified(url: &str) -> Vec<String> {
    if url.starts_with("postgres") { postgres::unverified(url) } else { Vec::new() }
}

/// Words the database's errors, each engine its own codes.
impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => match database.try_downcast_ref::<PgDatabaseError>() {
                Some(database) => postgres::error(database),
                None => sqlite::error(&**database),
            },
            sqlx::Error::PoolTimedOut => {
                let why = "the database is down, is a standby, or all are in use";
                Self::Busy(format!("no database connection could be had in time: {why}"))
            }
            sqlx::Error::PoolClosed => Self::Unavailable("the store has been closed".into()),
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                let cause = rows::root_cause(&error);
                // The answer to the first byte was the end of the connection.
                Self::Unavailable(if cause.contains(NOBODY_SPOKE) {
                    "the connection was closed before PostgreSQL said anything: is there a primary behind this address \
                     (a proxy without one does so)?"
                        .into()
                } else {
                    format!("the connection to the database was lost: {cause}")
                })
            }
            sqlx::Error::Configuration(_) => {
                Self::Url(format!("the store's URL is not valid: {}", rows::root_cause(&error)))
            }
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Corrupt(rows::root_cause(&error)),
            _ => Self::Internal(rows::root_cause(&error)),
        }
    }
}

/// sqlx's message for a connection that was closed before its first reply.
const NOBODY_SPOKE: &str = "unexpected response from SSLRequest: 0x00";
