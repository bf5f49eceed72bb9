//! `spec.affinity`, `spec.topologySpreadConstraints` and node selectors.
//!
//! Source: `component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go`, `pkg/scheduler/framework/types.go`
//! (`newAffinityTerm`, `getNamespacesFromPodAffinityTerm`), `pkg/registry/core/pod/strategy.go`
//! (`applyMatchLabelKeysAndMismatchLabelKeys`), `pkg/apis/core/validation/validation.go`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    meta::{LabelSelector, LabelSelectorRequirement, On},
    names,
};
use crate::fault::{Faults, Path};
use podberth_core::model::{self, InclusionPolicy, Labels, Name, Operator, Requirement, WhenUnsatisfiable};

/// Affinity and anti-affinity of a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Affinity {
    /// Towards nodes.
    pub node_affinity: NodeAffinity,
    /// Towards pods.
    pub pod_affinity: PodAffinity,
    /// Against pods.
    pub pod_anti_affinity: PodAffinity,
}

/// Rules about nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeAffinity {
    /// The node must match.
    #[schema(nullable = false)]
    pub required_during_scheduling_ignored_during_execution: Option<NodeSelector>,
    /// The node scores for each term that it matches.
    pub preferred_during_scheduling_ignored_during_execution: Vec<PreferredSchedulingTerm>,
}

/// Rules about the pods in a topology domain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodAffinity {
    /// All must hold.
    pub required_during_scheduling_ignored_during_execution: Vec<PodAffinityTerm>,
    /// The node scores for each pod that matches.
    pub preferred_during_scheduling_ignored_during_execution: Vec<WeightedPodAffinityTerm>,
}

/// Alternatives; one must match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelector {
    /// The alternatives.
    pub node_selector_terms: Vec<NodeSelectorTerm>,
}

/// One alternative: all its conditions must hold. Without any it matches no node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelectorTerm {
    /// Conditions on the node's labels.
    pub match_expressions: Vec<LabelSelectorRequirement>,
    /// Conditions on the node's fields; `metadata.name` is the only one.
    pub match_fields: Vec<LabelSelectorRequirement>,
}

/// A liking for nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PreferredSchedulingTerm {
    /// 1..=100.
    pub weight: i32,
    /// The nodes liked.
    pub preference: NodeSelectorTerm,
}

/// Pods, and the topology in which they count as near.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodAffinityTerm {
    /// The pods meant; absent means none.
    #[schema(nullable = false)]
    pub label_selector: Option<LabelSelector>,
    /// Their namespaces by name. None here and no selector: the pod's own.
    pub namespaces: Vec<String>,
    /// Their namespaces by label; empty means all.
    #[schema(nullable = false)]
    pub namespace_selector: Option<LabelSelector>,
    /// The node label whose equal values make one domain.
    pub topology_key: String,
    /// Label keys whose values in this pod the others must share.
    pub match_label_keys: Vec<String>,
    /// Label keys whose values in this pod the others must not share.
    pub mismatch_label_keys: Vec<String>,
}

/// A liking for, or dislike of, the company of pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WeightedPodAffinityTerm {
    /// 1..=100.
    pub weight: i32,
    /// The pods.
    pub pod_affinity_term: PodAffinityTerm,
}

/// How this pod and its like are spread over the values of one node label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TopologySpreadConstraint {
    /// By how many pods the fullest domain may exceed the emptiest; at least 1.
    pub max_skew: i32,
    /// The node label whose equal values make one domain.
    pub topology_key: String,
    /// `DoNotSchedule` or `ScheduleAnyway`.
    pub when_unsatisfiable: String,
    /// The pods counted; absent counts none.
    #[schema(nullable = false)]
    pub label_selector: Option<LabelSelector>,
    /// With fewer domains than this the emptiest counts as empty.
    #[schema(nullable = false)]
    pub min_domains: Option<i32>,
    /// `Honor` (default) or `Ignore` the pod's node affinity when domains are counted.
    #[schema(nullable = false)]
    pub node_affinity_policy: Option<String>,
    /// `Honor` or `Ignore` (default) node taints when domains are counted.
    #[schema(nullable = false)]
    pub node_taints_policy: Option<String>,
    /// Label keys whose values in this pod the counted pods must share.
    pub match_label_keys: Vec<String>,
}

/// The pod whose affinity is read.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    pub namespace: &'a Name,
    pub labels: &'a Labels,
}

impl Affinity {
    pub(super) fn to_core(&self, owner: Owner<'_>, at: &Path<'_>, faults: &mut Faults) -> model::Affinity {
        let (node_required, node_preferred) = self.node_affinity.to_core(&at.child("nodeAffinity"), faults);
        let (pod_required, pod_preferred) = self.pod_affinity.to_core(owner, &at.child("podAffinity"), faults);
        let (anti_required, anti_preferred) =
            self.pod_anti_affinity.to_core(owner, &at.child("podAntiAffinity"), faults);
        model::Affinity { node_required, node_preferred, pod_required, pod_preferred, anti_required, anti_preferred }
    }
}

