//! The journal of a database in memory, recorded independently of the code under test.

use std::collections::HashMap;

use imbl::OrdMap;

use super::cluster::Cluster;
use podberth_store::{Bodies, Body, Head, Judge, Key, Place, Record};

/// Something that happened to the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A transaction was committed.
    Committed(Committed),
    /// An older copy of a cluster came back, or another was put in its place.
    Restored {
        /// Its name.
        cluster: String,
        /// Its present head.
        head: Head,
        /// All its rows, tombstones included.
        rows: Vec<Record>,
    },
    /// A new epoch of a cluster was begun; its rows stay.
    Epoch {
        /// Its name.
        cluster: String,
        /// Its present head.
        head: Head,
    },
}

pub(super) fn restored(name: &str, now: &Cluster) -> Event {
    Event::Restored { cluster: name.to_owned(), head: now.head, rows: now.rows().values().cloned().collect() }
}

/// A committed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The cluster's name.
    pub cluster: String,
    /// The head of the cluster after it.
    pub head: Head,
    /// Each change in order, also those of an object that a later write of the batch changed again. Bodies are whole.
    pub steps: Vec<Record>,
}

/// Passes everything on to a judge and records it.
pub(super) struct Recorder<'a> {
    judge: &'a mut dyn Judge,
    steps: Vec<Record>,
    marked: usize,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(judge: &'a mut dyn Judge) -> Self {
        Self { judge, steps: Vec::new(), marked: 0 }
    }

    /// The steps, with the bodies that the batch left in `rows`.
    pub(super) fn into_steps(mut self, rows: &OrdMap<Key, Record>) -> Vec<Record> {
        let mut bodies: HashMap<Key, Body> = HashMap::new();
        for step in &mut self.steps {
            if step.body_revision < step.revision {
                let stored = || rows.get(&step.key).map(|row| row.body.clone());
                step.body = bodies.get(&step.key).cloned().or_else(stored).unwrap_or_default();
            } else {
                bodies.insert(step.key.clone(), step.body.clone());
            }
        }
        self.steps
    }
}

impl Judge for Recorder<'_> {
    fn known(&self) -> u64 {
        self.judge.known()
    }

    fn seen(&self) -> Option<Head> {
        self.judge.seen()
    }

    fn bodies(&self) -> Bodies {
        self.judge.bodies()
    }

    fn begin(&mut self, head: Head, missed: &[Record]) {
        self.judge.begin(head, missed);
    }

    fn may_bind(&mut self, place: Place, record: &Record, node: &str) -> Result<(), String> {
        self.judge.may_bind(place, record, node)
    }

    fn note(&mut self, record: &Record) {
        self.steps.push(record.clone());
        self.judge.note(record);
    }

    fn mark(&mut self) {
        self.marked = self.steps.len();
        self.judge.mark();
    }

    fn roll_back(&mut self) {
        self.steps.truncate(self.marked);
        self.judge.roll_back();
    }
}
