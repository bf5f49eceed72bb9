//! Compaction, and those who read meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use podberth::store::{Cursor, Keep, Key, Storage, StoreError, Write};
use uuid::Uuid;

use crate::build::{CLUSTER, created, delete, each, one, pod, put};
use crate::database::{Database, Engine, with_database};

const NOTHING: Keep = Keep { age: Duration::ZERO, revisions: 0 };

pub(crate) async fn compaction_keeps_young_and_recent_history(database: Database) {
    let store = database.store().await;
    assert_eq!(store.compact("none", &NOTHING).await.unwrap().revision, 0);
    for i in 0..6 {
        one(&*store, put(pod(&i.to_string()), "1")).await;
    }
    each(&*store, vec![delete(pod("0")), delete(pod("1"))]).await;
    one(&*store, delete(pod("2"))).await;
    let compact = async |age, revisions| store.compact(CLUSTER, &Keep { age, revisions }).await.unwrap();

    assert_eq!(compact(Duration::from_mins(10), 0).await.revision, 0, "all are young");
    assert_eq!(compact(Duration::ZERO, 100).await.revision, 0, "all are among the last hundred");
    let done = compact(Duration::ZERO, 1).await;
    assert_eq!((done.revision, done.tombstones, done.batches), (8, 2, 6), "up to a whole batch");
    let head = store.head(CLUSTER).await.unwrap();
    assert_eq!((head.revision, head.compact_revision), (9, 8));
    assert_eq!(compact(Duration::from_mins(10), 5).await.revision, 8, "it never goes back");

    let seen = store.changes(CLUSTER, &Cursor::default(), 10).await.unwrap();
    let seen: Vec<_> = seen.records.iter().map(|r| (&*r.key.name, r.deleted)).collect();
    assert_eq!(seen, [("3", false), ("4", false), ("5", false), ("2", true)]);
    let behind = store.changes(CLUSTER, &Cursor::after(7), 10).await;
    assert_eq!(behind, Err(StoreError::Compacted { after: 7, compact_revision: 8 }));
    assert_eq!(store.changes(CLUSTER, &Cursor::after(8), 10).await.unwrap().records.len(), 1);
    assert_eq!(one(&*store, put(pod("0"), "1")).await, created(10), "a name whose tombstone is gone");
}

/// More tombstones than go at a time.
pub(crate) async fn compaction_goes_in_pieces(database: Database) {
    let store = database.store().await;
    let all = || (0..2_500).map(|i| pod(&i.to_string()));
    each(&*store, all().map(|key| put(key, "1")).collect()).await;
    each(&*store, all().map(delete).collect()).await;
    assert_eq!(store.compact(CLUSTER, &NOTHING).await.unwrap().tombstones, 2_500);
    assert!(store.changes(CLUSTER, &Cursor::default(), 10).await.unwrap().records.is_empty());
}

/// The state of a reader of the feed.
#[derive(Default)]
struct Reader {
    cursor: Cursor,
    state: BTreeMap<Key, u64>,
    restarts: usize,
}

impl Reader {
    /// Reads a page; whether its state is complete.
    async fn read(&mut self, store: &dyn Storage, limit: usize) -> bool {
        let page = match store.changes(CLUSTER, &self.cursor, limit).await {
            Err(StoreError::Compacted { .. }) => {
                *self = Self { restarts: self.restarts + 1, ..Self::default() };
                return false;
            }
            page => page.unwrap(),
        };
        for record in page.records {
            if record.deleted {
                self.state.remove(&record.key);
            } else {
                self.state.insert(record.key, record.revision);
            }
        }
        self.cursor = page.next;
        page.complete
    }
}

async fn truth(store: &dyn Storage) -> BTreeMap<Key, u64> {
    let mut records = Vec::new();
    store.state_at(CLUSTER, None, &mut records).await.unwrap();
    records.into_iter().map(|record| (record.key, record.revision)).collect()
}