/// The terms that must hold.
pub(crate) const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

/// The terms that count in scores.
pub(crate) const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

impl NodeAffinity {
    /// The nodes required, and those preferred.
    pub(crate) fn to_core(
        &self,
        at: &Path<'_>,
        faults: &mut Faults,
    ) -> (Option<model::NodeSelector>, Vec<model::PreferredNode>) {
        let (required_at, preferred_at) = (at.child(REQUIRED), at.child(PREFERRED));
        let required = self.required_during_scheduling_ignored_during_execution.as_ref();
        let preferred = self.preferred_during_scheduling_ignored_during_execution.iter().enumerate();
        let required = required.map(|selector| selector.to_core(&required_at, faults));
        (required, preferred.filter_map(|(i, term)| term.to_core(&preferred_at.index(i), faults)).collect())
    }
}

impl NodeSelector {
    /// The selector; an alternative with a fault matches no node, as in `LazyErrorNodeSelector`.
    pub(super) fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> model::NodeSelector {
        let terms_at = at.child("nodeSelectorTerms");
        if self.node_selector_terms.is_empty() {
            faults.required(&terms_at, "must have at least one node selector term");
        }
        let terms = self.node_selector_terms.iter().enumerate();
        model::NodeSelector(terms.filter_map(|(i, term)| term.to_core(On::Nodes, &terms_at.index(i), faults)).collect())
    }
}

impl NodeSelectorTerm {
    fn to_core(&self, on: On, at: &Path<'_>, faults: &mut Faults) -> Option<model::NodeSelectorTerm> {
        let (expressions_at, fields_at) = (at.child("matchExpressions"), at.child("matchFields"));
        let expressions: Vec<_> = self
            .match_expressions
            .iter()
            .enumerate()
            .map(|(i, r)| r.to_core(on, &expressions_at.index(i), faults))
            .collect();
        let fields: Vec<_> = self
            .match_fields
            .iter()
            .enumerate()
            .map(|(i, r)| field_condition(r, &fields_at.index(i), faults))
            .collect();
        Some(model::NodeSelectorTerm {
            match_expressions: expressions.into_iter().collect::<Option<_>>()?,
            match_fields: fields.into_iter().collect::<Option<_>>()?,
        })
    }
}

