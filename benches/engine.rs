//! One decision of the engine, and each rule by itself, over large clusters. No HTTP, no store.
//!
//! `cargo bench --bench engine [FILTER]`. Names are `decision/<profile>/<workload>/<nodes>`, `predicate/<name>` and
//! `priority/<name>`, the latter two read off the registry. `floor/<nodes>` is what a decision without any rule but
//! resources costs over plain arrays: on a noisy machine compare with that, from the same run.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use podberth::{
    core::{
        cycle::Cycle,
        model::{Effect, Image, Pod, WhenUnsatisfiable, topology},
        policy::{Configuration, Policy, Profile},
        predicates::{self, Build, Demand},
        priorities,
        rule::{Arguments, Release},
        snapshot::{Object, Snapshot},
    },
    testing::{self, PodBuilder, node, pod, service},
};

/// As many as a kubelet takes are 110; large clusters run about this many.
const PODS_PER_NODE: usize = 30;
const APPS: usize = 300;
const SIZES: [usize; 2] = [500, 5_000];

/// What the running pods ask of each other.
#[derive(Clone, Copy, PartialEq)]
enum Running {
    Plain,
    /// Anti-affinity to their like by host name, and spread over zones.
    Apart,
}

fn app(i: usize) -> String {
    format!("app={}", name_of_app(i))
}

fn name_of_app(i: usize) -> String {
    format!("app-{}", i % APPS)
}

fn apart(pod: PodBuilder, i: usize, skew: i32) -> PodBuilder {
    pod.anti_affinity(&app(i), topology::HOSTNAME).spread(
        skew,
        topology::ZONE,
        WhenUnsatisfiable::DoNotSchedule,
        &app(i),
    )
}

/// Every tenth node keeps pods off by a taint, every fifth is shunned by one; each holds 45 images.
fn cluster(nodes: usize, running: Running) -> Snapshot {
    let image = |i: usize, k: usize| Image {
        names: vec![format!("example/app-{k}:v{}", i % 7).into(), format!("example/app-{k}@sha256:{k:064x}").into()],
        size: 40_000_000 * (k as i64 + 1),
    };
    let each_node = |i: usize| {
        let mut built = node(&format!("node-{i:05}")).cpu("32").memory("128Gi").zone(["a", "b", "c"][i % 3]);
        built = built.label("disk", if i.is_multiple_of(2) { "hdd" } else { "ssd" });
        built = if i.is_multiple_of(10) { built.taint("dedicated", "batch", Effect::NoSchedule) } else { built };
        built = if i % 5 == 1 { built.taint("spot", "", Effect::PreferNoSchedule) } else { built };
        Object::from(built.with(|n| n.images = (0..45).map(|k| image(i, k)).collect()))
    };
    let each_pod = |i: usize| {
        let built = pod(&format!("pod-{i:06}")).label("app", &name_of_app(i)).label("tier", "back");
        let built = built.cpu("200m").memory("512Mi").on(&format!("node-{:05}", i % nodes));
        Object::from(if running == Running::Apart { apart(built, i, 1) } else { built })
    };
    let services = (0..APPS).map(|i| service(&name_of_app(i), &app(i)));
    (0..nodes).map(each_node).chain(services).chain((0..nodes * PODS_PER_NODE).map(each_pod)).collect()
}

/// What is to be placed, and among which running pods.
fn workloads() -> Vec<(&'static str, Running, Pod)> {
    let new =
        || pod("new").label("tier", "back").cpu("1").memory("2Gi").with(|p| p.images = vec!["example/app-1:v1".into()]);
    let lone = || new().label("app", "none");
    let replica = || new().label("app", "app-1");
    let soft = WhenUnsatisfiable::ScheduleAnyway;
    let spread = replica().spread(5, topology::ZONE, WhenUnsatisfiable::DoNotSchedule, &app(1));
    vec![
        ("plain", Running::Plain, lone().build()),
        ("service", Running::Plain, replica().build()),
        ("taints", Running::Plain, lone().tolerates("dedicated").build()),
        (
            "node-affinity",
            Running::Plain,
            lone().with(|p| p.node_selector = [("disk", "ssd")].into_iter().collect()).build(),
        ),
        ("spread", Running::Plain, spread.spread(1, topology::HOSTNAME, soft, &app(1)).build()),
        ("anti-affinity", Running::Plain, apart(replica(), 1, 5).build()),
        ("preferred-affinity", Running::Plain, replica().prefers(10, &app(1), topology::ZONE).build()),
        ("plain-among-apart", Running::Apart, lone().build()),
        ("anti-affinity-among-apart", Running::Apart, apart(replica(), 1, 5).build()),
    ]
}

