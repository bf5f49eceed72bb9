//! PostgreSQL: many processes, one counter row per cluster. The row's lock orders revisions: whoever is to raise the counter
//! holds it until the end of the transaction, and in READ COMMITTED every later statement of that transaction sees all that
//! was committed before. The SQL keeps to what CockroachDB, YugabyteDB and Citus know as well: no sequences, triggers,
//! foreign keys or advisory locks; NOTIFY and lz4 are used where they are there.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use self::directory::Directory;
use self::keep::OF_ALL;
use self::plans::Plans;
use self::servers::{Known, STANDBY};
use self::statements::clusters::{CLUSTERS, COMPACTABLE, HAVING};
use self::vouch::Vouched;
use super::decide::{self, NewRow, Plan};
use super::guard::Engine;
use super::rows::{self, CHUNK, CODEC_RAW, ObjectRow, micros, object_columns, signed, signed_len};
use super::{
    Bodies, Call, Changes, Compaction, Connections, Cursor, Everywhere, Head, Heads, Hints, Judge, Keep, Key, List,
    ListQuery, Listener, MigrationStatus, Options, Past, Reach, Record, Restore, Rewind, Schema, Source, Storage,
    Store, StoreError, Undone, Upkeep, Visitor, Written, check,
    migrations::{self, OneByOne},
};

mod citus;
mod directory;
mod inspect;
mod keep;
mod ledger;
mod listen;
mod past;
mod plans;
mod read;
mod removal;
mod servers;
mod state;
mod statements;
mod vouch;
mod write;

pub(super) use citus::{can_distribute, distribute};
pub(super) use inspect::inspect;
pub use inspect::{Finding, Remark};
pub use plans::PlanMode;
pub(super) use servers::unverified;

/// Time after the timeout of a statement until the connection is given up, since the server is silent. sqlx cannot switch TCP keepalive on at this
/// end; this bounds every wait instead.
const GRACE: Duration = Duration::from_secs(1);

/// How often a batch is tried while the database aborts it or loses the connection.
const ATTEMPTS: u32 = 4;

/// How long a migration waits for another process that migrates.
const MIGRATION_LOCK_TIMEOUT: &str = "SET lock_timeout = '60s'";

/// Ends connections whose client is gone without a word. Best effort: not every server of this protocol knows them.
const SERVER_KEEPALIVE: &str = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; \
                                SET tcp_keepalives_count = 3; SET tcp_user_timeout = 15000";

/// Every statement of ours looks rows up in an index by all its columns, or reads a range off one in its order. A plan made
/// while a table was small and kept while it grows, or for a table that was loaded a moment ago and has no statistics yet,
/// would read and sort a whole cluster instead: so plans are made anew, with the table's size of the moment (but for those of
/// [`plans::BEGIN_PLANNED`]), and those that read, keep or sort everything are ruled out. What cannot do without (a sort of a few rows) costs ten
/// thousand millions to the planner then, for which it would compile the statement, for longer than it runs: that is off. Best effort as well.
const RULED_OUT: [&str; 7] = [
    "enable_hashjoin",
    "enable_mergejoin",
    "enable_seqscan",
    "enable_bitmapscan",
    "enable_sort",
    "enable_material",
    "jit",
];

/// See [`RULED_OUT`].
fn index_lookups() -> String {
    let ruled_out = RULED_OUT.map(|setting| format!("; SET {setting} = off")).concat();
    format!("SET plan_cache_mode = force_custom_plan{ruled_out}")
}

/// The database's clock: microseconds since 1970.
macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
}
use now;

/// A database shared by any number of processes.
#[derive(Debug)]
pub(super) struct Postgres {
    pool: PgPool,
    /// How long a statement may take as seen from here.
    patience: Duration,
    /// How long the server lets a transaction stand idle.
    idle: Duration,
    /// How long superseded versions are kept.
    history: Option<Duration>,
    /// `true` if the server has NOTIFY.
    notify: bool,
    /// How statements are planned.
    plans: Plans,
    directory: Directory,
    hints: Hints,
    vouched: Vouched,
    /// Told when the server that was the primary may not be it any more.
    lost: Arc<Notify>,
    tasks: Vec<AbortHandle>,
}

