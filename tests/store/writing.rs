//! Writes.

use bytes::Bytes;
use podberth::store::{Atomicity, Change, Commit, Cursor, Key, Precondition, Refusal, StoreError, Write};

use crate::build::{CLUSTER, bind, created, delete, deleted, each, one, only, pod, put, refused, unchanged, written};
use crate::database::Database;

pub(crate) async fn put_creates_and_replaces(database: Database) {
    let store = database.store().await;
    assert_eq!(one(&*store, put(pod("a"), "1")).await, created(1));
    assert_eq!(one(&*store, put(pod("b"), "1")).await, created(2));
    assert_eq!(one(&*store, put(pod("a"), "2")).await, written(3));
    let record = store.get(CLUSTER, &pod("a")).await.unwrap().unwrap();
    assert_eq!((record.revision, record.create_revision, &*record.body), (3, 1, b"2".as_slice()));
    assert_eq!((record.key, &*record.uid, record.node, record.deleted), (pod("a"), "uid-a", None, false));
    assert_eq!(store.get(CLUSTER, &pod("c")).await.unwrap(), None);
}

pub(crate) async fn create_rejects_existing_object(database: Database) {
    let store = database.store().await;
    let create = only(Precondition::absent(), put(pod("a"), "1"));
    assert_eq!(one(&*store, create.clone()).await, created(1));
    assert_eq!(one(&*store, create.clone()).await, refused(Refusal::AlreadyExists { current: 1 }));
    assert_eq!(one(&*store, delete(pod("a"))).await, deleted(2));
    assert_eq!(one(&*store, create).await, created(3));
}

pub(crate) async fn change_rejects_absent_object(database: Database) {
    let store = database.store().await;
    let not_found = refused(Refusal::NotFound);
    assert_eq!(one(&*store, delete(pod("a"))).await, not_found);
    assert_eq!(one(&*store, bind(pod("a"), "n")).await, not_found);
    assert_eq!(one(&*store, only(Precondition::exists(), put(pod("a"), "1"))).await, not_found);
    assert_eq!(one(&*store, only(Precondition::revision(1), put(pod("a"), "1"))).await, not_found);
    assert_eq!(store.clusters().await.unwrap(), Vec::<String>::new(), "refusals create no cluster");
    each(&*store, vec![put(pod("a"), "1"), delete(pod("a"))]).await;
    assert_eq!(one(&*store, delete(pod("a"))).await, not_found);
    assert_eq!(store.head(CLUSTER).await.unwrap().revision, 2);
}

pub(crate) async fn write_rejects_stale_revision(database: Database) {
    let store = database.store().await;
    one(&*store, put(pod("a"), "1")).await;
    assert_eq!(one(&*store, only(Precondition::revision(1), put(pod("a"), "2"))).await, written(2));
    let conflict = refused(Refusal::Conflict { current: 2 });
    assert_eq!(one(&*store, only(Precondition::revision(1), put(pod("a"), "3"))).await, conflict);
    assert_eq!(one(&*store, only(Precondition::revision(1), delete(pod("a")))).await, conflict);
    assert_eq!(one(&*store, only(Precondition::revision(2), delete(pod("a")))).await, deleted(3));
}

pub(crate) async fn write_rejects_other_uid(database: Database) {
    let store = database.store().await;
    one(&*store, put(pod("a"), "1")).await;
    let uid = |uid: &str| Precondition { uid: Some(uid.into()), ..Precondition::default() };
    let mismatch = refused(Refusal::UidMismatch { current: "uid-a".into() });
    assert_eq!(one(&*store, only(uid("other"), delete(pod("a")))).await, mismatch);
    assert_eq!(one(&*store, only(uid("uid-a"), delete(pod("a")))).await, deleted(2));
    assert_eq!(one(&*store, only(uid("uid-a"), delete(pod("a")))).await, refused(Refusal::NotFound));
}

pub(crate) async fn deleted_object_can_be_created_again(database: Database) {
    let store = database.store().await;
    each(&*store, vec![put(pod("a"), "1"), bind(pod("a"), "n")]).await;
    assert_eq!(one(&*store, delete(pod("a"))).await, deleted(3));
    assert_eq!(store.get(CLUSTER, &pod("a")).await.unwrap(), None);
    let tombstone = store.changes(CLUSTER, &Cursor::default(), 10).await.unwrap().records.remove(0);
    assert!(tombstone.deleted && tombstone.body.is_empty());
    assert_eq!((tombstone.revision, tombstone.create_revision, &*tombstone.uid), (3, 1, "uid-a"));
    assert_eq!(one(&*store, put(pod("a"), "1")).await, created(4));
    let record = store.get(CLUSTER, &pod("a")).await.unwrap().unwrap();
    assert_eq!((record.revision, record.create_revision, record.node, &*record.body), (4, 4, None, b"1".as_slice()));
}

