//! Objects that every cluster of Kubernetes has from its beginning: four namespaces, and the priority classes of the system.
//!
//! Source: `pkg/controlplane/controller/systemnamespaces/system_namespaces_controller.go`,
//! `pkg/registry/scheduling/rest/storage_scheduling.go`.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    admission::BUILT_IN,
    target::Target,
    write::{Intent, Options, write},
};
use crate::{
    core::model::PriorityClass,
    service::{
        Service,
        error::{Error, Result},
        source::mirrored,
    },
    wire::kinds,
};

/// Creates them in a cluster that has nothing yet.
///
/// # Errors
/// Those of the store.
pub(super) async fn begin(service: &Service, cluster: &Arc<str>) -> Result<()> {
    if service.clusters.get(cluster).await?.progress().revision > 0 {
        return Ok(());
    }
    create_built_in(service, cluster).await
}

/// Creates those that are missing. A cluster that mirrors a live one has what that one has.
///
/// # Errors
/// Those of the store.
pub async fn create_built_in(service: &Service, cluster: &Arc<str>) -> Result<()> {
    if mirrored::of(service, cluster).await?.is_some() {
        return Ok(());
    }
    let namespaces = BUILT_IN.into_iter().map(|name| ("", "namespaces", name, json!({})));
    let classes = [
        (
            "system-cluster-critical",
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
        ("system-node-critical", "Used for system critical pods that must not be moved from their current node."),
    ];
    let classes = classes.into_iter().filter_map(|(name, description)| {
        let class = json!({"value": PriorityClass::system(name)?.value, "description": description});
        Some(("scheduling.k8s.io", "priorityclasses", name, class))
    });
    for (group, plural, name, mut object) in namespaces.chain(classes) {
        let Some(kind) = kinds::by_plural(group, plural) else { continue };
        let target = Target { cluster: cluster.clone(), kind, namespace: None, name: name.into() };
        if service.store.get(&target.cluster, &target.key()).await?.is_some() {
            continue;
        }
        object["metadata"] = Value::from_iter([("name", name)]);
        let (unnamed, options, body) = (target.named(""), Options::default(), Bytes::from(object.to_string()));
        match write(service, &unnamed, Intent::Create(body), &options).await {
            // Another replica was first.
            Ok(_) | Err(Error::AlreadyExists(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
