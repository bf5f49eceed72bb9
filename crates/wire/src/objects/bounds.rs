//! Checks a pod against the limits of [`podberth_core::limits`].

use super::{
    affinity::{NodeAffinity, NodeSelectorTerm, PREFERRED, PodAffinity, PodAffinityTerm, REQUIRED},
    meta::{LabelSelector, LabelSelectorRequirement},
    pod::{Container, Pod, ResourceRequirements},
};
use crate::fault::{Faults, Path};
use podberth_core::{
    limits::{self, Limit},
    model::Name,
};

/// Reports every exceeded limit. Returns the pod's first one, with its field.
pub(super) fn check(pod: &Pod, faults: &mut Faults) -> Option<Name> {
    let mut bounds = Bounds { faults, excess: None };
    let (metadata, spec_at) = (Path::ROOT.child("metadata"), Path::ROOT.child("spec"));
    let spec = &pod.spec;
    bounds.hold(&limits::LABELS, pod.metadata.labels.len(), &metadata.child("labels"));
    for (list, containers) in [("initContainers", &spec.init_containers), ("containers", &spec.containers)] {
        let at = spec_at.child(list);
        bounds.hold(&limits::CONTAINERS, containers.len(), &at);
        for (i, Container { ports, resources, .. }) in containers.iter().enumerate() {
            let at = at.index(i);
            bounds.hold(&limits::PORTS, ports.len(), &at.child("ports"));
            bounds.resources(resources, &at.child("resources"));
        }
    }
    bounds.resources(&spec.resources, &spec_at.child("resources"));
    bounds.hold(&limits::RESOURCES, spec.overhead.len(), &spec_at.child("overhead"));
    bounds.hold(&limits::VOLUMES, spec.volumes.len(), &spec_at.child("volumes"));
    bounds.hold(&limits::TOLERATIONS, spec.tolerations.len(), &spec_at.child("tolerations"));
    bounds.hold(&limits::RESOURCE_CLAIMS, spec.resource_claims.len(), &spec_at.child("resourceClaims"));
    bounds.hold(&limits::SCHEDULING_GATES, spec.scheduling_gates.len(), &spec_at.child("schedulingGates"));
    let spread = &spec.topology_spread_constraints;
    bounds.hold(&limits::SPREAD_CONSTRAINTS, spread.len(), &spec_at.child("topologySpreadConstraints"));
    let affinity_at = spec_at.child("affinity");
    let mut asked = Asked { conditions: spec.node_selector.len(), ..Asked::default() };

    bounds.node_affinity(&spec.affinity.node_affinity, &affinity_at.child("nodeAffinity"), &mut asked);
    for (field, affinity) in
        [("podAffinity", &spec.affinity.pod_affinity), ("podAntiAffinity", &spec.affinity.pod_anti_affinity)]
    {
        let at = affinity_at.child(field);
        let PodAffinity {
            required_during_scheduling_ignored_during_execution: required,
            preferred_during_scheduling_ignored_during_execution: preferred,
        } = affinity;
        bounds.hold(&limits::AFFINITY_TERMS, required.len(), &at.child(REQUIRED));
        bounds.hold(&limits::AFFINITY_TERMS, preferred.len(), &at.child(PREFERRED));
        required
            .iter()
            .chain(preferred.iter().map(|wish| &wish.pod_affinity_term))
            .for_each(|term| asked.pod_term(term));
    }
    for constraint in spread {
        asked.conditions += constraint.match_label_keys.len();
        asked.selector(constraint.label_selector.as_ref());
    }
    bounds.hold(&limits::CONDITIONS, asked.conditions, &spec_at);
    bounds.hold(&limits::VALUES, asked.values, &spec_at);
    bounds.hold(&limits::NAMESPACES, asked.namespaces, &affinity_at);
    bounds.excess
}

/// Checks node affinity that stands by itself, as in a profile.
pub(crate) fn check_node_affinity(affinity: &NodeAffinity, at: &Path<'_>, faults: &mut Faults) {
    let (mut bounds, mut asked) = (Bounds { faults, excess: None }, Asked::default());
    bounds.node_affinity(affinity, at, &mut asked);
    bounds.hold(&limits::CONDITIONS, asked.conditions, at);
    bounds.hold(&limits::VALUES, asked.values, at);
}

