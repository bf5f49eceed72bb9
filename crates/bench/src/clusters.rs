//! Many clusters in one process: what they cost at rest, and what a write to one costs beside the others.

use std::{
    fs,
    time::{Duration, Instant},
};

use axum::http::Method;
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use super::{
    client::Client,
    fixture::{Fixture, import},
    report::{Report, number},
    server::{Server, cpu_of},
    times::Times,
};
use podberth_testkit::json::{self, Shape};

/// How long the clusters are left alone before and while they are measured at rest.
const CALM: Duration = Duration::from_secs(10);
const REST: Duration = Duration::from_secs(30);

/// Writes of one caller, one after the other.
const WRITES: usize = 300;

/// Objects of one import.
const AT_ONCE: usize = 10_000;

/// Statements that read a feed.
const FEED: &str = "%o.rev > $4 ORDER BY o.rev%";

fn name(i: usize) -> String {
    format!("many-{i:04}")
}

pub(super) async fn measure(fixture: &mut Fixture<'_>, report: &mut Report) -> Result<(), String> {
    let (count, nodes, pods) = fixture.many();
    let objects = count * (nodes + pods);
    let client = fixture.client();
    let url = fixture.server().await?.url.clone();
    for i in 0..count {
        fill(&client, &format!("{url}/clusters/{}/import", name(i)), nodes, pods).await?;
    }
    let mut database = Database::open(fixture).await;
    let server = fixture.fresh_server().await?;

    // One live cluster.
    ask(&client, server, &name(0)).await?;
    let before = server.resident();
    let alone = writes(&client, server).await?;

    // All of them.
    let begun = Instant::now();
    for i in 0..count {
        ask(&client, server, &name(i)).await?;
    }
    let loaded = begun.elapsed();
    sleep(CALM).await;
    let memory = server.resident().zip(before).map(|(after, before)| (after - before) * 1e6 / objects as f64);
    let rest = Rest::of(server, &mut database).await;
    let feeds = database.feeds().await;
    let beside = writes(&client, server).await?;
    let feeds = database.feeds().await.zip(feeds).map(|(after, before)| (after - before) / beside.len() as f64);

    let what = format!("{count} live clusters of {nodes} nodes and {pods} pods");
    let note = format!("loaded in {} s", number(loaded.as_secs_f64()));
    let mut add = |figure: &str, told: &str, value: Option<f64>, unit: &'static str, note: &str| {
        if let Some(value) = value {
            report.add(format!("clusters/{figure}"), format!("{what}: {told}"), (value, unit), note.to_owned());
        }
    };
    add("memory", "memory of an object", memory, "B", &note);
    add("idle-statements", "at rest", rest.statements, "statements a second", database.counts());
    add("idle-cpu", "at rest, CPU of the process", rest.process, "% of a core", "");
    add("idle-database-cpu", "at rest, CPU of PostgreSQL", rest.database, "% of a core", "");
    add("feed-reads", "feeds read for a write to one", feeds, "reads", "");
    let ratio = beside.percentile(50) / alone.percentile(50);
    let note =
        format!("{} ms, and {} ms with one live cluster", number(beside.percentile(50)), number(alone.percentile(50)));
    add("write-p50", "p50 of a write to one, against that with one live cluster", Some(ratio), "×", &note);
    fixture.end().await
}

/// Stores a cluster of small objects.
pub(super) async fn fill(client: &Client, url: &str, nodes: usize, pods: usize) -> Result<(), String> {
    let shape = Shape { filled: false, ..json::waiting("pod", "") };
    let nodes_of: Vec<String> = (0..nodes).map(node).collect();
    let pods_of: Vec<String> =
        (0..pods).map(|i| shape.pod(i, Some(&podberth_testkit::large::node_name(i % nodes)))).collect();
    for objects in nodes_of.chunks(AT_ONCE).chain(pods_of.chunks(AT_ONCE)) {
        import(client, url, objects).await?;
    }
    Ok(())
}

/// A node without what decisions do not read.
fn node(i: usize) -> String {
    let name = podberth_testkit::large::node_name(i);
    let offer = r#"{"cpu":"32","memory":"128Gi","pods":"110"}"#;
    format!(
        r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"{name}","labels":{{"kubernetes.io/hostname":"{name}"}}}},"status":{{"allocatable":{offer},"capacity":{offer}}}}}"#
    )
}

