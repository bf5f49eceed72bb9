//! Properties of decisions and snapshots that hold for any cluster, over random small ones.

mod batches;
mod blocks;
mod diffs;
mod stopping;

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use podberth::{
    core::{
        cycle::{self, Cycle, Decision, PredicateVerdict},
        model::{Effect, Image, Name, Node, Pod, Quantity, ResourceList, VolumeSource, WhenUnsatisfiable, topology},
        node_info::NodeInfo,
        policy::{ActivePredicate, Combination, Policy, Profile},
        predicates::{self, Standing},
        priorities::{self, MAX_NODE_SCORE},
        ranking::spread_over,
        snapshot::{Kind, Object, Snapshot},
    },
    wire::{
        explanation::{Explanation, PolicyUsed},
        policy,
    },
};
use podberth_testkit as testing;
use podberth_testkit::{PodBuilder, csi_node, namespace, pv, pvc, service, storage_class};
use proptest::{
    collection::vec,
    option::{of, weighted},
    prelude::*,
    sample::{Index, select},
};
use serde_json::{Value, json};

/// kube-scheduler's own defaults of both releases, one profile in which every registered rule takes part, and a decision
/// tree.
static PROFILES: LazyLock<[Profile; 4]> = LazyLock::new(profiles);

fn profiles() -> [Profile; 4] {
    let modern = policy::parse_configuration("{\"schedulerName\":\"default-scheduler\"}").expect("a profile");
    [
        Policy::default().compile().expect("the default policy compiles"),
        modern.compile(None).expect("the default profile compiles"),
        policy::parse_policy(&every_rule().to_string())
            .and_then(|p| p.compile())
            .expect("a policy of every rule compiles"),
        policy::parse_policy(&tree().to_string()).and_then(|p| p.compile()).expect("a decision tree compiles"),
    ]
}

/// Every predicate that a policy may name.
fn policy_predicates() -> impl Iterator<Item = &'static predicates::Registration> {
    predicates::ALL.iter().filter(|r| r.standing != Standing::ProfilesOnly)
}

/// A policy that names every predicate and priority there is.
fn every_rule() -> Value {
    let predicate = |name: &str| match name {
        "CheckNodeLabelPresence" => {
            json!({"name": "L", "argument": {"labelsPresence": {"labels": ["tier"], "presence": false}}})
        }
        "CheckServiceAffinity" => json!({"name": "S", "argument": {"serviceAffinity": {"labels": ["disk"]}}}),
        _ => json!({"name": name}),
    };
    let shape = json!([{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]);
    let ratio = json!({"shape": shape, "resources": [{"name": "cpu", "weight": 2}, {"name": "memory", "weight": 1}]});
    let priority = |name: &str| match name {
        "LabelPreference" => {
            json!({"name": "P", "weight": 2, "argument": {"labelPreference": {"label": "disk", "presence": true}}})
        }
        "ServiceAntiAffinityPriority" => {
            json!({"name": "A", "weight": 2, "argument": {"serviceAntiAffinity": {"label": "disk"}}})
        }
        "RequestedToCapacityRatioPriority" => {
            json!({"name": "R", "weight": 2, "argument": {"requestedToCapacityRatioArguments": ratio}})
        }
        _ => json!({"name": name, "weight": 2}),
    };
    json!({"kind": "Policy", "alwaysCheckAllPredicates": true,
        "predicates": policy_predicates().map(|r| predicate(r.identity.name)).collect::<Vec<_>>(),
        "priorities": priorities::ALL.iter().map(|r| priority(r.identity.name)).collect::<Vec<_>>()})
}

fn tree() -> Value {
    json!({"kind": "Policy",
    "priorities": [{"name": "Disk", "argument": {"labelPreference": {"label": "disk", "presence": true}}}],
    "scoring": {"strategy": "Lexicographic", "levels": [
        {"priority": "TaintTolerationPriority"},
        {"priority": "LeastRequestedPriority", "tolerance": 20},
        {"priority": "Disk"},
        {"priority": "SelectorSpreadPriority", "tolerance": 5},
    ]}})
}

/// Each image has one size: if nodes reported different ones, the first to come would count, and order would matter.
const IMAGES: [(&str, i64); 3] = [("web:1", 300 << 20), ("db:1", 900 << 20), ("tiny:1", 1 << 20)];
const ZONES: [&str; 3] = ["z1", "z2", "z3"];
const APPS: [&str; 3] = ["app=web", "app=db", ""];
const NAMES: usize = 6;

fn effect() -> impl Strategy<Value = Effect> {
    select(vec![Effect::NoSchedule, Effect::PreferNoSchedule, Effect::NoExecute])
}

fn domain() -> impl Strategy<Value = &'static str> {
    select(vec![topology::HOSTNAME, topology::ZONE, "disk"])
}

