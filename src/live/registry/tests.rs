//! Many clusters, in virtual time: waking of writers, effects of one cluster's damage on others, and release.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{advance, sleep};

use crate::{
    live::{
        Clusters, CommitError, DEFAULT_CLUSTER, Limits, fork,
        gated::{Fault, Gated},
    },
    store::{Atomicity, Call, Change, Hint, Key, Precondition, Reach, Store, StoreError, Upkeep, Write},
};
use podberth_testkit::memory::{Memory, Numbering};

const HOUR: Duration = Duration::from_hours(1);

fn put(name: &str) -> Write {
    let body = format!(r#"{{"metadata":{{"name":"{name}"}}}}"#).into();
    let change = Change::Put { body, uid: name.to_owned(), node: None };
    Write { key: Key::new("nodes", "", name), precondition: Precondition::default(), change }
}

/// Writes as another replica does.
async fn write(store: &Gated, cluster: &str, name: &str) -> u64 {
    store.commit(cluster, vec![put(name)], Atomicity::Each).await.expect("the store writes").revision
}

/// Some clusters of one node, all kept.
async fn kept(names: &[&str], limits: Limits) -> (Arc<Gated>, Clusters) {
    let store = Gated::over(Arc::new(Memory::new(Numbering::Counter))).await;
    let clusters = Clusters::limited(store.clone(), limits);
    for name in names {
        write(&store, name, "n").await;
        clusters.get(name).await.expect("it loads");
    }
    (store, clusters)
}

fn live(clusters: &Clusters) -> usize {
    clusters.live().len()
}

fn pages(store: &Gated) -> Vec<usize> {
    store.pages.lock().expect("no test has panicked").values().copied().collect()
}

#[tokio::test(start_paused = true)]
async fn one_write_wakes_only_its_cluster() {
    let (store, clusters) = kept(&["a", "b", "c"], Limits { poll: HOUR, ..Limits::default() }).await;
    sleep(Duration::from_secs(1)).await;
    let before = pages(&store);
    let revision = write(&store, "b", "m").await;
    assert!(clusters.get("b").await.expect("it is kept").reached(revision, HOUR).await);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(pages(&store), [before[0], before[1] + 1, before[2]]);
    let call = Call { writes: vec![put("o")], atomicity: Atomicity::Each };
    clusters.commit("c", call, None).await.expect("it is written");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(pages(&store)[2], before[2], "what is written here need not be read here");
}

#[tokio::test(start_paused = true)]
async fn without_hints_a_writer_reads_its_feed_only_when_its_head_has_moved() {
    let store = Gated::over(Arc::new(Memory::new(Numbering::Counter))).await;
    store.deaf.store(true, Ordering::SeqCst);
    let clusters = Clusters::new(store.clone(), Duration::from_millis(250));
    for name in ["a", "b"] {
        write(&store, name, "n").await;
        clusters.get(name).await.expect("it loads");
    }
    sleep(Duration::from_secs(1)).await;
    let (before, heads) = (pages(&store), store.heads_read.load(Ordering::SeqCst));
    let revision = write(&store, "a", "m").await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(clusters.get("a").await.expect("it is kept").progress().revision, revision);
    assert_eq!(pages(&store), [before[0] + 1, before[1]]);
    let rounds = store.heads_read.load(Ordering::SeqCst) - heads;
    assert!((38..=41).contains(&rounds), "one statement an interval, whatever the number of clusters: {rounds}");
    let age = clusters.get("b").await.expect("it is kept").progress().synced.elapsed();
    assert!(age <= Duration::from_millis(251), "what has not moved is known to be new: {age:?}");
}

/// A kept cluster whose hints, which are said to be complete, are those of the test. Its rounds have slowed down.
async fn slow() -> (Arc<Gated>, Clusters) {
    let store = Gated::over(Arc::new(Memory::new(Numbering::Counter))).await;
    store.deaf.store(true, Ordering::SeqCst);
    store.silence.set_reach(Reach::Everyone);
    let clusters = Clusters::limited(store.clone(), Limits::default());
    write(&store, "a", "n").await;
    clusters.get("a").await.expect("it loads");
    sleep(Duration::from_mins(1)).await;
    assert_eq!(rounds(&store, Duration::from_secs(40)).await, 10, "a round in 4 s");
    (store, clusters)
}

/// How many rounds there are in a time.
async fn rounds(store: &Gated, within: Duration) -> usize {
    let before = store.heads_read.load(Ordering::SeqCst);
    sleep(within).await;
    store.heads_read.load(Ordering::SeqCst) - before
}

#[tokio::test(start_paused = true)]
async fn rounds_slow_down_while_hints_are_complete() {
    let (_, clusters) = slow().await;
    for _ in 0..20 {
        sleep(Duration::from_millis(700)).await;
        assert!(clusters.staleness() <= Duration::from_millis(4_001), "the bound of the staleness");
        let synced = clusters.get("a").await.expect("it is kept").progress().synced;
        assert!(synced.elapsed() <= Duration::from_millis(4_001));
        let before = clusters.now().await.expect("a time");
        assert!(clusters.now().await.expect("a time") >= before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_told_by_its_hint_keeps_rounds_slow() {
    let (store, clusters) = slow().await;
    for name in ["m", "o", "p"] {
        let revision = write(&store, "a", name).await;
        store.silence.changed("a", revision);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(clusters.get("a").await.expect("it is kept").progress().revision, revision, "the hint wakes it");
    }
    assert_eq!(rounds(&store, Duration::from_secs(40)).await, 10);
}

#[tokio::test(start_paused = true)]
async fn a_missed_hint_sets_rounds_back() {
    let (store, clusters) = slow().await;
    let revision = write(&store, "a", "m").await;
    sleep(Duration::from_millis(4_001)).await;
    assert_eq!(clusters.get("a").await.expect("it is kept").progress().revision, revision, "a round finds the change");
    let found = rounds(&store, Duration::from_secs(4)).await;
    assert!((4..=6).contains(&found), "after 250 ms, twice, 500, 1,000 and 2,000: {found}");
    assert_eq!(rounds(&store, Duration::from_secs(40)).await, 10, "and they slow down again");
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_of_hints_sets_rounds_back_until_it_is_made_anew() {
    let (store, _clusters) = slow().await;
    store.silence.set_reach(Reach::Process);
    assert_eq!(rounds(&store, Duration::from_millis(1)).await, 1, "at once");
    assert!((39..=40).contains(&rounds(&store, Duration::from_secs(10)).await));
    store.silence.set_reach(Reach::Everyone);
    assert_eq!(rounds(&store, Duration::from_millis(1)).await, 1, "at once");
    sleep(Duration::from_secs(8)).await;
    assert_eq!(rounds(&store, Duration::from_secs(40)).await, 10);
    store.silence.tell(Hint::Any);
    assert!(rounds(&store, Duration::from_secs(1)).await >= 2, "hints may have been lost");
}

#[tokio::test(start_paused = true)]
async fn an_error_sets_rounds_back() {
    let (store, clusters) = slow().await;
    store.away.store(true, Ordering::SeqCst);
    sleep(Duration::from_millis(4_001)).await;
    assert!(clusters.live().iter().all(|cluster| cluster.trouble().is_some()));
    store.away.store(false, Ordering::SeqCst);
    sleep(Duration::from_millis(502)).await;
    assert!(clusters.live().iter().all(|cluster| cluster.trouble().is_none()), "the next round finds it back");
}

#[tokio::test(start_paused = true)]
async fn damage_of_one_cluster_is_its_own() {
    let (store, clusters) = kept(&["bad", "good"], Limits::default()).await;
    *store.damaged.lock().expect("no test has panicked") = Some("bad".into());
    write(&store, "bad", "m").await;
    sleep(Duration::from_mins(1)).await;
    let bad = clusters.get("bad").await.expect("it is kept");
    let trouble = bad.trouble().expect("it cannot be read");
    assert!(matches!(trouble, StoreError::Corrupt(_)), "{trouble:?}");
    assert!(bad.progress().synced.elapsed() >= Duration::from_secs(30));
    let tried = pages(&store);
    let call = |name| Call { writes: vec![put(name)], atomicity: Atomicity::Each };
    assert_eq!(clusters.commit("bad", call("o"), None).await, Err(CommitError::Store(trouble)), "nobody waits");
    assert!(clusters.commit("good", call("o"), None).await.is_ok());
    assert!(clusters.staleness() <= Duration::from_secs(1), "the database answers");
    assert!(clusters.get("good").await.expect("it is kept").progress().synced.elapsed() <= Duration::from_secs(1));
    assert_eq!(pages(&store)[0], tried[0]);

    *store.damaged.lock().expect("no test has panicked") = None;
    sleep(Duration::from_secs(10)).await;
    assert_eq!((bad.trouble(), bad.view().snapshot.node_count()), (None, 2), "mended, it goes on");
}

#[tokio::test(start_paused = true)]
async fn calls_fail_at_once_while_the_database_is_away() {
    let (store, clusters) = kept(&["a", "b"], Limits::default()).await;
    store.away.store(true, Ordering::SeqCst);
    sleep(Duration::from_secs(40)).await;
    assert!(clusters.staleness() >= Duration::from_secs(39));
    assert!(clusters.live().iter().all(|cluster| cluster.trouble().is_some_and(|error| error.is_transient())));
    store.away.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(1)).await;
    assert!(clusters.live().iter().all(|cluster| cluster.trouble().is_none()));
    assert!(clusters.staleness() <= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn unused_clusters_are_released_except_the_default_one() {
    let limits = Limits { release_after: HOUR, ..Limits::default() };
    let (_, clusters) = kept(&[DEFAULT_CLUSTER, "asked", "forgotten"], limits).await;
    for _ in 0..10 {
        sleep(Duration::from_mins(10)).await;
        clusters.get("asked").await.expect("it is kept");
    }
    let names = [DEFAULT_CLUSTER, "asked", "forgotten"].map(|name| clusters.followed(name).is_some());
    assert_eq!(names, [true, true, false]);
    assert_eq!(clusters.get("forgotten").await.expect("it loads again").view().snapshot.node_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_in_use_is_not_released() {
    let (_, clusters) = kept(&["a"], Limits { release_after: HOUR, ..Limits::default() }).await;
    let used = clusters.get("a").await.expect("it is kept");
    sleep(HOUR * 2).await;
    assert_eq!(live(&clusters), 1);
    drop(used);
    sleep(HOUR).await;
    assert_eq!(live(&clusters), 0);
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_cluster_is_released_first() {
    let (store, clusters) = kept(&[DEFAULT_CLUSTER, "a", "b"], Limits { most_live: 3, ..Limits::default() }).await;
    advance(Duration::from_secs(1)).await;
    clusters.get("a").await.expect("it is kept");
    write(&store, "c", "n").await;
    clusters.get("c").await.expect("it loads");
    let kept = [DEFAULT_CLUSTER, "a", "b", "c"].map(|name| clusters.followed(name).is_some());
    assert_eq!(kept, [true, true, false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_another_replica_removes_is_dropped() {
    let (store, clusters) = kept(&["a", "b"], Limits::default()).await;
    store.remove("a").await.expect("the store answers");
    sleep(Duration::from_secs(1)).await;
    assert!(clusters.followed("a").is_none());
    let gone = clusters.get("a").await.expect("it is no error");
    assert_eq!((gone.progress().revision, gone.view().snapshot.node_count()), (0, 0));
    assert_eq!(clusters.remove("b").await, Ok(true));
    assert_eq!((clusters.remove("b").await, live(&clusters)), (Ok(false), 0));
    let call = Call { writes: vec![put("m")], atomicity: Atomicity::Each };
    let again = clusters.commit("a", call, None).await.expect("it is made again");
    assert_eq!((again.revision, clusters.get("a").await.expect("it is kept").view().snapshot.node_count()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn only_named_clusters_are_made() {
    let names = Some(Arc::new(BTreeSet::from(["prod".to_owned()])));
    let (store, clusters) = kept(&[], Limits { names, ..Limits::default() }).await;
    write(&store, "older", "n").await;
    let call = || Call { writes: vec![put("n")], atomicity: Atomicity::Each };
    for name in ["prod", DEFAULT_CLUSTER, "older"] {
        assert!(clusters.commit(name, call(), None).await.is_ok(), "{name}");
    }
    let refused = clusters.commit("other", call(), None).await;
    assert_eq!(refused, Err(CommitError::NotAllowed { cluster: "other".into() }));
    assert_eq!(store.clusters().await, Ok(vec![DEFAULT_CLUSTER.into(), "older".into(), "prod".into()]));
}

#[tokio::test(start_paused = true)]
async fn first_questions_at_once_load_a_cluster_once() {
    let (store, clusters) = kept(&[], Limits { poll: HOUR, ..Limits::default() }).await;
    write(&store, "a", "n").await;
    let asked = (0..8).map(|_| {
        let clusters = clusters.clone();
        tokio::spawn(async move { clusters.get("a").await.expect("it loads") })
    });
    let asked: Vec<_> = asked.collect();
    for question in asked {
        question.await.expect("no panic");
    }
    assert!(pages(&store)[0] <= 2, "{:?}", pages(&store));
}

#[tokio::test(start_paused = true)]
async fn expiry_goes_on_behind_a_cluster_that_cannot_be_written() {
    let memory = Arc::new(Memory::new(Numbering::Counter));
    let store = Gated::over(memory.clone()).await;
    let clusters = Clusters::new(store.clone(), HOUR);
    let body = r#"{"podUid":"","kind":"Nominated","until":"1970-01-01T00:00:02Z"}"#;
    let change = Change::Put { body: body.into(), uid: "1".into(), node: Some("n".into()) };
    let key = Key::new(crate::wire::reservation::KIND, "shop", "a");
    let reserve = Write { key, precondition: Precondition::default(), change };
    for cluster in ["bad", "good"] {
        store.commit(cluster, vec![reserve.clone()], Atomicity::Each).await.expect("the store writes");
    }
    assert_eq!(clusters.expire().await, Ok(0), "by the database's clock it is second 1");
    *store.unwritable.lock().expect("no test has panicked") = Some("bad".into());
    memory.pass(Duration::from_secs(5));
    assert_eq!(clusters.expire().await, Ok(1));
}

/// A fork that ends at once, as its record.
async fn fork(store: &Gated, cluster: &str) {
    let body = r#"{"revision":1,"createdAt":"1970-01-01T00:00:00Z","expiresAt":"1970-01-01T00:00:00Z"}"#;
    let change = Change::Put { body: body.into(), uid: "1".into(), node: None };
    let made = Write { key: fork::key(), precondition: Precondition::default(), change };
    store.commit(cluster, vec![made], Atomicity::Each).await.expect("the store writes");
}

#[tokio::test(start_paused = true)]
async fn expiry_goes_on_behind_a_fork_that_cannot_be_removed() {
    let (store, clusters) = kept(&["prod"], Limits::default()).await;
    let names = ["bad", "good"].map(|name| fork::cluster_of("prod", name));
    for name in &names {
        fork(&store, name).await;
    }
    *store.unwritable.lock().expect("no test has panicked") = Some(names[0].clone());
    assert_eq!(clusters.expire().await, Ok(0));
    let left = store.everywhere(crate::wire::fork::KIND).await.expect("the store answers").found;
    assert_eq!(left.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), names[..1]);
}

#[tokio::test(start_paused = true)]
async fn forks_are_removed_with_their_cluster() {
    let (store, clusters) = kept(&["prod", "other"], Limits::default()).await;
    let names = ["prod", "other"].map(|base| fork::cluster_of(base, "a"));
    for name in &names {
        fork(&store, name).await;
    }
    assert_eq!(clusters.remove("prod").await, Ok(true));
    let left = store.everywhere(crate::wire::fork::KIND).await.expect("the store answers").found;
    assert_eq!(left.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), names[1..]);
}

#[tokio::test(start_paused = true)]
async fn fork_that_another_replica_makes_again_begins_anew() {
    let (store, clusters) = kept(&["prod"], Limits { poll: HOUR, ..Limits::default() }).await;
    let name = fork::cluster_of("prod", "a");
    fork(&store, &name).await;
    let before = clusters.get(&name).await.expect("it loads");
    store.remove(&name).await.expect("the store answers");
    fork(&store, &name).await;
    sleep(3 * HOUR).await;
    let after = clusters.get(&name).await.expect("it loads");
    assert!(!Arc::ptr_eq(&before, &after) && after.trouble().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_panicked_writer_is_replaced_without_a_request() {
    let (store, clusters) = kept(&["a", "b"], Limits { poll: HOUR, ..Limits::default() }).await;
    for name in ["m", "n", "o"] {
        store.fail_page(0, Fault::Panic);
        let revision = write(&store, "a", name).await;
        sleep(Duration::from_secs(5)).await;
        let replaced = clusters.live().into_iter().any(|cluster| cluster.progress().revision == revision);
        assert!(replaced, "it is loaded again, and follows");
        assert_eq!(live(&clusters), 2);
    }
    store.fail_page(0, Fault::Panic);
    write(&store, "a", "last").await;
    drop(clusters);
    sleep(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn write_to_a_fork_that_was_made_again_lets_go_of_the_old_one() {
    let (store, clusters) = kept(&["prod"], Limits { poll: HOUR, ..Limits::default() }).await;
    let name = fork::cluster_of("prod", "a");
    fork(&store, &name).await;
    clusters.get(&name).await.expect("it loads");
    store.remove(&name).await.expect("the store answers");
    fork(&store, &name).await;
    let call = || Call { writes: vec![put("m")], atomicity: Atomicity::Each };
    let refused = clusters.commit(&name, call(), None).await;
    assert!(matches!(refused, Err(CommitError::Store(StoreError::Gone(_)))), "{refused:?}");
    assert!(clusters.commit(&name, call(), None).await.is_ok());
}
