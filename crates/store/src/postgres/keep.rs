//! Background work that one process does for all: compaction, leases, epochs.

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::statements::clusters::{
    HOLD, LAST_BATCH, LEASE, LEASES, LOCK_LIVE, RAISE_MARKS, SWEEP_BATCHES, SWEEP_HISTORY, SWEEP_TOMBSTONES,
};
use super::{Postgres, micros, settle};
use crate::keeping::{self, Kept};
use crate::rows::{ClusterRow, Locked, SWEEP, signed, unsigned};
use crate::{Compaction, Head, Keep, StoreError};

impl Postgres {
    pub(super) async fn compact_cluster(
        &self,
        cluster: &str,
        keep: &Keep,
        hold: Option<u64>,
    ) -> Result<Compaction, StoreError> {
        let mut connection = self.acquire().await?;
        let done = self.sweep(&mut connection, cluster, (keep, hold)).await;
        settle(connection, done)
    }

    async fn sweep(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        keep: (&Keep, Option<u64>),
    ) -> Result<Compaction, StoreError> {
        let Some((id, revision, readable)) = self.raise_marks(connection, cluster, keep).await? else {
            return Ok(Compaction::default());
        };
        let mut done = Compaction { revision, ..Compaction::default() };
        for (sql, up_to, removed) in [
            (SWEEP_TOMBSTONES, revision, &mut done.tombstones),
            (SWEEP_BATCHES, revision.min(readable).saturating_sub(1), &mut done.batches),
            (SWEEP_HISTORY, readable, &mut done.versions),
        ] {
            loop {
                let gone = self.sweep_some(connection, sql, id, up_to).await?;
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
        connection: &mut PgConnection,
        cluster: &str,
        (keep, hold): (&Keep, Option<u64>),
    ) -> Result<Option<(i32, u64, u64)>, StoreError> {
        let Some(id) = self.id_of(connection, cluster).await? else { return Ok(None) };
        let mut transaction = self.within(connection.begin()).await?;
        let row = sqlx::query_as(LOCK_LIVE).bind(id).bind(cluster).fetch_optional(&mut *transaction);
        let row: Option<ClusterRow> = self.within(row).await?;
        let Some(row) = row else { return Ok(None) };
        let Locked { head: Head { revision: rev, compact_revision, .. }, mut kept, .. } = row.into_locked()?;

        let most = rev.saturating_sub(keep.revisions);
        let revision = self.last_batch(&mut transaction, id, most, keep.age).await?.max(compact_revision);
        if let Some(retention) = self.history {
            let old = self.last_batch(&mut transaction, id, rev, retention).await?;
            kept.from = kept.from.max(old.min(hold.unwrap_or(old)));
        }
        let raise = sqlx::query(RAISE_MARKS).bind(id).bind(signed(revision)).bind(signed(kept.from));
        self.within(raise.execute(&mut *transaction)).await?;
        self.within(transaction.commit()).await?;
        Ok(Some((id, revision, kept.readable(rev))))
    }

    /// The revision of the newest batch that is up to `most` and so old; 0 when there is none.
    async fn last_batch(
        &self,
        connection: &mut PgConnection,
        id: i32,
        most: u64,
        age: Duration,
    ) -> Result<u64, StoreError> {
        let last =
            sqlx::query_scalar(LAST_BATCH).bind(id).bind(signed(most)).bind(micros(age)).fetch_optional(connection);
        let last: Option<i64> = self.within(last).await?;
        unsigned(last.unwrap_or(0))
    }

    /// Holding the counter: a writer that has read a tombstone would not find it again.
    async fn sweep_some(
        &self,
        connection: &mut PgConnection,
        sql: &'static str,
        id: i32,
        up_to: u64,
    ) -> Result<u64, StoreError> {
        let mut transaction = self.within(connection.begin()).await?;
        let lock = sqlx::query(HOLD).bind(id);
        self.within(lock.execute(&mut *transaction)).await?;
        let sweep = sqlx::query(sql).bind(id).bind(signed(up_to)).bind(SWEEP);
        let gone = self.within(sweep.execute(&mut *transaction)).await?.rows_affected();
        self.within(transaction.commit()).await?;
        Ok(gone)
    }

    pub(super) async fn take_lease(&self, name: &str, holder: Uuid, ttl: Duration) -> Result<bool, StoreError> {
        let mut connection = self.acquire().await?;
        let take = sqlx::query(LEASE)
            .bind(OF_ALL)
            .bind(name)
            .bind(holder.as_bytes().as_slice())
            .bind(micros(ttl))
            .execute(&mut *connection);
        let taken = self.within(take).await;
        Ok(settle(connection, taken)?.rows_affected() == 1)
    }

    pub(super) async fn list_leases(&self, beginning: &str) -> Result<Vec<String>, StoreError> {
        let mut connection = self.acquire().await?;
        let list = sqlx::query_scalar(LEASES).bind(OF_ALL).bind(beginning).fetch_all(&mut *connection);
        let names = self.within(list).await;
        settle(connection, names)
    }

    pub(super) async fn raise_epoch(&self, cluster: &str, lost: &Head, token: Uuid) -> Result<Head, StoreError> {
        let mut connection = self.acquire().await?;
        let raised = self.raise_epoch_on(&mut connection, cluster, lost, token).await;
        settle(connection, raised)
    }

    async fn raise_epoch_on(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        lost: &Head,
        token: Uuid,
    ) -> Result<Head, StoreError> {
        let id = self.ensure(connection, cluster).await?;
        let mut transaction = self.within(connection.begin()).await?;
        let Locked { head, .. } = self.lock(&mut transaction, id, cluster).await?;
        let (newest, found) = self.tokens(&mut transaction, id, head.revision, lost.revision).await?;
        let now = Head { token: newest, ..head };
        let goes_on = now.continues(lost, found);
        let Some(raised) = keeping::next_epoch(now, lost, goes_on, token) else { return Ok(now) };
        self.put_head(&mut transaction, id, raised, Kept { from: raised.revision, to: raised.revision }).await?;
        self.note_batch(&mut transaction, id, cluster, raised).await?;
        self.within(transaction.commit()).await?;
        self.hints.changed(cluster, raised.revision);
        Ok(raised)
    }
}

/// The leases of the whole database.
pub(super) const OF_ALL: i32 = 0;
