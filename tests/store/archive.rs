//! Whole clusters out and in, by the commands' own format.

use podberth::commands::archive::{export, import};
use podberth::store::{
    self, Change, Cursor, Key, ListQuery, Options, Precondition, Restore, Storage, StoreError, Write,
};
use uuid::Uuid;

use crate::build::{CLUSTER, bind, created, delete, each, one, pod, put};
use crate::database::Database;
use crate::ledger::{all, append, read};

async fn exported(store: &dyn Storage) -> Vec<u8> {
    let mut output = Vec::new();
    export(store, CLUSTER, &mut output).await.expect("the cluster is exported");
    output
}

async fn imported(store: &dyn Storage, mut text: &[u8], how: Restore) -> Result<u64, StoreError> {
    let done = import(store, &mut text, None, how).await?.expect("there is a cluster");
    assert!(text.is_empty(), "it is read to its end");
    Ok(done.head.revision)
}

async fn memory() -> std::sync::Arc<dyn Storage> {
    let store = store::open("sqlite::memory:", &Options::default()).await.expect("an empty database opens");
    store.migrate().await.expect("and migrates");
    store
}

/// Some of everything that a cluster can hold.
async fn fill(store: &dyn Storage) {
    let bodies: [&[u8]; 4] = [b"", br#"{"z":1,"a":"\u0000"}"#, "ü\0🦀\n".as_bytes(), &[0, 255, 254]];
    let writes = bodies.iter().enumerate().map(|(i, body)| Write {
        key: Key::new(if i < 2 { "nodes" } else { "pods" }, if i < 2 { "" } else { "näme" }, format!("ö{i}")),
        precondition: Precondition::default(),
        change: Change::Put { body: body.to_vec().into(), uid: format!("uid {i}"), node: None },
    });
    each(store, writes.collect()).await;
    each(store, (0..1_100).map(|i| put(pod(&i.to_string()), "{}")).collect()).await;
    each(store, vec![bind(pod("5"), "n"), put(pod("6"), "[]"), delete(pod("7"))]).await;
}

/// From one engine into another and back, to the byte: revisions, uids, bodies and all.
pub(crate) async fn exported_cluster_imports_unchanged(database: Database) {
    let (first, store, last) = (memory().await, database.store().await, memory().await);
    fill(&*first).await;
    let before = exported(&*first).await;
    assert_eq!(imported(&*store, &before, Restore::default()).await, Ok(1_107));
    let between = exported(&*store).await;
    assert!(between == before, "the same bytes, with the same hash");
    assert_eq!(imported(&*last, &between, Restore::default()).await, Ok(1_107));
    assert!(exported(&*last).await == before);

    let query = ListQuery::all("pods");
    assert_eq!(store.list(CLUSTER, &query).await, first.list(CLUSTER, &query).await);
    let watch = store.changes(CLUSTER, &Cursor::after(1_106), 10).await;
    assert!(matches!(watch, Err(StoreError::Compacted { .. })), "no tombstones come with it");
    assert_eq!(one(&*store, put(pod("new"), "1")).await, created(1_108));
}

pub(crate) async fn an_import_is_whole_or_nothing(database: Database) {
    let first = memory().await;
    fill(&*first).await;
    let whole = exported(&*first).await;
    let text = String::from_utf8(whole.clone()).expect("lines of text");
    let store = database.store().await;
    for broken in [text.replace("\"name\":\"900\"", "\"name\":\"x\""), text[..text.len() / 2].to_owned()] {
        let refused = imported(&*store, broken.as_bytes(), Restore::default()).await;
        let Err(StoreError::Stopped(why)) = refused else { panic!("{refused:?}") };
        assert!(why.starts_with("test: ") && why.ends_with("; nothing of it was imported"), "{why}");
        assert!(store.list(CLUSTER, &ListQuery::all("pods")).await.unwrap().items.is_empty());
    }
    assert_eq!(imported(&*store, &whole, Restore { replace: false, skip: 1_000 }).await, Ok(2_107));
    assert_eq!(one(&*store, put(pod("new"), "1")).await, created(2_108));
}

pub(crate) async fn import_replaces_only_on_request(database: Database) {
    let first = memory().await;
    fill(&*first).await;
    let text = exported(&*first).await;
    let store = database.store().await;
    each(&*store, vec![put(pod("there"), "1"), put(pod("5"), "other")]).await;
    let cursor = store.changes(CLUSTER, &Cursor::default(), 10).await.unwrap().next;

    let refused = imported(&*store, &text, Restore::default()).await;
    assert!(matches!(&refused, Err(StoreError::Invalid(why)) if why.contains("is not empty")), "{refused:?}");
    assert_eq!(store.head(CLUSTER).await.unwrap().revision, 2);

    let how = Restore { replace: true, skip: 0 };
    assert_eq!(imported(&*store, &text, how).await, Ok(1_109), "after all revisions that there were");
    assert_eq!(store.get(CLUSTER, &pod("there")).await, Ok(None));
    let five = store.get(CLUSTER, &pod("5")).await.unwrap().unwrap();
    assert_eq!((&*five.body, five.node.as_deref(), &*five.uid), (&b"{}"[..], Some("n"), "uid-5"));
    let reader = store.changes(CLUSTER, &cursor, 10).await;
    assert_eq!(reader, Err(StoreError::HistoryLost { revision: 1_109, epoch: 1 }), "readers begin anew");
    let head = store.begin_epoch(CLUSTER, &cursor.seen.unwrap(), Uuid::new_v4()).await.unwrap();
    assert_eq!(head.revision, 1_109, "nothing is lost");
}

/// Its entries tell what was done here, whatever objects there are now.
pub(crate) async fn an_export_and_an_import_leave_the_ledger_alone(database: Database) {
    let (first, store) = (memory().await, database.store().await);
    each(&*first, vec![put(pod("a"), "1")]).await;
    let before = exported(&*first).await;
    append(&*first, [1]).await;
    assert!(exported(&*first).await == before);

    each(&*store, vec![put(pod("b"), "1")]).await;
    append(&*store, [2, 3]).await;
    imported(&*store, &before, Restore { replace: true, skip: 0 }).await.unwrap();
    assert_eq!(read(&*store, all()).await, ["3", "2"]);
}
