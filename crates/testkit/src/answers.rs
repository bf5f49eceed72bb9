//! Recorded answers of other programs, held against ours: all that the recorded one names has to be there and equal; more may be there.
//!
//! Lists are sets, but for those named `order` and `steps`. Quantities and numbers are compared by value; texts of `message` and `error` only have to be there, and of
//! `podsRemainUnschedulable` only the keys count.

use std::{fs::File, io::Read, path::Path};

use flate2::read::GzDecoder;
use serde_json::{Map, Value};

/// The cases of a file of gzipped JSON lines.
///
/// # Panics
/// If the file cannot be read.
pub fn cases(path: &Path) -> Vec<Value> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).expect("the file is gzipped text");
    text.lines().map(|line| serde_json::from_str(line).expect("a case is JSON")).collect()
}

/// A case without its name and its answer: the body of the request.
///
/// # Panics
/// If the case is no object.
pub fn request(case: &Value) -> Value {
    let fields = case.as_object().expect("a case is an object");
    let told = ["id", "suite", "what", "expect"];
    let kept = fields.iter().filter(|(key, _)| !told.contains(&key.as_str()));
    Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>())
}

/// The first difference, where there is one.
pub fn difference(expected: &Value, got: &Value) -> Option<String> {
    differs(expected, got, "", "")
}

/// The first difference to an answer that may name alternatives in `anyOf`.
pub fn difference_of_any(expected: &Value, got: &Value) -> Option<String> {
    let mut fixed = expected.clone();
    let alternatives = fixed.as_object_mut().and_then(|fields| fields.remove("anyOf"));
    difference(&fixed, got).or_else(|| {
        let alternatives = alternatives?;
        let differences: Option<Vec<String>> =
            alternatives.as_array()?.iter().map(|one| difference(one, got)).collect();
        differences.and_then(|differences| Some(format!("none of the alternatives: {}", differences.first()?)))
    })
}

fn differs(expected: &Value, got: &Value, key: &str, at: &str) -> Option<String> {
    let is_empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    if matches!(key, "message" | "error") {
        return is_empty(got).then(|| format!("{at}: absent"));
    }
    match expected {
        Value::Object(_) if key == "podsRemainUnschedulable" => {
            let keys = |of: &Value| -> Vec<String> {
                of.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
            };
            let (mut a, mut b) = (keys(expected), keys(got));
            a.sort();
            b.sort();
            (a != b).then(|| format!("{at}: {b:?}, expected {a:?}"))
        }
        Value::Object(fields) => {
            if fields.is_empty() && is_empty(got) {
                return None;
            }
            let Some(other) = got.as_object() else { return Some(format!("{at}: {got}, expected an object")) };
            fields.iter().find_map(|(key, value)| {
                differs(value, other.get(key).unwrap_or(&Value::Null), key, &format!("{at}.{key}"))
            })
        }
        Value::Array(list) => {
            let nothing = Vec::new();
            let other = if is_empty(got) { &nothing } else { got.as_array().unwrap_or(&nothing) };
            if other.len() != list.len() {
                return Some(format!("{at}: {got}, expected {expected}"));
            }
            if matches!(key, "order" | "steps") || at.is_empty() {
                return list
                    .iter()
                    .zip(other)
                    .enumerate()
                    .find_map(|(i, (a, b))| differs(a, b, "", &format!("{at}[{i}]")));
            }
            let mut left: Vec<&Value> = other.iter().collect();
            list.iter().find_map(|wanted| match left.iter().position(|one| differs(wanted, one, "", "?").is_none()) {
                Some(place) => {
                    left.swap_remove(place);
                    None
                }
                None => Some(format!("{at}: {wanted} is missing in {got}")),
            })
        }
        _ => {
            let equal = match (amount(expected), amount(got)) {
                (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(1.0),
                _ => expected == got || *expected == "" && is_empty(got),
            };
            (!equal).then(|| format!("{at}: {got}, expected {expected}"))
        }
    }
}

/// The value of a number or a quantity.
pub fn amount(value: &Value) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 16] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
        ("", 1.0),
    ];
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => SUFFIXES.iter().find_map(|(suffix, factor)| {
            let digits = text.strip_suffix(suffix)?;
            // No name is a number, as `inf` would be.
            let plain = digits.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
            plain.then(|| digits.parse::<f64>().ok()).flatten().map(|number| number * factor)
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_differ_where_a_named_value_does() {
        let expected = json!({"a": "500m", "list": [{"x": 1}, {"x": 2}], "order": ["n1", "n2"], "message": "any"});
        let mut got = json!({"a": 0.5, "list": [{"x": 2, "y": 0}, {"x": 1}], "order": ["n1", "n2"], "message": "other", "more": 1});
        assert_eq!(difference(&expected, &got), None);
        got["order"] = json!(["n2", "n1"]);
        assert!(difference(&expected, &got).is_some_and(|told| told.contains("order")));
        got["order"] = json!(["n1", "n2"]);
        got["list"] = json!([{"x": 1}, {"x": 3}]);
        assert!(difference(&expected, &got).is_some());
        let any = json!({"fixed": 1, "anyOf": [{"n": 1}, {"n": 2}]});
        assert_eq!(difference_of_any(&any, &json!({"fixed": 1, "n": 2})), None);
        assert!(difference_of_any(&any, &json!({"fixed": 1, "n": 3})).is_some());
        assert!(difference_of_any(&any, &json!({"fixed": 2, "n": 1})).is_some());
    }
}
