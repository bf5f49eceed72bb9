//! Tables, with the arithmetic above each expectation. Nodes have 4 CPUs unless told; numbers in names are priorities.

mod properties;
mod rules;

use std::sync::LazyLock;

use super::*;
use crate::testing::{PodBuilder, budget, cluster, device_class, node, pod, resource_claim, wants};
use crate::{
    policy::{Configuration, Policy},
    snapshot::Object,
};

pub(super) static V1_22: LazyLock<Profile> =
    LazyLock::new(|| Policy::default().compile().expect("the default policy compiles"));
pub(super) static V1_34: LazyLock<Profile> =
    LazyLock::new(|| Configuration::default().compile(None).expect("the default profile compiles"));

/// A pod with a priority and a number of CPUs.
pub(super) fn ranked(name: &str, priority: i32, cpu: &str) -> PodBuilder {
    pod(name).priority(priority).cpu(cpu)
}

/// Nodes of 4 CPUs each with pods on them.
pub(super) fn on_nodes<const N: usize>(names: [&str; N], more: impl IntoIterator<Item = Object>) -> Snapshot {
    cluster(names.map(|name| node(name).cpu("4").into()).into_iter().chain(more))
}

/// The candidates as `node: victim victim (budgets broken)`, and the node selected.
pub(super) fn told(profile: &Profile, pod: &PodBuilder, snapshot: &Snapshot) -> (Vec<String>, String) {
    let attempt = attempt(profile, &pod.clone().build(), snapshot, 0);
    let line = |candidate: &Candidate| {
        let victims: Vec<&str> = candidate.victims.iter().map(|victim| &*victim.name).collect();
        format!("{}: {} ({})", candidate.node, victims.join(" "), candidate.pdb_violations)
    };
    (attempt.candidates.iter().map(line).collect(), attempt.selected.as_deref().unwrap_or_default().to_owned())
}

fn victims(profile: &Profile, pod: &PodBuilder, snapshot: &Snapshot) -> String {
    told(profile, pod, snapshot).0.join(", ")
}

fn message(profile: &Profile, pod: &PodBuilder, snapshot: &Snapshot) -> String {
    attempt(profile, &pod.clone().build(), snapshot, 0).message
}

#[test]
fn the_least_important_leave_first() {
    let full =
        || ["low 1", "mid 2", "late 3", "early 3"].map(|text| text.split_once(' ').expect("a name and a priority"));
    let snapshot = on_nodes(
        ["a"],
        full().into_iter().zip(10..).map(|((name, priority), at)| {
            let priority: i32 = priority.parse().expect("a priority");
            // `late` starts at 12, `early` at 13 − 10.
            let start = if name == "early" { 3 } else { at };
            ranked(name, priority, "1").started(start).on("a").into()
        }),
    );
    for profile in [&*V1_22, &*V1_34] {
        // 4 CPUs are free without all four; early and late come back (4 − 2 = 2), mid and low may not (4 − 3 < 2).
        assert_eq!(victims(profile, &ranked("new", 10, "2"), &snapshot), "a: mid low (0)");
        // 4 − 3 = 1: all but low come back.
        assert_eq!(victims(profile, &ranked("new", 10, "1"), &snapshot), "a: low (0)");
        // Of priority 3 are pods that are not below 3: only mid and low may leave, and 4 − 2 = 2.
        assert_eq!(victims(profile, &ranked("new", 3, "2"), &snapshot), "a: mid low (0)");
        assert_eq!(victims(profile, &ranked("new", 3, "3"), &snapshot), "");
        // A pod as large as the node: early is the more important of the two of priority 3.
        assert_eq!(victims(profile, &ranked("new", 10, "4"), &snapshot), "a: early late mid low (0)");
    }
}

#[test]
fn a_small_pod_may_stay_where_a_larger_less_important_one_must_go() {
    // Without both 4 CPUs are free. big-2 comes back: 4 − 3 < 2, no. small-1 comes back: 4 − 1 ≥ 2.
    let pods = [ranked("big-2", 2, "3").on("a").into(), ranked("small-1", 1, "1").on("a").into()];
    assert_eq!(victims(&V1_22, &ranked("new", 10, "2"), &on_nodes(["a"], pods)), "a: big-2 (0)");
}

