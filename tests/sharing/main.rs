//! Replicas that share clusters (`--share-clusters`), as processes on PostgreSQL: a request at any of them is answered as at an owner, also while owners are
//! killed or hang. Run it with `scripts/test --test sharing`.

#[path = "../support/database.rs"]
#[allow(dead_code, reason = "other engines are for other suites")]
mod database;
#[path = "../faults/replica.rs"]
#[allow(dead_code, reason = "clocks and files are for the faults")]
mod replica;

mod access;
mod client;
mod loss;
mod proxies;
mod routing;

use std::{collections::BTreeSet, net::TcpListener, time::Duration};

use client::{Client, PATIENCE};
use database::Database;
use podberth::service::replicas::members::{Members, Replica as Member};
use replica::Replica;
use serde_json::{Value, json};
use tokio::{
    task::block_in_place,
    time::{Instant, sleep},
};

/// Time within which the clusters of a lost replica are answered for again.
const AGAIN_WITHIN: Duration = Duration::from_secs(5);

/// Replicas of a database.
struct Fleet {
    replicas: Vec<Replica>,
    /// Where the replicas reach each other; `None` for one that owns nothing.
    urls: Vec<Option<String>>,
    client: Client,
    database: String,
    /// Sent by those who ask for metrics.
    header: (&'static str, &'static str),
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

impl Fleet {
    /// So many owners, with further settings, that see each other.
    async fn start(database: &Database, owners: usize, arguments: &[&str]) -> Self {
        Self::start_for(database, owners, arguments, ("accept", "*/*")).await
    }

    /// Like [`Self::start`], where metrics are shown to those who send a header.
    async fn start_for(
        database: &Database,
        owners: usize,
        arguments: &[&str],
        header: (&'static str, &'static str),
    ) -> Self {
        let (client, database) = (Client::new(), database.url.clone());
        let mut fleet = Self { replicas: Vec::new(), urls: Vec::new(), client, database, header };
        for _ in 0..owners {
            fleet.add(arguments);
        }
        fleet.agrees().await;
        fleet
    }

    /// So many replicas that share nothing.
    fn start_alone(database: &Database, replicas: usize) -> Self {
        let (client, database) = (Client::new(), database.url.clone());
        let mut fleet = Self { replicas: Vec::new(), urls: Vec::new(), client, database, header: ("accept", "*/*") };
        for _ in 0..replicas {
            fleet.launch(None, &[]);
        }
        fleet
    }

    /// Starts a further owner; its number.
    fn add(&mut self, arguments: &[&str]) -> usize {
        let port = free_port();
        let listen = format!("--replica-listen=127.0.0.1:{port}");
        self.launch(Some(format!("https://127.0.0.1:{port}")), &[&["--share-clusters", &listen], arguments].concat())
    }

    /// Starts a replica that owns nothing; its number.
    fn add_without_clusters(&mut self, arguments: &[&str]) -> usize {
        self.launch(None, &[&["--share-clusters", "--own-clusters=false"], arguments].concat())
    }

    fn launch(&mut self, url: Option<String>, arguments: &[&str]) -> usize {
        self.replicas.push(block_in_place(|| Replica::start(&self.database, arguments, None)));
        self.urls.push(url);
        self.replicas.len() - 1
    }

    /// Waits until all see each other.
    async fn agrees(&self) {
        let all: Vec<usize> = (0..self.replicas.len()).collect();
        self.agree(&all, self.replicas.len()).await;
    }

    /// Waits until some of them see so many.
    async fn agree(&self, some: &[usize], count: usize) {
        let start = Instant::now();
        for at in some {
            while self.metric(*at, "podberth_replicas").await as usize != count {
                assert!(start.elapsed() < PATIENCE, "{}", self.replicas[*at].log());
                sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Waits until some of them reply alike to a GET; the reply.
    async fn alike(&self, some: &[usize], path: &str) -> Value {
        let start = Instant::now();
        loop {
            let mut replies = Vec::new();
            for at in some {
                replies.push(self.client.get(&self.at(*at, path)).await.is(200));
            }
            if replies.windows(2).all(|pair| pair[0] == pair[1]) {
                return replies.swap_remove(0);
            }
            assert!(start.elapsed() < PATIENCE, "{replies:?}");
        }
    }

    fn at(&self, replica: usize, path: &str) -> String {
        format!("http://{}{path}", self.replicas[replica].address())
    }

    /// The value of a metric, all labels together.
    async fn metric(&self, replica: usize, name: &str) -> f64 {
        let url = self.at(replica, "/metrics");
        let text = self.client.ask("GET", &url, &[self.header], &Value::Null).await.expect("a reply").text;
        let value = |line: &str| {
            let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
            rest.rsplit_once(' ')?.1.parse::<f64>().ok()
        };
        text.lines().filter_map(value).sum()
    }

    /// The numbers of the owners of a cluster, the first one first.
    fn owners(&self, cluster: &str) -> Vec<usize> {
        let mut members = Members::default();
        let member = |url: &Option<String>| Member { pin: [0; 32], url: url.as_deref().map(Into::into) };
        members.look(Duration::ZERO, self.urls.iter().map(member));
        let number = |owner| self.urls.iter().position(|url| url.as_deref() == Some(owner));
        members.owners(cluster).iter().filter_map(|owner| number(&**owner)).collect()
    }

    /// A cluster that a replica owns, or not.
    fn cluster_of(&self, replica: usize, is_owner: bool) -> String {
        let mut names = (0..).map(|number| format!("tenant-{number}"));
        names.find(|name| self.owners(name).contains(&replica) == is_owner).expect("there is one")
    }

    /// Waits until the replicas that have a cluster in memory are `expected` in number, all clusters together.
    async fn holds(&self, some: &[usize], expected: usize) {
        let start = Instant::now();
        loop {
            let mut held = 0;
            for at in some {
                held += self.metric(*at, "podberth_clusters_live").await as usize;
            }
            if held == expected {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{held} clusters are in memory, not {expected}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

fn node(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}})
}

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}})
}

/// The names of a list's objects.
fn names(list: &Value) -> BTreeSet<&str> {
    list["items"].as_array().into_iter().flatten().filter_map(|item| item["metadata"]["name"].as_str()).collect()
}
