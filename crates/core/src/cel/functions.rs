//! Functions of expressions.
//!
//! Source: `cel-go/common/stdlib/standard.go`, `cel-go/ext/{lists,sets}.go`, `apiserver/pkg/cel/library/{lists,quantity,semverlib,regex}.go`.
//! Those on texts are in [`super::strings`].

use std::{cmp::Ordering, sync::Arc};

use regex::{Regex, RegexBuilder};

use super::{
    Semver, strings,
    value::{Reason, Result, Value, conversion, list, no_overload, sorted, text, whole},
};
use crate::model::Quantity;

/// A function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function {
    pub name: &'static str,
    /// `true` if it stands behind its first argument.
    pub is_method: bool,
    /// How many arguments it takes.
    least: usize,
    most: usize,
    /// Cost besides that of the arguments' sizes, which count so many times.
    pub fixed: u64,
    pub weight: u64,
    pub call: fn(&[Value]) -> Result,
}

const fn function(name: &'static str, arity: usize, call: fn(&[Value]) -> Result) -> Function {
    Function { name, is_method: false, least: arity, most: arity, fixed: 0, weight: 1, call }
}

const fn method(name: &'static str, arity: usize, call: fn(&[Value]) -> Result) -> Function {
    Function { name, is_method: true, least: arity, most: arity, fixed: 0, weight: 1, call }
}

const fn with_more(function: Function, most: usize) -> Function {
    Function { most, ..function }
}

const fn costly(function: Function, fixed: u64, weight: u64) -> Function {
    Function { fixed, weight, ..function }
}

/// Every function.
static ALL: &[Function] = &[
    function("size", 1, size),
    method("size", 1, size),
    function("dyn", 1, |a| Ok(a[0].clone())),
    function("type", 1, |a| Ok(Value::Type(a[0].type_name()))),
    function("int", 1, int),
    function("uint", 1, uint),
    function("double", 1, double),
    function("string", 1, strings::string),
    function("bool", 1, strings::to_bool),
    costly(method("matches", 2, matches), 20, 8),
    costly(function("matches", 2, matches), 20, 8),
    costly(method("find", 2, find_first), 20, 8),
    costly(with_more(method("findAll", 2, find_all), 3), 20, 8),
    method("contains", 2, strings::contains),
    method("startsWith", 2, strings::starts_with),
    method("endsWith", 2, strings::ends_with),
    method("charAt", 2, strings::char_at),
    with_more(method("indexOf", 2, index_of), 3),
    with_more(method("lastIndexOf", 2, last_index_of), 3),
    method("lowerAscii", 1, strings::lower),
    method("upperAscii", 1, strings::upper),
    with_more(costly(method("replace", 3, strings::replace), 0, 4), 4),
    with_more(method("split", 2, strings::split), 3),
    with_more(method("substring", 2, strings::substring), 3),
    method("trim", 1, strings::trim),
    with_more(method("join", 1, strings::join), 2),
    function("strings.quote", 1, strings::quote),
    // Lists.
    method("isSorted", 1, is_sorted),
    method("sum", 1, sum),
    method("min", 1, |a| extreme(a, Ordering::Less)),
    method("max", 1, |a| extreme(a, Ordering::Greater)),
    costly(function("lists.range", 1, range), 0, 1),
    method("slice", 3, slice),
    with_more(method("flatten", 1, flatten), 2),
    costly(method("sort", 1, sort), 0, 16),
    costly(method("distinct", 1, distinct), 0, 1),
    method("reverse", 1, reverse),
    costly(function("sets.contains", 2, |a| sets(a, |a, b| b.iter().all(|item| has(a, item)))), 0, 1),
    costly(function("sets.intersects", 2, |a| sets(a, |a, b| b.iter().any(|item| has(a, item)))), 0, 1),
    costly(
        function("sets.equivalent", 2, |a| {
            sets(a, |a, b| a.iter().all(|item| has(b, item)) && b.iter().all(|item| has(a, item)))
        }),
        0,
        1,
    ),
    // Quantities and versions.
    function("quantity", 1, |a| text(&a[0])?.parse().map(Value::Quantity).map_err(quantity_fault)),
    function("isQuantity", 1, |a| Ok(Value::Bool(text(&a[0])?.parse::<Quantity>().is_ok()))),
    method("sign", 1, sign),
    function("sign", 1, sign),
    method("isInteger", 1, |a| Ok(Value::Bool(quantity(&a[0])?.units().is_some()))),
    method("asInteger", 1, |a| {
        quantity(&a[0])?.units().map(Value::Int).ok_or_else(|| "cannot convert value to integer".into())
    }),
    method("asApproximateFloat", 1, |a| Ok(Value::Double(quantity(&a[0])?.approximate()))),
    method("add", 2, |a| change(a, false)),
    method("sub", 2, |a| change(a, true)),
    method("isGreaterThan", 2, |a| Ok(Value::Bool(compare(a)? == Ordering::Greater))),
    method("isLessThan", 2, |a| Ok(Value::Bool(compare(a)? == Ordering::Less))),
    method("compareTo", 2, |a| Ok(Value::Int(compare(a)? as i64))),
    with_more(function("semver", 1, |a| semver(a).map(|v| Value::Semver(Arc::new(v)))), 2),
    with_more(function("isSemver", 1, is_semver), 2),
    method("major", 1, |a| part(&a[0], 0)),
    method("minor", 1, |a| part(&a[0], 1)),
    method("patch", 1, |a| part(&a[0], 2)),
    // Optional values.
    function("optional.of", 1, |a| Ok(Value::Optional(Some(Arc::new(a[0].clone()))))),
    function("optional.ofNonZeroValue", 1, |a| Ok(Value::Optional((!a[0].is_zero()).then(|| Arc::new(a[0].clone()))))),
    function("optional.none", 0, |_| Ok(Value::Optional(None))),
    method("hasValue", 1, |a| Ok(Value::Bool(optional(&a[0])?.is_some()))),
    method("value", 1, |a| optional(&a[0])?.ok_or_else(|| "optional.none() dereference".into())),
    method("or", 2, |a| {
        optional(&a[1])?;
        Ok(if optional(&a[0])?.is_some() { a[0].clone() } else { a[1].clone() })
    }),
    method("orValue", 2, |a| Ok(optional(&a[0])?.unwrap_or_else(|| a[1].clone()))),
];

