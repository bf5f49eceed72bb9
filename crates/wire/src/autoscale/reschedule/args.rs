//! Arguments of the strategies.
//!
//! Source: `types.go`, `defaults.go` and `validation.go` of each of `descheduler/pkg/framework/plugins`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Deserialize;
use serde_json::Value;

use super::{plugin_config::PluginConfig, selectors::selector};
use crate::{
    fault::{Faults, Path},
    objects::meta::LabelSelector,
};
use podberth_core::{
    advise::reschedule::{
        Namespaces, PodFilter, Strategy,
        high_node_utilization::HighNodeUtilization,
        low_node_utilization::LowNodeUtilization,
        pod_life_time::{OwnerKinds, PodLifeTime},
        remove_duplicates::RemoveDuplicates,
        remove_failed_pods::RemoveFailedPods,
        remove_pods_having_too_many_restarts::RemovePodsHavingTooManyRestarts,
        remove_pods_violating_inter_pod_anti_affinity::RemovePodsViolatingInterPodAntiAffinity,
        remove_pods_violating_node_affinity::{AffinityKind, RemovePodsViolatingNodeAffinity},
        remove_pods_violating_node_taints::RemovePodsViolatingNodeTaints,
        remove_pods_violating_topology_spread_constraint::RemovePodsViolatingTopologySpreadConstraint,
        utilization::Thresholds,
    },
    model::{Name, WhenUnsatisfiable},
};

/// A strategy that a policy can name.
pub(super) struct Kind {
    /// Its name.
    pub(super) name: &'static str,
    /// `true` if it stands under `balance`, else under `deschedule`.
    pub(super) balances: bool,
    /// Reads its arguments.
    pub(super) read: fn(&PluginConfig, &Path<'_>, &mut Faults) -> Option<Arc<dyn Strategy>>,
}

/// All strategies.
static ALL: [Kind; 10] = [
    Kind { name: "HighNodeUtilization", balances: true, read: read::<HighNodeUtilizationArgs> },
    Kind { name: "LowNodeUtilization", balances: true, read: read::<LowNodeUtilizationArgs> },
    Kind { name: "PodLifeTime", balances: false, read: read::<PodLifeTimeArgs> },
    Kind { name: "RemoveDuplicates", balances: true, read: read::<RemoveDuplicatesArgs> },
    Kind { name: "RemoveFailedPods", balances: false, read: read::<RemoveFailedPodsArgs> },
    Kind { name: "RemovePodsHavingTooManyRestarts", balances: false, read: read::<TooManyRestartsArgs> },
    Kind { name: "RemovePodsViolatingInterPodAntiAffinity", balances: false, read: read::<InterPodAntiAffinityArgs> },
    Kind { name: "RemovePodsViolatingNodeAffinity", balances: false, read: read::<NodeAffinityArgs> },
    Kind { name: "RemovePodsViolatingNodeTaints", balances: false, read: read::<NodeTaintsArgs> },
    Kind { name: "RemovePodsViolatingTopologySpreadConstraint", balances: true, read: read::<TopologySpreadArgs> },
];

/// A strategy by name.
pub(super) fn find(name: &str) -> Option<&'static Kind> {
    ALL.iter().find(|kind| kind.name == name)
}

/// The names of the strategies, of one point if it is given.
pub(super) fn names(balances: Option<bool>) -> Vec<&'static str> {
    ALL.iter().filter(|kind| balances.is_none_or(|balances| kind.balances == balances)).map(|kind| kind.name).collect()
}

/// Arguments that make a strategy.
trait Args: serde::de::DeserializeOwned + Default {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Arc<dyn Strategy>;
}

fn read<A: Args>(config: &PluginConfig, at: &Path<'_>, faults: &mut Faults) -> Option<Arc<dyn Strategy>> {
    config.read::<A>(at, faults).map(|args| args.to_core(at, faults))
}

/// Names that are taken alone, or left out.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Lists {
    include: Vec<String>,
    exclude: Vec<String>,
}

fn set(list: &[String]) -> BTreeSet<Name> {
    list.iter().map(|text| text.as_str().into()).collect()
}

