//! The record of decisions of a process: `--record-decisions`, `--decisions-max-age`, `--decisions-max-bytes`.

use std::{sync::Arc, time::Duration};

use crate::{
    config::Settings,
    service::decisions::{Log, Prune, Retention},
    store::Storage,
};

/// How often old decisions are removed.
const PRUNED: Duration = Duration::from_mins(10);

/// The record of decisions.
pub(super) fn log(settings: &Settings, store: &Arc<dyn Storage>) -> Log {
    Log::start(settings.decisions.record_decisions, store.clone())
}

/// The job that removes old decisions, also those of earlier settings.
pub(super) fn prune(settings: &Settings) -> Prune {
    let bytes = settings.decisions.decisions_max_bytes as u64;
    let keep = Retention { age: settings.decisions.decisions_max_age, bytes };
    Prune { every: PRUNED, keep }
}
