//! Common parts of predicates and priorities: the release whose rules they follow, their arguments, their documentation.

use super::model::{Name, NodeSelector, PreferredNode, TopologySpreadConstraint, WhenUnsatisfiable, topology};

pub use super::release::Release;

/// The inputs of a rule's verdict on a pod, besides the pod's own demands (everything but its name and uid). It holds while only
/// pods without a rule about this pod come to the cluster's nodes or leave them. Later variants include the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reads {
    /// Nothing at all.
    Nothing,
    /// The judged node, and the pods on it.
    Node,
    /// Which nodes are candidates, and the node objects; no pods.
    Nodes,
    /// Anything, such as pods on other nodes.
    Cluster,
}

/// `labelsPresence` of a predicate, or `labelPreference` of a priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelPresence {
    /// The node labels meant.
    pub labels: Vec<Name>,
    /// `true` if they must exist, `false` if they must be missing.
    pub presence: bool,
}

/// A resource with the weight it has in a score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceWeight {
    /// The resource.
    pub name: Name,
    /// Its weight, at least 1.
    pub weight: i64,
}

/// One point of a utilization → score line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapePoint {
    /// Percent, 0..=100.
    pub utilization: i64,
    /// 0..=10, as written in policies and profiles.
    pub score: i64,
}

/// All arguments of predicates and priorities. A Policy or a profile fills them in once; each rule takes its own when it is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// Whose rules apply.
    pub release: Release,
    /// `CheckNodeLabelPresence`: every entry must hold.
    pub labels_presence: Vec<LabelPresence>,
    /// `CheckServiceAffinity`: node labels on which the pods of one service must agree.
    pub service_affinity_labels: Vec<Name>,
    /// `LabelPreference`: each entry (of one label) is a wish.
    pub label_preferences: Vec<LabelPresence>,
    /// `ServiceAntiAffinity`: node labels over whose values the pods of one service are spread.
    pub service_anti_affinity_labels: Vec<Name>,
    /// `RequestedToCapacityRatio`: the line from utilization to score, in order of utilization.
    pub capacity_ratio_shape: Vec<ShapePoint>,
    /// The resources that `RequestedToCapacityRatio` scores. In 1.34 also those of least and most requested, which in 1.22 always score CPU and
    /// memory.
    pub scored_resources: Vec<ResourceWeight>,
    /// The resources that `BalancedResourceAllocation` scores.
    pub balanced_resources: Vec<ResourceWeight>,
    /// Resources that `PodFitsResources` passes over: those that an extender manages, or that a profile ignores.
    pub ignored_resources: Vec<Name>,
    /// Resources to ignore, by the part of the name before the slash.
    pub ignored_resource_groups: Vec<Name>,
    /// The weight, 0..=100, of a required affinity of another pod towards the incoming one in `InterPodAffinityPriority`.
    pub hard_pod_affinity_weight: i64,
    /// `true` if `InterPodAffinityPriority` ignores the preferences of pods that already run.
    pub ignore_preferred_terms_of_existing_pods: bool,
    /// Node affinity required of every pod besides its own (`NodeAffinityArgs.addedAffinity`).
    pub added_affinity: Option<NodeSelector>,
    /// Node affinity preferred for every pod besides its own.
    pub added_preferences: Vec<PreferredNode>,
    /// Spread constraints of pods that have none of their own; their selector is made from the pod's services and
    /// controllers.
    pub default_spread_constraints: Vec<TopologySpreadConstraint>,
    /// `true` if `default_spread_constraints` are kube-scheduler's own and not those of the profile.
    pub system_default_spreading: bool,
}

impl Arguments {
    /// The defaults of that release, for policies and profiles that do not set an argument.
    pub fn defaults(release: Release) -> Self {
        let cpu_and_memory = || ["cpu", "memory"].map(|name| ResourceWeight { name: name.into(), weight: 1 }).to_vec();
        Self {
            release,
            labels_presence: Vec::new(),
            service_affinity_labels: Vec::new(),
            label_preferences: Vec::new(),
            service_anti_affinity_labels: Vec::new(),
            capacity_ratio_shape: Vec::new(),
            scored_resources: cpu_and_memory(),
            balanced_resources: cpu_and_memory(),
            ignored_resources: Vec::new(),
            ignored_resource_groups: Vec::new(),
            hard_pod_affinity_weight: 1,
            ignore_preferred_terms_of_existing_pods: false,
            added_affinity: None,
            added_preferences: Vec::new(),
            default_spread_constraints: if release.facts().spreads_by_system_defaults {
                system_default_spread_constraints()
            } else {
                Vec::new()
            },
            system_default_spreading: release.facts().spreads_by_system_defaults,
        }
    }
}

/// The spread constraints of a profile's `defaultingType: System`
/// (`pkg/scheduler/framework/plugins/podtopologyspread/plugin.go`, `systemDefaultConstraints`). A Policy has none
/// (`EvenPodsSpreadPriority` in `legacy_registry.go`).
pub fn system_default_spread_constraints() -> Vec<TopologySpreadConstraint> {
    let constraint = |topology_key: &str, max_skew| TopologySpreadConstraint {
        max_skew,
        topology_key: topology_key.into(),
        when_unsatisfiable: WhenUnsatisfiable::ScheduleAnyway,
        selector: None,
        min_domains: None,
        node_affinity_policy: None,
        node_taints_policy: None,
        match_label_keys: Vec::new(),
    };
    vec![constraint(topology::HOSTNAME, 3), constraint(topology::ZONE, 5)]
}

/// The part of a rule's registration that predicates and priorities share.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The name users write in a policy.
    pub name: &'static str,
    /// Other names that mean the same.
    pub aliases: &'static [&'static str],
    /// The framework plugin of 1.22 that carried the rule.
    pub plugin: &'static str,
    /// The plugin of 1.34 that carries it; `None` where there is none any more.
    pub modern_plugin: Option<&'static str>,
    /// The source file of the rule, from whose `//!` lines [`Self::documentation`] is read.
    pub source: &'static str,
}

impl Identity {
    /// `true` if users may call the rule so: by its name or an alias, in letters exactly as written.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }

    /// The rule's documentation: the `//!` lines at the head of its file, as Markdown.
    pub fn documentation(&self) -> String {
        self.source
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect::<Vec<_>>()
            .join("\n")
    }
}
