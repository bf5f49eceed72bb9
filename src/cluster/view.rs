//! What is published: a snapshot of one revision.

use crate::{
    core::{
        model::Name,
        snapshot::{Object, Snapshot},
    },
    store::Record,
    wire::kinds::{self, StoredKind},
};

/// One cluster at one revision. Cloning it costs a few reference counts.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The cluster.
    pub snapshot: Snapshot,
}

impl View {
    /// Takes in one record of the change feed.
    pub(super) fn apply(&mut self, record: &Record) {
        let Some(kind) = kinds::by_key(&record.key.kind) else {
            return; // A kind that decisions do not read.
        };
        let object = if record.deleted { None } else { read(kind, record) };
        if let Some(object) = object {
            self.snapshot.apply(object);
        } else {
            let (namespace, name) = (Name::from(&*record.key.namespace), Name::from(&*record.key.name));
            self.snapshot.delete(kind.core, &namespace, &name);
        }
    }
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
            if let Some(node) = &record.node {
                pod.node_name = node.as_str().into();
            }
            Some(Object::Pod(pod))
        }
        Ok(object) => Some(object),
        Err(error) => {
            tracing::error!(key = ?record.key, revision = record.revision, error, "a stored object cannot be read");
            None
        }
    }
}
