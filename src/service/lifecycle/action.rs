//! The write that carries out a task.

use jiff::Timestamp;
use serde_json::{Value, value::to_raw_value};

use super::index::Action;
use crate::{
    service::objects::with_node,
    store::{Change, Record, Write},
    wire::{
        decode,
        deletion::{self, End, KUBERNETES},
        document::Document,
        kinds::{self, StoredKind},
    },
};

/// The write, if the object needs one. An object that cannot be read stays as it is, and the log has the reason.
pub(super) fn write(record: &Record, action: &Action, now: Timestamp) -> Option<Write> {
    let kind = kinds::by_key(&record.key.kind)?;
    match change(kind, record, action, now) {
        Ok(change) => change.map(|change| Write::of(record, change)),
        Err(error) => {
            tracing::warn!(kind = %record.key.kind, namespace = record.key.namespace, name = record.key.name, error, "the object cannot end");
            None
        }
    }
}

fn change(kind: &StoredKind, record: &Record, action: &Action, now: Timestamp) -> Result<Option<Change>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let body = with_node(record).map_err(|error| text(&error))?;
    let stored = Document::parse(body.as_bytes()).map_err(|error| text(&error))?;
    let put = |next: Document| Change::body(record, next.into_body());
    let next = match action {
        Action::Delete(options) => {
            return Ok(match deletion::end(kind, &stored, *options, now).map_err(|error| text(&error))? {
                End::Removed(_) => Some(Change::Delete),
                End::Marked(next) => Some(put(next)),
                End::Pending => None,
            });
        }
        Action::Release(finalizer) => {
            deletion::without_finalizers(&stored, &[finalizer]).map_err(|error| text(&error))?
        }
        Action::Disown(uids) => return disowned(stored, uids).map(|next| next.map(put)),
        Action::Empty => emptied(&stored).map_err(|error| text(&error))?,
    };
    let is_end = deletion::ends(kind, &next, &stored).map_err(|error| text(&error))?;
    Ok(Some(if is_end { Change::Delete } else { put(next) }))
}

/// The object without these owners; `None` if it has none of them.
fn disowned(mut object: Document, uids: &[String]) -> Result<Option<Document>, String> {
    let Some(references) = object.metadata("ownerReferences") else { return Ok(None) };
    let mut references: Vec<Value> =
        decode::from_slice(references.get().as_bytes()).map_err(|error| error.to_string())?;
    let before = references.len();
    references.retain(|owner| !owner["uid"].as_str().is_some_and(|uid| uids.iter().any(|lost| lost == uid)));
    if references.len() == before {
        return Ok(None);
    }
    if references.is_empty() {
        object.remove_metadata("ownerReferences");
    } else {
        object.set_metadata("ownerReferences", to_raw_value(&references).map_err(|error| error.to_string())?);
    }
    Ok(Some(object))
}

/// The namespace without the finalizer that stands for its content.
fn emptied(namespace: &Document) -> Result<Document, decode::DecodeError> {
    let mut left = deletion::namespace_finalizers(namespace)?;
    left.retain(|finalizer| finalizer != KUBERNETES);
    let mut next = namespace.clone();
    if let Ok(raw) = to_raw_value(&left) {
        next.set_in("spec", "finalizers", raw)?;
    }
    Ok(next)
}
