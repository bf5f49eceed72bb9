//! Memory of the loop: pods that it evicted, and whose successors came back to the node. Their controllers' pods are left there for a while.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::core::{
    advise::reschedule::{Move, Policy},
    model::Name,
    snapshot::Snapshot,
};

const MINUTE: i64 = 60_000_000_000;

/// Time for which a successor is looked for.
const WATCHED_FOR: i64 = 30 * MINUTE;

/// Time for which pods are left alone after one came back.
const SPARED_FOR: i64 = 60 * MINUTE;

/// Pairs of controller and node that are remembered; further evictions are not.
const MOST: usize = 10_000;

/// The uid of a controller, and a node.
type Pair = (Name, Name);

/// Evictions, and what came back. All times are nanoseconds since 1970.
#[derive(Clone, Debug, Default)]
pub(super) struct Comebacks {
    /// When a pod was evicted last.
    evicted: BTreeMap<Pair, i64>,
    /// Until when pods are left alone.
    spared: BTreeMap<Pair, i64>,
}

impl Comebacks {
    /// The policy without pods that would only come back. `snapshot`: the cluster since the last evictions.
    pub(super) fn policy(&mut self, policy: &Policy, snapshot: &Snapshot, now: i64) -> Policy {
        self.look(snapshot, now);
        let mut policy = policy.clone();
        if !self.spared.is_empty() {
            let came_back: Arc<BTreeSet<Pair>> = Arc::new(self.spared.keys().cloned().collect());
            for profile in &mut policy.profiles {
                profile.evictor.came_back = came_back.clone();
            }
        }
        policy
    }

    /// Remembers evictions.
    pub(super) fn note(&mut self, moves: &[Move], now: i64) {
        for pod in moves.iter().map(|one| &one.eviction.pod) {
            if let Some(owner) = &pod.controller
                && self.evicted.len() < MOST
            {
                self.evicted.insert((owner.uid.clone(), pod.node_name.clone()), now);
            }
        }
    }

    fn look(&mut self, snapshot: &Snapshot, now: i64) {
        self.spared.retain(|_, until| now < *until);
        let came_back = |(uid, node): &Pair, since: i64| {
            let pods = snapshot.node(node).into_iter().flat_map(|info| &info.pods);
            // Times of creation are whole seconds.
            let is_new = |created: i64| created >= since - since.rem_euclid(1_000_000_000);
            pods.filter(|pod| pod.controller.as_ref().is_some_and(|owner| owner.uid == *uid))
                .any(|pod| !pod.terminating && pod.created.is_some_and(is_new))
        };
        let spared = &mut self.spared;
        self.evicted.retain(|pair, since| {
            let is_back = came_back(pair, *since);
            if is_back && spared.len() < MOST {
                spared.insert(pair.clone(), now.saturating_add(SPARED_FOR));
            }
            !is_back && now < since.saturating_add(WATCHED_FOR)
        });
    }
}

#[cfg(test)]
mod tests {
    use podberth_testkit::{PodBuilder, cluster, node, pod};

    use super::*;
    use crate::core::advise::reschedule::{Eviction, Evictor, Fate, Profile};

    fn web(name: &str, on: &str, created: i64) -> PodBuilder {
        pod(name).owned_by("apps/v1", "ReplicaSet", "web").on(on).with(move |pod| pod.created = Some(created))
    }

    fn evicted(on: &str) -> Move {
        let pod = Arc::new(web("old", on, 0).build());
        let eviction = Eviction { pod, profile: "p".into(), strategy: "RemoveDuplicates", why: String::new() };
        Move { eviction, fate: Fate::To("b".into()) }
    }

    fn policy() -> Policy {
        let profile =
            Profile { name: "p".into(), evictor: Evictor::default(), deschedule: Vec::new(), balance: Vec::new() };
        Policy { profiles: vec![profile], ..Policy::default() }
    }

    /// The nodes whose pods are left alone.
    fn spared(memory: &mut Comebacks, pods: Vec<PodBuilder>, now: i64) -> Vec<String> {
        let nodes = ["a", "b"].map(|name| node(name).into());
        let snapshot = cluster(nodes.into_iter().chain(pods.into_iter().map(Into::into)));
        let policy = memory.policy(&policy(), &snapshot, now);
        policy.profiles[0].evictor.came_back.iter().map(|(_, node)| node.to_string()).collect()
    }

    #[test]
    fn a_pod_that_came_back_is_left_alone_for_an_hour() {
        let mut memory = Comebacks::default();
        memory.note(&[evicted("a")], 10 * MINUTE);
        let old_and_elsewhere = || vec![web("other", "a", 9 * MINUTE), web("new", "b", 10 * MINUTE)];
        assert_eq!(spared(&mut memory, old_and_elsewhere(), 11 * MINUTE), [""; 0], "it went elsewhere");
        let back = || vec![web("new", "a", 12 * MINUTE)];
        assert_eq!(spared(&mut memory, back(), 15 * MINUTE), ["a"]);
        assert_eq!(spared(&mut memory, Vec::new(), 74 * MINUTE), ["a"]);
        assert_eq!(spared(&mut memory, back(), 75 * MINUTE), [""; 0], "it may be tried again");
    }

    #[test]
    fn what_is_remembered_has_an_end_and_a_bound() {
        let mut memory = Comebacks::default();
        memory.note(&[evicted("a")], 0);
        assert_eq!(spared(&mut memory, Vec::new(), 30 * MINUTE), [""; 0]);
        assert!(memory.evicted.is_empty(), "nothing came back in time");
        let many: Vec<Move> = (0..MOST + 5).map(|at| evicted(&format!("n{at}"))).collect();
        memory.note(&many, 40 * MINUTE);
        assert_eq!(memory.evicted.len(), MOST);
    }
}
