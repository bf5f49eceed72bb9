//! Cycles and searches on small clusters. What the strategies choose is held against the descheduler's own answers in
//! `crates/wire/tests/autoscale_reschedule.rs`.

use std::sync::Arc;

use proptest::prelude::{ProptestConfig, any, prop, prop_assert, prop_assert_eq, proptest};

use super::{
    remove_duplicates::RemoveDuplicates,
    remove_pods_violating_inter_pod_anti_affinity::RemovePodsViolatingInterPodAntiAffinity,
    remove_pods_violating_node_taints::RemovePodsViolatingNodeTaints, *,
};
use crate::{
    advise::{
        groups::Groups,
        plan::{AdvicePlan, Pace, lint},
    },
    model::{Effect, Pod, topology::HOSTNAME},
    policy,
    snapshot::Object,
    testing::{PodBuilder, budget, cluster, node, pod},
};

const NOW: i64 = 1_000_000_000_000;

fn scheduling() -> Scheduling {
    let profile = Arc::new(policy::Policy::default().compile().expect("the default compiles"));
    Scheduling { profiles: profile.into(), seed: 0 }
}

fn policy_of(strategies: impl IntoIterator<Item = Arc<dyn Strategy>>) -> Policy {
    let profile = Profile {
        name: "p".into(),
        evictor: Evictor::default(),
        deschedule: Vec::new(),
        balance: strategies.into_iter().collect(),
    };
    Policy { profiles: vec![profile], ..Policy::default() }
}

fn taints() -> Arc<dyn Strategy> {
    Arc::new(RemovePodsViolatingNodeTaints::default())
}

fn duplicates() -> Arc<dyn Strategy> {
    Arc::new(RemoveDuplicates::default())
}

fn web(name: &str) -> PodBuilder {
    pod(name).cpu("1").label("app", "web").owned_by("apps/v1", "ReplicaSet", "web")
}

fn running(of: PodBuilder) -> Object {
    Object::Pod(Box::new(Pod { ready: true, ..of.build() }))
}

fn machine(name: &str, cpu: &str) -> Object {
    Object::Node(node(name).cpu(cpu).label(HOSTNAME, name).build())
}

fn tainted(name: &str, cpu: &str) -> Object {
    Object::Node(node(name).cpu(cpu).label(HOSTNAME, name).taint("gone", "", Effect::NoSchedule).build())
}

fn searched(snapshot: &Snapshot, policy: &Policy, moves: u64) -> Plan {
    best(snapshot, policy, &scheduling(), Bounds { rounds: 5, moves }, NOW).expect("the policy suits")
}

fn told(moves: &[Move]) -> Vec<(String, Fate)> {
    moves.iter().map(|one| (one.eviction.pod.name.to_string(), one.fate.clone())).collect()
}

#[test]
fn evicted_pods_go_where_the_scheduler_puts_them() {
    let snapshot =
        cluster([tainted("a", "4"), machine("b", "1"), running(web("w0").on("a")), running(web("w1").on("a"))]);
    let policy = policy_of([taints()]);
    let outcome = reschedule(&snapshot, &policy, NOW).expect("the policy suits");
    let (after, moves) = carry_out(&snapshot, &outcome.evicted, &scheduling(), NOW);
    let fates = told(&moves);
    assert_eq!(fates[0], ("w0".into(), Fate::To("b".into())));
    assert!(matches!(&fates[1], (name, Fate::Nowhere(why)) if name == "w1" && why.contains("0/2 nodes")), "{fates:?}");
    let before = Measure::of(&snapshot, &policy, NOW).expect("a measure");
    let then = Measure::of(&after, &policy, NOW).expect("a measure");
    assert_eq!((before.violations.taints, before.wanted, before.waiting), (2, 2, 0));
    assert_eq!((then.violations.taints, then.wanted, then.waiting), (0, 0, 1));
    assert!(!then.is_better_than(&before), "a pod waits that ran before");
}

#[test]
fn best_leaves_out_pods_that_find_no_other_place() {
    let snapshot =
        cluster([tainted("a", "4"), machine("b", "1"), running(web("w0").on("a")), running(web("w1").on("a"))]);
    let plan = searched(&snapshot, &policy_of([taints()]), 10);
    assert_eq!(plan.rounds.len(), 1);
    assert_eq!(told(&plan.rounds[0]), [("w0".into(), Fate::To("b".into()))]);
}

