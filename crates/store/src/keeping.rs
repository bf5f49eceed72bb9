//! The bounds of history, and the transfer of whole clusters.

use std::time::Duration;

use uuid::Uuid;

use super::decide::NewRow;
use super::{Head, Key, Record, StoreError, check};

/// The changes that compaction keeps for readers that are behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// So much time, by the database's clock.
    pub age: Duration,
    /// This number of revisions, too.
    pub revisions: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { age: Duration::from_mins(10), revisions: 10_000 }
    }
}

/// The result of a compaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compaction {
    /// Readers behind this revision must begin again.
    pub revision: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// Tokens of batches.
    pub batches: u64,
    /// Superseded versions of objects.
    pub versions: u64,
}

/// Is handed a whole cluster as of one revision.
pub trait Visitor: Send {
    /// Comes first.
    ///
    /// # Errors
    /// Why to stop, in one line: [`StoreError::Stopped`].
    fn begin(&mut self, revision: u64, count: u64) -> Result<(), String>;

    /// Some of the objects, none of them deleted. Of the newest revision they come in the order of their keys, of an
    /// earlier one in any.
    ///
    /// # Errors
    /// Why to stop, in one line: [`StoreError::Stopped`].
    fn records(&mut self, records: Vec<Record>) -> Result<(), String>;
}

/// Keeps them all.
impl Visitor for Vec<Record> {
    fn begin(&mut self, _: u64, _: u64) -> Result<(), String> {
        Ok(())
    }

    fn records(&mut self, records: Vec<Record>) -> Result<(), String> {
        self.extend(records);
        Ok(())
    }
}

/// The content of a whole cluster at one revision.
pub trait Source: Send {
    /// The revision.
    fn revision(&self) -> u64;

    /// The next objects, unchanged; `None` at the end, after the source has verified their number and content.
    ///
    /// # Errors
    /// The reason in one line: it becomes [`StoreError::Stopped`], and nothing is written.
    fn records(&mut self) -> Result<Option<Vec<Record>>, String>;
}

/// How a cluster is restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restore {
    /// `true` if the cluster's present objects may be replaced.
    pub replace: bool,
    /// Number of revisions to skip before the next write, so that no revision given out after the copy was made is used twice.
    pub skip: u64,
}

impl Restore {
    /// The offset of the revisions, and the head afterwards, without the token. A cluster never written to gets the original revisions; in another
    /// one they follow all earlier ones, and its readers must begin again.
    pub fn plan(self, before: Head, revision: u64) -> (u64, Head) {
        let offset = before.revision;
        let revision = offset.saturating_add(revision).saturating_add(self.skip);
        let epoch = before.epoch.saturating_add(u64::from(offset > 0));
        (offset, Head { revision, compact_revision: revision, epoch, ..before })
    }
}

/// Objects with their revisions raised, as rows to insert; none may come after `most`.
pub fn new_rows(records: Vec<Record>, offset: u64, most: u64) -> Result<Vec<NewRow>, StoreError> {
    let row = |record| Ok(NewRow { record: raised(record, offset, most)?, replaces: None, body_changed: true });
    records.into_iter().map(row).collect()
}

/// Refuses objects that a cluster at this revision cannot have had all along.
pub fn check_adopted(records: &[Record], head: u64) -> Result<(), StoreError> {
    if records.iter().all(|record| record.revision <= head) {
        return Ok(());
    }
    Err(StoreError::Invalid(format!("the objects are newer than the cluster, which is at revision {head}")))
}

/// Refuses a restore into a cluster that has objects.
pub fn not_empty(cluster: &str) -> StoreError {
    StoreError::Invalid(format!("the cluster {cluster:?} is not empty: nothing was restored"))
}

fn raised(record: Record, offset: u64, most: u64) -> Result<Record, StoreError> {
    let up = |revision: u64| revision.saturating_add(offset);
    let raised = Record {
        revision: up(record.revision),
        create_revision: up(record.create_revision),
        body_revision: up(record.body_revision),
        ..record
    };
    let least = raised.create_revision.min(raised.body_revision);
    check::key(&raised.key)?;
    if least <= offset || raised.create_revision.max(raised.body_revision) > raised.revision || raised.revision > most {
        let Key { kind, namespace, name } = &raised.key;
        return Err(StoreError::Stopped(format!("the revisions of {kind} {namespace}/{name} make no sense")));
    }
    Ok(raised)
}

