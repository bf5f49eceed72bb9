//! A connection lost in the middle of COMMIT: the outcome is reported correctly, or as unknown.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use podberth::store::{self, Atomicity, Options, Storage, StoreError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::build::{CLUSTER, created, delete, deleted, each, pod, put};
use crate::database::{Database, Engine, with_database};

/// The proxy's treatment of the next COMMIT of a write transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Passes it on, and cuts the connection instead of returning the reply.
    LosesTheReply,
    /// Cuts the connection before the server hears of it.
    LosesTheCommit,
    /// Passes it on, and cuts every connection from then on.
    GoesAway,
}

/// Between the store and the server: passes everything on, until a COMMIT comes while it is armed.
#[derive(Debug)]
struct Proxy {
    server: String,
    fault: Fault,
    /// 1: strikes at the next COMMIT; 0: has struck.
    armed: AtomicUsize,
}

impl Proxy {
    /// Returns the proxy and the database's URL through it.
    async fn start(url: &str, fault: Fault) -> (Arc<Self>, String) {
        let (credentials, rest) = url.rsplit_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{credentials}@{}/{database}", listener.local_addr().unwrap());
        let proxy = Arc::new(Self { server: server.to_owned(), fault, armed: AtomicUsize::new(usize::MAX) });
        let accepting = Arc::clone(&proxy);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if accepting.is_away() {
                    continue;
                }
                tokio::spawn(Arc::clone(&accepting).pass(client));
            }
        });
        (proxy, url)
    }

    async fn pass(self: Arc<Self>, mut client: TcpStream) -> std::io::Result<()> {
        let mut server = TcpStream::connect(&self.server).await?;
        let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
        loop {
            tokio::select! {
                n = client.read(&mut up) => {
                    let message = &up[..n?];
                    if message.is_empty() || self.is_away() {
                        return Ok(());
                    }
                    let strikes = message == b"Q\0\0\0\x0bCOMMIT\0"
                        && self.armed.compare_exchange(1, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok();
                    if strikes && self.fault == Fault::LosesTheCommit {
                        return Ok(());
                    }
                    server.write_all(message).await?;
                    if strikes {
                        return server.read(&mut down).await.map(drop);
                    }
                }
                n = server.read(&mut down) => {
                    let message = &down[..n?];
                    if message.is_empty() {
                        return Ok(());
                    }
                    client.write_all(message).await?;
                }
            }
        }
    }

    fn is_away(&self) -> bool {
        self.fault == Fault::GoesAway && self.armed.load(Ordering::SeqCst) == 0
    }

    fn strike_next_commit(&self) {
        self.armed.store(1, Ordering::SeqCst);
    }
}

async fn behind(database: &Database, fault: Fault) -> (Arc<Proxy>, Arc<dyn Storage>) {
    database.store().await.close().await;
    let (proxy, url) = Proxy::start(&database.url, fault).await;
    let options = Options { acquire_timeout: Duration::from_secs(1), ..Options::default() };
    (proxy, store::open(&url, &options).await.unwrap())
}

/// In both cases the batch is written exactly once and its own outcomes are returned. A blind retry of the create and delete below would take two
/// more revisions; a blind failure would be wrong in one of the cases.
async fn is_written_once(database: Database, fault: Fault) {
    let (proxy, store) = behind(&database, fault).await;
    each(&*store, vec![put(pod("a"), "1")]).await;
    proxy.strike_next_commit();
    let commit = each(&*store, vec![put(pod("b"), "1"), delete(pod("a"))]).await;
    assert_eq!(proxy.armed.load(Ordering::SeqCst), 0, "the fault happened");
    assert_eq!((commit.revision, commit.outcomes), (3, vec![created(2), deleted(3)]));
    assert_eq!(each(&*store, vec![put(pod("c"), "1")]).await.outcomes, [created(4)]);
}

#[tokio::test]
async fn a_lost_reply() {
    with_database(Engine::Postgres, async |database: Database| is_written_once(database, Fault::LosesTheReply).await)
        .await;
}

#[tokio::test]
async fn a_lost_commit() {
    with_database(Engine::Postgres, async |database: Database| is_written_once(database, Fault::LosesTheCommit).await)
        .await;
}

#[tokio::test]
async fn a_commit_without_a_reply_has_an_unknown_outcome() {
    with_database(Engine::Postgres, async |database: Database| {
        let (proxy, store) = behind(&database, Fault::GoesAway).await;
        each(&*store, vec![put(pod("a"), "1")]).await;
        proxy.strike_next_commit();
        let result = store.commit(CLUSTER, vec![put(pod("b"), "1")], Atomicity::Each).await;
        assert!(matches!(result, Err(StoreError::OutcomeUnknown(_))), "{result:?}");
    })
    .await;
}

/// A restart of the server, as its pooled connections see it: all are cut, and the next calls find new ones.
#[tokio::test]
async fn connections_that_were_cut() {
    with_database(Engine::Postgres, async |database: Database| {
        let store = database.store().await;
        each(&*store, vec![put(pod("a"), "1")]).await;
        let (_, name) = database.url.rsplit_once('/').unwrap();
        crate::database::admin(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        ))
        .await;
        assert_eq!(each(&*store, vec![put(pod("b"), "1")]).await.outcomes, [created(2)]);
        assert!(store.get(CLUSTER, &pod("b")).await.unwrap().is_some());
    })
    .await;
}

/// A process that has stopped while it holds the counter is put out by the server, so that others can write.
#[tokio::test]
async fn a_stopped_writer_releases_the_counter() {
    use sqlx::{Connection, Executor, PgConnection};
    with_database(Engine::Postgres, async |database: Database| {
        let store = database.store().await;
        each(&*store, vec![put(pod("a"), "1")]).await;
        let mut stopped = PgConnection::connect(&database.url).await.unwrap();
        stopped
            .execute("SET idle_in_transaction_session_timeout = '500ms'; BEGIN; UPDATE cluster SET rev = 7")
            .await
            .unwrap();
        assert_eq!(each(&*store, vec![put(pod("b"), "1")]).await.outcomes, [created(2)]);
    })
    .await;
}
