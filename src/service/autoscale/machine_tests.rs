use super::*;
use crate::core::advise::plan::StepKind::{Cordon, DeleteNode, SetTargetSize, Uncordon};

/// A cluster of nodes for ten pods each, under random load.
struct World {
    chance: fastrand::Rng,
    now: Timestamp,
    groups: Vec<GroupNow>,
    nodes: BTreeMap<String, Node>,
    /// Nodes on their way: when they come, and their group.
    coming: Vec<(Timestamp, String)>,
    waiting: u32,
    made: u32,
}

#[derive(Clone, Debug, Default)]
struct Node {
    group: String,
    pods: u32,
    is_cordoned: bool,
    is_ready: bool,
}

const ROOM: u32 = 10;
const UNNEEDED: SignedDuration = SignedDuration::from_mins(10);

struct Advised<'w>(&'w mut World);

impl Advice for Advised<'_> {
    fn up(&mut self, excluded: &BTreeSet<String>) -> Vec<Increase> {
        let World { groups, waiting, coming, chance, .. } = &mut *self.0;
        let on_their_way: u32 = groups.iter().map(|group| group.target.saturating_sub(group.nodes)).sum();
        let _ = coming;
        let missing = waiting.saturating_sub(on_their_way * ROOM).div_ceil(ROOM);
        let able: Vec<&GroupNow> =
            groups.iter().filter(|group| group.target < group.max && !excluded.contains(&group.name)).collect();
        if missing == 0 || able.is_empty() {
            return Vec::new();
        }
        let group = able[chance.usize(..able.len())];
        vec![Increase { group: group.name.clone(), by: missing, why: format!("{waiting} pods wait") }]
    }

    fn down(&mut self, unneeded: &BTreeMap<String, Timestamp>) -> Removable {
        let World { nodes, groups, now, waiting, .. } = &*self.0;
        let usable = |node: &Node| !node.is_cordoned && node.is_ready;
        let mut free: u32 = nodes.values().filter(|node| usable(node)).map(|node| ROOM - node.pods).sum();
        free = free.saturating_sub(*waiting);
        let mut removable = Removable::default();
        let mut by_load: Vec<(&String, &Node)> = nodes.iter().filter(|(_, node)| usable(node)).collect();
        by_load.sort_by_key(|(_, node)| node.pods);
        let mut drained = false;
        for (name, node) in by_load {
            let group = groups.iter().find(|group| group.name == node.group).expect("it is there");
            if node.pods * 2 > ROOM || free < ROOM || group.target <= group.min {
                continue;
            }
            free -= ROOM;
            let since = unneeded.get(name).copied().unwrap_or(*now);
            removable.unneeded.insert(name.clone(), since);
            if *now <= later(since, UNNEEDED) {
                continue;
            }
            if node.pods == 0 || !std::mem::replace(&mut drained, true) {
                removable.now.push((name.clone(), node.group.clone()));
            }
        }
        removable
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let group = |name: &str, min, max| GroupNow { name: name.into(), min, max, target: min, ..GroupNow::default() };
        let mut world = Self {
            chance: fastrand::Rng::with_seed(seed),
            now: Timestamp::UNIX_EPOCH,
            groups: vec![group("a", 1, 12), group("b", 0, 8)],
            nodes: BTreeMap::new(),
            coming: Vec::new(),
            waiting: 0,
            made: 0,
        };
        world.join("a");
        world
    }

    fn join(&mut self, group: &str) {
        self.made += 1;
        let node = Node { group: group.into(), is_ready: true, ..Node::default() };
        self.nodes.insert(format!("{group}-{}", self.made), node);
    }

    /// Pods come and go, nodes come, fail and heal, and the scheduler places what it can.
    fn live(&mut self, busy: bool) {
        let now = self.now;
        let (here, coming) = std::mem::take(&mut self.coming).into_iter().partition(|(at, _)| *at <= now);
        self.coming = coming;
        let here: Vec<(Timestamp, String)> = here;
        for (_, group) in here {
            self.join(&group);
        }
        if busy {
            if self.chance.u8(..) < 20 {
                self.waiting += self.chance.u32(..40);
            }
            let is_storm = self.chance.u16(..) < 20;
            for node in self.nodes.values_mut() {
                node.is_ready &= !is_storm;
                if self.chance.u8(..) < 12 {
                    node.pods -= self.chance.u32(..=node.pods);
                }
                if self.chance.u16(..) < if node.is_ready { 10 } else { 1000 } {
                    node.is_ready = !node.is_ready;
                }
            }
        } else {
            self.nodes.values_mut().for_each(|node| node.is_ready = true);
        }
        for node in self.nodes.values_mut().filter(|node| node.is_ready && !node.is_cordoned) {
            let placed = self.waiting.min(ROOM - node.pods);
            node.pods += placed;
            self.waiting -= placed;
        }
    }

    fn seen(&mut self, memory: &Memory) -> Seen {
        for group in &mut self.groups {
            let own = self
                .nodes
                .iter()
                .filter(|(name, node)| node.group == group.name && !memory.removing.contains_key(*name));
            group.nodes = u32::try_from(own.count()).expect("few");
            group.target = group.target.max(group.nodes);
        }
        Seen {
            groups: self.groups.clone(),
            nodes: self.nodes.iter().map(|(name, node)| (name.clone(), empty(node.pods == 0))).collect(),
            unready: self.nodes.values().filter(|node| !node.is_ready).count(),
            waiting: self.waiting as usize,
        }
    }

    fn group(&mut self, name: &str) -> &mut GroupNow {
        self.groups.iter_mut().find(|own| own.name == name).expect("it is there")
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.get_mut(name).expect("it is there")
    }

    fn carry_out(&mut self, step: &AdviceStep) {
        match &step.kind {
            SetTargetSize { group, from, to } => {
                self.group(group).target = *to;
                for _ in *from..*to {
                    // Some never come.
                    if self.chance.u8(..) < 240 {
                        let wait = SignedDuration::from_secs(self.chance.i64(30..1200));
                        self.coming.push((later(self.now, wait), group.to_string()));
                    }
                }
            }
            Cordon { node } => self.node(node).is_cordoned = true,
            Uncordon { node, .. } => self.node(node).is_cordoned = false,
            DeleteNode { node, group, to } => {
                self.group(group).target = *to;
                let gone = self.nodes.remove(&**node).expect("it is there");
                assert_eq!(gone.pods, 0, "{node} is deleted with pods on it");
            }
            other => panic!("the loop has no step {other:?}"),
        }
    }

    /// A budget allows some evictions at a time.
    fn evict(&mut self, node: &str) {
        let most = self.chance.u32(..4);
        let Some(node) = self.nodes.get_mut(node) else { return };
        let evicted = node.pods.min(most);
        node.pods -= evicted;
        self.waiting += evicted;
    }
}

