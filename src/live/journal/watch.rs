//! One watch: the objects that there are, perhaps, and then every change of those that are selected.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, watch as channel};

use super::{
    Journal,
    book::Tracked,
    closed,
    event::{Event, Kind, State},
    resume,
    track::{Lane, Read},
};
use crate::{
    live::Cluster,
    store::{Past, StoreError},
    wire::{kinds::StoredKind, selector::Query},
};

/// Events or objects that a watch takes at a time: few, since each watch whose client reads slowly holds so many in its form.
const AT_ONCE: usize = 16;

/// The wish for a watch.
#[derive(Debug)]
pub struct Ask {
    /// The kind.
    pub kind: &'static StoredKind,
    /// One namespace, or all.
    pub namespace: Option<String>,
    /// The selection.
    pub query: Query,
    /// Where it begins.
    pub from: From,
    /// Longest wait for the revision that it must have reached.
    pub within: Duration,
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With the objects there are, at a state not older than this revision.
    State(u64),
    /// With the next change of a state not older than this revision.
    Now(u64),
    /// With the changes after a revision that its client has seen.
    After(u64),
}

/// The next thing that a watch tells.
#[derive(Debug)]
pub enum Step {
    /// Some of the objects that there are.
    Objects(Vec<Arc<State>>),
    /// All objects of this revision were told; what follows are changes after it.
    ObjectsEnd(u64),
    /// Changes.
    Changes(Vec<(Kind, Arc<Event>)>),
    /// Events were lost: its client was too slow or asked for too old a revision. The revision of the newest state.
    Expired(u64),
    /// It ends: the server stops, or the cluster is not kept any more.
    Ended,
}

/// The reason why a watch cannot begin.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WatchError {
    /// There are too many watches.
    #[error("there are {most} watches, as many as --max-watches allows")]
    TooMany {
        /// The bound.
        most: usize,
    },
    /// The revision is not reached in time.
    #[error("Too large resource version: {wanted}, current: {current}")]
    NotReached {
        /// The requested revision.
        wanted: u64,
        /// The newest one.
        current: u64,
    },
    /// The store's error.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A watch in progress.
#[derive(Debug)]
pub struct Watch {
    journal: Arc<Journal>,
    track: Arc<Tracked>,
    query: Query,
    namespace: Option<String>,
    lane: Lane,
    woken: channel::Receiver<()>,
    /// The number of the last event that was told or left out.
    position: u64,
    /// Changes up to this revision are not told.
    seen: u64,
    objects: Option<(std::vec::IntoIter<Arc<State>>, u64)>,
    /// Changes that came before the track began.
    earlier: VecDeque<(Kind, Arc<Event>)>,
    is_lost: bool,
    stop: channel::Receiver<bool>,
    /// A watched cluster is not released.
    _cluster: Arc<Cluster>,
    _permit: OwnedSemaphorePermit,
}

