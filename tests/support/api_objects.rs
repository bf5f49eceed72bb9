//! The objects of the scripted API server, and their past.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde_json::Value;

use super::Fault;

/// The objects of all kinds, and their past.
#[derive(Default)]
pub(crate) struct Objects {
    pub(crate) version: u64,
    /// Texts by the kind's path, namespace and name.
    pub(super) current: BTreeMap<String, BTreeMap<(String, String), Arc<str>>>,
    pub(super) log: Vec<Change>,
    pub(super) compacted: u64,
    pub(super) faults: BTreeMap<String, VecDeque<Fault>>,
    /// Kinds that are not served.
    pub(super) absent: Vec<String>,
    pub(super) is_object_first: bool,
    pub(super) is_quiet: bool,
    pub(super) is_doubled: bool,
    /// Method and path with query of each request.
    pub(super) requests: Vec<String>,
    pub(super) uids: u64,
}

/// A change of an object.
#[derive(Clone)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) path: String,
    pub(super) key: (String, String),
    pub(super) kind: &'static str,
    pub(super) object: Arc<str>,
    pub(super) is_quiet: bool,
}

impl Objects {
    /// Creates or replaces an object of the kind at a path. It gets a version and, if it has none, a uid.
    pub(crate) fn put(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        let key = key_of(&object);
        let before = self.current.get(path).and_then(|kind| kind.get(&key));
        let before_uid = before.map(|text| parse(text)["metadata"]["uid"].clone());
        let metadata = object["metadata"].as_object_mut().expect("objects have metadata");
        if !metadata.contains_key("uid") {
            self.uids += 1;
            let uid = before_uid.unwrap_or_else(|| Value::from(format!("uid-{}", self.uids)));
            metadata.insert("uid".into(), uid);
        }
        metadata.insert("resourceVersion".into(), self.version.to_string().into());
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        let text: Arc<str> = object.to_string().into();
        self.current.entry(path.to_owned()).or_default().insert(key.clone(), text.clone());
        self.note(path, key, kind, text);
        object
    }

    /// Adds an object as a text, which has its version and uid already.
    pub(crate) fn put_text(&mut self, path: &str, namespace: &str, name: &str, text: impl FnOnce(u64) -> String) {
        self.version += 1;
        let text: Arc<str> = text(self.version).into();
        self.current.entry(path.to_owned()).or_default().insert((namespace.to_owned(), name.to_owned()), text);
    }

    /// Deletes an object.
    pub(crate) fn delete(&mut self, path: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (namespace.to_owned(), name.to_owned());
        let before = self.current.get_mut(path)?.remove(&key)?;
        self.version += 1;
        let mut object = parse(&before);
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.note(path, key, "DELETED", object.to_string().into());
        Some(object)
    }

    /// An object.
    pub(crate) fn get(&self, path: &str, namespace: &str, name: &str) -> Option<Value> {
        let found = self.current.get(path)?.get(&(namespace.to_owned(), name.to_owned()))?;
        Some(parse(found))
    }

    /// All objects of a kind.
    pub(crate) fn all(&self, path: &str) -> Vec<Value> {
        self.current.get(path).into_iter().flat_map(BTreeMap::values).map(|text| parse(text)).collect()
    }

    /// Comes back as it was at a version, as after a restore of the database.
    pub(crate) fn roll_back(&mut self, version: u64) {
        let paths: Vec<String> = self.current.keys().cloned().collect();
        for path in paths {
            let before = self.at(&path, version);
            self.current.insert(path, before);
        }
        self.log.retain(|change| change.version <= version);
        self.version = version;
    }

    fn note(&mut self, path: &str, key: (String, String), kind: &'static str, object: Arc<str>) {
        let (version, is_quiet) = (self.version, self.is_quiet);
        self.log.push(Change { version, path: path.to_owned(), key, kind, object, is_quiet });
    }

    /// The objects of a kind as they were at a version.
    pub(super) fn at(&self, path: &str, version: u64) -> BTreeMap<(String, String), Arc<str>> {
        let later = self.log.iter().any(|change| change.path == path && change.version > version);
        if !later {
            return self.current.get(path).cloned().unwrap_or_default();
        }
        let mut objects = BTreeMap::new();
        for change in self.log.iter().filter(|change| change.path == path && change.version <= version) {
            match change.kind {
                "DELETED" => drop(objects.remove(&change.key)),
                _ => drop(objects.insert(change.key.clone(), change.object.clone())),
            }
        }
        objects
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("stored texts are JSON")
}

fn key_of(object: &Value) -> (String, String) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}
