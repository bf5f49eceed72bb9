//! Many writers at once, and those who follow them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use podberth::store::{Atomicity, Cursor, Hint, Outcome, Precondition, Storage};
use tokio::task::JoinSet;

use crate::build::{CLUSTER, each, one, only, pod, put};
use crate::database::Database;

/// As many stores as the engine has processes: two on PostgreSQL, each with its own connections, and on the fake.
async fn replicas(database: &Database) -> Vec<Arc<dyn Storage>> {
    let first = database.store().await;
    let second = if database.is_shared() { database.open().await } else { Arc::clone(&first) };
    vec![first, second]
}

/// 8 writers create 8 · 40 · 3 objects; each revision is one object's only one, so a reader that misses nothing sees
/// all of 1..=960.
pub(crate) async fn tailing_reader_misses_no_change(database: Database) {
    const WRITERS: usize = 8;
    const TOTAL: u64 = 8 * 40 * 3;
    let replicas = replicas(&database).await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&replicas[writer % 2]);
        writers.spawn(async move {
            for i in 0..40 {
                each(&*store, (0..3).map(|j| put(pod(&format!("{writer}-{i}-{j}")), "1")).collect()).await;
            }
        });
    }
    let mut seen = Vec::new();
    while seen.len() < TOTAL as usize {
        let after = seen.last().copied().unwrap_or(0);
        let page = replicas[1].changes(CLUSTER, &Cursor::after(after), 50).await.unwrap();
        seen.extend(page.records.iter().map(|record| record.revision));
        assert!(
            !page.complete || seen.last().copied().unwrap_or(0) == page.head.revision,
            "complete means at the head"
        );
        tokio::task::yield_now().await;
    }
    writers.join_all().await;
    assert_eq!(seen, (1..=TOTAL).collect::<Vec<_>>());
}

/// A counter kept by compare-and-set ends at the number of its increments.
pub(crate) async fn one_of_concurrent_writers_wins(database: Database) {
    let replicas = replicas(&database).await;
    one(&*replicas[0], put(pod("counter"), "0")).await;
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let store = Arc::clone(&replicas[writer % 2]);
        writers.spawn(async move {
            let mut won = 0;
            while won < 10 {
                let record = store.get(CLUSTER, &pod("counter")).await.unwrap().unwrap();
                let count: u32 = std::str::from_utf8(&record.body).unwrap().parse().unwrap();
                let next = put(pod("counter"), &(count + 1).to_string());
                match one(&*store, only(Precondition::revision(record.revision), next)).await {
                    Outcome::Written { .. } => won += 1,
                    Outcome::Refused(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    writers.join_all().await;
    assert_eq!(replicas[0].get(CLUSTER, &pod("counter")).await.unwrap().unwrap().body, "40");
    assert_eq!(replicas[0].head(CLUSTER).await.unwrap().revision, 41);
}

/// Another replica's write wakes as well as one's own.
pub(crate) async fn hint_wakes_its_listeners(database: Database) {
    let replicas = replicas(&database).await;
    for store in &replicas {
        let mut hints = replicas[1].hints();
        let before = store.head(CLUSTER).await.unwrap().revision;
        one(&**store, put(pod("a"), &before.to_string())).await;
        // The listener may only just begin, and wakes everybody then; so the test is that the news arrives.
        let news = async {
            while replicas[1].head(CLUSTER).await.unwrap().revision == before {
                hints.next().await.unwrap();
            }
            let told = Hint::Cluster { name: CLUSTER.into(), revision: before + 1 };
            // A listener that only just begins is told of all.
            while !matches!(hints.next().await.unwrap(), hint if hint == told || hint == Hint::Any) {}
        };
        tokio::time::timeout(Duration::from_secs(30), news).await.expect("the hint wakes");
    }
}

/// Writers that start many clusters at once give each an id of its own.
pub(crate) async fn concurrent_writers_create_a_cluster_once(database: Database) {
    let replicas = replicas(&database).await;
    let mut writers = JoinSet::new();
    for writer in 0..12 {
        let store = Arc::clone(&replicas[writer % 2]);
        writers.spawn(async move {
            let name = format!("c{}", writer / 3);
            let write = put(pod(&writer.to_string()), "1");
            store.commit(&name, vec![write], Atomicity::Each).await.map(|commit| (name, commit.revision))
        });
    }
    let results: Result<HashSet<_>, _> = writers.join_all().await.into_iter().collect();
    assert_eq!(results.expect("every cluster is created").len(), 12, "each write has a revision of its own");
    assert_eq!(replicas[0].clusters().await.unwrap(), ["c0", "c1", "c2", "c3"]);
}
