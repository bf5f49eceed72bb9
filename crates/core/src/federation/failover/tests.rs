use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    model::{Effect as TaintEffect, Selector, Toleration, TolerationOperator},
    testing,
};

fn taint(since: i64) -> Taint {
    Taint { key: "podberth.io/not-ready".into(), value: "".into(), effect: TaintEffect::NoExecute, added: Some(since) }
}

/// A pod of a placement. `tolerates`: for how many seconds.
fn pod(uid: &str, group: &str, tolerates: Option<i64>) -> Arc<Pod> {
    let mut pod = testing::pod(uid).build();
    (pod.uid, pod.ready) = (uid.into(), true);
    pod.labels = [(PLACEMENT, "web"), ("app", group)].into_iter().collect();
    pod.spec_mut().tolerations = tolerates
        .map(|seconds| Toleration {
            key: "".into(),
            operator: TolerationOperator::Exists,
            value: "".into(),
            effect: None,
            seconds: Some(seconds),
        })
        .into_iter()
        .collect();
    Arc::new(pod)
}

fn budget(group: &str, allowed: i32) -> Arc<PodDisruptionBudget> {
    Arc::new(PodDisruptionBudget {
        namespace: testing::pod("x").build().namespace,
        name: group.into(),
        selector: Some(Selector::from_map([("app", group)])),
        disruptions_allowed: allowed,
        disrupted_pods: Vec::new(),
        spares_unready: false,
    })
}

fn site(name: &str, down_since: Option<i64>, pods: Vec<Arc<Pod>>) -> Site {
    let down_since = down_since.map(|second| second * SECOND);
    let taints = down_since.map(taint).into_iter().collect();
    Site { name: name.into(), down_since, taints, pods, ..Site::default() }
}

#[test]
fn moves_wait_for_tolerations_hysteresis_and_their_turn() {
    let pods = vec![pod("a", "x", None), pod("b", "x", Some(600)), pod("c", "x", None)];
    let sites = [site("down", Some(100), pods), site("up", None, vec![pod("d", "x", None)]), site("too", None, vec![])];
    let settings = Settings::default();
    let at = |now: i64| {
        let found = proposals(&sites, &settings, now * SECOND, |_| None);
        found
            .iter()
            .map(|of| (of.pod.uid.to_string(), of.at.expect("a time") / SECOND, of.is_due(now * SECOND)))
            .collect::<Vec<_>>()
    };
    let told = |uid: &str, at, due| (uid.to_owned(), at, due);
    // 100 + 300 s of hysteresis; 10 s between two; 100 + 600 s of toleration.
    assert_eq!(at(150), [told("a", 400, false), told("c", 410, false), told("b", 700, false)]);
    assert_eq!(at(405), [told("a", 400, true), told("c", 415, false), told("b", 700, false)]);
    // Two of three are most: 100 s between two.
    let mut most = sites.clone();
    most[2].down_since = Some(0);
    let found = proposals(&most, &settings, 150 * SECOND, |_| None);
    assert_eq!(found.iter().map(|of| of.at.expect("a time") / SECOND).collect::<Vec<_>>(), [400, 500, 700]);
}

#[test]
fn budgets_that_forbid_all_hold_every_move_and_say_so() {
    let mut down = site("down", Some(0), vec![pod("a", "x", None), pod("b", "x", None), pod("c", "y", None)]);
    down.budgets = vec![budget("x", 0)];
    let sites = [down, site("up", None, vec![])];
    let held = |sites: &[Site]| {
        let found = proposals(sites, &Settings::default(), 1_000 * SECOND, |_| None);
        found.into_iter().map(|of| (of.pod.uid.to_string(), of.held)).collect::<Vec<_>>()
    };
    let by = |uid: &str, held| (uid.to_owned(), held);
    assert_eq!(
        held(&sites),
        [by("c", None), by("a", Some(Held::Budget("x".into()))), by("b", Some(Held::Budget("x".into())))]
    );
    let mut one = sites.clone();
    one[0].budgets = vec![budget("x", 1)];
    assert_eq!(held(&one), [by("a", None), by("c", None), by("b", Some(Held::Budget("x".into())))]);
    // All clusters at once.
    let mut all = sites;
    all[1].down_since = Some(0);
    assert!(held(&all).iter().all(|(_, held)| *held == Some(Held::AllDown)));
}

