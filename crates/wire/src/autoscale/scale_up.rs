//! Request and reply of scale-up: how many nodes of which group the waiting pods need.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::groups::GroupRequest;
use crate::{
    cluster::{Brought, Cluster},
    decode,
    fault::{Cause, Faults, Path},
    policy::schema::{PolicyDocument, SchedulerProfile},
    yaml,
};
use podberth_core::{
    advise::scale_up::{
        Answer, GroupOption, Options,
        exact::{Exact, Goal},
        expanders::{Expander, Priorities},
    },
    model::{Name, Pod},
};

/// The question which node groups are to grow, and by how many nodes. Nothing is stored.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ScaleUpRequest {
    /// The cluster, in full; the stored one where absent.
    #[schema(nullable = false, value_type = Cluster)]
    pub cluster: Option<Box<Brought>>,
    /// The node groups; the stored ones where absent.
    #[schema(nullable = false)]
    pub node_groups: Option<Vec<GroupRequest>>,
    /// How to decide.
    pub options: ScaleUpOptions,
    /// The time to decide at; the present where absent.
    #[schema(nullable = false, value_type = String, format = DateTime)]
    pub now: Option<String>,
    /// `cluster-autoscaler` (the default): one group wins, as one loop of cluster-autoscaler decides. `exact`: the smallest number of nodes, of
    /// any mixture of groups.
    pub engine: Engine,
    /// What the exact engine searches for, and how long.
    pub exact: ExactOptions,
    /// A `kind: Policy` (or a KubeSchedulerConfiguration v1) to decide under instead of the one in force.
    #[schema(nullable = false, value_type = PolicyDocument)]
    pub policy: Option<Box<RawValue>>,
    /// Instead of `policy`: a KubeSchedulerConfiguration v1, or one profile of it.
    #[schema(nullable = false, value_type = SchedulerProfile)]
    pub profile: Option<Box<RawValue>>,
    /// Chooses among equal options: equal seeds give equal answers.
    pub seed: u64,
}

/// How a scale-up is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// As one loop of cluster-autoscaler.
    #[default]
    ClusterAutoscaler,
    /// The smallest number of nodes, with proof.
    Exact,
}

/// Options of the exact engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ExactOptions {
    /// `placement` (the default): the smallest number of nodes on which the pods fit, each where `exact.newNodes` puts it. `scheduler`: the
    /// smallest number found on which the scheduler places them all by itself, in its own order.
    pub goal: GoalName,
    /// Steps that the search may take, 200000 by default; where they are used up the plan is the best one found, and `proven` is `false`.
    #[schema(nullable = false, maximum = 5_000_000)]
    pub max_steps: Option<u64>,
}

/// What the exact engine searches for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum GoalName {
    #[default]
    Placement,
    Scheduler,
}

/// Steps of a search, by default and at most.
const STEPS: u64 = 200_000;
const MOST_STEPS: u64 = 5_000_000;

impl ExactOptions {
    /// The goal, and the steps.
    ///
    /// # Errors
    /// A number of steps that is too large.
    pub fn to_core(&self) -> Result<(Goal, u64), Vec<Cause>> {
        let steps = self.max_steps.unwrap_or(STEPS);
        if steps > MOST_STEPS {
            let mut faults = Faults::default();
            let at = Path::ROOT.child("exact");
            faults.unreadable(&at.child("maxSteps"), steps, format!("must be less than or equal to {MOST_STEPS}"));
            return Err(faults.into_causes());
        }
        let goal = match self.goal {
            GoalName::Placement => Goal::Placement,
            GoalName::Scheduler => Goal::Scheduler,
        };
        Ok((goal, steps))
    }
}

