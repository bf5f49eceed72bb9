//! Checks of names and keys: all engines refuse a value that one of them cannot hold.

use super::{Call, Change, Key, ListQuery, StoreError};

/// Longest key, in bytes over all its parts. PostgreSQL cannot index more than about 2,700; Kubernetes names and
/// namespaces have at most 253 each.
const MAX_KEY_BYTES: usize = 2_000;

/// Begins the names of rows that were set aside.
pub const SET_ASIDE: &str = "\u{1}";

/// Refuses values that one of the engines cannot hold, so that both give equal answers.
pub fn batch(cluster: &str, calls: &[Call]) -> Result<(), StoreError> {
    new_cluster(cluster)?;
    for write in calls.iter().flat_map(|call| &call.writes) {
        key(&write.key)?;
        match &write.change {
            Change::Put { uid, node, .. } => {
                text("the uid", uid)?;
                text("the node's name", node.as_deref().unwrap_or_default())?;
            }
            Change::SetNode(node) => text("the node's name", node.as_deref().unwrap_or_default())?,
            Change::Bind { node } => text("the node's name", node)?,
            Change::Delete => {}
        }
    }
    Ok(())
}

/// Refuses a query whose words no database could hold.
pub fn query(cluster: &str, query: &ListQuery) -> Result<(), StoreError> {
    self::cluster(cluster)?;
    text("the kind", &query.kind)?;
    text("the namespace", query.namespace.as_deref().unwrap_or_default())?;
    let (namespace, name) = query.after.as_ref().map_or(("", ""), |(namespace, name)| (namespace, name));
    text("the namespace to continue from", namespace)?;
    text("the name to continue from", name)
}

/// Refuses a name that no cluster may be given.
pub fn new_cluster(cluster: &str) -> Result<(), StoreError> {
    if cluster.is_empty() {
        return Err(StoreError::Invalid("the cluster's name is empty".into()));
    }
    self::cluster(cluster)
}

/// Refuses names that no cluster has.
pub fn clusters(clusters: &[String]) -> Result<(), StoreError> {
    clusters.iter().try_for_each(|name| cluster(name))
}

/// Refuses a name that no cluster has.
pub fn cluster(cluster: &str) -> Result<(), StoreError> {
    if cluster.starts_with(SET_ASIDE) {
        return Err(StoreError::Invalid("the cluster's name begins with U+0001".into()));
    }
    text("the cluster's name", cluster)
}

/// Refuses a key that is empty, too long, or that no database could hold.
pub fn key(key: &Key) -> Result<(), StoreError> {
    if key.kind.len().saturating_add(key.namespace.len()).saturating_add(key.name.len()) > MAX_KEY_BYTES {
        return Err(StoreError::Invalid(format!("the object's key is longer than {MAX_KEY_BYTES} bytes")));
    }
    if key.kind.is_empty() || key.name.is_empty() {
        return Err(StoreError::Invalid("the object's kind or name is empty".into()));
    }
    text("the kind", &key.kind)?;
    text("the namespace", &key.namespace)?;
    text("the name", &key.name)
}

/// PostgreSQL's text holds everything but NUL, and lists end below the last character there is.
pub(super) fn text(what: &str, text: &str) -> Result<(), StoreError> {
    if text.len() > MAX_KEY_BYTES {
        return Err(StoreError::Invalid(format!("{what} is longer than {MAX_KEY_BYTES} bytes")));
    }
    if text.contains(['\0', char::MAX]) {
        return Err(StoreError::Invalid(format!("{what} contains U+0000 or U+10FFFF")));
    }
    Ok(())
}
