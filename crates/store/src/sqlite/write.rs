//! The writes of a batch. A statement is a trip to the connection's own thread and back, which costs more than writing a row; so one statement
//! writes many rows.

use std::fmt::Write;
use std::sync::LazyLock;

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::{Head, Key, ObjectRow, Record, StoreError, now, object_columns, rows, signed};
use crate::decide::NewRow;
use crate::keeping::Kept;
use crate::rows::{CODEC_RAW, ClusterRow, Locked, TokensRow, cluster_columns};

/// The rows there are for some keys, tombstones included, with the bodies of those that are put. The keys travel as one
/// JSON parameter; `CROSS JOIN` makes SQLite look each of them up in the index instead of going through the table.
pub(super) async fn current_rows(
    connection: &mut SqliteConnection,
    id: i32,
    keys: &[(&Key, bool)],
) -> Result<Vec<Record>, StoreError> {
    let keys = keys.iter().map(|(key, put)| (&*key.kind, &*key.namespace, &*key.name, *put));
    let found: Vec<ObjectRow> = sqlx::query_as(concat!(
        "SELECT ",
        object_columns!("CASE WHEN k.value ->> 3 THEN o.body ELSE x'' END"),
        " FROM json_each(?) k CROSS JOIN object o
          WHERE o.cluster_id = ? AND o.kind = k.value ->> 0 AND o.ns = k.value ->> 1 AND o.name = k.value ->> 2"
    ))
    .bind(json(&keys.collect::<Vec<_>>())?)
    .bind(id)
    .fetch_all(connection)
    .await?;
    rows::records(found)
}

/// A cluster that does not exist yet gets the next id; [`put_head`] inserts it.
pub(super) async fn cluster_row(connection: &mut SqliteConnection, cluster: &str) -> Result<Locked, StoreError> {
    let row: Option<ClusterRow> =
        sqlx::query_as(concat!("SELECT ", cluster_columns!(), " FROM cluster WHERE name = ?"))
            .bind(cluster)
            .fetch_optional(&mut *connection)
            .await?;
    if let Some(row) = row {
        return row.into_locked();
    }
    let id = sqlx::query_scalar("SELECT coalesce(max(cluster_id), 0) + 1 FROM cluster").fetch_one(connection).await?;
    ClusterRow { cluster_id: id, ..ClusterRow::default() }.into_locked()
}

/// The head with its token, if the judge's revision is in this history.
pub(super) async fn recognise(
    connection: &mut SqliteConnection,
    id: i32,
    head: Head,
    known: u64,
    seen: Option<Head>,
) -> Result<Head, StoreError> {
    rows::check_missed(head, known)?;
    if known == u64::MAX {
        return Ok(head);
    }
    let (token, found) = tokens(connection, id, head.revision, seen.map_or(0, |seen| seen.revision)).await?;
    rows::check_seen(Head { token, ..head }, known, seen, found)
}

/// The tokens that the database has for the newest revision (nil for none) and for another.
pub(super) async fn tokens(
    connection: &mut SqliteConnection,
    id: i32,
    newest: u64,
    other: u64,
) -> Result<(Uuid, Option<Uuid>), StoreError> {
    let tokens: TokensRow = sqlx::query_as(
        "SELECT (SELECT token FROM batch WHERE cluster_id = ?1 AND rev_to = ?2),
                (SELECT token FROM batch WHERE cluster_id = ?1 AND rev_to = ?3)",
    )
    .bind(id)
    .bind(signed(newest))
    .bind(signed(other))
    .fetch_one(connection)
    .await?;
    tokens.into_tokens()
}

/// Writes the head of the cluster.
pub(super) async fn put_head(
    connection: &mut SqliteConnection,
    id: i32,
    cluster: &str,
    head: Head,
    kept: Kept,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO cluster (cluster_id, name, rev, compact_rev, epoch, history_from, history_to)
         VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (cluster_id) DO UPDATE SET rev = excluded.rev,
             compact_rev = excluded.compact_rev, epoch = excluded.epoch, history_from = excluded.history_from,
             history_to = excluded.history_to, removed = 0",
    )
    .bind(id)
    .bind(cluster)
    .bind(signed(head.revision))
    .bind(signed(head.compact_revision))
    .bind(signed(head.epoch))
    .bind(signed(kept.from))
    .bind(signed(kept.to))
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes the batch's token.
pub(super) async fn note_batch(connection: &mut SqliteConnection, id: i32, head: Head) -> Result<(), StoreError> {
    sqlx::query(concat!("INSERT INTO batch (cluster_id, rev_to, token, at) VALUES (?, ?, ?, ", now!(), ")"))
        .bind(id)
        .bind(signed(head.revision))
        .bind(head.token.as_bytes().as_slice())
        .execute(connection)
        .await?;
    Ok(())
}

