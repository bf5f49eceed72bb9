//! The groups that a turn sees.

use podberth_testkit::{NodeBuilder, cluster, node};

use super::*;
use crate::core::{
    advise::scale_down::TO_BE_DELETED,
    model::{Effect, NODE_GROUP, NodeGroup},
    snapshot::Object,
};

fn group(name: &str, target: Option<u32>, labels: &[(&str, &str)]) -> Object {
    let selector = labels.iter().copied().collect();
    Object::NodeGroup(NodeGroup { name: name.into(), max: 9, target, selector, ..NodeGroup::default() })
}

fn machine(name: &str, labels: &[(&str, &str)]) -> Object {
    labels.iter().fold(node(name), |node, (key, value)| node.label(key, value)).into()
}

const BIG: (&str, &str) = (NODE_GROUP, "big");

fn removing(nodes: &[&str]) -> Memory {
    let leaving = Leaving { group: "big".into(), since: Timestamp::UNIX_EPOCH, was_cordoned: false };
    Memory { removing: nodes.iter().map(|node| ((*node).to_owned(), leaving.clone())).collect(), ..Memory::default() }
}

/// Target and nodes of the group `big`.
fn big(target: u32, memory: &Memory) -> (u32, u32) {
    let names = ["n0", "n1", "n2"];
    let machines = names.map(|name| machine(name, &[BIG]));
    let snapshot = cluster(machines.into_iter().chain([group("big", Some(target), &[BIG])]));
    let (groups, faults) = present(&snapshot, memory);
    assert_eq!(faults, []);
    let seen = seen(&snapshot, &groups);
    (seen.groups[0].target, seen.groups[0].nodes)
}

#[test]
fn a_group_with_more_nodes_than_its_target_is_to_have_these() {
    assert_eq!(big(1, &Memory::default()), (3, 3));
    assert_eq!(big(5, &Memory::default()), (5, 3), "two are awaited");
}

#[test]
fn nodes_that_are_leaving_are_no_nodes_of_their_group() {
    // Two were told to go, so that one is wanted: it is there, and none is awaited.
    assert_eq!(big(1, &removing(&["n1", "n2"])), (1, 1));
    assert_eq!(big(2, &removing(&["n1", "n2"])), (2, 1), "one is awaited");
    let advice = |memory: &Memory| {
        let snapshot = cluster([machine("n0", &[BIG]), group("big", Some(1), &[BIG])]);
        let groups = present(&snapshot, memory).0;
        (groups.of("n0").is_some(), groups.all()[0].nodes.len())
    };
    assert_eq!(advice(&Memory::default()), (true, 1));
    assert_eq!(advice(&removing(&["n0"])), (false, 0), "no pod is expected to go there");
}

#[test]
fn the_loop_tells_its_own_cordon_from_that_of_an_admin() {
    let is_cordoned = |change: fn(NodeBuilder) -> NodeBuilder| {
        let snapshot = cluster([change(node("n0")).into()]);
        seen(&snapshot, &Groups::default()).nodes["n0"].is_cordoned
    };
    assert!(!is_cordoned(|node| node));
    assert!(is_cordoned(NodeBuilder::unschedulable));
    assert!(!is_cordoned(|node| node.unschedulable().taint(TO_BE_DELETED, "7", Effect::NoSchedule)), "by the loop");
}

#[test]
fn groups_that_overlap_are_left_out_and_the_others_are_not() {
    let zone = ("zone", "a");
    let snapshot = cluster([
        group("big", None, &[BIG]),
        group("other", None, &[zone]),
        group("third", None, &[(NODE_GROUP, "third")]),
        machine("n0", &[BIG, zone]),
        machine("n1", &[BIG, zone]),
        machine("n2", &[(NODE_GROUP, "third")]),
    ]);
    let (groups, faults) = present(&snapshot, &Memory::default());
    let names: Vec<&str> = groups.all().iter().map(|group| &*group.id).collect();
    assert_eq!((names, groups.of("n0").is_some(), groups.of("n2").is_some()), (vec!["third"], false, true));
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let expected = r#"node "n0" is in the node groups "big" and "other": a node belongs to one group at most"#;
    assert_eq!(told, [expected], "two groups are told of once");
}
