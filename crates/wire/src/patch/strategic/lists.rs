//! Lists of a strategic merge patch.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{Fields, Place, Strategic, bad, directive, merge as merge_objects, unknown_directive, without_directives};
use crate::patch::{PatchError, path::Scalar};

/// Merges the list of a patch into that of the document, by the rule of its place.
pub(super) fn merge(old: Vec<Value>, patch: Vec<Value>, place: &Place) -> Result<Vec<Value>, PatchError> {
    if old.is_empty() && patch.is_empty() {
        return Ok(old);
    }
    match place.strategic() {
        Strategic::Plain | Strategic::Replace => Ok(patch),
        Strategic::MergeTexts | Strategic::MergeBy(_) if !are_objects(old.iter().chain(&patch))? => {
            let (order, patch_order) = (keys(&old, None), keys(&patch, None));
            Ok(ordered(merge_texts(old, patch), &patch_order, &order, None))
        }
        Strategic::MergeTexts => bad("cannot merge a list of objects that has no merge key"),
        Strategic::MergeBy(key) => {
            let (old, patch) = special_items(old, patch, key)?;
            let (order, patch_order) = (keys(&old, Some(key)), keys(&patch, Some(key)));
            let merged = merge_items(old, patch, key, place)?;
            Ok(ordered(merged, &patch_order, &order, Some(key)))
        }
    }
}

/// Merges a list that `$setElementOrder` orders; `None` if neither has it.
pub(super) fn merge_ordered(
    old: Option<Vec<Value>>,
    patch: Option<Vec<Value>>,
    order: &[Value],
    place: &Place,
) -> Result<Option<Vec<Value>>, PatchError> {
    let key = match place.strategic() {
        Strategic::MergeBy(key) => Some(key),
        _ => None,
    };
    check_order(patch.as_deref().unwrap_or_default(), order, key)?;
    let live_order = keys(old.as_deref().unwrap_or_default(), key);
    let merged = match (old, patch) {
        (None, None) => return Ok(None),
        (Some(old), None) => old,
        (None, Some(patch)) => patch.into_iter().filter_map(without_directives).collect(),
        (Some(old), Some(patch)) => merge(old, patch, place)?,
    };
    if key.is_none() && merged.iter().any(Value::is_object) {
        return Ok(Some(merged));
    }
    if let Some(key) = key
        && merged.iter().any(|item| key_of(item, Some(key)).is_none())
    {
        return bad(no_key(key));
    }
    Ok(Some(ordered(merged, &keys(order, key), &live_order, key)))
}

/// Takes texts out of a list.
pub(super) fn delete(items: &mut Vec<Value>, gone: &[Value]) {
    let gone: HashSet<Scalar> = gone.iter().map(Scalar::of).collect();
    items.retain(|item| !gone.contains(&Scalar::of(item)));
}

/// `true` if the items are objects; an error if they are of several sorts or lists themselves.
fn are_objects<'v>(items: impl Iterator<Item = &'v Value>) -> Result<bool, PatchError> {
    let mut first = None;
    for item in items {
        if item.is_array() {
            return Err(PatchError::Unprocessable("lists of lists are not supported".into()));
        }
        if *first.get_or_insert(item.is_object()) != item.is_object() {
            return bad("list element types are not identical");
        }
    }
    Ok(first.unwrap_or(false))
}

fn no_key(key: &str) -> String {
    format!("an item of a list does not contain the declared merge key: {key}")
}

/// The merge key of an item, or the item itself.
fn key_of(item: &Value, key: Option<&str>) -> Option<Scalar> {
    match key {
        None => Some(Scalar::of(item)),
        Some(key) => item.get(key).map(Scalar::of),
    }
}

/// The positions of items by their keys; of repeated ones the first.
fn keys(items: &[Value], key: Option<&str>) -> HashMap<Scalar, usize> {
    let mut keys = HashMap::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        if let Some(key) = key_of(item, key) {
            keys.entry(key).or_insert(i);
        }
    }
    keys
}

