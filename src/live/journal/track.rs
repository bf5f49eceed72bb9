//! The recent changes of one kind in one cluster: the newest state of each object, and a ring of events.
//!
//! A pure state machine. Watches read it by position, so a slow one costs nothing: its position falls out of the ring, and it learns that.
//! Each watch reads one *lane*: the events of a namespace, of a node or of one object. A change wakes only the watches on its lanes.
//!
//! Model: the watch cache of kube-apiserver (`apiserver/pkg/storage/cacher/watch_cache.go`).

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    ops::Bound,
    sync::Arc,
};

use tokio::sync::watch;

use super::event::{Event, State};
use crate::{store::Record, wire::selector::Fields};

/// The bounds of a ring.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Events at most.
    pub events: usize,
    /// Bytes that they may take, about.
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { events: 20_000, bytes: 64 << 20 }
    }
}

/// A namespace and a name.
pub type Place = (String, String);

/// The events that a watch is interested in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// All.
    Everything,
    /// Those of a namespace.
    Namespace(String),
    /// Those of objects that are on a node, before or after.
    Node(String),
    /// Those of one object.
    Object(Place),
}

/// The events of a lane that are kept, while watches read it.
#[derive(Debug)]
struct Kept {
    events: VecDeque<(u64, Arc<Event>)>,
    /// The number of the last event that was dropped.
    dropped: u64,
    woken: watch::Sender<()>,
}

/// The result of reading a lane.
#[derive(Debug)]
pub(super) enum Read {
    /// The next events, and the position behind them. With the last ones, the revision that the watch has seen everything of.
    Events { events: Vec<Arc<Event>>, position: u64, complete: Option<u64> },
    /// The position has fallen out of the ring.
    Lost,
}

/// A record that does not continue the state: it must be read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

#[derive(Debug)]
pub(super) struct Track {
    fields: Fields,
    bounds: Bounds,
    objects: BTreeMap<Place, Arc<State>>,
    ring: VecDeque<Arc<Event>>,
    /// Bytes that the ring takes.
    bytes: usize,
    /// The number of the newest event.
    newest: u64,
    /// All events after this revision are in the ring.
    since: u64,
    /// The objects are exactly the state at this revision.
    at: u64,
    lanes: HashMap<Lane, Kept>,
    /// It is not continued.
    is_over: bool,
}

impl Track {
    /// A track that begins with the state at a revision.
    pub(super) fn new(fields: Fields, bounds: Bounds, records: Vec<Record>, at: u64) -> Self {
        let objects =
            records.into_iter().map(|record| (place(&record), Arc::new(State::new(fields, record)))).collect();
        Self {
            fields,
            bounds,
            objects,
            ring: VecDeque::new(),
            bytes: 0,
            newest: 0,
            since: at,
            at,
            lanes: HashMap::new(),
            is_over: false,
        }
    }

    /// The revision of the state.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// All events after this revision are kept.
    pub(super) fn since(&self) -> u64 {
        self.since
    }

    /// Keeps all events since an earlier revision, if nothing has changed in between. `changed` has the objects of the kind, and the tombstones,
    /// that have changed after that revision.
    pub(super) fn reach_back(&mut self, revision: u64, changed: &[Record]) {
        let Some(then) = self.objects_at(self.since, None, None) else { return };
        let is_later = |record: &Record| {
            let known = then.iter().find(|state| state.record.key == record.key);
            let is_same = |state: &&Arc<State>| {
                state.record.revision <= revision && state.record.create_revision == record.create_revision
            };
            record.revision > self.since && known.as_ref().is_some_and(is_same)
        };
        if changed.iter().all(is_later) {
            self.since = self.since.min(revision);
        }
    }

