//! Naming of a source: the right to use its credentials, and forgetting of an earlier mirror.

use crate::{
    core::access::{OWN, ResourceAttributes},
    service::{Service, error::Result},
    store::Retain,
    wire::source::{ClusterSource, STATUS},
};

/// The name of the server's own cluster in rights to use it as a source.
pub const IN_CLUSTER: &str = "in-cluster";

/// The right that naming a source needs.
pub fn use_of(source: &ClusterSource) -> ResourceAttributes<'_> {
    let name = source.kubeconfig_file.as_deref().unwrap_or(IN_CLUSTER);
    ResourceAttributes::new("use", OWN, "sources").named(name)
}

/// Forgets how far the mirror of a cluster was: its objects may have been written since.
///
/// # Errors
/// Those of the store.
pub async fn forget_progress(service: &Service, cluster: &str) -> Result<()> {
    service.store.prune(cluster, STATUS, &Retain { entries: Some(0), ..Retain::default() }).await?;
    Ok(())
}