fn merge_texts(old: Vec<Value>, patch: Vec<Value>) -> Vec<Value> {
    let mut seen = HashSet::new();
    old.into_iter().chain(patch).filter(|item| seen.insert(Scalar::of(item))).collect()
}

/// Carries out the directives among the items of a patch. Returns the items that they leave, and the other items of the patch.
fn special_items(mut old: Vec<Value>, patch: Vec<Value>, key: &str) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let mut plain = Vec::with_capacity(patch.len());
    let (mut deleted, mut replaces) = (HashSet::new(), false);
    for item in patch {
        let Some(directive) = item.as_object().and_then(directive) else {
            plain.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => match key_of(&item, Some(key)) {
                Some(key) => drop(deleted.insert(key)),
                None => return bad(no_key(key)),
            },
            Some("replace") => replaces = true,
            Some("merge") => return bad("merging lists cannot yet be specified in the patch"),
            _ => return unknown_directive(directive),
        }
    }
    if replaces {
        return Ok((plain, Vec::new()));
    }
    old.retain(|item| key_of(item, Some(key)).is_none_or(|key| !deleted.contains(&key)));
    Ok((old, plain))
}

fn merge_items(mut old: Vec<Value>, patch: Vec<Value>, key: &str, place: &Place) -> Result<Vec<Value>, PatchError> {
    let mut at = keys(&old, Some(key));
    for item in patch {
        let Some(of) = key_of(&item, Some(key)) else { return bad(no_key(key)) };
        match at.get(&of) {
            None => {
                at.insert(of, old.len());
                old.extend(without_directives(item));
            }
            Some(i) => {
                let (Some(slot), Value::Object(item)) = (old.get_mut(*i), item) else { continue };
                let fields: Fields = match std::mem::take(slot) {
                    Value::Object(fields) => fields,
                    _ => Fields::new(),
                };
                *slot = Value::Object(merge_objects(fields, item, &place.item())?);
            }
        }
    }
    Ok(old)
}

/// Puts the items of a patch in the patch's order, and the others among them as they stood in the document: before the first item
/// that came later there.
fn ordered(
    merged: Vec<Value>,
    patch: &HashMap<Scalar, usize>,
    live: &HashMap<Scalar, usize>,
    key: Option<&str>,
) -> Vec<Value> {
    let position = |item: &Value, of: &HashMap<Scalar, usize>| key_of(item, key).and_then(|key| of.get(&key).copied());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for item in merged {
        match position(&item, patch) {
            Some(at) => ours.push((at, item)),
            None => theirs.push((position(&item, live), item)),
        }
    }
    ours.sort_by_key(|(at, _)| *at);
    theirs.sort_by_key(|(at, _)| at.unwrap_or(usize::MAX));
    let mut out = Vec::with_capacity(ours.len() + theirs.len());
    let mut theirs = theirs.into_iter().peekable();
    for (_, item) in ours {
        if let Some(here) = position(&item, live) {
            while let Some((_, earlier)) = theirs.next_if(|(at, _)| at.is_some_and(|at| at < here)) {
                out.push(earlier);
            }
        }
        out.push(item);
    }
    out.extend(theirs.map(|(_, item)| item));
    out
}

/// Checks that the items of a patch are in the order that it gives.
fn check_order(patch: &[Value], order: &[Value], key: Option<&str>) -> Result<(), PatchError> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut order = order.iter();
    for item in patch.iter().filter(|item| item.as_object().and_then(directive).is_none()) {
        let Some(of) = key_of(item, key) else { return bad(no_key(key.unwrap_or_default())) };
        if !order.any(|item| key_of(item, key).as_ref() == Some(&of)) {
            return bad(format!("The order in the patch's list doesn't match the $setElementOrder list: {of}"));
        }
    }
    Ok(())
}
