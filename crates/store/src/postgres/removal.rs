//! Queries over many clusters, and the removal of whole clusters; see [`crate::removal`].

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::keep::SWEEP_BATCHES;
use super::state::{CLEAR_HISTORY, CLEAR_OBJECTS};
use super::{ATTEMPTS, Postgres, listen, micros, now, object_columns, rows, signed};
use crate::check::SET_ASIDE;
use crate::removal;
use crate::rows::{FoundRow, Locked, SWEEP, StandingRow};
use crate::{Everywhere, Heads, StoreError};

impl Postgres {
    pub(super) async fn read_heads(
        &self,
        connection: &mut PgConnection,
        clusters: &[String],
    ) -> Result<Heads, StoreError> {
        let rows = sqlx::query_as(concat!(
            "SELECT ",
            now!(),
            ", c.name, c.rev, c.compact_rev, c.epoch, c.removed,
                 (SELECT token FROM batch b WHERE b.cluster_id = c.cluster_id AND b.rev_to = c.rev)
             FROM (SELECT 1) AS one LEFT JOIN cluster c ON c.name = ANY($1)"
        ))
        .bind(clusters)
        .fetch_all(connection);
        let rows: Vec<StandingRow> = self.within(rows).await?;
        rows::heads(rows)
    }

    pub(super) async fn read_everywhere(
        &self,
        connection: &mut PgConnection,
        kind: &str,
    ) -> Result<Everywhere, StoreError> {
        let now = sqlx::query_scalar(concat!("SELECT ", now!())).fetch_one(&mut *connection);
        let now: i64 = self.within(now).await?;
        let found = sqlx::query_as(concat!(
            "SELECT c.name, ",
            object_columns!(),
            " FROM cluster c JOIN object o ON o.cluster_id = c.cluster_id
              WHERE o.kind = $1 AND NOT o.deleted AND c.removed = 0"
        ))
        .bind(kind)
        .fetch_all(connection);
        let found: Vec<FoundRow> = self.within(found).await?;
        rows::everywhere(now, found)
    }

    pub(super) async fn remove_cluster(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.within(connection.begin()).await?;
        let there = sqlx::query_scalar("SELECT cluster_id FROM cluster WHERE name = $1 AND removed = 0 FOR UPDATE")
            .bind(cluster)
            .fetch_optional(&mut *transaction);
        let there: Option<i32> = self.within(there).await?;
        let Some(id) = there else { return Ok(false) };
        let Locked { head, .. } = self.lock(&mut transaction, cluster).await?;
        let aside = sqlx::query(concat!("UPDATE cluster SET name = $2, removed = ", now!(), " WHERE cluster_id = $1"))
            .bind(id)
            .bind(removal::set_aside(id));
        self.within(aside.execute(&mut *transaction)).await?;
        let (after, kept) = removal::after(head);
        let mut made = 0;
        for _ in 0..ATTEMPTS {
            let mark = sqlx::query(concat!(
                "INSERT INTO cluster (cluster_id, name, rev, compact_rev, epoch, history_from, history_to, removed)
                 SELECT coalesce(max(cluster_id), 0) + 1, $1, $2, $2, $3, $4, $5, ",
                now!(),
                " FROM cluster ON CONFLICT DO NOTHING"
            ))
            .bind(cluster)
            .bind(signed(after.revision))
            .bind(signed(after.epoch))
            .bind(signed(kept.from))
            .bind(signed(kept.to));
            made = self.within(mark.execute(&mut *transaction)).await?.rows_affected();
            if made > 0 {
                break;
            }
        }
        if made == 0 {
            return Err(StoreError::Aborted("other clusters were being created at the same time".into()));
        }
        if self.notify {
            let notify = sqlx::query("SELECT pg_notify($1, $2)")
                .bind(listen::CHANNEL)
                .bind(listen::payload(cluster, after.revision));
            self.within(notify.execute(&mut *transaction)).await?;
        }
        self.within(transaction.commit()).await?;
        self.hints.changed(cluster, after.revision);
        // It is gone by now; what is left of it is swept up later where this does not come to its end.
        self.sweep_set_aside(connection, id).await?;
        self.clear_entries(connection, cluster).await?;
        Ok(true)
    }

    pub(super) async fn sweep_removed(&self, connection: &mut PgConnection, keep: Duration) -> Result<(), StoreError> {
        let ids = sqlx::query_scalar("SELECT cluster_id FROM cluster WHERE removed <> 0 AND starts_with(name, $1)")
            .bind(SET_ASIDE)
            .fetch_all(&mut *connection);
        let ids: Vec<i32> = self.within(ids).await?;
        for id in ids {
            self.sweep_set_aside(connection, id).await?;
        }
        let names = sqlx::query_scalar("SELECT name FROM cluster WHERE removed <> 0 AND NOT starts_with(name, $1)")
            .bind(SET_ASIDE)
            .fetch_all(&mut *connection);
        let names: Vec<String> = self.within(names).await?;
        for name in names {
            self.clear_entries(connection, &name).await?;
        }
        let forget = sqlx::query(concat!(
            "DELETE FROM cluster WHERE removed <> 0 AND removed <= ",
            now!(),
            " - $1 AND NOT starts_with(name, $2)"
        ))
        .bind(micros(keep))
        .bind(SET_ASIDE);
        self.within(forget.execute(&mut *connection)).await?;
        // A free lease needs no row.
        let leases = sqlx::query(concat!("DELETE FROM lease WHERE until <= ", now!(), " - $1")).bind(micros(keep));
        self.within(leases.execute(connection)).await.map(drop)
    }

    /// Deletes the rows of a removed cluster, in pieces, and its own row last.
    async fn sweep_set_aside(&self, connection: &mut PgConnection, id: i32) -> Result<(), StoreError> {
        for sql in [CLEAR_OBJECTS, CLEAR_HISTORY] {
            let piece = || sqlx::query(sql).bind(id).bind(SWEEP);
            while self.within(piece().execute(&mut *connection)).await?.rows_affected() > 0 {}
        }
        let piece = || sqlx::query(SWEEP_BATCHES).bind(id).bind(i64::MAX).bind(SWEEP);
        while self.within(piece().execute(&mut *connection)).await?.rows_affected() > 0 {}
        let last = sqlx::query("DELETE FROM cluster WHERE cluster_id = $1 AND name = $2")
            .bind(id)
            .bind(removal::set_aside(id));
        self.within(last.execute(connection)).await.map(drop)
    }
}
