//! The follower: from the change feed to published views.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{sync::watch, time::Instant};

use super::{Cluster, Progress, View};
use crate::store::{Store, StoreError};

/// Records read at a time.
const PAGE: usize = 5_000;

/// Loads a cluster and follows it until the returned value is dropped.
pub(super) async fn start(store: Arc<dyn Store>, name: &str, poll: Duration) -> Result<Cluster, StoreError> {
    // Subscribed before the first read, so that no change between the two goes unnoticed.
    let mut hint = store.hint();
    let mut reader =
        Reader { store, name: name.to_owned(), working: View::default(), read: 0, complete: 0, epoch: None };
    reader.catch_up().await?;
    let view = Arc::new(ArcSwap::from_pointee(reader.working.clone()));
    let (sender, progress) = watch::channel(reader.progress());

    let published = view.clone();
    let follower = tokio::spawn(async move {
        let mut away = false;
        loop {
            // The store's hint is only that: the poll finds what a lost one would have told.
            let hinted = tokio::time::timeout(poll, hint.changed()).await;
            if matches!(hinted, Ok(Err(_))) {
                return; // The store is closed.
            }
            match reader.catch_up().await {
                Ok(changed) => {
                    if changed {
                        published.store(Arc::new(reader.working.clone()));
                    }
                    sender.send_replace(reader.progress());
                    away = false;
                }
                Err(error) => {
                    if !away {
                        tracing::warn!(cluster = reader.name, %error, "cannot read the change feed; deciding on from the last snapshot");
                    }
                    away = true;
                    tokio::time::sleep(poll).await;
                }
            }
        }
    })
    .abort_handle();
    Ok(Cluster { view, progress, follower })
}

/// Reads the feed of one cluster into a working copy.
struct Reader {
    store: Arc<dyn Store>,
    name: String,
    working: View,
    /// Everything up to this revision is in the working copy.
    read: u64,
    /// The last revision of which the working copy was the exact state.
    complete: u64,
    epoch: Option<u64>,
}

impl Reader {
    /// Reads up to the store's head; whether anything changed.
    async fn catch_up(&mut self) -> Result<bool, StoreError> {
        let mut changed = false;
        loop {
            let page = match self.store.changes(&self.name, self.read, self.complete, PAGE).await {
                Err(StoreError::Compacted { .. }) => {
                    self.reset("compacted");
                    continue;
                }
                page => page?,
            };
            if page.head.revision < self.read || self.epoch.is_some_and(|epoch| epoch != page.head.epoch) {
                self.reset("history was lost");
                self.epoch = Some(page.head.epoch);
                changed = true;
                continue;
            }
            self.epoch = Some(page.head.epoch);
            changed |= !page.records.is_empty();
            for record in &page.records {
                self.read = record.revision;
                self.working.apply(record, self.complete);
            }
            if page.complete {
                self.read = page.head.revision;
                self.complete = self.read;
                changed |= self.working.snapshot.revision != self.read;
                self.working.snapshot.revision = self.read;
                return Ok(changed);
            }
        }
    }

    /// Starts anew: what was read before is void.
    fn reset(&mut self, why: &'static str) {
        tracing::info!(cluster = self.name, why, "reading the whole cluster again");
        self.working = View::default();
        self.read = 0;
        self.complete = 0;
    }

    fn progress(&self) -> Progress {
        Progress { revision: self.read, synced: Instant::now() }
    }
}
