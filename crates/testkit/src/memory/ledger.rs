//! The ledger of a database in memory.

use std::sync::Arc;

use async_trait::async_trait;
use imbl::OrdMap;
use podberth_store::ledger::{self, Entry, Ledger, Order, Page, Retain, Scan};
use podberth_store::{EntryId, StoreError};
use uuid::Uuid;

use super::Memory;

/// Entries by cluster, kind and id.
pub(super) type Entries = OrdMap<(Arc<str>, Arc<str>, Uuid), Entry>;

#[async_trait]
impl Ledger for Memory {
    async fn append(&self, entries: &[Entry]) -> Result<(), StoreError> {
        ledger::check(entries)?;
        let mut state = self.state()?;
        for entry in entries {
            let key = (entry.cluster.clone(), entry.kind.clone(), entry.id.uuid());
            state.copy.ledger.entry(key).or_insert_with(|| entry.clone());
        }
        Ok(())
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        scan.check()?;
        let state = self.state()?;
        let Some((first, last)) = scan.range() else { return Ok(scan.page(Vec::new())) };
        let key = |id| (scan.cluster.clone(), scan.kind.clone(), id);
        let entries = state.copy.ledger.range(key(first)..=key(last)).map(|(_, entry)| entry);
        let is_asked = |entry: &&Entry| {
            scan.subject.as_ref().is_none_or(|subject| *subject == entry.subject)
                && scan.object.as_ref().is_none_or(|object| *object == entry.object)
        };
        let entries = entries.filter(is_asked).cloned();
        let entries: Vec<Entry> = match scan.order {
            Order::NewestFirst => entries.rev().take(scan.most()).collect(),
            Order::OldestFirst => entries.take(scan.most()).collect(),
        };
        Ok(scan.page(entries))
    }

    async fn prune(&self, cluster: &str, kind: &str, retain: &Retain) -> Result<u64, StoreError> {
        ledger::check_book(cluster, kind)?;
        let mut state = self.state()?;
        let key = |id| (cluster.into(), kind.into(), id);
        let sizes = |(_, entry): (_, &Entry)| (entry.id, entry.body.len() as u64);
        let kept = state.copy.ledger.range(key(retain.first())..=key(Uuid::max())).rev().map(sizes);
        let kept: Vec<(EntryId, u64)> = kept.collect();
        let (first, _) = ledger::count_on(&mut retain.count(), retain.first(), false, kept);
        let gone: Vec<_> = state.copy.ledger.range(key(Uuid::nil())..key(first)).map(|(key, _)| key.clone()).collect();
        for key in &gone {
            state.copy.ledger.remove(key);
        }
        Ok(gone.len() as u64)
    }

    async fn books(&self) -> Result<Vec<(String, String)>, StoreError> {
        let state = self.state()?;
        let mut books: Vec<_> = state.copy.ledger.keys().map(|(cluster, kind, _)| (cluster, kind)).collect();
        books.dedup();
        Ok(books.into_iter().map(|(cluster, kind)| (cluster.to_string(), kind.to_string())).collect())
    }
}

/// The entries without those of a cluster.
pub(super) fn without(entries: &Entries, cluster: &str) -> Entries {
    entries.iter().filter(|((of, ..), _)| **of != *cluster).map(|(key, entry)| (key.clone(), entry.clone())).collect()
}
