//! SQLite: one process, one writer, several readers. `BEGIN IMMEDIATE` is the lock that orders revisions.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::error::DatabaseError;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::sync::watch;
use uuid::Uuid;

use super::decide::{self, Plan};
use super::rows::{self, CHUNK, Columns, HeadColumns, micros, object_columns, signed, signed_len};
use super::{
    Call, Changes, Compaction, Connections, Cursor, Head, Judge, Keep, Key, List, ListQuery, MigrationStatus, Options,
    Record, Restore, Source, Store, StoreError, Visitor, Written, types,
};

mod keep;
mod state;
mod write;

/// The database's clock: microseconds since 1970.
macro_rules! now {
    () => {
        "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
    };
}
use now;
use write::Locked;

static MIGRATOR: Migrator = sqlx::migrate!("migrations/sqlite");

/// A database file, or one in memory.
#[derive(Debug)]
pub(super) struct Sqlite {
    writer: SqlitePool,
    /// In memory, the writer's one connection.
    readers: SqlitePool,
    /// How long superseded versions are kept.
    history: Option<Duration>,
    changed: watch::Sender<u64>,
    /// Held while the file is open.
    lock: Option<File>,
}

impl Sqlite {
    /// `path` is what follows `sqlite:`.
    pub(super) async fn open(path: &str, options: &Options) -> Result<Self, StoreError> {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.contains('?') {
            return Err(StoreError::Url("write sqlite:path or sqlite::memory:, without parameters".into()));
        }
        let pool = SqlitePoolOptions::new().acquire_timeout(options.acquire_timeout);
        if path == ":memory:" {
            // The database lives as long as its connection does.
            let pool = pool.max_connections(1).idle_timeout(None).max_lifetime(None);
            let writer = connect(pool, SqliteConnectOptions::new().in_memory(true), "in memory").await?;
            let (readers, changed) = (writer.clone(), watch::Sender::new(0));
            return Ok(Self { readers, writer, history: options.history, changed, lock: None });
        }
        let lock = lock(path)?;
        let connection = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(options.lock_timeout);
        let writer = connect(pool.clone().max_connections(1), connection.clone(), path).await?;
        let readers = connect(pool.max_connections(options.max_connections), connection.read_only(true), path).await?;
        Ok(Self { writer, readers, history: options.history, changed: watch::Sender::new(0), lock: Some(lock) })
    }

