//! Simulations, against counting and against trying from the beginning.

use proptest::prelude::*;

use super::*;
use crate::{
    model::topology::HOSTNAME,
    policy::Policy,
    testing::{budget, cluster, node, pod},
};

fn simulation(objects: impl IntoIterator<Item = Object>) -> Simulation {
    let profile = Arc::new(Policy::default().compile().expect("the default compiles"));
    Simulation::new(cluster(objects), profile.into(), batch::Options::default())
}

fn of(pod: Pod) -> Object {
    Object::Pod(Box::new(pod))
}

fn machine(name: &str, cpu: u32, zone: &str) -> Object {
    Object::Node(node(name).cpu(&cpu.to_string()).zone(zone).build())
}

/// A pod of a ReplicaSet.
fn web(name: &str, cpu: u32) -> crate::testing::PodBuilder {
    pod(name).cpu(&cpu.to_string()).label("app", "web").owned_by("apps/v1", "ReplicaSet", "web")
}

fn running(of: crate::testing::PodBuilder) -> Object {
    self::of(Pod { ready: true, ..of.build() })
}

fn names(pods: impl IntoIterator<Item = Arc<Pod>>) -> Vec<String> {
    pods.into_iter().map(|pod| pod.name.to_string()).collect()
}

fn where_to(outcome: &Outcome) -> Vec<(String, String, String)> {
    let text = ToString::to_string;
    outcome.placed.iter().map(|one| (text(&one.pod.name), text(&one.from), text(&one.to))).collect()
}

fn moved(pod: &str, from: &str, to: &str) -> (String, String, String) {
    (pod.into(), from.into(), to.into())
}

#[test]
fn pods_that_wait_go_to_nodes_that_join() {
    let mut of = simulation([machine("a", 1, "x"), running(web("w0", 1).on("a")), self::of(web("w1", 1).build())]);
    let template = Box::new(node("new").cpu("4").build());
    let outcome = of.step(&Step::AddNodes { template: template.clone(), count: 2 }).expect("a step");
    assert_eq!(outcome.added, ["new-1".into(), "new-2".into()]);
    assert_eq!(outcome.placed.len(), 1);
    assert!(outcome.placed[0].to.starts_with("new-") && outcome.stuck.is_empty());
    assert_eq!((outcome.utilization.nodes, outcome.utilization.in_use), (3, 2));
    let cpu = outcome.utilization.resources["cpu"];
    assert_eq!((cpu.requested, cpu.allocatable), (2_000, 9_000));
    let labels = &of.snapshot().node("new-2").expect("a node").node.labels;
    assert_eq!(labels.get(HOSTNAME).map(|host| &**host), Some("new-2"));
    let again = of.step(&Step::AddNodes { template, count: 1 }).expect("a step");
    assert_eq!(again.added, ["new-3".into()]);
    let twice = vec![Arc::new(pod("twin").build()), Arc::new(pod("twin").build())];
    assert_eq!(of.step(&Step::AddPods(twice)), Err(StepError::Exists("default/twin".into())));
}

#[test]
fn pods_of_controllers_survive_their_node_and_others_do_not() {
    let daemon = pod("d").owned_by("apps/v1", "DaemonSet", "d").on("a");
    let objects = [
        machine("a", 4, "x"),
        machine("b", 4, "y"),
        running(web("w", 1).on("a")),
        running(daemon),
        running(pod("bare").cpu("1").on("a")),
    ];
    let mut gone = simulation(objects.clone());
    let outcome = gone.step(&Step::RemoveNode("a".into())).expect("a step");
    assert_eq!(where_to(&outcome), [moved("w", "a", "b")]);
    assert_eq!(names(outcome.lost), ["bare"]);
    assert_eq!(gone.snapshot().pod_count(), 1);
    let mut failed = simulation(objects);
    let (key, value): (Name, Name) = ("topology.kubernetes.io/zone".into(), "x".into());
    let outcome = failed.step(&Step::FailZone { key: key.clone(), value: value.clone() }).expect("a step");
    assert_eq!(where_to(&outcome), [moved("w", "a", "b")]);
    let again = failed.step(&Step::FailZone { key: key.clone(), value: value.clone() });
    assert_eq!(again, Err(StepError::NoZone(key, value)));
    assert_eq!(failed.step(&Step::RemoveNode("a".into())), Err(StepError::NoNode("a".into())));
}