/// Options, by the names of cluster-autoscaler's flags.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ScaleUpOptions {
    /// Expanders, separated by commas, applied one after the other until one group is left; by default `least-waste`. `GET /plugins` lists them.
    #[schema(nullable = false, example = "priority,least-waste")]
    pub expander: Option<String>,
    /// The text of cluster-autoscaler's ConfigMap of priorities, for the expander `priority`.
    #[schema(nullable = false, example = "10: [.*]\n50: [spot]")]
    pub priorities: Option<String>,
    /// `true` if new nodes are spread over similar groups.
    pub balance_similar_node_groups: bool,
    /// Labels that may differ between similar groups.
    pub balancing_ignore_labels: Vec<String>,
    /// Nodes that one scale-up may add; 0 for any number, by default 1000.
    #[schema(nullable = false)]
    pub max_nodes_per_scale_up: Option<i64>,
    /// Nodes that the cluster may have; 0 (the default) for any number.
    #[schema(nullable = false)]
    pub max_nodes_total: Option<i64>,
    /// Cores that the nodes may have together; by default 320000.
    #[schema(nullable = false)]
    pub max_cores_total: Option<i64>,
    /// Bytes of memory that the nodes may have together; by default 6400000 GiB.
    #[schema(nullable = false)]
    pub max_memory_total: Option<i64>,
    /// Pods of a lower priority are passed over, and those that run count for nothing; by default -10.
    #[schema(nullable = false)]
    pub expendable_pods_priority_cutoff: Option<i32>,
    /// The label of nodes with their price, for groups without a cost; by default `autoscaling.podberth.io/cost`.
    #[schema(nullable = false)]
    pub cost_label: Option<String>,
    /// Groups that failed to grow a short while ago and are passed over.
    pub backed_off: BTreeSet<String>,
}

impl ScaleUpOptions {
    /// The options.
    ///
    /// # Errors
    /// All faults, by their fields: `options.expander`.
    pub fn to_core(&self, seed: u64) -> Result<Options, Vec<Cause>> {
        let mut faults = Faults::default();
        let at = Path::ROOT.child("options");
        let defaults = Options::default();
        let mut number = |value: Option<i64>, name, default: i64| {
            let value = value.unwrap_or(default);
            if value < 0 {
                faults.unreadable(&at.child(name), value, "must be greater than or equal to 0");
            }
            value.max(0)
        };
        let count = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        let per_scale_up = i64::try_from(defaults.max_nodes_per_scale_up).unwrap_or(i64::MAX);
        let options = Options {
            max_nodes_per_scale_up: count(number(self.max_nodes_per_scale_up, "maxNodesPerScaleUp", per_scale_up)),
            max_nodes_total: count(number(self.max_nodes_total, "maxNodesTotal", 0)),
            max_cores_total: number(self.max_cores_total, "maxCoresTotal", defaults.max_cores_total),
            max_memory_total: number(self.max_memory_total, "maxMemoryTotal", defaults.max_memory_total),
            expendable_below: self.expendable_pods_priority_cutoff.unwrap_or(defaults.expendable_below),
            balance_similar: self.balance_similar_node_groups,
            ignored_labels: self.balancing_ignore_labels.iter().map(|label| Name::from(&**label)).collect(),
            cost_label: self.cost_label.as_deref().map_or(defaults.cost_label, Name::from),
            backed_off: self.backed_off.iter().map(|group| Name::from(&**group)).collect(),
            expanders: expanders(self.expander.as_deref(), &at.child("expander"), &mut faults),
            priorities: priorities(self.priorities.as_deref(), &at.child("priorities"), &mut faults),
            seed,
        };
        let causes = faults.into_causes();
        if causes.is_empty() { Ok(options) } else { Err(causes) }
    }
}

fn expanders(text: Option<&str>, at: &Path<'_>, faults: &mut Faults) -> Vec<Expander> {
    let names: Vec<&str> = text.unwrap_or("least-waste").split(',').map(str::trim).collect();
    let mut expanders = Vec::new();
    for name in names {
        match Expander::named(name) {
            Some(expander) if expanders.contains(&expander) => faults.duplicate(at, name),
            Some(expander) => expanders.push(expander),
            None => faults.not_supported(at, name, &Expander::names().collect::<Vec<_>>()),
        }
    }
    expanders
}

