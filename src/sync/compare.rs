//! The comparison of an object of an API server with the stored one: the writes that make the stored one equal, if any.
//!
//! The stored object has more than that of the API server: own annotations ([`OWN`]), the choices that binds here made for claims, and the node of a
//! bind that is on its way. These are carried over for as long as it is the same object, by its uid.

use crate::{
    core::snapshot::Kind,
    live::{self, Validated},
    store::{Change, Precondition, Record, Write},
    wire::{
        document::Document,
        outbox::{self, PendingBind},
        source::OWN_ANNOTATIONS as OWN,
        validation,
        volume_choice::kept_choice,
    },
};

use super::object::{Mirrored, SourceObject};

/// The end of those that mark a choice of a bind, which go with the choice.
const CHOICES: &str = "-chosen-here";

/// The outcome of an object of an API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It is there, so.
    Present(SourceObject),
    /// It is gone, or there is something that cannot be read.
    Gone(SourceObject),
}

/// The records under the key of an object.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stored<'a> {
    pub(super) object: Option<&'a Record>,
    /// The pending bind of the pod of this name, and its record.
    pub(super) pending: Option<(&'a PendingBind, &'a Record)>,
}

/// The writes for an object.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) writes: Vec<Write>,
    /// Why the object is not stored.
    pub(super) unreadable: Option<String>,
}

/// The writes that make the stored object that of the API server; none where it is so already.
pub(super) fn difference(of: &Mirrored, told: &Told, stored: Stored<'_>) -> Difference {
    let mut difference = Difference::default();
    let present = match told {
        Told::Present(object) => Some(object),
        Told::Gone(_) => None,
    };
    if let Told::Gone(gone) = told
        && stored.object.is_some_and(|record| !gone.uid.is_empty() && gone.uid != record.uid)
    {
        return difference; // A later object of its name.
    }
    let same = stored.object.filter(|record| present.is_some_and(|object| object.uid == record.uid));
    let shown = outbox::shown(
        stored.pending.map(|(pending, _)| pending),
        present.map(|object| (object.uid.as_str(), object.node.as_str())),
    );
    let change = present.and_then(|object| match change(of, object, same, shown.node) {
        Ok(change) => Some(change),
        Err(why) => {
            // One without a body was counted when it was read.
            difference.unreadable = Some(why).filter(|_| !object.body.is_empty());
            // A pod that runs takes room, whatever it says now.
            let known = same.filter(|_| of.is_pods())?;
            let moved = !object.body.is_empty() && known.node.as_deref() != shown.node;
            Some(moved.then(|| Change::SetNode(shown.node.map(str::to_owned))))
        }
    });
    match (change, stored.object) {
        (Some(Some(change)), None) => {
            difference.writes.push(write(told, Precondition::absent(), change));
        }
        (Some(Some(change)), Some(record)) if same.is_some() => difference.writes.push(Write::of(record, change)),
        // Another object of its name: those that watch are told that the first one is gone.
        (Some(Some(change)), Some(record)) => {
            difference.writes.push(Write::of(record, Change::Delete));
            difference.writes.push(write(told, Precondition::absent(), change));
        }
        (Some(None), _) | (None, None) => {}
        (None, Some(record)) => difference.writes.push(Write::of(record, Change::Delete)),
    }
    if let Some((_, record)) = stored.pending.filter(|_| shown.is_over) {
        difference.writes.push(Write::of(record, Change::Delete));
    }
    difference
}

fn write(told: &Told, precondition: Precondition, change: Change) -> Write {
    let (Told::Present(object) | Told::Gone(object)) = told;
    Write { key: object.key.clone(), precondition, change }
}

/// The change that stores an object; `None` if it is stored so.
///
/// # Errors
/// Why decisions cannot read it.
fn change(
    of: &Mirrored,
    object: &SourceObject,
    same: Option<&Record>,
    node: Option<&str>,
) -> Result<Option<Change>, String> {
    if object.body.is_empty() {
        return Err("it cannot be read".into());
    }
    let before = same.and_then(|record| record.body.as_text());
    let body = match before {
        Some(before) => carried_over(of, &object.body, before)?,
        None => None,
    };
    let body = body.as_deref().unwrap_or(&object.body);
    if let (Some(before), Some(record)) = (before, same)
        && of.rules.are_alike(before, body)
    {
        // The body stays, and its row moves at most.
        let moved = record.node.as_deref() != node;
        return Ok(moved.then(|| Change::SetNode(node.map(str::to_owned))));
    }
    let Validated { body, causes, .. } =
        live::validate(of.kind, body.to_owned(), |_| ()).map_err(|error| error.without_place().to_string())?;
    if let Some(cause) = causes.iter().find(|cause| cause.unreadable || validation::unstorable(cause)) {
        return Err(format!("{}: {}", cause.field, cause.message));
    }
    let node = node.map(str::to_owned);
    Ok(Some(Change::Put { body, uid: object.uid.clone(), node }))
}

/// The body with what only the stored one has; `None` if that is nothing.
fn carried_over(of: &Mirrored, body: &str, before: &str) -> Result<Option<String>, String> {
    if !before.contains(OWN) {
        return Ok(None);
    }
    let may_be_chosen =
        matches!(of.kind.core(), Some(Kind::PersistentVolume | Kind::PersistentVolumeClaim | Kind::ResourceClaim));
    let chosen = if may_be_chosen {
        kept_choice(body.as_bytes(), before.as_bytes()).map_err(|error| error.to_string())?
    } else {
        None
    };
    let body = chosen.as_deref().unwrap_or(body);
    let own = own_annotations(before);
    if own.is_empty() {
        return Ok(chosen);
    }
    let mut document = Document::parse(body.as_bytes()).map_err(|error| error.to_string())?;
    for (key, value) in own {
        if document.annotation(&key).is_none() {
            document.set_annotation(&key, &value).map_err(|error| error.to_string())?;
        }
    }
    Ok(Some(document.into_body()))
}

/// The annotations of a stored object that are set here, in their order.
fn own_annotations(body: &str) -> Vec<(String, String)> {
    let annotations = Document::parse(body.as_bytes()).ok().and_then(|document| {
        let annotations = document.metadata("annotations")?.get().to_owned();
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&annotations).ok()
    });
    let is_own = |key: &str| key.starts_with(OWN) && !key.ends_with(CHOICES);
    let own = annotations.unwrap_or_default().into_iter().filter(|(key, _)| is_own(key));
    own.filter_map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect()
}
