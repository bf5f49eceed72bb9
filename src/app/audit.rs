//! The record of requests of a process: `--audit-policy-file`, `--audit-retention`, `--audit-log-path` and their like.

use std::{fs, path::Path, sync::Arc, time::Duration};

use super::Error;
use crate::{
    config::Settings,
    core::audit::Policy,
    service::audit::{AUDIT, Audit, LogFile, Prune, Recorder, Retention, Rotation, Sinks},
    store::Storage,
    wire::audit::policy,
};

/// How often old events are removed.
const PRUNED: Duration = Duration::from_hours(1);

/// A megabyte, as kube-apiserver counts them in `--audit-log-maxsize`.
const MEGABYTE: u64 = 1 << 20;

const DAY: Duration = Duration::from_hours(24);

/// The record of requests; `None` where there is none.
pub(super) fn audit(settings: &Settings, store: &Arc<dyn Storage>, are_asked: bool) -> Result<Option<Audit>, Error> {
    let (file, path) = (settings.audit.audit_policy_file.as_deref(), settings.audit.audit_log_path.as_deref());
    if !are_asked && file.is_none() && path.is_none() {
        return Ok(None);
    }
    let ledger = (!settings.audit.audit_retention.is_zero()).then(|| store.clone() as Arc<_>);
    if ledger.is_none() && path.is_none() {
        let why =
            "--audit-policy-file records nothing with --audit-retention=0s: set --audit-log-path, or leave one out";
        return if file.is_none() { Ok(None) } else { Err(Error::Audit(why.into())) };
    }
    let policy = file.map_or_else(|| read("the built-in policy", policy::DEFAULT), of_file)?;
    let rotation = Rotation {
        bytes: u64::from(settings.audit.audit_log_maxsize) * MEGABYTE,
        age: DAY * settings.audit.audit_log_maxage,
        files: settings.audit.audit_log_maxbackup,
    };
    let unwritable = |path: &Path, error| Error::Audit(format!("--audit-log-path {}: {error}", path.display()));
    let file = path.map(|path| LogFile::open(path, rotation).map_err(|error| unwritable(path, error))).transpose()?;
    Ok(Some(Audit::new(policy, Recorder::start(Sinks { ledger, file }, AUDIT))))
}

/// The job that removes old events, also those of earlier settings.
pub(super) fn prune(settings: &Settings) -> Prune {
    let keep = Retention { age: settings.audit.audit_retention, events: settings.audit.audit_retention_events };
    Prune { every: PRUNED, keep }
}

fn of_file(path: &Path) -> Result<Policy, Error> {
    let name = format!("--audit-policy-file {}", path.display());
    let text = fs::read_to_string(path).map_err(|error| Error::Audit(format!("{name}: {error}")))?;
    read(&name, &text)
}

fn read(name: &str, text: &str) -> Result<Policy, Error> {
    policy::parse(text).map_err(|why| Error::Audit(format!("{name}: {why}")))
}
