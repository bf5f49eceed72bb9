//! The contract of a watch, checked from outside: what a client is told against the states that the cluster went through.
//!
//! The guarantees are those of etcd's watch (`etcd.io/docs`, "KV API guarantees"): ordered, unique, reliable, atomic, resumable, bookmarkable. A
//! client is resumable if it stays a [`Client`] over several watches, at any replica.

use std::collections::{BTreeMap, BTreeSet};

/// The objects of a kind by place, each with the revisions of its creation and of its last change.
pub type State = BTreeMap<String, (u64, u64)>;

/// The type of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// An object came.
    Added,
    /// An object changed.
    Modified,
    /// An object went.
    Deleted,
    /// Everything up to a revision was told.
    Bookmark,
}

/// An event as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its type.
    pub of: Type,
    /// The namespace and name of its object; empty for a bookmark.
    pub place: String,
    /// The revision of the object's creation; 0 for a bookmark.
    pub created: u64,
    /// The resource version.
    pub revision: u64,
}

/// A guarantee that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// Events come in the order of revisions.
    Ordered,
    /// No event is told twice.
    Unique,
    /// No event is left out.
    Reliable,
    /// No state between two batches is told as that of a revision.
    Atomic,
    /// A bookmark stands behind all events up to it, and comes at last.
    Bookmarkable,
}

/// A client that keeps what it is told, and goes on from there when a watch has ended.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// The objects.
    pub state: State,
    /// The revision from which it goes on.
    pub seen: u64,
    /// The revision of the newest bookmark.
    marked: u64,
    /// Objects that it was told to be gone since then, by place and creation. It may be told so again after it has gone on.
    gone: BTreeSet<(String, u64)>,
    /// It has gone on since then.
    has_resumed: bool,
    /// It has gone on at a place that need not know the changes that another one told as one: of those it may be told in part, or again.
    has_moved: bool,
}

impl Client {
    /// A client that has listed the objects of a revision.
    pub fn listed(state: State, revision: u64) -> Self {
        Self { state, seen: revision, marked: revision, ..Self::default() }
    }

    /// It goes on, at the same replica or at another one.
    pub fn resumes(&mut self, elsewhere: bool) {
        self.has_resumed = true;
        self.has_moved |= elsewhere;
    }

    /// Takes an event in.
    ///
    /// # Errors
    /// The guarantee that it breaks.
    pub fn take(&mut self, told: &Told) -> Result<(), Broken> {
        let Told { of, place, created, revision } = told;
        if *of == Type::Bookmark {
            if *revision < self.seen {
                return Err(Broken::Bookmarkable);
            }
            (self.seen, self.marked) = (*revision, *revision);
            (self.has_resumed, self.has_moved) = (false, false);
            self.gone.clear();
            return Ok(());
        }
        let known = self.state.get(place).copied();
        let is_again = match (of, known) {
            (Type::Deleted, _) => false,
            (_, Some((was_created, last))) => was_created == *created && last >= *revision,
            _ => false,
        };
        if is_again {
            return Err(Broken::Unique);
        }
        // Objects may be told as gone at the last revision at which they are known to have been there.
        let least = if *of == Type::Deleted { *revision + 1 } else { *revision };
        if least <= self.marked {
            return Err(Broken::Bookmarkable);
        }
        if least <= self.seen {
            return Err(Broken::Ordered);
        }
        let is_it = known.is_some_and(|(was, _)| was == *created);
        let goes_on = match of {
            Type::Added => known.is_none(),
            // It may have been replaced by one write.
            Type::Modified => known.is_some(),
            _ => is_it,
        };
        let is_gone = *of == Type::Deleted && !self.gone.insert((place.clone(), *created));
        let is_right = goes_on || self.has_moved || is_gone && self.has_resumed;
        if !is_right {
            return Err(if *of == Type::Deleted && known.is_none() { Broken::Unique } else { Broken::Reliable });
        }
        if *of != Type::Deleted {
            self.state.insert(place.clone(), (*created, *revision));
        } else if is_it {
            self.state.remove(place);
        }
        self.seen = self.seen.max(*revision);
        Ok(())
    }

    /// Holds what it has been told against the state of the revision that it has seen everything of; `None` if that is the state between two
    /// writes of one batch.
    ///
    /// # Errors
    /// The guarantee that is broken.
    pub fn check(&self, truth: Option<&State>) -> Result<(), Broken> {
        match truth {
            None => Err(Broken::Atomic),
            Some(truth) if *truth == self.state => Ok(()),
            Some(_) => Err(Broken::Reliable),
        }
    }

