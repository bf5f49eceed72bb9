//! Blocks: judging many nodes at once equals judging each, for every rule of the registries.
//!
//! Every run has the same cases, so that the test can demand that each rule gives both answers.

use std::{collections::BTreeSet, sync::Arc};

use podberth::core::{
    argument::{Arguments, CapacityRatio, LabelPresence, ResourceWeight, ScoringStrategy, ShapePoint, Value},
    block::{Block, pick},
    model::{AvoidController, ConditionStatus, ControllerRef, PodClaim, PodClaimSource, Volume},
    node_info::NodeInfo,
    node_set::NodeSet,
    policy,
    predicates::{Build, Demand},
    rule::{Reads, Release},
};
use proptest::{
    strategy::ValueTree,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};

use super::*;

const CASES: usize = 128;

/// A cluster, a pod to be placed and which nodes of each block to ask about.
type Case = (Snapshot, Pod, Vec<u64>);

/// Nodes with properties that those of [`node`] do not need.
fn node_of_many(i: usize) -> impl Strategy<Value = Object> {
    let kinds = ["Ready", "MemoryPressure", "PIDPressure", "DiskPressure"];
    let status = select(vec![ConditionStatus::True, ConditionStatus::False, ConditionStatus::Unknown]);
    let conditions = vec((select(kinds.to_vec()), status), 0..3);
    let volumes = ["aws-ebs", "gce-pd", "azure-disk", "cinder"];
    let limits = vec((select(volumes.to_vec()), 0_i64..3), 0..3);
    let avoids = weighted(0.3, Just(AvoidController { kind: "ReplicaSet".into(), uid: "u1".into() }));
    (node(format!("n{i}")), conditions, limits, avoids).prop_map(|(mut node, conditions, limits, avoids)| {
        node.avoid_controllers = avoids.into_iter().collect();
        node.conditions = conditions.into_iter().map(|(kind, status)| (kind.into(), status)).collect();
        let limits = limits.into_iter().map(|(kind, most)| (format!("attachable-volumes-{kind}").into(), most));
        node.allocatable.scalar.extend(limits);
        Object::Node(node)
    })
}

fn asking() -> impl Strategy<Value = Pod> {
    let azure = || VolumeSource::AzureDisk { disk_name: "d1".into(), data_disk_uri: "d1".into() };
    let claim = |name: &'static str| VolumeSource::PersistentVolumeClaim { claim_name: name.into(), read_only: false };
    let volume = prop_oneof![Just(azure()), select(vec!["c0", "c1", "zoned"]).prop_map(claim)];
    let named = weighted(0.1, node_name());
    let owner = |uid: &str| ControllerRef {
        api_version: "apps/v1".into(),
        kind: "ReplicaSet".into(),
        name: "web".into(),
        uid: uid.into(),
    };
    let owner = weighted(0.5, select(vec!["u1", "u2"]).prop_map(owner));
    let more = (weighted(0.3, volume), weighted(0.05, Just(())), proptest::bool::weighted(0.05), owner);
    (pod("new".into(), named), more).prop_map(|(mut pod, (volume, gated, claims_resources, owner))| {
        pod.controller = owner.map(Arc::new).or(pod.controller);
        pod.spec_mut().limits = pod.spec.requests.clone();
        pod.volumes.extend(volume.map(|source| Volume { name: "v".into(), source }));
        if claims_resources {
            let source = PodClaimSource::Claim("gpu".into());
            pod.resource_claims = vec![PodClaim { name: "gpu".into(), source }];
        }
        pod.spec_mut().scheduling_gates = gated.iter().map(|()| "example.com/gate".into()).collect();
        pod
    })
}

/// Up to three blocks, with gaps where nodes went.
fn case() -> impl Strategy<Value = Case> {
    let nodes = (1_usize..150).prop_flat_map(|count| (0..count).map(node_of_many).collect::<Vec<_>>());
    let pods = (0_usize..40)
        .prop_flat_map(|count| (0..count).map(|i| pod(format!("p{i}"), of(node_name()))).collect::<Vec<_>>());
    let more = [pvc("zoned").bound_to("v1").into(), csi_node("n1").driver("csi.example.com", 0).into()];
    let rest: Vec<Object> = others().into_iter().chain(more).collect();
    let rest = proptest::sample::subsequence(rest.clone(), rest.len() - 2..=rest.len());
    let gone = vec(any::<Index>(), 0..10);
    (nodes, pods, rest, gone, asking(), any::<[u64; 3]>()).prop_map(|(nodes, pods, rest, gone, pod, masks)| {
        let names: Vec<Name> = nodes.iter().map(|node| key(node).2).collect();
        let pods = pods.into_iter().map(|pod| Object::Pod(Box::new(pod)));
        let mut snapshot: Snapshot = nodes.into_iter().chain(pods).chain(rest).collect();
        for at in gone {
            snapshot.delete(Kind::Node, &"".into(), at.get(&names));
        }
        (snapshot, pod, masks.to_vec())
    })
}

