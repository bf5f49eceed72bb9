//! Limit ranges and quotas.
//!
//! Source: `pkg/apis/core/validation/validation.go` (`ValidateLimitRange`, `ValidateResourceQuotaSpec`, `validateResourceQuotaScopes`).

use std::collections::BTreeSet;

use super::part::Part;
use crate::{fault::Faults, objects::names};
use podberth_core::model::Quantity;

/// Resources that a quota counts by plain names.
const COUNTED: [&str; 24] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
    "storage",
    "hugepages-2Mi",
    "hugepages-1Gi",
    "requests.hugepages-2Mi",
    "requests.hugepages-1Gi",
];

const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];

pub(super) fn limit_range(range: &Part<'_>, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    let spec = range.get("spec");
    for item in spec.get("limits").items() {
        let of = item.get("type");
        if of.text() != "Container" && of.text() != "Pod" && of.text() != "PersistentVolumeClaim" {
            qualified(&of, of.text(), "must be a standard limit type or fully qualified", faults);
        }
        if !seen.insert(of.text().to_owned()) {
            faults.duplicate(&of.at, of.text());
        }
        let mut resources = BTreeSet::new();
        for field in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            let list = item.get(field);
            if of.text() == "Pod" && matches!(field, "default" | "defaultRequest") {
                if list.entries().next().is_some() {
                    faults.forbidden(&list.at, "may not be specified when `type` is 'Pod'");
                }
                continue;
            }
            for (name, amount) in list.entries() {
                let why = "must be a standard resource type or fully qualified";
                if !COUNTED.contains(&name) && !name.starts_with("hugepages-") {
                    qualified(&amount, name, why, faults);
                }
                resources.insert(name.to_owned());
            }
        }
        let has_storage = ["min", "max"].into_iter().any(|field| !item.get(field).get("storage").is_absent());
        if of.text() == "PersistentVolumeClaim" && !has_storage {
            let why = "either minimum or maximum storage value is required, but neither was provided";
            faults.required(&item.get("limits").at, why);
        }
        for resource in &resources {
            bounds(&item, resource, faults);
        }
    }
}

fn qualified(part: &Part<'_>, name: &str, why: &str, faults: &mut Faults) {
    if let Err(rule) = names::qualified_name(name) {
        faults.invalid(&part.at, name, rule);
    } else if !name.contains('/') {
        faults.invalid(&part.at, name, why);
    }
}

/// The bounds of one resource do not contradict each other.
fn bounds(item: &Part<'_>, resource: &str, faults: &mut Faults) {
    let amount = |field: &str| item.get(field).value[resource].as_str().and_then(|text| text.parse::<Quantity>().ok());
    let of = |field: &str| amount(field).map(|amount| (field.to_owned(), amount));
    let shown = |quantity: Quantity| quantity.to_string();
    for (less, more, at, said) in [
        ("min", "max", "min", "min value {} is greater than max value {}"),
        ("min", "defaultRequest", "defaultRequest", "min value {} is greater than default request value {}"),
        ("defaultRequest", "max", "defaultRequest", "default request value {} is greater than max value {}"),
        (
            "defaultRequest",
            "default",
            "defaultRequest",
            "default request value {} is greater than default limit value {}",
        ),
        ("min", "default", "default", "min value {} is greater than default value {}"),
        ("default", "max", "default", "default value {} is greater than max value {}"),
    ] {
        if let (Some((_, less)), Some((_, more)), Some(value)) = (of(less), of(more), amount(at))
            && less > more
        {
            let why = said.replacen("{}", &shown(less), 1).replacen("{}", &shown(more), 1);
            faults.invalid(&item.get(at).at.key(resource), shown(value), why);
        }
    }
    let ratio = "maxLimitRequestRatio";
    if let Some(value) = amount(ratio).filter(|ratio| *ratio < Quantity::from_units(1)) {
        faults.invalid(
            &item.get(ratio).at.key(resource),
            shown(value),
            format_args!("ratio {} is less than 1", shown(value)),
        );
    }
}

pub(super) fn quota(quota: &Part<'_>, faults: &mut Faults) {
    let spec = quota.get("spec");
    for (name, amount) in spec.get("hard").entries() {
        if !COUNTED.contains(&name) && !name.starts_with("hugepages-") && !name.starts_with("requests.hugepages-") {
            qualified(&amount, name, "must be a standard resource for quota", faults);
        }
        if let Some(quantity) = amount.quantity() {
            if quantity.is_negative() {
                faults.invalid(&amount.at, quantity.to_string(), "must be greater than or equal to 0");
            }
            let is_count = !name.contains("cpu") && !name.contains("memory") && !name.contains("storage");
            if is_count && quantity.milli_value() % 1000 != 0 {
                faults.invalid(&amount.at, quantity.to_string(), "must be an integer");
            }
        }
    }
    let scopes = spec.get("scopes");
    for scope in scopes.items() {
        if !SCOPES.contains(&scope.text()) {
            faults.invalid_json(&scopes.at, scopes.value, "unsupported scope");
        }
    }
    for requirement in spec.get("scopeSelector").get("matchExpressions").items() {
        requirement.get("scopeName").one_of(&SCOPES, faults);
        let (operator, values) = (requirement.get("operator"), requirement.get("values"));
        let count = values.items().count();
        match operator.text() {
            "In" | "NotIn" if count == 0 => {
                faults.required(
                    &values.at,
                    "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
                );
            }
            "Exists" | "DoesNotExist" if count > 0 => {
                let why = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector";
                faults.invalid_json(&values.at, values.value, why);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => faults.invalid(&operator.at, other, "not a valid selector operator"),
        }
    }
}