    /// `true` if nobody reads it.
    pub(super) fn is_idle(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Ends it: its watches learn that they have lost events.
    pub(super) fn end(&mut self) {
        self.is_over = true;
        self.lanes.clear();
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes in changes in order of revision, with which the state is that of `head`. Changes that it has already are left out.
    ///
    /// # Errors
    /// If a record has no body and is not the object that is known: the track cannot go on.
    pub(super) fn apply(&mut self, records: &[Record], head: u64) -> Result<(), Broken> {
        let at = self.at;
        let mut events = Vec::new();
        for record in records.iter().filter(|record| record.revision > at) {
            self.take(record, &mut events)?;
        }
        let mut woken = HashSet::new();
        for event in events {
            self.push(Arc::new(event), &mut woken);
        }
        self.at = at.max(head);
        self.trim();
        for lane in woken {
            if let Some(kept) = self.lanes.get(&lane) {
                kept.woken.send_replace(());
            }
        }
        Ok(())
    }

    fn take(&mut self, record: &Record, events: &mut Vec<Event>) -> Result<(), Broken> {
        let place = place(record);
        if record.deleted {
            if let Some(before) = self.objects.remove(&place) {
                events.push(Event::new(record.revision, Some(before), None));
            }
            return Ok(());
        }
        let known = self.objects.get(&place).cloned();
        let is_same = |before: &&Arc<State>| {
            before.record.uid == record.uid && before.record.create_revision == record.create_revision
        };
        let before = known.as_ref().filter(is_same);
        let mut record = record.clone();
        if record.body.is_empty() {
            let body = before
                .filter(|before| before.record.body_revision == record.body_revision || record.body_revision == 0);
            let before = body.ok_or(Broken)?;
            record.body = before.record.body.clone();
            record.body_revision = before.record.body_revision;
        }
        if let (Some(gone), None) = (&known, before) {
            events.push(Event::unseen_deletion(gone.clone(), record.revision));
        }
        let (revision, after) = (record.revision, Arc::new(State::new(self.fields, record)));
        events.push(Event::new(revision, before.cloned(), Some(after.clone())));
        self.objects.insert(place, after);
        Ok(())
    }

    fn push(&mut self, event: Arc<Event>, woken: &mut HashSet<Lane>) {
        self.newest += 1;
        for lane in lanes_of(&event) {
            if let Some(kept) = self.lanes.get_mut(&lane) {
                kept.events.push_back((self.newest, event.clone()));
                woken.insert(lane);
            }
        }
        self.bytes = self.bytes.saturating_add(event.weight());
        self.ring.push_back(event);
    }

    /// Drops the oldest events where there are too many.
    fn trim(&mut self) {
        let before = self.ring.len();
        while self.ring.len() > self.bounds.events.max(1) || self.bytes > self.bounds.bytes.max(1) {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.weight());
            self.since = self.since.max(oldest.known_at);
        }
        if self.ring.len() == before {
            return;
        }
        let oldest = self.oldest();
        for kept in self.lanes.values_mut() {
            while let Some((number, _)) = kept.events.front().filter(|(number, _)| *number < oldest) {
                kept.dropped = *number;
                kept.events.pop_front();
            }
        }
    }

    /// The number of the oldest event in the ring.
    fn oldest(&self) -> u64 {
        self.newest + 1 - self.ring.len() as u64
    }

    /// The position of a watch that has seen everything up to a revision, from which all events are kept.
    pub(super) fn position_after(&self, revision: u64) -> u64 {
        let seen = self.ring.partition_point(|event| event.known_at <= revision);
        self.oldest() + seen as u64 - 1
    }

    /// The position behind all events.
    pub(super) fn end_position(&self) -> u64 {
        self.newest
    }

    /// Begins to read a lane.
    pub(super) fn join(&mut self, lane: &Lane) -> watch::Receiver<()> {
        if let Some(kept) = self.lanes.get(lane) {
            return kept.woken.subscribe();
        }
        let oldest = self.oldest();
        let numbered = self.ring.iter().enumerate().map(|(at, event)| (oldest + at as u64, event));
        let of_lane = numbered.filter(|(_, event)| lanes_of(event).contains(lane));
        let events = of_lane.map(|(number, event)| (number, event.clone())).collect();
        let (woken, receiver) = watch::channel(());
        self.lanes.insert(lane.clone(), Kept { events, dropped: oldest - 1, woken });
        receiver
    }

    /// Ends to read a lane; the last of its watches does.
    pub(super) fn leave(&mut self, lane: &Lane) {
        if self.lanes.get(lane).is_some_and(|kept| kept.woken.receiver_count() <= 1) {
            self.lanes.remove(lane);
        }
    }

    /// The next events of a lane behind a position, at most `most`.
    pub(super) fn read(&self, lane: &Lane, position: u64, most: usize) -> Read {
        let Some(kept) = self.lanes.get(lane).filter(|kept| kept.dropped <= position) else { return Read::Lost };
        let from = kept.events.partition_point(|(number, _)| *number <= position);
        let events: Vec<_> = kept.events.range(from..).take(most).cloned().collect();
        let is_all = from + events.len() == kept.events.len();
        let position = if is_all { self.newest } else { events.last().map_or(position, |(number, _)| *number) };
        let events = events.into_iter().map(|(_, event)| event).collect();
        Read::Events { events, position, complete: is_all.then_some(self.at) }
    }

    /// The objects behind a place, of a namespace or of all.
    pub(super) fn objects<'t>(
        &'t self,
        namespace: Option<&'t str>,
        after: Option<&Place>,
    ) -> impl Iterator<Item = (&'t Place, &'t Arc<State>)> {
        let first = (namespace.unwrap_or_default().to_owned(), String::new());
        let start = after.filter(|after| **after > first).map_or(Bound::Included(&first), Bound::Excluded);
        let range = self.objects.range::<Place, _>((start, Bound::Unbounded));
        range.take_while(move |((of, _), _)| namespace.is_none_or(|namespace| of == namespace))
    }