/// A reader that has begun with nothing reads pages from far behind the compacted revision. It is not sent back for that
/// (it would never arrive), but is as soon as a delete may have escaped it.
pub(crate) async fn first_reader_restarts_only_if_it_may_miss_a_delete(database: Database) {
    let store = database.store().await;
    let name = |i: usize| pod(&format!("{i:02}"));
    each(&*store, (0..20).map(|i| put(name(i), "1")).collect()).await;
    each(&*store, vec![put(name(20), "1"), delete(name(20))]).await;
    store.compact(CLUSTER, &NOTHING).await.unwrap();
    let mut reader = Reader::default();
    for page in 0..5 {
        assert_eq!(reader.read(&*store, 5).await, page == 4, "{page}");
    }
    assert_eq!((reader.restarts, &reader.state), (0, &truth(&*store).await));

    let mut reader = Reader::default();
    reader.read(&*store, 5).await;
    one(&*store, delete(name(0))).await;
    store.compact(CLUSTER, &NOTHING).await.unwrap();
    while !reader.read(&*store, 5).await {}
    assert_eq!((reader.restarts, &reader.state), (1, &truth(&*store).await), "it has not kept what was deleted");
}

/// Readers at every pace, while objects come and go and nothing is kept longer than it has to be.
pub(crate) async fn compaction_never_changes_the_state_readers_see(database: Database) {
    let store = database.store().await;
    let mut seed = 11_u64;
    let mut random = move |sides: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % sides
    };
    let mut readers: Vec<Reader> = (0..6).map(|_| Reader::default()).collect();
    let mut complete = 0;
    for _ in 0..400 {
        match random(10) {
            0..=2 => {
                let write = |i: u64| -> Write {
                    let key = pod(&(i % 15).to_string());
                    if i < 20 { put(key, &i.to_string()) } else { delete(key) }
                };
                let writes = (0..=random(3)).map(|_| write(random(35))).collect();
                each(&*store, writes).await;
            }
            3 => {
                let keep = Keep { age: Duration::ZERO, revisions: random(12) };
                store.compact(CLUSTER, &keep).await.unwrap();
            }
            _ => {
                let reader = &mut readers[random(6) as usize];
                if reader.read(&*store, 1 + random(4) as usize).await {
                    assert_eq!(reader.state, truth(&*store).await);
                    complete += 1;
                }
            }
        }
    }
    assert!(complete > 20, "{complete}");
}

/// A writer finds the tombstone that it has read, or none.
pub(crate) async fn compaction_does_not_disturb_writers(database: Database) {
    let store = database.store().await;
    let writing = std::sync::Arc::clone(&store);
    let writer = tokio::spawn(async move {
        for i in 0..60 {
            each(&*writing, vec![put(pod(&(i % 3).to_string()), "1"), delete(pod(&(i % 3).to_string()))]).await;
        }
    });
    while !writer.is_finished() {
        store.compact(CLUSTER, &NOTHING).await.unwrap();
    }
    writer.await.unwrap();
    assert_eq!(store.head(CLUSTER).await.unwrap().revision, 120);
}

pub(crate) async fn lease_excludes_other_holders(database: Database) {
    let store = database.store().await;
    for _ in 0..2 {
        assert!(store.lease("job", Uuid::from_u128(1), Duration::from_hours(1)).await.unwrap());
    }
}

#[tokio::test]
async fn a_lease_has_one_holder() {
    with_database(Engine::Postgres, async |database: Database| {
        let (first, second) = (database.store().await, database.open().await);
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert!(first.lease("job", one, Duration::from_hours(1)).await.unwrap());
        assert!(!second.lease("job", two, Duration::from_hours(1)).await.unwrap());
        assert!(second.lease("other", two, Duration::from_hours(1)).await.unwrap());
        assert!(first.lease("job", one, Duration::ZERO).await.unwrap(), "it lets go");
        assert!(second.lease("job", two, Duration::from_hours(1)).await.unwrap());
        assert!(!first.lease("job", one, Duration::from_hours(1)).await.unwrap());
    })
    .await;
}
