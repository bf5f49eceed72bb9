//! The verdict of a predicate on a pod and a node.
//!
//! Source: `pkg/scheduler/framework/interface.go` (`Status`, `Code`).

use std::borrow::Cow;

/// The reason why a node is ruled out, in kube-scheduler's own words. It contains no node names or counts, because reasons are counted by
/// equality over all nodes.
pub type Reason = Cow<'static, str>;

/// One predicate's answer for one node. "Does not fit" is an answer, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The node is accepted.
    Fits,
    /// The node is ruled out; evicting pods from it might help.
    Unschedulable(Vec<Reason>),
    /// The node is ruled out, and evicting pods from it cannot help.
    UnschedulableAndUnresolvable(Vec<Reason>),
}

impl Verdict {
    /// Ruled out for one reason; eviction might help.
    pub fn unschedulable(reason: impl Into<Reason>) -> Self {
        Self::Unschedulable(vec![reason.into()])
    }

    /// Ruled out for one reason; eviction cannot help.
    pub fn unresolvable(reason: impl Into<Reason>) -> Self {
        Self::UnschedulableAndUnresolvable(vec![reason.into()])
    }

    /// `Fits` if the condition holds, else the result of `otherwise`.
    pub fn fits_if(condition: bool, otherwise: impl FnOnce() -> Self) -> Self {
        if condition { Self::Fits } else { otherwise() }
    }

    /// `true` if the node is accepted.
    pub fn fits(&self) -> bool {
        matches!(self, Self::Fits)
    }

    /// `true` if evicting pods cannot help.
    pub fn is_unresolvable(&self) -> bool {
        matches!(self, Self::UnschedulableAndUnresolvable(_))
    }

    /// The reasons; none where it fits.
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Self::Fits => &[],
            Self::Unschedulable(reasons) | Self::UnschedulableAndUnresolvable(reasons) => reasons,
        }
    }

    /// The name of the code, as `/explain` prints it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fits => "Fits",
            Self::Unschedulable(_) => "Unschedulable",
            Self::UnschedulableAndUnresolvable(_) => "UnschedulableAndUnresolvable",
        }
    }
}
