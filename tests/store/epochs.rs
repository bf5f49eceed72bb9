//! An older copy of the database comes back, and is written on past where it was lost.

use std::sync::Arc;
use std::time::Duration;

use podberth::live::Clusters;
use podberth::store::{
    Atomicity, Call, Cursor, Head, Judge, Key, Place, Precondition, Record, Storage, StoreError, Unjudged, Write,
};
use podberth_testkit::memory::{Copy, Return};
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};
use uuid::Uuid;

use crate::build::{CLUSTER, each, one, pod, put};
use crate::database::{Database, Engine, execute, with_database};

/// Resets the database to its state at a revision, if only creations have followed. `copy` is the fake's, of that time.
async fn go_back(database: &Database, revision: u64, copy: Option<Copy>) {
    if let (Some(memory), Some(copy)) = (&database.memory, copy) {
        return memory.bring_back(&copy, Return::Silent);
    }
    let sql = format!(
        "DELETE FROM object WHERE rev > {revision}; DELETE FROM batch WHERE rev_to > {revision};
         UPDATE cluster SET rev = {revision}, epoch = 0, compact_rev = 0"
    );
    if database.url.starts_with("postgres") {
        return execute(&database.url, &sql).await;
    }
    let mut connection = SqliteConnection::connect(&database.url).await.unwrap();
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    connection.close().await.unwrap();
}

async fn create(store: &dyn Storage, names: &[&str]) {
    for name in names {
        one(store, put(pod(name), "1")).await;
    }
}

fn copy(database: &Database) -> Option<Copy> {
    database.memory.as_ref().map(|memory| memory.copy())
}

/// The revision of a counter that was raised from `revision`, by millions as the head's token says.
fn raised_from(revision: u64, head: Head) -> u64 {
    revision + 1_000_000 * (1 + head.token.as_u64_pair().1 % (1 << 24))
}

/// A judge whose state was read at a head.
struct Reads(Head);