    /// Tells who follows that something has changed.
    fn wake(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

async fn connect(
    pool: SqlitePoolOptions,
    connection: SqliteConnectOptions,
    path: &str,
) -> Result<SqlitePool, StoreError> {
    pool.connect_with(connection).await.map_err(|error| match error.into() {
        StoreError::Denied(why) => StoreError::Denied(format!("{path}: {why}")),
        other => other,
    })
}

/// Takes the lock file beside the database. It stays behind: removing it would race with the next process.
fn lock(path: &str) -> Result<File, StoreError> {
    let name = format!("{path}.lock");
    let denied = |error: std::io::Error| {
        StoreError::Denied(format!("the SQLite database {path} cannot be used: {name}: {error}"))
    };
    if Path::new(path).is_dir() {
        return Err(StoreError::Denied(format!("the SQLite database {path} cannot be used: it is a directory")));
    }
    let file = File::options().create(true).append(true).open(&name).map_err(denied)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(format!(
            "the SQLite database {path} is in use by another process (it holds {name}); several replicas need PostgreSQL"
        ))),
        Err(TryLockError::Error(error)) => Err(denied(error)),
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn write(&self, cluster: &str, calls: &[Call], judge: &mut dyn Judge) -> Result<Written, StoreError> {
        types::check_batch(cluster, calls)?;
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let Locked { id, head, kept } = write::cluster_row(&mut transaction, cluster).await?;
        let head = write::recognise(&mut transaction, id, head, judge.known(), judge.seen()).await?;
        let mut current = Vec::new();
        if head.revision > 0 {
            for keys in decide::keys(calls).chunks(CHUNK) {
                current.extend(write::current_rows(&mut transaction, id, keys).await?);
            }
        }
        let missed = missed(&mut transaction, id, head, judge.known()).await?;
        judge.begin(head, &missed);
        let Plan { revision, commits, rows } = decide::decide(head.revision, current, calls, judge);
        if rows.is_empty() {
            return Ok(Written { commits, head });
        }
        let written = Head { revision, token: Uuid::new_v4(), ..head };
        let mut kept = kept;
        if self.history.is_some() {
            write::keep_superseded(&mut transaction, id, &rows).await?;
            kept = kept.with(head.revision, revision);
        }
        write::stand(&mut transaction, id, cluster, written, kept).await?;
        write::note_batch(&mut transaction, id, written).await?;
        write::write_rows(&mut transaction, id, &rows).await?;
        transaction.commit().await?;
        self.wake();
        Ok(Written { commits, head: written })
    }

    async fn get(&self, cluster: &str, key: &Key) -> Result<Option<Record>, StoreError> {
        types::check_cluster(cluster)?;
        types::check_key(key)?;
        let row: Option<Columns> = sqlx::query_as(concat!(
            "SELECT ",
            object_columns!(),
            " FROM cluster c JOIN object o ON o.cluster_id = c.cluster_id
              WHERE c.name = ? AND o.kind = ? AND o.ns = ? AND o.name = ? AND NOT o.deleted"
        ))
        .bind(cluster)
        .bind(&*key.kind)
        .bind(&key.namespace)
        .bind(&key.name)
        .fetch_optional(&self.readers)
        .await?;
        row.map(rows::record).transpose()
    }

    async fn list(&self, cluster: &str, query: &ListQuery) -> Result<List, StoreError> {
        types::check_query(cluster, query)?;
        let mut transaction = self.readers.begin().await?;
        let (head, _) = read_head(&mut transaction, cluster, 0).await?;
        let types::Range { start, end } = query.range();
        let limit = query.limit.map_or(i64::MAX, signed_len);
        let items: Vec<Columns> = sqlx::query_as(concat!(
            "SELECT ",
            object_columns!(),
            " FROM object o
              WHERE o.cluster_id = (SELECT cluster_id FROM cluster WHERE name = ?)
              AND o.kind = ? AND (o.ns, o.name) > (?, ?) AND o.ns < ? AND NOT o.deleted
              ORDER BY o.ns, o.name LIMIT ?"
        ))
        .bind(cluster)
        .bind(&*query.kind)
        .bind(&start.0)
        .bind(&start.1)
        .bind(&end)
        .bind(limit)
        .fetch_all(&mut *transaction)
        .await?;
        let items = rows::records(items)?;
        let mut remaining = None;
        if query.limit == Some(items.len()) {
            let (namespace, name) =
                items.last().map_or((&start.0, &start.1), |last| (&last.key.namespace, &last.key.name));
            let count: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM object o
                 WHERE o.cluster_id = (SELECT cluster_id FROM cluster WHERE name = ?)
                 AND o.kind = ? AND (o.ns, o.name) > (?, ?) AND o.ns < ? AND NOT o.deleted",
            )
            .bind(cluster)
            .bind(&*query.kind)
            .bind(namespace)
            .bind(name)
            .bind(&end)
            .fetch_one(&mut *transaction)
            .await?;
            remaining = u64::try_from(count).ok().filter(|count| *count > 0);
        }
        Ok(List { items, revision: head.revision, remaining })
    }

    async fn changes(&self, cluster: &str, from: &Cursor, limit: usize) -> Result<Changes, StoreError> {
        types::check_cluster(cluster)?;
        let mut transaction = self.readers.begin().await?;
        let (head, found) = read_head(&mut transaction, cluster, from.seen_revision()).await?;
        from.check(&head, found)?;
        let records: Vec<Columns> = sqlx::query_as(concat!(
            "SELECT ",
            object_columns!("CASE WHEN o.body_rev > ? THEN o.body ELSE x'' END"),
            " FROM object o
              WHERE o.cluster_id = (SELECT cluster_id FROM cluster WHERE name = ?)
              AND o.rev > ? ORDER BY o.rev LIMIT ?"
        ))
        .bind(signed(from.complete))
        .bind(cluster)
        .bind(signed(from.after))
        .bind(signed_len(limit))
        .fetch_all(&mut *transaction)
        .await?;
        Ok(from.page(head, rows::records(records)?, limit))
    }

    async fn state_at(
        &self,
        cluster: &str,
        revision: Option<u64>,
        visitor: &mut dyn Visitor,
    ) -> Result<(), StoreError> {
        types::check_cluster(cluster)?;
        self.visit(cluster, revision, visitor).await
    }

    async fn get_at(&self, cluster: &str, key: &Key, revision: u64) -> Result<Option<Record>, StoreError> {
        types::check_cluster(cluster)?;
        types::check_key(key)?;
        self.read_at(cluster, key, revision).await
    }