    /// The cluster has been quiet at its head for long enough.
    ///
    /// # Errors
    /// If no bookmark has come.
    pub fn check_marked(&self, head: u64) -> Result<(), Broken> {
        if self.marked == head { Ok(()) } else { Err(Broken::Bookmarkable) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(of: Type, place: &str, created: u64, revision: u64) -> Told {
        Told { of, place: place.into(), created, revision }
    }

    /// The events of five batches, which end at revisions 2, 4, 5, 6 and 8.
    fn events() -> Vec<Told> {
        vec![
            told(Type::Added, "a", 1, 1),
            told(Type::Added, "b", 2, 2),
            told(Type::Bookmark, "", 0, 2),
            told(Type::Modified, "a", 1, 3),
            told(Type::Modified, "b", 2, 4),
            told(Type::Deleted, "a", 1, 5),
            told(Type::Added, "a", 6, 6),
            told(Type::Modified, "b", 2, 7),
            told(Type::Modified, "a", 6, 8),
            told(Type::Bookmark, "", 0, 8),
        ]
    }

    fn state(objects: &[(&str, u64, u64)]) -> State {
        objects.iter().map(|(place, created, revision)| ((*place).to_owned(), (*created, *revision))).collect()
    }

    fn read(events: &[Told]) -> Result<(), Broken> {
        let truths = BTreeMap::from([
            (2, state(&[("a", 1, 1), ("b", 2, 2)])),
            (4, state(&[("a", 1, 3), ("b", 2, 4)])),
            (5, state(&[("b", 2, 4)])),
            (6, state(&[("a", 6, 6), ("b", 2, 4)])),
            (8, state(&[("a", 6, 8), ("b", 2, 7)])),
        ]);
        let mut client = Client::default();
        for event in events {
            client.take(event)?;
            if event.of == Type::Bookmark {
                client.check(truths.get(&event.revision))?;
            }
        }
        client.check(truths.get(&8))?;
        client.check_marked(8)
    }

    #[test]
    fn a_whole_stream_keeps_the_contract() {
        assert_eq!(read(&events()), Ok(()));
    }

    #[test]
    fn each_planted_fault_breaks_its_guarantee() {
        let plant = |change: &dyn Fn(&mut Vec<Told>)| {
            let mut events = events();
            change(&mut events);
            read(&events).expect_err("a fault was planted")
        };
        let (last, bookmark) = (events().len() - 1, told(Type::Bookmark, "", 0, 7));
        assert_eq!(plant(&|events| drop(events.remove(0))), Broken::Reliable, "an addition is lost");
        assert_eq!(plant(&|events| drop(events.remove(last - 1))), Broken::Reliable, "a change is lost");
        assert_eq!(plant(&|events| drop(events.remove(5))), Broken::Reliable, "a deletion is lost");
        for doubled in [0, 1, 3, 4, 5, 6, 7, 8] {
            let doubled = plant(&|events| events.insert(doubled + 1, events[doubled].clone()));
            assert_eq!(doubled, Broken::Unique);
        }
        assert_eq!(plant(&|events| events.swap(3, 4)), Broken::Ordered);
        assert_eq!(plant(&|events| events.swap(7, 8)), Broken::Ordered);
        assert_eq!(plant(&|events| events.swap(1, 2)), Broken::Reliable, "a bookmark before its events");
        assert_eq!(plant(&|events| events[2].revision = 3), Broken::Atomic, "within a batch");
        assert_eq!(plant(&|events| drop(events.remove(last))), Broken::Bookmarkable, "a bookmark is forgotten");
        assert_eq!(plant(&|events| events.insert(last, bookmark.clone())), Broken::Bookmarkable, "an older one");
    }

    #[test]
    fn a_client_that_moves_may_be_told_again_what_another_replica_told_as_one() {
        let mut client = Client::listed(state(&[("a", 1, 1), ("d", 2, 2)]), 4);
        assert_eq!(client.take(&told(Type::Deleted, "d", 2, 4)), Ok(()));
        assert_eq!(client.take(&told(Type::Deleted, "d", 2, 4)), Err(Broken::Unique));
        client.resumes(false);
        assert_eq!(client.take(&told(Type::Deleted, "d", 2, 4)), Ok(()), "again");
        assert_eq!(client.take(&told(Type::Deleted, "b", 2, 4)), Err(Broken::Unique), "it never heard of b");
        assert_eq!(client.take(&told(Type::Modified, "d", 2, 5)), Err(Broken::Reliable), "but not that it is there");
        client.resumes(true);
        assert_eq!(client.take(&told(Type::Deleted, "b", 2, 5)), Ok(()), "it never heard of b");
        assert_eq!(client.take(&told(Type::Added, "a", 1, 6)), Ok(()));
        assert_eq!(client.take(&told(Type::Added, "a", 1, 6)), Err(Broken::Unique));
        assert_eq!(client.take(&told(Type::Bookmark, "", 0, 6)), Ok(()));
        assert_eq!(client.take(&told(Type::Modified, "c", 1, 7)), Err(Broken::Reliable), "it has caught up");
    }
}