#[test]
fn nodes_are_closed_opened_tainted_and_labelled() {
    let mut of = simulation([machine("a", 4, "x")]);
    let added = |of: &mut Simulation, name: &str| {
        let outcome = of.step(&Step::AddPods(vec![Arc::new(pod(name).build())])).expect("a step");
        outcome.stuck.first().map(|stuck| stuck.message.clone())
    };
    of.step(&Step::Cordon("a".into())).expect("a step");
    assert!(added(&mut of, "one").is_some_and(|why| why.contains("unschedulable")));
    let opened = of.step(&Step::Uncordon("a".into())).expect("a step");
    assert_eq!(where_to(&opened), [moved("one", "", "a")]);
    let taint = Taint { key: "gpu".into(), value: "".into(), effect: crate::model::Effect::NoSchedule, added: None };
    of.step(&Step::Taint("a".into(), taint)).expect("a step");
    assert!(added(&mut of, "two").is_some_and(|why| why.contains("taint")));
    let labels = vec![("disk".into(), Some("ssd".into())), ("kubernetes.io/hostname".into(), None)];
    of.step(&Step::Label("a".into(), labels)).expect("a step");
    let labels = &of.snapshot().node("a").expect("a node").node.labels;
    assert_eq!((labels.get("disk").map(|disk| &**disk), labels.has(HOSTNAME)), (Some("ssd"), false));
    let deleted = of.step(&Step::DeletePods(vec![("default".into(), "two".into())])).expect("a step");
    assert!(deleted.stuck.is_empty() && of.waiting().next().is_none());
    let missing = of.step(&Step::DeletePods(vec![("default".into(), "two".into())]));
    assert_eq!(missing, Err(StepError::NoPod("default/two".into())));
}

#[test]
fn victims_of_controllers_wait_and_preemption_can_be_forbidden() {
    let objects = [machine("a", 2, "x"), running(web("low", 2).on("a"))];
    let high = Arc::new(pod("high").cpu("2").priority(100).build());
    let mut of = simulation(objects.clone());
    let outcome = of.step(&Step::AddPods(vec![high.clone()])).expect("a step");
    assert_eq!(where_to(&outcome), [moved("high", "", "a")]);
    assert_eq!(names(outcome.placed[0].victims.clone()), ["low"]);
    assert_eq!(names(outcome.stuck.into_iter().map(|stuck| stuck.pod)), ["low"]);
    let mut meek = simulation(objects);
    meek.step(&Step::Preempt(false)).expect("a step");
    let outcome = meek.step(&Step::AddPods(vec![high])).expect("a step");
    assert_eq!(names(outcome.stuck.into_iter().map(|stuck| stuck.pod)), ["high"]);
}

#[test]
fn a_drain_evicts_what_budgets_allow_and_says_what_stays() {
    let objects = [
        machine("a", 8, "x"),
        machine("b", 1, "y"),
        budget("web", "app=web", 1),
        running(web("w0", 1).on("a")),
        running(web("w1", 1).on("a")),
        running(web("w2", 1).on("a")),
        running(pod("bare").on("a")),
    ];
    let mut of = simulation(objects);
    let outcome = of.step(&Step::Drain("a".into())).expect("a step");
    // One finds the room on b, one is stuck and uses the budget up, and so the third stays.
    assert_eq!((outcome.placed.len(), outcome.stuck.len(), outcome.blocked.len()), (1, 1, 2));
    let why: Vec<&str> = outcome.blocked.iter().map(|blocked| &*blocked.why).collect();
    assert!(why.iter().any(|why| why.contains("web allows no disruption")), "{why:?}");
    assert!(why.iter().any(|why| why.contains("no controller")), "{why:?}");
}

#[test]
fn a_pod_that_moved_is_under_its_budget_again() {
    let objects = [
        machine("a", 2, "x"),
        machine("b", 2, "y"),
        budget("web", "app=web", 1),
        running(web("w0", 1).on("a")),
        running(web("w1", 1).on("a")),
    ];
    let mut of = simulation(objects);
    let moved = of.step(&Step::Drain("a".into())).expect("a step");
    assert_eq!((moved.placed.len(), moved.blocked.len()), (2, 0));
    let stays = of.step(&Step::Drain("b".into())).expect("a step");
    assert_eq!((stays.placed.len(), stays.stuck.len(), stays.blocked.len()), (0, 1, 1));
}

#[test]
fn a_drain_that_preempts_tells_of_each_victim_once() {
    let high = |name: &str| Object::from(web(name, 1).on("a").priority(9).with(|pod| pod.ready = true));
    let objects = [
        machine("a", 3, "x"),
        machine("b", 3, "y"),
        high("h0"),
        high("h1"),
        high("h2"),
        running(pod("bare-0").cpu("1").on("b")),
        running(pod("bare-1").cpu("1").on("b")),
        running(pod("bare-2").cpu("1").on("b")),
    ];
    let mut of = simulation(objects);
    let mut lost = names(of.step(&Step::Drain("a".into())).expect("a step").lost);
    lost.sort();
    assert_eq!(lost, ["bare-0", "bare-1", "bare-2"]);
}

