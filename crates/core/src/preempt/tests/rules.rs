//! Predicates that look beyond the node, while pods come and go on it.

use super::{V1_22, V1_34, on_nodes, ranked, told};
use crate::testing::{PodBuilder, cluster, node, predicate, pvc, service};
use crate::{
    cycle,
    model::{AccessMode, WhenUnsatisfiable::DoNotSchedule, topology::HOSTNAME},
    policy::{ActivePredicate, Profile},
    rule::{Arguments, Release},
    snapshot::{Object, Snapshot},
};

fn victims(profile: &Profile, pod: &PodBuilder, snapshot: &Snapshot) -> String {
    told(profile, pod, snapshot).0.join(", ")
}

fn fits(profile: &Profile, pod: PodBuilder, snapshot: &Snapshot) -> bool {
    cycle::decide(profile, &pod.build(), snapshot, 0).selected.is_some()
}

#[test]
fn preemption_resolves_anti_affinity_both_ways() {
    let web = |name: &str, priority| ranked(name, priority, "1").label("app", "web");
    let shy = |name: &str, priority| web(name, priority).anti_affinity("app=web", HOSTNAME);
    let plain = ranked("plain-1", 1, "1").on("a");
    for profile in [&*V1_22, &*V1_34] {
        let on_a = |pod: PodBuilder| on_nodes(["a"], [pod.on("a").into(), plain.clone().into()]);
        assert_eq!(victims(profile, &shy("new", 10), &on_a(web("web-2", 2))), "a: web-2 (0)");
        assert_eq!(victims(profile, &web("new", 10), &on_a(shy("shy-2", 2))), "a: shy-2 (0)");
        assert_eq!(victims(profile, &web("new", 10), &on_a(shy("shy-20", 20))), "", "of higher priority");
    }
}

#[test]
fn a_group_may_be_started_anew_where_its_only_pod_leaves() {
    // new wants the company of its own group, whose one pod holds 3 of 4 CPUs on a. Without it no domain has one.
    let group = |name: &str, priority, cpu| ranked(name, priority, cpu).label("app", "db").affinity("app=db", HOSTNAME);
    let snapshot = on_nodes(["a"], [group("db-1", 1, "3").on("a").into()]);
    let with_another =
        on_nodes(["a", "b"], [group("db-1", 1, "3").on("a").into(), group("db-20", 20, "3").on("b").into()]);
    for profile in [&*V1_22, &*V1_34] {
        assert_eq!(victims(profile, &group("new", 10, "2"), &snapshot), "a: db-1 (0)");
        assert_eq!(
            victims(profile, &group("new", 10, "2"), &with_another),
            "",
            "the group is on b, where it cannot go"
        );
    }
}

#[test]
fn pods_spread_leave_until_the_skew_allows_one_more() {
    let web = |name: &str, priority| ranked(name, priority, "1").label("app", "web");
    let new = web("new", 10).spread(1, HOSTNAME, DoNotSchedule, "app=web");
    let pods = || [web("w-1", 1).on("a"), web("w-2", 2).on("a"), web("w-20", 20).on("b")];
    let full = ranked("full-20", 20, "3").on("b");
    for profile in [&*V1_22, &*V1_34] {
        let snapshot = on_nodes(["a", "b"], pods().into_iter().chain([full.clone()]).map(Object::from));
        // a: 2 + 1 − 1 = 2 > 1. Without both 0 + 1 − 0 = 1; with w-2 back 1 + 1 − 1 = 1; with both 2.
        assert_eq!(victims(profile, &new, &snapshot), "a: w-1 (0)");
    }
}

#[test]
fn pods_that_are_leaving_are_not_counted_but_their_going_is() {
    // a holds 2 pods, one of them leaving: 1 is counted, b has 0. The leaving one's departure is subtracted too: without
    // both 1 − 2 = −1, with w-2 back 0, so 0 + 1 − 0 = 1 and w-1 need not go: 1 + 1 − 0 = 2 > 1, but it must.
    let web = |name: &str, priority| ranked(name, priority, "1").label("app", "web");
    let new = web("new", 10).spread(1, HOSTNAME, DoNotSchedule, "app=web");
    let leaving = web("w-2", 2).terminating().on("a");
    let full = ranked("full-20", 20, "4").on("b");
    let snapshot = on_nodes(["a", "b"], [web("w-1", 1).on("a"), leaving, full].map(Object::from));
    for profile in [&*V1_22, &*V1_34] {
        assert_eq!(victims(profile, &new, &snapshot), "a: w-1 (0)");
    }
}

