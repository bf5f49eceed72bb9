//! Shared parts of the predicate and the priority of topology spreading: a pod's constraints, prepared for counting.
//!
//! Source: `pkg/scheduler/framework/plugins/podtopologyspread/common.go`.

use std::borrow::Cow;

use super::{
    argument::{Argument, DefaultSpreading, Form, any},
    block::NodeRef,
    grouping,
    index::{Answers, Domains},
    model::{
        Effect, InclusionPolicy, Name, Pod, Selector, Taint, TopologySpreadConstraint, WhenUnsatisfiable,
        first_untolerated, topology,
    },
    node_info::NodeInfo,
    node_match::PodMatch,
    rule::{Arguments, Release},
    snapshot::Snapshot,
};

/// `defaultConstraints` of a profile; a Policy has none.
pub(super) const DEFAULTS: Argument<DefaultSpreading> = Argument {
    plugin: "PodTopologySpread",
    name: "defaultConstraints",
    form: Form::SpreadConstraints,
    in_policy: None,
    help: "Spread constraints of pods that have none of their own, or with `defaultingType: System` kube-scheduler's",
    default: |release| {
        if release.facts().spreads_by_system_defaults {
            DefaultSpreading::System
        } else {
            DefaultSpreading::List(Vec::new())
        }
    },
    check: any,
};

/// The spread constraints of a profile's `defaultingType: System`
/// (`pkg/scheduler/framework/plugins/podtopologyspread/plugin.go`, `systemDefaultConstraints`).
fn system_constraints() -> Vec<TopologySpreadConstraint> {
    let constraint = |topology_key: &str, max_skew| TopologySpreadConstraint {
        max_skew,
        topology_key: topology_key.into(),
        when_unsatisfiable: WhenUnsatisfiable::ScheduleAnyway,
        selector: None,
        min_domains: None,
        node_affinity_policy: None,
        node_taints_policy: None,
        match_label_keys: Vec::new(),
    };
    vec![constraint(topology::HOSTNAME, 3), constraint(topology::ZONE, 5)]
}

/// How pods are spread under one policy.
pub(super) struct Spreading {
    pub(super) release: Release,
    defaults: Vec<TopologySpreadConstraint>,
    system_defaults: bool,
}

/// One constraint of the incoming pod.
pub(super) struct Constraint<'a> {
    pub(super) max_skew: i32,
    pub(super) topology_key: &'a Name,
    /// The least number of domains. With fewer, the emptiest counts as 0.
    pub(super) min_domains: usize,
    selector: Option<Cow<'a, Selector>>,
    /// 1.34 counts no pod by the empty selector, though the incoming pod is one that it selects.
    counts_none: bool,
    honors_affinity: bool,
    honors_taints: bool,
}

impl Spreading {
    pub(super) fn new(arguments: &Arguments) -> Self {
        let (defaults, system_defaults) = match arguments.get(&DEFAULTS) {
            DefaultSpreading::System => (system_constraints(), true),
            DefaultSpreading::List(listed) => (listed, false),
        };
        Self { release: arguments.release, defaults, system_defaults }
    }

