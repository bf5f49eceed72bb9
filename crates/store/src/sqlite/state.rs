//! A whole cluster as of one revision, out and in.

use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::write;
use super::{Key, ObjectRow, Record, Sqlite, StoreError, object_columns, rows, signed, signed_len};
use crate::keeping::{self, Kept};
use crate::rows::{Locked, PAGE, VersionRow, superseded_columns, unsigned};
use crate::{Head, Restore, Source, Visitor};

impl Sqlite {
    pub(super) async fn visit(
        &self,
        cluster: &str,
        revision: Option<u64>,
        visitor: &mut dyn Visitor,
    ) -> Result<(), StoreError> {
        let mut transaction = self.readers.begin().await?;
        let (id, head, revision) = past(&mut transaction, cluster, revision).await?;
        let count: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM object WHERE cluster_id = ?1 AND NOT deleted AND rev <= ?2)
                  + (SELECT count(*) FROM history WHERE cluster_id = ?1 AND until_rev > ?2 AND rev <= ?2)",
        )
        .bind(id)
        .bind(signed(revision))
        .fetch_one(&mut *transaction)
        .await?;
        visitor.begin(revision, unsigned(count)?).map_err(StoreError::Stopped)?;

        let mut after = Key::new("", "", "");
        loop {
            let page: Vec<ObjectRow> = sqlx::query_as(concat!(
                "SELECT ",
                object_columns!(),
                " FROM object o WHERE o.cluster_id = ? AND (o.kind, o.ns, o.name) > (?, ?, ?)
                  AND NOT o.deleted AND o.rev <= ? ORDER BY o.kind, o.ns, o.name LIMIT ?"
            ))
            .bind(id)
            .bind(&*after.kind)
            .bind(&after.namespace)
            .bind(&after.name)
            .bind(signed(revision))
            .bind(signed_len(PAGE))
            .fetch_all(&mut *transaction)
            .await?;
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
            let page: Vec<VersionRow> = sqlx::query_as(concat!(
                "SELECT ",
                superseded_columns!("h.cluster_id", "0"),
                ", h.until_rev FROM history h WHERE h.cluster_id = ? AND h.until_rev > ? AND h.rev <= ?
                  ORDER BY h.until_rev LIMIT ?"
            ))
            .bind(id)
            .bind(signed(until))
            .bind(signed(revision))
            .bind(signed_len(PAGE))
            .fetch_all(&mut *transaction)
            .await?;
            until = if page.len() == PAGE { rows::until(&page)? } else { head.revision };
            visitor.records(rows::versions(page)?).map_err(StoreError::Stopped)?;
        }
        Ok(())
    }

    pub(super) async fn read_at(&self, cluster: &str, key: &Key, revision: u64) -> Result<Option<Record>, StoreError> {
        let mut transaction = self.readers.begin().await?;
        let (id, _, revision) = past(&mut transaction, cluster, Some(revision)).await?;
        let mut row: Option<ObjectRow> = sqlx::query_as(concat!(
            "SELECT ",
            object_columns!(),
            " FROM object o WHERE o.cluster_id = ? AND o.kind = ? AND o.ns = ? AND o.name = ? AND o.rev <= ?"
        ))
        .bind(id)
        .bind(&*key.kind)
        .bind(&key.namespace)
        .bind(&key.name)
        .bind(signed(revision))
        .fetch_optional(&mut *transaction)
        .await?;
        if row.is_none() {
            row = sqlx::query_as(concat!(
                "SELECT ",
                superseded_columns!("h.cluster_id", "0"),
                " FROM history h WHERE h.cluster_id = ?1 AND h.kind = ?2 AND h.ns = ?3 AND h.name = ?4
                  AND h.until_rev > ?5 AND h.rev <= ?5"
            ))
            .bind(id)
            .bind(&*key.kind)
            .bind(&key.namespace)
            .bind(&key.name)
            .bind(signed(revision))
            .fetch_optional(&mut *transaction)
            .await?;
        }
        Ok(row.map(ObjectRow::into_record).transpose()?.filter(|record| !record.deleted))
    }

    pub(super) async fn restore_cluster(
        &self,
        cluster: &str,
        source: &mut dyn Source,
        how: Restore,
    ) -> Result<Head, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let Locked { id, head: before, .. } = write::cluster_row(&mut transaction, cluster).await?;
        let filled: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM object WHERE cluster_id = ? AND NOT deleted)")
                .bind(id)
                .fetch_one(&mut *transaction)
                .await?;
        if filled && !how.replace {
            return Err(keeping::not_empty(cluster));
        }
        for sql in ["DELETE FROM object WHERE cluster_id = ?", "DELETE FROM history WHERE cluster_id = ?"] {
            sqlx::query(sql).bind(id).execute(&mut *transaction).await?;
        }
        let (offset, head) = how.plan(before, source.revision());
        let head = Head { token: Uuid::new_v4(), ..head };
        while let Some(records) = source.records().map_err(StoreError::Stopped)? {
            let rows = keeping::new_rows(records, offset, head.revision)?;
            write::write_records(&mut transaction, id, rows.iter().map(|row| &row.record).collect()).await?;
        }
        if head.revision > before.revision {
            let kept = Kept { from: head.revision, to: head.revision };
            write::put_head(&mut transaction, id, cluster, head, kept).await?;
            write::note_batch(&mut transaction, id, head).await?;
        }
        super::commit(transaction).await?;
        self.hints.changed(cluster, head.revision);
        Ok(head)
    }
}

/// The cluster's id, its head, and the revision to read: that of the last batch up to the requested one.
pub(super) async fn past(
    connection: &mut SqliteConnection,
    cluster: &str,
    revision: Option<u64>,
) -> Result<(i32, Head, u64), StoreError> {
    let Locked { id, head, kept } = write::cluster_row(connection, cluster).await?;
    let Some(revision) = revision.filter(|revision| *revision != head.revision) else {
        return Ok((id, head, head.revision));
    };
    kept.check(head.revision, revision)?;
    let batch: Option<i64> = sqlx::query_scalar("SELECT max(rev_to) FROM batch WHERE cluster_id = ? AND rev_to <= ?")
        .bind(id)
        .bind(signed(revision))
        .fetch_one(connection)
        .await?;
    Ok((id, head, unsigned(batch.unwrap_or(0))?))
}
