//! Containers: their names, ports and claims.
//!
//! Source: `pkg/apis/core/validation/validation.go` (`validateContainers`, `validateInitContainers`,
//! `validateContainerCommon`, `validateContainerPorts`, `AccumulateUniqueHostPorts`, `validateResourceClaimNames`).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::resources::{self, Owner};
use crate::{
    fault::{Faults, Path},
    objects::{
        names,
        pod::{Container, ContainerPort},
    },
};

/// Fields of a container that only validation reads.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Extra {
    ports: Vec<ExtraPort>,
    resources: ExtraResources,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ExtraPort {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ExtraResources {
    claims: Vec<Claim>,
}

/// A device that a container uses.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Claim {
    name: String,
    request: String,
}

/// The names that a pod gives to its containers and its claims.
pub(super) struct Named<'a> {
    /// Names of containers so far.
    pub containers: BTreeSet<&'a str>,
    /// Of `spec.resourceClaims`.
    pub claims: BTreeSet<&'a str>,
}

/// The containers that run as long as the pod does.
pub(super) fn regular<'a>(
    list: &'a [Container],
    extra: &[Extra],
    named: &mut Named<'a>,
    at: &Path<'_>,
    faults: &mut Faults,
) {
    let mut taken = BTreeSet::new();
    for (i, container) in list.iter().enumerate() {
        let at = at.index(i);
        common(container, extra.get(i), named, &at, faults);
        if !container.restart_policy.is_empty() {
            faults.forbidden(&at.child("restartPolicy"), "may not be set for non-init containers");
        }
        host_ports(&container.ports, &mut taken, &at, faults);
    }
}

/// The containers that run before them, or as sidecars beside them.
pub(super) fn init<'a>(
    list: &'a [Container],
    extra: &[Extra],
    named: &mut Named<'a>,
    at: &Path<'_>,
    faults: &mut Faults,
) {
    for (i, container) in list.iter().enumerate() {
        let at = at.index(i);
        common(container, extra.get(i), named, &at, faults);
        if !matches!(container.restart_policy.as_str(), "" | "Always") {
            faults.not_supported(&at.child("restartPolicy"), &container.restart_policy, &["Always"]);
        }
        host_ports(&container.ports, &mut BTreeSet::new(), &at, faults);
    }
}

fn common<'a>(
    container: &'a Container,
    extra: Option<&Extra>,
    named: &mut Named<'a>,
    at: &Path<'_>,
    faults: &mut Faults,
) {
    let name_at = at.child("name");
    if container.name.is_empty() {
        faults.required(&name_at, "");
    } else {
        if let Err(rule) = names::dns_label(&container.name) {
            faults.invalid(&name_at, &container.name, rule);
        }
        if !named.containers.insert(&container.name) {
            faults.duplicate(&name_at, &container.name);
        }
    }
    let resources_at = at.child("resources");
    if let Some(extra) = extra {
        ports(&container.ports, &extra.ports, &at.child("ports"), faults);
        claims(&extra.resources.claims, &named.claims, &resources_at.child("claims"), faults);
    }
    resources::requirements(&container.resources, Owner::Container, &resources_at, faults);
}

fn ports(ports: &[ContainerPort], extra: &[ExtraPort], at: &Path<'_>, faults: &mut Faults) {
    let mut named = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let at = at.index(i);
        if let Some(name) = extra.get(i).map(|extra| extra.name.as_str()).filter(|name| !name.is_empty()) {
            if let Err(rule) = names::port_name(name) {
                faults.invalid(&at.child("name"), name, rule);
            } else if !named.insert(name) {
                faults.duplicate(&at.child("name"), name);
            }
        }
        let container_at = at.child("containerPort");
        if port.container_port == 0 {
            faults.required(&container_at, "");
        } else if !(1..=65535).contains(&port.container_port) {
            faults.invalid(&container_at, port.container_port, "must be between 1 and 65535, inclusive");
        }
    }
}

/// No host port of the node is used twice.
fn host_ports(ports: &[ContainerPort], taken: &mut BTreeSet<String>, at: &Path<'_>, faults: &mut Faults) {
    let ports_at = at.child("ports");
    for (i, port) in ports.iter().enumerate().filter(|(_, port)| port.host_port != 0) {
        let protocol = if port.protocol.is_empty() { "TCP" } else { &port.protocol };
        let wanted = format!("{protocol}/{}/{}", port.host_ip, port.host_port);
        if taken.contains(&wanted) {
            faults.duplicate(&ports_at.index(i).child("hostPort"), &wanted);
        }
        taken.insert(wanted);
    }
}

fn claims(claims: &[Claim], named: &BTreeSet<&str>, at: &Path<'_>, faults: &mut Faults) {
    let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (i, claim) in claims.iter().enumerate() {
        let at = at.index(i);
        if claim.name.is_empty() {
            faults.required(&at, "");
            continue;
        }
        if !claim.request.is_empty()
            && let Err(rule) = names::dns_label(&claim.request)
        {
            faults.invalid(&at.child("request"), &claim.request, rule);
        }
        // A claim without a request is all of them.
        let requests = used.entry(&claim.name).or_default();
        let overlaps = requests.contains("") || (claim.request.is_empty() && !requests.is_empty());
        if !requests.insert(&claim.request) || overlaps {
            faults.duplicate(&at, &claim.name);
        }
        if !named.contains(claim.name.as_str()) {
            let known = named.iter().copied().collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { " which is empty".into() } else { format!(": {known}") };
            faults.not_found(&at, &claim.name, format!("must be one of the names in pod.spec.resourceClaims{known}"));
        }
    }
}
