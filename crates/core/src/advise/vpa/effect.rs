//! Consequences of other requests: where the pods would go, which fit nowhere, and how many nodes could go.
//!
//! All pods are made anew at once on a copy of the cluster, each with its new requests, and are placed as `/schedule` places them. Nodes that could go are
//! counted before and after in one way: from the emptiest on, a node goes if all its pods find a place elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    batch,
    model::{Name, Pod, PodSpec, resources},
    policy::Profiles,
    simulate::{PlacedPod, Simulation, Step, StepError, StuckPod, Utilization},
    snapshot::Snapshot,
};

/// Nodes that are tried.
const MOST_TRIED: usize = 200;
/// Pods of tried nodes.
const MOST_MOVED: usize = 2_000;

/// A pod, and the amounts that it would hold.
#[derive(Clone, Debug)]
pub struct Resized {
    /// The pod as it is.
    pub pod: Arc<Pod>,
    /// A pod with the new amounts; nothing else is read of it.
    pub with: Pod,
}

/// The consequences.
#[derive(Clone, Debug, Default)]
pub struct Effect {
    /// Where the pods would go.
    pub placed: Vec<PlacedPod>,
    /// Pods that would fit nowhere, and fit now.
    pub no_longer_fit: Vec<StuckPod>,
    /// Pods that fit nowhere now, and would fit.
    pub fit_now: Vec<Arc<Pod>>,
    /// Nodes that would be asked for more than they have if all pods stayed where they are.
    pub too_full: BTreeSet<Name>,
    /// How full the nodes are.
    pub before: Utilization,
    /// How full the nodes would be.
    pub after: Utilization,
    /// Nodes that could go.
    pub removable_before: usize,
    /// Nodes that could go then.
    pub removable_after: usize,
}

/// The consequences of other requests of these pods.
///
/// # Errors
/// A pod that is not in the snapshot.
pub fn effect(snapshot: Snapshot, profiles: Profiles, seed: u64, resized: &[Resized]) -> Result<Effect, StepError> {
    let too_full = too_full(&snapshot, resized);
    let options = batch::Options { seed, preempt: false, reuse: true };
    let mut before = Simulation::new(snapshot, profiles, options);
    // The pods that wait are placed, so that the change alone makes a difference.
    let base = before.step(&Step::Preempt(false))?;
    let names: Vec<(Name, Name)> = resized.iter().map(|of| key(&of.pod)).collect();
    let mut after = before.clone();
    after.step(&Step::DeletePods(names.clone()))?;
    let pods = resized.iter().map(|of| Arc::new(anew(of))).collect();
    let outcome = after.step(&Step::AddPods(pods))?;
    let was_stuck: BTreeSet<(Name, Name)> = base.stuck.iter().map(|stuck| key(&stuck.pod)).collect();
    let is_stuck: BTreeSet<(Name, Name)> = outcome.stuck.iter().map(|stuck| key(&stuck.pod)).collect();
    let from: BTreeMap<(Name, Name), Name> =
        resized.iter().map(|of| (key(&of.pod), of.pod.node_name.clone())).collect();
    let placed = outcome.placed.into_iter().map(|placed| {
        let from = from.get(&key(&placed.pod)).cloned().unwrap_or_default();
        PlacedPod { from, ..placed }
    });
    Ok(Effect {
        placed: placed.collect(),
        no_longer_fit: outcome.stuck.into_iter().filter(|stuck| !was_stuck.contains(&key(&stuck.pod))).collect(),
        fit_now: base.stuck.into_iter().map(|stuck| stuck.pod).filter(|pod| !is_stuck.contains(&key(pod))).collect(),
        too_full,
        before: base.utilization,
        after: outcome.utilization,
        removable_before: removable(before),
        removable_after: removable(after),
    })
}

fn key(pod: &Pod) -> (Name, Name) {
    (pod.namespace.clone(), pod.name.clone())
}

/// The pod as its controller would make it anew.
fn anew(of: &Resized) -> Pod {
    let Resized { pod, with } = of;
    Pod {
        spec: Arc::new(PodSpec {
            requests: with.spec.requests.clone(),
            non_zero_requests: with.spec.non_zero_requests.clone(),
            scored_requests: with.spec.scored_requests.clone(),
            limits: with.spec.limits.clone(),
            ..(*pod.spec).clone()
        }),
        held: None,
        node_name: Name::default(),
        nominated_node_name: Name::default(),
        start_time: None,
        pending: true,
        ready: false,
        ..(**pod).clone()
    }
}

