//! Rules of the queue, and properties that hold for all sequences of calls.

use proptest::prelude::*;

use super::*;

fn key(name: &str) -> PodKey {
    ("shop".into(), name.into())
}

fn pending(priority: i32) -> Pending {
    Pending { uid: "u".into(), priority, is_gated: false }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn names(keys: &[PodKey]) -> Vec<&str> {
    keys.iter().map(|(_, name)| &**name).collect()
}

#[test]
fn pods_come_by_priority_and_then_by_age() {
    let mut queue = Queue::default();
    for (name, priority) in [("a", 0), ("b", 10), ("c", 0), ("d", 10)] {
        queue.put(&key(name), pending(priority));
    }
    assert_eq!(names(&queue.take(at(0), 3)), ["b", "d", "a"]);
    assert_eq!(names(&queue.take(at(0), 3)), ["c"]);
    assert!(queue.take(at(0), 3).is_empty());
}

#[test]
fn an_unschedulable_pod_sleeps_until_a_change_that_may_cure_it() {
    let mut queue = Queue::default();
    queue.put(&key("a"), pending(0));
    queue.take(at(0), 1);
    queue.unschedulable(&key("a"), Changes::NODE_ROOM, at(0));
    queue.changed(Changes::NODE_LABELS);
    assert!(queue.take(at(100), 1).is_empty());
    assert_eq!(queue.next(), Some(LONGEST_SLEEP));
    queue.changed(Changes::NODE_ROOM | Changes::NODE_LABELS);
    assert_eq!(names(&queue.take(at(100), 1)), ["a"]);
    queue.unschedulable(&key("a"), Changes::NODE_ROOM, at(100));
    assert_eq!(names(&queue.take(at(100) + LONGEST_SLEEP, 1)), ["a"], "in the end it is tried anyway");
}

#[test]
fn a_change_during_the_decision_counts() {
    let mut queue = Queue::default();
    queue.put(&key("a"), pending(0));
    queue.take(at(0), 1);
    queue.changed(Changes::POD_GONE);
    queue.unschedulable(&key("a"), Changes::POD_GONE, at(0));
    assert_eq!(queue.counts(), Counts { backing_off: 1, ..Counts::default() });
    assert_eq!(names(&queue.take(at(0), 1)), ["a"], "nothing else is to be done, so its time is not waited for");
}

#[test]
fn active_pods_come_before_those_that_back_off() {
    let mut queue = Queue::default();
    queue.put(&key("a"), pending(10));
    queue.take(at(0), 1);
    queue.unschedulable(&key("a"), Changes::ALL, at(0));
    queue.changed(Changes::OTHER);
    queue.put(&key("b"), pending(0));
    assert_eq!(names(&queue.take(at(0), 5)), ["b"]);
    assert_eq!(names(&queue.take(at(0), 5)), ["a"]);
}

#[test]
fn a_pod_that_cannot_be_decided_rests_longer_each_time() {
    let mut queue = Queue::default();
    queue.put(&key("a"), pending(0));
    let mut now = at(0);
    for rest in [1, 2, 4, 8, 10, 10] {
        assert_eq!(names(&queue.take(now, 1)), ["a"]);
        queue.again(&key("a"), now);
        assert!(queue.take(now + at(rest) - Duration::from_millis(1), 1).is_empty(), "{rest}");
        now += at(rest);
    }
}

#[test]
fn a_gated_pod_waits_for_its_gates_and_a_changed_one_is_tried_again() {
    let mut queue = Queue::default();
    queue.put(&key("a"), Pending { is_gated: true, ..pending(0) });
    queue.changed(Changes::ALL);
    assert!(queue.take(at(1_000), 1).is_empty());
    queue.put(&key("a"), pending(0));
    assert_eq!(names(&queue.take(at(1_000), 1)), ["a"]);
    queue.put(&key("a"), pending(0));
    queue.unschedulable(&key("a"), Changes::NONE, at(1_000));
    assert_eq!(names(&queue.take(at(1_001), 1)), ["a"], "it changed while it was decided");
    queue.remove(&key("a"));
    queue.unschedulable(&key("a"), Changes::NONE, at(1_001));
    assert_eq!(queue.counts(), Counts::default());
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, i32, bool),
    Remove(u8),
    Take(usize),
    Unschedulable(u16),
    Again,
    Changed(u16),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_u8..6, 0_i32..3, any::<bool>()).prop_map(|(name, priority, gated)| Step::Put(name, priority, gated)),
        (0_u8..6).prop_map(Step::Remove),
        (1_usize..4).prop_map(Step::Take),
        (0_u16..256).prop_map(Step::Unschedulable),
        Just(Step::Again),
        (0_u16..256).prop_map(Step::Changed),
        (0_u64..400).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// Each pod is in one state, none is lost, and each that is not gated is taken within the longest sleep.
    #[test]
    fn no_pod_is_lost(steps in steps()) {
        let (mut queue, mut there, mut taken) = (Queue::default(), std::collections::BTreeMap::new(), Vec::new());
        let mut now = Duration::ZERO;
        for step in steps {
            match step {
                Step::Put(name, priority, is_gated) => {
                    let key = key(&name.to_string());
                    queue.put(&key, Pending { is_gated, ..pending(priority) });
                    there.insert(key, is_gated);
                }
                Step::Remove(name) => {
                    let key = key(&name.to_string());
                    queue.remove(&key);
                    there.remove(&key);
                    taken.retain(|one| *one != key);
                }
                Step::Take(most) => {
                    for key in queue.take(now, most) {
                        prop_assert!(there.contains_key(&key) && !taken.contains(&key), "taken twice: {key:?}");
                        taken.push(key);
                    }
                }
                Step::Unschedulable(bits) => if let Some(key) = taken.pop() {
                    queue.unschedulable(&key, cures::of_bits(bits), now);
                }
                Step::Again => if let Some(key) = taken.pop() {
                    queue.again(&key, now);
                }
                Step::Changed(bits) => queue.changed(cures::of_bits(bits)),
                Step::Pass(seconds) => now += at(seconds),
            }
            let counts = queue.counts();
            let sum = counts.active + counts.backing_off + counts.unschedulable + counts.gated + counts.deciding;
            prop_assert_eq!(sum, there.len());
            prop_assert_eq!(counts.deciding, taken.len());
        }
        for key in taken {
            queue.again(&key, now);
        }
        now += LONGEST_SLEEP;
        let found = queue.take(now, 100);
        let gated = queue.counts().gated;
        prop_assert_eq!(found.len() + gated + queue.counts().backing_off, there.len());
        prop_assert_eq!(queue.counts().unschedulable, 0);
    }
}
