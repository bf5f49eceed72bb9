//! The write transaction: bump the counter, read, decide, write, commit; and what to do when its reply is lost.

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::{
    ATTEMPTS, CHUNK, CODEC_RAW, Call, Columns, Head, Judge, Key, NewRow, Plan, Postgres, Record, StoreError, Written,
    decide, listen, now, object_columns, rows, settle, signed, signed_len,
};
use crate::store::keeping::Kept;
use crate::store::rows::ClusterColumns;

/// A cluster whose counter this transaction holds.
pub(super) struct Locked {
    pub(super) id: i32,
    /// Where it stood before, but for the token.
    pub(super) head: Head,
    pub(super) kept: Kept,
}

/// What one transaction is to write.
pub(super) struct Batch<'a> {
    pub(super) cluster: &'a str,
    pub(super) calls: &'a [Call],
    /// How many writes the calls have.
    pub(super) count: usize,
    /// Random; stored with the batch, so that it can be told later whether it was written.
    pub(super) token: Uuid,
}

impl Postgres {
    /// Tries until the batch is written, refused, or cannot be. When the reply to COMMIT is lost, the next attempt
    /// finds out what became of the one before: it takes the counter's lock, so that one is over, and looks for its
    /// token.
    pub(super) async fn write_batch(&self, batch: &Batch<'_>, judge: &mut dyn Judge) -> Result<Written, StoreError> {
        let mut in_doubt = None;
        for attempt in 1.. {
            let error = match self.attempt(batch, judge, &mut in_doubt).await {
                Ok(written) => return Ok(written),
                Err(error) => error,
            };
            let again = in_doubt.is_some() || matches!(error, StoreError::Aborted(_) | StoreError::Unavailable(_));
            if !again || attempt == ATTEMPTS {
                return Err(if in_doubt.is_some() { StoreError::OutcomeUnknown(error.to_string()) } else { error });
            }
            tokio::time::sleep(Duration::from_millis(10).saturating_mul(attempt)).await;
        }
        Err(StoreError::Internal("the attempts are endless".into()))
    }

