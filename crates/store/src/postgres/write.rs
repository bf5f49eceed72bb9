//! The write transaction: lock the counter, read, decide, write, commit; and what to do when its reply is lost.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, FromRow, Row};
use uuid::Uuid;

use super::statements::clusters::SET_IDLE_TIMEOUT;
use super::statements::reads::{CURRENT, HAS_TOKEN, TOKENS};
use super::statements::{
    INSERT, LOCK_AND_LOOK, LOOK_AROUND, MOVE, NOTE, NOTE_AND_NOTIFY, PUT_HEAD, Stand, Statement, UPDATE, object,
};
use super::{
    ATTEMPTS, Bodies, CHUNK, CODEC_RAW, Call, Cursor, Head, Judge, Key, NewRow, ObjectRow, Plan, Postgres, Record,
    StoreError, Written, decide, listen, rows, settle, signed, signed_len,
};
use crate::keeping::Kept;
use crate::rows::{ClusterRow, Locked, Part, TokensRow};

/// Why a batch in doubt stays in doubt.
const TOKEN_GONE: &str = "compaction has removed what would tell";

/// The state on which a batch is decided, read while the counter is held.
struct Ground {
    /// The head of the cluster; with its token if the judge has seen one.
    head: Head,
    /// The rows of the batch's keys.
    current: Vec<Record>,
    /// The changes that the judge has missed, ascending.
    missed: Vec<Record>,
}

/// The writes of one transaction.
pub(super) struct Batch<'a> {
    pub(super) cluster: &'a str,
    pub(super) calls: &'a [Call],
    /// How many writes the calls have.
    pub(super) count: usize,
    /// Random; stored with the batch, so that a later query can tell if it was written.
    pub(super) token: Uuid,
}

