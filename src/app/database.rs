//! The database of a process, as its settings have it.

use std::sync::Arc;

use tracing::warn;

use crate::{
    config::{self, DatabasePlans, Settings},
    store::{self, PlanMode, Storage, StoreError},
};

/// Its URL, which may stand in a file.
pub(super) fn url(settings: &Settings) -> Result<String, StoreError> {
    settings.database.url().map_err(|why| StoreError::Url(format!("--database-url-file: {why}")))
}

fn plan_mode(plans: DatabasePlans) -> PlanMode {
    match plans {
        DatabasePlans::Auto => PlanMode::Auto,
        DatabasePlans::Custom => PlanMode::Custom,
        DatabasePlans::Generic => PlanMode::Generic,
    }
}

/// How it is used.
pub(super) fn options(settings: &Settings) -> store::Options {
    store::Options {
        max_connections: settings.database.database_max_connections,
        acquire_timeout: settings.database.database_acquire_timeout,
        statement_timeout: settings.database.database_statement_timeout,
        history: Some(settings.history_retention).filter(|retention| !retention.is_zero()),
        wait: settings.database.database_wait,
        plans: plan_mode(settings.database.database_plans),
        ..store::Options::default()
    }
}

/// Opens it. `create`: a database file that is not there is made.
pub(super) async fn open(settings: &Settings, create: bool) -> Result<Arc<dyn Storage>, StoreError> {
    let options = store::Options { create, ..options(settings) };
    let url = url(settings)?;
    let store = store::open(&url, &options).await?;
    let unverified = store::unverified(&url);
    if !unverified.is_empty() {
        warn!(
            "the database at {} is not verified: somebody on the way to it can read and change everything. Add \
             sslmode=verify-full and sslrootcert=FILE to its URL",
            unverified.join(", ")
        );
    }
    if config::shows_password(std::env::args()) {
        warn!(
            "a password stands on the command line, where every user of this machine reads it: use --database-url-file or the \
             variable PODBERTH_DATABASE_URL"
        );
    }
    Ok(store)
}