/// Keeps the rows as they are before they are written over. A body that stays is not copied.
pub(super) async fn keep_superseded(
    connection: &mut SqliteConnection,
    id: i32,
    rows: &[NewRow],
) -> Result<(), StoreError> {
    let known = rows.iter().filter(|row| row.replaces.is_some());
    let known = known.map(|NewRow { record: Record { key, revision, .. }, body_changed, .. }| {
        (&*key.kind, &*key.namespace, &*key.name, signed(*revision), *body_changed)
    });
    sqlx::query(
        "INSERT INTO history
             (cluster_id, until_rev, kind, ns, name, uid, rev, create_rev, node, body_rev, codec, body)
         SELECT ?1, n.value ->> 3, o.kind, o.ns, o.name, o.uid, o.rev, o.create_rev, o.node, o.body_rev, o.codec,
                CASE WHEN n.value ->> 4 THEN o.body END
         FROM json_each(?2) AS n CROSS JOIN object o
         WHERE o.cluster_id = ?1 AND o.kind = n.value ->> 0 AND o.ns = n.value ->> 1 AND o.name = n.value ->> 2
         AND NOT o.deleted",
    )
    .bind(id)
    .bind(json(&known.collect::<Vec<_>>())?)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes the rows of a batch.
pub(super) async fn write_rows(connection: &mut SqliteConnection, id: i32, rows: &[NewRow]) -> Result<(), StoreError> {
    let (put, moved): (Vec<&NewRow>, Vec<&NewRow>) = rows.iter().partition(|row| row.body_changed);
    write_nodes(connection, id, &moved).await?;
    write_records(connection, id, put.iter().map(|row| &row.record).collect()).await
}

/// Writes revision and node of rows whose body stays.
async fn write_nodes(connection: &mut SqliteConnection, id: i32, rows: &[&NewRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let rows = rows.iter().map(|NewRow { record: Record { key, revision, node, .. }, .. }| {
        (&*key.kind, &*key.namespace, &*key.name, signed(*revision), node.as_deref())
    });
    // Each finds its row and conflicts with it: an UPDATE joined with the parameter would go through the whole table.
    sqlx::query(
        "INSERT INTO object (cluster_id, kind, ns, name, rev, node, uid, create_rev, deleted, body_rev, codec, body)
         SELECT ?1, n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4, '', 0, 0, 0, 0, x''
         FROM json_each(?2) AS n WHERE true
         ON CONFLICT (cluster_id, kind, ns, name) DO UPDATE SET rev = excluded.rev, node = excluded.node",
    )
    .bind(id)
    .bind(json(&rows.collect::<Vec<_>>())?)
    .execute(connection)
    .await?;
    Ok(())
}

/// Overwrites whole rows.
pub(super) async fn write_records(
    connection: &mut SqliteConnection,
    id: i32,
    mut records: Vec<&Record>,
) -> Result<(), StoreError> {
    for (size, sql) in &*UPSERTS {
        while records.len() >= *size {
            let mut statement = sqlx::query(AssertSqlSafe(sql.as_str())).bind(id).bind(CODEC_RAW);
            for record in records.drain(records.len() - size..) {
                statement = statement
                    .bind(&*record.key.kind)
                    .bind(&record.key.namespace)
                    .bind(&record.key.name)
                    .bind(&record.uid)
                    .bind(signed(record.revision))
                    .bind(signed(record.create_revision))
                    .bind(record.node.as_deref())
                    .bind(record.deleted)
                    .bind(signed(record.body_revision))
                    .bind(&*record.body);
            }
            statement.execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// Statements for several numbers of rows, the largest first: few enough that each is prepared once.
static UPSERTS: LazyLock<Vec<(usize, String)>> =
    LazyLock::new(|| [128, 16, 1].into_iter().map(|size| (size, upsert(size))).collect());

fn upsert(size: usize) -> String {
    const FIELDS: usize = 10;
    let mut sql = "INSERT INTO object
        (cluster_id, codec, kind, ns, name, uid, rev, create_rev, node, deleted, body_rev, body) VALUES "
        .to_owned();
    for row in 0..size {
        let separator = if row == 0 { "" } else { ", " };
        let _ = write!(sql, "{separator}(?1, ?2");
        for field in 0..FIELDS {
            let _ = write!(sql, ", ?{}", 3 + row * FIELDS + field);
        }
        sql.push(')');
    }
    sql + " ON CONFLICT (cluster_id, kind, ns, name) DO UPDATE SET uid = excluded.uid, rev = excluded.rev,
            create_rev = excluded.create_rev, node = excluded.node, deleted = excluded.deleted,
            body_rev = excluded.body_rev, codec = excluded.codec, body = excluded.body"
}

pub(super) fn json<T: serde::Serialize>(rows: &T) -> Result<String, StoreError> {
    serde_json::to_string(rows).map_err(|error| StoreError::Internal(error.to_string()))
}
