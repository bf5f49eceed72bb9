//! A whole cluster as of one revision, out and in.

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::read::READ;
use super::statements::INSERT;
use super::statements::clusters::{CLEAR_HISTORY, CLEAR_OBJECTS, LEISURE};
use super::statements::reads::{
    ANY_OBJECT, BATCH_AT, CHANGED_SINCE, COUNT_AT, GET_CHANGED, GET_UNCHANGED, UNCHANGED_SINCE,
};
use super::{Key, ObjectRow, Postgres, Record, StoreError, rows, settle, signed, signed_len};
use crate::decide::NewRow;
use crate::keeping::{self, Kept};
use crate::rows::{Locked, PAGE, SWEEP, VersionRow, unsigned};
use crate::{Head, Restore, Source, Visitor};

const PATIENCE: Duration = Duration::from_mins(10);

/// Bounds the wait for one statement over a whole cluster.
async fn leisurely<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    match tokio::time::timeout(PATIENCE, statement).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(StoreError::Unavailable(format!("the database was silent for {PATIENCE:?}"))),
    }
}

impl Postgres {
    pub(super) async fn visit(
        &self,
        cluster: &str,
        revision: Option<u64>,
        visitor: &mut dyn Visitor,
    ) -> Result<(), StoreError> {
        let mut connection = self.acquire().await?;
        let visited = self.visit_on(&mut connection, cluster, revision, visitor).await;
        settle(connection, visited)
    }

    async fn visit_on(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        revision: Option<u64>,
        visitor: &mut dyn Visitor,
    ) -> Result<(), StoreError> {
        let mut transaction = self.within(connection.begin_with(READ)).await?;
        self.within(sqlx::query(LEISURE).execute(&mut *transaction)).await?;
        let (id, head, revision) = self.past(&mut transaction, cluster, revision).await?;
        let count = sqlx::query_scalar(COUNT_AT).bind(id).bind(signed(revision)).fetch_one(&mut *transaction);
        visitor.begin(revision, unsigned(leisurely(count).await?)?).map_err(StoreError::Stopped)?;

        let mut after = Key::new("", "", "");
        loop {
            let page = sqlx::query_as(UNCHANGED_SINCE)
                .bind(id)
                .bind(&*after.kind)
                .bind(&after.namespace)
                .bind(&after.name)
                .bind(signed(revision))
                .bind(signed_len(PAGE))
                .fetch_all(&mut *transaction);
            let page: Vec<ObjectRow> = leisurely(page).await?;
            let full = page.len() == PAGE;
            let page = rows::records(page)?;
            if let Some(last) = page.last() {
                after = last.key.clone();
            }
            visitor.records(page).map_err(StoreError::Stopped)?;
            if !full {
                break;
            }
        }
        let mut until = revision;
        while until < head.revision {
            let page = sqlx::query_as(CHANGED_SINCE)
                .bind(id)
                .bind(signed(until))
                .bind(signed(revision))
                .bind(signed_len(PAGE))
                .fetch_all(&mut *transaction);
            let page: Vec<VersionRow> = leisurely(page).await?;
            until = if page.len() == PAGE { rows::until(&page)? } else { head.revision };
            visitor.records(rows::versions(page)?).map_err(StoreError::Stopped)?;
        }
        self.within(transaction.commit()).await
    }

    pub(super) async fn read_at(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        key: &Key,
        revision: u64,
    ) -> Result<Option<Record>, StoreError> {
        let mut transaction = self.within(connection.begin_with(READ)).await?;
        let (id, _, revision) = self.past(&mut transaction, cluster, Some(revision)).await?;
        let mut row: Option<ObjectRow> = None;
        for sql in [GET_UNCHANGED, GET_CHANGED] {
            let found = sqlx::query_as(sql)
                .bind(id)
                .bind(&*key.kind)
                .bind(&key.namespace)
                .bind(&key.name)
                .bind(signed(revision))
                .fetch_optional(&mut *transaction);
            row = self.within(found).await?;
            if row.is_some() {
                break;
            }
        }
        self.within(transaction.commit()).await?;
        Ok(row.map(ObjectRow::into_record).transpose()?.filter(|record| !record.deleted))
    }

    /// The cluster's id, its head, and the revision to read: that of the last batch up to the requested one.
    pub(super) async fn past(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        revision: Option<u64>,
    ) -> Result<(i32, Head, u64), StoreError> {
        let Locked { id, head, kept } = self.stands(connection, cluster).await?;
        let Some(revision) = revision.filter(|revision| *revision != head.revision) else {
            return Ok((id, head, head.revision));
        };
        kept.check(head.revision, revision)?;
        let batch = sqlx::query_scalar(BATCH_AT).bind(id).bind(signed(revision)).fetch_one(connection);
        let batch: Option<i64> = self.within(batch).await?;
        Ok((id, head, unsigned(batch.unwrap_or(0))?))
    }

    pub(super) async fn restore_cluster(
        &self,
        cluster: &str,
        source: &mut dyn Source,
        how: Restore,
    ) -> Result<Head, StoreError> {
        let mut connection = self.acquire().await?;
        let restored = self.restore_on(&mut connection, cluster, source, how).await;
        settle(connection, restored)
    }

    async fn restore_on(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        source: &mut dyn Source,
        how: Restore,
    ) -> Result<Head, StoreError> {
        let id = self.ensure(connection, cluster).await?;
        let mut transaction = self.within(connection.begin()).await?;
        self.within(sqlx::query(LEISURE).execute(&mut *transaction)).await?;
        let Locked { head: before, .. } = self.lock(&mut transaction, id, cluster).await?;
        let filled = sqlx::query_scalar(ANY_OBJECT).bind(id).fetch_one(&mut *transaction);
        if leisurely(filled).await? && !how.replace {
            return Err(keeping::not_empty(cluster));
        }
        for sql in [CLEAR_OBJECTS, CLEAR_HISTORY] {
            while leisurely(sqlx::query(sql).bind(id).bind(SWEEP).execute(&mut *transaction)).await?.rows_affected() > 0
            {
            }
        }
        let (offset, head) = how.plan(before, source.revision());
        let head = Head { token: Uuid::new_v4(), ..head };
        while let Some(records) = source.records().map_err(StoreError::Stopped)? {
            let rows: Vec<NewRow> = keeping::new_rows(records, offset, head.revision)?;
            for rows in rows::chunks(&rows.iter().collect::<Vec<_>>()) {
                self.write_some(&mut transaction, &INSERT, rows, id, None).await?;
            }
        }
        self.put_head(&mut transaction, id, head, Kept { from: head.revision, to: head.revision }).await?;
        if head.revision > before.revision {
            self.note_batch(&mut transaction, id, cluster, head).await?;
        }
        self.within(transaction.commit()).await?;
        self.hints.changed(cluster, head.revision);
        Ok(head)
    }
}