    async fn attempt(
        &self,
        batch: &Batch<'_>,
        judge: &mut dyn Judge,
        in_doubt: &mut Option<Written>,
    ) -> Result<Written, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let written = self.transact(&mut connection, batch, judge, in_doubt).await;
        settle(connection, written)
    }

    async fn transact(
        &self,
        connection: &mut PgConnection,
        batch: &Batch<'_>,
        judge: &mut dyn Judge,
        in_doubt: &mut Option<Written>,
    ) -> Result<Written, StoreError> {
        let mut transaction = self.within(connection.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED")).await?;
        let Locked { id, head, kept } = self.lock(&mut transaction, batch.cluster, batch.count).await?;
        if let Some(written) = in_doubt.as_ref() {
            if self.is_written(&mut transaction, id, written.head.revision, batch.token).await? {
                self.within(transaction.rollback()).await?;
                return Ok(written.clone());
            }
            *in_doubt = None;
        }
        if batch.count > CHUNK {
            self.allow_time_to_decide(&mut transaction, batch.count).await?;
        }
        let head = self.recognise(&mut transaction, id, head, judge.known(), judge.seen()).await?;
        let mut current = Vec::new();
        if head.revision > 0 {
            for keys in decide::keys(batch.calls).chunks(CHUNK) {
                current.extend(self.current_rows(&mut transaction, id, keys).await?);
            }
        }
        let missed = self.missed(&mut transaction, id, head, judge.known()).await?;
        judge.begin(head, &missed);
        let Plan { revision, commits, rows } = decide::decide(head.revision, current, batch.calls, judge);
        if rows.is_empty() {
            self.within(transaction.rollback()).await?;
            return Ok(Written { commits, head });
        }
        let written = Written { commits, head: Head { revision, token: batch.token, ..head } };
        if self.history.is_some() {
            self.keep_superseded(&mut transaction, id, &rows).await?;
            self.stand(&mut transaction, id, written.head, kept.with(head.revision, revision)).await?;
        } else if revision != head.revision.saturating_add(batch.count as u64) {
            self.stand(&mut transaction, id, written.head, kept).await?;
        }
        self.write_rows(&mut transaction, id, &rows).await?;
        self.note_batch(&mut transaction, id, batch.cluster, written.head).await?;
        if let Err(error) = self.within(transaction.commit()).await {
            if matches!(error, StoreError::Unavailable(_)) {
                *in_doubt = Some(written);
            }
            return Err(error);
        }
        listen::wake(&self.changed);
        Ok(written)
    }

    /// What changed after the revision that the judge knows.
    async fn missed(
        &self,
        connection: &mut PgConnection,
        id: i32,
        head: Head,
        known: u64,
    ) -> Result<Vec<Record>, StoreError> {
        if head.revision <= known {
            return Ok(Vec::new());
        }
        let missed = sqlx::query_as(concat!(
            "SELECT ",
            object_columns!("CASE WHEN o.body_rev > $2 THEN o.body ELSE '' END"),
            " FROM object o WHERE o.cluster_id = $1 AND o.rev > $2 ORDER BY o.rev"
        ))
        .bind(id)
        .bind(signed(known))
        .fetch_all(connection);
        let missed: Vec<Columns> = self.within(missed).await?;
        rows::records(missed)
    }

    /// Locks the cluster's row by bumping its counter by as many revisions as the batch can need. Creates the cluster if
    /// need be: another process may do so at the same time, under the same name or the same id, and then it is read
    /// again.
    pub(super) async fn lock(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        by: usize,
    ) -> Result<Locked, StoreError> {
        for _ in 0..ATTEMPTS {
            let bump = sqlx::query_as(
                "UPDATE cluster SET rev = rev + $2 WHERE name = $1
                 RETURNING cluster_id, rev - $2, compact_rev, epoch, history_from, history_to",
            )
            .bind(cluster)
            .bind(signed_len(by))
            .fetch_optional(&mut *connection);
            let row: Option<ClusterColumns> = self.within(bump).await?;
            if row.is_some() {
                let (id, head, kept) = rows::cluster(row)?;
                return Ok(Locked { id, head, kept });
            }
            let create = sqlx::query(
                "INSERT INTO cluster (cluster_id, name) SELECT coalesce(max(cluster_id), 0) + 1, $1 FROM cluster
                 ON CONFLICT DO NOTHING",
            )
            .bind(cluster)
            .execute(&mut *connection);
            self.within(create).await?;
        }
        Err(StoreError::Aborted("other clusters were being created at the same time".into()))
    }

    /// The head with its token, if what the judge knows is a part of this history.
    async fn recognise(
        &self,
        connection: &mut PgConnection,
        id: i32,
        head: Head,
        known: u64,
        seen: Option<Head>,
    ) -> Result<Head, StoreError> {
        rows::check_missed(head, known)?;
        if known == u64::MAX {
            return Ok(head);
        }
        let other = seen.map_or(0, |seen| seen.revision);
        let (token, found) = self.tokens(connection, id, head.revision, other).await?;
        rows::check_seen(Head { token, ..head }, known, seen, found)
    }

    /// The tokens that the database has for the newest revision (nil for none) and for another.
    pub(super) async fn tokens(
        &self,
        connection: &mut PgConnection,
        id: i32,
        newest: u64,
        other: u64,
    ) -> Result<(Uuid, Option<Uuid>), StoreError> {
        let tokens = sqlx::query_as(
            "SELECT (SELECT token FROM batch WHERE cluster_id = $1 AND rev_to = $2),
                    (SELECT token FROM batch WHERE cluster_id = $1 AND rev_to = $3)",
        )
        .bind(id)
        .bind(signed(newest))
        .bind(signed(other))
        .fetch_one(connection);
        let (newest, other): (Option<Vec<u8>>, Option<Vec<u8>>) = self.within(tokens).await?;
        Ok((rows::token(newest)?.unwrap_or_default(), rows::token(other)?))
    }

    /// Writes where the cluster stands.
    pub(super) async fn stand(
        &self,
        connection: &mut PgConnection,
        id: i32,
        head: Head,
        kept: Kept,
    ) -> Result<(), StoreError> {
        let stand = sqlx::query(
            "UPDATE cluster SET rev = $2, compact_rev = $3, epoch = $4, history_from = $5, history_to = $6
             WHERE cluster_id = $1",
        )
        .bind(id)
        .bind(signed(head.revision))
        .bind(signed(head.compact_revision))
        .bind(signed(head.epoch))
        .bind(signed(kept.from))
        .bind(signed(kept.to))
        .execute(connection);
        self.within(stand).await.map(drop)
    }

    /// Keeps the rows as they are before they are written over.
    async fn keep_superseded(&self, connection: &mut PgConnection, id: i32, rows: &[NewRow]) -> Result<(), StoreError> {
        let known: Vec<&NewRow> = rows.iter().filter(|row| row.replaces.is_some()).collect();
        for rows in known.chunks(CHUNK) {
            let keep = sqlx::query(SUPERSEDED)
                .bind(id)
                .bind(column(rows, |row| &*row.record.key.kind))
                .bind(column(rows, |row| row.record.key.namespace.as_str()))
                .bind(column(rows, |row| row.record.key.name.as_str()))
                .bind(column(rows, |row| signed(row.record.revision)))
                .bind(column(rows, |row| row.body_changed))
                .execute(&mut *connection);
            self.within(keep).await?;
        }
        Ok(())
    }

    /// The server takes a transaction for idle while a large import is decided on here.
    async fn allow_time_to_decide(&self, connection: &mut PgConnection, writes: usize) -> Result<(), StoreError> {
        let idle = self.idle.saturating_add(Duration::from_micros(200).saturating_mul(writes as u32));
        let set = sqlx::query("SELECT set_config('idle_in_transaction_session_timeout', $1, true)")
            .bind(idle.as_millis().to_string())
            .execute(connection);
        self.within(set).await.map(drop)
    }

    async fn is_written(
        &self,
        connection: &mut PgConnection,
        id: i32,
        revision: u64,
        token: Uuid,
    ) -> Result<bool, StoreError> {
        let found = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM batch WHERE cluster_id = $1 AND rev_to = $2 AND token = $3)",
        )
        .bind(id)
        .bind(signed(revision))
        .bind(token.as_bytes().as_slice())
        .fetch_one(connection);
        self.within(found).await
    }

    /// The rows there are for some keys, tombstones included, with the bodies of those that are put.
    async fn current_rows(
        &self,
        connection: &mut PgConnection,
        id: i32,
        keys: &[(&Key, bool)],
    ) -> Result<Vec<Record>, StoreError> {
        let found = sqlx::query_as(concat!(
            "SELECT ",
            object_columns!("CASE WHEN k.put THEN o.body ELSE '' END"),
            " FROM (SELECT $1::int AS cluster_id, k.*
                    FROM UNNEST($2::text[], $3::text[], $4::text[], $5::bool[]) AS k (kind, ns, name, put) OFFSET 0) AS k
              JOIN object o ON o.cluster_id = k.cluster_id AND o.kind = k.kind AND o.ns = k.ns AND o.name = k.name"
        ))
        .bind(id)
        .bind(column(keys, |(key, _)| &*key.kind))
        .bind(column(keys, |(key, _)| key.namespace.as_str()))
        .bind(column(keys, |(key, _)| key.name.as_str()))
        .bind(column(keys, |(_, put)| *put))
        .fetch_all(connection);
        let found: Vec<Columns> = self.within(found).await?;
        rows::records(found)
    }

    async fn write_rows(&self, connection: &mut PgConnection, id: i32, rows: &[NewRow]) -> Result<(), StoreError> {
        let (put, moved): (Vec<&NewRow>, Vec<&NewRow>) = rows.iter().partition(|row| row.body_changed);
        let (known, new): (Vec<&NewRow>, Vec<&NewRow>) = put.iter().partition(|row| row.replaces.is_some());
        for (sql, rows) in [(INSERT, new), (UPDATE, known)] {
            for rows in rows::chunks(&rows) {
                self.write_bodies(connection, sql, id, rows).await?;
            }
        }
        for rows in moved.chunks(CHUNK) {
            self.write_nodes(connection, id, rows).await?;
        }
        Ok(())
    }

    /// Writes whole rows with one statement, which must find each as it was read.
    pub(super) async fn write_bodies(
        &self,
        connection: &mut PgConnection,
        sql: &'static str,
        id: i32,
        rows: &[&NewRow],
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(sql)
            .bind(id)
            .bind(CODEC_RAW)
            .bind(column(rows, |row| &*row.record.key.kind))
            .bind(column(rows, |row| row.record.key.namespace.as_str()))
            .bind(column(rows, |row| row.record.key.name.as_str()))
            .bind(column(rows, |row| row.record.uid.as_str()))
            .bind(column(rows, |row| signed(row.record.revision)))
            .bind(column(rows, |row| signed(row.record.create_revision)))
            .bind(column(rows, |row| row.record.node.as_deref()))
            .bind(column(rows, |row| row.record.deleted))
            .bind(column(rows, |row| signed(row.record.body_revision)))
            .bind(column(rows, |row| &*row.record.body))
            .bind(column(rows, |row| row.replaces.map(signed)))
            .execute(connection);
        all_written(rows, self.within(statement).await?.rows_affected())
    }

    /// Writes revision and node of rows whose body stays: it is neither sent nor, being stored apart when it is large,
    /// written.
    async fn write_nodes(&self, connection: &mut PgConnection, id: i32, rows: &[&NewRow]) -> Result<(), StoreError> {
        let statement = sqlx::query(MOVE)
            .bind(id)
            .bind(column(rows, |row| &*row.record.key.kind))
            .bind(column(rows, |row| row.record.key.namespace.as_str()))
            .bind(column(rows, |row| row.record.key.name.as_str()))
            .bind(column(rows, |row| signed(row.record.revision)))
            .bind(column(rows, |row| row.record.node.as_deref()))
            .bind(column(rows, |row| row.replaces.map(signed)))
            .execute(connection);
        all_written(rows, self.within(statement).await?.rows_affected())
    }

    /// Notes the batch's token and tells the listeners, who hear of it when the transaction is committed.
    pub(super) async fn note_batch(
        &self,
        connection: &mut PgConnection,
        id: i32,
        cluster: &str,
        head: Head,
    ) -> Result<(), StoreError> {
        let note = sqlx::query(if self.notify { NOTE_AND_NOTIFY } else { NOTE })
            .bind(id)
            .bind(signed(head.revision))
            .bind(head.token.as_bytes().as_slice());
        let note = if self.notify { note.bind(listen::CHANNEL).bind(cluster) } else { note };
        self.within(note.execute(connection)).await.map(drop)
    }
}

