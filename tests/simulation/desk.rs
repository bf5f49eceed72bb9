//! The writing side of one replica and cluster, as plain as can be: it knows the cluster's CPUs, judges binds by them,
//! and keeps what it knows by what the store tells a judge. Any slip of the store in that makes it overcommit.

use std::sync::Arc;

use imbl::OrdMap;
use podberth::store::{Call, Head, Judge, Key, Record, Store, StoreError, Written};

use crate::objects::cpu;

/// Why a bind is turned away by who knows nothing: not a verdict.
pub(crate) const BLIND: &str = "history was lost";

#[derive(Debug)]
pub(crate) struct Desk {
    store: Arc<dyn Store>,
    cluster: String,
    known: tokio::sync::Mutex<Known>,
}

/// What the desk knows: the CPUs of every live object, and where it is.
#[derive(Debug, Clone, Default)]
struct Known {
    head: Head,
    objects: OrdMap<Key, Held>,
}

#[derive(Debug, Clone, Default)]
struct Held {
    cpus: i64,
    node: Option<String>,
}

struct Attempt<'a> {
    known: &'a Known,
    working: OrdMap<Key, Held>,
    marked: OrdMap<Key, Held>,
    blind: bool,
}

impl Known {
    fn apply(objects: &mut OrdMap<Key, Held>, record: &Record, complete: u64) {
        if record.deleted {
            objects.remove(&record.key);
            return;
        }
        let held = objects.get(&record.key);
        let is_left_out = record.body.is_empty() && record.body_is_known(complete);
        let cpus = if is_left_out { held.map_or(0, |held| held.cpus) } else { cpu(&record.body) };
        objects.insert(record.key.clone(), Held { cpus, node: record.node.clone() });
    }
}

impl Judge for Attempt<'_> {
    fn known(&self) -> u64 {
        self.known.head.revision
    }

    fn begin(&mut self, head: Head, missed: &[Record]) {
        self.working = self.known.objects.clone();
        self.blind = head.epoch != self.known.head.epoch && self.known.head.revision > 0;
        for record in missed {
            Known::apply(&mut self.working, record, self.known.head.revision);
        }
    }

    fn may_bind(&mut self, _: usize, record: &Record, node: &str) -> Result<(), String> {
        if self.blind {
            return Err(BLIND.into());
        }
        let used: i64 = self.working.values().filter(|held| held.node.as_deref() == Some(node)).map(|h| h.cpus).sum();
        let wanted = self.working.get(&record.key).map_or(0, |held| held.cpus);
        match self.working.get(&Key::new("nodes", "", node)) {
            Some(held) if used + wanted <= held.cpus => Ok(()),
            Some(held) => Err(format!("{node} has {} and {used} are taken", held.cpus)),
            None => Err(format!("{node} is not there")),
        }
    }

    fn note(&mut self, record: &Record) {
        Known::apply(&mut self.working, record, record.revision);
    }

    fn mark(&mut self) {
        self.marked = self.working.clone();
    }

    fn roll_back(&mut self) {
        self.working = self.marked.clone();
    }
}

impl Desk {
    pub(crate) fn new(store: Arc<dyn Store>, cluster: &str) -> Self {
        Self { store, cluster: cluster.to_owned(), known: tokio::sync::Mutex::default() }
    }

    /// Writes one batch after the other.
    pub(crate) async fn write(&self, calls: &[Call]) -> Result<Written, StoreError> {
        let mut known = self.known.lock().await;
        for _ in 0..3 {
            let (working, marked) = (OrdMap::new(), OrdMap::new());
            let mut attempt = Attempt { known: &known, working, marked, blind: false };
            match self.store.write(&self.cluster, calls, &mut attempt).await {
                Ok(written) => {
                    let (blind, objects) = (attempt.blind, attempt.working);
                    *known = if blind { Known::default() } else { Known { head: written.head, objects } };
                    return Ok(written);
                }
                Err(StoreError::Behind { .. }) => self.catch_up(&mut known).await?,
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Busy("history is lost again and again".into()))
    }

    /// Reads everything anew.
    async fn catch_up(&self, known: &mut Known) -> Result<(), StoreError> {
        let page = self.store.changes(&self.cluster, 0, 0, usize::MAX).await?;
        *known = Known { head: page.head, objects: OrdMap::new() };
        for record in &page.records {
            Known::apply(&mut known.objects, record, 0);
        }
        Ok(())
    }
}
