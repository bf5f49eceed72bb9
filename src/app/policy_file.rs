//! `--policy-config-file`: a policy from the start.

use std::{fs, path::Path};

use tracing::{info, warn};

use super::Error;
use crate::{
    live::{Clusters, DEFAULT_CLUSTER},
    service::{
        error,
        policies::{Conditions, New, PolicyRecords, Put},
    },
    wire::policy::{self, revision},
};

/// The file's text, which holds a policy.
pub(super) fn read(path: &Path) -> Result<String, Error> {
    let wrong = |error: &dyn std::fmt::Display| Error::Policy(path.display().to_string(), error.to_string());
    let text = fs::read_to_string(path).map_err(|error| wrong(&error))?;
    let document = policy::parse(&text).map_err(|faults| wrong(&faults))?;
    for warning in document.lint() {
        warn!(file = %path.display(), "{warning}");
    }
    Ok(text)
}

/// Puts it in force in the default cluster unless the policy there says the same already. If several processes start with one file, one of them
/// stores it.
pub(super) async fn put_in_force(clusters: &Clusters, text: String) -> Result<(), Error> {
    let records =
        PolicyRecords { clusters: clusters.clone(), cluster: DEFAULT_CLUSTER.into(), name: revision::DEFAULT.into() };
    let put = records.put(&New::Text(text, policy::Reading::default()), &Conditions::default(), false).await;
    let Put { revision, .. } = put.map_err(|error| match error {
        // Here is no reply from which the cause has to be kept.
        error::Error::Internal(cause) => Error::Policy("file".into(), cause),
        error => Error::Policy("file".into(), error.to_string()),
    })?;
    info!(revision = revision.revision, "the policy of the file is in force");
    Ok(())
}
