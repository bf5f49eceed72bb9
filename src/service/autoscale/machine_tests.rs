use super::*;

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
            nodes: self.nodes.iter().map(|(name, node)| (name.clone(), node.pods == 0)).collect(),
            unready: self.nodes.values().filter(|node| !node.is_ready).count(),
            waiting: self.waiting as usize,
        }
    }

    fn carry_out(&mut self, step: &Step) {
        match step {
            Step::Resize { group, from, to, .. } => {
                self.groups.iter_mut().find(|own| own.name == *group).expect("it is there").target = *to;
                for _ in *from..*to {
                    // Some never come.
                    if self.chance.u8(..) < 240 {
                        let wait = SignedDuration::from_secs(self.chance.i64(30..1200));
                        self.coming.push((later(self.now, wait), group.clone()));
                    }
                }
            }
            Step::Drain { node, .. } => {
                let node = self.nodes.get_mut(node).expect("it is there");
                node.is_cordoned = true;
                // A budget allows some at a time.
                let evicted = node.pods.min(self.chance.u32(..4));
                node.pods -= evicted;
                self.waiting += evicted;
            }
            Step::Remind { .. } => {}
            Step::GiveUp { node, .. } => self.nodes.get_mut(node).expect("it is there").is_cordoned = false,
            Step::Remove { node, group, to } => {
                self.groups.iter_mut().find(|own| own.name == *group).expect("it is there").target = *to;
                let gone = self.nodes.remove(node).expect("it is there");
                assert_eq!(gone.pods, 0, "{node} is deleted with pods on it");
            }
        }
    }
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
                match step {
                    Step::Resize { group, from, to, .. } if to > from => {
                        assert_ne!(mood, Mood::Unhealthy, "{seed}/{turn}: grown while nodes are unready");
                        last_added.insert(group.clone(), now);
                        added += to - from;
                    }
                    Step::Remove { group, node, .. } => {
                        let is_settled = |at: &Timestamp| now >= later(*at, rules.delay_after_add);
                        let began = told.draining.contains_key(node);
                        assert!(
                            began || last_added.get(group).is_none_or(is_settled),
                            "{seed}/{turn}: {group} became smaller within the cooldown of becoming larger"
                        );
                        removed += 1;
                    }
                    Step::GiveUp { .. } => given_up += 1,
                    _ => {}
                }
                world.carry_out(step);
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
    let nodes = (0..nodes).map(|number| (format!("a-{number}"), true)).collect();
    Seen { groups: vec![group], nodes, unready: 0, waiting }
}

fn more(by: u32) -> Fixed {
    Fixed { up: vec![Increase { group: "a".into(), by, why: "pods wait".into() }], ..Fixed::default() }
}

#[test]
fn a_group_whose_nodes_do_not_come_is_made_smaller_again_and_pauses_ever_longer() {
    let (rules, mut memory) = (Rules::default(), Memory::default());
    let mut minute = 0;
    for (pause, expected) in [(0, 5), (5, 10), (10, 20), (20, 30), (30, 30)] {
        minute += pause;
        let grown = memory.turn(&rules, at(minute), &seen(1, 1, 3), &mut more(2)).steps;
        assert!(matches!(&grown[..], [Step::Resize { from: 1, to: 3, .. }]), "{minute}: {grown:?}");
        minute += 14;
        assert_eq!(memory.turn(&rules, at(minute), &seen(1, 3, 0), &mut Fixed::default()).steps, []);
        minute += 1;
        let mut advice = more(2);
        let overdue = memory.turn(&rules, at(minute), &seen(1, 3, 3), &mut advice).steps;
        assert!(matches!(&overdue[..], [Step::Resize { from: 3, to: 1, .. }]), "{overdue:?}");
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
    let pairs = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "a".to_owned())).collect::<Vec<_>>();
    let down = Removable { now: pairs(&["a-0", "a-1", "a-2"]), ..Removable::default() };
    let steps = memory.turn(&rules, at(0), &seen(3, 3, 0), &mut Fixed { down, ..Fixed::default() }).steps;
    let drained = |node: &str| Step::Drain { node: node.into(), group: "a".into(), begins: true };
    assert_eq!(steps, [drained("a-0"), drained("a-1")]);
    let steps = memory.turn(&rules, at(1), &seen(3, 3, 0), &mut Fixed::default()).steps;
    let removed = |to, node: &str| Step::Remove { node: node.into(), group: "a".into(), to };
    assert_eq!(steps, [removed(2, "a-0"), removed(1, "a-1")]);
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

#[test]
fn a_node_that_does_not_become_empty_is_given_up_and_then_nothing_is_removed_for_a_while() {
    let (rules, mut memory) = (Rules::default(), Memory::default());
    let mut busy = seen(3, 3, 0);
    busy.nodes.insert("a-0".into(), false);
    let drain = || Fixed {
        down: Removable { now: vec![("a-0".into(), "a".into())], ..Removable::default() },
        ..Fixed::default()
    };
    let draining = |begins| Step::Drain { node: "a-0".into(), group: "a".into(), begins };
    assert_eq!(memory.turn(&rules, at(0), &busy, &mut drain()).steps, [draining(true)]);
    assert_eq!(memory.turn(&rules, at(1), &busy, &mut drain()).steps, [draining(false)], "evictions are tried again");
    let turn = memory.turn(&rules, at(3), &busy, &mut drain());
    assert!(matches!(&turn.steps[..], [Step::GiveUp { .. }]) && turn.mood == Mood::Cooldown(at(6)), "{turn:?}");
    let turn = memory.turn(&rules, at(6), &busy, &mut drain());
    assert_eq!(turn.steps.len(), 1, "{turn:?}");
    let turn = memory.turn(&rules, at(7), &seen(3, 3, 0), &mut drain());
    assert!(matches!(&turn.steps[..], [Step::Remove { to: 2, .. }]), "{turn:?}");
}
