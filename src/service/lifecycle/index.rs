//! The objects of a cluster as far as their ends depend on each other: who owns whom, who is being deleted, and until when.
//!
//! No I/O: [`Index::apply`] takes in a record of the feed, [`Index::due`] says what is to be done now, at most so much at a time. What was said is
//! done by writes, and their records come back through the feed. Nothing is remembered of work that was begun, so it may stop anywhere.
//!
//! An owner that is named and was never stored here may exist in another cluster, from which its dependents were imported. It counts as living: only
//! the deletion of an owner here collects anything.
//!
//! Source: `pkg/controller/garbagecollector/garbagecollector.go` (`attemptToDeleteItem`, `processDeletingDependentsItem`, `orphanDependents`),
//! `pkg/controller/namespace/deletion/namespaced_resources_deleter.go`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::{
    entry::{Entry, Place},
    gone::Gone,
};
use crate::{
    store::{Key, Record},
    wire::deletion::{FOREGROUND, ORPHAN, Options, Propagation},
};

/// Objects that are examined for each thing that is to be done: most need nothing.
const EXAMINED: usize = 8;

/// Owners above an object that are searched for a circle. Where more of them wait, the object is held to be in one.
const MOST_ABOVE: usize = 1_000;

/// Something to do to an object, if it is still the one of this uid and revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) key: Key,
    pub(super) uid: String,
    pub(super) revision: u64,
    pub(super) action: Action,
}

/// The thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Delete it, as a client does with these options.
    Delete(Options),
    /// Take this finalizer off.
    Release(&'static str),
    /// Take the owners of these uids off.
    Disown(Vec<String>),
    /// Let the namespace go, which is empty.
    Empty,
}

/// The state of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is stored, or it never was.
    Living,
    /// It is stored, and waits for its dependents to go.
    Waiting,
    /// It was deleted.
    Gone,
}

/// The fate of an object that has owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays as it is.
    Stays,
    /// It stays, without the owners that are gone or wait.
    Loses,
    /// It goes.
    Goes,
}

/// Judges an object by its owners.
pub(super) fn fate(owners: &[Standing]) -> Fate {
    let living = owners.iter().filter(|owner| **owner == Standing::Living).count();
    match (living, owners.len()) {
        (0, 1..) => Fate::Goes,
        (living, all) if living < all => Fate::Loses,
        _ => Fate::Stays,
    }
}

/// Everything that is stored in a cluster.
#[derive(Debug, Default)]
pub(super) struct Index {
    objects: BTreeMap<Place, Entry>,
    by_uid: HashMap<String, Place>,
    /// The objects that name an owner, by its uid.
    dependents: HashMap<String, BTreeSet<Place>>,
    gone: Gone,
    /// Objects to examine.
    dirty: BTreeSet<Place>,
    /// Running pods that are being deleted, by the end of their grace.
    timed: BTreeSet<(Timestamp, Place)>,
}

impl Index {
    /// Takes in a record with its parsed body; `None` if the body has not changed or cannot be read.
    pub(super) fn apply(&mut self, record: &Record, parsed: Option<Entry>) {
        let place = Place::of(&record.key);
        if record.deleted {
            // An import that lets an object go gives its tombstone another uid: nobody has deleted it.
            if let Some(entry) = self.take(&place) {
                let is_deleted = entry.uid == record.uid;
                self.has_gone(&entry, is_deleted);
            } else {
                self.gone.add(&record.uid, self.dependents.contains_key(&record.uid));
                self.touch_dependents(&record.uid);
            }
            return;
        }
        match parsed {
            Some(entry) => self.put(place, entry),
            None => {
                if let Some(entry) = self.objects.get_mut(&place) {
                    entry.revision = record.revision;
                }
            }
        }
    }

