//! Two values compared, field by field.

use serde_json::{Map, Value};

use super::{Element, Place, Set, by_element, is_associative, is_empty, same};

/// The fields in which a value differs from an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::patch) struct Comparison {
    /// Those that it alone has.
    pub(in crate::patch) added: Set,
    /// Those with another value.
    pub(in crate::patch) modified: Set,
    /// Those that it has no more.
    pub(in crate::patch) removed: Set,
}

impl Comparison {
    /// The fields of a set that are as they were.
    pub(in crate::patch) fn taken_from(&self, fields: Set) -> Set {
        fields.difference(&self.modified).difference(&self.added).difference(&self.removed)
    }
}

/// Compares a value with an earlier one.
pub(in crate::patch) fn compare(before: &Value, after: &Value, place: &Place) -> Comparison {
    let mut found = Comparison::default();
    walk(Some(before), Some(after), place, &mut Vec::new(), &mut found);
    found
}

fn walk(before: Option<&Value>, after: Option<&Value>, place: &Place, path: &mut Vec<Element>, found: &mut Comparison) {
    let is_list = |value: Option<&Value>| value.is_some_and(|v| v.is_array() && is_associative(place));
    let is_map = |value: Option<&Value>| value.is_some_and(|v| v.is_object() && !place.is_atomic_object());
    if before.is_none_or(is_empty) && after.is_none_or(is_empty) {
        return leaf(before, after, path, found);
    }
    if is_list(before.or(after)) && is_list(after.or(before)) {
        items(before, after, place, path, found);
    } else if is_map(before.or(after)) && is_map(after.or(before)) {
        fields(before, after, place, path, found);
    } else {
        return leaf(before, after, path, found);
    }
    // The struct at the top of an object is always there, even where it is not written.
    let is_struct = path.len() == 1 && place.holds_objects();
    match (before, after) {
        (None, Some(_)) if !is_struct => found.added.insert(path),
        (Some(_), None) if !is_struct => found.removed.insert(path),
        _ => {}
    }
}

fn leaf(before: Option<&Value>, after: Option<&Value>, path: &[Element], found: &mut Comparison) {
    match (before, after) {
        (None, Some(_)) => found.added.insert(path),
        (Some(_), None) => found.removed.insert(path),
        (Some(before), Some(after)) if !same(before, after) => found.modified.insert(path),
        _ => {}
    }
}

fn fields(
    before: Option<&Value>,
    after: Option<&Value>,
    place: &Place,
    path: &mut Vec<Element>,
    found: &mut Comparison,
) {
    let none = Map::new();
    let before = before.and_then(Value::as_object).unwrap_or(&none);
    let after = after.and_then(Value::as_object).unwrap_or(&none);
    let gone =
        before.iter().filter(|(name, _)| !after.contains_key(*name)).map(|(name, value)| (name, Some(value), None));
    let kept = after.iter().map(|(name, value)| (name, before.get(name), Some(value)));
    for (name, before, after) in gone.chain(kept) {
        path.push(Element::Field(name.clone()));
        walk(before, after, &place.field(name).0, path, found);
        path.pop();
    }
}

fn items(
    before: Option<&Value>,
    after: Option<&Value>,
    place: &Place,
    path: &mut Vec<Element>,
    found: &mut Comparison,
) {
    let before = before.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let after = after.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (mut elements, before) = by_element(place.list(), before);
    let (later, after) = by_element(place.list(), after);
    elements.extend(later.into_iter().filter(|element| !before.contains_key(element)));
    for element in elements {
        let none = Vec::new();
        let (old, new) = (before.get(&element).unwrap_or(&none), after.get(&element).unwrap_or(&none));
        path.push(element);
        match (&old[..], &new[..]) {
            ([] | [_], [] | [_]) => walk(old.first().copied(), new.first().copied(), &place.item(), path, found),
            // Items with the same keys are one value.
            ([_, _, ..], [_, _, ..]) => {
                if old.len() != new.len() || !old.iter().zip(new).all(|(a, b)| same(a, b)) {
                    found.modified.insert(path);
                }
            }
            ([_, _, ..], _) => {
                if let Some(new) = new.first() {
                    walk(None, Some(new), &place.item(), path, found);
                }
                found.removed.insert(path);
            }
            (_, _) => {
                if let Some(old) = old.first() {
                    walk(Some(old), None, &place.item(), path, found);
                }
                found.added.insert(path);
            }
        }
        path.pop();
    }
}
