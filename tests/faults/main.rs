//! Replicas as processes on a real PostgreSQL, under load, while things break. Each fault is one test. At its end the observations of clients
//! and watchers are compared with the database: no acknowledged write is lost, no pod is bound twice, no node is overcommitted, no watcher skips
//! or repeats, and replicas agree at each revision.
//!
//! `scripts/faults` runs them one after another and prints a table; `PODBERTH_FAULTS_LONG=1` makes each fault longer and
//! repeats it. In the ordinary tests they run in their short form.

#[path = "../support/api_binds.rs"]
mod api_binds;
#[path = "../support/api_server.rs"]
mod api_server;
mod binds;
mod client;
mod history;
mod load;
mod patroni;
mod postgres;
mod proxy;
mod replica;
mod replicated;
mod sqlite;

use std::time::{Duration, Instant};

use podberth::store::{Cursor, Options, StoreError, open};
use sqlx::{Connection, Executor, PgConnection};
use tokio::time::sleep;

use self::{
    history::{History, silence},
    load::{CAPACITY, Load},
    postgres::Postgres,
    proxy::{Mode, Proxy},
    replica::{Clock, Replica},
};

/// Acknowledged writes that each replica must reach before and after a fault.
const SOME: u64 = 20;

fn long() -> bool {
    std::env::var_os("PODBERTH_FAULTS_LONG").is_some()
}

/// How often a fault happens.
fn times() -> usize {
    if long() { 5 } else { 1 }
}

/// How long a fault lasts.
async fn while_it_lasts() {
    sleep(Duration::from_secs(if long() { 30 } else { 2 })).await;
}

/// Replicas on a database, each through a proxy of its own, under load.
struct Stage {
    postgres: Postgres,
    proxies: Vec<Proxy>,
    replicas: Vec<Replica>,
    arguments: &'static [&'static str],
    /// That of the first replica, where it can be set.
    clock: Option<Clock>,
    load: Load,
}

impl Stage {
    async fn set(postgres: Postgres, replicas: usize, arguments: &'static [&'static str]) -> Self {
        Self::set_with(postgres, replicas, arguments, None).await
    }

    async fn set_with(
        postgres: Postgres,
        replicas: usize,
        arguments: &'static [&'static str],
        clock: Option<Clock>,
    ) -> Self {
        let mut proxies = Vec::new();
        for _ in 0..replicas {
            proxies.push(Proxy::start(postgres.address()).await);
        }
        let start =
            |(at, proxy): (usize, &Proxy)| Replica::start(&proxy.url, arguments, clock.as_ref().filter(|_| at == 0));
        let replicas: Vec<Replica> = tokio::task::block_in_place(|| proxies.iter().enumerate().map(start).collect());
        let addresses = replicas.iter().map(|replica| replica.address().to_owned()).collect();
        let load = Load::start(addresses, postgres.url()).await;
        let stage = Self { postgres, proxies, replicas, arguments, clock, load };
        stage.goes_on().await;
        stage
    }

    /// Every replica acknowledges writes.
    async fn goes_on(&self) {
        let all: Vec<usize> = (0..self.replicas.len()).collect();
        self.load.progress(&all, SOME).await;
    }

    fn restart(&mut self, replica: usize) {
        let started = tokio::task::block_in_place(|| Replica::start(&self.proxies[replica].url, self.arguments, None));
        self.load.moved(replica, started.address());
        self.replicas[replica] = started;
    }

    /// Ends the load, checks the history, and prints the table's row.
    async fn judge(mut self, fault: &str, times: usize) {
        self.goes_on().await;
        for replica in &mut self.replicas {
            assert!(!replica.has_ended(), "a replica ended on its own: {}", replica.log());
        }
        let history = self.load.stop().await;
        report(fault, times, history, &self.postgres).await;
    }
}

async fn report(fault: &str, times: usize, history: History, postgres: &Postgres) {
    report_on(fault, times, history, &postgres.url()).await;
}

