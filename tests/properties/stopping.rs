//! Work whose length a client decides can be stopped: its steps grow with the request, and it can end at any step.

use podberth::core::{
    cycle::{self, Cycle},
    diff::{self, Comparison},
    evictions::evictions,
    model::{NodeSelector, NodeSelectorTerm, Operator, Requirement, Toleration, TolerationOperator, topology::ZONE},
    policy::Profiles,
    preempt, suggest,
    work::{self, Ended, Stop, UNBOUNDED},
};

use super::{diffs::SHARED, *};

/// A cluster of some nodes with a running pod on each, all different.
fn running(nodes: usize) -> Vec<Object> {
    let node =
        |i: usize| testing::node(&format!("n{i}")).cpu("2").offers("pods", "10").zone(&format!("z{}", i % 5)).into();
    let pod = |i: usize| {
        testing::pod(&format!("r{i}")).label("app", &format!("a{i}")).cpu("1").on(&format!("n{i}")).priority(-1).into()
    };
    (0..nodes).map(node).chain((0..nodes).map(pod)).collect()
}

fn few() -> Snapshot {
    testing::cluster(running(20))
}

#[allow(clippy::needless_pass_by_value, reason = "the rows below are made in place")]
fn decided(pod: PodBuilder, snapshot: &Snapshot) {
    for profile in PROFILES.iter() {
        drop(cycle::decide(profile, &pod.clone().build(), snapshot, 0));
    }
}

fn filtered(pod: PodBuilder, snapshot: &Snapshot) {
    let pod = pod.build();
    for profile in PROFILES.iter() {
        drop(Cycle::prepare(profile, &pod, snapshot).fitting());
    }
}

fn values(n: usize) -> Vec<Name> {
    (0..n).map(|i| Name::from(format!("v{i}"))).collect()
}

fn requirement(key: &str, n: usize) -> Requirement {
    Requirement { key: key.into(), operator: Operator::NotIn(values(n)) }
}

