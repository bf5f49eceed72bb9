//! JSON patch (RFC 6902), as the API server's library does it.
//!
//! It differs from the RFC, and so from the crate `json-patch`: an index may be negative and then counts from the end, a `replace` of a
//! key that an object does not have adds it, and missing values are null.
//!
//! Source: `gopkg.in/evanphx/json-patch.v4/patch.go`, `apiserver/pkg/endpoints/handlers/patch.go` (`maxJSONPatchOperations`).

use serde::Deserialize;
use serde_json::Value;

use super::{PatchError, typed::same};
use crate::{document::MAX_DEPTH, fault::shortened, tree};

/// Largest number of operations, as in the API server.
pub const MOST_OPERATIONS: usize = 10_000;

/// Largest size of all values that operations copy, in bytes, as in the API server (`JSONPatchMaxCopyBytes`).
const MOST_COPIED: usize = 3 << 20;

/// Largest number of values that operations pass by: a patch of a few kilobytes cannot take seconds.
const MOST_STEPS: usize = 50_000_000;

/// One operation, read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Operation {
    op: String,
    path: String,
    from: String,
    value: Value,
}

/// Reads the operations of a patch.
///
/// # Errors
/// If the text is no list of operations, or there are more than [`MOST_OPERATIONS`].
pub(super) fn parse(body: &[u8]) -> Result<Vec<Operation>, PatchError> {
    let tree = tree::parse(body).map_err(|e| PatchError::bad_or_used_up("error decoding patch: ", e))?;
    let operations: Vec<Operation> =
        serde_json::from_value(tree).map_err(|e| PatchError::BadRequest(format!("error decoding patch: {e}")))?;
    match operations.len() {
        0..=MOST_OPERATIONS => Ok(operations),
        sent => Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {sent}"
        ))),
    }
}

/// Applies the operations in order. If one fails, none is.
pub(super) fn apply(mut document: Value, operations: &[Operation]) -> Result<Value, PatchError> {
    let mut spent = Spent::default();
    for (i, operation) in operations.iter().enumerate() {
        operation.apply(&mut document, &mut spent).map_err(|why| {
            let (op, path) = (&operation.op, &operation.path);
            PatchError::Unprocessable(shortened(format!("operation {i} of the JSON patch, {op:?} of {path:?}: {why}")))
        })?;
    }
    Ok(document)
}

/// The work that operations did so far.
#[derive(Debug, Default)]
struct Spent {
    copied: usize,
    steps: usize,
}

impl Spent {
    fn steps(&mut self, more: usize) -> Result<(), String> {
        self.steps += more;
        if self.steps > MOST_STEPS {
            Err("the patch moves and compares too much: send fewer operations".into())
        } else {
            Ok(())
        }
    }
}

impl Operation {
    fn apply(&self, document: &mut Value, spent: &mut Spent) -> Result<(), String> {
        let path = tokens(&self.path)?;
        match self.op.as_str() {
            "add" => put(document, &path, self.value.clone(), Put::Insert, spent),
            "replace" => put(document, &path, self.value.clone(), Put::Replace, spent),
            "remove" => take(document, &path, spent).map(drop),
            "move" => {
                let value = take(document, &tokens(&self.from)?, spent)?;
                put(document, &path, value, Put::Insert, spent)
            }
            "copy" => {
                let value = find(document, &tokens(&self.from)?)?.cloned().unwrap_or(Value::Null);
                spent.copied += size(&value);
                if spent.copied > MOST_COPIED {
                    return Err(format!(
                        "the operations copy more than {MOST_COPIED} bytes: write the values themselves"
                    ));
                }
                put(document, &path, value, Put::Insert, spent)
            }
            "test" => {
                let found = find(document, &path)?.unwrap_or(&Value::Null);
                spent.steps(1 + size(&self.value))?;
                if same(found, &self.value) { Ok(()) } else { Err("the value there is another".into()) }
            }
            _ => Err("there is no such operation: use add, remove, replace, move, copy or test".into()),
        }
    }
}

/// The parts of a JSON pointer.
fn tokens(pointer: &str) -> Result<Vec<String>, String> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let Some(rest) = pointer.strip_prefix('/') else { return Err("a path begins with a slash".into()) };
    let tokens: Vec<_> = rest.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect();
    if tokens.len() > MAX_DEPTH {
        return Err(format!("the path is deeper than {MAX_DEPTH} levels"));
    }
    Ok(tokens)
}

/// The index in a list of some length; negative ones count from the end.
fn index(token: &str, length: usize) -> Result<usize, String> {
    let index: i64 = token.parse().map_err(|_| format!("{token:?} is no index of a list"))?;
    let end = i64::try_from(length).unwrap_or(i64::MAX);
    let from_start = if index < 0 { index + end } else { index };
    usize::try_from(from_start)
        .ok()
        .filter(|at| *at < length)
        .ok_or_else(|| format!("index {index} is outside of the list"))
}

const MISSING: &str = "there is nothing at the path";

/// The value at a path. A key that the object does not have is no error: its value is null.
fn find<'d>(document: &'d Value, path: &[String]) -> Result<Option<&'d Value>, String> {
    let Some((last, above)) = path.split_last() else { return Ok(Some(document)) };
    let mut at = document;
    for token in above {
        at = step(at, token)?.ok_or(MISSING)?;
    }
    step(at, last)
}

fn step<'d>(at: &'d Value, token: &str) -> Result<Option<&'d Value>, String> {
    match at {
        Value::Object(fields) => Ok(fields.get(token)),
        Value::Array(items) => Ok(items.get(index(token, items.len())?)),
        _ => Err(MISSING.into()),
    }
}

