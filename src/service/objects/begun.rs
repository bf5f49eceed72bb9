//! Writes in clusters that have what every cluster begins with, and in those that mirror live ones.

use super::{
    annotated, built_in,
    mode::AdmissionMode,
    target::Target,
    write::{self, Intent, Options, Written},
};
use crate::service::{Service, error::Result, source::guard};

/// Carries out one write. Under the API server's rules a cluster that has nothing yet first gets what every cluster begins with. In a cluster that
/// mirrors a live one only own annotations can be written.
///
/// # Errors
/// Those of [`write::write`], of [`annotated::write`] and of the store.
pub async fn write(service: &Service, target: &Target, intent: Intent, options: &Options) -> Result<Written> {
    if let Some(source) = guard::source_for(service, &target.cluster, target.kind).await? {
        return annotated::write(service, target, intent, options, &source).await;
    }
    if service.admission == AdmissionMode::Kubernetes && !options.dry_run {
        built_in::begin(service, &target.cluster).await?;
    }
    write::write(service, target, intent, options).await
}
