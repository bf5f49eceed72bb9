//! The feed's reader: from the store's changes to a working view.

use std::sync::Arc;

use metrics::gauge;

use super::View;
use crate::{
    store::{Head, Store, StoreError},
    telemetry,
};

/// Records read at a time.
const PAGE: usize = 5_000;

/// Reads the feed of one cluster into a working copy.
pub(super) struct Reader {
    pub(super) store: Arc<dyn Store>,
    pub(super) name: String,
    pub(super) working: View,
    /// Everything up to this revision is in the working copy.
    read: u64,
    /// The last revision of which the working copy was the exact state.
    pub(super) complete: u64,
    pub(super) epoch: Option<u64>,
}

impl Reader {
    /// Has read nothing yet.
    pub(super) fn new(store: Arc<dyn Store>, name: &str) -> Self {
        Self { store, name: name.to_owned(), working: View::default(), read: 0, complete: 0, epoch: None }
    }

    /// Whether the working copy is the exact state of [`Self::complete`].
    pub(super) fn is_exact(&self) -> bool {
        self.epoch.is_some() && self.read == self.complete
    }

    /// Reads up to the store's head.
    pub(super) async fn catch_up(&mut self) -> Result<(), StoreError> {
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
                continue;
            }
            self.epoch = Some(page.head.epoch);
            gauge!(telemetry::FEED_LAG, "cluster" => self.name.clone())
                .set(page.head.revision.saturating_sub(self.complete) as f64);
            for record in &page.records {
                self.read = record.revision;
                self.working.apply(record, self.complete);
            }
            if page.complete {
                self.read = page.head.revision;
                self.complete = self.read;
                self.working.snapshot.revision = self.read;
                return Ok(());
            }
        }
    }

    /// Takes over a view that is exactly the state of `head`: what a commit left.
    pub(super) fn advance(&mut self, view: View, head: Head) {
        self.working = view;
        self.working.snapshot.revision = head.revision;
        self.read = head.revision;
        self.complete = head.revision;
        self.epoch = Some(head.epoch);
    }

    /// Starts anew: what was read before is void.
    pub(super) fn reset(&mut self, why: &'static str) {
        tracing::info!(cluster = self.name, why, "reading the whole cluster again");
        self.working = View::default();
        self.read = 0;
        self.complete = 0;
    }
}
