//! JSON as a tree of values, which takes far more memory than its text and is charged for as such ([`super::allowance`]).

use serde_json::Value;

use super::{
    allowance::{self, UsedUp},
    decode::DecodeError,
};

/// Memory of a value in a growing list, and of an object with one further field (its entry, its place in the table; room for four is
/// made at once).
const VALUE: usize = 2 * size_of::<Value>();
const OBJECT: usize = 512;

/// Largest memory of a text as a tree, in bytes. Texts in it count with their length.
pub(super) fn weight(json: &[u8]) -> usize {
    let of = |byte: &u8| match byte {
        b'{' => OBJECT + VALUE,
        b'[' | b',' => VALUE,
        _ => 1,
    };
    json.iter().map(of).sum()
}

/// Reads a text as a tree within the allowance of the thread. The last of repeated fields counts.
///
/// # Errors
/// If there is no room, or the text is not JSON.
pub(super) fn parse(json: &[u8]) -> Result<Value, DecodeError> {
    allowance::for_text(json.len(), || {
        allowance::charge(weight(json)).map_err(|_: UsedUp| DecodeError::used_up())?;
        let fault = |error: serde_json::Error| DecodeError { field: String::new(), message: error.to_string() };
        serde_json::from_slice(json).map_err(fault)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_of_a_tree_covers_its_memory() {
        fn taken(value: &Value) -> usize {
            size_of::<Value>()
                + match value {
                    Value::Array(items) => items.iter().map(taken).sum(),
                    Value::Object(fields) => fields.iter().map(|(key, value)| 32 + key.len() + taken(value)).sum(),
                    Value::String(text) => text.len(),
                    _ => 0,
                }
        }
        for text in [r#"{"":0}"#, "[[],[],[[]]]", r#"{"a":{"b":[1,2,{"c":"ddd"}]},"e":null}"#, "[1,1,1,1]"] {
            let tree = parse(text.as_bytes()).expect("JSON");
            assert!(weight(text.as_bytes()) >= taken(&tree), "{text}");
        }
    }

    #[test]
    fn a_tree_that_is_far_larger_than_its_text_is_refused() {
        let many = format!("[{}]", vec![r#"{"":0}"#; 1_000_000].join(","));
        assert!(parse(many.as_bytes()).expect_err("too much").is_used_up());
    }
}
