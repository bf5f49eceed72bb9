//! Faults that no plan may have.
//!
//! A budget that allows nothing is not broken, no group leaves its bounds, no node is deleted with pods left on it, and no pod is sent to a node that goes.

use std::collections::{HashMap, HashSet};

use super::{AdvicePlan, StepKind};
use crate::{
    advise::groups::Groups,
    model::{Name, Pod},
    snapshot::Snapshot,
    work,
};

/// Evictions that a disruption budget has to allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// All of the plan, at once.
    AtOnce,
    /// Each by itself: evicted pods are healthy elsewhere before the next one goes.
    OneByOne,
}

/// A fault of a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A budget does not allow as many evictions.
    #[error("pod {pod} leaves its node, and the disruption budget {budget} allows {allowed} disruptions")]
    Budget {
        /// The budget.
        budget: Name,
        /// The pod.
        pod: String,
        /// The disruptions that it allows.
        allowed: i32,
    },
    /// A group gets a size that it may not have.
    #[error("node group {group} is to have {to} nodes, and may have {min} to {max}")]
    Size {
        /// The group.
        group: Name,
        /// The number of nodes.
        to: u32,
        /// Its smallest size.
        min: u32,
        /// Its largest size.
        max: u32,
    },
    /// A group is not known.
    #[error("there is no node group {group}")]
    Group {
        /// The group.
        group: Name,
    },
    /// A node is deleted with a pod on it.
    #[error("node {node} is deleted, and pod {pod} is left on it")]
    PodLeft {
        /// The node.
        node: Name,
        /// The pod.
        pod: String,
    },
    /// A pod is sent to a node that is not there, or goes.
    #[error("pod {pod} moves to {to}, which is not there or goes as well")]
    Destination {
        /// The pod.
        pod: String,
        /// The node.
        to: Name,
    },
}

/// `true` if the pod has to go before its node can.
pub fn has_to_move(pod: &Pod) -> bool {
    !pod.terminal && !pod.facts().mirror && pod.controller.as_ref().is_none_or(|owner| &*owner.kind != "DaemonSet")
}

/// The faults of a plan for a cluster with these groups. Groups that are at a wrong size already may stay there.
pub fn lint(plan: &AdvicePlan, snapshot: &Snapshot, groups: &Groups, pace: Pace) -> Vec<Broken> {
    let mut broken = Vec::new();
    let going: HashSet<&Name> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.kind {
            StepKind::Cordon { node } | StepKind::DeleteNode { node, .. } => Some(node),
            _ => None,
        })
        .collect();
    let mut left: HashSet<(&str, &str)> = HashSet::new();
    let mut used: HashMap<(&str, &str), i32> = HashMap::new();
    for step in &plan.steps {
        work::spend(1);
        match &step.kind {
            StepKind::SetTargetSize { group, to, .. } => broken.extend(size(groups, group, *to)),
            StepKind::DeleteNode { node, group, to } => {
                broken.extend(size(groups, group, *to));
                let pods = snapshot.node(node).into_iter().flat_map(|info| &info.pods);
                let stays = |pod: &&std::sync::Arc<Pod>| {
                    has_to_move(pod) && !pod.terminating && !left.contains(&(&*pod.namespace, &*pod.name))
                };
                let stay = pods.filter(stays);
                broken.extend(stay.map(|pod| Broken::PodLeft { node: node.clone(), pod: pod.full_name() }));
            }
            StepKind::Evict { pod } | StepKind::Move { pod, .. } => {
                if let StepKind::Move { to, .. } = &step.kind
                    && (going.contains(to) || snapshot.node(to).is_none())
                {
                    broken.push(Broken::Destination { pod: pod.full_name(), to: to.clone() });
                }
                left.insert((&pod.namespace, &pod.name));
                if pod.pending || pod.terminal || pod.terminating {
                    continue;
                }
                for budget in snapshot.disruption_budgets().filter(|budget| budget.covers(pod)) {
                    work::spend(1);
                    let used = used.entry((&budget.namespace, &budget.name)).or_default();
                    *used += 1;
                    let needed = if pace == Pace::AtOnce { *used } else { 1 };
                    if budget.disruptions_allowed < needed {
                        let (budget, allowed) = (budget.name.clone(), budget.disruptions_allowed);
                        broken.push(Broken::Budget { budget, pod: pod.full_name(), allowed });
                    }
                }
            }
            StepKind::Cordon { .. } | StepKind::Uncordon { .. } | StepKind::Scale { .. } | StepKind::Resize { .. } => {}
        }
    }
    broken
}

