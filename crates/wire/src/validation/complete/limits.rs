//! Limit ranges and quotas.
//!
//! Source: `pkg/apis/core/validation/validation.go` (`ValidateLimitRange`, `ValidateResourceQuotaSpec`, `validateResourceQuotaScopes`).

use std::collections::BTreeSet;

use serde_json::Value;

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

/// Scopes that a selector has or has not.
const EXISTING: [&str; 5] =
    ["BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"];
const MUST_EXIST: &str = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
                          ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
                          ResourceQuotaScopeCrossNamespacePodAffinity";

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

/// `true` if a quota with this scope may limit this resource (`IsResourceQuotaScopeValidForResource`). It may limit all that have no plain
/// names.
fn fits(scope: &str, resource: &str) -> bool {
    let is_plain = COUNTED.contains(&resource) && resource != "storage";
    let has_pages = ["hugepages-", "requests.hugepages-"].iter().any(|prefix| resource.starts_with(prefix));
    if !(is_plain || has_pages) || !SCOPES.contains(&scope) {
        return true;
    }
    match scope {
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => {
            let compute = ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
            resource == "pods" || compute.contains(&resource)
        }
    }
}

/// Scopes that stand together: they fit the resources, and do not exclude each other.
fn together(scopes: &[&str], spec: &Part<'_>, at: &Part<'_>, faults: &mut Faults) {
    let hard = spec.get("hard");
    for scope in scopes {
        if !SCOPES.contains(scope) {
            faults.invalid_json(&at.at, at.value, "unsupported scope");
        }
        for _ in hard.entries().filter(|(resource, _)| !fits(scope, resource)) {
            faults.invalid_json(&at.at, at.value, "unsupported scope applied to resource");
        }
    }
    for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if pair.iter().all(|scope| scopes.contains(scope)) {
            faults.invalid_json(&at.at, at.value, "conflicting scopes");
        }
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
    let texts = |list: &Value, field: Option<&str>| -> Vec<String> {
        let items = list.as_array().into_iter().flatten();
        let text = |item: &Value| field.map_or(item, |field| &item[field]).as_str().unwrap_or_default().to_owned();
        items.map(text).collect()
    };
    let (scopes, selector) = (spec.get("scopes"), spec.get("scopeSelector"));
    let expressions = selector.get("matchExpressions");
    for (list, field) in [(&scopes, None), (&expressions, Some("scopeName"))] {
        let named = texts(list.value, field);
        together(&named.iter().map(String::as_str).collect::<Vec<_>>(), &spec, list, faults);
    }
    for requirement in expressions.items() {
        let scope = requirement.get("scopeName");
        if requirement.get("operator").text() != "Exists" && EXISTING.contains(&scope.text()) {
            let at = requirement.get("operator");
            faults.invalid(&at.at, at.text(), MUST_EXIST);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scopes_of_a_quota_fit_each_other_and_its_resources() {
        let faults = |spec: &Value| {
            let (object, mut faults) = (json!({"spec": spec}), Faults::default());
            quota(&Part::whole(&object), &mut faults);
            faults.into_causes().into_iter().map(|cause| cause.field).collect::<Vec<_>>()
        };
        let expressions = "spec.scopeSelector.matchExpressions";
        for (hard, scopes, expected) in [
            (json!({"pods": "1"}), json!(["BestEffort"]), 0),
            (json!({"pods": "1"}), json!(["BestEffort", "NotBestEffort"]), 1),
            (json!({"pods": "1"}), json!(["NotTerminating", "Terminating"]), 1),
            (json!({"requests.cpu": "1", "cpu": "1"}), json!(["BestEffort"]), 2),
            (json!({"requests.cpu": "1"}), json!(["NotBestEffort", "CrossNamespacePodAffinity"]), 0),
            (json!({"requests.storage": "1"}), json!(["PriorityClass"]), 1),
            (json!({"requests.storage": "1"}), json!(["VolumeAttributesClass"]), 0),
            (json!({"hugepages-2Mi": "2Mi", "count/pods": "1"}), json!(["Terminating"]), 1),
            (json!({"pods": "1"}), json!(["Odd"]), 1),
        ] {
            let found = faults(&json!({"hard": hard, "scopes": scopes}));
            assert_eq!(found, vec!["spec.scopes"; expected], "{hard} {scopes}");
            let selected: Vec<Value> = scopes
                .as_array()
                .unwrap()
                .iter()
                .map(|scope| json!({"scopeName": scope, "operator": "Exists"}))
                .collect();
            let found = faults(&json!({"hard": hard, "scopeSelector": {"matchExpressions": selected}}));
            assert_eq!(found, vec![expressions; expected], "{hard} {scopes}");
        }
        let selected = json!([{"scopeName": "BestEffort", "operator": "DoesNotExist"}]);
        let found = faults(&json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": selected}}));
        assert_eq!(found, [format!("{expressions}[0].operator")]);
    }
}
