//! Bodies that hold one or many objects: YAML with its documents, JSON objects one after another, arrays, lists.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_saphyr::Options;

use super::{
    allowance,
    decode::{self, DecodeError},
};

/// How deep YAML may be nested (the parser recurses: this stays far inside a 2 MiB stack), and lists within lists.
const MAX_DEPTH: usize = 64;
const MAX_LIST_DEPTH: usize = 4;
/// Largest number of values in a YAML body, of which a tree is made before it is read, and the memory of each there. JSON has no such limit.
const MAX_YAML_VALUES: usize = 2_000_000;
const YAML_VALUE: usize = 96;
/// How much the aliases of a body may make of it: this many parts, of anchored texts of this many bytes together.
const MAX_ALIASED_EVENTS: usize = 10_000;
const MAX_ANCHORED_BYTES: usize = 16 * 1024;
/// By how many bytes the aliases of a file may lengthen its texts.
const MAX_ALIASED_BYTES: usize = 64 << 20;

/// One object of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// `v1`, `apps/v1`; empty if neither the object nor its list names it.
    pub api_version: String,
    /// `Pod`; empty if neither the object nor its list names it.
    pub kind: String,
    /// The object, as it was written where the body is JSON.
    pub json: String,
    /// Its place in the body: `items[3]`, `documents[1]`; empty if it is the whole body.
    pub at: String,
}

/// One object as JSON: the body itself, or its only YAML document.
///
/// # Errors
/// When the text is no YAML, or holds not exactly one document.
pub fn to_json(body: &[u8], is_yaml: bool) -> Result<Cow<'_, [u8]>, DecodeError> {
    if !is_yaml {
        return Ok(Cow::Borrowed(body));
    }
    match <[String; 1]>::try_from(yaml_documents(body, options(body.len()))?) {
        Ok([json]) => Ok(Cow::Owned(json.into_bytes())),
        Err(documents) => Err(fault("", format!("expected one YAML document, found {}", documents.len()))),
    }
}

/// All objects of a body in their order: its documents, with the elements of arrays and the items of lists (`List`,
/// `NodeList`, …) in their place. Items of a typed list get its kind where they name none. `null` is passed over.
///
/// # Errors
/// When the text is neither JSON nor YAML, is nested too deeply, or holds something that is no object.
pub fn parse_items(body: &[u8], is_yaml: bool) -> Result<Vec<Item>, DecodeError> {
    let mut items = Vec::new();
    if is_yaml {
        let documents = yaml_documents(body, options(body.len()))?;
        let is_one = documents.len() == 1;
        for (i, json) in documents.into_iter().enumerate() {
            let at = if is_one { String::new() } else { format!("documents[{i}]") };
            gather(&json, &Parent::default(), &at, &mut items)?;
        }
    } else {
        let mut documents = serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>().enumerate().peekable();
        while let Some((i, document)) = documents.next() {
            let is_one = i == 0 && documents.peek().is_none();
            let at = if is_one { String::new() } else { format!("documents[{i}]") };
            let document = document.map_err(|e| fault(&at, e.to_string()))?;
            gather(document.get(), &Parent::default(), &at, &mut items)?;
        }
    }
    Ok(items)
}

/// The documents of a file, each as JSON: those of a YAML stream, or JSON values one after another. Aliases may stand for more than in a request.
///
/// # Errors
/// When the text is neither JSON nor YAML.
pub fn documents(body: &[u8], is_yaml: bool) -> Result<Vec<String>, DecodeError> {
    if is_yaml {
        return yaml_documents(body, options_of_file(body.len()));
    }
    let documents = serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>();
    documents.map(|document| document.map(|d| d.get().to_owned()).map_err(|e| fault("", e.to_string()))).collect()
}

/// JSON as YAML.
///
/// # Errors
/// If the text is not JSON.
pub fn of_json(json: &str) -> Result<String, DecodeError> {
    let value: serde_json::Value = serde_json::from_str(json).map_err(|e| fault("", e.to_string()))?;
    serde_saphyr::to_string(&value).map_err(|e| fault("", e.to_string()))
}

fn fault(field: &str, message: impl Into<String>) -> DecodeError {
    DecodeError { field: field.into(), message: message.into() }
}

/// The documents of a YAML stream as JSON; empty ones are left out.
fn yaml_documents(body: &[u8], options: Options) -> Result<Vec<String>, DecodeError> {
    let text = std::str::from_utf8(body).map_err(|e| fault("", e.to_string()))?;
    let documents: Vec<serde_json::Value> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|e| fault("", told(&e.to_string())))?;
    Ok(documents.into_iter().filter(|d| !d.is_null()).map(|d| d.to_string()).collect())
}

/// An error of the parser, without the names of its settings.
fn told(error: &str) -> String {
    let error = error.replace(", set DuplicateKeyPolicy in Options if acceptable", "");
    match error.split_once("budget breached: ") {
        Some((_, breach)) => {
            let place = breach.split_once("} ").map_or("", |(_, place)| place);
            format!(
                "too many values, or aliases that stand for too much, {place}; divide the text, or write it as JSON"
            )
        }
        None => error,
    }
}

