//! Sets of field paths: what a manager owns.
//!
//! Source: `structured-merge-diff/fieldpath` (`set.go`, `serialize.go`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{path::Element, schema::Place};

/// Paths of fields, as a tree. A path may be in the set while paths below it are or are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set(BTreeMap<Element, Node>);

/// A path and the paths below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// The path itself is in the set.
    pub(super) is_member: bool,
    /// The paths below it.
    pub(super) below: Set,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.is_member && self.below.is_empty()
    }
}

impl Set {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what a walk found at an element.
    pub(super) fn put(&mut self, element: Element, node: Node) {
        if !node.is_empty() {
            self.0.insert(element, node);
        }
    }

    /// Adds a path. The empty path is in no set.
    pub(super) fn insert(&mut self, path: &[Element]) {
        let Some((first, rest)) = path.split_first() else { return };
        // Most steps are there already: they are not cloned.
        let node = match self.0.get_mut(first) {
            Some(node) => node,
            None => self.0.entry(first.clone()).or_default(),
        };
        if rest.is_empty() {
            node.is_member = true;
        } else {
            node.below.insert(rest);
        }
    }

    /// `true` if a path of one element is in the set.
    pub(super) fn has(&self, element: &Element) -> bool {
        self.0.get(element).is_some_and(|node| node.is_member)
    }

    /// The paths below an element.
    pub(super) fn below(&self, element: &Element) -> Option<&Self> {
        self.0.get(element).map(|node| &node.below).filter(|below| !below.is_empty())
    }

    /// `true` if a path is in the set.
    #[cfg(test)]
    fn contains(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.has(last),
            [first, rest @ ..] => self.below(first).is_some_and(|below| below.contains(rest)),
        }
    }

    pub(super) fn union(mut self, other: &Self) -> Self {
        for (element, node) in &other.0 {
            match self.0.get_mut(element) {
                Some(mine) => {
                    mine.is_member |= node.is_member;
                    mine.below = std::mem::take(&mut mine.below).union(&node.below);
                }
                None => {
                    self.0.insert(element.clone(), node.clone());
                }
            }
        }
        self
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        let mut both = Self::default();
        for (element, node) in &self.0 {
            if let Some(theirs) = other.0.get(element) {
                let is_member = node.is_member && theirs.is_member;
                both.put(element.clone(), Node { is_member, below: node.below.intersection(&theirs.below) });
            }
        }
        both
    }

    /// The paths that are not in the other set. Paths below those of the other set stay.
    pub(super) fn difference(mut self, other: &Self) -> Self {
        self.0.retain(|element, node| {
            if let Some(theirs) = other.0.get(element) {
                node.is_member &= !theirs.is_member;
                node.below = std::mem::take(&mut node.below).difference(&theirs.below);
            }
            !node.is_empty()
        });
        self
    }

    /// Takes out an element and all paths below it.
    pub(super) fn forget(&mut self, element: &Element) {
        self.0.remove(element);
    }

    /// The set with every named field that paths of it lead through: with `spec.replicas` also `spec`, but no keys of maps.
    pub(super) fn with_named_fields(&self, place: &Place) -> Self {
        let nodes = self.0.iter().map(|(element, node)| {
            let (place, named) = match element {
                Element::Field(name) => place.field(name),
                _ => (place.item(), false),
            };
            let is_member = node.is_member || named && !node.below.is_empty();
            (element.clone(), Node { is_member, below: node.below.with_named_fields(&place) })
        });
        Self(nodes.collect())
    }

    /// Calls `each` for all paths in order.
    pub(super) fn for_each(&self, each: &mut impl FnMut(&[Element])) {
        self.walk(&mut Vec::new(), each);
    }

    fn walk(&self, path: &mut Vec<Element>, each: &mut impl FnMut(&[Element])) {
        for (element, node) in &self.0 {
            path.push(element.clone());
            if node.is_member {
                each(path);
            }
            node.below.walk(path, each);
            path.pop();
        }
    }

    /// A set from a `fieldsV1`; `None` if it is none.
    pub(super) fn from_json(json: &Value) -> Option<Self> {
        let mut set = Self::default();
        for (key, value) in json.as_object()? {
            if key == "." {
                continue;
            }
            let fields = value.as_object()?;
            let is_member = fields.is_empty() || fields.contains_key(".");
            set.put(Element::parse(key)?, Node { is_member, below: Self::from_json(value)? });
        }
        Some(set)
    }

    /// The set as a `fieldsV1`.
    pub(super) fn to_json(&self) -> Value {
        let mut fields = Map::new();
        for (element, node) in &self.0 {
            let mut value = node.below.to_json();
            if node.is_member
                && !node.below.is_empty()
                && let Value::Object(below) = &mut value
            {
                below.shift_insert(0, ".".into(), Value::Object(Map::new()));
            }
            fields.insert(element.to_key(), value);
        }
        Value::Object(fields)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn sets_read_and_write_the_api_servers_form() {
        let fields = json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:containers": {
            "k:{\"name\":\"c\"}": {".": {}, "f:image": {}, "f:name": {}}}}});
        let set = Set::from_json(&fields).expect("a set");
        assert_eq!(set.to_json(), fields);
        let mut paths = Vec::new();
        set.for_each(&mut |path| paths.push(super::super::path::shown(path)));
        assert_eq!(
            paths,
            [
                ".metadata.labels",
                ".metadata.labels.app",
                r#".spec.containers[name="c"]"#,
                r#".spec.containers[name="c"].image"#,
                r#".spec.containers[name="c"].name"#,
            ]
        );
        for broken in [json!([]), json!({"x": {}}), json!({"f:a": 1}), json!({"f:a": {"k:": {}}})] {
            assert_eq!(Set::from_json(&broken), None, "{broken}");
        }
    }

    fn sets() -> impl Strategy<Value = Set> {
        let path = prop::collection::vec("[ab]".prop_map(Element::Field), 1..4);
        prop::collection::vec(path, 0..6).prop_map(|paths| {
            let mut set = Set::default();
            for path in &paths {
                set.insert(path);
            }
            set
        })
    }

    proptest! {
        #[test]
        fn operations_are_those_of_sets(a in sets(), b in sets(), path in prop::collection::vec("[ab]".prop_map(Element::Field), 1..4)) {
            let has = |set: &Set| set.contains(&path);
            prop_assert_eq!(has(&a.clone().union(&b)), has(&a) || has(&b));
            prop_assert_eq!(has(&a.intersection(&b)), has(&a) && has(&b));
            prop_assert_eq!(has(&a.clone().difference(&b)), has(&a) && !has(&b));
            prop_assert_eq!(Set::from_json(&a.to_json()), Some(a));
        }
    }
}
