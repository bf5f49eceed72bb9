//! Policy diff: equal to deciding each pod by itself under both policies, with causes that hold.

use std::sync::Arc;

use podberth::core::{
    batch,
    diff::{self, Change, Comparison, Differences, MedianPod, Packing, Why},
    policy::Profiles,
};

use super::{
    batches::{alone, queue},
    *,
};

pub(super) static SHARED: LazyLock<[Arc<Profile>; 4]> = LazyLock::new(|| profiles().map(Arc::new));

/// The node of a pod under both policies, each a profile.
type Outcome = (Name, Option<Name>, Option<Name>);

/// The changes, by what each list holds, and how many pods stay.
fn expected(outcomes: &[Outcome]) -> (usize, [Vec<Outcome>; 3]) {
    let mut lists: [Vec<Outcome>; 3] = Default::default();
    let mut same = 0;
    for outcome in outcomes {
        match outcome {
            (_, from, to) if from == to => same += 1,
            (_, Some(_), Some(_)) => lists[0].push(outcome.clone()),
            (_, _, None) => lists[1].push(outcome.clone()),
            (_, None, _) => lists[2].push(outcome.clone()),
        }
    }
    (same, lists)
}

fn lists(of: &Differences) -> [&Vec<Change>; 3] {
    [&of.moved, &of.newly_unschedulable, &of.newly_schedulable]
}

fn found(of: &Differences) -> (usize, [Vec<Outcome>; 3]) {
    let outcome = |change: &Change| (change.pod.name.clone(), change.from.clone(), change.to.clone());
    (of.same, lists(of).map(|list| list.iter().map(outcome).collect()))
}

/// The cause of a change is one, on the clusters that both policies decided on.
fn holds(change: &Change, (old, new): (&Profile, &Profile), (before, after): (&Snapshot, &Snapshot)) {
    let rejects = |profile: &Profile, snapshot: &Snapshot, ruling: &diff::Ruling| {
        let decision = cycle::decide(profile, &change.pod, snapshot, 0);
        let node = decision.nodes.iter().find(|node| *node.node.name() == ruling.node).expect("a node");
        let failure = node.verdicts.iter().find(|v| v.verdict.fits().eq(&false)).expect("it does not fit");
        failure.predicate.name == ruling.predicate && failure.verdict.reasons() == ruling.reasons
    };
    match &change.why {
        Why::Rejected(ruling) => {
            assert!(Some(&ruling.node) == change.from.as_ref() && rejects(new, after, ruling), "{change:?}");
        }
        Why::Admitted(ruling) => {
            assert!(Some(&ruling.node) == change.to.as_ref() && rejects(old, before, ruling), "{change:?}");
        }
        Why::Scores(shifts) => {
            assert!(change.from.is_some() && change.to.is_some(), "{change:?}");
            let decision = cycle::decide(new, &change.pod, after, 0);
            for shift in shifts {
                let Some(scored) = shift.after else { continue };
                for (name, score) in [(&change.from, scored.from), (&change.to, scored.to)] {
                    let node = decision.nodes.iter().find(|node| Some(node.node.name()) == name.as_ref());
                    let told =
                        node.expect("a node").scores.iter().find(|(priority, _)| priority.name == shift.priority);
                    assert_eq!(told.expect("its score").1, score, "{change:?}");
                }
            }
        }
        Why::Level(priority) => {
            let decision = cycle::decide(new, &change.pod, after, 0);
            let node = decision.nodes.iter().find(|node| Some(node.node.name()) == change.from.as_ref());
            let lost_at = node.expect("a node").lost_at.expect("a level");
            assert_eq!(*lost_at.priority.name, **priority);
        }
        Why::Tie | Why::NoProfile(_) => assert!(change.from.is_some() && change.to.is_some(), "{change:?}"),
    }
}

