//! Lists of the past, and the way back to it.

use std::collections::HashSet;

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::read::READ;
use super::statements::INSERT;
use super::{
    CHUNK, Key, List, ListQuery, NewRow, ObjectRow, Postgres, Record, Rewind, StoreError, Undone, object_columns, rows,
    settle, signed, signed_len,
};
use crate::rows::{Locked, superseded_columns, unsigned};
use crate::{keeping, types};

impl Postgres {
    pub(super) async fn read_list_at(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        query: &ListQuery,
        revision: u64,
    ) -> Result<List, StoreError> {
        let mut transaction = self.within(connection.begin_with(READ)).await?;
        let (id, _, revision) = self.past(&mut transaction, cluster, Some(revision)).await?;
        let types::Range { mut start, end } = query.range();
        let limit = query.limit.unwrap_or(usize::MAX);
        let mut items: Vec<Record> = Vec::new();
        let mut more = limit > 0;
        while more {
            let wanted = CHUNK.min(limit.saturating_sub(items.len()));
            let page = sqlx::query_as(concat!(
                "SELECT * FROM (
                    SELECT * FROM (SELECT ",
                object_columns!(),
                " FROM object o WHERE o.cluster_id = $1 AND o.kind = $2 AND (o.ns, o.name) > ($3, $4) AND o.ns < $5
                        AND o.rev <= $6 AND NOT o.deleted ORDER BY o.ns, o.name LIMIT $7) AS o
                    UNION ALL
                    SELECT * FROM (SELECT ",
                superseded_columns!("false"),
                " FROM history h WHERE h.cluster_id = $1 AND h.kind = $2 AND (h.ns, h.name) > ($3, $4) AND h.ns < $5
                        AND h.until_rev > $6 AND h.rev <= $6 ORDER BY h.ns, h.name LIMIT $7) AS h
                 ) AS o ORDER BY ns, name LIMIT $7"
            ))
            .bind(id)
            .bind(&*query.kind)
            .bind(&start.0)
            .bind(&start.1)
            .bind(&end)
            .bind(signed(revision))
            .bind(signed_len(wanted))
            .fetch_all(&mut *transaction);
            let page: Vec<ObjectRow> = self.within(page).await?;
            more = page.len() == wanted && items.len().saturating_add(wanted) < limit;
            items.extend(rows::records(page)?);
            if let Some(last) = items.last() {
                start = (last.key.namespace.clone(), last.key.name.clone());
            }
        }
        let mut remaining = None;
        if query.limit == Some(items.len()) {
            let count = sqlx::query_scalar(
                "SELECT (SELECT count(*) FROM object o WHERE o.cluster_id = $1 AND o.kind = $2 AND (o.ns, o.name) > ($3, $4)
                     AND o.ns < $5 AND o.rev <= $6 AND NOT o.deleted)
                      + (SELECT count(*) FROM history h WHERE h.cluster_id = $1 AND h.kind = $2 AND (h.ns, h.name) > ($3, $4)
                     AND h.ns < $5 AND h.until_rev > $6 AND h.rev <= $6)",
            )
            .bind(id)
            .bind(&*query.kind)
            .bind(&start.0)
            .bind(&start.1)
            .bind(&end)
            .bind(signed(revision))
            .fetch_one(&mut *transaction);
            remaining = Some(unsigned(self.within(count).await?)?).filter(|count| *count > 0);
        }
        self.within(transaction.commit()).await?;
        Ok(List { items, revision, remaining })
    }

    pub(super) async fn read_rows_at(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        keys: &[Key],
        revision: u64,
    ) -> Result<Vec<Record>, StoreError> {
        let mut transaction = self.within(connection.begin_with(READ)).await?;
        let (id, _, revision) = self.past(&mut transaction, cluster, Some(revision)).await?;
        let mut found = Vec::new();
        for keys in keys.chunks(CHUNK) {
            let rows = sqlx::query_as(FOUND)
                .bind(id)
                .bind(keys.iter().map(|key| &*key.kind).collect::<Vec<_>>())
                .bind(keys.iter().map(|key| key.namespace.as_str()).collect::<Vec<_>>())
                .bind(keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>())
                .bind(signed(revision))
                .fetch_all(&mut *transaction);
            let rows: Vec<ObjectRow> = self.within(rows).await?;
            found.extend(rows::records(rows)?);
        }
        self.within(transaction.commit()).await?;
        Ok(found)
    }

    pub(super) async fn read_rows(&self, cluster: &str, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        let mut connection = self.acquire().await?;
        let found = self.rows_on(&mut connection, cluster, keys).await;
        settle(connection, found)
    }

    async fn rows_on(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        keys: &[Key],
    ) -> Result<Vec<Record>, StoreError> {
        let id = sqlx::query_scalar("SELECT cluster_id FROM cluster WHERE name = $1").bind(cluster);
        let Some(id) = self.within(id.fetch_optional(&mut *connection)).await? else { return Ok(Vec::new()) };
        let keys: Vec<(&Key, bool)> = keys.iter().map(|key| (key, true)).collect();
        let mut found = Vec::new();
        for keys in keys.chunks(CHUNK) {
            found.extend(self.current_rows(connection, id, keys).await?);
        }
        Ok(found)
    }

    pub(super) async fn adopt_rows(&self, cluster: &str, records: &[Record]) -> Result<u64, StoreError> {
        let mut connection = self.acquire().await?;
        let adopted = self.adopt_on(&mut connection, cluster, records).await;
        settle(connection, adopted)
    }

    async fn adopt_on(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        records: &[Record],
    ) -> Result<u64, StoreError> {
        let mut transaction = self.within(connection.begin()).await?;
        let Locked { id, head, .. } = self.lock(&mut transaction, cluster).await?;
        keeping::check_adopted(records, head.revision)?;
        let keys: Vec<(&Key, bool)> = records.iter().map(|record| (&record.key, false)).collect();
        let mut present = HashSet::new();
        for keys in keys.chunks(CHUNK) {
            let found = self.current_rows(&mut transaction, id, keys).await?;
            present.extend(found.into_iter().map(|row| row.key));
        }
        let missing = records.iter().filter(|record| !present.contains(&record.key));
        let missing: Vec<NewRow> =
            missing.map(|record| NewRow { record: record.clone(), replaces: None, body_changed: true }).collect();
        for rows in rows::chunks(&missing.iter().collect::<Vec<_>>()) {
            self.write_some(&mut transaction, &INSERT, rows, id, None).await?;
        }
        let count = sqlx::query_scalar("SELECT count(*) FROM object WHERE cluster_id = $1").bind(id);
        let count: i64 = self.within(count.fetch_one(&mut *transaction)).await?;
        self.within(transaction.commit()).await?;
        unsigned(count)
    }

    pub(super) async fn read_undone(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        rewind: &Rewind,
        limit: usize,
    ) -> Result<Undone, StoreError> {
        let mut transaction = self.within(connection.begin_with(READ)).await?;
        let (id, _, revision) = self.past(&mut transaction, cluster, Some(rewind.to)).await?;
        let (after, upto) = rewind.window(revision, limit);
        let undone = sqlx::query_as(UNDONE)
            .bind(id)
            .bind(signed(after))
            .bind(signed(upto))
            .bind(signed(revision))
            .bind(signed(rewind.from))
            .bind(rewind.bodies.kinds())
            .fetch_all(&mut *transaction);
        let undone: Vec<ObjectRow> = self.within(undone).await?;
        self.within(transaction.commit()).await?;
        Ok(rewind.undone(revision, after, rows::records(undone)?))
    }
}