fn empty(is_empty: bool) -> NodeNow {
    NodeNow { is_empty, is_cordoned: false }
}

#[test]
fn a_thousand_hours_of_random_load_bring_no_flapping_and_no_size_out_of_bounds() {
    let rules = Rules::default();
    let (mut added, mut removed, mut unhealthy, mut given_up) = (0, 0, 0, 0);
    for seed in 0..4 {
        let (mut world, mut memory) = (World::new(seed), Memory::default());
        let mut last_added: BTreeMap<String, Timestamp> = BTreeMap::new();
        // 250 hours each, in turns of 30 seconds; the last ten hours are quiet.
        for turn in 0..250 * 120 {
            let is_busy = turn < 240 * 120;
            world.now = later(world.now, SignedDuration::from_secs(30));
            world.live(is_busy);
            let seen = world.seen(&memory);
            let now = world.now;
            let told = memory.clone();
            let Turn { steps, mood } = memory.turn(&rules, now, &seen, &mut Advised(&mut world));
            if turn % 97 == 0 {
                // Another process leads from here on.
                memory = serde_json::from_str(&serde_json::to_string(&memory).expect("JSON")).expect("it is read");
            }
            for step in &steps {
                match &step.kind {
                    SetTargetSize { group, from, to } if to > from => {
                        assert_ne!(mood, Mood::Unhealthy, "{seed}/{turn}: grown while nodes are unready");
                        last_added.insert(group.to_string(), now);
                        added += to - from;
                    }
                    DeleteNode { group, node, .. } => {
                        let is_settled = |at: &Timestamp| now >= later(*at, rules.delay_after_add);
                        let began = told.draining.contains_key(&**node);
                        assert!(
                            began || last_added.get(&**group).is_none_or(is_settled),
                            "{seed}/{turn}: {group} became smaller within the cooldown of becoming larger"
                        );
                        removed += 1;
                    }
                    Uncordon { .. } => given_up += 1,
                    _ => {}
                }
                world.carry_out(step);
            }
            for (node, _) in memory.leaving() {
                world.evict(node);
            }
            unhealthy += i32::from(mood == Mood::Unhealthy);
            for group in &world.groups {
                assert!((group.min..=group.max).contains(&group.target), "{seed}/{turn}: {group:?}");
            }
            if !is_busy && turn > 248 * 120 {
                assert_eq!(steps, [], "{seed}/{turn}: nothing changes any more");
                assert!(world.waiting == 0 || world.groups.iter().all(|group| group.target == group.max));
            }
        }
    }
    assert!(
        added > 500 && removed > 500 && given_up > 0,
        "{added} added, {removed} removed, {given_up} given up, {unhealthy} unhealthy"
    );
    assert!(unhealthy > 10, "{unhealthy}");
}

