//! Pods.
//!
//! Source: `pkg/apis/core/validation/validation.go` (`ValidatePodCreate`, `ValidatePodSpec`, `validatePodAffinityTerm`,
//! `validateTopologySpreadConstraints`, `ValidateMatchLabelKeysAndMismatchLabelKeys`, `validateSchedulingGates`,
//! `validatePodHostNetworkDeps`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, de::IgnoredAny};

use super::{
    Validate,
    containers::{self, Named},
    resources::{self, Owner},
    volume,
};
use crate::{
    decode::{self, DecodeError},
    fault::{Faults, Path},
    objects::{
        affinity::{PREFERRED, PodAffinity, PodAffinityTerm, REQUIRED, TopologySpreadConstraint},
        meta::LabelSelector,
        names,
        pod::{Pod, PodSpec},
    },
};

/// Fields of a pod that only validation reads.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Extra {
    spec: ExtraSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExtraSpec {
    host_network: bool,
    restart_policy: String,
    active_deadline_seconds: Option<i64>,
    runtime_class_name: Option<String>,
    containers: Vec<containers::Extra>,
    init_containers: Vec<containers::Extra>,
    resource_claims: Vec<PodClaim>,
    resources: PodClaims,
    volumes: Vec<volume::Written>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodClaim {
    name: String,
    resource_claim_name: Option<String>,
    resource_claim_template_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodClaims {
    claims: Vec<IgnoredAny>,
}

impl Validate for Pod {
    fn validate(&self, json: &[u8], faults: &mut Faults) -> Result<(), DecodeError> {
        let Extra { spec: extra } = decode::from_slice(json)?;
        let (spec, at) = (&self.spec, Path::ROOT.child("spec"));
        volume::of_pod(&self.metadata.name, &spec.volumes, &extra.volumes, &at.child("volumes"), faults);
        claims(&extra.resource_claims, &at.child("resourceClaims"), faults);
        let claims = extra.resource_claims.iter().map(|claim| claim.name.as_str()).collect();
        let mut named = Named { containers: BTreeSet::new(), claims };
        containers::regular(&spec.containers, &extra.containers, &mut named, &at.child("containers"), faults);
        containers::init(
            &spec.init_containers,
            &extra.init_containers,
            &mut named,
            &at.child("initContainers"),
            faults,
        );
        let resources_at = at.child("resources");
        if !extra.resources.claims.is_empty() {
            faults.forbidden(&resources_at.child("claims"), "claims may not be set for Resources at pod-level");
        }
        resources::requirements(&spec.resources, Owner::Pod, &resources_at, faults);
        resources::pod_level(spec, &resources_at, faults);
        resources::overhead(&spec.overhead, &at.child("overhead"), faults);
        if extra.host_network {
            host_network(spec, &at.child("containers"), faults);
        }
        words(spec, &extra, &at, faults);
        affinity(spec, &at.child("affinity"), faults);
        spread(&spec.topology_spread_constraints, &at.child("topologySpreadConstraints"), faults);
        gates(spec, &at, faults);
        Ok(())
    }
}

/// Fields that are one word or one number.
fn words(spec: &PodSpec, extra: &ExtraSpec, at: &Path<'_>, faults: &mut Faults) {
    if !matches!(extra.restart_policy.as_str(), "" | "Always" | "OnFailure" | "Never") {
        let known = ["Always", "OnFailure", "Never"];
        faults.not_supported(&at.child("restartPolicy"), &extra.restart_policy, &known);
    }
    if let Some(seconds) = extra.active_deadline_seconds.filter(|seconds| !(1..=i64::from(i32::MAX)).contains(seconds))
    {
        let why = "must be between 1 and 2147483647, inclusive";
        faults.invalid(&at.child("activeDeadlineSeconds"), seconds, why);
    }
    let runtime_class = extra.runtime_class_name.as_deref().unwrap_or_default();
    for (field, name) in [("priorityClassName", spec.priority_class_name.as_str()), ("runtimeClassName", runtime_class)]
    {
        if !name.is_empty()
            && let Err(rule) = names::dns_subdomain(name)
        {
            faults.invalid(&at.child(field), name, rule);
        }
    }
}

/// In the network of its node a pod's host ports equal its container ports.
fn host_network(spec: &PodSpec, at: &Path<'_>, faults: &mut Faults) {
    for (i, container) in spec.containers.iter().enumerate() {
        let container_at = at.index(i);
        let ports_at = container_at.child("ports");
        for (j, port) in container.ports.iter().enumerate() {
            // Where there is none, the API server fills it in.
            if port.host_port != 0 && port.host_port != port.container_port {
                let why = "must match `containerPort` when `hostNetwork` is true";
                faults.invalid(&ports_at.index(j).child("hostPort"), port.host_port, why);
            }
        }
    }
}

/// The devices that a pod claims.
fn claims(claims: &[PodClaim], at: &Path<'_>, faults: &mut Faults) {
    let mut named = BTreeSet::new();
    for (i, claim) in claims.iter().enumerate() {
        let at = at.index(i);
        let name_at = at.child("name");
        if claim.name.is_empty() {
            faults.required(&name_at, "");
        } else if !named.insert(&claim.name) {
            faults.duplicate(&name_at, &claim.name);
        } else if let Err(rule) = names::dns_label(&claim.name) {
            faults.invalid(&name_at, &claim.name, rule);
        }
        let one_of = "one of: `resourceClaimName`, `resourceClaimTemplateName`";
        match (&claim.resource_claim_name, &claim.resource_claim_template_name) {
            (Some(_), Some(_)) => faults.invalid(&at, &claim.name, format_args!("at most {one_of} may be specified")),
            (None, None) => faults.invalid(&at, &claim.name, format_args!("must specify {one_of}")),
            (Some(name), None) | (None, Some(name)) => {
                if let Err(rule) = names::dns_subdomain(name) {
                    let templated = claim.resource_claim_name.is_none();
                    let field = if templated { "resourceClaimTemplateName" } else { "resourceClaimName" };
                    faults.invalid(&at.child(field), name, rule);
                }
            }
        }
    }
}

fn affinity(spec: &PodSpec, at: &Path<'_>, faults: &mut Faults) {
    let both: [(&str, &PodAffinity); 2] =
        [("podAffinity", &spec.affinity.pod_affinity), ("podAntiAffinity", &spec.affinity.pod_anti_affinity)];
    for (name, affinity) in both {
        let at = at.child(name);
        let (required, preferred) = (at.child(REQUIRED), at.child(PREFERRED));
        for (i, term) in affinity.required_during_scheduling_ignored_during_execution.iter().enumerate() {
            term_keys(term, &required.index(i), faults);
        }
        for (i, weighted) in affinity.preferred_during_scheduling_ignored_during_execution.iter().enumerate() {
            term_keys(&weighted.pod_affinity_term, &preferred.index(i).child("podAffinityTerm"), faults);
        }
    }
}

fn term_keys(term: &PodAffinityTerm, at: &Path<'_>, faults: &mut Faults) {
    let selector = term.label_selector.as_ref();
    for (field, keys) in [("matchLabelKeys", &term.match_label_keys), ("mismatchLabelKeys", &term.mismatch_label_keys)]
    {
        label_keys(keys, selector, &at.child(field), faults);
    }
    selected_twice(&term.match_label_keys, selector, at, faults);
    let match_at = at.child("matchLabelKeys");
    let mismatched: BTreeSet<&String> = term.mismatch_label_keys.iter().collect();
    for (i, key) in term.match_label_keys.iter().enumerate() {
        if mismatched.contains(key) {
            faults.invalid(&match_at.index(i), key, "exists in both matchLabelKeys and mismatchLabelKeys");
        }
    }
}

fn label_keys(keys: &[String], selector: Option<&LabelSelector>, at: &Path<'_>, faults: &mut Faults) {
    if keys.is_empty() {
        return;
    }
    if selector.is_none() {
        faults.forbidden(at, "must not be specified when labelSelector is not set");
        return;
    }
    for (i, key) in keys.iter().enumerate() {
        if let Err(rule) = names::qualified_name(key) {
            faults.invalid(&at.index(i), key, rule);
        }
    }
}

/// A key that becomes a term of the selector is not in it twice. It may be there once, from the API server.
fn selected_twice(keys: &[String], selector: Option<&LabelSelector>, at: &Path<'_>, faults: &mut Faults) {
    let Some(selector) = selector else { return };
    let places: BTreeMap<&String, usize> = keys.iter().enumerate().map(|(i, key)| (key, i)).collect();
    let mut seen: BTreeSet<&String> = selector.match_labels.keys().collect();
    for requirement in &selector.match_expressions {
        let key = &requirement.key;
        if !seen.insert(key)
            && let Some(place) = places.get(key)
        {
            faults.invalid(&at.index(*place), key, "exists in both matchLabelKeys and labelSelector");
        }
    }
}

fn spread(constraints: &[TopologySpreadConstraint], at: &Path<'_>, faults: &mut Faults) {
    // Of two that are about the same, the API server names the first.
    let mut later = BTreeSet::new();
    for (i, constraint) in constraints.iter().enumerate().rev() {
        let at = at.index(i);
        let (key, action) = (&constraint.topology_key, &constraint.when_unsatisfiable);
        if !later.insert((key, action)) {
            faults.duplicate(&at.child("{topologyKey, whenUnsatisfiable}"), format!("{{{key}, {action}}}"));
        }
        let selector = constraint.label_selector.as_ref();
        label_keys(&constraint.match_label_keys, selector, &at.child("matchLabelKeys"), faults);
        selected_twice(&constraint.match_label_keys, selector, &at, faults);
    }
}

/// Validates scheduling gates.
fn gates(spec: &PodSpec, at: &Path<'_>, faults: &mut Faults) {
    let gates_at = at.child("schedulingGates");
    let mut named = BTreeSet::new();
    for (i, gate) in spec.scheduling_gates.iter().enumerate() {
        let at = gates_at.index(i);
        if let Err(rule) = names::qualified_name(&gate.name) {
            faults.invalid(&at, &gate.name, rule);
        }
        if !named.insert(&gate.name) {
            faults.duplicate(&at, &gate.name);
        }
    }
    if !spec.node_name.is_empty() && !spec.scheduling_gates.is_empty() {
        faults.forbidden(&at.child("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
}
