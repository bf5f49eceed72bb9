//! Namespaces, services and controllers.
//!
//! Source: `api/core/v1/types.go`, `api/apps/v1/types.go`.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Converted, converted,
    meta::{LabelSelector, ObjectMeta, labels},
    names,
    pod::Pod,
};
use crate::{
    defaults::name_label,
    fault::{Faults, Path},
};
use podberth_core::model::{self, ControllerRef, Selector, WorkloadKind};

/// A scope for names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Namespace {
    /// Name and labels.
    pub metadata: ObjectMeta,
    /// Its phase.
    pub status: NamespaceStatus,
}

/// The state of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespaceStatus {
    /// `Active`, or `Terminating` while it is being deleted.
    pub phase: String,
}

/// A service: pods under one address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// Name and namespace.
    pub metadata: ObjectMeta,
    /// Its pods.
    pub spec: MapSelectorSpec,
}

/// A replication controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicationController {
    /// Name and namespace.
    pub metadata: ObjectMeta,
    /// Its pods.
    pub spec: ReplicationControllerSpec,
}

/// The pods of a replication controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicationControllerSpec {
    /// The labels that its pods have; where absent or empty, those of its template.
    #[schema(nullable = false)]
    pub selector: Option<BTreeMap<String, String>>,
    /// Template of its pods.
    pub template: PodTemplate,
    /// The number of its pods; default 1.
    #[schema(nullable = false)]
    pub replicas: Option<i32>,
}

/// Template of a controller's pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodTemplate {
    /// The labels that they get.
    pub metadata: TemplateMeta,
}

/// Metadata of a controller's pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TemplateMeta {
    /// Their labels.
    pub labels: BTreeMap<String, String>,
}

/// Pods by plain labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MapSelectorSpec {
    /// The labels that its pods have; absent means no pods.
    #[schema(nullable = false)]
    pub selector: Option<BTreeMap<String, String>>,
}

/// A replica set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSet {
    /// Name and namespace.
    pub metadata: ObjectMeta,
    /// Its pods.
    pub spec: LabelSelectorSpec,
}

/// A stateful set: pods of one make with names of their own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StatefulSet {
    /// Name and namespace.
    pub metadata: ObjectMeta,
    /// Its pods.
    pub spec: LabelSelectorSpec,
}

/// Pods by a selector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelectorSpec {
    /// Its pods; absent means no pods.
    #[schema(nullable = false)]
    pub selector: Option<LabelSelector>,
    /// The number of its pods; default 1.
    #[schema(nullable = false)]
    pub replicas: Option<i32>,
}

/// A daemon set: one pod on each node that it fits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonSet {
    /// Name and namespace.
    pub metadata: ObjectMeta,
    /// Its pods.
    pub spec: DaemonSetSpec,
}

/// The pods of a daemon set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonSetSpec {
    /// Template of its pods.
    #[schema(nullable = false)]
    pub template: Option<Pod>,
}

/// A job: pods that run to their end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Job {
    /// Name and namespace.
    pub metadata: ObjectMeta,
    /// Its pods.
    pub spec: JobSpec,
}

/// The pods of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct JobSpec {
    /// How many run at a time; default 1.
    #[schema(nullable = false)]
    pub parallelism: Option<i32>,
}

impl Namespace {
    /// The namespace, and its faults.
    pub fn to_core(&self) -> Converted<model::Namespace> {
        converted(|faults| {
            let name = self.metadata.cluster_scoped(names::dns_label, faults);
            model::Namespace {
                labels: name_label::labels(&self.metadata.labels(faults), &name),
                is_terminating: self.status.phase == "Terminating",
                name,
            }
        })
    }
}

impl Service {
    /// The service, and its faults.
    pub fn to_core(&self) -> Converted<model::Workload> {
        converted(|faults| {
            workload(WorkloadKind::Service, &self.metadata, faults, |at, faults| self.spec.to_core(at, faults))
        })
    }
}

