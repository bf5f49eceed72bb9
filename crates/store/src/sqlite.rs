//! SQLite: one process, one writer, several readers. `BEGIN IMMEDIATE` is the lock that orders revisions.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::error::DatabaseError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Executor, Transaction};
use tokio::sync::Mutex;
use uuid::Uuid;

use self::file::DatabaseFile;
use super::decide::{self, Plan};
use super::guard::Engine;
use super::rows::{self, CHUNK, HeadRow, Locked, ObjectRow, micros, object_columns, signed, signed_len};
use super::{
    Bodies, Call, Changes, Compaction, Connections, Cursor, Everywhere, Head, Heads, Hints, Judge, Keep, Key, List,
    ListQuery, Listener, MigrationStatus, Options, Past, Reach, Record, Restore, Rewind, Schema, Source, Storage,
    Store, StoreError, Undone, Upkeep, Visitor, Written, check, migrations, types,
};

mod file;
mod keep;
mod ledger;
mod past;
mod removal;
mod state;
mod write;

/// The database's clock: microseconds since 1970.
macro_rules! now {
    () => {
        "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
    };
}
use now;

/// A database file, or one in memory.
#[derive(Debug)]
pub(super) struct Sqlite {
    writer: SqlitePool,
    /// In memory, the writer's one connection.
    readers: SqlitePool,
    /// How long superseded versions are kept.
    history: Option<Duration>,
    /// They reach everyone: no other process has the file open.
    hints: Hints,
    /// Does nothing but keep the write-ahead log open, which SQLite removes with the last connection.
    anchor: Mutex<Option<SqliteConnection>>,
    file: Option<DatabaseFile>,
}

impl Sqlite {
    /// `path` is what follows `sqlite:`.
    pub(super) async fn open(path: &str, options: &Options) -> Result<Self, StoreError> {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.contains('?') {
            return Err(StoreError::Url("write sqlite:path or sqlite::memory:, without parameters".into()));
        }
        if path == ":memory:" {
            // The database lives as long as any connection does, and the writer's is lost with work that is broken off.
            let settings: SqliteConnectOptions = "sqlite::memory:".parse()?;
            let anchor = Mutex::new(Some(SqliteConnection::connect_with(&settings).await?));
            let pool = SqlitePoolOptions::new().acquire_timeout(options.acquire_timeout);
            let pool = pool.max_connections(1).idle_timeout(None).max_lifetime(None);
            let writer = pool.connect_with(settings).await?;
            let (readers, hints) = (writer.clone(), Hints::new(Reach::Everyone));
            return Ok(Self { readers, writer, history: options.history, hints, anchor, file: None });
        }
        let file = DatabaseFile::open(path, options.create)?;
        match Self::connect(path, &file, options).await {
            Ok((writer, readers, anchor)) => {
                let (hints, anchor) = (Hints::new(Reach::Everyone), Mutex::new(Some(anchor)));
                Ok(Self { writer, readers, history: options.history, hints, anchor, file: Some(file) })
            }
            Err(error) => {
                file.discard();
                Err(match error {
                    StoreError::Denied(why)
                    | StoreError::Unavailable(why)
                    | StoreError::Unwritable(why)
                    | StoreError::Corrupt(why) => StoreError::Denied(format!("{path}: {why}")),
                    other => other,
                })
            }
        }
    }

    /// The writer, the readers, and the connection that keeps the write-ahead log.
    async fn connect(
        path: &str,
        file: &DatabaseFile,
        options: &Options,
    ) -> Result<(SqlitePool, SqlitePool, SqliteConnection), StoreError> {
        let settings = SqliteConnectOptions::new()
            .filename(path)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(options.lock_timeout);
        let mut anchor = SqliteConnection::connect_with(&settings).await?;
        if let Err(error) = prepare(&mut anchor, options.create).await {
            // The last connection takes away what SQLite has put beside the file.
            let _ = anchor.close().await;
            return Err(error);
        }
        file.note_beside();
        // What is known of a transaction's state counts once the connection's own thread has done all that it was told.
        let pool = SqlitePoolOptions::new().acquire_timeout(options.acquire_timeout).after_release(|connection, _| {
            Box::pin(async move { Ok(connection.ping().await.is_ok() && !connection.is_in_transaction()) })
        });
        let writer = pool.clone().max_connections(1).connect_with(settings.clone()).await?;
        let readers = pool.max_connections(options.max_connections).connect_with(settings.read_only(true)).await?;
        Ok((writer, readers, anchor))
    }
}

