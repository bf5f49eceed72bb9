//! A judge that has seen the head of the cluster. PostgreSQL then locks the counter and reads the rows in one statement, which may wait for the
//! lock after it has begun: changes by others meanwhile must not be missed.

use std::sync::Arc;
use std::time::Duration;

use podberth::store::{Atomicity, Call, Change, Head, Judge, Options, Outcome, Place, Record, Refusal, Storage, Write};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::build::{CLUSTER, created, delete, one, pod, put, refused, written};
use crate::database::{Database, Engine, with_database};

/// Has read everything up to a head; records its state when it begins.
#[derive(Debug)]
pub(crate) struct Seen {
    seen: Head,
    told: Vec<(Head, Vec<u64>)>,
}

impl Seen {
    pub(crate) fn new(seen: Head) -> Self {
        Self { seen, told: Vec::new() }
    }
}

impl Judge for Seen {
    fn known(&self) -> u64 {
        self.seen.revision
    }

    fn seen(&self) -> Option<Head> {
        Some(self.seen)
    }

    fn begin(&mut self, head: Head, missed: &[Record]) {
        self.told.push((head, missed.iter().map(|record| record.revision).collect()));
    }

    fn may_bind(&mut self, _: Place, _: &Record, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn note(&mut self, _: &Record) {}

    fn mark(&mut self) {}

    fn roll_back(&mut self) {}
}

pub(crate) fn claim(name: &str, node: &str) -> Write {
    Write { change: Change::Bind { node: node.into() }, ..delete(pod(name)) }
}

/// Writes one call's batch.
pub(crate) async fn judged(store: &dyn Storage, writes: Vec<Write>, judge: &mut Seen) -> (Head, Vec<Outcome>) {
    let calls = [Call { writes, atomicity: Atomicity::Each }];
    let mut written = store.write(CLUSTER, &calls, judge).await.expect("the batch is written");
    (written.head, written.commits.remove(0).outcomes)
}

pub(crate) async fn judge_at_the_head_misses_no_change(database: Database) {
    let store = database.store().await;
    one(&*store, put(pod("a"), "1")).await;
    one(&*store, put(pod("b"), "1")).await;
    one(&*store, delete(pod("b"))).await;
    let seen = store.head(CLUSTER).await.unwrap();
    let mut judge = Seen::new(seen);
    let writes = vec![claim("a", "n"), put(pod("b"), "2"), put(pod("c"), "1"), claim("x", "n")];
    let (head, outcomes) = judged(&*store, writes, &mut judge).await;
    assert_eq!(outcomes, [written(4), created(5), created(6), refused(Refusal::NotFound)]);
    assert_eq!(judge.told, [(seen, vec![])]);
    assert_eq!(store.head(CLUSTER).await, Ok(head));

    let (after, outcomes) = judged(&*store, vec![claim("c", "n")], &mut Seen::new(head)).await;
    assert_eq!(outcomes, [written(7)], "on what its own batch has left");
    let mut late = Seen::new(head);
    let (_, outcomes) = judged(&*store, vec![claim("c", "other"), claim("b", "n")], &mut late).await;
    assert_eq!(outcomes, [refused(Refusal::AlreadyBound { node: "n".into() }), written(8)]);
    assert_eq!(late.told, [(after, vec![7])]);
}

/// Writes while another transaction holds the counter, does something and commits.
async fn meanwhile(database: &Database, write: Write, done: &'static str) -> (Seen, Vec<Outcome>) {
    let store = database.store_with(Options { lock_timeout: Duration::from_mins(1), ..Options::default() }).await;
    let seen = store.head(CLUSTER).await.unwrap();
    let mut other = PgConnection::connect(&database.url).await.unwrap();
    other.execute("BEGIN; SELECT 1 FROM cluster FOR UPDATE").await.unwrap();
    let writer = Arc::clone(&store);
    let writing = tokio::spawn(async move {
        let mut judge = Seen::new(seen);
        let (_, outcomes) = judged(&*writer, vec![write], &mut judge).await;
        (judge, outcomes)
    });
    let waits = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
                                AND wait_event_type = 'Lock')";
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut other).await.unwrap() {}
    other.execute(AssertSqlSafe(format!("{done}; COMMIT"))).await.unwrap();
    other.close().await.unwrap();
    writing.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_was_committed_while_it_waited_is_seen() {
    with_database(Engine::Postgres, async |database: Database| {
        one(&*database.store().await, put(pod("a"), "1")).await;
        let bound = "UPDATE object SET rev = 2, node = 'other'; UPDATE cluster SET rev = 2;
                     INSERT INTO batch (cluster_id, rev_to, token) SELECT cluster_id, 2, token FROM batch";
        let (judge, outcomes) = meanwhile(&database, claim("a", "n"), bound).await;
        assert_eq!(outcomes, [refused(Refusal::AlreadyBound { node: "other".into() })]);
        assert_eq!(
            judge.told.iter().map(|(head, missed)| (head.revision, &**missed)).collect::<Vec<_>>(),
            [(2, &[2][..])]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tombstone_that_was_compacted_while_it_waited_is_gone() {
    with_database(Engine::Postgres, async |database: Database| {
        let store = database.store().await;
        one(&*store, put(pod("a"), "1")).await;
        one(&*store, delete(pod("a"))).await;
        let (judge, outcomes) = meanwhile(&database, put(pod("a"), "2"), "DELETE FROM object WHERE deleted").await;
        assert_eq!((outcomes, judge.told.len()), (vec![created(3)], 1));
    })
    .await;
}
