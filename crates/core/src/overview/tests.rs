use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    model::{Operator, Requirement},
    snapshot::{Kind, Object},
    testing::{NodeBuilder, cluster, node, pod},
};

fn by_zone() -> Asked {
    Asked { group: Some("zone".into()), ..Asked::default() }
}

fn selector(key: &str, value: &str) -> Selector {
    Selector(vec![Requirement { key: key.into(), operator: Operator::In(vec![value.into()]) }])
}

fn of_zone(name: &str, zone: &str) -> NodeBuilder {
    node(name).cpu("4").label("zone", zone)
}

#[test]
fn groups_sum_their_nodes_and_nodes_without_the_label_are_one() {
    let snapshot = cluster([
        of_zone("a", "x").into(),
        of_zone("b", "y").unschedulable().into(),
        of_zone("c", "x").into(),
        node("d").cpu("1").into(),
        pod("p").cpu("3").on("a").into(),
        pod("q").cpu("2").on("c").into(),
        pod("waits").cpu("2").into(),
    ]);
    let overview = overview(&snapshot, &by_zone(), |_| true);
    let told: Vec<_> = overview
        .groups
        .iter()
        .map(|(name, of)| {
            (&**name, of.nodes, of.unschedulable, of.pods, of.allocatable.milli_cpu, of.requested.milli_cpu)
        })
        .collect();
    assert_eq!(told, [("", 1, 0, 0, 1000, 0), ("x", 2, 0, 2, 8000, 5000), ("y", 1, 1, 0, 4000, 0)]);
    assert_eq!(overview.group, [1, 2, 1, 0]);
    assert_eq!((overview.totals.nodes, overview.totals.requested.pods, overview.pending), (4, 2, 1));
    assert_eq!(overview.columns.requested["cpu"], [3000, 0, 2000, 0]);
    assert!(overview.labels.contains(&("zone".into(), 2)));
}

#[test]
fn pods_of_namespaces_that_are_not_seen_never_match() {
    let snapshot = cluster([
        node("a").into(),
        pod("p").label("app", "web").on("a").into(),
        pod("q").namespace("hidden").label("app", "web").on("a").into(),
        pod("r").label("app", "db").on("a").into(),
    ]);
    let asked = Asked { pods: Some(selector("app", "web")), ..Asked::default() };
    let matching = |seen: bool| overview(&snapshot, &asked, |namespace| seen || &**namespace != "hidden").columns;
    assert_eq!((matching(true).matching, matching(false).matching), (Some(vec![2]), Some(vec![1])));
    assert_eq!(matching(false).pods, [3], "amounts are of all");
}

#[test]
fn resources_that_few_nodes_offer_have_no_columns() {
    let many = (0..100).fold(node("a"), |node, at| node.offers(&format!("x.io/r{at}"), "1"));
    let snapshot = cluster([many.into(), node("b").offers("x.io/r99", "1").into()]);
    let resources = overview(&snapshot, &Asked::default(), |_| true).resources;
    assert_eq!(resources.len(), 4 + MOST_SCALARS);
    assert!(resources.contains(&"x.io/r99".into()), "the most offered come first");
}

/// A step of the property: (what, node, number).
fn change(snapshot: &mut crate::snapshot::Snapshot, (what, at, number): (u8, u8, u8)) {
    let name = format!("n{at}");
    let zone = if number > 2 { "x" } else { "y" };
    match what {
        0 => snapshot.apply(pod(&format!("p{number}")).cpu("1").label("app", "web").on(&name).into()),
        1 => snapshot.apply(pod(&format!("p{number}")).cpu("2").into()),
        2 => snapshot.delete(Kind::Pod, &"default".into(), &format!("p{number}").as_str().into()),
        3 => snapshot.apply(of_zone(&name, "x").cpu(&number.to_string()).into()),
        4 => snapshot.apply(of_zone(&name, zone).into()),
        5 => snapshot.apply(of_zone(&name, "x").offers("x.io/gpu", &number.to_string()).into()),
        6 => snapshot.apply(of_zone(&name, "x").unschedulable().into()),
        _ => snapshot.delete(Kind::Node, &"".into(), &name.as_str().into()),
    }
}

/// An overview brought up to date.
fn updated(mut overview: Overview, changes: Changes) -> Overview {
    fn put<T>(column: &mut [T], index: &[usize], values: Vec<T>) {
        index.iter().zip(values).for_each(|(at, value)| column[*at] = value);
    }
    let (index, of, new) = (changes.index, &mut overview.columns, changes.columns);
    put(&mut of.ready, &index, new.ready);
    put(&mut of.unschedulable, &index, new.unschedulable);
    put(&mut of.taints, &index, new.taints);
    put(&mut of.pods, &index, new.pods);
    put(of.matching.as_mut().expect("asked for"), &index, new.matching.expect("asked for"));
    for (name, values) in new.allocatable {
        put(of.allocatable.get_mut(&name).expect("a column"), &index, values);
    }
    for (name, values) in new.requested {
        put(of.requested.get_mut(&name).expect("a column"), &index, values);
    }
    for (at, name, sums) in changes.groups {
        overview.groups[at] = (name, sums);
    }
    Overview { totals: changes.totals, pending: changes.pending, ..overview }
}

proptest! {
    /// An overview with the changes after it is the overview of the later snapshot.
    #[test]
    fn changes_lead_to_the_overview_of_the_later_snapshot(
        steps in vec(vec((0_u8..8, 0_u8..5, 0_u8..6), 1..6), 1..8),
        some in any::<bool>(),
    ) {
        let nodes = if some { selector("zone", "x") } else { Selector::default() };
        let asked = Asked { nodes, pods: Some(selector("app", "web")), ..by_zone() };
        let mut snapshot = cluster((0..4).map(|at| Object::from(of_zone(&format!("n{at}"), if at < 2 { "x" } else { "y" }))));
        let mut told = overview(&snapshot, &asked, |_| true);
        for step in steps {
            let before = snapshot.clone();
            for one in step {
                change(&mut snapshot, one);
            }
            let whole = overview(&snapshot, &asked, |_| true);
            told = match after(&before, &snapshot, &asked, told.pending, |_| true) {
                Step::Same => told,
                Step::Changes(changes) => updated(told, *changes),
                Step::Anew => whole.clone(),
            };
            prop_assert_eq!(&told, &whole);
        }
    }
}
