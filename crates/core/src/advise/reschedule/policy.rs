//! The policy: which strategies run, with which arguments, and within which limits.
//!
//! Source: `descheduler/pkg/api/v1alpha2/types.go`, `descheduler/pkg/descheduler/pod/pods.go`.

use std::{collections::BTreeSet, fmt, sync::Arc};

use super::{Charging, Turn, evictor::Evictor, ledger::Limits};
use crate::model::{Name, Pod, Selector};

/// Strategies and limits.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The nodes that are looked at; the empty selector takes all.
    pub node_selector: Selector,
    /// How many pods are evicted at most.
    pub limits: Limits,
    /// Which evictions use up disruption budgets.
    pub charging: Charging,
    /// The grace period of evictions; each pod's own where absent.
    pub grace_seconds: Option<i64>,
    /// Strategies with their evictor, in their order.
    pub profiles: Vec<Profile>,
}

/// Strategies that share an evictor.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name.
    pub name: Name,
    /// The pods that may be evicted.
    pub evictor: Evictor,
    /// Strategies that evict pods which should not be where they are. Those of all profiles run first.
    pub deschedule: Vec<Arc<dyn Strategy>>,
    /// Strategies that even out the nodes.
    pub balance: Vec<Arc<dyn Strategy>>,
}

/// A strategy with its arguments: it chooses pods and evicts them through its turn.
pub trait Strategy: fmt::Debug + Send + Sync {
    /// The name in policies.
    fn name(&self) -> &'static str;

    /// Evicts pods.
    fn run(&self, turn: &mut Turn<'_, '_>);
}

/// Namespaces that a strategy looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Namespaces {
    /// All.
    #[default]
    All,
    /// These alone.
    Only(BTreeSet<Name>),
    /// All but these.
    Except(BTreeSet<Name>),
}

impl Namespaces {
    /// `true` if a namespace of this name is looked at.
    pub fn has(&self, name: &Name) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
            Self::Except(names) => !names.contains(name),
        }
    }
}

/// Pods that a strategy looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFilter {
    /// Their namespaces.
    pub namespaces: Namespaces,
    /// Their labels; the empty selector takes all.
    pub labels: Selector,
}

impl PodFilter {
    /// `true` if the strategy looks at the pod.
    pub fn has(&self, pod: &Pod) -> bool {
        self.namespaces.has(&pod.namespace) && self.labels.matches(&pod.labels)
    }
}
