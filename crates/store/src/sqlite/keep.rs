//! Compaction and epochs. One process has the file, so no election is needed.

use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::{Sqlite, micros, now, write};
use crate::keeping::{self, Kept};
use crate::rows::{Locked, SWEEP, signed, unsigned};
use crate::{Compaction, Head, Keep, StoreError};

impl Sqlite {
    pub(super) async fn compact_cluster(
        &self,
        cluster: &str,
        keep: &Keep,
        hold: Option<u64>,
    ) -> Result<Compaction, StoreError> {
        let Some((id, revision, readable)) = self.raise_marks(cluster, keep, hold).await? else {
            return Ok(Compaction::default());
        };
        let mut done = Compaction { revision, ..Compaction::default() };
        for (sql, up_to, removed) in [
            (SWEEP_TOMBSTONES, revision, &mut done.tombstones),
            (SWEEP_BATCHES, revision.min(readable).saturating_sub(1), &mut done.batches),
            (SWEEP_HISTORY, readable, &mut done.versions),
        ] {
            loop {
                let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
                let sweep = sqlx::query(sql).bind(id).bind(signed(up_to)).bind(SWEEP);
                let gone = sweep.execute(&mut *transaction).await?.rows_affected();
                super::commit(transaction).await?;
                *removed = removed.saturating_add(gone);
                if gone <= SWEEP as u64 {
                    break;
                }
            }
        }
        Ok(done)
    }

    /// Notes from where on feed and history can be read from now on, before anything goes. Answers the cluster's id and
    /// both.
    async fn raise_marks(
        &self,
        cluster: &str,
        keep: &Keep,
        hold: Option<u64>,
    ) -> Result<Option<(i32, u64, u64)>, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let Locked { id, head, mut kept } = write::cluster_row(&mut transaction, cluster).await?;
        if head.revision == 0 {
            return Ok(None);
        }
        let most = head.revision.saturating_sub(keep.revisions);
        let revision = last_batch(&mut transaction, id, most, keep.age).await?.max(head.compact_revision);
        if let Some(retention) = self.history {
            let old = last_batch(&mut transaction, id, head.revision, retention).await?;
            kept.from = kept.from.max(old.min(hold.unwrap_or(old)));
        }
        // A mark of removal stays.
        sqlx::query("UPDATE cluster SET compact_rev = ?, history_from = ? WHERE cluster_id = ?")
            .bind(signed(revision))
            .bind(signed(kept.from))
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        super::commit(transaction).await?;
        Ok(Some((id, revision, kept.readable(head.revision))))
    }

    pub(super) async fn raise_epoch(&self, cluster: &str, lost: &Head, token: Uuid) -> Result<Head, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let Locked { id, head, .. } = write::cluster_row(&mut transaction, cluster).await?;
        let (newest, found) = write::tokens(&mut transaction, id, head.revision, lost.revision).await?;
        let now = Head { token: newest, ..head };
        let goes_on = now.continues(lost, found);
        let Some(raised) = keeping::next_epoch(now, lost, goes_on, token) else { return Ok(now) };
        let kept = Kept { from: raised.revision, to: raised.revision };
        write::put_head(&mut transaction, id, cluster, raised, kept).await?;
        write::note_batch(&mut transaction, id, raised).await?;
        super::commit(transaction).await?;
        self.hints.changed(cluster, raised.revision);
        Ok(raised)
    }
}

/// The revision of the newest batch that is up to `most` and so old; 0 when there is none.
async fn last_batch(connection: &mut SqliteConnection, id: i32, most: u64, age: Duration) -> Result<u64, StoreError> {
    let last: Option<i64> = sqlx::query_scalar(concat!(
        "SELECT rev_to FROM batch WHERE cluster_id = ? AND rev_to <= ? AND at <= ",
        now!(),
        " - ? ORDER BY rev_to DESC LIMIT 1"
    ))
    .bind(id)
    .bind(signed(most))
    .bind(micros(age))
    .fetch_optional(connection)
    .await?;
    unsigned(last.unwrap_or(0))
}

const SWEEP_TOMBSTONES: &str = "DELETE FROM object WHERE cluster_id = ?1 AND deleted AND rev <= ?2
    AND rev <= coalesce((SELECT rev FROM object WHERE cluster_id = ?1 AND deleted AND rev <= ?2
                         ORDER BY rev LIMIT 1 OFFSET ?3), ?2)";

const SWEEP_BATCHES: &str = "DELETE FROM batch WHERE cluster_id = ?1 AND rev_to <= ?2
    AND rev_to <= coalesce((SELECT rev_to FROM batch WHERE cluster_id = ?1 AND rev_to <= ?2
                            ORDER BY rev_to LIMIT 1 OFFSET ?3), ?2)";

const SWEEP_HISTORY: &str = "DELETE FROM history WHERE cluster_id = ?1 AND until_rev <= ?2
    AND until_rev <= coalesce((SELECT until_rev FROM history WHERE cluster_id = ?1 AND until_rev <= ?2
                               ORDER BY until_rev LIMIT 1 OFFSET ?3), ?2)";
