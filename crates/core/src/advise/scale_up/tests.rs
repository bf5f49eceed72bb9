//! Rules of scale-up that the recorded answers of cluster-autoscaler do not cover.

use super::{expanders::Priorities, *};
use crate::{
    policy::Configuration,
    snapshot::Object,
    testing::{cluster, node, pod},
};

const MINUTE: i64 = 60_000_000_000;

fn group(id: &str, cores: &str, max: u32) -> Group {
    let template = node("template").cpu(cores).memory("16Gi").build();
    Group { id: id.into(), max, template: Some(Arc::new(template)), ..Group::default() }
}

fn answer(objects: Vec<Object>, groups: Vec<Group>, options: &Options) -> Answer {
    let profiles = Configuration::default().compile_all().unwrap();
    scale_up(&cluster(objects), &profiles, &Groups::new(groups).unwrap(), options, 100 * MINUTE)
}

fn waiting(count: usize, cores: &str) -> Vec<Object> {
    (0..count).map(|at| pod(&format!("p{at}")).cpu(cores).owned_by("apps/v1", "ReplicaSet", "web").into()).collect()
}

fn increase(answer: &Answer) -> Vec<(&str, usize)> {
    answer.increase.iter().map(|(group, count)| (&**group, *count)).collect()
}

#[test]
fn price_prefers_the_cheapest_nodes_for_the_pods_they_help() {
    let priced = |id, cores, cost: &str| Group { cost: Some(cost.parse().unwrap()), ..group(id, cores, 9) };
    let groups = vec![priced("large", "8", "0.5"), priced("small", "2", "0.2"), group("unpriced", "4", 9)];
    let options = Options { expanders: vec![Expander::Price], ..Options::default() };
    let found = answer(waiting(4, "1500m"), groups, &options);
    assert_eq!(increase(&found), [("large", 1)], "0.5 for all four, against 0.8");
    assert_eq!(found.options.iter().map(|option| option.cost).collect::<Vec<_>>(), [Some(0.5), Some(0.8), None]);
    let labelled = |id, cores, cost| {
        let template = node("template").cpu(cores).memory("16Gi").label("example.com/cost", cost).build();
        Group { template: Some(Arc::new(template)), ..group(id, cores, 9) }
    };
    let groups = vec![labelled("large", "8", "0.9"), labelled("small", "2", "0.2")];
    let options = Options { cost_label: "example.com/cost".into(), ..options };
    assert_eq!(increase(&answer(waiting(4, "1500m"), groups, &options)), [("small", 4)]);
}

#[test]
fn equal_options_are_chosen_by_the_seed() {
    let with_seed = |seed| {
        let options = Options { seed, expanders: vec![Expander::Random], ..Options::default() };
        let found = answer(waiting(1, "1"), vec![group("a", "4", 9), group("b", "4", 9)], &options);
        found.best.unwrap().to_string()
    };
    assert_eq!(with_seed(7), with_seed(7));
    let seen: BTreeSet<String> = (0..32).map(with_seed).collect();
    assert_eq!(seen.len(), 2);
}

#[test]
fn priorities_below_minus_one_never_win() {
    let priorities = Priorities::new([(-2, "^a$"), (-1, "^b$")]).unwrap();
    let options = Options { priorities: Some(priorities), expanders: vec![Expander::Priority], ..Options::default() };
    let groups = vec![group("a", "8", 9), group("b", "4", 9)];
    assert_eq!(increase(&answer(waiting(1, "1"), groups, &options)), [("b", 1)]);
    assert!(Priorities::new([(1, "(")]).unwrap_err().to_string().starts_with("priority 1: \"(\""));
}

#[test]
fn a_group_in_backoff_is_passed_over_and_its_nodes_are_not_awaited() {
    let awaited = Group { target: 2, ..group("a", "4", 9) };
    let groups = vec![awaited, group("b", "4", 9)];
    let found = answer(waiting(1, "1"), groups.clone(), &Options::default());
    assert_eq!((found.outcome, found.upcoming.get("a")), (Outcome::NotNeeded, Some(&2)));
    let options = Options { backed_off: BTreeSet::from(["a".into()]), ..Options::default() };
    let found = answer(waiting(1, "1"), groups, &options);
    assert_eq!(increase(&found), [("b", 1)]);
    assert_eq!(found.skipped["a"], ["in backoff after failed scale-up"]);
}

