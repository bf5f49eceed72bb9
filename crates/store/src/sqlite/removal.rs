//! Many heads at once, and the removal of whole clusters; see [`crate::removal`].

use std::time::Duration;

use sqlx::sqlite::SqlitePool;

use super::{Sqlite, micros, now};
use crate::check::SET_ASIDE;
use crate::removal;
use crate::rows::{Locked, SWEEP, StandingRow};
use crate::{StoreError, sqlite::write};

/// The heads of those clusters that exist.
pub(super) async fn read_heads(readers: &SqlitePool, clusters: &[String]) -> Result<Vec<StandingRow>, StoreError> {
    let rows = sqlx::query_as(concat!(
        "SELECT ",
        now!(),
        ", c.name, c.rev, c.compact_rev, c.epoch, c.removed,
             (SELECT token FROM batch b WHERE b.cluster_id = c.cluster_id AND b.rev_to = c.rev)
         FROM (SELECT 1) LEFT JOIN cluster c ON c.name IN (SELECT value FROM json_each(?))"
    ))
    .bind(write::json(&clusters)?)
    .fetch_all(readers);
    Ok(rows.await?)
}

impl Sqlite {
    pub(super) async fn remove_cluster(&self, cluster: &str) -> Result<bool, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let there: Option<i32> = sqlx::query_scalar("SELECT cluster_id FROM cluster WHERE name = ? AND removed = 0")
            .bind(cluster)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(id) = there else { return Ok(false) };
        let Locked { head, .. } = write::cluster_row(&mut transaction, cluster).await?;
        sqlx::query(concat!("UPDATE cluster SET name = ?, removed = ", now!(), " WHERE cluster_id = ?"))
            .bind(removal::set_aside(id))
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        let (after, kept) = removal::after(head);
        let Locked { id: new, .. } = write::cluster_row(&mut transaction, cluster).await?;
        write::put_head(&mut transaction, new, cluster, after, kept).await?;
        sqlx::query(concat!("UPDATE cluster SET removed = ", now!(), " WHERE cluster_id = ?"))
            .bind(new)
            .execute(&mut *transaction)
            .await?;
        super::commit(transaction).await?;
        self.hints.changed(cluster, after.revision);
        // It is gone by now; what is left of it is swept up later where this does not come to its end.
        self.sweep_set_aside(id).await?;
        self.clear_entries(cluster).await?;
        Ok(true)
    }

    pub(super) async fn sweep_removed(&self, keep: Duration) -> Result<(), StoreError> {
        let set_aside =
            sqlx::query_scalar("SELECT cluster_id FROM cluster WHERE removed <> 0 AND substr(name, 1, 1) = ?");
        let ids: Vec<i32> = set_aside.bind(SET_ASIDE).fetch_all(&self.readers).await?;
        for id in ids {
            self.sweep_set_aside(id).await?;
        }
        let names = sqlx::query_scalar("SELECT name FROM cluster WHERE removed <> 0 AND substr(name, 1, 1) <> ?");
        let names: Vec<String> = names.bind(SET_ASIDE).fetch_all(&self.readers).await?;
        for name in names {
            self.clear_entries(&name).await?;
        }
        sqlx::query(concat!(
            "DELETE FROM cluster WHERE removed <> 0 AND removed <= ",
            now!(),
            " - ? AND substr(name, 1, 1) <> ?"
        ))
        .bind(micros(keep))
        .bind(SET_ASIDE)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Deletes the rows of a removed cluster, in pieces, and its own row last.
    async fn sweep_set_aside(&self, id: i32) -> Result<(), StoreError> {
        for sql in CLEAR {
            while sqlx::query(sql).bind(id).bind(SWEEP).execute(&self.writer).await?.rows_affected() > 0 {}
        }
        sqlx::query("DELETE FROM cluster WHERE cluster_id = ? AND name = ?")
            .bind(id)
            .bind(removal::set_aside(id))
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

const CLEAR: [&str; 3] = [
    "DELETE FROM object WHERE cluster_id = ?1 AND rev IN
         (SELECT rev FROM object WHERE cluster_id = ?1 ORDER BY rev LIMIT ?2)",
    "DELETE FROM history WHERE cluster_id = ?1 AND until_rev IN
         (SELECT until_rev FROM history WHERE cluster_id = ?1 ORDER BY until_rev LIMIT ?2)",
    "DELETE FROM batch WHERE cluster_id = ?1 AND rev_to IN
         (SELECT rev_to FROM batch WHERE cluster_id = ?1 ORDER BY rev_to LIMIT ?2)",
];
