use super::{Change, Suggestion, suggest};
use crate::testing::{PodBuilder, cluster, node, pod};
use crate::{
    model::{Effect, topology::ZONE},
    policy::{Policy, Profile},
    snapshot::Object,
};

fn suggestions(objects: Vec<Object>, pod: PodBuilder, alike: usize) -> Vec<Suggestion> {
    let profile: Profile = Policy::default().compile().expect("the default policy compiles");
    suggest(&profile, &pod.build(), &cluster(objects), alike)
}

fn first(objects: Vec<Object>, pod: PodBuilder) -> Vec<Change> {
    suggestions(objects, pod, 1).into_iter().next().map(|suggestion| suggestion.changes).unwrap_or_default()
}

#[test]
fn obstacles_are_named() {
    let full = || vec![node("a").cpu("4").into(), pod("r").cpu("3").on("a").into()];
    let lower = Change::LowerRequest { resource: "cpu".into(), from: 2000, to: 1000 };
    assert_eq!(first(full(), pod("p").cpu("2")), [lower]);

    let tainted = vec![node("a").taint("gpu", "yes", Effect::NoSchedule).into()];
    assert!(matches!(&first(tainted, pod("p"))[..], [Change::Tolerate(taint)] if &*taint.key == "gpu"));

    let unlabelled = vec![node("a").into()];
    let label = Change::LabelNode { node: "a".into(), key: "disk".into(), value: "ssd".into() };
    let wants_ssd = || pod("p").with(|p| p.spec_mut().node_selector = [("disk", "ssd")].into_iter().collect());
    assert_eq!(first(unlabelled.clone(), wants_ssd()), [label]);
    let all = suggestions(unlabelled, wants_ssd(), 1);
    assert!(all.iter().any(|s| s.changes == [Change::DropNodeSelector("disk".into())]));

    let port = vec![node("a").into(), pod("r").host_port(80).on("a").into()];
    assert!(matches!(&first(port, pod("p").host_port(80))[..], [Change::DropHostPort(port)] if port.port == 80));
    assert_eq!(first(vec![node("a").unschedulable().into()], pod("p")), [Change::Uncordon("a".into())]);
}

#[test]
fn rules_about_other_pods_are_named_where_nothing_else_is_in_the_way() {
    let company = vec![node("a").zone("z").into(), pod("r").label("app", "web").on("a").into()];
    let all = suggestions(company, pod("p").anti_affinity("app=web", ZONE), 1);
    assert_eq!(all[0].changes, [Change::DropPodAntiAffinity(ZONE.into())]);
}

#[test]
fn the_suggested_node_count_fits_all_pods() {
    // Two of 2 fit on a node of 4, so five pods need three nodes.
    let all = suggestions(vec![node("a").cpu("4").into(), pod("r").cpu("4").on("a").into()], pod("p").cpu("2"), 5);
    let added = Change::AddNodes { like: "a".into(), count: 3 };
    assert_eq!(all.iter().map(|s| (&s.changes[..], s.pods)).collect::<Vec<_>>(), [(&[added][..], 5)]);
}

#[test]
fn pods_that_no_change_helps_get_no_suggestion() {
    assert_eq!(suggestions(vec![], pod("p"), 1), []);
    let gated = pod("p").with(|p| p.spec_mut().scheduling_gates = vec!["g".into()]);
    assert_eq!(suggestions(vec![node("a").into()], gated, 1), []);
}
