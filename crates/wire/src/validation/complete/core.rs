//! Nodes, namespaces, claims, config maps and leases.
//!
//! Source: `pkg/apis/core/validation/validation.go` (`ValidateNode`, `ValidateNamespace`, `ValidateConfigMap`,
//! `ValidatePersistentVolumeClaimSpec`), `pkg/apis/coordination/validation/validation.go`.

use std::collections::BTreeSet;

use super::part::Part;
use crate::{
    fault::{Faults, Path},
    objects::names,
};

/// Most bytes of the values of a config map.
const CONFIG_MAP: usize = 1024 * 1024;

pub(super) fn node(node: &Part<'_>, faults: &mut Faults) {
    let spec = node.get("spec");
    let ranges = spec.get("podCIDRs");
    let mut are_ranges = true;
    for range in ranges.items() {
        are_ranges &= range.cidr(faults);
    }
    let families: Vec<bool> = ranges.items().map(|range| range.text().contains(':')).collect();
    if are_ranges && families.len() > 1 {
        let why = "may specify no more than one CIDR for each IP family";
        if families.len() > 2 || families.first() == families.get(1) {
            faults.invalid_json(&ranges.at, ranges.value, why);
        }
    }
    let status = node.get("status");
    let mut addresses = BTreeSet::new();
    for address in status.get("addresses").items() {
        if !addresses.insert(address.value.to_string()) {
            faults.duplicate(&address.at, address.value);
        }
    }
}

pub(super) fn namespace(namespace: &Part<'_>, faults: &mut Faults) {
    for finalizer in namespace.get("spec").get("finalizers").items() {
        if let Err(why) = names::qualified_name(finalizer.text()) {
            faults.invalid(&finalizer.at, finalizer.text(), why);
        } else if finalizer.text() != "kubernetes" && !finalizer.text().contains('/') {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            faults.invalid(&finalizer.at, finalizer.text(), why);
        }
    }
}

pub(super) fn config_map(map: &Part<'_>, faults: &mut Faults) {
    let (data, binary) = (map.get("data"), map.get("binaryData"));
    let mut size = 0;
    for (key, value) in data.entries() {
        config_key(key, &value, faults);
        if !binary.get(key).is_absent() {
            faults.invalid(&value.at, key, "duplicate of key present in binaryData");
        }
        size += value.text().len();
    }
    for (key, value) in binary.entries() {
        config_key(key, &value, faults);
        size += value.text().len() / 4 * 3;
    }
    if size > CONFIG_MAP {
        // The path of the whole object, as the API server writes it.
        faults.too_long(&Path::ROOT.key(""), CONFIG_MAP);
    }
}

fn config_key(key: &str, value: &Part<'_>, faults: &mut Faults) {
    if key.len() > 253 {
        faults.invalid(&value.at, key, "must be no more than 253 characters");
    }
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        let why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
                   'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
        faults.invalid(&value.at, key, why);
    } else if key == "." {
        faults.invalid(&value.at, key, "must not be '.'");
    } else if key == ".." {
        faults.invalid(&value.at, key, "must not be '..'");
    } else if key.starts_with("..") {
        faults.invalid(&value.at, key, "must not start with '..'");
    }
}

/// The spec of a claim, or of a template of claims.
pub(super) fn claim(spec: &Part<'_>, faults: &mut Faults) {
    for field in ["dataSource", "dataSourceRef"] {
        let source = spec.get(field);
        if source.is_absent() {
            continue;
        }
        source.get("name").required(faults);
        let (kind, group) = (source.get("kind"), source.get("apiGroup"));
        kind.required(faults);
        if group.text().is_empty() && kind.text() != "PersistentVolumeClaim" {
            let why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
            faults.invalid(&source.at, kind.text(), why);
        }
        group.named(names::dns_subdomain, faults);
        source.get("namespace").named(names::dns_label, faults);
    }
    let (source, reference) = (spec.get("dataSource"), spec.get("dataSourceRef"));
    if !source.is_absent() && !reference.is_absent() && reference.get("namespace").text().is_empty() {
        let differs =
            ["name", "kind", "apiGroup"].into_iter().any(|field| source.get(field).value != reference.get(field).value);
        if differs {
            faults.invalid_json(&spec.at, source.value, "must match dataSourceRef");
        }
    }
}

pub(super) fn lease(lease: &Part<'_>, faults: &mut Faults) {
    let spec = lease.get("spec");
    spec.get("leaseDurationSeconds").positive(faults);
    spec.get("leaseTransitions").not_negative(faults);
    let holder = spec.get("preferredHolder");
    if !holder.text().is_empty() && spec.get("strategy").text().is_empty() {
        faults.forbidden(&holder.at, "may only be specified if `strategy` is defined");
    }
}