/// Looks whose database it is, makes it ready for many readers beside a writer, and opens its write-ahead log. One that is
/// not to be created is left as it is.
async fn prepare(anchor: &mut SqliteConnection, create: bool) -> Result<(), StoreError> {
    let (tables, migrated): (i64, bool) =
        sqlx::query_as("SELECT count(*), coalesce(sum(name = ?), 0) > 0 FROM sqlite_schema WHERE type = 'table'")
            .bind(rows::MIGRATIONS_TABLE)
            .fetch_one(&mut *anchor)
            .await?;
    if tables > 0 && !migrated {
        return Err(StoreError::Denied("it is another program's database: its tables are not Podberth's".into()));
    }
    if migrated || create {
        anchor.execute("PRAGMA journal_mode = WAL").await?;
        anchor.execute("SELECT count(*) FROM sqlite_schema").await?;
    }
    Ok(())
}

/// Commits. After an error in the midst of syncing, what was written may be found after a crash.
async fn commit(transaction: Transaction<'_, sqlx::Sqlite>) -> Result<(), StoreError> {
    transaction.commit().await.map_err(|error| {
        let code = error.as_database_error().and_then(DatabaseError::code).and_then(|code| code.parse::<i32>().ok());
        match (code, StoreError::from(error)) {
            (Some(code), StoreError::Unwritable(why)) if code & 0xff == IO && code != IO_WRITE => {
                StoreError::OutcomeUnknown(why)
            }
            (_, error) => error,
        }
    })
}

#[async_trait]
impl Engine for Sqlite {
    fn look(&self) -> Result<(), StoreError> {
        self.file.as_ref().filter(|_| !self.writer.is_closed()).map_or(Ok(()), DatabaseFile::check)
    }

    async fn vet(&self) -> Result<(), StoreError> {
        let Some(file) = self.file.as_ref().filter(|_| !self.writer.is_closed()) else { return Ok(()) };
        file.check()?;
        if !file.lacks_pages() {
            return Ok(());
        }
        // The pages may still be in the write-ahead log. Nobody moves them while the writer is held.
        let Some(mut writer) = self.writer.try_acquire() else { return Ok(()) };
        let moved = sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(&mut *writer).await;
        let Ok((busy, logged, moved)): Result<(i64, i64, i64), _> = moved else { return Ok(()) };
        if busy == 0 && logged == moved && file.lacks_pages() {
            return Err(file.was_cut());
        }
        Ok(())
    }

    fn blame(&self, error: StoreError) -> StoreError {
        if let (StoreError::Corrupt(why), Some(file)) = (&error, &self.file)
            && why.starts_with(DAMAGED)
        {
            file.spoil(format!("is damaged ({why})"));
        }
        error
    }

    async fn prove(&self, bytes: usize) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        // Clusters are numbered from 1: this row is nobody's.
        sqlx::query("INSERT OR REPLACE INTO batch (cluster_id, rev_to, token, at) VALUES (0, 0, zeroblob(?), 0)")
            .bind(signed_len(bytes.max(ROOM)))
            .execute(&mut *transaction)
            .await?;
        commit(transaction).await?;
        sqlx::query("DELETE FROM batch WHERE cluster_id = 0").execute(&self.writer).await?;
        Ok(())
    }
}

/// How much is written at least to see whether there is room again: a batch of a few objects.
const ROOM: usize = 64 << 10;

#[async_trait]
impl Store for Sqlite {
    async fn write(&self, cluster: &str, calls: &[Call], judge: &mut dyn Judge) -> Result<Written, StoreError> {
        check::batch(cluster, calls)?;
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let Locked { id, head, kept } = write::cluster_row(&mut transaction, cluster).await?;
        let head = write::recognise(&mut transaction, id, head, judge.known(), judge.seen()).await?;
        let mut current = Vec::new();
        if head.revision > 0 {
            for keys in decide::keys(calls).chunks(CHUNK) {
                current.extend(write::current_rows(&mut transaction, id, keys).await?);
            }
        }
        let missed = missed(&mut transaction, id, head, (judge.known(), judge.bodies())).await?;
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
        write::put_head(&mut transaction, id, cluster, written, kept).await?;
        write::note_batch(&mut transaction, id, written).await?;
        write::write_rows(&mut transaction, id, &rows).await?;
        commit(transaction).await?;
        self.hints.changed(cluster, written.revision);
        Ok(Written { commits, head: written })
    }

