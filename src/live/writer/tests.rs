//! Batches, their judge and their callers, over a store that can be held up and taken away.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::json;
use tokio::task::{JoinHandle, yield_now};

use crate::{
    live::{
        Clusters, CommitError, Limits,
        gated::{EVER, Gated},
    },
    store::{Atomicity, Call, Change, Commit, Key, Outcome, Precondition, Refusal, Store, StoreError, Write},
    wire::reservation,
};

mod judging;

const CLUSTER: &str = "prod";
const HOUR: Duration = Duration::from_hours(1);

fn write(kind: &str, namespace: &str, name: &str, change: Change) -> Write {
    Write { key: Key::new(kind, namespace, name), precondition: Precondition::default(), change }
}

fn put(kind: &str, namespace: &str, name: &str, body: &serde_json::Value) -> Write {
    write(kind, namespace, name, Change::Put { body: body.to_string().into(), uid: format!("uid-{name}"), node: None })
}

/// A node with `cpu` CPUs.
fn node(name: &str, cpu: u32) -> Write {
    let body = json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu.to_string(), "pods": "110"}}});
    put("nodes", "", name, &body)
}

/// A pod that requests one CPU.
fn pod(name: &str) -> Write {
    let body = json!({"metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}")},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}});
    put("pods", "shop", name, &body)
}

fn bind(name: &str, node: &str) -> Write {
    write("pods", "shop", name, Change::Bind { node: node.into() })
}

fn each(writes: Vec<Write>) -> Call {
    Call { writes, atomicity: Atomicity::Each }
}

fn all(writes: Vec<Write>) -> Call {
    Call { writes, atomicity: Atomicity::AllOrNothing }
}

/// Commits a call that must succeed.
async fn commit(clusters: &Clusters, call: Call) -> Commit {
    clusters.commit(CLUSTER, call, None).await.expect("it is written")
}

type Running = JoinHandle<Result<Commit, CommitError>>;

/// Commits in the background.
fn start(clusters: &Clusters, call: Call) -> Running {
    let clusters = clusters.clone();
    tokio::spawn(async move { clusters.commit(CLUSTER, call, None).await })
}

async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        yield_now().await;
    }
}

/// A kept cluster with a node of 4 CPUs and pods.
async fn cluster(pods: &[&str]) -> (Arc<Gated>, Clusters) {
    let store = Gated::open().await;
    let clusters = Clusters::new(store.clone(), HOUR);
    let pods = pods.iter().map(|name| pod(name));
    commit(&clusters, each(std::iter::once(node("n", 4)).chain(pods).collect())).await;
    store.batches.lock().expect("no test has panicked").clear();
    (store, clusters)
}

/// Holds the writer in a batch of its own while these calls are queued, then admits all.
async fn together(store: &Gated, clusters: &Clusters, calls: Vec<Call>) -> Vec<Result<Commit, CommitError>> {
    store.close_gate();
    let first = start(clusters, each(vec![node("held", 1)]));
    until(|| !store.batches().is_empty()).await;
    let kept = clusters.followed(CLUSTER).expect("it is kept");
    let mut running = Vec::new();
    for call in calls {
        running.push(start(clusters, call));
        // In this order.
        until(|| kept.queue.lengths().0 + kept.queue.lengths().1 == running.len()).await;
    }
    store.gate.add_permits(EVER);
    first.await.expect("no panic").expect("it is written");
    let mut answers = Vec::new();
    for call in running {
        answers.push(call.await.expect("no panic"));
    }
    answers
}

fn outcomes(answers: Vec<Result<Commit, CommitError>>) -> Vec<Vec<Outcome>> {
    answers.into_iter().map(|answer| answer.expect("it is written").outcomes).collect()
}

fn rejected(outcome: &Outcome) -> &str {
    let Outcome::Refused(Refusal::Rejected(why)) = outcome else { panic!("{outcome:?}") };
    why
}

const FULL: &str = "does not fit on node n: Insufficient cpu";

