//! What PostgreSQL reads to answer: a page off an index, and never a whole cluster.

use podberth::store::Cursor;
use sqlx::{Connection, PgConnection};

use crate::build::{CLUSTER, bind, each, pod, put};
use crate::database::{Database, Engine, execute, with_database};

/// Rows that were read from `object`, one after the other and by way of an index, since the statistics were last reset.
async fn rows_read(url: &str) -> (i64, i64) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    // A connection that ends leaves its statistics behind; the store's have ended when they are no longer listed.
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
                  AND backend_type = 'client backend'";
    while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut connection).await.unwrap() > 0 {}
    let read = "SELECT seq_tup_read, idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'object'";
    let read = sqlx::query_as(read).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    read
}

/// Right after a large load, when the table has no statistics yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_the_feed_is_read_off_the_index() {
    with_database(Engine::Postgres, async |database: Database| {
        let store = database.store().await;
        execute(&database.url, "ALTER TABLE object SET (autovacuum_enabled = off)").await;
        let body = "x".repeat(500);
        for part in 0..10 {
            each(&*store, (0..2_000).map(|i| put(pod(&format!("{part}-{i}")), &body)).collect()).await;
        }
        store.close().await;
        rows_read(&database.url).await;
        execute(&database.url, "SELECT pg_stat_reset()").await;

        let store = database.open().await;
        for after in [0, 4_000, 19_950] {
            let page = store.changes(CLUSTER, &Cursor::after(after), 100).await.unwrap();
            assert_eq!(page.records.len() as u64, (20_000 - after).min(100));
        }
        each(&*store, (0..500).map(|i| bind(pod(&format!("7-{i}")), "n")).collect()).await;
        store.close().await;
        let (one_after_the_other, by_index) = rows_read(&database.url).await;
        assert_eq!(one_after_the_other, 0);
        assert!(by_index <= 300 + 2 * 500, "{by_index} rows were read: more than the pages, and each bound pod twice");
    })
    .await;
}
