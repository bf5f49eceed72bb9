//! Policy diff by example. `tests/properties/diffs.rs` holds it against deciding pod by pod.

use super::*;
use crate::{
    policy::{Policy, PredicateEntry, PriorityEntry},
    snapshot::Object,
    testing::{cluster, node, pod},
};

/// A policy of these predicates, and of these priorities with weight 1.
fn policy(predicates: &[&str], priorities: &[&str]) -> Profiles {
    let predicates = predicates.iter().map(|name| PredicateEntry { name: (*name).into(), argument: None });
    let priorities = priorities.iter().map(|name| PriorityEntry { name: (*name).into(), weight: 1, argument: None });
    let (predicates, priorities) = (Some(predicates.collect()), Some(priorities.collect()));
    let profile = Policy { predicates, priorities, ..Policy::default() }.compile().expect("a policy");
    Arc::new(profile).into()
}

fn spreading() -> Profiles {
    policy(&["PodFitsResources"], &["LeastRequestedPriority"])
}

fn packing() -> Profiles {
    policy(&["PodFitsResources"], &["MostRequestedPriority"])
}

fn machine(name: &str, cpu: &str, memory: &str, zone: &str) -> Object {
    node(name).cpu(cpu).memory(memory).zone(zone).label("kubernetes.io/hostname", name).into()
}

fn pods(count: usize, cpu: &str, memory: &str) -> Vec<Arc<Pod>> {
    (0..count).map(|at| Arc::new(pod(&format!("p{at}")).cpu(cpu).memory(memory).build())).collect()
}

#[test]
fn a_packing_policy_uses_fewer_nodes_and_names_the_priority() {
    let start = cluster([machine("a", "4", "8Gi", "east"), machine("b", "4", "8Gi", "west")]);
    let (of, [moved, lost, won]) = in_turn(&start, &pods(4, "1", "1Gi"), &spreading(), packing(), (0, 10));
    let packing = of.packing.as_ref().expect("they are placed");
    assert_eq!((packing.before.in_use, packing.after.in_use), (2, 1));
    // Two pods of one CPU on each of two nodes of four; four on one of them.
    assert_eq!((packing.before.resources["cpu"].mean, packing.after.resources["cpu"].p95), (0.5, 1.0));
    assert_eq!((of.same, moved, lost, won), (2, 2, 0, 0));
    assert_eq!(of.by_reason.into_iter().collect::<Vec<_>>(), [("MostRequestedPriority".to_owned(), 2)]);
    let zones = &of.spread["topology.kubernetes.io/zone"];
    assert_eq!((zones.before.max_skew(), zones.after.max_skew(), zones.after.extremes()), (0, 4, (0, 4)));
    assert!(of.moved.iter().all(|change| change.why.to_string().starts_with("MostRequestedPriority prefers")));
}

#[test]
fn a_decision_alone_has_the_predicate_that_rejects_its_node_and_the_sentence() {
    let taken = pod("taken").cpu("4").on("a");
    let start = cluster([machine("a", "4", "8Gi", "east"), taken.into()]);
    let web = Arc::new(pod("web").cpu("1").build());
    let careless = policy(&["HostName"], &[]);
    let mut comparison = Comparison::new(spreading(), 10);
    comparison.at(&start);
    comparison.decide(&web, &careless, 0);
    let (of, counts) = comparison.finish();
    assert_eq!(counts, [0, 1, 0]);
    let change = &of.newly_unschedulable[0];
    assert_eq!(change.why.rule(), "PodFitsResources");
    assert_eq!(change.why.to_string(), "PodFitsResources of the candidate rejects a: Insufficient cpu");
    assert_eq!(change.sentence.as_deref(), Some("0/1 nodes are available: 1 Insufficient cpu."));
    assert!(of.packing.is_none(), "each alone packs nothing");
    let mut back = Comparison::new(careless, 10);
    back.at(&start);
    back.decide(&web, &spreading(), 0);
    let (of, counts) = back.finish();
    assert_eq!(counts, [0, 0, 1]);
    assert_eq!(of.newly_schedulable[0].why.to_string(), "PodFitsResources rejected a before: Insufficient cpu");
}

#[test]
fn a_running_pod_is_decided_as_if_it_waited() {
    let start = cluster([machine("a", "1", "8Gi", "east"), pod("web").cpu("1").on("a").into()]);
    let web = Arc::new(pod("web").cpu("1").build());
    let mut comparison = Comparison::new(packing(), 10);
    comparison.at(&start);
    for _ in 0..2 {
        comparison.decide(&web, &spreading(), 0);
    }
    let (of, _) = comparison.finish();
    assert_eq!((of.total, of.same), (2, 2));
    assert_eq!(of.spread["kubernetes.io/hostname"].after.pods[&Name::from("a")], 2);
}

#[test]
fn the_sentence_of_a_shift_names_the_node_that_is_preferred_now() {
    let scored = |from, to, weight| Some(Scored { from, to, weight });
    for (before, after, sentence) in [
        (scored(60, 50, 1), scored(20, 50, 2), "P prefers the new node by 60 (before: -10)"),
        (None, scored(20, 50, 1), "P prefers the new node by 30 (before: 0)"),
        (scored(51, 50, 1), None, "P no longer prefers the old node by 1, as the candidate does not have it"),
        (scored(51, 50, 1), scored(50, 50, 1), "P no longer prefers the old node by 1"),
        (scored(60, 50, 2), scored(60, 50, 1), "P prefers the old node by 10 only (before: 20)"),
    ] {
        assert_eq!(Shift { priority: "P".into(), before, after }.to_string(), sentence);
    }
}

#[test]
fn a_list_is_cut_at_its_limit_and_counts_are_whole() {
    let start = cluster([machine("a", "4", "8Gi", "east")]);
    let (of, counts) = in_turn(&start, &pods(6, "1", "1Gi"), &policy(&["HostName"], &[]), spreading(), (0, 1));
    assert_eq!((counts, of.newly_unschedulable.len()), ([0, 2, 0], 1));
    assert_eq!(of.by_reason["PodFitsResources"], 2);
}

#[test]
fn an_amount_is_stranded_where_another_resource_has_run_out() {
    // The median pod requests 1 CPU and 1Gi (of 1, 1 and 4 CPU; of 1Gi, 1Gi and 7.5Gi).
    let objects = [
        machine("no-memory", "8", "8Gi", "east"),
        machine("no-cpu", "4", "16Gi", "east"),
        machine("full", "1", "1Gi", "east"),
        pod("big").cpu("1").memory("7680Mi").on("no-memory").into(),
        pod("busy").cpu("4").memory("1Gi").on("no-cpu").into(),
        pod("fills").cpu("1").memory("1Gi").on("full").into(),
        node("cordoned").cpu("8").memory("0").unschedulable().into(),
    ];
    let start = cluster(objects);
    let median = MedianPod::of(&start, std::iter::empty());
    assert_eq!(median, MedianPod { milli_cpu: 1_000, memory: 1 << 30 });
    let packing = Packing::of(&start, median);
    // 8 − 1 CPU beside 0.5Gi of memory; 16Gi − 1Gi beside no CPU.
    assert_eq!(packing.resources["cpu"].stranded, 7_000);
    assert_eq!(packing.resources["memory"].stranded, 15 << 30);
    assert_eq!((packing.nodes, packing.in_use), (4, 3));
    assert_eq!(
        Packing::of(&start, MedianPod::default()).resources["cpu"].stranded,
        0,
        "without pods there is no measure"
    );
}
