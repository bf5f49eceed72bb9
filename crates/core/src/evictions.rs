//! Evictions by NoExecute taints: which pods leave their node, and when.
//!
//! A pod that does not tolerate every such taint leaves at once. Otherwise the first toleration that matches a taint decides how long it
//! stays (`tolerationSeconds`; none: for ever; 0 or less: not at all), and the taint that is tolerated for the shortest time decides.
//! Disruption budgets, owners and priorities do not matter.
//!
//! # Start of the clock
//!
//! Kubernetes' controller starts the clock when it first sees the taint and the pod together, and again when it is restarted. Podberth
//! keeps no such state. It starts the clock at the later of the taint's `timeAdded` and the pod's start (`status.startTime`, before that
//! its creation). A taint without `timeAdded` gives a limited toleration no start: such a pod is never due, since an eviction too early
//! is worse than none.
//!
//! Source: `pkg/controller/tainteviction/taint_eviction.go` (`processPodOnNode`, `getMinTolerationTime`),
//! `pkg/apis/core/v1/helper/helpers.go` (`GetMatchingTolerations`).

use std::sync::Arc;

use super::{
    model::{Effect, Name, Pod, Taint},
    node_info::NodeInfo,
    snapshot::Snapshot,
    work,
};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// That a pod is to leave its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// The pod.
    pub pod: Arc<Pod>,
    /// The node that it is on.
    pub node: Name,
    /// When and why.
    pub notice: Notice,
}

/// When a pod is to leave, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Time of the eviction, in nanoseconds since 1970; `None` if it is unknown when the taint was added.
    pub at: Option<i64>,
    /// The taints that are not tolerated or, where all are, the one that is tolerated for the shortest time.
    pub taints: Vec<Taint>,
    /// For how many seconds that one is tolerated; `None` where it is not tolerated at all.
    pub toleration_seconds: Option<i64>,
}

impl Notice {
    /// `true` if the time has come.
    pub fn is_due(&self, now: i64) -> bool {
        self.at.is_some_and(|at| at <= now)
    }
}

/// All pods of a cluster to be evicted, the soonest first and those without a time last. `now` is in nanoseconds since 1970. Pods that
/// have ended or are being deleted are left out.
pub fn evictions(snapshot: &Snapshot, now: i64) -> Vec<Eviction> {
    let mut found: Vec<Eviction> = snapshot.nodes().flat_map(|node| of_node(node, now)).collect();
    found.sort_by(|a, b| {
        let key = |e: &Eviction| (e.notice.at.is_none(), e.notice.at);
        key(a).cmp(&key(b)).then_with(|| (&a.pod.namespace, &a.pod.name).cmp(&(&b.pod.namespace, &b.pod.name)))
    });
    found
}

fn of_node(node: &NodeInfo, now: i64) -> impl Iterator<Item = Eviction> + use<'_> {
    work::spend(1);
    let tainted = node.node.taints.iter().any(|taint| taint.effect == Effect::NoExecute);
    let pods = if tainted { node.pods.as_slice() } else { &[] };
    pods.iter().filter_map(move |pod| {
        work::spend_on(1 + node.node.taints.len().saturating_mul(pod.spec.tolerations.len()));
        let notice = notice(pod, &node.node.taints, now)?;
        Some(Eviction { pod: pod.clone(), node: node.name().clone(), notice })
    })
}

