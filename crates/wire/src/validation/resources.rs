//! Amounts of resources that containers and pods ask for.
//!
//! Source: `pkg/apis/core/validation/validation.go` (`validateResourceRequirements`, `validateContainerResourceName`,
//! `validatePodResourceName`, `validatePodResourceConsistency`), `pkg/apis/core/helper/helpers.go`.

use std::collections::BTreeMap;

use crate::{
    fault::{Faults, Path},
    objects::{
        names,
        pod::{Container, PodSpec, ResourceRequirements},
        quantity::QuantityText,
    },
};
use podberth_core::model::{ContainerRequests, Name, PodRequests, Quantity, Resources};

const HUGE_PAGES: &str = "hugepages-";

/// Resources without a domain that Kubernetes counts somewhere, besides those that containers can request.
const COUNTED: [&str; 15] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "services.nodeports",
    "services.loadbalancers",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "requests.storage",
    "limits.cpu",
];

/// The owner of amounts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A container, or the overhead of a pod.
    Container,
    /// A pod as a whole.
    Pod,
}

/// An amount as it was written; `None` if it is invalid, which the conversion reports.
pub(super) fn amount(text: &QuantityText) -> Option<Quantity> {
    text.0.trim().parse().ok()
}

/// `true` for a name without a domain, or with one of Kubernetes' own.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// A resource of a domain, such as `example.com/gpu`.
fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_ok()
}

/// `true` if a request may be below the limit.
fn is_overcommitted(name: &str) -> bool {
    is_native(name) && !name.starts_with(HUGE_PAGES)
}

fn may_be_of_container(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with(HUGE_PAGES)
}

fn may_be_of_pod(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with(HUGE_PAGES)
}

/// `true` if only whole numbers of it exist.
pub(super) fn is_whole(name: &str) -> bool {
    (COUNTED.contains(&name) && !name.contains("storage") && !name.contains("cpu") && !name.contains("memory"))
        || is_extended(name)
}

/// That an amount is not negative, and whole where it has to be (`ValidateResourceQuantityValue`).
pub(super) fn value(name: &str, quantity: Quantity, at: &Path<'_>, faults: &mut Faults) {
    if quantity.is_negative() {
        faults.invalid(at, quantity.to_string(), "must be greater than or equal to 0");
    }
    if is_whole(name) && quantity.milli_value() % 1000 != 0 {
        faults.invalid(at, quantity.to_string(), "must be an integer");
    }
}

/// That a name is one of resources that the owner can ask for.
pub(super) fn resource_name(name: &str, owner: Owner, at: &Path<'_>, faults: &mut Faults) {
    if let Err(rule) = names::qualified_name(name) {
        faults.invalid(at, name, rule);
        return;
    }
    let is_plain = !name.contains('/');
    if is_plain && !may_be_of_container(name) && !COUNTED.contains(&name) {
        faults.invalid(at, name, "must be a standard resource type or fully qualified, as in example.com/gpu");
    }
    if owner == Owner::Pod {
        if !may_be_of_pod(name) {
            faults.not_supported(at, name, &["cpu", "hugepages-", "memory"]);
        }
    } else if is_plain && !may_be_of_container(name) {
        let standard = "cpu, memory, ephemeral-storage, hugepages-<size>";
        faults.invalid(at, name, format_args!("must be a standard resource for containers: {standard}"));
    } else if !is_native(name) && !is_extended(name) {
        faults.invalid(at, name, "doesn't follow extended resource name standard");
    }
}

/// Huge pages are requested in whole pages.
fn huge_pages(name: &str, quantity: Quantity, at: &Path<'_>, faults: &mut Faults) {
    let Some(size) = name.strip_prefix(HUGE_PAGES) else { return };
    let page = size.parse::<Quantity>().ok().filter(|page| page.milli_value() % 1000 == 0).map_or(0, Quantity::value);
    if page <= 0 || quantity.value() % page != 0 {
        let why = format!("{quantity} is not positive integer multiple of {name}");
        faults.invalid(at, quantity.to_string(), why);
    }
}

fn one(name: &str, quantity: Quantity, owner: Owner, at: &Path<'_>, faults: &mut Faults) {
    resource_name(name, owner, at, faults);
    value(name, quantity, at, faults);
    huge_pages(name, quantity, at, faults);
}

/// Requests and limits of a container or a pod.
pub(super) fn requirements(resources: &ResourceRequirements, owner: Owner, at: &Path<'_>, faults: &mut Faults) {
    lists(&resources.requests, &resources.limits, true, owner, at, faults);
}

