//! The exact engine against brute force on small clusters.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    advise::groups::Group,
    model::WhenUnsatisfiable,
    policy::Configuration,
    snapshot::Object,
    testing::{cluster, node, pod},
};

const STEPS: u64 = 400_000;

/// Demands of pods on each other.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    None,
    /// No two pods of an application on a node.
    OnePerNode,
    /// Zones differ by at most one pod of an application.
    EvenOverZones,
}

#[derive(Clone, Debug)]
struct Case {
    /// Cores and zone of the nodes that are there.
    there: Vec<(i64, usize)>,
    /// Cores, zone and largest size of each group.
    groups: Vec<(i64, usize, u32)>,
    /// Cores and application of each pod.
    pods: Vec<(i64, usize)>,
    rule: Rule,
}

const ZONES: [&str; 2] = ["az1", "az2"];
const APPS: [&str; 2] = ["web", "api"];

fn cases() -> impl Strategy<Value = Case> {
    let there = prop::collection::vec((1_i64..5, 0..2_usize), 0..2);
    let groups = prop::collection::vec((2_i64..8, 0..2_usize, 0..4_u32), 1..4);
    let pods = prop::collection::vec((1_i64..6, 0..2_usize), 1..6);
    let rule = prop_oneof![Just(Rule::None), Just(Rule::OnePerNode), Just(Rule::EvenOverZones)];
    (there, groups, pods, rule).prop_map(|(there, groups, pods, rule)| Case { there, groups, pods, rule })
}

impl Case {
    fn pod(&self, at: usize) -> Pod {
        let (cores, app) = self.pods[at];
        let app = APPS[app];
        // Pods of one controller are equal, so the search has classes to spread.
        let owner = format!("{app}-{cores}");
        let built =
            pod(&format!("p{at}")).cpu(&cores.to_string()).label("app", app).owned_by("apps/v1", "ReplicaSet", &owner);
        let labels = format!("app={app}");
        match self.rule {
            Rule::None => built,
            Rule::OnePerNode => built.anti_affinity(&labels, "kubernetes.io/hostname"),
            Rule::EvenOverZones => {
                built.spread(1, "topology.kubernetes.io/zone", WhenUnsatisfiable::DoNotSchedule, &labels)
            }
        }
        .build()
    }

    fn snapshot(&self) -> Snapshot {
        let there = self.there.iter().enumerate().map(|(at, (cores, zone))| {
            Object::from(node(&format!("n{at}")).cpu(&cores.to_string()).memory("64Gi").zone(ZONES[*zone]))
        });
        let pods = (0..self.pods.len()).map(|at| Object::Pod(Box::new(self.pod(at))));
        cluster(there.chain(pods))
    }

    fn groups(&self) -> Groups {
        let group = |(at, (cores, zone, max)): (usize, &(i64, usize, u32))| {
            let template = node("template").cpu(&cores.to_string()).memory("64Gi").zone(ZONES[*zone]).build();
            Group { id: format!("g{at}").into(), max: *max, template: Some(Arc::new(template)), ..Group::default() }
        };
        Groups::new(self.groups.iter().enumerate().map(group).collect()).unwrap()
    }

    fn answer(&self, goal: Goal) -> Answer {
        let profiles = Configuration::default().compile_all().unwrap();
        exact(&self.snapshot(), &profiles, &self.groups(), &Options::default(), (goal, STEPS), 0)
    }

    /// The smallest number of new nodes on which all pods fit, by trying everything; `None` if there is none.
    fn by_brute_force(&self) -> Option<usize> {
        let rooms: Vec<usize> = self.groups.iter().map(|(_, _, max)| *max as usize).collect();
        (0..=rooms.iter().sum()).find(|nodes| {
            mixtures(*nodes, &rooms).iter().any(|mixture| {
                let new = self.groups.iter().zip(mixture);
                let new = new.flat_map(|((cores, zone, _), count)| std::iter::repeat_n((*cores, *zone), *count));
                let mut bins: Vec<Bin> = self.there.iter().copied().chain(new).map(Bin::new).collect();
                let zones = ZONES.iter().enumerate().map(|(zone, _)| bins.iter().any(|bin| bin.zone == zone)).collect();
                self.all_fit(&mut bins, &mut vec![false; self.pods.len()], &zones)
            })
        })
    }

    fn all_fit(&self, bins: &mut [Bin], placed: &mut Vec<bool>, zones: &Vec<bool>) -> bool {
        if placed.iter().all(|placed| *placed) {
            return true;
        }
        for at in 0..self.pods.len() {
            // Equal pods in one order.
            if placed[at] || (0..at).any(|other| !placed[other] && self.pods[other] == self.pods[at]) {
                continue;
            }
            let (cores, app) = self.pods[at];
            for bin in 0..bins.len() {
                if self.fits(bins, bin, cores, app, zones) {
                    bins[bin].pods.push((cores, app));
                    placed[at] = true;
                    let done = self.all_fit(bins, placed, zones);
                    placed[at] = false;
                    bins[bin].pods.pop();
                    if done {
                        return true;
                    }
                }
            }
            if self.rule != Rule::EvenOverZones {
                return false;
            }
        }
        false
    }