#[tokio::test]
async fn calls_queued_together_share_a_transaction() {
    let (store, clusters) = cluster(&[]).await;
    let calls = (0..99).map(|i| each(vec![pod(&format!("p{i}"))])).collect();
    let revisions: Vec<u64> =
        together(&store, &clusters, calls).await.into_iter().map(|a| a.expect("it is written").revision).collect();
    assert_eq!(store.batches().iter().map(Vec::len).collect::<Vec<_>>(), [1, 99]);
    assert_eq!(revisions, [101; 99], "the node, the one held up, 99 pods");
    assert_eq!(clusters.followed(CLUSTER).expect("it is kept").view().snapshot.pod_count(), 99);
}

#[tokio::test]
async fn binds_go_first_and_starve_nobody() {
    let names: Vec<String> = (0..300).map(|i| format!("b{i}")).collect();
    let (store, clusters) = cluster(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let puts = (0..100).map(|i| each(vec![pod(&format!("p{i}"))]));
    let binds = names.iter().map(|name| each(vec![bind(name, "n")]));
    together(&store, &clusters, puts.chain(binds).collect()).await;
    let batch = &store.batches()[1];
    assert_eq!((batch.len(), &*batch[0], &*batch[191], &*batch[192], &*batch[255]), (256, "b0", "b191", "p0", "p63"));
    assert_eq!(store.batches()[2].len(), 144, "108 binds and 36 others are left");
}

#[tokio::test]
async fn an_answer_is_given_when_the_view_shows_the_write() {
    let (_, clusters) = cluster(&[]).await;
    for i in 0..50 {
        let name = format!("p{i}");
        let revision = commit(&clusters, each(vec![pod(&name)])).await.revision;
        let view = clusters.followed(CLUSTER).expect("it is kept").view();
        assert!(view.snapshot.revision >= revision && view.snapshot.pod("shop", &name).is_some());
    }
}

#[tokio::test]
async fn each_bind_is_judged_over_those_before_it() {
    let (store, clusters) = cluster(&["a", "b", "c", "d", "e", "f"]).await;
    let calls = vec![
        each(vec![bind("a", "n"), bind("b", "n")]),
        all(vec![bind("c", "n"), bind("d", "n"), bind("e", "n")]),
        each(vec![bind("e", "n"), bind("f", "n")]),
        each(vec![bind("d", "n"), bind("a", "n"), bind("a", "m"), bind("c", "m")]),
    ];
    let told = outcomes(together(&store, &clusters, calls).await);
    assert_eq!(store.batches()[1].len(), 4, "all in one batch");
    assert!(matches!(told[0][..], [Outcome::Written { .. }, Outcome::Written { .. }]), "{told:?}");
    let not_attempted = Outcome::Refused(Refusal::NotAttempted);
    assert_eq!(told[1][..2], [not_attempted.clone(), not_attempted]);
    assert_eq!(rejected(&told[1][2]), format!("pod e {FULL}"));
    assert!(matches!(told[2][..], [Outcome::Written { .. }, Outcome::Written { .. }]), "what was rolled back is free");
    assert_eq!(rejected(&told[3][0]), format!("pod d {FULL}"));
    assert!(matches!(told[3][1], Outcome::Unchanged { .. }));
    assert_eq!(told[3][2], Outcome::Refused(Refusal::AlreadyBound { node: "n".into() }));
    assert_eq!(rejected(&told[3][3]), "node m is not known");
    let snapshot = &clusters.followed(CLUSTER).expect("it is kept").view().snapshot;
    let on_node: Vec<_> = snapshot.node("n").expect("a node").pods.iter().map(|p| p.name.to_string()).collect();
    assert_eq!(on_node, ["a", "b", "e", "f"]);
}

#[tokio::test]
async fn writes_of_others_count_and_facts_are_not_judged() {
    let (store, clusters) = cluster(&["a", "b", "c", "d", "e"]).await;
    // Another replica's doing, which this one has not read yet.
    let facts = ["a", "b", "c", "d"].map(|name| write("pods", "shop", name, Change::SetNode(Some("n".into()))));
    let behind_its_back = store.inner.commit(CLUSTER, facts.into(), Atomicity::Each).await.expect("it is written");
    let told = commit(&clusters, each(vec![bind("e", "n")])).await;
    assert_eq!(rejected(&told.outcomes[0]), format!("pod e {FULL}"));
    let view = clusters.followed(CLUSTER).expect("it is kept").view();
    assert_eq!(view.snapshot.revision, behind_its_back.revision, "a batch that writes nothing brings news as well");
    let fact = write("pods", "shop", "e", Change::SetNode(Some("n".into())));
    assert!(matches!(commit(&clusters, each(vec![fact])).await.outcomes[0], Outcome::Written { .. }), "overcommitted");
}

#[tokio::test]
async fn a_pod_in_no_state_to_be_bound_is_not_bound() {
    let (_, clusters) = cluster(&[]).await;
    let with = |name: &str, pointer: &str, value: serde_json::Value| {
        let mut body = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {}, "status": {}});
        let (parent, field) = pointer.rsplit_once('/').expect("a path");
        body.pointer_mut(parent).expect("a part of it")[field] = value;
        put("pods", "shop", name, &body)
    };
    let pods = vec![
        with("leaving", "/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z")),
        with("done", "/status/phase", json!("Succeeded")),
        with("gated", "/spec/schedulingGates", json!([{"name": "quota"}])),
        put("pods", "shop", "odd", &json!("no pod")),
    ];
    commit(&clusters, each(pods)).await;
    for (name, why) in [
        ("leaving", "pod leaving is being deleted, cannot be assigned to a host"),
        ("done", "pod done has run to its end, cannot be assigned to a host"),
        ("gated", "pod gated has the scheduling gate quota, cannot be assigned to a host"),
        ("odd", "pod odd cannot be read"),
    ] {
        assert_eq!(rejected(&commit(&clusters, each(vec![bind(name, "n")])).await.outcomes[0]), why);
    }
    let unknown = commit(&clusters, each(vec![bind("x", "n")])).await;
    assert_eq!(unknown.outcomes, [Outcome::Refused(Refusal::NotFound)]);
}

