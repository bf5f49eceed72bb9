//! The types of the store's interface.

use std::sync::Arc;

use super::{Bodies, Body, Head};

/// Names one object within a cluster. The order is that of lists: kind, namespace, name, each by bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The plural, with its group where needed: `pods`, `apps/replicasets`. The store gives it no meaning.
    pub kind: Arc<str>,
    /// Empty when the kind is cluster-scoped.
    pub namespace: String,
    /// Unique within kind and namespace.
    pub name: String,
}

impl Key {
    /// A key from its parts; `namespace` is empty for a cluster-scoped kind.
    pub fn new(kind: impl Into<Arc<str>>, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }
}

/// An object as stored, or the tombstone of a deleted one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which object.
    pub key: Key,
    /// Tells an object from a later one of the same name.
    pub uid: String,
    /// Revision of the last change, unique within the cluster.
    pub revision: u64,
    /// Revision of the creation; a re-creation after a delete starts anew.
    pub create_revision: u64,
    /// The node a pod is bound to. It stands beside the body, which [`Change::SetNode`] leaves as it is: a reader lays
    /// it over whatever the body says.
    pub node: Option<String>,
    /// A tombstone: the object is gone, its body is empty. Only the change feed and a [`Judge`] see tombstones.
    pub deleted: bool,
    /// Revision of the last change of the body; a bind changes `revision` alone.
    pub body_revision: u64,
    /// The bytes as they were received. The change feed and the [`Judge`] are given no body (empty) that they have, see
    /// [`Record::body_is_known`], or that they do not read, see [`Bodies`].
    pub body: Body,
}

impl Record {
    /// Tells that an object was not there, of one that came to be later.
    #[must_use]
    pub fn absent(&self) -> Self {
        let (revision, body_revision) = (self.create_revision, self.create_revision);
        let (key, uid) = (self.key.clone(), self.uid.clone());
        let body = Body::default();
        Self { key, uid, revision, create_revision: revision, node: None, deleted: true, body_revision, body }
    }

    /// `true` if a reader whose state was complete at a revision has the body already, so that the feed leaves it out.
    pub fn body_is_known(&self, complete: u64) -> bool {
        !self.deleted && self.body_revision <= complete
    }
}

/// The precondition of a [`Write`]. The default has no conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precondition {
    /// `Some(false)`: only create. `Some(true)`: only change what exists.
    pub exists: Option<bool>,
    /// Only if the object exists and this is the revision of its last change.
    pub revision: Option<u64>,
    /// Only if the object exists and has this uid.
    pub uid: Option<String>,
}

impl Precondition {
    /// Only create: [`Refusal::AlreadyExists`] otherwise.
    pub fn absent() -> Self {
        Self { exists: Some(false), ..Self::default() }
    }

    /// Only change what exists: [`Refusal::NotFound`] otherwise.
    pub fn exists() -> Self {
        Self { exists: Some(true), ..Self::default() }
    }

    /// Compare and set: [`Refusal::Conflict`] when somebody else came first.
    pub fn revision(revision: u64) -> Self {
        Self { revision: Some(revision), ..Self::default() }
    }
}

/// The change of a [`Write`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Creates or replaces. When body, uid and node are already so, nothing is written. Replacing an object by one of
    /// another uid is a creation.
    Put {
        /// Stored as these bytes.
        body: Body,
        /// Tells this object from a later one of the same name.
        uid: String,
        /// The node the pod is bound to, if any.
        node: Option<String>,
    },
    /// Notes that an existing object is on a node (or on none) without touching the body: a fact, taken as told.
    SetNode(Option<String>),
    /// Binds an existing object that is on no node, without touching the body, if the [`Judge`] lets it. One that is on
    /// this very node stays as it is.
    Bind {
        /// The node's name.
        node: String,
    },
    /// Deletes, leaving a tombstone for the change feed.
    Delete,
}

impl Change {
    /// Another body for an object that was read: it keeps its uid and its node.
    pub fn body(read: &Record, body: impl Into<Body>) -> Self {
        Self::Put { body: body.into(), uid: read.uid.clone(), node: read.node.clone() }
    }
}

/// One change to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Which object.
    pub key: Key,
    /// The precondition.
    pub precondition: Precondition,
    /// The change.
    pub change: Change,
}

impl Write {
    /// The change of an object that is as it was read.
    pub fn of(read: &Record, change: Change) -> Self {
        let precondition = Precondition { uid: Some(read.uid.clone()), ..Precondition::revision(read.revision) };
        Self { key: read.key.clone(), precondition, change }
    }
}

/// The effect of one refused write on the others of its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Atomicity {
    /// One refusal and nothing is written; the others answer [`Refusal::NotAttempted`].
    AllOrNothing,
    /// Each stands for itself. The batch is still one transaction: after a crash all that was accepted is there, or none.
    Each,
}

/// The writes of one caller. Several calls form a batch, which is one transaction; no call affects another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Carried out in order; several may name the same key.
    pub writes: Vec<Write>,
    /// The effect of a refusal.
    pub atomicity: Atomicity,
}

/// The answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The cluster's newest revision after the batch (unchanged if nothing was written).
    pub revision: u64,
    /// One for each write, in their order.
    pub outcomes: Vec<Outcome>,
}

/// The answer to a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// One for each call, in their order.
    pub commits: Vec<Commit>,
    /// Where the cluster stands after the batch.
    pub head: Head,
}

