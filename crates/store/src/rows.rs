//! Shared code of both engines about rows, migrations and errors: no SQL.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};
use uuid::Uuid;

use super::decide::NewRow;
use super::keeping::Kept;
use super::{Entry, EntryId, Everywhere, Head, Heads, Key, MigrationStatus, Record, Scan, Standing, StoreError};

/// Where sqlx notes the migrations it has applied.
pub(super) const MIGRATIONS_TABLE: &str = "_sqlx_migrations";

/// How many rows one statement reads or writes at most: a long list or a large import is many short statements, none of
/// which comes near the statement timeout.
pub(super) const CHUNK: usize = 2_000;

/// How many bytes of bodies one statement carries at most, unless a single one has more.
const CHUNK_BYTES: usize = 4 << 20;

/// A part of a row: columns beside each other, read by position from one of them on. A new column is a field here and a name in
/// the list of columns below, at the same place.
pub(super) trait Part<'r, R: Row>: Sized {
    /// How many columns they are.
    const WIDTH: usize;

    /// Reads them from the column `at` on.
    fn read(row: &'r R, at: usize) -> Result<Self, sqlx::Error>;
}

macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name {
            $(pub(super) $field: $type,)+
        }

        impl<'r, R: Row> Part<'r, R> for $name
        where
            usize: ColumnIndex<R>,
            $($type: Decode<'r, R::Database> + Type<R::Database>,)+
        {
            const WIDTH: usize = [$(stringify!($field)),+].len();

            fn read(row: &'r R, at: usize) -> Result<Self, sqlx::Error> {
                let [$($field),+] = std::array::from_fn(|offset| at + offset);
                Ok(Self { $($field: row.try_get($field)?),+ })
            }
        }

        impl<'r, R: Row> FromRow<'r, R> for $name
        where
            Self: Part<'r, R>,
        {
            fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
                Self::read(row, 0)
            }
        }
    )+};
}

parts! {
    /// The columns of `object_columns!`, or of `superseded_columns!`.
    ObjectRow {
        kind: String,
        ns: String,
        name: String,
        uid: String,
        rev: i64,
        create_rev: i64,
        node: Option<String>,
        deleted: bool,
        body_rev: i64,
        codec: i32,
        body: Vec<u8>,
    }

    /// The columns of `cluster_columns!`; of a cluster never written to, all zero.
    #[derive(Default)]
    ClusterRow {
        cluster_id: i32,
        rev: i64,
        compact_rev: i64,
        epoch: i64,
        history_from: i64,
        history_to: i64,
    }

    /// Where a cluster stands but for its token, which the tokens beside it have.
    HeadRow {
        rev: i64,
        compact_rev: i64,
        epoch: i64,
        newest: Option<Vec<u8>>,
        other: Option<Vec<u8>>,
    }

    /// The tokens of the batches of the newest revision and of another one.
    TokensRow {
        newest: Option<Vec<u8>>,
        other: Option<Vec<u8>>,
    }

    /// An entry of the ledger, of a cluster and kind that are known.
    EntryRow {
        id: Vec<u8>,
        subject: String,
        object: String,
        body: Vec<u8>,
    }

    /// The size of an entry's body.
    SizeRow {
        id: Vec<u8>,
        size: i64,
    }

    /// A removed cluster, or one that was never written to.
    RemovedRow {
        id: i32,
        name: String,
        is_mark: bool,
        is_old: bool,
    }

    /// When the cluster was removed, and how many entries were added.
    AppendedRow {
        removed: i64,
        added: i64,
    }

    /// The next book of the ledger.
    BookRow {
        id: i32,
        cluster: String,
        kind: String,
    }

    /// The database's time, and where a cluster stands with the token of its newest batch: of one row at least, so that the
    /// time is told.
    StandingRow {
        now: i64,
        name: Option<String>,
        rev: Option<i64>,
        compact_rev: Option<i64>,
        epoch: Option<i64>,
        removed: Option<i64>,
        newest: Option<Vec<u8>>,
    }
}

