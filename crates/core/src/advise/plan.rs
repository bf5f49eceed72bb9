//! Plans of advice: the steps by which a cluster comes to be as an answer says, each with its reason.
//!
//! All answers and the loops speak of the same steps. A plan says nothing of how a step is carried out: a loop writes objects, asks for evictions or
//! tells a webhook; a reader of an answer may do it by hand. [`lint()`] finds what no plan may have.

use std::{fmt, sync::Arc};

use crate::model::{Name, Pod};

mod lint;

pub use self::lint::{Broken, Pace, has_to_move, lint};

/// The steps of an answer, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdvicePlan {
    /// The revision of the snapshot that it was computed on.
    pub revision: u64,
    /// In their order.
    pub steps: Vec<AdviceStep>,
}

/// A step, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdviceStep {
    /// The change.
    pub kind: StepKind,
    /// Why.
    pub why: String,
}

/// The change that a step makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// The node group is to have another number of nodes: some are added, or some are no longer awaited.
    SetTargetSize {
        /// The group.
        group: Name,
        /// The number that it was to have.
        from: u32,
        /// The number that it is to have.
        to: u32,
    },
    /// The node takes no new pods, since it is to go.
    Cordon {
        /// The node.
        node: Name,
    },
    /// The node stays.
    Uncordon {
        /// The node.
        node: Name,
        /// `false` if it takes no pods all the same: it was cordoned before, by somebody else.
        opens: bool,
    },
    /// The pod leaves its node, and no other node is known that takes it.
    Evict {
        /// The pod.
        pod: Arc<Pod>,
    },
    /// The pod leaves its node, and the scheduler would bring it to another one.
    Move {
        /// The pod.
        pod: Arc<Pod>,
        /// The other node.
        to: Name,
    },
    /// The node is to be deleted.
    DeleteNode {
        /// The node.
        node: Name,
        /// Its group.
        group: Name,
        /// The number of nodes that the group is to have then.
        to: u32,
    },
    /// The workload is to have another number of replicas.
    Scale {
        /// The workload.
        target: Workload,
        /// The number that it has.
        from: i32,
        /// The number that it is to have.
        to: i32,
    },
    /// A container of the workload's pods is to request other amounts.
    Resize {
        /// The workload.
        target: Workload,
        /// The container.
        container: Name,
        /// By resource: the amounts to request, as Kubernetes writes them.
        requests: Vec<(Name, String)>,
    },
}

/// An object that has pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// Its kind: `Deployment`.
    pub kind: Name,
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
}

impl StepKind {
    /// The word for it in replies and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SetTargetSize { .. } => "setTargetSize",
            Self::Cordon { .. } => "cordon",
            Self::Uncordon { .. } => "uncordon",
            Self::Evict { .. } => "evict",
            Self::Move { .. } => "move",
            Self::DeleteNode { .. } => "deleteNode",
            Self::Scale { .. } => "scale",
            Self::Resize { .. } => "resize",
        }
    }

    /// The node that it is about.
    pub fn node(&self) -> Option<&Name> {
        match self {
            Self::Cordon { node } | Self::Uncordon { node, .. } | Self::DeleteNode { node, .. } => Some(node),
            Self::Evict { pod } | Self::Move { pod, .. } => Some(&pod.node_name),
            Self::SetTargetSize { .. } | Self::Scale { .. } | Self::Resize { .. } => None,
        }
    }

    /// With a reason.
    pub fn because(self, why: impl Into<String>) -> AdviceStep {
        AdviceStep { kind: self, why: why.into() }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// The step as people read it.
impl fmt::Display for AdviceStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            StepKind::SetTargetSize { group, from, to } => write!(f, "node group {group}: from {from} to {to} nodes")?,
            StepKind::Cordon { node } => write!(f, "node {node} takes no more pods")?,
            StepKind::Uncordon { node, opens: true } => write!(f, "node {node} stays")?,
            StepKind::Uncordon { node, opens: false } => write!(f, "node {node} stays, and stays cordoned")?,
            StepKind::Evict { pod } => write!(f, "pod {} leaves {}", pod.full_name(), pod.node_name)?,
            StepKind::Move { pod, to } => write!(f, "pod {} moves from {} to {to}", pod.full_name(), pod.node_name)?,
            StepKind::DeleteNode { node, group, to } => {
                write!(f, "node {node} of {group} is to be deleted, and the group to have {to} nodes")?;
            }
            StepKind::Scale { target, from, to } => write!(f, "{target}: from {from} to {to} replicas")?,
            StepKind::Resize { target, container, requests } => {
                write!(f, "{target}, container {container}: requests")?;
                for (at, (resource, amount)) in requests.iter().enumerate() {
                    write!(f, "{} {resource} {amount}", if at == 0 { "" } else { "," })?;
                }
            }
        }
        write!(f, ": {}", self.why)
    }
}
