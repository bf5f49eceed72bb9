//! Properties of placements.

use std::{collections::HashMap, sync::Arc};

use proptest::{collection::vec, prelude::*};

use super::{
    Candidate, Cluster, Division, NodeTemplate, Request, Room, Share, Spread, SpreadBy,
    count::{Options, Workload, count},
    estimate::{self, Assumed},
    place,
};
use crate::{
    batch::{Batch, Options as BatchOptions, Placement},
    model::{Pod, WhenUnsatisfiable},
    policy::{Policy, Profiles},
    testing::{cluster, node, pod},
};

fn candidate(name: &str, region: &str, free: i64) -> Candidate {
    let cluster = Cluster { region: Some(region.into()), ..Cluster::named(name) };
    Candidate { cluster: Arc::new(cluster), room: Room { on_existing: Some(free), ..Room::default() }, price: None }
}

fn shares(request: &Request, candidates: &[Candidate]) -> HashMap<String, i64> {
    let outcome = place(request, candidates);
    outcome.shares.into_iter().map(|Share { cluster, replicas }| (cluster.to_string(), replicas)).collect()
}

fn division() -> impl Strategy<Value = Division> {
    prop_oneof![
        Just(Division::Aggregated),
        Just(Division::Dynamic),
        Just(Division::Static(Vec::new())),
        Just(Division::Duplicated)
    ]
}