fn node_name() -> impl Strategy<Value = String> {
    (0..NAMES).prop_map(|i| format!("n{i}"))
}

fn node(name: String) -> impl Strategy<Value = Node> {
    let offers = (0_u32..8_000, 0_u32..16_384, 0_i64..6, of(0_u32..4));
    let labels = (of(select(&ZONES[..])), of(select(vec!["ssd", "hdd"])), weighted(0.1, Just("front")));
    let marks = (vec((select(vec!["k0", "k1"]), effect()), 0..2), weighted(0.1, Just(())), any::<[bool; 3]>());
    (offers, labels, marks).prop_map(
        move |((cpu, memory, pods, gpus), (zone, disk, tier), (taints, cordoned, images))| {
            let mut node = testing::node(&name).cpu(&format!("{cpu}m")).memory(&format!("{memory}Mi"));
            node = node.with(|n| n.allocatable.pods = pods);
            node = gpus.iter().fold(node, |n, gpus| n.offers("example.com/gpu", &gpus.to_string()));
            node = zone.iter().fold(node, |n, zone| n.zone(zone));
            node = disk.iter().fold(node, |n, disk| n.label("disk", disk));
            node = tier.iter().fold(node, |n, tier| n.label("tier", tier));
            node = taints.iter().fold(node, |n, (key, effect)| n.taint(key, "v", *effect));
            node = cordoned.iter().fold(node, |n, ()| n.unschedulable());
            let held = IMAGES.iter().zip(images).filter(|(_, held)| *held);
            let held: Vec<Image> =
                held.map(|((name, size), _)| Image { names: vec![(*name).into()], size: *size }).collect();
            node.with(|n| n.images = held).build()
        },
    )
}

fn source() -> impl Strategy<Value = VolumeSource> {
    let disk = || select(vec!["d1", "d2"]);
    prop_oneof![
        select(vec!["c0", "c1", "c2", "gone"])
            .prop_map(|c| VolumeSource::PersistentVolumeClaim { claim_name: c.into(), read_only: false }),
        (disk(), any::<bool>())
            .prop_map(|(d, read_only)| VolumeSource::GcePersistentDisk { pd_name: d.into(), read_only }),
        (disk(), any::<bool>())
            .prop_map(|(d, read_only)| VolumeSource::AwsElasticBlockStore { volume_id: d.into(), read_only }),
        disk().prop_map(|d| VolumeSource::Cinder { volume_id: d.into() }),
        Just(VolumeSource::Ephemeral),
    ]
}

