//! What both engines share about rows, migrations and errors: no SQL.

use bytes::Bytes;
use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::PgDatabaseError;

use super::decide::NewRow;
use super::{Head, Key, MigrationStatus, Record, StoreError};
use super::{postgres, sqlite};

/// Where sqlx notes the migrations it has applied.
pub(super) const MIGRATIONS_TABLE: &str = "_sqlx_migrations";

/// How many rows one statement reads or writes at most: a long list or a large import is many short statements, none of
/// which comes near the statement timeout.
pub(super) const CHUNK: usize = 2_000;

/// How many bytes of bodies one statement carries at most, unless a single one has more.
const CHUNK_BYTES: usize = 4 << 20;

/// The columns of `object` that make a [`Record`], in the order of `object_columns!`.
pub(super) type Columns = (String, String, String, String, i64, i64, Option<String>, bool, i64, i32, Vec<u8>);

/// `rev, compact_rev, epoch` of `cluster`.
pub(super) type HeadColumns = (i64, i64, i64);

macro_rules! object_columns {
    () => {
        object_columns!("o.body")
    };
    ($body:literal) => {
        concat!("o.kind, o.ns, o.name, o.uid, o.rev, o.create_rev, o.node, o.deleted, o.body_rev, o.codec, ", $body)
    };
}
pub(super) use object_columns;

/// The body is stored as received.
pub(super) const CODEC_RAW: i32 = 0;

pub(super) fn record(columns: Columns) -> Result<Record, StoreError> {
    let (kind, namespace, name, uid, rev, create_rev, node, deleted, body_rev, codec, body) = columns;
    if codec != CODEC_RAW {
        return Err(StoreError::Corrupt(format!("{kind} {namespace}/{name} has a body of unknown codec {codec}")));
    }
    Ok(Record {
        key: Key { kind: kind.into(), namespace, name },
        uid,
        revision: unsigned(rev)?,
        create_revision: unsigned(create_rev)?,
        node,
        deleted,
        body_revision: unsigned(body_rev)?,
        body: Bytes::from(body),
    })
}

pub(super) fn records(rows: Vec<Columns>) -> Result<Vec<Record>, StoreError> {
    rows.into_iter().map(record).collect()
}

/// The head of a cluster; of one never written to, all zero.
pub(super) fn head(columns: Option<HeadColumns>) -> Result<Head, StoreError> {
    let Some((rev, compact_rev, epoch)) = columns else { return Ok(Head::default()) };
    Ok(Head { revision: unsigned(rev)?, compact_revision: unsigned(compact_rev)?, epoch: unsigned(epoch)? })
}

/// Refuses to follow from a revision whose tombstones may be gone. 0 is always good: who holds nothing misses no delete.
pub(super) fn check_compacted(head: Head, after: u64) -> Result<(), StoreError> {
    if after != 0 && after < head.compact_revision {
        return Err(StoreError::Compacted { after, compact_revision: head.compact_revision });
    }
    Ok(())
}

/// How many revisions a judge may have missed: more are not read while the counter is held.
const MOST_MISSED: u64 = 5_000;

/// Refuses to write for a judge that is too far behind, ahead of the cluster, or cannot be told all it missed.
pub(super) fn check_missed(head: Head, known: u64) -> Result<(), StoreError> {
    let behind = head.revision.saturating_sub(known) > MOST_MISSED;
    let ahead = known > head.revision && known != u64::MAX;
    if behind || ahead || check_compacted(head, known).is_err() {
        return Err(StoreError::Behind { known, revision: head.revision });
    }
    Ok(())
}

/// A counter from the database.
pub(super) fn unsigned(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Corrupt(format!("a revision is negative: {value}")))
}

/// A counter for the database, which has no unsigned ones. A revision past 2⁶³ does not come to be.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn signed_len(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Brings the schema up to date.
pub(super) async fn migrate<C: Migrate>(migrator: &Migrator, connection: &mut C) -> Result<(), StoreError> {
    migrator.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(applied) if applied > known(migrator) => {
            StoreError::SchemaTooNew { applied, known: known(migrator) }
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => StoreError::Internal(format!("the database could not be migrated: {other}")),
    })
}

/// Compares the newest applied migration with the newest one known.
pub(super) fn status(migrator: &Migrator, applied: Option<i64>) -> Result<MigrationStatus, StoreError> {
    let (applied, known) = (applied.unwrap_or(0), known(migrator));
    if applied > known {
        return Err(StoreError::SchemaTooNew { applied, known });
    }
    Ok(MigrationStatus { applied, known })
}

fn known(migrator: &Migrator) -> i64 {
    migrator.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// The rows in pieces that one statement takes: few enough, and together small enough.
pub(super) fn chunks<'a>(rows: &'a [&'a NewRow]) -> impl Iterator<Item = &'a [&'a NewRow]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut bytes = 0_usize;
        let full = rest.iter().take(CHUNK).position(|row| {
            let before = bytes;
            bytes = bytes.saturating_add(row.record.body.len());
            before > 0 && bytes > CHUNK_BYTES
        });
        let (chunk, after) = rest.split_at(full.unwrap_or(rest.len().min(CHUNK)));
        rest = after;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Words the database's errors, each engine its own codes.
impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => match database.try_downcast_ref::<PgDatabaseError>() {
                Some(database) => postgres::error(database),
                None => sqlite::error(&**database),
            },
            sqlx::Error::PoolTimedOut => {
                Self::Busy("no database connection could be had in time: the database is down or all are in use".into())
            }
            sqlx::Error::PoolClosed => Self::Unavailable("the store has been closed".into()),
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                Self::Unavailable(format!("the connection to the database was lost: {}", root_cause(&error)))
            }
            sqlx::Error::Configuration(_) => Self::Url(format!("the store's URL is not valid: {}", root_cause(&error))),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Corrupt(root_cause(&error)),
            _ => Self::Internal(root_cause(&error)),
        }
    }
}

/// The last of an error's chain of causes, which is the one that says something, on one line.
pub(super) fn root_cause(error: &sqlx::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string().lines().collect::<Vec<_>>().join(" ")
}
