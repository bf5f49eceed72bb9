use std::sync::Arc;

use super::{Batch, Options, Placement};
use crate::testing::{PodBuilder, budget, cluster, node, pod};
use crate::{
    model::Pod,
    plan::{Plan, Step},
    policy::{Configuration, Policy, Profile},
    snapshot::Object,
};

fn profile() -> Profile {
    Policy::default().compile().expect("the default policy compiles")
}

fn arc(pod: PodBuilder) -> Arc<Pod> {
    Arc::new(pod.build())
}

#[test]
fn each_pod_sees_those_before_it() {
    let profile = profile();
    let two = cluster([node("a").cpu("2").into(), node("b").cpu("2").into()]);
    let mut batch = Batch::new(&profile, two, Options::default());
    let nodes: Vec<_> = (0..3)
        .map(|i| match batch.place(&arc(pod(&format!("p{i}")).cpu("1500m"))) {
            Placement::Placed(there) => there.node.to_string(),
            Placement::Unschedulable(message) => message,
        })
        .collect();
    assert!(nodes[..2].contains(&"a".into()) && nodes[..2].contains(&"b".into()));
    assert_eq!(nodes[2], "0/2 nodes are available: 2 Insufficient cpu.");
}

#[test]
fn the_most_important_pods_are_taken_first_and_equals_as_they_came() {
    let with = |name: &str, priority| arc(pod(name).with(|p| p.spec_mut().priority = Some(priority)));
    let mut pods = vec![with("a", 0), with("b", 5), with("c", 0), with("d", 5)];
    super::in_order(&mut pods, &cluster([]), |pod| pod);
    assert_eq!(pods.iter().map(|pod| &*pod.name).collect::<Vec<_>>(), ["b", "d", "a", "c"]);
}

#[test]
fn room_is_made_in_one_plan_with_the_bind() {
    let profile = profile();
    let running = pod("low").cpu("2").on("a").with(|p| p.spec_mut().priority = Some(1));
    let full = cluster([node("a").cpu("2").into(), running.into()]);
    let mut batch = Batch::new(&profile, full, Options::default());
    let high = arc(pod("high").cpu("1").with(|p| p.spec_mut().priority = Some(10)));
    let Placement::Placed(there) = batch.place(&high) else { panic!("it preempts") };
    let Plan { steps, .. } = there.plan(&high, 7);
    assert!(matches!(&steps[..], [Step::Evict(victim), Step::Bind(pod, node)]
        if &*victim.name == "low" && pod.name == high.name && &**node == "a"));
    assert!(batch.snapshot().pod("default", "low").is_none());
}

#[test]
fn the_sentence_of_1_34_includes_preemption() {
    let profile = Configuration::default().compile(None).expect("the default profile compiles");
    let running = pod("equal").cpu("2").on("a");
    let mut batch = Batch::new(&profile, cluster([node("a").cpu("2").into(), running.into()]), Options::default());
    let expected = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are \
                    available: 1 No preemption victims found for incoming pod.";
    for name in ["first", "second"] {
        assert_eq!(batch.place(&arc(pod(name).cpu("1"))), Placement::Unschedulable(expected.into()));
    }
}

#[test]
fn plugins_that_are_turned_off_add_nothing_to_the_sentence() {
    let sentence = |deallocates: bool, preempts: bool, objects: Vec<Object>| {
        let on = Configuration::default().compile(None).expect("the default profile compiles");
        let preemption = on.preemption.filter(|_| preempts);
        let profile = Profile { preemption, asks_about_claims: deallocates, ..on };
        let mut batch = Batch::new(&profile, cluster(objects), Options::default());
        match batch.place(&arc(pod("p").cpu("2"))) {
            Placement::Unschedulable(message) => message,
            Placement::Placed(placed) => panic!("{placed:?}"),
        }
    };
    let small = || vec![node("a").cpu("1").into()];
    let nobody = "0/1 nodes are available: 1 Insufficient cpu.";
    let preemption = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    assert_eq!(sentence(false, false, small()), nobody);
    assert_eq!(sentence(true, false, small()), format!("{nobody} no new claims to deallocate"));
    assert_eq!(sentence(false, true, small()), format!("{nobody} {preemption}"));
    assert_eq!(sentence(true, true, Vec::new()), "no nodes available to schedule pods");
}

#[test]
fn gated_pods_are_left_alone() {
    let profile = profile();
    let mut batch = Batch::new(&profile, cluster([node("a").into()]), Options::default());
    let gated = arc(pod("p").with(|p| p.spec_mut().scheduling_gates = vec!["example.com/quota".into()]));
    let expected = Placement::Unschedulable("waiting for scheduling gates: [example.com/quota]".into());
    assert_eq!(batch.place(&gated), expected);
}

/// A node of one CPU for each pod, full with that pod of priority 0.
fn full(pods: impl IntoIterator<Item = PodBuilder>) -> Vec<Object> {
    let each = pods.into_iter().enumerate().flat_map(|(at, low)| {
        let low = low.cpu("1").on(&format!("n{at}")).with(|pod| pod.spec_mut().priority = Some(0));
        [node(&format!("n{at}")).cpu("1").into(), low.into()]
    });
    each.collect()
}

#[test]
fn evictions_are_charged_to_budgets_before_the_next_pod_is_placed() {
    let profile = profile();
    let guarded = |name: &str| pod(name).label("app", "db").with(|pod| pod.ready = true);
    let lows = [guarded("db-0"), guarded("db-1"), guarded("db-2"), pod("free")];
    let cluster = cluster(full(lows).into_iter().chain([budget("db", "app=db", 1)]));
    let mut batch = Batch::new(&profile, cluster, Options::default());
    let mut victims = Vec::new();
    for at in 0..3 {
        let high = arc(pod(&format!("high-{at}")).cpu("1").with(|p| p.spec_mut().priority = Some(10)));
        let Placement::Placed(there) = batch.place(&high) else { panic!("it preempts") };
        let left = batch.snapshot().disruption_budgets().next().map(|budget| budget.disruptions_allowed);
        let charged: i32 = there.charges.iter().map(|(_, used)| used).sum();
        let steps = there.plan(&high, 7).steps;
        assert_eq!(steps.iter().filter(|step| matches!(step, Step::Charge(..))).count(), there.charges.len());
        victims.push((there.victims[0].name.to_string(), charged, left));
    }
    // Two of the first are one pod of the budget, which allows one disruption, and the free one, in any order; the
    // third breaks the budget, since no other pod is left.
    let names = |range: std::ops::Range<usize>| victims[range].iter().filter(|(name, ..)| name != "free").count();
    assert_eq!((names(0..2), names(2..3)), (1, 1), "{victims:?}");
    assert_eq!(victims.iter().map(|(_, charged, _)| charged).sum::<i32>(), 1, "{victims:?}");
    assert_eq!(victims[2].2, Some(0), "an allowance does not fall below 0");
}