#[test]
fn a_claim_for_one_pod_is_freed_by_the_pod_that_has_it() {
    let claim = || pvc("mine").with(|claim| claim.access_modes = vec![AccessMode::ReadWriteOncePod]).into();
    let rule = |release| Profile {
        predicates: vec![ActivePredicate {
            name: "NoDiskConflict",
            plugin: "VolumeRestrictions",
            rule: predicate("NoDiskConflict", &Arguments::defaults(release)),
        }],
        ..Profile::empty(release)
    };
    let objects = [claim(), ranked("old-1", 1, "1").claim("mine").on("a").into()];
    let snapshot = on_nodes(["a", "b"], objects);
    let new = ranked("new", 10, "1").claim("mine");
    assert_eq!(victims(&rule(Release::V1_34), &new, &snapshot), "a: old-1 (0)", "on b nobody has it");
}

#[test]
fn pods_of_a_service_that_leave_free_its_labels_unless_they_come_back_last() {
    let mut arguments = Arguments::defaults(Release::V1_22);
    arguments.set(&crate::predicates::check_service_affinity::LABELS, vec!["rack".into()]);
    let with = |name, plugin| ActivePredicate { name, plugin, rule: predicate(name, &arguments) };
    let profile = Profile {
        predicates: vec![with("PodFitsResources", "NodeResourcesFit"), with("CheckServiceAffinity", "ServiceAffinity")],
        ..Profile::empty(Release::V1_22)
    };
    let web = |name: &str, priority, cpu| ranked(name, priority, cpu).label("app", "web");
    let rack = |name: &str, rack: &str| node(name).cpu("4").label("rack", rack).into();
    // The service's home is a (r1). On a web-1 leaves, and web-5 on b (r2) is then the first: a is of another rack. So
    // no eviction helps on a, and b's rack is wrong as long as web-1 is on a.
    let mut objects = vec![rack("a", "r1"), rack("b", "r2"), service("web", "app=web")];
    objects.push(web("web-1", 1, "4").on("a").into());
    let home_alone = cluster(objects.clone());
    objects.push(web("web-5", 5, "4").on("b").into());
    let new = ranked("new", 10, "4").label("app", "web").with(|p| p.labels = [("app", "web")].into_iter().collect());
    assert_eq!(victims(&profile, &new, &home_alone), "a: web-1 (0)", "then no pod of the service is left");
    assert_eq!(victims(&profile, &new, &cluster(objects)), "");
}

#[test]
fn pods_nominated_to_a_node_count_as_if_they_ran_there() {
    let waiting = |priority| ranked("waits", priority, "3").nominated("a");
    let fits_beside = |profile: &Profile, priority| {
        fits(profile, ranked("new", 10, "2"), &on_nodes(["a"], [waiting(priority).into()]))
    };
    for profile in [&*V1_22, &*V1_34] {
        // 4 − 3 < 2
        assert!(!fits_beside(profile, 10) && !fits_beside(profile, 11));
        assert!(fits_beside(profile, 9), "to a pod of lower priority nobody yields");
        let itself = on_nodes(["a"], [waiting(10).into()]);
        assert!(fits(profile, waiting(10), &itself), "nor to oneself");
        // With the company that is to come it fits, without it does not: it must in both cases.
        let lonely = ranked("new", 10, "0").affinity("app=db", HOSTNAME);
        let company = ranked("waits", 10, "1").label("app", "db");
        assert!(!fits(profile, lonely.clone(), &on_nodes(["a"], [company.clone().nominated("a").into()])));
        assert!(fits(profile, lonely, &on_nodes(["a"], [company.on("a").into()])));
        // A dry run makes room for both: 4 − 3 (waits) − 1 (new) = 0, so low must go.
        let snapshot = on_nodes(["a"], [waiting(10).into(), ranked("low", 1, "1").on("a").into()]);
        assert_eq!(victims(profile, &ranked("new", 10, "1"), &snapshot), "a: low (0)");
    }
}

#[test]
fn nominated_pods_count_for_anti_affinity_by_release() {
    let shy = |name: &str| ranked(name, 10, "1").anti_affinity("app=web", HOSTNAME);
    let web = || ranked("new", 10, "1").label("app", "web");
    let nominated = on_nodes(["a"], [shy("waits").nominated("a").into()]);
    assert!(!fits(&V1_22, web(), &nominated));
    assert!(fits(&V1_34, web(), &nominated), "1.34 skips the plugin");
    let elsewhere = [shy("waits").nominated("a").into(), shy("runs").on("b").into()];
    assert!(!fits(&V1_34, web(), &on_nodes(["a", "b"], elsewhere)));
}

#[test]
fn a_pod_goes_where_room_was_made_for_it() {
    let snapshot = on_nodes(["a", "b"], [ranked("x", 1, "3").on("a").into()]);
    let chosen = |pod: PodBuilder| cycle::decide(&V1_22, &pod.build(), &snapshot, 0).selected.map(|n| n.to_string());
    assert_eq!(chosen(ranked("new", 10, "1")).as_deref(), Some("b"), "the emptier");
    assert_eq!(chosen(ranked("new", 10, "1").nominated("a")).as_deref(), Some("a"));
    assert_eq!(chosen(ranked("new", 10, "2").nominated("a")).as_deref(), Some("b"), "it does not fit there any more");
}