#[derive(Default)]
struct Fixed {
    up: Vec<Increase>,
    down: Removable,
    excluded: Vec<BTreeSet<String>>,
}

impl Advice for Fixed {
    fn up(&mut self, excluded: &BTreeSet<String>) -> Vec<Increase> {
        self.excluded.push(excluded.clone());
        self.up.clone()
    }

    fn down(&mut self, _: &BTreeMap<String, Timestamp>) -> Removable {
        self.down.clone()
    }
}

fn at(minutes: i64) -> Timestamp {
    later(Timestamp::UNIX_EPOCH, SignedDuration::from_mins(minutes))
}

fn seen(nodes: u32, target: u32, waiting: usize) -> Seen {
    let group = GroupNow { name: "a".into(), min: 1, max: 5, target, nodes, provision_time: None };
    let nodes = (0..nodes).map(|number| (format!("a-{number}"), empty(true))).collect();
    Seen { groups: vec![group], nodes, unready: 0, waiting }
}

fn more(by: u32) -> Fixed {
    Fixed { up: vec![Increase { group: "a".into(), by, why: "pods wait".into() }], ..Fixed::default() }
}

/// Advice that these nodes may go.
fn fewer(nodes: &[&str]) -> Fixed {
    let now = nodes.iter().map(|name| ((*name).to_owned(), "a".to_owned())).collect();
    Fixed { down: Removable { now, ..Removable::default() }, ..Fixed::default() }
}

/// The steps of a turn without their reasons.
fn kinds(turn: Turn) -> Vec<StepKind> {
    turn.steps.into_iter().map(|step| step.kind).collect()
}

fn resized(from: u32, to: u32) -> StepKind {
    SetTargetSize { group: "a".into(), from, to }
}

fn deleted(node: &str, to: u32) -> StepKind {
    DeleteNode { node: node.into(), group: "a".into(), to }
}

fn cordoned(node: &str) -> StepKind {
    Cordon { node: node.into() }
}

fn uncordoned(node: &str, opens: bool) -> StepKind {
    Uncordon { node: node.into(), opens }
}

#[test]
fn a_group_whose_nodes_do_not_come_is_made_smaller_again_and_pauses_ever_longer() {
    let (rules, mut memory) = (Rules::default(), Memory::default());
    let mut minute = 0;
    for (pause, expected) in [(0, 5), (5, 10), (10, 20), (20, 30), (30, 30)] {
        minute += pause;
        assert_eq!(kinds(memory.turn(&rules, at(minute), &seen(1, 1, 3), &mut more(2))), [resized(1, 3)], "{minute}");
        minute += 14;
        assert_eq!(memory.turn(&rules, at(minute), &seen(1, 3, 0), &mut Fixed::default()).steps, []);
        minute += 1;
        let mut advice = more(2);
        assert_eq!(kinds(memory.turn(&rules, at(minute), &seen(1, 3, 3), &mut advice)), [resized(3, 1)]);
        assert_eq!(advice.excluded, [BTreeSet::from(["a".to_owned()])]);
        let backoff = memory.groups["a"].backoff.expect("it pauses");
        assert_eq!(backoff.since.duration_until(backoff.until), SignedDuration::from_mins(expected));
    }
    // Long after, it begins small again.
    memory.turn(&rules, at(minute + 300), &seen(1, 1, 0), &mut Fixed::default());
    assert_eq!(memory.groups.get("a").and_then(|group| group.backoff), None);
}