#[test]
fn pods_that_a_budget_keeps_come_back_first() {
    let pods = |budgets: Vec<Object>| {
        let guarded = |name: &str, priority| ranked(name, priority, "1").label("app", "db").on("a").into();
        let plain = |name: &str, priority| ranked(name, priority, "1").on("a").into();
        on_nodes(
            ["a"],
            [guarded("db-1", 1), guarded("db-2", 2), plain("x-3", 3), plain("x-4", 4)].into_iter().chain(budgets),
        )
    };
    let two = ranked("new", 10, "2");
    let cases = [
        // Without budgets the two least important go.
        ("no budget", vec![], "a: db-2 db-1 (0)"),
        // Neither db may go: both come back first, 4 − 2 = 2, and the others cannot.
        ("none may go", vec![budget("db", "app=db", 0)], "a: x-4 x-3 (0)"),
        // db-2, the more important, uses the one disruption up, so db-1 would break the budget and comes back first; then
        // x-4 (4 − 2 = 2), and no more.
        ("one may go", vec![budget("db", "app=db", 1)], "a: x-3 db-2 (0)"),
        ("two may go", vec![budget("db", "app=db", 2)], "a: db-2 db-1 (0)"),
        // Each budget is counted for itself: the second does not let db-1 go either, nor db-2.
        ("two budgets", vec![budget("one", "app=db", 2), budget("two", "app=db", 0)], "a: x-4 x-3 (0)"),
        ("the empty selector keeps nobody", vec![budget("all", "", 0)], "a: db-2 db-1 (0)"),
    ];
    for (why, budgets, expected) in cases {
        assert_eq!(victims(&V1_22, &two, &pods(budgets)), expected, "{why}");
    }
    // 3 CPUs: one of four comes back. db-2 and db-1 break the budget; db-2 comes back, db-1 does not.
    let none = pods(vec![budget("db", "app=db", 0)]);
    assert_eq!(victims(&V1_22, &ranked("new", 10, "3"), &none), "a: db-1 x-4 x-3 (1)", "1.22: broken budgets first");
    assert_eq!(victims(&V1_34, &ranked("new", 10, "3"), &none), "a: x-4 x-3 db-1 (1)", "1.34: by importance");
}

#[test]
fn a_victim_is_charged_as_an_eviction_is() {
    let of = |victim: PodBuilder, change: fn(&mut crate::model::PodDisruptionBudget)| {
        let Object::PodDisruptionBudget(mut changed) = budget("db", "app=db", 2) else { unreachable!() };
        change(&mut changed);
        let snapshot = on_nodes(["a"], [Object::PodDisruptionBudget(changed)]);
        let twice = [Arc::new(victim.clone().build()), Arc::new(victim.with(|pod| pod.name = "db-2".into()).build())];
        super::charges(&twice, &snapshot).iter().map(|(_, used)| *used).sum::<i32>()
    };
    let ready = || ranked("db-1", 1, "4").label("app", "db").on("a").with(|pod| pod.ready = true);
    assert_eq!(of(ready(), |_| ()), 2);
    assert_eq!(of(ready(), |b| b.disruptions_allowed = 1), 1, "never below 0");
    assert_eq!(of(ready(), |b| b.disruptions_allowed = -1), 0);
    assert_eq!(of(ready(), |b| b.namespace = "prod".into()), 0);
    assert_eq!(of(ready(), |b| b.selector = None), 0);
    assert_eq!(of(ready(), |b| b.disrupted_pods = vec!["db-1".into()]), 1, "it was charged already");
    assert_eq!(of(ready().with(|pod| pod.terminating = true), |_| ()), 0);
    assert_eq!(of(ready().with(|pod| pod.pending = true), |_| ()), 0);
    assert_eq!(of(ready().with(|pod| pod.ready = false), |_| ()), 2);
    assert_eq!(of(ready().with(|pod| pod.ready = false), |b| b.spares_unready = true), 0);
}

