//! A configuration merged over a value, and fields taken out of one.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{Applied, Element, Place, Set, is_associative, item_element};

/// Merges a configuration over the live value. What it does not name stays.
pub(in crate::patch) fn merge(live: Value, config: &Value, place: &Place) -> Value {
    match (live, config) {
        (Value::Object(mut live), Value::Object(config)) if !place.is_atomic_object() => {
            for (name, value) in config {
                let inner = place.field(name).0;
                match live.get_mut(name) {
                    Some(live) => *live = merge(std::mem::take(live), value, &inner),
                    None if is_nothing(value, &inner) => {}
                    None => drop(live.insert(name.clone(), value.clone())),
                }
            }
            Value::Object(live)
        }
        (Value::Array(live), Value::Array(config)) if is_associative(place) => {
            Value::Array(merge_items(live, config, place))
        }
        // A null for something that has fields of its own names none of them.
        (live @ Value::Object(_), Value::Null) if !place.is_atomic_object() => live,
        (live @ Value::Array(_), Value::Null) if is_associative(place) => live,
        (_, config) => config.clone(),
    }
}

/// `true` for a value that an object of a type does not keep: an empty list or map. An empty object of a type says something.
fn is_nothing(value: &Value, place: &Place) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty() && !place.holds_objects(),
        _ => false,
    }
}

/// Merges the items of two lists. The order is that of the configuration; items that are in the live list alone stay where they are
/// relative to those before them.
fn merge_items(live: Vec<Value>, config: &[Value], place: &Place) -> Vec<Value> {
    let list: &Applied = place.list();
    let elements =
        |items: &[Value]| -> Vec<Option<Element>> { items.iter().map(|i| item_element(list, i).ok()).collect() };
    let (live_elements, config_elements) = (elements(&live), elements(config));
    let in_config: HashSet<&Element> = config_elements.iter().flatten().collect();
    // Live items that the configuration has too, unless there are two of one element: these give way to its item.
    let mut shared: HashMap<&Element, Option<Value>> = HashMap::new();
    let mut others = Vec::new();
    for (item, element) in live.into_iter().zip(&live_elements) {
        match element {
            Some(element) if in_config.contains(element) => {
                shared.entry(element).and_modify(|item| *item = None).or_insert(Some(item));
                others.push(None);
            }
            _ => others.push(Some(item)),
        }
    }
    let shared_order: Vec<&Element> = config_elements.iter().flatten().filter(|e| shared.contains_key(*e)).collect();
    let mut next_shared = shared_order.iter();
    let mut wanted = next_shared.next().copied();
    let mut merged_elements: HashSet<&Element> = HashSet::new();
    let mut out = Vec::with_capacity(others.len().max(config.len()));
    let (mut l, mut c) = (0, 0);
    loop {
        let live_element = live_elements.get(l).and_then(Option::as_ref);
        let is_live = l < live_elements.len();
        let config_item = config.get(c);
        if !is_live && config_item.is_none() {
            return out;
        }
        if is_live {
            match live_element.filter(|element| in_config.contains(*element)) {
                // An item that only the live list has.
                None => {
                    out.extend(others[l].take());
                    l += 1;
                    continue;
                }
                // It comes, or came, where the configuration has it.
                Some(element) => {
                    let is_here = config_elements.get(c).and_then(Option::as_ref) == Some(element);
                    let comes_later = !is_here && wanted.is_some_and(|wanted| wanted != element);
                    if is_here || comes_later || merged_elements.contains(element) || config_item.is_none() {
                        l += 1;
                    }
                    if comes_later {
                        continue;
                    }
                }
            }
        }
        let Some(item) = config_item else { continue };
        let element = config_elements[c].as_ref();
        let live = element.and_then(|element| shared.get_mut(element)).and_then(Option::take);
        out.push(match live {
            Some(live) => merge(live, item, &place.item()),
            None => item.clone(),
        });
        if let Some(element) = element {
            merged_elements.insert(element);
            if wanted == Some(element) {
                wanted = next_shared.next().copied();
            }
        }
        c += 1;
    }
}

/// A value without the fields of a set. An object or a list of which nothing is left is null.
pub(in crate::patch) fn remove(value: Value, fields: &Set, place: &Place) -> Value {
    match value {
        Value::Object(map) if !place.is_atomic_object() => {
            let mut left = Map::new();
            for (name, value) in map {
                let element = Element::Field(name.clone());
                if fields.has(&element) {
                    continue;
                }
                let value = match fields.below(&element) {
                    Some(below) => remove(value, below, &place.field(&name).0),
                    None => value,
                };
                left.insert(name, value);
            }
            if left.is_empty() { Value::Null } else { Value::Object(left) }
        }
        Value::Array(items) if is_associative(place) => {
            let mut left = Vec::with_capacity(items.len());
            for item in items {
                let Ok(element) = item_element(place.list(), &item) else {
                    left.push(item);
                    continue;
                };
                if fields.has(&element) {
                    continue;
                }
                left.push(match fields.below(&element) {
                    Some(below) => remove(item, below, &place.item()),
                    None => item,
                });
            }
            if left.is_empty() { Value::Null } else { Value::Array(left) }
        }
        other => other,
    }
}
