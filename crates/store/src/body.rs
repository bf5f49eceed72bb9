//! The text of an object, together with what was parsed from it.

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// A value parsed from a text, until it is taken.
type Parsed = Option<Box<dyn Any + Send>>;

/// The text of an object. Only the text is stored and compared.
///
/// The value that was parsed from the text may travel with it, so that the reader of a write does not parse it again. It is there once: clones share
/// it, and the first reader takes it.
#[derive(Clone, Default)]
pub struct Body {
    text: Bytes,
    /// Made from `text` in [`Body::parse`], and nowhere else.
    parsed: Option<Arc<Mutex<Parsed>>>,
}

impl Body {
    /// Parses a text, and lets the first value that `parse` returns travel with it. The second one is passed on.
    ///
    /// # Errors
    /// Those of `parse`.
    pub fn parse<T: Send + 'static, R, E>(
        text: impl Into<Bytes>,
        parse: impl FnOnce(&Bytes) -> Result<(Option<T>, R), E>,
    ) -> Result<(Self, R), E> {
        let text = text.into();
        let (parsed, rest) = parse(&text)?;
        let parsed = parsed.map(|parsed| Arc::new(Mutex::new(Some(Box::new(parsed) as Box<dyn Any + Send>))));
        Ok((Self { text, parsed }, rest))
    }

    /// The value that was parsed from the text, if it is of this type and nobody has taken it.
    pub fn take_parsed<T: 'static>(&self) -> Option<T> {
        // It is whole after any panic: it is only taken.
        let mut parsed = self.parsed.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = parsed.take_if(|parsed| parsed.is::<T>())?;
        taken.downcast().ok().map(|parsed| *parsed)
    }

    /// The text, if it is UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.text).ok()
    }

    /// The text alone.
    #[must_use]
    pub fn unparsed(&self) -> Self {
        self.text.clone().into()
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.text
    }
}

impl From<Bytes> for Body {
    fn from(text: Bytes) -> Self {
        Self { text, parsed: None }
    }
}

impl From<Body> for Bytes {
    fn from(body: Body) -> Self {
        body.text
    }
}

/// Conversions from and comparisons with what [`Bytes`] has them for.
macro_rules! as_bytes {
    (from: $($from:ty)+; compared: $($other:ty)+;) => {
        $(impl From<$from> for Body {
            fn from(text: $from) -> Self {
                Bytes::from(text).into()
            }
        })+
        $(impl PartialEq<$other> for Body {
            fn eq(&self, other: &$other) -> bool {
                self.text == *other
            }
        })+
    };
}

as_bytes! {
    from: String Vec<u8> &'static str &'static [u8];
    compared: str [u8] Bytes &str &[u8];
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Body {}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn a_parsed_value_travels_with_its_text_and_is_taken_once() {
        let parse = |text: &Bytes| Ok::<_, Infallible>((Some(text.len()), "the rest"));
        let Ok((body, rest)) = Body::parse("12", parse);
        assert_eq!((rest, body.take_parsed::<String>()), ("the rest", None), "it is of another type");
        assert_eq!(body.unparsed().take_parsed::<usize>(), None);
        let copy = body.clone();
        assert_eq!((copy.take_parsed::<usize>(), body.take_parsed::<usize>()), (Some(2), None));
    }

    #[test]
    fn bodies_are_equal_if_their_texts_are() {
        let Ok((parsed, ())) = Body::parse("12", |_| Ok::<_, Infallible>((Some(12), ())));
        assert_eq!(parsed, Body::from("12"));
        assert_ne!(parsed, Body::from("13"));
        assert_eq!(parsed, "12");
    }
}
