//! Properties of every attempt over random small clusters, compared with slow reference computations.

use proptest::{collection::vec, option::of, option::weighted, prelude::*, sample::select};

use super::{V1_22, V1_34, budget, node, ranked};
use crate::testing::{PodBuilder, cluster};
use crate::{
    cycle::Cycle,
    model::{Affinity, Pod, WhenUnsatisfiable::DoNotSchedule, topology},
    policy::Profile,
    preempt::{self, Candidate, DryRun},
    snapshot::{Object, Snapshot},
};

const NODES: [&str; 3] = ["a", "b", "c"];
const APPS: [&str; 2] = ["web", "db"];

fn some_app(wanted: bool) -> BoxedStrategy<Option<&'static str>> {
    if wanted { weighted(0.2, select(&APPS[..])).boxed() } else { Just(None).boxed() }
}

/// A pod that wants CPU, perhaps a host port; with `company`, perhaps affinity and spreading too.
fn any_pod(name: String, company: bool) -> impl Strategy<Value = PodBuilder> {
    let rules = (
        weighted(0.2, select(&APPS[..])),
        some_app(company),
        some_app(company),
        select(vec![topology::HOSTNAME, topology::ZONE]),
    );
    (of(0_u32..3), -2_i32..4, select(&APPS[..]), weighted(0.1, Just(80_u16)), of(0_i64..3), rules).prop_map(
        move |(cpu, priority, app, port, start, (apart, together, spread, domain))| {
            let mut pod = ranked(&name, priority, &cpu.unwrap_or(0).to_string()).label("app", app);
            pod = port.iter().fold(pod, |p, port| p.host_port(*port));
            pod = start.iter().fold(pod, |p, start| p.started(*start));
            let labels = |app: &str| format!("app={app}");
            pod = apart.iter().fold(pod, |p, app| p.anti_affinity(&labels(app), domain));
            pod = together.iter().fold(pod, |p, app| p.affinity(&labels(app), domain));
            spread.iter().fold(pod, |p, app| p.spread(1, domain, DoNotSchedule, &labels(app)))
        },
    )
}

/// Three nodes, up to nine pods on them, up to two that are nominated, budgets for both apps, and a pod to place.
fn scene(company: bool) -> impl Strategy<Value = (Snapshot, Pod)> {
    let nodes = NODES.map(|name| {
        (0_u32..5, select(vec!["z1", "z2"]))
            .prop_map(move |(cpu, zone)| Object::from(node(name).cpu(&cpu.to_string()).zone(zone)))
    });
    let placed = (any::<prop::sample::Index>(), 0_u32..100);
    let pods = vec((0..9_usize).prop_flat_map(move |i| any_pod(format!("p{i}"), company)), 0..9);
    let places = vec(placed, 9);
    let budgets = (of(0_i32..2), of(0_i32..2));
    (nodes, pods, places, budgets, any_pod("new".into(), company)).prop_map(|(nodes, pods, places, (web, db), new)| {
        let place = |(pod, (on, fate)): (PodBuilder, (prop::sample::Index, u32))| {
            let on = on.get(&NODES);
            // 1.34 looks at the anti-affinity of nominated pods only where a running one has some, which victims change.
            let meek = |pod: PodBuilder| pod.with(|p| p.spec_mut().affinity = Affinity::default());
            Object::from(if fate < 85 { pod.on(on) } else { meek(pod).nominated(on) })
        };
        let budgets = [("web", web), ("db", db)].map(|(app, n)| n.map(|n| budget(app, &format!("app={app}"), n)));
        let pods = pods.into_iter().zip(places).map(place);
        let objects = nodes.into_iter().chain(pods).chain(budgets.into_iter().flatten());
        (cluster(objects), new.priority(2).build())
    })
}

fn without(snapshot: &Snapshot, pods: &[&Pod]) -> Snapshot {
    pods.iter().fold(snapshot.clone(), |s, pod| s.without_pod(&pod.namespace, &pod.name))
}

/// `true` if the pod fits, with everything prepared anew.
fn fits(profile: &Profile, pod: &Pod, snapshot: &Snapshot, node: &str) -> bool {
    let node = snapshot.node(node).expect("a node of the scene");
    Cycle::prepare(profile, pod, snapshot).first_failure(node).is_none()
}

/// The node's pods of lower priority, those first that a budget would keep, then by importance: written as plainly as can be.
fn in_order_of_return<'s>(snapshot: &'s Snapshot, pod: &Pod, node: &str) -> (Vec<&'s Pod>, usize) {
    let info = snapshot.node(node).expect("a node of the scene");
    let mut pods: Vec<&Pod> = info.pods.iter().map(|p| &**p).filter(|p| p.spec.priority < pod.spec.priority).collect();
    pods.sort_by_key(|p| (-p.priority_or_default(), p.start_time.unwrap_or(i64::MAX), p.name.clone()));
    let mut left: Vec<_> = snapshot.disruption_budgets().map(|b| (b, b.disruptions_allowed)).collect();
    let (mut kept, mut others) = (Vec::new(), Vec::new());
    for pod in pods {
        let mut breaks = false;
        for (budget, left) in &mut left {
            if budget.selector.as_ref().is_some_and(|s| s.matches(&pod.labels)) {
                *left -= 1;
                breaks |= *left < 0;
            }
        }
        if breaks { &mut kept } else { &mut others }.push(pod);
    }
    let count = kept.len();
    kept.extend(others);
    (kept, count)
}

