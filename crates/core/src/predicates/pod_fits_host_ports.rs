//! # Rule
//! The node has all host ports of the pod free. Two ports conflict if number and transport are equal, and the address is equal or either
//! is `0.0.0.0` (also when none is given), which stands for all addresses.
//!
//! # Policy name and framework plugin
//! `PodFitsHostPorts`, in policies written for 1.0 `PodFitsPorts`, also part of `GeneralPredicates`; plugin `NodePorts`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/nodeports/node_ports.go`, `pkg/scheduler/framework/types.go` (`HostPortInfo`). 1.34
//! counts the ports of sidecars as well, which 1.22 did not know. 1.6 (`PodFitsHostPorts` in
//! `plugin/pkg/scheduler/algorithm/predicates/predicates.go`) compared numbers alone, whatever transport and address.
//!
//! # Reason text
//! `node(s) didn't have free ports for the requested pod ports`
//!
//! # Can preemption help?
//! Yes.
//!
//! # Example
//! A node that runs a pod with `hostPort: 80` on `127.0.0.1` takes one with `hostPort: 80` on `10.0.0.1`, but none with
//! `hostPort: 80` and no address.

use super::{Build, Demand, Predicate, Registration, Standing};
use crate::{
    model::Pod,
    rule::{Identity, Reads},
    snapshot::Snapshot,
    verdict::Verdict,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "PodFitsHostPorts",
        aliases: &["PodFitsPorts"],
        plugin: "NodePorts",
        modern_plugin: Some("NodePorts"),
        arguments: &[],
        source: include_str!("pod_fits_host_ports.rs"),
    },
    standing: Standing::Optional,
    build: Build::Rule(|_| Box::new(PodFitsHostPorts)),
};

struct PodFitsHostPorts;

impl Predicate for PodFitsHostPorts {
    fn prepare<'a>(&'a self, pod: &'a Pod, _: &'a Snapshot) -> Demand<'a> {
        if pod.spec.host_ports.is_empty() {
            return Demand::Nothing;
        }
        Demand::check(|node| {
            let taken =
                pod.spec.host_ports.iter().any(|port| node.used_ports.iter().any(|used| port.conflicts_with(used)));
            Verdict::fits_if(!taken, || {
                Verdict::unschedulable("node(s) didn't have free ports for the requested pod ports")
            })
        })
    }

    fn reads(&self, _: &Pod, _: &Snapshot) -> Reads {
        Reads::Node
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{PodBuilder, node, pod, predicate, verdict_of};
    use crate::{
        model::{HostPort, Protocol},
        rule::{Arguments, Release},
        snapshot::Object,
        verdict::Verdict,
    };

    fn takes(ip: &str, protocol: Protocol, port: u16) -> PodBuilder {
        pod("p").with(|pod| pod.spec_mut().host_ports.push(HostPort { ip: ip.into(), protocol, port }))
    }

    #[test]
    fn a_port_is_taken_once_per_transport_and_address() {
        let rule = predicate("PodFitsHostPorts", &Arguments::defaults(Release::V1_22));
        let local = takes("127.0.0.1", Protocol::Tcp, 80).on("n").with(|pod| pod.name = "local".into());
        let objects: [Object; 3] = [node("n").into(), local.into(), pod("open").host_port(443).on("n").into()];
        let cases = [
            (pod("p"), true),
            (takes("10.0.0.1", Protocol::Tcp, 80), true),
            (takes("127.0.0.1", Protocol::Tcp, 80), false),
            (takes("0.0.0.0", Protocol::Tcp, 80), false),
            (takes("127.0.0.1", Protocol::Udp, 80), true),
            (takes("10.0.0.1", Protocol::Tcp, 443), false),
            (takes("10.0.0.1", Protocol::Sctp, 443), true),
            (pod("p").host_port(8080), true),
            (pod("p").host_port(8080).host_port(443), false),
        ];
        for (pod, fits) in cases {
            let verdict = verdict_of(&*rule, pod, &objects, "n");
            let refused = Verdict::unschedulable("node(s) didn't have free ports for the requested pod ports");
            assert_eq!(verdict, if fits { Verdict::Fits } else { refused });
        }
    }
}
