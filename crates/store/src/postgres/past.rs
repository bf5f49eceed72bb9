//! Lists of the past, and the way back to it.

use std::collections::HashSet;

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::read::READ;
use super::statements::INSERT;
use super::statements::reads::{COUNT_LIST_AT, FOUND, LIST_AT, ROWS, UNDONE};
use super::{
    CHUNK, Key, List, ListQuery, NewRow, ObjectRow, Postgres, Record, Rewind, StoreError, Undone, rows, settle, signed,
    signed_len,
};
use crate::rows::{Locked, unsigned};
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
            let page = sqlx::query_as(LIST_AT)
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
            let count = sqlx::query_scalar(COUNT_LIST_AT)
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
        let found = self.read_some(&mut connection, cluster, keys).await;
        settle(connection, found)
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
        let id = self.ensure(connection, cluster).await?;
        let mut transaction = self.within(connection.begin()).await?;
        let Locked { head, .. } = self.lock(&mut transaction, id, cluster).await?;
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
        let count = sqlx::query_scalar(ROWS).bind(id);
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
