//! The selectors of a query string: `labelSelector=app=web,tier in (a,b),!old` and `fieldSelector=spec.nodeName=n`.
//!
//! Source: `apimachinery/pkg/labels/selector.go` (`Parser`), `apimachinery/pkg/fields/selector.go` (`ParseSelector`).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{decode, objects::names};
use podberth_core::model::{Labels, Name, Operator, Requirement, Selector};

/// Why a selector cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to parse requirement: {0}")]
pub struct SelectorError(String);

/// The selection of a list or a watch. The default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    labels: Selector,
    fields: Vec<FieldRequirement>,
}

/// The fields that can be selected by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Namespace,
    NodeName,
    Phase,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldRequirement {
    field: Field,
    value: String,
    equal: bool,
}

/// The part of an object that selectors read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    metadata: HeadMeta,
    spec: HeadSpec,
    status: HeadStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HeadMeta {
    name: String,
    namespace: String,
    labels: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct HeadSpec {
    node_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HeadStatus {
    phase: String,
}

impl Query {
    /// Reads both selectors; empty ones select everything.
    ///
    /// # Errors
    /// The first requirement with a fault.
    pub fn parse(label_selector: &str, field_selector: &str) -> Result<Self, SelectorError> {
        Ok(Self { labels: parse_labels(label_selector)?, fields: parse_fields(field_selector)? })
    }

    /// `true` if it selects everything.
    pub fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// How many steps of [`work`](podberth_core::work) it takes to hold the labels of one object against it.
    pub fn cost(&self) -> u64 {
        self.labels.cost()
    }

    /// `true` if a stored object is selected. An unreadable object is not.
    pub fn matches(&self, body: &str) -> bool {
        if self.is_everything() {
            return true;
        }
        let Ok(head) = decode::from_slice::<Head>(body.as_bytes()) else { return false };
        let labels: Labels = head.metadata.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        self.labels.matches(&labels)
            && self.fields.iter().all(|required| {
                let value = match required.field {
                    Field::Name => &head.metadata.name,
                    Field::Namespace => &head.metadata.namespace,
                    Field::NodeName => &head.spec.node_name,
                    Field::Phase => &head.status.phase,
                };
                (*value == required.value) == required.equal
            })
    }
}

/// Reads a field selector: `metadata.name`, `metadata.namespace`, `spec.nodeName` or `status.phase`, each compared by
/// `=`, `==` or `!=`, joined by commas.
fn parse_fields(text: &str) -> Result<Vec<FieldRequirement>, SelectorError> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value, equal) = if let Some((name, value)) = part.split_once("!=") {
                (name, value, false)
            } else if let Some((name, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (name, value, true)
            } else {
                return Err(SelectorError(format!("invalid field selector {part:?}; can't understand it")));
            };
            let field = match name.trim() {
                "metadata.name" => Field::Name,
                "metadata.namespace" => Field::Namespace,
                "spec.nodeName" => Field::NodeName,
                "status.phase" => Field::Phase,
                other => return Err(SelectorError(format!("field label not supported: {other}"))),
            };
            Ok(FieldRequirement { field, value: value.trim().into(), equal })
        })
        .collect()
}

/// Reads a label selector as kubectl writes it. An empty text selects everything.
///
/// # Errors
/// The unexpected text, and the expected one.
pub fn parse_labels(text: &str) -> Result<Selector, SelectorError> {
    let mut parser = Parser { tokens: tokens(text).collect(), at: 0 };
    let mut selector = Selector::default();
    while parser.peek().is_some() {
        selector.0.push(parser.requirement()?);
        match parser.next() {
            None => break,
            Some(",") if matches!(parser.peek(), Some(t) if t == "!" || is_identifier(t)) => {}
            Some(",") => return Err(parser.unexpected("identifier after ','")),
            Some(_) => {
                parser.at -= 1;
                return Err(parser.unexpected("',' or 'end of string'"));
            }
        }
    }
    Ok(selector)
}

const SYMBOLS: [&str; 9] = ["!=", "==", "=", "!", "(", ")", ",", ">", "<"];

fn is_identifier(token: &str) -> bool {
    !SYMBOLS.contains(&token)
}

/// Symbols, the longest first, and the text between them.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let length = match SYMBOLS.iter().find(|s| rest.starts_with(**s)) {
            Some(symbol) => symbol.len(),
            None => rest.find([' ', '\t', '\r', '\n', '=', '!', '(', ')', ',', '>', '<']).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        (!token.is_empty()).then_some(token)
    })
}

