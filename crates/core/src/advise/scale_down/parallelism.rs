//! # Rule
//! At most `maxScaleDownParallelism` nodes (10) go at a time, and at most `maxDrainParallelism` of them (1) with pods that have to move; deletions under way
//! count. Empty ones go first, group by group. A group that goes as a whole (`zeroOrMaxNodeScaling`) goes before others and may exceed these numbers, if
//! nothing else is under way.
//!
//! # Source
//! `cluster-autoscaler/core/scaledown/budgets/budgets.go` (`CropNodes`)
//!
//! # Example
//! Of 14 empty nodes and 3 with pods that may go, this round deletes 10 empty ones; the next one 4 empty ones and drains one.

use super::{Input, Unneeded};
use crate::work;

/// Nodes of one group.
struct Bucket {
    group: usize,
    nodes: Vec<usize>,
}

/// Of the nodes that may go those that go now, empty ones and ones to drain.
pub(super) fn crop(may_go: &[usize], unneeded: &[Unneeded], input: &Input<'_>) -> (Vec<usize>, Vec<usize>) {
    let is_whole = |bucket: &Bucket| input.groups.all()[bucket.group].zero_or_max;
    let (empty, drain): (Vec<usize>, Vec<usize>) = may_go.iter().partition(|at| !unneeded[**at].needs_drain());
    let (empty_whole, empty): (Vec<_>, Vec<_>) = buckets(&empty, unneeded).into_iter().partition(is_whole);
    let (drain_whole, drain): (Vec<_>, Vec<_>) = buckets(&drain, unneeded).into_iter().partition(is_whole);
    let under_way = input.state.deleting.len();
    let draining = input.state.deleting.values().filter(|drains| **drains).count();
    let mut all_left = (input.options.max_parallelism as usize).saturating_sub(under_way);
    let mut drain_left = (input.options.max_drain_parallelism as usize).saturating_sub(draining);
    let (mut gone_empty, mut gone_drained) = (Vec::new(), Vec::new());
    let mut may_exceed = true;
    let ids: Vec<usize> = empty_whole.iter().chain(&drain_whole).map(|bucket| bucket.group).collect();
    let mut done = Vec::new();
    for group in ids {
        work::spend_on(1 + done.len());
        if done.contains(&group) {
            continue;
        }
        done.push(group);
        let of = |buckets: &[Bucket]| -> Vec<usize> {
            buckets.iter().filter(|bucket| bucket.group == group).flat_map(|bucket| bucket.nodes.clone()).collect()
        };
        let (empty, drain) = (of(&empty_whole), of(&drain_whole));
        let too_many = all_left < empty.len() + drain.len() || drain_left.min(all_left) < drain.len();
        if too_many && (all_left == 0 || (!drain.is_empty() && drain_left == 0) || !may_exceed) {
            continue;
        }
        all_left = all_left.saturating_sub(empty.len() + drain.len());
        drain_left = drain_left.saturating_sub(drain.len());
        gone_empty.extend(empty);
        gone_drained.extend(drain);
        may_exceed = false;
    }
    let cropped = |buckets: Vec<Bucket>, most: usize| -> Vec<usize> {
        buckets.into_iter().flat_map(|bucket| bucket.nodes).take(most).collect()
    };
    let empty = cropped(empty, all_left);
    all_left -= empty.len();
    let drain = cropped(drain, drain_left.min(all_left));
    gone_empty.extend(empty);
    gone_drained.extend(drain);
    (gone_empty, gone_drained)
}

/// The nodes by group, groups in the order of their first node.
fn buckets(nodes: &[usize], unneeded: &[Unneeded]) -> Vec<Bucket> {
    let mut buckets: Vec<Bucket> = Vec::new();
    for at in nodes {
        work::spend_on(1 + buckets.len());
        let group = unneeded[*at].group;
        match buckets.iter_mut().find(|bucket| bucket.group == group) {
            Some(bucket) => bucket.nodes.push(*at),
            None => buckets.push(Bucket { group, nodes: vec![*at] }),
        }
    }
    buckets
}