/// One column of many rows, as an array parameter.
fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

fn all_written(rows: &[&NewRow], written: u64) -> Result<(), StoreError> {
    if written == rows.len() as u64 {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!("{written} of {} rows were as they had been read", rows.len())))
}

/// The rows of a batch. Here as in the statements below the cluster's id comes with each, from behind `OFFSET 0`: then the
/// planner cannot but look each row up in `object`. By the id as a constant, of a table without statistics, it takes the
/// cluster for small and goes through all of it, once for each row of the batch.
macro_rules! new_rows {
    () => {
        "(SELECT $1::int AS cluster_id, n.*
          FROM UNNEST($3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::text[], $10::bool[],
                      $11::bigint[], $12::bytea[], $13::bigint[])
               AS n (kind, ns, name, uid, rev, create_rev, node, deleted, body_rev, body, replaces) OFFSET 0) AS n"
    };
}

pub(super) const INSERT: &str = concat!(
    "INSERT INTO object (cluster_id, kind, ns, name, uid, rev, create_rev, node, deleted, body_rev, codec, body)
     SELECT n.cluster_id, n.kind, n.ns, n.name, n.uid, n.rev, n.create_rev, n.node, n.deleted, n.body_rev, $2, n.body FROM ",
    new_rows!(),
    " WHERE n.replaces IS NULL"
);