/// The input of a decision, and the computation on so much of it.
type Row = (&'static str, fn(usize));

const ROWS: &[Row] = &[
    ("nodes of the cluster", |n| decided(testing::pod("p").cpu("1"), &testing::cluster(running(n)))),
    ("nodes filtered", |n| filtered(testing::pod("p").cpu("1"), &testing::cluster(running(n)))),
    ("pods of a service", |n| {
        let pods =
            (0..n).map(|i| testing::pod(&format!("s{i}")).label("app", "web").label("i", &i.to_string()).on("n1"));
        let objects = running(2).into_iter().chain(pods.map(Object::from)).chain([service("web", "app=web")]);
        decided(testing::pod("p").label("app", "web"), &testing::cluster(objects));
    }),
    ("services", |n| {
        let services = (0..n).map(|i| service(&format!("s{i}"), "app=web"));
        let objects = running(2).into_iter().chain(services);
        decided(testing::pod("p").label("app", "web"), &testing::cluster(objects));
    }),
    ("preferred terms", |n| {
        let pod = (0..n).fold(testing::pod("p"), |pod, i| pod.prefers(1, "app=a1", &format!("k{i}")));
        decided(pod, &few());
    }),
    ("required terms", |n| {
        filtered((0..n).fold(testing::pod("p"), |pod, _| pod.anti_affinity("app=x", ZONE)), &few());
    }),
    ("terms of running pods", |n| {
        let repelling =
            (0..n).map(|i| testing::pod(&format!("x{i}")).anti_affinity(&format!("app=b,i=v{i}"), ZONE).on("n1"));
        let snapshot = testing::cluster(running(5).into_iter().chain(repelling.map(Object::from)));
        filtered(testing::pod("p").label("app", "b"), &snapshot);
    }),
    ("values of a pod's term", |n| {
        let pod = testing::pod("p").anti_affinity("app=x", ZONE);
        let pod = pod.with(|p| {
            p.spec_mut().affinity.anti_required[0].selector.as_mut().expect("one").0 = vec![requirement("app", n)];
        });
        filtered(pod, &few());
    }),
    ("namespaces", |n| {
        let pod = testing::pod("p").affinity("app=x", ZONE).with(|p| {
            p.spec_mut().affinity.pod_required[0].namespace_selector = Some(testing::selector("team=a"));
        });
        let objects = running(2).into_iter().chain((0..n).map(|i| namespace(&format!("s{i}"), "team", "b")));
        filtered(pod, &testing::cluster(objects));
    }),
    ("values of node affinity", |n| {
        let term = NodeSelectorTerm { match_expressions: vec![requirement(ZONE, n)], match_fields: Vec::new() };
        let pod = testing::pod("p").with(|p| p.spec_mut().affinity.node_required = Some(NodeSelector(vec![term])));
        filtered(pod, &few());
    }),
    ("spread constraints", |n| {
        let hard = |pod: PodBuilder, _| pod.spread(1, ZONE, WhenUnsatisfiable::DoNotSchedule, "app=web");
        filtered((0..n).fold(testing::pod("p").label("app", "web"), hard), &few());
    }),
    ("soft spread constraints", |n| {
        let soft = |pod: PodBuilder, _| pod.spread(1, ZONE, WhenUnsatisfiable::ScheduleAnyway, "app=web");
        decided((0..n).fold(testing::pod("p").label("app", "web"), soft), &few());
    }),
    ("tolerations", |n| {
        let toleration = |i: usize| Toleration {
            key: format!("k{i}").into(),
            operator: TolerationOperator::Exists,
            value: "".into(),
            effect: None,
            seconds: None,
        };
        let nodes = (0..5).map(|i| testing::node(&format!("n{i}")).taint(&format!("t{i}"), "", Effect::NoSchedule));
        let pod = testing::pod("p").with(|p| p.spec_mut().tolerations = (0..n).map(toleration).collect());
        filtered(pod, &testing::cluster(nodes.map(Object::from)));
    }),
    ("candidates of preemption", |n| {
        let snapshot = testing::cluster(running(n));
        drop(preempt::attempt(&PROFILES[1], &testing::pod("p").cpu("2").priority(1).build(), &snapshot, 0));
    }),
    ("disruption budgets", |n| {
        let budgets = (0..n).map(|i| testing::budget(&format!("b{i}"), "app=a1", 0));
        let snapshot = testing::cluster(running(5).into_iter().chain(budgets));
        drop(preempt::attempt(&PROFILES[1], &testing::pod("p").cpu("2").priority(1).build(), &snapshot, 0));
    }),
    ("volumes", |n| {
        let volumes = (0..n).map(|i| pv(&format!("v{i}")).into());
        let waiting = [storage_class("local").into(), pvc("data").class("local").into()];
        let snapshot = testing::cluster(running(2).into_iter().chain(waiting).chain(volumes));
        filtered(testing::pod("p").claim("data"), &snapshot);
    }),
    ("pods of a batch", |n| {
        let mut batch =
            podberth::core::batch::Batch::new(&PROFILES[1], few(), podberth::core::batch::Options::default());
        for i in 0..n {
            drop(batch.place(&Arc::new(testing::pod(&format!("p{i}")).build())));
        }
    }),
    ("pods of a policy diff", |n| {
        let pods: Vec<_> = (0..n).map(|i| Arc::new(testing::pod(&format!("p{i}")).cpu("100m").build())).collect();
        let [old, new, ..] = SHARED.each_ref().map(|profile| Profiles::from(profile.clone()));
        drop(diff::in_turn(&few(), &pods, &old, new, (0, 10)));
    }),
    ("decisions of a policy diff", |n| {
        let [old, new, ..] = SHARED.each_ref().map(|profile| Profiles::from(profile.clone()));
        let mut comparison = Comparison::new(new, 10);
        comparison.at(&few());
        for i in 0..n {
            comparison.decide(&Arc::new(testing::pod(&format!("p{i}")).cpu("100m").build()), &old, 0);
        }
        drop(comparison.finish());
    }),
    ("nodes that suggestions look at", |n| {
        drop(suggest::suggest(&PROFILES[1], &testing::pod("p").cpu("64").build(), &testing::cluster(running(n)), 1));
    }),
    ("pods that taints drive away", |n| {
        let node = testing::node("n").taint("t", "", Effect::NoExecute);
        let pods = (0..n).map(|i| testing::pod(&format!("p{i}")).on("n").into());
        drop(evictions(&testing::cluster([node.into()].into_iter().chain(pods)), 0));
    }),
];

/// How many steps it takes to do something.
fn steps_of(work: impl FnOnce()) -> u64 {
    // What is made once is no part of it.
    LazyLock::force(&PROFILES);
    LazyLock::force(&SHARED);
    let mut left = UNBOUNDED;
    assert_eq!(work::run(&Stop::default(), &mut left, work), Ok(()));
    UNBOUNDED - left
}

#[test]
fn steps_grow_with_the_size_of_the_request() {
    for (what, done) in ROWS {
        let (some, more) = (steps_of(|| done(64)), steps_of(|| done(256)));
        assert!(more >= some + 192 / 4, "{what}: {some} steps for 64, {more} for 256");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// With too few steps work ends at the last one; with enough it is done.
    #[test]
    fn work_ends_at_any_step(row in 0..ROWS.len(), part in 0_u64..1_000) {
        let (what, done) = ROWS[row];
        let needed = steps_of(|| done(16));
        let mut left = needed * part / 1_000;
        prop_assert_eq!(work::run(&Stop::default(), &mut left, || done(16)), Err(Ended::TooLong), "{}", what);
        let mut left = needed;
        prop_assert_eq!(work::run(&Stop::default(), &mut left, || done(16)), Ok(()), "{}: the same again", what);
        prop_assert_eq!(left, 0);
    }
}