#[test]
fn best_moves_nothing_where_nothing_becomes_better() {
    // The only other node is full: the descheduler would evict, and the pods would come back.
    let snapshot = cluster([
        machine("a", "4"),
        machine("b", "1"),
        running(web("w0").on("a")),
        running(web("w1").on("a")),
        running(web("w2").on("a")),
        running(pod("full").cpu("1").on("b")),
    ]);
    let plan = searched(&snapshot, &policy_of([duplicates()]), 10);
    assert!(!plan.first.evicted.is_empty() && plan.rounds.is_empty());
    assert_eq!(plan.after, snapshot);
}

#[test]
fn best_takes_several_rounds_and_keeps_the_bound_on_moves() {
    // Each of the pods keeps the others off its node.
    let apart = |name: &str| running(web(name).anti_affinity("app=web", HOSTNAME).on("a"));
    let machines = ["a", "b", "c"].map(|name| machine(name, "4"));
    let snapshot = cluster(machines.into_iter().chain([apart("w0"), apart("w1"), apart("w2")]));
    let policy = policy_of([Arc::new(RemovePodsViolatingInterPodAntiAffinity::default()) as Arc<dyn Strategy>]);
    let all = searched(&snapshot, &policy, 10);
    assert_eq!(all.rounds.iter().map(Vec::len).sum::<usize>(), 2);
    let after = Measure::of(&all.after, &policy, NOW).expect("a measure");
    assert_eq!((after.violations.total(), after.wanted), (0, 0));
    let one = searched(&snapshot, &policy, 1);
    assert_eq!(one.rounds.iter().map(Vec::len).sum::<usize>(), 1);
}

#[test]
fn budgets_are_used_up_by_every_pod_or_as_the_api_server_counts() {
    let failed = web("w0").on("a").with(|pod| {
        pod.pending = true;
        pod.ready = false;
    });
    let snapshot = cluster([tainted("a", "4"), machine("b", "4"), failed.into(), budget("keep", "app=web", 0)]);
    let careful = policy_of([taints()]);
    let outcome = reschedule(&snapshot, &careful, NOW).expect("the policy suits");
    assert_eq!((outcome.evicted.len(), outcome.refused.len()), (0, 1));
    let lenient = Policy { charging: Charging::AsApiServer, ..careful };
    let outcome = reschedule(&snapshot, &lenient, NOW).expect("the policy suits");
    assert_eq!((outcome.evicted.len(), outcome.refused.len()), (1, 0));
}

#[test]
fn cycle_needs_two_ready_nodes() {
    let snapshot = cluster([tainted("a", "4"), running(web("w0").on("a"))]);
    let outcome = reschedule(&snapshot, &policy_of([taints()]), NOW).expect("the policy suits");
    assert!(outcome.has_too_few_nodes && outcome.evicted.is_empty());
}

#[test]
fn unknown_priority_class_is_refused() {
    let mut policy = policy_of([taints()]);
    policy.profiles[0].evictor.priority = evictor::PriorityThreshold::Class("none".into());
    let error = reschedule(&cluster([]), &policy, NOW).expect_err("there is no such class");
    assert_eq!(error.to_string(), "profile \"p\": priorityThreshold.name: priority class \"none\" not found");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Every moved pod is bound where the plan says, no budget is broken, the bound on moves holds, and nothing is worse.
    #[test]
    fn best_is_never_worse_and_keeps_budgets(
        sizes in prop::collection::vec((1_u32..5, any::<bool>()), 2..5),
        pods in prop::collection::vec((0_usize..4, 0_usize..3, any::<bool>()), 1..10),
        allowed in 0_i32..4,
        most in 1_u64..6,
    ) {
        let machines = sizes.iter().enumerate().map(|(at, (cpu, is_tainted))| {
            let (name, cpu) = (format!("n{at}"), (cpu * 2).to_string());
            if *is_tainted { tainted(&name, &cpu) } else { machine(&name, &cpu) }
        });
        let placed = pods.iter().enumerate().map(|(at, (on, owner, is_apart))| {
            let on = format!("n{}", on % sizes.len());
            let app = format!("o{owner}");
            let of = pod(&format!("p{at}")).cpu("1").label("app", &app).owned_by("apps/v1", "ReplicaSet", &app).on(&on);
            running(if *is_apart { of.anti_affinity(&format!("app={app}"), HOSTNAME) } else { of })
        });
        let snapshot = cluster(machines.chain(placed).chain([budget("b", "app=o0", allowed)]));
        let apart: Arc<dyn Strategy> = Arc::new(RemovePodsViolatingInterPodAntiAffinity::default());
        let policy = policy_of([taints(), apart, duplicates()]);
        let plan = searched(&snapshot, &policy, most);
        let moves: Vec<&Move> = plan.rounds.iter().flatten().collect();
        prop_assert!(moves.len() as u64 <= most);
        for round in &plan.rounds {
            // Budgets recover before the next round.
            let steps = AdvicePlan { revision: 0, steps: round.iter().map(Move::step).collect() };
            prop_assert_eq!(lint(&steps, &snapshot, &Groups::default(), Pace::AtOnce), []);
            prop_assert!(round.iter().all(Move::is_away));
        }
        for one in plan.rounds.last().into_iter().flatten() {
            let pod = &one.eviction.pod;
            let there = plan.after.pod(&pod.namespace, &pod.name).map(|pod| pod.node_name.clone());
            prop_assert_eq!(Some(one.fate.clone()), there.map(Fate::To));
        }
        let before = Measure::of(&snapshot, &policy, NOW).expect("a measure");
        let after = Measure::of(&plan.after, &policy, NOW).expect("a measure");
        prop_assert!(after.waiting <= before.waiting);
        prop_assert!(after.violations.total() <= before.violations.total());
        prop_assert!(after.wanted <= before.wanted);
        prop_assert_eq!(plan.rounds.is_empty(), !after.is_better_than(&before));
        for node in plan.after.nodes() {
            prop_assert!(node.requested.milli_cpu <= node.node.allocatable.milli_cpu.max(
                snapshot.node(node.name()).map_or(0, |before| before.requested.milli_cpu)));
        }
    }
}

