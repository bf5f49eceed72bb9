//! Lists of the past, and the way back to it.

use std::collections::HashSet;

use super::state::past;
use super::write;
use super::{
    CHUNK, Key, List, ListQuery, ObjectRow, Record, Rewind, Sqlite, StoreError, Undone, kinds, object_columns, rows,
    signed, signed_len,
};
use crate::rows::{Locked, superseded_columns, unsigned};
use crate::{keeping, types};

impl Sqlite {
    pub(super) async fn read_list_at(
        &self,
        cluster: &str,
        query: &ListQuery,
        revision: u64,
    ) -> Result<List, StoreError> {
        let mut transaction = self.readers.begin().await?;
        let (id, _, revision) = past(&mut transaction, cluster, Some(revision)).await?;
        let types::Range { start, end } = query.range();
        let items: Vec<ObjectRow> = sqlx::query_as(concat!(
            "SELECT * FROM (
                    SELECT * FROM (SELECT ",
            object_columns!(),
            " FROM object o WHERE o.cluster_id = ?1 AND o.kind = ?2 AND (o.ns, o.name) > (?3, ?4) AND o.ns < ?5
                        AND o.rev <= ?6 AND NOT o.deleted ORDER BY o.ns, o.name LIMIT ?7) AS o
                    UNION ALL
                    SELECT * FROM (SELECT ",
            superseded_columns!("h.cluster_id", "0"),
            " FROM history h WHERE h.cluster_id = ?1 AND h.kind = ?2 AND (h.ns, h.name) > (?3, ?4) AND h.ns < ?5
                        AND h.until_rev > ?6 AND h.rev <= ?6 ORDER BY h.ns, h.name LIMIT ?7) AS h
                 ) AS o ORDER BY ns, name LIMIT ?7"
        ))
        .bind(id)
        .bind(&*query.kind)
        .bind(&start.0)
        .bind(&start.1)
        .bind(&end)
        .bind(signed(revision))
        .bind(query.limit.map_or(i64::MAX, signed_len))
        .fetch_all(&mut *transaction)
        .await?;
        let items = rows::records(items)?;
        let mut remaining = None;
        if query.limit == Some(items.len()) {
            let last = items.last().map(|last| (&last.key.namespace, &last.key.name));
            let (namespace, name) = last.unwrap_or((&start.0, &start.1));
            let count: i64 = sqlx::query_scalar(
                "SELECT (SELECT count(*) FROM object o WHERE o.cluster_id = ?1 AND o.kind = ?2 AND (o.ns, o.name) > (?3, ?4)
                     AND o.ns < ?5 AND o.rev <= ?6 AND NOT o.deleted)
                      + (SELECT count(*) FROM history h WHERE h.cluster_id = ?1 AND h.kind = ?2 AND (h.ns, h.name) > (?3, ?4)
                     AND h.ns < ?5 AND h.until_rev > ?6 AND h.rev <= ?6)",
            )
            .bind(id)
            .bind(&*query.kind)
            .bind(namespace)
            .bind(name)
            .bind(&end)
            .bind(signed(revision))
            .fetch_one(&mut *transaction)
            .await?;
            remaining = Some(unsigned(count)?).filter(|count| *count > 0);
        }
        Ok(List { items, revision, remaining })
    }

    pub(super) async fn read_rows_at(
        &self,
        cluster: &str,
        keys: &[Key],
        revision: u64,
    ) -> Result<Vec<Record>, StoreError> {
        let mut transaction = self.readers.begin().await?;
        let (id, _, revision) = past(&mut transaction, cluster, Some(revision)).await?;
        let mut found = Vec::new();
        for keys in keys.chunks(CHUNK) {
            let keys = keys.iter().map(|key| (&*key.kind, &*key.namespace, &*key.name));
            let rows: Vec<ObjectRow> = sqlx::query_as(FOUND)
                .bind(write::json(&keys.collect::<Vec<_>>())?)
                .bind(id)
                .bind(signed(revision))
                .fetch_all(&mut *transaction)
                .await?;
            found.extend(rows::records(rows)?);
        }
        Ok(found)
    }

    pub(super) async fn read_rows(&self, cluster: &str, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        let mut transaction = self.readers.begin().await?;
        let Locked { id, head, .. } = write::cluster_row(&mut transaction, cluster).await?;
        let mut found = Vec::new();
        if head.revision > 0 {
            let keys: Vec<(&Key, bool)> = keys.iter().map(|key| (key, true)).collect();
            for keys in keys.chunks(CHUNK) {
                found.extend(write::current_rows(&mut transaction, id, keys).await?);
            }
        }
        Ok(found)
    }

    pub(super) async fn adopt_rows(&self, cluster: &str, records: &[Record]) -> Result<u64, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let Locked { id, head, .. } = write::cluster_row(&mut transaction, cluster).await?;
        keeping::check_adopted(records, head.revision)?;
        let keys: Vec<(&Key, bool)> = records.iter().map(|record| (&record.key, false)).collect();
        let mut present = HashSet::new();
        for keys in keys.chunks(CHUNK) {
            present.extend(write::current_rows(&mut transaction, id, keys).await?.into_iter().map(|row| row.key));
        }
        let missing = records.iter().filter(|record| !present.contains(&record.key)).collect();
        write::write_records(&mut transaction, id, missing).await?;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM object WHERE cluster_id = ?")
            .bind(id)
            .fetch_one(&mut *transaction)
            .await?;
        super::commit(transaction).await?;
        unsigned(count)
    }

    pub(super) async fn read_undone(&self, cluster: &str, rewind: &Rewind, limit: usize) -> Result<Undone, StoreError> {
        let mut transaction = self.readers.begin().await?;
        let (id, _, revision) = past(&mut transaction, cluster, Some(rewind.to)).await?;
        let (after, upto) = rewind.window(revision, limit);
        let undone: Vec<ObjectRow> = sqlx::query_as(UNDONE)
            .bind(id)
            .bind(signed(after))
            .bind(signed(upto))
            .bind(signed(revision))
            .bind(signed(rewind.from))
            .bind(kinds(rewind.bodies))
            .fetch_all(&mut *transaction)
            .await?;
        Ok(rewind.undone(revision, after, rows::records(undone)?))
    }
}

