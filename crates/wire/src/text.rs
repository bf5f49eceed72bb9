//! Text that is borrowed from its JSON where possible.

use std::{borrow::Cow, fmt, ops::Deref};

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A JSON string: a part of the document where it is written there as it is meant, else a copy without escapes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text<'a>(Cow<'a, str>);

impl<'a> Text<'a> {
    /// The string without escapes with which some JSON begins, and how many bytes it takes there; `None` where it begins with
    /// anything else.
    pub fn plain_at(json: &'a str) -> Option<(Self, usize)> {
        let text = json.strip_prefix('"')?;
        let end = text.bytes().position(|byte| matches!(byte, b'"' | b'\\' | ..b' '))?;
        let plain = text.get(..end).filter(|_| text.as_bytes()[end] == b'"')?;
        Some((Self(plain.into()), end + 2))
    }

    /// `true` if quotes around it make it JSON.
    pub fn is_plain(&self) -> bool {
        matches!(self.0, Cow::Borrowed(_))
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(text.into()))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                // Most of it is `null`, which is the empty text.
                Ok(Text(if text.is_empty() { "".into() } else { text.to_owned().into() }))
            }
        }
        deserializer.deserialize_str(Reader)
    }
}
