//! Taints and tolerations.
//!
//! Source: `api/core/v1/toleration.go` (`ToleratesTaint`).

use std::fmt;

use super::Name;
use crate::work;

/// The effect of a taint on pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// New pods are kept off.
    NoSchedule,
    /// New pods go elsewhere where they can.
    PreferNoSchedule,
    /// New pods are kept off and running ones leave.
    NoExecute,
}

impl Effect {
    /// The name in objects.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

/// A mark on a node that repels pods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Taint {
    /// The taint's key.
    pub key: Name,
    /// Its value; empty where none was given.
    pub value: Name,
    /// The effect.
    pub effect: Effect,
    /// `timeAdded`, in nanoseconds since 1970; `None` if absent. Scheduling does not read it.
    pub added: Option<i64>,
}

impl fmt::Display for Taint {
    /// `key=value:effect`, or `key:effect` without a value. Source: `api/core/v1/taint.go` (`ToString`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, effect, added: _ } = self;
        let equals = if value.is_empty() { "" } else { "=" };
        write!(f, "{key}{equals}{value}:{}", effect.name())
    }
}

/// The key of the taint for `spec.unschedulable`.
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// How a toleration compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TolerationOperator {
    /// Key and value are equal (also when the operator is absent).
    Equal,
    /// The key exists, with any value.
    Exists,
}

/// A toleration of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Toleration {
    /// The taint key; empty with `Exists` tolerates every key.
    pub key: Name,
    /// How key and value compare.
    pub operator: TolerationOperator,
    /// The taint value.
    pub value: Name,
    /// The effect tolerated; `None` tolerates every effect.
    pub effect: Option<Effect>,
    /// For how many seconds a NoExecute taint is tolerated; `None` for ever. Scheduling does not read it.
    pub seconds: Option<i64>,
}

impl Toleration {
    /// `true` if this toleration matches `taint`.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.effect.is_none_or(|e| e == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && match self.operator {
                TolerationOperator::Equal => self.value == taint.value,
                TolerationOperator::Exists => true,
            }
    }
}

/// The first of the taints that none of the tolerations covers, among those with an effect that `counts`.
pub fn first_untolerated<'t>(
    taints: &'t [Taint],
    tolerations: &[Toleration],
    counts: impl Fn(Effect) -> bool,
) -> Option<&'t Taint> {
    work::spend_on(taints.len().saturating_mul(tolerations.len()) / 4);
    taints.iter().filter(|t| counts(t.effect)).find(|taint| !tolerations.iter().any(|t| t.tolerates(taint)))
}
