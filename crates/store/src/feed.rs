//! The change feed: the head of a cluster, and the cursor of a reader.

use uuid::Uuid;

use super::{Record, StoreError};

/// The head of a cluster: its newest point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// The newest revision; 0 for a cluster never written to.
    pub revision: u64,
    /// Tombstones up to this revision may be gone.
    pub compact_revision: u64,
    /// Raised when history was lost (an older copy of the database came back): all that was read before is void.
    pub epoch: u64,
    /// Identifies the batch that made `revision`, in this history and no other. Nil for a cluster never written to, and if it was not read.
    pub token: Uuid,
}

impl Head {
    /// `true` if this is a later point of the history of `seen`. `found` is the token that the database has for the revision of `seen`; compaction
    /// may have removed it.
    pub fn continues(&self, seen: &Self, found: Option<Uuid>) -> bool {
        let known = match found {
            Some(token) => token == seen.token || seen.token.is_nil(),
            None => seen.revision == 0 || seen.token.is_nil() || seen.revision < self.compact_revision,
        };
        self.epoch == seen.epoch && self.revision >= seen.revision && known
    }

    /// Tells if the batch for this revision was written. `found` is the result of looking for its token; `None` if compaction may have removed the
    /// evidence.
    pub fn was_written(&self, revision: u64, found: bool) -> Option<bool> {
        (found || revision >= self.compact_revision).then_some(found)
    }
}

/// The kinds whose bodies a reader reads. Records of other kinds come without a body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Bodies {
    /// All kinds.
    #[default]
    All,
    /// These kinds, by [`Key::kind`](crate::Key::kind).
    Of(&'static [&'static str]),
}

impl Bodies {
    /// `true` if bodies of this kind are read.
    pub fn has(self, kind: &str) -> bool {
        match self {
            Self::All => true,
            Self::Of(kinds) => kinds.contains(&kind),
        }
    }

    /// The kinds; `None` for all.
    pub fn kinds(self) -> Option<&'static [&'static str]> {
        match self {
            Self::All => None,
            Self::Of(kinds) => Some(kinds),
        }
    }
}

/// How far a reader of the change feed has come. It starts with the default, and hands [`Changes::next`] back for the
/// next page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Everything up to this revision has been read.
    pub after: u64,
    /// The last revision at which the reader's state was exactly that of the cluster (0: never). Bodies that have not
    /// changed since are left out.
    pub complete: u64,
    /// Where the cluster stood when the reader began with nothing. Its pages lie far back then, behind tombstones that are
    /// long gone, and it misses none: it holds nothing that was deleted before it began.
    pub began: u64,
    /// Where the cluster stood at the last page: that is still its history, or history was lost.
    pub seen: Option<Head>,
    /// The kinds whose bodies it reads, the same ones for as long as it goes on from its own pages.
    pub bodies: Bodies,
}

impl Cursor {
    /// Of a reader that knows a revision and nothing else, such as a watch: it gets all bodies.
    pub fn after(revision: u64) -> Self {
        Self { after: revision, ..Self::default() }
    }

    /// Of a reader that knows nothing yet and reads the bodies of some kinds only.
    pub fn reading(bodies: Bodies) -> Self {
        Self { bodies, ..Self::default() }
    }

    /// `true` if the feed leaves the body of a record out for this reader.
    pub fn leaves_out(&self, record: &Record) -> bool {
        record.body_is_known(self.complete) || !self.bodies.has(&record.key.kind)
    }

    /// The revision whose token [`Cursor::check`] needs.
    pub fn seen_revision(&self) -> u64 {
        self.seen.map_or(0, |seen| seen.revision)
    }

    /// `Ok` if the feed can be read on from here.
    pub fn check(&self, head: &Head, found: Option<Uuid>) -> Result<(), StoreError> {
        if self.seen.is_some_and(|seen| !head.continues(&seen, found)) {
            return Err(StoreError::HistoryLost { revision: head.revision, epoch: head.epoch });
        }
        let sound = self.after.max(self.began);
        if self.after != 0 && sound < head.compact_revision {
            return Err(StoreError::Compacted { after: sound, compact_revision: head.compact_revision });
        }
        Ok(())
    }

    /// A page, and the cursor behind it. `limit` is the requested number of records.
    pub fn page(&self, head: Head, records: Vec<Record>, limit: usize) -> Changes {
        let complete = records.len() < limit || head.revision <= self.after;
        let last = records.last().map_or(self.after, |record| record.revision);
        let next = Self {
            after: if complete { head.revision } else { last },
            complete: if complete { head.revision } else { self.complete },
            began: if self.after == 0 { head.revision } else { self.began },
            seen: Some(head),
            bodies: self.bodies,
        };
        Changes { records, head, complete, next }
    }
}

/// A page of the change feed: every object changed after some revision, once each, at its latest revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Ascending by revision, tombstones included. Bodies that the reader has are left out.
    pub records: Vec<Record>,
    /// Where the cluster stood when the page was read.
    pub head: Head,
    /// `true` if the page reaches the head. Between pages the reader's state equals that of no revision; with the last one applied it is exactly
    /// the state at `head.revision`.
    pub complete: bool,
    /// Where the next page begins.
    pub next: Cursor,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(revision: u64, compact_revision: u64, epoch: u64) -> Head {
        Head { revision, compact_revision, epoch, token: Uuid::from_u128(u128::from(revision)) }
    }

    #[test]
    fn history_goes_on_or_was_lost() {
        let seen = head(5, 0, 1);
        let (same, other) = (Some(seen.token), Some(Uuid::from_u128(99)));
        let cases = [
            (head(5, 0, 1), same, true),
            (head(9, 7, 1), same, true),
            (head(9, 7, 1), None, true),   // compacted: the reader is told so
            (head(9, 5, 1), None, false),  // the batch should still be there
            (head(9, 0, 1), other, false), // the counter has passed the old value again
            (head(4, 0, 1), None, false),
            (head(9, 0, 2), same, false),
        ];
        for (now, found, goes_on) in cases {
            assert_eq!(now.continues(&seen, found), goes_on, "{now:?} {found:?}");
        }
        assert!(head(3, 0, 0).continues(&Head::default(), None), "a cluster that came to be");
    }

    #[test]
    fn a_missing_token_proves_nothing_after_compaction() {
        let compacted = head(9, 5, 1);
        assert_eq!(compacted.was_written(4, true), Some(true));
        assert_eq!(compacted.was_written(4, false), None);
        assert_eq!(compacted.was_written(5, false), Some(false), "compaction keeps the token of its own revision");
    }

    #[test]
    fn a_reader_that_began_with_nothing_misses_no_delete_from_before() {
        let check =
            |after, began, compact| Cursor { after, began, ..Cursor::default() }.check(&head(90, compact, 0), None);
        assert_eq!(check(0, 0, 80), Ok(()));
        assert_eq!(check(5, 85, 80), Ok(()));
        assert_eq!(check(5, 85, 85), Ok(()));
        assert_eq!(check(5, 85, 86), Err(StoreError::Compacted { after: 85, compact_revision: 86 }));
        assert_eq!(check(80, 0, 80), Ok(()));
        assert_eq!(check(79, 0, 80), Err(StoreError::Compacted { after: 79, compact_revision: 80 }));
    }
}