impl Lists {
    fn check(&self, at: &Path<'_>, faults: &mut Faults) {
        if !self.include.is_empty() && !self.exclude.is_empty() {
            faults.forbidden(at, "only one of include and exclude may be given");
        }
    }

    /// Namespaces.
    fn namespaces(&self, at: &Path<'_>, faults: &mut Faults) -> Namespaces {
        self.check(at, faults);
        if !self.include.is_empty() {
            Namespaces::Only(set(&self.include))
        } else if !self.exclude.is_empty() {
            Namespaces::Except(set(&self.exclude))
        } else {
            Namespaces::All
        }
    }

    /// Namespaces of pods that may be evicted: they can only be left out.
    fn evictable(&self, at: &Path<'_>, faults: &mut Faults) -> Namespaces {
        if !self.include.is_empty() {
            faults.forbidden(&at.child("include"), "only exclude may be given here");
        }
        Self { include: Vec::new(), exclude: self.exclude.clone() }.namespaces(at, faults)
    }
}

fn filter(namespaces: &Lists, labels: Option<&LabelSelector>, at: &Path<'_>, faults: &mut Faults) -> PodFilter {
    PodFilter {
        namespaces: namespaces.namespaces(&at.child("namespaces"), faults),
        labels: selector(labels, &at.child("labelSelector"), faults),
    }
}

/// Checks words against the known ones.
fn known(list: &[String], known: &[&str], at: &Path<'_>, faults: &mut Faults) {
    for (index, word) in list.iter().enumerate() {
        if !known.contains(&word.as_str()) {
            faults.not_supported(&at.index(index), word, known);
        }
    }
}

