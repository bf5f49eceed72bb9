//! Stored objects: reading, listing, and the one path of every write, [`write`](fn@write).
//!
//! Binds and evictions change several objects under rules of their own; they are in [`super::bind`] and [`super::evict`].

use std::borrow::Cow;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    Service,
    error::{Error, Result},
    past,
};
use crate::{
    clock,
    core::snapshot::Kind,
    store::Record,
    wire::{
        document::Document,
        kinds::{self, StoredKind},
        placed,
    },
};

pub use self::{
    begun::write,
    built_in::create_built_in,
    delete::{Deleted, Deletion, delete, delete_all},
    list::{NotOlder, Selection, list},
    mode::AdmissionMode,
    page::{Found, ListTurn, Page},
    patched::{Manager, Part},
    scale::{Scaling, scale, set_scale},
    target::{Preconditions, Target},
    turns::Turns,
    watch::{Begin, watch},
    write::{Intent, Options, Written},
};

pub(super) mod admission;
mod aggregate;
mod annotated;
mod begun;
mod built_in;
mod commit;
pub(super) mod delete;
pub(super) mod examine;
mod guard;
mod list;
pub(super) mod members;
mod mode;
mod narrow;
mod page;
mod patched;
mod quota;
mod scale;
mod target;
mod turns;
mod watch;
mod write;

/// Number of attempts of a write while others change the object.
pub(super) const ATTEMPTS: usize = 8;

/// Length of a generated name's suffix, and of the part before it (`apiserver/pkg/storage/names/generate.go`: no vowels, so no words).
const SUFFIX: usize = 5;
const LONGEST_PREFIX: usize = 63 - SUFFIX;
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// The object as it is now in the store.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::TooNew`] if it must be of a later revision.
pub async fn read(service: &Service, target: &Target, not_older: Option<u64>) -> Result<Record> {
    if let Some(wanted) = not_older {
        let current = service.store.head(&target.cluster).await?.revision;
        if wanted > current {
            return Err(Error::TooNew { wanted, current });
        }
    }
    let record = service.store.get(&target.cluster, &target.key()).await?;
    record.ok_or_else(|| target.not_found())
}

/// The object as it was at a revision.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Expired`] if the revision is not kept any more, [`Error::TooNew`] if it is to come.
pub async fn read_at(service: &Service, target: &Target, revision: u64) -> Result<Record> {
    past::check_reached(service, &target.cluster, revision).await?;
    match service.store.get_at(&target.cluster, &target.key(), revision).await {
        Ok(record) => record.ok_or_else(|| target.not_found()),
        Err(error) => Err(past::explained(service, &target.cluster, revision, error).await),
    }
}

/// The revision of a resource version in a request; `None` for no particular one.
///
/// # Errors
/// [`Error::BadRequest`] if it is no number.
pub(super) fn revision(resource_version: &str) -> Result<Option<u64>> {
    match resource_version {
        "" | "0" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| Error::BadRequest(format!("the resource version {text:?} is not one of this server"))),
    }
}

/// The kind of pods.
///
/// # Errors
/// Never: pods are a stored kind.
pub fn kind_of_pods() -> Result<&'static StoredKind> {
    kinds::by_core(Kind::Pod).ok_or_else(|| Error::internal("pods are not stored"))
}

/// A record's body with the node of its column: a bind writes the column and leaves the body.
pub fn with_node(record: &Record) -> Result<Cow<'_, str>> {
    let body = std::str::from_utf8(&record.body).map_err(Error::internal)?;
    placed::on_node(body, record.node.as_deref()).map_err(Error::internal)
}

/// Adds the fields that the server sets on a new object.
pub fn stamp(document: &mut Document) {
    document.set_metadata_text("uid", &Uuid::new_v4().to_string());
    document.set_metadata_text("creationTimestamp", &clock::now_rfc3339());
}

/// `true` if a field is missing, null or an empty text.
pub fn is_absent(field: Option<&RawValue>) -> bool {
    field.is_none_or(|raw| matches!(raw.get(), "null" | "\"\""))
}

/// A name that begins so.
pub fn generated(prefix: &str) -> String {
    let mut name: String = prefix.chars().take(LONGEST_PREFIX).collect();
    let chance = Uuid::new_v4();
    let letters = chance.as_bytes().iter().take(SUFFIX);
    name.extend(letters.filter_map(|byte| ALPHABET.get(usize::from(*byte) % ALPHABET.len())).map(|l| char::from(*l)));
    name
}
