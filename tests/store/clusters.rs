//! Many clusters: their heads at once, and their removal.

use std::time::Duration;

use podberth::store::{Atomicity, Cursor, Head, Hint, Keep, ListQuery, Options, Storage, StoreError};
use sqlx::{Connection, PgConnection, SqliteConnection};
use uuid::Uuid;

use crate::build::{CLUSTER, created, delete, each, one, pod, put};
use crate::database::{Database, Engine, execute, with_database};

async fn write(store: &dyn Storage, cluster: &str, name: &str) -> u64 {
    let commit = store.commit(cluster, vec![put(pod(name), "1")], Atomicity::Each).await;
    commit.expect("the batch is committed").revision
}

fn named(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(crate) async fn heads_list_the_revision_of_each_cluster(database: Database) {
    let store = database.store().await;
    assert!(store.heads(&[]).await.unwrap().now.as_second() > 0, "the database's time");
    for (cluster, count) in [("a", 1), ("b", 2), ("c", 3)] {
        for i in 0..count {
            write(&*store, cluster, &i.to_string()).await;
        }
    }
    let mut heads = store.heads(&named(&["a", "c", "none"])).await.unwrap().clusters;
    heads.sort_by(|one, other| one.name.cmp(&other.name));
    let told: Vec<_> = heads.iter().map(|found| (&*found.name, found.revision, found.removed)).collect();
    assert_eq!(told, [("a", 1, false), ("c", 3, false)]);
    assert_eq!(heads[1].head, Ok(store.head("c").await.unwrap()));
    let page = store.changes("c", &Cursor::default(), 10).await.unwrap();
    assert_eq!(heads[1].head, Ok(page.head), "with the token that the feed has");
}

pub(crate) async fn a_kind_is_found_in_all_clusters(database: Database) {
    let store = database.store().await;
    write(&*store, "a", "one").await;
    write(&*store, "b", "two").await;
    write(&*store, "b", "gone").await;
    store.commit("b", vec![delete(pod("gone"))], Atomicity::Each).await.unwrap();
    write(&*store, "c", "three").await;
    store.remove("c").await.unwrap();
    let mut found: Vec<_> = store.everywhere("pods").await.unwrap().found;
    found.sort_by(|one, other| one.0.cmp(&other.0));
    let told: Vec<_> =
        found.iter().map(|(cluster, record)| (&**cluster, &*record.as_ref().unwrap().key.name)).collect();
    assert_eq!(told, [("a", "one"), ("b", "two")]);
    assert!(store.everywhere("nodes").await.unwrap().found.is_empty());
}

pub(crate) async fn a_hint_names_its_cluster(database: Database) {
    let store = database.store().await;
    let mut hints = store.hints();
    write(&*store, "a", "one").await;
    let told = async { while hints.next().await.unwrap() != (Hint::Cluster { name: "a".into(), revision: 1 }) {} };
    tokio::time::timeout(Duration::from_secs(30), told).await.expect("the hint comes");
}

pub(crate) async fn a_removed_cluster_is_gone(database: Database) {
    let store = database.store_with(Options { history: Some(Duration::from_hours(1)), ..Options::default() }).await;
    each(&*store, vec![put(pod("a"), "1"), put(pod("b"), "1")]).await;
    each(&*store, vec![put(pod("a"), "2"), delete(pod("b"))]).await;
    write(&*store, "other", "a").await;
    let before = store.changes(CLUSTER, &Cursor::default(), 10).await.unwrap();

    assert_eq!(store.remove("none").await, Ok(false));
    assert_eq!(store.remove(CLUSTER).await, Ok(true));
    assert_eq!(store.remove(CLUSTER).await, Ok(false), "it is gone");
    assert_eq!(store.clusters().await.unwrap(), ["other"]);
    assert_eq!(store.head(CLUSTER).await, Ok(Head::default()));
    assert!(store.heads(&named(&[CLUSTER])).await.unwrap().clusters.iter().all(|found| found.removed));
    assert_eq!(store.get(CLUSTER, &pod("a")).await, Ok(None));
    assert!(store.list(CLUSTER, &ListQuery::all("pods")).await.unwrap().items.is_empty());
    assert!(matches!(store.state_at(CLUSTER, Some(2), &mut Vec::new()).await, Err(StoreError::Compacted { .. })));
    assert_eq!(store.list("other", &ListQuery::all("pods")).await.unwrap().items.len(), 1);

    // A reader of the cluster gets an error, and a new epoch of that reader does not bring the cluster back.
    let lost = store.changes(CLUSTER, &before.next, 10).await;
    assert!(matches!(lost, Err(StoreError::HistoryLost { .. })), "{lost:?}");
    store.begin_epoch(CLUSTER, &before.head, Uuid::from_u128(9)).await.unwrap();
    assert_eq!(store.clusters().await.unwrap(), ["other"]);
    let keep = Keep { age: Duration::ZERO, revisions: 0 };
    store.compact(CLUSTER, &keep).await.unwrap();
    assert_eq!(store.clusters().await.unwrap(), ["other"]);

    // No revision is given twice.
    assert_eq!(one(&*store, put(pod("a"), "1")).await, created(6));
    assert_eq!(store.clusters().await.unwrap(), ["other", CLUSTER]);
    let again = store.changes(CLUSTER, &Cursor::default(), 10).await.unwrap();
    assert_eq!((again.records.len(), again.head.epoch), (1, before.head.epoch + 1));
    assert_eq!(
        one(&*store, put(pod("a"), "2")).await,
        podberth::store::Outcome::Written { revision: 7, created: false }
    );
}

pub(crate) async fn a_removed_clusters_name_is_forgotten_after_a_while(database: Database) {
    let store = database.store().await;
    for _ in 0..3 {
        one(&*store, put(pod("a"), "1")).await;
        store.remove(CLUSTER).await.unwrap();
    }
    store.sweep(Duration::from_hours(1)).await.unwrap();
    assert_eq!(one(&*store, put(pod("a"), "1")).await, created(7), "not yet");
    store.remove(CLUSTER).await.unwrap();
    store.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(one(&*store, put(pod("a"), "1")).await, created(1));
    store.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(store.head(CLUSTER).await.unwrap().revision, 1, "one that is there again stays");
}

/// More rows than are deleted at a time, while others write to the name.
pub(crate) async fn a_large_cluster_is_removed_in_pieces(database: Database) {
    let store = database.store().await;
    for _ in 0..2 {
        each(&*store, (0..2_500).map(|i| put(pod(&i.to_string()), "1")).collect()).await;
        let (removed, written) = tokio::join!(store.remove(CLUSTER), async {
            loop {
                let written = store.commit("beside", vec![put(pod("a"), "1")], Atomicity::Each).await;
                if written.is_ok() {
                    break;
                }
            }
        });
        assert_eq!((removed, written), (Ok(true), ()));
    }
    each(&*store, vec![put(pod("x"), "1")]).await;
    assert_eq!(store.list(CLUSTER, &ListQuery::all("pods")).await.unwrap().items.len(), 1);
    assert_eq!(store.changes(CLUSTER, &Cursor::default(), 10).await.unwrap().records.len(), 1);
}

/// Counts the rows of a table, of clusters by any name but that of the server's own entries in the ledger.
async fn rows(url: &str, table: &str) -> i64 {
    let of = if table == "cluster" { " WHERE name <> ''" } else { "" };
    let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}{of}"));
    if url.starts_with("postgres") {
        let mut connection = PgConnection::connect(url).await.unwrap();
        return sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    }
    let mut connection = SqliteConnection::connect(url).await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
}