/// Has the server load a cluster: it decides by what it has in memory.
pub(super) async fn ask(client: &Client, server: &Server, cluster: &str) -> Result<(), String> {
    let pod = r#"{"metadata":{"name":"asked","namespace":"default"},"spec":{"containers":[{"name":"c"}]}}"#;
    let body = format!(r#"{{"Pod":{pod},"NodeNames":[]}}"#);
    client.post(&format!("{}/clusters/{cluster}/filter", server.url), body).await?;
    Ok(())
}

/// Creates pods in one cluster, one after the other.
async fn writes(client: &Client, server: &Server) -> Result<Times, String> {
    let url = format!("{}/clusters/{}/api/v1/namespaces/default/pods", server.url, name(0));
    let stamp = podberth::clock::now().as_microsecond();
    let mut times = Vec::with_capacity(WRITES);
    for i in 0..WRITES {
        let body = format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"w-{stamp}-{i}","namespace":"default"}},"spec":{{"containers":[{{"name":"c","image":"i"}}]}}}}"#
        );
        times.push(client.send(Method::POST, &url, None, body).await?.took);
    }
    Ok(times.into_iter().collect())
}

/// The use of CPU and database while nobody asks for anything.
struct Rest {
    statements: Option<f64>,
    process: Option<f64>,
    database: Option<f64>,
}

impl Rest {
    async fn of(server: &Server, database: &mut Database) -> Self {
        let (statements, process, of_database) = (database.statements().await, server.cpu(), database.cpu());
        let begun = Instant::now();
        sleep(REST).await;
        let seconds = begun.elapsed().as_secs_f64();
        let rate = |after: Option<f64>, before: Option<f64>| after.zip(before).map(|(a, b)| (a - b) / seconds);
        Self {
            process: rate(server.cpu(), process).map(|share| share * 100.0),
            database: rate(database.cpu(), of_database).map(|share| share * 100.0),
            statements: rate(database.statements().await, statements),
        }
    }
}

/// PostgreSQL as it sees itself; nothing of SQLite.
struct Database {
    connection: Option<PgConnection>,
    /// `true` if it counts statements, not transactions alone.
    has_statements: bool,
    /// The process that has all others, where it is on this machine.
    parent: Option<String>,
}

impl Database {
    async fn open(fixture: &Fixture<'_>) -> Self {
        let mut connection = PgConnection::connect(&fixture.url()).await.ok();
        let (mut has_statements, mut parent) = (false, None);
        if let Some(connection) = &mut connection {
            let made = sqlx::query("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").execute(&mut *connection).await;
            let read = sqlx::query("SELECT 1 FROM pg_stat_statements LIMIT 1").execute(&mut *connection).await;
            has_statements = made.is_ok() && read.is_ok();
            let own: Option<i32> = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(connection).await.ok();
            parent = own.and_then(|own| parent_of(&own.to_string()));
        }
        Self { connection, has_statements, parent }
    }

    fn counts(&self) -> &'static str {
        if self.has_statements { "by pg_stat_statements" } else { "transactions: pg_stat_statements is not there" }
    }

    async fn number(&mut self, sql: &'static str) -> Option<f64> {
        let number: Option<i64> = sqlx::query_scalar(sql).fetch_one(self.connection.as_mut()?).await.ok()?;
        number.map(|number| number as f64)
    }

    /// Statements so far, without those of this process.
    async fn statements(&mut self) -> Option<f64> {
        if self.has_statements {
            let calls = "SELECT sum(calls)::bigint FROM pg_stat_statements
                         WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                         AND query NOT LIKE '%pg_stat_%'";
            return self.number(calls).await;
        }
        // The server counts a transaction a moment after its end.
        self.number("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()").await
    }

    /// Feeds read so far.
    async fn feeds(&mut self) -> Option<f64> {
        if !self.has_statements {
            return None;
        }
        let connection = self.connection.as_mut()?;
        let calls = sqlx::query_scalar("SELECT sum(calls)::bigint FROM pg_stat_statements WHERE query LIKE $1");
        // None: the statement has another text by now.
        let calls: Option<i64> = calls.bind(FEED).fetch_one(connection).await.ok()?;
        calls.map(|calls| calls as f64)
    }

    /// CPU time of all its processes, in seconds. The one of a connection that has ended counts no more.
    fn cpu(&self) -> Option<f64> {
        let parent = self.parent.as_ref()?;
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let names = processes.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let own = names.filter(|process| process == parent || parent_of(process).as_ref() == Some(parent));
        Some(own.filter_map(|process| cpu_of(&process)).sum())
    }
}

/// The process that started another.
fn parent_of(process: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(1).map(str::to_owned)
}
