//! The database with forks: a fork has rows of its own for what differs from its base, and all else is read of the base as it was.
//!
//! Before an object of the base is written in a fork, its row is adopted: it comes to the fork as it is, under its own revision. From then on the
//! fork's row counts, also as a tombstone, which is never removed: forks are not compacted. So preconditions, judges and the feed are those of any
//! cluster. The history of a base is held for as long as it has forks.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::fork;
use crate::{
    store::{
        Bodies, Call, Changes, Compaction, Connections, Cursor, Entry, Everywhere, Head, Heads, Judge, Keep, Key,
        Ledger, List, ListQuery, Listener, MigrationStatus, Page, Past, Record, Restore, Retain, Rewind, Scan, Schema,
        Source, Storage, Store, StoreError, Undone, Upkeep, Visitor, Writable, Written, decide,
    },
    wire::{fork::KIND, source},
};

/// Rows of a fork: objects that were changed, made or deleted in it.
pub(super) const MOST_ROWS: u64 = 10_000;

/// Records read at a time.
const PAGE: usize = 1_000;

/// A database whose clusters may be forks.
#[derive(Debug)]
pub(super) struct Forked(Arc<dyn Storage>);

/// The beginning of a fork.
struct Base<'a> {
    cluster: &'a str,
    name: &'a str,
    revision: u64,
    /// The fork's revision then.
    began: u64,
}

impl Forked {
    pub(super) fn new(inner: Arc<dyn Storage>) -> Self {
        Self(inner)
    }

    /// The base of a fork; `None` for another cluster.
    async fn base<'a>(&self, cluster: &'a str) -> Result<Option<Base<'a>>, StoreError> {
        let Some((base, name)) = fork::split(cluster) else { return Ok(None) };
        let Some(record) = self.0.get(cluster, &fork::key()).await? else {
            return Err(StoreError::Gone(format!("the fork {name:?} is not there any more")));
        };
        let revision = fork::parse(&record)?.revision;
        Ok(Some(Base { cluster: base, name, revision, began: record.revision }))
    }

    /// Objects of a base as they were; what the base mirrors is no part of the fork.
    async fn of_base(&self, base: &Base<'_>, mut keys: Vec<Key>) -> Result<Vec<Record>, StoreError> {
        keys.retain(|key| &*key.kind != source::KIND);
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.0.find_at(base.cluster, &keys, base.revision).await.map_err(|error| base.explained(error))
    }

    /// The keys of a kind whose rows in a fork differ from the base.
    async fn changed(&self, cluster: &str, base: &Base<'_>, kind: &str) -> Result<HashSet<Key>, StoreError> {
        let mut cursor = Cursor { bodies: Bodies::Of(&[]), ..Cursor::after(base.began) };
        let mut changed = HashSet::new();
        loop {
            let page = self.0.changes(cluster, &cursor, PAGE).await?;
            changed.extend(page.records.into_iter().map(|record| record.key).filter(|key| &*key.kind == kind));
            if page.complete {
                return Ok(changed);
            }
            cursor = page.next;
        }
    }

    /// A page of a fork's objects: those of the base that the fork has not changed, and its own.
    async fn merged(&self, cluster: &str, base: &Base<'_>, query: &ListQuery) -> Result<List, StoreError> {
        let head = self.0.head(cluster).await?;
        let changed = self.changed(cluster, base, &query.kind).await?;
        let limit = query.limit.unwrap_or(usize::MAX);
        let mut query = query.clone();
        let (mut items, mut remaining) = (Vec::new(), 0_u64);
        while items.len() < limit {
            let own = self.0.list(cluster, &query).await?;
            let of_base = if &*query.kind == source::KIND {
                List { items: Vec::new(), revision: base.revision, remaining: None }
            } else {
                let page = self.0.list_at(base.cluster, &query, base.revision).await;
                page.map_err(|error| base.explained(error))?
            };
            // Up to here both pages are whole.
            let last = |page: &List| page.remaining.and(page.items.last()).map(|record| place(&record.key));
            let end = [last(&own), last(&of_base)].into_iter().flatten().min();
            let more = own.remaining.unwrap_or_default().saturating_add(of_base.remaining.unwrap_or_default());
            let kept = of_base.items.into_iter().filter(|record| !changed.contains(&record.key));
            let mut page: BTreeMap<(String, String), Record> = BTreeMap::new();
            for record in kept.chain(own.items) {
                page.insert(place(&record.key), record);
            }
            let (now, later): (Vec<_>, Vec<_>) =
                page.into_iter().partition(|(place, _)| end.as_ref().is_none_or(|end| place <= end));
            remaining = more.saturating_add(later.len() as u64);
            items.extend(now.into_iter().map(|(_, record)| record));
            match end {
                Some(end) => query.after = Some(end),
                None => break,
            }
        }
        if items.len() > limit {
            remaining = remaining.saturating_add((items.len() - limit) as u64);
            items.truncate(limit);
        }
        Ok(List { items, revision: head.revision, remaining: Some(remaining).filter(|more| *more > 0) })
    }

    /// Adopts the objects of the base that a batch names, and checks that the fork has room for the new ones.
    async fn adopt_for(&self, cluster: &str, base: &Base<'_>, calls: &[Call]) -> Result<(), StoreError> {
        let keys: Vec<Key> = decide::keys(calls).into_iter().map(|(key, _)| key.clone()).collect();
        let rows = self.0.rows(cluster, &keys).await?;
        let present: HashSet<&Key> = rows.iter().map(|row| &row.key).collect();
        let missing: Vec<Key> = keys.iter().filter(|key| !present.contains(key)).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let rows = self.0.adopt(cluster, Vec::new()).await?;
        if rows.saturating_add(missing.len() as u64) > MOST_ROWS {
            let Base { name, cluster, .. } = base;
            return Err(StoreError::Full(format!(
                "the fork {name:?} is full: it may differ from the cluster {cluster:?} by {MOST_ROWS} objects. Make another fork for further changes"
            )));
        }
        let adopted = self.of_base(base, missing).await?;
        if !adopted.is_empty() {
            self.0.adopt(cluster, adopted).await?;
        }
        Ok(())
    }

    /// Checks that a revision of a fork is the present one: it has no other.
    async fn is_present(&self, cluster: &str, revision: u64) -> Result<(), StoreError> {
        let head = self.0.head(cluster).await?.revision;
        if revision == head {
            return Ok(());
        }
        if revision > head {
            let why = format!("revision {revision} is not there yet: the newest one is {head}");
            return Err(StoreError::Invalid(why));
        }
        Err(StoreError::Compacted { after: revision, compact_revision: head })
    }

    /// The oldest revision of a cluster that a fork began with.
    async fn held(&self, cluster: &str) -> Result<Option<u64>, StoreError> {
        let forks = self.0.everywhere(KIND).await?.found;
        let of = forks.into_iter().filter(|(name, _)| fork::split(name).is_some_and(|(base, _)| base == cluster));
        let revisions = of.filter_map(|(_, record)| fork::parse(&record.ok()?).ok()).map(|stored| stored.revision);
        Ok(revisions.min())
    }
}