/// The place of a write in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The call's place in the batch, from 0.
    pub call: usize,
    /// The write's place in its call, from 0.
    pub write: usize,
    /// The revision before the call's first write.
    pub began: u64,
}

/// Judges the binds of a batch at its commit, with exact knowledge of the state that it is written to: the cluster's counter is held meanwhile, so
/// nothing changes in between.
///
/// An attempt begins with [`Judge::begin`], also when a batch is tried again. The judge keeps the notes of an attempt apart until the store returns
/// [`Written`]: then the last notes are the committed changes, and its state is exactly that at `head.revision`.
pub trait Judge: Send {
    /// The judge's state is exactly that of the cluster at this revision; of a cluster of which it has read nothing, 0.
    fn known(&self) -> u64;

    /// The head at which [`Judge::known`] was read, if it is known: a batch is refused as [`Behind`](crate::StoreError::Behind) when that
    /// is no longer a part of the cluster's history.
    fn seen(&self) -> Option<Head> {
        None
    }

    /// The kinds whose bodies it reads of the changes that it missed.
    fn bodies(&self) -> Bodies {
        Bodies::All
    }

    /// Begins an attempt. `missed` has all changes after [`Judge::known`], ascending; `head` is the head of the cluster before the batch.
    fn begin(&mut self, head: Head, missed: &[Record]);

    /// `Ok` if the object may be bound to the node, given `begin` and the notes since.
    ///
    /// # Errors
    /// The reason, in one line for the caller: [`Refusal::Rejected`].
    fn may_bind(&mut self, place: Place, record: &Record, node: &str) -> Result<(), String>;

    /// An object as the batch has just left it, or its tombstone. Bodies that did not change are left out.
    fn note(&mut self, record: &Record);

    /// The next calls of [`Judge::note`] may have to be taken back.
    fn mark(&mut self);

    /// Drops the notes since [`Judge::mark`].
    fn roll_back(&mut self);
}

/// A judge that accepts everything and knows nothing, for writes without decisions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unjudged;

impl Judge for Unjudged {
    fn known(&self) -> u64 {
        u64::MAX
    }

    fn begin(&mut self, _: Head, _: &[Record]) {}

    fn may_bind(&mut self, _: Place, _: &Record, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn note(&mut self, _: &Record) {}

    fn mark(&mut self) {}

    fn roll_back(&mut self) {}
}

/// The outcome of one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Written, durably.
    Written {
        /// The object's new revision.
        revision: u64,
        /// `true` if this write created the object.
        created: bool,
    },
    /// The object was already so; nothing was written.
    Unchanged {
        /// The object's revision.
        revision: u64,
    },
    /// Deleted.
    Deleted {
        /// The tombstone's revision.
        revision: u64,
    },
    /// Not carried out.
    Refused(Refusal),
}

/// Why a write was not carried out: a normal answer, not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such object.
    NotFound,
    /// The object exists and the write was to create it.
    AlreadyExists {
        /// Its revision.
        current: u64,
    },
    /// The object has changed since the revision the write was based on.
    Conflict {
        /// Its revision.
        current: u64,
    },
    /// Another object has its name.
    UidMismatch {
        /// That object's uid.
        current: String,
    },
    /// The object was to be bound and is on another node.
    AlreadyBound {
        /// That node.
        node: String,
    },
    /// The [`Judge`] is against it.
    Rejected(String),
    /// Another write of an [`Atomicity::AllOrNothing`] call was refused.
    NotAttempted,
}

/// Which objects to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// The kind.
    pub kind: Arc<str>,
    /// Only this namespace; `None` for all.
    pub namespace: Option<String>,
    /// Start behind this (namespace, name), the last of the page before.
    pub after: Option<(String, String)>,
    /// Largest number of items; `None` for all.
    pub limit: Option<usize>,
}

impl ListQuery {
    /// All objects of a kind.
    pub fn all(kind: impl Into<Arc<str>>) -> Self {
        Self { kind: kind.into(), namespace: None, after: None, limit: None }
    }
}

/// A query as the index sees it: keys behind `start`, up to namespaces before `end`.
pub struct Range {
    /// Namespace and name; the range begins behind it.
    pub start: (String, String),
    /// The range ends before this namespace.
    pub end: String,
}

impl ListQuery {
    /// The selected keys.
    pub fn range(&self) -> Range {
        let after = self.after.clone().unwrap_or_default();
        match &self.namespace {
            // Nothing sorts between a string and the same string followed by U+0001: keys hold no U+0000.
            Some(namespace) => {
                Range { start: after.max((namespace.clone(), String::new())), end: format!("{namespace}\u{1}") }
            }
            None => Range { start: after, end: char::MAX.into() },
        }
    }
}

/// Objects by (namespace, name), read in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Live objects only.
    pub items: Vec<Record>,
    /// The cluster's newest revision when they were read: the items are exactly the state at it.
    pub revision: u64,
    /// How many more follow this page; `None` when it is the last.
    pub remaining: Option<u64>,
}

/// How far the schema is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MigrationStatus {
    /// The newest migration the database has; 0 for none.
    pub applied: i64,
    /// The newest migration this binary has.
    pub known: i64,
}

impl MigrationStatus {
    /// `true` if the database is ready for this binary.
    pub fn is_current(self) -> bool {
        self.applied == self.known
    }
}