/// Least number of revisions that a new epoch skips: those that were given out in the lost history and that this process has not seen.
const LOST: u64 = 1_000_000;

/// The most that it leaves out, in steps of [`LOST`]: raised a few hundred times, a revision still is a whole number to
/// those who read it as a double.
const STEPS: u64 = 1 << 24;

/// The head of a cluster after `lost`, a head that is not in its history: `None` if the loss has been handled. `token` is a new one and decides how
/// far the counter moves. The epoch may have been raised before, in another lost history that this process has not seen: revisions given out then
/// are not given out again.
pub fn next_epoch(now: Head, lost: &Head, goes_on: bool, token: Uuid) -> Option<Head> {
    if goes_on || (now.epoch > lost.epoch && now.revision > lost.revision) {
        return None;
    }
    let (_, chance) = token.as_u64_pair();
    let left_out = LOST.saturating_mul(1 + chance % STEPS);
    let revision = now.revision.max(lost.revision).saturating_add(left_out);
    let epoch = now.epoch.max(lost.epoch).saturating_add(1);
    Some(Head { revision, compact_revision: revision, epoch, token })
}

/// From where to where a cluster's past is kept without a gap.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kept {
    /// The first revision whose state is known.
    pub from: u64,
    /// The last one.
    pub to: u64,
}

impl Kept {
    /// The history after a batch that keeps the superseded versions; `head` is the revision before it.
    #[must_use]
    pub fn with(self, head: u64, revision: u64) -> Self {
        Self { from: if self.to == head { self.from } else { head }, to: revision }
    }

    /// The first revision at which the past of a cluster can be read; `head` is its present one.
    pub fn readable(self, head: u64) -> u64 {
        if self.to == head { self.from } else { head }
    }

    /// Refuses to read a past that is not there.
    pub fn check(self, head: u64, revision: u64) -> Result<(), StoreError> {
        let compact_revision = self.readable(head);
        if revision > head {
            return Err(StoreError::Invalid(format!("revision {revision} is not there yet: the newest one is {head}")));
        }
        if revision < compact_revision {
            return Err(StoreError::Compacted { after: revision, compact_revision });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_begins_anew_after_a_gap() {
        let kept = Kept::default().with(0, 5).with(5, 9);
        assert_eq!((kept.from, kept.readable(9), kept.readable(12)), (0, 0, 12));
        let again = kept.with(12, 14);
        assert_eq!((again.readable(14), again.check(14, 11).is_err(), again.check(14, 12)), (12, true, Ok(())));
        assert!(again.check(14, 15).is_err());
    }

    #[test]
    fn an_epoch_is_raised_once_and_above_all_that_was_seen() {
        let head = |revision, epoch| Head { revision, epoch, ..Head::default() };
        let next_epoch = |now, lost, goes_on| next_epoch(now, &lost, goes_on, Uuid::nil());
        assert_eq!(next_epoch(head(9, 0), head(5, 0), true), None);
        let raised = next_epoch(head(3, 0), head(5, 0), false).expect("it is lost");
        assert_eq!((raised.revision, raised.compact_revision, raised.epoch), (1_000_005, 1_000_005, 1));
        assert_eq!(next_epoch(raised, head(7, 0), false), None, "the second one to notice");
        assert_eq!(next_epoch(raised, head(2_000_000, 1), false).map(|head| head.epoch), Some(2));
    }

    #[test]
    fn the_counter_moves_as_far_as_the_token_says() {
        let lost = Head { revision: 5, ..Head::default() };
        let raised =
            |token| next_epoch(Head::default(), &lost, false, Uuid::from_u128(token)).map(|head| head.revision);
        assert_eq!(raised(1), Some(2_000_005));
        assert_eq!(raised(u128::MAX), Some(16_777_216_000_005), "at most");
    }
}