#[tokio::test]
async fn a_full_queue_turns_away() {
    let store = Gated::open().await;
    let clusters = Clusters::limited(store.clone(), Limits { poll: HOUR, most_waiting: 1, ..Limits::default() });
    store.close_gate();
    let first = start(&clusters, each(vec![pod("a")]));
    until(|| !store.batches().is_empty()).await;
    let second = start(&clusters, each(vec![pod("b")]));
    let kept = clusters.followed(CLUSTER).expect("it is kept");
    until(|| kept.queue.lengths() == (0, 1)).await;
    let third = clusters.commit(CLUSTER, each(vec![bind("a", "n")]), None).await;
    assert_eq!(third, Err(CommitError::Overloaded { waiting: 1 }));
    store.gate.add_permits(EVER);
    for call in [first, second] {
        call.await.expect("no panic").expect("it is written");
    }
}

#[tokio::test]
async fn a_dropped_call_affects_no_other() {
    let (store, clusters) = cluster(&[]).await;
    store.close_gate();
    let writing = start(&clusters, each(vec![pod("a")]));
    until(|| !store.batches().is_empty()).await;
    let (leaving, staying) = (start(&clusters, each(vec![pod("b")])), start(&clusters, each(vec![pod("c")])));
    let kept = clusters.followed(CLUSTER).expect("it is kept");
    until(|| kept.queue.lengths() == (0, 2)).await;
    for gone in [writing, leaving] {
        gone.abort();
        assert!(gone.await.expect_err("it was aborted").is_cancelled());
    }
    store.gate.add_permits(EVER);
    staying.await.expect("no panic").expect("it is written");
    let view = clusters.followed(CLUSTER).expect("it is kept").view();
    let pods: Vec<_> = view.snapshot.pods().map(|p| p.name.to_string()).collect();
    assert_eq!(pods, ["a", "c"], "what was being written is; what waited is not");
}

