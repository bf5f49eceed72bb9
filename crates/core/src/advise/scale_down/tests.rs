//! Scale-down against its promises: rules of the cluster autoscaler in small, and plans that can be carried out in general.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    advise::{
        groups::Group,
        plan::{Pace, lint},
    },
    cycle::Cycle,
    model::{LocalVolume, LocalVolumeKind, NodeFacts, PodFacts, WhenUnsatisfiable, WorkloadKind},
    policy::Policy,
    snapshot::{Kind, Object},
    testing::{NodeBuilder, PodBuilder, budget, cluster, node, pod, workload},
};

const HOUR: i64 = 3600 * SECOND;
/// Long after the beginning of the cluster.
const NOW: i64 = 100 * HOUR;
const HOSTS: &str = "kubernetes.io/hostname";

fn profiles() -> Profiles {
    Arc::new(Policy::default().compile().expect("the default compiles")).into()
}

fn machine(name: &str, cpu: u32) -> NodeBuilder {
    node(name).cpu(&cpu.to_string()).memory("64Gi").condition("Ready", crate::model::ConditionStatus::True)
}

/// A pod of the ReplicaSet `web`.
fn web(name: &str, cpu: &str) -> PodBuilder {
    pod(name).cpu(cpu).label("app", "web").owned_by("apps/v1", "ReplicaSet", "web")
}

fn replica_set(name: &str) -> Object {
    workload(WorkloadKind::ReplicaSet, name, "app=web")
}

fn facts(pod: PodBuilder, facts: PodFacts) -> PodBuilder {
    pod.with(|pod| pod.facts = Some(Box::new(facts)))
}

fn group(id: &str, min: u32, nodes: &[&str]) -> Group {
    let nodes: Vec<Name> = nodes.iter().map(|node| Name::from(*node)).collect();
    Group { id: id.into(), min, max: 100, target: nodes.len() as u32, nodes, ..Group::default() }
}

/// All that an answer follows from, with nodes that have been unneeded for an hour.
struct Case {
    snapshot: Snapshot,
    groups: Groups,
    options: Options,
    state: State,
}

impl Case {
    fn new(groups: Vec<Group>, objects: impl IntoIterator<Item = Object>) -> Self {
        let snapshot = cluster(objects);
        let unneeded_since = snapshot.nodes().map(|info| (info.name().clone(), NOW - HOUR)).collect();
        let state = State { unneeded_since, ..State::default() };
        Self { snapshot, groups: Groups::new(groups).expect("groups"), options: Options::default(), state }
    }

    fn answer(&self) -> Answer {
        plan(&Input {
            snapshot: &self.snapshot,
            groups: &self.groups,
            profiles: &profiles(),
            options: &self.options,
            state: &self.state,
            node_order: &[],
            counts_ended_pods: false,
            now: NOW,
        })
    }
}

fn names(of: &[Name]) -> Vec<&str> {
    of.iter().map(|name| &**name).collect()
}

fn told<'a>(answer: &'a Answer, node: &str) -> &'a NodeAnswer {
    answer.nodes.iter().find(|told| &*told.name == node).expect("the node")
}

fn reason(answer: &Answer, node: &str) -> Option<&'static str> {
    told(answer, node).reason.map(Reason::name)
}

#[test]
fn empty_nodes_go_first_and_one_with_pods_at_a_time() {
    let objects = [
        machine("a", 8).into(),
        machine("b", 8).into(),
        machine("c", 8).into(),
        machine("rest", 8).into(),
        web("w1", "1").on("a").into(),
        web("w2", "1").on("b").into(),
        replica_set("web"),
    ];
    let answer = Case::new(vec![group("g", 0, &["a", "b", "c"])], objects).answer();
    assert_eq!(names(&answer.order), ["c", "a", "b"]);
    assert_eq!((names(&answer.removable.empty), names(&answer.removable.drain)), (vec!["c"], vec!["a", "b"]));
    assert_eq!((names(&answer.delete.empty), names(&answer.delete.drain)), (vec!["c"], vec!["a"]));
    assert_eq!(reason(&answer, "rest"), Some("NotAutoscaled"));
    let plan = &answer.removals[1];
    assert_eq!((&*plan.node, plan.moves.len()), ("a", 1));
    assert!(["b", "rest"].contains(&&*plan.moves[0].to), "not to a node that goes: {plan:?}");
}