/// Nodes on which the pods would not fit as they are.
fn too_full(snapshot: &Snapshot, resized: &[Resized]) -> BTreeSet<Name> {
    let mut more = BTreeMap::<&Name, [i64; 2]>::new();
    let names = [resources::CPU, resources::MEMORY];
    for Resized { pod, with } in resized.iter().filter(|of| of.pod.is_assigned()) {
        let of = more.entry(&pod.node_name).or_default();
        for (more, name) in of.iter_mut().zip(names) {
            *more = more.saturating_add(with.spec.requests.get(name).saturating_sub(pod.spec.requests.get(name)));
        }
    }
    let is_too_full = |(name, more): &(&Name, [i64; 2])| {
        snapshot.node(name).is_some_and(|info| {
            let of = names.iter().zip(more);
            of.into_iter().any(|(name, more)| {
                *more > 0 && info.requested.get(name).saturating_add(*more) > info.node.allocatable.get(name)
            })
        })
    };
    more.into_iter().filter(is_too_full).map(|(name, _)| name.clone()).collect()
}

/// The number of nodes that could go, as far as they are tried.
fn removable(mut of: Simulation) -> usize {
    let waiting = of.waiting().count();
    let share = |name: &Name| {
        let info = of.snapshot().node(name)?;
        let part = |name: &str| info.requested.get(name) as f64 / info.node.allocatable.get(name).max(1) as f64;
        Some(part(resources::CPU).max(part(resources::MEMORY)))
    };
    let mut nodes: Vec<(f64, usize, Name)> = of
        .snapshot()
        .nodes()
        .map(|info| (share(info.name()).unwrap_or_default(), info.pods.len(), info.name().clone()))
        .collect();
    nodes.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.2.cmp(&b.2)));
    let (mut gone, mut moved) = (0, 0);
    for (_, pods, name) in nodes.into_iter().take(MOST_TRIED) {
        moved += pods;
        // The last node has to stay, and so have those that come after too many pods.
        if moved > MOST_MOVED || of.snapshot().node_count() <= 1 {
            break;
        }
        let mut without = of.clone();
        let Ok(outcome) = without.step(&Step::RemoveNode(name)) else { continue };
        if outcome.lost.is_empty() && outcome.stuck.len() <= waiting {
            of = without;
            gone += 1;
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        policy::Policy,
        snapshot::Object,
        testing::{PodBuilder, cluster, node, pod},
    };

    fn web(name: &str, cpu: &str) -> PodBuilder {
        pod(name).cpu(cpu).owned_by("apps/v1", "ReplicaSet", "web")
    }

    /// Three nodes of 4 CPUs with one pod each, whose request becomes another one.
    fn of(now: &str, then: &str) -> Effect {
        let nodes = ["a", "b", "c"].map(|name| Object::Node(node(name).cpu("4").memory("8Gi").build()));
        let pods = [("w0", "a"), ("w1", "b"), ("w2", "c")].map(|(name, on)| web(name, now).on(on).build());
        let objects = pods.iter().cloned().map(|pod| Object::Pod(Box::new(pod)));
        let snapshot = cluster(nodes.into_iter().chain(objects));
        let resized = pods.map(|pod| {
            let with = web(&pod.name, then).build();
            Resized { pod: Arc::new(pod), with }
        });
        let profile = Arc::new(Policy::default().compile().expect("the default compiles"));
        effect(snapshot, profile.into(), 0, &resized).expect("an effect")
    }

    #[test]
    fn smaller_requests_let_nodes_go() {
        // Three pods of 3 CPUs need a node each; of 1 CPU all fit on one node.
        let of = of("3", "1");
        assert_eq!((of.removable_before, of.removable_after), (0, 2));
        assert!(of.no_longer_fit.is_empty() && of.too_full.is_empty());
        assert_eq!((of.before.resources["cpu"].requested, of.after.resources["cpu"].requested), (9_000, 3_000));
        assert_eq!(of.placed.len(), 3);
    }

    #[test]
    fn larger_requests_fit_nowhere() {
        let of = of("1", "5");
        assert_eq!(of.no_longer_fit.len(), 3);
        assert!(of.no_longer_fit[0].message.contains("Insufficient cpu"), "{}", of.no_longer_fit[0].message);
        assert_eq!(of.too_full.len(), 3);
    }

    #[test]
    fn equal_requests_change_nothing() {
        let of = of("2", "2");
        assert_eq!((of.removable_before, of.removable_after), (1, 1));
        assert_eq!(of.before, of.after);
    }
}
