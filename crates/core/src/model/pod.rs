//! Pods.
//!
//! Source: `api/core/v1/types.go` (`Pod`).

use std::sync::Arc;

use super::{
    Affinity, ControllerRef, Held, HostPort, Labels, Name, Node, PodClaim, PodClaimSource, PodFacts, PodRequests,
    PreemptionPolicy, ResourceList, Resources, Toleration, TopologySpreadConstraint, Volume,
};

/// A pod, as far as scheduling reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Pod {
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// Its uid.
    pub uid: Name,
    /// Its labels.
    pub labels: Labels,
    /// The controller that owns it.
    pub controller: Option<Arc<ControllerRef>>,
    /// The node it is bound to, or asks for by name (`spec.nodeName`); empty for none.
    pub node_name: Name,
    /// The node on which preemption made room for it (`status.nominatedNodeName`); empty for none.
    pub nominated_node_name: Name,
    /// `true` if it has ended (`Succeeded` or `Failed`), so that it holds nothing any more.
    pub terminal: bool,
    /// `true` if it is being deleted (`metadata.deletionTimestamp`).
    pub terminating: bool,
    /// `true` if its node reports that it has not started (`status.phase` is `Pending`).
    pub pending: bool,
    /// `true` if it is ready (condition `Ready`).
    pub ready: bool,
    /// `true` if kube-scheduler preempted it for a pod of higher priority (condition `DisruptionTarget`, reason
    /// `PreemptionByScheduler`, set since 1.26).
    pub preempted: bool,
    /// `metadata.creationTimestamp`, in nanoseconds since 1970; `None` if absent.
    pub created: Option<i64>,
    /// Its place among the pods of a cluster that came with a request, from 1; 0 for a stored one.
    pub arrival: u32,
    /// `status.startTime`, in nanoseconds since 1970; `None` where it has not started.
    pub start_time: Option<i64>,
    /// Its demands.
    pub spec: Arc<PodSpec>,
    /// Amounts that it holds while its containers are resized in place; `None` if they equal its requests.
    pub held: Option<Box<Held>>,
    /// Its volumes.
    pub volumes: Vec<Volume>,
    /// Its claims to devices (`spec.resourceClaims`).
    pub resource_claims: Vec<PodClaim>,
    /// The [limit](crate::limits) that it exceeds, and why: no decision is made for such a pod. `None` if it keeps all limits.
    pub excess: Option<Name>,
    /// Facts that placement does not read; `None` for those of a running pod that has none of its own ([`Pod::facts`]).
    pub facts: Option<Box<PodFacts>>,
}

/// The demands of a pod. The pods of one workload share them in a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSpec {
    /// The scheduler it asks for.
    pub scheduler_name: Name,
    /// `spec.priority`; `None` if the object has none and its class decides.
    pub priority: Option<i32>,
    /// `spec.priorityClassName`; empty for none.
    pub priority_class_name: Name,
    /// Permission to preempt others.
    pub preemption_policy: Option<PreemptionPolicy>,
    /// Amounts that it holds on a node: containers, pod-level amounts and overhead together ([`PodRequests::total`]).
    pub requests: Resources,
    /// CPU and memory as the scoring of other pods counts them on its node ([`PodRequests::non_zero`]).
    pub non_zero_requests: Resources,
    /// Amounts that count when nodes are scored for it ([`PodRequests::scored`]).
    pub scored_requests: Resources,
    /// `spec.overhead`, also within all three.
    pub overhead: ResourceList,
    /// The limits of its containers together, by the rules for requests, without overhead.
    pub limits: Resources,
    /// The images of its containers.
    pub images: Vec<Name>,
    /// The images of its init containers.
    pub init_images: Vec<Name>,
    /// The host ports it takes.
    pub host_ports: Vec<HostPort>,
    /// `spec.nodeSelector`: labels that the node must have.
    pub node_selector: Labels,
    /// Its affinities.
    pub affinity: Affinity,
    /// Tolerations of taints.
    pub tolerations: Vec<Toleration>,
    /// How it and its like are to be spread.
    pub topology_spread: Vec<TopologySpreadConstraint>,
    /// Scheduling gates, which keep it from being scheduled.
    pub scheduling_gates: Vec<Name>,
}

