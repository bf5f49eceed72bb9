//! The types of Kubernetes' objects: their fields, what each holds, and when it is left out of a reply.
//!
//! `validation/fields.txt` has a line for each type: its name, and its fields.
//!
//! | written | holds |
//! |---|---|
//! | `name` | anything |
//! | `name:int32` | a value: `string`, `string/RestartPolicy` (a named string), `bool`, `int32`, `int64`, `float64`, `bytes`, `quantity`, `intorstr`, `time`, `microtime`, `any` |
//! | `name:[]string`, `name:{}string` | a list of values, values by key |
//! | `name=Type`, `name=[]Type`, `name=*Type` | an object, a list of objects, objects by key |
//! | `name=?Type` | an object that may say its kind itself, or a list of them |
//!
//! After a value, `!` says that its zero is written too, `^` that a zero differs from nothing. Types that begin with `!` are our own
//! requests. The file is made from the Go types of `k8s.io/api` 1.34.

use std::{collections::HashMap, sync::LazyLock};

use serde_json::{Map, Value};

/// The content of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// A value, or an object of its type.
    One,
    /// A list of them.
    List,
    /// Many of them by key.
    ByKey,
    /// Lists of them by key.
    ListsByKey,
    /// An object that may name its kind, or a list of them.
    Kinds,
    /// One that may name its kind.
    Kind,
}

/// The type of a value that is no object of a known type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf {
    Any,
    /// A string; its name as a type of its own, if it has one.
    Text(Option<&'static str>),
    Bool,
    Int32,
    Int64,
    Float,
    Bytes,
    Quantity,
    IntOrText,
    Time,
    MicroTime,
}

/// When a field is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Omitted {
    /// If it is zero, false or empty.
    Zero,
    /// If it was not set.
    Unset,
    /// Never.
    Never,
}

/// One field of a type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// The type of the objects in it.
    pub of: Option<&'static str>,
    pub holds: Holds,
    pub leaf: Leaf,
    pub omitted: Omitted,
}

impl Field {
    /// The zero of a value that is always written; none of lists, maps and objects, which Go writes as `null`.
    pub(crate) fn zero(&self) -> Option<Value> {
        match (self.holds, self.leaf) {
            (Holds::One, Leaf::Text(_)) => Some("".into()),
            (Holds::One, Leaf::Bool) => Some(false.into()),
            (Holds::One, Leaf::Int32 | Leaf::Int64 | Leaf::IntOrText) => Some(0.into()),
            (Holds::One, Leaf::Quantity) => Some("0".into()),
            _ => None,
        }
    }
}

/// The zeros of an object in a field of a type, if it has any that are always written.
pub(crate) fn zeros_of(of: &str, field: &str) -> Option<Map<String, Value>> {
    let of = TYPES.get(TYPES.get(of)?.fields.get(field)?.of?)?;
    let zeros: Map<String, Value> =
        of.always.iter().filter_map(|(name, field)| Some(((*name).to_owned(), field.zero()?))).collect();
    (!zeros.is_empty()).then_some(zeros)
}

/// One type.
#[derive(Debug)]
pub(crate) struct Type {
    /// Its name in Go, without the package.
    pub name: &'static str,
    /// `true` for a request of our own.
    pub is_own: bool,
    pub fields: HashMap<&'static str, Field>,
    /// The fields that are never left out, with what they hold.
    pub always: Vec<(&'static str, Field)>,
}

/// All types by name.
pub(crate) static TYPES: LazyLock<HashMap<&'static str, Type>> = LazyLock::new(|| {
    let lines = include_str!("validation/fields.txt").lines().filter_map(|line| line.split_once(':'));
    lines
        .map(|(name, fields)| {
            let own = name.strip_prefix('!');
            let name = own.unwrap_or(name);
            let fields: HashMap<_, _> = fields.split_ascii_whitespace().map(field).collect();
            let always = fields.iter().filter(|(_, field)| field.omitted == Omitted::Never);
            let mut always: Vec<_> = always.map(|(name, field)| (*name, *field)).collect();
            always.sort_unstable_by_key(|(name, _)| *name);
            let go = name.rsplit('.').next().unwrap_or(name);
            (name, Type { name: go, is_own: own.is_some(), fields, always })
        })
        .collect()
});

