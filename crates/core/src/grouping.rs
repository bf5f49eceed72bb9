//! Groups of pods: those of a service, and those of a controller.
//!
//! Source: `pkg/scheduler/framework/plugins/helper/spread.go` (`GetPodServices`, `DefaultSelector`).

use super::{
    model::{Pod, Selector, WorkloadKind},
    snapshot::Snapshot,
    work,
};

/// The selectors of the services that select the pod, in order of the services' names.
pub(super) fn service_selectors<'a>(pod: &'a Pod, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Selector> {
    snapshot.index().services.selecting(pod).into_iter().filter_map(|service| service.selector.as_ref())
}

/// The selector that the pod's services and its controller make together; empty where there are none.
pub(super) fn default_selector(pod: &Pod, snapshot: &Snapshot) -> Selector {
    let mut all = Selector::default();
    for selector in service_selectors(pod, snapshot) {
        for requirement in &selector.0 {
            work::spend_on(1 + all.0.len() / 4);
            if !all.0.contains(requirement) {
                all.0.push(requirement.clone());
            }
        }
    }
    let Some(owner) = &pod.controller else { return all };
    let kind = match (&*owner.api_version, &*owner.kind) {
        ("v1", "ReplicationController") => WorkloadKind::ReplicationController,
        ("apps/v1", "ReplicaSet") => WorkloadKind::ReplicaSet,
        ("apps/v1", "StatefulSet") => WorkloadKind::StatefulSet,
        _ => return all,
    };
    let workload = snapshot.workload(kind, &pod.namespace, &owner.name);
    if let Some(selector) = workload.and_then(|w| w.selector.as_ref()) {
        if kind == WorkloadKind::ReplicationController {
            // Plain maps are merged, so where the two name the same label the controller's value stays.
            all.0.retain(|r| selector.0.iter().all(|theirs| theirs.key != r.key));
        }
        all.0.extend(selector.0.iter().cloned());
    }
    all
}