/// Some objects as they were at a revision. `?1`: their keys. `?3`: the revision.
const FOUND: &str = concat!(
    "SELECT ",
    object_columns!(),
    " FROM json_each(?1) k CROSS JOIN object o WHERE o.cluster_id = ?2 AND o.kind = k.value ->> 0 AND o.ns = k.value ->> 1
      AND o.name = k.value ->> 2 AND o.rev <= ?3 AND NOT o.deleted
     UNION ALL
     SELECT ",
    superseded_columns!("h.cluster_id", "0"),
    " FROM json_each(?1) k CROSS JOIN history h WHERE h.cluster_id = ?2 AND h.kind = k.value ->> 0 AND h.ns = k.value ->> 1
      AND h.name = k.value ->> 2 AND h.until_rev > ?3 AND h.rev <= ?3"
);

/// Objects superseded between two revisions, as they were at the earlier one; then what came to be between them, of objects that have changed
/// since and of those that have not. `?2` and `?3`: the window. `?4`: the earlier revision. `?5`: the later one. `?6`: the kinds whose
/// bodies are read.
const UNDONE: &str = concat!(
    "SELECT ",
    superseded_columns!("h.cluster_id", "0", "?6 IS NULL OR h.kind IN (SELECT value FROM json_each(?6))", "x''"),
    " FROM history h WHERE h.cluster_id = ?1 AND h.until_rev > ?2 AND h.until_rev <= ?3 AND h.rev <= ?4
     UNION ALL
     SELECT c.kind, c.ns, c.name, c.uid, c.create_rev, c.create_rev, NULL, 1, c.create_rev, 0, x''
     FROM history c WHERE c.cluster_id = ?1 AND c.create_rev > ?2 AND c.create_rev <= ?3 AND c.rev <= ?5 AND c.until_rev > ?5
     AND NOT EXISTS (SELECT 1 FROM history p WHERE p.cluster_id = ?1 AND p.kind = c.kind AND p.ns = c.ns AND p.name = c.name
                     AND p.until_rev > ?4 AND p.rev <= ?4)
     UNION ALL
     SELECT c.kind, c.ns, c.name, c.uid, c.create_rev, c.create_rev, NULL, 1, c.create_rev, 0, x''
     FROM object c WHERE c.cluster_id = ?1 AND c.rev > ?2 AND c.rev <= ?3 AND c.create_rev > ?4 AND NOT c.deleted
     AND NOT EXISTS (SELECT 1 FROM history p WHERE p.cluster_id = ?1 AND p.kind = c.kind AND p.ns = c.ns AND p.name = c.name
                     AND p.until_rev > ?4 AND p.rev <= ?4)"
);
