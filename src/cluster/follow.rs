//! The follower: from the change feed to published views.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{sync::watch, time::Instant};

use super::{Cluster, Progress, View};
use crate::store::{Cursor, Store, StoreError};

/// Records read at a time.
const PAGE: usize = 5_000;

/// Loads a cluster and follows it until the returned value is dropped.
pub(super) async fn start(store: Arc<dyn Store>, name: &str, poll: Duration) -> Result<Cluster, StoreError> {
    // Subscribed before the first read, so that no change between the two goes unnoticed.
    let mut hint = store.hint();
    let mut reader = Reader { store, name: name.to_owned(), working: View::default(), cursor: Cursor::default() };
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
    /// What of the feed is in the working copy.
    cursor: Cursor,
}

impl Reader {
    /// Reads up to the store's head; whether anything changed.
    async fn catch_up(&mut self) -> Result<bool, StoreError> {
        let mut changed = false;
        loop {
            let page = match self.store.changes(&self.name, &self.cursor, PAGE).await {
                Err(StoreError::Compacted { .. }) => {
                    self.reset("compacted");
                    continue;
                }
                Err(StoreError::HistoryLost { .. }) => {
                    if let Some(seen) = &self.cursor.seen {
                        self.store.begin_epoch(&self.name, seen).await?;
                    }
                    self.reset("history was lost");
                    changed = true;
                    continue;
                }
                page => page?,
            };
            changed |= !page.records.is_empty();
            for record in &page.records {
                self.working.apply(record, self.cursor.complete);
            }
            self.cursor = page.next;
            if page.complete {
                changed |= self.working.snapshot.revision != page.head.revision;
                self.working.snapshot.revision = page.head.revision;
                return Ok(changed);
            }
        }
    }

    /// Starts anew: what was read before is void.
    fn reset(&mut self, why: &'static str) {
        tracing::info!(cluster = self.name, why, "reading the whole cluster again");
        self.working = View::default();
        self.cursor = Cursor::default();
    }

    fn progress(&self) -> Progress {
        Progress { revision: self.cursor.after, synced: Instant::now() }
    }
}