proptest! {
    #[test]
    fn decisions_compared_are_each_decided_alone_under_both_policies(
        objects in objects(), queue in queue(), changes in vec(any_object(), 14), seed in 0_u64..4, pair in (0_usize..4, 0_usize..4),
    ) {
        let start: Snapshot = objects.into_iter().collect();
        let (old, new) = (&SHARED[pair.0], &SHARED[pair.1]);
        let mut snapshot = start.clone();
        let mut comparison = Comparison::new(new.clone().into(), usize::MAX);
        let in_force = Profiles::from(old.clone());
        let (mut outcomes, mut clusters) = (Vec::new(), Vec::new());
        for (pod, change) in queue.iter().zip(&changes) {
            comparison.at(&snapshot);
            comparison.decide(pod, &in_force, seed);
            let selected = |profile: &Profile| cycle::decide(profile, pod, &snapshot, seed).selected;
            outcomes.push((pod.name.clone(), selected(old), selected(new)));
            clusters.push(snapshot.clone());
            snapshot.apply(change.clone());
        }
        let (differences, counts) = comparison.finish();
        prop_assert_eq!(found(&differences), expected(&outcomes));
        prop_assert_eq!(differences.total, outcomes.len());
        prop_assert_eq!(counts.to_vec(), lists(&differences).map(Vec::len).to_vec());
        prop_assert_eq!(differences.by_reason.values().sum::<usize>(), counts.iter().sum::<usize>());
        for change in lists(&differences).into_iter().flatten() {
            let cluster = &clusters[change.index];
            holds(change, (old, new), (cluster, cluster));
            let told = [(old, &change.from), (new, &change.to)];
            for (profile, _) in told.into_iter().filter(|(_, node)| node.is_none()) {
                let message = cycle::decide(profile, &change.pod, cluster, seed).message;
                prop_assert_eq!(change.sentence.as_ref(), Some(&message));
            }
        }
    }

    #[test]
    fn pods_compared_in_turn_are_placed_one_by_one_under_both_policies(
        objects in objects(), queue in queue(), seed in 0_u64..4, pair in (0_usize..4, 0_usize..4),
    ) {
        let start: Snapshot = objects.into_iter().collect();
        let (old, new) = (&SHARED[pair.0], &SHARED[pair.1]);
        let (mut before, mut after) = (start.clone(), start.clone());
        let mut outcomes = Vec::new();
        let mut order = queue.clone();
        batch::in_order(&mut order, &start, |pod| pod);
        let mut clusters = Vec::new();
        for pod in &order {
            clusters.push((before.clone(), after.clone()));
            let from = alone(old, pod, &mut before, seed).ok().map(|(node, ..)| node);
            let to = alone(new, pod, &mut after, seed).ok().map(|(node, ..)| node);
            outcomes.push((pod.name.clone(), from, to));
        }
        let in_force = Profiles::from(old.clone());
        let (differences, _) = diff::in_turn(&start, &queue, &in_force, new.clone().into(), (seed, usize::MAX));
        prop_assert_eq!(found(&differences), expected(&outcomes));
        for change in lists(&differences).into_iter().flatten() {
            prop_assert_eq!(&queue[change.index].name, &change.pod.name);
            let at = order.iter().position(|pod| pod.name == change.pod.name).expect("a pod");
            holds(change, (old, new), (&clusters[at].0, &clusters[at].1));
        }
        let median = MedianPod::of(&start, queue.iter().map(|pod| &**pod));
        let packing = differences.packing.expect("they are placed");
        prop_assert_eq!(packing.before, Packing::of(&before, median));
        prop_assert_eq!(packing.after, Packing::of(&after, median));
    }
}

/// Run with `cargo test --config benches/instructions.toml --test properties ten_thousand -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn ten_thousand_decisions_on_five_thousand_nodes() {
    const DECISIONS: usize = 10_000;
    let (nodes, apps) = (5_000, 40);
    let zones = ["a", "b", "c"];
    let machines = (0..nodes).map(|at| {
        Object::from(testing::node(&format!("node-{at:05}")).cpu("32").memory("128Gi").zone(zones[at % zones.len()]))
    });
    let app = |at: usize| format!("app-{}", at % apps);
    let running = (0..nodes * 20).map(|at| {
        let built = testing::pod(&format!("r{at}")).cpu("500m").memory("2Gi").label("app", &app(at));
        Object::from(built.on(&format!("node-{:05}", at * 7 % nodes)))
    });
    let start: Snapshot = machines.chain(running).collect();
    let in_force = Profiles::from(SHARED[0].clone());
    let packing = json!({"kind": "Policy", "apiVersion": "v1", "priorities": [{"name": "SelectorSpreadPriority", "weight": 1},
        {"name": "MostRequestedPriority", "weight": 1}, {"name": "BalancedResourceAllocation", "weight": 1}]});
    let packing = policy::parse_policy(&packing.to_string()).and_then(|policy| policy.compile()).expect("a policy");
    let candidate = Profiles::from(Arc::new(packing));
    let mut placing = batch::Batch::new(SHARED[0].clone(), start.clone(), batch::Options::default());
    let mut cases = Vec::new();
    for at in 0..DECISIONS {
        let cpu = format!("{}m", 100 + at % apps * 50);
        let new = testing::pod(&format!("new{at}")).cpu(&cpu).memory("1Gi").label("app", &app(at)).build();
        let new = Arc::new(new);
        cases.push((placing.snapshot().clone(), new.clone()));
        placing.place(&new);
    }
    for (what, candidate) in [("the policy in force", &in_force), ("a packing policy", &candidate)] {
        let mut comparison = Comparison::new(candidate.clone(), DECISIONS);
        let begun = std::time::Instant::now();
        for (snapshot, pod) in cases.iter().rev() {
            comparison.at(snapshot);
            comparison.decide(pod, &in_force, 0);
        }
        let (of, counts) = comparison.finish();
        println!("{DECISIONS} decisions under {what}: {:?}, {} same, {counts:?}", begun.elapsed(), of.same);
    }
    let pods: Vec<Arc<Pod>> = cases.iter().map(|(_, pod)| pod.clone()).collect();
    let begun = std::time::Instant::now();
    let (of, counts) = diff::in_turn(&start, &pods, &in_force, candidate, (0, DECISIONS));
    println!("{DECISIONS} pods in turn: {:?}, {} same, {counts:?}", begun.elapsed(), of.same);
}