struct Bounds<'f> {
    faults: &'f mut Faults,
    excess: Option<Name>,
}

impl Bounds<'_> {
    fn hold(&mut self, limit: &Limit, count: usize, at: &Path<'_>) {
        if let Some(refusal) = limit.refusal(count) {
            if self.excess.is_none() {
                self.excess = Some(format!("{at}: {refusal}").into());
            }
            self.faults.too_many(at, refusal);
        }
    }

    fn node_affinity(&mut self, affinity: &NodeAffinity, at: &Path<'_>, asked: &mut Asked) {
        let required = affinity.required_during_scheduling_ignored_during_execution.iter();
        let required = required.flat_map(|selector| &selector.node_selector_terms);
        let preferred = &affinity.preferred_during_scheduling_ignored_during_execution;
        let required_at = at.child(REQUIRED);
        self.hold(&limits::AFFINITY_TERMS, required.clone().count(), &required_at.child("nodeSelectorTerms"));
        self.hold(&limits::AFFINITY_TERMS, preferred.len(), &at.child(PREFERRED));
        required.chain(preferred.iter().map(|wish| &wish.preference)).for_each(|term| asked.node_term(term));
    }

    fn resources(&mut self, ResourceRequirements { requests, limits }: &ResourceRequirements, at: &Path<'_>) {
        self.hold(&limits::RESOURCES, requests.len(), &at.child("requests"));
        self.hold(&limits::RESOURCES, limits.len(), &at.child("limits"));
    }
}

/// Sums over the selectors of a pod.
#[derive(Default)]
struct Asked {
    conditions: usize,
    values: usize,
    namespaces: usize,
}

impl Asked {
    fn requirements(&mut self, requirements: &[LabelSelectorRequirement]) {
        self.conditions += requirements.len();
        self.values += requirements.iter().map(|requirement| requirement.values.len()).sum::<usize>();
    }

    fn selector(&mut self, selector: Option<&LabelSelector>) {
        if let Some(LabelSelector { match_labels, match_expressions }) = selector {
            self.conditions += match_labels.len();
            self.requirements(match_expressions);
        }
    }

    fn node_term(&mut self, term: &NodeSelectorTerm) {
        self.requirements(&term.match_expressions);
        self.requirements(&term.match_fields);
    }