/// A pod that is on the node it names, if any.
fn pod(name: String, on: impl Strategy<Value = Option<String>>) -> impl Strategy<Value = Pod> {
    let asks = (of(0_u32..4_000), of(0_u32..4_096), weighted(0.2, 0_u32..3), weighted(0.2, 80_u16..82));
    let rules = (
        weighted(0.2, (select(&APPS[..]), domain())),
        weighted(0.2, (select(&APPS[..]), domain())),
        weighted(0.3, (-100_i32..100, select(&APPS[..]), domain())),
        weighted(0.3, (1_i32..3, domain(), any::<bool>(), select(&APPS[..]))),
        weighted(0.3, select(vec!["k0", "k1", ""])),
        weighted(0.2, select(vec![("disk", "ssd"), ("disk", "none")])),
    );
    let rest = (
        weighted(0.3, select(&IMAGES[..])),
        vec(source(), 0..2),
        any::<bool>(),
        weighted(0.1, Just(())),
        of(-5_i32..5),
    );
    (on, select(vec!["web", "db", "none"]), asks, rules, rest).prop_map(move |(on, app, asks, rules, rest)| {
        let (cpu, memory, gpus, port) = asks;
        let (together, apart, wish, spread, tolerates, selects) = rules;
        let (image, volumes, owned, leaving, priority) = rest;
        let mut pod = testing::pod(&name).label("app", app);
        pod = on.iter().fold(pod, |p, node| p.on(node));
        pod = cpu.iter().fold(pod, |p, cpu| p.cpu(&format!("{cpu}m")));
        pod = memory.iter().fold(pod, |p, memory| p.memory(&format!("{memory}Mi")));
        pod = gpus.iter().fold(pod, |p, gpus| p.requests("example.com/gpu", &gpus.to_string()));
        pod = port.iter().fold(pod, |p, port| p.host_port(*port));
        pod = together.iter().fold(pod, |p, (labels, key)| p.affinity(labels, key));
        pod = apart.iter().fold(pod, |p, (labels, key)| p.anti_affinity(labels, key));
        pod = wish.iter().fold(pod, |p, (weight, labels, key)| p.prefers(*weight, labels, key));
        let when = |hard| if hard { WhenUnsatisfiable::DoNotSchedule } else { WhenUnsatisfiable::ScheduleAnyway };
        pod = spread.iter().fold(pod, |p, (skew, key, hard, labels)| p.spread(*skew, key, when(*hard), labels));
        pod = tolerates.iter().fold(pod, |p, key| p.tolerates(key));
        pod = volumes.into_iter().fold(pod, PodBuilder::mounts);
        pod = if owned { pod.owned_by("apps/v1", "ReplicaSet", "web") } else { pod };
        pod = leaving.iter().fold(pod, |p, ()| p.terminating());
        pod.with(|p| {
            p.spec_mut().priority = priority;
            p.spec_mut().images = image.iter().map(|(name, _)| Name::from(*name)).collect();
            p.spec_mut().node_selector = selects.into_iter().collect();
        })
        .build()
    })
}

/// Objects of a cluster other than nodes and pods.
fn others() -> Vec<Object> {
    vec![
        namespace("default", "team", "a"),
        service("web", "app=web"),
        testing::workload(podberth::core::model::WorkloadKind::ReplicaSet, "web", "app=web"),
        pv("v0").reached_by(topology::ZONE, "z1").into(),
        pv("v1").label(topology::ZONE, "z2").into(),
        pvc("c0").bound_to("v0").into(),
        pvc("c1").class("wait").into(),
        pvc("c2").into(),
        storage_class("wait").into(),
        csi_node("n0").driver("csi.example.com", 1).into(),
    ]
}

fn nodes() -> impl Strategy<Value = Vec<Object>> {
    let each = |i: usize| node(format!("n{i}")).prop_map(Object::Node).boxed();
    (0..=NAMES).prop_flat_map(move |count| (0..count).map(each).collect::<Vec<_>>())
}

fn pods() -> impl Strategy<Value = Vec<Object>> {
    let each = |i: usize| pod(format!("p{i}"), of(node_name())).prop_map(|pod| Object::Pod(Box::new(pod))).boxed();
    (0_usize..10).prop_flat_map(move |count| (0..count).map(each).collect::<Vec<_>>())
}

/// All objects of a cluster, of distinct names.
fn objects() -> impl Strategy<Value = Vec<Object>> {
    let rest = proptest::sample::subsequence(others(), 0..=others().len());
    (nodes(), pods(), rest).prop_map(|(nodes, pods, rest)| [nodes, pods, rest].concat())
}

/// A pod to be placed; sometimes it names a node, or exists already.
fn incoming() -> impl Strategy<Value = Pod> {
    select(vec!["new", "p0"]).prop_flat_map(|name| pod(name.into(), weighted(0.1, node_name())))
}