fn names<'p>(pods: impl IntoIterator<Item = &'p Pod>) -> Vec<String> {
    let mut names: Vec<String> = pods.into_iter().map(|pod| pod.name.to_string()).collect();
    names.sort();
    names
}

fn victims_of(candidates: &[Candidate], node: &str) -> Option<(Vec<String>, usize)> {
    let candidate = candidates.iter().find(|candidate| *candidate.node == *node)?;
    Some((names(candidate.victims.iter().map(|p| &**p)), candidate.pdb_violations))
}

proptest! {
    #[test]
    fn victims_are_those_of_a_slow_search_that_prepares_everything_anew((snapshot, pod) in scene(true)) {
        for profile in [&*V1_22, &*V1_34] {
            let attempt = preempt::attempt(profile, &pod, &snapshot, 0);
            if NODES.iter().any(|node| fits(profile, &pod, &snapshot, node)) {
                prop_assert!(attempt.candidates.is_empty());
                continue;
            }
            for node in NODES {
                let cycle = Cycle::prepare(profile, &pod, &snapshot);
                let failure = cycle.first_failure(snapshot.node(node).expect("a node")).expect("it fits nowhere");
                let (order, kept) = in_order_of_return(&snapshot, &pod, node);
                let mut gone = order.clone();
                let possible = !failure.verdict.is_unresolvable() && fits(profile, &pod, &without(&snapshot, &gone), node);
                for candidate in &order {
                    let back: Vec<&Pod> = gone.iter().copied().filter(|p| p.name != candidate.name).collect();
                    if fits(profile, &pod, &without(&snapshot, &back), node) {
                        gone = back;
                    }
                }
                let broken = order[..kept].iter().filter(|p| gone.iter().any(|g| g.name == p.name)).count();
                let expected = (possible && !gone.is_empty()).then(|| (names(gone), broken));
                prop_assert_eq!(victims_of(&attempt.candidates, node), expected, "{}", node);
            }
        }
    }

    #[test]
    fn dry_run_keeps_the_most_important_pods_possible((snapshot, pod) in scene(false)) {
        let attempt = preempt::attempt(&V1_22, &pod, &snapshot, 0);
        for candidate in &attempt.candidates {
            let (order, kept) = in_order_of_return(&snapshot, &pod, &candidate.node);
            // Each way is a number whose highest bit is whether the first pod in order stays: the best is the greatest.
            let ways = 0..1_u32 << order.len();
            let stays = |way: u32, at: usize| way >> (order.len() - 1 - at) & 1 == 1;
            let leaving = |way: u32| -> Vec<&Pod> { (0..order.len()).filter(|at| !stays(way, *at)).map(|at| order[at]).collect() };
            let possible: Vec<u32> = ways.filter(|way| fits(&V1_22, &pod, &without(&snapshot, &leaving(*way)), &candidate.node)).collect();
            let best = leaving(*possible.iter().max().expect("a candidate has a way"));
            prop_assert_eq!(names(candidate.victims.iter().map(|p| &**p)), names(best));
            let keeps_all_budgets = possible.iter().any(|way| (0..kept).all(|at| stays(*way, at)));
            prop_assert_eq!(candidate.pdb_violations == 0, keeps_all_budgets, "no budget is broken that could be kept");
        }
    }

    #[test]
    fn victims_have_lower_priority_and_the_choice_is_a_candidate((snapshot, pod) in scene(true), seed in 0..9_u64) {
        for profile in [&*V1_22, &*V1_34] {
            let attempt = preempt::attempt(profile, &pod, &snapshot, seed);
            let victims = attempt.candidates.iter().flat_map(|candidate| &candidate.victims);
            prop_assert!(victims.clone().all(|victim| victim.spec.priority < pod.spec.priority));
            prop_assert!(attempt.candidates.iter().all(|candidate| !candidate.victims.is_empty()));
            prop_assert_eq!(attempt.selected.is_some(), !attempt.candidates.is_empty());
            let chosen = preempt::select(profile, &pod, &snapshot, seed).map(|preemption| preemption.node);
            prop_assert_eq!(&chosen, &attempt.selected);
            prop_assert_eq!(preempt::attempt(profile, &pod, &snapshot, seed), attempt);
        }
    }

    #[test]
    fn proposed_victims_are_kept_and_the_pod_fits_without_all_victims(
        (snapshot, pod) in scene(true), proposed in vec((0..9_usize).prop_map(|i| format!("p{i}")), 0..4)
    ) {
        let cycle = Cycle::prepare(&V1_22, &pod, &snapshot);
        let dry_run = DryRun::new(V1_22.release, &pod, &snapshot, &cycle);
        for node in NODES {
            let info = snapshot.node(node).expect("a node of the scene");
            let proposed: Vec<_> = info.pods.iter().filter(|p| proposed.iter().any(|n| **n == *p.name)).cloned().collect();
            let Some(accepted) = dry_run.accept(info, &proposed) else { continue };
            prop_assert!(proposed.iter().all(|pod| accepted.victims.contains(pod)));
            let more = accepted.victims.iter().filter(|victim| !proposed.contains(victim));
            prop_assert!(more.clone().all(|victim| victim.spec.priority < pod.spec.priority));
            let gone: Vec<&Pod> = accepted.victims.iter().map(|victim| &**victim).collect();
            prop_assert!(fits(&V1_22, &pod, &without(&snapshot, &gone), node));
            let kept: Vec<&Pod> = proposed.iter().map(|p| &**p).collect();
            let suffices = fits(&V1_22, &pod, &without(&snapshot, &kept), node);
            prop_assert_eq!(more.count() == 0, suffices, "nobody joins where those proposed suffice");
        }
    }
}
