//! Reading in pages of three, over a store that is cut off in each of them.

use std::sync::Arc;

use super::Reader;
use crate::{
    live::gated::{Fault, Gated},
    store::{Atomicity, Change, Key, Precondition, Store, Write},
};

const CLUSTER: &str = "prod";
const NODES: usize = 14;
/// Pages of three that 14 nodes take.
const PAGES: usize = 5;

async fn write(store: &Gated, name: &str, change: Change) {
    let write = Write { key: Key::new("nodes", "", name), precondition: Precondition::default(), change };
    store.commit(CLUSTER, vec![write], Atomicity::Each).await.expect("the store writes");
}

fn put(name: &str, cpu: usize) -> Change {
    let body = format!(r#"{{"metadata":{{"name":"{name}"}},"status":{{"allocatable":{{"cpu":"{cpu}","pods":"9"}}}}}}"#);
    Change::Put { body: body.into(), uid: name.to_owned(), node: None }
}

async fn cluster() -> Arc<Gated> {
    let store = Gated::open().await;
    for i in 0..NODES {
        write(&store, &format!("n{i:02}"), put(&format!("n{i:02}"), 1)).await;
    }
    store
}

fn reader(store: &Arc<Gated>) -> Reader {
    Reader::new(store.clone(), CLUSTER, 3)
}

/// The nodes of the working view with their CPUs.
fn shown(reader: &Reader) -> Vec<(String, i64)> {
    let (view, _) = reader.at_head().expect("the reader is at the head");
    let mut shown: Vec<_> = view
        .snapshot
        .nodes()
        .map(|entry| (entry.node.name.to_string(), entry.node.allocatable.milli_cpu / 1_000))
        .collect();
    shown.sort();
    shown
}

#[tokio::test]
async fn a_cut_connection_in_any_page_loses_nothing() {
    for page in 0..PAGES {
        let store = cluster().await;
        let mut reader = reader(&store);
        store.fail_page(page, Fault::Cut);
        reader.catch_up().await.expect_err("the connection is cut");
        assert!(reader.at_head().is_none(), "page {page}: what is half read is no state");
        reader.catch_up().await.expect("it reads on");
        assert_eq!(shown(&reader).len(), NODES, "page {page}");
        let head = store.head(CLUSTER).await.expect("a head");
        assert_eq!(reader.at_head().map(|(_, at)| at), Some(head));
    }
}

#[tokio::test]
async fn a_cut_connection_in_every_page_loses_nothing() {
    let store = cluster().await;
    let mut reader = reader(&store);
    for _ in 0..PAGES - 1 {
        // The page before is applied, the next one fails.
        store.fail_page(1, Fault::Cut);
        reader.catch_up().await.expect_err("the connection is cut");
    }
    store.fail_page(usize::MAX, Fault::Cut);
    reader.catch_up().await.expect("it reads on");
    assert_eq!(shown(&reader).len(), NODES);
}

#[tokio::test]
async fn a_reader_dropped_in_any_page_loses_nothing() {
    for page in 0..PAGES {
        let store = cluster().await;
        let mut reader = reader(&store);
        store.fail_page(page, Fault::Silence);
        tokio::select! {
            () = store.hangs.notified() => {}
            read = reader.catch_up() => panic!("page {page}: it waits for ever: {read:?}"),
        }
        assert!(reader.at_head().is_none(), "page {page}");
        reader.catch_up().await.expect("it reads on");
        assert_eq!(shown(&reader).len(), NODES, "page {page}");
    }
}

/// A reader that was at the head before neither misses nor keeps objects that change or go meanwhile.
#[tokio::test]
async fn changes_and_deletes_between_a_cut_and_the_next_read_are_seen() {
    for page in 0..4 {
        let store = cluster().await;
        let mut reader = reader(&store);
        reader.catch_up().await.expect("it reads");
        for i in 0..10 {
            write(&store, &format!("n{i:02}"), put(&format!("n{i:02}"), 2)).await;
        }
        store.fail_page(page, Fault::Cut);
        reader.catch_up().await.expect_err("the connection is cut");
        write(&store, "n00", put("n00", 3)).await;
        write(&store, "n09", Change::Delete).await;
        reader.catch_up().await.expect("it reads on");
        let expected = (0..NODES).filter(|i| *i != 9).map(|i| {
            let cpu = if i == 0 {
                3
            } else if i < 10 {
                2
            } else {
                1
            };
            (format!("n{i:02}"), cpu)
        });
        assert_eq!(shown(&reader), expected.collect::<Vec<_>>(), "page {page}");
    }
}