impl ReplicationController {
    /// The controller, and its faults.
    pub fn to_core(&self) -> Converted<model::Workload> {
        let kind = WorkloadKind::ReplicationController;
        converted(|faults| {
            let workload = workload(kind, &self.metadata, faults, |at, faults| self.spec.to_core(at, faults));
            model::Workload { replicas: Some(self.spec.replicas.unwrap_or(1)), ..workload }
        })
    }
}

impl ReplicaSet {
    /// The set, and its faults.
    pub fn to_core(&self) -> Converted<model::Workload> {
        let kind = WorkloadKind::ReplicaSet;
        converted(|faults| {
            let workload = workload(kind, &self.metadata, faults, |at, faults| self.spec.to_core(at, faults));
            model::Workload { replicas: Some(self.spec.replicas.unwrap_or(1)), ..workload }
        })
    }
}

impl StatefulSet {
    /// The set, and its faults.
    pub fn to_core(&self) -> Converted<model::Workload> {
        let kind = WorkloadKind::StatefulSet;
        converted(|faults| {
            let workload = workload(kind, &self.metadata, faults, |at, faults| self.spec.to_core(at, faults));
            model::Workload { replicas: Some(self.spec.replicas.unwrap_or(1)), ..workload }
        })
    }
}

impl DaemonSet {
    /// The set, and its faults. A template that cannot be read is left out: nothing but autoscaling reads it.
    pub fn to_core(&self) -> Converted<model::Workload> {
        converted(|faults| {
            let workload = workload(WorkloadKind::DaemonSet, &self.metadata, faults, |_, _| None);
            let template = self.spec.template.as_ref().and_then(|template| {
                let metadata = ObjectMeta {
                    name: "template".into(),
                    namespace: workload.namespace.to_string(),
                    ..template.metadata.clone()
                };
                let pod = Pod { metadata, ..template.clone() }.to_core().lenient().ok()?;
                let controller = ControllerRef {
                    api_version: "apps/v1".into(),
                    kind: "DaemonSet".into(),
                    name: workload.name.clone(),
                    uid: workload.uid.clone(),
                };
                Some(Arc::new(model::Pod { controller: Some(Arc::new(controller)), ..pod }))
            });
            model::Workload { template, ..workload }
        })
    }
}

impl Job {
    /// The job, and its faults.
    pub fn to_core(&self) -> Converted<model::Workload> {
        converted(|faults| {
            let workload = workload(WorkloadKind::Job, &self.metadata, faults, |_, _| None);
            model::Workload { replicas: Some(self.spec.parallelism.unwrap_or(1)), ..workload }
        })
    }
}

impl ReplicationControllerSpec {
    /// Source of the default: `pkg/apis/core/v1/defaults.go` (`SetDefaults_ReplicationController`).
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Option<Selector> {
        let of_template = Some(&self.template.metadata.labels).filter(|labels| !labels.is_empty());
        let said = self.selector.as_ref().filter(|selector| !selector.is_empty());
        said.or(of_template).map(|map| {
            labels(map, at, faults);
            Selector::from_map(map.iter().map(|(k, v)| (k.as_str(), v.as_str())))
        })
    }
}

impl MapSelectorSpec {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Option<Selector> {
        self.selector.as_ref().map(|map| {
            labels(map, at, faults);
            Selector::from_map(map.iter().map(|(k, v)| (k.as_str(), v.as_str())))
        })
    }
}

impl LabelSelectorSpec {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Option<Selector> {
        self.selector.as_ref().and_then(|selector| selector.to_core(at, faults))
    }
}

fn workload(
    kind: WorkloadKind,
    metadata: &ObjectMeta,
    faults: &mut Faults,
    selector: impl FnOnce(&Path<'_>, &mut Faults) -> Option<Selector>,
) -> model::Workload {
    let key = metadata.namespaced(names::dns_subdomain, faults);
    let spec_at = Path::ROOT.child("spec");
    model::Workload {
        kind,
        namespace: key.namespace,
        name: key.name,
        uid: metadata.uid.as_str().into(),
        selector: selector(&spec_at.child("selector"), faults),
        replicas: None,
        template: None,
    }
}
