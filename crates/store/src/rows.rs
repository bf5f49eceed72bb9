//! What both engines share about rows, migrations and errors: no SQL.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::PgDatabaseError;
use uuid::Uuid;

use super::decide::NewRow;
use super::keeping::Kept;
use super::{Everywhere, Head, Heads, Key, MigrationStatus, Record, Standing, StoreError};
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

/// The columns of `superseded_columns!`, and the revision that superseded it.
pub(super) type Version = (String, String, String, String, i64, i64, Option<String>, bool, i64, i32, Vec<u8>, i64);

/// `rev, compact_rev, epoch` of `cluster`, and the tokens of the batches of `rev` and of another revision.
pub(super) type HeadColumns = (i64, i64, i64, Option<Vec<u8>>, Option<Vec<u8>>);

/// The database's time, and `name, rev, compact_rev, epoch, removed` of a cluster with the token of its newest batch: of one
/// row at least, so that the time is told.
pub(super) type StandingColumns =
    (i64, Option<String>, Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<Vec<u8>>);

/// The name of a cluster, and the columns of `object_columns!`.
pub(super) type Found = (String, String, String, String, String, i64, i64, Option<String>, bool, i64, i32, Vec<u8>);

/// `cluster_id, rev, compact_rev, epoch, history_from, history_to` of `cluster`.
pub(super) type ClusterColumns = (i32, i64, i64, i64, i64, i64);

/// How many objects are handed out at a time.
pub const PAGE: usize = 500;

/// How many rows compaction removes in one transaction, and one more.
pub(super) const SWEEP: i64 = 999;

macro_rules! object_columns {
    () => {
        object_columns!("o.body")
    };
    ($body:literal) => {
        concat!("o.kind, o.ns, o.name, o.uid, o.rev, o.create_rev, o.node, o.deleted, o.body_rev, o.codec, ", $body)
    };
}
pub(super) use object_columns;

/// The columns of a row `h` of `history`, as those of `object`. A version whose body outlived it finds that with a later
/// version, or with the object as it is now.
macro_rules! superseded_columns {
    ($live:literal) => {
        concat!(
            "h.kind, h.ns, h.name, h.uid, h.rev, h.create_rev, h.node, ",
            $live,
            ", h.body_rev, h.codec, coalesce(h.body,
               (SELECT n.body FROM history n WHERE n.cluster_id = h.cluster_id AND n.kind = h.kind AND n.ns = h.ns
                AND n.name = h.name AND n.body_rev = h.body_rev AND n.body IS NOT NULL LIMIT 1),
               (SELECT o.body FROM object o WHERE o.cluster_id = h.cluster_id AND o.kind = h.kind AND o.ns = h.ns
                AND o.name = h.name AND o.body_rev = h.body_rev))"
        )
    };
}
pub(super) use superseded_columns;

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

/// Superseded versions.
pub(super) fn versions(rows: Vec<Version>) -> Result<Vec<Record>, StoreError> {
    let record = |(kind, ns, name, uid, rev, create_rev, node, deleted, body_rev, codec, body, _): Version| {
        record((kind, ns, name, uid, rev, create_rev, node, deleted, body_rev, codec, body))
    };
    rows.into_iter().map(record).collect()
}

/// The revision that superseded the last of them.
pub(super) fn until(rows: &[Version]) -> Result<u64, StoreError> {
    unsigned(rows.last().map_or(0, |row| row.11))
}

/// The head of a cluster (of one never written to, all zero), and the token of the other revision.
pub(super) fn head(columns: Option<HeadColumns>) -> Result<(Head, Option<Uuid>), StoreError> {
    let Some((rev, compact_rev, epoch, newest, other)) = columns else { return Ok((Head::default(), None)) };
    let head = Head {
        revision: unsigned(rev)?,
        compact_revision: unsigned(compact_rev)?,
        epoch: unsigned(epoch)?,
        token: token(newest)?.unwrap_or_default(),
    };
    Ok((head, token(other)?))
}

