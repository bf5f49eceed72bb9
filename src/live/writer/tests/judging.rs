//! Rehearsals: their bounds, their panics, and concurrent writers.

use super::*;
use crate::{
    core::{
        model::Pod,
        policy::{ActivePredicate, Profile},
        predicates::{Demand, Predicate},
        rule::Release,
        snapshot::Snapshot,
        work,
    },
    live::rehearsal::{ALONE, HELD, TOGETHER},
};

/// A rule that accepts every pod on every node, after a number of steps.
struct Costly(u64);

impl Predicate for Costly {
    fn prepare<'a>(&'a self, _: &'a Pod, _: &'a Snapshot) -> Demand<'a> {
        work::spend(self.0);
        Demand::Nothing
    }
}

struct Panics;

impl Predicate for Panics {
    #[allow(clippy::panic, reason = "the panic is what is tested")]
    fn prepare<'a>(&'a self, pod: &'a Pod, _: &'a Snapshot) -> Demand<'a> {
        panic!("planted for {}", pod.name)
    }
}

#[allow(clippy::unnecessary_wraps, reason = "what commits take")]
fn by(rule: impl Predicate + 'static) -> Option<Arc<Profile>> {
    let mut profile = Profile::empty(Release::V1_34);
    profile.predicates.push(ActivePredicate { name: "Planted", plugin: "Planted", rule: Box::new(rule) });
    Some(Arc::new(profile))
}

/// Commits in the background, judged by a profile.
fn start_by(clusters: &Clusters, call: Call, judged_by: Option<Arc<Profile>>) -> Running {
    let clusters = clusters.clone();
    tokio::spawn(async move { clusters.commit(CLUSTER, call, judged_by).await })
}

/// As [`together`], each call judged by its own profile.
async fn together_by(
    store: &Gated,
    clusters: &Clusters,
    calls: Vec<(Call, Option<Arc<Profile>>)>,
) -> Vec<Vec<Outcome>> {
    store.close_gate();
    let first = start(clusters, each(vec![node("held", 1)]));
    until(|| !store.batches().is_empty()).await;
    let kept = clusters.followed(CLUSTER).expect("it is kept");
    let mut running = Vec::new();
    for (call, judged_by) in calls {
        running.push(start_by(clusters, call, judged_by));
        until(|| kept.queue.lengths().0 + kept.queue.lengths().1 == running.len()).await;
    }
    store.gate.add_permits(EVER);
    first.await.expect("no panic").expect("it is written");
    let mut told = Vec::new();
    for call in running {
        told.push(call.await.expect("no panic").expect("it is answered").outcomes);
    }
    told
}

fn is_written(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, Outcome::Written { .. }))
}

fn one(name: &str) -> Call {
    each(vec![bind(name, "n")])
}

#[tokio::test]
async fn a_bind_that_takes_too_long_to_judge_is_refused_alone() {
    let (store, clusters) = cluster(&["a", "b"]).await;
    let calls = vec![(one("a"), by(Costly(ALONE + 1))), (one("b"), None), (each(vec![pod("c")]), None)];
    let told = together_by(&store, &clusters, calls).await;
    assert!(rejected(&told[0][0]).starts_with("pod a was not judged"), "{told:?}");
    assert!(is_written(&told[1]) && is_written(&told[2]), "{told:?}");
    assert_eq!(store.batches()[1], ["a", "b", "c"], "it is told in the batch in which it was judged");
}

#[tokio::test]
async fn expensive_binds_wait_for_the_next_batch_and_delay_no_other_call() {
    let (store, clusters) = cluster(&["a", "b", "c", "d"]).await;
    let costly = || by(Costly(TOGETHER));
    let calls = vec![
        (one("a"), costly()),
        (one("b"), costly()),
        (all(vec![bind("c", "n")]), costly()),
        (one("d"), None),
        (each(vec![pod("e")]), None),
    ];
    let told = together_by(&store, &clusters, calls).await;
    assert!(told.iter().all(|outcomes| is_written(outcomes)), "{told:?}");
    assert_eq!(store.batches()[1..], [vec!["a", "d", "e"], vec!["b"], vec!["c"]]);
}

#[tokio::test]
async fn a_panic_while_judging_refuses_that_call_and_nothing_else() {
    let (store, clusters) = cluster(&["a", "b", "c"]).await;
    let calls = vec![
        (one("a"), None),
        (all(vec![bind("b", "n"), pod("never")]), by(Panics)),
        (one("c"), None),
        (each(vec![pod("e")]), None),
    ];
    let told = together_by(&store, &clusters, calls).await;
    assert!(rejected(&told[1][0]).starts_with("pod b was not judged: an internal error"), "{told:?}");
    assert_eq!(told[1][1], Outcome::Refused(Refusal::NotAttempted));
    assert!(is_written(&told[0]) && is_written(&told[2]) && is_written(&told[3]), "{told:?}");
    assert_eq!(store.batches().len(), 2, "in one batch with the others");
}

