//! Databases for tests: each test has its own, gone when the test is over, however it ends.

use std::panic::resume_unwind;
use std::sync::Arc;

use podberth::store::{self, Options, Storage};
use podberth_testkit::memory::{Memory, Numbering};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// Which database to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    SqliteFile,
    SqliteMemory,
    Postgres,
    /// The fake, which any number of processes share as they do PostgreSQL.
    Memory,
}

/// An empty database of one test's own.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) url: String,
    directory: Option<Arc<tempfile::TempDir>>,
    pub(crate) memory: Option<Arc<Memory>>,
}

impl Database {
    /// Opens it, not migrated.
    pub(crate) async fn open(&self) -> Arc<dyn Storage> {
        self.open_with(&Options::default()).await
    }

    async fn open_with(&self, options: &Options) -> Arc<dyn Storage> {
        if let Some(memory) = &self.memory {
            return Arc::new(memory.handle().keeping(options.history));
        }
        store::open(&self.url, options).await.expect("the database opens")
    }

    /// Opens and migrates it.
    pub(crate) async fn store(&self) -> Arc<dyn Storage> {
        self.store_with(Options::default()).await
    }

    /// Opens a store with options.
    pub(crate) async fn store_with(&self, options: Options) -> Arc<dyn Storage> {
        let store = self.open_with(&options).await;
        store.migrate().await.expect("the database migrates");
        store
    }

    /// `true` if several stores can be open on it at once.
    pub(crate) fn is_shared(&self) -> bool {
        self.memory.is_some() || self.url.starts_with("postgres")
    }

    async fn create(engine: Engine) -> Self {
        match engine {
            Engine::SqliteFile => {
                let directory = tempfile::tempdir().expect("a temporary directory");
                let url = format!("sqlite:{}", directory.path().join("test.db").display());
                Self { url, directory: Some(Arc::new(directory)), memory: None }
            }
            Engine::SqliteMemory => Self { url: "sqlite::memory:".into(), directory: None, memory: None },
            Engine::Postgres => {
                let name = format!("test_{}", uuid::Uuid::new_v4().simple());
                admin(&format!("CREATE DATABASE {name}")).await;
                Self { url: postgres_url(&name), directory: None, memory: None }
            }
            Engine::Memory => {
                let memory = Some(Arc::new(Memory::new(Numbering::Counter)));
                Self { url: String::new(), directory: None, memory }
            }
        }
    }

    async fn drop(self) {
        if self.url.starts_with("postgres")
            && let Some((_, name)) = self.url.rsplit_once('/')
        {
            admin(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
        drop(self.directory);
    }
}

/// Runs a test with a database of its own.
pub(crate) async fn with_database<F>(engine: Engine, test: impl FnOnce(Database) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let database = Database::create(engine).await;
    let result = tokio::spawn(test(database.clone())).await;
    database.drop().await;
    if let Err(error) = result {
        resume_unwind(error.into_panic());
    }
}

/// The URL of another database on the test server.
pub(crate) fn postgres_url(name: &str) -> String {
    let admin = admin_url();
    let (server, _) = admin.rsplit_once('/').expect("the admin URL names a database");
    format!("{server}/{name}")
}

/// Executes a statement on the test server.
pub(crate) async fn admin(sql: &str) {
    execute(&admin_url(), sql).await;
}

/// Executes a statement on a PostgreSQL database.
pub(crate) async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.expect("the test server answers");
    connection.execute(AssertSqlSafe(sql.to_owned())).await.expect("the statement is right");
    connection.close().await.expect("the connection closes");
}

fn admin_url() -> String {
    std::env::var("PODBERTH_TEST_POSTGRES_URL").expect(
        "PODBERTH_TEST_POSTGRES_URL is not set: run the tests with scripts/test, which starts a private PostgreSQL",
    )
}
