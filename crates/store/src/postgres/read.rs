//! Reads of one cluster.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, FromRow};
use uuid::Uuid;

use super::{
    CHUNK, Changes, Cursor, Head, Key, List, ListQuery, ObjectRow, Postgres, Record, StoreError, object_columns, rows,
    signed, signed_len, statements,
};
use crate::rows::{HeadRow, Part};
use crate::types;

/// Reading, each in one transaction that sees the state of one instant. The cluster's id comes from a subquery, not a
/// join: only so does the planner know that there is one, and reads a page off the index instead of sorting all.
impl Postgres {
    /// With the token that the database has for another revision.
    pub(super) async fn read_head(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        other: u64,
    ) -> Result<(Head, Option<Uuid>), StoreError> {
        let row = sqlx::query_as(
            "SELECT rev, compact_rev, epoch,
                 (SELECT token FROM batch b WHERE b.cluster_id = c.cluster_id AND b.rev_to = c.rev),
                 (SELECT token FROM batch b WHERE b.cluster_id = c.cluster_id AND b.rev_to = $2)
             FROM cluster c WHERE name = $1",
        )
        .bind(cluster)
        .bind(signed(other))
        .fetch_optional(connection);
        let row: Option<HeadRow> = self.within(row).await?;
        HeadRow::read_head(row)
    }

    pub(super) async fn read_some(
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
        found.retain(|record: &Record| !record.deleted);
        Ok(found)
    }

    pub(super) async fn read_list(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        query: &ListQuery,
    ) -> Result<List, StoreError> {
        let mut transaction = self.within(connection.begin_with(READ)).await?;
        let (head, _) = self.read_head(&mut transaction, cluster, 0).await?;
        let types::Range { mut start, end } = query.range();
        let limit = query.limit.unwrap_or(usize::MAX);
        let mut items: Vec<Record> = Vec::new();
        let mut more = limit > 0;
        while more {
            let wanted = CHUNK.min(limit.saturating_sub(items.len()));
            let page = sqlx::query_as(concat!(
                "SELECT ",
                object_columns!(),
                " FROM object o
                  WHERE o.cluster_id = (SELECT cluster_id FROM cluster WHERE name = $1)
                  AND o.kind = $2 AND (o.ns, o.name) > ($3, $4) AND o.ns < $5 AND NOT o.deleted
                  ORDER BY o.ns, o.name LIMIT $6"
            ))
            .bind(cluster)
            .bind(&*query.kind)
            .bind(&start.0)
            .bind(&start.1)
            .bind(&end)
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
                "SELECT count(*) FROM object o
                 WHERE o.cluster_id = (SELECT cluster_id FROM cluster WHERE name = $1)
                 AND o.kind = $2 AND (o.ns, o.name) > ($3, $4) AND o.ns < $5 AND NOT o.deleted",
            )
            .bind(cluster)
            .bind(&*query.kind)
            .bind(&start.0)
            .bind(&start.1)
            .bind(&end)
            .fetch_one(&mut *transaction);
            let count: i64 = self.within(count).await?;
            remaining = u64::try_from(count).ok().filter(|count| *count > 0);
        }
        self.within(transaction.commit()).await?;
        Ok(List { items, revision: head.revision, remaining })
    }

    pub(super) async fn read_changes(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        from: &Cursor,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        let page = sqlx::query(statements::CHANGES)
            .bind(cluster)
            .bind(signed(from.seen_revision()))
            .bind(signed(from.after))
            .bind(signed_len(limit))
            .bind(signed(from.complete))
            .bind(from.bodies.kinds())
            .fetch_all(connection);
        let page = self.within(page).await?;
        let (head, found) = HeadRow::read_head(page.first().map(HeadRow::from_row).transpose()?)?;
        from.check(&head, found)?;
        let mut records = Vec::with_capacity(page.len());
        for row in &page {
            if let Some(object) = statements::object(row, <HeadRow as Part<PgRow>>::WIDTH)? {
                records.push(object.into_record()?);
            }
        }
        records.sort_unstable_by_key(|record| record.revision);
        Ok(from.page(head, records, limit))
    }

    pub(super) async fn read_migrations(&self, connection: &mut PgConnection) -> Result<Option<i64>, StoreError> {
        let there = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(rows::MIGRATIONS_TABLE)
            .fetch_one(&mut *connection);
        if !self.within(there).await? {
            return Ok(None);
        }
        let applied = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(connection);
        self.within(applied).await
    }
}

/// All statements of such a transaction see the same instant.
pub(super) const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