/// Clusters with room for pods, that go down and come back, with a service that carries out what is proposed. A unit is a pod that somebody wants: it has copies
/// in clusters, by uid.
struct World {
    sites: Vec<Site>,
    room: Vec<usize>,
    /// Reserved places: the cluster, by the uid of the pod.
    reserved: BTreeMap<Name, Name>,
    /// By uid: how often the pod was evicted.
    evicted: BTreeMap<Name, usize>,
    units: usize,
    /// When moves out of each cluster were begun.
    begun: BTreeMap<Name, Vec<i64>>,
}

impl World {
    fn new(clusters: usize, units: usize, room: usize) -> Self {
        let mut sites: Vec<Site> = (0..clusters).map(|i| site(&format!("c{i}"), None, vec![])).collect();
        for unit in 0..units {
            let at = unit % clusters;
            sites[at].pods.push(pod(
                &format!("u{unit}-0"),
                &format!("g{}", unit % 2),
                [None, Some(60), Some(900)][unit % 3],
            ));
        }
        let room = sites.iter().map(|site| site.pods.len() + room).collect();
        Self { sites, room, reserved: BTreeMap::new(), evicted: BTreeMap::new(), units, begun: BTreeMap::new() }
    }

    fn set_down(&mut self, at: usize, is_down: bool, now: i64) {
        let site = &mut self.sites[at];
        if is_down != site.down_since.is_some() {
            site.down_since = is_down.then_some(now);
            site.taints = site.down_since.map(taint).into_iter().collect();
        }
    }

    fn used(&self, at: usize) -> usize {
        let name = &self.sites[at].name;
        self.sites[at].pods.len() + self.reserved.values().filter(|to| *to == name).count()
    }

    /// One call: the first move that is due out of each cluster, in the service's steps. `fails` says which step goes wrong.
    fn call(&mut self, now: i64, mut fails: impl FnMut() -> bool) {
        let up = self.sites.iter().filter(|site| site.down_since.is_none());
        let stays: Vec<Name> = up.flat_map(|site| site.pods.iter().map(|pod| pod.uid.clone())).collect();
        self.reserved.retain(|uid, _| !stays.contains(uid));
        let found = proposals(&self.sites, &Settings::default(), now, |_| None);
        for from in 0..self.sites.len() {
            let of = found.iter().find(|of| of.from == self.sites[from].name && of.is_due(now));
            if let Some(of) = of {
                self.carry(from, &of.pod, now, &mut fails);
            }
        }
    }

    /// One move.
    fn carry(&mut self, from: usize, pod: &Pod, now: i64, fails: &mut impl FnMut() -> bool) {
        let uid = &pod.uid;
        let is_up = |at: &usize| self.sites[*at].down_since.is_none();
        let to = match self.reserved.get(uid) {
            Some(to) => self.sites.iter().position(|site| site.name == *to).filter(is_up),
            None => (0..self.sites.len()).filter(is_up).find(|at| self.used(*at) < self.room[*at]),
        };
        let Some(to) = to else { return };
        self.begun.entry(self.sites[from].name.clone()).or_default().push(now);
        self.sites[from].last_move = Some(now);
        self.reserved.insert(uid.clone(), self.sites[to].name.clone());
        if fails() {
            // The process dies: the next call finds the copy.
            return;
        }
        self.reserved.remove(uid);
        if fails() {
            return;
        }
        *self.evicted.entry(uid.clone()).or_default() += 1;
        self.sites[from].pods.retain(|pod| pod.uid != *uid);
        let (unit, moves) = uid.split_once('-').expect("a uid");
        let moves: usize = moves.parse().expect("a number");
        let copy = Pod { uid: format!("{unit}-{}", moves + 1).into(), ..pod.clone() };
        self.sites[to].pods.push(Arc::new(copy));
    }