/// 5,000 nodes and 150,000 pods: `cargo test --release -p podberth-core --lib -- --ignored --nocapture advise::reschedule`.
#[test]
#[ignore = "for a release build"]
fn large_cluster_is_rescheduled() {
    let mut objects = Vec::new();
    for at in 0..5_000 {
        let zone = format!("z{}", at % 3);
        objects.push(Object::Node(
            node(&format!("n{at}")).cpu("64").memory("256Gi").zone(&zone).label(HOSTNAME, &format!("n{at}")).build(),
        ));
    }
    for at in 0..150_000_u32 {
        // Two thirds of the nodes hold nearly all pods.
        let on = if at % 10 == 0 { at % 5_000 } else { at % 3_300 };
        let owner = format!("app-{}", at % 500);
        let of = pod(&format!("p{at}"))
            .namespace(&format!("ns-{}", at % 50))
            .cpu("1")
            .memory("2Gi")
            .label("app", &owner)
            .owned_by("apps/v1", "ReplicaSet", &owner)
            .on(&format!("n{on}"));
        let spread = at % 500 < 50;
        let key = "topology.kubernetes.io/zone";
        let when = crate::model::WhenUnsatisfiable::DoNotSchedule;
        objects.push(running(if spread { of.spread(1, key, when, &format!("app={owner}")) } else { of }));
    }
    let snapshot = cluster(objects);
    let thresholds = |cpu: f64| [("cpu", cpu), ("memory", cpu)].map(|(name, percent)| (name.into(), percent)).into();
    let low = low_node_utilization::LowNodeUtilization {
        low: thresholds(20.0),
        target: thresholds(50.0),
        ..low_node_utilization::LowNodeUtilization::default()
    };
    let spread = remove_pods_violating_topology_spread_constraint::RemovePodsViolatingTopologySpreadConstraint {
        pods: PodFilter::default(),
        actions: vec![crate::model::WhenUnsatisfiable::DoNotSchedule],
        node_fit: true,
    };
    let mut policy = policy_of([Arc::new(low) as Arc<dyn Strategy>, Arc::new(spread), duplicates()]);
    policy.profiles[0].evictor.node_fit = true;
    policy.limits.total = Some(5_000);
    let outcome = reschedule(&snapshot, &policy, NOW).expect("the policy suits");
    let (after, moves) = carry_out(&snapshot, &outcome.evicted, &scheduling(), NOW);
    let before = Measure::of(&snapshot, &policy, NOW).expect("a measure");
    let then = Measure::of(&after, &policy, NOW).expect("a measure");
    println!("{} moves, {} wanted before, {} after", moves.len(), before.wanted, then.wanted);
    let plan =
        best(&snapshot, &policy, &scheduling(), Bounds { rounds: 1, moves: 100 }, NOW).expect("the policy suits");
    println!("best: {} moves", plan.rounds.iter().map(Vec::len).sum::<usize>());
}