    async fn get(&self, cluster: &str, key: &Key) -> Result<Option<Record>, StoreError> {
        check::cluster(cluster)?;
        check::key(key)?;
        let row: Option<ObjectRow> = sqlx::query_as(concat!(
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
        row.map(ObjectRow::into_record).transpose()
    }

    async fn list(&self, cluster: &str, query: &ListQuery) -> Result<List, StoreError> {
        check::query(cluster, query)?;
        let mut transaction = self.readers.begin().await?;
        let (head, _) = read_head(&mut transaction, cluster, 0).await?;
        let types::Range { start, end } = query.range();
        let limit = query.limit.map_or(i64::MAX, signed_len);
        let items: Vec<ObjectRow> = sqlx::query_as(concat!(
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
        check::cluster(cluster)?;
        let mut transaction = self.readers.begin().await?;
        let (head, found) = read_head(&mut transaction, cluster, from.seen_revision()).await?;
        from.check(&head, found)?;
        let records: Vec<ObjectRow> = sqlx::query_as(concat!(
            "SELECT ",
            object_columns!(
                "CASE WHEN o.body_rev > ?1 AND (?5 IS NULL OR o.kind IN (SELECT value FROM json_each(?5)))
                 THEN o.body ELSE x'' END"
            ),
            " FROM object o
              WHERE o.cluster_id = (SELECT cluster_id FROM cluster WHERE name = ?2)
              AND o.rev > ?3 ORDER BY o.rev LIMIT ?4"
        ))
        .bind(signed(from.complete))
        .bind(cluster)
        .bind(signed(from.after))
        .bind(signed_len(limit))
        .bind(kinds(from.bodies))
        .fetch_all(&mut *transaction)
        .await?;
        Ok(from.page(head, rows::records(records)?, limit))
    }

    async fn begin_epoch(&self, cluster: &str, lost: &Head, token: Uuid) -> Result<Head, StoreError> {
        check::new_cluster(cluster)?;
        self.raise_epoch(cluster, lost, token).await
    }

    async fn heads(&self, clusters: &[String]) -> Result<Heads, StoreError> {
        check::clusters(clusters)?;
        rows::heads(removal::read_heads(&self.readers, clusters).await?)
    }

    async fn clusters(&self) -> Result<Vec<String>, StoreError> {
        let names = sqlx::query_scalar("SELECT name FROM cluster WHERE removed = 0 ORDER BY name");
        Ok(names.fetch_all(&self.readers).await?)
    }

    fn hints(&self) -> Listener {
        self.hints.listen()
    }
}

#[async_trait]
impl Past for Sqlite {
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
        self.read_at(cluster, key, revision).await
    }

    async fn find_at(&self, cluster: &str, keys: &[Key], revision: u64) -> Result<Vec<Record>, StoreError> {
        check::cluster(cluster)?;
        keys.iter().try_for_each(check::key)?;
        self.read_rows_at(cluster, keys, revision).await
    }

    async fn list_at(&self, cluster: &str, query: &ListQuery, revision: u64) -> Result<List, StoreError> {
        check::query(cluster, query)?;
        self.read_list_at(cluster, query, revision).await
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
        self.read_undone(cluster, rewind, limit).await
    }

    async fn revision_at(&self, cluster: &str, time: Timestamp) -> Result<Option<u64>, StoreError> {
        check::cluster(cluster)?;
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
        check::new_cluster(cluster)?;
        self.restore_cluster(cluster, source, how).await
    }
}

#[async_trait]
impl Upkeep for Sqlite {
    async fn compact_holding(&self, cluster: &str, keep: &Keep, hold: Option<u64>) -> Result<Compaction, StoreError> {
        check::cluster(cluster)?;
        self.compact_cluster(cluster, keep, hold).await
    }

    async fn lease(&self, _: &str, _: Uuid, _: Duration) -> Result<bool, StoreError> {
        Ok(true) // There is no other process.
    }

    async fn leases(&self, _: &str) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new()) // Nobody looks who else is there.
    }

    async fn everywhere(&self, kind: &str) -> Result<Everywhere, StoreError> {
        let mut connection = self.readers.acquire().await?;
        let now: i64 = sqlx::query_scalar(concat!("SELECT ", now!())).fetch_one(&mut *connection).await?;
        let found = sqlx::query_as(concat!(
            "SELECT c.name, ",
            object_columns!(),
            " FROM cluster c CROSS JOIN object o
              WHERE o.cluster_id = c.cluster_id AND o.kind = ? AND NOT o.deleted AND c.removed = 0"
        ))
        .bind(kind)
        .fetch_all(&mut *connection);
        rows::everywhere(now, found.await?)
    }

    async fn having(&self, kind: &str) -> Result<Vec<String>, StoreError> {
        let found = sqlx::query_scalar(
            "SELECT c.name FROM cluster c WHERE c.removed = 0
             AND EXISTS (SELECT 1 FROM object o WHERE o.cluster_id = c.cluster_id AND o.kind = ? AND NOT o.deleted)",
        );
        Ok(found.bind(kind).fetch_all(&self.readers).await?)
    }

    /// All: there is no server to be spared.
    async fn compactable(&self, _: &Keep) -> Result<Vec<String>, StoreError> {
        self.clusters().await
    }

    async fn remove(&self, cluster: &str) -> Result<bool, StoreError> {
        check::new_cluster(cluster)?;
        self.remove_cluster(cluster).await
    }

    async fn sweep(&self, keep: Duration) -> Result<(), StoreError> {
        self.sweep_removed(keep).await
    }
}

#[async_trait]
impl Schema for Sqlite {
    async fn migrate(&self) -> Result<(), StoreError> {
        let mut connection = self.writer.acquire().await?;
        rows::migrate(&migrations::SQLITE, &mut *connection).await
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
        rows::status(&migrations::SQLITE, applied)
    }
}

#[async_trait]
impl Storage for Sqlite {
    fn connections(&self) -> Connections {
        // What is taken can be subtracted before it was added: for a moment there are fewer than none.
        let idle = |pool: &SqlitePool| pool.num_idle().min(pool.size() as usize);
        let idle = idle(&self.writer) + idle(&self.readers);
        Connections { idle, used: ((self.writer.size() + self.readers.size()) as usize).saturating_sub(idle) }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.readers).await?;
        Ok(())
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
        if let Some(anchor) = self.anchor.lock().await.take()
            && let Err(error) = anchor.close().await
        {
            tracing::warn!(%error, "the SQLite database could not be closed");
        }
        if let Some(file) = &self.file {
            file.unlock();
        }
    }
}

