//! Properties of the engine over all numbers.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::{Name, Selector};

const SECOND: i64 = 1_000_000_000;
const NOW: i64 = 1_000_000 * SECOND;

fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![0..5_000_i64, Just(0), Just(i64::MAX), 0..i64::MAX]
}

fn positive() -> impl Strategy<Value = i64> {
    prop_oneof![1..5_000_i64, Just(i64::MAX), 1..i64::MAX]
}

fn count() -> impl Strategy<Value = i32> {
    prop_oneof![0..40_i32, Just(i32::MAX), 0..i32::MAX]
}

fn resource(name: &str, milli: i64) -> BTreeMap<Name, i64> {
    BTreeMap::from([(name.into(), milli)])
}

fn pod() -> impl Strategy<Value = PodState> {
    let ready = proptest::option::of((0..3_u8, 0..2_000_i64));
    (0..6_u8, 0..4_u8, ready, proptest::option::of(0..2_000_i64), amount(), any::<bool>()).prop_map(
        |(name, phase, ready, started, request, is_deleted)| PodState {
            namespace: "n".into(),
            name: format!("p{name}").into(),
            labels: [("app", "web")].into_iter().collect(),
            is_deleted,
            phase: [Phase::Pending, Phase::Running, Phase::Failed, Phase::Other][usize::from(phase)],
            ready: ready.map(|(status, ago)| Ready {
                status: [Readiness::True, Readiness::False, Readiness::Unknown][usize::from(status)],
                since: NOW - ago * SECOND,
            }),
            started: started.map(|ago| NOW - ago * SECOND),
            containers: vec![("app".into(), resource("cpu", request))],
            pod_level: None,
        },
    )
}

fn usage() -> impl Strategy<Value = PodUsage> {
    (0..7_u8, 0..600_i64, amount()).prop_map(|(name, ago, milli)| PodUsage {
        namespace: "n".into(),
        name: format!("p{name}").into(),
        labels: None,
        timestamp: NOW - ago * SECOND,
        window: 30 * SECOND,
        containers: vec![("app".into(), resource("cpu", milli))],
    })
}

fn metric() -> impl Strategy<Value = Metric> {
    let id = || MetricId { name: "m".into(), selector: Some(Selector::default()) };
    let of = || ObjectRef { group: None, kind: "Ingress".into(), name: "front".into() };
    let target = || {
        prop_oneof![
            positive().prop_map(ValueTarget::Value),
            positive().prop_map(ValueTarget::Average),
            Just(ValueTarget::Neither)
        ]
    };
    let use_of = || {
        prop_oneof![(1..1_000_i32).prop_map(ResourceTarget::Utilization), positive().prop_map(ResourceTarget::Average)]
    };
    prop_oneof![
        use_of().prop_map(|target| Metric::Resource { name: "cpu".into(), target }),
        use_of().prop_map(|target| Metric::ContainerResource { name: "cpu".into(), container: "app".into(), target }),
        positive().prop_map(move |average| Metric::Pods { metric: id(), average }),
        target().prop_map(move |target| Metric::Object { of: of(), metric: id(), target }),
        target().prop_map(move |target| Metric::External { metric: id(), target }),
    ]
}

fn metrics() -> impl Strategy<Value = Metrics> {
    let custom = (0..7_u8, any::<bool>(), amount()).prop_map(|(pod, is_pod, milli)| CustomValue {
        of: if is_pod {
            ObjectRef { group: None, kind: "Pod".into(), name: format!("p{pod}").into() }
        } else {
            ObjectRef { group: None, kind: "Ingress".into(), name: "front".into() }
        },
        namespace: "n".into(),
        metric: "m".into(),
        labels: crate::model::Labels::default(),
        milli,
    });
    let external =
        amount().prop_map(|milli| ExternalValue { metric: "m".into(), labels: crate::model::Labels::default(), milli });
    (
        proptest::collection::vec(usage(), 0..7),
        proptest::collection::vec(custom, 0..7),
        proptest::collection::vec(external, 0..4),
    )
        .prop_map(|(pods, custom, external)| Metrics { pods, custom, external })
}

fn rules() -> impl Strategy<Value = Rules> {
    let policy = (any::<bool>(), prop_oneof![1..200_i32, Just(i32::MAX)], 1..1_800_i32).prop_map(
        |(is_pods, value, period_seconds)| Policy {
            kind: if is_pods { PolicyKind::Pods } else { PolicyKind::Percent },
            value,
            period_seconds,
        },
    );
    (
        proptest::option::of(0..3_600_i32),
        0..3_u8,
        proptest::collection::vec(policy, 1..4),
        proptest::option::of(0.0..2.0_f64),
    )
        .prop_map(|(window_seconds, select, policies, tolerance)| Rules {
            window_seconds,
            select: [Select::Max, Select::Min, Select::Disabled][usize::from(select)],
            policies,
            tolerance,
        })
}

fn autoscaler() -> impl Strategy<Value = Autoscaler> {
    let behavior = proptest::option::of((rules(), rules()).prop_map(|(up, down)| Behavior { up, down }));
    (1..30_i32, count(), proptest::collection::vec(metric(), 1..4), behavior).prop_map(
        |(min, more, metrics, behavior)| Autoscaler {
            namespace: "n".into(),
            name: "web".into(),
            target: Target { kind: "Deployment".into(), name: "web".into() },
            min,
            max: min.saturating_add(more),
            metrics,
            behavior,
        },
    )
}