/// The fault of a group's size.
fn size(groups: &Groups, name: &Name, to: u32) -> Option<Broken> {
    let Some(group) = groups.all().iter().find(|group| group.id == *name) else {
        return Some(Broken::Group { group: name.clone() });
    };
    let (min, max) = (group.min.min(group.target), group.max.max(group.target));
    let is_out = to < min || to > max;
    is_out.then(|| Broken::Size { group: name.clone(), to, min: group.min, max: group.max })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        advise::groups::Group,
        testing::{budget, cluster, node, pod},
    };

    fn told(steps: Vec<StepKind>, allowed: i32, pace: Pace) -> Vec<String> {
        let snapshot = cluster([
            node("a").into(),
            node("b").into(),
            pod("w1").label("app", "web").on("a").into(),
            pod("w2").label("app", "web").on("a").into(),
            pod("daemon").owned_by("apps/v1", "DaemonSet", "d").on("a").into(),
            budget("web", "app=web", allowed),
        ]);
        let nodes = vec!["a".into(), "b".into()];
        let groups = Groups::new(vec![Group { id: "g".into(), min: 1, max: 3, target: 2, nodes, ..Group::default() }]);
        let steps = steps.into_iter().map(|kind| kind.because("it is a test")).collect();
        let plan = AdvicePlan { revision: 0, steps };
        lint(&plan, &snapshot, &groups.expect("groups"), pace).iter().map(ToString::to_string).collect()
    }

    fn moved(name: &str, to: &str) -> StepKind {
        let pod = Arc::new(pod(name).label("app", "web").on("a").build());
        StepKind::Move { pod, to: to.into() }
    }

    fn delete(to: u32) -> StepKind {
        StepKind::DeleteNode { node: "a".into(), group: "g".into(), to }
    }

    #[test]
    fn a_drained_node_may_go_and_one_with_pods_may_not() {
        let whole = vec![StepKind::Cordon { node: "a".into() }, moved("w1", "b"), moved("w2", "b"), delete(1)];
        assert_eq!(told(whole, 2, Pace::AtOnce), [""; 0]);
        let half = vec![moved("w1", "b"), delete(1)];
        assert_eq!(told(half, 2, Pace::AtOnce), ["node a is deleted, and pod default/w2 is left on it"]);
        let nowhere = vec![moved("w1", "a"), moved("w2", "c"), delete(1)];
        let expected = ["w1 moves to a", "w2 moves to c"]
            .map(|one| format!("pod default/{one}, which is not there or goes as well"));
        assert_eq!(told(nowhere, 2, Pace::AtOnce), expected);
    }

    #[test]
    fn a_budget_allows_so_many_at_once_and_one_after_the_other_as_long_as_it_allows_any() {
        let both = || vec![moved("w1", "b"), moved("w2", "b")];
        let fault = |pod: &str, allowed| {
            format!("pod default/{pod} leaves its node, and the disruption budget web allows {allowed} disruptions")
        };
        assert_eq!(told(both(), 1, Pace::AtOnce), [fault("w2", 1)]);
        assert_eq!(told(both(), 1, Pace::OneByOne), [""; 0]);
        assert_eq!(told(both(), 0, Pace::OneByOne), [fault("w1", 0), fault("w2", 0)]);
    }

    #[test]
    fn a_group_keeps_its_bounds() {
        let sized = |to| StepKind::SetTargetSize { group: "g".into(), from: 2, to };
        assert_eq!(told(vec![sized(3), sized(1)], 0, Pace::AtOnce), [""; 0]);
        assert_eq!(told(vec![sized(4)], 0, Pace::AtOnce), ["node group g is to have 4 nodes, and may have 1 to 3"]);
        let other = StepKind::SetTargetSize { group: "h".into(), from: 2, to: 3 };
        assert_eq!(told(vec![other], 0, Pace::AtOnce), ["there is no node group h"]);
    }
}
