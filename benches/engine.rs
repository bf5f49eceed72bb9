//! One decision of the engine, each rule by itself, what comes over the wire, and policies. No HTTP, no store.
//!
//! `cargo bench --bench engine [FILTER]`. Names are `decision/<profile>/<workload>/<nodes>`, `predicate/<name>` and
//! `priority/<name>`, the latter two read off the registry, `parse/<what>` and `policy/<what>`. `floor/<nodes>` is what a
//! decision without any rule but resources costs over plain arrays: on a noisy machine compare with that, from the same run.
//! A decision whose nodes are not those that should fit ends the run.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use podberth::{
    core::{
        policy::{Configuration, Policy, Profile},
        predicates::{self, Build, Demand},
        priorities,
        rule::{Arguments, Release},
        snapshot::Snapshot,
    },
    wire::{
        decode,
        extender::{Args, KnownNodes, Reading},
        objects,
    },
};
use podberth_testkit as testing;
use podberth_testkit::{
    json::{self, Candidates},
    large::{PODS_PER_NODE, Running, Workload, bound, cluster, decide, node_name, workloads},
};

/// The largest is looked at last, and only for how things grow.
const SIZES: [usize; 3] = [500, 5_000, 50_000];
/// The cases measured there.
const GROWING: [&str; 2] = ["plain", "anti-affinity-among-apart"];
/// Nodes of a question.
const ASKED: usize = 5_000;

fn profiles() -> [(&'static str, Profile); 2] {
    [
        ("1.22", Policy::default().compile().expect("the default policy compiles")),
        ("1.34", Configuration::default().compile(None).expect("the default profile compiles")),
    ]
}

fn decisions(criterion: &mut Criterion) {
    let profiles = profiles();
    for nodes in SIZES {
        for running in [Running::Plain, Running::Apart] {
            let is_asked = |workload: &Workload| nodes < SIZES[2] || GROWING.contains(&workload.name);
            let snapshot = cluster(nodes, PODS_PER_NODE, running);
            for workload in workloads().into_iter().filter(|w| w.running == running && is_asked(w)) {
                for (release, profile) in &profiles {
                    let fitting = decide(profile, &workload.pod, &snapshot).len();
                    assert_eq!(fitting, (workload.fitting)(nodes), "{} over {nodes} nodes", workload.name);
                    let mut group = criterion.benchmark_group(format!("decision/{release}"));
                    group.bench_function(BenchmarkId::new(workload.name, nodes), |b| {
                        b.iter(|| black_box(decide(profile, &workload.pod, &snapshot)));
                    });
                }
            }
            change(criterion, &snapshot, running, nodes);
        }
    }
}

/// One bind, published: a copy of the snapshot in which one pod more is on a node.
fn change(criterion: &mut Criterion, snapshot: &Snapshot, running: Running, nodes: usize) {
    let name = if running == Running::Plain { "bind" } else { "bind-among-apart" };
    let bound = bound(running, 1);
    criterion
        .bench_function(&format!("change/{name}/{nodes}"), |b| b.iter(|| black_box(snapshot.with_pod(bound.clone()))));
}

/// Every registered rule by itself, by the rules of 1.22.
fn rules(criterion: &mut Criterion) {
    let snapshot = cluster(SIZES[1], PODS_PER_NODE, Running::Apart);
    let workload = workloads().into_iter().find(|w| w.name == GROWING[1]).expect("it is listed");
    let pod = &workload.pod;
    let arguments = Arguments::defaults(Release::V1_22);
    for registration in predicates::ALL {
        let Build::Rule(build) = registration.build else { continue };
        let rule = build(&arguments);
        criterion.bench_function(&format!("predicate/{}", registration.identity.name), |b| {
            b.iter(|| match rule.prepare(pod, &snapshot) {
                Demand::Check(check) | Demand::OnlyNodes(_, check) => {
                    let mut left = snapshot.node_set();
                    left.sift(|block, asked| check.sift(block, asked));
                    left.len()
                }
                Demand::Nothing | Demand::Reject(_) => 0,
            });
        });
    }
    let candidates = snapshot.node_set();
    for registration in priorities::ALL {
        let rule = testing::priority(registration.identity.name, &arguments);
        criterion.bench_function(&format!("priority/{}", registration.identity.name), |b| {
            b.iter(|| black_box(rule.score(pod, &snapshot, &candidates)));
        });
    }
}

/// A question with full nodes, of which some may have been sent before.
fn read<'a>(body: &'a str, known: &KnownNodes) -> Args<'a> {
    let reading = Reading { known, stored: &Snapshot::default(), images: true };
    Args::parse(body.as_bytes(), reading).expect("it can be read")
}

/// Parsing of requests and documents.
fn parsing(criterion: &mut Criterion) {
    let pod = json::running(1, ASKED, PODS_PER_NODE);
    let names: Vec<String> = (0..ASKED).map(node_name).collect();
    let questions = [
        ("names", json::question(&pod, &Candidates::Names(&names))),
        ("full-nodes", json::question(&pod, &Candidates::Full(&json::nodes(ASKED)))),
    ];
    let mut group = criterion.benchmark_group("parse");
    for (name, body) in &questions {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(BenchmarkId::new(*name, ASKED), |b| {
            b.iter(|| drop(black_box(read(body, &KnownNodes::default()))));
        });
    }
    let (full, known) = (&questions[1].1, KnownNodes::default());
    group.throughput(Throughput::Bytes(full.len() as u64));
    group.bench_function(BenchmarkId::new("known-nodes", ASKED), |b| {
        b.iter(|| drop(black_box(read(full, &known))));
    });
    group.throughput(Throughput::Bytes(pod.len() as u64));
    group.bench_function("pod", |b| {
        b.iter(|| {
            let read: objects::pod::Pod = decode::from_slice(pod.as_bytes()).expect("it can be read");
            black_box(read.to_core())
        });
    });
    group.finish();
}

/// Policies, made ready to decide by.
fn policies(criterion: &mut Criterion) {
    criterion.bench_function("policy/compile/1.22", |b| b.iter(|| black_box(Policy::default().compile()).is_ok()));
    criterion.bench_function("policy/compile/1.34", |b| {
        b.iter(|| black_box(Configuration::default().compile(None)).is_ok());
    });
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

criterion_group!(benches, floor, decisions, rules, parsing, policies);
criterion_main!(benches);