#[test]
fn a_pod_of_a_node_that_went_before_is_counted_where_it_went() {
    // Two nodes with a pod each, and room for one pod elsewhere.
    let objects = [
        machine("a", 4).into(),
        machine("b", 4).into(),
        machine("rest", 1).into(),
        web("w1", "1").on("a").into(),
        web("w2", "1").on("b").into(),
        replica_set("web"),
    ];
    let answer = Case::new(vec![group("g", 0, &["a", "b"])], objects).answer();
    assert!(told(&answer, "a").unneeded);
    let moved: Vec<&str> = answer.nodes.iter().flat_map(|node| &node.moves).map(|one| &*one.pod.name).collect();
    assert_eq!(moved.len(), if told(&answer, "b").unneeded { 2 } else { 1 });
}

#[test]
fn pods_keep_their_node_by_the_first_rule_that_blocks() {
    let own = |name: &str| web(name, "100m").on("a");
    let volume = |name: &str, kind| LocalVolume { name: name.into(), kind };
    let local = |safe: Option<&str>| PodFacts {
        local_volumes: vec![
            volume("tmp", LocalVolumeKind::Disk),
            volume("log", LocalVolumeKind::HostPath),
            volume("fast", LocalVolumeKind::Memory),
        ],
        safe_local_volumes: safe.map(Into::into),
        ..PodFacts::default()
    };
    let annotated = |value: &str| PodFacts { safe_to_evict: Some(value.into()), ..PodFacts::default() };
    let system = |age: i64| own("p").namespace("kube-system").with(|pod| pod.created = Some(NOW - age));
    let Object::Workload(mut system_owner) = replica_set("web") else { unreachable!("a workload") };
    system_owner.namespace = "kube-system".into();
    let cases = vec![
        (own("p"), None),
        (pod("p").on("a"), Some("NotReplicated")),
        (facts(pod("p").on("a"), annotated("true")), None),
        (own("p").owned_by("apps/v1", "ReplicaSet", "gone"), Some("ControllerNotFound")),
        (facts(own("p").owned_by("apps/v1", "ReplicaSet", "gone"), annotated("true")), Some("ControllerNotFound")),
        (own("p").owned_by("argoproj.io/v1", "Rollout", "web"), Some("NotReplicated")),
        (own("p").owned_by("apps/v1/x", "ReplicaSet", "gone"), None),
        (facts(pod("p").on("a"), PodFacts { daemon_set_pod: true, ..PodFacts::default() }), None),
        (facts(own("p"), annotated("false")), Some("NotSafeToEvictAnnotation")),
        (facts(own("p"), local(None)), Some("LocalStorageRequested")),
        (facts(own("p"), local(Some("tmp"))), Some("LocalStorageRequested")),
        (facts(own("p"), local(Some("tmp, log"))), Some("LocalStorageRequested")),
        (facts(own("p"), local(Some("log,tmp"))), None),
        (system(HOUR / 2), Some("UnmovableKubeSystemPod")),
        (system(2 * HOUR), None),
    ];
    for (pod, expected) in cases {
        let told_of = format!("{:?}", pod.clone().build());
        let objects = [
            machine("a", 4).into(),
            machine("b", 4).into(),
            pod.into(),
            replica_set("web"),
            Object::Workload(system_owner.clone()),
        ];
        let answer = Case::new(vec![group("g", 0, &["a"])], objects).answer();
        let blocking = told(&answer, "a").blocking.as_ref().map(|blocking| blocking.reason.name());
        assert_eq!(blocking, expected, "{told_of}");
        assert_eq!(reason(&answer, "a"), expected.map(|_| "BlockedByPod"));
    }
}

#[test]
fn budgets_are_used_up_along_the_way() {
    let objects = |allowed| {
        [
            machine("a", 4).into(),
            machine("b", 4).into(),
            machine("rest", 8).into(),
            web("w1", "1").on("a").into(),
            web("w2", "1").on("a").into(),
            web("w3", "1").on("b").into(),
            replica_set("web"),
            budget("web", "app=web", allowed),
        ]
    };
    let groups = || vec![group("g", 0, &["a", "b"])];
    let none = Case::new(groups(), objects(0)).answer();
    assert_eq!((reason(&none, "a"), reason(&none, "b")), (Some("BlockedByPod"), Some("BlockedByPod")));
    let one = Case::new(groups(), objects(1)).answer();
    assert!(told(&one, "a").unneeded && told(&one, "a").risky, "two pods go, one after the other");
    assert_eq!(told(&one, "b").blocking.as_ref().map(|by| by.reason.name()), Some("NotEnoughPdb"));
    let two = Case::new(groups(), objects(2)).answer();
    assert!(!told(&two, "a").risky);
    assert_eq!(reason(&two, "b"), Some("BlockedByPod"), "the first node has used both up");
    let three = Case::new(groups(), objects(3)).answer();
    assert!(told(&three, "b").unneeded && told(&three, "b").risky, "it has got a pod of the first");
    let four = Case::new(groups(), objects(4)).answer();
    assert!(told(&four, "b").unneeded && !told(&four, "b").risky);
}

