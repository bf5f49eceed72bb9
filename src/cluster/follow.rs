//! The feed's reader: from the store's changes to a working view.

use std::sync::Arc;

use metrics::gauge;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::{View, view::Page};
use crate::{
    store::{Changes, Cursor, Head, Store, StoreError},
    telemetry,
};

/// Records read at a time: few enough that their bodies are let go before the memory for more is asked of the system.
const PAGE: usize = 1_000;

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

    /// Reads up to the store's head. Of many pages one is taken in while the next one is parsed and the one after that is read.
    pub(super) async fn catch_up(&mut self) -> Result<(), StoreError> {
        let (mut read_ahead, mut parsed) = (None, None);
        loop {
            let page = match read_ahead.take() {
                Some(page) => page,
                None => self.store.changes(&self.name, &self.cursor, PAGE).await,
            };
            let page = match page {
                Err(StoreError::Compacted { .. }) => {
                    parsed = None;
                    self.reset("compacted");
                    continue;
                }
                Err(StoreError::HistoryLost { .. }) => {
                    if let Some(seen) = &self.cursor.seen {
                        self.store.begin_epoch(&self.name, seen, Uuid::new_v4()).await?;
                    }
                    parsed = None;
                    self.reset("history was lost");
                    continue;
                }
                page => page?,
            };
            gauge!(telemetry::FEED_LAG, "cluster" => self.name.clone())
                .set(page.head.revision.saturating_sub(self.cursor.complete) as f64);
            let Changes { records, head, complete, next } = page;
            let known = self.cursor.complete;
            self.cursor = next;
            if complete {
                for page in parsed.into_iter().chain([Page::parse(records, known)]) {
                    self.working.apply_all(page);
                }
                self.working.snapshot.revision = head.revision;
                return Ok(());
            }
            let (mut working, before) = (std::mem::take(&mut self.working), parsed.take());
            let taken_in = spawn_blocking(move || {
                if let Some(page) = before {
                    working.apply_all(page);
                }
                working
            });
            let parsing = spawn_blocking(move || Page::parse(records, known));
            let following = self.store.changes(&self.name, &self.cursor, PAGE);
            let (taken_in, parsing, following) = tokio::join!(taken_in, parsing, following);
            match (taken_in, parsing) {
                (Ok(working), Ok(page)) => (self.working, parsed) = (working, Some(page)),
                (Err(error), _) | (_, Err(error)) => {
                    self.reset("a page could not be taken in");
                    return Err(StoreError::Internal(error.to_string()));
                }
            }
            read_ahead = Some(following);
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