async fn damage(url: &str, sql: &str) {
    if url.starts_with("postgres") {
        return execute(url, sql).await;
    }
    let mut connection = SqliteConnection::connect(url).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn leaves_nothing(database: Database) {
    let store = database.store_with(Options { history: Some(Duration::from_hours(1)), ..Options::default() }).await;
    each(&*store, (0..1_500).map(|i| put(pod(&i.to_string()), "1")).collect()).await;
    each(&*store, (0..1_500).map(|i| put(pod(&i.to_string()), "2")).collect()).await;
    store.remove(CLUSTER).await.unwrap();
    store.sweep(Duration::ZERO).await.unwrap();
    for table in ["object", "history", "batch", "cluster"] {
        assert_eq!(rows(&database.url, table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_removed_cluster_leaves_no_row_in_sqlite() {
    with_database(Engine::SqliteFile, leaves_nothing).await;
}

#[tokio::test]
async fn a_removed_cluster_leaves_no_row_in_postgres() {
    with_database(Engine::Postgres, leaves_nothing).await;
}

/// A process ended while it deleted the rows of a cluster.
async fn goes_on(database: Database) {
    let store = database.store().await;
    each(&*store, (0..10).map(|i| put(pod(&i.to_string()), "1")).collect()).await;
    write(&*store, "other", "a").await;
    let aside = if database.url.starts_with("postgres") { "E'\\x01' || cluster_id" } else { "char(1) || cluster_id" };
    damage(&database.url, &format!("UPDATE cluster SET removed = 5, name = {aside} WHERE name = '{CLUSTER}'")).await;
    assert_eq!(store.clusters().await.unwrap(), ["other"]);
    assert_eq!(store.everywhere("pods").await.unwrap().found.len(), 1);
    store.sweep(Duration::from_hours(1)).await.unwrap();
    assert_eq!((rows(&database.url, "object").await, rows(&database.url, "cluster").await), (1, 1));
}

#[tokio::test]
async fn an_interrupted_removal_is_gone_on_with_in_sqlite() {
    with_database(Engine::SqliteFile, goes_on).await;
}

#[tokio::test]
async fn an_interrupted_removal_is_gone_on_with_in_postgres() {
    with_database(Engine::Postgres, goes_on).await;
}

/// A damaged row is reported for its cluster, and for no other.
async fn damages_one(database: Database) {
    let store = database.store().await;
    write(&*store, "bad", "a").await;
    write(&*store, "good", "a").await;
    let token = if database.url.starts_with("postgres") { "'\\x00'" } else { "x'00'" };
    let of = "(SELECT cluster_id FROM cluster WHERE name = 'bad')";
    damage(&database.url, &format!("UPDATE batch SET token = {token} WHERE cluster_id = {of}")).await;
    let heads = store.heads(&named(&["bad", "good"])).await.unwrap().clusters;
    for found in heads {
        let is_read = found.head.is_ok();
        assert_eq!((is_read, found.revision), (found.name == "good", 1), "{found:?}");
    }
    damage(&database.url, &format!("UPDATE object SET codec = 9 WHERE cluster_id = {of}")).await;
    let found = store.everywhere("pods").await.unwrap().found;
    assert_eq!(found.iter().filter(|(_, record)| record.is_ok()).count(), 1, "{found:?}");
    assert_eq!(store.remove("bad").await, Ok(true), "and can be removed");
}

#[tokio::test]
async fn damage_is_reported_for_its_cluster_alone_in_sqlite() {
    with_database(Engine::SqliteFile, damages_one).await;
}

#[tokio::test]
async fn damage_is_reported_for_its_cluster_alone_in_postgres() {
    with_database(Engine::Postgres, damages_one).await;
}

/// Two processes remember the cluster's id; one removes the cluster, and perhaps makes it again.
async fn another_process_removes(database: Database) {
    let (here, there) = (database.store().await, database.open().await);
    for is_made_again in [false, true] {
        let before = write(&*here, "a", "one").await;
        assert!(there.get("a", &pod("one")).await.unwrap().is_some(), "its id is remembered");
        assert_eq!(here.remove("a").await, Ok(true));
        if is_made_again {
            write(&*here, "a", "two").await;
        }
        let (one, two) = (pod("one"), pod("two"));
        assert_eq!(there.get("a", &one).await, Ok(None));
        assert_eq!(there.find("a", &[one.clone(), two.clone()]).await.unwrap().len(), usize::from(is_made_again));
        let list = there.list("a", &ListQuery::all("pods")).await.unwrap();
        assert_eq!(list.items.len(), usize::from(is_made_again));
        let changes = there.changes("a", &Cursor::default(), 10).await.unwrap();
        assert_eq!(changes.records.len(), usize::from(is_made_again));
        assert!(there.head("a").await.unwrap().revision == if is_made_again { before + 2 } else { 0 });
        assert!(write(&*there, "a", "three").await > before + 1, "no revision is given twice");
        assert!(here.get("a", &pod("three")).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_is_remembered_is_looked_up_anew() {
    with_database(Engine::Postgres, another_process_removes).await;
}

/// A first write that is refused leaves no cluster, and what it leaves is swept up.
async fn refused(database: Database) {
    let store = database.store().await;
    let absent = store.commit("a", vec![delete(pod("none"))], Atomicity::Each).await.unwrap();
    assert_eq!(absent.revision, 0);
    assert!(store.clusters().await.unwrap().is_empty());
    assert!(store.heads(&named(&["a"])).await.unwrap().clusters.is_empty());
    assert_eq!(store.remove("a").await, Ok(false));
    store.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(rows(&database.url, "cluster").await, 0);
    assert_eq!(write(&*store, "a", "one").await, 1);
}

#[tokio::test]
async fn a_refused_first_write_leaves_no_cluster_in_sqlite() {
    with_database(Engine::SqliteFile, refused).await;
}

#[tokio::test]
async fn a_refused_first_write_leaves_no_cluster_in_postgres() {
    with_database(Engine::Postgres, refused).await;
}

/// Of clusters at rest a periodic job learns nothing.
pub(crate) async fn jobs_learn_of_the_clusters_that_need_them(database: Database) {
    let store = database.store_with(Options { history: Some(Duration::ZERO), ..Options::default() }).await;
    write(&*store, "rests", "one").await;
    each(&*store, vec![put(pod("a"), "1")]).await;
    each(&*store, vec![delete(pod("a"))]).await;
    let mut having = store.having("pods").await.unwrap();
    having.sort();
    assert_eq!(having, ["rests"]);
    assert!(store.having("nodes").await.unwrap().is_empty());
    let keep = Keep { age: Duration::ZERO, revisions: 0 };
    assert!(store.compactable(&keep).await.unwrap().contains(&CLUSTER.to_owned()));
    for cluster in store.compactable(&keep).await.unwrap() {
        store.compact(&cluster, &keep).await.unwrap();
    }
    if database.url.starts_with("postgres") {
        assert!(store.compactable(&keep).await.unwrap().is_empty());
        each(&*store, vec![put(pod("b"), "1")]).await;
        assert_eq!(store.compactable(&keep).await.unwrap(), [CLUSTER]);
        assert!(
            store.compactable(&Keep { revisions: 100, ..keep }).await.unwrap().contains(&CLUSTER.to_owned()),
            "history"
        );
    }
}