/// A condition on a field of the node. No node has other fields than its name, so those are empty.
fn field_condition(requirement: &LabelSelectorRequirement, at: &Path<'_>, faults: &mut Faults) -> Option<Requirement> {
    let values_at = at.child("values");
    let is_equal = match requirement.operator.as_str() {
        "In" => Some(true),
        "NotIn" => Some(false),
        other => {
            faults.invalid(&at.child("operator"), other, "not a valid selector operator; In or NotIn is");
            None
        }
    };
    let value = if let [value] = requirement.values.as_slice() { Some(value) } else { None };
    if is_equal.is_some() && value.is_none() {
        faults
            .required(&values_at, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
    }
    let known = requirement.key == "metadata.name";
    if known {
        for (i, value) in requirement.values.iter().enumerate() {
            if let Err(rule) = names::dns_subdomain(value) {
                faults.invalid(&values_at.index(i), value, rule);
            }
        }
    } else {
        faults.invalid(&at.child("key"), &requirement.key, "not a valid field selector key; metadata.name is");
    }
    let value = Name::from(value?.as_str());
    let values = if known { vec![value] } else { Vec::new() };
    let operator = if is_equal? { Operator::In(values) } else { Operator::NotIn(values) };
    Some(Requirement { key: requirement.key.as_str().into(), operator })
}

impl PreferredSchedulingTerm {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Option<model::PreferredNode> {
        check_weight(self.weight, at, faults);
        let term = self.preference.to_core(On::PreferredNodes, &at.child("preference"), faults)?;
        Some(model::PreferredNode { weight: self.weight, term })
    }
}

fn check_weight(weight: i32, at: &Path<'_>, faults: &mut Faults) {
    if !(1..=100).contains(&weight) {
        faults.invalid(&at.child("weight"), weight, "must be in the range 1-100");
    }
}

impl PodAffinity {
    fn to_core(
        &self,
        owner: Owner<'_>,
        at: &Path<'_>,
        faults: &mut Faults,
    ) -> (Vec<model::PodAffinityTerm>, Vec<model::WeightedPodAffinityTerm>) {
        let (required_at, preferred_at) = (at.child(REQUIRED), at.child(PREFERRED));
        let required = self.required_during_scheduling_ignored_during_execution.iter().enumerate();
        let required = required.map(|(i, term)| term.to_core(owner, &required_at.index(i), faults)).collect();
        let preferred = self.preferred_during_scheduling_ignored_during_execution.iter().enumerate();
        let preferred = preferred
            .map(|(i, weighted)| {
                let at = preferred_at.index(i);
                check_weight(weighted.weight, &at, faults);
                let term = weighted.pod_affinity_term.to_core(owner, &at.child("podAffinityTerm"), faults);
                model::WeightedPodAffinityTerm { weight: weighted.weight, term }
            })
            .collect();
        (required, preferred)
    }
}

impl PodAffinityTerm {
    fn to_core(&self, owner: Owner<'_>, at: &Path<'_>, faults: &mut Faults) -> model::PodAffinityTerm {
        check_topology_key(&self.topology_key, at, faults);
        let mut selector = self.label_selector.as_ref().and_then(|s| s.to_core(&at.child("labelSelector"), faults));
        if let Some(selector) = &mut selector {
            self.share_labels(owner.labels, selector);
        }
        let mut namespaces: Vec<Name> = self.namespaces.iter().map(|n| n.as_str().into()).collect();
        if namespaces.is_empty() && self.namespace_selector.is_none() {
            namespaces.push(owner.namespace.clone());
        }
        for namespace in &self.namespaces {
            if let Err(rule) = names::dns_label(namespace) {
                // The API server says it without the s, and without the place in the list.
                faults.invalid(&at.child("namespace"), namespace, rule);
            }
        }
        model::PodAffinityTerm {
            selector,
            namespaces,
            namespace_selector: self
                .namespace_selector
                .as_ref()
                .and_then(|s| s.to_core(&at.child("namespaceSelector"), faults)),
            topology_key: self.topology_key.as_str().into(),
        }
    }

    /// Adds the conditions of `matchLabelKeys` and `mismatchLabelKeys`, as the API server does when a pod is created. A pod from an API server has
    /// them in its selector already, and then twice.
    fn share_labels(&self, labels: &Labels, selector: &mut model::Selector) {
        let mut ask = |key: &String, operator: fn(Vec<Name>) -> Operator| {
            if let Some(value) = labels.get(key) {
                let requirement = Requirement { key: key.as_str().into(), operator: operator(vec![value.clone()]) };
                if !selector.0.contains(&requirement) {
                    selector.0.push(requirement);
                }
            }
        };
        self.match_label_keys.iter().for_each(|key| ask(key, Operator::In));
        self.mismatch_label_keys.iter().for_each(|key| ask(key, Operator::NotIn));
    }
}

fn check_topology_key(key: &str, at: &Path<'_>, faults: &mut Faults) {
    let at = at.child("topologyKey");
    if key.is_empty() {
        faults.required(&at, "can not be empty");
    }
    if let Err(rule) = names::qualified_name(key) {
        faults.invalid(&at, key, rule);
    }
}

impl TopologySpreadConstraint {
    /// The constraint, or `None` if it has an unknown `whenUnsatisfiable` and so belongs to neither predicate nor priority.
    pub(super) fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Option<model::TopologySpreadConstraint> {
        if self.max_skew < 1 {
            faults.invalid(&at.child("maxSkew"), self.max_skew, "must be greater than zero");
        }
        if self.topology_key.is_empty() {
            faults.required(&at.child("topologyKey"), "can not be empty");
        }
        let when_unsatisfiable = match self.when_unsatisfiable.as_str() {
            "DoNotSchedule" => Some(WhenUnsatisfiable::DoNotSchedule),
            "ScheduleAnyway" => Some(WhenUnsatisfiable::ScheduleAnyway),
            other => {
                faults.not_supported(&at.child("whenUnsatisfiable"), other, &["DoNotSchedule", "ScheduleAnyway"]);
                None
            }
        };
        if let Some(domains) = self.min_domains {
            let at = at.child("minDomains");
            if domains < 1 {
                faults.invalid(&at, domains, "must be greater than zero");
            }
            if when_unsatisfiable != Some(WhenUnsatisfiable::DoNotSchedule) {
                let other = &self.when_unsatisfiable;
                let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {other}");
                faults.invalid(&at, domains, why);
            }
        }
        let selector = self.label_selector.as_ref().and_then(|s| s.to_core(&at.child("labelSelector"), faults));
        let node_affinity_policy =
            inclusion(self.node_affinity_policy.as_ref(), &at.child("nodeAffinityPolicy"), faults);
        let node_taints_policy = inclusion(self.node_taints_policy.as_ref(), &at.child("nodeTaintsPolicy"), faults);
        Some(model::TopologySpreadConstraint {
            max_skew: self.max_skew,
            topology_key: self.topology_key.as_str().into(),
            when_unsatisfiable: when_unsatisfiable?,
            selector,
            min_domains: self.min_domains,
            node_affinity_policy,
            node_taints_policy,
            match_label_keys: self.match_label_keys.iter().map(|k| k.as_str().into()).collect(),
        })
    }
}

fn inclusion(policy: Option<&String>, at: &Path<'_>, faults: &mut Faults) -> Option<InclusionPolicy> {
    match policy.map(String::as_str) {
        None => None,
        Some("Honor") => Some(InclusionPolicy::Honor),
        Some("Ignore") => Some(InclusionPolicy::Ignore),
        Some(other) => {
            faults.not_supported(at, other, &["Honor", "Ignore"]);
            None
        }
    }
}
