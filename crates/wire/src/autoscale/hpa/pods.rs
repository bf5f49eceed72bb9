//! Pods as the autoscaler reads them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    defaults::amounts::{self, Amounts},
    fault::{Faults, Path},
    objects::{
        meta::{ObjectMeta, instant},
        pod::{self, Container},
        quantity::resource_list,
    },
};
use podberth_core::{
    advise::hpa::{Phase, PodState, Readiness, Ready},
    model::{ContainerRequests, Name, PodRequests, Quantity, ResourceList, may_stand_at_pod_level},
    work,
};

/// A pod, of which the part that the autoscaler needs is read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HpaPod {
    metadata: ObjectMeta,
    spec: pod::PodSpec,
    status: Status,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: String,
    start_time: Option<String>,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    last_transition_time: Option<String>,
}

/// The pods, checked. A namespace that is absent is `namespace`.
pub fn pod_states(pods: &[HpaPod], namespace: &str, at: &Path<'_>, faults: &mut Faults) -> Vec<PodState> {
    work::spend_on(pods.len().saturating_mul(16));
    pods.iter().enumerate().map(|(i, pod)| pod.state(namespace, &at.index(i), faults)).collect()
}

impl HpaPod {
    /// The pod, checked.
    fn state(&self, namespace: &str, at: &Path<'_>, faults: &mut Faults) -> PodState {
        let Self { metadata, spec, status } = self;
        let metadata_at = at.child("metadata");
        if metadata.name.is_empty() {
            faults.required(&metadata_at.child("name"), "");
        }
        let spec_at = at.child("spec");
        let containers = read(&spec.containers, &spec_at.child("containers"), faults);
        let init_containers = read(&spec.init_containers, &spec_at.child("initContainers"), faults);
        let pod_level = self.pod_level(&containers, &init_containers, &spec_at, faults);
        let all = spec.containers.iter().zip(&containers).chain(spec.init_containers.iter().zip(&init_containers));
        let is_counted = |(index, (container, _)): &(usize, (&Container, &Amounts))| {
            *index < containers.len() || container.restart_policy == "Always"
        };
        let counted = all.enumerate().filter(is_counted);
        let status_at = at.child("status");
        let time = |text: Option<&String>, at: &Path<'_>, faults: &mut Faults| instant(text?, at, faults);
        let ready = status.conditions.iter().enumerate().find(|(_, condition)| condition.kind == "Ready");
        PodState {
            namespace: if metadata.namespace.is_empty() { namespace } else { &metadata.namespace }.into(),
            name: metadata.name.as_str().into(),
            labels: metadata.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            is_deleted: metadata.deletion_timestamp.is_some(),
            phase: match status.phase.as_str() {
                "Pending" => Phase::Pending,
                "Running" => Phase::Running,
                "Failed" => Phase::Failed,
                _ => Phase::Other,
            },
            ready: ready.map(|(i, condition)| Ready {
                status: match condition.status.as_str() {
                    "True" => Readiness::True,
                    "False" => Readiness::False,
                    _ => Readiness::Unknown,
                },
                since: {
                    let at = status_at.child("conditions");
                    let at = at.index(i);
                    time(condition.last_transition_time.as_ref(), &at.child("lastTransitionTime"), faults)
                        .unwrap_or(i64::MIN)
                },
            }),
            started: time(status.start_time.as_ref(), &status_at.child("startTime"), faults),
            containers: counted
                .map(|(_, (container, amounts))| (container.name.as_str().into(), in_milli(&amounts.requests)))
                .collect(),
            pod_level,
        }
    }

    /// The requests of the pod as a whole, where it has any: with those that follow from its containers, and its overhead
    /// (`calculatePodLevelRequests`).
    fn pod_level(
        &self,
        containers: &[Amounts],
        init_containers: &[Amounts],
        at: &Path<'_>,
        faults: &mut Faults,
    ) -> Option<BTreeMap<Name, i64>> {
        let written = &self.spec.resources;
        if written.requests.is_empty() && written.limits.is_empty() {
            return None;
        }
        let resources = at.child("resources");
        let mut whole = Amounts {
            requests: resource_list(&written.requests, &resources.child("requests"), faults),
            limits: resource_list(&written.limits, &resources.child("limits"), faults),
        };
        let of = |list: fn(&Amounts) -> &ResourceList| PodRequests {
            containers: containers
                .iter()
                .map(|amounts| ContainerRequests { requests: list(amounts).clone(), restartable: false })
                .collect(),
            init_containers: init_containers
                .iter()
                .zip(&self.spec.init_containers)
                .map(|(amounts, container)| ContainerRequests {
                    requests: list(amounts).clone(),
                    restartable: container.restart_policy == "Always",
                })
                .collect(),
            ..PodRequests::default()
        };
        let requests = of(|amounts| &amounts.requests);
        amounts::of_pod(&mut whole, &requests, &of(|amounts| &amounts.limits));
        if !whole.requests.keys().any(|name| may_stand_at_pod_level(name)) {
            return None;
        }
        let mut total = requests.of_containers();
        total.extend(whole.requests.into_iter().filter(|(name, _)| may_stand_at_pod_level(name)));
        for (name, amount) in resource_list(&self.spec.overhead, &at.child("overhead"), faults) {
            let sum = total.get(&name).copied().unwrap_or_default().saturating_add(amount);
            total.insert(name, sum);
        }
        Some(in_milli(&total))
    }
}

/// The amounts of containers, with requests that follow from limits.
fn read(containers: &[Container], at: &Path<'_>, faults: &mut Faults) -> Vec<Amounts> {
    let one = |(i, container): (usize, &Container)| {
        let at = at.index(i);
        let at = at.child("resources");
        let mut amounts = Amounts {
            requests: resource_list(&container.resources.requests, &at.child("requests"), faults),
            limits: resource_list(&container.resources.limits, &at.child("limits"), faults),
        };
        amounts::of_container(&mut amounts);
        amounts
    };
    containers.iter().enumerate().map(one).collect()
}

fn in_milli(list: &ResourceList) -> BTreeMap<Name, i64> {
    list.iter().map(|(name, amount): (&Name, &Quantity)| (name.clone(), amount.milli_value())).collect()
}
