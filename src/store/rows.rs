//! What both engines share about rows and migrations: shapes, no SQL.

use std::error::Error as _;

use bytes::Bytes;
use sqlx::migrate::{Migrate, MigrateError, Migrator};

use super::{Head, Key, MigrationStatus, Record, StoreError};

/// Where sqlx notes the migrations it has applied.
pub(super) const MIGRATIONS_TABLE: &str = "_sqlx_migrations";

/// How many rows one statement reads or writes at most: a long list or a large import is many short statements, none of
/// which comes near the statement timeout.
pub(super) const CHUNK: usize = 2_000;

/// The columns of `object` that make a [`Record`], in the order of `object_columns!`.
pub(super) type Columns = (String, String, String, String, i64, i64, Option<String>, bool, i32, Vec<u8>);

/// `rev, compact_rev, epoch` of `cluster`.
pub(super) type HeadColumns = (i64, i64, i64);

macro_rules! object_columns {
    () => {
        "o.kind, o.ns, o.name, o.uid, o.rev, o.create_rev, o.node, o.deleted, o.codec, o.body"
    };
}
pub(super) use object_columns;

/// The body is stored as received.
pub(super) const CODEC_RAW: i32 = 0;

pub(super) fn record(columns: Columns) -> Result<Record, StoreError> {
    let (kind, namespace, name, uid, rev, create_rev, node, deleted, codec, body) = columns;
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

/// Brings the schema up to date; `engine` words the database's own errors.
pub(super) async fn migrate<C: Migrate>(
    migrator: &Migrator,
    connection: &mut C,
    engine: fn(&sqlx::Error) -> StoreError,
) -> Result<(), StoreError> {
    migrator.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(applied) if applied > known(migrator) => {
            StoreError::SchemaTooNew { applied, known: known(migrator) }
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => engine(&error),
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

/// The last sentence of an error's chain of causes, which is the one that says something.
pub(super) fn root_cause(error: &sqlx::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string().lines().collect::<Vec<_>>().join(" ")
}

/// Words what does not depend on the engine.
pub(super) fn other_error(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::PoolTimedOut => StoreError::Busy("no database connection became free in time".into()),
        sqlx::Error::PoolClosed => StoreError::Unavailable("the store has been closed".into()),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            StoreError::Unavailable(format!("the connection to the database was lost: {}", root_cause(error)))
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => StoreError::Corrupt(root_cause(error)),
        sqlx::Error::Migrate(error) => StoreError::Internal(error.to_string()),
        _ => StoreError::Internal(error.source().map_or_else(|| error.to_string(), ToString::to_string)),
    }
}
