//! The ledger: append-only entries beside the objects, such as decisions and audit events.
//!
//! It is not on the revision counter: an append waits for no writer of the cluster and takes no revision. An entry is opaque
//! bytes under a cluster, a kind, an id that begins with its time, and two words to look it up by.
//!
//! Entries belong to a cluster's name. They go with the cluster when it is removed; those under [`NO_CLUSTER`] belong to the
//! server and outlive all clusters. An export holds no entries, and an import leaves them as they are: they tell what was done
//! here, whatever objects there are now.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use super::{StoreError, check};

pub(crate) mod statements;

/// The cluster of entries that belong to no cluster.
pub const NO_CLUSTER: &str = "";

/// How many entries one append takes at most.
pub const MAX_ENTRIES: usize = 2_000;

/// How many bytes the bodies of one append have at most, and those of a page, unless a single one has more.
pub const MAX_BYTES: usize = 4 << 20;

/// How many bytes one body has at most.
pub const MAX_BODY: usize = 256 << 10;

/// How many entries a page has at most, whatever is asked for.
pub const MAX_PAGE: usize = 1_000;

/// How many bytes the words of an entry have at most, all together: PostgreSQL cannot index more than about 2,700.
const MAX_WORDS: usize = 2_000;

/// Entries that are appended and never changed. See the [module](self).
#[async_trait]
pub trait Ledger: fmt::Debug + Send + Sync {
    /// Appends entries, all or none, and returns when they are durable. An entry whose id is there already under its cluster
    /// and kind is left out: after an error the same entries can be appended again.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when there are more than [`MAX_ENTRIES`] or [`MAX_BYTES`], or one of them is too large.
    async fn append(&self, entries: &[Entry]) -> Result<(), StoreError>;

    /// A page of the entries of one cluster and kind, in the order of their ids.
    async fn scan(&self, scan: &Scan) -> Result<Page, StoreError>;

    /// Removes the oldest entries of one cluster and kind that need not be kept, in bounded transactions; how many.
    async fn prune(&self, cluster: &str, kind: &str, retain: &Retain) -> Result<u64, StoreError>;

    /// The clusters and kinds that have entries, sorted: what there is to prune.
    async fn books(&self) -> Result<Vec<(String, String)>, StoreError>;
}

/// Names an entry: a UUID of version 7 (RFC 9562), which begins with a time. Ids are ordered by their times, to the
/// microsecond. As text it also is the cursor behind which a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(Uuid);

/// The bits of an id that come by chance.
const CHANCE: u128 = (1 << 62) - 1;

/// The version, and the variant of all versions.
const VERSION: u128 = (7 << 76) | (0b10 << 62);

impl EntryId {
    /// An id of this time; a time before 1970 counts as 1970. `chance` tells entries of one microsecond apart.
    pub fn new(at: Timestamp, chance: u64) -> Self {
        let micros = u128::from(u64::try_from(at.as_microsecond()).unwrap_or(0));
        // Rounded up, so that the microsecond comes back when it is rounded down.
        let fraction = ((micros % 1_000) << 12).div_ceil(1_000);
        Self(Uuid::from_u128(((micros / 1_000) << 80) | (fraction << 64) | VERSION | (u128::from(chance) & CHANCE)))
    }

    /// When the entry was made, by the clock of who made it.
    pub fn at(&self) -> Timestamp {
        let bits = self.0.as_u128();
        let micros = (bits >> 80) * 1_000 + ((((bits >> 64) & 0xfff) * 1_000) >> 12);
        let micros = i64::try_from(micros).unwrap_or(i64::MAX);
        Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
    }

    /// The id as any UUID.
    pub fn uuid(&self) -> Uuid {
        self.0
    }