pub(crate) async fn put_with_other_uid_creates_anew(database: Database) {
    let store = database.store().await;
    one(&*store, put(pod("a"), "1")).await;
    let mut other = put(pod("a"), "1");
    other.change = Change::Put { body: "1".into(), uid: "other".into(), node: None };
    assert_eq!(one(&*store, other).await, created(2));
    assert_eq!(store.get(CLUSTER, &pod("a")).await.unwrap().unwrap().create_revision, 2);
}

pub(crate) async fn put_without_change_takes_no_revision(database: Database) {
    let store = database.store().await;
    one(&*store, put(pod("a"), "1")).await;
    one(&*store, put(pod("b"), "1")).await;
    let commit = each(&*store, vec![put(pod("a"), "1"), put(pod("b"), "2"), put(pod("b"), "2")]).await;
    assert_eq!(commit, Commit { revision: 3, outcomes: vec![unchanged(1), written(3), unchanged(3)] });
    let commit = each(&*store, vec![put(pod("a"), "1"), delete(pod("c"))]).await;
    assert_eq!(commit, Commit { revision: 3, outcomes: vec![unchanged(1), refused(Refusal::NotFound)] });
    assert_eq!(store.head(CLUSTER).await.unwrap().revision, 3);
}

pub(crate) async fn bind_keeps_the_body(database: Database) {
    let store = database.store().await;
    one(&*store, put(pod("a"), "1")).await;
    assert_eq!(one(&*store, bind(pod("a"), "n1")).await, written(2));
    assert_eq!(one(&*store, bind(pod("a"), "n1")).await, unchanged(2));
    let record = store.get(CLUSTER, &pod("a")).await.unwrap().unwrap();
    assert_eq!((record.node.as_deref(), &*record.body), (Some("n1"), b"1".as_slice()));
    assert_eq!(one(&*store, put(pod("a"), "1")).await, written(3), "the node is part of what is put");
}

pub(crate) async fn refused_writes_leave_the_others(database: Database) {
    let store = database.store().await;
    one(&*store, put(pod("a"), "1")).await;
    let commit = each(
        &*store,
        vec![
            only(Precondition::absent(), put(pod("a"), "2")),
            put(pod("b"), "1"),
            only(Precondition::revision(9), put(pod("a"), "2")),
            put(pod("c"), "1"),
        ],
    )
    .await;
    let outcomes = vec![
        refused(Refusal::AlreadyExists { current: 1 }),
        created(2),
        refused(Refusal::Conflict { current: 1 }),
        created(3),
    ];
    assert_eq!(commit, Commit { revision: 3, outcomes });
}

pub(crate) async fn batch_is_whole_or_nothing(database: Database) {
    let store = database.store().await;
    one(&*store, put(pod("a"), "1")).await;
    let writes = vec![put(pod("b"), "1"), delete(pod("x")), put(pod("a"), "1")];
    let commit = store.commit(CLUSTER, writes, Atomicity::AllOrNothing).await.unwrap();
    let outcomes = vec![refused(Refusal::NotAttempted), refused(Refusal::NotFound), refused(Refusal::NotAttempted)];
    assert_eq!(commit, Commit { revision: 1, outcomes });
    assert_eq!(store.get(CLUSTER, &pod("b")).await.unwrap(), None);
    let writes = vec![put(pod("b"), "1"), delete(pod("a"))];
    let commit = store.commit(CLUSTER, writes, Atomicity::AllOrNothing).await.unwrap();
    assert_eq!(commit, Commit { revision: 3, outcomes: vec![created(2), deleted(3)] });
}

pub(crate) async fn writes_to_one_key_keep_their_order(database: Database) {
    let store = database.store().await;
    let commit = each(
        &*store,
        vec![
            put(pod("a"), "1"),
            only(Precondition::absent(), put(pod("a"), "2")),
            only(Precondition::revision(1), put(pod("a"), "3")),
            put(pod("b"), "1"),
            delete(pod("a")),
            put(pod("a"), "3"),
            bind(pod("a"), "n"),
        ],
    )
    .await;
    let exists = refused(Refusal::AlreadyExists { current: 1 });
    let outcomes = vec![created(1), exists, written(2), created(3), deleted(4), created(5), written(6)];
    assert_eq!(commit, Commit { revision: 6, outcomes });
    let records = store.changes(CLUSTER, &Cursor::default(), 10).await.unwrap().records;
    let seen: Vec<_> =
        records.iter().map(|r| (&*r.key.name, r.revision, r.create_revision, r.node.as_deref())).collect();
    assert_eq!(seen, [("b", 3, 3, None), ("a", 6, 5, Some("n"))]);
}

