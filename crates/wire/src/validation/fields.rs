//! The fields of Kubernetes' objects. An unknown field is most likely misspelt, and would silently mean nothing.
//!
//! [`types`](crate::types) knows the fields of each type. An unknown field of a request of our own refuses it.
//!
//! Source: `apimachinery/pkg/apis/meta/v1/types.go` (`CreateOptions.FieldValidation`), `sigs.k8s.io/json` (the words).

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use podberth_core::near::near;

use crate::{
    fault::Path,
    kinds,
    text::Text,
    tree,
    types::{Holds, TYPES, Type},
};

/// Largest number of odd fields in a reply; the API server has this limit too.
const MOST: usize = 100;

/// Largest nesting depth of objects that may name their kind. serde_json counts depth anew for each of them.
const MAX_KINDS_DEPTH: usize = 8;

/// The treatment of unknown and repeated fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// They become warnings, and the object is accepted.
    #[default]
    Warn,
    /// They refuse the object.
    Strict,
    /// Nothing.
    Ignore,
}

impl FieldValidation {
    /// By its name; the empty one is the default.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "" | "Warn" => Some(Self::Warn),
            "Strict" => Some(Self::Strict),
            "Ignore" => Some(Self::Ignore),
            _ => None,
        }
    }
}

/// A text with its unknown and repeated fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined<'a> {
    /// The text; of fields that were there twice, the last one.
    pub json: Cow<'a, [u8]>,
    /// Fields that do not exist or were there twice, in order, at most a hundred: `unknown field "spec.nodeselector"`.
    pub odd: Vec<String>,
    /// Unknown fields of a request of our own.
    pub refused: Vec<String>,
}

/// `true` if the fields of a kind are known.
pub fn is_known(kind: &str) -> bool {
    TYPES.contains_key(kind)
}

/// The type of a field's value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldType {
    /// The type of the objects in it; `None` if they have no type or there are none.
    pub(crate) of: Option<&'static str>,
    /// `true` if it holds objects of its type by key.
    pub(crate) by_key: bool,
}

/// A field of a type; `None` if the type has no such field or is not known.
pub(crate) fn field(of: &str, name: &str) -> Option<FieldType> {
    let field = TYPES.get(of)?.fields.get(name)?;
    Some(FieldType { of: field.of, by_key: field.holds == Holds::ByKey })
}

/// Checks the fields of an object of this kind, or of a request of this name. `at` is the place of the text in the body, empty for all of it. A
/// text that is not JSON is left to the parser, which reports its faults.
pub fn examine<'a>(kind: &str, at: &str, json: &'a [u8]) -> Examined<'a> {
    let mut found = Found::default();
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let root = Path::ROOT;
    let start = if at.is_empty() { root } else { root.child(at) };
    let of = TYPES.get(kind);
    let walk = Walk { of, holds: Holds::One, at: &start, kinds_depth: 0, found: &mut found };
    let read = walk.deserialize(&mut deserializer);
    let mut json = Cow::Borrowed(json);
    // Where a tree takes too much memory the fields stay repeated, and the charge refuses the request.
    if read.is_ok()
        && found.is_repeated
        && let Ok(tree) = tree::parse(&json)
    {
        json = Cow::Owned(tree.to_string().into_bytes());
    }
    Examined { json, odd: found.odd, refused: found.refused }
}

#[derive(Default)]
struct Found {
    odd: Vec<String>,
    refused: Vec<String>,
    is_repeated: bool,
}

impl Found {
    fn unknown(&mut self, of: &Type, key: &str, at: &Path<'_>) {
        let list = if of.is_own { &mut self.refused } else { &mut self.odd };
        if list.len() >= MOST {
            return;
        }
        let meant = if of.is_own { near(of.fields.keys().copied(), key) } else { None };
        let hint = meant.map(|meant| format!("; did you mean {meant:?}?"));
        list.push(format!("unknown field {:?}{}", at.to_string(), hint.unwrap_or_default()));
    }

