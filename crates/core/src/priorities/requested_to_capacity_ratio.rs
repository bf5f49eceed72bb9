//! # Rule
//! The requested share of each resource is turned into a score by a line through given points, with the requests of the pods on the node
//! and of the incoming pod:
//!
//! ```text
//! utilization(r) = requested × 100 / allocatable                rounded down; 100 where requested > allocatable
//! score(r)       = the line at utilization(r)                   the points' scores × 10, slopes rounded towards 0
//! score          = Σ score(r) × weight(r) / Σ weight(r)         over those with score(r) > 0, rounded to the nearest
//! ```
//!
//! Before the first point and after the last the line is level. Requests count as in `LeastRequestedPriority`.
//!
//! # Policy name and framework plugin
//! `RequestedToCapacityRatioPriority`, or any name with the argument `requestedToCapacityRatioArguments`; plugin
//! `RequestedToCapacityRatio`. In 1.34: `NodeResourcesFit` with the scoring strategy of that name.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/noderesources/requested_to_capacity_ratio.go`, `helper/shape_score.go`; 1.22 and 1.34
//! differ as in `LeastRequestedPriority`. 1.6 did not know it (it came with 1.11).
//!
//! # Arguments
//! `shape: [{utilization: 0..100, score: 0..10}]` in order of utilization, and `resources: [{name, weight}]`, CPU and
//! memory with weight 1 where none are named.
//!
//! # Example
//! With the shape `[{0, 0}, {100, 10}]` (pack) and CPU alone, a node of 4 CPUs of which 3 would be taken scores 75; with
//! `[{0, 10}, {100, 0}]` (spread) it scores 25.

use super::{
    MAX_NODE_SCORE, Priority, Registration, Scores,
    arithmetic::percent,
    resource_scoring::{Requests, ResourceScoring, STRATEGY, Share, weighted_sum},
};
use crate::{
    argument::{Argument, CapacityRatio, EntryForm, Form, checks},
    model::Pod,
    node_set::NodeSet,
    rule::{Identity, Reads, ResourceWeight, ShapePoint},
    snapshot::Snapshot,
};

/// The highest score of a point.
const MAX_SHAPE_SCORE: i64 = 10;

/// `requestedToCapacityRatioArguments` of a Policy; in a profile the strategy has them.
pub(crate) const RATIO: Argument<CapacityRatio> = Argument {
    plugin: "RequestedToCapacityRatio",
    name: "requestedToCapacityRatioArguments",
    form: Form::Entry { key: "RequestedToCapacityRatio", member: EntryForm::CapacityRatio },
    in_policy: None,
    help: "The line from utilization to score, and the resources that it is drawn for",
    default: |_| CapacityRatio::default(),
    check: |ratio, field, faults| {
        let at = format!("{field}.requestedToCapacityRatioArguments");
        let unsorted = "utilization values must be sorted in increasing order";
        checks::shape(&format!("{at}.shape"), &ratio.shape, unsorted, faults);
        checks::resources(&format!("{at}.resources"), &ratio.resources, None, faults);
    },
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "RequestedToCapacityRatioPriority",
        aliases: &["RequestedToCapacityRatio"],
        plugin: "RequestedToCapacityRatio",
        modern_plugin: Some("NodeResourcesFit"),
        arguments: &[&RATIO, &STRATEGY],
        source: include_str!("requested_to_capacity_ratio.rs"),
    },
    default_weight: None,
    build: |arguments| {
        let CapacityRatio { shape, resources } = arguments.written.get(&RATIO).cloned().unwrap_or_else(|| {
            let strategy = arguments.get(&STRATEGY);
            let resources = ResourceWeight::scored(&strategy.resources);
            CapacityRatio { shape: strategy.shape.unwrap_or_default(), resources }
        });
        let scoring = ResourceScoring::new(arguments.release, Requests::NonZero, &resources);
        Box::new(RequestedToCapacityRatio { scoring, shape })
    },
};