/// Compares a history with the database of a URL.
async fn report_on(fault: &str, times: usize, mut history: History, url: &str) {
    let store = open(url, &Options::default()).await.expect("the database is there");
    let there = load::read_all(&*store).await;
    store.close().await;
    let findings = history.check(&there, CAPACITY);
    println!(
        "| {fault} | {times} | {} | {} | {} / {} | {} | {} | {} | {} | {} | {:.1} | {} | {} |",
        history.acknowledged(),
        findings.found,
        findings.unknown.0,
        findings.unknown.1,
        history.bound.len(),
        history.refused,
        findings.double_binds,
        findings.overcommitted,
        history.watched,
        history.outage().as_secs_f64(),
        by_replica(&history.heard),
        by_replica(&history.decided),
    );
    assert!(history.violations.is_empty(), "{fault}:\n{}", history.told());
    assert!(!history.bound.is_empty() && history.refused > 0, "binds were raced for");
    assert_eq!(history.acknowledged(), findings.found);
}

/// The longest silence of each replica, in seconds.
fn by_replica(heard: &[Vec<Instant>]) -> String {
    heard.iter().map(|heard| format!("{:.1}", silence(heard).as_secs_f64())).collect::<Vec<_>>().join(" / ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_killed() {
    let mut stage = Stage::set(Postgres::start(100), 3, &[]).await;
    for time in 0..times() * 2 {
        let victim = time % 3;
        stage.replicas[victim].kill();
        stage.load.progress(&[(victim + 1) % 3, (victim + 2) % 3], SOME).await;
        stage.restart(victim);
        stage.goes_on().await;
    }
    stage.judge("a replica is killed (-9)", times() * 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_crashes() {
    let stage = Stage::set(Postgres::start(100), 3, &[]).await;
    for _ in 0..times() * 2 {
        tokio::task::block_in_place(|| {
            stage.postgres.crash();
            stage.postgres.up();
        });
        stage.goes_on().await;
    }
    stage.judge("PostgreSQL restarts at once (immediate)", times() * 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_away() {
    let stage = Stage::set(Postgres::start(100), 2, &[]).await;
    for _ in 0..times() {
        tokio::task::block_in_place(|| stage.postgres.down());
        while_it_lasts().await;
        tokio::task::block_in_place(|| stage.postgres.up());
        stage.goes_on().await;
    }
    stage.judge("PostgreSQL is away for a while", times()).await;
}

async fn network(fault: &str, modes: &[Mode]) {
    let stage = Stage::set(Postgres::start(100), 2, &[]).await;
    for _ in 0..times() {
        for mode in modes {
            stage.proxies[0].set(*mode);
            while_it_lasts().await;
            stage.proxies[0].set(Mode::Pass);
            stage.goes_on().await;
        }
    }
    stage.judge(fault, times() * modes.len()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_drops_connections() {
    network("the network drops every connection", &[Mode::Drop]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_is_slow() {
    network("the network delays (100 ms), then trickles", &[Mode::Delay(Duration::from_millis(100)), Mode::Trickle])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_is_silent() {
    network("the network is a black hole", &[Mode::Blackhole]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_breaks_in_commits() {
    network("connections are reset in mid-COMMIT, before and after", &[Mode::LoseReply, Mode::LoseCommit]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_stopped() {
    let stage = Stage::set(Postgres::start(100), 3, &[]).await;
    for _ in 0..times() {
        stage.replicas[0].freeze();
        while_it_lasts().await;
        stage.load.progress(&[1, 2], SOME).await;
        stage.replicas[0].thaw();
        stage.goes_on().await;
    }
    stage.judge("a replica is stopped (SIGSTOP)", times()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_stopped_while_it_holds_the_lock() {
    let stage = Stage::set(Postgres::start(100), 3, &[]).await;
    for _ in 0..times() {
        stage.proxies[0].set(Mode::CatchCommit);
        stage.proxies[0].caught().await;
        stage.replicas[0].freeze();
        // The server frees the lock, and the others go on while it stays stopped.
        stage.load.progress(&[1, 2], SOME).await;
        while_it_lasts().await;
        stage.proxies[0].set(Mode::Pass);
        stage.replicas[0].thaw();
        stage.goes_on().await;
    }
    stage.judge("a replica is stopped while it holds the lock", times()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_run_out() {
    let stage = Stage::set(Postgres::start(24), 2, &["--database-max-connections=4"]).await;
    for _ in 0..times() {
        let mut taken = Vec::new();
        // All that the replicas do not hold, and those that they lose from now on.
        while let Ok(connection) = PgConnection::connect(&stage.postgres.url()).await {
            taken.push(connection);
        }
        while_it_lasts().await;
        drop(taken);
        stage.goes_on().await;
    }
    stage.judge("connections run out", times()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_are_slow() {
    let stage = Stage::set(Postgres::start(100), 2, &["--database-max-connections=2"]).await;
    for _ in 0..times() * 3 {
        let mut blocking = PgConnection::connect(&stage.postgres.url()).await.expect("a connection");
        let locked = "BEGIN; LOCK TABLE object IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(2.5); COMMIT";
        blocking.execute(locked).await.expect("the table can be locked");
        stage.goes_on().await;
    }
    stage.judge("queries hang on a locked table", times() * 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_jumps() {
    let Some(clock) = Clock::find() else {
        println!("a clock jumps: not run, since libfaketime is not installed");
        return;
    };
    let stage = Stage::set_with(Postgres::start(100), 2, &[], Some(clock)).await;
    for _ in 0..times() {
        for offset in ["-3d", "+2h", "+400d", "+0"] {
            stage.clock.iter().for_each(|clock| clock.set(offset));
            stage.goes_on().await;
        }
    }
    stage.judge("a replica's clock jumps", times() * 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_is_full() {
    let Some(postgres) = Postgres::start_on_small_disk(256) else {
        println!("the disk is full: not run, since this user may not mount a small file system");
        return;
    };
    let stage = Stage::set(postgres, 2, &[]).await;
    for _ in 0..times() {
        stage.postgres.fill_disk();
        while_it_lasts().await;
        stage.postgres.empty_disk();
        if !stage.postgres.is_up() {
            tokio::task::block_in_place(|| stage.postgres.up());
        }
        stage.goes_on().await;
    }
    stage.judge("the database's disk is full", times()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_comes_back() {
    let stage = Stage::set(Postgres::start(100), 2, &[]).await;
    tokio::task::block_in_place(|| {
        stage.postgres.down();
        stage.postgres.keep_copy();
        stage.postgres.up();
    });
    stage.goes_on().await;
    tokio::task::block_in_place(|| {
        stage.postgres.down();
        stage.postgres.put_copy_back();
    });
    // Writes acknowledged since the copy are lost. From here on every rule must hold again.
    stage.load.history_may_be_lost();
    tokio::task::block_in_place(|| stage.postgres.up());
    stage.goes_on().await;
    stage.judge("an older copy of the data comes back", 1).await;
}

/// The server behind the address changes: neither new nor old processes ever read from a standby.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_leads_to_a_standby() {
    let postgres = Postgres::start(20);
    let options = Options { acquire_timeout: Duration::from_secs(1), ..Options::default() };
    let store = open(&postgres.url(), &options).await.expect("the database is there");
    store.migrate().await.expect("it migrates");
    store.clusters().await.expect("the primary is read");
    postgres.down();
    postgres.demote();
    postgres.up();
    let error = open(&postgres.url(), &options).await.expect_err("a standby is turned away").to_string();
    let address = postgres.address();
    let expected = "a standby, which takes no writes and may be behind: the primary's address is needed";
    assert_eq!(error, format!("PostgreSQL at {address} is {expected}"));
    let read = store.changes("default", &Cursor::default(), 10).await;
    assert!(matches!(read, Err(StoreError::Busy(_) | StoreError::Unavailable(_))), "{read:?}");
    postgres.promote();
    open(&postgres.url(), &options).await.expect("the new primary is there").close().await;
    store.clusters().await.expect("nothing has to be restarted");
    store.close().await;
}
