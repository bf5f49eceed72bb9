//! Writes in clusters that have what every cluster begins with.

use super::{
    built_in,
    mode::AdmissionMode,
    target::Target,
    write::{self, Intent, Options, Written},
};
use crate::service::{Service, error::Result};

/// Carries out one write. Under the API server's rules a cluster that has nothing yet first gets what every cluster begins with.
///
/// # Errors
/// Those of [`write::write`] and of the store.
pub async fn write(service: &Service, target: &Target, intent: Intent, options: &Options) -> Result<Written> {
    if service.admission == AdmissionMode::Kubernetes && !options.dry_run {
        built_in::begin(service, &target.cluster).await?;
    }
    write::write(service, target, intent, options).await
}
