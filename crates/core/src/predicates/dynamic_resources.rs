//! # Rule
//! The node must have access to the devices of each claim of the pod (`spec.resourceClaims`), or to free devices for it. A pod without
//! claims fits everywhere.
//!
//! A claim that has its devices (`status.allocation`) fits the nodes of its node selector.
//!
//! For the claims that have none, free devices are looked for, for all of them together. The devices are those of the ResourceSlices
//! that the node has access to (`nodeName`, `allNodes`, `nodeSelector`); of a pool, the slices of its highest generation count. A device
//! suits a request if the selectors of its DeviceClass and of the request hold for it (CEL). A request wants a number of devices
//! (`ExactCount`) or all that suit, and at least one (`All`); or it lists alternatives (`firstAvailable`), the first of which counts that can
//! be met. `matchAttribute` demands one value of an attribute from all devices of the claim. A device goes to one claim only, except with
//! `adminAccess`, and a claim has 32 devices at most.
//!
//! Devices that a claim has are taken, until the claim is deleted or its status says otherwise. The commit that binds the pod also
//! writes the devices into its claims, and the pod into `status.reservedFor`. So no device is given twice.
//!
//! These faults rule out every node before any is checked: a claim that does not exist, is being deleted, was made for another pod
//! or has not been made from its template yet; a class that does not exist.
//!
//! Features that are off by default in 1.34 are off here: devices that need conditions before use, that share counters or that choose nodes for
//! themselves are not allocated, taints of devices rule out nothing, and requests for a part of a device's capacity are refused.
//! Extended resources are not mapped to classes.
//!
//! If kube-scheduler handles the claims itself and Podberth is its extender, turn the plugin off in Podberth's profile
//! (`disabled: [{name: DynamicResources}]`). Claims then rule out no node here.
//!
//! # Limits
//! The search for devices looks at 131,072 candidates on one node and then gives up, with the words that kube-scheduler has when its
//! ten seconds are over. Requests and devices of a pod's claims together may be 256. An expression may have 10 KiB, be nested 64
//! deep and cost a million, as in the API server; 64 units of that cost count as one candidate. Functions on durations, timestamps,
//! byte strings, URLs and addresses are not there.
//!
//! # Policy name and framework plugin
//! `DynamicResources` is no policy name: it came after policies and runs only in profiles of 1.34; plugin
//! `DynamicResources`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/dynamicresources/dynamicresources.go`; the search is that of
//! `dynamic-resource-allocation/structured/internal/experimental`, which 1.34 uses by default. 1.22 and 1.6 know no resource claims.
//!
//! A fault in a class, a claim or a pool makes kube-scheduler give up the pod. Here it rules out the node where it is met.
//!
//! # Reason text
//! - `cannot allocate all claims`
//! - `resourceclaim not available on the node`
//! - `could not find claim "<namespace>/<name>"`
//! - `resourceclaim "<name>" is being deleted`
//! - `pod "<namespace>/<name>": ResourceClaim not created yet`
//! - `ResourceClaim <namespace>/<name> was not created for pod <namespace>/<name> (pod is not owner)`
//! - `request <name>: device class <name> does not exist`
//! - `timed out trying to allocate devices`
//! - of a fault its own text, as `class <name>: selector #0: CEL runtime error: <error>`
//!
//! # Can preemption help?
//! No: unresolvable.
//!
//! # Example
//! Class `gpu` has the selector `device.driver == "gpu.example.com"`. Node `a` has one slice of that driver with one device, which no
//! claim has. A pod with a claim to one device of the class fits `a`, and no node without such a slice. Once it is bound, the next one
//! with a claim of its own fits nowhere: `cannot allocate all claims`.

use super::{Build, Demand, Predicate, Registration, Standing};
use crate::{
    claim_choice::ClaimChoice,
    devices::PodClaims,
    model::Pod,
    node_info::NodeInfo,
    rule::{Identity, Reads},
    snapshot::Snapshot,
    verdict::Verdict,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "DynamicResources",
        aliases: &[],
        plugin: "DynamicResources",
        modern_plugin: Some("DynamicResources"),
        arguments: &[],
        source: include_str!("dynamic_resources.rs"),
    },
    standing: Standing::ProfilesOnly,
    build: Build::Rule(|_| Box::new(DynamicResources)),
};

struct DynamicResources;

impl Predicate for DynamicResources {
    fn prepare<'a>(&'a self, pod: &'a Pod, snapshot: &'a Snapshot) -> Demand<'a> {
        if pod.resource_claims.is_empty() {
            return Demand::Nothing;
        }
        match PodClaims::of(pod, snapshot.devices()) {
            Err(fault) => Demand::Reject(Verdict::unresolvable(fault)),
            Ok(claims) if claims.is_empty() => Demand::Nothing,
            Ok(claims) => Demand::check(move |node| claims.check(node)),
        }
    }

    fn choose(&self, pod: &Pod, snapshot: &Snapshot, node: &NodeInfo) -> Vec<ClaimChoice> {
        let Ok(claims) = PodClaims::of(pod, snapshot.devices()) else { return Vec::new() };
        let choices = claims.choices(node).into_iter();
        // A claim that has its devices and is reserved for the pod needs nothing.
        let open = choices.filter(|(claim, devices)| devices.is_some() || !claim.reserved_for.contains(&pod.uid));
        let choice = |(claim, allocation)| ClaimChoice::Devices {
            claim,
            allocation,
            pod: pod.name.clone(),
            pod_uid: pod.uid.clone(),
        };
        open.map(choice).collect()
    }

    fn reads(&self, pod: &Pod, _: &Snapshot) -> Reads {
        if pod.resource_claims.is_empty() { Reads::Nothing } else { Reads::Cluster }
    }
}
