//! Reads.

use podberth::store::{Cursor, Head, Key, List, ListQuery, MigrationStatus, StoreError};

use crate::build::{CLUSTER, delete, each, one, pod, put};
use crate::database::Database;

pub(crate) async fn unknown_cluster_is_empty(database: Database) {
    let store = database.store().await;
    assert_eq!(store.head("none").await.unwrap(), Head::default());
    assert_eq!(store.get("none", &pod("a")).await.unwrap(), None);
    let list = store.list("none", &ListQuery::all("pods")).await.unwrap();
    assert_eq!(list, List { items: vec![], revision: 0, remaining: None });
    let changes = store.changes("none", &Cursor::default(), 10).await.unwrap();
    assert!(changes.records.is_empty() && changes.complete);
    assert_eq!(changes.head, Head::default());
    assert_eq!(store.clusters().await.unwrap(), Vec::<String>::new(), "reading creates no cluster");
}

pub(crate) async fn clusters_are_apart(database: Database) {
    let store = database.store().await;
    for cluster in ["b", "a", "ü"] {
        let commit = store.commit(cluster, vec![put(pod("x"), cluster)], podberth::store::Atomicity::Each).await;
        assert_eq!(commit.unwrap().revision, 1);
    }
    assert_eq!(store.clusters().await.unwrap(), ["a", "b", "ü"]);
    for cluster in ["b", "a", "ü"] {
        assert_eq!(store.get(cluster, &pod("x")).await.unwrap().unwrap().body, cluster);
        assert_eq!(store.list(cluster, &ListQuery::all("pods")).await.unwrap().items.len(), 1);
        assert_eq!(store.changes(cluster, &Cursor::default(), 10).await.unwrap().records.len(), 1);
    }
}

pub(crate) async fn find_leaves_out_deleted_objects(database: Database) {
    let store = database.store().await;
    each(&*store, (0..3_000).map(|i| put(pod(&i.to_string()), &i.to_string())).collect()).await;
    one(&*store, delete(pod("7"))).await;
    let keys: Vec<Key> = (0..3_000).step_by(7).chain([9_000]).map(|i| pod(&i.to_string())).collect();
    let mut found = store.find(CLUSTER, &keys).await.unwrap();
    found.sort_unstable_by_key(|record| record.revision);
    let found: Vec<_> = found.iter().map(|record| (record.key.clone(), &*record.body)).collect();
    let live: Vec<_> = keys.iter().filter(|key| !["7", "9000"].contains(&&*key.name)).collect();
    assert_eq!(found, live.iter().map(|key| ((*key).clone(), key.name.as_bytes())).collect::<Vec<_>>());
    assert_eq!(store.find("none", &keys).await, Ok(vec![]));
}

/// In byte order, upper case comes before lower case and both before non-ASCII, in any locale.
pub(crate) async fn lists_in_order_page_by_page(database: Database) {
    let store = database.store().await;
    let sorted = [("", "z"), ("A", "a"), ("a", "B"), ("a", "a"), ("a", "a-b"), ("a", "a.b"), ("a", "é"), ("é", "a")];
    let mut writes: Vec<_> = sorted.iter().rev().map(|(ns, name)| put(Key::new("pods", *ns, *name), "1")).collect();
    writes.push(put(Key::new("nodes", "", "n"), "1"));
    writes.extend([put(pod("gone"), "1"), delete(pod("gone"))]);
    each(&*store, writes).await;
    for limit in 1..=9 {
        let mut query = ListQuery { limit: Some(limit), ..ListQuery::all("pods") };
        let mut seen = Vec::new();
        loop {
            let list = store.list(CLUSTER, &query).await.unwrap();
            assert!(list.items.len() <= limit);
            assert_eq!(list.revision, 11);
            seen.extend(list.items.into_iter().map(|record| (record.key.namespace, record.key.name)));
            let left = (sorted.len() - seen.len()) as u64;
            assert_eq!(list.remaining, (left > 0).then_some(left));
            if list.remaining.is_none() {
                break;
            }
            query.after = seen.last().cloned();
        }
        let seen: Vec<_> = seen.iter().map(|(ns, name)| (ns.as_str(), name.as_str())).collect();
        assert_eq!(seen, sorted);
    }
    let nothing = store.list(CLUSTER, &ListQuery { limit: Some(0), ..ListQuery::all("pods") }).await.unwrap();
    assert_eq!((nothing.items.len(), nothing.remaining), (0, Some(8)));
}

