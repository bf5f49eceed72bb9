//! A primary that commits only with its standby, while the standby is down: a change that only the primary has is not acknowledged, though it is
//! found after a crash.

use std::time::Duration;

use podberth::store::{Atomicity, Change, Key, Options, Precondition, Storage, Write, open};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use tokio::{task::block_in_place, time::sleep};

use crate::{
    client::{Answer, Client},
    postgres::Postgres,
    replica::Replica,
};

const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [{"name": "main"}]}})
}

/// A primary and its standby, whose word every commit waits for, and a replica on the primary that has a node.
struct Pair {
    primary: Postgres,
    standby: Postgres,
    replica: Replica,
    client: Client,
}

impl Pair {
    async fn start() -> Self {
        let (primary, standby, replica) = block_in_place(|| {
            let primary = Postgres::start(50);
            let standby = primary.standby("b");
            let replica = Replica::start(&primary.url(), &[], None);
            (primary, standby, replica)
        });
        let mut admin = PgConnection::connect(&primary.url()).await.expect("the primary answers");
        admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (b)'").await.expect("it may be set");
        admin.execute("SELECT pg_reload_conf()").await.expect("it is read again");
        let pair = Self { primary, standby, replica, client: Client::new() };
        let node = json!({"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "4", "pods": "9"}}});
        pair.acknowledges("/api/v1/nodes", &node).await;
        pair
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.client.send("POST", self.replica.address(), path, body).await
    }

    async fn acknowledges(&self, path: &str, body: &Value) {
        let answer = self.post(path, body).await;
        assert!(is_acknowledged(&answer), "{answer:?}");
    }

    /// Crashes the primary while a commit waits for the standby, which is away; it comes back without.
    async fn crash_in_commit(&self) {
        let mut admin = PgConnection::connect(&self.primary.url()).await.expect("the primary answers");
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query = 'COMMIT'";
        while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut admin).await.expect("it may be asked") == 0 {
            sleep(Duration::from_millis(10)).await;
        }
        block_in_place(|| {
            self.primary.crash();
            self.primary.up();
        });
    }
}

/// `true` if the client may regard it as done.
fn is_acknowledged(answer: &Answer) -> bool {
    matches!(answer, Answer::Said(200..=299 | 409, body) if body["Error"].as_str().unwrap_or_default().is_empty())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_no_standby_has_is_not_acknowledged_after_a_retry() {
    let pair = Pair::start().await;
    pair.acknowledges(PODS, &pod("before")).await;
    block_in_place(|| pair.standby.down());
    let (doubtful_pod, crash) = (pod("doubtful"), pair.crash_in_commit());
    let (answer, ()) = tokio::join!(pair.post(PODS, &doubtful_pod), crash);
    let committed = open(&pair.primary.url(), &Options::default()).await.expect("the primary is back");
    assert!(committed.get("default", &Key::new("pods", "default", "doubtful")).await.expect("it answers").is_some());
    committed.close().await;
    assert!(!is_acknowledged(&answer), "{answer:?}");

    // The primary is gone for good: what was acknowledged is there.
    block_in_place(|| {
        pair.primary.crash();
        pair.standby.up();
        pair.standby.promote();
    });
    let promoted = open(&pair.standby.url(), &Options::default()).await.expect("the standby is the primary");
    let there = promoted.get("default", &Key::new("pods", "default", "before")).await;
    assert!(there.expect("it answers").is_some());
    promoted.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bind_that_no_standby_has_is_not_acknowledged_by_a_new_replica() {
    let mut pair = Pair::start().await;
    pair.acknowledges(PODS, &pod("p")).await;
    block_in_place(|| pair.standby.down());
    let bind = json!({"PodName": "p", "PodNamespace": "default", "PodUID": "", "Node": "n"});
    let (answer, ()) = tokio::join!(pair.post("/bind", &bind), async {
        pair.crash_in_commit().await;
    });
    assert!(!is_acknowledged(&answer), "{answer:?}");
    pair.replica = block_in_place(|| Replica::start(&pair.primary.url(), &[], None));
    let again = pair.post("/bind", &bind).await;
    assert!(!is_acknowledged(&again), "{again:?}");

    // With the standby's word it is.
    block_in_place(|| pair.standby.up());
    loop {
        match pair.post("/bind", &bind).await {
            answer if is_acknowledged(&answer) => break,
            Answer::Said(503 | 504, _) | Answer::Silence => sleep(Duration::from_millis(50)).await,
            answer => panic!("{answer:?}"),
        }
    }
}

/// A URL that names both finds the primary, whichever it is, without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_that_names_both_servers_follows_the_primary() {
    let (primary, standby) = block_in_place(|| {
        let primary = Postgres::start(50);
        let standby = primary.standby("b");
        (primary, standby)
    });
    let options = Options { acquire_timeout: Duration::from_secs(2), ..Options::default() };
    let url = format!("postgres://postgres@{},{}/postgres", standby.address(), primary.address());
    let store = open(&url, &options).await.expect("the second one is the primary");
    store.migrate().await.expect("it migrates");
    write(&*store, "a").await.expect("it writes");
    let mut admin = PgConnection::connect(&primary.url()).await.expect("the primary answers");
    let behind = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()";
    while sqlx::query_scalar::<_, i64>(behind).fetch_one(&mut admin).await.expect("it may be asked") == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    block_in_place(|| {
        primary.crash();
        standby.promote();
    });
    let mut tries = 0;
    while let Err(error) = write(&*store, "b").await {
        tries += 1;
        assert!(error.is_transient() && tries < 20, "{error}");
    }
    store.close().await;
}

/// A process that starts before its database waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_waits_for_the_database() {
    let postgres = block_in_place(|| {
        let postgres = Postgres::start(20);
        postgres.down();
        postgres
    });
    let options = Options { wait: Duration::from_mins(2), ..Options::default() };
    let url = postgres.url();
    let (opened, ()) = tokio::join!(open(&url, &options), async {
        sleep(Duration::from_millis(400)).await;
        block_in_place(|| postgres.up());
    });
    opened.expect("it was waited for").close().await;
}

async fn write(store: &dyn Storage, name: &str) -> Result<(), podberth::store::StoreError> {
    let change = Change::Put { body: "{}".into(), uid: "1".into(), node: None };
    let write = Write { key: Key::new("pods", "default", name), precondition: Precondition::default(), change };
    store.commit("default", vec![write], Atomicity::Each).await.map(drop)
}
