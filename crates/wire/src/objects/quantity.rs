//! Quantities and lists of them.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::de::{Deserialize, Deserializer, Visitor};

use crate::fault::{Faults, Path};
use podberth_core::model::{Name, Quantity, ResourceList};

/// An amount with an optional suffix, as in `500m` or `1Gi`. A JSON number is read too.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[schema(as = Quantity, value_type = String, example = "500m")]
pub struct QuantityText(pub String);

impl<'de> Deserialize<'de> for QuantityText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Written::deserialize(deserializer).map(|written| Self(written.0.into_owned()))
    }
}

/// A quantity as text, borrowed if the text needs no decoding.
#[derive(Debug)]
pub(super) struct Written<'a>(Cow<'a, str>);

impl Written<'_> {
    /// The amount as [`resource_list`] reads it.
    pub(super) fn amount(&self, at: &Path<'_>, faults: &mut Faults) -> Option<Quantity> {
        amount(&self.0, at, faults)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Written<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Written<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity: text or a number")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Written<'de>, E> {
                Ok(Written(text.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Written<'de>, E> {
                Ok(Written(text.to_owned().into()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Written<'de>, E> {
                Ok(Written(number.to_string().into()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Written<'de>, E> {
                Ok(Written(number.to_string().into()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Written<'de>, E> {
                Ok(Written(number.to_string().into()))
            }

            fn visit_unit<E>(self) -> Result<Written<'de>, E> {
                Ok(Written("0".into()))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// The amounts, parsed. One that is no quantity is left out, with a fault.
pub fn resource_list(map: &BTreeMap<String, QuantityText>, at: &Path<'_>, faults: &mut Faults) -> ResourceList {
    map.iter()
        .filter_map(|(name, text)| Some((Name::from(name.as_str()), amount(&text.0, &at.key(name), faults)?)))
        .collect()
}

/// The amount; an invalid text is a fault. `wire::validation` reports negative amounts.
pub(crate) fn amount(text: &str, at: &Path<'_>, faults: &mut Faults) -> Option<Quantity> {
    // Blanks around it are passed over (`Quantity.UnmarshalJSON`).
    match text.trim().parse::<Quantity>() {
        Ok(quantity) => Some(quantity),
        Err(error) => {
            faults.unreadable(at, text, error);
            None
        }
    }
}
