//! Nodes.
//!
//! Source: `api/core/v1/types.go` (`Node`).

use super::{Labels, Name, NodeFacts, Resources, Taint, UNSCHEDULABLE, topology::HOSTNAME};

/// The annotation that `NodePreferAvoidPodsPriority` reads.
pub const PREFER_AVOID_PODS: &str = "scheduler.alpha.kubernetes.io/preferAvoidPods";

/// A node, as far as scheduling reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: Name,
    /// Its labels.
    pub labels: Labels,
    /// `spec.unschedulable` (cordoned).
    pub unschedulable: bool,
    /// Its taints, in their order.
    pub taints: Vec<Taint>,
    /// Amounts offered to pods.
    pub allocatable: Resources,
    /// The images it holds.
    pub images: Vec<Image>,
    /// The controllers whose pods it asks to avoid (annotation [`PREFER_AVOID_PODS`]).
    pub avoid_controllers: Vec<AvoidController>,
    /// Its conditions, by type, which the predicates of releases before 1.18 read.
    pub conditions: Vec<(Name, ConditionStatus)>,
    /// Facts that placement does not read; `None` where it came with a decision that needs none.
    pub facts: Option<Box<NodeFacts>>,
}

impl Node {
    /// `true` if both nodes are equal for placement except for their images, which only `ImageLocalityPriority` reads.
    pub fn is_but_for_images(&self, other: &Self) -> bool {
        let Self {
            name,
            labels,
            unschedulable,
            taints,
            allocatable,
            images: _,
            avoid_controllers,
            conditions,
            facts: _,
        } = self;
        *name == other.name
            && *labels == other.labels
            && *unschedulable == other.unschedulable
            && *taints == other.taints
            && *allocatable == other.allocatable
            && *avoid_controllers == other.avoid_controllers
            && *conditions == other.conditions
    }

    /// A node like this one under another name, which its label of the host has as well.
    #[must_use]
    pub fn renamed(&self, name: Name) -> Self {
        let mut renamed = self.clone();
        if renamed.labels.has(HOSTNAME) {
            renamed.labels = renamed.labels.iter().cloned().chain([(HOSTNAME.into(), name.clone())]).collect();
        }
        renamed.name = name;
        renamed
    }

    /// Opens the node for pods again.
    pub fn uncordon(&mut self) {
        self.unschedulable = false;
        self.taints.retain(|taint| &*taint.key != UNSCHEDULABLE);
    }

    /// The status of a condition; `None` if the node does not report it.
    pub fn condition(&self, kind: &str) -> Option<ConditionStatus> {
        self.conditions.iter().find(|(name, _)| **name == *kind).map(|(_, status)| *status)
    }

    /// `true` unless the node reports that it is not ready.
    pub fn may_be_ready(&self) -> bool {
        self.condition("Ready").is_none_or(|status| status == ConditionStatus::True)
    }
}

/// One image on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// All its names: tags and digests.
    pub names: Vec<Name>,
    /// Bytes.
    pub size: i64,
}

/// A controller whose pods a node asks to avoid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvoidController {
    /// `ReplicationController` or `ReplicaSet`.
    pub kind: Name,
    /// Its uid.
    pub uid: Name,
}

/// The status of a node condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}