fn labels(host: &str) -> crate::model::Labels {
    [(HOSTS, host)].into_iter().collect()
}

#[test]
fn pods_that_wait_and_fit_hold_their_places() {
    let objects = |waiting: bool| {
        let mut objects = vec![
            machine("a", 2).into(),
            machine("b", 2).into(),
            web("w1", "1").on("a").into(),
            web("w2", "1").on("b").into(),
            replica_set("web"),
        ];
        objects.extend(waiting.then(|| web("new", "1").with(|pod| pod.spec_mut().node_selector = labels("b")).into()));
        objects
    };
    let free = Case::new(vec![group("g", 0, &["a"])], objects(false)).answer();
    assert_eq!(names(&free.delete.drain), ["a"]);
    let held = Case::new(vec![group("g", 0, &["a"])], objects(true)).answer();
    assert_eq!(reason(&held, "a"), Some("NoPlaceToMovePods"));
}

#[test]
fn a_node_waits_for_a_pod_that_runs_to_its_end() {
    let waiting = PodFacts { safe_to_evict: Some("on-completion".into()), ..PodFacts::default() };
    let objects = [machine("a", 4).into(), facts(web("w", "1").on("a"), waiting).into(), replica_set("web")];
    let answer = Case::new(vec![group("g", 0, &["a"])], objects).answer();
    assert!(told(&answer, "a").unneeded && told(&answer, "a").on_completion.len() == 1);
    assert_eq!(reason(&answer, "a"), Some("BlockedByOnCompletionPod"));
    assert!(answer.removable.empty.is_empty() && answer.delete.empty.is_empty());
}

#[test]
fn a_node_is_unneeded_for_longer_than_its_time() {
    for (age, goes) in [(600, false), (601, true)] {
        let mut case = Case::new(vec![group("g", 0, &["a"])], [machine("a", 4).into()]);
        case.state.unneeded_since.insert("a".into(), NOW - age * SECOND);
        let answer = case.answer();
        assert_eq!(answer.delete.empty.len(), usize::from(goes), "{age}");
        assert_eq!(answer.state.unneeded_since.get("a"), Some(&(NOW - age * SECOND)));
        assert_eq!(told(&answer, "a").removable_at, Some(NOW - age * SECOND + 600 * SECOND));
    }
    let mut new = Case::new(vec![group("g", 0, &["a"])], [machine("a", 4).into()]);
    new.state = State::default();
    assert_eq!(new.answer().state.unneeded_since.get("a"), Some(&NOW), "a new one is unneeded from now on");
}

#[test]
fn groups_and_the_cluster_keep_their_smallest_sizes() {
    let nodes = ["a", "b", "c"];
    let objects = || nodes.map(|name| Object::from(machine(name, 4)));
    let small = Case::new(vec![group("g", 2, &nodes)], objects()).answer();
    assert_eq!(small.delete.empty.len(), 1);
    assert_eq!(reason(&small, "b"), Some("NodeGroupMinSizeReached"));
    let full = Case::new(vec![group("g", 3, &nodes)], objects()).answer();
    assert!(full.order.is_empty() && !told(&full, "a").candidate);
    let mut case = Case::new(vec![group("g", 0, &nodes)], objects());
    case.options.min_cores_total = 5;
    let answer = case.answer();
    assert_eq!((answer.delete.empty.len(), reason(&answer, "b")), (1, Some("MinimalResourceLimitExceeded")));
    let mut case = Case::new(vec![group("g", 2, &nodes)], objects());
    case.state.deleting.insert("c".into(), false);
    assert!(case.answer().delete.empty.is_empty(), "a deletion under way counts");
    let told = Group { target: 2, ..group("g", 1, &nodes) };
    let mut case = Case::new(vec![told], objects());
    case.state.deleting.insert("c".into(), false);
    assert_eq!(case.answer().delete.empty.len(), 1, "and once, if the target size says it already");
}

