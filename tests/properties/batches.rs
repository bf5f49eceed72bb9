//! Batches: equal to one by one, never more than a node holds, and suggestions that help.

use std::{collections::BTreeSet, sync::Arc};

use podberth::core::{
    batch::{self, Batch, Options, Placement},
    claim_choice::ClaimChoice,
    suggest,
};

use super::*;

/// Pods of a few kinds, several of each, on no node.
pub(super) fn queue() -> impl Strategy<Value = Vec<Arc<Pod>>> {
    let kinds = vec(pod("kind".into(), Just(None)), 1..4);
    (kinds, vec(any::<Index>(), 0..14)).prop_map(|(kinds, picks)| {
        let numbered = picks.into_iter().enumerate();
        numbered.map(|(i, pick)| Arc::new(Pod { name: format!("b{i}").into(), ..pick.get(&kinds).clone() })).collect()
    })
}

fn options(seed: u64, preempt: bool, reuse: bool) -> Options {
    Options { seed, preempt, reuse }
}

/// The result for one pod that is decided and bound alone.
pub(super) fn alone(
    profile: &Profile,
    pod: &Pod,
    snapshot: &mut Snapshot,
    seed: u64,
) -> Result<(Name, i64, usize), String> {
    let decision = cycle::decide(profile, pod, snapshot, seed);
    let Some(node) = decision.selected.clone() else { return Err(decision.message) };
    let chosen = decision.nodes.iter().find(|n| *n.node.name() == node).expect("the node chosen is one of them");
    let told = (node.clone(), chosen.total, fits(&decision).len());
    let volumes = profile.claim_choices(pod, snapshot, &node);
    *snapshot = snapshot.with_pod(Pod { node_name: node, ..pod.clone() });
    volumes.iter().flat_map(ClaimChoice::outcome).for_each(|object| snapshot.apply(object));
    Ok(told)
}

fn told_by(placement: Placement) -> Result<(Name, i64, usize), String> {
    match placement {
        Placement::Placed(there) => Ok((there.node, there.total, there.fitting)),
        Placement::Unschedulable(message) => Err(message),
    }
}

/// No node is overcommitted by the placed pods.
fn nothing_is_promised_twice(snapshot: &Snapshot, placed: &BTreeSet<Name>) {
    for node in snapshot.nodes() {
        let pods: Vec<&Arc<Pod>> = snapshot.pods().filter(|p| p.node_name == *node.name() && !p.terminal).collect();
        let ours: Vec<&&Arc<Pod>> = pods.iter().filter(|p| placed.contains(&p.name)).collect();
        if ours.is_empty() {
            continue;
        }
        let offered = &node.node.allocatable;
        assert!(pods.len() as i64 <= offered.pods, "{} pods on {}", pods.len(), node.name());
        for resource in ["cpu", "memory", "example.com/gpu"] {
            let sum = |pods: &[&Arc<Pod>]| pods.iter().map(|p| p.spec.requests.get(resource)).sum::<i64>();
            if ours.iter().any(|p| p.spec.requests.get(resource) > 0) {
                assert!(sum(&pods) <= offered.get(resource), "{resource} on {}", node.name());
            }
        }
        for pod in ours {
            for other in pods.iter().filter(|other| other.name != pod.name) {
                let clash =
                    pod.spec.host_ports.iter().any(|a| other.spec.host_ports.iter().any(|b| a.conflicts_with(b)));
                assert!(!clash, "{} and {} share a port on {}", pod.name, other.name, node.name());
            }
        }
    }
}

/// A change of the same kind that is one step smaller.
fn smaller(change: &suggest::Change) -> Option<suggest::Change> {
    match change.clone() {
        suggest::Change::LowerRequest { resource, from, to } => {
            Some(suggest::Change::LowerRequest { resource, from, to: to + 1 })
        }
        suggest::Change::AddNodes { like, count } => Some(suggest::Change::AddNodes { like, count: count - 1 }),
        _ => None,
    }
}

