//! The reply of `POST /autoscale/scale-up`.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use utoipa::ToSchema;

use crate::{autoscale::step::AdviceStepReport, explanation::PolicyUsed};
use podberth_core::{
    advise::{
        groups::Groups,
        scale_up::{Answer, GroupOption, exact::Exact},
    },
    model::{Name, Pod},
};

/// Gives the name of a pod by which the reply calls it: `namespace/name`.
pub type PodNames<'a> = dyn FnMut(&Pod) -> String + 'a;

/// Which groups are to grow, and why.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleUpReport {
    /// The revision of the stored cluster; 0 for one of the request.
    pub revision: u64,
    /// The policy that places pods.
    pub policy: PolicyUsed,
    /// `ScaleUpSuccessful`, `ScaleUpNotNeeded`, `ScaleUpNoOptionsAvailable`, `ScaleUpInCooldown` or `ScaleUpLimitedByMaxNodesTotal`.
    pub result: String,
    /// By how many nodes each group is to grow.
    pub increase: BTreeMap<String, usize>,
    /// The group that won.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<String>,
    /// The groups that help, as options.
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
    /// The steps to take.
    pub plan_steps: Vec<AdviceStepReport>,
    /// The plan of the exact engine, with its proof.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<ExactReport>,
}

/// A plan with its proof.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
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
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewNodeReport {
    /// A name for it.
    pub name: String,
    /// Its group.
    pub node_group: String,
    /// The pods on it.
    pub pods: Vec<String>,
}

impl ExactReport {
    fn new(exact: &Exact, name: &mut PodNames<'_>) -> Self {
        let mut on: BTreeMap<&Name, Vec<String>> = BTreeMap::new();
        for place in &exact.places {
            on.entry(&place.node).or_default().push(name(&place.pod));
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
            unbound: names(&exact.unbound, name),
            scheduler_increase: exact.scheduler.as_ref().map(counts),
        }
    }
}

fn counts(counts: &BTreeMap<Name, usize>) -> BTreeMap<String, usize> {
    counts.iter().map(|(group, count)| (group.to_string(), *count)).collect()
}

/// One group as an option.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OptionReport {
    /// The group.
    pub node_group: String,
    /// How many nodes it would add.
    pub node_count: usize,
    /// The pods that these would help.
    pub pods: Vec<String>,
    /// Groups that would share the nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub similar: Vec<String>,
    /// The parts of the new nodes that the pods would leave unused.
    pub waste: WasteReport,
    /// The price of the new nodes for an hour, where the group has one.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

/// Parts of the capacity of new nodes that stay unused.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct WasteReport {
    /// Of CPU, as a part of 1.
    pub cpu: f64,
    /// Of memory, as a part of 1.
    pub memory: f64,
}

impl ScaleUpReport {
    /// The reply. `name` gives the pods' names.
    pub fn new(answer: &Answer, groups: &Groups, revision: u64, policy: PolicyUsed, name: &mut PodNames<'_>) -> Self {
        let reasons = |reasons: &BTreeMap<Name, Vec<String>>| -> BTreeMap<String, Vec<String>> {
            reasons.iter().map(|(group, why)| (group.to_string(), why.clone())).collect()
        };
        let options = answer.options.iter().map(|option| OptionReport::new(option, name)).collect();
        let helpless = answer.helpless.iter().map(|helpless| (name(&helpless.pod), reasons(&helpless.reasons)));
        let pods_remain_unschedulable = helpless.collect();
        let pods_fit = answer.fitting.iter().map(|(pod, node)| (name(pod), node.to_string())).collect();
        Self {
            revision,
            policy,
            result: answer.outcome.name().to_owned(),
            increase: counts(&answer.increase),
            best: answer.best.as_ref().map(ToString::to_string),
            options,
            pods_triggered: names(&answer.triggered, name),
            pods_await_evaluation: names(&answer.awaiting, name),
            pods_remain_unschedulable,
            pods_fit,
            skipped: reasons(&answer.skipped),
            upcoming: counts(&answer.upcoming),
            plan_steps: answer
                .plan(groups, revision)
                .steps
                .iter()
                .map(|step| AdviceStepReport::new(step, &mut *name))
                .collect(),
            exact: answer.exact.as_ref().map(|exact| ExactReport::new(exact, name)),
        }
    }
}

impl OptionReport {
    fn new(option: &GroupOption, name: &mut PodNames<'_>) -> Self {
        Self {
            node_group: option.group.to_string(),
            node_count: option.nodes,
            pods: names(&option.pods, name),
            similar: option.similar.iter().map(ToString::to_string).collect(),
            waste: WasteReport { cpu: option.wasted_cpu, memory: option.wasted_memory },
            cost: option.cost,
        }
    }
}

/// Pods by `namespace/name`, sorted.
fn names(pods: &[Arc<Pod>], name: &mut PodNames<'_>) -> Vec<String> {
    let mut names: Vec<String> = pods.iter().map(|pod| name(pod)).collect();
    names.sort();
    names
}