    /// The pod's constraints of one kind; where it has none of any kind, the default ones, over the pods that its
    /// services and its controller select. None where these select nothing in particular.
    pub(super) fn constraints<'a>(
        &'a self,
        pod: &'a Pod,
        snapshot: &Snapshot,
        when: WhenUnsatisfiable,
    ) -> Vec<Constraint<'a>> {
        let own = !pod.spec.topology_spread.is_empty();
        let all = if own { &pod.spec.topology_spread } else { &self.defaults };
        let mut constraints: Vec<_> =
            all.iter().filter(|c| c.when_unsatisfiable == when).map(|c| self.compile(c, pod)).collect();
        if !own && !constraints.is_empty() {
            let selector = grouping::default_selector(pod, snapshot);
            if selector.is_empty() {
                return Vec::new();
            }
            for constraint in &mut constraints {
                constraint.selector = Some(Cow::Owned(selector.clone()));
                constraint.counts_none = false;
            }
        }
        constraints
    }

    /// `true` if only nodes with all topology labels are scored. Under kube-scheduler's own default constraints a node without a zone
    /// is still spread over by host name.
    pub(super) fn requires_all_keys(&self, pod: &Pod) -> bool {
        !pod.spec.topology_spread.is_empty() || !self.system_defaults
    }

    fn compile<'a>(&self, constraint: &'a TopologySpreadConstraint, pod: &Pod) -> Constraint<'a> {
        let mut compiled = Constraint {
            max_skew: constraint.max_skew,
            topology_key: &constraint.topology_key,
            min_domains: 1,
            selector: constraint.selector.as_ref().map(Cow::Borrowed),
            counts_none: false,
            honors_affinity: true,
            honors_taints: false,
        };
        if self.release.facts().spread_constraints_have_policies {
            compiled.min_domains = constraint.min_domains.map_or(1, |n| usize::try_from(n).unwrap_or(0));
            compiled.honors_affinity = constraint.node_affinity_policy != Some(InclusionPolicy::Ignore);
            compiled.honors_taints = constraint.node_taints_policy == Some(InclusionPolicy::Honor);
            if let Some(selector) = &mut compiled.selector {
                let alike = constraint.match_label_keys.iter().filter_map(|key| Some((key, pod.labels.get(key)?)));
                let alike = Selector::from_map(alike.map(|(key, value)| (key.clone(), value.clone())));
                if !alike.is_empty() {
                    selector.to_mut().0.extend(alike.0);
                }
                compiled.counts_none = selector.is_empty();
            }
        }
        compiled
    }
}

/// Which nodes' pods a constraint counts.
pub(super) struct Inclusion<'p> {
    selects: Option<PodMatch<'p>>,
    tolerates: Option<Answers<bool>>,
}

impl Inclusion<'_> {
    pub(super) fn holds(&self, node: NodeRef<'_>) -> bool {
        self.selects.as_ref().is_none_or(|selects| selects.selects(node))
            && self.tolerates.as_ref().is_none_or(|tolerates| tolerates.of(node.slot()))
    }
}

fn is_tolerated(taints: &[Taint], pod: &Pod) -> bool {
    let keeps_off = |effect| effect != Effect::PreferNoSchedule;
    first_untolerated(taints, &pod.spec.tolerations, keeps_off).is_none()
}

impl Constraint<'_> {
    /// `true` if a node's pods count: the pod's node affinity and, if wanted, its tolerations accept the node.
    pub(super) fn includes(&self, node: &NodeInfo, pod: &Pod) -> bool {
        (!self.honors_affinity || pod.selects_node(&node.node))
            && (!self.honors_taints || is_tolerated(&node.node.taints, pod))
    }

    /// Like [`Self::includes`], prepared for all nodes.
    pub(super) fn inclusion<'p>(&self, pod: &'p Pod, snapshot: &Snapshot) -> Inclusion<'p> {
        let topology = &snapshot.index().topology;
        Inclusion {
            selects: self.honors_affinity.then(|| PodMatch::new(pod, snapshot)),
            tolerates: self.honors_taints.then(|| topology.by_taints(|taints| is_tolerated(taints, pod), true)),
        }
    }

    /// `true` if the constraint's selector selects the pod.
    pub(super) fn selects(&self, pod: &Pod) -> bool {
        self.selector.as_ref().is_some_and(|s| s.matches(&pod.labels))
    }

    /// How many pods of a namespace the constraint counts, by the nodes' slots. Those being deleted do not count.
    pub(super) fn counts(&self, namespace: &Name, snapshot: &Snapshot) -> Vec<i64> {
        match &self.selector {
            Some(selector) if !self.counts_none => snapshot.index().count_selected(namespace, selector),
            _ => vec![0; snapshot.index().slots()],
        }
    }

    /// The domains of the constraint's label.
    pub(super) fn domains(&self, snapshot: &Snapshot) -> Domains {
        snapshot.index().topology.domains(self.topology_key)
    }
}
