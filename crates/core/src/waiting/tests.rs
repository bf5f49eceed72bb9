//! Rules of the queue, and properties that hold for all sequences of calls.

use proptest::prelude::*;

use super::*;
use crate::{
    cycle::decide,
    model::{Effect, Labels, Node, Pod, WhenUnsatisfiable},
    policy::{Configuration, Policy, Profile},
    snapshot::{Object, Snapshot},
    testing::{cluster, node, pod},
};

fn key(name: &str) -> PodKey {
    ("shop".into(), name.into())
}

fn pending(priority: i32) -> Pending {
    Pending { uid: "u".into(), priority, is_gated: false }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn names(keys: &[PodKey]) -> Vec<&str> {
    keys.iter().map(|(_, name)| &**name).collect()
}

#[test]
fn pods_come_by_priority_and_then_by_age() {
    let mut queue = Queue::default();
    for (name, priority) in [("a", 0), ("b", 10), ("c", 0), ("d", 10)] {
        queue.put(&key(name), pending(priority));
    }
    assert_eq!(names(&queue.take(at(0), 3)), ["b", "d", "a"]);
    assert_eq!(names(&queue.take(at(0), 3)), ["c"]);
    assert!(queue.take(at(0), 3).is_empty());
}

#[test]
fn an_unschedulable_pod_sleeps_until_a_change_that_may_cure_it() {
    let mut queue = Queue::default();
    queue.put(&key("a"), pending(0));
    queue.take(at(0), 1);
    queue.unschedulable(&key("a"), Changes::NODE_ROOM, at(0));
    queue.changed(Changes::NODE_LABELS);
    assert!(queue.take(at(100), 1).is_empty());
    assert_eq!(queue.next(), Some(LONGEST_SLEEP));
    queue.changed(Changes::NODE_ROOM | Changes::NODE_LABELS);
    assert_eq!(names(&queue.take(at(100), 1)), ["a"]);
    queue.unschedulable(&key("a"), Changes::NODE_ROOM, at(100));
    assert_eq!(names(&queue.take(at(100) + LONGEST_SLEEP, 1)), ["a"], "in the end it is tried anyway");
}

#[test]
fn a_change_during_the_decision_counts() {
    let mut queue = Queue::default();
    queue.put(&key("a"), pending(0));
    queue.take(at(0), 1);
    queue.changed(Changes::POD_GONE);
    queue.unschedulable(&key("a"), Changes::POD_GONE, at(0));
    assert_eq!(queue.counts(), Counts { backing_off: 1, ..Counts::default() });
    assert_eq!(names(&queue.take(at(0), 1)), ["a"], "nothing else is to be done, so its time is not waited for");
}

#[test]
fn active_pods_come_before_those_that_back_off() {
    let mut queue = Queue::default();
    queue.put(&key("a"), pending(10));
    queue.take(at(0), 1);
    queue.unschedulable(&key("a"), Changes::ALL, at(0));
    queue.changed(Changes::OTHER);
    queue.put(&key("b"), pending(0));
    assert_eq!(names(&queue.take(at(0), 5)), ["b"]);
    assert_eq!(names(&queue.take(at(0), 5)), ["a"]);
}

#[test]
fn a_pod_that_cannot_be_decided_rests_longer_each_time() {
    let mut queue = Queue::default();
    queue.put(&key("a"), pending(0));
    let mut now = at(0);
    for rest in [1, 2, 4, 8, 10, 10] {
        assert_eq!(names(&queue.take(now, 1)), ["a"]);
        queue.again(&key("a"), now);
        assert!(queue.take(now + at(rest).saturating_sub(Duration::from_millis(1)), 1).is_empty(), "{rest}");
        now += at(rest);
    }
}

#[test]
fn a_gated_pod_waits_for_its_gates_and_a_changed_one_is_tried_again() {
    let mut queue = Queue::default();
    queue.put(&key("a"), Pending { is_gated: true, ..pending(0) });
    queue.changed(Changes::ALL);
    assert!(queue.take(at(1_000), 1).is_empty());
    queue.put(&key("a"), pending(0));
    assert_eq!(names(&queue.take(at(1_000), 1)), ["a"]);
    queue.put(&key("a"), pending(0));
    queue.unschedulable(&key("a"), Changes::NONE, at(1_000));
    assert_eq!(names(&queue.take(at(1_001), 1)), ["a"], "it changed while it was decided");
    queue.remove(&key("a"));
    queue.unschedulable(&key("a"), Changes::NONE, at(1_001));
    assert_eq!(queue.counts(), Counts::default());
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, i32, bool),
    Remove(u8),
    Take(usize),
    Unschedulable(u16),
    Again,
    Changed(u16),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_u8..6, 0_i32..3, any::<bool>()).prop_map(|(name, priority, gated)| Step::Put(name, priority, gated)),
        (0_u8..6).prop_map(Step::Remove),
        (1_usize..4).prop_map(Step::Take),
        (0_u16..256).prop_map(Step::Unschedulable),
        Just(Step::Again),
        (0_u16..256).prop_map(Step::Changed),
        (0_u64..400).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// Each pod is in one state, none is lost, and each that is not gated is taken within the longest sleep.
    #[test]
    fn no_pod_is_lost(steps in steps()) {
        let (mut queue, mut there, mut taken) = (Queue::default(), std::collections::BTreeMap::new(), Vec::new());
        let mut now = Duration::ZERO;
        for step in steps {
            match step {
                Step::Put(name, priority, is_gated) => {
                    let key = key(&name.to_string());
                    queue.put(&key, Pending { is_gated, ..pending(priority) });
                    there.insert(key, is_gated);
                }
                Step::Remove(name) => {
                    let key = key(&name.to_string());
                    queue.remove(&key);
                    there.remove(&key);
                    taken.retain(|one| *one != key);
                }
                Step::Take(most) => {
                    for key in queue.take(now, most) {
                        prop_assert!(there.contains_key(&key) && !taken.contains(&key), "taken twice: {key:?}");
                        taken.push(key);
                    }
                }
                Step::Unschedulable(bits) => if let Some(key) = taken.pop() {
                    queue.unschedulable(&key, cures::of_bits(bits), now);
                }
                Step::Again => if let Some(key) = taken.pop() {
                    queue.again(&key, now);
                }
                Step::Changed(bits) => queue.changed(cures::of_bits(bits)),
                Step::Pass(seconds) => now += at(seconds),
            }
            let counts = queue.counts();
            let sum = counts.active + counts.backing_off + counts.unschedulable + counts.gated + counts.deciding;
            prop_assert_eq!(sum, there.len());
            prop_assert_eq!(counts.deciding, taken.len());
        }
        for key in taken {
            queue.again(&key, now);
        }
        now += LONGEST_SLEEP;
        let found = queue.take(now, 100);
        let gated = queue.counts().gated;
        prop_assert_eq!(found.len() + gated + queue.counts().backing_off, there.len());
        prop_assert_eq!(queue.counts().unschedulable, 0);
    }
}