fn history() -> impl Strategy<Value = History> {
    let entry = || proptest::collection::vec((0..4_000_i64, count()), 0..5);
    let event = |(ago, change): (i64, i32)| Event { time: NOW - ago * SECOND, change };
    (entry(), entry(), entry()).prop_map(move |(recommendations, ups, downs)| History {
        recommendations: recommendations
            .into_iter()
            .map(|(ago, replicas)| Recommendation { time: NOW - ago * SECOND, replicas })
            .collect(),
        ups: ups.into_iter().map(event).collect(),
        downs: downs.into_iter().map(event).collect(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_within_the_limits(
        hpa in autoscaler(),
        (replicas, observed_replicas) in (count(), count()),
        pods in proptest::collection::vec(pod(), 0..7),
        metrics in metrics(),
        mut history in history(),
    ) {
        let selection = Selection::Of(Selector::from_map([("app", "web")]));
        let observed =
            Observed { replicas, observed_replicas, selection: &selection, pods: &pods, metrics: &metrics, rivals: &[] };
        let entries = history.recommendations.len();
        let answer = advise(&hpa, &Before::default(), &observed, &mut history, &Options::default(), NOW);
        prop_assert!(history.recommendations.len() <= entries + 2);
        if replicas == 0 {
            prop_assert_eq!(answer.replicas, 0);
        } else if answer.proposed.is_some() || answer.is_rescaled() {
            prop_assert!((hpa.min..=hpa.max).contains(&answer.replicas), "{:?}", answer);
        } else {
            prop_assert_eq!(answer.replicas, replicas, "metrics that failed change nothing: {:?}", answer);
        }
        let failed = answer.proposals.iter().filter(|proposal| proposal.result.is_err()).count();
        prop_assert_eq!(failed > 0, answer.error.is_some(), "a failed metric is always told of");
        if failed > 0 && (hpa.min..=hpa.max).contains(&replicas) && hpa.behavior.is_none() {
            prop_assert!(answer.replicas >= replicas, "a failed metric forbids fewer replicas");
        }
        for kind in ConditionKind::ALL {
            prop_assert!(answer.conditions.iter().filter(|condition| condition.kind == kind).count() <= 1);
        }
        // The same question again, in the same moment, once the answer was carried out, changes nothing any more.
        if answer.is_rescaled() {
            history.changed(hpa.behavior.as_ref(), replicas, answer.replicas, NOW);
            prop_assert!(history.ups.len() + history.downs.len() <= 9);
        }
    }

    #[test]
    fn policies_bound_the_change_within_their_periods(
        mut rules in rules(), current in 1..1_000_i32, wanted in 1..2_000_i32,
    ) {
        if rules.select == Select::Disabled {
            rules.select = Select::Max;
        }
        let behavior = Behavior { up: rules.clone(), down: rules.clone() };
        let hpa = Autoscaler {
            namespace: "n".into(), name: "web".into(), min: 1, max: 2_000, metrics: Vec::new(), behavior: Some(behavior),
            target: Target { kind: "Deployment".into(), name: "web".into() },
        };
        let mut history = History::default();
        let (after, _) = policies::limited(&hpa, &history, current, wanted, NOW);
        history.changed(hpa.behavior.as_ref(), current, after, NOW);
        // A second change in the same moment begins at the number before the first one.
        let (again, _) = policies::limited(&hpa, &history, after, wanted, NOW);
        prop_assert_eq!(again, after, "a period's change is permitted once");
    }
}

#[test]
fn a_change_keeps_what_the_other_direction_reads() {
    let policy = |period_seconds| Policy { kind: PolicyKind::Pods, value: 4, period_seconds };
    let rules =
        |period| Rules { window_seconds: None, select: Select::Max, policies: vec![policy(period)], tolerance: None };
    let behavior = Behavior { up: rules(15), down: rules(15) };
    let mut history = History::default();
    history.changed(Some(&behavior), 3, 5, NOW);
    history.changed(Some(&behavior), 5, 6, NOW + 10 * SECOND);
    assert_eq!(history.ups.len(), 2, "both are within the period");
    history.changed(Some(&behavior), 6, 9, NOW + 60 * SECOND);
    assert_eq!(
        history.ups,
        [Event { time: NOW, change: 2 }, Event { time: NOW + 60 * SECOND, change: 3 }],
        "the last one that is old is overwritten"
    );
    history.changed(None, 9, 20, NOW);
    assert_eq!(history.downs, [], "without rules nothing is noted");
}

#[test]
fn pods_of_two_autoscalers_are_scaled_by_neither() {
    let hpa = Autoscaler {
        namespace: "n".into(),
        name: "web".into(),
        target: Target { kind: "Deployment".into(), name: "web".into() },
        min: 1,
        max: 9,
        metrics: vec![Metric::Resource { name: "cpu".into(), target: ResourceTarget::Utilization(50) }],
        behavior: None,
    };
    let pods = [PodState {
        namespace: "n".into(),
        name: "p".into(),
        labels: [("app", "web")].into_iter().collect(),
        is_deleted: false,
        phase: Phase::Running,
        ready: None,
        started: None,
        containers: Vec::new(),
        pod_level: None,
    }];
    let selection = Selection::Of(Selector::from_map([("app", "web")]));
    let rivals = [Rival { name: "other".into(), selector: Selector::default() }];
    let (metrics, mut history) = (Metrics::default(), History::default());
    let observed = Observed {
        replicas: 2,
        observed_replicas: 2,
        selection: &selection,
        pods: &pods,
        metrics: &metrics,
        rivals: &rivals,
    };
    let answer = advise(&hpa, &Before::default(), &observed, &mut history, &Options::default(), NOW);
    let active = answer.conditions.iter().find(|condition| condition.kind == ConditionKind::ScalingActive);
    assert_eq!(active.map(|condition| condition.reason.as_str()), Some("AmbiguousSelector"));
    assert!(answer.error.is_some_and(|error| error.contains("other")));
}
