//! Clusters that follow their stores.

use super::*;
use crate::store::{self, Atomicity, Change, Key, Precondition, Write};

const WITHIN: Duration = Duration::from_secs(30);

async fn store() -> Arc<dyn Storage> {
    let store = store::open("sqlite::memory:", &store::Options::default()).await.expect("an empty database opens");
    store.migrate().await.expect("and migrates");
    store
}

fn write(kind: &str, namespace: &str, name: &str, change: Change) -> Write {
    Write { key: Key::new(kind, namespace, name), precondition: Precondition::default(), change }
}

fn put(body: &str) -> Change {
    Change::Put { body: body.to_owned().into(), uid: "1".into(), node: None }
}

async fn commit(store: &Arc<dyn Storage>, writes: Vec<Write>) -> u64 {
    store.commit("prod", writes, Atomicity::AllOrNothing).await.expect("the store writes").revision
}

#[tokio::test]
async fn commits_reach_the_view_in_one_step_per_revision() {
    let store = store().await;
    let node = r#"{"metadata":{"name":"a"},"status":{"allocatable":{"cpu":"4","pods":"10"}}}"#;
    commit(&store, vec![write("nodes", "", "a", put(node))]).await;
    let clusters = Clusters::new(store.clone(), Duration::from_hours(1));
    let cluster = clusters.get("prod").await.expect("the cluster loads");
    assert_eq!(cluster.view().snapshot.node_count(), 1, "caught up before the first answer");

    let pod = r#"{"metadata":{"name":"p","namespace":"shop"},"spec":{"containers":[]}}"#;
    commit(&store, vec![write("pods", "shop", "p", put(pod))]).await;
    let bound = commit(&store, vec![write("pods", "shop", "p", Change::SetNode(Some("a".into())))]).await;
    assert!(cluster.reached(bound, WITHIN).await, "the hint wakes the follower; the poll is an hour away");
    let view = cluster.view();
    assert_eq!(view.snapshot.revision, bound);
    assert!(view.snapshot.node("a").is_some_and(|n| n.pods.len() == 1), "the column binds, not the body");

    let deleted = commit(&store, vec![write("pods", "shop", "p", Change::Delete)]).await;
    assert!(cluster.reached(deleted, WITHIN).await);
    assert_eq!(cluster.view().snapshot.pod_count(), 0);
    assert_eq!(view.snapshot.pod_count(), 1, "a view taken before stays as it was");
}

#[tokio::test]
async fn a_cluster_that_nobody_wrote_to_is_empty_and_not_kept() {
    let clusters = Clusters::new(store().await, Duration::from_hours(1));
    let cluster = clusters.get("typo").await.expect("an unknown name is no error");
    assert_eq!(cluster.view().snapshot.node_count(), 0);
    assert!(clusters.live().is_empty());
}

#[tokio::test]
async fn a_body_that_cannot_be_read_counts_as_absent() {
    let store = store().await;
    commit(&store, vec![write("nodes", "", "a", put("not json"))]).await;
    let clusters = Clusters::new(store, Duration::from_hours(1));
    assert_eq!(clusters.get("prod").await.expect("the cluster loads").view().snapshot.node_count(), 0);
}
