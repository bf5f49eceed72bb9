//! The part of an object's metadata that decides about its end.

use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{
    decode::{self, DecodeError},
    document::Document,
};

/// Metadata that deletions read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// The time at which the object's grace is over; `None` while nobody deletes it.
    #[serde(default, deserialize_with = "instant")]
    pub deletion_timestamp: Option<Timestamp>,
    /// Its grace.
    #[serde(default)]
    pub deletion_grace_period_seconds: Option<i64>,
    /// The names of those who wait for it to be deleted.
    #[serde(default, deserialize_with = "or_default")]
    pub finalizers: Vec<String>,
    /// The objects without which it is to go.
    #[serde(default, deserialize_with = "or_default")]
    pub owner_references: Vec<Owner>,
    /// How often its spec changed.
    #[serde(default, deserialize_with = "or_default")]
    pub generation: i64,
}

/// An owner of an object, as far as deletions read it (`meta/v1` OwnerReference).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Owner {
    /// Its uid.
    pub uid: String,
    /// `true` if its deletion in the foreground waits for the object.
    pub block_owner_deletion: Option<bool>,
}

/// A field that is null counts as absent.
fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// An instant in RFC 3339, if there is one.
fn instant<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

/// Reads a value.
pub(super) fn read<T: DeserializeOwned>(raw: &RawValue, field: &str) -> Result<T, DecodeError> {
    decode::from_slice(raw.get().as_bytes()).map_err(|error| DecodeError { field: field.into(), ..error })
}

impl Meta {
    /// That of an object.
    ///
    /// # Errors
    /// If a field has the wrong type.
    pub fn of(document: &Document) -> Result<Self, DecodeError> {
        fn field<T: DeserializeOwned + Default>(document: &Document, name: &str) -> Result<T, DecodeError> {
            match document.metadata(name) {
                Some(raw) if raw.get() != "null" => read(raw, &format!("metadata.{name}")),
                _ => Ok(T::default()),
            }
        }
        let until: Option<String> = field(document, "deletionTimestamp")?;
        let until = until.map(|text| text.parse()).transpose().map_err(|error: jiff::Error| DecodeError {
            field: "metadata.deletionTimestamp".into(),
            message: error.to_string(),
        })?;
        Ok(Self {
            deletion_timestamp: until,
            deletion_grace_period_seconds: field(document, "deletionGracePeriodSeconds")?,
            finalizers: field(document, "finalizers")?,
            owner_references: field(document, "ownerReferences")?,
            generation: field(document, "generation")?,
        })
    }

    /// The grace as rules count it: a negative one is a second.
    pub(super) fn grace_seconds(&self) -> Option<i64> {
        self.deletion_grace_period_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds })
    }
}
