//! Objects that are parsed once on their way in: what validation has parsed travels with the text, and the view takes it.

use bytes::Bytes;

use crate::{
    core::snapshot::{Kind, Object},
    store::Body,
    wire::{decode::DecodeError, fault::Cause, kinds::StoredKind, objects::Converted},
};

/// The object of a kind, as it travels with its text.
struct Parsed(Kind, Object);

/// A text that is an object of a kind.
#[derive(Debug)]
pub struct Validated<R> {
    /// The text, with what was parsed from it.
    pub body: Body,
    /// The result of `read`.
    pub read: R,
    /// The object's faults.
    pub causes: Vec<Cause>,
}

/// Parses and validates the text of an object. `read` gets the object, if decisions read its kind.
///
/// # Errors
/// If the text is not JSON, or a field has the wrong type.
pub fn validate<R>(
    kind: &StoredKind,
    text: impl Into<Bytes>,
    read: impl FnOnce(Option<&Object>) -> R,
) -> Result<Validated<R>, DecodeError> {
    let parse = |text: &Bytes| {
        let Converted { object, causes } = kind.validate(text)?;
        let read = read(object.as_ref());
        // What decisions cannot read is not theirs to have.
        let is_readable = causes.iter().all(|cause| !cause.unreadable);
        let parsed = kind.core().zip(object).filter(|_| is_readable);
        Ok::<_, DecodeError>((parsed.map(|(core, object)| Parsed(core, object)), (read, causes)))
    };
    let (body, (read, causes)) = Body::parse(text, parse)?;
    Ok(Validated { body, read, causes })
}

/// Takes the object that travels with a text of a kind.
pub(super) fn take(kind: &StoredKind, body: &Body) -> Option<Object> {
    let Parsed(core, object) = body.take_parsed()?;
    kind.is(core).then_some(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::kinds;

    fn kind(core: Kind) -> &'static StoredKind {
        kinds::by_core(core).expect("it is stored")
    }

    /// All that is stored of a kind is validated and then read leniently: the two must agree.
    #[test]
    fn what_travels_equals_what_is_read_from_the_text() {
        for kind in kinds::shared().filter(|kind| kind.core().is_some()) {
            let text = kind.example().to_string();
            let Validated { body, causes, .. } = validate(kind, text.clone(), |_| ()).expect("it is read");
            assert!(causes.iter().all(|cause| !cause.unreadable), "{}", kind.kind);
            let read = kind.parse(text.as_bytes()).expect("it is read").lenient().expect("it is readable");
            assert_eq!(take(kind, &body), Some(read), "{}", kind.kind);
            assert_eq!(take(kind, &body), None, "it is taken once");
        }
    }

    #[test]
    fn an_object_of_another_kind_is_not_taken() {
        let node = kind(Kind::Node);
        let Validated { body, .. } = validate(node, node.example().to_string(), |_| ()).expect("it is read");
        assert_eq!(take(kind(Kind::Pod), &body), None);
    }

    #[test]
    fn an_unreadable_object_does_not_travel() {
        let text = r#"{"metadata":{"name":"a"},"status":{"allocatable":{"cpu":"many"}}}"#;
        let Validated { body, causes, .. } = validate(kind(Kind::Node), text, |_| ()).expect("it is JSON");
        assert!(causes.iter().any(|cause| cause.unreadable), "{causes:?}");
        assert_eq!(take(kind(Kind::Node), &body), None);
    }
}
