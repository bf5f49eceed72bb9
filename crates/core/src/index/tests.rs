//! The index equals a fresh count after any stream of changes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, option::of, prelude::*, sample::select};

use super::{Group, Groups, Services};
use crate::testing::{node, pod, service};
use crate::{
    block::NodeRef,
    index::{ImageState, Stance},
    model::{
        Effect, Held, Image, Labels, Name, Operator, Pod, PodAffinityTerm, Requirement, Resources, Selector, Workload,
        WorkloadKind, topology,
    },
    rule::Release,
    snapshot::{Kind, Object, Snapshot},
};

const KEYS: [&str; 3] = [topology::HOSTNAME, topology::ZONE, "disk"];
const APPS: [&str; 3] = ["web", "db", "none"];
const SPACES: [&str; 2] = ["default", "shop"];

fn node_name() -> impl Strategy<Value = String> {
    (0..5_u8).prop_map(|i| format!("n{i}"))
}

fn any_node() -> impl Strategy<Value = Object> {
    let labels = (of(select(vec!["z1", "z2", ""])), of(select(vec!["ssd", "hdd"])), any::<[bool; 2]>());
    let marks = (vec(select(vec!["k0", "k1"]), 0..3), any::<bool>());
    (node_name(), labels, marks).prop_map(|(name, (zone, disk, images), (taints, cordoned))| {
        let mut built = zone.iter().fold(node(&name), |n, zone| n.zone(zone));
        built = disk.iter().fold(built, |n, disk| n.label("disk", disk));
        built = taints.iter().fold(built, |n, key| n.taint(key, "", Effect::NoSchedule));
        let held = images.iter().enumerate().filter(|(_, held)| **held).map(|(i, _)| format!("image:{i}").into());
        let held = Image { names: held.collect(), size: 1 };
        built.with(|n| (n.images, n.unschedulable) = (vec![held], cordoned)).into()
    })
}

fn any_pod() -> impl Strategy<Value = Pod> {
    let who = ((0..8_u8), select(&SPACES[..]), select(&APPS[..]), of(node_name()), any::<[bool; 2]>());
    let rule = || of((select(vec!["app=web", "app=db", ""]), select(&KEYS[..])));
    let wish = of((-2_i32..3, select(vec!["app=web", ""]), select(&KEYS[..])));
    let size = (of(0..3_u8), of(0..3_u8));
    (who, rule(), rule(), wish, any::<bool>(), size).prop_map(|(who, together, apart, wish, anywhere, size)| {
        let (number, namespace, app, on, [terminating, terminal]) = who;
        let mut built = pod(&format!("p{number}")).namespace(namespace).label("app", app);
        built = size.0.iter().fold(built, |p, cpu| p.cpu(&cpu.to_string()));
        built = size.1.iter().fold(built, |p, cpu| p.resized(&[("cpu", &cpu.to_string()), ("example.com/foo", "1")]));
        built = on.iter().fold(built, |p, node| p.on(node));
        built = together.iter().fold(built, |p, (labels, key)| p.affinity(labels, key));
        built = apart.iter().fold(built, |p, (labels, key)| p.anti_affinity(labels, key));
        built = wish.iter().fold(built, |p, (weight, labels, key)| p.prefers(*weight, labels, key));
        let widen = |term: &mut PodAffinityTerm| term.namespace_selector = anywhere.then(Selector::default);
        built
            .with(|p| {
                p.terminating = terminating;
                p.terminal = terminal;
                p.spec_mut().affinity.anti_required.iter_mut().for_each(widen);
            })
            .build()
    })
}

/// One change: an object to put, or one to take out.
fn change() -> impl Strategy<Value = (Object, bool)> {
    let object = prop_oneof![any_node(), any_pod().prop_map(|pod| Object::Pod(Box::new(pod)))];
    (object, proptest::bool::weighted(0.7))
}

fn replay(changes: Vec<(Object, bool)>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (object, put) in changes {
        match (object, put) {
            (object, true) => snapshot.apply(object),
            (Object::Node(node), false) => snapshot.delete(Kind::Node, &"".into(), &node.name),
            (Object::Pod(pod), false) => snapshot.delete(Kind::Pod, &pod.namespace, &pod.name),
            _ => {}
        }
    }
    snapshot
}