    fn fits(&self, bins: &[Bin], at: usize, cores: i64, app: usize, zones: &[bool]) -> bool {
        let bin = &bins[at];
        let used: i64 = bin.pods.iter().map(|(cores, _)| cores).sum();
        let of_app = |bin: &Bin| bin.pods.iter().filter(|(_, other)| *other == app).count();
        let in_zone = |zone: usize| bins.iter().filter(|bin| bin.zone == zone).map(of_app).sum::<usize>();
        used + cores <= bin.cores
            && match self.rule {
                Rule::None => true,
                Rule::OnePerNode => of_app(bin) == 0,
                Rule::EvenOverZones => {
                    let least = (0..zones.len()).filter(|zone| zones[*zone]).map(in_zone).min().unwrap_or(0);
                    in_zone(bin.zone) + 1 - least <= 1
                }
            }
    }
}

struct Bin {
    cores: i64,
    zone: usize,
    pods: Vec<(i64, usize)>,
}

impl Bin {
    fn new((cores, zone): (i64, usize)) -> Self {
        Self { cores, zone, pods: Vec::new() }
    }
}

fn mixtures(nodes: usize, rooms: &[usize]) -> Vec<Vec<usize>> {
    let Some((first, rest)) = rooms.split_first() else {
        return if nodes == 0 { vec![Vec::new()] } else { Vec::new() };
    };
    let with = |count: usize| {
        let rest = mixtures(nodes - count, rest).into_iter();
        rest.map(move |rest| std::iter::once(count).chain(rest).collect())
    };
    (0..=nodes.min(*first)).flat_map(with).collect()
}

/// The cluster with new nodes of an increase, under the names of a plan where it has them.
fn grown(case: &Case, increase: &BTreeMap<Name, usize>) -> Snapshot {
    let profiles = Configuration::default().compile_all().unwrap();
    let (snapshot, groups, options) = (case.snapshot(), case.groups(), Options::default());
    let start = Start::new(&snapshot, &profiles, &groups, &options, 0);
    let mut grown = start.before.clone();
    for group in groups.all() {
        for number in 0..increase.get(&group.id).copied().unwrap_or(0) {
            start.templates[&group.id].add_to(&mut grown, &format!("new-{number}"));
        }
    }
    grown
}

fn left_waiting(snapshot: Snapshot) -> usize {
    let profiles = Configuration::default().compile_all().unwrap();
    let options = batch::Options { preempt: false, ..batch::Options::default() };
    Simulation::new(snapshot, profiles, options).step(&Step::AddPods(Vec::new())).unwrap().stuck.len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_plan_has_fewer_nodes(case in cases()) {
        let answer = case.answer(Goal::Placement);
        let found = answer.exact.unwrap();
        prop_assert_eq!(answer.increase.values().sum::<usize>(), found.nodes);
        prop_assert_eq!(found.new_nodes.len(), found.nodes);
        if let Some(smallest) = case.by_brute_force() {
            prop_assert!(found.proven && found.complete, "{:?}", found);
            prop_assert_eq!(found.nodes, smallest, "{:?}", found);
            prop_assert_eq!(found.places.len(), case.pods.len());
        } else {
            prop_assert!(found.places.len() < case.pods.len());
        }
        // The scheduler leaves waiting exactly those of whom it is said.
        if found.complete && found.places.len() == case.pods.len() {
            prop_assert_eq!(left_waiting(grown(&case, &answer.increase)), found.unbound.len());
        }
    }

    #[test]
    fn the_scheduler_binds_all_that_were_promised(case in cases()) {
        let answer = case.answer(Goal::Scheduler);
        let found = answer.exact.unwrap();
        if let Some(increase) = &found.scheduler {
            prop_assert_eq!(increase, &answer.increase);
            let promised = found.places.len();
            prop_assert!(left_waiting(grown(&case, increase)) <= case.pods.len() - promised);
        }
    }
}

#[test]
fn groups_are_mixed_where_that_takes_fewer_nodes() {
    // 6 + 3 cores: no two nodes of one group hold both pods and the third one.
    let case = Case {
        there: Vec::new(),
        groups: vec![(6, 0, 1), (3, 0, 5)],
        pods: vec![(3, 0), (3, 0), (3, 1)],
        rule: Rule::None,
    };
    let answer = case.answer(Goal::Placement);
    assert_eq!(answer.increase, BTreeMap::from([("g0".into(), 1), ("g1".into(), 1)]));
    let found = answer.exact.unwrap();
    assert!(found.proven && found.complete);
    assert_eq!(found.lower_bound, 2);
}

#[test]
fn a_plan_that_could_not_be_proven_says_so() {
    // 12 cores would fit on two nodes of 6, but no two of the pods fit on one.
    let case =
        Case { there: Vec::new(), groups: vec![(6, 0, 9)], pods: vec![(4, 0), (4, 0), (4, 0)], rule: Rule::None };
    let proven = case.answer(Goal::Placement).exact.unwrap();
    assert_eq!((proven.nodes, proven.lower_bound, proven.proven), (3, 3, true));
    let profiles = Configuration::default().compile_all().unwrap();
    let bounded = (Goal::Placement, 2);
    let answer = exact(&case.snapshot(), &profiles, &case.groups(), &Options::default(), bounded, 0);
    let found = answer.exact.unwrap();
    assert_eq!((found.nodes, found.lower_bound, found.proven, found.steps), (3, 2, false, 2));
}
