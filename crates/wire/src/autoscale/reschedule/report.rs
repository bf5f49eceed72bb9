//! The reply of `POST /reschedule`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{autoscale::step::AdviceStepReport, explanation::PodName};
use podberth_core::{
    advise::reschedule::{Balance, Fate, Measure, Move, Outcome, Refused, Violations},
    model::Pod,
};

/// Which pods should leave their nodes, where they would go, and what becomes better.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RescheduleReport {
    /// The revision of the state that was looked at; 0 where the cluster came with the request.
    pub revision: u64,
    /// The pods that would be evicted, each as `namespace/name`. One that is chosen twice is there twice, since the descheduler evicts it twice.
    pub evicted: Vec<String>,
    /// The pods that strategies chose and disruption budgets keep, each as `namespace/name`.
    pub refused: Vec<String>,
    /// Each eviction, and where the pod would go.
    pub moves: Vec<MoveReport>,
    /// The steps to take.
    #[serde(default)]
    pub plan_steps: Vec<AdviceStepReport>,
    /// Each refusal.
    pub kept: Vec<KeptReport>,
    /// How many evictions each limit of the policy kept from happening, by its field.
    pub limited: BTreeMap<String, u64>,
    /// Pods that the evictor spared.
    pub spared: Vec<SparedReport>,
    /// The cluster before.
    pub before: MeasureReport,
    /// The cluster afterwards.
    pub after: MeasureReport,
    /// `true` if no more pods wait, no more rules are broken and no more evictions are wanted than before, and one of these became less.
    pub better: bool,
    /// Why nothing was done, or less than asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Pods that were chosen again.
    #[serde(skip)]
    #[schema(ignore)]
    pub again: Vec<PodName>,
}

/// An eviction, and where the pod would go.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = RescheduleMove)]
pub struct MoveReport {
    /// The pod.
    pub pod: PodName,
    /// Its node.
    pub from: String,
    /// The node that it would go to; absent if it fits nowhere, or is not placed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub to: Option<String>,
    /// Its fate otherwise; of a pod that fits nowhere kube-scheduler's own sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
    /// The round, from 1.
    pub round: usize,
    /// The profile of the policy.
    pub profile: String,
    /// The strategy that chose it.
    #[schema(example = "LowNodeUtilization")]
    pub strategy: String,
    /// Why it chose it.
    pub why: String,
}

/// A pod that a disruption budget keeps.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct KeptReport {
    /// The pod.
    pub pod: PodName,
    /// The strategy that chose it.
    pub strategy: String,
    /// Why it stays.
    pub why: String,
}

/// Pods that the evictor spared for one reason.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct SparedReport {
    /// The strategy that asked.
    pub strategy: String,
    /// The reason.
    pub reason: String,
    /// How often.
    pub pods: u64,
}

/// How well a cluster is placed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeasureReport {
    /// Ready nodes that the policy selects.
    pub nodes: usize,
    /// Those with a pod that does not belong to its node.
    pub nodes_in_use: usize,
    /// Pods that wait for a node.
    pub waiting: usize,
    /// Broken rules.
    pub violations: ViolationsReport,
    /// Pods beyond the first of one controller on one node.
    pub duplicates: u64,
    /// Evictions that the policy would still like, whatever its limits and the disruption budgets.
    pub wanted: u64,
    /// Utilization of nodes by requests, for `cpu`, `memory` and `pods`.
    pub utilization: BTreeMap<String, BalanceReport>,
    /// The price of the nodes in use for an hour, where node groups name one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cost: Option<String>,
}

/// Pods that break rules.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ViolationsReport {
    /// They do not tolerate a `NoSchedule` or `NoExecute` taint of their node.
    pub taints: u64,
    /// Their node does not meet their node selector or required node affinity.
    pub node_affinity: u64,
    /// Another pod breaks their required anti-affinity.
    pub anti_affinity: u64,
    /// Pods by which domains exceed the skew that `DoNotSchedule` constraints allow.
    pub spread: u64,
}

/// Utilization of nodes, in percent.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct BalanceReport {
    /// Of the emptiest node.
    pub lowest: f64,
    /// Of all on average.
    pub mean: f64,
    /// Of the fullest.
    pub highest: f64,
    /// The standard deviation.
    pub deviation: f64,
}

impl RescheduleReport {
    /// The pods of its lists, as texts: to be called once names are as they may be told.
    pub fn list(&mut self) {
        let name = |pod: &PodName| format!("{}/{}", pod.namespace, pod.name);
        self.evicted = self.moves.iter().map(|one| &one.pod).chain(&self.again).map(name).collect();
        self.refused = self.kept.iter().map(|one| name(&one.pod)).collect();
    }

    /// Takes in what a cycle did besides evicting.
    pub fn take(&mut self, outcome: &Outcome) {
        self.kept = outcome.refused.iter().map(KeptReport::from).collect();
        self.limited = outcome.limited.iter().map(|(limit, count)| ((*limit).to_owned(), *count)).collect();
        let spared = |((strategy, reason), pods): (&(&str, &str), &u64)| SparedReport {
            strategy: (*strategy).to_owned(),
            reason: (*reason).to_owned(),
            pods: *pods,
        };
        self.spared = outcome.spared.iter().map(spared).collect();
        if outcome.has_too_few_nodes {
            self.notes.push("fewer than two nodes are ready and selected by nodeSelector: nothing is evicted".into());
        }
    }
}

impl MoveReport {
    /// A move of a round.
    pub fn new(one: &Move, round: usize) -> Self {
        let eviction = &one.eviction;
        let (to, message) = match &one.fate {
            Fate::To(node) => (Some(node.to_string()), None),
            Fate::Nowhere(why) => (None, Some(why.clone())),
            Fate::Replaced => (None, Some("it is made anew on its node, or has a successor already".into())),
            Fate::Lost => (None, Some("no controller makes it anew".into())),
        };
        Self {
            pod: PodName::from(&*eviction.pod as &Pod),
            from: eviction.pod.node_name.to_string(),
            to,
            message,
            round,
            profile: eviction.profile.to_string(),
            strategy: eviction.strategy.to_owned(),
            why: eviction.why.clone(),
        }
    }
}

impl From<&Refused> for KeptReport {
    fn from(refused: &Refused) -> Self {
        let pod = PodName::from(&*refused.pod as &Pod);
        Self { pod, strategy: refused.strategy.to_owned(), why: refused.why.clone() }
    }
}

impl From<&Measure> for MeasureReport {
    fn from(of: &Measure) -> Self {
        let Violations { taints, node_affinity, anti_affinity, spread } = of.violations;
        let balance = |of: &Balance| BalanceReport {
            lowest: tenths(of.lowest),
            mean: tenths(of.mean),
            highest: tenths(of.highest),
            deviation: tenths(of.deviation),
        };
        Self {
            nodes: of.nodes,
            nodes_in_use: of.in_use,
            waiting: of.waiting,
            violations: ViolationsReport { taints, node_affinity, anti_affinity, spread },
            duplicates: of.duplicates,
            wanted: of.wanted,
            utilization: of.balance.iter().map(|(name, of)| (name.to_string(), balance(of))).collect(),
            cost: of.cost.map(|cost| cost.to_string()),
        }
    }
}

/// A number with one digit behind the point.
fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
