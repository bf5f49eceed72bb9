//! The feed's reader: from the store's changes to a working view.

use std::sync::Arc;

use metrics::gauge;

use super::View;
use crate::{
    store::{Cursor, Head, Store, StoreError},
    telemetry,
};

/// Records read at a time.
const PAGE: usize = 5_000;

/// Reads the feed of one cluster into a working copy.
pub(super) struct Reader {
    pub(super) store: Arc<dyn Store>,
    pub(super) name: String,
    pub(super) working: View,
    /// What of the feed is in the working copy.
    cursor: Cursor,
}

impl Reader {
    /// Has read nothing yet.
    pub(super) fn new(store: Arc<dyn Store>, name: &str) -> Self {
        Self { store, name: name.to_owned(), working: View::default(), cursor: Cursor::default() }
    }

    /// Where the cluster stood when the working copy was last its exact state; `None` while it is not.
    pub(super) fn exact(&self) -> Option<Head> {
        self.cursor.seen.filter(|_| self.cursor.after == self.cursor.complete)
    }

    /// Reads up to the store's head.
    pub(super) async fn catch_up(&mut self) -> Result<(), StoreError> {
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
                    continue;
                }
                page => page?,
            };
            gauge!(telemetry::FEED_LAG, "cluster" => self.name.clone())
                .set(page.head.revision.saturating_sub(self.cursor.complete) as f64);
            for record in &page.records {
                self.working.apply(record, self.cursor.complete);
            }
            self.cursor = page.next;
            if page.complete {
                self.working.snapshot.revision = page.head.revision;
                return Ok(());
            }
        }
    }

    /// Takes over a view that is exactly the state of `head`: what a commit left.
    pub(super) fn advance(&mut self, view: View, head: Head) {
        self.working = view;
        self.working.snapshot.revision = head.revision;
        self.cursor = Cursor { after: head.revision, complete: head.revision, seen: Some(head), ..self.cursor };
    }

    /// Starts anew: what was read before is void.
    fn reset(&mut self, why: &'static str) {
        tracing::info!(cluster = self.name, why, "reading the whole cluster again");
        self.working = View::default();
        self.cursor = Cursor::default();
    }
}
