//! Reads of one cluster.

use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, FromRow};

use super::directory::Candidates;
use super::statements::clusters::{HAS_TABLE, NEWEST_MIGRATION};
use super::statements::reads::{BATCH_BY, CHANGES, COUNT, GET, LIST};
use super::{
    CHUNK, Changes, Cursor, Key, List, ListQuery, ObjectRow, Postgres, Record, StoreError, rows, signed, signed_len,
    statements,
};
use crate::rows::{HeadRow, Locked, Part};
use crate::types;

/// Reading, each in one transaction that sees the state of one instant.
impl Postgres {
    pub(super) async fn read_one(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        key: &Key,
    ) -> Result<Option<Record>, StoreError> {
        let mut ids = Candidates::of(cluster);
        while let Some(id) = ids.next(self, connection).await? {
            let row = sqlx::query(GET)
                .bind(id)
                .bind(cluster)
                .bind(&*key.kind)
                .bind(&key.namespace)
                .bind(&key.name)
                .fetch_optional(&mut *connection);
            if let Some(row) = self.within(row).await? {
                return statements::object(&row, 0)?.map(ObjectRow::into_record).transpose();
            }
        }
        Ok(None)
    }

    pub(super) async fn read_some(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        keys: &[Key],
    ) -> Result<Vec<Record>, StoreError> {
        let Some(id) = self.id_of(connection, cluster).await? else { return Ok(Vec::new()) };
        let keys: Vec<(&Key, bool)> = keys.iter().map(|key| (key, true)).collect();
        let mut found = Vec::new();
        for keys in keys.chunks(CHUNK) {
            found.extend(self.current_rows(connection, id, keys).await?);
        }
        Ok(found)
    }

    pub(super) async fn read_list(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        query: &ListQuery,
    ) -> Result<List, StoreError> {
        let mut transaction = self.within(connection.begin_with(READ)).await?;
        let Locked { id, head, .. } = self.stands(&mut transaction, cluster).await?;
        let types::Range { mut start, end } = query.range();
        let limit = query.limit.unwrap_or(usize::MAX);
        let mut items: Vec<Record> = Vec::new();
        let mut more = limit > 0;
        while more {
            let wanted = CHUNK.min(limit.saturating_sub(items.len()));
            let page = sqlx::query_as(LIST)
                .bind(id)
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
            let count = sqlx::query_scalar(COUNT)
                .bind(id)
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
        let mut page = Vec::new();
        let mut ids = Candidates::of(cluster);
        while page.is_empty()
            && let Some(id) = ids.next(self, connection).await?
        {
            let rows = sqlx::query(CHANGES)
                .bind(id)
                .bind(cluster)
                .bind(signed(from.seen_revision()))
                .bind(signed(from.after))
                .bind(signed_len(limit))
                .bind(signed(from.complete))
                .bind(from.bodies.kinds())
                .fetch_all(&mut *connection);
            page = self.within(rows).await?;
        }
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

    /// The revision of the newest batch that was committed by a time.
    pub(super) async fn read_batch_by(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        time: Timestamp,
    ) -> Result<Option<u64>, StoreError> {
        let Some(id) = self.id_of(connection, cluster).await? else { return Ok(None) };
        let found = sqlx::query_scalar(BATCH_BY).bind(id).bind(time.as_microsecond()).fetch_optional(connection);
        let found: Option<i64> = self.within(found).await?;
        found.map(rows::unsigned).transpose()
    }

    pub(super) async fn read_migrations(&self, connection: &mut PgConnection) -> Result<Option<i64>, StoreError> {
        let there = sqlx::query_scalar(HAS_TABLE).bind(rows::MIGRATIONS_TABLE).fetch_one(&mut *connection);
        if !self.within(there).await? {
            return Ok(None);
        }
        let applied = sqlx::query_scalar(NEWEST_MIGRATION).fetch_one(connection);
        self.within(applied).await
    }
}

/// All statements of such a transaction see the same instant.
pub(super) const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