/// A node of a small cluster.
#[derive(Clone, Debug, PartialEq)]
struct Host {
    cpu: u8,
    zone: u8,
    is_tainted: bool,
    is_cordoned: bool,
}

/// A pod on one.
#[derive(Clone, Debug, PartialEq)]
struct Guest {
    host: usize,
    app: u8,
    cpu: u8,
    has_port: bool,
    repels: bool,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a demand of its own")]
struct Wish {
    cpu: u8,
    zone: Option<u8>,
    tolerates: bool,
    has_port: bool,
    near: Option<u8>,
    apart: bool,
    is_spread: bool,
}

#[derive(Clone, Debug)]
enum Happening {
    Node(usize, Host),
    Pod(usize, Option<Guest>),
}

fn hosts() -> impl Strategy<Value = Host> {
    (0_u8..4, 0_u8..2, any::<bool>(), any::<bool>()).prop_map(|(cpu, zone, is_tainted, is_cordoned)| Host {
        cpu,
        zone,
        is_tainted,
        is_cordoned,
    })
}

fn guests() -> impl Strategy<Value = Guest> {
    (0_usize..3, 0_u8..2, 0_u8..3, any::<bool>(), any::<bool>()).prop_map(|(host, app, cpu, has_port, repels)| Guest {
        host,
        app,
        cpu,
        has_port,
        repels,
    })
}

fn wishes() -> impl Strategy<Value = Wish> {
    let (zone, near) = (prop::option::of(0_u8..2), prop::option::of(0_u8..2));
    (0_u8..4, zone, any::<bool>(), any::<bool>(), near, any::<bool>(), any::<bool>()).prop_map(
        |(cpu, zone, tolerates, has_port, near, apart, is_spread)| Wish {
            cpu,
            zone,
            tolerates,
            has_port,
            near,
            apart,
            is_spread,
        },
    )
}

fn happenings() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (0_usize..4, hosts()).prop_map(|(at, host)| Happening::Node(at, host)),
        (0_usize..5, prop::option::of(guests())).prop_map(|(at, guest)| Happening::Pod(at, guest)),
    ]
}

