//! Notes of the changes of a batch of this process, taken while the store carries it out.

use crate::store::{Bodies, Head, Judge, Place, Record};

/// The changes of one batch.
#[derive(Clone, Debug)]
pub(in crate::live) struct Batch {
    /// The head before it.
    pub(super) before: Head,
    /// The head after it.
    pub(super) after: Head,
    /// Every change, in order. Bodies that did not change are left out.
    pub(super) records: Vec<Record>,
    /// `true` if the changes were noted.
    pub(super) is_whole: bool,
}

/// A judge that passes everything on, and notes the changes.
pub(in crate::live) struct Recorder<'j> {
    judge: &'j mut dyn Judge,
    before: Head,
    records: Vec<Record>,
    mark: usize,
    is_on: bool,
}

impl<'j> Recorder<'j> {
    /// A recorder that notes changes only where `is_on`.
    pub(in crate::live) fn new(judge: &'j mut dyn Judge, is_on: bool) -> Self {
        Self { judge, before: Head::default(), records: Vec::new(), mark: 0, is_on }
    }

    /// The batch, now that it is durable.
    pub(in crate::live) fn into_batch(self, after: Head) -> Batch {
        Batch { before: self.before, after, records: self.records, is_whole: self.is_on }
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
        (self.before, self.mark) = (head, 0);
        self.records.clear();
        self.judge.begin(head, missed);
    }

    fn may_bind(&mut self, place: Place, record: &Record, node: &str) -> Result<(), String> {
        self.judge.may_bind(place, record, node)
    }

    fn note(&mut self, record: &Record) {
        if self.is_on {
            self.records.push(record.clone());
        }
        self.judge.note(record);
    }

    fn mark(&mut self) {
        self.mark = self.records.len();
        self.judge.mark();
    }

    fn roll_back(&mut self) {
        self.records.truncate(self.mark);
        self.judge.roll_back();
    }
}