#[tokio::test]
async fn one_call_unfit_to_be_written_harms_no_other() {
    let (store, clusters) = cluster(&[]).await;
    let calls = vec![each(vec![pod("a")]), each(vec![pod("nul\0")]), each(vec![pod("b")])];
    let answers = together(&store, &clusters, calls).await;
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert!(matches!(answers[1], Err(CommitError::Store(StoreError::Invalid(_)))), "{answers:?}");
}

#[tokio::test]
async fn a_judge_that_is_behind_reads_the_feed_first() {
    let (store, clusters) = cluster(&["a"]).await;
    store.behind.store(3, Ordering::SeqCst);
    let told = commit(&clusters, each(vec![bind("a", "n")])).await;
    assert!(matches!(told.outcomes[..], [Outcome::Written { .. }]));
    assert_eq!(store.batches().len(), 4);
    store.behind.store(usize::MAX, Ordering::SeqCst);
    let given_up = clusters.commit(CLUSTER, each(vec![pod("b")]), None).await;
    assert!(matches!(given_up, Err(CommitError::Store(StoreError::Behind { .. }))), "{given_up:?}");
}

#[tokio::test]
async fn an_unreachable_database_fails_calls_at_once_and_needs_no_restart() {
    let store = Gated::open().await;
    let clusters = Clusters::new(store.clone(), Duration::from_millis(1));
    commit(&clusters, each(vec![node("n", 4), pod("a")])).await;
    store.batches.lock().expect("no test has panicked").clear();
    store.close_gate();
    let calls: Vec<Running> = (0..3).map(|i| start(&clusters, each(vec![pod(&format!("p{i}"))]))).collect();
    until(|| !store.batches().is_empty()).await;
    store.away.store(true, Ordering::SeqCst);
    store.gate.add_permits(EVER);
    let away = Err(CommitError::Store(StoreError::Unavailable("away".into())));
    for call in calls {
        assert_eq!(call.await.expect("no panic"), away);
    }
    let tried = store.batches().len();
    assert_eq!(clusters.commit(CLUSTER, each(vec![bind("a", "n")]), None).await, away);
    assert_eq!(store.batches().len(), tried, "nothing was tried");
    let kept = clusters.followed(CLUSTER).expect("it is kept");
    assert_eq!(kept.view().snapshot.pod_count(), 1, "the snapshot stays");
    let synced = kept.progress().synced;
    store.away.store(false, Ordering::SeqCst);
    until(|| kept.progress().synced != synced).await;
    commit(&clusters, each(vec![bind("a", "n")])).await;
}

#[tokio::test]
async fn a_read_only_database_is_read_and_fails_writes_at_once() {
    let store = Gated::open().await;
    let clusters = Clusters::new(store.clone(), Duration::from_millis(1));
    commit(&clusters, each(vec![node("n", 4), pod("a")])).await;
    let kept = clusters.followed(CLUSTER).expect("it is kept");
    store.full.store(true, Ordering::SeqCst);
    let full = Err(CommitError::Store(StoreError::Unwritable("full".into())));
    assert_eq!(clusters.commit(CLUSTER, each(vec![pod("b")]), None).await, full);
    let tried = store.batches().len();
    let synced = kept.progress().synced;
    until(|| kept.progress().synced != synced).await;
    assert_eq!(clusters.commit(CLUSTER, each(vec![pod("b")]), None).await, full, "it was read in between");
    assert_eq!(store.batches().len(), tried, "nothing was tried");
    store.full.store(false, Ordering::SeqCst);
    let synced = kept.progress().synced;
    until(|| kept.progress().synced != synced).await;
    commit(&clusters, each(vec![pod("b")])).await;
}

#[tokio::test]
async fn the_first_write_creates_a_cluster() {
    let clusters = Clusters::new(Gated::open().await, HOUR);
    let refused = commit(&clusters, each(vec![bind("a", "n")])).await;
    assert_eq!(refused.outcomes, [Outcome::Refused(Refusal::NotFound)]);
    assert!(clusters.live().is_empty(), "nothing came to be");
    commit(&clusters, each(vec![pod("a")])).await;
    assert_eq!(clusters.get(CLUSTER).await.expect("it is kept").view().snapshot.pod_count(), 1);
}

