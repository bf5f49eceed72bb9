use std::borrow::Cow;

use super::*;
use crate::testing::{cluster, node, pod, predicate};
use crate::{
    model::{NODE_NAME_FIELD, NodeSelector, NodeSelectorTerm, Operator, Requirement},
    policy::Configuration,
    rule::Arguments,
};

fn profile(release: Release) -> Profile {
    let rule = predicate("HostName", &Arguments::defaults(release));
    Profile {
        predicates: vec![ActivePredicate { name: "HostName", plugin: "NodeName", rule }],
        ..Profile::empty(release)
    }
}

#[test]
fn an_unschedulable_pod_gets_kube_schedulers_sentence() {
    let snapshot = cluster([node("a").into(), node("b").into()]);
    let (profile, stray) = (profile(Release::V1_22), pod("p").on("c").build());
    let decision = decide(&profile, &stray, &snapshot, 0);
    assert_eq!(decision.selected, None);
    assert_eq!(decision.message, "0/2 nodes are available: 2 node(s) didn't match the requested node name.");
    let empty = Snapshot::default();
    assert_eq!(decide(&profile, &stray, &empty, 0).message, "no nodes available to schedule pods");
}

#[test]
fn nodes_that_are_not_tried_are_counted_by_plugin() {
    let profile = Configuration::default().compile(None).expect("the default profile compiles");
    let requirement = Requirement { key: NODE_NAME_FIELD.into(), operator: Operator::In(vec!["a".into()]) };
    let term = NodeSelectorTerm { match_fields: vec![requirement], ..NodeSelectorTerm::default() };
    let named =
        pod("p").cpu("2").with(|pod| pod.spec_mut().affinity.node_required = Some(NodeSelector(vec![term]))).build();
    let closed = node("b").cpu("4").unschedulable();
    let snapshot = cluster([node("a").cpu("1").into(), closed.into(), node("c").cpu("4").into()]);
    assert_eq!(
        decide(&profile, &named, &snapshot, 0).message,
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    );
}

#[test]
fn without_priorities_all_nodes_come_to_one_and_the_tie_is_broken_the_same_way_each_time() {
    let snapshot = cluster([node("a").into(), node("b").into(), node("c").into()]);
    let (profile, free) = (profile(Release::V1_22), pod("p").build());
    let first = decide(&profile, &free, &snapshot, 7);
    assert!(first.nodes.iter().all(|n| n.fits() && n.total == 1));
    let mut ranks: Vec<_> = first.nodes.iter().filter_map(|n| n.rank).collect();
    ranks.sort_unstable();
    assert_eq!(ranks, [1, 2, 3]);
    let reordered = cluster([node("c").into(), node("a").into(), node("b").into()]);
    assert_eq!(decide(&profile, &free, &reordered, 7).selected, first.selected);
}

#[test]
fn the_tie_break_is_spread_over_pods_and_fixed_for_ever() {
    let nodes = ["a", "b", "c", "d"];
    let best = |name: &str, seed| {
        let pod = pod(name).build();
        nodes.into_iter().min_by_key(|n| tie_break(seed, &pod, n)).unwrap()
    };
    let mut wins = std::collections::BTreeMap::<&str, usize>::new();
    for i in 0..400 {
        *wins.entry(best(&format!("pod-{i}"), 0)).or_default() += 1;
    }
    assert_eq!(wins.len(), 4, "{wins:?}");
    assert!(wins.values().all(|n| (60..=140).contains(n)), "{wins:?}");
    assert_eq!(
        tie_break(0, &pod("web").build(), "node-1"),
        8_688_428_415_103_611_140,
        "a public contract: do not change"
    );
}

#[test]
fn a_pod_does_not_stand_in_its_own_way() {
    let snapshot = cluster([node("a").into(), pod("p").on("a").into()]);
    let alone = snapshot.asked_about(&pod("p").build());
    assert!(alone.node("a").is_some_and(|n| n.pods.is_empty()));
    assert!(matches!(snapshot.asked_about(&pod("q").build()), Cow::Borrowed(_)));
    let named = pod("q").on("a").build();
    assert_eq!(snapshot.asked_about(&named).node("a").map(|n| n.pods.len()), Some(1), "it is not there yet");
}