#[test]
fn budgets_apply_in_their_namespace_and_skip_disrupted_pods() {
    let of = |change: fn(&mut crate::model::PodDisruptionBudget)| {
        let Object::PodDisruptionBudget(mut changed) = budget("db", "app=db", 0) else { unreachable!() };
        change(&mut changed);
        let pods = [ranked("db-1", 1, "4").label("app", "db").on("a").into()];
        let objects = pods.into_iter().chain([Object::PodDisruptionBudget(changed)]);
        victims(&V1_22, &ranked("new", 10, "4"), &on_nodes(["a"], objects))
    };
    assert_eq!(of(|_| ()), "a: db-1 (1)");
    assert_eq!(of(|b| b.namespace = "prod".into()), "a: db-1 (0)");
    assert_eq!(of(|b| b.selector = None), "a: db-1 (0)");
    assert_eq!(of(|b| b.disrupted_pods = vec!["db-1".into()]), "a: db-1 (0)");
    assert_eq!(of(|b| b.disruptions_allowed = i32::MIN), "a: db-1 (1)");
}

#[test]
fn nodes_are_compared_by_the_harm_done() {
    let new = ranked("new", 1000, "4");
    let at = |name: &str, priority, start| ranked(name, priority, "1").started(start);
    let cases: [(&str, Vec<PodBuilder>, Vec<PodBuilder>, &str); 8] = [
        ("fewer budgets broken", vec![at("p", 1, 0).label("app", "db")], vec![at("q", 900, 0)], "b"),
        ("the lower highest priority", vec![at("p", 5, 0)], vec![at("q", 4, 0), at("r", 4, 0)], "b"),
        // 5 + 4 + 2 × 2³¹ against 5 + 3 + 2 × 2³¹
        ("the smaller sum", vec![at("p", 5, 0), at("q", 4, 0)], vec![at("r", 5, 0), at("s", 3, 0)], "b"),
        // Priorities below 0 do not make many victims cheap: −5 − 5 + 2 × 2³¹ is more than −5 + 2³¹.
        ("fewer of low priority", vec![at("p", -5, 0), at("q", -5, 0)], vec![at("r", -5, 0)], "b"),
        // 2³¹ − 2³¹ = 0 more: the sums are equal, one victim is fewer than two.
        ("fewer", vec![at("p", 5, 0), at("q", i32::MIN, 0)], vec![at("r", 5, 0)], "b"),
        ("the later start", vec![at("p", 5, 100)], vec![at("q", 5, 200)], "b"),
        // Of those of priority 5 the earliest count: 150 against 120. The one of priority 4 does not count.
        (
            "of the highest alone",
            vec![at("p", 5, 120), at("q", 5, 300), at("r", 4, 500)],
            vec![at("s", 5, 150), at("t", 5, 160), at("u", 4, 1)],
            "b",
        ),
        ("one that has not started is the latest", vec![at("p", 5, 100)], vec![ranked("q", 5, "1")], "b"),
    ];
    for (why, on_a, on_b, expected) in cases {
        for (a, b) in [("a", "b"), ("b", "a")] {
            // The node that wins is so called in one round and the other in the next.
            let swapped = if a == "a" { expected } else { "a" };
            let pods = on_a.iter().map(|p| p.clone().on(a)).chain(on_b.iter().map(|p| p.clone().on(b)));
            let pods = pods.map(Object::from).chain([budget("db", "app=db", 0)]);
            for profile in [&*V1_22, &*V1_34] {
                assert_eq!(told(profile, &new, &on_nodes(["a", "b"], pods.clone())).1, swapped, "{why}");
            }
        }
    }
}

#[test]
fn in_1_22_a_broken_budget_hides_the_highest_victim() {
    // On each node 5 CPUs are asked and one budget is broken. a: low-1 (kept by a budget) and high-9; b: low-2 and mid-3.
    let guarded = |name: &str, priority| ranked(name, priority, "2").label("app", "db");
    let pods = [
        guarded("low-1", 1).on("a"),
        ranked("high-9", 9, "2").on("a"),
        guarded("low-2", 2).on("b"),
        ranked("mid-3", 3, "2").on("b"),
    ];
    let objects = pods.map(Object::from).into_iter().chain([budget("db", "app=db", 0)]);
    let snapshot = on_nodes(["a", "b"], objects);
    let new = ranked("new", 10, "4");
    let expected = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
    // The first victims are 1 and 2: a. By the highest, 9 and 3: b.
    let old = (expected("a: low-1 high-9 (1)", "b: low-2 mid-3 (1)"), "a".to_owned());
    assert_eq!(told(&V1_22, &new, &snapshot), old);
    let modern = (expected("a: high-9 low-1 (1)", "b: mid-3 low-2 (1)"), "b".to_owned());
    assert_eq!(told(&V1_34, &new, &snapshot), modern);
}