    fn put(&mut self, place: Place, entry: Entry) {
        if let Some(before) = self.take(&place) {
            if before.uid != entry.uid {
                self.has_gone(&before, true);
            }
            // An owner may have waited for this change.
            self.touch_owners(&before);
        }
        for owner in &entry.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(place.clone());
        }
        if let Some(until) = entry.grace_until {
            self.timed.insert((until, place.clone()));
        }
        if entry.may_end() {
            self.dirty.insert(place.clone());
        }
        self.by_uid.insert(entry.uid.clone(), place.clone());
        self.objects.insert(place, entry);
    }

    /// Takes an object out, with all that refers to its place.
    fn take(&mut self, place: &Place) -> Option<Entry> {
        let entry = self.objects.remove(place)?;
        self.dirty.remove(place);
        if let Some(until) = entry.grace_until {
            self.timed.remove(&(until, place.clone()));
        }
        if self.by_uid.get(&entry.uid) == Some(place) {
            self.by_uid.remove(&entry.uid);
        }
        for owner in &entry.owners {
            if let Some(others) = self.dependents.get_mut(&owner.uid) {
                others.remove(place);
                if others.is_empty() {
                    self.dependents.remove(&owner.uid);
                    self.gone.has_no_dependents(&owner.uid);
                }
            }
        }
        Some(entry)
    }

    fn has_gone(&mut self, entry: &Entry, is_deleted: bool) {
        if is_deleted {
            self.gone.add(&entry.uid, self.dependents.contains_key(&entry.uid));
            self.touch_dependents(&entry.uid);
        }
        self.touch_owners(entry);
    }

    fn touch_dependents(&mut self, uid: &str) {
        if let Some(places) = self.dependents.get(uid) {
            self.dirty.extend(places.iter().cloned());
        }
    }

    /// Examines the owners that wait for their dependents.
    fn touch_owners(&mut self, entry: &Entry) {
        for owner in &entry.owners {
            if let Some(place) = self.by_uid.get(&owner.uid)
                && self.objects.get(place).is_some_and(|owner| owner.is_ending)
            {
                self.dirty.insert(place.clone());
            }
        }
    }

    /// `true` if something may have to be done now.
    pub(super) fn has_work(&self, now: Timestamp) -> bool {
        !self.dirty.is_empty() || self.timed.first().is_some_and(|(until, _)| *until <= now)
    }

    /// Things to do now, at most `most`. What is not done is said again, once the feed shows the object changed or [`Index::again`] is called.
    pub(super) fn due(&mut self, now: Timestamp, most: usize) -> Vec<Task> {
        let mut tasks = Vec::new();
        let over = self.timed.iter().take_while(|(until, _)| *until <= now).take(most);
        for (_, place) in over {
            self.task(&mut tasks, place, Action::Delete(Options::at_once()));
        }
        let mut waiting = Vec::new();
        for _ in 0..most.saturating_mul(EXAMINED) {
            if tasks.len() >= most {
                break;
            }
            let Some(place) = self.dirty.pop_first() else { break };
            if self.examine(&place, most, &mut tasks) {
                waiting.push(place);
            }
        }
        self.dirty.extend(waiting);
        tasks
    }

    /// Has these objects examined once more: a write was refused.
    pub(super) fn again(&mut self, keys: impl IntoIterator<Item = Key>) {
        let places = keys.into_iter().map(|key| Place::of(&key)).filter(|place| self.objects.contains_key(place));
        self.dirty.extend(places.collect::<Vec<_>>());
    }

    /// Adds what is to be done about an object; `true` if it has to be examined again in any case.
    fn examine(&mut self, place: &Place, most: usize, tasks: &mut Vec<Task>) -> bool {
        let Some(entry) = self.objects.get(place) else { return false };
        if entry.is_ending && entry.is_namespace {
            return self.empty(place, entry, most, tasks);
        }
        if entry.is_ending && entry.is_orphaning {
            let places: Vec<&Place> = self.dependents.get(&entry.uid).into_iter().flatten().collect();
            if places.is_empty() {
                self.task(tasks, place, Action::Release(ORPHAN));
                return false;
            }
            for dependent in places.into_iter().take(most.saturating_sub(tasks.len())) {
                self.task(tasks, dependent, Action::Disown(vec![entry.uid.clone()]));
            }
            return true;
        }
        if entry.waits() {
            let uid = entry.uid.clone();
            let dependents: Vec<(&Place, &Entry)> = self
                .dependents
                .get(&uid)
                .into_iter()
                .flatten()
                .filter_map(|place| self.objects.get_key_value(place))
                .collect();
            let blocking: Vec<&Entry> = dependents.iter().map(|(_, one)| *one).filter(|one| one.blocks(&uid)).collect();
            // A dependent that waits for this object itself, in a circle of owners, does not hold it: nothing of the circle would ever go.
            let is_blocked = blocking.iter().any(|one| !one.waits())
                || self
                    .waiting_for(entry)
                    .is_some_and(|above| blocking.iter().any(|one| !above.contains(one.uid.as_str())));
            if !is_blocked {
                self.task(tasks, place, Action::Release(FOREGROUND));
                return false;
            }
            let living: Vec<Place> =
                dependents.into_iter().filter(|(_, one)| !one.is_ending).map(|(place, _)| place.clone()).collect();
            self.dirty.extend(living);
            return false;
        }
        if !entry.is_ending {
            self.collect(place, entry, tasks);
        }
        false
    }

    /// Judges an object by its owners.
    fn collect(&self, place: &Place, entry: &Entry, tasks: &mut Vec<Task>) {
        let standings: Vec<Standing> = entry.owners.iter().map(|owner| self.standing(&owner.uid)).collect();
        match fate(&standings) {
            Fate::Stays => {}
            Fate::Loses => {
                let lost = entry.owners.iter().zip(&standings).filter(|(_, standing)| **standing != Standing::Living);
                self.task(tasks, place, Action::Disown(lost.map(|(owner, _)| owner.uid.clone()).collect()));
            }
            Fate::Goes => {
                let in_foreground = standings.contains(&Standing::Waiting) && self.dependents.contains_key(&entry.uid);
                let propagation = match () {
                    () if entry.is_orphaning => Propagation::Orphan,
                    () if in_foreground || entry.is_waiting => Propagation::Foreground,
                    () => Propagation::Background,
                };
                let options = Options { propagation_policy: Some(propagation), ..Options::default() };
                self.task(tasks, place, Action::Delete(options));
            }
        }
    }

    /// The uids of the objects that wait for this one: the owners that it blocks, their owners, and so on. `None` if there are more than
    /// [`MOST_ABOVE`].
    fn waiting_for<'i>(&'i self, entry: &'i Entry) -> Option<HashSet<&'i str>> {
        let (mut above, mut open) = (HashSet::new(), vec![entry]);
        while let Some(entry) = open.pop() {
            for owner in entry.owners.iter().filter(|owner| owner.is_blocked) {
                let owner = self.by_uid.get(&owner.uid).and_then(|place| self.objects.get(place));
                if let Some(owner) = owner.filter(|owner| owner.waits())
                    && above.insert(&*owner.uid)
                {
                    if above.len() > MOST_ABOVE {
                        return None;
                    }
                    open.push(owner);
                }
            }
        }
        Some(above)
    }

    fn standing(&self, uid: &str) -> Standing {
        match self.by_uid.get(uid).and_then(|place| self.objects.get(place)) {
            Some(owner) if owner.waits() => Standing::Waiting,
            None if self.gone.has(uid) => Standing::Gone,
            Some(_) | None => Standing::Living,
        }
    }

    /// Deletes the content of a namespace, and lets go of it once there is none.
    fn empty(&self, place: &Place, entry: &Entry, most: usize, tasks: &mut Vec<Task>) -> bool {
        let mut content =
            self.objects.range(Place::first_in(&place.name)..).take_while(|(one, _)| one.namespace == place.name);
        let mut is_empty = true;
        for (one, object) in content.by_ref() {
            is_empty = false;
            if tasks.len() >= most {
                break;
            }
            if !object.is_ending {
                let options = Options { propagation_policy: Some(Propagation::Background), ..Options::default() };
                self.task(tasks, one, Action::Delete(options));
            }
        }
        if is_empty && entry.is_held {
            self.task(tasks, place, Action::Empty);
        }
        true
    }

    fn task(&self, tasks: &mut Vec<Task>, place: &Place, action: Action) {
        if let Some(entry) = self.objects.get(place) {
            let (uid, revision) = (entry.uid.clone(), entry.revision);
            tasks.push(Task { key: place.key(), uid, revision, action });
        }
    }

    /// Number of objects.
    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }
}

#[cfg(test)]
mod tests;
