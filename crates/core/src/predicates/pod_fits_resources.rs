//! # Rule
//! The node has room for one more pod, and for every resource the pod requests:
//!
//! ```text
//! pods on the node + 1 ≤ allocatable pods
//! request ≤ allocatable − Σ requests of the pods on the node
//! ```
//!
//! A pod requests the sum of its containers and sidecars, or its largest step of initialisation if that is higher (an init container with
//! the sidecars started before it). Amounts given for the pod as a whole replace that; its overhead is added on top. CPU is compared in
//! thousandths of a core, everything else in whole units. Limits and real usage do not count.
//!
//! In 1.34 a running pod whose containers are resized in place counts, per container and resource, with the highest of three amounts:
//! the request of its spec, the amount that it runs with (`status.containerStatuses[].resources`), and the amount that its node has set
//! aside (`allocatedResources`). Sidecars count too. The spec is ignored if the resize can never be done (condition
//! `PodResizePending`, reason `Infeasible`). 1.22 reads the spec alone.
//!
//! # Policy name and framework plugin
//! `PodFitsResources`, also part of `GeneralPredicates`; plugin `NodeResourcesFit`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/noderesources/fit.go` (`fitsRequest`, `computePodResourceRequest`); for resizing
//! `component-helpers/resource/helpers.go` (`determineContainerReqs`).
//!
//! 1.22 compares CPU, memory and ephemeral storage as soon as the pod requests anything at all (a scalar resource of
//! amount 0 is enough), so that on an overcommitted node even a resource of which nothing is requested is told as
//! insufficient. 1.34 compares only what is requested, knows sidecars and pod-level amounts, and says when eviction
//! cannot help. 1.6 (`PodFitsResources` in `plugin/pkg/scheduler/algorithm/predicates/predicates.go`) knew CPU, memory,
//! `alpha.kubernetes.io/nvidia-gpu` and opaque integer resources, but neither ephemeral storage nor overhead.
//!
//! # Arguments
//! Extended resources may be ignored, by name (in a policy: `managedResources` of an extender with
//! `ignoredByScheduler`; in a profile: `ignoredResources`) or by the part before the slash (`ignoredResourceGroups`).
//!
//! # Reason text
//! `Too many pods`, and `Insufficient cpu`, `Insufficient memory`, `Insufficient ephemeral-storage`, `Insufficient
//! <resource>`: one for each that is lacking, in this order, scalar resources in order of their names.
//!
//! # Can preemption help?
//! Yes, except (1.34) where the pod requests more of a resource than the node has in all: that is unresolvable.
//!
//! # Example
//! On a node that offers 2 CPUs, with pods that request 1500m, a pod that requests 600m gets `Insufficient cpu`; one
//! that requests 500m fits.

use super::{Build, Check, Demand, Predicate, Registration, Standing};
use crate::{
    argument::{Argument, Form},
    block::{Block, at_least, pick},
    fault::Fault,
    model::{Name, Pod, Resources, resources},
    node_info::NodeInfo,
    qualified,
    rule::{Identity, Reads, Release},
    snapshot::Snapshot,
    verdict::{Reason, Verdict},
};

/// `ignoredResources`; under a Policy and before a profile's, those that an extender looks after alone.
pub(crate) const IGNORED: Argument<Vec<Name>> = Argument {
    plugin: "NodeResourcesFit",
    name: "ignoredResources",
    form: Form::Names,
    in_policy: Some("extenders[].managedResources[].ignoredByScheduler"),
    help: "Extended resources that are passed over",
    default: |_| Vec::new(),
    check: |resources, field, faults| {
        for (i, resource) in resources.iter().enumerate() {
            qualified::label_key(&format!("{field}.ignoredResources[{i}]"), resource, faults);
        }
    },
};

/// `ignoredResourceGroups`.
pub(crate) const IGNORED_GROUPS: Argument<Vec<Name>> = Argument {
    plugin: "NodeResourcesFit",
    name: "ignoredResourceGroups",
    form: Form::Names,
    in_policy: None,
    help: "Extended resources that are passed over, by the part of the name before the slash",
    default: |_| Vec::new(),
    check: |groups, field, faults| {
        for (i, group) in groups.iter().enumerate() {
            let at = format!("{field}.ignoredResourceGroups[{i}]");
            if group.contains('/') {
                faults.push(Fault::invalid_text(&*at, group, "resource group name can't contain '/'"));
            }
            qualified::label_key(&at, group, faults);
        }
    },
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "PodFitsResources",
        aliases: &[],
        plugin: "NodeResourcesFit",
        modern_plugin: Some("NodeResourcesFit"),
        arguments: &[&IGNORED, &IGNORED_GROUPS],
        source: include_str!("pod_fits_resources.rs"),
    },
    standing: Standing::Optional,
    build: Build::Rule(|arguments| {
        Box::new(PodFitsResources {
            release: arguments.release,
            ignored_resources: arguments.get(&IGNORED),
            ignored_groups: arguments.get(&IGNORED_GROUPS),
        })
    }),
};

