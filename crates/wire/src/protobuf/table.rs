//! The messages of Kubernetes' objects, as data.
//!
//! `messages.txt` has a line for each message: its name, and its fields as number, JSON name and type. `&` in place of a
//! name stands for a message whose fields are the outer object's own. A type begins with `?` if its zero value is a value
//! too, with `[]` if it is repeated, with `{}` if it is a map by texts. The file is made from the Go tags of `k8s.io/api` 1.34.
//!
//! `estimator.txt` has the messages of Karmada's estimator in the same way, under the names that Karmada's own objects have for their fields. A field of bytes
//! that holds a message is written as one of that message, since both look the same.
//!
//! Source: `karmada/pkg/estimator/pb/estimator.proto`.

use std::{collections::HashMap, sync::LazyLock};

/// A message: its fields by their numbers.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub fields: Vec<Field>,
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub number: u64,
    /// Its name in JSON; empty for a message whose fields are the outer object's own.
    pub name: &'static str,
    pub shape: Shape,
    pub kind: Kind,
    /// `true` if its zero value is a value too.
    pub has_zero: bool,
}

/// The number of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    Many,
    ByKey,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Whole,
    Truth,
    Double,
    /// Base64 in JSON.
    Bytes,
    /// A time to the second.
    Time,
    /// A time to the microsecond.
    MicroTime,
    /// A text in a message.
    Quantity,
    IntOrString,
    /// JSON in a message.
    Raw,
    /// A list of texts in a message.
    Texts,
    /// Another message, by its place in the table.
    Message(usize),
}

/// All messages.
struct Table {
    messages: Vec<Message>,
    places: HashMap<&'static str, usize>,
}

/// The lines of both files.
fn lines() -> impl Iterator<Item = &'static str> {
    include_str!("messages.txt").lines().chain(include_str!("estimator.txt").lines())
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let lines: Vec<(&str, &str)> = lines().filter_map(|line| line.split_once(':')).collect();
    let places: HashMap<&str, usize> = lines.iter().enumerate().map(|(i, (name, _))| (*name, i)).collect();
    let messages = lines.iter().map(|(_, fields)| Message {
        fields: fields.split(',').filter_map(|text| field(text.trim(), &places)).collect(),
    });
    Table { messages: messages.collect(), places }
});

fn field(text: &'static str, places: &HashMap<&str, usize>) -> Option<Field> {
    let mut words = text.split(' ');
    let (number, name, of) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
    let (has_zero, of) = of.strip_prefix('?').map_or((false, of), |of| (true, of));
    let (shape, of) = match (of.strip_prefix("[]"), of.strip_prefix("{}")) {
        (Some(of), _) => (Shape::Many, of),
        (_, Some(of)) => (Shape::ByKey, of),
        _ => (Shape::One, of),
    };
    let kind = match of {
        "string" => Kind::Text,
        "int" => Kind::Whole,
        "bool" => Kind::Truth,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "Time" => Kind::Time,
        "MicroTime" => Kind::MicroTime,
        "Quantity" => Kind::Quantity,
        "IntOrString" => Kind::IntOrString,
        "Raw" => Kind::Raw,
        "Strings" => Kind::Texts,
        message => Kind::Message(*places.get(message)?),
    };
    let name = if name == "&" { "" } else { name };
    Some(Field { number, name, shape, kind, has_zero })
}

/// The message of an object, by its API version and kind. Options of requests are one message in every group.
pub(super) fn of_object(api_version: &str, kind: &str) -> Option<&'static Message> {
    let name = match kind {
        "DeleteOptions" => "meta/v1.DeleteOptions".to_owned(),
        _ => format!("{api_version}.{kind}"),
    };
    of_name(&name)
}

/// The message of this name.
pub(super) fn of_name(name: &str) -> Option<&'static Message> {
    TABLE.places.get(name).and_then(|place| TABLE.messages.get(*place))
}

/// A message by its place.
pub(super) fn at(place: usize) -> &'static Message {
    static NONE: Message = Message { fields: Vec::new() };
    TABLE.messages.get(place).unwrap_or(&NONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds;

    fn depth(place: usize, above: &mut Vec<usize>) -> usize {
        assert!(!above.contains(&place), "a message is within itself: its depth has no bound");
        above.push(place);
        let below = at(place).fields.iter().filter_map(|field| match field.kind {
            Kind::Message(place) => Some(depth(place, above)),
            _ => None,
        });
        let depth = 1 + below.max().unwrap_or_default();
        above.pop();
        depth
    }

    #[test]
    fn every_line_is_read_and_no_message_is_within_itself() {
        let fields: usize = lines().map(|line| line.split(", ").filter(|field| field.contains(' ')).count()).sum();
        let read: usize = TABLE.messages.iter().map(|message| message.fields.len()).sum();
        let empty = lines().filter(|line| line.ends_with(": ")).count();
        assert_eq!(read + empty, fields + lines().filter(|line| line.ends_with(": ")).count());
        assert_eq!(TABLE.places.len(), lines().count(), "names are apart");
        let deepest = (0..TABLE.messages.len()).map(|place| depth(place, &mut Vec::new())).max();
        assert!(deepest.is_some_and(|deepest| deepest < 16), "{deepest:?}");
        for message in &TABLE.messages {
            assert!(message.fields.is_sorted_by_key(|field| field.number));
        }
    }

    #[test]
    fn every_stored_kind_of_kubernetes_has_a_message() {
        for kind in kinds::shared().filter(|kind| !kind.is_custom()) {
            assert!(of_object(&kind.api_version(), kind.kind).is_some(), "{}", kind.kind);
        }
        for (api_version, kind) in [
            ("v1", "Binding"),
            ("policy/v1", "Eviction"),
            ("autoscaling/v1", "Scale"),
            ("v1", "DeleteOptions"),
            ("policy/v1", "DeleteOptions"),
            ("authorization.k8s.io/v1", "SelfSubjectAccessReview"),
        ] {
            assert!(of_object(api_version, kind).is_some(), "{kind}");
        }
        assert!(of_object("v1", "ObjectMeta").is_none() && of_object("v1", "").is_none());
    }
}