fn fits(decision: &Decision<'_>) -> Vec<Name> {
    decision.nodes.iter().filter(|n| n.fits()).map(|n| n.node.name().clone()).collect()
}

/// All parts of a decision, as text.
fn rendered(pod: &Pod, decision: &Decision<'_>) -> String {
    let used = PolicyUsed::default();
    format!("{:#?}", Explanation::new(pod, decision, used, 0, 0))
}

/// The cluster in which one of its nodes is changed.
fn with_changed_node(objects: &[Object], at: Index, change: impl FnOnce(&mut Node)) -> Option<(Name, Snapshot)> {
    let mut snapshot: Snapshot = objects.iter().cloned().collect();
    let names: Vec<Name> = snapshot.nodes().map(|n| n.name().clone()).collect();
    let name = names.get(at.index(names.len().max(1)))?;
    let mut node = Node::clone(&snapshot.node(name)?.node);
    change(&mut node);
    snapshot.apply(Object::Node(node));
    Some((name.clone(), snapshot))
}

fn key(object: &Object) -> (Kind, Name, Name) {
    match object {
        Object::Node(o) => (Kind::Node, "".into(), o.name.clone()),
        Object::Pod(o) => (Kind::Pod, o.namespace.clone(), o.name.clone()),
        Object::Namespace(o) => (Kind::Namespace, "".into(), o.name.clone()),
        Object::Workload(o) => (Kind::Workload(o.kind), o.namespace.clone(), o.name.clone()),
        Object::PersistentVolume(o) => (Kind::PersistentVolume, "".into(), o.name.clone()),
        Object::PersistentVolumeClaim(o) => (Kind::PersistentVolumeClaim, o.namespace.clone(), o.name.clone()),
        Object::StorageClass(o) => (Kind::StorageClass, "".into(), o.name.clone()),
        Object::CsiNode(o) => (Kind::CsiNode, "".into(), o.name.clone()),
        Object::CsiDriver(o) => (Kind::CsiDriver, "".into(), o.name.clone()),
        Object::CsiStorageCapacity(o) => (Kind::CsiStorageCapacity, o.namespace.clone(), o.name.clone()),
        Object::VolumeAttachment(o) => (Kind::VolumeAttachment, "".into(), o.name.clone()),
        Object::PodDisruptionBudget(o) => (Kind::PodDisruptionBudget, o.namespace.clone(), o.name.clone()),
        Object::PriorityClass(o) => (Kind::PriorityClass, "".into(), o.name.clone()),
        Object::RuntimeClass(o) => (Kind::RuntimeClass, "".into(), o.name.clone()),
        Object::DeviceClass(o) => (Kind::DeviceClass, "".into(), o.name.clone()),
        Object::ResourceClaim(o) => (Kind::ResourceClaim, o.namespace.clone(), o.name.clone()),
        Object::ResourceSlice(o) => (Kind::ResourceSlice, "".into(), o.name.clone()),
        Object::NodeGroup(o) => (Kind::NodeGroup, "".into(), o.name.clone()),
    }
}