fn field(text: &'static str) -> (&'static str, Field) {
    let at = text.find(['=', ':']).unwrap_or(text.len());
    let (name, content) = text.split_at(at);
    let (marked, content) = (content.starts_with('='), content.get(1..).unwrap_or_default());
    let (holds, content) = strip(content, if marked { OBJECTS } else { VALUES });
    let omitted = match content.as_bytes().last() {
        Some(b'!') => Omitted::Never,
        Some(b'^') => Omitted::Unset,
        _ => Omitted::Zero,
    };
    let content = content.trim_end_matches(['!', '^']);
    let (of, leaf) = if marked { (Some(content), Leaf::Any) } else { (None, leaf(content)) };
    (name, Field { of, holds, leaf, omitted })
}

const OBJECTS: &[(&str, Holds)] = &[("*", Holds::ByKey), ("?", Holds::Kinds), ("[]", Holds::List)];
const VALUES: &[(&str, Holds)] = &[("{}[]", Holds::ListsByKey), ("{}", Holds::ByKey), ("[]", Holds::List)];

fn strip(content: &'static str, prefixes: &[(&str, Holds)]) -> (Holds, &'static str) {
    let found = prefixes.iter().find_map(|(prefix, holds)| Some((*holds, content.strip_prefix(prefix)?)));
    found.unwrap_or((Holds::One, content))
}

fn leaf(name: &'static str) -> Leaf {
    match name {
        "string" => Leaf::Text(None),
        "bool" => Leaf::Bool,
        "int32" => Leaf::Int32,
        "int64" => Leaf::Int64,
        "float64" => Leaf::Float,
        "bytes" => Leaf::Bytes,
        "quantity" => Leaf::Quantity,
        "intorstr" => Leaf::IntOrText,
        "time" => Leaf::Time,
        "microtime" => Leaf::MicroTime,
        _ => match name.strip_prefix("string/") {
            Some(named) => Leaf::Text(Some(named)),
            None => Leaf::Any,
        },
    }
}

impl Field {
    /// The name in Go of the type of one value in it.
    pub(crate) fn go_element(&self) -> String {
        match (self.of, self.leaf) {
            (Some(of), _) => format!("v1.{}", of.rsplit('.').next().unwrap_or(of)),
            (None, Leaf::Text(Some(named))) => format!("v1.{named}"),
            (None, Leaf::Text(None) | Leaf::Any) => "string".into(),
            (None, Leaf::Bool) => "bool".into(),
            (None, Leaf::Int32) => "int32".into(),
            (None, Leaf::Int64) => "int64".into(),
            (None, Leaf::Float) => "float64".into(),
            (None, Leaf::Bytes) => "[]uint8".into(),
            (None, Leaf::Quantity) => "resource.Quantity".into(),
            (None, Leaf::IntOrText) => "intstr.IntOrString".into(),
            (None, Leaf::Time) => "v1.Time".into(),
            (None, Leaf::MicroTime) => "v1.MicroTime".into(),
        }
    }

    /// The name in Go of the field's type.
    pub(crate) fn go_type(&self) -> String {
        let element = self.go_element();
        match (self.holds, self.leaf) {
            (Holds::List, _) => format!("[]{element}"),
            (Holds::ByKey, Leaf::Quantity) => "v1.ResourceList".into(),
            (Holds::ByKey, _) => format!("map[string]{element}"),
            (Holds::ListsByKey, _) => format!("map[string][]{element}"),
            (Holds::One | Holds::Kinds | Holds::Kind, _) => element,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_a_field_has_a_line() {
        for of in TYPES.values().flat_map(|of| of.fields.values()).filter_map(|field| field.of) {
            assert!(TYPES.contains_key(of) || of == "Untyped", "{of}");
        }
    }

    #[test]
    fn fields_are_read_as_they_are_written() {
        let of = |kind: &str, name: &str| TYPES[kind].fields[name];
        let containers = of("PodSpec", "containers");
        assert_eq!((containers.of, containers.holds), (Some("Container"), Holds::List));
        let priority = of("PodSpec", "priority");
        assert_eq!((priority.leaf, priority.omitted), (Leaf::Int32, Omitted::Unset));
        assert_eq!(of("PriorityClass", "value").omitted, Omitted::Never);
        assert_eq!(of("ResourceRequirements", "limits").go_type(), "v1.ResourceList");
        assert_eq!(of("PodSpec", "nodeSelector").go_type(), "map[string]string");
        assert_eq!(of("PodSpec", "restartPolicy").go_type(), "v1.RestartPolicy");
    }
}