#[test]
fn a_group_never_becomes_smaller_than_its_smallest_size() {
    let (rules, mut memory) = (Rules::default(), Memory::default());
    let turn = memory.turn(&rules, at(0), &seen(3, 3, 0), &mut fewer(&["a-0", "a-1", "a-2"]));
    assert_eq!(kinds(turn), [cordoned("a-0"), cordoned("a-1")]);
    let turn = memory.turn(&rules, at(1), &seen(3, 3, 0), &mut Fixed::default());
    assert_eq!(kinds(turn), [deleted("a-0", 2), deleted("a-1", 1)]);
}

#[test]
fn too_many_unready_nodes_stop_everything_that_is_not_under_way() {
    let (rules, mut memory) = (Rules::default(), Memory::default());
    let sick = Seen { unready: 4, ..seen(5, 5, 3) };
    let turn = memory.turn(&rules, at(0), &sick, &mut more(1));
    assert_eq!(turn, Turn { steps: Vec::new(), mood: Mood::Unhealthy });
    let mostly_well = Seen { unready: 3, ..seen(5, 4, 3) };
    assert_eq!(memory.turn(&rules, at(1), &mostly_well, &mut more(1)).steps.len(), 1, "three may always be unready");
}

/// Three nodes, of which the first has pods.
fn busy() -> Seen {
    let mut busy = seen(3, 3, 0);
    busy.nodes.insert("a-0".into(), empty(false));
    busy
}

#[test]
fn a_node_that_does_not_become_empty_is_given_up_and_then_nothing_is_removed_for_a_while() {
    let (rules, mut memory) = (Rules::default(), Memory::default());
    let drain = || fewer(&["a-0"]);
    let leaving = |memory: &Memory| memory.leaving().map(|(node, _)| node.clone()).collect::<Vec<_>>();
    assert_eq!(kinds(memory.turn(&rules, at(0), &busy(), &mut drain())), [cordoned("a-0")]);
    assert_eq!(memory.turn(&rules, at(1), &busy(), &mut drain()).steps, [], "one step is told once");
    assert_eq!(leaving(&memory), ["a-0"], "evictions are tried again");
    let turn = memory.turn(&rules, at(3), &busy(), &mut drain());
    assert_eq!(turn.mood, Mood::Cooldown(at(6)));
    assert_eq!((kinds(turn), leaving(&memory)), (vec![uncordoned("a-0", true)], Vec::new()));
    assert_eq!(kinds(memory.turn(&rules, at(6), &busy(), &mut drain())), [cordoned("a-0")]);
    assert_eq!(kinds(memory.turn(&rules, at(7), &seen(3, 3, 0), &mut drain())), [deleted("a-0", 2)]);
}

#[test]
fn a_node_that_an_admin_had_cordoned_stays_cordoned_when_it_is_given_up() {
    for (was_cordoned, opens) in [(true, false), (false, true)] {
        let (rules, mut memory) = (Rules::default(), Memory::default());
        let mut before = busy();
        before.nodes.insert("a-0".into(), NodeNow { is_empty: false, is_cordoned: was_cordoned });
        assert_eq!(kinds(memory.turn(&rules, at(0), &before, &mut fewer(&["a-0"]))), [cordoned("a-0")]);
        // Another process leads from here on.
        memory = serde_json::from_str(&serde_json::to_string(&memory).expect("JSON")).expect("it is read");
        assert_eq!(kinds(memory.turn(&rules, at(3), &busy(), &mut Fixed::default())), [uncordoned("a-0", opens)]);
    }
}

#[test]
fn a_node_whose_group_is_gone_is_given_up() {
    let (rules, mut memory) = (Rules::default(), Memory::default());
    memory.turn(&rules, at(0), &busy(), &mut fewer(&["a-0", "a-1"]));
    let gone = Seen { groups: Vec::new(), ..busy() };
    let turn = memory.turn(&rules, at(1), &gone, &mut Fixed::default());
    assert_eq!(kinds(turn), [uncordoned("a-0", true), uncordoned("a-1", true)], "with pods and without");
    assert_eq!(memory.leaving().count(), 0);
}

/// A group with a node that is to be deleted, since minute 1.
fn removing() -> (Rules, Memory) {
    let (rules, mut memory) = (Rules::default(), Memory::default());
    memory.turn(&rules, at(0), &seen(3, 3, 0), &mut fewer(&["a-0"]));
    assert_eq!(kinds(memory.turn(&rules, at(1), &seen(3, 3, 0), &mut Fixed::default())), [deleted("a-0", 2)]);
    (rules, memory)
}