    /// The id's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// An id from its bytes.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when they are none of an id.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let id = Uuid::from_slice(bytes).ok().and_then(Self::from_uuid);
        id.ok_or_else(|| StoreError::Corrupt("the id of a ledger's entry is no UUID of version 7".into()))
    }

    fn from_uuid(id: Uuid) -> Option<Self> {
        const FIXED: u128 = (0xf << 76) | (0b11 << 62);
        (id.as_u128() & FIXED == VERSION).then_some(Self(id))
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for EntryId {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let id = Uuid::from_str(text).ok().and_then(Self::from_uuid);
        id.ok_or_else(|| StoreError::Invalid(format!("{text:?} is no entry's id: it is a UUID of version 7")))
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The cluster it belongs to, or [`NO_CLUSTER`]. The cluster need not exist.
    pub cluster: Arc<str>,
    /// The kind of entry: `decisions`, `audit`. The ledger gives it no meaning.
    pub kind: Arc<str>,
    /// Unique within cluster and kind.
    pub id: EntryId,
    /// A word to look it up by, such as a user or a node; may be empty.
    pub subject: String,
    /// Another one, such as a pod's namespace and name; may be empty.
    pub object: String,
    /// Stored as these bytes.
    pub body: Bytes,
}

/// In which order entries are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest ones first.
    #[default]
    NewestFirst,
    /// The oldest ones first.
    OldestFirst,
}

/// Which entries to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Of this cluster, or [`NO_CLUSTER`].
    pub cluster: Arc<str>,
    /// Of this kind.
    pub kind: Arc<str>,
    /// With this subject; `None` for any.
    pub subject: Option<String>,
    /// With this object; `None` for any.
    pub object: Option<String>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// This one alone.
    pub only: Option<EntryId>,
    /// The order.
    pub order: Order,
    /// Behind this one in the order: [`Page::next`] of the page before.
    pub after: Option<EntryId>,
    /// How many at most; no page has more than [`MAX_PAGE`].
    pub limit: usize,
}

impl Scan {
    /// All entries of a cluster and kind, the newest first.
    pub fn all(cluster: impl Into<Arc<str>>, kind: impl Into<Arc<str>>) -> Self {
        Self {
            cluster: cluster.into(),
            kind: kind.into(),
            subject: None,
            object: None,
            since: None,
            until: None,
            only: None,
            order: Order::default(),
            after: None,
            limit: MAX_PAGE,
        }
    }

    /// Refuses words that no entry has.
    pub fn check(&self) -> Result<(), StoreError> {
        let word = |word: &Option<String>| word.clone().unwrap_or_default();
        check_words(&self.cluster, &self.kind, &word(&self.subject), &word(&self.object))
    }

    /// The first and the last id, by their bytes, that it asks for; `None` when there can be none.
    pub fn range(&self) -> Option<(Uuid, Uuid)> {
        let (mut first, mut last) = (0, u128::MAX);
        if let Some(only) = self.only {
            (first, last) = (only.0.as_u128(), only.0.as_u128());
        }
        if let Some(since) = self.since {
            first = first.max(EntryId::new(since, 0).0.as_u128());
        }
        if let Some(until) = self.until {
            last = last.min(EntryId::new(until, 0).0.as_u128().saturating_sub(1));
        }
        match (self.order, self.after) {
            (_, None) => {}
            (Order::NewestFirst, Some(after)) => last = last.min(after.0.as_u128().saturating_sub(1)),
            (Order::OldestFirst, Some(after)) => first = first.max(after.0.as_u128().saturating_add(1)),
        }
        (first <= last && self.limit > 0).then_some((Uuid::from_u128(first), Uuid::from_u128(last)))
    }

    /// How many entries to read: one more than the page may have, which tells that it is not the last.
    pub fn most(&self) -> usize {
        self.limit.min(MAX_PAGE) + 1
    }

    /// A page from the entries that were read, at most [`Scan::most`], of which those past [`MAX_BYTES`] may be missing.
    pub fn page(&self, mut entries: Vec<Entry>) -> Page {
        let mut bytes = 0_usize;
        let fits = entries.iter().take_while(|entry| {
            let before = bytes;
            bytes = bytes.saturating_add(entry.body.len());
            before < MAX_BYTES
        });
        let fits = fits.count().min(self.limit.min(MAX_PAGE));
        let is_cut = entries.len() > fits || bytes >= MAX_BYTES;
        entries.truncate(fits);
        let next = entries.last().filter(|_| is_cut && self.only.is_none()).map(|last| last.id);
        Page { entries, next }
    }
}