impl Postgres {
    /// Tries until the batch is written, is refused, or fails. If the reply to COMMIT is lost, the next attempt finds the outcome: it takes the
    /// counter's lock, so that the earlier attempt is over, and looks for its token.
    pub(super) async fn write_batch(&self, batch: &Batch<'_>, judge: &mut dyn Judge) -> Result<Written, StoreError> {
        let mut in_doubt = None;
        for attempt in 1.. {
            let error = match self.attempt(batch, judge, &mut in_doubt).await {
                Ok(written) => return Ok(written),
                Err(error) => error,
            };
            if matches!(error, StoreError::OutcomeUnknown(_)) {
                return Err(error);
            }
            let again = in_doubt.is_some()
                || matches!(error, StoreError::Aborted(_) | StoreError::Unavailable(_) | StoreError::Unwritable(_));
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
        let mut connection = self.acquire().await?;
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
        let connected = self.vouched.connections();
        let id = self.remembered(connection, batch.cluster).await?;
        let mut transaction = self.within(connection.begin_with(self.plans.begin())).await?;
        let (known, seen, bodies) = (judge.known(), judge.seen(), judge.bodies());
        let mut looked = None;
        if let Some(seen) = seen
            && seen.revision == known
            // Without a key there is no row to tell of the lock.
            && (1..=CHUNK).contains(&batch.count)
            && in_doubt.is_none()
        {
            looked = Some(self.lock_and_look(&mut transaction, id, batch, seen).await?);
        }
        let (Locked { head, kept, .. }, ground) = match looked {
            Some((locked, ground)) => (locked, ground),
            None => (self.lock(&mut transaction, id, batch.cluster).await?, None),
        };
        if let Some(written) = in_doubt.as_ref() {
            let revision = written.head.revision;
            let found = self.has_token(&mut transaction, id, revision, batch.token).await?;
            match head.was_written(revision, found) {
                Some(true) => {
                    self.within(transaction.rollback()).await?;
                    self.vouch_for_answer(connection, id).await?;
                    return Ok(written.clone());
                }
                Some(false) => *in_doubt = None,
                None => return Err(StoreError::OutcomeUnknown(TOKEN_GONE.into())),
            }
        }
        if batch.count > CHUNK {
            self.allow_time_to_decide(&mut transaction, batch.count).await?;
        }
        let Ground { head, current, missed } = match ground {
            Some(ground) => ground,
            None => self.look(&mut transaction, id, head, batch, (known, seen, bodies)).await?,
        };
        judge.begin(head, &missed);
        let Plan { revision, commits, rows } = decide::decide(head.revision, current, batch.calls, judge);
        if rows.is_empty() {
            self.within(transaction.rollback()).await?;
            if self.vouched.is_due() {
                self.vouch_for_answer(connection, id).await?;
            }
            return Ok(Written { commits, head });
        }
        let written = Written { commits, head: Head { revision, token: batch.token, ..head } };
        let mut stand = Stand { id, cluster: batch.cluster, head: written.head, kept };
        if self.history.is_some() {
            stand.kept = kept.with(head.revision, revision);
        }
        self.write_rows(&mut transaction, &rows, &stand).await?;
        if let Err(error) = self.within(transaction.commit()).await {
            if matches!(error, StoreError::Unavailable(_)) {
                *in_doubt = Some(written);
            }
            return Err(error);
        }
        self.vouched.note_commit(connected);
        self.hints.changed(batch.cluster, written.head.revision);
        Ok(written)
    }

    /// Locks the cluster's row and reads the rows of a batch's keys in one statement, for a judge to whom nobody else has written
    /// since `seen`.
    ///
    /// The statement sees what was committed before it began. It may then have waited for the lock, and only of the locked row
    /// does it answer what was committed until it had it. So the rows are a ground to decide on only if nothing was written to
    /// them in between; otherwise they are left out, and looked for anew under the lock.
    ///
    /// - The locked row stands at the revision and epoch that the judge has seen, and the batch of that revision has the token
    ///   that it has seen. Whoever changes what is read raises the revision or the epoch in the same transaction and keeps the
    ///   row locked until it is committed. So since the judge's read nobody has; and all that was written up to that revision
    ///   was committed before that read, which was over before this statement began: it sees all of it.
    /// - But for compaction, which removes tombstones under the lock and raises nothing with them. Of a tombstone that was read
    ///   nobody knows whether it is still there.
    async fn lock_and_look(
        &self,
        connection: &mut PgConnection,
        id: i32,
        batch: &Batch<'_>,
        seen: Head,
    ) -> Result<(Locked, Option<Ground>), StoreError> {
        let keys = decide::keys(batch.calls);
        let rows = sqlx::query(LOCK_AND_LOOK)
            .bind(id)
            .bind(batch.cluster)
            .bind(column(&keys, |(key, _)| &*key.kind))
            .bind(column(&keys, |(key, _)| key.namespace.as_str()))
            .bind(column(&keys, |(key, _)| key.name.as_str()))
            .bind(column(&keys, |(_, put)| *put))
            .fetch_all(connection);
        let rows = self.within(rows).await?;
        let first = rows.first().ok_or_else(|| self.moved(batch.cluster))?;
        let locked = ClusterRow::from_row(first)?.into_locked()?;
        let head = locked.head;
        let width = <ClusterRow as Part<PgRow>>::WIDTH;
        let token = rows::token(first.try_get(width)?)?.unwrap_or_default();
        let is_as_seen = (head.revision, head.epoch, token) == (seen.revision, seen.epoch, seen.token);
        if !is_as_seen || token.is_nil() {
            return Ok((locked, None));
        }
        let mut current = Vec::with_capacity(rows.len());
        for row in &rows {
            if let Some(object) = object(row, width + 1)? {
                current.push(object.into_record()?);
            }
        }
        if current.iter().any(|record| record.deleted) {
            return Ok((locked, None));
        }
        let ground = Ground { head: Head { token, ..head }, current, missed: Vec::new() };
        Ok((locked, Some(ground)))
    }

    /// The state on which the batch is decided, for a judge that knows the state of a revision and may have seen a head then. The query for the
    /// first rows also checks that the head is in this history, and reads the changes that the judge has missed.
    async fn look(
        &self,
        connection: &mut PgConnection,
        id: i32,
        head: Head,
        batch: &Batch<'_>,
        (known, seen, bodies): (u64, Option<Head>, Bodies),
    ) -> Result<Ground, StoreError> {
        rows::check_missed(head, known)?;
        let keys = decide::keys(batch.calls);
        // A cluster never written to has no rows.
        let keys = if head.revision > 0 { &keys[..] } else { &[] };
        let mut ground = Ground { head, current: Vec::with_capacity(keys.len()), missed: Vec::new() };
        let (first, others) = keys.split_at(keys.len().min(CHUNK));
        if known == u64::MAX {
            ground.current.extend(self.current_rows(connection, id, first).await?);
        } else {
            let from = Cursor { complete: known, seen, bodies, ..Cursor::after(known) };
            let (newest, found) = self.look_around(connection, id, &from, first, &mut ground).await?;
            ground.head = rows::check_seen(Head { token: newest, ..head }, known, seen, found)?;
        }
        for keys in others.chunks(CHUNK) {
            ground.current.extend(self.current_rows(connection, id, keys).await?);
        }
        Ok(ground)
    }

    /// The rows there are for some keys, those changed after a cursor, and the tokens of the newest revision and the one that it has seen.
    async fn look_around(
        &self,
        connection: &mut PgConnection,
        id: i32,
        from: &Cursor,
        keys: &[(&Key, bool)],
        ground: &mut Ground,
    ) -> Result<(Uuid, Option<Uuid>), StoreError> {
        let around = sqlx::query(LOOK_AROUND)
            .bind(id)
            .bind(column(keys, |(key, _)| &*key.kind))
            .bind(column(keys, |(key, _)| key.namespace.as_str()))
            .bind(column(keys, |(key, _)| key.name.as_str()))
            .bind(column(keys, |(_, put)| *put))
            .bind(signed(from.complete))
            .bind(signed(ground.head.revision))
            .bind(signed(from.seen_revision()))
            .bind(from.bodies.kinds())
            .fetch_all(connection);
        let around = self.within(around).await?;
        let mut tokens = (Uuid::nil(), None);
        for (at, row) in around.iter().enumerate() {
            if at == 0 {
                tokens = TokensRow::from_row(row)?.into_tokens()?;
            }
            let width = <TokensRow as Part<PgRow>>::WIDTH;
            let Some(is_missed) = row.try_get(width)? else { continue };
            let record = ObjectRow::read(row, width + 1)?.into_record()?;
            if is_missed { ground.missed.push(record) } else { ground.current.push(record) }
        }
        ground.missed.sort_unstable_by_key(|record| record.revision);
        Ok(tokens)
    }

    /// The tokens that the database has for the newest revision (nil for none) and for another.
    pub(super) async fn tokens(
        &self,
        connection: &mut PgConnection,
        id: i32,
        newest: u64,
        other: u64,
    ) -> Result<(Uuid, Option<Uuid>), StoreError> {
        let tokens = sqlx::query_as(TOKENS).bind(id).bind(signed(newest)).bind(signed(other)).fetch_one(connection);
        let tokens: TokensRow = self.within(tokens).await?;
        tokens.into_tokens()
    }

    /// Writes the head of the cluster.
    pub(super) async fn put_head(
        &self,
        connection: &mut PgConnection,
        id: i32,
        head: Head,
        kept: Kept,
    ) -> Result<(), StoreError> {
        let stand = sqlx::query(PUT_HEAD)
            .bind(id)
            .bind(signed(head.revision))
            .bind(signed(head.compact_revision))
            .bind(signed(head.epoch))
            .bind(signed(kept.from))
            .bind(signed(kept.to))
            .execute(connection);
        self.within(stand).await.map(drop)
    }

    /// The server takes a transaction for idle while a large import is decided on here.
    async fn allow_time_to_decide(&self, connection: &mut PgConnection, writes: usize) -> Result<(), StoreError> {
        let idle = self.idle.saturating_add(Duration::from_micros(200).saturating_mul(writes as u32));
        let set = sqlx::query(SET_IDLE_TIMEOUT).bind(idle.as_millis().to_string()).execute(connection);
        self.within(set).await.map(drop)
    }

    async fn has_token(
        &self,
        connection: &mut PgConnection,
        id: i32,
        revision: u64,
        token: Uuid,
    ) -> Result<bool, StoreError> {
        let found = sqlx::query_scalar(HAS_TOKEN)
            .bind(id)
            .bind(signed(revision))
            .bind(token.as_bytes().as_slice())
            .fetch_one(connection);
        self.within(found).await
    }

    /// The rows there are for some keys, tombstones included, with the bodies of those that are put.
    pub(super) async fn current_rows(
        &self,
        connection: &mut PgConnection,
        id: i32,
        keys: &[(&Key, bool)],
    ) -> Result<Vec<Record>, StoreError> {
        let found = sqlx::query_as(CURRENT)
            .bind(id)
            .bind(column(keys, |(key, _)| &*key.kind))
            .bind(column(keys, |(key, _)| key.namespace.as_str()))
            .bind(column(keys, |(key, _)| key.name.as_str()))
            .bind(column(keys, |(_, put)| *put))
            .fetch_all(connection);
        let found: Vec<ObjectRow> = self.within(found).await?;
        rows::records(found)
    }

    /// Writes all rows, and with the last of them the new head of the cluster.
    async fn write_rows(
        &self,
        connection: &mut PgConnection,
        rows: &[NewRow],
        stand: &Stand<'_>,
    ) -> Result<(), StoreError> {
        let (put, moved): (Vec<&NewRow>, Vec<&NewRow>) = rows.iter().partition(|row| row.body_changed);
        let (known, new): (Vec<&NewRow>, Vec<&NewRow>) = put.iter().partition(|row| row.replaces.is_some());
        let mut statements: Vec<(&Statement, &[&NewRow])> = Vec::new();
        statements.extend(rows::chunks(&new).map(|rows| (&INSERT, rows)));
        statements.extend(rows::chunks(&known).map(|rows| (&UPDATE, rows)));
        statements.extend(moved.chunks(CHUNK).map(|rows| (&MOVE, rows)));
        let last = statements.len().saturating_sub(1);
        for (at, (statement, rows)) in statements.into_iter().enumerate() {
            self.write_some(connection, statement, rows, stand.id, (at == last).then_some(stand)).await?;
        }
        Ok(())
    }

    /// Writes rows with one statement, which must find each unchanged, and the new head of the cluster.
    pub(super) async fn write_some(
        &self,
        connection: &mut PgConnection,
        statement: &Statement,
        rows: &[&NewRow],
        id: i32,
        stand: Option<&Stand<'_>>,
    ) -> Result<(), StoreError> {
        // What is restored replaces nothing, and keeps nothing.
        let forms = if self.history.is_some() { &statement.keeping } else { &statement.plain };
        let mut query = sqlx::query_scalar(match stand {
            None => forms.alone,
            Some(_) if self.notify => forms.noted_and_told,
            Some(_) => forms.noted,
        });
        query = query
            .bind(id)
            .bind(column(rows, |row| &*row.record.key.kind))
            .bind(column(rows, |row| row.record.key.namespace.as_str()))
            .bind(column(rows, |row| row.record.key.name.as_str()))
            .bind(column(rows, |row| signed(row.record.revision)))
            .bind(column(rows, |row| row.record.node.as_deref()))
            .bind(column(rows, |row| row.replaces.map(signed)));
        if statement.with_bodies {
            query = query
                .bind(CODEC_RAW)
                .bind(column(rows, |row| row.record.uid.as_str()))
                .bind(column(rows, |row| signed(row.record.create_revision)))
                .bind(column(rows, |row| row.record.deleted))
                .bind(column(rows, |row| signed(row.record.body_revision)))
                .bind(column(rows, |row| &*row.record.body));
        }
        if statement.overwrites {
            query = query.bind(!self.plans.is_spread());
        }
        if let Some(stand) = stand {
            query = stand.bind(query, self.notify);
        }
        let written: i64 = self.within(query.fetch_one(connection)).await?;
        if written == signed_len(rows.len()) {
            return Ok(());
        }
        Err(StoreError::Corrupt(format!("{written} of {} rows were as they had been read", rows.len())))
    }

    /// Writes the batch's token and notifies the listeners, who get it when the transaction is committed.
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
        let note =
            if self.notify { note.bind(listen::CHANNEL).bind(listen::payload(cluster, head.revision)) } else { note };
        self.within(note.execute(connection)).await.map(drop)
    }
}

/// One column of many rows, as an array parameter.
fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
