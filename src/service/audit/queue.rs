//! Events that wait to be recorded, as a state machine.
//!
//! An event of a change is always taken: its room was reserved before the change began. Others are dropped, and counted, where there is no room.
//! Events leave in their order, in batches; those of a batch stay until it is recorded, so that a fault loses none.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::store::{
    Entry,
    ledger::{MAX_BYTES, MAX_ENTRIES},
};

/// The largest number of events that nobody waits for.
const MOST: usize = 10_000;

/// The bytes of these at most.
const MOST_BYTES: usize = 16 << 20;

/// An event that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The event.
    pub entry: Entry,
    /// The part of its cluster's history that it goes with, if it does: it is not recorded where that is over.
    pub epoch: Option<u64>,
    /// Told when it is recorded.
    pub recorded: Option<oneshot::Sender<()>>,
    /// It is about a change: it is never dropped.
    pub is_kept: bool,
}

/// The events that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    /// How many of the first ones are in a batch.
    taken: usize,
    /// How many have come, and how many have left.
    come: u64,
    left: u64,
    /// How many of them may be dropped, and their bytes.
    others: usize,
    bytes: usize,
    /// The last batch could not be recorded.
    is_failing: bool,
}

impl Queue {
    /// Takes an event in; `false` if it is dropped.
    pub(super) fn push(&mut self, event: Waiting) -> bool {
        let size = event.entry.body.len();
        if !event.is_kept {
            if self.others >= MOST || self.bytes.saturating_add(size) > MOST_BYTES {
                return false;
            }
            self.others += 1;
            self.bytes += size;
        }
        self.come += 1;
        self.waiting.push_back(event);
        true
    }

    /// The next batch; empty if there is nothing to record.
    pub(super) fn batch(&mut self) -> Vec<Entry> {
        let mut bytes = 0_usize;
        let fits = |event: &&Waiting| {
            bytes = bytes.saturating_add(event.entry.body.len());
            bytes <= MAX_BYTES
        };
        let batch: Vec<Entry> =
            self.waiting.iter().take(MAX_ENTRIES).take_while(fits).map(|event| event.entry.clone()).collect();
        self.taken = batch.len();
        batch
    }

    /// The part of its cluster's history that each event of the batch goes with.
    pub(super) fn epochs(&self) -> Vec<Option<u64>> {
        self.waiting.iter().take(self.taken).map(|event| event.epoch).collect()
    }

    /// The batch is recorded, or given up: its first `count` events leave.
    pub(super) fn done(&mut self, count: usize) {
        self.is_failing = false;
        for event in self.waiting.drain(..count.min(self.taken)) {
            self.left += 1;
            if !event.is_kept {
                self.others -= 1;
                self.bytes -= event.entry.body.len();
            }
            if let Some(recorded) = event.recorded {
                // Its request may be over.
                let _ = recorded.send(());
            }
        }
        self.taken = 0;
    }

    /// The batch is not recorded: its events come again.
    pub(super) fn failed(&mut self) {
        (self.is_failing, self.taken) = (true, 0);
    }

    /// `true` while what is to be recorded cannot be.
    pub(super) fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// How many events have come so far.
    pub(super) fn come(&self) -> u64 {
        self.come
    }

    /// How many have left again.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// The number of events that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// The lines of a batch, for a file.
pub(super) fn lines(batch: &[Entry]) -> Bytes {
    let length = batch.iter().map(|entry| entry.body.len() + 1).sum();
    let mut lines = Vec::with_capacity(length);
    for entry in batch {
        lines.extend_from_slice(&entry.body);
        lines.push(b'\n');
    }
    lines.into()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::store::EntryId;

    fn event(number: u64, size: usize, is_kept: bool) -> Waiting {
        let entry = Entry {
            cluster: "".into(),
            kind: "audit".into(),
            id: EntryId::new(Timestamp::UNIX_EPOCH, number),
            subject: String::new(),
            object: String::new(),
            body: vec![b'x'; size].into(),
        };
        Waiting { entry, epoch: None, recorded: None, is_kept }
    }

    /// A step of a queue.
    #[derive(Clone, Debug)]
    enum Step {
        Push {
            size: usize,
            is_kept: bool,
        },
        Record,
        Fail,
        /// The recorder begins anew in the middle of a batch.
        Restart,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1_usize..3 << 20, any::<bool>()).prop_map(|(size, is_kept)| Step::Push { size, is_kept }),
            2 => Just(Step::Record),
            1 => Just(Step::Fail),
            1 => Just(Step::Restart),
        ]
    }

    proptest! {
        #[test]
        fn every_event_that_is_taken_in_is_recorded_once_and_in_order(steps in prop::collection::vec(any_step(), 0..60)) {
            let (mut queue, mut expected, mut recorded) = (Queue::default(), Vec::new(), Vec::new());
            let mut record = |queue: &mut Queue| {
                let batch = queue.batch();
                assert!(batch.len() <= MAX_ENTRIES);
                assert!(batch.iter().map(|entry| entry.body.len()).sum::<usize>() <= MAX_BYTES);
                recorded.extend(batch.iter().map(|entry| entry.id));
                queue.done(batch.len());
                batch.len()
            };
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Push { size, is_kept } => {
                        let event = event(number as u64, size, is_kept);
                        let id = event.entry.id;
                        let is_in = queue.push(event);
                        prop_assert!(is_in || !is_kept, "an event of a change is never dropped");
                        if is_in {
                            expected.push(id);
                        }
                    }
                    Step::Record => {
                        record(&mut queue);
                        prop_assert!(!queue.is_failing());
                    }
                    Step::Fail => {
                        queue.batch();
                        queue.failed();
                        prop_assert!(queue.is_failing());
                    }
                    Step::Restart => drop(queue.batch()),
                }
                prop_assert!(queue.bytes <= MOST_BYTES && queue.others <= MOST);
            }
            while record(&mut queue) > 0 {}
            prop_assert_eq!(recorded, expected);
            prop_assert_eq!((queue.len(), queue.others, queue.bytes), (0, 0, 0));
        }
    }

    #[test]
    fn events_that_nobody_waits_for_are_dropped_where_there_is_no_room() {
        let mut queue = Queue::default();
        assert!((0..MOST).all(|number| queue.push(event(number as u64, 1, false))));
        assert!(!queue.push(event(0, 1, false)));
        assert!(queue.push(event(0, 1, true)));
        let batch = queue.batch().len();
        queue.done(batch);
        assert!(queue.push(event(0, 1, false)), "there is room again");
    }
}
