//! An object as its API server tells it, read for the mirror.

use std::sync::Arc;

use serde::Deserialize;

use crate::{
    core::snapshot::Kind,
    service::source::requests,
    store::{Atomicity, Call, Change, Key, Precondition, StoreError, Write, check},
    wire::{document::Document, kinds::StoredKind, outbox, source::Trim},
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
        requests::collection(self.kind, "")
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
        let object = SourceObject { key, uid, version, node, body: document.into_body() };
        storable(&object).map_err(|error| unreadable(&object.key.name, error.to_string()))?;
        Ok(object)
    }

    /// The name of an object that cannot be read, with an empty body; `None` if not even that can be read.
    pub(super) fn named(&self, json: &str) -> Option<SourceObject> {
        let Named { metadata } = serde_json::from_str(json).ok()?;
        let NamedMeta { namespace, name, uid, resource_version: version } = metadata;
        let key = Key::new(self.key.clone(), namespace, name);
        let object = SourceObject { key, uid, version, node: String::new(), body: String::new() };
        (object.key.namespace.is_empty() != self.kind.namespaced && storable(&object).is_ok()).then_some(object)
    }
}

/// The names of an object.
#[derive(Deserialize)]
struct Named {
    metadata: NamedMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamedMeta {
    #[serde(default)]
    namespace: String,
    name: String,
    uid: String,
    #[serde(default)]
    resource_version: String,
}

/// Refuses names that no store can hold. A pod's must do for its pending bind, too.
fn storable(object: &SourceObject) -> Result<(), StoreError> {
    let key = Key::new(outbox::KIND, object.key.namespace.clone(), object.key.name.clone());
    let change = Change::Put { body: String::new().into(), uid: object.uid.clone(), node: Some(object.node.clone()) };
    let writes = [object.key.clone(), key].map(|key| Write {
        key,
        precondition: Precondition::default(),
        change: change.clone(),
    });
    check::batch("default", &[Call { writes: writes.into(), atomicity: Atomicity::AllOrNothing }])
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
        for field in ["name", "uid"] {
            for bad in ["\\u0000".to_owned(), "x".repeat(2_001)] {
                let odd = json.replace(&format!(r#""{field}":""#), &format!(r#""{field}":"{bad}"#));
                assert!(pods.read(&odd).is_err() && pods.named(&odd).is_none(), "{field}");
            }
        }
        let odd = json.replace(r#""nodeName":"n""#, r#""nodeName":"\u0000""#);
        assert!(pods.read(&odd).is_err());
        assert_eq!(pods.named(&odd).map(|named| (named.key, named.body)), Some((read.key.clone(), String::new())));
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
