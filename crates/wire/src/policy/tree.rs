//! JSON and YAML as one tree, from which a document is read field by field so that every fault is reported at once.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::DuplicateKeyPolicy;

use crate::{allowance, yaml};
use podberth_core::{policy::Fault, work};

/// How deep YAML may be nested; no policy comes near it.
pub(super) const MAX_DEPTH: usize = 32;

/// Memory of a key besides its place, times the copies of a part: growing buffers, and the policy that is read from it.
const KEY: usize = 32;
/// Steps of work that reading a part takes.
const PART: u64 = 64;
const COPIES: usize = 4;

/// A document, with keys in the order written and repeated ones kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Integer(i64),
    /// A number that is no `i64`.
    Number(f64),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// Reads JSON if the text begins with a brace, else YAML. An empty text is `Null`. `yaml_in_braces`: a text that begins with a brace and is not
    /// JSON may still be YAML.
    ///
    /// Source: `apimachinery/pkg/util/yaml/decoder.go` (`hasJSONPrefix`).
    pub(super) fn parse(text: &str, yaml_in_braces: bool) -> Result<Self, Fault> {
        if text.trim().is_empty() {
            return Ok(Self::Null);
        }
        allowance::for_text(text.len(), || Self::parse_charged(text, yaml_in_braces))
    }

    fn parse_charged(text: &str, yaml_in_braces: bool) -> Result<Self, Fault> {
        let yaml = || parse_yaml(text).map_err(|yaml| Fault::new("", format!("yaml parse error: {yaml}")));
        if !text.trim_start().starts_with('{') {
            return yaml();
        }
        serde_json::from_str(text).or_else(|json| {
            let refused = Fault::new("", format!("json parse error: {json}"));
            if yaml_in_braces { yaml().map_err(|_| refused) } else { Err(refused) }
        })
    }

    /// The value as JSON; the last of repeated keys counts.
    pub(super) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::from(*value),
            Self::Integer(value) => Value::from(*value),
            Self::Number(value) => Value::from(*value),
            Self::Text(text) => Value::from(text.as_str()),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(entries) => {
                Value::Object(entries.iter().map(|(key, value)| (key.clone(), value.to_json())).collect())
            }
        }
    }

    /// `true` if it is an object with this key.
    pub(super) fn has(&self, key: &str) -> bool {
        matches!(self, Self::Map(entries) if entries.iter().any(|(k, _)| k == key))
    }

    /// The value under a key of an object.
    pub(super) fn get(&self, key: &str) -> Option<&Tree> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find_map(|(k, value)| (k == key).then_some(value))
    }

    /// The text under a key of an object.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Its type, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) | Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
        }
    }
}

fn parse_yaml(text: &str) -> Result<Tree, serde_saphyr::Error> {
    allowance::charge(yaml::weight(text.as_bytes())).map_err(|_| serde_saphyr::Error::custom(allowance::USED_UP))?;
    let mut options = yaml::options(text.len());
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    if let Some(budget) = &mut options.budget {
        budget.max_depth = MAX_DEPTH;
    }
    serde_saphyr::from_str_with_options(text, options)
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(i64::try_from(value).map_or(Tree::Number(value as f64), Tree::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Number(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            charge(size_of::<Tree>())?;
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            charge(size_of::<(String, Tree)>() + KEY)?;
            map.push(entry);
        }
        Ok(Tree::Map(map))
    }
}

/// Charges for a part of a tree, and for the values read from it.
fn charge<E: Error>(bytes: usize) -> Result<(), E> {
    work::spend(PART);
    allowance::charge(COPIES * bytes).map_err(|_| E::custom(allowance::USED_UP))
}