/// Some objects as they were at a revision. `$2` to `$4`: their keys. `$5`: the revision.
const FOUND: &str = concat!(
    "WITH k AS (SELECT * FROM unnest($2::text[], $3::text[], $4::text[]) AS k (kind, ns, name))
     SELECT ",
    object_columns!(),
    " FROM k JOIN object o ON o.cluster_id = $1 AND o.kind = k.kind AND o.ns = k.ns AND o.name = k.name
      WHERE o.rev <= $5 AND NOT o.deleted
     UNION ALL
     SELECT ",
    superseded_columns!("false"),
    " FROM k JOIN history h ON h.cluster_id = $1 AND h.kind = k.kind AND h.ns = k.ns AND h.name = k.name
      WHERE h.until_rev > $5 AND h.rev <= $5"
);

/// Objects superseded between two revisions, as they were at the earlier one; then what came to be between them, of objects that have changed
/// since and of those that have not. `$2` and `$3`: the window. `$4`: the earlier revision. `$5`: the later one. `$6`: the kinds whose
/// bodies are read.
const UNDONE: &str = concat!(
    "SELECT ",
    superseded_columns!("false", "$6::text[] IS NULL OR h.kind = ANY($6)", "''::bytea"),
    " FROM history h WHERE h.cluster_id = $1 AND h.until_rev > $2 AND h.until_rev <= $3 AND h.rev <= $4
     UNION ALL
     SELECT c.kind, c.ns, c.name, c.uid, c.create_rev, c.create_rev, NULL::text, true, c.create_rev, 0, ''::bytea
     FROM history c WHERE c.cluster_id = $1 AND c.create_rev > $2 AND c.create_rev <= $3 AND c.rev <= $5 AND c.until_rev > $5
     AND NOT EXISTS (SELECT 1 FROM history p WHERE p.cluster_id = $1 AND p.kind = c.kind AND p.ns = c.ns AND p.name = c.name
                     AND p.until_rev > $4 AND p.rev <= $4)
     UNION ALL
     SELECT c.kind, c.ns, c.name, c.uid, c.create_rev, c.create_rev, NULL::text, true, c.create_rev, 0, ''::bytea
     FROM object c WHERE c.cluster_id = $1 AND c.rev > $2 AND c.rev <= $3 AND c.create_rev > $4 AND NOT c.deleted
     AND NOT EXISTS (SELECT 1 FROM history p WHERE p.cluster_id = $1 AND p.kind = c.kind AND p.ns = c.ns AND p.name = c.name
                     AND p.until_rev > $4 AND p.rev <= $4)"
);
