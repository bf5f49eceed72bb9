//! The spec of a pod, or of a template of pods.
//!
//! Source: `pkg/apis/core/validation/validation.go` (`validatePodSpec`, `validatePodDNSConfig`, `ValidateHostAliases`, `validateOS`,
//! `validateReadinessGates`, `validateImagePullSecrets`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{container, part::Part};
use crate::{fault::Faults, objects::names};

pub(super) fn spec(spec: &Part<'_>, faults: &mut Faults) {
    let volumes = spec.get("volumes");
    let volumes: BTreeSet<&str> =
        volumes.items().map(|volume| volume.value["name"].as_str().unwrap_or_default()).collect();
    for list in ["containers", "initContainers"] {
        for container in spec.get(list).items() {
            container::container(&container, list, &volumes, faults);
        }
    }
    ephemeral(spec, &volumes, faults);
    dns(spec, faults);
    spec.get("serviceAccountName").named(names::dns_subdomain, faults);
    spec.get("hostname").named(names::dns_label, faults);
    spec.get("subdomain").named(names::dns_label, faults);
    spec.get("os").get("name").one_of_os(&spec.get("os"), faults);
    for secret in spec.get("imagePullSecrets").items() {
        secret.get("name").required(faults);
    }
    for gate in spec.get("readinessGates").items() {
        let kind = gate.get("conditionType");
        if let Err(why) = names::qualified_name(kind.text()) {
            faults.invalid(&kind.at, kind.text(), why);
        }
    }
    for alias in spec.get("hostAliases").items() {
        alias.get("ip").address(faults);
        for name in alias.get("hostnames").items() {
            if let Err(why) = names::dns_subdomain(name.text()) {
                faults.invalid(&name.at, name.text(), why);
            }
        }
    }
    let (shared, host) = (spec.get("shareProcessNamespace"), spec.get("hostPID"));
    if shared.value == true && host.value == true {
        faults.invalid(&shared.at, true, "ShareProcessNamespace and HostPID cannot both be enabled");
    }
    for constraint in spec.get("topologySpreadConstraints").items() {
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            constraint.get(field).one_of(&["Honor", "Ignore"], faults);
        }
    }
}

/// Containers for debugging: none of a pod's services may rest on them (`validateEphemeralContainers`).
fn ephemeral(spec: &Part<'_>, volumes: &BTreeSet<&str>, faults: &mut Faults) {
    const OTHERS: &str = "cannot be set for an Ephemeral Container";
    let name = |container: &Part<'_>| container.value["name"].as_str().unwrap_or_default().to_owned();
    let names = |list| spec.get(list).items().map(|container| name(&container)).collect::<BTreeSet<_>>();
    let others: BTreeSet<String> = names("containers").union(&names("initContainers")).cloned().collect();
    let mut all = others.clone();
    for container in spec.get(crate::ephemeral::FIELD).items() {
        let named = container.get("name");
        if named.required(faults) {
            named.named(names::dns_label, faults);
        }
        container::container(&container, crate::ephemeral::FIELD, volumes, faults);
        if !all.insert(name(&container)) {
            faults.duplicate(&named.at, named.text());
        }
        let target = container.get("targetContainerName");
        if !target.text().is_empty() && !others.contains(target.text()) {
            faults.missing(&target.at, target.text());
        }
        for field in ["ports", "resources", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] {
            let part = container.get(field);
            let is_set = match part.value {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Object(fields) => !fields.is_empty() || field != "resources",
                _ => true,
            };
            if is_set {
                faults.forbidden(&part.at, OTHERS);
            }
        }
        for mount in container.get("volumeMounts").items() {
            for part in [mount.get("subPath"), mount.get("subPathExpr")] {
                if !part.text().is_empty() {
                    faults.forbidden(&part.at, OTHERS);
                }
            }
        }
    }
}

fn dns(spec: &Part<'_>, faults: &mut Faults) {
    let policy = spec.get("dnsPolicy");
    policy.one_of(&["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], faults);
    let config = spec.get("dnsConfig");
    let servers = config.get("nameservers");
    let count = servers.items().count();
    if policy.text() == "None" {
        if config.is_absent() {
            faults.required(&config.at, "must provide `dnsConfig` when `dnsPolicy` is None");
            return;
        }
        if count == 0 {
            faults.required(&servers.at, "must provide at least one DNS nameserver when `dnsPolicy` is None");
        }
    }
    if count > 3 {
        faults.invalid_json(&servers.at, servers.value, "must not have more than 3 nameservers");
    }
    for server in servers.items() {
        server.address(faults);
    }
    for option in config.get("options").items() {
        if option.get("name").text().is_empty() {
            faults.required(&option.at, "must not be empty");
        }
    }
}

impl Part<'_> {
    /// The operating system is told at the whole field.
    fn one_of_os(&self, os: &Part<'_>, faults: &mut Faults) {
        if os.is_absent() {
            return;
        }
        if self.text().is_empty() {
            faults.required(&self.at, "cannot be empty");
        } else if !matches!(self.text(), "linux" | "windows") {
            faults.not_supported(&os.at, self.text(), &["linux", "windows"]);
        }
    }
}
