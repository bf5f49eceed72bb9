//! What a batch writes. A statement is a trip to the connection's own thread and back, which costs more than the row it
//! writes: so many rows go with one.

use std::fmt::Write;
use std::sync::LazyLock;

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::{Columns, Key, Record, StoreError, object_columns, rows, signed};
use crate::store::decide::NewRow;
use crate::store::rows::CODEC_RAW;

/// The rows there are for some keys, tombstones included, with the bodies of those that are put. The keys travel as one
/// JSON parameter; `CROSS JOIN` makes SQLite look each of them up in the index instead of going through the table.
pub(super) async fn current_rows(
    connection: &mut SqliteConnection,
    id: i32,
    keys: &[(&Key, bool)],
) -> Result<Vec<Record>, StoreError> {
    let keys = keys.iter().map(|(key, put)| (&*key.kind, &*key.namespace, &*key.name, *put));
    let found: Vec<Columns> = sqlx::query_as(concat!(
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

/// Writes the cluster's counter, the batch's token and the rows.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    id: i32,
    cluster: &str,
    revision: u64,
    rows: &[NewRow],
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO cluster (cluster_id, name, rev) VALUES (?, ?, ?)
         ON CONFLICT (cluster_id) DO UPDATE SET rev = excluded.rev",
    )
    .bind(id)
    .bind(cluster)
    .bind(signed(revision))
    .execute(&mut *connection)
    .await?;
    sqlx::query("INSERT INTO batch (cluster_id, rev_to, token) VALUES (?, ?, ?)")
        .bind(id)
        .bind(signed(revision))
        .bind(Uuid::new_v4().as_bytes().as_slice())
        .execute(&mut *connection)
        .await?;
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

/// Writes whole rows over what there is.
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

/// Statements for so many rows each, the largest first: few enough that each is prepared once.
static UPSERTS: LazyLock<Vec<(usize, String)>> = LazyLock::new(|| {
    [128, 16, 1].into_iter().map(|size| (size, upsert(size))).collect()
});

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

fn json<T: serde::Serialize>(rows: &T) -> Result<String, StoreError> {
    serde_json::to_string(rows).map_err(|error| StoreError::Internal(error.to_string()))
}