/// Some of the entries that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the order asked for.
    pub entries: Vec<Entry>,
    /// Where the next page begins; `None` when this was the last. A next page may turn out to be empty.
    pub next: Option<EntryId>,
}

/// The entries of a cluster and kind that are kept. The default keeps everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retain {
    /// Those from this time on.
    pub since: Option<Timestamp>,
    /// So many of the newest ones.
    pub entries: Option<u64>,
    /// So many bytes of the newest ones' bodies.
    pub bytes: Option<u64>,
}

impl Retain {
    /// The first id that is not too old.
    pub fn first(&self) -> Uuid {
        self.since.map_or(Uuid::nil(), |since| EntryId::new(since, 0).0)
    }

    /// Counts entries against what may be kept of them.
    pub fn count(&self) -> Count {
        Count { entries: self.entries.unwrap_or(u64::MAX), bytes: self.bytes.unwrap_or(u64::MAX) }
    }

    /// `true` if entries need not be counted.
    pub fn is_by_age_alone(&self) -> bool {
        self.entries.is_none() && self.bytes.is_none()
    }
}

/// How much may still be kept.
#[derive(Debug, Clone, Copy)]
pub struct Count {
    entries: u64,
    bytes: u64,
}

impl Count {
    /// Takes the next entry from the newest on; whether it may be kept.
    pub fn keeps(&mut self, size: u64) -> bool {
        let (Some(entries), Some(bytes)) = (self.entries.checked_sub(1), self.bytes.checked_sub(size)) else {
            (self.entries, self.bytes) = (0, 0);
            return false;
        };
        (self.entries, self.bytes) = (entries, bytes);
        true
    }
}

/// Goes on counting with a chunk of sizes, the newest first. Answers the first id to keep, and from where the next chunk comes;
/// `None` when there is no more to count.
pub fn count_on(count: &mut Count, first: Uuid, is_full: bool, sizes: Vec<(EntryId, u64)>) -> (Uuid, Option<Uuid>) {
    let last = sizes.last().filter(|_| is_full).map(|(id, _)| *id);
    for (id, size) in sizes {
        if !count.keeps(size) {
            return (Uuid::from_u128(id.0.as_u128().saturating_add(1)), None);
        }
    }
    (first, last.map(|id| Uuid::from_u128(id.0.as_u128().saturating_sub(1))))
}

/// Refuses entries that are too many, too large, or that one of the engines could not hold.
pub fn check(entries: &[Entry]) -> Result<(), StoreError> {
    if entries.len() > MAX_ENTRIES {
        let count = entries.len();
        let why = format!("{count} entries are more than the {MAX_ENTRIES} of one append: append them in parts");
        return Err(StoreError::Invalid(why));
    }
    let mut bytes = 0_usize;
    for Entry { cluster, kind, id, subject, object, body } in entries {
        check_words(cluster, kind, subject, object)?;
        if body.len() > MAX_BODY {
            let why = format!("the entry {id} has {} bytes, more than {MAX_BODY}: leave some of it out", body.len());
            return Err(StoreError::Invalid(why));
        }
        bytes = bytes.saturating_add(body.len());
    }
    if bytes > MAX_BYTES {
        let why = format!("entries of {bytes} bytes are more than the {MAX_BYTES} of one append: append them in parts");
        return Err(StoreError::Invalid(why));
    }
    Ok(())
}

/// Refuses a cluster and kind that no entry has.
pub fn check_book(cluster: &str, kind: &str) -> Result<(), StoreError> {
    check_words(cluster, kind, "", "")
}

