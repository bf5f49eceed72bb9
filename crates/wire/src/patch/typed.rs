//! Values seen through their types: what fields they have, where two differ, one merged over another.
//!
//! Every function walks a value along its [`Place`]. Documents are nested no deeper than `document::MAX_DEPTH`, so walks may recurse.
//!
//! Source: `structured-merge-diff/typed` (`tofieldset.go`, `compare.go`, `merge.go`, `remove.go`, `helpers.go`).

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::fault::Path;

use super::{
    path::{Element, Scalar, shown},
    schema::{Applied, KeyField, Place},
    set::{Node, Set},
};

mod compare;
mod merge;

pub(super) use compare::{Comparison, compare};
pub(super) use merge::{merge, remove};

/// The element by which an item of a list is told apart; an error if it has none.
fn item_element(list: &Applied, item: &Value) -> Result<Element, String> {
    let keys = match (list, item) {
        (Applied::Set, Value::Null | Value::Object(_) | Value::Array(_)) => {
            return Err("a set has scalars as items".into());
        }
        (Applied::Set, scalar) => return Ok(Element::Value(Scalar::of(scalar))),
        (Applied::Map(keys), Value::Object(fields)) => keys_of(keys, fields),
        (Applied::Map(_), _) => return Err("associative list with keys may not have non-map elements".into()),
        (Applied::Plain | Applied::Atomic, _) => return Err("invalid indexing of non-associative list".into()),
    };
    if keys.is_empty()
        && let Applied::Map(keys) = list
    {
        let names: Vec<_> = keys.iter().map(|key| format!("{:?}", key.name)).collect();
        let names = names.join(" ");
        return Err(format!("associative list with keys has an element that omits all key fields [{names}]"));
    }
    Ok(Element::Key(keys))
}

fn keys_of(keys: &[KeyField], fields: &Map<String, Value>) -> Vec<(String, Scalar)> {
    let of = |key: &KeyField| {
        let value =
            fields.get(key.name).filter(|value| !value.is_null()).map(Scalar::of).or_else(|| key.default.clone())?;
        Some((key.name.to_owned(), value))
    };
    let mut keys: Vec<_> = keys.iter().filter_map(of).collect();
    keys.sort_unstable();
    keys
}

/// The items of a list by their elements, in the order of their first appearance. Items without an element are left out.
fn by_element<'v>(list: &Applied, items: &'v [Value]) -> (Vec<Element>, HashMap<Element, Vec<&'v Value>>) {
    let (mut order, mut found) = (Vec::new(), HashMap::<_, Vec<_>>::new());
    for item in items {
        let Ok(element) = item_element(list, item) else { continue };
        let same = found.entry(element.clone()).or_default();
        if same.is_empty() {
            order.push(element);
        }
        same.push(item);
    }
    (order, found)
}

/// `true` if a list's items are values of their own.
fn is_associative(place: &Place) -> bool {
    matches!(place.list(), Applied::Set | Applied::Map(_))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// The fields that a configuration has, which its manager owns once it is applied.
pub(super) fn field_set(value: &Value, place: &Place) -> Set {
    node(value, place).below
}

fn node(value: &Value, place: &Place) -> Node {
    let mut below = Set::default();
    match value {
        Value::Array(items) if is_associative(place) => {
            for (element, same) in by_element(place.list(), items).1 {
                let inside = match same[..] {
                    [item] => node(item, &place.item()).below,
                    // Items with the same keys are owned together.
                    _ => Set::default(),
                };
                below.put(element, Node { is_member: true, below: inside });
            }
        }
        Value::Object(fields) if !place.is_atomic_object() => {
            for (name, value) in fields {
                let (place, named) = place.field(name);
                let mut node = node(value, &place);
                let empty_object = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                node.is_member |= empty_object || !named;
                below.put(Element::Field(name.clone()), node);
            }
        }
        _ => return Node { is_member: true, below },
    }
    Node { is_member: false, below }
}

/// The faults of a configuration: fields that its type does not have, objects where there are none, items that cannot be told apart.
pub(super) fn faults(value: &Value, place: &Place) -> Vec<String> {
    let mut faults = Vec::new();
    collect_faults(value, place, &mut Vec::new(), &mut faults);
    faults
}

/// Number of faults that are told.
const MOST_FAULTS: usize = 100;

fn collect_faults(value: &Value, place: &Place, path: &mut Vec<Element>, faults: &mut Vec<String>) {
    if faults.len() >= MOST_FAULTS {
        return;
    }
    match value {
        Value::Array(items) => {
            let mut seen = HashSet::new();
            for (i, item) in (0_i64..).zip(items) {
                let element = if is_associative(place) {
                    match item_element(place.list(), item) {
                        Ok(element) => element,
                        Err(fault) => {
                            faults.push(format!("{}: element {i}: {fault}", shown(path)));
                            continue;
                        }
                    }
                } else {
                    Element::Index(i)
                };
                if !seen.insert(element.clone()) {
                    faults.push(format!("{}: duplicate entries for key {element}", shown(path)));
                }
                path.push(element);
                collect_faults(item, &place.item(), path, faults);
                path.pop();
            }
        }
        Value::Object(fields) => {
            if is_associative(place) {
                faults.push(format!("{}: expected list, got an object", shown(path)));
                return;
            }
            for (name, value) in fields {
                let (inner, named) = place.field(name);
                path.push(Element::Field(name.clone()));
                if place.is_closed() && !named {
                    faults.push(format!("{}: field not declared in schema", shown(path)));
                } else {
                    collect_faults(value, &inner, path, faults);
                }
                path.pop();
            }
        }
        Value::Null => {}
        scalar if place.holds_objects() && !path.is_empty() => {
            faults.push(format!("{}: expected an object, got {scalar}", shown(path)));
        }
        scalar if is_associative(place) && !matches!(path.last(), Some(Element::Value(_))) => {
            faults.push(format!("{}: expected list, got {scalar}", shown(path)));
        }
        _ => {}
    }
}

/// Takes fields out that the type of an object does not have, unless they were there before. Returns them as warnings name them.
pub(super) fn drop_unknown(value: &mut Value, before: &Value, place: &Place) -> Vec<String> {
    let mut dropped = Vec::new();
    drop_from(value, before, place, &Path::ROOT, &mut dropped);
    dropped
}

fn drop_from(value: &mut Value, before: &Value, place: &Place, at: &Path<'_>, dropped: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                let (inner, named) = place.field(name);
                let (at, before) = (at.child(name), before.get(name));
                if place.is_closed() && !named && before.is_none() {
                    if dropped.len() < MOST_FAULTS {
                        dropped.push(format!("unknown field {:?}", at.to_string()));
                    }
                    return false;
                }
                drop_from(value, before.unwrap_or(&Value::Null), &inner, &at, dropped);
                true
            });
        }
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                drop_from(item, before.get(i).unwrap_or(&Value::Null), &place.item(), &at.index(i), dropped);
            }
        }
        _ => {}
    }
}

/// `true` if two values mean the same, numbers by their value and objects in any order.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}
