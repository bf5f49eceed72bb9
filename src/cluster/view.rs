//! What is published: a snapshot and the policies to decide with, of one revision.

use std::sync::Arc;

use imbl::OrdMap;

use crate::{
    core::{
        model::Name,
        policy::Profile,
        snapshot::{Kind, Object, Snapshot},
    },
    store::Record,
    wire::{
        kinds::{self, StoredKind},
        policy::{
            Document,
            revision::{self, Revision},
        },
    },
};

/// One cluster at one revision. Cloning it costs a few reference counts.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The cluster.
    pub snapshot: Snapshot,
    policies: OrdMap<Name, Arc<ActivePolicy>>,
}

/// A policy in force, compiled.
#[derive(Debug)]
pub struct ActivePolicy {
    /// The text and its number.
    pub revision: Revision,
    /// What the text says.
    pub document: Document,
    /// What it compiles to.
    pub profile: Profile,
}

impl View {
    /// A policy in force by name.
    pub fn policy(&self, name: &str) -> Option<&Arc<ActivePolicy>> {
        self.policies.get(name)
    }

    /// All policies in force, by name.
    pub fn policies(&self) -> impl Iterator<Item = (&Name, &Arc<ActivePolicy>)> {
        self.policies.iter()
    }

    /// Takes in one record of the change feed; `complete` is the last revision of which this was the exact state.
    pub(super) fn apply(&mut self, record: &Record, complete: u64) {
        if &*record.key.kind == revision::IN_FORCE {
            let name = Name::from(&*record.key.name);
            if record.body_is_known(complete) {
                return;
            }
            match compile(record) {
                Some(policy) => drop(self.policies.insert(name, Arc::new(policy))),
                None => drop(self.policies.remove(&name)),
            }
            return;
        }
        let Some(kind) = kinds::by_key(&record.key.kind) else {
            return; // A kind that decisions do not read.
        };
        if record.body_is_known(complete) {
            self.rebind(record);
            return;
        }
        let object = if record.deleted { None } else { read(kind, record) };
        if let Some(object) = object {
            self.snapshot.apply(object);
        } else {
            let (namespace, name) = (Name::from(&*record.key.namespace), Name::from(&*record.key.name));
            self.snapshot.delete(kind.core, &namespace, &name);
        }
    }
}

/// Changes that leave the body as it was.
impl View {
    /// Puts a pod where the record says, for a bind writes the column and not the body.
    fn rebind(&mut self, record: &Record) {
        let stored = self.snapshot.pod(&record.key.namespace, &record.key.name);
        if let Some(pod) = stored.filter(|_| kinds::by_key(&record.key.kind).is_some_and(|kind| kind.core == Kind::Pod))
        {
            let mut pod = (**pod).clone();
            pod.node_name = record.node.as_deref().unwrap_or_default().into();
            self.snapshot.apply(Object::Pod(Box::new(pod)));
        }
    }
}

/// The policy that a record holds, compiled; `None` for a tombstone. The door let in only what compiles.
fn compile(record: &Record) -> Option<ActivePolicy> {
    if record.deleted {
        return None;
    }
    let revision: Result<Revision, String> = serde_json::from_slice(&record.body).map_err(|e| e.to_string());
    let compiled = revision.and_then(|revision| match revision.compile() {
        Ok((document, profile)) => Ok(ActivePolicy { revision, document, profile }),
        Err(faults) => Err(faults.to_string()),
    });
    compiled
        .inspect_err(|error| tracing::error!(policy = record.key.name, error, "a stored policy cannot be read"))
        .ok()
}

/// The object that a record holds.
///
/// What the door let in can be read again here. A body that cannot (written by another release, or by hand) is told in
/// the log and leaves the object as if deleted, since a half-read one would decide wrongly.
fn read(kind: &StoredKind, record: &Record) -> Option<Object> {
    let converted = kind.parse(&record.body).map_err(|e| e.to_string());
    let object = converted.and_then(|c| c.lenient().map_err(|causes| format!("{causes:?}")));
    match object {
        Ok(Object::Pod(mut pod)) => {
            // A bind writes the column, not the body.
            pod.node_name = record.node.as_deref().unwrap_or_default().into();
            Some(Object::Pod(pod))
        }
        Ok(object) => Some(object),
        Err(error) => {
            tracing::error!(key = ?record.key, revision = record.revision, error, "a stored object cannot be read");
            None
        }
    }
}
