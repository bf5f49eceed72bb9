//! A PostgreSQL of an earlier release, brought up to date without loss.

use podberth::store::ledger::NO_CLUSTER;
use podberth::store::{Atomicity, Key, ListQuery, Scan};
use sqlx::{Connection, Executor, PgConnection};
use std::time::Duration;
use uuid::Uuid;

use crate::build::{pod, put};
use crate::database::{Database, Engine, execute, with_database};

/// The migrations before the directory of clusters.
const BEFORE: [&str; 6] = [
    include_str!("../../migrations/postgres/0001_store.sql"),
    include_str!("../../migrations/postgres/0002_body_rev.sql"),
    include_str!("../../migrations/postgres/0003_keeping.sql"),
    include_str!("../../migrations/postgres/0004_removed.sql"),
    include_str!("../../migrations/postgres/0005_ledger.sql"),
    include_str!("../../migrations/postgres/0006_rewind.sql"),
];

/// Two clusters, one that was removed and one that is being removed, and entries of the ledger: of two of them, of one without an object, and of none.
const ROWS: &str = r"
    INSERT INTO cluster (cluster_id, name, rev, history_to, removed) VALUES
        (1, 'a', 2, 2, 0), (2, 'b', 1, 1, 0), (3, 'gone', 9, 9, 1), (4, E'\x01' || 4, 5, 5, 1);
    INSERT INTO batch (cluster_id, rev_to, token) SELECT cluster_id, rev, '\x00112233445566778899aabbccddeeff' FROM cluster;
    INSERT INTO object (cluster_id, kind, ns, name, uid, rev, create_rev, node, deleted, codec, body, body_rev) VALUES
        (1, 'pods', '', 'x', 'u', 1, 1, NULL, false, 0, '1', 1), (1, 'pods', '', 'y', 'u', 2, 2, 'n', false, 0, '2', 2),
        (2, 'pods', '', 'z', 'u', 1, 1, NULL, false, 0, '3', 1), (4, 'pods', '', 'rest', 'u', 5, 5, NULL, false, 0, '4', 5);
    INSERT INTO ledger (cluster, kind, id, subject, object, body) SELECT c, 'decision', ('\x' || id)::bytea, '', '', c::bytea
        FROM UNNEST(ARRAY['a', 'b', 'ghost', ''], ARRAY['0199b5a04c7c7000800000000000000a', '0199b5a04c7c7000800000000000000b',
                    '0199b5a04c7c7000800000000000000c', '0199b5a04c7c7000800000000000000d']) AS n (c, id);
    INSERT INTO lease (name, holder, until) VALUES ('compact', '\x00', 9000000000000000);
";

async fn sql(url: &str, text: &'static str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute(sqlx::raw_sql(text)).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_database_migrates_without_loss() {
    with_database(Engine::Postgres, async |database: Database| {
        // The table of migrations as it is, without those of later.
        database.store().await.close().await;
        sql(
            &database.url,
            "DROP TABLE cluster_directory, cluster, batch, object, history, lease, ledger; DELETE FROM _sqlx_migrations WHERE version > 6",
        )
        .await;
        for migration in BEFORE {
            sql(&database.url, migration).await;
        }
        sql(&database.url, ROWS).await;

        let store = database.store().await;
        assert_eq!(store.clusters().await.unwrap(), ["a", "b"]);
        for (cluster, revision, names) in [("a", 2, vec!["x", "y"]), ("b", 1, vec!["z"]), ("gone", 9, vec![])] {
            let list = store.list(cluster, &ListQuery::all("pods")).await.unwrap();
            let found: Vec<_> = list.items.iter().map(|item| &*item.key.name).collect();
            assert_eq!((list.revision, found), (revision, names), "{cluster}");
        }
        let key = Key::new("pods", "", "y");
        assert_eq!(store.get("a", &key).await.unwrap().unwrap().node.as_deref(), Some("n"));
        let books: Vec<_> = store.books().await.unwrap().into_iter().map(|(cluster, _)| cluster).collect();
        assert_eq!(books, [NO_CLUSTER, "a", "b", "ghost"]);
        for cluster in books {
            let entries = store.scan(&Scan::all(&*cluster, "decision")).await.unwrap().entries;
            assert_eq!(entries.iter().map(|entry| &*entry.body).collect::<Vec<_>>(), [cluster.as_bytes()]);
        }
        let other = Uuid::from_u128(7);
        assert!(!store.lease("compact", other, Duration::from_secs(1)).await.unwrap(), "it is held");

        // Revisions go on, a name that was removed too, and a new cluster gets an id of its own.
        for (cluster, revision) in [("a", 3), ("gone", 10), ("ghost", 1), ("new", 1)] {
            let commit = store.commit(cluster, vec![put(pod("n"), "1")], Atomicity::Each).await.unwrap();
            assert_eq!(commit.revision, revision, "{cluster}");
        }
        assert_eq!(store.scan(&Scan::all("ghost", "decision")).await.unwrap().entries.len(), 1);
        store.sweep(Duration::ZERO).await.unwrap();
        execute(&database.url, "DO $$ BEGIN ASSERT (SELECT count(*) = 0 FROM object WHERE cluster_id = 4); END $$").await;
        assert_eq!(store.clusters().await.unwrap(), ["a", "b", "ghost", "gone", "new"]);
        store.close().await;
    })
    .await;
}