    /// The objects that have changed since a revision and are there.
    pub(super) fn changed_after(&self, revision: u64) -> impl Iterator<Item = &Arc<State>> {
        self.objects.values().filter(move |state| state.record.revision > revision)
    }

    /// The objects behind a place as they were at a revision; `None` if the events since are not kept, or it is not reached.
    pub(super) fn objects_at(
        &self,
        revision: u64,
        namespace: Option<&str>,
        after: Option<&Place>,
    ) -> Option<Vec<Arc<State>>> {
        if revision < self.since || revision > self.at || self.is_over {
            return None;
        }
        let later = self.ring.iter().rev().take_while(|event| event.known_at > revision);
        let mut earlier: BTreeMap<Place, Option<Arc<State>>> = BTreeMap::new();
        for event in later {
            if let Some((of, name)) = event.place() {
                // The oldest of them is the last one that is gone through.
                earlier.insert((of.to_owned(), name.to_owned()), event.before.clone());
            }
        }
        let mut found: BTreeMap<Place, Arc<State>> = self
            .objects(namespace, after)
            .filter(|(place, _)| !earlier.contains_key(*place))
            .map(|(place, state)| (place.clone(), state.clone()))
            .collect();
        let is_within = |(of, name): &Place| {
            let is_behind = after.is_none_or(|(namespace, last)| (of, name) > (namespace, last));
            is_behind && namespace.is_none_or(|namespace| of == namespace)
        };
        let of_then = earlier.into_iter().filter(|(place, _)| is_within(place));
        found.extend(of_then.filter_map(|(place, state)| Some((place, state?))));
        Some(found.into_values().collect())
    }
}

fn place(record: &Record) -> Place {
    (record.key.namespace.clone(), record.key.name.clone())
}

/// The lanes that an event is on.
fn lanes_of(event: &Event) -> Vec<Lane> {
    let Some((namespace, name)) = event.place() else { return Vec::new() };
    let mut lanes = vec![
        Lane::Everything,
        Lane::Namespace(namespace.to_owned()),
        Lane::Object((namespace.to_owned(), name.to_owned())),
    ];
    let states = [&event.before, &event.after];
    let mut nodes: Vec<&str> = states.into_iter().flatten().filter_map(|state| state.node()).collect();
    nodes.dedup();
    lanes.extend(nodes.into_iter().map(|node| Lane::Node(node.to_owned())));
    lanes
}
