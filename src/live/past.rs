//! Views of the past: a near view is cloned, and takes in the objects that changed in between as they were then. So it shares all else with the
//! present.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{sync::Semaphore, task::spawn_blocking, time::Instant};

use super::{
    Cluster, Clusters,
    view::{BODIES, Page, View},
};
use crate::store::{Bodies, Cursor, Head, Rewind, StoreError};

/// Revisions whose changes are undone at a time.
const WINDOW: usize = 2_000;

/// Past views that are kept, of all clusters.
const MOST_KEPT: usize = 32;

/// Objects by which all of them together may differ from the present ones. A pod with its place in the indexes takes a few kilobytes.
const MOST_CHANGES: usize = 50_000;

/// How long a past view is kept that nobody asks for.
const UNUSED_FOR: Duration = Duration::from_mins(10);

/// Past views that are made at a time; others wait, and find what they made.
const AT_ONCE: usize = 2;

/// Why there is no view of a revision.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// The cluster has not come so far.
    #[error("Too large resource version: {wanted}, current: {current}")]
    TooNew {
        /// The requested revision.
        wanted: u64,
        /// The newest one.
        current: u64,
    },
    /// The database has an error, or does not keep the revision any more ([`StoreError::Compacted`]).
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The past views of all clusters.
#[derive(Debug)]
pub(super) struct Pasts {
    /// The one that was used last comes last.
    kept: Mutex<VecDeque<Kept>>,
    turns: Semaphore,
}

#[derive(Debug)]
struct Kept {
    cluster: Weak<Cluster>,
    /// Of the cluster's history.
    epoch: u64,
    view: Arc<View>,
    /// Objects by which it differed, at most, from the present of the revision `present`.
    changes: usize,
    present: u64,
    /// Time of the last request for it.
    used: Instant,
}

impl Kept {
    /// Objects by which it differs, at most, from the present: each change of that takes a revision. `None`: its cluster is not kept any more.
    fn weight(&self) -> Option<usize> {
        let present = self.cluster.upgrade()?.progress().revision;
        let since = usize::try_from(present.saturating_sub(self.present)).unwrap_or(usize::MAX);
        Some(self.changes.saturating_add(since))
    }
}

impl Default for Pasts {
    fn default() -> Self {
        Self { kept: Mutex::default(), turns: Semaphore::new(AT_ONCE) }
    }
}

impl Pasts {
    /// The earliest kept view of a cluster that is not before a revision, and by how many objects it differs, at most, from the present.
    fn nearest(&self, of: &Arc<Cluster>, epoch: u64, revision: u64) -> Option<(Arc<View>, usize)> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |kept: &Kept| {
            let is_of = std::ptr::eq(kept.cluster.as_ptr(), Arc::as_ptr(of)) && kept.epoch == epoch;
            is_of && kept.view.snapshot.revision >= revision
        };
        let places = kept.iter().enumerate().filter(|(_, kept)| fits(kept));
        let (place, _) = places.min_by_key(|(_, kept)| kept.view.snapshot.revision)?;
        let mut found = kept.remove(place)?;
        found.used = Instant::now();
        let (view, weight) = (found.view.clone(), found.weight());
        kept.push_back(found);
        Some((view, weight?))
    }

    fn keep(&self, new: Kept) {
        if new.changes > MOST_CHANGES {
            return; // It takes as much as all others.
        }
        let mut gone = Vec::new(); // Dropped last, without the lock: they may be large.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(new);
        bound(&mut kept, &mut gone, Instant::now());
        drop(kept);
    }

    /// Lets go of views that nobody asks for, and of those that differ by too much by now.
    pub(super) fn release(&self, now: Instant) {
        let mut gone = Vec::new();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        bound(&mut kept, &mut gone, now);
        drop(kept);
    }
}

/// Takes out the views of clusters that are gone, those that nobody asked for, and the oldest ones while there are too many or they are too large.
fn bound(kept: &mut VecDeque<Kept>, gone: &mut Vec<Kept>, now: Instant) {
    let is_over = |kept: &Kept| kept.cluster.strong_count() == 0 || now.duration_since(kept.used) >= UNUSED_FOR;
    while let Some(at) = kept.iter().position(is_over) {
        gone.extend(kept.remove(at));
    }
    let weights: Vec<usize> = kept.iter().map(|kept| kept.weight().unwrap_or_default()).collect();
    let mut all = weights.iter().fold(0_usize, |all, weight| all.saturating_add(*weight));
    for weight in weights {
        if kept.len() <= MOST_KEPT && all <= MOST_CHANGES {
            break;
        }
        gone.extend(kept.pop_front());
        all = all.saturating_sub(weight);
    }
}

impl Clusters {
    /// The view that was published at a revision; within a batch that of the batch before. `within` bounds the wait for the present one.
    ///
    /// # Errors
    /// [`PastError`]
    pub async fn view_at(&self, name: &str, revision: u64, within: Duration) -> Result<Arc<View>, PastError> {
        let cluster = self.get(name).await?;
        if cluster.progress().revision < revision {
            let current = self.store.head(name).await?.revision;
            if current < revision || !cluster.reached(revision, within).await {
                return Err(PastError::TooNew { wanted: revision, current });
            }
        }
        let (seen, present) = (cluster.progress().head, cluster.view());
        if present.snapshot.revision == revision {
            return Ok(present);
        }
        let closed = |_| StoreError::Unavailable("the process is stopping".into());
        let _turn = self.registry.pasts().turns.acquire().await.map_err(closed)?;
        self.check_goes_on(name, seen).await?;
        let nearest = self.registry.pasts().nearest(&cluster, seen.epoch, revision);
        let (base, weight) = nearest.unwrap_or((present, 0));
        let (view, changes) = self.rewound(name, base, revision).await?;
        // What was undone is of the history that the base is of.
        self.check_goes_on(name, seen).await?;
        if let Some(changes) = changes {
            let (cluster, changes) = (Arc::downgrade(&cluster), changes.saturating_add(weight));
            let (epoch, present, used) = (seen.epoch, seen.revision, Instant::now());
            self.registry.pasts().keep(Kept { cluster, epoch, view: view.clone(), changes, present, used });
        }
        Ok(view)
    }

    /// Checks that what was read of a cluster is still its history.
    async fn check_goes_on(&self, name: &str, seen: Head) -> Result<(), StoreError> {
        let cursor = Cursor { seen: Some(seen), bodies: Bodies::Of(&[]), ..Cursor::after(seen.revision) };
        self.store.changes(name, &cursor, 1).await.map(drop)
    }

    /// A view taken back to a revision, and by how many objects it differs; `None` if it was of that revision already.
    async fn rewound(
        &self,
        name: &str,
        base: Arc<View>,
        revision: u64,
    ) -> Result<(Arc<View>, Option<usize>), StoreError> {
        let from = base.snapshot.revision;
        let mut rewind = Rewind::between(revision, from, *BODIES);
        let (mut view, mut changes) = (View::clone(&base), 0);
        loop {
            let undone = self.store.rewind(name, &rewind, WINDOW).await?;
            if undone.revision == from {
                return Ok((base, None));
            }
            changes += undone.records.len();
            // Every body counts: what the view has of these objects is of later revisions.
            let applying = spawn_blocking(move || {
                view.apply_all(Page::parse(undone.records, 0));
                view.snapshot.revision = undone.revision;
                view
            });
            view = applying.await.map_err(|error| StoreError::Internal(error.to_string()))?;
            match undone.next {
                Some(below) => rewind.below = below,
                None => return Ok((Arc::new(view), Some(changes))),
            }
        }
    }
}

#[cfg(test)]
mod tests;
