//! The place of a field in a policy's text: line and column, for editors. JSON is read as the YAML that it is.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned, options::DuplicateKeyPolicy};

use super::tree::MAX_DEPTH;
use crate::yaml;

/// A place in a text, both numbers from 1. Columns count UTF-16 code units, as editors do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// The places of the fields of a text.
pub struct Places<'t> {
    text: &'t str,
    /// The fields, or the place where reading stopped.
    read: Result<Keys, Option<Place>>,
}

impl<'t> Places<'t> {
    /// Reads a text.
    pub fn of(text: &'t str) -> Self {
        let stopped = |at: (u64, u64), in_bytes| place(text, at, in_bytes);
        let read = if text.trim_start().starts_with('{')
            && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text)
        {
            Err(stopped((error.line() as u64, error.column() as u64), true))
        } else {
            places(text).map_err(|error| error.location().and_then(|at| stopped((at.line(), at.column()), false)))
        };
        Self { text, read }
    }

    /// The place of a field: of its key, or of an item of a list; for one that is not there of the object that should have it. A text that cannot be
    /// read has one place, where reading stopped. `None` for the whole document and for places that are not known.
    pub fn find(&self, field: &str) -> Option<Place> {
        match &self.read {
            Err(stopped) => *stopped,
            Ok(_) if field.is_empty() => None,
            Ok(keys) => {
                let at = keys.find(field).map_or((1, 1), |at| (at.line(), at.column()));
                place(self.text, at, false)
            }
        }
    }
}

/// A place whose column counts bytes or characters, from 1; `None` if there is no such line.
fn place(text: &str, (line, column): (u64, u64), in_bytes: bool) -> Option<Place> {
    let before = usize::try_from(line).ok()?.checked_sub(1)?;
    let of = text.split('\n').nth(before)?;
    let before = usize::try_from(column.saturating_sub(1)).ok()?;
    let units = if in_bytes {
        of.get(..of.floor_char_boundary(before)).map_or(0, |part| part.encode_utf16().count())
    } else {
        of.chars().take(before).map(char::len_utf16).sum()
    };
    Some(Place { line: u32::try_from(line).ok()?, column: u32::try_from(units).ok()?.saturating_add(1) })
}

/// Reads the places of the keys of a document.
pub(super) fn places(text: &str) -> Result<Keys, serde_saphyr::Error> {
    let mut options = yaml::options(text.len());
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    if let Some(budget) = &mut options.budget {
        budget.max_depth = MAX_DEPTH;
    }
    serde_saphyr::from_str_with_options(text, options)
}

/// The keys of a document, and the items of its lists.
pub(super) enum Keys {
    Leaf,
    List(Vec<Spanned<Keys>>),
    Map(Vec<(Spanned<String>, Keys)>),
}

impl Keys {
    /// The place of a path, or of the part of it that is there. Keys are compared in any case, as Go does.
    fn find(&self, path: &str) -> Option<Location> {
        match self {
            Self::Leaf => None,
            Self::List(items) => {
                let (number, rest) = path.strip_prefix('[')?.split_once(']')?;
                let item = items.get(number.parse::<usize>().ok()?)?;
                Some(item.value.find(rest).unwrap_or(item.referenced))
            }
            Self::Map(entries) => {
                let path = path.strip_prefix('.').unwrap_or(path);
                // The last of repeated keys counts; of keys with dots the longest.
                let found = entries.iter().rev().filter_map(|(key, value)| {
                    let rest = behind(path, &key.value)?;
                    Some((key.value.len(), value.find(rest).unwrap_or(key.referenced)))
                });
                found.reduce(longest).map(|(_, at)| at)
            }
        }
    }
}

/// The one with the longer key, of equals the first.
fn longest(best: (usize, Location), next: (usize, Location)) -> (usize, Location) {
    if best.0 >= next.0 { best } else { next }
}

/// The rest of a path behind its first key; `None` if it has another one.
fn behind<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let (first, rest) = path.split_at_checked(key.len())?;
    (first.eq_ignore_ascii_case(key) && (rest.is_empty() || rest.starts_with(['.', '[']))).then_some(rest)
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_unit<E>(self) -> Result<Keys, E> {
        Ok(Keys::Leaf)
    }

    fn visit_none<E>(self) -> Result<Keys, E> {
        Ok(Keys::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Keys, D::Error> {
        Keys::deserialize(deserializer)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Keys, E> {
        Ok(Keys::Leaf)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Keys, E> {
        Ok(Keys::Leaf)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Keys, E> {
        Ok(Keys::Leaf)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Keys, E> {
        Ok(Keys::Leaf)
    }

    fn visit_str<E>(self, _: &str) -> Result<Keys, E> {
        Ok(Keys::Leaf)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Keys, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Keys::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Keys, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Keys::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, field: &str) -> Option<(u32, u32)> {
        Places::of(text).find(field).map(|place| (place.line, place.column))
    }

    #[test]
    fn fields_have_the_places_of_their_keys_in_yaml_and_json() {
        let yaml = "kind: Policy\npriorities:\n- name: A\n  weight: 0\n- name: B\n";
        for (field, place) in [
            ("kind", (1, 1)),
            ("priorities[0].weight", (4, 3)),
            ("priorities[1]", (5, 3)),
            ("priorities[1].weight", (5, 3)),
            ("priorities[7].weight", (2, 1)),
            ("Priorities", (2, 1)),
            ("predicates", (1, 1)),
        ] {
            assert_eq!(told(yaml, field), Some(place), "{field}");
        }
        let json = "{\n\t\"kind\": \"Policy\",\n\t\"priorities\": [\n\t\t{\"name\": \"ä𝄞\", \"weight\": 0}\n\t]\n}";
        assert_eq!(told(json, "kind"), Some((2, 2)));
        assert_eq!(told(json, "priorities[0].weight"), Some((4, 19)), "columns count UTF-16 units");
        assert_eq!(told(json, ""), None, "the whole document has no place");
    }

    #[test]
    fn a_text_that_cannot_be_read_has_the_place_where_reading_stopped() {
        assert_eq!(told("{\n  \"kind\": Policy\n}", ""), Some((2, 11)));
        assert_eq!(told("kind: Policy\npriorities: [", "").map(|(line, _)| line), Some(2));
    }

    #[test]
    fn the_last_of_repeated_keys_and_the_longest_of_dotted_ones_count() {
        assert_eq!(told("a: 1\na: 2\n", "a"), Some((2, 1)));
        assert_eq!(told("a:\n  b: 1\na.b: 2\n", "a.b"), Some((3, 1)));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[-a-z0-9:\\[\\]{}&*!|>'\"#%, \n\tä𝄞]{0,80}", field in "[a-z\\[\\]0-9.]{0,20}") {
            let _ = told(&text, &field);
        }
    }
}
