//! The names of predicates and priorities through the releases, as tables.
//!
//! Source: `pkg/scheduler/framework/plugins/legacy_registry.go` of 1.22 and
//! `plugin/pkg/scheduler/algorithmprovider/defaults/defaults.go` of 1.6 and after.

use crate::{near::near, predicates, priorities, rule::Identity};

/// Scores all nodes alike; kube-scheduler skips it.
pub(super) const EQUAL_PRIORITY: &str = "EqualPriority";

/// A rule that is nothing without the argument of a policy entry, however that entry is called.
pub(super) struct Argued {
    /// The framework plugin of 1.22 that carries it.
    pub plugin: &'static str,
    /// The name under which 1.22 registers it. An entry of this name is taken for the registered rule, and its argument
    /// is not read.
    pub key: &'static str,
    /// The member of `argument` that configures it.
    pub argument: &'static str,
}

/// `serviceAffinity`.
pub(super) const SERVICE_AFFINITY: Argued =
    Argued { plugin: "ServiceAffinity", key: "CheckServiceAffinity", argument: "serviceAffinity" };
/// `labelsPresence`.
pub(super) const LABELS_PRESENCE: Argued =
    Argued { plugin: "NodeLabel", key: "CheckNodeLabelPresence", argument: "labelsPresence" };

/// `serviceAntiAffinity`; 1.22 registers priorities that need an argument by their plugin's name.
pub(super) const SERVICE_ANTI_AFFINITY: Argued =
    Argued { plugin: "ServiceAffinity", key: "ServiceAffinity", argument: "serviceAntiAffinity" };
/// `labelPreference`.
pub(super) const LABEL_PREFERENCE: Argued =
    Argued { plugin: "NodeLabel", key: "NodeLabel", argument: "labelPreference" };
/// `requestedToCapacityRatioArguments`.
pub(super) const CAPACITY_RATIO: Argued = Argued {
    plugin: "RequestedToCapacityRatio",
    key: "RequestedToCapacityRatio",
    argument: "requestedToCapacityRatioArguments",
};

/// `true` if an entry of this name, whose rule this plugin carries, is configured by its argument.
pub(super) fn takes_an_argument(name: &str, plugin: &str) -> bool {
    let argued = [&SERVICE_ANTI_AFFINITY, &LABEL_PREFERENCE, &CAPACITY_RATIO];
    argued.iter().any(|argued| argued.plugin == plugin && argued.key != name)
}

/// A hint for a name that is not registered: its successor, or the name that was probably meant.
pub(super) fn hint(name: &str, of_predicate: bool) -> String {
    if let Some(retired) = retired(name) {
        return format!(" (known {})", retired.fate);
    }
    let called = |identity: &'static Identity| std::iter::once(identity.name).chain(identity.aliases.iter().copied());
    let meant = if of_predicate {
        near(predicates::ALL.iter().flat_map(|r| called(&r.identity)), name)
    } else {
        near(priorities::ALL.iter().flat_map(|r| called(&r.identity)), name)
    };
    meant.map_or(String::new(), |meant| format!("; did you mean {meant:?}?"))
}

/// A name that 1.22 does not know any more.
pub(super) struct Retired {
    /// The name.
    pub name: &'static str,
    /// Its successor, or the reason why it is gone.
    pub fate: &'static str,
}

/// Names of older releases that 1.22 refuses.
pub(super) const RETIRED: &[Retired] = &[
    Retired {
        name: "CheckNodeCondition",
        fate: "until 1.17; since 1.12 the taints of NotReady and unreachable nodes do the same through PodToleratesNodeTaints",
    },
    Retired {
        name: "CheckNodeMemoryPressure",
        fate: "until 1.17; since 1.12 the taint node.kubernetes.io/memory-pressure does the same through PodToleratesNodeTaints",
    },
    Retired {
        name: "CheckNodeDiskPressure",
        fate: "until 1.17; since 1.12 the taint node.kubernetes.io/disk-pressure does the same through PodToleratesNodeTaints",
    },
    Retired {
        name: "CheckNodePIDPressure",
        fate: "1.10 to 1.17; since 1.12 the taint node.kubernetes.io/pid-pressure does the same through PodToleratesNodeTaints",
    },
    Retired {
        name: "PodToleratesNodeNoExecuteTaints",
        fate: "1.8 to 1.17; PodToleratesNodeTaints looks at NoExecute taints as well",
    },
    Retired { name: "NoVolumeNodeConflict", fate: "1.7 to 1.9; CheckVolumeBinding took its place" },
    Retired { name: "ResourceLimitsPriority", fate: "1.9 to 1.19, behind the ResourceLimitsPriorityFunction gate" },
];

/// The entry of a retired name.
pub(super) fn retired(name: &str) -> Option<&'static Retired> {
    RETIRED.iter().find(|r| r.name == name)
}
