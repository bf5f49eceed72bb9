//! Databases that are damaged or closed to us: one clear line, and nothing lost.

use std::time::Duration;

use podberth::store::{self, Atomicity, ListQuery, Options, Storage, StoreError};

use crate::build::{CLUSTER, created, each, one, pod, put};
use crate::database::{Database, Engine, admin, execute, with_database};

fn line(error: &StoreError) -> String {
    let line = error.to_string();
    assert!(!line.is_empty() && !line.contains('\n') && !line.contains("secret"), "{line}");
    line
}

#[tokio::test]
async fn a_corrupt_file() {
    with_database(Engine::SqliteFile, async |database: Database| {
        let store = database.store().await;
        let body = "x".repeat(3_000);
        each(&*store, (0..200).map(|i| put(pod(&i.to_string()), &body)).collect()).await;
        store.close().await;
        let path = database.url.strip_prefix("sqlite:").unwrap();
        let mut bytes = std::fs::read(path).unwrap();
        // All but the first pages, which hold the schema.
        bytes[30 * 4096..].fill(0xA5);
        std::fs::write(path, bytes).unwrap();
        let store = database.open().await;
        let list = store.list(CLUSTER, &ListQuery::all("pods")).await;
        let Err(error @ StoreError::Corrupt(_)) = &list else { panic!("{list:?}") };
        assert!(line(error).contains("malformed"), "{error}");
    })
    .await;
}

/// A role of the test server that may do no more than connect.
struct Role {
    name: String,
    url: String,
}

impl Role {
    async fn create(database: &Database, options: &str) -> Self {
        let name = format!("role_{}", uuid::Uuid::new_v4().simple());
        admin(&format!("CREATE ROLE {name} LOGIN PASSWORD 'secret' {options}")).await;
        let (_, server) = database.url.rsplit_once('@').unwrap();
        let url = format!("postgres://{name}:secret@{server}");
        Self { name, url }
    }

    async fn open(&self) -> Result<std::sync::Arc<dyn Storage>, StoreError> {
        let options = Options { acquire_timeout: Duration::from_secs(2), ..Options::default() };
        store::open(&self.url, &options).await
    }

    async fn drop(self, database: &Database) {
        execute(&database.url, &format!("DROP OWNED BY {0}; DROP ROLE {0}", self.name)).await;
    }
}

#[tokio::test]
async fn too_many_connections() {
    with_database(Engine::Postgres, async |database: Database| {
        let role = Role::create(&database, "CONNECTION LIMIT 0").await;
        let error = role.open().await.expect_err("it may not connect");
        assert!(matches!(error, StoreError::Unavailable(_)), "it may later: {error:?}");
        assert!(line(&error).contains("too many connections"), "{error}");
        role.drop(&database).await;
    })
    .await;
}

/// A process with `--no-migrate`, after a role with more rights has updated its schema.
#[tokio::test]
async fn a_role_that_may_not_migrate() {
    with_database(Engine::Postgres, async |database: Database| {
        let role = Role::create(&database, "").await;
        let store = role.open().await.expect("it may connect");
        let error = store.migrate().await.expect_err("it may not create tables");
        assert!(matches!(error, StoreError::Denied(_)), "{error:?}");
        assert!(line(&error).contains("permission denied for schema public"), "{error}");
        assert_eq!(store.head(CLUSTER).await, Err(StoreError::NotMigrated));

        database.store().await.close().await;
        let denied = store.head(CLUSTER).await;
        assert!(matches!(&denied, Err(StoreError::Denied(why)) if why.contains("permission denied")), "{denied:?}");
        let grant = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}", role.name);
        execute(&database.url, &grant).await;
        assert!(store.migration_status().await.unwrap().is_current());
        store.migrate().await.expect("there is nothing to do");
        assert_eq!(one(&*store, put(pod("a"), "1")).await, created(1));
        store.close().await;
        role.drop(&database).await;
    })
    .await;
}

/// A server that takes no writes, such as a standby: it can be read, and written to once it is promoted.
#[tokio::test]
async fn a_server_that_takes_no_writes() {
    with_database(Engine::Postgres, async |database: Database| {
        let store = database.store().await;
        one(&*store, put(pod("a"), "1")).await;
        store.close().await;
        let (_, name) = database.url.rsplit_once('/').unwrap();
        let read_only = |on| format!("ALTER DATABASE {name} SET default_transaction_read_only = {on}");
        admin(&read_only("on")).await;
        let store = database.open().await;
        let write = store.commit(CLUSTER, vec![put(pod("b"), "1")], Atomicity::Each).await;
        let Err(error @ StoreError::Unavailable(_)) = &write else { panic!("{write:?}") };
        assert!(line(error).contains("read-only transaction"), "{error}");
        assert!(store.get(CLUSTER, &pod("a")).await.unwrap().is_some());
        store.close().await;
        admin(&read_only("off")).await;
        assert_eq!(one(&*database.open().await, put(pod("b"), "1")).await, created(2));
    })
    .await;
}
