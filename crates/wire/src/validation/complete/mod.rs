//! The rules of the API server that go beyond what decisions read: for what clients write under `--admission=kubernetes`. Facts are not
//! held to them. They read the normalized object ([`crate::defaults::normalized`]), so that its defaults are there and its types are right.
//!
//! Source: `pkg/apis/core/validation/validation.go`, and `pkg/apis/{apps,batch,autoscaling,coordination,networking,rbac,policy,storage}/validation`.

mod address;
mod autoscaler;
mod container;
mod core;
mod device;
mod event;
mod immutable;
mod job;
mod limits;
mod part;
mod pod;
mod rbac;
mod service;
#[cfg(test)]
mod tests;
mod warning;
mod workload;

use crate::{
    autoscale::vpa,
    decode::DecodeError,
    document::Document,
    fault::{Cause, Faults},
    kinds::StoredKind,
    tree,
};
use part::Part;

/// The faults of an object that is created, or replaces another.
///
/// # Errors
/// If it cannot be read.
pub fn faults(kind: &StoredKind, document: &Document) -> Result<Vec<Cause>, DecodeError> {
    let tree = tree::parse(document.to_json().as_bytes())?;
    let mut faults = Faults::default();
    of_kind(kind, &Part::whole(&tree), &mut faults);
    if kind.kind == "VerticalPodAutoscaler" {
        vpa::check(&document.to_json(), &mut faults)?;
    }
    Ok(faults.into_causes())
}

/// The faults of the changes that turn a stored object into another one.
///
/// # Errors
/// If one of them cannot be read.
pub fn changes(kind: &StoredKind, document: &Document, stored: &Document) -> Result<Vec<Cause>, DecodeError> {
    let (sent, stored) = (tree::parse(document.to_json().as_bytes())?, tree::parse(stored.to_json().as_bytes())?);
    let mut faults = Faults::default();
    immutable::of_kind(kind, &Part::whole(&sent), &Part::whole(&stored), &mut faults);
    Ok(faults.into_causes())
}

/// The warnings of the API server about a valid object, one text each. The object is new, or replaces the stored one.
///
/// # Errors
/// If one of them cannot be read.
pub fn warnings(kind: &StoredKind, document: &Document, stored: Option<&Document>) -> Result<Vec<String>, DecodeError> {
    let read = |document: &Document| tree::parse(document.to_json().as_bytes());
    let (tree, stored) = (read(document)?, stored.map(read).transpose()?);
    let stored = stored.as_ref().map(Part::whole);
    Ok(warning::of_kind(kind, &Part::whole(&tree), stored.as_ref()))
}

fn of_kind(kind: &StoredKind, object: &Part<'_>, faults: &mut Faults) {
    match (kind.group, kind.kind) {
        ("", "Pod") => pod::spec(&object.get("spec"), faults),
        ("", "Service") => service::service(object, faults),
        ("", "Node") => core::node(object, faults),
        ("", "Namespace") => core::namespace(object, faults),
        ("", "ConfigMap") => core::config_map(object, faults),
        ("", "PersistentVolumeClaim") => core::claim(&object.get("spec"), faults),
        ("", "LimitRange") => limits::limit_range(object, faults),
        ("", "ResourceQuota") => limits::quota(object, faults),
        ("", "Event") => event::event(object, false, faults),
        ("events.k8s.io", "Event") => event::event(object, true, faults),
        ("coordination.k8s.io", "Lease") => core::lease(object, faults),
        ("rbac.authorization.k8s.io", name) => rbac::of_kind(name, object, faults),
        (_, "ReplicationController") => workload::replication_controller(object, faults),
        (_, "ReplicaSet") => workload::replica_set(object, faults),
        (_, "StatefulSet") => workload::stateful_set(object, faults),
        (_, "Deployment") => workload::deployment(object, faults),
        (_, "DaemonSet") => workload::daemon_set(object, faults),
        (_, "Job") => {
            workload::job(object, faults);
            job::selector(object, faults);
        }
        (_, "ResourceClaimTemplate") => device::template(object, faults),
        (_, "HorizontalPodAutoscaler") => autoscaler::autoscaler(object, faults),
        _ => {}
    }
}