fn priorities(text: Option<&str>, at: &Path<'_>, faults: &mut Faults) -> Option<Priorities> {
    let text = text?;
    let shape = "must be YAML: whole numbers, each with a list of patterns";
    let json = match yaml::to_json(text.as_bytes(), true) {
        Ok(json) => json,
        Err(error) => {
            faults.unreadable(at, text, format!("{shape}: {error}"));
            return None;
        }
    };
    let Ok(patterns) = decode::from_slice::<BTreeMap<i64, Vec<String>>>(&json) else {
        faults.unreadable(at, text, shape);
        return None;
    };
    let patterns = patterns.iter().flat_map(|(number, list)| list.iter().map(|pattern| (*number, &**pattern)));
    Priorities::new(patterns).map_err(|error| faults.unreadable(at, text, error)).ok()
}

/// Which groups are to grow, and why.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleUpReport {
    /// `ScaleUpSuccessful`, `ScaleUpNotNeeded`, `ScaleUpNoOptionsAvailable`, `ScaleUpInCooldown` or `ScaleUpLimitedByMaxNodesTotal`.
    pub result: String,
    /// By how many nodes each group is to grow.
    pub increase: BTreeMap<String, usize>,
    /// The group that won.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<String>,
    /// What each group that helps would do.
    pub options: Vec<OptionReport>,
    /// Pods that the new nodes help, as `namespace/name`.
    pub pods_triggered: Vec<String>,
    /// Pods that another group helps, in the next round.
    pub pods_await_evaluation: Vec<String>,
    /// Pods that no group helps, and why each group does not.
    pub pods_remain_unschedulable: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// Pods that fit on nodes which are there or on their way, and the nodes.
    pub pods_fit: BTreeMap<String, String>,
    /// Groups that may not grow, and why.
    pub skipped: BTreeMap<String, Vec<String>>,
    /// Nodes of each group that are on their way.
    pub upcoming: BTreeMap<String, usize>,
    /// The plan of the exact engine, with its proof.
    #[schema(nullable = false)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<ExactReport>,
}

/// A plan with its proof.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExactReport {
    /// How many nodes the plan adds.
    pub nodes: usize,
    /// The pods do not fit with fewer nodes than this.
    pub lower_bound: usize,
    /// `true` if no plan for these pods has fewer nodes.
    pub proven: bool,
    /// `true` if the plan has a place for every pod that any group could take by itself.
    pub complete: bool,
    /// Steps that the search took.
    pub steps: u64,
    /// The new nodes, and the pods that the plan puts on each.
    pub new_nodes: Vec<NewNodeReport>,
    /// Pods with a place that the scheduler would leave waiting on these nodes, since it decides in an order of its own.
    pub unbound: Vec<String>,
    /// The smallest increase found on which the scheduler places all of the pods by itself; absent if none was found.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler_increase: Option<BTreeMap<String, usize>>,
}

/// A new node of a plan.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewNodeReport {
    /// A name for it.
    pub name: String,
    /// Its group.
    pub node_group: String,
    /// The pods on it.
    pub pods: Vec<String>,
}

impl From<&Exact> for ExactReport {
    fn from(exact: &Exact) -> Self {
        let mut on: BTreeMap<&Name, Vec<String>> = BTreeMap::new();
        for place in &exact.places {
            on.entry(&place.node).or_default().push(place.pod.full_name());
        }
        let node = |(name, group): &(Name, Name)| NewNodeReport {
            name: name.to_string(),
            node_group: group.to_string(),
            pods: on.get(name).cloned().unwrap_or_default(),
        };
        Self {
            nodes: exact.nodes,
            lower_bound: exact.lower_bound,
            proven: exact.proven,
            complete: exact.complete,
            steps: exact.steps,
            new_nodes: exact.new_nodes.iter().map(node).collect(),
            unbound: names(&exact.unbound),
            scheduler_increase: exact.scheduler.as_ref().map(counts),
        }
    }
}

fn counts(counts: &BTreeMap<Name, usize>) -> BTreeMap<String, usize> {
    counts.iter().map(|(group, count)| (group.to_string(), *count)).collect()
}