/// A superseded version of an object.
#[derive(Debug)]
pub(super) struct VersionRow {
    object: ObjectRow,
    until_rev: i64,
}

impl<'r, R: Row> FromRow<'r, R> for VersionRow
where
    ObjectRow: Part<'r, R>,
    usize: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self { object: ObjectRow::read(row, 0)?, until_rev: row.try_get(ObjectRow::WIDTH)? })
    }
}

/// An object of the cluster whose name comes first.
#[derive(Debug)]
pub(super) struct FoundRow {
    cluster: String,
    object: ObjectRow,
}

impl<'r, R: Row> FromRow<'r, R> for FoundRow
where
    ObjectRow: Part<'r, R>,
    usize: ColumnIndex<R>,
    String: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self { cluster: row.try_get(0)?, object: ObjectRow::read(row, 1)? })
    }
}

/// How many objects are handed out at a time.
pub const PAGE: usize = 500;

/// How many rows compaction removes in one transaction, and one more.
pub(super) const SWEEP: i64 = 999;

macro_rules! cluster_columns {
    () => {
        "cluster_id, rev, compact_rev, epoch, history_from, history_to"
    };
}
pub(super) use cluster_columns;

macro_rules! object_columns {
    () => {
        object_columns!("o.body")
    };
    ($body:literal) => {
        concat!("o.kind, o.ns, o.name, o.uid, o.rev, o.create_rev, o.node, o.deleted, o.body_rev, o.codec, ", $body)
    };
}
pub(super) use object_columns;

/// The columns of a row `h` of `history`, as those of `object`; `$id` is the cluster's id. A version whose body outlived it finds that with a later
/// version, or with the object as it is now.
macro_rules! superseded_columns {
    ($id:literal, $live:literal) => {
        concat!(
            "h.kind, h.ns, h.name, h.uid, h.rev, h.create_rev, h.node, ",
            $live,
            ", h.body_rev, h.codec, ",
            superseded_columns!(@body $id)
        )
    };
    // With a body only where a condition holds, else with `$empty`.
    ($id:literal, $live:literal, $condition:literal, $empty:literal) => {
        concat!(
            "h.kind, h.ns, h.name, h.uid, h.rev, h.create_rev, h.node, ",
            $live,
            ", h.body_rev, h.codec, CASE WHEN ",
            $condition,
            " THEN ",
            superseded_columns!(@body $id),
            " ELSE ",
            $empty,
            " END"
        )
    };
    (@body $id:literal) => {
        concat!(
            "coalesce(h.body,
               (SELECT n.body FROM history n WHERE n.cluster_id = ", $id, " AND n.kind = h.kind AND n.ns = h.ns
                AND n.name = h.name AND n.body_rev = h.body_rev AND n.body IS NOT NULL LIMIT 1),
               (SELECT o.body FROM object o WHERE o.cluster_id = ", $id, " AND o.kind = h.kind AND o.ns = h.ns
                AND o.name = h.name AND o.body_rev = h.body_rev))"
        )
    };
}
pub(super) use superseded_columns;

/// The body is stored as received.
pub(super) const CODEC_RAW: i32 = 0;

impl ObjectRow {
    pub(super) fn into_record(self) -> Result<Record, StoreError> {
        let Self { kind, ns: namespace, name, uid, node, deleted, codec, .. } = self;
        if codec != CODEC_RAW {
            return Err(StoreError::Corrupt(format!("{kind} {namespace}/{name} has a body of unknown codec {codec}")));
        }
        Ok(Record {
            key: Key { kind: kind.into(), namespace, name },
            uid,
            revision: unsigned(self.rev)?,
            create_revision: unsigned(self.create_rev)?,
            node,
            deleted,
            body_revision: unsigned(self.body_rev)?,
            body: self.body.into(),
        })
    }
}

pub(super) fn records(rows: Vec<ObjectRow>) -> Result<Vec<Record>, StoreError> {
    rows.into_iter().map(ObjectRow::into_record).collect()
}

/// Superseded versions.
pub(super) fn versions(rows: Vec<VersionRow>) -> Result<Vec<Record>, StoreError> {
    rows.into_iter().map(|row| row.object.into_record()).collect()
}

