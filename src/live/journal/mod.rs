//! The recent changes of a cluster, for watches and for lists of the recent past.
//!
//! A kind has a [`track`] from the first watch of it on: the newest state of each object, and a ring of events. One task per cluster keeps the
//! tracks up to date ([`follow`]); it ends when no kind has a track any more. A [`Watch`] reads a track by position. The journal is no part of the
//! state: it begins anew in each process, and after history was lost.
//!
//! Guarantees, those of etcd's watch: events of a kind come in order of revision, none twice, none left out from the revision that a watch begins at;
//! a watch can go on from the revision of any event or bookmark, at any replica; a bookmark's revision stands behind all events up to it.
//!
//! A watch tells of no change before the cluster's view has it, so a decision that is asked for after an event knows what the event told.
//!
//! One thing is weaker. Of several changes of one object by another process between two reads of the change feed the last one is told. A watch that
//! goes on between such changes is filled in from the store or has expired; where it comes from, the objects that it has to give up were told
//! first. So it misses nothing, but may be told that an object has gone that it does not have.
//!
//! An object that was replaced by one write, as an import does, is told as modified, with another uid.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use metrics::counter;
use tokio::sync::{Notify, oneshot, watch as channel};

use self::book::{Book, Tracked};
pub(super) use self::recorder::{Batch, Recorder};
pub use self::{
    event::{Event, Kind, State},
    track::{Bounds, Place},
    watch::{Ask, From, Step, Watch, WatchError},
};
use super::status::Progress;
use crate::{
    store::{Store, StoreError},
    telemetry,
    wire::kinds::StoredKind,
};

mod book;
mod event;
mod follow;
mod recorder;
mod resume;
mod track;
mod watch;

/// Batches that wait for the journal at most; it reads the change feed when there are more.
const MOST_BATCHES: usize = 256;

/// The journal of one cluster.
#[derive(Debug)]
pub struct Journal {
    store: Arc<dyn Store>,
    cluster: String,
    progress: channel::Receiver<Progress>,
    bounds: Bounds,
    inbox: Mutex<Inbox>,
    book: Mutex<Book>,
    /// Something has come into the inbox.
    work: Notify,
}

/// The work of the task.
#[derive(Debug, Default)]
struct Inbox {
    batches: VecDeque<Batch>,
    to_load: Vec<Load>,
    is_running: bool,
    is_closed: bool,
}

/// The wish for a track.
#[derive(Debug)]
struct Load {
    kind: &'static StoredKind,
    reply: oneshot::Sender<Result<Arc<Tracked>, StoreError>>,
}

impl Journal {
    pub(super) fn new(
        store: Arc<dyn Store>,
        cluster: &str,
        progress: channel::Receiver<Progress>,
        bounds: Bounds,
    ) -> Self {
        let (inbox, book) = (Mutex::default(), Mutex::default());
        Self { store, cluster: cluster.to_owned(), progress, bounds, inbox, book, work: Notify::new() }
    }

    // A panic while one of them is locked ends the task, which resets both.
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `true` if batches are to be handed to it.
    pub(super) fn is_on(&self) -> bool {
        self.inbox().is_running
    }

    /// Takes a batch that this process has written.
    pub(super) fn committed(&self, batch: Batch) {
        let mut inbox = self.inbox();
        if !inbox.is_running {
            return;
        }
        if inbox.batches.len() >= MOST_BATCHES {
            inbox.batches.clear();
        }
        inbox.batches.push_back(batch);
        drop(inbox);
        self.work.notify_one();
    }

    /// Wakes all watches and ends them. Those that begin later have tracks of their own.
    pub(super) fn end_watches(&self) {
        self.book().reset();
        self.work.notify_one();
    }

    /// Ends all watches: the cluster is not kept any more. Their clients ask again.
    pub(super) fn close(&self) {
        let mut inbox = self.inbox();
        inbox.is_closed = true;
        inbox.to_load.clear();
        drop(inbox);
        self.book().reset();
        self.work.notify_one();
    }

    fn is_closed(&self) -> bool {
        self.inbox().is_closed
    }

    /// The track of a kind, if it has one.
    fn track(&self, kind: &StoredKind) -> Option<Arc<Tracked>> {
        self.book().get(kind).cloned()
    }

    /// The track of a kind, loaded if need be.
    async fn load(self: &Arc<Self>, kind: &'static StoredKind) -> Result<Arc<Tracked>, StoreError> {
        if let Some(track) = self.track(kind) {
            track.use_now();
            return Ok(track);
        }
        let (reply, loaded) = oneshot::channel();
        {
            let mut inbox = self.inbox();
            if inbox.is_closed {
                return Err(closed());
            }
            inbox.to_load.push(Load { kind, reply });
            if !std::mem::replace(&mut inbox.is_running, true) {
                self.start();
            }
        }
        self.work.notify_one();
        loaded.await.unwrap_or_else(|_| Err(closed()))
    }

    fn start(self: &Arc<Self>) {
        let journal = self.clone();
        tokio::spawn(async move {
            let running = tokio::spawn(follow::run(journal.clone()));
            if let Err(error) = running.await {
                tracing::error!(cluster = journal.cluster, %error, "the cluster's journal has ended; its watches end");
                counter!(telemetry::JOURNALS_ENDED).increment(1);
                journal.stop();
            }
        });
    }

    /// Begins anew with the next watch.
    fn stop(&self) {
        let mut inbox = self.inbox();
        inbox.batches.clear();
        inbox.to_load.clear();
        inbox.is_running = false;
        drop(inbox);
        self.book().reset();
    }

    /// Keeps the past of a kind from a recent revision on, for lists of it; from now on, if it was changed since.
    pub async fn keep(self: &Arc<Self>, kind: &'static StoredKind, revision: u64) -> Result<(), StoreError> {
        let track = self.load(kind).await?;
        if revision < track.lock().since()
            && let Some(changed) = resume::changed(&*self.store, &self.cluster, kind, revision).await?
        {
            track.lock().reach_back(revision, &changed);
        }
        Ok(())
    }

    /// The objects of a kind as they were at a revision, behind a place and of one namespace or all. `None` if that is not kept.
    pub async fn objects_at(
        &self,
        kind: &StoredKind,
        revision: u64,
        namespace: Option<&str>,
        after: Option<&Place>,
        within: Duration,
    ) -> Result<Option<Vec<Arc<State>>>, StoreError> {
        let Some(track) = self.track(kind) else { return Ok(None) };
        track.use_now();
        if !self.reached(&track, revision, within).await {
            return Ok(None);
        }
        let objects = track.lock().objects_at(revision, namespace, after);
        Ok(objects)
    }

    /// Waits until a track has reached a revision; `false` if it does not in time.
    async fn reached(&self, track: &Tracked, revision: u64, within: Duration) -> bool {
        let mut at = track.at.subscribe();
        let reached = at.wait_for(|at| *at >= revision || track.lock().is_over());
        matches!(tokio::time::timeout(within, reached).await, Ok(Ok(_))) && !track.lock().is_over()
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the cluster is not kept any more: watch again".into())
}

#[cfg(test)]
mod tests;