    fn check(&self) {
        let mut units: Vec<&str> = self
            .sites
            .iter()
            .flat_map(|site| &site.pods)
            .map(|pod| pod.uid.split_once('-').expect("a uid").0)
            .collect();
        units.sort_unstable();
        let before = units.len();
        units.dedup();
        assert_eq!((before, units.len()), (self.units, self.units), "a pod was lost, or is there twice");
        assert!(self.evicted.values().all(|times| *times == 1), "moved twice: {:?}", self.evicted);
        for (cluster, begun) in &self.begun {
            assert!(begun.windows(2).all(|two| two[1] - two[0] >= 10 * SECOND), "{cluster} is not paced: {begun:?}");
        }
        for at in 0..self.sites.len() {
            assert!(self.used(at) <= self.room[at], "more than its room");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Hours of outages of any length: nothing is lost, moved twice, or moved without room.
    #[test]
    fn nothing_is_lost_or_moved_twice(
        clusters in 2_usize..6,
        units in 0_usize..16,
        room in 0_usize..12,
        outages in proptest::collection::vec((0_usize..6, 1_i64..120, 0_i64..240), 1..12),
        failing in proptest::collection::vec(proptest::bool::weighted(0.2), 1..40),
    ) {
        let mut world = World::new(clusters, units, room);
        let mut failing = failing.into_iter().cycle();
        let mut now = 0;
        for (at, lasts, pause) in outages {
            let at = at % clusters;
            world.set_down(at, true, now);
            for (ticks, is_down) in [(lasts, true), (pause, false)] {
                if !is_down {
                    world.set_down(at, false, now);
                }
                for _ in 0..ticks {
                    now += 10 * SECOND;
                    world.call(now, || failing.next().unwrap_or_default());
                    world.check();
                }
            }
        }
        // All is well for an hour: nothing is left under way.
        for at in 0..clusters {
            world.set_down(at, false, now);
        }
        for _ in 0..360 {
            now += 10 * SECOND;
            world.call(now, || false);
            world.check();
        }
        prop_assert!(world.reserved.is_empty(), "{:?}", world.reserved);
    }

    #[test]
    fn flapping_moves_nothing(clusters in 2_usize..5, units in 1_usize..12, flaps in proptest::collection::vec((1_i64..29, 1_i64..29), 1..60)) {
        let mut world = World::new(clusters, units, 12);
        let mut now = 0;
        for (down, up) in flaps {
            for (ticks, is_down) in [(down, true), (up, false)] {
                world.set_down(0, is_down, now);
                for _ in 0..ticks {
                    now += 10 * SECOND;
                    prop_assert!(proposals(&world.sites, &Settings::default(), now, |_| None).iter().all(|of| !of.is_due(now)));
                }
            }
        }
    }

    #[test]
    fn budgets_bound_the_moves_of_an_outage(units in 1_usize..16, allowed in 0_i32..5) {
        let mut world = World::new(2, units, 32);
        world.sites.push(site("c2", None, vec![]));
        world.room.push(32);
        world.sites[0].budgets = vec![budget("g0", allowed)];
        let covered = world.sites[0].pods.iter().filter(|pod| pod.labels.get("app").is_some_and(|app| &**app == "g0")).count();
        world.set_down(0, true, 0);
        let mut now = 0;
        for _ in 0..600 {
            now += 10 * SECOND;
            // The budget of a cluster that is away tells what it told last, less what was moved.
            let left = world.sites[0].pods.iter().filter(|pod| pod.labels.get("app").is_some_and(|app| &**app == "g0")).count();
            let moved = i32::try_from(covered - left).expect("few");
            world.sites[0].budgets = vec![budget("g0", allowed - moved)];
            world.call(now, || false);
            world.check();
        }
        let left = world.sites[0].pods.iter().filter(|pod| pod.labels.get("app").is_some_and(|app| &**app == "g0")).count();
        prop_assert_eq!(left, covered.saturating_sub(usize::try_from(allowed).expect("not negative")));
    }
}

#[test]
fn one_that_has_no_room_holds_up_no_other() {
    let mut down = site("down", Some(0), vec![pod("a", "x", None), pod("b", "x", None)]);
    down.budgets = vec![budget("x", 1)];
    let sites = [down, site("up", None, vec![])];
    let room = |of: &Proposal| (*of.pod.uid == *"a").then_some(Held::NoRoom);
    let found = proposals(&sites, &Settings::default(), 1_000 * SECOND, room);
    let told: Vec<_> = found.iter().map(|of| (&*of.pod.uid, of.is_due(1_000 * SECOND), of.held.clone())).collect();
    assert_eq!(told, [("b", true, None), ("a", false, Some(Held::NoRoom))]);
}
