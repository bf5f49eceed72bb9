//! Roles and their bindings.
//!
//! Source: `pkg/apis/rbac/validation/validation.go`.

use podberth_core::access::RBAC;

use super::Part;
use crate::{
    fault::Faults,
    objects::{
        meta::LabelSelector,
        names::{self, dns_subdomain},
    },
};

pub(super) fn of_kind(kind: &str, object: &Part<'_>, faults: &mut Faults) {
    match kind {
        "Role" | "ClusterRole" => role(object, kind == "Role", faults),
        _ => binding(object, kind == "RoleBinding", faults),
    }
}

fn role(role: &Part<'_>, is_namespaced: bool, faults: &mut Faults) {
    for rule in role.get("rules").items() {
        let count = |field: &str| rule.get(field).items().count();
        if count("verbs") == 0 {
            faults.required(&rule.get("verbs").at, "verbs must contain at least one value");
        }
        let paths = rule.get("nonResourceURLs");
        if paths.items().count() > 0 {
            if is_namespaced {
                faults.invalid_json(&paths.at, paths.value, "namespaced rules cannot apply to non-resource URLs");
            }
            if count("apiGroups") + count("resources") + count("resourceNames") > 0 {
                let why = "rules cannot apply to both regular resources and non-resource URLs";
                faults.invalid_json(&paths.at, paths.value, why);
            }
            continue;
        }
        if count("apiGroups") == 0 {
            faults.required(&rule.get("apiGroups").at, "resource rules must supply at least one api group");
        }
        if count("resources") == 0 {
            faults.required(&rule.get("resources").at, "resource rules must supply at least one resource");
        }
    }
    let aggregation = role.get("aggregationRule");
    let selectors = aggregation.get("clusterRoleSelectors");
    if !aggregation.is_absent() && selectors.items().count() == 0 {
        let why = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        faults.required(&selectors.at, why);
    }
    for selector in selectors.items() {
        if let Ok(read) = serde_json::from_value::<LabelSelector>(selector.value.clone()) {
            read.to_core(&selector.at, faults);
        }
    }
}

fn binding(binding: &Part<'_>, is_namespaced: bool, faults: &mut Faults) {
    let to = binding.get("roleRef");
    let (group, kind, name) = (to.get("apiGroup"), to.get("kind"), to.get("name"));
    if group.text() != RBAC && !(group.text().is_empty() && to.is_absent()) {
        faults.not_supported(&group.at, group.text(), &[RBAC]);
    }
    let kinds: &[&str] = if is_namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.contains(&kind.text()) {
        faults.not_supported(&kind.at, kind.text(), kinds);
    }
    if name.text().is_empty() {
        faults.required(&name.at, "");
    }
    name.named(names::path_segment, faults);
    for subject in binding.get("subjects").items() {
        let (kind, name, group) = (subject.get("kind"), subject.get("name"), subject.get("apiGroup"));
        if name.text().is_empty() {
            faults.required(&name.at, "");
        }
        match kind.text() {
            "ServiceAccount" => {
                name.named(dns_subdomain, faults);
                if !group.text().is_empty() {
                    faults.not_supported(&group.at, group.text(), &[""]);
                }
                let namespace = subject.get("namespace");
                if !is_namespaced && namespace.text().is_empty() {
                    faults.required(&namespace.at, "");
                }
            }
            "User" | "Group" => {
                if group.text() != RBAC {
                    faults.not_supported(&group.at, group.text(), &[RBAC]);
                }
            }
            other => faults.not_supported(&kind.at, other, &["ServiceAccount", "User", "Group"]),
        }
    }
}