#[test]
fn equals_are_chosen_from_by_the_seed_and_the_same_way_each_time() {
    let names = ["a", "b", "c", "d"];
    let snapshot = on_nodes(names, names.map(|on| ranked(on, 1, "4").started(5).on(on).into()));
    let new = ranked("new", 10, "1").build();
    let chosen = |seed| attempt(&V1_22, &new, &snapshot, seed).selected.expect("four candidates");
    let all: std::collections::BTreeSet<Name> = (0..64).map(chosen).collect();
    assert_eq!(all.len(), 4, "each is chosen by some seed");
    assert!((0..8).all(|seed| chosen(seed) == chosen(seed)));
}

#[test]
fn not_more_nodes_are_tried_than_the_profile_asks_for() {
    let names = ["a", "b", "c", "d"];
    let limited = |percentage, absolute| {
        let limits =
            PreemptionLimits { min_candidate_nodes_percentage: percentage, min_candidate_nodes_absolute: absolute };
        let policy = Policy::default().compile().expect("the default policy compiles");
        Profile { preemption: Some(limits), ..policy }
    };
    let new = ranked("new", 10, "1").build();
    let found = |profile: &Profile, snapshot: &Snapshot, seed| {
        let candidates = attempt(profile, &new, snapshot, seed).candidates;
        candidates.iter().map(|candidate| candidate.node.to_string()).collect::<String>()
    };
    let low = names.map(|on| Object::from(ranked(on, 1, "4").label("on", on).on(on)));
    let snapshot = on_nodes(names, low.clone());
    // 25 % of 4 is 1; the larger of both counts; never more than all.
    for (percentage, absolute, count) in [(25, 0, 1), (50, 1, 2), (0, 3, 3), (10, 100, 4)] {
        let profile = limited(percentage, absolute);
        let nodes = found(&profile, &snapshot, 3);
        assert_eq!(nodes.len(), count, "{percentage} % or {absolute}");
        assert!("abcdabcd".contains(&nodes), "one after another, from where the seed says: {nodes}");
    }
    let starts: std::collections::BTreeSet<String> =
        (0..64).map(|seed| found(&limited(25, 0), &snapshot, seed)).collect();
    assert_eq!(starts.len(), 4);
    // Trying goes on until one node breaks no budget: it stands first, and besides it one that does.
    let guarded = ["a", "b", "c"].map(|on| budget(on, &format!("on={on}"), 0));
    let snapshot = on_nodes(names, low.into_iter().chain(guarded));
    assert!((0..16).all(|seed| found(&limited(0, 1), &snapshot, seed).starts_with('d')));
    let off = Profile { preemption: None, ..limited(0, 1) };
    assert_eq!(attempt(&off, &new, &snapshot, 0).message, "preemption is turned off");
}

/// The words are those of kube-scheduler 1.34.1 about the same pods.
#[test]
fn notes_tell_of_claims_before_preemption() {
    let claim = resource_claim("one").request(wants("gpu", 1)).into();
    let snapshot = cluster([node("a").cpu("1").into(), device_class("gpu", &[]), claim]);
    let note = |profile: &Profile, pod: PodBuilder| attempt(profile, &pod.build(), &snapshot, 0).note;
    let preemption = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    let of_claims = |words: &str| Some(format!("{words}, {preemption}"));
    assert_eq!(note(&V1_34, pod("plain").cpu("9")), of_claims("no new claims to deallocate"));
    assert_eq!(note(&V1_34, pod("big").cpu("9").devices("one")), of_claims("still not schedulable"));
    assert_eq!(note(&V1_34, pod("claims").devices("one")), of_claims("still not schedulable"), "there is no device");
    assert_eq!(note(&V1_34, pod("claims").devices("none")), of_claims("no new claims to deallocate"));
    assert_eq!(note(&V1_34, pod("mounts").claim("none")), Some("not found".into()), "refused before claims are read");
    assert_eq!(note(&V1_22, pod("plain").cpu("9")), None);
}