#[test]
fn a_group_that_grows_at_once_grows_to_its_largest_size() {
    let groups = vec![Group { zero_or_max: true, ..group("a", "4", 3) }];
    assert_eq!(increase(&answer(waiting(1, "1"), groups, &Options::default())), [("a", 3)]);
}

#[test]
fn pods_of_daemon_sets_and_gated_and_nominated_pods_are_passed_over() {
    let objects = vec![
        pod("daemon").cpu("1").owned_by("apps/v1", "DaemonSet", "agent").into(),
        pod("gated").cpu("1").with(|pod| pod.spec_mut().scheduling_gates = vec!["later".into()]).into(),
        pod("nominated").cpu("1").nominated("n").into(),
        pod("expendable").cpu("1").priority(-11).into(),
    ];
    assert_eq!(answer(objects, vec![group("a", "4", 9)], &Options::default()).outcome, Outcome::NotNeeded);
}

#[test]
fn new_pods_are_awaited_together() {
    let new = pod("p").cpu("1").with(|pod| pod.created = Some(100 * MINUTE - 1_000_000_000));
    let found = answer(vec![new.clone().into()], vec![group("a", "4", 9)], &Options::default());
    assert_eq!((found.outcome, found.awaiting.len()), (Outcome::InCooldown, 1));
    let old = pod("q").cpu("1").with(|pod| pod.created = Some(0));
    let found = answer(vec![new.into(), old.into()], vec![group("a", "4", 9)], &Options::default());
    assert_eq!(increase(&found), [("a", 1)]);
}

/// 5,000 nodes with 30 pods each, and 5,000 pods of 100 applications that wait.
fn large() -> (Snapshot, Vec<Group>) {
    let mut objects: Vec<Object> = Vec::new();
    for at in 0..5_000 {
        let zone = ["a", "b", "c"][at % 3];
        objects.push(node(&format!("n{at}")).cpu("8").memory("32Gi").zone(zone).into());
        for number in 0..30 {
            let name = format!("r{at}-{number}");
            objects.push(pod(&name).cpu("260m").memory("1Gi").on(&format!("n{at}")).into());
        }
    }
    for at in 0..5_000 {
        let app = format!("app{}", at % 100);
        let cores = format!("{}m", 500 + 100 * (at % 7));
        let waiting = pod(&format!("w{at}")).cpu(&cores).memory("1Gi").label("app", &app);
        objects.push(waiting.owned_by("apps/v1", "ReplicaSet", &app).into());
    }
    let groups = (0..20).map(|at| {
        let cores = (4 + 4 * (at % 5)).to_string();
        let template = node("template").cpu(&cores).memory("64Gi").zone(["a", "b", "c"][at % 3]).build();
        let nodes = (0..250).map(|number| Name::from(format!("n{}", at * 250 + number))).collect();
        let template = Some(Arc::new(template));
        Group { id: format!("g{at}").into(), max: 1_000, target: 250, nodes, template, ..Group::default() }
    });
    (cluster(objects), groups.collect())
}

#[test]
#[ignore = "measures; run with --release"]
fn five_thousand_pods_over_twenty_groups_take_two_seconds() {
    let (snapshot, groups) = large();
    let groups = Groups::new(groups).unwrap();
    let profiles = Configuration::default().compile_all().unwrap();
    let found = scale_up(&snapshot, &profiles, &groups, &Options::default(), MINUTE);
    println!("one loop: {:?}", found.increase);
    assert_eq!(found.options.len(), 20);
    let found =
        exact::exact(&snapshot, &profiles, &groups, &Options::default(), (exact::Goal::Placement, 200_000), MINUTE);
    let exact = found.exact.unwrap();
    println!("exact: {} nodes, at least {}, {:?}", exact.nodes, exact.lower_bound, found.increase);
}