#[test]
fn a_group_that_goes_as_a_whole_goes_only_as_a_whole() {
    let whole = || vec![Group { zero_or_max: true, ..group("g", 0, &["a", "b"]) }];
    let free = [machine("a", 4).into(), machine("b", 4).into()];
    assert_eq!(Case::new(whole(), free).answer().delete.empty.len(), 2);
    let half = [machine("a", 4).into(), machine("b", 1).into(), web("w", "1").on("b").into(), replica_set("web")];
    let answer = Case::new(whole(), half).answer();
    assert_eq!(reason(&answer, "a"), Some("AtomicScaleDownFailed"));
}

#[test]
fn marks_of_a_node_keep_it() {
    let disabled = || NodeFacts { scale_down_disabled: true, ..NodeFacts::default() };
    let deleting = |age: i64| {
        let value = ((NOW / SECOND) - age).to_string();
        machine("a", 4).taint(TO_BE_DELETED, &value, crate::model::Effect::NoSchedule)
    };
    let cases = [
        (machine("a", 4).with(|node| node.facts = Some(Box::new(disabled()))), Some("ScaleDownDisabledAnnotation")),
        (deleting(299), Some("CurrentlyBeingDeleted")),
        (deleting(301), None),
    ];
    for (node, expected) in cases {
        let answer = Case::new(vec![group("g", 0, &["a"])], [node.into()]).answer();
        assert_eq!(reason(&answer, "a"), expected);
    }
    let mut recent = Case::new(vec![group("g", 0, &["a"])], [machine("a", 4).into()]);
    recent.state.unremovable_until.insert("a".into(), NOW + SECOND);
    let answer = recent.answer();
    assert_eq!(reason(&answer, "a"), Some("RecentlyUnremovable"));
    assert_eq!(answer.state, State { unneeded_since: BTreeMap::new(), ..recent.state }, "it is remembered");
}

#[test]
fn no_more_nodes_are_searched_than_two_rounds_can_remove() {
    let names: Vec<String> = (0..30).map(|at| format!("n{at:02}")).collect();
    let nodes: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut case = Case::new(vec![group("g", 0, &nodes)], nodes.iter().map(|name| machine(name, 4).into()));
    let count = |case: &Case| case.answer().nodes.iter().filter(|node| node.unneeded).count();
    assert_eq!((count(&case), case.answer().delete.empty.len()), (20, 10));
    case.options.scan_interval = Some(10 * SECOND);
    assert_eq!(count(&case), 30, "in a loop more are remembered, so that they become old");
    case.state.unneeded_since.clear();
    assert_eq!(count(&case), 20);
}

/// A small random cluster.
fn random(seed: u64, nodes: usize, pods: usize) -> Case {
    random_of(seed, nodes, pods, 4, 3)
}

