//! Request and reply of `POST /placements/estimate`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    bounded,
    quota::ResourceQuota,
    request::{MOST_COMPONENTS, MOST_REPLICAS},
    summary::{ModelRequest, SummaryRequest},
};
use crate::{
    cluster::Cluster,
    decode, defaults,
    fault::{Cause, Faults, Path},
    objects::{node::Node, pod},
};
use podberth_core::{
    federation::estimate::{self, Assumed},
    model::{Name, Pod},
    policy::Profiles,
    snapshot::Snapshot,
};
use std::{mem, sync::Arc};

/// Workloads that are decided and not yet seen.
pub(super) const MOST_ASSUMED: usize = 1_000;
/// Pods of these workloads, each of which is placed.
pub(super) const MOST_ASSUMED_PODS: usize = 20_000;
/// Pods that are counted.
const MOST_COUNTED: usize = 200_000;

/// The question how many more pods of a sort a cluster takes. Nothing is stored.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct EstimateRequest {
    /// The pod template.
    #[schema(nullable = false, value_type = pod::Pod)]
    pub template: Option<Box<RawValue>>,
    /// The namespace of the pods.
    pub namespace: String,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The pods on them, and others.
    pub pods: Vec<pod::Pod>,
    /// Quotas; those of the namespace count.
    pub resource_quotas: Vec<ResourceQuota>,
    /// Workloads that are decided and not yet seen among the pods: they are placed first.
    pub assumed: Vec<AssumedRequest>,
    /// Instead of nodes and pods: sums over the cluster.
    #[schema(nullable = false)]
    pub summary: Option<SummaryRequest>,
    /// Models of its nodes, for `summary.allocatableModelings`.
    pub models: Vec<ModelRequest>,
}

/// A workload that is decided and not yet seen.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AssumedRequest {
    /// Its namespace.
    pub namespace: String,
    /// Its pods.
    pub components: Vec<AssumedComponent>,
}

/// Pods of a workload that is decided and not yet seen.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AssumedComponent {
    /// Its name.
    pub name: String,
    /// How many; 1 where absent.
    #[schema(nullable = false, minimum = 0)]
    pub replicas: Option<i64>,
    /// The pod template.
    #[schema(nullable = false, value_type = pod::Pod)]
    pub template: Option<Box<RawValue>>,
}

/// How many more pods of a sort a cluster takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EstimateReport {
    /// The number.
    pub max_replicas: i64,
    /// Why the next one fits on no node, in kube-scheduler's words; absent where a quota or the sums are the bound.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<String>,
}

/// The answer to a request. `profiles` decides where pods fit.
///
/// # Errors
/// All faults, by their fields.
pub fn answer(mut request: EstimateRequest, profiles: &Profiles) -> Result<EstimateReport, Vec<Cause>> {
    let mut faults = Faults::default();
    let at = &Path::ROOT;
    let given = [
        ("nodes", !request.nodes.is_empty()),
        ("pods", !request.pods.is_empty()),
        ("assumed", !request.assumed.is_empty()),
    ];
    let (nodes, pods) = (mem::take(&mut request.nodes), mem::take(&mut request.pods));
    let cluster = Cluster { nodes, pods, ..Cluster::default() };
    let snapshot = cluster.to_snapshot()?;
    let pod = template(request.template.as_deref(), &request.namespace, &snapshot, &at.child("template"), &mut faults);
    let quotas_at = at.child("resourceQuotas");
    let quotas = request.resource_quotas.iter().enumerate();
    let quotas: Vec<_> = quotas.map(|(index, quota)| quota.to_core(&quotas_at.index(index), &mut faults)).collect();
    let sums =
        request.summary.as_ref().map(|summary| summary.to_core(&request.models, &at.child("summary"), &mut faults));
    if sums.is_some() {
        for (field, is_given) in given {
            if is_given {
                faults.forbidden(&at.child(field), "may not be specified together with summary");
            }
        }
    }
    let assumed = assumed(&request.assumed, &snapshot, &at.child("assumed"), &mut faults);
    let causes = faults.into_causes();
    if !causes.is_empty() {
        return Err(causes);
    }
    let (fits, limited_by) = if let Some(sums) = sums {
        (estimate::general(&sums, &pod.spec.requests), None)
    } else {
        let counted = estimate::accurate(snapshot, profiles, &assumed, &pod, MOST_COUNTED);
        (i64::try_from(counted.count).unwrap_or(i64::MAX), counted.limited_by)
    };
    let quota = estimate::by_quotas(&quotas, &pod.namespace, &pod.spec.priority_class_name, &pod.spec.requests);
    let is_by_quota = quota.is_some_and(|quota| quota < fits);
    let max_replicas = quota.map_or(fits, |quota| quota.min(fits));
    Ok(EstimateReport { max_replicas, limited_by: limited_by.filter(|_| !is_by_quota) })
}

/// The pods of workloads that are decided and not yet seen.
fn assumed(requests: &[AssumedRequest], snapshot: &Snapshot, at: &Path<'_>, faults: &mut Faults) -> Vec<Assumed> {
    bounded(requests.len(), MOST_ASSUMED, at, faults);
    let (mut read, mut total) = (Vec::new(), 0_i64);
    for (index, AssumedRequest { namespace, components }) in requests.iter().take(MOST_ASSUMED).enumerate() {
        let at = at.index(index);
        let list_at = at.child("components");
        bounded(components.len(), MOST_COMPONENTS, &list_at, faults);
        for (index, component) in components.iter().take(MOST_COMPONENTS).enumerate() {
            let at = list_at.index(index);
            let replicas = component.replicas.unwrap_or(1);
            if !(0..=MOST_REPLICAS).contains(&replicas) {
                let rule = format!("must be between 0 and {MOST_REPLICAS}, inclusive");
                faults.invalid(&at.child("replicas"), replicas, rule);
            }
            let sent = component.template.as_deref();
            let pod = template(sent, namespace, snapshot, &at.child("template"), faults);
            total = total.saturating_add(replicas);
            read.push(Assumed { pod: Arc::new(pod), replicas: usize::try_from(replicas).unwrap_or(0) });
        }
    }
    if usize::try_from(total).is_ok_and(|total| total > MOST_ASSUMED_PODS) {
        faults.invalid(at, total, format!("replicas are at most {MOST_ASSUMED_PODS} in all"));
    }
    read
}

/// A pod of a template, with the API server's defaults.
fn template(sent: Option<&RawValue>, namespace: &str, snapshot: &Snapshot, at: &Path<'_>, faults: &mut Faults) -> Pod {
    let Some(sent) = sent else {
        faults.required(at, "the pod asked about");
        return Pod::default();
    };
    let mut pod: pod::Pod = match decode::from_slice(sent.get().as_bytes()) {
        Ok(pod) => pod,
        Err(error) => {
            let error = error.without_place();
            let (field, message) = (error.field.clone(), error.message);
            let cause = Cause { field, reason: "FieldValueTypeInvalid".into(), message, unreadable: true };
            faults.adopt(&at.to_string(), [cause]);
            return Pod::default();
        }
    };
    if pod.metadata.name.is_empty() {
        pod.metadata.name = "template".into();
    }
    if pod.metadata.namespace.is_empty() {
        namespace.clone_into(&mut pod.metadata.namespace);
    }
    defaults::ask(&mut pod.spec, snapshot);
    match pod.to_core().bounded() {
        Ok(mut pod) => {
            pod.node_name = Name::default();
            defaults::fill_new(&mut pod, snapshot);
            pod
        }
        Err(causes) => {
            faults.adopt(&at.to_string(), causes);
            Pod::default()
        }
    }
}