#[test]
fn ineligible_preemptors_get_a_reason() {
    let snapshot = on_nodes(["a"], [ranked("low", 1, "4").on("a").into()]);
    let never =
        ranked("new", 10, "1").with(|p| p.spec_mut().preemption_policy = Some(crate::model::PreemptionPolicy::Never));
    assert_eq!(message(&V1_34, &never, &snapshot), "not eligible due to preemptionPolicy=Never.");
    let nothing = "0/1 nodes are available: 1 No preemption victims found for incoming pod.";
    assert_eq!(message(&V1_34, &ranked("new", 1, "1"), &snapshot), nothing);
    let large = message(&V1_22, &ranked("new", 10, "5"), &snapshot);
    assert_eq!(large, "0/1 nodes are available: 1 Insufficient cpu.", "1.22 tries though the node is too small");
    let unresolvable = "0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    assert_eq!(message(&V1_34, &ranked("new", 10, "5"), &snapshot), unresolvable, "1.34 knows");
    let elsewhere =
        ranked("new", 10, "0").with(|p| p.spec_mut().node_selector = [("disk", "ssd")].into_iter().collect());
    assert_eq!(message(&V1_22, &elsewhere, &snapshot), unresolvable);
    assert_eq!(message(&V1_22, &ranked("new", 10, "0"), &snapshot), "the pod fits on a as it is");
    assert_eq!(message(&V1_22, &ranked("new", 10, "1"), &Snapshot::default()), NO_NODES);
}

#[test]
fn a_pod_whose_victims_are_still_leaving_waits() {
    let leaving = |preempted| ranked("low", 1, "4").on("a").terminating().with(|p| p.preempted = preempted).into();
    let new = ranked("new", 10, "1");
    let waits = |profile: &Profile, new: &PodBuilder, preempted| {
        let snapshot = on_nodes(["a", "b"], [leaving(preempted), ranked("other", 1, "4").on("b").into()]);
        message(profile, new, &snapshot) == "not eligible due to a terminating pod on the nominated node."
    };
    let nominated = new.clone().nominated("a");
    assert!(waits(&V1_22, &nominated, false) && waits(&V1_22, &nominated, true));
    assert!(!waits(&V1_34, &nominated, false), "deleted for another reason, whenever that will be");
    assert!(waits(&V1_34, &nominated, true));
    assert!(!waits(&V1_22, &new, true), "nominated to no node");
    assert!(!waits(&V1_22, &new.clone().nominated("b"), true), "nobody leaves there");
    assert!(!waits(&V1_22, &nominated.clone().priority(1), true), "for whom the pod does not leave");
    let unresolvable = ranked("new", 10, "0").nominated("a");
    let unresolvable = unresolvable.with(|p| p.spec_mut().node_selector = [("disk", "ssd")].into_iter().collect());
    assert!(!waits(&V1_22, &unresolvable, true), "the nominated node has become impossible");
}

#[test]
fn a_proposal_lists_the_nominations_that_it_clears() {
    let objects = [
        ranked("low", 1, "4").on("a").into(),
        ranked("waits-5", 5, "1").nominated("a").into(),
        ranked("waits-20", 20, "1").nominated("a").into(),
        ranked("elsewhere-5", 5, "1").nominated("b").into(),
    ];
    let snapshot = on_nodes(["a"], objects);
    let found = select(&V1_22, &ranked("new", 10, "2").build(), &snapshot, 0).expect("a has room without low");
    assert_eq!((&*found.node, found.pdb_violations, found.candidates), ("a", 0, 1));
    let names = |pods: &[Arc<Pod>]| pods.iter().map(|p| p.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&found.victims), ["low"]);
    assert_eq!(names(&found.nominations_to_clear), ["waits-5"]);
    assert_eq!(select(&V1_22, &ranked("new", 1, "2").build(), &snapshot, 0), None);
}
