//! The ledger: each append to one cluster is one statement, and so one transaction and one round trip.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::statements::clusters::{APPEND, NEXT_BOOK};
use super::{ATTEMPTS, CHUNK, Postgres, settle, signed_len};
use crate::ledger::statements::BY_ID;
use crate::ledger::{self, Entry, Ledger, MAX_BYTES, Page, Retain, Scan};
use crate::rows::{AppendedRow, BookRow, EntryRow, SWEEP, SizeRow};
use crate::{StoreError, check};

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
        let appended = self.append_on(&mut connection, entries, is_in_doubt).await;
        settle(connection, appended)
    }

    /// One statement for each cluster, and one transaction for all.
    async fn append_on(
        &self,
        connection: &mut PgConnection,
        entries: &[Entry],
        is_in_doubt: &mut bool,
    ) -> Result<(), StoreError> {
        let connected = self.vouched.connections();
        let mut parts = Vec::new();
        for entries in by_cluster(entries) {
            let cluster = entries.first().map_or("", |entry| &*entry.cluster);
            parts.push((self.remembered(connection, cluster).await?, cluster, entries));
        }
        let appended = match &*parts {
            [(id, cluster, entries)] => self.append_to(connection, (*id, cluster), entries).await,
            _ => self.append_together(connection, &parts).await,
        };
        let Appended { added, absent } = appended.inspect_err(|error| {
            *is_in_doubt |= matches!(error, StoreError::Unavailable(_));
        })?;
        for (id, cluster) in absent {
            // Its row may have gone meanwhile, since it had no entries.
            self.lock(connection, id, &cluster).await?;
        }
        if added > 0 {
            self.vouched.note_commit(connected);
        } else if *is_in_doubt || self.vouched.is_due() {
            // All were there: that is durable only if a later write is.
            for (id, ..) in parts {
                self.vouch_for_answer(connection, id).await?;
            }
        }
        Ok(())
    }

    async fn append_together(
        &self,
        connection: &mut PgConnection,
        parts: &[(i32, &str, Vec<&Entry>)],
    ) -> Result<Appended, StoreError> {
        let mut transaction = self.within(connection.begin()).await?;
        let mut all = Appended::default();
        for (id, cluster, entries) in parts {
            let Appended { added, absent } = self.append_to(&mut transaction, (*id, cluster), entries).await?;
            all.added = all.added.saturating_add(added);
            all.absent.extend(absent);
        }
        self.within(transaction.commit()).await?;
        Ok(all)
    }

    async fn append_to(
        &self,
        connection: &mut PgConnection,
        (id, cluster): (i32, &str),
        entries: &[&Entry],
    ) -> Result<Appended, StoreError> {
        let append = sqlx::query_as(APPEND)
            .bind(id)
            .bind(cluster)
            .bind(entries.iter().map(|entry| &*entry.kind).collect::<Vec<_>>())
            .bind(entries.iter().map(|entry| entry.id.as_bytes()).collect::<Vec<_>>())
            .bind(entries.iter().map(|entry| &*entry.subject).collect::<Vec<_>>())
            .bind(entries.iter().map(|entry| &*entry.object).collect::<Vec<_>>())
            .bind(entries.iter().map(|entry| &*entry.body).collect::<Vec<_>>())
            .fetch_optional(connection);
        let row: Option<AppendedRow> = self.within(append).await?;
        let AppendedRow { removed, added } = row.ok_or_else(|| self.moved(cluster))?;
        let is_absent = removed != 0 && removed != i64::MAX;
        Ok(Appended { added, absent: is_absent.then(|| (id, cluster.to_owned())).into_iter().collect() })
    }

    async fn read_entries(&self, connection: &mut PgConnection, scan: &Scan) -> Result<Vec<Entry>, StoreError> {
        let Some((first, last)) = scan.range() else { return Ok(Vec::new()) };
        let Some(id) = self.id_of(connection, &scan.cluster).await? else { return Ok(Vec::new()) };
        let mut read = sqlx::query_as(BY_ID.scan(scan))
            .bind(id)
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
        let Some(id) = self.id_of(connection, cluster).await? else { return Ok(0) };
        let mut first = retain.first();
        let (mut count, mut last) = (retain.count(), Some(Uuid::max()));
        while let Some(newest) = last.filter(|_| !retain.is_by_age_alone()) {
            let sizes = sqlx::query_as(BY_ID.sizes)
                .bind(id)
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
            let prune = sqlx::query(BY_ID.prune)
                .bind(id)
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
        let mut books = BTreeSet::new();
        let mut last = (0, String::new());
        loop {
            let next = sqlx::query_as(NEXT_BOOK).bind(last.0).bind(&*last.1).fetch_optional(&mut *connection);
            let Some(BookRow { id, cluster, kind }) = self.within(next).await? else { break };
            if !cluster.starts_with(check::SET_ASIDE) {
                books.insert((cluster, kind.clone()));
            }
            last = (id, kind);
        }
        Ok(books.into_iter().collect())
    }
}

/// The outcome of an append.
#[derive(Default)]
struct Appended {
    added: i64,
    /// The clusters that are not there.
    absent: Vec<(i32, String)>,
}

/// The entries of each cluster.
fn by_cluster(entries: &[Entry]) -> Vec<Vec<&Entry>> {
    let mut parts = BTreeMap::<&str, Vec<&Entry>>::new();
    for entry in entries {
        parts.entry(&entry.cluster).or_default().push(entry);
    }
    parts.into_values().collect()
}
