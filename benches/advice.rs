//! Answers about a whole cluster: scale-down, scale-up and rescheduling. The cluster is made before the clock runs. No HTTP, no store.
//!
//! `cargo bench --bench advice [FILTER]`. Names are `advice/<question>/<nodes>`, with 30 pods a node and 20 node groups. The bars at 5,000 nodes and
//! 150,000 pods are 2 s for scale-down, 2 s for scale-up of 5,000 waiting pods, and 5 s for rescheduling, as `/reschedule` answers. A tenth of the size
//! shows how an answer grows. One that says something else than it should ends the run.

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use podberth::core::{
    advise::{
        groups::{Group, Groups},
        plan::{Pace, lint},
        reschedule::{self, Evictor, Measure, Profile, Scheduling, remove_duplicates::RemoveDuplicates},
        scale_down::{self, Input, State},
        scale_up,
    },
    model::{ConditionStatus, Name, WorkloadKind},
    policy::{Configuration, Profiles},
    snapshot::{Object, Snapshot},
};
use podberth_testkit::{
    budget,
    large::{APPS, PODS_PER_NODE, ZONES, node_name},
    node, pod, workload,
};

const SIZES: [usize; 2] = [500, 5_000];
const GROUPS: usize = 20;
/// Long after the clusters began.
const NOW: i64 = 1_000_000_000_000_000;

/// Nodes of 16 cores, each with 30 pods that ask for `milli` cores of CPU. One node in ten has a third of the pods, which the others have more.
fn cluster(nodes: usize, milli: usize, waiting: usize) -> Snapshot {
    let each_node = |at: usize| {
        let built = node(&node_name(at)).cpu("16").memory("64Gi").zone(ZONES[at % ZONES.len()]);
        Object::from(built.condition("Ready", ConditionStatus::True))
    };
    let each_app = |at: usize| {
        let (name, labels) = (format!("app-{at}"), format!("app=app-{at}"));
        [workload(WorkloadKind::ReplicaSet, &name, &labels), budget(&name, &labels, 50)]
    };
    let of_app = |name: &str, at: usize| {
        let app = format!("app-{}", at % APPS);
        pod(name).label("app", &app).cpu(&format!("{milli}m")).memory("256Mi").owned_by("apps/v1", "ReplicaSet", &app)
    };
    let running = |at: usize| {
        let (on, place) = (at % nodes, at / nodes);
        let on = if on % 10 == 0 && place >= PODS_PER_NODE / 3 { (on + 1 + place % 9) % nodes } else { on };
        Object::from(of_app(&format!("pod-{at:07}"), at / 7).on(&node_name(on)))
    };
    let new = |at: usize| Object::from(of_app(&format!("new-{at:05}"), at).cpu("3"));
    let apps = (0..APPS).flat_map(each_app);
    let pods = (0..nodes * PODS_PER_NODE).map(running).chain((0..waiting).map(new));
    (0..nodes).map(each_node).chain(apps).chain(pods).collect()
}

fn groups(nodes: usize) -> Groups {
    let group = |at: usize| {
        let names: Vec<Name> = (at..nodes).step_by(GROUPS).map(|node| node_name(node).into()).collect();
        let template = node(&format!("template-{at}")).cpu(&(8 + 4 * (at % 5)).to_string()).memory("64Gi");
        Group {
            id: format!("group-{at:02}").into(),
            max: 10_000,
            target: u32::try_from(names.len()).expect("few"),
            nodes: names,
            template: Some(Arc::new(template.build())),
            ..Group::default()
        }
    };
    Groups::new((0..GROUPS).map(group).collect()).expect("groups that share nothing")
}

fn profiles() -> Profiles {
    Configuration::default().compile_all().expect("the default configuration compiles")
}

fn scale_down(criterion: &mut Criterion) {
    let profiles = profiles();
    let mut group = criterion.benchmark_group("advice/scale-down");
    group.sample_size(10).measurement_time(Duration::from_secs(20));
    for nodes in SIZES {
        let (snapshot, groups) = (cluster(nodes, 200, 0), groups(nodes));
        let unneeded_since = snapshot.nodes().map(|info| (info.name().clone(), 0)).collect();
        let state = State { unneeded_since, ..State::default() };
        let options = scale_down::Options::default();
        let input = Input {
            snapshot: &snapshot,
            groups: &groups,
            profiles: &profiles,
            options: &options,
            state: &state,
            node_order: &[],
            counts_ended_pods: false,
            now: NOW,
        };
        let plan = scale_down::plan(&input).plan(&snapshot, &groups);
        assert!(!plan.steps.is_empty(), "some nodes go");
        assert_eq!(lint(&plan, &snapshot, &groups, Pace::OneByOne), []);
        group.bench_function(BenchmarkId::from_parameter(nodes), |b| b.iter(|| black_box(scale_down::plan(&input))));
    }
}

fn scale_up(criterion: &mut Criterion) {
    let profiles = profiles();
    let mut group = criterion.benchmark_group("advice/scale-up");
    group.sample_size(10).measurement_time(Duration::from_secs(20));
    for nodes in SIZES {
        // The nodes are full, so that all of the pods need new ones.
        let (snapshot, groups) = (cluster(nodes, 500, nodes), groups(nodes));
        let options = scale_up::Options::default();
        let answer = || scale_up::scale_up(&snapshot, &profiles, &groups, &options, NOW);
        let first = answer();
        assert!(first.increase.values().sum::<usize>() > 0, "{}", first.outcome.name());
        assert_eq!(lint(&first.plan(&groups, 0), &snapshot, &groups, Pace::AtOnce), []);
        group.bench_function(BenchmarkId::from_parameter(nodes), |b| b.iter(|| black_box(answer())));
    }
}

fn rescheduling(criterion: &mut Criterion) {
    let scheduling = Scheduling { profiles: profiles(), seed: 0 };
    let profile = Profile {
        name: "spread".into(),
        evictor: Evictor::default(),
        deschedule: Vec::new(),
        balance: vec![Arc::new(RemoveDuplicates::default())],
    };
    let limits = reschedule::Limits { total: Some(1_000), ..reschedule::Limits::default() };
    let policy = reschedule::Policy { profiles: vec![profile], limits, ..reschedule::Policy::default() };
    let mut group = criterion.benchmark_group("advice/reschedule");
    group.sample_size(10).measurement_time(Duration::from_secs(30));
    for nodes in SIZES {
        let snapshot = cluster(nodes, 200, 0);
        // One cycle, the places of the pods, and the comparison of before and after.
        let answer = || {
            let cycle = reschedule::reschedule(&snapshot, &policy, NOW).expect("the policy suits the cluster");
            let evicted = cycle.once_each().0;
            let (after, moves) = reschedule::carry_out(&snapshot, &evicted, &scheduling, NOW);
            let measure = |of| Measure::of(of, &policy, NOW).expect("the policy suits the cluster");
            (measure(&snapshot), measure(&after), moves)
        };
        assert!(!answer().2.is_empty(), "some pods move");
        group.bench_function(BenchmarkId::from_parameter(nodes), |b| b.iter(|| black_box(answer())));
    }
}

criterion_group!(benches, scale_down, scale_up, rescheduling);
criterion_main!(benches);