/// The revision that superseded the last of them.
pub(super) fn until(rows: &[VersionRow]) -> Result<u64, StoreError> {
    unsigned(rows.last().map_or(0, |row| row.until_rev))
}

impl HeadRow {
    /// The head of a cluster (of one never written to, all zero), and the token of the other revision.
    pub(super) fn read_head(row: Option<Self>) -> Result<(Head, Option<Uuid>), StoreError> {
        let Some(Self { rev, compact_rev, epoch, newest, other }) = row else { return Ok((Head::default(), None)) };
        let (token, other) = TokensRow { newest, other }.into_tokens()?;
        let head =
            Head { revision: unsigned(rev)?, compact_revision: unsigned(compact_rev)?, epoch: unsigned(epoch)?, token };
        Ok((head, other))
    }
}

impl TokensRow {
    /// The token of the newest revision (nil for none), and that of the other.
    pub(super) fn into_tokens(self) -> Result<(Uuid, Option<Uuid>), StoreError> {
        Ok((token(self.newest)?.unwrap_or_default(), token(self.other)?))
    }
}

impl EntryRow {
    pub(super) fn into_entry(self, scan: &Scan) -> Result<Entry, StoreError> {
        Ok(Entry {
            cluster: scan.cluster.clone(),
            kind: scan.kind.clone(),
            id: EntryId::from_bytes(&self.id)?,
            subject: self.subject,
            object: self.object,
            body: self.body.into(),
        })
    }
}

impl SizeRow {
    pub(super) fn sizes(rows: Vec<Self>) -> Result<Vec<(EntryId, u64)>, StoreError> {
        rows.into_iter().map(|row| Ok((EntryId::from_bytes(&row.id)?, unsigned(row.size)?))).collect()
    }
}

/// Where clusters stand.
pub(super) fn heads(rows: Vec<StandingRow>) -> Result<Heads, StoreError> {
    let now = instant(rows.first().map_or(0, |row| row.now))?;
    let number = |column: Option<i64>| column.unwrap_or_default();
    let standing = |row: StandingRow| {
        let StandingRow { rev, compact_rev, epoch, newest, .. } = row;
        let head =
            HeadRow { rev: number(rev), compact_rev: number(compact_rev), epoch: number(epoch), newest, other: None };
        Some(Standing {
            name: row.name?,
            revision: unsigned(head.rev).unwrap_or_default(),
            removed: number(row.removed) != 0,
            head: HeadRow::read_head(Some(head)).map(|(head, _)| head),
        })
    };
    Ok(Heads { now, clusters: rows.into_iter().filter_map(standing).collect() })
}

/// Objects of many clusters.
pub(super) fn everywhere(now: i64, rows: Vec<FoundRow>) -> Result<Everywhere, StoreError> {
    let found = rows.into_iter().map(|FoundRow { cluster, object }| (cluster, object.into_record()));
    Ok(Everywhere { now: instant(now)?, found: found.collect() })
}

pub(super) fn instant(micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(micros).map_err(|error| StoreError::Corrupt(format!("the database's time: {error}")))
}

/// A cluster's row while its transaction holds it.
#[derive(Debug)]
pub(super) struct Locked {
    pub(super) id: i32,
    /// Where it stands, but for the token.
    pub(super) head: Head,
    pub(super) kept: Kept,
}

impl ClusterRow {
    /// A cluster's id, where it stands, and what is kept of its past.
    pub(super) fn into_locked(self) -> Result<Locked, StoreError> {
        let head = Head {
            revision: unsigned(self.rev)?,
            compact_revision: unsigned(self.compact_rev)?,
            epoch: unsigned(self.epoch)?,
            token: Uuid::nil(),
        };
        let kept = Kept { from: unsigned(self.history_from)?, to: unsigned(self.history_to)? };
        Ok(Locked { id: self.cluster_id, head, kept })
    }
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

/// The last of an error's chain of causes, which is the one that says something, on one line.
pub(super) fn root_cause(error: &sqlx::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string().lines().collect::<Vec<_>>().join(" ")
}