#[test]
fn copies_take_names_that_are_free() {
    let of = simulation([machine("a", 3, "x"), running(web("web-0", 2).on("a"))]);
    assert_eq!(how_many(&of, &web("web", 1).build(), 10).count, 1, "the pod of that name keeps its room");
    let mut of = of;
    let template = node("spare").cpu("1").build();
    of.step(&Step::AddNodes { template: Box::new(template.clone()), count: 1 }).expect("a step");
    let pods: Vec<Arc<Pod>> = (0..4).map(|i| Arc::new(pod(&format!("q{i}")).cpu("1").build())).collect();
    assert_eq!(nodes_needed(&of, &template, &pods, 9).count, Some(2), "one is free on each node there is");
}

/// CPUs of nodes, and of pods on each.
fn machines() -> impl Strategy<Value = Vec<(u32, Vec<u32>)>> {
    prop::collection::vec((1_u32..9, prop::collection::vec(1_u32..4, 0..4)), 1..5)
}

/// The nodes and pods; those that do not fit are left out.
fn objects(machines: &[(u32, Vec<u32>)]) -> Vec<Object> {
    let mut objects = Vec::new();
    for (index, (cpu, pods)) in machines.iter().enumerate() {
        let name = format!("n{index}");
        objects.push(machine(&name, *cpu, if index % 2 == 0 { "x" } else { "y" }));
        let mut free = *cpu;
        for (number, cpu) in pods.iter().enumerate() {
            let Some(left) = free.checked_sub(*cpu) else { continue };
            free = left;
            objects.push(running(web(&format!("p{index}-{number}"), *cpu).on(&name)));
        }
    }
    objects
}

fn free(objects: &[Object]) -> Vec<i64> {
    let snapshot = cluster(objects.iter().cloned());
    snapshot.nodes().map(|info| (info.node.allocatable.milli_cpu - info.requested.milli_cpu) / 1_000).collect()
}

proptest! {
    #[test]
    fn as_many_copies_fit_as_counting_says(machines in machines(), cpu in 1_u32..4) {
        let objects = objects(&machines);
        let answer = how_many(&simulation(objects.clone()), &pod("more").cpu(&cpu.to_string()).build(), 1_000);
        let counted: i64 = free(&objects).iter().map(|free| free / i64::from(cpu)).sum();
        prop_assert_eq!(answer.count as i64, counted);
        prop_assert_eq!(answer.by_node.values().sum::<usize>(), answer.count);
        prop_assert!(answer.limited_by.is_some_and(|why| why.contains("Insufficient cpu")));
        let one = how_many(&simulation(objects), &pod("more").build(), 1);
        prop_assert_eq!((one.count, one.limited_by), (1, None));
    }

    #[test]
    fn the_number_of_nodes_is_the_first_that_is_enough(machines in machines(), cpus in prop::collection::vec(1_u32..5, 0..12)) {
        let of = simulation(objects(&machines));
        let template = node("new").cpu("4").build();
        let pods: Vec<Arc<Pod>> =
            cpus.iter().enumerate().map(|(index, cpu)| Arc::new(pod(&format!("q{index}")).cpu(&cpu.to_string()).build())).collect();
        let answer = nodes_needed(&of, &template, &pods, 20);
        // All are tried in a cluster that is built for it.
        let stuck = |count: usize| {
            let mut tried = of.clone();
            tried.step(&Step::Preempt(false)).expect("a step");
            if count > 0 {
                tried.step(&Step::AddNodes { template: Box::new(template.clone()), count }).expect("a step");
            }
            tried.step(&Step::AddPods(pods.clone())).expect("a step").stuck.len()
        };
        let first = (0..=20).find(|count| stuck(*count) == 0);
        prop_assert_eq!(answer.count, first);
        match first {
            Some(0) => prop_assert!(answer.with_one_less.is_empty()),
            Some(count) => prop_assert_eq!(answer.with_one_less.len(), stuck(count - 1)),
            None => {}
        }
    }

    #[test]
    fn no_drain_breaks_a_budget(machines in machines(), allowed in 0_i32..4) {
        let mut objects = objects(&machines);
        objects.push(budget("web", "app=web", allowed));
        let mut of = simulation(objects.clone());
        let on_node = of.snapshot().node("n0").expect("a node").pods.len();
        let outcome = of.step(&Step::Drain("n0".into())).expect("a step");
        prop_assert!(outcome.stuck.len() as i32 <= allowed, "{} of {allowed}", outcome.stuck.len());
        prop_assert_eq!(outcome.placed.len() + outcome.stuck.len() + outcome.blocked.len(), on_node);
        if allowed == 0 {
            prop_assert_eq!(outcome.blocked.len(), on_node);
        }
        for info in of.snapshot().nodes() {
            prop_assert!(info.requested.milli_cpu <= info.node.allocatable.milli_cpu, "{}", info.name());
        }
    }
}