impl Postgres {
    pub(super) async fn open(url: &str, options: &Options) -> Result<Self, StoreError> {
        let servers = servers::parse(url)?;
        let (server, Known { notify }) = first_contact(&servers, options).await?;
        let settings = format!(
            "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}",
            options.statement_timeout.as_millis(),
            options.lock_timeout.as_millis(),
            options.idle_in_transaction_timeout.as_millis()
        );
        let (lost, vouched) = (Arc::new(Notify::new()), Vouched::default());
        let (standby, connected) = (lost.clone(), vouched.clone());
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections.saturating_add(u32::from(notify)))
            .acquire_timeout(options.acquire_timeout)
            .after_connect(move |connection, _| {
                let (settings, standby, connected) = (settings.clone(), standby.clone(), connected.clone());
                Box::pin(async move {
                    connected.count_connection();
                    if servers::is_standby(connection).await {
                        standby.notify_one();
                        return Err(sqlx::Error::Configuration(STANDBY.into()));
                    }
                    connection.execute(AssertSqlSafe(settings)).await?;
                    for wish in [SERVER_KEEPALIVE.to_owned(), index_lookups()] {
                        if let Err(error) = connection.execute(AssertSqlSafe(wish)).await {
                            tracing::debug!(%error, "the server does not know a setting");
                        }
                    }
                    Ok(())
                })
            })
            .after_release(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect_lazy_with(server);
        let hints = Hints::new(Reach::Process);
        let mut tasks = Vec::new();
        if notify {
            let listening = listen::listen(pool.clone(), hints.clone(), lost.clone());
            tasks.push(tokio::spawn(listening).abort_handle());
        }
        if servers.len() > 1 {
            tasks.push(tokio::spawn(follow_primary(servers, pool.clone(), lost.clone())).abort_handle());
        }
        let patience = options.statement_timeout.saturating_add(GRACE);
        let idle = options.idle_in_transaction_timeout;
        let (plans, directory) = (Plans::new(options.plans), Directory::default());
        let store = Self {
            pool,
            patience,
            idle,
            history: options.history,
            notify,
            plans,
            directory,
            hints,
            vouched,
            lost,
            tasks,
        };
        store.try_plans().await?;
        Ok(store)
    }

    /// A connection to the primary.
    async fn acquire(&self) -> Result<PoolConnection<sqlx::Postgres>, StoreError> {
        let mut acquiring = pin!(self.pool.acquire());
        let in_time = tokio::time::timeout(SUSPECT, &mut acquiring).await;
        let acquired = if let Ok(acquired) = in_time {
            acquired
        } else {
            // Another server may be the primary by now: it is looked for while this one still has time.
            self.lost.notify_one();
            acquiring.await
        };
        acquired.map_err(|error| {
            self.lost.notify_one();
            error.into()
        })
    }