fn spread() -> impl Strategy<Value = Vec<Spread>> {
    let by = |by, min, max| Spread { by, min, max: Some(max), max_skew: None };
    prop_oneof![
        Just(Vec::new()),
        (1_usize..4, 0_usize..4).prop_map(move |(min, more)| vec![by(SpreadBy::Cluster, min, min + more)]),
        (1_usize..3, 0_usize..3, 1_usize..6).prop_map(move |(min, more, max)| vec![
            by(SpreadBy::Region, min, min + more),
            by(SpreadBy::Cluster, 1, max)
        ]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// The sums are right, no cluster gets more than it holds, and the order of the input has no meaning.
    #[test]
    fn placements_add_up_and_stay_within_the_room(
        free in vec((0_i64..20, 0_usize..3), 1..9), had in vec(0_i64..6, 0..9), replicas in 1_i64..40,
        division in division(), spread in spread(), fresh in any::<bool>(), partial in any::<bool>(), uid in "[a-z]{0,3}",
    ) {
        let name = |at: usize| format!("c{at}");
        let candidates: Vec<Candidate> =
            free.iter().enumerate().map(|(at, (free, region))| candidate(&name(at), &format!("r{region}"), *free)).collect();
        let previous: Vec<_> = had.iter().enumerate().filter(|(_, had)| **had > 0).map(|(at, had)| (name(at).into(), *had)).collect();
        let request = Request { uid: uid.as_str().into(), replicas, division, spread, fresh, partial, previous, ..Request::default() };
        let outcome = place(&request, &candidates);
        let sum: i64 = outcome.shares.iter().map(|share| share.replicas).sum();
        if request.division == Division::Duplicated {
            prop_assert!(outcome.shares.iter().all(|share| share.replicas == replicas));
        } else if outcome.reason.is_none() {
            prop_assert_eq!((sum, outcome.unplaced), (replicas, 0));
        } else if !outcome.shares.is_empty() {
            prop_assert!(partial && sum + outcome.unplaced == replicas, "{:?}", outcome);
        } else {
            prop_assert_eq!(outcome.unplaced, replicas);
        }
        if matches!(request.division, Division::Aggregated | Division::Dynamic) {
            for share in &outcome.shares {
                let of = candidates.iter().find(|of| of.cluster.name == share.cluster).expect("a candidate");
                let kept = request.previous_of(&share.cluster).unwrap_or(0);
                prop_assert!(share.replicas <= of.free(replicas) + kept, "{:?} of {:?}", share, of);
            }
        }
        let mut turned = candidates.clone();
        turned.reverse();
        prop_assert_eq!(place(&request, &turned), outcome);
    }

    /// Room is what `/schedule` places one by one, for any cluster; no replica that an answer promises has no node.
    #[test]
    fn room_is_what_is_placed_one_by_one(
        cpus in vec((1_i64..9, 0_i64..3), 0..7), running in vec((0_usize..7, 1_i64..4), 0..6), asked in 1_i64..5,
        kind in 0_u8..4, most in 1_usize..30, seed in 0_u64..3,
    ) {
        let profile = Arc::new(Policy::default().compile().expect("the default compiles"));
        let profiles = Profiles::from(profile.clone());
        let nodes = cpus.iter().enumerate().map(|(at, (cpu, zone))| {
            let name = format!("n{at}");
            node(&name).cpu(&cpu.to_string()).label("kubernetes.io/hostname", &name).label("zone", &format!("z{zone}")).into()
        });
        let pods = running.iter().enumerate().filter(|(_, (on, _))| *on < cpus.len()).map(|(at, (on, cpu))| {
            pod(&format!("r{at}")).cpu(&cpu.to_string()).label("app", "web").on(&format!("n{on}")).into()
        });
        let snapshot = cluster(nodes.chain(pods));
        let template = pod("web").cpu(&asked.to_string()).label("app", "web");
        let template = match kind {
            0 => template.build(),
            1 => template.spread(1, "zone", WhenUnsatisfiable::DoNotSchedule, "app=web").build(),
            2 => template.anti_affinity("app=web", "kubernetes.io/hostname").build(),
            _ => template.anti_affinity("app=web", "zone").build(),
        };
        let workload = Workload { pods: vec![(Arc::new(template.clone()), 1)] };
        let options = Options { most, seed, ..Options::default() };
        let counted = count(&workload, &snapshot, &profiles, &[], options);
        let mut batch = Batch::new(&*profile, snapshot, BatchOptions { seed, preempt: false, reuse: false });
        let mut brute = 0;
        while brute < most {
            let name: crate::model::Name = format!("brute-{brute}").into();
            let next = Arc::new(Pod { uid: name.clone(), name, ..template.clone() });
            match batch.place(&next) {
                Placement::Placed(_) => brute += 1,
                Placement::Unschedulable(_) => break,
            }
        }
        prop_assert_eq!(counted.copies.len(), brute);
        prop_assert_eq!(counted.room.on_existing, Some(brute as i64));
        prop_assert_eq!(counted.limited_by.is_some(), brute < most);
    }
}

#[test]
fn existing_room_is_used_before_nodes_are_added() {
    let mut grows = candidate("grows", "r", 0);
    grows.room.after_scale_up = 100;
    let clusters = [candidate("has-room", "r", 10), grows];
    let request = Request { replicas: 8, division: Division::Dynamic, ..Request::default() };
    assert_eq!(shares(&request, &clusters), [("has-room".to_owned(), 8)].into());
    // 10 on nodes that are there, 40 on new ones.
    let request = Request { replicas: 50, ..request };
    assert_eq!(shares(&request, &clusters), [("has-room".to_owned(), 10), ("grows".to_owned(), 40)].into());
}

#[test]
fn a_cluster_grows_by_as_few_nodes_as_are_needed() {
    let profiles = Profiles::from(Arc::new(Policy::default().compile().expect("the default compiles")));
    let template = |name: &str, cpu: &str, limit: u32, start: i64| NodeTemplate {
        name: name.into(),
        node: Arc::new(node(name).cpu(cpu).build()),
        limit,
        start,
        cost: None,
    };
    let templates = [template("small", "2", 3, 1), template("large", "4", 5, 9)];
    let workload = Workload { pods: vec![(Arc::new(pod("web").cpu("1").build()), 1)] };
    let snapshot = cluster([node("a").cpu("2").into()]);
    let options = Options { most: 9, scale_up: true, ..Options::default() };
    let counted = count(&workload, &snapshot, &profiles, &templates, options);
    // Two on the node that is there; of the small ones three would take 6, the large ones take the 7 with two nodes.
    assert_eq!((counted.room.on_existing, counted.room.after_scale_up), (Some(2), 7));
    let grown = counted.scale_up.expect("nodes are added");
    assert_eq!((&*grown.template.name, grown.nodes.len()), ("large", 2));
    let soon = Options { max_wait: Some(5), ..options };
    let counted = count(&workload, &snapshot, &profiles, &templates, soon);
    assert_eq!((counted.room.after_scale_up, counted.copies.len()), (6, 8));
    assert!(!counted.reasons.is_empty(), "it tells why the ninth fits nowhere");
}

#[test]
fn sets_of_pods_are_placed_as_a_whole() {
    let profiles = Profiles::from(Arc::new(Policy::default().compile().expect("the default compiles")));
    let part = |name: &str, cpu: &str| Arc::new(pod(name).cpu(cpu).build());
    let workload = Workload { pods: vec![(part("leader", "2"), 1), (part("worker", "1"), 2)] };
    let snapshot = cluster([node("a").cpu("4").into(), node("b").cpu("3").into()]);
    let counted = count(&workload, &snapshot, &profiles, &[], Options { most: 5, ..Options::default() });
    assert_eq!((counted.copies.len(), counted.copies[0].len()), (1, 3), "7 CPU hold one set of 4, not two");
}

#[test]
fn an_estimate_counts_sets_besides_assumed_pods() {
    let profiles = Profiles::from(Arc::new(Policy::default().compile().expect("the default compiles")));
    let part = |name: &str, cpu: &str| Arc::new(pod(name).cpu(cpu).build());
    let snapshot = cluster([node("a").cpu("4").into(), node("b").cpu("3").into()]);
    let sets = |pods: Vec<(Arc<Pod>, usize)>, assumed: &[Assumed], most| {
        estimate::sets(snapshot.clone(), &profiles, assumed, &Workload { pods }, most)
    };
    let set = || vec![(part("leader", "2"), 1), (part("worker", "500m"), 2)];
    assert_eq!(sets(set(), &[], 100), 2);
    assert_eq!(sets(set(), &[], 2), 1, "counting ends at so many pods");
    let assumed = [Assumed { pod: part("other", "3"), replicas: 1 }];
    assert_eq!(sets(set(), &assumed, 100), 1);
    assert_eq!(sets(vec![(part("web", "1"), 1)], &assumed, 100), 4);
    assert_eq!(sets(Vec::new(), &[], 100), 100);
}

#[test]
fn a_set_may_have_thousands_of_groups() {
    let clusters: Vec<Candidate> = (0..10_000).map(|i| candidate(&format!("c{i}"), &format!("r{i}"), 1)).collect();
    let by = |by, min| Spread { by, min, max: None, max_skew: None };
    let spread = vec![by(SpreadBy::Region, 9_999), by(SpreadBy::Cluster, 1)];
    let request = Request { replicas: 10, division: Division::Aggregated, spread, ..Request::default() };
    let outcome = place(&request, &clusters);
    assert_eq!((outcome.reason, outcome.selected.len() >= 9_999), (None, true));
}
