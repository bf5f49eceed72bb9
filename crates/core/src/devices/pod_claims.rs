//! The claims of a pod, looked up once for all nodes.
//!
//! Source: `pkg/scheduler/framework/plugins/dynamicresources/dynamicresources.go` (`PreFilter`, `Filter`),
//! `dynamic-resource-allocation/resourceclaim/resourceclaim.go` (`Name`, `IsForPod`).

use std::sync::Arc;

use super::{
    DeviceIndex,
    allocate::{Failure, Wanted, WantedRequest, allocate},
};
use crate::{
    model::{DeviceAllocation, DeviceClass, ExactRequest, Name, Pod, PodClaimSource, ResourceClaim, Wants},
    node_info::NodeInfo,
    verdict::Verdict,
    work,
};

const NOT_HERE: &str = "resourceclaim not available on the node";
const NOT_ALL: &str = "cannot allocate all claims";
const TOO_LONG: &str = "timed out trying to allocate devices";

/// The claims of a pod.
#[derive(Debug)]
pub(crate) struct PodClaims<'a> {
    devices: &'a DeviceIndex,
    /// Claims that have their devices.
    settled: Vec<&'a Arc<ResourceClaim>>,
    /// Claims that have none yet.
    open: Vec<Wanted<'a>>,
}

impl<'a> PodClaims<'a> {
    /// Looks up the pod's claims.
    ///
    /// # Errors
    /// The reason that rules out every node.
    pub(crate) fn of(pod: &Pod, devices: &'a DeviceIndex) -> Result<Self, String> {
        let mut claims = Self { devices, settled: Vec::new(), open: Vec::new() };
        let mut found: Vec<&'a Arc<ResourceClaim>> = Vec::new();
        for claim in &pod.resource_claims {
            work::spend(4);
            let (name, is_made) = match &claim.source {
                PodClaimSource::Claim(name) => (name, false),
                PodClaimSource::Made(name) => (name, true),
                PodClaimSource::Needless => continue,
                PodClaimSource::NotMade => {
                    return Err(format!("pod \"{}/{}\": ResourceClaim not created yet", pod.namespace, pod.name));
                }
                PodClaimSource::Unknown => {
                    return Err(format!(
                        "pod \"{}/{}\", spec.resourceClaim {:?}: none of the supported fields are set",
                        pod.namespace, pod.name, claim.name
                    ));
                }
            };
            let claim = devices
                .claim(&pod.namespace, name)
                .ok_or_else(|| format!("could not find claim \"{}/{name}\"", pod.namespace))?;
            if claim.terminating {
                return Err(format!("resourceclaim {:?} is being deleted", claim.name));
            }
            if is_made && claim.controller_uid.as_ref() != Some(&pod.uid) {
                return Err(format!(
                    "ResourceClaim {}/{} was not created for pod {}/{} (pod is not owner)",
                    claim.namespace, claim.name, pod.namespace, pod.name
                ));
            }
            found.push(claim);
        }
        for claim in found {
            if claim.allocation.is_some() {
                claims.settled.push(claim);
            } else {
                claims.open.push(Wanted { claim, requests: requests(claim, devices)? });
            }
        }
        Ok(claims)
    }

    /// `true` if there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.settled.is_empty() && self.open.is_empty()
    }

    /// The verdict on a node.
    pub(crate) fn check(&self, node: &NodeInfo) -> Verdict {
        let is_far = |claim: &&Arc<ResourceClaim>| {
            work::spend(2);
            let selector = claim.allocation.as_ref().and_then(|allocation| allocation.node_selector.as_ref());
            selector.is_some_and(|selector| !selector.matches(node.name(), node.labels()))
        };
        // Devices are looked for first, as there.
        if let Err(failure) = self.allocate(node) {
            return Verdict::unresolvable(match failure {
                Failure::None => NOT_ALL.into(),
                Failure::TooLong => TOO_LONG.into(),
                Failure::Fault(fault) => crate::verdict::Reason::from(fault),
            });
        }
        Verdict::fits_if(!self.settled.iter().any(is_far), || Verdict::unresolvable(NOT_HERE))
    }

    /// The devices that each claim without any would get on the node.
    fn allocate(&self, node: &NodeInfo) -> Result<Vec<DeviceAllocation>, Failure> {
        if self.open.is_empty() { Ok(Vec::new()) } else { allocate(&self.open, self.devices, node) }
    }

    /// Each claim, with the devices that it would get on the node, on which the pod fits; `None` for those that it has.
    pub(crate) fn choices(&self, node: &NodeInfo) -> Vec<(Arc<ResourceClaim>, Option<DeviceAllocation>)> {
        let Ok(allocations) = self.allocate(node) else { return Vec::new() };
        let settled = self.settled.iter().map(|claim| (Arc::clone(claim), None));
        let open = self.open.iter().map(|wanted| Arc::clone(wanted.claim));
        settled.chain(open.zip(allocations.into_iter().map(Some))).collect()
    }
}

fn requests<'a>(claim: &'a ResourceClaim, devices: &'a DeviceIndex) -> Result<Vec<WantedRequest<'a>>, String> {
    let mut wanted = Vec::with_capacity(claim.requests.len());
    for request in &claim.requests {
        work::spend(2);
        let (has_alternatives, exact) = match &request.wants {
            Wants::Exactly(exact) => (false, std::slice::from_ref(exact)),
            Wants::FirstAvailable(alternatives) => (true, &alternatives[..]),
            Wants::Unknown => {
                return Err(format!(
                    "resource claim {}/{}, request {}: unknown request type",
                    claim.namespace, claim.name, request.name
                ));
            }
        };
        let class = |exact: &'a ExactRequest| {
            let name =
                if has_alternatives { format!("{}/{}", request.name, exact.name) } else { request.name.to_string() };
            class_of(exact, &name, devices).map(|class| (exact, class))
        };
        let alternatives = exact.iter().map(class).collect::<Result<_, _>>()?;
        wanted.push(WantedRequest { name: &request.name, has_alternatives, alternatives });
    }
    Ok(wanted)
}

fn class_of<'a>(request: &ExactRequest, name: &str, devices: &'a DeviceIndex) -> Result<&'a DeviceClass, String> {
    let class: &Name = &request.class;
    if class.is_empty() {
        return Err(format!("request {name}: unsupported request type"));
    }
    devices
        .class(class)
        .map(|class| &**class)
        .ok_or_else(|| format!("request {name}: device class {class} does not exist"))
}
