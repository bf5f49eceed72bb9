//! The reader of the feed: turns the store's changes into a working view.
//!
//! A cursor moves when its page has been applied, not when it was read: view and cursor are one value, which is taken and put back whole. After
//! a failure, a panic or a drop in between, the page is read again.

use std::sync::Arc;

use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::{View, view::Page};
use crate::store::{Changes, Cursor, Head, Store, StoreError};

/// Records read at a time: few enough that their bodies are freed before the system is asked for more memory.
pub(super) const PAGE: usize = 1_000;

/// A view, and how much of the feed it holds.
#[derive(Debug, Default)]
struct Applied {
    view: View,
    cursor: Cursor,
}

impl Applied {
    fn apply(&mut self, Pending { page, next }: Pending) {
        self.view.apply_all(page);
        self.cursor = next;
    }
}

/// A page that was read and is not applied yet.
struct Pending {
    page: Page,
    next: Cursor,
}

/// Reads the feed of one cluster into a working view.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) store: Arc<dyn Store>,
    pub(super) name: String,
    /// Records read at a time.
    page: usize,
    applied: Applied,
    /// Where the cluster stood when it was last read, whether or not that was applied.
    seen: Option<Head>,
}

impl Reader {
    /// A reader that has read nothing yet, with pages of `page` records.
    pub(super) fn new(store: Arc<dyn Store>, name: &str, page: usize) -> Self {
        Self { store, name: name.to_owned(), page, applied: Applied::default(), seen: None }
    }

    /// The working view.
    pub(super) fn view(&self) -> &View {
        &self.applied.view
    }

    /// Where the cluster stood when the working view was last its exact state; `None` while it is not.
    pub(super) fn exact(&self) -> Option<Head> {
        let Cursor { after, complete, seen, .. } = self.applied.cursor;
        seen.filter(|_| after == complete)
    }

    /// Reads up to the store's head. Of many pages one is applied while the next one is parsed and the one after that is
    /// read. An error leaves the view at the last page that was applied.
    pub(super) async fn catch_up(&mut self) -> Result<(), StoreError> {
        let mut at = self.applied.cursor;
        let (mut read_ahead, mut pending): (_, Option<Pending>) = (None, None);
        loop {
            at.seen = self.seen;
            let page = match read_ahead.take() {
                Some(page) => page,
                None => self.store.changes(&self.name, &at, self.page).await,
            };
            let Changes { records, head, complete, next } = match page {
                Ok(page) => page,
                Err(StoreError::Compacted { .. }) => {
                    (at, pending) = (self.reset("compacted"), None);
                    continue;
                }
                Err(StoreError::HistoryLost { .. }) => {
                    if let Some(seen) = &self.seen {
                        self.store.begin_epoch(&self.name, seen, Uuid::new_v4()).await?;
                    }
                    self.seen = None;
                    (at, pending) = (self.reset("history was lost"), None);
                    continue;
                }
                Err(error) => {
                    // It is there already, and need not be read again.
                    if let Some(page) = pending {
                        self.applied.apply(page);
                    }
                    return Err(error);
                }
            };
            self.seen = Some(head);
            let known = at.complete;
            at = next;
            if complete {
                for page in pending.into_iter().chain([Pending { page: Page::parse(records, known), next }]) {
                    self.applied.apply(page);
                }
                self.applied.view.snapshot.revision = head.revision;
                return Ok(());
            }
            let (mut applied, before) = (std::mem::take(&mut self.applied), pending.take());
            let applying = spawn_blocking(move || {
                if let Some(page) = before {
                    applied.apply(page);
                }
                applied
            });
            let parsing = spawn_blocking(move || Page::parse(records, known));
            let following = self.store.changes(&self.name, &at, self.page);
            let (applied, parsed, following) = tokio::join!(applying, parsing, following);
            // A failure here loses the view, and with it the cursor.
            let broken = |error: tokio::task::JoinError| StoreError::Internal(format!("a page of changes: {error}"));
            self.applied = applied.map_err(broken)?;
            pending = Some(Pending { page: parsed.map_err(broken)?, next });
            read_ahead = Some(following);
        }
    }

    /// Takes over a view that equals the state of `head`, from a commit.
    pub(super) fn advance(&mut self, mut view: View, head: Head) {
        view.snapshot.revision = head.revision;
        let cursor = Cursor { after: head.revision, complete: head.revision, seen: Some(head), ..self.applied.cursor };
        (self.applied, self.seen) = (Applied { view, cursor }, Some(head));
    }

    /// Starts again from nothing. Returns the cursor to read from.
    fn reset(&mut self, why: &'static str) -> Cursor {
        tracing::info!(cluster = self.name, why, "reading the whole cluster again");
        self.applied = Applied::default();
        Cursor::default()
    }
}

#[cfg(test)]
mod tests;