fn cases() -> impl Iterator<Item = Case> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let case = case();
    (0..CASES).map(move |_| case.new_tree(&mut runner).expect("nothing is filtered out").current())
}

/// Arguments with which every rule has an effect.
fn arguments(release: Release) -> Arguments {
    let weights = [("cpu", 2), ("memory", 1), ("example.com/gpu", 3), ("ephemeral-storage", 1)];
    let resources = weights.map(|(name, weight)| ResourceWeight { name: name.into(), weight }).to_vec();
    let presence =
        |label: &str, presence| Value::Presences(vec![LabelPresence { labels: vec![label.into()], presence }]);
    let point = |utilization, score| ShapePoint { utilization, score };
    let shape = vec![point(0, 0), point(70, 10), point(100, 3)];
    let strategy = ScoringStrategy { kind: "LeastAllocated".into(), resources: resources.clone(), shape: None };
    let values = [
        ("labelsPresence", presence("tier", false)),
        ("serviceAffinity", Value::Names(vec!["disk".into()])),
        ("labelPreference", presence("disk", true)),
        ("serviceAntiAffinity", Value::Names(vec!["disk".into()])),
        (
            "requestedToCapacityRatioArguments",
            Value::CapacityRatio(CapacityRatio { shape, resources: resources.clone() }),
        ),
        ("resources", Value::Resources(resources)),
        ("scoringStrategy", Value::Strategy(strategy)),
    ];
    let mut arguments = Arguments::defaults(release);
    for (name, value) in values {
        let mut all =
            policy::predicate_arguments().chain(policy::priority_arguments()).chain(policy::plugin_arguments());
        arguments.written.put(all.find(|argument| argument.name() == name).expect("it is declared"), value);
    }
    arguments
}

#[test]
fn a_block_is_sifted_as_its_nodes_are_checked() {
    let mut answers: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for (number, (snapshot, pod, masks)) in cases().enumerate() {
        for (registration, release) in
            predicates::ALL.iter().flat_map(|r| [Release::V1_22, Release::V1_34].map(|release| (r, release)))
        {
            // The members of a group are listed by themselves.
            let Build::Rule(build) = registration.build else { continue };
            let (name, rule) = (registration.identity.name, build(&arguments(release)));
            let [fit, refused] = answers.entry(name).or_default();
            let check = match rule.prepare(&pod, &snapshot) {
                Demand::Check(check) | Demand::OnlyNodes(_, check) => check,
                Demand::Nothing => {
                    *fit += 1;
                    continue;
                }
                Demand::Reject(_) => {
                    *refused += 1;
                    continue;
                }
            };
            for (part, mask) in snapshot.node_set().parts().iter().zip(&masks) {
                // All of them, some, and so few that they are asked one by one.
                for asked in [part.marked, part.marked & mask, part.marked & mask & mask >> 7 & mask >> 20 & mask >> 33]
                {
                    let node = |block: &Block, at: usize| -> bool { check.check(info(block, at)).fits() };
                    let expected = pick(asked, |at| node(part.block, at));
                    let sifted = check.sift(part.block, asked);
                    assert_eq!(sifted, expected, "{name} of {release:?}, case {number}: {asked:#x} asked");
                    *fit += expected.count_ones() as usize;
                    *refused += (asked & !expected).count_ones() as usize;
                }
            }
        }
    }
    for (name, [fit, refused]) in answers {
        assert!(fit > 0 && refused > 0, "{name}: {fit} fit and {refused} do not");
    }
}

fn info(block: &Block, at: usize) -> &NodeInfo {
    block.node_ref(at).info()
}

#[test]
fn a_score_that_depends_on_the_node_alone_is_the_same_in_any_company() {
    let mut scored: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
    for (number, (snapshot, pod, masks)) in cases().enumerate() {
        for (registration, release) in
            priorities::ALL.iter().flat_map(|r| [Release::V1_22, Release::V1_34].map(|release| (r, release)))
        {
            let (name, rule) = (registration.identity.name, (registration.build)(&arguments(release)));
            let reads = rule.reads(&pod, &snapshot);
            if reads > Reads::Node {
                continue;
            }
            let all = snapshot.node_set();
            let some =
                NodeSet::new(all.parts().iter().zip(&masks).map(|(part, mask)| (part.block, part.marked & mask)));
            for candidates in [all, some] {
                let scores = rule.score(&pod, &snapshot, &candidates);
                let together: Vec<i64> = (0..candidates.len()).map(|candidate| scores.of(candidate)).collect();
                let alone = |node_ref| rule.score(&pod, &snapshot, &std::iter::once(node_ref).collect()).of(0);
                let alone: Vec<i64> = candidates.iter().map(alone).collect();
                assert_eq!(together, alone, "{name} of {release:?}, case {number}");
                if reads == Reads::Node {
                    scored.entry(name).or_default().extend(alone);
                }
            }
        }
    }
    for (name, scores) in scored {
        assert!(scores.len() > 1 || name == "EqualPriority", "{name} scores {scores:?}");
    }
}
