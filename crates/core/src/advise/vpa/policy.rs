//! The resource policies of a vertical pod autoscaler.
//!
//! Source: `vertical-pod-autoscaler/pkg/utils/vpa/api.go` (`GetContainerResourcePolicy`).

use std::collections::BTreeSet;

use crate::model::{Name, Quantity};

/// Amounts of the resources that are recommended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// CPU.
    pub cpu: Option<Quantity>,
    /// Memory.
    pub memory: Option<Quantity>,
}

/// The policy of one container, or of all that have none (`*`).
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The container's name, or `*`.
    pub container: Name,
    /// `true` if nothing is recommended for it.
    pub off: bool,
    /// The least that is recommended.
    pub min: Limits,
    /// The most that is recommended.
    pub max: Limits,
    /// `true` if CPU is recommended.
    pub cpu: bool,
    /// `true` if memory is recommended.
    pub memory: bool,
    /// In place of the setting.
    pub oom_bump_up_ratio: Option<f64>,
    /// In place of the setting.
    pub oom_min_bump_up: Option<f64>,
    /// In place of the setting, in nanoseconds.
    pub memory_interval: Option<i64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            container: Name::default(),
            off: false,
            min: Limits::default(),
            max: Limits::default(),
            cpu: true,
            memory: true,
            oom_bump_up_ratio: None,
            oom_min_bump_up: None,
            memory_interval: None,
        }
    }
}

/// All policies that hold for an autoscaler's containers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policies {
    /// Those of the autoscaler.
    pub containers: Vec<Policy>,
    /// The most that is recommended where a policy has no maximum.
    pub global_max: Limits,
    /// The containers whose CPU is rounded up to whole CPUs.
    pub integer_cpu: BTreeSet<Name>,
}

impl Policies {
    /// The policy of a container.
    pub fn of(&self, container: &str) -> Option<&Policy> {
        let named = |name: &str| self.containers.iter().find(|policy| &*policy.container == name);
        named(container).or_else(|| named("*"))
    }
}