/// The group after that: the node is there, and not one of its nodes any more.
fn still_there(is_empty: bool) -> Seen {
    let mut seen = Seen { nodes: seen(3, 0, 0).nodes, ..seen(2, 2, 0) };
    seen.nodes.insert("a-0".into(), empty(is_empty));
    seen
}

#[test]
fn a_deletion_that_is_not_carried_out_is_asked_for_again_every_ten_minutes() {
    let (rules, mut memory) = removing();
    for minute in [2, 10, 11, 12, 20, 21, 22] {
        let asked = kinds(memory.turn(&rules, at(minute), &still_there(true), &mut Fixed::default()));
        let expected = if minute % 10 == 1 { vec![deleted("a-0", 2)] } else { Vec::new() };
        assert_eq!(asked, expected, "{minute}");
    }
    let mut gone = still_there(true);
    gone.nodes.remove("a-0");
    memory.turn(&rules, at(23), &gone, &mut Fixed::default());
    assert_eq!(memory.leaving().count(), 0, "it is gone");
}

#[test]
fn a_node_that_is_in_use_again_is_emptied_again_and_its_deletion_is_not_asked_for() {
    let (rules, mut memory) = removing();
    for minute in 2..30 {
        assert_eq!(memory.turn(&rules, at(minute), &still_there(false), &mut Fixed::default()).steps, [], "{minute}");
        assert_eq!(memory.leaving().count(), 1, "its pods are evicted");
    }
    let asked = kinds(memory.turn(&rules, at(30), &still_there(true), &mut Fixed::default()));
    assert_eq!(asked, [deleted("a-0", 2)], "it is empty again");
}

#[test]
fn a_node_that_is_leaving_is_not_taken_twice_and_counts_as_gone_already() {
    let (rules, mut memory) = removing();
    assert_eq!(memory.turn(&rules, at(2), &still_there(true), &mut fewer(&["a-0"])).steps, []);
    // Of the two others one has to stay.
    let turn = memory.turn(&rules, at(3), &still_there(true), &mut fewer(&["a-1", "a-2"]));
    assert_eq!(kinds(turn), [cordoned("a-1")]);
    let turn = memory.turn(&rules, at(4), &still_there(true), &mut fewer(&["a-1", "a-2"]));
    assert_eq!(kinds(turn), [deleted("a-1", 1)]);
}

#[test]
fn a_lost_machine_is_awaited_and_then_given_up() {
    let (rules, mut memory) = (Rules::default(), Memory::default());
    // Three nodes are wanted, and one is gone: nobody asked for it to go.
    assert_eq!(memory.turn(&rules, at(0), &seen(2, 3, 0), &mut Fixed::default()).steps, []);
    assert_eq!(memory.turn(&rules, at(14), &seen(2, 3, 0), &mut Fixed::default()).steps, []);
    assert_eq!(kinds(memory.turn(&rules, at(15), &seen(2, 3, 0), &mut Fixed::default())), [resized(3, 2)]);
    assert!(memory.groups["a"].backoff.is_some(), "the group pauses");
    // One that comes back in time is no fault.
    let mut memory = Memory::default();
    memory.turn(&rules, at(0), &seen(2, 3, 0), &mut Fixed::default());
    memory.turn(&rules, at(10), &seen(3, 3, 0), &mut Fixed::default());
    assert_eq!(memory.turn(&rules, at(20), &seen(3, 3, 0), &mut Fixed::default()).steps, []);
    assert!(memory.groups.get("a").is_none_or(|group| group.growth.is_none() && group.backoff.is_none()));
}

#[test]
fn a_lost_machine_is_given_up_no_further_than_to_the_smallest_size() {
    let (rules, mut memory) = (Rules::default(), Memory::default());
    memory.turn(&rules, at(0), &seen(0, 2, 0), &mut Fixed::default());
    assert_eq!(kinds(memory.turn(&rules, at(15), &seen(0, 2, 0), &mut Fixed::default())), [resized(2, 1)]);
    let later = memory.turn(&rules, at(30), &seen(0, 1, 0), &mut Fixed::default());
    assert_eq!(later.steps, [], "the smallest size is awaited for ever");
}