fn check_words(cluster: &str, kind: &str, subject: &str, object: &str) -> Result<(), StoreError> {
    check::cluster(cluster)?;
    if kind.is_empty() {
        return Err(StoreError::Invalid("the entry's kind is empty".into()));
    }
    for (what, word) in [("the entry's kind", kind), ("the entry's subject", subject), ("the entry's object", object)] {
        check::text(what, word)?;
    }
    let length = [cluster, kind, subject, object].map(str::len).iter().sum::<usize>();
    if length > MAX_WORDS {
        let why = format!("cluster, kind, subject and object have {length} bytes, more than {MAX_WORDS}: shorten them");
        return Err(StoreError::Invalid(why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(micros).expect("a time of this millennium")
    }

    proptest! {
        #[test]
        fn ids_are_ordered_by_time_and_tell_it(one in 0_i64..1 << 52, other in 0_i64..1 << 52, chance: u64) {
            let (first, second) = (EntryId::new(time(one), chance), EntryId::new(time(other), 0));
            prop_assert_eq!(first.at(), time(one));
            prop_assert_eq!(first.to_string().parse(), Ok(first));
            prop_assert_eq!(EntryId::from_bytes(first.as_bytes()), Ok(first));
            if one != other {
                prop_assert_eq!(first < second, one < other);
            }
        }
    }

    #[test]
    fn a_uuid_of_another_version_is_no_id() {
        for text in ["", "x", "00000000-0000-4000-8000-000000000000", "00000000-0000-7000-0000-000000000000"] {
            assert!(matches!(text.parse::<EntryId>(), Err(StoreError::Invalid(_))), "{text:?}");
        }
        assert!("00000000-0000-7000-8000-000000000000".parse::<EntryId>().is_ok());
    }

    #[test]
    fn a_page_is_cut_by_count_and_by_bytes() {
        let entry = |at: i64, bytes: usize| Entry {
            cluster: "c".into(),
            kind: "k".into(),
            id: EntryId::new(time(at), 0),
            subject: String::new(),
            object: String::new(),
            body: vec![0; bytes].into(),
        };
        let scan = Scan { limit: 2, ..Scan::all("c", "k") };
        let page = scan.page(vec![entry(3, 1), entry(2, 1), entry(1, 1)]);
        assert_eq!((page.entries.len(), page.next), (2, Some(EntryId::new(time(2), 0))));
        assert_eq!(scan.page(vec![entry(3, 1), entry(2, 1)]).next, None);
        let page = Scan::all("c", "k").page(vec![entry(3, MAX_BYTES), entry(2, 1)]);
        assert_eq!((page.entries.len(), page.next), (1, Some(EntryId::new(time(3), 0))));
    }

    #[test]
    fn a_count_keeps_nothing_older_than_what_it_has_refused() {
        let mut count = Retain { entries: Some(9), bytes: Some(10), since: None }.count();
        assert_eq!([4, 7, 1].map(|size| count.keeps(size)), [true, false, false]);
        let mut count = Retain { entries: Some(1), ..Retain::default() }.count();
        assert_eq!([4, 7].map(|size| count.keeps(size)), [true, false]);
    }

    #[test]
    fn a_limit_of_the_ledger_names_itself_and_the_remedy() {
        let entry = Entry {
            cluster: "c".into(),
            kind: "k".into(),
            id: EntryId::new(time(1), 0),
            subject: String::new(),
            object: String::new(),
            body: Bytes::new(),
        };
        let large = Entry { body: vec![0; MAX_BODY + 1].into(), ..entry.clone() };
        let full = Entry { body: vec![0; MAX_BODY].into(), ..entry.clone() };
        let wordy = Entry { subject: "s".repeat(1_000), object: "o".repeat(1_000), ..entry.clone() };
        let nameless = Entry { kind: "".into(), ..entry.clone() };
        for (entries, told) in [
            (vec![entry; MAX_ENTRIES + 1], "append them in parts"),
            (vec![full; MAX_BYTES / MAX_BODY + 1], "append them in parts"),
            (vec![large], "leave some of it out"),
            (vec![wordy], "shorten them"),
            (vec![nameless], "the entry's kind is empty"),
        ] {
            let refused = check(&entries).expect_err("it is too much").to_string();
            assert!(refused.contains(told), "{refused}");
        }
    }
}
