//! Services.
//!
//! Source: `pkg/apis/core/validation/validation.go` (`validateService`, `validateServicePort`).

use std::collections::BTreeSet;

use super::part::Part;
use crate::{fault::Faults, objects::names};

pub(super) fn service(service: &Part<'_>, faults: &mut Faults) {
    let spec = service.get("spec");
    let (of, ports) = (spec.get("type"), spec.get("ports"));
    let is_headless = spec.get("clusterIP").text() == "None";
    let is_external = of.text() == "ExternalName";
    let count = ports.items().count();
    if count == 0 && !is_headless && !is_external {
        faults.required(&ports.at, "");
    }
    match of.text() {
        "LoadBalancer" => {
            for port in ports.items().filter(|port| port.get("port").int() == Some(10250)) {
                let at = port.get("port");
                faults.invalid(&at.at, 10250, "may not expose port 10250 externally since it is used by kubelet");
            }
            if is_headless {
                faults.invalid(
                    &spec.get("clusterIPs").at.index(0),
                    "None",
                    "may not be set to 'None' for LoadBalancer services",
                );
            }
        }
        "NodePort" if is_headless => {
            faults.invalid(
                &spec.get("clusterIPs").at.index(0),
                "None",
                "may not be set to 'None' for NodePort services",
            );
        }
        "ExternalName" => {
            let name = spec.get("externalName");
            let bare = name.text().strip_suffix('.').unwrap_or(name.text());
            if bare.is_empty() {
                faults.required(&name.at, "");
            } else if let Err(why) = names::dns_subdomain(bare) {
                faults.invalid(&name.at, bare, why);
            }
        }
        _ => {}
    }
    let mut named = BTreeSet::new();
    for port in ports.items() {
        let name = port.get("name");
        if name.text().is_empty() {
            if count > 1 {
                faults.required(&name.at, "");
            }
        } else {
            name.named(names::dns_label, faults);
            if !named.insert(name.text().to_owned()) {
                faults.duplicate(&name.at, name.text());
            }
        }
        let number = port.get("port");
        number.port(faults);
        port.get("protocol").one_of(&["SCTP", "TCP", "UDP"], faults);
        port.get("targetPort").port(faults);
        port.get("appProtocol").named(names::qualified_name, faults);
    }
    let mut taken = BTreeSet::new();
    for port in ports.items() {
        let (protocol, number) = (port.get("protocol").text().to_owned(), port.get("port").int());
        if !taken.insert((protocol, number)) {
            faults.duplicate(&port.at, port.value);
        }
    }
    spec.get("sessionAffinity").one_of(&["ClientIP", "None"], faults);
    let timeout = spec.get("sessionAffinityConfig");
    let (client, seconds) = ("clientIP", "timeoutSeconds");
    if let Some(value) = timeout.get(client).get(seconds).int().filter(|value| !(1..=86400).contains(value)) {
        let client = timeout.get(client);
        faults.invalid(&client.get(seconds).at, value, "must be greater than 0 and less than 86400");
    }
    for address in spec.get("externalIPs").items() {
        address.address(faults);
    }
    if of.text().is_empty() {
        faults.required(&of.at, "");
    } else {
        of.one_of(&["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], faults);
    }
    spec.get("internalTrafficPolicy").one_of(&["Cluster", "Local"], faults);
    spec.get("externalTrafficPolicy").one_of(&["Cluster", "Local"], faults);
}