struct Parser<'t> {
    tokens: Vec<&'t str>,
    at: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<&'t str> {
        self.tokens.get(self.at).copied()
    }

    fn next(&mut self) -> Option<&'t str> {
        let token = self.peek();
        self.at += usize::from(token.is_some());
        token
    }

    fn unexpected(&self, expected: &str) -> SelectorError {
        SelectorError(format!("found '{}', expected: {expected}", self.peek().unwrap_or("")))
    }

    fn identifier(&mut self) -> Result<&'t str, SelectorError> {
        match self.peek() {
            Some(token) if is_identifier(token) => {
                self.at += 1;
                Ok(token)
            }
            _ => Err(self.unexpected("identifier")),
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let absent = self.peek() == Some("!");
        self.at += usize::from(absent);
        let key = self.identifier()?;
        names::qualified_name(key).map_err(|rule| SelectorError(format!("<nil>: Invalid value: {key:?}: {rule}")))?;
        let operator = match self.peek() {
            None | Some(",") => {
                if absent {
                    Operator::DoesNotExist
                } else {
                    Operator::Exists
                }
            }
            _ if absent => return Err(self.unexpected("',' or 'end of string'")),
            Some(operator) => {
                self.at += 1;
                match operator {
                    "=" | "==" => Operator::In(vec![self.value()?]),
                    "!=" => Operator::NotIn(vec![self.value()?]),
                    ">" => Operator::Gt(self.integer()?),
                    "<" => Operator::Lt(self.integer()?),
                    "in" => Operator::In(self.values()?),
                    "notin" => Operator::NotIn(self.values()?),
                    _ => {
                        self.at -= 1;
                        return Err(self.unexpected("in, notin, =, ==, !=, gt, lt"));
                    }
                }
            }
        };
        Ok(Requirement { key: key.into(), operator })
    }

    /// A single value; nothing at all is the empty one.
    fn value(&mut self) -> Result<Name, SelectorError> {
        match self.peek() {
            None | Some(",") => Ok("".into()),
            _ => checked(self.identifier()?),
        }
    }

    fn integer(&mut self) -> Result<i64, SelectorError> {
        let value = self.value()?;
        value.parse().map_err(|_| SelectorError(format!("for 'Gt', 'Lt' operators, {value:?} must be an integer")))
    }

    /// `(a, b)`, where nothing between commas is the empty value.
    fn values(&mut self) -> Result<Vec<Name>, SelectorError> {
        if self.next() != Some("(") {
            self.at = self.at.saturating_sub(1);
            return Err(self.unexpected("'('"));
        }
        let mut values = Vec::new();
        loop {
            match self.peek() {
                Some("," | ")") => values.push("".into()),
                _ => values.push(checked(self.identifier()?)?),
            }
            match self.next() {
                Some(",") => {}
                Some(")") => return Ok(values),
                _ => {
                    self.at = self.at.saturating_sub(1);
                    return Err(self.unexpected("',' or ')'"));
                }
            }
        }
    }
}

fn checked(value: &str) -> Result<Name, SelectorError> {
    match names::label_value(value) {
        Ok(()) => Ok(value.into()),
        Err(rule) => Err(SelectorError(format!("Invalid value: {value:?}: {rule}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"metadata":{"name":"p","namespace":"d","labels":{"app":"web","n":"5","empty":""}},
                           "spec":{"nodeName":"n1","other":[1]},"status":{"phase":"Running"}}"#;

    #[test]
    fn label_selectors_select() {
        for (selector, expected) in [
            ("", true),
            ("app", true),
            ("!app", false),
            ("!missing", true),
            ("app=web", true),
            ("app == web , n!=4", true),
            ("app!=web", false),
            ("missing!=web", true),
            ("app in (db, web)", true),
            ("app in (db,)", false),
            ("empty in ()", true),
            ("empty=", true),
            ("app=,n", false),
            ("app notin (db)", true),
            ("in=x", false),
            ("in notin (in,notin)", true),
            ("n>4,n<6", true),
            ("n>5", false),
            ("k8s.io/App_1=x", false),
        ] {
            let query = Query::parse(selector, "").unwrap_or_else(|e| panic!("{selector}: {e}"));
            assert_eq!(query.matches(BODY), expected, "{selector}");
        }
    }

    #[test]
    fn invalid_label_selectors_are_refused() {
        for bad in [
            ",",
            "a,",
            "a,,b",
            "a=b=c",
            "!a=b",
            "a b",
            "a in",
            "a in b",
            "a in (b",
            "a in (b c)",
            "=a",
            "a>x",
            "-a",
            "a=$",
            "!",
            "a in (=)",
        ] {
            assert!(parse_labels(bad).is_err(), "{bad}");
        }
        assert_eq!(
            parse_labels("a b").unwrap_err().to_string(),
            "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"
        );
    }

    #[test]
    fn field_selectors_select() {
        for (selector, expected) in [
            ("metadata.name=p", true),
            ("metadata.name==p,metadata.namespace=d", true),
            ("spec.nodeName!=", true),
            ("spec.nodeName=", false),
            ("status.phase!=Running", false),
            ("status.phase=Running,spec.nodeName=n1", true),
        ] {
            assert_eq!(Query::parse("", selector).unwrap().matches(BODY), expected, "{selector}");
        }
        assert!(Query::parse("", "spec.color=red").is_err() && Query::parse("", "metadata.name").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_selector_panics(text in "\\PC*", near in "([a-z!=(),<> ]|in|notin){0,20}") {
            for text in [&text, &near] {
                let _ = parse_labels(text);
                let _ = Query::parse("", text).map(|q| q.matches(text));
            }
        }
    }
}
