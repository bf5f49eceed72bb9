//! # Rule
//! The closer the requested shares of a node's resources are to each other, the higher its score:
//!
//! ```text
//! fraction(r) = requested / allocatable, at most 1
//! score       = (1 − σ) × 100                         rounded down
//! ```
//!
//! σ is the standard deviation of the fractions (of two: half their difference; of one or none: 0). Requests count as written. A
//! resource that the node does not offer is left out, and so is a scalar resource that the pod does not request.
//!
//! # Policy name and framework plugin
//! `BalancedResourceAllocation`, by default with weight 1; plugin `NodeResourcesBalancedAllocation`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/noderesources/balanced_allocation.go`, `resource_allocation.go`. 1.34 does not score
//! for a pod that requests none of the resources looked at (all nodes come to 0), and counts amounts given for the pod as
//! a whole. 1.22 adds the CPU of the incoming pod's `spec.overhead` in whole cores where thousandths are meant (250m count
//! as 1m). 1.6 (`balanced_resource_allocation.go` in `plugin/pkg/scheduler/algorithm/priorities`) scored
//! 10 − |fraction(cpu) − fraction(memory)| × 10, with defaults for containers that name no request, and 0 where either was
//! full.
//!
//! # Arguments
//! A profile says which resources are looked at (`NodeResourcesBalancedAllocationArgs.resources`); their weights must be 1.
//! Under a policy it is CPU and memory.
//!
//! # Example
//! A node where 50% of the CPU and 30% of the memory would be requested: (1 − 0.2/2) × 100 = 90.

use std::collections::BTreeSet;

use super::{
    MAX_NODE_SCORE, Priority, Registration, Scores,
    resource_scoring::{Requests, ResourceScoring, Share},
};
use crate::{
    argument::{Argument, Form},
    fault::Fault,
    model::Pod,
    node_set::NodeSet,
    rule::{Identity, Reads, Release, ResourceWeight},
    snapshot::Snapshot,
};

/// `resources` of a profile; CPU and memory under a Policy.
const RESOURCES: Argument<Vec<ResourceWeight>> = Argument {
    plugin: "NodeResourcesBalancedAllocation",
    name: "resources",
    form: Form::Resources,
    in_policy: None,
    help: "The resources looked at, each with the weight 1",
    default: |_| ResourceWeight::cpu_and_memory(),
    check: |resources, field, faults| {
        let mut seen = BTreeSet::new();
        for (i, resource) in resources.iter().enumerate() {
            if !seen.insert(&resource.name) {
                let why = format!("Duplicate value: {:?}", resource.name);
                faults.push(Fault::new(format!("{field}.resources[{i}].name"), why));
            }
            if ![0, 1].contains(&resource.weight) {
                faults.push(Fault::invalid(format!("{field}.resources[{i}].weight"), resource.weight, "must be 1"));
            }
        }
    },
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "BalancedResourceAllocation",
        aliases: &[],
        plugin: "NodeResourcesBalancedAllocation",
        modern_plugin: Some("NodeResourcesBalancedAllocation"),
        arguments: &[&RESOURCES],
        source: include_str!("balanced_resource_allocation.rs"),
    },
    default_weight: Some(1),
    build: |arguments| {
        Box::new(BalancedResourceAllocation {
            scoring: ResourceScoring::new(
                arguments.release,
                Requests::Real,
                &ResourceWeight::scored(&arguments.get(&RESOURCES)),
            ),
            release: arguments.release,
        })
    },
};

struct BalancedResourceAllocation {
    scoring: ResourceScoring,
    release: Release,
}

impl Priority for BalancedResourceAllocation {
    fn score(&self, pod: &Pod, _: &Snapshot, candidates: &NodeSet<'_>) -> Scores {
        let skips = self.release.facts().balance_skips_pods_without_requests;
        if skips && self.scoring.pod_requests(pod).iter().all(|amount| *amount == 0) {
            return Scores::Same(0);
        }
        self.scoring.score(pod, candidates, balance)
    }

    fn reads(&self, _: &Pod, _: &Snapshot) -> Reads {
        Reads::Node
    }
}

fn balance(shares: &[Share]) -> i64 {
    let fraction = |share: &Share| (share.requested as f64 / share.allocatable as f64).min(1.0);
    let deviation = match shares {
        [] | [_] => 0.0,
        [a, b] => ((fraction(a) - fraction(b)) / 2.0).abs(),
        _ => {
            let count = shares.len() as f64;
            let mean = shares.iter().map(fraction).sum::<f64>() / count;
            let squares = shares.iter().map(fraction).fold(0.0, |sum, f| sum + (f - mean) * (f - mean));
            (squares / count).sqrt()
        }
    };
    ((1.0 - deviation) * MAX_NODE_SCORE as f64) as i64
}

#[cfg(test)]
mod tests {
    use super::RESOURCES;
    use crate::testing::{PodBuilder, node, pod, priority, scores_of};
    use crate::{
        rule::{Arguments, Release, ResourceWeight},
        snapshot::Object,
    };

    fn scores(arguments: &Arguments, pod: PodBuilder) -> Vec<i64> {
        let objects: [Object; 4] = [
            node("a").cpu("10").memory("10Gi").offers("example.com/foo", "10").into(),
            node("b").cpu("10").memory("20Gi").into(),
            node("c").cpu("10").into(),
            crate::testing::pod("there").cpu("3").memory("3Gi").on("a").into(),
        ];
        scores_of(&*priority("BalancedResourceAllocation", arguments), pod, &objects)
    }

    #[test]
    fn the_more_even_the_shares_the_higher_the_score() {
        for release in [Release::V1_22, Release::V1_34] {
            // a: cpu (3+6)/10 = 0.9, memory (3+2)/10 = 0.5; (1-0.2)×100
            // b: cpu 0.6, memory 2/20 = 0.1; (1-0.25)×100
            // c: cpu alone
            assert_eq!(scores(&Arguments::defaults(release), pod("p").cpu("6").memory("2Gi")), [80, 75, 100]);
        }
        // a: cpu capped 1, memory 0.5
        assert_eq!(scores(&Arguments::defaults(Release::V1_22), pod("p").cpu("20").memory("2Gi"))[0], 75);
    }

    #[test]
    fn a_pod_that_requests_nothing_is_not_scored_for_in_1_34() {
        assert_eq!(scores(&Arguments::defaults(Release::V1_22), pod("p")), [100, 100, 100]);
        assert_eq!(scores(&Arguments::defaults(Release::V1_34), pod("p")), [0, 0, 0]);
    }

    #[test]
    fn more_than_two_resources_use_the_standard_deviation() {
        let mut arguments = Arguments::defaults(Release::V1_34);
        let mut resources = ResourceWeight::cpu_and_memory();
        resources.push(ResourceWeight { name: "example.com/foo".into(), weight: 1 });
        arguments.set(&RESOURCES, resources);
        // a: 0.9, 0.5, 0.1: mean 0.5, σ = √((0.16+0+0.16)/3) = 0.3266 → 67.3
        let asks = pod("p").cpu("6").memory("2Gi").requests("example.com/foo", "1");
        assert_eq!(scores(&arguments, asks), [67, 75, 100]);
    }
}