pub(crate) async fn lists_one_namespace(database: Database) {
    let store = database.store().await;
    let keys = [("", "x"), ("a", "1"), ("a", "2"), ("a", "3"), ("a-b", "1"), ("ab", "1"), ("b", "1")];
    each(&*store, keys.iter().map(|(ns, name)| put(Key::new("pods", *ns, *name), "1")).collect()).await;
    let names = async |namespace: &str, after: Option<(&str, &str)>, limit| {
        let query = ListQuery {
            kind: "pods".into(),
            namespace: Some(namespace.into()),
            after: after.map(|(ns, name)| (ns.into(), name.into())),
            limit,
        };
        let list = store.list(CLUSTER, &query).await.unwrap();
        let names: Vec<_> = list.items.into_iter().map(|r| format!("{}/{}", r.key.namespace, r.key.name)).collect();
        (names.join(" "), list.remaining)
    };
    assert_eq!(names("a", None, None).await, ("a/1 a/2 a/3".into(), None));
    assert_eq!(names("a", None, Some(2)).await, ("a/1 a/2".into(), Some(1)));
    assert_eq!(names("a", Some(("a", "2")), Some(2)).await, ("a/3".into(), None));
    assert_eq!(names("a", Some(("", "zzz")), None).await, ("a/1 a/2 a/3".into(), None));
    assert_eq!(names("a", Some(("b", "1")), None).await, (String::new(), None));
    assert_eq!(names("", None, None).await, ("/x".into(), None), "the empty namespace is one of its own");
    assert_eq!(names("none", None, None).await, (String::new(), None));
}

pub(crate) async fn follows_changes_page_by_page(database: Database) {
    let store = database.store().await;
    for i in 0..10 {
        one(&*store, put(pod(&format!("p{i}")), "1")).await;
    }
    each(&*store, vec![put(pod("p3"), "2"), delete(pod("p5"))]).await;
    let mut after = 0;
    let mut seen = Vec::new();
    loop {
        let page = store.changes(CLUSTER, &Cursor::after(after), 4).await.unwrap();
        assert_eq!((page.head.revision, page.head.compact_revision, page.head.epoch), (12, 0, 0));
        seen.extend(page.records.iter().map(|record| record.revision));
        if page.complete {
            break;
        }
        after = seen.last().copied().unwrap();
    }
    assert_eq!(seen, [1, 2, 3, 5, 7, 8, 9, 10, 11, 12]);
    let nothing = store.changes(CLUSTER, &Cursor::after(12), 4).await.unwrap();
    assert!(nothing.records.is_empty() && nothing.complete);
    let ahead = store.changes(CLUSTER, &Cursor::after(100), 4).await.unwrap();
    assert_eq!((ahead.records.len(), ahead.head.revision), (0, 12), "who is ahead of the head is told by it");
}

pub(crate) async fn schema_reports_missing_migrations(database: Database) {
    let store = database.open().await;
    let before = store.migration_status().await.unwrap();
    assert_eq!((before.applied, before.is_current()), (0, false));
    assert_eq!(store.head(CLUSTER).await, Err(StoreError::NotMigrated));
    store.ping().await.unwrap();
    store.migrate().await.unwrap();
    store.migrate().await.unwrap();
    let known = before.known;
    assert_eq!(store.migration_status().await.unwrap(), MigrationStatus { applied: known, known });
}

pub(crate) async fn closed_store_refuses_calls(database: Database) {
    let store = database.store().await;
    store.close().await;
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.get(CLUSTER, &pod("a")).await, Err(StoreError::Unavailable(_))));
}
