//! The rows that PostgreSQL reads to answer: a page off an index, and never a whole cluster.

use std::time::Duration;

use podberth::store::{Cursor, Options, Order, PlanMode, Scan};
use sqlx::{Connection, PgConnection};

use crate::build::{CLUSTER, bind, delete, each, pod, put};
use crate::database::{Database, Engine, execute, with_database};
use crate::ledger;
use crate::seeing::{Seen, claim, judged};

/// Rows read from a table, by scan and by index, since the statistics were last reset.
async fn rows_read(url: &str, table: &str) -> (i64, i64) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    // A connection that ends leaves its statistics behind; the store's have ended when they are no longer listed.
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
                  AND backend_type = 'client backend'";
    while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut connection).await.unwrap() > 0 {}
    let read = "SELECT seq_tup_read, idx_tup_fetch FROM pg_stat_user_tables WHERE relname = $1";
    let read = sqlx::query_as(read).bind(table).fetch_one(&mut connection).await.unwrap();
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
        rows_read(&database.url, "object").await;
        execute(&database.url, "SELECT pg_stat_reset()").await;

        let store = database.open().await;
        for after in [0, 4_000, 19_950] {
            let page = store.changes(CLUSTER, &Cursor::after(after), 100).await.unwrap();
            assert_eq!(page.records.len() as u64, (20_000 - after).min(100));
        }
        each(&*store, (0..500).map(|i| bind(pod(&format!("7-{i}")), "n")).collect()).await;
        store.close().await;
        let (one_after_the_other, by_index) = rows_read(&database.url, "object").await;
        assert_eq!(one_after_the_other, 0);
        assert!(by_index <= 300 + 2 * 500, "{by_index} rows were read: more than the pages, and each bound pod twice");
    })
    .await;
}

/// Plans of writes are kept for as long as a connection lives, and its first ones are made for tables with next to nothing in
/// them. They are right for large ones, and without statistics too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_made_for_an_empty_table_are_good_for_a_full_one() {
    with_database(Engine::Postgres, async |database: Database| {
        let histories = [None, Some(Duration::from_hours(1))];
        // Kept ones, and new ones for each statement.
        let modes = [PlanMode::Auto, PlanMode::Custom];
        for (history, plans) in histories.into_iter().flat_map(|history| modes.map(|plans| (history, plans))) {
            let options = Options { max_connections: 1, history, plans, ..Options::default() };
            let store = database.store_with(options).await;
            for table in ["object", "history", "batch", "cluster"] {
                execute(
                    &database.url,
                    &format!("ALTER TABLE {table} SET (autovacuum_enabled = off); TRUNCATE {table}"),
                )
                .await;
            }
            let each_kind = async |part: &str| {
                each(&*store, (0..400).map(|i| put(pod(&format!("{part}-{i}")), "1")).collect()).await;
                let seen = store.head(CLUSTER).await.unwrap();
                // The first commit finds the head it has seen, the second does not.
                let binds = |from: usize| (from..from + 100).map(|i| claim(&format!("{part}-{i}"), "n")).collect();
                judged(&*store, binds(0), &mut Seen::new(seen)).await;
                judged(&*store, binds(100), &mut Seen::new(seen)).await;
                let seen = store.head(CLUSTER).await.unwrap();
                let puts = (0..100).map(|i| put(pod(&format!("{part}-{i}")), "2")).collect();
                judged(&*store, puts, &mut Seen::new(seen)).await;
                each(&*store, (0..100).map(|i| delete(pod(&format!("{part}-{i}")))).collect()).await;
            };
            each_kind("first").await;
            let other = database.open().await;
            for part in 0..10 {
                each(&*other, (0..2_000).map(|i| put(pod(&format!("{part}-{i}")), "1")).collect()).await;
            }
            other.close().await;
            each_kind("last").await;
            store.close().await;

            let (one_after_the_other, by_index) = rows_read(&database.url, "object").await;
            assert_eq!(one_after_the_other, 0);
            // Twice: 400 rows that are changed, each read, found again to be written and perhaps to be kept, and the 100
            // that the second judge missed. PostgreSQL may count a row for each version of it that it passes.
            assert!(
                by_index <= 2 * 2 * (400 * 3 + 100),
                "{by_index} rows were read: more than those that were written"
            );
            execute(&database.url, "SELECT pg_stat_reset()").await;
        }
    })
    .await;
}

/// Also right after a large load, when the table has no statistics yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_the_ledger_is_read_off_an_index() {
    with_database(Engine::Postgres, async |database: Database| {
        let store = database.store().await;
        execute(&database.url, "ALTER TABLE ledger SET (autovacuum_enabled = off)").await;
        for part in 0..10 {
            ledger::append(&*store, part * 2_000..part * 2_000 + 2_000).await;
        }
        store.close().await;
        rows_read(&database.url, "ledger").await;
        execute(&database.url, "SELECT pg_stat_reset()").await;

        let store = database.open().await;
        for order in [Order::NewestFirst, Order::OldestFirst] {
            for (subject, object) in [(None, None), (Some("node-1"), None), (None, Some("default/pod-1"))] {
                let (subject, object) = (subject.map(str::to_owned), object.map(str::to_owned));
                let scan = Scan { subject, object, order, limit: 10, ..ledger::all() };
                assert_eq!(store.scan(&scan).await.unwrap().entries.len(), 10);
            }
        }
        assert_eq!(store.books().await.unwrap().len(), 1);
        store.close().await;
        let (one_after_the_other, by_index) = rows_read(&database.url, "ledger").await;
        assert_eq!(one_after_the_other, 0);
        // Six pages of ten out of 20,000 entries; without statistics an index may be read with some that are filtered out.
        assert!(by_index <= 600, "{by_index} rows were read for six pages of ten");
    })
    .await;
}

/// Compilation by PostgreSQL would take longer than the statements, of which our settings of the planner make some seem dear.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_is_compiled() {
    with_database(Engine::Postgres, async |database: Database| {
        let store = database.store().await;
        let check = "CREATE FUNCTION check_jit() RETURNS trigger LANGUAGE plpgsql AS $$
                         BEGIN ASSERT current_setting('jit') = 'off'; RETURN NEW; END $$;
                     CREATE TRIGGER check_jit BEFORE INSERT ON object FOR EACH ROW EXECUTE FUNCTION check_jit()";
        execute(&database.url, check).await;
        each(&*store, vec![put(pod("a"), "1")]).await;
        assert_eq!(store.changes(CLUSTER, &Cursor::after(0), 10).await.unwrap().records.len(), 1);
    })
    .await;
}