    async fn revision_at(&self, cluster: &str, time: Timestamp) -> Result<Option<u64>, StoreError> {
        types::check_cluster(cluster)?;
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT rev_to FROM batch WHERE cluster_id = (SELECT cluster_id FROM cluster WHERE name = ?)
             AND at > 0 AND at <= ? ORDER BY rev_to DESC LIMIT 1",
        )
        .bind(cluster)
        .bind(time.as_microsecond())
        .fetch_optional(&self.readers)
        .await?;
        found.map(rows::unsigned).transpose()
    }

    async fn restore(&self, cluster: &str, source: &mut dyn Source, how: Restore) -> Result<Head, StoreError> {
        types::check_new_cluster(cluster)?;
        self.restore_cluster(cluster, source, how).await
    }

    async fn compact(&self, cluster: &str, keep: &Keep) -> Result<Compaction, StoreError> {
        types::check_cluster(cluster)?;
        self.compact_cluster(cluster, keep).await
    }

    async fn lease(&self, _: &str, _: Uuid, _: Duration) -> Result<bool, StoreError> {
        Ok(true) // There is no other process.
    }

    async fn begin_epoch(&self, cluster: &str, lost: &Head, token: Uuid) -> Result<Head, StoreError> {
        types::check_new_cluster(cluster)?;
        self.raise_epoch(cluster, lost, token).await
    }

    async fn head(&self, cluster: &str) -> Result<Head, StoreError> {
        types::check_cluster(cluster)?;
        let mut connection = self.readers.acquire().await?;
        Ok(read_head(&mut connection, cluster, 0).await?.0)
    }

    async fn clusters(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT name FROM cluster ORDER BY name").fetch_all(&self.readers).await?)
    }

    fn connections(&self) -> Connections {
        // What is taken can be subtracted before it was added: for a moment there are fewer than none.
        let idle = |pool: &SqlitePool| pool.num_idle().min(pool.size() as usize);
        let idle = idle(&self.writer) + idle(&self.readers);
        Connections { idle, used: ((self.writer.size() + self.readers.size()) as usize).saturating_sub(idle) }
    }

    fn hint(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.readers).await?;
        Ok(())
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let mut connection = self.writer.acquire().await?;
        rows::migrate(&MIGRATOR, &mut *connection).await
    }

    async fn migration_status(&self) -> Result<MigrationStatus, StoreError> {
        let mut connection = self.readers.acquire().await?;
        let migrated: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?)")
                .bind(rows::MIGRATIONS_TABLE)
                .fetch_one(&mut *connection)
                .await?;
        let mut applied: Option<i64> = None;
        if migrated {
            applied =
                sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(&mut *connection).await?;
        }
        rows::status(&MIGRATOR, applied)
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
        if let Some(lock) = &self.lock
            && let Err(error) = lock.unlock()
        {
            tracing::warn!(%error, "the SQLite lock file could not be released");
        }
    }
}

/// What changed after the revision that the judge knows.
async fn missed(connection: &mut SqliteConnection, id: i32, head: Head, known: u64) -> Result<Vec<Record>, StoreError> {
    if head.revision <= known {
        return Ok(Vec::new());
    }
    let missed: Vec<Columns> = sqlx::query_as(concat!(
        "SELECT ",
        object_columns!("CASE WHEN o.body_rev > ?2 THEN o.body ELSE x'' END"),
        " FROM object o WHERE o.cluster_id = ?1 AND o.rev > ?2 ORDER BY o.rev"
    ))
    .bind(id)
    .bind(signed(known))
    .fetch_all(connection)
    .await?;
    rows::records(missed)
}

/// With the token that the database has for another revision.
async fn read_head(
    connection: &mut SqliteConnection,
    cluster: &str,
    other: u64,
) -> Result<(Head, Option<Uuid>), StoreError> {
    let row: Option<HeadColumns> = sqlx::query_as(
        "SELECT rev, compact_rev, epoch,
             (SELECT token FROM batch b WHERE b.cluster_id = c.cluster_id AND b.rev_to = c.rev),
             (SELECT token FROM batch b WHERE b.cluster_id = c.cluster_id AND b.rev_to = ?2)
         FROM cluster c WHERE name = ?1",
    )
    .bind(cluster)
    .bind(signed(other))
    .fetch_optional(connection)
    .await?;
    rows::head(row)
}

/// Words an error. Codes: <https://www.sqlite.org/rescode.html>; the low byte is the primary one.
pub(super) fn error(error: &dyn DatabaseError) -> StoreError {
    let message = error.message();
    let code = error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0) & 0xff;
    match code {
        5 | 6 => StoreError::Busy(format!("the SQLite database is locked: {message}")),
        10 => StoreError::Unavailable(format!("the SQLite database cannot be read or written: {message}")),
        13 => StoreError::Unavailable("the SQLite database cannot be written: the disk is full".into()),
        3 | 8 | 14 | 23 | 26 => StoreError::Denied(format!("the SQLite database cannot be used: {message}")),
        11 => StoreError::Corrupt(message.to_owned()),
        _ if message.starts_with("no such table") => StoreError::NotMigrated,
        _ => StoreError::Internal(format!("SQLite: {message}")),
    }
}