/// Amounts on top of a pod's containers.
pub(super) fn overhead(overhead: &BTreeMap<String, QuantityText>, at: &Path<'_>, faults: &mut Faults) {
    lists(&BTreeMap::new(), overhead, false, Owner::Container, at, faults);
}

fn lists(
    requests: &BTreeMap<String, QuantityText>,
    limits: &BTreeMap<String, QuantityText>,
    has_requests: bool,
    owner: Owner,
    at: &Path<'_>,
    faults: &mut Faults,
) {
    let (limits_at, requests_at) = (at.child("limits"), at.child("requests"));
    for (name, quantity) in limits.iter().filter_map(|(name, text)| Some((name, amount(text)?))) {
        one(name, quantity, owner, &limits_at.key(name), faults);
        // A request that is not made is the limit (`SetDefaults_Pod`).
        if has_requests && !requests.contains_key(name) {
            one(name, quantity, owner, &requests_at.key(name), faults);
        }
    }
    for (name, quantity) in requests.iter().filter_map(|(name, text)| Some((name, amount(text)?))) {
        one(name, quantity, owner, &requests_at.key(name), faults);
        match limits.get(name).map(amount) {
            Some(Some(limit)) if quantity != limit && !is_overcommitted(name) => {
                faults.invalid(&requests_at, quantity.to_string(), format!("must be equal to {name} limit of {limit}"));
            }
            Some(Some(limit)) if quantity > limit => {
                let why = format!("must be less than or equal to {name} limit of {limit}");
                faults.invalid(&requests_at, quantity.to_string(), why);
            }
            None if !is_overcommitted(name) => {
                faults.required(&limits_at, "Limit must be set for non overcommitable resources");
            }
            Some(_) | None => {}
        }
    }
    let mut named = limits.keys().chain(requests.keys());
    let has_pages = named.clone().any(|name| name.starts_with(HUGE_PAGES));
    if has_pages && !named.any(|name| matches!(name.as_str(), "cpu" | "memory")) {
        faults.forbidden(at, "HugePages require cpu or memory");
    }
}

/// The pod-level request is at least the sum of the containers' requests, and no container exceeds the pod's limit.
pub(super) fn pod_level(spec: &PodSpec, at: &Path<'_>, faults: &mut Faults) {
    let (requests_at, limits_at) = (at.child("requests"), at.child("limits"));
    let sum = |of: fn(&ResourceRequirements) -> &BTreeMap<String, QuantityText>| {
        let asked = |container: &Container| ContainerRequests {
            requests: of(&container.resources)
                .iter()
                .filter_map(|(name, text)| Some((Name::from(name.as_str()), amount(text)?)))
                .collect(),
            restartable: container.restart_policy == "Always",
        };
        let containers = spec.containers.iter().map(asked).collect();
        let init_containers = spec.init_containers.iter().map(asked).collect();
        PodRequests { containers, init_containers, ..PodRequests::default() }.total()
    };
    let below = |total: &Resources, name: &str, quantity: Quantity| match name {
        "cpu" => (quantity.milli_value() < total.milli_cpu).then(|| Quantity::from_milli(total.milli_cpu)),
        _ => (quantity.value() < total.get(name)).then(|| Quantity::from_units(total.get(name))),
    };
    let (requests, limits) = (sum(|r| &r.requests), sum(|r| &r.limits));
    for (name, quantity) in spec.resources.requests.iter().filter_map(|(name, text)| Some((name, amount(text)?))) {
        if let Some(total) = below(&requests, name, quantity) {
            let why = format!("must be greater than or equal to aggregate container requests of {total}");
            faults.invalid(&requests_at.key(name), quantity.to_string(), why);
        }
    }
    for (name, quantity) in spec.resources.limits.iter().filter_map(|(name, text)| Some((name, amount(text)?))) {
        if name.starts_with(HUGE_PAGES)
            && let Some(total) = below(&limits, name, quantity)
        {
            let why = format!("must be greater than or equal to aggregate container limits of {total}");
            faults.invalid(&limits_at.key(name), quantity.to_string(), why);
        }
        let containers = at.child("containers");
        for (i, container) in spec.containers.iter().enumerate() {
            if let Some(limit) = container.resources.limits.get(name).and_then(amount).filter(|limit| *limit > quantity)
            {
                let place = containers.index(i);
                let why = format!("must be less than or equal to pod limits of {quantity}");
                faults.invalid(&place.key(name).child("limits"), limit.to_string(), why);
            }
        }
    }
}