    fn pod_term(&mut self, term: &PodAffinityTerm) {
        self.namespaces += term.namespaces.len();
        self.conditions += term.match_label_keys.len() + term.mismatch_label_keys.len();
        self.selector(term.label_selector.as_ref());
        self.selector(term.namespace_selector.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::decode;

    fn expressions(count: usize, values: usize) -> Value {
        let values: Vec<String> = (0..values).map(|i| format!("v{i}")).collect();
        (0..count).map(|i| json!({"key": format!("k{i}"), "operator": "In", "values": values})).collect()
    }

    /// A limit of the table, the field of its fault, and a `spec` with so many items.
    type Row = (&'static str, &'static Limit, &'static str, fn(usize) -> Value);

    const ROWS: &[Row] = &[
        (
            "containers",
            &limits::CONTAINERS,
            "spec.containers",
            |n| json!({"containers": vec![json!({"name": "c"}); n]}),
        ),
        (
            "init containers",
            &limits::CONTAINERS,
            "spec.initContainers",
            |n| json!({"initContainers": vec![json!({"name": "c"}); n]}),
        ),
        (
            "ports",
            &limits::PORTS,
            "spec.containers[0].ports",
            |n| json!({"containers": [{"name": "c", "ports": vec![json!({"containerPort": 1}); n]}]}),
        ),
        ("resources", &limits::RESOURCES, "spec.containers[0].resources.requests", |n| {
            let requests: serde_json::Map<_, _> = (0..n).map(|i| (format!("example.com/r{i}"), json!(1))).collect();
            json!({"containers": [{"name": "c", "resources": {"requests": requests}}]})
        }),
        ("volumes", &limits::VOLUMES, "spec.volumes", |n| json!({"volumes": vec![json!({"name": "v"}); n]})),
        (
            "tolerations",
            &limits::TOLERATIONS,
            "spec.tolerations",
            |n| json!({"tolerations": vec![json!({"key": "k", "operator": "Exists"}); n]}),
        ),
        (
            "claims to devices",
            &limits::RESOURCE_CLAIMS,
            "spec.resourceClaims",
            |n| json!({"resourceClaims": vec![json!({"name": "gpu"}); n]}),
        ),
        (
            "gates",
            &limits::SCHEDULING_GATES,
            "spec.schedulingGates",
            |n| json!({"schedulingGates": vec![json!({"name": "example.com/g"}); n]}),
        ),
        ("spread constraints", &limits::SPREAD_CONSTRAINTS, "spec.topologySpreadConstraints", |n| {
            let constraint = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"});
            json!({"topologySpreadConstraints": vec![constraint; n]})
        }),
        (
            "node terms",
            &limits::AFFINITY_TERMS,
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
            |n| {
                let terms = vec![json!({"matchExpressions": expressions(1, 1)}); n];
                json!({"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}})
            },
        ),
        (
            "preferred nodes",
            &limits::AFFINITY_TERMS,
            "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution",
            |n| json!({"affinity": {"nodeAffinity": {PREFERRED: vec![json!({"weight": 1, "preference": {}}); n]}}}),
        ),
        (
            "required pods",
            &limits::AFFINITY_TERMS,
            "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution",
            |n| json!({"affinity": {"podAffinity": {REQUIRED: vec![json!({"topologyKey": "zone"}); n]}}}),
        ),
        (
            "unwanted pods",
            &limits::AFFINITY_TERMS,
            "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution",
            |n| {
                let term = json!({"weight": 1, "podAffinityTerm": {"topologyKey": "zone"}});
                json!({"affinity": {"podAntiAffinity": {PREFERRED: vec![term; n]}}})
            },
        ),
        ("conditions", &limits::CONDITIONS, "spec", |n| {
            let (terms, rest) = (n / 32, n % 32);
            let term = |count| json!({"matchExpressions": expressions(count, 1)});
            let terms: Vec<Value> = (0..terms).map(|_| term(32)).chain([term(rest)]).collect();
            json!({"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}})
        }),
        ("node selector", &limits::CONDITIONS, "spec", |n| {
            let labels: serde_json::Map<_, _> = (0..n).map(|i| (format!("k{i}"), json!("v"))).collect();
            json!({"nodeSelector": labels})
        }),
        ("values", &limits::VALUES, "spec", |n| {
            let selector = json!({"matchExpressions": expressions(1, n)});
            let term = json!({"topologyKey": "zone", "labelSelector": selector});
            json!({"affinity": {"podAntiAffinity": {REQUIRED: [term]}}})
        }),
        ("namespaces", &limits::NAMESPACES, "spec.affinity", |n| {
            let names: Vec<String> = (0..n).map(|i| format!("n{i}")).collect();
            json!({"affinity": {"podAffinity": {REQUIRED: [{"topologyKey": "zone", "namespaces": names}]}}})
        }),
    ];

    fn pod(spec: &Value) -> Pod {
        let text = json!({"metadata": {"name": "p"}, "spec": spec}).to_string();
        decode::from_slice(text.as_bytes()).expect("a pod")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Up to the limit there is no fault; above it there is this one, with its field, and the pod is kept.
        #[test]
        fn a_fault_beyond_a_limit_names_field_limit_and_remedy(row in 0..ROWS.len(), part in 0_usize..=2_000) {
            let (what, limit, field, spec) = ROWS[row];
            // Around the limit as often as anywhere.
            let count = if part.is_multiple_of(2) { (limit.most + part % 6).saturating_sub(2) } else { limit.most * part / 1_000 };
            let pod = pod(&spec(count));
            let converted = pod.to_core();
            let told = converted.causes.iter().find(|cause| cause.reason == "FieldValueTooMany");
            prop_assert_eq!(told.is_some(), count > limit.most, "{} {}", count, what);
            prop_assert_eq!(converted.object.excess.is_some(), count > limit.most);
            if let Some(cause) = told {
                prop_assert_eq!(&cause.field, field);
                let expected = format!("Too many: {count}: must have at most {} items: {}", limit.most, limit.remedy);
                prop_assert_eq!(&cause.message, &expected);
                let excess = converted.object.excess.as_deref().map(str::to_owned);
                prop_assert_eq!(excess, Some(format!("{field}: {expected}")));
                prop_assert!(converted.clone().strict().is_err() && converted.lenient().is_ok(), "facts are kept");
            }
        }
    }
}