impl Pod {
    /// Its demands, to be changed.
    pub fn spec_mut(&mut self) -> &mut PodSpec {
        Arc::make_mut(&mut self.spec)
    }

    /// Fills in everything that follows from what its parts ask for.
    pub fn set_requests(&mut self, asked: PodRequests) {
        self.held = None;
        let spec = self.spec_mut();
        spec.requests = asked.total();
        spec.non_zero_requests = asked.non_zero();
        spec.scored_requests = asked.scored();
        spec.overhead = asked.overhead;
    }

    /// Lets it share with another what both have alike, so that it takes less memory.
    pub(crate) fn share(&mut self, other: &Self) {
        fn share<T: Clone + PartialEq>(own: &mut T, other: &T) {
            if own == other {
                own.clone_from(other);
            }
        }
        share(&mut self.spec, &other.spec);
        share(&mut self.namespace, &other.namespace);
        share(&mut self.labels, &other.labels);
        share(&mut self.controller, &other.controller);
    }

    /// Its priority, or 0 if the object has none.
    pub fn priority_or_default(&self) -> i32 {
        self.spec.priority.unwrap_or(0)
    }

    /// `true` if its node selector and its required node affinity accept a node.
    pub fn selects_node(&self, node: &Node) -> bool {
        self.spec.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
            && self
                .spec
                .affinity
                .node_required
                .as_ref()
                .is_none_or(|required| required.matches(&node.name, &node.labels))
    }

    /// `true` if no container has a request or limit of CPU or memory (quality of service `BestEffort`).
    pub fn is_best_effort(&self) -> bool {
        let overhead = Resources::from_list(&self.spec.overhead);
        self.spec.requests.milli_cpu <= overhead.milli_cpu
            && self.spec.requests.memory <= overhead.memory
            && self.spec.limits.milli_cpu == 0
            && self.spec.limits.memory == 0
    }

    /// `true` if both pods have the same demands: they differ in name, uid and times at most.
    pub fn is_like(&self, other: &Self) -> bool {
        // Without `..`, so that a new field has to be thought of.
        let Self {
            name: _,
            uid: _,
            start_time: _,
            created: _,
            arrival: _,
            // How far it has come, and whether it may be evicted, changes nothing about what it demands.
            pending: _,
            ready: _,
            facts: _,
            namespace,
            labels,
            controller,
            node_name,
            nominated_node_name,
            terminal,
            terminating,
            preempted,
            spec,
            held,
            volumes,
            resource_claims,
            excess,
        } = self;
        *namespace == other.namespace
            && *labels == other.labels
            && *controller == other.controller
            && *node_name == other.node_name
            && *nominated_node_name == other.nominated_node_name
            && (*terminal, *terminating, *preempted) == (other.terminal, other.terminating, other.preempted)
            && *spec == other.spec
            && *held == other.held
            && *excess == other.excess
            && *volumes == other.volumes
            && *resource_claims == other.resource_claims
            // A claim from a template is made for one pod.
            && (self.uid == other.uid || !self.has_claims_of_its_own())
    }

    fn has_claims_of_its_own(&self) -> bool {
        self.resource_claims.iter().any(|claim| !matches!(claim.source, PodClaimSource::Claim(_)))
    }

    /// `true` if both have one namespace and name.
    pub fn is_same(&self, other: &Pod) -> bool {
        self.name == other.name && self.namespace == other.namespace
    }

    /// `true` if claims to volumes or devices may get theirs when it is bound.
    pub fn may_have_claims(&self) -> bool {
        !(self.volumes.is_empty() && self.resource_claims.is_empty())
    }

    /// `true` if it is on a node.
    pub fn is_assigned(&self) -> bool {
        !self.node_name.is_empty()
    }

    /// `true` if it is to be placed: it is on no node, has not ended, is not being deleted, and its parts can be counted.
    pub fn waits(&self) -> bool {
        !self.is_assigned() && !self.terminal && !self.terminating && self.excess.is_none()
    }

    /// Its `namespace/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}