/// The pods that hold something.
fn running(snapshot: &Snapshot) -> impl Iterator<Item = &Pod> {
    snapshot.pods().map(|pod| &**pod).filter(|pod| pod.is_assigned() && !pod.terminal)
}

/// Numbers by node; those of unknown nodes are summed under the empty name.
type ByNode = BTreeMap<Name, i64>;

fn by_node(snapshot: &Snapshot, counts: &super::Counts) -> ByNode {
    let names: BTreeMap<_, _> =
        snapshot.node_refs().map(|node_ref| (node_ref.slot(), node_ref.name().clone())).collect();
    let mut found = ByNode::new();
    for (slot, count) in counts.iter() {
        *found.entry(names.get(&slot).cloned().unwrap_or_else(|| "".into())).or_default() += count;
    }
    found
}

fn home(snapshot: &Snapshot, pod: &Pod) -> Name {
    snapshot.node(&pod.node_name).map_or_else(|| "".into(), |node| node.name().clone())
}

/// The terms of a pod with their stances.
fn terms(pod: &Pod) -> Vec<(Stance, PodAffinityTerm)> {
    let affinity = &pod.spec.affinity;
    let mut all: Vec<_> = affinity.anti_required.iter().map(|t| (Stance::Repels, t.clone())).collect();
    all.extend(affinity.pod_required.iter().map(|t| (Stance::Requires, t.clone())));
    all.extend(affinity.pod_preferred.iter().map(|t| (Stance::Prefers(t.weight), t.term.clone())));
    all.extend(affinity.anti_preferred.iter().map(|t| (Stance::Prefers(-t.weight), t.term.clone())));
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equal_pods_are_counted_per_node(changes in vec(change(), 0..60)) {
        let snapshot = replay(changes);
        let mut expected: BTreeMap<(Name, Labels, bool), ByNode> = BTreeMap::new();
        for pod in running(&snapshot) {
            let group = (pod.namespace.clone(), pod.labels.clone(), pod.terminating);
            *expected.entry(group).or_default().entry(home(&snapshot, pod)).or_default() += 1;
        }
        let told = |(group, counts): (&Group, _)| {
            ((group.namespace.clone(), group.labels.clone(), group.terminating), by_node(&snapshot, counts))
        };
        let (groups, everything) = (&snapshot.index().groups, Selector::default());
        let all: Vec<&Group> = groups.selected(None, &everything).map(|(group, _)| group).collect();
        prop_assert_eq!(groups.selected(None, &Selector::default()).map(told).collect::<BTreeMap<_, _>>(), expected);
        let selectors = ["web", "db"].map(|app| Selector::from_map([("app", app)])).into_iter().chain([
            Selector::default(),
            Selector(vec![Requirement { key: "app".into(), operator: Operator::NotIn(vec!["web".into()]) }]),
        ]);
        for selector in selectors {
            for namespace in SPACES.map(|name| Some(Name::from(name))).into_iter().chain([None]) {
                let told: Vec<_> = groups.selected(namespace.as_ref(), &selector).map(|(group, _)| group).collect();
                let means = |group: &&Group| {
                    namespace.as_ref().is_none_or(|name| group.namespace == *name) && selector.matches(&group.labels)
                };
                prop_assert_eq!(told, all.iter().copied().filter(means).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn every_term_that_matches_a_pod_is_visited_with_its_owners(changes in vec(change(), 0..60), incoming in any_pod()) {
        let snapshot = replay(changes);
        for repelling in [true, false] {
            let mut expected: BTreeMap<(Stance, PodAffinityTerm), ByNode> = BTreeMap::new();
            for pod in running(&snapshot) {
                let means = |(stance, term): &(Stance, PodAffinityTerm)| {
                    (*stance == Stance::Repels) == repelling && term.matches(&incoming, &Labels::default())
                };
                for term in terms(pod).into_iter().filter(means) {
                    *expected.entry(term).or_default().entry(home(&snapshot, pod)).or_default() += 1;
                }
            }
            let mut told = BTreeMap::new();
            snapshot.index().terms.meaning(&incoming, &Labels::default(), repelling, |stance, term, counts| {
                let before = told.insert((stance, PodAffinityTerm::clone(term)), by_node(&snapshot, counts));
                assert!(before.is_none(), "each term once");
            });
            prop_assert_eq!(told, expected);
        }
    }

    #[test]
    fn nodes_are_in_the_domains_that_their_labels_say(changes in vec(change(), 0..60)) {
        let snapshot = replay(changes);
        let node_set: Vec<_> = snapshot.node_refs().collect();
        for key in KEYS {
            let domains = snapshot.index().topology.domains(key);
            for a in &node_set {
                let value = a.labels().get(key);
                prop_assert_eq!(domains.of(a.slot()).is_some(), value.is_some());
                prop_assert!(domains.of_value(a.slot()) < domains.bound());
                for b in &node_set {
                    let alike = value.map_or("", |v| v) == b.labels().get(key).map_or("", |v| v);
                    prop_assert_eq!(domains.of_value(a.slot()) == domains.of_value(b.slot()), alike);
                }
            }
            let starts_with_z = |value: Option<&str>| value.is_none_or(|v| v.starts_with('z'));
            let test = snapshot.index().topology.test(key, starts_with_z);
            for node_ref in &node_set {
                let expected = node_ref.labels().get(key).is_none_or(|v| v.starts_with('z'));
                prop_assert_eq!(test.of(node_ref.slot()), expected);
            }
        }
        let tainted = snapshot.index().topology.by_taints(<[_]>::len, 0);
        for node_ref in &node_set {
            prop_assert_eq!(tainted.of(node_ref.slot()), node_ref.node.taints.len());
        }
        let zones = snapshot.index().topology.zones();
        for a in &node_set {
            for b in &node_set {
                let alike = topology::zone_key(a.labels()) == topology::zone_key(b.labels());
                prop_assert_eq!(zones.of(a.slot()) == zones.of(b.slot()), alike);
            }
        }
    }

    #[test]
    fn images_and_blocks_are_up_to_date_and_numbers_are_not_shared(changes in vec(change(), 0..60)) {
        let snapshot = replay(changes);
        for image in ["image:0", "image:1"].map(Name::from) {
            let holders = snapshot.node_refs().filter(|s| s.node.images.iter().any(|i| i.names.contains(&image)));
            let expected: BTreeSet<_> = holders.map(NodeRef::slot).collect();
            let state = snapshot.image(&image);
            let holds = |node_ref: &NodeRef<'_>| {
                let (block, at) = node_ref.place();
                state.is_some_and(|state| state.holders(block.number()) >> at & 1 == 1)
            };
            let told: BTreeSet<_> = snapshot.node_refs().filter(holds).map(NodeRef::slot).collect();
            prop_assert_eq!(state.map_or(0, ImageState::nodes), told.len());
            prop_assert_eq!(expected, told);
        }
        for node_ref in snapshot.node_refs() {
            let ((block, at), info) = (node_ref.place(), node_ref.info());
            let offered = &info.node.allocatable;
            for release in [Release::V1_22, Release::V1_34] {
                let (requested, non_zero) = (info.held(release), info.non_zero_held(release));
                let counted = block.counted(release);
                let said = [&counted.cpu, &counted.memory, &counted.ephemeral_storage];
                let said = said.map(|a| (a.offered[at], a.requested[at], a.free[at]));
                let amounts = |offered: i64, requested: i64| (offered, requested, offered - requested);
                prop_assert_eq!(said, [
                    amounts(offered.milli_cpu, requested.milli_cpu),
                    amounts(offered.memory, requested.memory),
                    amounts(offered.ephemeral_storage, requested.ephemeral_storage),
                ]);
                let said = (counted.non_zero_cpu[at], counted.non_zero_memory[at]);
                prop_assert_eq!(said, (non_zero.milli_cpu, non_zero.memory));
                let pods = |held: fn(&Held) -> &Resources, asked: fn(&Pod) -> &Resources| {
                    info.pods.iter().fold(Resources::default(), |mut sum, pod| {
                        sum.add(pod.held.as_deref().filter(|_| release == Release::V1_34).map_or(asked(pod), held));
                        sum
                    })
                };
                prop_assert_eq!(&*requested, &pods(|held| &held.requests, |pod| &pod.spec.requests));
                prop_assert_eq!(&*non_zero, &pods(|held| &held.non_zero_requests, |pod| &pod.spec.non_zero_requests));
            }
            prop_assert_eq!(block.free_places[at], offered.pods - info.pods.len() as i64);
            let marks = [block.known(), block.unschedulable, block.with_ports].map(|mask| mask >> at & 1 == 1);
            prop_assert_eq!(marks, [true, info.node.unschedulable, !info.used_ports.is_empty()]);
            prop_assert!((node_ref.slot() as usize) < snapshot.index().slots());
            prop_assert_eq!(snapshot.node_ref(node_ref.name()).map(NodeRef::slot), Some(node_ref.slot()));
        }
        let all = snapshot.node_set();
        prop_assert_eq!(all.len(), snapshot.node_count());
        let positions: Vec<_> = all.iter().map(|node_ref| all.position(node_ref)).collect();
        prop_assert_eq!(positions, (0..all.len()).map(Some).collect::<Vec<_>>());
        let names: Vec<_> = snapshot.node_refs().map(NodeRef::name).collect();
        prop_assert!(names.is_sorted());
        let slots: BTreeSet<_> = snapshot.node_refs().map(NodeRef::slot).collect();
        prop_assert_eq!(slots.len(), snapshot.node_count());
    }

    #[test]
    fn services_are_found_by_the_pods_that_they_select(
        changes in vec((0..5_u8, select(&SPACES[..]), of(select(vec!["app=web", "app=db,tier=a", ""])), any::<bool>()), 0..40),
        incoming in any_pod(),
        tier in any::<bool>(),
    ) {
        let (mut snapshot, mut expected) = (Snapshot::default(), BTreeMap::new());
        for (number, namespace, selector, put) in changes {
            let built = service(&format!("s{number}"), selector.unwrap_or_default());
            let Object::Workload(mut service) = built else { unreachable!("a service is a workload") };
            service.namespace = namespace.into();
            service.selector = service.selector.filter(|_| selector.is_some());
            let key = (service.namespace.clone(), service.name.clone());
            if put {
                expected.insert(key, service.clone());
                snapshot.apply(Object::Workload(service));
            } else {
                expected.remove(&key);
                snapshot.delete(Kind::Workload(WorkloadKind::Service), &key.0, &key.1);
            }
        }
        let labels = incoming.labels.iter().cloned().chain(tier.then(|| ("tier".into(), "a".into()))).collect();
        let incoming = Pod { labels, ..incoming };
        let selects = |service: &&Workload| {
            service.namespace == incoming.namespace
                && service.selector.as_ref().is_some_and(|selector| selector.matches(&incoming.labels))
        };
        let told: Vec<_> = snapshot.index().services.selecting(&incoming).into_iter().map(|found| &**found).collect();
        prop_assert_eq!(told, expected.values().filter(selects).collect::<Vec<_>>());
        for (namespace, name) in expected.keys() {
            snapshot.delete(Kind::Workload(WorkloadKind::Service), namespace, name);
        }
        prop_assert_eq!(&snapshot.index().services, &Services::default());
    }

    #[test]
    fn removed_pods_leave_no_trace_in_the_index(changes in vec(change(), 0..60)) {
        let mut snapshot = replay(changes);
        let nodes: Vec<Name> = snapshot.nodes().map(|node| node.name().clone()).collect();
        let pods: Vec<(Name, Name)> = snapshot.pods().map(|pod| (pod.namespace.clone(), pod.name.clone())).collect();
        for name in &nodes {
            snapshot.delete(Kind::Node, &"".into(), name);
        }
        for (namespace, name) in &pods {
            snapshot.delete(Kind::Pod, namespace, name);
        }
        prop_assert_eq!(&snapshot, &Snapshot::default());
        let index = snapshot.index();
        prop_assert_eq!(&index.groups, &Groups::default());
        prop_assert!(index.images.get("image:0").is_none());
    }
}
