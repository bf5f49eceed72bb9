//! The recent changes of one kind in one cluster: the newest state of each object, and a ring of events.
//!
//! A pure state machine. Watches read it by position, so a slow one costs nothing: its position falls out of the ring, and it learns that.
//! Each watch reads one *lane*: the events of a namespace, of a node or of one object. A change wakes only the watches on its lanes.
//!
//! Model: the watch cache of kube-apiserver (`apiserver/pkg/storage/cacher/watch_cache.go`).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    ops::Bound,
    sync::Arc,
};

use imbl::OrdMap;
use tokio::sync::watch;

use super::event::{Budget, Event, State};
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

/// Stretches of revisions of which a track knows no exact state, at most. Before the oldest of more it counts as not kept.
const MOST_VAGUE: usize = 1_000;

/// A namespace and a name.
pub type Place = (String, String);

/// Objects by place. A copy costs nothing, and shares what has not changed since.
pub(super) type Objects = OrdMap<Place, Arc<State>>;

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
    objects: Objects,
    /// Those that are on a node, by node.
    on_nodes: HashMap<Box<str>, BTreeSet<Place>>,
    ring: VecDeque<Arc<Event>>,
    /// Bytes that the ring takes.
    budget: Arc<Budget>,
    /// The number of the newest event.
    newest: u64,
    /// All events after this revision are in the ring.
    since: u64,
    /// The objects are exactly the state at this revision.
    at: u64,
    /// Revisions from the first one to before the second one, of which the state is not known: of several changes of one object by another
    /// process the newest alone was read.
    vague: VecDeque<(u64, u64)>,
    lanes: HashMap<Lane, Kept>,
    /// It is not continued.
    is_over: bool,
}

impl Track {
    /// A track that begins with the state at a revision.
    pub(super) fn new(fields: Fields, bounds: Bounds, records: Vec<Record>, at: u64) -> Self {
        let mut track = Self {
            fields,
            bounds,
            objects: Objects::new(),
            on_nodes: HashMap::new(),
            ring: VecDeque::new(),
            budget: Arc::new(Budget::new(bounds.bytes)),
            newest: 0,
            since: at,
            at,
            vague: VecDeque::new(),
            lanes: HashMap::new(),
            is_over: false,
        };
        for record in records {
            track.put(place(&record), Arc::new(State::new(fields, record)));
        }
        track
    }

    fn put(&mut self, place: Place, state: Arc<State>) {
        let (was, is) = (self.objects.get(&place).and_then(|known| known.node()), state.node());
        if was != is {
            let was: Option<Box<str>> = was.map(Into::into);
            self.leave_node(was.as_deref(), &place);
            if let Some(node) = is {
                self.on_nodes.entry(node.into()).or_default().insert(place.clone());
            }
        }
        self.objects.insert(place, state);
    }

    fn remove(&mut self, place: &Place) -> Option<Arc<State>> {
        let gone = self.objects.remove(place)?;
        self.leave_node(gone.node(), place);
        Some(gone)
    }

    fn leave_node(&mut self, node: Option<&str>, place: &Place) {
        let Some(node) = node else { return };
        if let Some(places) = self.on_nodes.get_mut(node) {
            places.remove(place);
            if places.is_empty() {
                self.on_nodes.remove(node);
            }
        }
    }

    /// The revision of the state.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Bytes that its events take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.budget.used()
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
            let order = |state: &Arc<State>| place_of(&state.record).cmp(&place_of(record));
            let known = then.binary_search_by(order).ok().and_then(|at| then.get(at));
            let is_same = |state: &Arc<State>| {
                state.record.revision <= revision && state.record.create_revision == record.create_revision
            };
            record.revision > self.since && known.is_some_and(is_same)
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

    /// `true` if the events behind a revision are all the changes since the state of that revision.
    pub(super) fn goes_on_from(&self, revision: u64) -> bool {
        revision >= self.since && !self.vague.iter().any(|(from, until)| *from <= revision && revision < *until)
    }

