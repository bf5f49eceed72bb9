//! An object as its API server tells it, read for the mirror.

use std::sync::Arc;

use crate::{
    core::snapshot::Kind,
    store::Key,
    wire::{document::Document, kinds::StoredKind, source::Trim},
};

use super::trim::Rules;

/// A mirrored kind: its row, and the rules for its objects.
#[derive(Clone, Debug)]
pub(super) struct Mirrored {
    pub(super) kind: &'static StoredKind,
    /// The kind's key in the store.
    pub(super) key: Arc<str>,
    pub(super) rules: Rules,
}

/// An object of an API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceObject {
    pub(super) key: Key,
    pub(super) uid: String,
    /// Its `resourceVersion`, which is the API server's.
    pub(super) version: String,
    /// The node that a pod is on; empty for none.
    pub(super) node: String,
    /// As it is to be stored, without what only the store has.
    pub(super) body: String,
}

/// An object that cannot be read as far as to know its name, or its content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) name: String,
    pub(super) why: String,
}

impl Mirrored {
    pub(super) fn new(kind: &'static StoredKind, trim: Trim) -> Self {
        Self { kind, key: kind.key().into(), rules: Rules::of(kind, trim) }
    }

    /// `true` for pods.
    pub(super) fn is_pods(&self) -> bool {
        self.kind.is(Kind::Pod)
    }

    /// The path of the kind's list.
    pub(super) fn path(&self) -> String {
        let StoredKind { group, version, plural, .. } = self.kind;
        if group.is_empty() { format!("/api/{version}/{plural}") } else { format!("/apis/{group}/{version}/{plural}") }
    }

    /// Reads an object.
    ///
    /// # Errors
    /// [`Unreadable`]
    pub(super) fn read(&self, json: &str) -> Result<SourceObject, Unreadable> {
        let unreadable = |name: &str, why: String| Unreadable { name: name.to_owned(), why };
        let trimmed = self.rules.trimmed(json).map_err(|error| unreadable("", error.to_string()))?;
        let document = Document::parse(trimmed.as_bytes()).map_err(|error| unreadable("", error.to_string()))?;
        let text = |field| document.metadata_text(field).unwrap_or_default();
        let (namespace, name, uid, version) = (text("namespace"), text("name"), text("uid"), text("resourceVersion"));
        if name.is_empty() || namespace.is_empty() == self.kind.namespaced {
            return Err(unreadable(&name, "its namespace or name is not one of the kind".into()));
        }
        let node = if self.is_pods() { document.get_in("spec", "nodeName").ok().flatten() } else { None };
        let node = node.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        let key = Key::new(self.key.clone(), namespace, name);
        Ok(SourceObject { key, uid, version, node, body: document.into_body() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::kinds;

    #[test]
    fn an_object_is_read_with_its_place() {
        let pods = Mirrored::new(kinds::by_key("pods").expect("it is stored"), Trim::Scheduling);
        let json = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web","namespace":"shop","uid":"u","resourceVersion":"7","managedFields":[]},"spec":{"nodeName":"n","x":null}}"#;
        let read = pods.read(json).expect("it is a pod");
        assert_eq!(read.body, r#"{"metadata":{"name":"web","namespace":"shop","uid":"u"},"spec":{"nodeName":"n"}}"#);
        assert_eq!((&*read.version, &*read.node, &*read.uid), ("7", "n", "u"));
        assert_eq!(read.key, Key::new("pods", "shop", "web"));
        let nodes = Mirrored::new(kinds::by_key("nodes").expect("it is stored"), Trim::Scheduling);
        assert!(nodes.read(json).is_err(), "a node is in no namespace");
        assert!(pods.read("{").is_err() && pods.read("[]").is_err() && pods.read(r#"{"metadata":{}}"#).is_err());
    }

    #[test]
    fn paths_are_those_of_the_rows() {
        let path = |key| Mirrored::new(kinds::by_key(key).expect("it is stored"), Trim::Full).path();
        assert_eq!(path("pods"), "/api/v1/pods");
        assert_eq!(path("replicasets.apps"), "/apis/apps/v1/replicasets");
    }
}