/// Filters all nodes and scores those that fit.
fn decide(profile: &Profile, pod: &Pod, snapshot: &Snapshot) -> Vec<i64> {
    let cycle = Cycle::prepare(profile, pod, snapshot);
    let candidates = cycle.fitting();
    cycle.rank(&cycle.scores(&candidates), candidates.len()).totals().to_vec()
}

fn decisions(criterion: &mut Criterion) {
    let profiles = [
        ("1.22", Policy::default().compile().expect("the default policy compiles")),
        ("1.34", Configuration::default().compile(None).expect("the default profile compiles")),
    ];
    for nodes in SIZES {
        for running in [Running::Plain, Running::Apart] {
            let snapshot = cluster(nodes, running);
            for (workload, _, pod) in workloads().iter().filter(|(_, among, _)| *among == running) {
                for (release, profile) in &profiles {
                    let mut group = criterion.benchmark_group(format!("decision/{release}"));
                    group.bench_function(BenchmarkId::new(*workload, nodes), |b| {
                        b.iter(|| black_box(decide(profile, pod, &snapshot)));
                    });
                }
            }
            change(criterion, &snapshot, running, nodes);
        }
    }
}

/// One bind, published: a copy of the snapshot in which one pod more is on a node.
fn change(criterion: &mut Criterion, snapshot: &Snapshot, running: Running, nodes: usize) {
    let bound = pod("new").label("app", "app-1").cpu("1").on("node-00007");
    let (name, bound) = match running {
        Running::Plain => ("bind", bound),
        Running::Apart => ("bind-among-apart", apart(bound, 1, 1)),
    };
    let bound = bound.build();
    criterion
        .bench_function(&format!("change/{name}/{nodes}"), |b| b.iter(|| black_box(snapshot.with_pod(bound.clone()))));
}

/// Every registered rule by itself, by the rules of 1.22.
fn rules(criterion: &mut Criterion) {
    let snapshot = cluster(SIZES[1], Running::Apart);
    let pod = apart(pod("new").label("app", "app-1").cpu("1").memory("2Gi"), 1, 5).build();
    let arguments = Arguments::defaults(Release::V1_22);
    for registration in predicates::ALL {
        let Build::Rule(build) = registration.build else { continue };
        let rule = build(&arguments);
        criterion.bench_function(&format!("predicate/{}", registration.identity.name), |b| {
            b.iter(|| match rule.prepare(&pod, &snapshot) {
                Demand::Check(check) | Demand::OnlyNodes(_, check) => {
                    let mut left = snapshot.all_seats();
                    left.sift(|block, asked| check.sift(block, asked));
                    left.len()
                }
                Demand::Nothing | Demand::Reject(_) => 0,
            });
        });
    }
    let candidates = snapshot.all_seats();
    for registration in priorities::ALL {
        let rule = testing::priority(registration.identity.name, &arguments);
        criterion.bench_function(&format!("priority/{}", registration.identity.name), |b| {
            b.iter(|| black_box(rule.score(&pod, &snapshot, &candidates)));
        });
    }
}

/// Resources alone, over arrays that hold nothing else.
fn floor(criterion: &mut Criterion) {
    for nodes in SIZES {
        let (offered, taken) = (vec![32_000_i64; nodes], (0..nodes as i64).map(|i| 6_000 + i % 7).collect::<Vec<_>>());
        criterion.bench_function(&format!("floor/{nodes}"), |b| {
            b.iter(|| {
                let pairs = || black_box(&offered).iter().zip(black_box(&taken));
                let fitting = pairs().enumerate().filter(|(_, (offered, taken))| **offered - **taken >= 1_000);
                let fitting: Vec<usize> = fitting.map(|(node, _)| node).collect();
                let score = |node: &usize| (offered[*node] - taken[*node] - 1_000) * 100 / offered[*node];
                black_box(fitting.iter().map(score).collect::<Vec<_>>())
            });
        });
    }
}

criterion_group!(benches, floor, decisions, rules);
criterion_main!(benches);