/// The changes after the revision that the judge knows.
async fn missed(
    connection: &mut SqliteConnection,
    id: i32,
    head: Head,
    (known, bodies): (u64, Bodies),
) -> Result<Vec<Record>, StoreError> {
    if head.revision <= known {
        return Ok(Vec::new());
    }
    let missed: Vec<ObjectRow> = sqlx::query_as(concat!(
        "SELECT ",
        object_columns!(
            "CASE WHEN o.body_rev > ?2 AND (?3 IS NULL OR o.kind IN (SELECT value FROM json_each(?3)))
             THEN o.body ELSE x'' END"
        ),
        " FROM object o WHERE o.cluster_id = ?1 AND o.rev > ?2 ORDER BY o.rev"
    ))
    .bind(id)
    .bind(signed(known))
    .bind(kinds(bodies))
    .fetch_all(connection)
    .await?;
    rows::records(missed)
}

/// Kinds as a parameter: a JSON array; `None` for all.
fn kinds(bodies: Bodies) -> Option<String> {
    bodies.kinds().map(|kinds| serde_json::Value::from(kinds).to_string())
}

/// With the token that the database has for another revision.
async fn read_head(
    connection: &mut SqliteConnection,
    cluster: &str,
    other: u64,
) -> Result<(Head, Option<Uuid>), StoreError> {
    let row: Option<HeadRow> = sqlx::query_as(
        "SELECT rev, compact_rev, epoch,
             (SELECT token FROM batch b WHERE b.cluster_id = c.cluster_id AND b.rev_to = c.rev),
             (SELECT token FROM batch b WHERE b.cluster_id = c.cluster_id AND b.rev_to = ?2)
         FROM cluster c WHERE name = ?1",
    )
    .bind(cluster)
    .bind(signed(other))
    .fetch_optional(connection)
    .await?;
    HeadRow::read_head(row)
}

/// The primary code of all errors of reading and writing, and the codes of some.
const IO: i32 = 10;
const IO_READ: i32 = IO + (1 << 8);
const IO_SHORT_READ: i32 = IO + (2 << 8);
const IO_WRITE: i32 = IO + (3 << 8);

/// The prefix of SQLite's own reports of damage.
const DAMAGED: &str = "SQLite: ";

/// Words an error. Codes: <https://www.sqlite.org/rescode.html>; the low byte is the primary one.
pub(super) fn error(error: &dyn DatabaseError) -> StoreError {
    let message = error.message();
    let code = error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0);
    match code & 0xff {
        5 | 6 => StoreError::Busy(format!("the SQLite database is locked: {message}")),
        IO if code == IO_READ || code == IO_SHORT_READ => {
            StoreError::Unavailable(format!("the SQLite database cannot be read: {message}"))
        }
        IO | 8 => StoreError::Unwritable(format!("the SQLite database cannot be written: {message}")),
        13 => StoreError::Unwritable("the SQLite database cannot be written: the disk is full".into()),
        14 => StoreError::Unavailable(format!("the SQLite database cannot be opened: {message}")),
        3 | 23 => StoreError::Denied(format!("the SQLite database cannot be used: {message}")),
        11 | 26 => StoreError::Corrupt(format!("{DAMAGED}{message}")),
        _ if message.starts_with("no such table") => StoreError::NotMigrated,
        _ => StoreError::Internal(format!("SQLite: {message}")),
    }
}