/// The eviction that the taints of a pod's node demand; `None` if the pod may stay for ever or is being deleted.
pub fn notice(pod: &Pod, taints: &[Taint], now: i64) -> Option<Notice> {
    if pod.terminal || pod.terminating {
        return None;
    }
    let here_since = pod.start_time.or(pod.created);
    let mut refused = Vec::new();
    let mut soonest: Option<Notice> = None;
    for taint in taints.iter().filter(|taint| taint.effect == Effect::NoExecute) {
        let Some(toleration) = pod.spec.tolerations.iter().find(|toleration| toleration.tolerates(taint)) else {
            refused.push(taint.clone());
            continue;
        };
        let Some(seconds) = toleration.seconds else { continue };
        let since = taint.added.map(|added| added.max(here_since.unwrap_or(i64::MIN)));
        let at = if seconds <= 0 {
            Some(since.or(here_since).unwrap_or(now).min(now))
        } else {
            since.map(|since| since.saturating_add(seconds.saturating_mul(NANOS_PER_SECOND)))
        };
        let sooner = |than: &Notice| match (at, than.at) {
            (Some(at), Some(than)) => at < than,
            (at, than) => at.is_some() && than.is_none(),
        };
        if soonest.as_ref().is_none_or(sooner) {
            soonest = Some(Notice { at, taints: vec![taint.clone()], toleration_seconds: Some(seconds) });
        }
    }
    if refused.is_empty() {
        return soonest;
    }
    let since = refused.iter().filter_map(|taint| taint.added).min().max(here_since);
    Some(Notice { at: Some(since.unwrap_or(now).min(now)), taints: refused, toleration_seconds: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Toleration, TolerationOperator};
    use crate::testing::{cluster, node, pod};

    const NOW: i64 = 10_000 * NANOS_PER_SECOND;

    fn taint(key: &str, added: Option<i64>) -> Taint {
        let added = added.map(|second| second * NANOS_PER_SECOND);
        Taint { key: key.into(), value: "".into(), effect: Effect::NoExecute, added }
    }

    fn toleration(key: &str, seconds: Option<i64>) -> Toleration {
        Toleration {
            key: key.into(),
            operator: TolerationOperator::Exists,
            value: "".into(),
            effect: Some(Effect::NoExecute),
            seconds,
        }
    }

    /// The fate of a pod on a tainted node.
    #[derive(Debug, PartialEq, Eq)]
    enum Fate {
        Stays,
        /// At this second.
        Leaves(i64),
        /// At an unknown time.
        Unknown,
    }

    use Fate::{Leaves, Stays, Unknown};

    /// Of a pod that is here since second 1,000.
    fn fate(taints: &[Taint], tolerations: Vec<Toleration>) -> Fate {
        let mut pod = pod("p").on("n").build();
        pod.spec_mut().tolerations = tolerations;
        pod.start_time = Some(1_000 * NANOS_PER_SECOND);
        match notice(&pod, taints, NOW).map(|notice| notice.at) {
            None => Stays,
            Some(None) => Unknown,
            Some(Some(at)) => Leaves(at / NANOS_PER_SECOND),
        }
    }

    #[test]
    fn the_shortest_toleration_decides() {
        let (a, b) = (|| taint("a", Some(2_000)), || taint("b", Some(3_000)));
        let (always, long) = (|| toleration("a", None), || toleration("a", Some(600)));
        let table = [
            (vec![], vec![], Stays),
            (vec![a()], vec![], Leaves(2_000)),
            (vec![a()], vec![always()], Stays),
            // 2,000 + 600
            (vec![a()], vec![long()], Leaves(2_600)),
            // The first one that covers the taint counts, as in Kubernetes, not the shortest that would.
            (vec![a()], vec![long(), toleration("a", Some(60))], Leaves(2_600)),
            (vec![a()], vec![always(), long()], Stays),
            // b is not tolerated at all; a does not matter.
            (vec![a(), b()], vec![long()], Leaves(3_000)),
            // 2,000 + 600 before 3,000 + 6,000
            (vec![a(), b()], vec![long(), toleration("b", Some(6_000))], Leaves(2_600)),
            (vec![a(), b()], vec![always(), toleration("b", Some(1))], Leaves(3_001)),
            (vec![a()], vec![toleration("a", Some(0))], Leaves(2_000)),
            (vec![a()], vec![toleration("a", Some(-5))], Leaves(2_000)),
            (vec![a()], vec![toleration("a", Some(i64::MAX))], Leaves(i64::MAX / NANOS_PER_SECOND)),
            // Tainted before the pod came: its own time counts, 1,000 + 600.
            (vec![taint("a", Some(10))], vec![long()], Leaves(1_600)),
            (vec![taint("a", Some(10))], vec![], Leaves(1_000)),
            (vec![taint("a", None)], vec![long()], Unknown),
            (vec![taint("a", None), b()], vec![long(), toleration("b", Some(1))], Leaves(3_001)),
            (vec![taint("a", None)], vec![], Leaves(1_000)),
            // A clock that is ahead does not put off what is due at once.
            (vec![taint("a", Some(99_999))], vec![], Leaves(10_000)),
        ];
        for (i, (taints, tolerations, expected)) in table.into_iter().enumerate() {
            assert_eq!(fate(&taints, tolerations), expected, "row {i}");
        }
    }

    #[test]
    fn only_no_execute_taints_evict_and_only_running_pods() {
        let soft = Taint { effect: Effect::NoSchedule, ..taint("a", Some(1)) };
        assert_eq!(fate(&[soft], Vec::new()), Stays);
        let mut leaving = pod("p").on("n").build();
        leaving.terminating = true;
        assert_eq!(notice(&leaving, &[taint("a", Some(1))], NOW), None);
        let mut fresh = pod("p").on("n").build();
        assert_eq!(notice(&fresh, &[taint("a", None)], NOW).and_then(|n| n.at), Some(NOW), "nothing tells a time");
        fresh.created = Some(5 * NANOS_PER_SECOND);
        assert_eq!(notice(&fresh, &[taint("a", Some(3))], NOW).and_then(|n| n.at), Some(5 * NANOS_PER_SECOND));
    }

    #[test]
    fn evictions_are_listed_soonest_first_and_timeless_last() {
        let tolerant = |name: &str, seconds| {
            pod(name).on("n").with(|pod| pod.spec_mut().tolerations.push(toleration("a", seconds)))
        };
        let unknown = node("m").with(|node| node.taints.push(taint("a", None)));
        let snapshot = cluster([
            node("n").with(|node| node.taints.push(taint("a", Some(9_000)))).into(),
            unknown.into(),
            node("free").into(),
            tolerant("late", Some(3_000)).into(),
            tolerant("soon", Some(10)).into(),
            tolerant("stays", None).into(),
            tolerant("lost", Some(10)).on("m").into(),
            pod("now").on("n").into(),
            pod("free").on("free").into(),
        ]);
        let told: Vec<(String, bool)> = evictions(&snapshot, NOW)
            .iter()
            .map(|eviction| (eviction.pod.name.to_string(), eviction.notice.is_due(NOW)))
            .collect();
        let expected = [("now", true), ("soon", true), ("late", false), ("lost", false)];
        assert_eq!(told, expected.map(|(name, due)| (name.to_owned(), due)));
    }

    proptest::proptest! {
        #[test]
        fn more_tolerance_never_evicts_sooner(
            added in 0_i64..20_000, started in 0_i64..20_000, seconds in -5_i64..20_000, more in 0_i64..i64::MAX,
        ) {
            let mut pod = pod("p").on("n").build();
            pod.start_time = Some(started * NANOS_PER_SECOND);
            let taints = [taint("a", Some(added))];
            let mut at = |seconds| {
                pod.spec_mut().tolerations = vec![toleration("a", Some(seconds))];
                notice(&pod, &taints, NOW).and_then(|notice| notice.at).unwrap_or(i64::MAX)
            };
            proptest::prop_assert!(at(seconds) <= at(seconds.saturating_add(more)));
        }
    }
}