/// An object of any kind, whose name others have too.
fn any_object() -> impl Strategy<Value = Object> {
    prop_oneof![
        3 => node_name().prop_flat_map(node).prop_map(Object::Node),
        5 => (0_u8..6).prop_flat_map(|i| pod(format!("p{i}"), of(node_name()))).prop_map(|pod| Object::Pod(Box::new(pod))),
        1 => select(others()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn more_capacity_never_turns_a_fit_into_a_misfit(
        objects in objects(), pod in incoming(), at in any::<Index>(), more in (0_i64..4_000, 0_i64..1 << 32, 0_i64..3),
    ) {
        let before: Snapshot = objects.iter().cloned().collect();
        let grown = with_changed_node(&objects, at, |node| {
            node.allocatable.milli_cpu += more.0;
            node.allocatable.memory += more.1;
            node.allocatable.pods += more.2;
        });
        if let Some((_, after)) = grown {
            for profile in &*PROFILES {
                let after = fits(&cycle::decide(profile, &pod, &after, 0));
                let lost = fits(&cycle::decide(profile, &pod, &before, 0)).into_iter().find(|name| !after.contains(name));
                prop_assert_eq!(lost, None);
            }
        }
    }

    #[test]
    fn a_taint_that_is_not_tolerated_never_adds_a_fit(
        objects in objects(), pod in incoming(), at in any::<Index>(), effect in effect(),
    ) {
        let untolerated = pod.spec.tolerations.iter().all(|toleration| !toleration.key.is_empty());
        let before: Snapshot = objects.iter().cloned().collect();
        let taint = podberth::core::model::Taint { key: "new".into(), value: "".into(), effect, added: None };
        if let Some((name, after)) = with_changed_node(&objects, at, |node| node.taints.push(taint)).filter(|_| untolerated) {
            for profile in &*PROFILES {
                let before = fits(&cycle::decide(profile, &pod, &before, 0));
                let after = fits(&cycle::decide(profile, &pod, &after, 0));
                prop_assert!(after.iter().all(|name| before.contains(name)), "{before:?} became {after:?}");
                prop_assert!(effect == Effect::PreferNoSchedule || !after.contains(&name));
            }
        }
    }

    #[test]
    fn order_of_arrival_never_changes_a_decision(
        (objects, shuffled) in objects().prop_flat_map(|o| (Just(o.clone()), Just(o).prop_shuffle())), pod in incoming(),
    ) {
        let (one, other): (Snapshot, Snapshot) = (objects.into_iter().collect(), shuffled.into_iter().collect());
        prop_assert_eq!(&one, &other);
        for profile in &*PROFILES {
            let (one, other) = (cycle::decide(profile, &pod, &one, 3), cycle::decide(profile, &pod, &other, 3));
            prop_assert_eq!(rendered(&pod, &one), rendered(&pod, &other));
        }
    }

    #[test]
    fn nodes_parted_together_are_judged_as_one_by_one(objects in objects(), pod in incoming()) {
        let snapshot: Snapshot = objects.into_iter().collect();
        for profile in &*PROFILES {
            let cycle = Cycle::prepare(profile, &pod, &snapshot);
            let say = |failure: PredicateVerdict<'_>| format!("{} {:?}", failure.predicate.plugin, failure.verdict);
            let mut together = BTreeMap::new();
            let fitting = cycle.parted(&snapshot.node_set(), |node, failure| {
                let before = together.insert(node.name().clone(), say(failure));
                assert!(before.is_none(), "each node once");
            });
            let alone = |node: &Arc<NodeInfo>| Some((node.name().clone(), say(cycle.first_failure(node)?)));
            prop_assert_eq!(fitting.len() + together.len(), snapshot.node_count());
            prop_assert_eq!(together, snapshot.nodes().filter_map(alone).collect::<BTreeMap<_, _>>());
        }
    }

    #[test]
    fn scores_stay_in_their_range_and_rank_the_nodes_that_fit(objects in objects(), pod in incoming()) {
        let snapshot: Snapshot = objects.into_iter().collect();
        for profile in &*PROFILES {
            let decision = cycle::decide(profile, &pod, &snapshot, 0);
            for node in &decision.nodes {
                for (priority, score) in &node.scores {
                    prop_assert!((0..=MAX_NODE_SCORE).contains(score), "{} scores {score}", priority.name);
                }
                prop_assert_eq!(node.rank.is_some(), node.fits());
                prop_assert_eq!(node.rank == Some(1), decision.selected.as_ref() == Some(node.node.name()));
                let total: i64 = node.scores.iter().map(|(priority, score)| priority.weight * score).sum();
                prop_assert!(profile.combination == Combination::Lexicographic || node.total == total);
                let lost = node.lost_at.map(|level| level.number);
                prop_assert!(lost.is_none_or(|level| (1..=profile.priorities.len()).contains(&level)));
            }
            let mut ranked: Vec<_> = decision.nodes.iter().filter(|n| n.fits()).collect();
            ranked.sort_by_key(|n| n.rank);
            prop_assert!(ranked.windows(2).all(|pair| pair[0].total >= pair[1].total));
            let next_best = ranked.get(1).and_then(|n| n.lost_at).map(|level| level.number);
            prop_assert_eq!(decision.decided_by.map(|level| level.number), next_best);
            if profile.combination == Combination::WeightedSum {
                prop_assert!(ranked.iter().all(|n| n.lost_at.is_none()));
            }
        }
    }

    #[test]
    fn a_snapshot_built_step_by_step_equals_one_built_at_once(steps in vec((any_object(), weighted(0.75, Just(()))), 0..40)) {
        let (mut snapshot, mut left) = (Snapshot::default(), BTreeMap::new());
        for (object, keep) in steps {
            let key = key(&object);
            if keep.is_some() {
                left.insert(key, object.clone());
                snapshot.apply(object);
            } else {
                snapshot.delete(key.0, &key.1, &key.2);
                left.remove(&key);
            }
        }
        prop_assert_eq!(snapshot, left.into_values().collect::<Snapshot>());
    }

    #[test]
    fn amounts_beyond_reason_never_panic(
        objects in objects(), pod in incoming(), at in any::<Index>(), offered in any::<[i64; 4]>(),
        asked in select(vec!["9223372036854775807", "-9223372036854775807", "99999999E", "1n"]), running in any::<bool>(),
    ) {
        let Some((name, mut snapshot)) = with_changed_node(&objects, at, |node| {
            let [milli_cpu, memory, pods, gpus] = offered;
            node.allocatable.milli_cpu = milli_cpu;
            node.allocatable.memory = memory;
            node.allocatable.pods = pods;
            node.allocatable.scalar.insert("example.com/gpu".into(), gpus);
        }) else { return Ok(()) };
        let asked: Quantity = asked.parse().expect("a quantity");
        let greedy: ResourceList = ["cpu", "memory", "example.com/gpu"].map(|name| (Name::from(name), asked)).into();
        let asks = |pod: &mut Pod| pod.set_requests(podberth::core::model::PodRequests { pod_level: greedy.clone(), ..Default::default() });
        for i in 0..if running { 3 } else { 0 } {
            snapshot = snapshot.with_pod(testing::pod(&format!("greedy{i}")).on(&name).with(asks).build());
        }
        let mut greedy_too = pod.clone();
        asks(&mut greedy_too);
        for profile in &*PROFILES {
            for pod in [&pod, &greedy_too] {
                let decision = cycle::decide(profile, pod, &snapshot, 0);
                let totals: Vec<i64> = decision.nodes.iter().map(|n| n.total).collect();
                spread_over(&totals, profile.extender_max_score);
            }
        }
    }

    #[test]
    fn spreading_totals_keeps_their_order(totals in vec(any::<i64>(), 1..20), max in 1_i64..=1_000) {
        let spread = spread_over(&totals, max);
        prop_assert_eq!(spread.len(), totals.len());
        prop_assert!(spread.iter().all(|score| (0..=max).contains(score)));
        for (a, b) in totals.iter().zip(&spread) {
            for (c, d) in totals.iter().zip(&spread) {
                prop_assert!(a > c || b <= d, "{a} ≤ {c} became {b} > {d}");
            }
        }
        let best = totals.iter().zip(&spread).max().map(|(_, score)| *score);
        prop_assert_eq!(best, Some(max));
    }
}

#[test]
fn one_profile_has_every_rule() {
    let profile = &PROFILES[2];
    let predicates: Vec<&str> = profile.predicates.iter().map(|p: &ActivePredicate| p.plugin).collect();
    let priorities: Vec<&str> = profile.priorities.iter().map(|p| p.plugin).collect();
    for plugin in policy_predicates().map(|r| r.identity.plugin) {
        assert!(predicates.contains(&plugin), "{plugin}");
    }
    for plugin in priorities::ALL.iter().filter(|r| r.identity.name != "EqualPriority").map(|r| r.identity.plugin) {
        assert!(priorities.contains(&plugin), "{plugin}");
    }
}