/// Reserves a node, as the API does.
fn reserve(name: &str, kind: &str, node: &str, until: &str) -> Call {
    let body = json!({"podUid": format!("uid-{name}"), "kind": kind, "until": until}).to_string().into();
    let nominated = (kind == "Nominated").then(|| node.to_owned());
    let put = Change::Put { body, uid: format!("{until}{kind}"), node: nominated };
    let mut writes = vec![write(reservation::KIND, "shop", name, put)];
    if kind == "Assumed" {
        writes.push(write(reservation::KIND, "shop", name, Change::Bind { node: node.into() }));
    }
    all(writes)
}

#[tokio::test]
async fn a_reserved_node_is_taken_until_the_reservation_is_gone() {
    let (store, clusters) = cluster(&["a", "b", "c", "d", "e"]).await;
    let (early, late) = ("2001-01-01T00:00:10Z", "2901-01-01T00:01:00Z");
    for (name, until) in [("a", early), ("b", late), ("c", late), ("d", late)] {
        let told = commit(&clusters, reserve(name, "Assumed", "n", until)).await;
        assert!(told.outcomes.iter().all(|o| matches!(o, Outcome::Written { .. })), "{told:?}");
    }
    let fifth = commit(&clusters, reserve("e", "Assumed", "n", late)).await;
    assert_eq!(rejected(&fifth.outcomes[1]), format!("pod e {FULL}"));
    assert_eq!(rejected(&commit(&clusters, each(vec![bind("e", "n")])).await.outcomes[0]), format!("pod e {FULL}"));
    let again = commit(&clusters, reserve("d", "Assumed", "n", late)).await;
    assert!(!again.outcomes.iter().any(|o| matches!(o, Outcome::Refused(_))), "a pod is not in its own way");

    let view = || clusters.followed(CLUSTER).expect("it is kept").view();
    assert_eq!(
        (view().bound_to("shop", "a"), &*view().snapshot.pod("shop", "a").expect("a pod").node_name),
        (None, "n")
    );
    commit(&clusters, each(vec![bind("b", "n")])).await;
    assert_eq!(view().bound_to("shop", "b"), Some("n"));
    commit(&clusters, each(vec![write("pods", "shop", "c", Change::Delete)])).await;
    commit(&clusters, each(vec![write(reservation::KIND, "shop", "d", Change::Delete)])).await;
    assert_eq!(view().snapshot.node("n").expect("a node").pods.len(), 2, "a assumed, b bound, c and d gone");

    assert_eq!(clusters.expire().await, Ok(1), "a's: the database's clock is past it");
    assert_eq!(clusters.expire().await, Ok(0));
    let kept = clusters.followed(CLUSTER).expect("it is kept");
    let head = store.head(CLUSTER).await.expect("the store answers").revision;
    assert!(kept.reached(head, HOUR).await);
    assert_eq!(view().snapshot.node("n").expect("a node").pods.len(), 1, "b stays bound");
    assert!(!view().snapshot.pod("shop", "a").expect("a pod").is_assigned(), "nothing is left behind");
}

#[tokio::test]
async fn a_nomination_stands_on_the_pod_and_is_not_judged() {
    let (_, clusters) = cluster(&["a"]).await;
    commit(&clusters, reserve("a", "Nominated", "elsewhere", "2026-01-01T00:00:00Z")).await;
    let nominated = || {
        let view = clusters.followed(CLUSTER).expect("it is kept").view();
        view.snapshot.pod("shop", "a").expect("a pod").nominated_node_name.to_string()
    };
    assert_eq!(nominated(), "elsewhere");
    commit(&clusters, each(vec![pod("a")])).await;
    assert_eq!(nominated(), "elsewhere", "it outlives a change of the pod");
    commit(&clusters, each(vec![write(reservation::KIND, "shop", "a", Change::Delete)])).await;
    assert_eq!(nominated(), "");
}
