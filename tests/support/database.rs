//! Databases for tests: each test has its own, gone when the test is over, however it ends.

use std::{panic::resume_unwind, pin::Pin, sync::Arc};

use podberth::store::{self, Options, Storage};
use podberth_testkit::memory::{Memory, Numbering};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// The run of a test.
type Boxed<'t> = Pin<Box<dyn Future<Output = ()> + Send + 't>>;

/// Which database to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    SqliteFile,
    SqliteMemory,
    Postgres,
    /// The database of `PODBERTH_TEST_CITUS_URL`, in which Citus knows its servers: each test has a schema of it. Tests are skipped without it.
    Citus,
    /// The fake, which any number of processes share as they do PostgreSQL.
    Memory,
}

/// An empty database of one test's own.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) url: String,
    directory: Option<Arc<tempfile::TempDir>>,
    pub(crate) memory: Option<Arc<Memory>>,
    /// The database's schema that is the test's own, where the database is shared.
    schema: Option<String>,
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
        if self.schema.is_none() {
            return store;
        }
        store.close().await;
        store::distribute(&self.url, &options).await.expect("the tables are spread");
        self.open_with(&options).await
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
                Self { url, directory: Some(Arc::new(directory)), memory: None, schema: None }
            }
            Engine::SqliteMemory => Self { url: "sqlite::memory:".into(), directory: None, memory: None, schema: None },
            Engine::Postgres => {
                let name = format!("test_{}", uuid::Uuid::new_v4().simple());
                admin(&format!("CREATE DATABASE {name}")).await;
                Self { url: postgres_url(&name), directory: None, memory: None, schema: None }
            }
            Engine::Citus => {
                let name = format!("test_{}", uuid::Uuid::new_v4().simple());
                let database = citus_url().expect("PODBERTH_TEST_CITUS_URL is set");
                execute(&database, &format!("CREATE SCHEMA {name}")).await;
                // Few shards: each test makes and drops all of its own.
                let joint = if database.contains('?') { '&' } else { '?' };
                let url = format!("{database}{joint}options=-c%20search_path%3D{name}%20-c%20citus.shard_count%3D4");
                Self { url, directory: None, memory: None, schema: Some(name) }
            }
            Engine::Memory => {
                let memory = Some(Arc::new(Memory::new(Numbering::Counter)));
                Self { url: String::new(), directory: None, memory, schema: None }
            }
        }
    }

    async fn drop(self) {
        if let Some(schema) = self.schema {
            let database = citus_url().expect("PODBERTH_TEST_CITUS_URL is set");
            execute(&database, &format!("SET client_min_messages = warning; DROP SCHEMA {schema} CASCADE")).await;
        } else if self.url.starts_with("postgres")
            && let Some((_, name)) = self.url.rsplit_once('/')
        {
            admin(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
        drop(self.directory);
    }
}

/// Runs a test with a database of its own.
pub(crate) fn with_database<'t, F>(engine: Engine, test: impl FnOnce(Database) -> F + Send + 't) -> Boxed<'t>
where
    F: Future<Output = ()> + Send + 'static,
{
    Box::pin(run(engine, Box::new(move |database| Box::pin(test(database)))))
}

/// Runs a boxed test with a database of its own. It is compiled once, and not with a task of tokio for each test.
async fn run(engine: Engine, test: Box<dyn FnOnce(Database) -> Boxed<'static> + Send + '_>) {
    if engine == Engine::Citus && citus_url().is_none() {
        eprintln!("skipped: PODBERTH_TEST_CITUS_URL is not set");
        return;
    }
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

fn citus_url() -> Option<String> {
    std::env::var("PODBERTH_TEST_CITUS_URL").ok()
}

fn admin_url() -> String {
    std::env::var("PODBERTH_TEST_POSTGRES_URL").expect(
        "PODBERTH_TEST_POSTGRES_URL is not set: run the tests with scripts/test, which starts a private PostgreSQL",
    )
}