/// A random cluster: nodes in two groups, pods of some apps with and without rules about each other, and budgets.
fn random_of(seed: u64, nodes: usize, pods: usize, cpu: u32, apps: u64) -> Case {
    let mut state = seed | 1;
    let mut next = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut objects: Vec<Object> = Vec::new();
    let names: Vec<String> = (0..nodes).map(|at| format!("n{at}")).collect();
    for (at, name) in names.iter().enumerate() {
        objects.push(machine(name, cpu).zone(["x", "y", "z"][at % 3]).into());
    }
    for app in (0..apps).map(|app| format!("app{app}")) {
        objects.push(workload(WorkloadKind::ReplicaSet, &app, &format!("app={app}")));
        if next(2) == 0 {
            objects.push(budget(&app, &format!("app={app}"), next(4) as i32));
        }
    }
    for at in 0..pods {
        let app = &format!("app{}", next(apps));
        let on = &names[next(nodes as u64) as usize];
        let of_app = format!("app={app}");
        let built = pod(&format!("p{at}"))
            .cpu(&format!("{}m", 100 * (1 + next(9))))
            .label("app", app)
            .owned_by("apps/v1", "ReplicaSet", app)
            .on(on);
        let built = match next(8) {
            0 => built.anti_affinity(&of_app, HOSTS),
            1 => built.spread(
                1 + next(2) as i32,
                "topology.kubernetes.io/zone",
                WhenUnsatisfiable::DoNotSchedule,
                &of_app,
            ),
            2 => built.spread(2, HOSTS, WhenUnsatisfiable::DoNotSchedule, &of_app),
            3 => built.affinity(&of_app, "topology.kubernetes.io/zone"),
            _ => built,
        };
        objects.push(built.into());
    }
    let half = nodes / 2;
    let of = |range: std::ops::Range<usize>| names[range].iter().map(String::as_str).collect::<Vec<_>>();
    let groups = vec![group("g", next(3) as u32, &of(0..half)), group("h", next(3) as u32, &of(half..nodes))];
    let mut case = Case::new(groups, objects);
    case.options.max_drain_parallelism = 1 + next(3) as u32;
    case
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// After all removals of a round each pod that moved is where the plan says, and fitted there.
    #[test]
    fn plans_can_be_carried_out_within_all_rules_and_budgets(seed: u64, nodes in 2_usize..12, pods in 0_usize..40) {
        let case = random(seed, nodes, pods);
        let answer = case.answer();
        let profiles = profiles();
        let mut after = case.snapshot.clone();
        for removal in &answer.removals {
            let there = &case.snapshot.node(&removal.node).expect("a node").pods;
            prop_assert_eq!(there.len(), removal.moves.len(), "each of its pods moves");
        }
        for removal in &answer.removals {
            for Move { pod, .. } in &removal.moves {
                after.delete(Kind::Pod, &pod.namespace, &pod.name);
            }
            for Move { pod, to } in &removal.moves {
                let waiting = Pod { node_name: Name::default(), ..(**pod).clone() };
                let fits = {
                    let cycle = Cycle::prepare(profiles.first(), &waiting, &after);
                    after.node_ref(to).is_some_and(|node| cycle.fits(node))
                };
                prop_assert!(fits, "{} does not fit on {to}", pod.name);
                prop_assert!(answer.removals.iter().all(|removal| removal.node != *to));
                after.apply(Object::Pod(Box::new(Pod { node_name: to.clone(), ..waiting })));
            }
            after.delete(Kind::Node, &Name::default(), &removal.node);
        }
        let is_risky = answer.removals.iter().any(|removal| told(&answer, &removal.node).risky);
        let pace = if is_risky { Pace::OneByOne } else { Pace::AtOnce };
        prop_assert_eq!(lint(&answer.plan(&case.snapshot, &case.groups), &case.snapshot, &case.groups, pace), []);
        prop_assert!(answer.delete.drain.len() <= case.options.max_drain_parallelism as usize);
        let again = case.answer();
        prop_assert_eq!((&answer.order, &answer.removals), (&again.order, &again.removals));
    }

    /// Unneeded nodes and the places of their pods do not contradict each other.
    #[test]
    fn no_pod_moves_to_a_node_found_unneeded_before(seed: u64) {
        let answer = random(seed, 10, 30).answer();
        let mut gone: Vec<&Name> = Vec::new();
        for name in &answer.order {
            let told = told(&answer, name);
            if told.unneeded {
                gone.push(name);
                prop_assert!(told.moves.iter().all(|one| !gone.contains(&&one.to)));
            }
            prop_assert!(!(told.unneeded && told.blocking.is_some()));
        }
    }
}

/// 5,000 nodes and 150,000 pods within two seconds; run in release: `cargo test --release -p podberth-core scale_down -- --ignored --nocapture`.
#[test]
#[ignore = "takes its time in a debug build"]
#[allow(clippy::print_stdout, reason = "it tells what it found")]
fn answers_for_five_thousand_nodes() {
    for (cpu, pods, free, what) in [
        (32, 30, false, "half full, budgets block"),
        (32, 30, true, "half full, without budgets"),
        (16, 30, true, "full, without budgets"),
        (32, 6, false, "nearly empty"),
    ] {
        let mut case = random_of(42, 5_000, 5_000 * pods, cpu, 500);
        if free {
            let budgets: Vec<_> = case.snapshot.disruption_budgets().cloned().collect();
            for budget in budgets {
                case.snapshot.delete(Kind::PodDisruptionBudget, &budget.namespace, &budget.name);
            }
        }
        case.options.utilization_threshold = 10.0;
        let answer = case.answer();
        let count = |of: fn(&NodeAnswer) -> bool| answer.nodes.iter().filter(|node| of(node)).count();
        println!(
            "{what}: {} unneeded, {} blocked, {} without a place",
            count(|node| node.unneeded),
            count(|node| node.blocking.is_some()),
            count(|node| node.homeless.is_some()),
        );
    }
}
