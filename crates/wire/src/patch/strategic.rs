//! Strategic merge patch: a merge patch that merges lists of objects by a key, with directives.
//!
//! - `$patch: delete | replace` of an object or of an item of a list;
//! - `$setElementOrder/LIST` orders a list, `$deleteFromPrimitiveList/LIST` takes texts out of one;
//! - `$retainKeys` takes out all fields of an object but those it names.
//!
//! Source: `apimachinery/pkg/util/strategicpatch/patch.go` (`mergeMap`, `mergePatchIntoOriginal`, `mergeSlice`),
//! `apimachinery/pkg/util/mergepatch/errors.go`, `apiserver/pkg/endpoints/handlers/patch.go` (the status of an error).

use serde_json::{Map, Value};

use super::{
    PatchError,
    schema::{Place, Strategic},
};

mod lists;

const DIRECTIVE: &str = "$patch";
const ORDER: &str = "$setElementOrder/";
const DELETE_TEXTS: &str = "$deleteFromPrimitiveList/";
const RETAIN: &str = "$retainKeys";

type Fields = Map<String, Value>;

/// Merges a patch into the object of a kind.
pub(super) fn apply(document: Value, patch: Fields, place: &Place) -> Result<Value, PatchError> {
    let fields = match document {
        Value::Object(fields) => fields,
        _ => Fields::new(),
    };
    merge(fields, patch, place).map(Value::Object)
}

fn bad<T>(message: impl Into<String>) -> Result<T, PatchError> {
    Err(PatchError::BadRequest(message.into()))
}

/// The directive of an object (`$patch`), if it has one.
fn directive(fields: &Fields) -> Option<&Value> {
    fields.get(DIRECTIVE)
}

fn unknown_directive<T>(directive: &Value) -> Result<T, PatchError> {
    bad(format!("unknown patch type: {directive} is neither \"delete\" nor \"replace\""))
}

fn merge(mut original: Fields, mut patch: Fields, place: &Place) -> Result<Fields, PatchError> {
    match directive(&patch).map(|directive| (directive.as_str(), directive.clone())) {
        None => {}
        Some((Some("replace"), _)) => {
            patch.shift_remove(DIRECTIVE);
            return Ok(patch);
        }
        Some((Some("delete"), _)) => return Ok(Fields::new()),
        Some((_, other)) => return unknown_directive(&other),
    }
    retain_keys(&mut original, &mut patch)?;
    merge_ordered(&mut original, &mut patch, place)?;
    for (name, value) in patch {
        if let Some(name) = name.strip_prefix(DELETE_TEXTS) {
            if let (Some(Value::Array(items)), Value::Array(gone)) = (original.get_mut(name), value) {
                lists::delete(items, &gone);
            }
        } else if name.starts_with(DELETE_TEXTS.trim_end_matches('/')) {
            return bad("invalid patch format of primitive list");
        } else if value.is_null() {
            original.shift_remove(&name);
        } else {
            merge_field(&mut original, name, value, place)?;
        }
    }
    Ok(original)
}

fn merge_field(original: &mut Fields, name: String, value: Value, place: &Place) -> Result<(), PatchError> {
    let (inner, _) = place.field(&name);
    let merged = match (original.get_mut(&name).map(std::mem::take), value) {
        (Some(Value::Object(old)), Value::Object(patch)) if inner.strategic() != Strategic::Replace => {
            Some(Value::Object(merge(old, patch, &inner)?))
        }
        (Some(Value::Array(old)), Value::Array(patch)) => Some(Value::Array(lists::merge(old, patch, &inner)?)),
        (Some(Value::Object(_)), Value::Object(patch)) => Some(Value::Object(patch)),
        (_, value) => without_directives(value),
    };
    match merged {
        Some(merged) => drop(original.insert(name, merged)),
        None => drop(original.shift_remove(&name)),
    }
    Ok(())
}

/// Takes out of the original what `$retainKeys` does not name.
fn retain_keys(original: &mut Fields, patch: &mut Fields) -> Result<(), PatchError> {
    const REFUSED: &str = "invalid patch format of retainKeys";
    let Some(retained) = patch.shift_remove(RETAIN) else { return Ok(()) };
    let Value::Array(retained) = retained else { return bad(REFUSED) };
    let retained: std::collections::HashSet<&str> = retained.iter().filter_map(Value::as_str).collect();
    let is_directive = |name: &str| name.starts_with(ORDER) || name.starts_with(DELETE_TEXTS);
    if patch.iter().any(|(name, value)| !value.is_null() && !is_directive(name) && !retained.contains(name.as_str())) {
        return bad(REFUSED);
    }
    original.retain(|name, _| retained.contains(name.as_str()));
    Ok(())
}

/// Merges the lists that the patch orders, and takes them out of it.
fn merge_ordered(original: &mut Fields, patch: &mut Fields, place: &Place) -> Result<(), PatchError> {
    let ordered: Vec<String> = patch.keys().filter(|name| name.starts_with(ORDER)).cloned().collect();
    for directive in ordered {
        let (Some(order), Some(name)) = (patch.shift_remove(&directive), directive.strip_prefix(ORDER)) else {
            continue;
        };
        let Value::Array(order) = order else { return bad("invalid patch format of setElementOrder list") };
        let (old, new) = (take_list(original, name)?, take_list(patch, name)?);
        let merged = lists::merge_ordered(old, new, &order, &place.field(name).0)?;
        if let Some(merged) = merged {
            original.insert(name.to_owned(), Value::Array(merged));
        }
    }
    Ok(())
}

/// Takes the items of a list, whose field stays; an error if the field is no list.
fn take_list(fields: &mut Fields, name: &str) -> Result<Option<Vec<Value>>, PatchError> {
    match fields.get_mut(name) {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(std::mem::take(items))),
        Some(_) => bad(format!("expected a list in {name:?}, which $setElementOrder orders")),
    }
}

/// A value that is new: without directives, nulls, and objects that are to be deleted.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(fields) if fields.contains_key(DIRECTIVE) => None,
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(name, value)| {
                !value.is_null() && !name.starts_with(ORDER) && !name.starts_with(DELETE_TEXTS) && name != RETAIN
            });
            Some(Value::Object(kept.filter_map(|(name, value)| Some((name, without_directives(value)?))).collect()))
        }
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests;
