//! The engine's operations, on a database in memory.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::cluster::{Ages, Cluster};
use super::{Memory, journal, ledger};
use podberth_store::keeping::{self, Kept};
use podberth_store::{
    Call, Changes, Compaction, Connections, Cursor, Everywhere, Head, Heads, Judge, Keep, Key, List, ListQuery,
    Listener, MigrationStatus, Past, Record, Restore, Rewind, Schema, Source, Standing, Storage, Store, StoreError,
    Undone, Upkeep, Visitor, Written, check, rows, types,
};

/// The only migration there is.
const KNOWN_MIGRATION: i64 = 1;

#[async_trait]
impl Store for Memory {
    async fn write(&self, cluster: &str, calls: &[Call], judge: &mut dyn Judge) -> Result<Written, StoreError> {
        let token = self.database.lock().new_token();
        self.begin(cluster, calls, judge, token).await?.commit()
    }

    async fn get(&self, cluster: &str, key: &Key) -> Result<Option<Record>, StoreError> {
        check::cluster(cluster)?;
        check::key(key)?;
        self.read(cluster, |cluster| cluster.rows().get(key).filter(|row| !row.deleted).cloned())
    }

    async fn list(&self, cluster: &str, query: &ListQuery) -> Result<List, StoreError> {
        check::query(cluster, query)?;
        let types::Range { start, end } = query.range();
        self.read(cluster, |cluster| {
            let first = Key::new(query.kind.clone(), start.0.clone(), start.1.clone());
            let mut rows = cluster
                .rows()
                .range(first..)
                .map(|(_, row)| row)
                .take_while(|row| row.key.kind == query.kind && row.key.namespace < end)
                .filter(|row| !row.deleted && (&row.key.namespace, &row.key.name) > (&start.0, &start.1));
            let items: Vec<Record> = rows.by_ref().take(query.limit.unwrap_or(usize::MAX)).cloned().collect();
            let remaining = Some(rows.count() as u64).filter(|count| *count > 0);
            List { items, revision: cluster.head.revision, remaining }
        })
    }

    async fn changes(&self, cluster: &str, from: &Cursor, limit: usize) -> Result<Changes, StoreError> {
        self.read(cluster, |cluster| {
            from.check(&cluster.head, cluster.token(from.seen_revision()))?;
            Ok(from.page(cluster.head, cluster.since(from, limit), limit))
        })?
    }

    async fn begin_epoch(&self, cluster: &str, lost: &Head, token: Uuid) -> Result<Head, StoreError> {
        check::new_cluster(cluster)?;
        let _counter = self.counter(cluster).await;
        let mut state = self.state()?;
        let found = state.copy.clusters.get(cluster).cloned().unwrap_or_default();
        let goes_on = found.head.continues(lost, found.token(lost.revision));
        let head = state.raise_epoch(cluster, found, lost, goes_on, token);
        drop(state);
        self.database.hints.changed(cluster, head.revision);
        Ok(head)
    }

    async fn heads(&self, clusters: &[String]) -> Result<Heads, StoreError> {
        check::clusters(clusters)?;
        let state = self.state()?;
        let standing = |name: &String| {
            let found = state.copy.clusters.get(name)?;
            let (revision, removed) = (found.head.revision, found.removed.is_some());
            Some(Standing { name: name.clone(), revision, removed, head: Ok(found.head) })
        };
        Ok(Heads { now: state.instant()?, clusters: clusters.iter().filter_map(standing).collect() })
    }

    async fn clusters(&self) -> Result<Vec<String>, StoreError> {
        let state = self.state()?;
        let there = state.copy.clusters.iter().filter(|(_, cluster)| cluster.removed.is_none());
        Ok(there.map(|(name, _)| name.clone()).collect())
    }

    fn hints(&self) -> Listener {
        self.database.hints.listen()
    }
}

#[async_trait]
impl Past for Memory {
    async fn state_at(
        &self,
        cluster: &str,
        revision: Option<u64>,
        visitor: &mut dyn Visitor,
    ) -> Result<(), StoreError> {
        let found = self.read(cluster, Cluster::clone)?;
        found.visit(revision, visitor)
    }

    async fn get_at(&self, cluster: &str, key: &Key, revision: u64) -> Result<Option<Record>, StoreError> {
        check::cluster(cluster)?;
        check::key(key)?;
        self.read(cluster, |cluster| cluster.row_at(key, revision))?
    }

