//! The ledger: each append is one statement, and so one transaction and one round trip.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::{ATTEMPTS, CHUNK, Postgres, settle, signed_len};
use crate::StoreError;
use crate::ledger::{self, Entry, Ledger, MAX_BYTES, Page, Retain, Scan, statements};
use crate::rows::{EntryRow, SWEEP, SizeRow};

const APPEND: &str = "INSERT INTO ledger (cluster, kind, id, subject, object, body)
    SELECT * FROM UNNEST($1::text[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::bytea[]) ON CONFLICT DO NOTHING";

#[async_trait]
impl Ledger for Postgres {
    /// Tries again when the database aborts it or the connection is lost: what is there already is left out.
    async fn append(&self, entries: &[Entry]) -> Result<(), StoreError> {
        ledger::check(entries)?;
        if entries.is_empty() {
            return Ok(());
        }
        let mut is_in_doubt = false;
        for attempt in 1.. {
            let error = match self.append_once(entries, &mut is_in_doubt).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let again =
                matches!(error, StoreError::Aborted(_) | StoreError::Unavailable(_) | StoreError::Unwritable(_));
            if !again || attempt == ATTEMPTS {
                return Err(if is_in_doubt { StoreError::OutcomeUnknown(error.to_string()) } else { error });
            }
            tokio::time::sleep(Duration::from_millis(10).saturating_mul(attempt)).await;
        }
        Err(StoreError::Internal("the attempts are endless".into()))
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        scan.check()?;
        let mut connection = self.acquire().await?;
        let entries = self.read_entries(&mut connection, scan).await;
        Ok(scan.page(settle(connection, entries)?))
    }

    async fn prune(&self, cluster: &str, kind: &str, retain: &Retain) -> Result<u64, StoreError> {
        ledger::check_book(cluster, kind)?;
        let mut connection = self.acquire().await?;
        let removed = self.prune_book(&mut connection, cluster, kind, retain).await;
        settle(connection, removed)
    }

    async fn books(&self) -> Result<Vec<(String, String)>, StoreError> {
        let mut connection = self.acquire().await?;
        let books = self.read_books(&mut connection).await;
        settle(connection, books)
    }
}

impl Postgres {
    async fn append_once(&self, entries: &[Entry], is_in_doubt: &mut bool) -> Result<(), StoreError> {
        let mut connection = self.acquire().await?;
        let connected = self.vouched.connections();
        let append = sqlx::query(APPEND)
            .bind(entries.iter().map(|entry| &*entry.cluster).collect::<Vec<_>>())
            .bind(entries.iter().map(|entry| &*entry.kind).collect::<Vec<_>>())
            .bind(entries.iter().map(|entry| entry.id.as_bytes()).collect::<Vec<_>>())
            .bind(entries.iter().map(|entry| &*entry.subject).collect::<Vec<_>>())
            .bind(entries.iter().map(|entry| &*entry.object).collect::<Vec<_>>())
            .bind(entries.iter().map(|entry| &*entry.body).collect::<Vec<_>>())
            .execute(&mut *connection);
        let appended = match self.within(append).await {
            Ok(done) if done.rows_affected() > 0 => {
                self.vouched.note_commit(connected);
                Ok(())
            }
            // All were there: that is durable only if a later write is.
            Ok(_) if *is_in_doubt || self.vouched.is_due() => self.vouch_for_answer(&mut connection).await,
            Ok(_) => Ok(()),
            Err(error) => {
                *is_in_doubt |= matches!(error, StoreError::Unavailable(_));
                Err(error)
            }
        };
        settle(connection, appended)
    }

    async fn read_entries(&self, connection: &mut PgConnection, scan: &Scan) -> Result<Vec<Entry>, StoreError> {
        let Some((first, last)) = scan.range() else { return Ok(Vec::new()) };
        let mut read = sqlx::query_as(statements::scan(scan))
            .bind(&*scan.cluster)
            .bind(&*scan.kind)
            .bind(first.as_bytes().as_slice())
            .bind(last.as_bytes().as_slice())
            .bind(signed_len(scan.most()))
            .bind(signed_len(MAX_BYTES));
        for word in scan.subject.iter().chain(&scan.object) {
            read = read.bind(word);
        }
        let rows: Vec<EntryRow> = self.within(read.fetch_all(connection)).await?;
        rows.into_iter().map(|row| row.into_entry(scan)).collect()
    }

    async fn prune_book(
        &self,
        connection: &mut PgConnection,
        cluster: &str,
        kind: &str,
        retain: &Retain,
    ) -> Result<u64, StoreError> {
        let mut first = retain.first();
        let (mut count, mut last) = (retain.count(), Some(Uuid::max()));
        while let Some(newest) = last.filter(|_| !retain.is_by_age_alone()) {
            let sizes = sqlx::query_as(statements::SIZES)
                .bind(cluster)
                .bind(kind)
                .bind(first.as_bytes().as_slice())
                .bind(newest.as_bytes().as_slice())
                .bind(signed_len(CHUNK))
                .fetch_all(&mut *connection);
            let sizes: Vec<SizeRow> = self.within(sizes).await?;
            (first, last) = ledger::count_on(&mut count, first, sizes.len() == CHUNK, SizeRow::sizes(sizes)?);
        }
        let mut removed = 0_u64;
        loop {
            let prune = sqlx::query(statements::PRUNE)
                .bind(cluster)
                .bind(kind)
                .bind(first.as_bytes().as_slice())
                .bind(SWEEP)
                .execute(&mut *connection);
            let gone = self.within(prune).await?.rows_affected();
            removed = removed.saturating_add(gone);
            if gone <= SWEEP as u64 {
                return Ok(removed);
            }
        }
    }

    async fn read_books(&self, connection: &mut PgConnection) -> Result<Vec<(String, String)>, StoreError> {
        let mut books: Vec<(String, String)> = Vec::new();
        loop {
            let (cluster, kind) = books.last().map_or(("", ""), |(cluster, kind)| (cluster, kind));
            let next = sqlx::query_as(statements::NEXT_BOOK).bind(cluster).bind(kind).fetch_optional(&mut *connection);
            let Some(next) = self.within(next).await? else { return Ok(books) };
            books.push(next);
        }
    }

    /// Removes the entries of a removed cluster, in pieces.
    pub(super) async fn clear_entries(&self, connection: &mut PgConnection, cluster: &str) -> Result<(), StoreError> {
        let piece = || sqlx::query(statements::CLEAR).bind(cluster).bind(SWEEP);
        while self.within(piece().execute(&mut *connection)).await?.rows_affected() > 0 {}
        Ok(())
    }
}