/// Largest memory for reading a text as YAML, in bytes: a fixed amount for each character that can begin a value.
pub fn weight(body: &[u8]) -> usize {
    YAML_VALUE * body.iter().filter(|byte| b"\n,:[{-?".contains(byte)).count().min(MAX_YAML_VALUES)
}

/// Limits that grow with the body. Its length is bounded elsewhere, so these only bound the effect of aliases and nesting.
pub(super) fn options(length: usize) -> Options {
    let most = length.saturating_add(64).min(MAX_YAML_VALUES);
    let length = length.saturating_add(64);
    let mut options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: most,
            max_nodes: most,
            max_documents: most,
            max_total_scalar_bytes: length,
            max_total_comment_bytes: length,
            max_depth: MAX_DEPTH,
            max_recorded_anchor_bytes: MAX_ANCHORED_BYTES,
            enforce_alias_anchor_ratio: false,
        },
        strict_booleans: true,
        with_snippet: false,
    };
    options.alias_limits.max_total_replayed_events = MAX_ALIASED_EVENTS;
    options
}

/// Limits for a file of one's own, in which aliases may stand for a whole cluster.
fn options_of_file(length: usize) -> Options {
    let mut options = options(length);
    if let Some(budget) = &mut options.budget {
        budget.max_events = MAX_YAML_VALUES;
        budget.max_nodes = MAX_YAML_VALUES;
        budget.max_recorded_anchor_events = MAX_YAML_VALUES;
        budget.max_total_scalar_bytes = length.saturating_add(MAX_ALIASED_BYTES);
        budget.max_recorded_anchor_bytes = MAX_ALIASED_BYTES;
    }
    options.alias_limits.max_total_replayed_events = MAX_YAML_VALUES;
    options
}

