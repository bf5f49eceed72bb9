//! Shorthand for keys, writes and outcomes.

use podberth::store::{Atomicity, Change, Commit, Key, Outcome, Precondition, Refusal, Storage, Write};

pub(crate) const CLUSTER: &str = "test";

pub(crate) fn pod(name: &str) -> Key {
    Key::new("pods", "default", name)
}

/// Creates or replaces; the uid is the name's.
pub(crate) fn put(key: Key, body: &str) -> Write {
    let uid = format!("uid-{}", key.name);
    let change = Change::Put { body: body.to_owned().into(), uid, node: None };
    Write { key, precondition: Precondition::default(), change }
}

pub(crate) fn delete(key: Key) -> Write {
    Write { key, precondition: Precondition::default(), change: Change::Delete }
}

pub(crate) fn bind(key: Key, node: &str) -> Write {
    Write { key, precondition: Precondition::default(), change: Change::SetNode(Some(node.into())) }
}

/// The write, if the precondition holds.
pub(crate) fn only(precondition: Precondition, write: Write) -> Write {
    Write { precondition, ..write }
}

pub(crate) const fn created(revision: u64) -> Outcome {
    Outcome::Written { revision, created: true }
}

pub(crate) const fn written(revision: u64) -> Outcome {
    Outcome::Written { revision, created: false }
}

pub(crate) const fn unchanged(revision: u64) -> Outcome {
    Outcome::Unchanged { revision }
}

pub(crate) const fn deleted(revision: u64) -> Outcome {
    Outcome::Deleted { revision }
}

pub(crate) const fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused(refusal)
}

/// Commits a batch of independent writes.
pub(crate) async fn each(store: &dyn Storage, writes: Vec<Write>) -> Commit {
    store.commit(CLUSTER, writes, Atomicity::Each).await.expect("the batch is committed")
}

/// Commits one write.
pub(crate) async fn one(store: &dyn Storage, write: Write) -> Outcome {
    each(store, vec![write]).await.outcomes.remove(0)
}