    async fn find_at(&self, cluster: &str, keys: &[Key], revision: u64) -> Result<Vec<Record>, StoreError> {
        check::cluster(cluster)?;
        keys.iter().try_for_each(check::key)?;
        let found = keys.iter().map(|key| self.read(cluster, |cluster| cluster.row_at(key, revision))?);
        Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    async fn list_at(&self, cluster: &str, query: &ListQuery, revision: u64) -> Result<List, StoreError> {
        check::query(cluster, query)?;
        self.read(cluster, |cluster| cluster.list_at(query, revision))?
    }

    async fn rows(&self, cluster: &str, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        self.read(cluster, |cluster| keys.iter().filter_map(|key| cluster.rows().get(key).cloned()).collect())
    }

    async fn adopt(&self, cluster: &str, records: Vec<Record>) -> Result<u64, StoreError> {
        check::new_cluster(cluster)?;
        let _counter = self.counter(cluster).await;
        let mut state = self.state()?;
        let mut found = state.copy.clusters.get(cluster).cloned().unwrap_or_default();
        keeping::check_adopted(&records, found.head.revision)?;
        let count = found.adopt(records);
        state.copy.clusters.insert(cluster.to_owned(), found);
        Ok(count)
    }

    async fn rewind(&self, cluster: &str, rewind: &Rewind, limit: usize) -> Result<Undone, StoreError> {
        self.read(cluster, |cluster| cluster.rewind(rewind, limit))?
    }

    async fn revision_at(&self, cluster: &str, time: Timestamp) -> Result<Option<u64>, StoreError> {
        self.read(cluster, |cluster| cluster.revision_by(time.as_microsecond()))
    }

    async fn restore(&self, cluster: &str, source: &mut dyn Source, how: Restore) -> Result<Head, StoreError> {
        check::new_cluster(cluster)?;
        let _counter = self.counter(cluster).await;
        let mut state = self.state()?;
        let mut found = state.copy.clusters.get(cluster).cloned().unwrap_or_default();
        if found.rows().values().any(|row| !row.deleted) && !how.replace {
            return Err(keeping::not_empty(cluster));
        }
        let before = found.head;
        let (offset, head) = how.plan(before, source.revision());
        let head = Head { token: state.new_token(), ..head };
        found.clear();
        found.fill(source, offset, head.revision)?;
        if head.revision > before.revision {
            found.kept = Kept { from: head.revision, to: head.revision };
            found.put_head(head, state.now());
        }
        state.note(|| journal::restored(cluster, &found));
        state.copy.clusters.insert(cluster.to_owned(), found);
        drop(state);
        self.database.hints.changed(cluster, head.revision);
        Ok(head)
    }
}

#[async_trait]
impl Upkeep for Memory {
    async fn compact_holding(&self, cluster: &str, keep: &Keep, hold: Option<u64>) -> Result<Compaction, StoreError> {
        check::cluster(cluster)?;
        let _counter = self.counter(cluster).await;
        let mut state = self.state()?;
        let (feed, history) = (state.ago(keep.age), self.history.map(|retention| state.ago(retention)));
        let found = state.copy.clusters.get_mut(cluster).filter(|found| found.head.revision > 0);
        Ok(found.map_or_else(Compaction::default, |found| {
            let most = found.head.revision.saturating_sub(keep.revisions);
            found.compact(&Ages { feed: (most, feed), history, hold })
        }))
    }

    async fn lease(&self, name: &str, holder: Uuid, ttl: Duration) -> Result<bool, StoreError> {
        let mut state = self.state()?;
        let now = state.now();
        let free = state.leases.get(name).is_none_or(|(known, until)| *known == holder || *until <= now);
        if free {
            state.leases.insert(name.to_owned(), (holder, now.saturating_add(rows::micros(ttl))));
        }
        Ok(free)
    }

    async fn leases(&self, beginning: &str) -> Result<Vec<String>, StoreError> {
        let state = self.state()?;
        let now = state.now();
        let is_held = |(name, (_, until)): &(&String, &(Uuid, i64))| name.starts_with(beginning) && *until > now;
        Ok(state.leases.iter().filter(is_held).map(|(name, _)| name.clone()).collect())
    }

    async fn everywhere(&self, kind: &str) -> Result<Everywhere, StoreError> {
        let state = self.state()?;
        let mut found = Vec::new();
        for (name, cluster) in &state.copy.clusters {
            let rows = cluster.rows().values().filter(|row| *row.key.kind == *kind && !row.deleted);
            found.extend(rows.map(|row| (name.clone(), Ok(row.clone()))));
        }
        Ok(Everywhere { now: state.instant()?, found })
    }

    async fn compactable(&self, _: &Keep) -> Result<Vec<String>, StoreError> {
        self.clusters().await
    }

    async fn remove(&self, cluster: &str) -> Result<bool, StoreError> {
        check::new_cluster(cluster)?;
        let _counter = self.counter(cluster).await;
        let mut state = self.state()?;
        let now = state.now();
        let Some(found) = state.copy.clusters.get_mut(cluster).filter(|found| found.removed.is_none()) else {
            return Ok(false);
        };
        *found = Cluster::removed(found.head, now);
        let gone = found.clone();
        state.copy.ledger = ledger::without(&state.copy.ledger, cluster);
        state.note(|| journal::restored(cluster, &gone));
        drop(state);
        self.database.hints.changed(cluster, gone.head.revision);
        Ok(true)
    }

    async fn sweep(&self, keep: Duration) -> Result<(), StoreError> {
        let mut state = self.state()?;
        let by = state.ago(keep);
        let removed = state.copy.clusters.iter().filter(|(_, cluster)| cluster.removed.is_some());
        let removed: Vec<String> = removed.map(|(name, _)| name.clone()).collect();
        for name in removed {
            state.copy.ledger = ledger::without(&state.copy.ledger, &name);
        }
        state.copy.clusters.retain(|_, cluster| cluster.removed.is_none_or(|at| at > by));
        Ok(())
    }
}

#[async_trait]
impl Schema for Memory {
    async fn migrate(&self) -> Result<(), StoreError> {
        self.open()?;
        self.database.lock().migrated = true;
        Ok(())
    }

    async fn migration_status(&self) -> Result<MigrationStatus, StoreError> {
        self.open()?;
        let applied = if self.database.lock().migrated { KNOWN_MIGRATION } else { 0 };
        Ok(MigrationStatus { applied, known: KNOWN_MIGRATION })
    }
}

#[async_trait]
impl Storage for Memory {
    fn connections(&self) -> Connections {
        Connections { idle: 0, used: 0 }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.open()
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}