fn built_host(at: usize, host: &Host) -> Node {
    let mut node = node(&format!("n{at}")).cpu(&host.cpu.to_string()).zone(&format!("z{}", host.zone));
    if host.is_tainted {
        node = node.taint("dedicated", "x", Effect::NoSchedule);
    }
    if host.is_cordoned { node.unschedulable().build() } else { node.build() }
}

fn built_guest(at: usize, guest: &Guest) -> Pod {
    let mut pod = pod(&format!("p{at}"))
        .on(&format!("n{}", guest.host))
        .label("app", &format!("a{}", guest.app))
        .cpu(&guest.cpu.to_string());
    if guest.has_port {
        pod = pod.host_port(80);
    }
    if guest.repels { pod.anti_affinity("app=mine", "kubernetes.io/hostname").build() } else { pod.build() }
}

fn built_wish(wish: &Wish) -> Pod {
    const ZONE: &str = "topology.kubernetes.io/zone";
    let mut mine = pod("mine").label("app", "mine").cpu(&wish.cpu.to_string());
    if let Some(zone) = wish.zone {
        let labels: Labels = [(Name::from(ZONE), Name::from(format!("z{zone}")))].into_iter().collect();
        mine = mine.with(|pod| pod.spec_mut().node_selector = labels);
    }
    if wish.tolerates {
        mine = mine.tolerates("dedicated");
    }
    if wish.has_port {
        mine = mine.host_port(80);
    }
    if let Some(app) = wish.near {
        mine = mine.affinity(&format!("app=a{app}"), ZONE);
    }
    if wish.apart {
        mine = mine.anti_affinity("app=a0", "kubernetes.io/hostname");
    }
    if wish.is_spread {
        mine = mine.spread(1, ZONE, WhenUnsatisfiable::DoNotSchedule, "app=a1");
    }
    mine.build()
}

fn world(hosts: &[Option<Host>], guests: &[Option<Guest>]) -> Snapshot {
    let nodes = hosts.iter().enumerate().filter_map(|(at, host)| Some(Object::Node(built_host(at, host.as_ref()?))));
    let pods = guests.iter().enumerate();
    let pods = pods.filter_map(|(at, guest)| Some(Object::Pod(Box::new(built_guest(at, guest.as_ref()?)))));
    cluster(nodes.chain(pods))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// A pod that would fit now does not sleep on: what has changed is among the cures of what it was told.
    #[test]
    fn what_lets_a_pod_fit_is_among_its_cures(
        first in prop::collection::vec(hosts(), 1..4),
        pods in prop::collection::vec(guests(), 0..5),
        wish in wishes(),
        happening in happenings(),
        is_new in any::<bool>(),
    ) {
        let profile: Profile = if is_new {
            Configuration::default().compile(None).expect("the default profile compiles")
        } else {
            Policy::default().compile().expect("the default policy compiles")
        };
        let mut nodes: Vec<Option<Host>> = first.into_iter().map(Some).collect();
        nodes.resize(4, None);
        let mut guests: Vec<Option<Guest>> = pods.into_iter().map(Some).collect();
        guests.resize(5, None);
        let mine = built_wish(&wish);
        let before = decide(&profile, &mine, &world(&nodes, &guests), 0);
        prop_assume!(before.selected.is_none());
        let changes = match happening {
            Happening::Node(at, host) => {
                let (was, is) = (nodes[at].as_ref().map(|was| built_host(at, was)), built_host(at, &host));
                nodes[at] = Some(host);
                Changes::of_node(was.as_ref(), Some(&is))
            }
            Happening::Pod(at, guest) => {
                let was = guests[at].as_ref().map(|was| built_guest(at, was));
                let is = guest.as_ref().map(|guest| built_guest(at, guest));
                guests[at] = guest;
                Changes::of_pod(was.as_ref(), is.as_ref())
            }
        };
        let after = decide(&profile, &mine, &world(&nodes, &guests), 0);
        if after.selected.is_some() {
            prop_assert!(Changes::curing(&before.message).meets(changes), "{} {changes:?}", before.message);
        }
    }
}