pub(crate) async fn empty_batch_takes_no_revision(database: Database) {
    let store = database.store().await;
    one(&*store, put(pod("a"), "1")).await;
    assert_eq!(each(&*store, vec![]).await, Commit { revision: 1, outcomes: vec![] });
}

pub(crate) async fn any_body_is_kept(database: Database) {
    let store = database.store().await;
    let bodies = [
        Bytes::new(),
        Bytes::from_static(b"{\"z\":1,\"a\":\"\\u0000\"}"),
        Bytes::from_static("{\"ü\":\"\u{0}日本語🦀\"}".as_bytes()),
        Bytes::from_static(&[0, 255, 254, 0, 128]),
        // 3 MB that hardly compress: larger than one statement's share.
        (0..3_000_000_u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect(),
    ];
    let key = |i: usize| Key::new("pods", "näme🦀space", format!("pöd-{i}"));
    let writes = bodies.iter().enumerate().map(|(i, body)| Write {
        key: key(i),
        precondition: Precondition::default(),
        change: Change::Put { body: body.clone().into(), uid: "ü".into(), node: Some("nöde".into()) },
    });
    let writes: Vec<Write> = writes.collect();
    each(&*store, writes.clone()).await;
    for (i, body) in bodies.iter().enumerate() {
        let record = store.get(CLUSTER, &key(i)).await.unwrap().unwrap();
        assert!(record.body == *body, "body {i} comes back as it was");
        assert_eq!((record.key, &*record.uid, record.node.as_deref()), (key(i), "ü", Some("nöde")));
    }
    assert_eq!(each(&*store, writes).await.outcomes, (1..=5).map(unchanged).collect::<Vec<_>>());
}

pub(crate) async fn unstorable_keys_are_refused(database: Database) {
    let store = database.store().await;
    let long = "x".repeat(2_000);
    let keys = [
        Key::new("pods", "", ""),
        Key::new("", "", "a"),
        Key::new("pods", "", "a\0b"),
        Key::new("pods", "\u{10FFFF}", "a"),
        Key::new("pods", "default", long.clone()),
    ];
    for key in keys {
        let result = store.commit(CLUSTER, vec![put(key, "1")], Atomicity::Each).await;
        assert!(matches!(result, Err(StoreError::Invalid(_))), "{result:?}");
    }
    let result = store.commit("", vec![put(pod("a"), "1")], Atomicity::Each).await;
    assert!(matches!(result, Err(StoreError::Invalid(_))), "{result:?}");
    let mut incompressible = uuid::Uuid::new_v4().to_string().repeat(60);
    incompressible.truncate(1_990);
    assert_eq!(one(&*store, put(Key::new("pods", "", incompressible), "1")).await, created(1), "the longest key");
    let nul = Key::new("pods", "", "a\0b");
    assert!(matches!(store.get(CLUSTER, &nul).await, Err(StoreError::Invalid(_))));
    assert!(matches!(store.head("a\0b").await, Err(StoreError::Invalid(_))));
}

pub(crate) async fn large_batch_is_written_whole(database: Database) {
    let store = database.store().await;
    let name = |i: usize| format!("pod-{i:05}");
    let writes = |body: &str| (0..5_000).map(|i| put(pod(&name(i)), body)).collect::<Vec<_>>();
    let commit = each(&*store, writes("1")).await;
    assert_eq!(commit.outcomes, (1..=5_000).map(created).collect::<Vec<_>>());
    let mut second = writes("2");
    second.truncate(4_500);
    second.extend((4_500..4_750).map(|i| delete(pod(&name(i)))));
    second.extend((0..250).map(|i| put(pod(&format!("new-{i}")), "1")));
    assert_eq!(each(&*store, second).await.revision, 10_000);
    let list = store.list(CLUSTER, &podberth::store::ListQuery::all("pods")).await.unwrap();
    assert_eq!((list.items.len(), list.revision), (5_000, 10_000));
    let changes = store.changes(CLUSTER, &Cursor::after(5_000), 6_000).await.unwrap();
    assert_eq!((changes.records.len(), changes.records.iter().filter(|r| r.deleted).count()), (5_000, 250));
}
