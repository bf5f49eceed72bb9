//! PgBouncer in between: session mode does, transaction mode is refused. Not run where it is not installed.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use podberth::store::{self, Options, StoreError};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::build::{created, one, pod, put};
use crate::database::{Database, Engine, with_database};

/// The documented configuration.
const DOCUMENTED: &str = include_str!("../../deploy/pgbouncer/pgbouncer.ini");

/// A PgBouncer with the documented configuration but for its mode, before a test's database.
struct Pooler {
    url: String,
    process: Child,
    _directory: TempDir,
}

impl Pooler {
    /// `None` where it is not installed.
    async fn start(database: &Database, mode: &str) -> Option<Self> {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|path| Path::new(path).exists());
        let Some(program) = program else {
            println!("not run, since PgBouncer is not installed");
            return None;
        };
        let (server, name) = database.url.strip_prefix("postgres://")?.rsplit_once('/')?;
        let (user, server) = server.rsplit_once('@')?;
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        let (host, port) = server.split_once(':')?;
        let directory = tempfile::tempdir().unwrap();
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = directory.path().join("pgbouncer.ini");
        let database = format!("{name} = host={host} port={port} user={user} password={password}");
        let mut text = DOCUMENTED.to_owned();
        for (line, by) in [
            ("podberth = host=10.0.0.31 port=5432 dbname=podberth", database),
            ("listen_addr = 10.0.0.41", "listen_addr = 127.0.0.1\nunix_socket_dir =".to_owned()),
            ("listen_port = 6432", format!("listen_port = {listen}")),
            ("auth_type = scram-sha-256\nauth_file = /etc/pgbouncer/userlist.txt", "auth_type = any".to_owned()),
            ("pool_mode = session", format!("pool_mode = {mode}")),
        ] {
            assert!(text.contains(line), "deploy/pgbouncer/pgbouncer.ini has no {line:?}");
            text = text.replace(line, &by);
        }
        std::fs::write(&settings, text).unwrap();
        let mut command = Command::new(program);
        // It does not run as root.
        if Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n") {
            let owner = "nobody";
            assert!(Command::new("chown").args(["-R", owner]).arg(directory.path()).status().unwrap().success());
            command.args(["-u", owner]);
        }
        let process = command.arg(&settings).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let url = format!("postgres://{user}:x@127.0.0.1:{listen}/{name}");
        let listens = async {
            while TcpStream::connect(("127.0.0.1", listen)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), listens).await.expect("PgBouncer listens");
        Some(Self { url, process, _directory: directory })
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_in_session_mode_does() {
    with_database(Engine::Postgres, async |database: Database| {
        let Some(pooler) = Pooler::start(&database, "session").await else { return };
        let store = store::open(&pooler.url, &Options::default()).await.unwrap();
        store.migrate().await.unwrap();
        let mut hints = store.hints();
        assert_eq!(one(&*store, put(pod("a"), "1")).await, created(1));
        hints.next().await.unwrap();
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_in_transaction_mode_is_refused() {
    with_database(Engine::Postgres, async |database: Database| {
        for mode in ["transaction", "statement"] {
            let Some(pooler) = Pooler::start(&database, mode).await else { return };
            let error = store::open(&pooler.url, &Options::default()).await.unwrap_err();
            let expected = "session mode is needed (PgBouncer: pool_mode = session)";
            assert!(matches!(&error, StoreError::Denied(why) if why.contains(expected)), "{mode}: {error:?}");
        }
    })
    .await;
}