impl Base<'_> {
    /// The error of a read of the base.
    fn explained(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Compacted { .. } | StoreError::Invalid(_) => fork::gone(self.cluster, self.name, self.revision),
            error => error,
        }
    }
}

fn place(key: &Key) -> (String, String) {
    (key.namespace.clone(), key.name.clone())
}

#[async_trait]
impl Store for Forked {
    async fn write(&self, cluster: &str, calls: &[Call], judge: &mut dyn Judge) -> Result<Written, StoreError> {
        if let Some(base) = self.base(cluster).await? {
            self.adopt_for(cluster, &base, calls).await?;
        }
        self.0.write(cluster, calls, judge).await
    }

    async fn get(&self, cluster: &str, key: &Key) -> Result<Option<Record>, StoreError> {
        if fork::split(cluster).is_none() || *key == fork::key() {
            return self.0.get(cluster, key).await;
        }
        Ok(self.find(cluster, std::slice::from_ref(key)).await?.pop())
    }

    async fn find(&self, cluster: &str, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        let Some(base) = self.base(cluster).await? else { return self.0.find(cluster, keys).await };
        let mut found = self.0.rows(cluster, keys).await?;
        let present: HashSet<Key> = found.iter().map(|row| row.key.clone()).collect();
        found.retain(|row| !row.deleted);
        let missing = keys.iter().filter(|key| !present.contains(key)).cloned().collect();
        found.extend(self.of_base(&base, missing).await?);
        Ok(found)
    }

    async fn list(&self, cluster: &str, query: &ListQuery) -> Result<List, StoreError> {
        match self.base(cluster).await? {
            Some(base) => self.merged(cluster, &base, query).await,
            None => self.0.list(cluster, query).await,
        }
    }

    async fn changes(&self, cluster: &str, from: &Cursor, limit: usize) -> Result<Changes, StoreError> {
        self.0.changes(cluster, from, limit).await
    }

    async fn begin_epoch(&self, cluster: &str, lost: &Head, token: Uuid) -> Result<Head, StoreError> {
        self.0.begin_epoch(cluster, lost, token).await
    }

    async fn head(&self, cluster: &str) -> Result<Head, StoreError> {
        self.0.head(cluster).await
    }

    async fn heads(&self, clusters: &[String]) -> Result<Heads, StoreError> {
        self.0.heads(clusters).await
    }

    /// Without the forks: nothing that goes through all clusters is about them.
    async fn clusters(&self) -> Result<Vec<String>, StoreError> {
        let mut clusters = self.0.clusters().await?;
        clusters.retain(|cluster| fork::split(cluster).is_none());
        Ok(clusters)
    }

