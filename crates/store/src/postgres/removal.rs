//! Queries over many clusters, and the removal of whole clusters; see [`crate::removal`].

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::directory::Candidates;
use super::keep::OF_ALL;
use super::statements::clusters::{
    CLEAR_HISTORY, CLEAR_LEASES, CLEAR_LEDGER, CLEAR_OBJECTS, DROP_FREE_LEASES, DROP_NAME, DROP_SET_ASIDE, EVERYWHERE,
    FORGET, HEADS, LOCK, LOCK_LIVE, MARK, NOTIFY, NOW, REMOVED, SET_ASIDE, SET_ID, SWEEP_BATCHES,
};
use super::{Postgres, listen, micros, rows, signed};
use crate::check;
use crate::removal;
use crate::rows::{ClusterRow, FoundRow, Locked, RemovedRow, SWEEP, StandingRow};
use crate::{Everywhere, Heads, StoreError};

impl Postgres {
    pub(super) async fn read_heads(
        &self,
        connection: &mut PgConnection,
        clusters: &[String],
    ) -> Result<Heads, StoreError> {
        if !clusters.is_empty() {
            let rows = sqlx::query_as(HEADS).bind(clusters).fetch_all(&mut *connection);
            let rows: Vec<StandingRow> = self.within(rows).await?;
            if !rows.is_empty() {
                return rows::heads(rows);
            }
        }
        let now = rows::instant(self.read_now(connection).await?)?;
        Ok(Heads { now, clusters: Vec::new() })
    }

    /// The database's time: microseconds since 1970.
    async fn read_now(&self, connection: &mut PgConnection) -> Result<i64, StoreError> {
        self.within(sqlx::query_scalar(NOW).fetch_one(connection)).await
    }

    pub(super) async fn read_everywhere(
        &self,
        connection: &mut PgConnection,
        kind: &str,
    ) -> Result<Everywhere, StoreError> {
        let now = self.read_now(connection).await?;
        let found = sqlx::query_as(EVERYWHERE).bind(kind).fetch_all(&mut *connection);
        let found: Vec<FoundRow> = self.within(found).await?;
        rows::everywhere(now, found)
    }

    pub(super) async fn remove_cluster(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.within(connection.begin()).await?;
        let mut ids = Candidates::of(cluster);
        let mut there: Option<ClusterRow> = None;
        while there.is_none()
            && let Some(id) = ids.next(self, &mut transaction).await?
        {
            let lock = sqlx::query_as(LOCK_LIVE).bind(id).bind(cluster).fetch_optional(&mut *transaction);
            there = self.within(lock).await?;
        }
        let Some(Locked { id, head, .. }) = there.map(ClusterRow::into_locked).transpose()? else { return Ok(false) };
        let now = self.read_now(&mut transaction).await?;
        let aside = sqlx::query(SET_ASIDE).bind(id).bind(removal::set_aside(id)).bind(now);
        self.within(aside.execute(&mut *transaction)).await?;
        let (after, kept) = removal::after(head);
        let next = self.next_id(&mut transaction).await?;
        let mark = sqlx::query(MARK)
            .bind(next)
            .bind(cluster)
            .bind(signed(after.revision))
            .bind(signed(after.epoch))
            .bind(signed(kept.from))
            .bind(signed(kept.to));
        self.within(mark.execute(&mut *transaction)).await?;
        self.within(sqlx::query(SET_ID).bind(cluster).bind(next).execute(&mut *transaction)).await?;
        if self.notify {
            let notify = sqlx::query(NOTIFY).bind(listen::CHANNEL).bind(listen::payload(cluster, after.revision));
            self.within(notify.execute(&mut *transaction)).await?;
        }
        self.within(transaction.commit()).await?;
        self.directory.forget(cluster);
        self.hints.changed(cluster, after.revision);
        // It is gone by now; what is left of it is swept up later where this does not come to its end.
        self.sweep_set_aside(connection, id).await?;
        Ok(true)
    }

    pub(super) async fn sweep_removed(&self, connection: &mut PgConnection, keep: Duration) -> Result<(), StoreError> {
        let removed = sqlx::query_as(REMOVED).bind(micros(keep)).fetch_all(&mut *connection);
        let removed: Vec<RemovedRow> = self.within(removed).await?;
        for RemovedRow { id, name, is_mark, is_old } in removed {
            if name.starts_with(check::SET_ASIDE) {
                self.sweep_set_aside(connection, id).await?;
                continue;
            }
            if is_mark {
                // What came late.
                self.clear(connection, CLEAR_LEDGER, id).await?;
            }
            if is_old {
                self.forget_name(connection, id, &name).await?;
            }
        }
        // A free lease needs no row.
        let before = self.read_now(connection).await?.saturating_sub(micros(keep));
        let free = sqlx::query(DROP_FREE_LEASES).bind(OF_ALL).bind(before);
        self.within(free.execute(connection)).await.map(drop)
    }

    /// Forgets a name, unless it has an object or an entry by now.
    async fn forget_name(&self, connection: &mut PgConnection, id: i32, name: &str) -> Result<(), StoreError> {
        let mut transaction = self.within(connection.begin()).await?;
        // Whoever waits for the row then finds it gone, and its entries, if it has put some, have been seen.
        let lock = sqlx::query(LOCK).bind(id).bind(name).execute(&mut *transaction);
        self.within(lock).await?;
        let gone = sqlx::query(FORGET).bind(id).execute(&mut *transaction);
        if self.within(gone).await?.rows_affected() == 0 {
            return self.within(transaction.rollback()).await;
        }
        self.within(sqlx::query(CLEAR_LEASES).bind(id).execute(&mut *transaction)).await?;
        self.within(sqlx::query(DROP_NAME).bind(name).bind(id).execute(&mut *transaction)).await?;
        self.within(transaction.commit()).await?;
        self.directory.forget(name);
        Ok(())
    }

    /// Deletes the rows of a removed cluster, in pieces, and its own row last.
    async fn sweep_set_aside(&self, connection: &mut PgConnection, id: i32) -> Result<(), StoreError> {
        for sql in [CLEAR_OBJECTS, CLEAR_HISTORY, CLEAR_LEDGER] {
            self.clear(connection, sql, id).await?;
        }
        let piece = || sqlx::query(SWEEP_BATCHES).bind(id).bind(i64::MAX).bind(SWEEP);
        while self.within(piece().execute(&mut *connection)).await?.rows_affected() > 0 {}
        self.within(sqlx::query(CLEAR_LEASES).bind(id).execute(&mut *connection)).await?;
        let last = sqlx::query(DROP_SET_ASIDE).bind(id).bind(removal::set_aside(id));
        self.within(last.execute(connection)).await.map(drop)
    }

    /// Deletes rows of a cluster, in pieces.
    async fn clear(&self, connection: &mut PgConnection, sql: &'static str, id: i32) -> Result<(), StoreError> {
        let piece = || sqlx::query(sql).bind(id).bind(SWEEP);
        while self.within(piece().execute(&mut *connection)).await?.rows_affected() > 0 {}
        Ok(())
    }
}
