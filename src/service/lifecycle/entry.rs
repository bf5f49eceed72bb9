//! One object of the index.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    core::snapshot::Kind,
    store::{Key, Record},
    wire::{
        decode::{self, DecodeError},
        deletion::{FOREGROUND, KUBERNETES, Meta, ORPHAN},
        kinds,
    },
};

/// The place of an object. Those of a namespace are side by side.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) namespace: String,
    pub(super) kind: Arc<str>,
    pub(super) name: String,
}

impl Place {
    pub(super) fn of(key: &Key) -> Self {
        Self { namespace: key.namespace.clone(), kind: key.kind.clone(), name: key.name.clone() }
    }

    /// Before all objects of a namespace.
    pub(super) fn first_in(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), kind: "".into(), name: String::new() }
    }

    pub(super) fn key(&self) -> Key {
        Key::new(self.kind.clone(), self.namespace.clone(), self.name.clone())
    }
}

/// An owner that an object names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: String,
    /// Its deletion in the foreground waits for the object.
    pub(super) is_blocked: bool,
}

/// The part of an object that decides about ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Entry {
    pub(super) uid: String,
    pub(super) revision: u64,
    pub(super) owners: Vec<Owner>,
    /// It is being deleted.
    pub(super) is_ending: bool,
    /// Its dependents are to lose it.
    pub(super) is_orphaning: bool,
    /// It waits for its dependents to go.
    pub(super) is_waiting: bool,
    pub(super) is_namespace: bool,
    /// It is a namespace that only its content keeps.
    pub(super) is_held: bool,
    /// It is a pod that has this long left.
    pub(super) grace_until: Option<Timestamp>,
}

/// The fields of an object that are read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    metadata: Option<Meta>,
    spec: Option<Spec>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    finalizers: Option<Vec<String>>,
}

impl Entry {
    /// Reads a stored object; `None` if objects of its kind end by rules of their own.
    ///
    /// # Errors
    /// If a field has the wrong type.
    pub(super) fn parse(record: &Record) -> Result<Option<Self>, DecodeError> {
        let Some(kind) = kinds::by_key(&record.key.kind).filter(|kind| kind.is_shared()) else { return Ok(None) };
        let is_namespace = kind.is(Kind::Namespace);
        let (meta, own) = if is_namespace {
            let body: Body = decode::from_slice(&record.body)?;
            (body.metadata.unwrap_or_default(), body.spec.and_then(|spec| spec.finalizers).unwrap_or_default())
        } else {
            let body: OnlyMetadata = decode::from_slice(&record.body)?;
            (body.metadata.unwrap_or_default(), Vec::new())
        };
        let has = |finalizer: &str| meta.finalizers.iter().any(|one| one == finalizer);
        let grace = meta.deletion_grace_period_seconds.is_some_and(|seconds| seconds != 0);
        let is_ending = kind.is(Kind::Pod) && (grace || meta.finalizers.is_empty());
        let owners = meta.owner_references.iter().filter(|owner| !owner.uid.is_empty());
        Ok(Some(Self {
            uid: record.uid.clone(),
            revision: record.revision,
            is_ending: meta.deletion_timestamp.is_some(),
            is_orphaning: has(ORPHAN),
            is_waiting: has(FOREGROUND),
            is_namespace,
            is_held: is_namespace && own.iter().all(|finalizer| finalizer == KUBERNETES),
            grace_until: meta.deletion_timestamp.filter(|_| is_ending),
            owners: owners
                .map(|owner| Owner { uid: owner.uid.clone(), is_blocked: owner.block_owner_deletion == Some(true) })
                .collect(),
        }))
    }

    /// `true` if the end of another object may be its own, or it ends already.
    pub(super) fn may_end(&self) -> bool {
        self.is_ending || !self.owners.is_empty()
    }

    /// `true` if it is being deleted, and waits for its dependents to go.
    pub(super) fn waits(&self) -> bool {
        self.is_ending && self.is_waiting
    }

    /// `true` if it blocks the deletion of an owner.
    pub(super) fn blocks(&self, owner: &str) -> bool {
        self.owners.iter().any(|one| one.uid == owner && one.is_blocked)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OnlyMetadata {
    metadata: Option<Meta>,
}