/// The function of this name with so many arguments.
pub(super) fn find(name: &str, is_method: bool, arguments: usize) -> Option<&'static Function> {
    ALL.iter().find(|f| f.name == name && f.is_method == is_method && (f.least..=f.most).contains(&arguments))
}

fn quantity(value: &Value) -> std::result::Result<Quantity, Reason> {
    if let Value::Quantity(quantity) = value { Ok(*quantity) } else { Err(no_overload()) }
}

fn optional(value: &Value) -> std::result::Result<Option<Value>, Reason> {
    if let Value::Optional(value) = value { Ok(value.as_deref().cloned()) } else { Err(no_overload()) }
}

fn quantity_fault(fault: crate::model::QuantityError) -> Reason {
    fault.to_string().into()
}

fn size(a: &[Value]) -> Result {
    Ok(Value::Int(match &a[0] {
        Value::String(text) => text.chars().count(),
        Value::List(items) => items.len(),
        Value::Map(map) => map.entries().len(),
        _ => return Err(no_overload()),
    } as i64))
}

fn int(a: &[Value]) -> Result {
    let out_of_range = || Reason::from("integer overflow");
    Ok(Value::Int(match &a[0] {
        Value::Int(value) => *value,
        Value::Uint(value) => i64::try_from(*value).map_err(|_| out_of_range())?,
        // Up to the bounds of the type, and not at them.
        Value::Double(value) if value.abs() < 9_223_372_036_854_775_807.0 => *value as i64,
        Value::Double(_) => return Err(out_of_range()),
        Value::String(text) => text.parse().map_err(|_| conversion(text, "int"))?,
        _ => return Err(no_overload()),
    }))
}