    /// Bounds the wait for one statement.
    async fn within<T>(&self, statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
        match tokio::time::timeout(self.patience, statement).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(StoreError::Unavailable(format!("the database was silent for {:?}", self.patience))),
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Finds the primary, for as long as it may not be there yet.
async fn first_contact(
    servers: &[PgConnectOptions],
    options: &Options,
) -> Result<(PgConnectOptions, Known), StoreError> {
    let start = Instant::now();
    let mut told: Option<Instant> = None;
    loop {
        let error = match servers::primary(servers, options.acquire_timeout).await {
            Err(error) if error.is_transient() && start.elapsed() < options.wait => error,
            found => return found,
        };
        if told.is_none_or(|told| told.elapsed() >= TELL_AGAIN) {
            let left = options.wait.saturating_sub(start.elapsed());
            tracing::warn!(%error, "waiting up to {} s for the database", left.as_secs());
            told = Some(Instant::now());
        }
        sleep(RETRY).await;
    }
}

/// Has new connections lead to the primary, after each sign that it is another server now.
async fn follow_primary(servers: Vec<PgConnectOptions>, pool: PgPool, lost: Arc<Notify>) {
    loop {
        lost.notified().await;
        let mut found = servers::primary(&servers, SEEK).await;
        while let Err(error) = &found {
            tracing::debug!(%error, "the primary is looked for");
            sleep(RETRY).await;
            found = servers::primary(&servers, SEEK).await;
        }
        if let Ok((server, _)) = found {
            let known = pool.connect_options();
            if (known.get_host(), known.get_port()) != (server.get_host(), server.get_port()) {
                tracing::info!("the primary is {}:{} now", server.get_host(), server.get_port());
                pool.set_connect_options(server);
            }
        }
        sleep(SUSPECT).await;
    }
}

/// How PostgreSQL says that it takes no writes for now.
const READ_ONLY: &str = "in a read-only transaction";

/// Between two attempts to find the primary.
const RETRY: Duration = Duration::from_millis(250);

/// How long each server has to say whether it is the primary, while the one that was is gone.
const SEEK: Duration = Duration::from_secs(2);

/// After so long without a connection the primary is looked for, and how often at most.
const SUSPECT: Duration = Duration::from_millis(500);

/// Between two lines of the log that say that a start waits.
const TELL_AGAIN: Duration = Duration::from_secs(10);

#[async_trait]
impl Engine for Postgres {
    async fn prove(&self, _: usize) -> Result<(), StoreError> {
        let mut connection = self.acquire().await?;
        let proven = self.vouch(&mut connection, OF_ALL).await;
        settle(connection, proven).map_err(|error| match error {
            // It answers, and has nothing to do but to say so.
            StoreError::Unavailable(why) if why.contains(READ_ONLY) => StoreError::Unwritable(why),
            other => other,
        })
    }
}

/// Ends a connection whose state is unknown instead of giving it back to the pool.
fn settle<T>(mut connection: PoolConnection<sqlx::Postgres>, result: Result<T, StoreError>) -> Result<T, StoreError> {
    // Where writes are refused, another connection may lead elsewhere.
    if matches!(result, Err(StoreError::Unavailable(_) | StoreError::Unwritable(_) | StoreError::OutcomeUnknown(_))) {
        connection.close_on_drop();
    }
    result
}

#[async_trait]
impl Store for Postgres {
    async fn write(&self, cluster: &str, calls: &[Call], judge: &mut dyn Judge) -> Result<Written, StoreError> {
        check::batch(cluster, calls)?;
        let batch = write::Batch { cluster, calls, count: decide::count(calls), token: Uuid::new_v4() };
        self.write_batch(&batch, judge).await
    }

    async fn get(&self, cluster: &str, key: &Key) -> Result<Option<Record>, StoreError> {
        check::cluster(cluster)?;
        check::key(key)?;
        let mut connection = self.acquire().await?;
        let found = self.read_one(&mut connection, cluster, key).await;
        settle(connection, found)
    }

    async fn find(&self, cluster: &str, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        check::cluster(cluster)?;
        keys.iter().try_for_each(check::key)?;
        let mut connection = self.acquire().await?;
        let found = self.read_some(&mut connection, cluster, keys).await;
        let mut found = settle(connection, found)?;
        found.retain(|record| !record.deleted);
        Ok(found)
    }

    async fn list(&self, cluster: &str, query: &ListQuery) -> Result<List, StoreError> {
        check::query(cluster, query)?;
        let mut connection = self.acquire().await?;
        let list = self.read_list(&mut connection, cluster, query).await;
        settle(connection, list)
    }

    async fn changes(&self, cluster: &str, from: &Cursor, limit: usize) -> Result<Changes, StoreError> {
        check::cluster(cluster)?;
        let mut connection = self.acquire().await?;
        let changes = self.read_changes(&mut connection, cluster, from, limit).await;
        settle(connection, changes)
    }

    async fn begin_epoch(&self, cluster: &str, lost: &Head, token: Uuid) -> Result<Head, StoreError> {
        check::new_cluster(cluster)?;
        self.raise_epoch(cluster, lost, token).await
    }

    async fn heads(&self, clusters: &[String]) -> Result<Heads, StoreError> {
        check::clusters(clusters)?;
        let mut connection = self.acquire().await?;
        let heads = self.read_heads(&mut connection, clusters).await;
        settle(connection, heads)
    }

    async fn clusters(&self) -> Result<Vec<String>, StoreError> {
        let mut connection = self.acquire().await?;
        let names = self.within(sqlx::query_scalar(CLUSTERS).fetch_all(&mut *connection)).await;
        settle(connection, names)
    }

    fn hints(&self) -> Listener {
        self.hints.listen()
    }
}

#[async_trait]
impl Past for Postgres {
    async fn state_at(
        &self,
        cluster: &str,
        revision: Option<u64>,
        visitor: &mut dyn Visitor,
    ) -> Result<(), StoreError> {
        check::cluster(cluster)?;
        self.visit(cluster, revision, visitor).await
    }

    async fn get_at(&self, cluster: &str, key: &Key, revision: u64) -> Result<Option<Record>, StoreError> {
        check::cluster(cluster)?;
        check::key(key)?;
        let mut connection = self.acquire().await?;
        let found = self.read_at(&mut connection, cluster, key, revision).await;
        settle(connection, found)
    }

    async fn find_at(&self, cluster: &str, keys: &[Key], revision: u64) -> Result<Vec<Record>, StoreError> {
        check::cluster(cluster)?;
        keys.iter().try_for_each(check::key)?;
        let mut connection = self.acquire().await?;
        let found = self.read_rows_at(&mut connection, cluster, keys, revision).await;
        settle(connection, found)
    }

    async fn list_at(&self, cluster: &str, query: &ListQuery, revision: u64) -> Result<List, StoreError> {
        check::query(cluster, query)?;
        let mut connection = self.acquire().await?;
        let list = self.read_list_at(&mut connection, cluster, query, revision).await;
        settle(connection, list)
    }

    async fn rows(&self, cluster: &str, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        check::cluster(cluster)?;
        keys.iter().try_for_each(check::key)?;
        self.read_rows(cluster, keys).await
    }

    async fn adopt(&self, cluster: &str, records: Vec<Record>) -> Result<u64, StoreError> {
        check::new_cluster(cluster)?;
        records.iter().try_for_each(|record| check::key(&record.key))?;
        self.adopt_rows(cluster, &records).await
    }

    async fn rewind(&self, cluster: &str, rewind: &Rewind, limit: usize) -> Result<Undone, StoreError> {
        check::cluster(cluster)?;
        let mut connection = self.acquire().await?;
        let undone = self.read_undone(&mut connection, cluster, rewind, limit).await;
        settle(connection, undone)
    }

    async fn revision_at(&self, cluster: &str, time: Timestamp) -> Result<Option<u64>, StoreError> {
        check::cluster(cluster)?;
        let mut connection = self.acquire().await?;
        let found = self.read_batch_by(&mut connection, cluster, time).await;
        settle(connection, found)
    }

    async fn restore(&self, cluster: &str, source: &mut dyn Source, how: Restore) -> Result<Head, StoreError> {
        check::new_cluster(cluster)?;
        self.restore_cluster(cluster, source, how).await
    }
}

#[async_trait]
impl Upkeep for Postgres {
    async fn compact_holding(&self, cluster: &str, keep: &Keep, hold: Option<u64>) -> Result<Compaction, StoreError> {
        check::cluster(cluster)?;
        self.compact_cluster(cluster, keep, hold).await
    }

    async fn lease(&self, name: &str, holder: Uuid, ttl: Duration) -> Result<bool, StoreError> {
        self.take_lease(name, holder, ttl).await
    }

    async fn leases(&self, beginning: &str) -> Result<Vec<String>, StoreError> {
        self.list_leases(beginning).await
    }

    async fn everywhere(&self, kind: &str) -> Result<Everywhere, StoreError> {
        let mut connection = self.acquire().await?;
        let found = self.read_everywhere(&mut connection, kind).await;
        settle(connection, found)
    }

    async fn having(&self, kind: &str) -> Result<Vec<String>, StoreError> {
        let mut connection = self.acquire().await?;
        let found = self.within(sqlx::query_scalar(HAVING).bind(kind).fetch_all(&mut *connection)).await;
        settle(connection, found)
    }

    async fn compactable(&self, keep: &Keep) -> Result<Vec<String>, StoreError> {
        let mut connection = self.acquire().await?;
        let found = sqlx::query_scalar(COMPACTABLE)
            .bind(signed(keep.revisions))
            .bind(micros(keep.age))
            .bind(self.history.map(micros))
            .fetch_all(&mut *connection);
        let found = self.within(found).await;
        settle(connection, found)
    }

    async fn remove(&self, cluster: &str) -> Result<bool, StoreError> {
        check::new_cluster(cluster)?;
        let mut connection = self.acquire().await?;
        let removed = self.remove_cluster(&mut connection, cluster).await;
        settle(connection, removed)
    }

    async fn sweep(&self, keep: Duration) -> Result<(), StoreError> {
        let mut connection = self.acquire().await?;
        let swept = self.sweep_removed(&mut connection, keep).await;
        settle(connection, swept)
    }
}

#[async_trait]
impl Schema for Postgres {
    async fn migrate(&self) -> Result<(), StoreError> {
        // A role that may not create tables has nothing to do here then.
        if self.migration_status().await?.is_current() {
            return Ok(());
        }
        let server = self.pool.connect_options();
        let mut connection = self.within(PgConnection::connect_with(&server)).await?;
        connection.execute(MIGRATION_LOCK_TIMEOUT).await?;
        // sqlx takes an advisory lock, so that replicas starting together migrate one after the other.
        let migrated = rows::migrate(&migrations::POSTGRES, &mut OneByOne(&mut connection)).await;
        if migrated.is_ok() {
            compress_bodies(&mut connection).await;
        }
        connection.close().await?;
        migrated?;
        self.try_plans().await
    }

    async fn migration_status(&self) -> Result<MigrationStatus, StoreError> {
        let mut connection = self.acquire().await?;
        let applied = self.read_migrations(&mut connection).await;
        rows::status(&migrations::POSTGRES, settle(connection, applied)?)
    }
}

#[async_trait]
impl Storage for Postgres {
    fn connections(&self) -> Connections {
        // What is taken can be subtracted before it was added: for a moment there are fewer than none.
        let idle = self.pool.num_idle().min(self.pool.size() as usize);
        Connections { idle, used: (self.pool.size() as usize).saturating_sub(idle) }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let mut connection = self.acquire().await?;
        let pong = self.within(connection.ping()).await;
        settle(connection, pong)
    }

    async fn close(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.pool.close().await;
    }
}

/// Has the server compress bodies with lz4, which is several times as fast as its default. Servers before 14 and those
/// built without lz4 keep their default: nothing but speed depends on it.
async fn compress_bodies(connection: &mut PgConnection) {
    for table in ["object", "ledger"] {
        let set = format!(
            "DO $$ BEGIN
             IF (SELECT attcompression <> 'l' FROM pg_attribute
                 WHERE attrelid = '{table}'::regclass AND attname = 'body') THEN
                 ALTER TABLE {table} ALTER COLUMN body SET COMPRESSION lz4;
             END IF; END $$"
        );
        if let Err(error) = connection.execute(AssertSqlSafe(set)).await {
            tracing::info!(%error, "the server compresses bodies with its default instead of lz4");
            return;
        }
    }
}

/// Words an error. Codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
pub(super) fn error(error: &PgDatabaseError) -> StoreError {
    let message = format!("PostgreSQL: {}", error.message().lines().collect::<Vec<_>>().join(" "));
    let code = error.code();
    match code {
        "40001" | "40P01" => StoreError::Aborted(message),
        "55P03" | "57014" => StoreError::Busy(message),
        "28000" | "28P01" | "3D000" | "42501" => StoreError::Denied(message),
        "42P01" => StoreError::NotMigrated,
        // Among them a statement whose outcome the server itself does not know, and a standby that takes no writes.
        "40003" | "25006" | "25P03" | "25P04" => StoreError::Unavailable(message),
        // The disk is full.
        "53100" => StoreError::Unwritable(message),
        "XX001" | "XX002" => StoreError::Corrupt(message),
        // Connections, resources, shutdown.
        _ if ["08", "53", "57P"].iter().any(|class| code.starts_with(class)) => StoreError::Unavailable(message),
        _ => StoreError::Internal(message),
    }
}
