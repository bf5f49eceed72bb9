//! The victims on one node.
//!
//! Source: `default_preemption.go` (`selectVictimsOnNode`), `pkg/scheduler/util/utils.go` (`MoreImportantPod`).

use std::{cmp::Reverse, sync::Arc};

use super::{Candidate, NO_VICTIMS, budgets::Budgets};
use crate::{
    cycle::Cycle, model::Pod, node_info::NodeInfo, overlay::NodeOverlay, rule::Release, snapshot::Snapshot,
    verdict::Verdict, work,
};

/// Preemption for one pod, to be tried on any node.
pub struct DryRun<'c, 's> {
    release: Release,
    snapshot: &'s Snapshot,
    cycle: &'c Cycle<'c, 's>,
    priority: i32,
    budgets: Budgets<'s>,
}

impl<'c, 's> DryRun<'c, 's> {
    /// Of the pod, the snapshot and the profile's release that `cycle` was prepared with.
    pub fn new(release: Release, pod: &Pod, snapshot: &'s Snapshot, cycle: &'c Cycle<'c, 's>) -> Self {
        Self { release, snapshot, cycle, priority: snapshot.priority_of(pod), budgets: Budgets::new(snapshot) }
    }

    /// The victims that kube-scheduler would choose on a node: all pods of lower priority but for those that, put back
    /// one by one, leave room. Pods that a disruption budget protects are put back first, and of each group the more
    /// important ones.
    ///
    /// # Errors
    /// Why preemption does not help there.
    pub fn victims(&self, node: &NodeInfo) -> Result<Candidate, Verdict> {
        let pool = self.pool(node, |_| false);
        if pool.is_empty() {
            return Err(Verdict::unresolvable(NO_VICTIMS));
        }
        self.fewest(node, &pool, &[])
    }

    /// The victims on a node for which the evicting scheduler proposed some: the proposed ones, if the pod fits without them; else those and,
    /// chosen as by [`Self::victims`], as few others as the pod needs. `None` if the pod does not fit even without all pods of lower priority,
    /// or if there is no victim. Proposed pods that are not on the node are ignored. Victims are in order of importance.
    pub fn accept(&self, node: &NodeInfo, proposed: &[Arc<Pod>]) -> Option<Candidate> {
        let is_proposed = |pod: &Pod| {
            work::spend_on(proposed.len());
            proposed.iter().any(|other| other.is_same(pod))
        };
        let pool = self.pool(node, is_proposed);
        let proposed: Vec<Arc<Pod>> = pool.iter().filter(|pod| is_proposed(pod)).cloned().collect();
        let mut without = NodeOverlay::new(node);
        for pod in &proposed {
            without.remove(pod);
        }
        let mut accepted = if self.cycle.first_failure_overlay(&without).is_none() {
            let (violating, _) = self.budgets.split(&pool);
            let breaks = |pod: &&Arc<Pod>| {
                work::spend_on(violating.len());
                violating.iter().any(|other| other.is_same(pod))
            };
            let pdb_violations = proposed.iter().filter(breaks).count();
            Candidate { node: node.name().clone(), victims: proposed, pdb_violations }
        } else {
            self.fewest(node, &pool, &proposed).ok()?
        };
        self.sort(&mut accepted.victims);
        (!accepted.victims.is_empty()).then_some(accepted)
    }

    /// The fewest of `pool` that have to leave when those of `settled` do in any case.
    fn fewest(&self, node: &NodeInfo, pool: &[Arc<Pod>], settled: &[Arc<Pod>]) -> Result<Candidate, Verdict> {
        let mut without = NodeOverlay::new(node);
        for pod in pool {
            without.remove(pod);
        }
        if let Some(failure) = self.cycle.first_failure_overlay(&without) {
            return Err(failure.verdict);
        }
        let (violating, others) = self.budgets.split(pool);
        let mut victims = Vec::new();
        let mut pdb_violations = 0;
        for (group, breaks_a_budget) in [(violating, true), (others, false)] {
            for pod in group {
                work::spend_on(1 + settled.len());
                if !settled.iter().any(|other| other.is_same(pod)) {
                    without.put_back(pod);
                    if self.cycle.first_failure_overlay(&without).is_none() {
                        continue;
                    }
                    without.remove(pod);
                }
                pdb_violations += usize::from(breaks_a_budget);
                victims.push(pod.clone());
            }
        }
        if victims.is_empty() {
            return Err(Verdict::unschedulable(NO_VICTIMS));
        }
        if self.release.facts().sorts_victims {
            self.sort(&mut victims);
        }
        Ok(Candidate { node: node.name().clone(), victims, pdb_violations })
    }

    /// The node's pods that are of lower priority, or `besides`, the more important first.
    fn pool(&self, node: &NodeInfo, besides: impl Fn(&Pod) -> bool) -> Vec<Arc<Pod>> {
        let may_leave = |pod: &&Arc<Pod>| self.snapshot.priority_of(pod) < self.priority || besides(pod);
        work::spend_on(node.pods.len());
        let mut pods: Vec<Arc<Pod>> = node.pods.iter().filter(may_leave).cloned().collect();
        self.sort(&mut pods);
        pods
    }

    /// The more important a pod, the further to the front: by priority, then by how long it has run. Of pods that started
    /// at the same time the order decides in which they came (kube-scheduler's cache lists them so), then that of namespace
    /// and name; one that has not started counts as starting now.
    fn sort(&self, pods: &mut [Arc<Pod>]) {
        pods.sort_by_cached_key(|pod| {
            let started = pod.start_time.unwrap_or(i64::MAX);
            // Pods that were placed since have no number, and came after those that have one.
            let rank = (Reverse(self.snapshot.priority_of(pod)), started, pod.arrival.wrapping_sub(1));
            (rank, pod.namespace.clone(), pod.name.clone())
        });
    }
}