    fn repeated(&mut self, at: &Path<'_>) {
        self.is_repeated = true;
        if self.odd.len() < MOST {
            self.odd.push(format!("duplicate field {:?}", at.to_string()));
        }
    }
}

/// A value and the types of its fields.
struct Walk<'w> {
    of: Option<&'static Type>,
    holds: Holds,
    at: &'w Path<'w>,
    /// Number of enclosing objects that may name their kind.
    kinds_depth: usize,
    found: &'w mut Found,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if !matches!(self.holds, Holds::Kinds | Holds::Kind) {
            return deserializer.deserialize_any(self);
        }
        let raw = <&RawValue>::deserialize(deserializer)?;
        let kinds_depth = self.kinds_depth + 1;
        if kinds_depth > MAX_KINDS_DEPTH {
            return Ok(());
        }
        let mut within = serde_json::Deserializer::from_str(raw.get());
        let is_list = raw.get().starts_with('[');
        let walk = if is_list && self.holds == Holds::Kinds {
            within.deserialize_any(Walk { kinds_depth, ..self })
        } else {
            let head: Head<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
            let of = if head.kind.is_empty() { self.of } else { type_of_kind(&head) };
            within.deserialize_any(Walk { of, holds: Holds::One, kinds_depth, ..self })
        };
        walk.map_err(D::Error::custom)
    }
}

