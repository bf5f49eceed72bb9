//! The fields by which objects can be selected, of the kinds that have more than their name and namespace.
//!
//! Source: `pkg/apis/core/v1/conversion.go` (the names), `pkg/registry/core/*/strategy.go` (`ToSelectableFields`: the values),
//! `pkg/apis/{batch,events,resource}/v1/conversion.go`.

use crate::selector::{NAMESPACE as OF_NAMESPACE, NODE as NODE_NAME, Selectable};

const fn field(label: &'static str) -> Selectable {
    Selectable::new(label)
}

pub(super) const POD: &[Selectable] = &[
    OF_NAMESPACE,
    field(NODE_NAME),
    // Clients of old releases send it.
    field("spec.host").at(&[NODE_NAME]),
    field("spec.restartPolicy").or("Always"),
    field("spec.schedulerName").or("default-scheduler"),
    field("spec.serviceAccountName"),
    field("spec.hostNetwork").or("false"),
    field("status.phase").or("Pending"),
    field("status.podIP"),
    field("status.podIPs"),
    field("status.nominatedNodeName"),
];

pub(super) const NODE: &[Selectable] = &[field("spec.unschedulable").or("false")];

pub(super) const NAMESPACE: &[Selectable] = &[field("status.phase").or("Active")];

pub(super) const SERVICE: &[Selectable] = &[OF_NAMESPACE, field("spec.clusterIP"), field("spec.type").or("ClusterIP")];

pub(super) const REPLICATION_CONTROLLER: &[Selectable] = &[OF_NAMESPACE, field("status.replicas").or("0")];

pub(super) const JOB: &[Selectable] = &[OF_NAMESPACE, field("status.successful").at(&["status.succeeded"]).or("0")];

pub(super) const RESOURCE_SLICE: &[Selectable] = &[field(NODE_NAME), field("spec.driver")];

pub(super) const EVENT: &[Selectable] = &[
    OF_NAMESPACE,
    field("involvedObject.kind"),
    field("involvedObject.namespace"),
    field("involvedObject.name"),
    field("involvedObject.uid"),
    field("involvedObject.apiVersion"),
    field("involvedObject.resourceVersion"),
    field("involvedObject.fieldPath"),
    field("reason"),
    field("reportingComponent"),
    field("source").at(&["source.component", "reportingComponent"]),
    field("type"),
];

/// As they are stored, which is as core events are.
pub(super) const EVENT_V1: &[Selectable] = &[
    OF_NAMESPACE,
    field("regarding.kind").at(&["involvedObject.kind"]),
    field("regarding.namespace").at(&["involvedObject.namespace"]),
    field("regarding.name").at(&["involvedObject.name"]),
    field("regarding.uid").at(&["involvedObject.uid"]),
    field("regarding.apiVersion").at(&["involvedObject.apiVersion"]),
    field("regarding.resourceVersion").at(&["involvedObject.resourceVersion"]),
    field("regarding.fieldPath").at(&["involvedObject.fieldPath"]),
    field("reason"),
    field("reportingController").at(&["reportingComponent"]),
    field("type"),
];