impl Judge for Reads {
    fn known(&self) -> u64 {
        self.0.revision
    }
    fn seen(&self) -> Option<Head> {
        Some(self.0)
    }
    fn begin(&mut self, head: Head, missed: &[Record]) {
        Unjudged.begin(head, missed);
    }
    fn may_bind(&mut self, _: Place, _: &Record, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn note(&mut self, _: &Record) {}
    fn mark(&mut self) {}
    fn roll_back(&mut self) {}
}

async fn the_reader_is_told(database: Database) {
    let store = database.store().await;
    create(&*store, &["a", "b", "c"]).await;
    let old = copy(&database);
    create(&*store, &["lost-1", "lost-2"]).await;
    let page = store.changes(CLUSTER, &Cursor::default(), 10).await.unwrap();
    let calls = [Call { writes: vec![put(pod("x"), "1")], atomicity: Atomicity::Each }];
    let written = store.write(CLUSTER, &calls, &mut Reads(page.head)).await.unwrap();
    assert_eq!(store.head(CLUSTER).await.unwrap(), written.head, "a batch tells its own token");
    let cursor = store.changes(CLUSTER, &page.next, 10).await.unwrap().next;
    assert_eq!(cursor.seen, Some(written.head));

    // Behind the counter that was lost, at it, and past it.
    go_back(&database, 3, old).await;
    for names in [&["d"][..], &["e", "f"], &["g", "h"]] {
        let lost = store.changes(CLUSTER, &cursor, 10).await;
        assert!(matches!(lost, Err(StoreError::HistoryLost { epoch: 0, .. })), "{lost:?}");
        create(&*store, names).await;
    }
    assert_eq!(store.head(CLUSTER).await.unwrap().revision, 8);
    let lost = store.changes(CLUSTER, &cursor, 10).await;
    assert_eq!(lost, Err(StoreError::HistoryLost { revision: 8, epoch: 0 }));
    let judged = store.write(CLUSTER, &calls, &mut Reads(written.head)).await;
    assert_eq!(judged, Err(StoreError::Behind { known: 6, revision: 8 }));

    let head = store.begin_epoch(CLUSTER, &written.head, Uuid::new_v4()).await.unwrap();
    assert_eq!((head.revision, head.compact_revision, head.epoch), (raised_from(8, head), head.revision, 1));
    assert_eq!(
        store.begin_epoch(CLUSTER, &written.head, Uuid::new_v4()).await.unwrap(),
        head,
        "once, whoever else notices"
    );
    assert_eq!(store.head(CLUSTER).await.unwrap(), head);
    let lost = store.changes(CLUSTER, &cursor, 10).await;
    assert_eq!(lost, Err(StoreError::HistoryLost { revision: head.revision, epoch: 1 }));
    let watch = store.changes(CLUSTER, &Cursor::after(6), 10).await;
    assert!(matches!(watch, Err(StoreError::Compacted { .. })), "who knows only a revision is told as well");

    let again = store.changes(CLUSTER, &Cursor::default(), 10).await.unwrap();
    let names: Vec<_> = again.records.iter().map(|record| &*record.key.name).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e", "f", "g", "h"]);
    create(&*store, &["i"]).await;
    assert_eq!(store.changes(CLUSTER, &again.next, 10).await.unwrap().records[0].revision, head.revision + 1);
    assert_eq!(
        store.begin_epoch(CLUSTER, &head, Uuid::new_v4()).await.unwrap().epoch,
        1,
        "nothing is lost of this one"
    );
}

#[tokio::test]
async fn the_reader_is_told_sqlite() {
    with_database(Engine::SqliteFile, the_reader_is_told).await;
}

#[tokio::test]
async fn the_reader_is_told_postgres() {
    with_database(Engine::Postgres, the_reader_is_told).await;
}

/// The copy is older than the cluster.
async fn the_cluster_itself_is_lost(database: Database) {
    let store = database.store().await;
    let old = copy(&database);
    create(&*store, &["a"]).await;
    let cursor = store.changes(CLUSTER, &Cursor::default(), 10).await.unwrap().next;
    go_back(&database, 0, old).await;
    let lost = store.changes(CLUSTER, &cursor, 10).await;
    assert_eq!(lost, Err(StoreError::HistoryLost { revision: 0, epoch: 0 }));
    let head = store.begin_epoch(CLUSTER, &cursor.seen.unwrap(), Uuid::new_v4()).await.unwrap();
    assert_eq!((head.revision, head.epoch), (raised_from(1, head), 1));
}

#[tokio::test]
async fn the_cluster_itself_is_lost_sqlite() {
    with_database(Engine::SqliteFile, the_cluster_itself_is_lost).await;
}

#[tokio::test]
async fn the_cluster_itself_is_lost_postgres() {
    with_database(Engine::Postgres, the_cluster_itself_is_lost).await;
}

/// An older copy comes back, and again after the loss was handled, to readers that have not heard of it: revisions given out in between are not
/// given out again.
async fn history_is_lost_twice(database: Database) {
    let store = database.store().await;
    create(&*store, &["a", "b"]).await;
    let old = [copy(&database), copy(&database)];
    create(&*store, &["lost"]).await;
    let cursor = store.changes(CLUSTER, &Cursor::default(), 10).await.unwrap().next;
    let seen = cursor.seen.unwrap();
    let mut raised = Vec::new();
    let mut stood = Vec::new();
    for old in old {
        go_back(&database, 2, old).await;
        assert!(matches!(store.changes(CLUSTER, &cursor, 10).await, Err(StoreError::HistoryLost { .. })));
        raised.push(store.begin_epoch(CLUSTER, &seen, Uuid::new_v4()).await.unwrap());
        create(&*store, &["c", "d"]).await;
        stood.push(store.head(CLUSTER).await.unwrap());
    }
    let of_the_first = Cursor { after: stood[0].revision, seen: Some(stood[0]), ..cursor };
    let went_on = store.changes(CLUSTER, &of_the_first, 10).await;
    assert!(matches!(went_on, Err(StoreError::HistoryLost { .. } | StoreError::Compacted { .. })), "{went_on:?}");
    let handed_out = |head: Head| head.revision..=head.revision + 2;
    let [first, second] = raised[..] else { panic!("two losses") };
    assert_eq!((first.epoch, second.epoch), (1, 1), "neither knew of the other");
    assert!(handed_out(first).all(|revision| !handed_out(second).contains(&revision)), "{first:?} {second:?}");
}

#[tokio::test]
async fn history_is_lost_twice_sqlite() {
    with_database(Engine::SqliteFile, history_is_lost_twice).await;
}

#[tokio::test]
async fn history_is_lost_twice_postgres() {
    with_database(Engine::Postgres, history_is_lost_twice).await;
}

#[tokio::test]
async fn history_is_lost_twice_fake() {
    with_database(Engine::Memory, history_is_lost_twice).await;
}

/// Two followers, one further than the other when history is lost: neither mixes the two histories.
async fn followers_begin_anew(database: Database) {
    let store = database.store().await;
    let node = |name: &str| -> Write {
        let body = format!(r#"{{"metadata":{{"name":"{name}"}}}}"#);
        Write { precondition: Precondition::absent(), ..put(Key::new("nodes", "", name), &body) }
    };
    let create = async |names: &[&str]| each(&*store, names.iter().map(|name| node(name)).collect()).await.revision;
    create(&["a", "b"]).await;
    let old = copy(&database);
    let followers = [clusters(&store), clusters(&store)];
    let mut live = Vec::new();
    for follower in &followers {
        live.push(follower.get(CLUSTER).await.unwrap());
    }
    let lost = create(&["lost"]).await;
    for cluster in &live {
        assert!(cluster.reached(lost, Duration::from_secs(30)).await);
    }
    go_back(&database, 2, old).await;
    let revision = create(&["c", "d", "e"]).await.max(1_000_000);
    for cluster in &live {
        assert!(cluster.reached(revision, Duration::from_secs(30)).await, "the epoch is raised");
        let view = cluster.view();
        assert_eq!(view.snapshot.node_count(), 5);
        assert!(view.snapshot.node("lost").is_none() && view.snapshot.node("e").is_some());
    }
    assert_eq!(store.head(CLUSTER).await.unwrap().epoch, 1, "raised once");
}

fn clusters(store: &Arc<dyn Storage>) -> Clusters {
    Clusters::new(Arc::clone(store), Duration::from_millis(20))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_begin_anew_sqlite() {
    with_database(Engine::SqliteFile, followers_begin_anew).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_begin_anew_postgres() {
    with_database(Engine::Postgres, followers_begin_anew).await;
}

#[tokio::test]
async fn the_reader_is_told_fake() {
    with_database(Engine::Memory, the_reader_is_told).await;
}

#[tokio::test]
async fn the_cluster_itself_is_lost_fake() {
    with_database(Engine::Memory, the_cluster_itself_is_lost).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_begin_anew_fake() {
    with_database(Engine::Memory, followers_begin_anew).await;
}