/// The fields of the kind that an object names. Podberth's own requests are not kinds.
fn type_of_kind(head: &Head<'_>) -> Option<&'static Type> {
    let row = kinds::by_api_version(&head.api_version, &head.kind);
    let name: &str = row.map_or(&head.kind, |row| row.fields());
    TYPES.get(name).filter(|of| !of.is_own)
}

/// Of an object, its kind and version.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head<'a> {
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow, rename = "apiVersion")]
    api_version: Text<'a>,
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        // One of our own types as a list is a cluster: objects that say their kind.
        let is_own = self.of.is_some_and(|of| of.is_own);
        let of = self.of.filter(|of| !of.is_own);
        for i in 0.. {
            let at = self.at.index(i);
            let holds = if is_own || self.holds == Holds::Kinds { Holds::Kind } else { self.holds };
            let walk = Walk { of, holds, at: &at, kinds_depth: self.kinds_depth, found: &mut *self.found };
            if elements.next_element_seed(walk)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    #[allow(clippy::unnecessary_sort_by, reason = "a key that borrows from the element cannot be returned")]
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut keys: Vec<Text<'de>> = Vec::new();
        while let Some(key) = entries.next_key::<Text<'de>>()? {
            let at = self.at.child(&key);
            let (of, holds) = match self.of {
                None => (None, Holds::One),
                Some(of) if self.holds == Holds::ByKey => (Some(of), Holds::One),
                Some(of) => {
                    let Some(field) = of.fields.get(&*key) else {
                        self.found.unknown(of, &key, &at);
                        entries.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    (field.of.and_then(|name| TYPES.get(name)), field.holds)
                }
            };
            let kinds_depth = self.kinds_depth;
            entries.next_value_seed(Walk { of, holds, at: &at, kinds_depth, found: &mut *self.found })?;
            keys.push(key);
        }
        keys.sort_unstable_by(|a, b| (**a).cmp(&**b));
        for pair in keys.array_windows::<2>().filter(|[a, b]| **a == **b) {
            self.found.repeated(&self.at.child(&pair[0]));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::allowance;

    fn odd(kind: &str, json: &str) -> Vec<String> {
        examine(kind, "", json.as_bytes()).odd
    }

    #[test]
    fn unknown_and_repeated_fields_are_reported_with_their_place() {
        assert_eq!(
            odd(
                "Pod",
                r#"{"metadata":{"name":"p","label":{}},"spec":{"nodeselector":{"a":"b"},"containers":[{"name":"c","resources":{"request":{"cpu":"1"}}}]}}"#
            ),
            [
                r#"unknown field "metadata.label""#,
                r#"unknown field "spec.nodeselector""#,
                r#"unknown field "spec.containers[0].resources.request""#,
            ]
        );
        assert_eq!(
            odd("Node", r#"{"status":{"alocatable":{},"zzz":1},"status":{}}"#),
            [r#"unknown field "status.alocatable""#, r#"unknown field "status.zzz""#, r#"duplicate field "status""#,]
        );
        let labels = r#"{"metadata":{"labels":{"a":"1","a":"2"},"annotations":{"any":"thing"},"managedFields":[{"fieldsV1":{"f:x":{}}}]}}"#;
        let examined = examine("Pod", "pod", labels.as_bytes());
        assert_eq!(examined.odd, [r#"duplicate field "pod.metadata.labels.a""#]);
        assert!(String::from_utf8_lossy(&examined.json).contains(r#""labels":{"a":"2"}"#), "the last one counts");
        assert_eq!(odd("Unheard", r#"{"a":1}"#), Vec::<String>::new(), "of other kinds nothing is known");
        assert_eq!(odd("Pod", r#"{"spec":{"containers":[{"name":"#), Vec::<String>::new(), "others say what is wrong");
    }

    #[test]
    fn requests_of_our_own_are_looked_through_to_the_objects_in_them() {
        let body = r#"{"pood":1,"pod":{"kind":"Deployment","spec":{"template":{"spec":{"containrs":[]}}}},"cluster":{"nods":[],"nodes":[{"sepc":{}}],
            "items":[{"kind":"Node","stauts":1},{"kind":"Secret","any":1},{"x":1}]}}"#;
        let examined = examine("ExplainRequest", "", body.as_bytes());
        assert_eq!(
            examined.refused,
            [r#"unknown field "pood"; did you mean "pod"?"#, r#"unknown field "cluster.nods"; did you mean "nodes"?"#,]
        );
        assert_eq!(
            examined.odd,
            [
                r#"unknown field "pod.spec.template.spec.containrs""#,
                r#"unknown field "cluster.nodes[0].sepc""#,
                r#"unknown field "cluster.items[0].stauts""#,
            ]
        );
        let arrays = format!(r#"{{"pods":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(examine("ScheduleRequest", "", arrays.as_bytes()).odd.is_empty(), "and what is too deep is left alone");
    }

    #[test]
    fn objects_within_objects_that_say_their_kind_cannot_overflow_the_stack() {
        for kind in ["Cluster", "ExplainRequest", "List", "Node"] {
            for field in ["items", "cluster", "pod", "pods"] {
                let opened = format!(r#"{{"kind":"{kind}","{field}":["#).repeat(50_000);
                let closed = "]}".repeat(50_000);
                let nested = format!(r#"{{"pods":[{{}}],"cluster":{{"items":[{opened}{closed}]}}}}"#);
                let _ = examine("ScheduleRequest", "", nested.as_bytes());
                let nested = nested.replace(['[', ']'], "");
                let _ = examine("ExplainRequest", "", nested.as_bytes());
            }
        }
    }

    #[test]
    fn repeated_fields_make_no_more_of_a_text_than_is_allowed() {
        let values = vec![r#"{"":0}"#; 200_000].join(",");
        let bomb = format!(r#"{{"metadata":{{"a":1,"a":2,"x":[{values}]}}}}"#);
        let examined = allowance::within(Some(Arc::new(Nothing)), || examine("Pod", "", bomb.as_bytes()));
        assert!(matches!(examined.json, Cow::Borrowed(_)));
    }

    #[derive(Debug)]
    struct Nothing;

    impl allowance::Source for Nothing {
        fn take(&self, _: usize) -> usize {
            0
        }
    }

    #[test]
    fn the_fields_that_decisions_read_are_all_known() {
        for row in kinds::shared() {
            assert!(is_known(row.fields()), "{} has no line in fields.txt", row.fields());
        }
        for kind in TYPES.values() {
            for field in kind.fields.values().filter_map(|field| field.of).filter(|of| *of != "Untyped") {
                assert!(is_known(field), "{field} has no line in fields.txt");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), text in "[\\[\\]{}:,\"a-z0-9 ]{0,60}") {
            for json in [bytes.as_slice(), text.as_bytes()] {
                let _ = examine("Pod", "", json);
            }
        }
    }
}
