//! The changes that a decision demands: bind, evict, clear a nomination. Nothing else demands changes. A plan is carried out whole
//! or not at all.

use std::sync::Arc;

use super::{
    claim_choice::ClaimChoice,
    model::{Name, Pod, PodDisruptionBudget},
};

/// The changes for one pod (or one gang), computed at one revision. A plan that is stale when it is carried out is refused and computed
/// again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The revision of the snapshot that it was computed on.
    pub revision: u64,
    /// The steps, in their order.
    pub steps: Vec<Step>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The pod leaves its node, so that another has room.
    Evict(Arc<Pod>),
    /// Uses up this number of the disruptions that the budget allows. The budget is the one that this was decided on.
    Charge(Arc<PodDisruptionBudget>, i32),
    /// The pod is no longer waiting for the node that it was nominated to.
    ClearNomination(Arc<Pod>),
    /// The pod goes to the node.
    Bind(Arc<Pod>, Name),
    /// A claim of the pod bound last gets its volume or its devices, in the same commit.
    Choose(ClaimChoice),
}
