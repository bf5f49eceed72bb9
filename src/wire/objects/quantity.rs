//! Quantities and lists of them.

use std::{collections::BTreeMap, fmt};

use serde::de::{Deserialize, Deserializer, Visitor};

use crate::{
    core::model::{Name, Quantity, ResourceList},
    wire::fault::{Faults, Path},
};

/// An amount with an optional suffix, as in `500m` or `1Gi`. A JSON number is read too.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[schema(as = Quantity, value_type = String, example = "500m")]
pub struct QuantityText(pub String);

impl<'de> Deserialize<'de> for QuantityText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = QuantityText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity: text or a number")
            }

            fn visit_str<E>(self, text: &str) -> Result<QuantityText, E> {
                Ok(QuantityText(text.into()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<QuantityText, E> {
                Ok(QuantityText(number.to_string()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<QuantityText, E> {
                Ok(QuantityText(number.to_string()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<QuantityText, E> {
                Ok(QuantityText(number.to_string()))
            }

            fn visit_unit<E>(self) -> Result<QuantityText, E> {
                Ok(QuantityText("0".into()))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// The amounts, parsed. One that is no quantity is left out, with a fault; a negative one stays, with a fault.
pub fn resource_list(map: &BTreeMap<String, QuantityText>, at: &Path<'_>, faults: &mut Faults) -> ResourceList {
    map.iter()
        .filter_map(|(name, text)| Some((Name::from(name.as_str()), amount(&text.0, &at.key(name), faults)?)))
        .collect()
}

fn amount(text: &str, at: &Path<'_>, faults: &mut Faults) -> Option<Quantity> {
    match text.parse::<Quantity>() {
        Ok(quantity) => {
            if quantity.is_negative() {
                faults.invalid(at, text, "must be greater than or equal to 0");
            }
            Some(quantity)
        }
        Err(error) => {
            faults.unreadable(at, text, error);
            None
        }
    }
}