struct RequestedToCapacityRatio {
    scoring: ResourceScoring,
    shape: Vec<ShapePoint>,
}

impl Priority for RequestedToCapacityRatio {
    fn score(&self, pod: &Pod, _: &Snapshot, candidates: &NodeSet<'_>) -> Scores {
        let score = |share: &Share| {
            let full = share.requested > share.allocatable;
            line(&self.shape, if full { 100 } else { percent(share.requested, share.allocatable) })
        };
        self.scoring.score(pod, candidates, |shares| {
            let (sum, weights) = weighted_sum(shares.iter().filter(|share| score(share) > 0), score);
            if weights == 0 { 0 } else { ((2 * sum + weights) / (2 * weights)) as i64 }
        })
    }

    fn reads(&self, _: &Pod, _: &Snapshot) -> Reads {
        Reads::Node
    }
}

/// The line through the points, at `utilization`; 0 where there are no points.
fn line(shape: &[ShapePoint], utilization: i64) -> i64 {
    let scaled = |point: &ShapePoint| point.score * (MAX_NODE_SCORE / MAX_SHAPE_SCORE);
    let next = shape.partition_point(|point| point.utilization < utilization);
    match (next.checked_sub(1).and_then(|i| shape.get(i)), shape.get(next)) {
        (Some(from), Some(to)) => {
            let (run, rise) = (to.utilization - from.utilization, scaled(to) - scaled(from));
            scaled(from) + rise * (utilization - from.utilization) / run
        }
        (Some(end), None) | (None, Some(end)) => scaled(end),
        (None, None) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{Arguments, Release};
    use crate::testing::{node, pod, priority, scores_of};

    fn shape(points: &[(i64, i64)]) -> Vec<ShapePoint> {
        points.iter().map(|(utilization, score)| ShapePoint { utilization: *utilization, score: *score }).collect()
    }

    #[test]
    fn the_line_is_level_outside_its_points_and_straight_between_them() {
        let bend = shape(&[(20, 0), (40, 4), (100, 2)]);
        // 20..40: 40×(30-20)/20 = 20; 40..100: 40 - 20×(50-40)/60 = 40 - 3.3 → 37
        let expected = [(0, 0), (20, 0), (30, 20), (40, 40), (50, 37), (100, 20)];
        for (utilization, score) in expected {
            assert_eq!(line(&bend, utilization), score, "{utilization}");
        }
        assert_eq!(line(&shape(&[(50, 7)]), 10), 70);
        assert_eq!(line(&shape(&[(50, 7)]), 90), 70);
        assert_eq!(line(&[], 50), 0);
    }

    #[test]
    fn resources_that_score_nothing_do_not_weigh() {
        let mut arguments = Arguments::defaults(Release::V1_22);
        let resources = [("cpu", 2), ("memory", 1), ("example.com/foo", 4)]
            .map(|(name, weight)| ResourceWeight { name: name.into(), weight })
            .to_vec();
        arguments.set(&RATIO, CapacityRatio { shape: shape(&[(0, 0), (100, 10)]), resources });
        let rule = priority("RequestedToCapacityRatioPriority", &arguments);
        let nodes = [
            node("a").cpu("4").memory("1000Gi"),
            node("b").cpu("4").memory("2Gi"),
            node("c").cpu("1").memory("2Gi").offers("example.com/foo", "3"),
        ];
        let asks = pod("p").cpu("3").memory("1Gi").requests("example.com/foo", "2");
        // a: cpu 75, memory 0.1 → 0 and so left out; 2×75/2
        // b: cpu 75, memory 50; (2×75 + 50)/3 = 66.7 → 67
        // c: cpu 300 → 100, memory 50, foo 66; (2×100 + 50 + 4×66)/7 = 73.4 → 73
        assert_eq!(scores_of(&*rule, asks, &nodes), [75, 67, 73]);
    }
}
