//! Shared by the parts: the database, the server on it, and the large cluster in it.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use axum::http::Method;
use bytes::Bytes;
use serde::Deserialize;

use super::{Options, client::Client, server::Server};
use podberth_testkit::json;

/// Nodes of one import: about 14 MB.
const NODES_AT_ONCE: usize = 1_000;
/// Pods of one import: about 18 MB.
const PODS_AT_ONCE: usize = 5_000;

/// Everything that outlives a part. A server goes before the database that it uses.
#[derive(Debug)]
pub(super) struct Fixture<'o> {
    server: Option<Server>,
    client: Client,
    binary: PathBuf,
    database: Database,
    options: &'o Options,
    /// `true` if the database was checked and had no objects.
    was_empty: bool,
    filled: Option<Filling>,
}

/// How the large cluster came into the database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filling {
    pub(super) took: Duration,
    pub(super) bytes: usize,
}

#[derive(Debug)]
enum Database {
    Given(String),
    Temporary(Folder),
}

/// A folder that is gone in the end.
#[derive(Debug)]
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Database {
    fn url(&self) -> String {
        match self {
            Self::Given(url) => url.clone(),
            Self::Temporary(folder) => format!("sqlite:{}", folder.0.join("bench.db").display()),
        }
    }
}

#[derive(Deserialize)]
struct ClusterList {
    items: Vec<serde_json::Value>,
}

impl<'o> Fixture<'o> {
    pub(super) fn new(options: &'o Options) -> Result<Self, String> {
        let database = if let Some(url) = &options.database_url {
            Database::Given(url.clone())
        } else {
            Database::Temporary(Folder::new("podberth-bench")?)
        };
        let binary = match &options.binary {
            Some(binary) => binary.clone(),
            None => std::env::current_exe()
                .map_err(|error| format!("where is this binary? {error}"))?
                .with_file_name("podberth"),
        };
        Ok(Self { server: None, client: Client::new(), binary, database, options, was_empty: false, filled: None })
    }

    /// The kind of the database.
    pub(super) fn engine(&self) -> &'static str {
        if self.is_shared() { "PostgreSQL" } else { "SQLite" }
    }

    /// `true` if several processes can use the database.
    pub(super) fn is_shared(&self) -> bool {
        self.database.url().starts_with("postgres")
    }

    pub(super) fn url(&self) -> String {
        self.database.url()
    }

    /// Live clusters, and the nodes and pods of each.
    pub(super) fn many(&self) -> (usize, usize, usize) {
        let Options { clusters, cluster_nodes, cluster_pods, .. } = self.options;
        (*clusters, *cluster_nodes as usize, *cluster_pods as usize)
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Nodes of the large cluster.
    pub(super) fn nodes(&self) -> usize {
        self.options.nodes
    }

    /// Pods that run in the large cluster.
    pub(super) fn pods(&self) -> usize {
        self.options.pods
    }

    pub(super) fn pods_per_node(&self) -> usize {
        (self.options.pods / self.options.nodes).max(1)
    }

    /// How long the mixed load lasts.
    pub(super) fn seconds(&self) -> u64 {
        self.options.seconds
    }

    /// Changes in a second of the objects that are watched.
    pub(super) fn changes(&self) -> usize {
        self.options.changes as usize
    }

    /// Watches of all objects.
    pub(super) fn watches_of_all(&self) -> usize {
        self.options.watches_of_all
    }

    /// A server of its own on the database.
    pub(super) async fn another_server(&self) -> Result<Server, String> {
        Server::start(&self.binary, &self.database.url(), &self.options.server, &self.client).await
    }

    /// A server over a database in memory, which listens and may not be ready yet.
    pub(super) async fn server_apart(&self, settings: &[String]) -> Result<Server, String> {
        Server::listening(&self.binary, "sqlite::memory:", settings).await
    }

    /// A server with one more setting, in place of the other one.
    pub(super) async fn server_with(&mut self, setting: &str) -> Result<Server, String> {
        self.end().await?;
        let settings: Vec<String> = self.options.server.iter().cloned().chain([setting.to_owned()]).collect();
        Server::start(&self.binary, &self.database.url(), &settings, &self.client).await
    }

    /// The server, started where none runs.
    pub(super) async fn server(&mut self) -> Result<&Server, String> {
        if self.server.as_mut().is_some_and(|server| !server.lives()) {
            self.server = None;
        }
        let server = match self.server.take() {
            Some(server) => server,
            None => self.another_server().await?,
        };
        if !self.was_empty {
            let reply = self.client.send(Method::GET, &format!("{}/clusters", server.url), None, "").await?;
            let list: ClusterList = serde_json::from_slice(&reply.body).map_err(|error| error.to_string())?;
            if !list.items.is_empty() {
                return Err("the database is not empty: give one that may be filled".into());
            }
            self.was_empty = true;
        }
        Ok(self.server.insert(server))
    }

    /// The server, restarted: it has in memory only data from the database.
    pub(super) async fn fresh_server(&mut self) -> Result<&Server, String> {
        if let Some(server) = self.server.take() {
            server.stop().await?;
        }
        self.server().await
    }

    /// The server, with the large cluster in it.
    pub(super) async fn large(&mut self) -> Result<&Server, String> {
        if self.filled.is_none() {
            let url = self.server().await?.url.clone();
            self.filled = Some(self.fill(&url).await?);
            // A fresh server: memory left over from the import is not measured.
            return self.fresh_server().await;
        }
        self.server().await
    }

    /// The import of the large cluster, once it is done.
    pub(super) fn filling(&self) -> Option<Filling> {
        self.filled
    }

    async fn fill(&self, url: &str) -> Result<Filling, String> {
        let (begun, url) = (Instant::now(), format!("{url}/import"));
        let mut bytes = 0;
        for nodes in json::nodes(self.nodes()).chunks(NODES_AT_ONCE) {
            bytes += import(&self.client, &url, nodes).await?;
        }
        let numbers: Vec<usize> = (0..self.pods()).collect();
        for numbers in numbers.chunks(PODS_AT_ONCE) {
            let running = |i: &usize| json::running(*i, self.nodes(), self.pods_per_node());
            bytes += import(&self.client, &url, &numbers.iter().map(running).collect::<Vec<_>>()).await?;
        }
        Ok(Filling { took: begun.elapsed(), bytes })
    }

    /// Stores pods of a shape that wait, in the default cluster.
    pub(super) async fn add_waiting(&mut self, shape: &json::Shape, count: usize) -> Result<(), String> {
        let url = format!("{}/import", self.large().await?.url);
        let pods: Vec<String> = (0..count).map(|i| shape.pod(i, None)).collect();
        for pods in pods.chunks(PODS_AT_ONCE) {
            import(&self.client, &url, pods).await?;
        }
        Ok(())
    }

    /// Leaves the server behind.
    pub(super) fn abandon(&mut self) {
        self.server = None;
    }

    /// Stops the server as it should be.
    pub(super) async fn end(&mut self) -> Result<(), String> {
        match self.server.take() {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }
}

/// Stores objects; answers how many bytes they are.
pub(super) async fn import(client: &Client, url: &str, objects: &[String]) -> Result<usize, String> {
    let body = Bytes::from(json::list(objects));
    let bytes = body.len();
    client.post(url, body).await?;
    Ok(bytes)
}