/// A cluster whose next batch is judged and then held up while others write.
async fn overtaken(by_whom: Vec<Write>, call: Call, judged_by: Option<Arc<Profile>>) -> (Arc<Gated>, Vec<Outcome>) {
    let (store, clusters) = cluster(&["a", "b", "c", "d"]).await;
    store.close_gate();
    let running = start_by(&clusters, call, judged_by);
    until(|| !store.batches().is_empty()).await;
    store.inner.commit(CLUSTER, by_whom, Atomicity::Each).await.expect("it is written");
    store.gate.add_permits(EVER);
    let told = running.await.expect("no panic").expect("it is answered").outcomes;
    let view = clusters.followed(CLUSTER).expect("it is kept").view();
    let stored = store.inner.head(CLUSTER).await.expect("a head");
    assert_eq!(view.snapshot.revision, stored.revision);
    (store, told)
}

#[tokio::test]
async fn binds_are_judged_in_the_transaction_after_writes_of_others() {
    let facts = ["a", "b", "c", "d"].map(|name| write("pods", "shop", name, Change::SetNode(Some("n".into()))));
    let late = each(vec![pod("late"), bind("late", "n")]);
    let (store, told) = overtaken(facts.into(), late, None).await;
    assert_eq!(rejected(&told[1]), format!("pod late {FULL}"));
    assert_eq!(store.batches().len(), 1);
}

#[tokio::test]
async fn binds_too_long_for_the_transaction_are_rehearsed_again() {
    let (store, told) = overtaken(vec![node("other", 1)], one("a"), by(Costly(HELD + 1))).await;
    assert!(is_written(&told), "{told:?}");
    assert_eq!(store.batches(), [["a"], ["a"]], "the first time others came between");
}

#[tokio::test]
async fn a_create_that_is_refused_where_it_was_taken_for_good_leaves_the_others_judged() {
    let (_, clusters) = cluster(&["a", "b", "c", "d", "e"]).await;
    // The view does not tell whether there is such a budget: the play takes its creation for good.
    let budget = json!({"metadata": {"name": "x", "namespace": "shop"}, "spec": {}});
    let budget = || put("poddisruptionbudgets.policy", "shop", "x", &budget);
    commit(&clusters, each(vec![budget()])).await;
    let again = Write { precondition: Precondition::absent(), ..budget() };
    let binds = ["a", "b", "c", "d", "e"].map(|name| bind(name, "n"));
    let told = commit(&clusters, each([again].into_iter().chain(binds).collect())).await.outcomes;
    assert!(matches!(told[0], Outcome::Refused(Refusal::AlreadyExists { .. })), "{told:?}");
    assert!(is_written(&told[1..5]), "{told:?}");
    assert_eq!(rejected(&told[5]), format!("pod e {FULL}"));
    let view = clusters.followed(CLUSTER).expect("it is kept").view();
    assert_eq!(view.snapshot.node("n").expect("a node").pods.len(), 4);
}

#[tokio::test]
async fn an_unexpected_last_write_without_effect_keeps_the_earlier_ones() {
    let again = Write { precondition: Precondition::absent(), ..node("n", 4) };
    let outdated = Write { precondition: Precondition::revision(9_999), ..pod("a") };
    let without_effect = [
        write("pods", "shop", "gone", Change::Delete),
        write("pods", "shop", "gone", Change::SetNode(Some("n".into()))),
        write("nodes", "", "gone", Change::Delete),
        node("n", 4),
        again,
        outdated,
    ];
    // Few records are read by the writer, many on a thread of their own.
    for (last, many) in without_effect.iter().flat_map(|last| [(last, 1), (last, 40)]) {
        let (store, clusters) = cluster(&["a"]).await;
        let late: Vec<String> = (0..many).map(|i| format!("late-{i}")).collect();
        let writes = std::iter::once(bind("a", "n")).chain(late.iter().map(|name| pod(name))).chain([last.clone()]);
        let told = commit(&clusters, each(writes.collect())).await.outcomes;
        assert!(is_written(&told[..=many]) && !is_written(&told[many + 1..]), "{told:?}");
        let shown = clusters.followed(CLUSTER).expect("it is kept").view();
        let read_anew = Clusters::new(store, HOUR).get(CLUSTER).await.expect("it is kept").view();
        assert!(shown.snapshot == read_anew.snapshot, "{many} pods before {last:?}");
        assert_eq!((shown.bound_to("shop", "a"), shown.snapshot.pod_count()), (Some("n"), many + 1));
    }
}

#[tokio::test]
async fn a_writer_that_ended_is_replaced() {
    let (_, clusters) = cluster(&["a"]).await;
    let kept = clusters.followed(CLUSTER).expect("it is kept");
    kept.writer.as_ref().expect("it has a writer").abort();
    until(|| clusters.followed(CLUSTER).is_none()).await;
    assert!(is_written(&commit(&clusters, one("a")).await.outcomes));
    let anew = clusters.get(CLUSTER).await.expect("it is kept again");
    assert!(!Arc::ptr_eq(&anew, &kept) && anew.view().bound_to("shop", "a") == Some("n"));
}