struct PodFitsResources {
    release: Release,
    ignored_resources: Vec<Name>,
    ignored_groups: Vec<Name>,
}

impl PodFitsResources {
    fn ignores(&self, resource: &Name) -> bool {
        let group = || resource.split('/').next().unwrap_or_default();
        resources::is_extended(resource)
            && (self.ignored_resources.contains(resource) || self.ignored_groups.iter().any(|g| **g == *group()))
    }
}

impl Predicate for PodFitsResources {
    fn prepare<'a>(&'a self, pod: &'a Pod, _: &'a Snapshot) -> Demand<'a> {
        let zero_fits = self.release.facts().zero_requests_fit;
        let wanted = &pod.spec.requests;
        let scalars: Vec<_> = wanted
            .scalar
            .iter()
            .filter(|(name, amount)| !(self.ignores(name) || zero_fits && **amount == 0))
            .map(|(name, amount)| (name, *amount))
            .collect();
        let asks_nothing =
            wanted.milli_cpu == 0 && wanted.memory == 0 && wanted.ephemeral_storage == 0 && wanted.scalar.is_empty();
        Demand::Check(Box::new(Room { release: self.release, wanted, scalars, asks_nothing }))
    }

    fn reads(&self, _: &Pod, _: &Snapshot) -> Reads {
        Reads::Node
    }
}

/// The needs of the pod.
struct Room<'a> {
    release: Release,
    wanted: &'a Resources,
    /// Those of its scalar resources that count.
    scalars: Vec<(&'a Name, i64)>,
    /// `true` if it needs only a place.
    asks_nothing: bool,
}

impl Check for Room<'_> {
    fn check(&self, node: &NodeInfo) -> Verdict {
        let mut shortage = Shortage { release: self.release, reasons: Vec::new(), unresolvable: false };
        if node.pods.len() as i64 >= node.node.allocatable.pods {
            shortage.reasons.push("Too many pods".into());
        }
        if !self.asks_nothing {
            shortage.find(self.wanted, &self.scalars, node);
        }
        shortage.verdict()
    }

    fn sift(&self, block: &Block, asked: u64) -> u64 {
        let mut left = at_least(&block.free_places, 1, asked);
        let Resources { milli_cpu, memory, ephemeral_storage, .. } = *self.wanted;
        let counted = block.counted(self.release);
        let columns = [&counted.cpu.free, &counted.memory.free, &counted.ephemeral_storage.free];
        for (wanted, free) in [milli_cpu, memory, ephemeral_storage].into_iter().zip(columns) {
            if !self.asks_nothing && is_asked(wanted, self.release) {
                left = at_least(free, wanted, left);
            }
        }
        if self.scalars.is_empty() {
            return left;
        }
        pick(left, |at| self.check(block.node_ref(at).info()).fits())
    }
}

/// `true` if this much of a resource is compared with what is free.
fn is_asked(wanted: i64, release: Release) -> bool {
    wanted > 0 || !release.facts().zero_requests_fit
}

/// The shortages of one node.
struct Shortage {
    release: Release,
    reasons: Vec<Reason>,
    unresolvable: bool,
}

impl Shortage {
    fn find(&mut self, wanted: &Resources, scalars: &[(&Name, i64)], node: &NodeInfo) {
        let (offered, taken) = (&node.node.allocatable, &*node.held(self.release));
        self.compare(wanted.milli_cpu, offered.milli_cpu, taken.milli_cpu, || "Insufficient cpu".into());
        self.compare(wanted.memory, offered.memory, taken.memory, || "Insufficient memory".into());
        let storage = (wanted.ephemeral_storage, offered.ephemeral_storage, taken.ephemeral_storage);
        self.compare(storage.0, storage.1, storage.2, || "Insufficient ephemeral-storage".into());
        for (name, amount) in scalars {
            self.compare(*amount, offered.get(name), taken.get(name), || format!("Insufficient {name}").into());
        }
    }

    fn compare(&mut self, wanted: i64, offered: i64, taken: i64, reason: impl FnOnce() -> Reason) {
        if is_asked(wanted, self.release) && wanted > offered.saturating_sub(taken) {
            self.reasons.push(reason());
            self.unresolvable |= self.release.facts().request_beyond_capacity_is_unresolvable && wanted > offered;
        }
    }