fn uint(a: &[Value]) -> Result {
    let out_of_range = || Reason::from("unsigned integer overflow");
    Ok(Value::Uint(match &a[0] {
        Value::Uint(value) => *value,
        Value::Int(value) => u64::try_from(*value).map_err(|_| out_of_range())?,
        Value::Double(value) if (0.0..18_446_744_073_709_551_615.0).contains(value) => *value as u64,
        Value::Double(_) => return Err(out_of_range()),
        Value::String(text) => text.parse().map_err(|_| conversion(text, "uint"))?,
        _ => return Err(no_overload()),
    }))
}

fn double(a: &[Value]) -> Result {
    Ok(Value::Double(match &a[0] {
        Value::Double(value) => *value,
        Value::Int(value) => *value as f64,
        Value::Uint(value) => *value as f64,
        Value::String(text) => text.parse().map_err(|_| conversion(text, "double"))?,
        _ => return Err(no_overload()),
    }))
}

/// A regular expression. RE2 and the crate differ in few corners (`\C`, for one).
pub(super) fn pattern(text: &str) -> std::result::Result<Regex, String> {
    RegexBuilder::new(text).size_limit(1 << 18).build().map_err(|_| {
        let shown: String = text.chars().take(64).collect();
        format!("error parsing regexp, or it is too large: {shown:?}")
    })
}

fn matches(a: &[Value]) -> Result {
    Ok(Value::Bool(pattern(text(&a[1])?)?.is_match(text(&a[0])?)))
}

fn find_first(a: &[Value]) -> Result {
    let found = pattern(text(&a[1])?)?;
    Ok(found.find(text(&a[0])?).map_or("", |found| found.as_str()).into())
}

fn find_all(a: &[Value]) -> Result {
    let pattern = pattern(text(&a[1])?)?;
    let most = match a.get(2) {
        None => usize::MAX,
        Some(most) => usize::try_from(whole(most).ok_or_else(no_overload)?).unwrap_or(usize::MAX),
    };
    Ok(pattern.find_iter(text(&a[0])?).take(most).map(|found| Value::from(found.as_str())).collect::<Vec<_>>().into())
}

fn index_of(a: &[Value]) -> Result {
    let Value::List(items) = &a[0] else { return strings::index_of(a) };
    Ok(Value::Int(items.iter().position(|item| item.is_same(&a[1])).map_or(-1, |at| at as i64)))
}

fn last_index_of(a: &[Value]) -> Result {
    let Value::List(items) = &a[0] else { return strings::last_index_of(a) };
    Ok(Value::Int(items.iter().rposition(|item| item.is_same(&a[1])).map_or(-1, |at| at as i64)))
}