proptest! {
    #[test]
    fn a_batch_is_its_pods_one_by_one(objects in objects(), queue in queue(), seed in 0_u64..4) {
        let snapshot: Snapshot = objects.into_iter().collect();
        for profile in &*PROFILES {
            let mut singly = snapshot.clone();
            let mut shared = Batch::new(profile, snapshot.clone(), options(seed, false, true));
            let mut afresh = Batch::new(profile, snapshot.clone(), options(seed, false, false));
            for pod in &queue {
                let expected = alone(profile, pod, &mut singly, seed);
                prop_assert_eq!(told_by(afresh.place(pod)), expected.clone(), "{}", pod.name);
                prop_assert_eq!(told_by(shared.place(pod)), expected, "{} with what was known", pod.name);
            }
            prop_assert_eq!(shared.snapshot(), &singly);
        }
    }

    #[test]
    fn shared_results_do_not_change_evictions(objects in objects(), queue in queue(), seed in 0_u64..4) {
        let snapshot: Snapshot = objects.into_iter().collect();
        for profile in &*PROFILES {
            let mut shared = Batch::new(profile, snapshot.clone(), options(seed, true, true));
            let mut afresh = Batch::new(profile, snapshot.clone(), options(seed, true, false));
            let mut queue = queue.clone();
            batch::in_order(&mut queue, &snapshot, |pod| pod);
            let mut placed = BTreeSet::new();
            for pod in &queue {
                let placement = shared.place(pod);
                prop_assert_eq!(&placement, &afresh.place(pod), "{}", pod.name);
                if let Placement::Placed(there) = placement {
                    placed.insert(pod.name.clone());
                    let lower = |victim: &Arc<Pod>| snapshot.priority_of(victim) < snapshot.priority_of(pod);
                    prop_assert!(there.victims.iter().all(lower));
                }
            }
            prop_assert_eq!(shared.snapshot(), afresh.snapshot());
            nothing_is_promised_twice(shared.snapshot(), &placed);
        }
    }

    #[test]
    fn a_batch_goes_on_from_a_newer_snapshot_as_if_it_began_there(
        objects in objects(), queue in queue(), bound in vec(any::<bool>(), 14), others in vec(pod("x".into(), of(node_name())), 0..3),
        other_node in weighted(0.2, node("n0".into())), seed in 0_u64..4,
    ) {
        let snapshot: Snapshot = objects.into_iter().collect();
        for profile in &*PROFILES {
            let mut batch = Batch::new(profile, snapshot.clone(), options(seed, false, true));
            let (before, after) = queue.split_at(queue.len() / 2);
            let mut newer = snapshot.clone();
            for (pod, bound) in before.iter().zip(&bound) {
                if let (Placement::Placed(there), true) = (batch.place(pod), *bound) {
                    newer.apply(Object::Pod(Box::new(Pod { node_name: there.node, ..(**pod).clone() })));
                }
            }
            for (i, other) in others.iter().enumerate() {
                newer.apply(Object::Pod(Box::new(Pod { name: format!("x{i}").into(), ..other.clone() })));
            }
            if let Some(node) = &other_node {
                newer.apply(Object::Node(node.clone()));
            }
            batch.rebase(newer.clone());
            let mut fresh = Batch::new(profile, newer, options(seed, false, true));
            for pod in after {
                prop_assert_eq!(batch.place(pod), fresh.place(pod), "{}", pod.name);
            }
            prop_assert_eq!(batch.snapshot(), fresh.snapshot());
        }
    }

    #[test]
    fn suggestions_help(objects in objects(), pod in pod("new".into(), Just(None)), alike in 1_usize..4, seed in 0_u64..4) {
        let snapshot: Snapshot = objects.into_iter().collect();
        for profile in &*PROFILES {
            if cycle::decide(profile, &pod, &snapshot, seed).selected.is_some() {
                continue;
            }
            let suggestions = suggest::suggest(profile, &pod, &snapshot, alike);
            let costs: Vec<i64> = suggestions.iter().map(suggest::Suggestion::cost).collect();
            prop_assert!(costs.is_sorted());
            for suggestion in suggestions {
                let (changed, cluster) = suggestion.apply(&pod, &snapshot);
                let decision = cycle::decide(profile, &changed, &cluster, seed);
                prop_assert!(fits(&decision).contains(&suggestion.node), "{suggestion:?}: {}", decision.message);
                let mut batch = Batch::new(profile, cluster, options(seed, false, true));
                for number in 0..suggestion.pods {
                    let one = Arc::new(Pod { name: format!("like{number}").into(), ..changed.clone() });
                    prop_assert!(matches!(batch.place(&one), Placement::Placed(_)), "{suggestion:?}: number {number}");
                }
                for without in 0..suggestion.changes.len() {
                    let mut fewer = suggestion.clone();
                    fewer.changes.remove(without);
                    let (changed, cluster) = fewer.apply(&pod, &snapshot);
                    let decision = cycle::decide(profile, &changed, &cluster, seed);
                    prop_assert!(!fits(&decision).contains(&suggestion.node), "{suggestion:?} needs all it says");
                }
                for place in 0..suggestion.changes.len() {
                    let Some(smaller) = smaller(&suggestion.changes[place]) else { continue };
                    let mut less = suggestion.clone();
                    less.changes[place] = smaller;
                    let (changed, cluster) = less.apply(&pod, &snapshot);
                    let mut batch = Batch::new(profile, cluster.clone(), options(0, false, true));
                    let is_enough = (0..suggestion.pods).all(|number| {
                        let one = Arc::new(Pod { name: format!("like{number}").into(), ..changed.clone() });
                        matches!(batch.place(&one), Placement::Placed(_))
                    });
                    let decision = cycle::decide(profile, &changed, &cluster, seed);
                    let is_there = suggestion.pods == 1 && fits(&decision).contains(&suggestion.node);
                    let adds = matches!(suggestion.changes[place], suggest::Change::AddNodes { .. });
                    prop_assert!(!(if adds { is_enough } else { is_there }), "less will do than {suggestion:?}");
                }
            }
        }
    }
}