    /// Takes in changes in order of revision, with which the state is that of `head`. Changes that it has already are left out. `known` has the
    /// revisions of the changes of all kinds that were read, ascending.
    ///
    /// # Errors
    /// If a record has no body and is not the object that is known: the track cannot go on.
    pub(super) fn apply(&mut self, records: &[Record], known: &[u64], head: u64) -> Result<(), Broken> {
        let at = self.at;
        let hidden = Hidden(known);
        let mut last = at;
        let mut events = Vec::new();
        for record in records.iter().filter(|record| record.revision > at) {
            self.take(record, &hidden, &mut events)?;
            last = record.revision;
        }
        let mut events: Vec<Event> = events
            .into_iter()
            .flat_map(|event| event.split(|after| hidden.first(at.max(after), last)))
            .flatten()
            .collect();
        events.sort_by_key(|event| event.revision);
        let mut woken = HashSet::new();
        for event in events {
            self.push(Arc::new(event), &mut woken);
        }
        if let Some(first) = hidden.first(at, last) {
            self.vague.push_back((first, last));
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

    fn take(&mut self, record: &Record, hidden: &Hidden<'_>, events: &mut Vec<Event>) -> Result<(), Broken> {
        let place = place(record);
        if record.deleted {
            if let Some(before) = self.remove(&place) {
                events.push(Event::new(record.revision, Some(before), None));
            }
            return Ok(());
        }
        let known = self.objects.get(&place).cloned();
        let is_same = |known: &Arc<State>| {
            known.record.uid == record.uid && known.record.create_revision == record.create_revision
        };
        let (mut before, gone) = if known.as_ref().is_some_and(is_same) { (known, None) } else { (None, known) };
        let mut record = record.clone();
        if record.body.is_empty() {
            let has_body =
                |before: &&Arc<State>| before.record.body_revision == record.body_revision || record.body_revision == 0;
            let before = before.as_ref().filter(has_body).ok_or(Broken)?;
            record.body = before.record.body.clone();
            record.body_revision = before.record.body_revision;
        }
        // Another object of this name: the known one was deleted at a hidden revision. If there is none, it was replaced by this write.
        if let Some(gone) = gone {
            match hidden.first(gone.record.revision.max(self.at), record.revision) {
                Some(hidden) => events.push(Event::departure(hidden, gone)),
                None => before = Some(gone),
            }
        }
        let (revision, after) = (record.revision, Arc::new(State::new(self.fields, record)));
        events.push(Event::new(revision, before, Some(after.clone())));
        self.put(place, after);
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
        event.count_in(&self.budget);
        self.ring.push_back(event);
    }

    /// Drops the oldest events where there are too many.
    fn trim(&mut self) {
        let before = self.ring.len();
        while self.ring.len() > self.bounds.events.max(1) || self.budget.is_exceeded() {
            let Some(oldest) = self.ring.pop_front() else { break };
            oldest.count_out();
            self.since = self.since.max(oldest.revision);
        }
        while let Some((_, until)) = self.vague.front().copied() {
            if until > self.since && self.vague.len() <= MOST_VAGUE {
                break;
            }
            self.vague.pop_front();
            self.since = self.since.max(until);
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
        let seen = self.ring.partition_point(|event| event.revision <= revision);
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
        behind(&self.objects, namespace, after)
    }

    /// All objects as they are now.
    pub(super) fn all(&self) -> Objects {
        self.objects.clone()
    }

    /// The object of a place.
    pub(super) fn object(&self, place: &Place) -> Option<Arc<State>> {
        self.objects.get(place).cloned()
    }

    /// The objects that are on a node.
    pub(super) fn on_node(&self, node: &str) -> Vec<Arc<State>> {
        let places = self.on_nodes.get(node).into_iter().flatten();
        places.filter_map(|place| self.object(place)).collect()
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
        if !self.goes_on_from(revision) || revision > self.at || self.is_over {
            return None;
        }
        let later = self.ring.iter().rev().take_while(|event| event.revision > revision);
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

/// The objects of a namespace, or of all, behind a place.
pub(super) fn behind<'t>(
    objects: &'t Objects,
    namespace: Option<&'t str>,
    after: Option<&Place>,
) -> impl Iterator<Item = (&'t Place, &'t Arc<State>)> {
    let first = (namespace.unwrap_or_default().to_owned(), String::new());
    let start = after.filter(|after| **after > first).map_or(Bound::Included(&first), Bound::Excluded);
    let range = objects.range::<_, Place>((start, Bound::Unbounded));
    range.take_while(move |((of, _), _)| namespace.is_none_or(|namespace| of == namespace))
}

/// The revisions of which no change was read, since later ones of the same objects came before the reading: all but these, which ascend.
struct Hidden<'r>(&'r [u64]);

impl Hidden<'_> {
    /// The first one between two revisions.
    fn first(&self, after: u64, before: u64) -> Option<u64> {
        let mut behind = after.saturating_add(1)..before;
        behind.find(|revision| self.0.binary_search(revision).is_err())
    }
}

fn place(record: &Record) -> Place {
    (record.key.namespace.clone(), record.key.name.clone())
}

/// The place of a record, in the order of places.
fn place_of(record: &Record) -> (&str, &str) {
    (&record.key.namespace, &record.key.name)
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