    fn verdict(self) -> Verdict {
        match self {
            Self { reasons, .. } if reasons.is_empty() => Verdict::Fits,
            Self { reasons, unresolvable: true, .. } => Verdict::UnschedulableAndUnresolvable(reasons),
            Self { reasons, .. } => Verdict::Unschedulable(reasons),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{IGNORED, IGNORED_GROUPS};
    use crate::testing::{PodBuilder, node, pod, predicate, verdict_of};
    use crate::{
        rule::{Arguments, Release},
        snapshot::Object,
        verdict::Verdict,
    };

    /// On a node with 2 CPUs, 4Gi, 10 GPUs and room for 3 pods, where a pod holds 1500m, 1Gi and 4 GPUs.
    fn verdict(release: Release, pod: PodBuilder) -> Verdict {
        let mut arguments = Arguments::defaults(release);
        arguments.set(&IGNORED, vec!["example.com/managed".into()]);
        arguments.set(&IGNORED_GROUPS, vec!["fpga.example.com".into()]);
        on_the_node(&arguments, pod)
    }

    fn on_the_node(arguments: &Arguments, pod: PodBuilder) -> Verdict {
        let rule = predicate("PodFitsResources", arguments);
        let node = node("n").cpu("2").memory("4Gi").offers("pods", "3").offers("nvidia.com/gpu", "10");
        let there = crate::testing::pod("there").cpu("1500m").memory("1Gi").requests("nvidia.com/gpu", "4").on("n");
        verdict_of(&*rule, pod, &[Object::from(node), there.into()], "n")
    }

    #[test]
    fn the_free_amount_must_cover_the_request() {
        let cases: &[(PodBuilder, &[&str])] = &[
            (pod("empty"), &[]),
            // 2000 - 1500 = 500
            (pod("just").cpu("500m"), &[]),
            (pod("over").cpu("501m"), &["Insufficient cpu"]),
            // 300 + 200 = 500; 300 + 201 = 501
            (pod("two").cpu("300m").container(&[("cpu", "200m")]), &[]),
            (pod("two").cpu("300m").container(&[("cpu", "201m")]), &["Insufficient cpu"]),
            // max(100, 600) = 600
            (pod("init").cpu("100m").init(&[("cpu", "600m")]), &["Insufficient cpu"]),
            // 450 + 51 = 501
            (pod("overhead").cpu("450m").overhead(&[("cpu", "51m")]), &["Insufficient cpu"]),
            // 10 - 4 = 6
            (pod("gpus").requests("nvidia.com/gpu", "6"), &[]),
            (
                pod("all").cpu("1").memory("4Gi").requests("ephemeral-storage", "1").requests("nvidia.com/gpu", "7"),
                &[
                    "Insufficient cpu",
                    "Insufficient memory",
                    "Insufficient ephemeral-storage",
                    "Insufficient nvidia.com/gpu",
                ],
            ),
            (pod("ignored").requests("example.com/managed", "1").requests("fpga.example.com/a", "1"), &[]),
            (pod("unknown").requests("no-such-resource", "1"), &[]),
        ];
        for release in [Release::V1_22, Release::V1_34] {
            for (pod, reasons) in cases {
                assert_eq!(verdict(release, pod.clone()).reasons(), *reasons, "{:?}", pod.clone().build().name);
            }
        }
    }

    #[test]
    fn a_request_above_all_that_the_node_has_is_unresolvable_in_1_34() {
        let (resolvable, beyond) = (pod("p").cpu("2"), pod("p").cpu("2001m").memory("4Gi"));
        assert_eq!(verdict(Release::V1_34, resolvable), Verdict::unschedulable("Insufficient cpu"));
        assert!(verdict(Release::V1_34, beyond.clone()).is_unresolvable());
        assert!(!verdict(Release::V1_22, beyond).is_unresolvable());
    }

    #[test]
    fn v1_22_rejects_overcommitted_resources_that_are_not_requested() {
        let objects: [Object; 2] = [node("n").cpu("1").memory("1Gi").into(), pod("there").cpu("2").on("n").into()];
        let reasons = |release, pod| {
            let rule = predicate("PodFitsResources", &Arguments::defaults(release));
            verdict_of(&*rule, pod, &objects, "n").reasons().to_vec()
        };
        // 0 > 1000 - 2000, once anything is requested
        assert_eq!(reasons(Release::V1_22, pod("p").memory("1Mi")), ["Insufficient cpu"]);
        assert_eq!(reasons(Release::V1_22, pod("p").requests("example.com/foo", "0")), ["Insufficient cpu"]);
        assert!(reasons(Release::V1_22, pod("p").cpu("0")).is_empty());
        assert!(reasons(Release::V1_34, pod("p").memory("1Mi")).is_empty());
        assert!(reasons(Release::V1_34, pod("p").requests("example.com/foo", "0")).is_empty());
    }

    #[test]
    fn a_full_node_takes_no_pod_however_small() {
        let objects: [Object; 2] = [node("n").offers("pods", "1").into(), pod("there").on("n").into()];
        let rule = predicate("PodFitsResources", &Arguments::defaults(Release::V1_34));
        assert_eq!(verdict_of(&*rule, pod("p"), &objects, "n"), Verdict::unschedulable("Too many pods"));
    }
}
