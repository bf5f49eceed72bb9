//! Reading of the fields that selectors name, without building the rest of the object.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{Fields, Selected};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: Option<Box<str>>,
    namespace: Option<Box<str>>,
    labels: Option<BTreeMap<String, Option<String>>>,
}

/// The values found, by the place that they stand at.
type Found = Vec<(&'static str, String)>;

pub(super) fn selected(fields: Fields, body: &str) -> Option<Selected> {
    let places: Vec<&'static str> = fields.list().iter().flat_map(super::Selectable::places).collect();
    let mut found = Found::new();
    let mut deserializer = serde_json::Deserializer::from_str(body);
    let metadata = Top { places: &places, found: &mut found }.deserialize(&mut deserializer).ok()?;
    let value = |place: &str| found.iter().find(|(at, value)| *at == place && !value.is_empty());
    let of_field = |field: &super::Selectable| {
        let value = field.places().find_map(value).map(|(_, value)| value.as_str());
        value.unwrap_or(field.default_value()).into()
    };
    let labels = metadata.labels.unwrap_or_default();
    Some(Selected {
        namespace: metadata.namespace.unwrap_or_default(),
        name: metadata.name.unwrap_or_default(),
        labels: labels.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect(),
        fields: fields.list().iter().map(of_field).collect(),
    })
}

/// An object, of which the metadata and the values at some places are read.
struct Top<'f> {
    places: &'f [&'static str],
    found: &'f mut Found,
}

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = Metadata;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Metadata, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = Metadata;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Metadata, A::Error> {
        let mut metadata = Metadata::default();
        while let Some(key) = entries.next_key::<String>()? {
            if key == "metadata" {
                metadata = entries.next_value::<Option<Metadata>>()?.unwrap_or_default();
                continue;
            }
            let below = |place: &&&'static str| {
                place.strip_prefix(&*key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            let places: Vec<&'static str> = self.places.iter().filter(below).copied().collect();
            if places.is_empty() {
                entries.next_value::<IgnoredAny>()?;
            } else {
                entries.next_value_seed(Value { at: &key, places: &places, found: self.found })?;
            }
        }
        Ok(metadata)
    }
}

/// A value at a place, or below which places are.
struct Value<'f> {
    at: &'f str,
    places: &'f [&'static str],
    found: &'f mut Found,
}

impl Value<'_> {
    fn note(self, value: String) {
        if let Some(place) = self.places.iter().find(|place| **place == self.at) {
            self.found.push((place, value));
        }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.note(value.to_string());
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.note(value.to_string());
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.note(value.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.note(value.to_string());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.note(value.to_owned());
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(key) = entries.next_key::<String>()? {
            let place = format!("{}.{key}", self.at);
            let wanted: Vec<&'static str> = self.places.iter().filter(|wanted| **wanted == place).copied().collect();
            if wanted.is_empty() {
                entries.next_value::<IgnoredAny>()?;
            } else {
                entries.next_value_seed(Value { at: &place, places: &wanted, found: self.found })?;
            }
        }
        Ok(())
    }
}