/// Percentages, checked.
fn thresholds(given: &BTreeMap<String, f64>, at: &Path<'_>, faults: &mut Faults) -> Thresholds {
    if given.is_empty() {
        faults.required(at, "the percentage of one resource at least, as cpu: 20");
    }
    for (name, percent) in given {
        if !(0.0..=100.0).contains(percent) {
            faults.invalid(&at.key(name), percent, "must be between 0 and 100, inclusive");
        }
    }
    given.iter().map(|(name, percent)| (name.as_str().into(), *percent)).collect()
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct HighNodeUtilizationArgs {
    thresholds: BTreeMap<String, f64>,
    number_of_nodes: i64,
    eviction_modes: Vec<String>,
    evictable_namespaces: Lists,
}

impl Args for HighNodeUtilizationArgs {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Arc<dyn Strategy> {
        known(&self.eviction_modes, &["OnlyThresholdingResources"], &at.child("evictionModes"), faults);
        Arc::new(HighNodeUtilization {
            low: thresholds(&self.thresholds, &at.child("thresholds"), faults),
            number_of_nodes: usize::try_from(self.number_of_nodes).unwrap_or(0),
            only_asking: !self.eviction_modes.is_empty(),
            namespaces: self.evictable_namespaces.evictable(&at.child("evictableNamespaces"), faults),
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct LowNodeUtilizationArgs {
    use_deviation_thresholds: bool,
    thresholds: BTreeMap<String, f64>,
    target_thresholds: BTreeMap<String, f64>,
    number_of_nodes: i64,
    metrics_utilization: Option<Value>,
    evictable_namespaces: Lists,
    eviction_limits: EvictionLimits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct EvictionLimits {
    node: Option<u64>,
}

impl Args for LowNodeUtilizationArgs {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Arc<dyn Strategy> {
        let target_at = at.child("targetThresholds");
        let low = thresholds(&self.thresholds, &at.child("thresholds"), faults);
        let target = thresholds(&self.target_thresholds, &target_at, faults);
        if !low.keys().eq(target.keys()) {
            faults.forbidden(&target_at, "thresholds and targetThresholds must name the same resources");
        }
        let crossed = low.iter().find(|(name, percent)| target.get(*name).is_some_and(|target| *percent > target));
        if let Some((name, percent)) = crossed.filter(|_| !self.use_deviation_thresholds) {
            let rule = format_args!("must be at least the percentage in thresholds, {percent}");
            faults.invalid(&target_at.key(name), target.get(name).copied().unwrap_or_default(), rule);
        }
        if self.metrics_utilization.as_ref().is_some_and(|metrics| !metrics.is_null()) {
            let why = "utilization is counted by requests here: leave it out";
            faults.forbidden(&at.child("metricsUtilization"), why);
        }
        Arc::new(LowNodeUtilization {
            low,
            target,
            are_deviations: self.use_deviation_thresholds,
            number_of_nodes: usize::try_from(self.number_of_nodes).unwrap_or(0),
            namespaces: self.evictable_namespaces.evictable(&at.child("evictableNamespaces"), faults),
            node_limit: self.eviction_limits.node,
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct PodLifeTimeArgs {
    namespaces: Lists,
    label_selector: Option<LabelSelector>,
    owner_kinds: Lists,
    max_pod_life_time_seconds: Option<u64>,
    states: Vec<String>,
    conditions: Vec<Value>,
    exit_codes: Vec<i32>,
    including_init_containers: bool,
    including_ephemeral_containers: bool,
}

/// States that `PodLifeTime` knows: phases, reasons of pods, reasons for which containers wait or have ended.
const STATES: [&str; 24] = [
    "Running",
    "Pending",
    "Succeeded",
    "Failed",
    "Unknown",
    "NodeAffinity",
    "NodeLost",
    "Shutdown",
    "UnexpectedAdmissionError",
    "PodInitializing",
    "ContainerCreating",
    "ImagePullBackOff",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "ErrImagePull",
    "CreateContainerError",
    "InvalidImageName",
    "OOMKilled",
    "Error",
    "Completed",
    "DeadlineExceeded",
    "Evicted",
    "ContainerCannotRun",
    "StartError",
];

impl Args for PodLifeTimeArgs {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Arc<dyn Strategy> {
        known(&self.states, &STATES, &at.child("states"), faults);
        let owners_at = at.child("ownerKinds");
        self.owner_kinds.check(&owners_at, faults);
        if !self.conditions.is_empty() {
            faults.forbidden(&at.child("conditions"), "conditions of pods are not read here: use states");
        }
        if self.including_ephemeral_containers {
            let why = "ephemeral containers are not read here: leave it out";
            faults.forbidden(&at.child("includingEphemeralContainers"), why);
        }
        let is_given = self.max_pod_life_time_seconds.is_some()
            || !(self.states.is_empty() && self.conditions.is_empty() && self.exit_codes.is_empty());
        if !is_given {
            faults.required(at, "one of maxPodLifeTimeSeconds, states and exitCodes must be given");
        }
        let owners = if !self.owner_kinds.include.is_empty() {
            OwnerKinds::Only(set(&self.owner_kinds.include))
        } else if !self.owner_kinds.exclude.is_empty() {
            OwnerKinds::Except(set(&self.owner_kinds.exclude))
        } else {
            OwnerKinds::Any
        };
        Arc::new(PodLifeTime {
            pods: filter(&self.namespaces, self.label_selector.as_ref(), at, faults),
            owners,
            max_seconds: self.max_pod_life_time_seconds,
            states: set(&self.states),
            exit_codes: self.exit_codes.iter().copied().collect(),
            with_init: self.including_init_containers,
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct RemoveDuplicatesArgs {
    namespaces: Lists,
    exclude_owner_kinds: Vec<String>,
}

impl Args for RemoveDuplicatesArgs {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Arc<dyn Strategy> {
        Arc::new(RemoveDuplicates {
            namespaces: self.namespaces.namespaces(&at.child("namespaces"), faults),
            excluded_owners: set(&self.exclude_owner_kinds),
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct RemoveFailedPodsArgs {
    namespaces: Lists,
    label_selector: Option<LabelSelector>,
    exclude_owner_kinds: Vec<String>,
    min_pod_lifetime_seconds: Option<u64>,
    reasons: Vec<String>,
    exit_codes: Vec<i32>,
    including_init_containers: bool,
}

impl Args for RemoveFailedPodsArgs {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Arc<dyn Strategy> {
        Arc::new(RemoveFailedPods {
            pods: filter(&self.namespaces, self.label_selector.as_ref(), at, faults),
            excluded_owners: set(&self.exclude_owner_kinds),
            min_seconds: self.min_pod_lifetime_seconds.unwrap_or(3600),
            reasons: set(&self.reasons),
            exit_codes: self.exit_codes.iter().copied().collect(),
            with_init: self.including_init_containers,
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct TooManyRestartsArgs {
    namespaces: Lists,
    label_selector: Option<LabelSelector>,
    pod_restart_threshold: i32,
    including_init_containers: bool,
    states: Vec<String>,
}

impl Args for TooManyRestartsArgs {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Arc<dyn Strategy> {
        if self.pod_restart_threshold < 1 {
            let rule = "must be greater than or equal to 1";
            faults.invalid(&at.child("podRestartThreshold"), self.pod_restart_threshold, rule);
        }
        known(&self.states, &["CrashLoopBackOff", "Running"], &at.child("states"), faults);
        Arc::new(RemovePodsHavingTooManyRestarts {
            pods: filter(&self.namespaces, self.label_selector.as_ref(), at, faults),
            threshold: self.pod_restart_threshold,
            with_init: self.including_init_containers,
            states: set(&self.states),
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct InterPodAntiAffinityArgs {
    namespaces: Lists,
    label_selector: Option<LabelSelector>,
}

impl Args for InterPodAntiAffinityArgs {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Arc<dyn Strategy> {
        let pods = filter(&self.namespaces, self.label_selector.as_ref(), at, faults);
        Arc::new(RemovePodsViolatingInterPodAntiAffinity { pods })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct NodeAffinityArgs {
    namespaces: Lists,
    label_selector: Option<LabelSelector>,
    node_affinity_type: Vec<String>,
}

impl Args for NodeAffinityArgs {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Arc<dyn Strategy> {
        if self.node_affinity_type.is_empty() {
            faults.required(&at.child("nodeAffinityType"), "as [requiredDuringSchedulingIgnoredDuringExecution]");
        }
        let kind = |text: &String| match text.as_str() {
            "requiredDuringSchedulingIgnoredDuringExecution" => Some(AffinityKind::Required),
            "preferredDuringSchedulingIgnoredDuringExecution" => Some(AffinityKind::Preferred),
            _ => None,
        };
        Arc::new(RemovePodsViolatingNodeAffinity {
            pods: filter(&self.namespaces, self.label_selector.as_ref(), at, faults),
            kinds: self.node_affinity_type.iter().filter_map(kind).collect(),
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct NodeTaintsArgs {
    namespaces: Lists,
    label_selector: Option<LabelSelector>,
    include_prefer_no_schedule: bool,
    excluded_taints: Vec<String>,
    included_taints: Option<Vec<String>>,
}

impl Args for NodeTaintsArgs {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Arc<dyn Strategy> {
        if !self.excluded_taints.is_empty() && self.included_taints.as_ref().is_some_and(|list| !list.is_empty()) {
            faults.forbidden(&at.child("includedTaints"), "must not be combined with excludedTaints");
        }
        Arc::new(RemovePodsViolatingNodeTaints {
            pods: filter(&self.namespaces, self.label_selector.as_ref(), at, faults),
            with_prefer: self.include_prefer_no_schedule,
            excluded: set(&self.excluded_taints),
            included: self.included_taints.as_ref().map(|list| set(list)),
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct TopologySpreadArgs {
    namespaces: Lists,
    label_selector: Option<LabelSelector>,
    constraints: Vec<String>,
    topology_balance_node_fit: Option<bool>,
}

impl Args for TopologySpreadArgs {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Arc<dyn Strategy> {
        known(&self.constraints, &["DoNotSchedule", "ScheduleAnyway"], &at.child("constraints"), faults);
        let has = |name: &str| self.constraints.iter().any(|constraint| constraint == name);
        let mut actions = Vec::new();
        if self.constraints.is_empty() || has("DoNotSchedule") {
            actions.push(WhenUnsatisfiable::DoNotSchedule);
        }
        if has("ScheduleAnyway") {
            actions.push(WhenUnsatisfiable::ScheduleAnyway);
        }
        Arc::new(RemovePodsViolatingTopologySpreadConstraint {
            pods: filter(&self.namespaces, self.label_selector.as_ref(), at, faults),
            actions,
            node_fit: self.topology_balance_node_fit.unwrap_or(true),
        })
    }
}