/// What one group would do.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OptionReport {
    /// The group.
    pub node_group: String,
    /// How many nodes it would add.
    pub node_count: usize,
    /// The pods that these would help.
    pub pods: Vec<String>,
    /// Groups that would share the nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub similar: Vec<String>,
    /// The parts of the new nodes that the pods would leave unused.
    pub waste: WasteReport,
    /// The price of the new nodes for an hour, where the group has one.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

/// Parts of the capacity of new nodes that stay unused.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
pub struct WasteReport {
    /// Of CPU, as a part of 1.
    pub cpu: f64,
    /// Of memory, as a part of 1.
    pub memory: f64,
}

impl From<&Answer> for ScaleUpReport {
    fn from(answer: &Answer) -> Self {
        let reasons = |reasons: &BTreeMap<Name, Vec<String>>| -> BTreeMap<String, Vec<String>> {
            reasons.iter().map(|(group, why)| (group.to_string(), why.clone())).collect()
        };
        let helpless = answer.helpless.iter().map(|helpless| (helpless.pod.full_name(), reasons(&helpless.reasons)));
        Self {
            result: answer.outcome.name().to_owned(),
            increase: counts(&answer.increase),
            best: answer.best.as_ref().map(ToString::to_string),
            options: answer.options.iter().map(OptionReport::from).collect(),
            pods_triggered: names(&answer.triggered),
            pods_await_evaluation: names(&answer.awaiting),
            pods_remain_unschedulable: helpless.collect(),
            pods_fit: answer.fitting.iter().map(|(pod, node)| (pod.full_name(), node.to_string())).collect(),
            skipped: reasons(&answer.skipped),
            upcoming: counts(&answer.upcoming),
            exact: answer.exact.as_ref().map(ExactReport::from),
        }
    }
}

impl From<&GroupOption> for OptionReport {
    fn from(option: &GroupOption) -> Self {
        Self {
            node_group: option.group.to_string(),
            node_count: option.nodes,
            pods: names(&option.pods),
            similar: option.similar.iter().map(ToString::to_string).collect(),
            waste: WasteReport { cpu: option.wasted_cpu, memory: option.wasted_memory },
            cost: option.cost,
        }
    }
}

/// Pods by `namespace/name`, sorted.
fn names(pods: &[std::sync::Arc<Pod>]) -> Vec<String> {
    let mut names: Vec<String> = pods.iter().map(|pod| pod.full_name()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(options: &str) -> Vec<String> {
        let options: ScaleUpOptions = serde_json::from_str(options).unwrap();
        options.to_core(0).err().unwrap_or_default().into_iter().map(|cause| cause.field).collect()
    }

    #[test]
    fn options_that_mean_nothing_are_refused_with_their_fields() {
        for (options, field) in [
            (r#"{"expander": "cheapest"}"#, "options.expander"),
            (r#"{"expander": ""}"#, "options.expander"),
            (r#"{"expander": "price,price"}"#, "options.expander"),
            (r#"{"priorities": "10: ["}"#, "options.priorities"),
            (r#"{"priorities": "[a, b]"}"#, "options.priorities"),
            (r#"{"priorities": "high: [a]"}"#, "options.priorities"),
            (r#"{"priorities": "10: ['(']"}"#, "options.priorities"),
            (r#"{"maxNodesTotal": -1}"#, "options.maxNodesTotal"),
            (r#"{"maxCoresTotal": -9223372036854775808}"#, "options.maxCoresTotal"),
        ] {
            assert_eq!(faults(options), [field], "{options}");
        }
        let valid = r#"{"expander": "priority, least-waste", "priorities": "10:\n- .*\n50:\n- spot"}"#;
        assert_eq!(faults(valid), [""; 0]);
    }

    #[test]
    fn a_search_is_bounded() {
        let options = ExactOptions { max_steps: Some(MOST_STEPS + 1), ..ExactOptions::default() };
        assert_eq!(options.to_core().unwrap_err()[0].field, "exact.maxSteps");
    }
}
