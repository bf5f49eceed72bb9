//! The reader of the feed: turns the store's changes into a working view.
//!
//! [`machine`] decides what to do next. This is the loop that does it: it reads pages, begins epochs, and applies pages on other threads.

use std::sync::Arc;

use tokio::task::{JoinError, spawn_blocking};
use uuid::Uuid;

use self::machine::{Effect, Event, Machine};
use super::{View, fork::Origin};
use crate::store::{Head, Store, StoreError};

mod machine;

/// Records read at a time: few enough that their bodies are freed before the system is asked for more memory.
pub(super) const PAGE: usize = 1_000;

/// More records than this are parsed on a thread of their own.
pub(super) const READ_AT_ONCE: usize = 32;

/// Reads the feed of one cluster into a working view.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) store: Arc<dyn Store>,
    pub(super) name: String,
    /// Records read at a time.
    page: usize,
    machine: Machine,
    /// The beginning of a fork, whose feed has only what differs from it.
    origin: Option<Origin>,
}

impl Reader {
    /// A reader that has read nothing yet, with pages of `page` records.
    #[cfg(test)]
    pub(super) fn new(store: Arc<dyn Store>, name: &str, page: usize) -> Self {
        Self::beginning(store, name, page, None)
    }

    /// A reader that has read nothing yet, with pages of `page` records; of a fork one that begins with `origin`.
    pub(super) fn beginning(store: Arc<dyn Store>, name: &str, page: usize, origin: Option<Origin>) -> Self {
        Self { store, name: name.to_owned(), page, machine: Machine::new(), origin }
    }

    /// The working view, and where the cluster stood when it was its exact state; `None` while it is not.
    pub(super) fn at_head(&self) -> Option<(&View, Head)> {
        self.machine.at_head()
    }

    /// Takes over a view that equals the state of `head`, from a commit.
    pub(super) fn advance(&mut self, view: View, head: Head) {
        self.machine.advance(view, head);
    }

    /// Reads up to the store's head. An error leaves the view at the last page that was applied.
    pub(super) async fn catch_up(&mut self) -> Result<(), StoreError> {
        let mut event = Event::Begin;
        loop {
            event = match self.machine.step(event) {
                Effect::Read { at, .. } if at.after == 0 && self.origin.is_some() => {
                    if let Some(Origin { view, head, .. }) = &self.origin {
                        self.machine.advance(view.clone(), *head);
                    }
                    Event::Begin
                }
                Effect::BeginEpoch(seen) if self.origin.is_some() => {
                    let (revision, epoch) = (seen.revision, seen.epoch);
                    return Err(StoreError::HistoryLost { revision, epoch });
                }
                Effect::Read { at, restart } => {
                    if let Some(why) = restart {
                        tracing::info!(cluster = self.name, why, "reading the whole cluster again");
                    }
                    Event::Page(self.store.changes(&self.name, &at, self.page).await)
                }
                Effect::BeginEpoch(seen) => {
                    Event::EpochBegun(self.store.begin_epoch(&self.name, &seen, Uuid::new_v4()).await.map(drop))
                }
                Effect::Turn { mut applied, before, page, following } => {
                    let applying = spawn_blocking(move || {
                        applied.apply_all(before);
                        applied
                    });
                    let parsing = spawn_blocking(move || page.parse());
                    let following = self.store.changes(&self.name, &following, self.page);
                    match tokio::join!(applying, parsing, following) {
                        (Ok(applied), Ok(pending), following) => Event::Turned { applied, pending, following },
                        (Err(error), ..) | (_, Err(error), _) => broken(&error),
                    }
                }
                Effect::Finish(last) if last.len() <= READ_AT_ONCE => Event::Finished(last.apply()),
                Effect::Finish(last) => {
                    spawn_blocking(move || last.apply()).await.map_or_else(|error| broken(&error), Event::Finished)
                }
                Effect::Done(result) => return result,
            };
        }
    }
}

fn broken(error: &JoinError) -> Event {
    Event::Broken(error.to_string())
}

#[cfg(test)]
mod tests;