const UPDATE: &str = concat!(
    "UPDATE object o SET uid = n.uid, rev = n.rev, create_rev = n.create_rev, node = n.node, deleted = n.deleted,
         body_rev = n.body_rev, codec = $2, body = n.body
     FROM ",
    new_rows!(),
    " WHERE o.cluster_id = n.cluster_id AND o.kind = n.kind AND o.ns = n.ns AND o.name = n.name AND o.rev = n.replaces"
);

const MOVE: &str = "UPDATE object o SET rev = n.rev, node = n.node
     FROM (SELECT $1::int AS cluster_id, n.*
           FROM UNNEST($2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[])
                AS n (kind, ns, name, rev, node, replaces) OFFSET 0) AS n
     WHERE o.cluster_id = n.cluster_id AND o.kind = n.kind AND o.ns = n.ns AND o.name = n.name AND o.rev = n.replaces";

/// A body that stays is not copied.
const SUPERSEDED: &str = "INSERT INTO history
         (cluster_id, until_rev, kind, ns, name, uid, rev, create_rev, node, body_rev, codec, body)
     SELECT o.cluster_id, n.rev, o.kind, o.ns, o.name, o.uid, o.rev, o.create_rev, o.node, o.body_rev, o.codec,
            CASE WHEN n.body_changed THEN o.body END
     FROM (SELECT $1::int AS cluster_id, n.*
           FROM UNNEST($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bool[])
                AS n (kind, ns, name, rev, body_changed) OFFSET 0) AS n
     JOIN object o ON o.cluster_id = n.cluster_id AND o.kind = n.kind AND o.ns = n.ns AND o.name = n.name
     WHERE NOT o.deleted";

const NOTE: &str = concat!("INSERT INTO batch (cluster_id, rev_to, token, at) VALUES ($1, $2, $3, ", now!(), ")");

const NOTE_AND_NOTIFY: &str = concat!(
    "WITH note AS (INSERT INTO batch (cluster_id, rev_to, token, at) VALUES ($1, $2, $3, ",
    now!(),
    ")) SELECT pg_notify($4, $5)"
);