    fn hints(&self) -> Listener {
        self.0.hints()
    }

    fn writable(&self) -> Writable {
        self.0.writable()
    }
}

#[async_trait]
impl Past for Forked {
    async fn state_at(
        &self,
        cluster: &str,
        revision: Option<u64>,
        visitor: &mut dyn Visitor,
    ) -> Result<(), StoreError> {
        if let Some((base, name)) = fork::split(cluster) {
            return Err(StoreError::Invalid(format!("the fork {name:?} has no export: export the cluster {base:?}")));
        }
        self.0.state_at(cluster, revision, visitor).await
    }

    async fn get_at(&self, cluster: &str, key: &Key, revision: u64) -> Result<Option<Record>, StoreError> {
        if fork::split(cluster).is_none() {
            return self.0.get_at(cluster, key, revision).await;
        }
        self.is_present(cluster, revision).await?;
        self.get(cluster, key).await
    }

    async fn find_at(&self, cluster: &str, keys: &[Key], revision: u64) -> Result<Vec<Record>, StoreError> {
        if fork::split(cluster).is_none() {
            return self.0.find_at(cluster, keys, revision).await;
        }
        self.is_present(cluster, revision).await?;
        self.find(cluster, keys).await
    }

    async fn list_at(&self, cluster: &str, query: &ListQuery, revision: u64) -> Result<List, StoreError> {
        if fork::split(cluster).is_none() {
            return self.0.list_at(cluster, query, revision).await;
        }
        self.is_present(cluster, revision).await?;
        self.list(cluster, query).await
    }

    async fn rows(&self, cluster: &str, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        self.0.rows(cluster, keys).await
    }

    async fn adopt(&self, cluster: &str, records: Vec<Record>) -> Result<u64, StoreError> {
        self.0.adopt(cluster, records).await
    }

    async fn rewind(&self, cluster: &str, rewind: &Rewind, limit: usize) -> Result<Undone, StoreError> {
        if fork::split(cluster).is_some() {
            self.is_present(cluster, rewind.to).await?;
        }
        self.0.rewind(cluster, rewind, limit).await
    }

    async fn revision_at(&self, cluster: &str, time: Timestamp) -> Result<Option<u64>, StoreError> {
        self.0.revision_at(cluster, time).await
    }

    async fn restore(&self, cluster: &str, source: &mut dyn Source, how: Restore) -> Result<Head, StoreError> {
        self.0.restore(cluster, source, how).await
    }
}

#[async_trait]
impl Upkeep for Forked {
    async fn everywhere(&self, kind: &str) -> Result<Everywhere, StoreError> {
        self.0.everywhere(kind).await
    }

    /// Without the forks, as [`Store::clusters`] has it.
    async fn having(&self, kind: &str) -> Result<Vec<String>, StoreError> {
        let mut clusters = self.0.having(kind).await?;
        clusters.retain(|cluster| fork::split(cluster).is_none());
        Ok(clusters)
    }

    async fn compactable(&self, keep: &Keep) -> Result<Vec<String>, StoreError> {
        let mut clusters = self.0.compactable(keep).await?;
        clusters.retain(|cluster| fork::split(cluster).is_none());
        Ok(clusters)
    }

    async fn compact_holding(&self, cluster: &str, keep: &Keep, hold: Option<u64>) -> Result<Compaction, StoreError> {
        if fork::split(cluster).is_some() {
            return Ok(Compaction::default());
        }
        let hold = [hold, self.held(cluster).await?].into_iter().flatten().min();
        self.0.compact_holding(cluster, keep, hold).await
    }

    async fn lease(&self, name: &str, holder: Uuid, ttl: Duration) -> Result<bool, StoreError> {
        self.0.lease(name, holder, ttl).await
    }

    async fn leases(&self, beginning: &str) -> Result<Vec<String>, StoreError> {
        self.0.leases(beginning).await
    }

    async fn remove(&self, cluster: &str) -> Result<bool, StoreError> {
        self.0.remove(cluster).await
    }

    async fn sweep(&self, keep: Duration) -> Result<(), StoreError> {
        self.0.sweep(keep).await
    }
}

#[async_trait]
impl Schema for Forked {
    async fn migrate(&self) -> Result<(), StoreError> {
        self.0.migrate().await
    }

    async fn migration_status(&self) -> Result<MigrationStatus, StoreError> {
        self.0.migration_status().await
    }
}

#[async_trait]
impl Storage for Forked {
    fn connections(&self) -> Connections {
        self.0.connections()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.0.ping().await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

#[async_trait]
impl Ledger for Forked {
    async fn append(&self, entries: &[Entry]) -> Result<(), StoreError> {
        self.0.append(entries).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        self.0.scan(scan).await
    }

    async fn prune(&self, cluster: &str, kind: &str, retain: &Retain) -> Result<u64, StoreError> {
        self.0.prune(cluster, kind, retain).await
    }

    async fn books(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.0.books().await
    }
}