/// The object or list that holds the last part of a path.
fn holder<'d>(document: &'d mut Value, above: &[String]) -> Result<&'d mut Value, String> {
    let mut at = document;
    for token in above {
        at = match at {
            Value::Object(fields) => fields.get_mut(token).ok_or(MISSING)?,
            Value::Array(items) => {
                let i = index(token, items.len())?;
                items.get_mut(i).ok_or(MISSING)?
            }
            _ => return Err(MISSING.into()),
        };
    }
    Ok(at)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Put {
    Insert,
    Replace,
}

fn put(document: &mut Value, path: &[String], value: Value, how: Put, spent: &mut Spent) -> Result<(), String> {
    if path.len() + depth(&value, spent)? > MAX_DEPTH {
        return Err(format!("the document would be nested deeper than {MAX_DEPTH} levels"));
    }
    let Some((last, above)) = path.split_last() else {
        if how == Put::Insert {
            return Err("a path names a field: use replace for the whole document".into());
        }
        *document = value;
        return Ok(());
    };
    match (holder(document, above)?, how) {
        (Value::Object(fields), _) => {
            fields.insert(last.clone(), value);
        }
        (Value::Array(items), Put::Insert) if last == "-" => items.push(value),
        (Value::Array(items), Put::Insert) => {
            let at = index(last, items.len() + 1)?;
            spent.steps(items.len() - at)?;
            items.insert(at, value);
        }
        (Value::Array(items), Put::Replace) => {
            let at = index(last, items.len())?;
            items[at] = value;
        }
        _ => return Err(MISSING.into()),
    }
    Ok(())
}

fn take(document: &mut Value, path: &[String], spent: &mut Spent) -> Result<Value, String> {
    let Some((last, above)) = path.split_last() else { return Err("the whole document cannot be taken out".into()) };
    match holder(document, above)? {
        Value::Object(fields) => {
            spent.steps(fields.len())?;
            fields.shift_remove(last).ok_or_else(|| MISSING.into())
        }
        Value::Array(items) => {
            let at = index(last, items.len())?;
            spent.steps(items.len() - at)?;
            Ok(items.remove(at))
        }
        _ => Err(MISSING.into()),
    }
}

/// Number of levels of a value: 0 for a scalar.
fn depth(value: &Value, spent: &mut Spent) -> Result<usize, String> {
    let mut deepest = 0;
    let mut open = vec![(value, 0)];
    while let Some((value, depth)) = open.pop() {
        deepest = deepest.max(depth);
        spent.steps(1)?;
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(fields) => open.extend(fields.values().map(|value| (value, depth + 1))),
            _ => {}
        }
    }
    Ok(deepest)
}

/// Length of a value's text, about.
fn size(value: &Value) -> usize {
    let mut size = 0;
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        size += 2;
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => {
                size += fields.keys().map(|key| key.len() + 4).sum::<usize>();
                open.extend(fields.values());
            }
            Value::String(text) => size += text.len(),
            _ => size += 4,
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(document: Value, operations: &Value) -> Result<Value, PatchError> {
        apply(document, &parse(operations.to_string().as_bytes())?)
    }

    #[test]
    fn negative_indices_count_from_the_end() {
        let of = |path: &str| patched(json!({"l": [1, 2, 3]}), &json!([{"op": "remove", "path": path}])).ok();
        assert_eq!(of("/l/-1"), Some(json!({"l": [1, 2]})));
        assert_eq!(of("/l/-3"), Some(json!({"l": [2, 3]})));
        assert_eq!(of("/l/-4"), None);
        assert_eq!(of("/l/3"), None);
        let added = patched(json!({"l": [1, 2]}), &json!([{"op": "add", "path": "/l/-1", "value": 9}]));
        assert_eq!(added.ok(), Some(json!({"l": [1, 2, 9]})));
    }

    #[test]
    fn a_patch_whose_test_fails_changes_nothing() {
        let refused = patched(
            json!({"k": "v"}),
            &json!([{"op": "replace", "path": "/k", "value": "w"}, {"op": "test", "path": "/k", "value": "v"}]),
        );
        let Err(PatchError::Unprocessable(why)) = refused else { panic!("refused") };
        assert!(why.starts_with("operation 1 of the JSON patch"), "{why}");
    }

    #[test]
    fn depth_copies_and_operations_are_bounded() {
        let deeper: Vec<_> = (0..200).map(|_| json!({"op": "move", "from": "/a", "path": "/b/a"})).collect();
        let deep = json!({"op": "add", "path": format!("{}/x", "/a".repeat(126)), "value": [[1]]});
        assert!(matches!(patched(json!({"a": {}, "b": {}}), &json!([deep])), Err(PatchError::Unprocessable(_))));
        assert!(patched(json!({"a": {}, "b": {}}), &json!(deeper)).is_err());
        let doubling: Vec<_> = (0..60).map(|_| json!({"op": "copy", "from": "/a", "path": "/a/-"})).collect();
        let error = patched(json!({"a": ["x".repeat(1000)]}), &json!(doubling)).expect_err("too much");
        assert!(matches!(error, PatchError::Unprocessable(_)), "{error:?}");
        let many = vec![json!({"op": "test", "path": "/a", "value": 1}); MOST_OPERATIONS + 1];
        assert!(matches!(patched(json!({"a": 1}), &json!(many)), Err(PatchError::TooLarge(_))));
    }
}