fn is_sorted(a: &[Value]) -> Result {
    let items = list(&a[0])?;
    for pair in items.windows(2) {
        if !pair[0].is_ordered_with(&pair[1]) {
            return Err(no_overload());
        }
        if pair[0].compare(&pair[1]) == Some(Ordering::Greater) {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

fn sum(a: &[Value]) -> Result {
    let mut items = list(&a[0])?.iter();
    let Some(mut sum) = items.next().cloned() else { return Ok(Value::Int(0)) };
    for item in items {
        sum = match (&sum, item) {
            (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_add(*b).ok_or("integer overflow")?),
            (Value::Uint(a), Value::Uint(b)) => Value::Uint(a.checked_add(*b).ok_or("unsigned integer overflow")?),
            (Value::Double(a), Value::Double(b)) => Value::Double(a + b),
            _ => return Err(no_overload()),
        };
    }
    Ok(sum)
}

fn extreme(a: &[Value], better: Ordering) -> Result {
    let name = if better == Ordering::Less { "min" } else { "max" };
    let mut items = list(&a[0])?.iter();
    let Some(mut best) = items.next() else { return Err(format!("{name} called on empty list").into()) };
    for item in items {
        if !best.is_ordered_with(item) {
            return Err(no_overload());
        }
        if item.compare(best) == Some(better) {
            best = item;
        }
    }
    Ok(best.clone())
}

/// The longest list that `lists.range` makes.
const MOST_RANGE: i64 = 10_000;

fn range(a: &[Value]) -> Result {
    let Value::Int(end) = a[0] else { return Err(no_overload()) };
    if end > MOST_RANGE {
        return Err(format!("lists.range: {end} is more than {MOST_RANGE}").into());
    }
    Ok((0..end).map(Value::Int).collect::<Vec<_>>().into())
}

fn slice(a: &[Value]) -> Result {
    let items = list(&a[0])?;
    let (Value::Int(start), Value::Int(end)) = (&a[1], &a[2]) else { return Err(no_overload()) };
    let bounds = usize::try_from(*start).ok().zip(usize::try_from(*end).ok());
    let part = bounds.and_then(|(start, end)| items.get(start..end));
    part.map(|part| part.to_vec().into())
        .ok_or_else(|| format!("cannot slice({start}, {end}), the list has {} items", items.len()).into())
}

fn flatten(a: &[Value]) -> Result {
    fn flat(items: &[Value], depth: i64, into: &mut Vec<Value>) {
        for item in items {
            match item {
                Value::List(inner) if depth > 0 => flat(inner, depth - 1, into),
                item => into.push(item.clone()),
            }
        }
    }
    let depth = match a.get(1) {
        None => 1,
        Some(Value::Int(depth)) if *depth >= 0 => *depth,
        Some(Value::Int(_)) => return Err("level must be non-negative".into()),
        Some(_) => return Err(no_overload()),
    };
    let mut found = Vec::new();
    flat(list(&a[0])?, depth, &mut found);
    Ok(found.into())
}

fn sort(a: &[Value]) -> Result {
    sorted(list(&a[0])?.iter().map(|item| (item.clone(), item.clone())).collect())
}

fn distinct(a: &[Value]) -> Result {
    let items = bounded(&a[0])?;
    let mut found: Vec<Value> = Vec::new();
    for item in items {
        if !has(&found, item) {
            found.push(item.clone());
        }
    }
    Ok(found.into())
}

fn reverse(a: &[Value]) -> Result {
    Ok(list(&a[0])?.iter().rev().cloned().collect::<Vec<_>>().into())
}

fn has(items: &[Value], item: &Value) -> bool {
    items.iter().any(|other| other.is_same(item))
}

/// The longest list whose items are held against each other.
const MOST_COMPARED: usize = 512;

fn bounded(value: &Value) -> std::result::Result<&[Value], Reason> {
    let items = list(value)?;
    if items.len() > MOST_COMPARED {
        return Err(format!("a list of {} items is too long here, {MOST_COMPARED} are allowed", items.len()).into());
    }
    Ok(items)
}

fn sets(a: &[Value], holds: impl Fn(&[Value], &[Value]) -> bool) -> Result {
    Ok(Value::Bool(holds(bounded(&a[0])?, bounded(&a[1])?)))
}

fn sign(a: &[Value]) -> Result {
    let quantity = quantity(&a[0])?;
    Ok(Value::Int(quantity.cmp(&Quantity::default()) as i64))
}

/// A quantity, or the whole number, added or taken away.
fn change(a: &[Value], away: bool) -> Result {
    let by = match &a[1] {
        Value::Int(units) => Quantity::from_units(*units),
        other => quantity(other)?,
    };
    let of = quantity(&a[0])?;
    Ok(Value::Quantity(if away { of.saturating_sub(by) } else { of.saturating_add(by) }))
}

fn compare(a: &[Value]) -> std::result::Result<Ordering, Reason> {
    match (&a[0], &a[1]) {
        (Value::Quantity(a), Value::Quantity(b)) => Ok(a.cmp(b)),
        (Value::Semver(a), Value::Semver(b)) => Ok(a.cmp(b)),
        _ => Err(no_overload()),
    }
}

fn semver(a: &[Value]) -> std::result::Result<Semver, Reason> {
    let version = text(&a[0])?;
    let version = match a.get(1) {
        None | Some(Value::Bool(false)) => Semver::parse(version),
        Some(Value::Bool(true)) => Semver::parse_normalized(version),
        Some(_) => return Err(no_overload()),
    };
    version.map_err(Reason::from)
}

fn is_semver(a: &[Value]) -> Result {
    text(&a[0])?;
    Ok(Value::Bool(semver(a).is_ok()))
}

fn part(value: &Value, at: usize) -> Result {
    let Value::Semver(version) = value else { return Err(no_overload()) };
    Ok(Value::Int(version.numbers()[at] as i64))
}
