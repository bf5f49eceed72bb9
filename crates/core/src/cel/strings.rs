//! Functions on texts. Places count characters.
//!
//! Source: `cel-go/ext/strings.go`, version 2; `cel-go/common/types/string.go`.

use super::value::{Reason, Result, Value, conversion, list, no_overload, text};

pub(super) fn string(a: &[Value]) -> Result {
    Ok(match &a[0] {
        Value::String(_) => return Ok(a[0].clone()),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        _ => return Err(no_overload()),
    }
    .into())
}

pub(super) fn to_bool(a: &[Value]) -> Result {
    match &a[0] {
        Value::Bool(_) => Ok(a[0].clone()),
        Value::String(text) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            text => Err(conversion(text, "bool")),
        },
        _ => Err(no_overload()),
    }
}

pub(super) fn contains(a: &[Value]) -> Result {
    Ok(Value::Bool(text(&a[0])?.contains(&**text(&a[1])?)))
}

pub(super) fn starts_with(a: &[Value]) -> Result {
    Ok(Value::Bool(text(&a[0])?.starts_with(&**text(&a[1])?)))
}

pub(super) fn ends_with(a: &[Value]) -> Result {
    Ok(Value::Bool(text(&a[0])?.ends_with(&**text(&a[1])?)))
}

pub(super) fn lower(a: &[Value]) -> Result {
    Ok(text(&a[0])?.to_ascii_lowercase().into())
}

pub(super) fn upper(a: &[Value]) -> Result {
    Ok(text(&a[0])?.to_ascii_uppercase().into())
}

pub(super) fn trim(a: &[Value]) -> Result {
    Ok(text(&a[0])?.trim().into())
}

pub(super) fn quote(a: &[Value]) -> Result {
    let mut quoted = String::from("\"");
    for c in text(&a[0])?.chars() {
        match c {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' | '"' => quoted.extend(['\\', c]),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    Ok(quoted.into())
}

/// A place in a text of so many characters, its end included.
fn place(value: &Value, length: usize) -> std::result::Result<usize, Reason> {
    let Value::Int(at) = value else { return Err(no_overload()) };
    usize::try_from(*at).ok().filter(|at| *at <= length).ok_or_else(|| format!("index out of range: {at}").into())
}

pub(super) fn char_at(a: &[Value]) -> Result {
    let of = text(&a[0])?;
    let at = place(&a[1], of.chars().count())?;
    Ok(of.chars().nth(at).map(String::from).unwrap_or_default().into())
}

pub(super) fn substring(a: &[Value]) -> Result {
    let of = text(&a[0])?;
    let length = of.chars().count();
    let start = place(&a[1], length)?;
    let end = a.get(2).map_or(Ok(length), |end| place(end, length))?;
    if start > end {
        return Err(format!("invalid substring range. start: {start}, end: {end}").into());
    }
    Ok(of.chars().skip(start).take(end - start).collect::<String>().into())
}

/// The text as characters, and the byte at which each begins, the end included.
fn starts(text: &str) -> Vec<usize> {
    text.char_indices().map(|(at, _)| at).chain([text.len()]).collect()
}

pub(super) fn index_of(a: &[Value]) -> Result {
    let (of, part) = (text(&a[0])?, text(&a[1])?);
    let starts = starts(of);
    let from = a.get(2).map_or(Ok(0), |from| place(from, starts.len() - 1))?;
    let found = of[starts[from]..].find(&**part).map(|at| at + starts[from]);
    Ok(Value::Int(found.map_or(-1, |at| starts.partition_point(|start| *start < at) as i64)))
}

pub(super) fn last_index_of(a: &[Value]) -> Result {
    let (of, part) = (text(&a[0])?, text(&a[1])?);
    let starts = starts(of);
    let last = a.get(2).map_or(Ok(starts.len() - 1), |last| place(last, starts.len() - 1))?;
    let found = starts[..=last].iter().rposition(|start| of[*start..].starts_with(&**part));
    Ok(Value::Int(found.map_or(-1, |at| at as i64)))
}

pub(super) fn replace(a: &[Value]) -> Result {
    let (of, from, to) = (text(&a[0])?, text(&a[1])?, text(&a[2])?);
    let most = match a.get(3) {
        None => usize::MAX,
        Some(Value::Int(most)) => usize::try_from(*most).unwrap_or(usize::MAX),
        Some(_) => return Err(no_overload()),
    };
    // A replacement may make a text long.
    if of.len().saturating_add(1).saturating_mul(to.len()) > 1 << 20 {
        return Err("replace: the text would be too long".into());
    }
    Ok(of.replacen(&**from, to, most).into())
}

pub(super) fn split(a: &[Value]) -> Result {
    let (of, by) = (text(&a[0])?, text(&a[1])?);
    let most = match a.get(2) {
        None => None,
        Some(Value::Int(most)) => usize::try_from(*most).ok(),
        Some(_) => return Err(no_overload()),
    };
    let most = most.unwrap_or(usize::MAX);
    let parts: Vec<Value> = match most {
        0 => Vec::new(),
        _ if by.is_empty() => {
            let starts = starts(of);
            let count = (starts.len() - 1).min(most);
            (0..count).map(|i| of[starts[i]..if i + 1 == count { of.len() } else { starts[i + 1] }].into()).collect()
        }
        most => of.splitn(most, &**by).map(Value::from).collect(),
    };
    Ok(parts.into())
}

pub(super) fn join(a: &[Value]) -> Result {
    let by = a.get(1).map_or(Ok(""), |by| text(by).map(|by| &**by))?;
    let parts =
        list(&a[0])?.iter().map(|part| text(part).map(|part| &**part)).collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(parts.join(by).into())
}
