//! The ledger. Many entries go with one statement, as rows do in a batch.

use std::fmt::Write;
use std::sync::LazyLock;

use async_trait::async_trait;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{CHUNK, Sqlite, signed_len};
use crate::StoreError;
use crate::ledger::{self, Entry, Ledger, MAX_BYTES, Page, Retain, Scan, statements};
use crate::rows::{EntryRow, SWEEP, SizeRow};

/// Statements for so many entries each, the largest first.
static APPENDS: LazyLock<Vec<(usize, String)>> =
    LazyLock::new(|| [128, 16, 1].into_iter().map(|size| (size, append(size))).collect());

fn append(size: usize) -> String {
    let mut sql = "INSERT INTO ledger (cluster, kind, id, subject, object, body) VALUES ".to_owned();
    for row in 0..size {
        let _ = write!(sql, "{}(?, ?, ?, ?, ?, ?)", if row == 0 { "" } else { ", " });
    }
    sql + " ON CONFLICT DO NOTHING"
}

#[async_trait]
impl Ledger for Sqlite {
    async fn append(&self, entries: &[Entry]) -> Result<(), StoreError> {
        ledger::check(entries)?;
        if entries.is_empty() {
            return Ok(());
        }
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut rest = entries;
        for (size, sql) in &*APPENDS {
            while let Some((some, others)) = rest.split_at_checked(*size) {
                let mut statement = sqlx::query(AssertSqlSafe(sql.as_str()));
                for Entry { cluster, kind, id, subject, object, body } in some {
                    statement = statement
                        .bind(&**cluster)
                        .bind(&**kind)
                        .bind(id.as_bytes())
                        .bind(subject)
                        .bind(object)
                        .bind(&**body);
                }
                statement.execute(&mut *transaction).await?;
                rest = others;
            }
        }
        super::commit(transaction).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        scan.check()?;
        let Some((first, last)) = scan.range() else { return Ok(scan.page(Vec::new())) };
        let mut read = sqlx::query_as(statements::BY_NAME.scan(scan))
            .bind(&*scan.cluster)
            .bind(&*scan.kind)
            .bind(first.as_bytes().as_slice())
            .bind(last.as_bytes().as_slice())
            .bind(signed_len(scan.most()))
            .bind(signed_len(MAX_BYTES));
        for word in scan.subject.iter().chain(&scan.object) {
            read = read.bind(word);
        }
        let rows: Vec<EntryRow> = read.fetch_all(&self.readers).await?;
        let entries: Result<_, _> = rows.into_iter().map(|row| row.into_entry(scan)).collect();
        Ok(scan.page(entries?))
    }

    async fn prune(&self, cluster: &str, kind: &str, retain: &Retain) -> Result<u64, StoreError> {
        ledger::check_book(cluster, kind)?;
        let mut first = retain.first();
        let (mut count, mut last) = (retain.count(), Some(Uuid::max()));
        while let Some(newest) = last.filter(|_| !retain.is_by_age_alone()) {
            let sizes: Vec<SizeRow> = sqlx::query_as(statements::BY_NAME.sizes)
                .bind(cluster)
                .bind(kind)
                .bind(first.as_bytes().as_slice())
                .bind(newest.as_bytes().as_slice())
                .bind(signed_len(CHUNK))
                .fetch_all(&self.readers)
                .await?;
            (first, last) = ledger::count_on(&mut count, first, sizes.len() == CHUNK, SizeRow::sizes(sizes)?);
        }
        let mut removed = 0_u64;
        loop {
            let prune = sqlx::query(statements::BY_NAME.prune)
                .bind(cluster)
                .bind(kind)
                .bind(first.as_bytes().as_slice())
                .bind(SWEEP)
                .execute(&self.writer);
            let gone = prune.await?.rows_affected();
            removed = removed.saturating_add(gone);
            if gone <= SWEEP as u64 {
                return Ok(removed);
            }
        }
    }

    async fn books(&self) -> Result<Vec<(String, String)>, StoreError> {
        let mut books: Vec<(String, String)> = Vec::new();
        loop {
            let (cluster, kind) = books.last().map_or(("", ""), |(cluster, kind)| (cluster, kind));
            let next = sqlx::query_as(statements::NEXT_BOOK).bind(cluster).bind(kind).fetch_optional(&self.readers);
            let Some(next) = next.await? else { return Ok(books) };
            books.push(next);
        }
    }
}

impl Sqlite {
    /// Removes the entries of a removed cluster, in pieces.
    pub(super) async fn clear_entries(&self, cluster: &str) -> Result<(), StoreError> {
        let piece = || sqlx::query(statements::CLEAR_BY_NAME).bind(cluster).bind(SWEEP);
        while piece().execute(&self.writer).await?.rows_affected() > 0 {}
        Ok(())
    }
}