/// Properties that a list passes to its items.
#[derive(Default)]
struct Parent {
    api_version: String,
    kind: String,
    depth: usize,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Head<'a> {
    api_version: String,
    kind: String,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

fn gather(json: &str, parent: &Parent, at: &str, items: &mut Vec<Item>) -> Result<(), DecodeError> {
    if parent.depth > MAX_LIST_DEPTH {
        return Err(fault(at, format!("lists are nested deeper than {MAX_LIST_DEPTH} levels")));
    }
    let named = |e: DecodeError| e.without_place().within(at);
    let dot = if at.is_empty() { "" } else { "." };
    let json = json.trim();
    if json == "null" {
        return Ok(());
    }
    let depth = parent.depth + 1;
    if json.starts_with('[') {
        let elements: Vec<&RawValue> = decode::from_slice(json.as_bytes()).map_err(named)?;
        let parent = Parent { api_version: parent.api_version.clone(), kind: parent.kind.clone(), depth };
        return elements
            .into_iter()
            .enumerate()
            .try_for_each(|(i, element)| gather(element.get(), &parent, &format!("{at}[{i}]"), items));
    }
    let head: Head<'_> = decode::from_slice(json.as_bytes()).map_err(named)?;
    let or_parent = |own: String, parent: &str| if own.is_empty() { parent.to_owned() } else { own };
    match (head.kind.strip_suffix("List"), head.items) {
        (Some(kind), Some(elements)) => {
            let typed = !kind.is_empty();
            let api_version = if typed { head.api_version } else { String::new() };
            let parent = Parent { api_version, kind: kind.into(), depth };
            elements
                .into_iter()
                .enumerate()
                .try_for_each(|(i, element)| gather(element.get(), &parent, &format!("{at}{dot}items[{i}]"), items))
        }
        (Some(_), None) => Ok(()),
        (None, _) => {
            items.push(Item {
                api_version: or_parent(head.api_version, &parent.api_version),
                kind: or_parent(head.kind, &parent.kind),
                json: json.into(),
                at: at.into(),
            });
            allowance::charge(size_of::<Item>() + json.len())?;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn kinds(body: &str, is_yaml: bool) -> Vec<(String, String, String)> {
        let items = parse_items(body.as_bytes(), is_yaml).unwrap();
        items.into_iter().map(|i| (i.api_version, i.kind, i.json)).collect()
    }

    fn triple(api_version: &str, kind: &str, json: &str) -> (String, String, String) {
        (api_version.into(), kind.into(), json.into())
    }

    #[test]
    fn every_way_to_write_many() {
        let (a, b) = (r#"{"kind":"Pod","apiVersion":"v1","x":1.0}"#, r#"{"kind":"Node","apiVersion":"v1"}"#);
        let both = [triple("v1", "Pod", a), triple("v1", "Node", b)];
        for body in [
            format!("{a}\n{b}\n"),
            format!("{a}{b}"),
            format!("[{a}, {b}]"),
            format!("[{a}, null, [{b}]]"),
            format!(r#"{{"kind":"List","apiVersion":"v1","metadata":{{}},"items":[{a},{b}]}}"#),
        ] {
            assert_eq!(kinds(&body, false), both, "{body}");
        }
        assert_eq!(
            kinds(r#"{"kind":"ReplicaSetList","apiVersion":"apps/v1","items":[{"a":1}]}"#, false),
            [triple("apps/v1", "ReplicaSet", r#"{"a":1}"#)]
        );
        assert_eq!(kinds(r#"{"kind":"PodList","apiVersion":"v1","items":null}"#, false), []);
        assert_eq!(kinds("", false), []);
    }

    #[test]
    fn yaml_keeps_types() {
        let yaml = "---\n# nothing\n---\napiVersion: v1\nkind: Pod\nmetadata:\n  labels: {on: \"1\", b: on}\n  at: 2026-01-01T00:00:00Z\nspec:\n  cpu: 2\n  half: 0.5\n  yes: true\n  port: 080x\n  none: ~\n  80: x\n---\nkind: Node\n";
        assert_eq!(
            kinds(yaml, true),
            [
                triple(
                    "v1",
                    "Pod",
                    r#"{"apiVersion":"v1","kind":"Pod","metadata":{"labels":{"on":"1","b":"on"},"at":"2026-01-01T00:00:00Z"},"spec":{"cpu":2,"half":0.5,"yes":true,"port":"080x","none":null,"80":"x"}}"#
                ),
                triple("", "Node", r#"{"kind":"Node"}"#),
            ]
        );
        assert_eq!(&*to_json(b"a: 1", true).unwrap(), br#"{"a":1}"#);
        assert_eq!(&*to_json(b"{\"a\": &b [1], \"c\": *b}", true).unwrap(), br#"{"a":[1],"c":[1]}"#);
        assert!(to_json(b"a: 1\n---\nb: 2\n", true).is_err());
    }

    #[test]
    fn what_is_refused() {
        for (body, is_yaml, field) in [
            ("{\"a\":1", false, ""),
            ("{} 7", false, "documents[1]"),
            ("[{}, \"x\"]", false, "[1]"),
            ("kind: [", true, ""),
            ("a: 1\na: 2", true, ""),
            ("{\"kind\":\"List\",\"items\":[1]}", false, "items[0]"),
            ("{\"kind\":3}", false, "kind"),
        ] {
            assert_eq!(parse_items(body.as_bytes(), is_yaml).unwrap_err().field, field, "{body}");
        }
        let deep = "[".repeat(100_000);
        assert!(parse_items(deep.as_bytes(), false).is_err() && parse_items(deep.as_bytes(), true).is_err());
        for opener in ["- ", "? ", "{a: ", "&a [", "- - ? "] {
            for depth in [63, 64, 65, 99, 100, 101, 10_000] {
                let _ = parse_items(opener.repeat(depth).as_bytes(), true);
            }
        }
        let nested = format!("{}{}", "[".repeat(10), "]".repeat(10));
        assert!(parse_items(nested.as_bytes(), false).is_err());
    }

    #[test]
    fn alias_bombs_are_refused() {
        let mut laughs = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
        for level in 1..12 {
            let previous = vec![format!("*a{}", level - 1); 9].join(", ");
            let _ = writeln!(laughs, "a{level}: &a{level} [{previous}]");
        }
        assert!(parse_items(laughs.as_bytes(), true).is_err());
        let error = documents(laughs.as_bytes(), true).expect_err("a bomb").to_string();
        assert!(error.contains("aliases") && !error.contains("udget"), "{error}");
        let blob = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 9_000].join(", "));
        assert!(parse_items(blob.as_bytes(), true).is_err(), "large texts may not be multiplied either");
    }

    #[test]
    fn aliases_of_a_file_may_stand_for_a_cluster() {
        let nodes: String = (0..1_000).fold(String::new(), |mut nodes, i| {
            let _ = writeln!(
                nodes,
                "  - {{metadata: {{name: n{i}}}, status: {{allocatable: {{cpu: '8', memory: 16Gi}}}}}}"
            );
            nodes
        });
        let file = format!("- &c\n{nodes}{}", "- *c\n".repeat(20));
        assert_eq!(documents(file.as_bytes(), true).map(|documents| documents.len()), Ok(1));
        assert!(parse_items(file.as_bytes(), true).is_err(), "a request has other bounds");
    }

    #[test]
    fn errors_do_not_name_settings_of_the_parser() {
        let error = documents(b"a: 1\na: 2\n", true).expect_err("a repeated key").to_string();
        assert_eq!(error, "duplicate mapping key: a at line 2, column 1");
    }

    proptest::proptest! {
        #[test]
        fn no_body_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..100), text in "[-a-z0-9:\\[\\]{}&*!|>'\"#%, \n]{0,80}") {
            for is_yaml in [false, true] {
                let _ = parse_items(&bytes, is_yaml);
                let _ = parse_items(text.as_bytes(), is_yaml);
                let _ = to_json(text.as_bytes(), is_yaml);
            }
        }
    }
}