/// Where clusters stand.
pub(super) fn heads(rows: Vec<StandingColumns>) -> Result<Heads, StoreError> {
    let mut heads =
        Heads { now: instant(rows.first().map_or(0, |row| row.0))?, clusters: Vec::with_capacity(rows.len()) };
    for (_, name, rev, compact_rev, epoch, removed, newest) in rows {
        let Some(name) = name else { continue };
        let number = |column: Option<i64>| column.unwrap_or_default();
        let columns = (number(rev), number(compact_rev), number(epoch), newest, None);
        let (revision, removed) = (unsigned(columns.0).unwrap_or_default(), number(removed) != 0);
        heads.clusters.push(Standing { name, revision, removed, head: head(Some(columns)).map(|(head, _)| head) });
    }
    Ok(heads)
}

/// Objects of many clusters.
pub(super) fn everywhere(now: i64, rows: Vec<Found>) -> Result<Everywhere, StoreError> {
    let found =
        rows.into_iter().map(|(cluster, kind, ns, name, uid, rev, create, node, deleted, body_rev, codec, body)| {
            (cluster, record((kind, ns, name, uid, rev, create, node, deleted, body_rev, codec, body)))
        });
    Ok(Everywhere { now: instant(now)?, found: found.collect() })
}

fn instant(micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(micros).map_err(|error| StoreError::Corrupt(format!("the database's time: {error}")))
}

/// A cluster's id, its head but for the token, and what is kept of its past; of one never written to, all zero.
pub(super) fn cluster(columns: Option<ClusterColumns>) -> Result<(i32, Head, Kept), StoreError> {
    let (id, rev, compact_rev, epoch, from, to) = columns.unwrap_or_default();
    let head = Head {
        revision: unsigned(rev)?,
        compact_revision: unsigned(compact_rev)?,
        epoch: unsigned(epoch)?,
        token: Uuid::nil(),
    };
    Ok((id, head, Kept { from: unsigned(from)?, to: unsigned(to)? }))
}

pub(super) fn token(bytes: Option<Vec<u8>>) -> Result<Option<Uuid>, StoreError> {
    let token = bytes.map(|bytes| Uuid::from_slice(&bytes)).transpose();
    token.map_err(|_| StoreError::Corrupt("a batch's token is not 16 bytes long".into()))
}

/// An instant or a length of time for the database.
pub fn micros(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX)
}

/// How many revisions a judge may have missed: more are not read while the counter is held.
const MOST_MISSED: u64 = 5_000;

/// Refuses to write for a judge that is too far behind, ahead of the cluster, or cannot be told all it missed.
pub fn check_missed(head: Head, known: u64) -> Result<(), StoreError> {
    let behind = head.revision.saturating_sub(known) > MOST_MISSED;
    let ahead = known > head.revision && known != u64::MAX;
    let compacted = known != 0 && known < head.compact_revision;
    if behind || ahead || compacted {
        return Err(StoreError::Behind { known, revision: head.revision });
    }
    Ok(())
}

/// The head, unless the judge has seen another history.
pub fn check_seen(head: Head, known: u64, seen: Option<Head>, found: Option<Uuid>) -> Result<Head, StoreError> {
    if seen.is_some_and(|seen| !head.continues(&seen, found)) {
        return Err(StoreError::Behind { known, revision: head.revision });
    }
    Ok(head)
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
                let why = "the database is down, is a standby, or all are in use";
                Self::Busy(format!("no database connection could be had in time: {why}"))
            }
            sqlx::Error::PoolClosed => Self::Unavailable("the store has been closed".into()),
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                let cause = root_cause(&error);
                // The answer to the first byte was the end of the connection.
                Self::Unavailable(if cause.contains(NOBODY_SPOKE) {
                    "the connection was closed before PostgreSQL said anything: is there a primary behind this address \
                     (a proxy without one does so)?"
                        .into()
                } else {
                    format!("the connection to the database was lost: {cause}")
                })
            }
            sqlx::Error::Configuration(_) => Self::Url(format!("the store's URL is not valid: {}", root_cause(&error))),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Corrupt(root_cause(&error)),
            _ => Self::Internal(root_cause(&error)),
        }
    }
}

/// How sqlx says that a connection was closed before its first answer.
const NOBODY_SPOKE: &str = "unexpected response from SSLRequest: 0x00";

/// The last of an error's chain of causes, which is the one that says something, on one line.
pub(super) fn root_cause(error: &sqlx::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string().lines().collect::<Vec<_>>().join(" ")
}