impl Watch {
    /// Begins a watch.
    ///
    /// # Errors
    /// [`WatchError`]. A revision that is too old is none: [`Step::Expired`] comes first then.
    pub(in crate::live) async fn begin(
        cluster: Arc<Cluster>,
        past: &dyn Past,
        ask: Ask,
        stop: channel::Receiver<bool>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, WatchError> {
        let journal = cluster.journal().cloned().ok_or_else(closed)?;
        let Ask { kind, namespace, query, from, within } = ask;
        let track = journal.load(kind).await?;
        if let From::State(wanted) | From::Now(wanted) = from
            && !journal.reached(&track, wanted, within).await
        {
            let current = track.lock().at();
            return Err(WatchError::NotReached { wanted, current });
        }
        let lane = lane(kind, namespace.as_deref(), &query);
        let (woken, position, seen, objects, missing) = {
            let mut locked = track.lock();
            let woken = locked.join(&lane);
            let (end, at, since) = (locked.end_position(), locked.at(), locked.since());
            match from {
                From::State(_) => {
                    let there = locked.objects(namespace.as_deref(), None).map(|(_, state)| state.clone());
                    (woken, end, 0, Some((there.collect::<Vec<_>>().into_iter(), at)), None)
                }
                From::Now(_) => (woken, end, 0, None, None),
                From::After(revision) if revision >= since => {
                    (woken, locked.position_after(revision), revision, None, None)
                }
                From::After(revision) => {
                    let of_namespace = |state: &&Arc<State>| {
                        namespace.as_ref().is_none_or(|namespace| *namespace == state.record.key.namespace)
                    };
                    let changed = locked.changed_after(revision).filter(of_namespace).cloned().collect();
                    (woken, end, 0, None, Some(resume::Missing { after: revision, at, changed }))
                }
            }
        };
        let mut watch = Self {
            journal,
            track,
            query,
            namespace,
            lane,
            woken,
            position,
            seen,
            objects,
            earlier: VecDeque::new(),
            is_lost: false,
            stop,
            _cluster: cluster,
            _permit: permit,
        };
        if let Some(missing) = missing {
            match watch.fill_in(past, missing).await? {
                Some(earlier) => watch.earlier = earlier.into(),
                None => watch.is_lost = true,
            }
        }
        Ok(watch)
    }

    async fn fill_in(
        &self,
        past: &dyn Past,
        missing: resume::Missing,
    ) -> Result<Option<Vec<(Kind, Arc<Event>)>>, StoreError> {
        let Journal { store, cluster, .. } = &*self.journal;
        let place = resume::Asked {
            store: &**store,
            past,
            cluster,
            kind: self.track.kind,
            namespace: self.namespace.as_deref(),
            query: &self.query,
        };
        resume::changes(&place, missing).await
    }

    /// The next step. If the future is dropped, nothing is lost.
    pub async fn next(&mut self) -> Step {
        loop {
            if *self.stop.borrow() {
                return Step::Ended;
            }
            self.woken.mark_unchanged();
            if let Some(step) = self.step() {
                return step;
            }
            tokio::select! {
                // An error says that the track has ended, which the next step finds.
                _ = self.woken.changed() => {}
                _ = self.stop.wait_for(|stop| *stop) => return Step::Ended,
            }
        }
    }

    /// The next step, if there is one now.
    fn step(&mut self) -> Option<Step> {
        if self.is_lost {
            return Some(self.lost());
        }
        if let Some((objects, at)) = &mut self.objects {
            let selected = objects.by_ref().filter(|state| state.is_selected(&self.query));
            let some: Vec<_> = selected.take(AT_ONCE).collect();
            if !some.is_empty() {
                return Some(Step::Objects(some));
            }
            let at = *at;
            self.objects = None;
            return Some(Step::ObjectsEnd(at));
        }
        if !self.earlier.is_empty() {
            let count = self.earlier.len().min(AT_ONCE);
            return Some(Step::Changes(self.earlier.drain(..count).collect()));
        }
        loop {
            let read = self.track.lock().read(&self.lane, self.position, AT_ONCE);
            let Read::Events { events, position, complete } = read else {
                self.is_lost = true;
                return Some(self.lost());
            };
            self.position = position;
            let changes: Vec<_> = events.into_iter().filter_map(|event| Some((self.told(&event)?, event))).collect();
            if !changes.is_empty() {
                return Some(Step::Changes(changes));
            }
            if complete.is_some() {
                return None;
            }
        }
    }

    fn told(&self, event: &Event) -> Option<Kind> {
        let (of, _) = event.place()?;
        let is_within = self.namespace.as_ref().is_none_or(|namespace| namespace == of);
        if event.known_at <= self.seen || !is_within {
            return None;
        }
        event.kind(&self.query)
    }

    fn lost(&self) -> Step {
        if self.journal.is_closed() { Step::Ended } else { Step::Expired(self.track.lock().at()) }
    }

    /// The revision up to which everything was told; `None` while something is not.
    pub fn bookmark(&self) -> Option<u64> {
        if self.is_lost || self.objects.is_some() || !self.earlier.is_empty() {
            return None;
        }
        match self.track.lock().read(&self.lane, self.position, 1) {
            Read::Events { events, complete, .. } if events.is_empty() => complete.filter(|at| *at >= self.seen),
            _ => None,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.track.lock().leave(&self.lane);
        self.track.use_now();
    }
}

/// The narrowest lane that has all that a watch may tell.
fn lane(kind: &StoredKind, namespace: Option<&str>, query: &Query) -> Lane {
    if let Some(name) = query.name()
        && (namespace.is_some() || !kind.namespaced)
    {
        return Lane::Object((namespace.unwrap_or_default().to_owned(), name.to_owned()));
    }
    if let Some(node) = query.node() {
        return Lane::Node(node.to_owned());
    }
    namespace.map_or(Lane::Everything, |namespace| Lane::Namespace(namespace.to_owned()))
}
