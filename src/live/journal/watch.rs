//! One watch: the objects that there are, perhaps, and then every change of those that are selected.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, watch as channel};

use super::{
    Journal,
    book::Tracked,
    closed,
    event::{Event, Kind, State},
    resume,
    track::{self, Lane, Objects, Place, Read, Track},
};
use crate::{
    live::Cluster,
    store::{Past, StoreError},
    wire::{kinds::StoredKind, selector::Query},
};

/// Events or objects that a watch takes at a time: few, since each watch whose client reads slowly holds so many in its form.
const AT_ONCE: usize = 16;

/// Longest wait for a track to come as far as a client that goes on. What the client has seen may not be there at all.
const CATCHES_UP: Duration = Duration::from_millis(500);

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
    /// Events were lost: its client was too slow or asked for too old a revision.
    Expired {
        /// The revision that its client has seen.
        seen: u64,
        /// The events after this one are kept.
        since: u64,
    },
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

/// The objects at the beginning of a watch that are still to be told.
#[derive(Debug)]
struct Initial {
    /// The revision of their state.
    at: u64,
    objects: There,
}

/// Objects at one revision.
#[derive(Debug)]
enum There {
    /// All of the kind, of which those behind a place are left.
    Whole(Objects, Option<Place>),
    /// Some.
    Some(std::vec::IntoIter<Arc<State>>),
}

impl There {
    /// The objects of a lane.
    fn of(track: &Track, lane: &Lane) -> Self {
        match lane {
            Lane::Object(place) => Self::Some(track.object(place).into_iter().collect::<Vec<_>>().into_iter()),
            Lane::Node(node) => Self::Some(track.on_node(node).into_iter()),
            Lane::Everything | Lane::Namespace(_) => Self::Whole(track.all(), None),
        }
    }

    /// The next ones that a query selects, of a namespace or of all.
    fn next(&mut self, namespace: Option<&str>, query: &Query) -> Vec<Arc<State>> {
        match self {
            Self::Whole(objects, after) => {
                let left = track::behind(objects, namespace, after.as_ref());
                let selected = left.filter(|(_, state)| state.is_selected(query)).take(AT_ONCE);
                let (places, found): (Vec<&Place>, Vec<_>) =
                    selected.map(|(place, state)| (place, state.clone())).unzip();
                if let Some(last) = places.last() {
                    *after = Some((*last).clone());
                }
                found
            }
            Self::Some(left) => {
                let is_within = |state: &Arc<State>| namespace.is_none_or(|of| of == state.record.key.namespace);
                left.filter(|state| is_within(state) && state.is_selected(query)).take(AT_ONCE).collect()
            }
        }
    }
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
    /// The revision that its client has seen last.
    last: u64,
    /// The revision that its client has seen and the track has not: it may turn out that the track does not know the state of it.
    ahead: Option<u64>,
    initial: Option<Initial>,
    /// Changes that came before the track began.
    earlier: VecDeque<(Kind, Arc<Event>)>,
    is_lost: bool,
    /// Until it is woken there is nothing to tell.
    is_waiting: bool,
    /// `true` once the server stops. Then its track ends too, which wakes it.
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
        if let From::After(seen) = from {
            // A client that comes from another replica may be ahead of this one.
            journal.reached(&track, seen, within.min(CATCHES_UP)).await;
        }
        let lane = lane(kind, namespace.as_deref(), &query);
        let (mut seen, mut ahead, mut initial, mut missing) = (0, None, None, None);
        let (woken, at, position) = {
            let mut locked = track.lock();
            let (woken, at, mut position) = (locked.join(&lane), locked.at(), locked.end_position());
            match from {
                From::Now(_) => {}
                From::State(_) => initial = Some(Initial { at, objects: There::of(&locked, &lane) }),
                From::After(revision) => {
                    ahead = Some(revision).filter(|revision| *revision > at);
                    if locked.goes_on_from(revision) {
                        (position, seen) = (locked.position_after(revision), revision);
                    } else {
                        // Its client may know a state that this track does not.
                        let of_namespace = |state: &&Arc<State>| {
                            namespace.as_ref().is_none_or(|namespace| *namespace == state.record.key.namespace)
                        };
                        let changed = locked.changed_after(revision).filter(of_namespace).cloned().collect();
                        missing = Some(resume::Missing { after: revision, at, changed });
                    }
                }
            }
            (woken, at, position)
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
            last: if let From::After(revision) = from { revision } else { at },
            ahead,
            initial,
            earlier: VecDeque::new(),
            is_lost: false,
            is_waiting: false,
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
            if self.is_waiting {
                // An error says that the track has ended, which the next step finds.
                drop(self.woken.changed().await);
                self.is_waiting = false;
            }
            if *self.stop.borrow() {
                return Step::Ended;
            }
            self.woken.mark_unchanged();
            if let Some(step) = self.step() {
                return step;
            }
        }
    }

    /// The next step, if there is one now.
    fn step(&mut self) -> Option<Step> {
        if self.is_lost {
            return Some(self.lost());
        }
        if let Some(initial) = &mut self.initial {
            let some = initial.objects.next(self.namespace.as_deref(), &self.query);
            if !some.is_empty() {
                return Some(Step::Objects(some));
            }
            let at = initial.at;
            self.initial = None;
            return Some(Step::ObjectsEnd(at));
        }
        if !self.earlier.is_empty() {
            let count = self.earlier.len().min(AT_ONCE);
            let some = self.earlier.drain(..count).collect();
            return Some(self.tell(some));
        }
        loop {
            let track = self.track.lock();
            let is_lost =
                self.ahead.take_if(|ahead| *ahead <= track.at()).is_some_and(|seen| !track.goes_on_from(seen));
            let read = if is_lost { Read::Lost } else { track.read(&self.lane, self.position, AT_ONCE) };
            drop(track);
            let Read::Events { events, position, complete } = read else {
                self.is_lost = true;
                return Some(self.lost());
            };
            self.position = position;
            let changes: Vec<_> =
                events.into_iter().filter_map(|event| Some((self.kind_here(&event)?, event))).collect();
            self.is_waiting = complete.is_some();
            if !changes.is_empty() {
                return Some(self.tell(changes));
            }
            if self.is_waiting {
                return None;
            }
        }
    }

    fn tell(&mut self, changes: Vec<(Kind, Arc<Event>)>) -> Step {
        self.last = changes.last().map_or(self.last, |(_, event)| event.told_at());
        Step::Changes(changes)
    }

    fn kind_here(&self, event: &Event) -> Option<Kind> {
        let (of, _) = event.place()?;
        let is_within = self.namespace.as_ref().is_none_or(|namespace| namespace == of);
        if event.revision <= self.seen || !is_within {
            return None;
        }
        event.kind(&self.query)
    }

    fn lost(&self) -> Step {
        if self.journal.is_closed() || *self.stop.borrow() {
            return Step::Ended;
        }
        let since = self.track.lock().since();
        Step::Expired { seen: self.last, since: since.max(self.last) }
    }

    /// The revision up to which everything was told; `None` while something is not.
    pub fn bookmark(&self) -> Option<u64> {
        if self.is_lost || self.ahead.is_some() || self.initial.is_some() || !self.earlier.is_empty() {
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
