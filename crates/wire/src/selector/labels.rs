//! Label selectors.
//!
//! Source: `apimachinery/pkg/labels/selector.go` (`Parser`, `NewRequirement`).

use podberth_core::model::{Name, Operator, Requirement, Selector};

use super::SelectorError;
use crate::objects::names;

/// The operators between a key and its values, as an error lists them.
const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

/// Reads a label selector as kubectl writes it. An empty text selects everything.
///
/// # Errors
/// The unexpected text, and the expected one.
pub fn parse_labels(text: &str) -> Result<Selector, SelectorError> {
    let mut parser = Parser { tokens: tokens(text).collect(), at: 0 };
    let mut selector = Selector::default();
    while let Some(token) = parser.peek() {
        if token != "!" && !is_identifier(token) {
            return Err(found(token, "!, identifier, or 'end of string'"));
        }
        let requirement = parser.requirement();
        selector.0.push(
            requirement.map_err(|SelectorError(why)| SelectorError(format!("unable to parse requirement: {why}")))?,
        );
        match parser.next() {
            "" => break,
            "," => match parser.peek() {
                Some(next) if next == "!" || is_identifier(next) => {}
                next => return Err(found(next.unwrap_or_default(), "identifier after ','")),
            },
            other => return Err(found(other, "',' or 'end of string'")),
        }
    }
    Ok(selector)
}

fn found(token: &str, expected: &str) -> SelectorError {
    SelectorError(format!("found '{token}', expected: {expected}"))
}

const SYMBOLS: [&str; 9] = ["!=", "==", "=", "!", "(", ")", ",", ">", "<"];

fn is_identifier(token: &str) -> bool {
    !token.is_empty() && !SYMBOLS.contains(&token)
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

/// The end of the text is an empty token.
struct Parser<'t> {
    tokens: Vec<&'t str>,
    at: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<&'t str> {
        self.tokens.get(self.at).copied()
    }

    fn next(&mut self) -> &'t str {
        let token = self.peek();
        self.at += usize::from(token.is_some());
        token.unwrap_or_default()
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let mut key = self.next();
        let is_absent = key == "!";
        if is_absent {
            key = self.next();
        }
        if !is_identifier(key) {
            return Err(found(key, "identifier"));
        }
        names::qualified_name(key).map_err(|rule| SelectorError(format!("<nil>: Invalid value: {key:?}: {rule}")))?;
        let operator = match self.peek() {
            _ if is_absent => Operator::DoesNotExist,
            None | Some(",") => Operator::Exists,
            Some(operator) => {
                self.at += 1;
                match operator {
                    "=" | "==" => Operator::In(checked(key, self.value()?)?),
                    "!=" => Operator::NotIn(checked(key, self.value()?)?),
                    ">" => Operator::Gt(integer(key, &self.value()?)?),
                    "<" => Operator::Lt(integer(key, &self.value()?)?),
                    "in" => Operator::In(checked(key, self.values()?)?),
                    "notin" => Operator::NotIn(checked(key, self.values()?)?),
                    other => return Err(found(other, OPERATORS)),
                }
            }
        };
        Ok(Requirement { key: key.into(), operator })
    }

    /// A single value; nothing at all is the empty one.
    fn value(&mut self) -> Result<Vec<&'t str>, SelectorError> {
        match self.peek() {
            None | Some(",") => Ok(vec![""]),
            Some(token) if is_identifier(token) => Ok(vec![self.next()]),
            Some(token) => Err(found(token, "identifier")),
        }
    }

    /// `(a, b)`, where nothing between commas is the empty value.
    fn values(&mut self) -> Result<Vec<&'t str>, SelectorError> {
        let open = self.next();
        if open != "(" {
            return Err(SelectorError(format!("found '{open}' expected: '('")));
        }
        match self.peek().unwrap_or_default() {
            ")" => {
                self.at += 1;
                return Ok(vec![""]);
            }
            "," => {}
            token if is_identifier(token) => {}
            token => return Err(found(token, "',', ')' or identifier")),
        }
        let mut values = Vec::new();
        loop {
            match self.next() {
                "," => {
                    if values.is_empty() {
                        values.push("");
                    }
                    if self.peek() == Some(",") {
                        self.at += 1;
                        values.push("");
                    }
                    if self.peek() == Some(")") {
                        self.at += 1;
                        values.push("");
                        return Ok(values);
                    }
                }
                token if is_identifier(token) => {
                    values.push(token);
                    match self.peek().unwrap_or_default() {
                        "," => {}
                        ")" => {
                            self.at += 1;
                            return Ok(values);
                        }
                        other => return Err(found(other, "',' or ')'")),
                    }
                }
                other => return Err(found(other, "',', or identifier")),
            }
        }
    }
}

/// The values of a requirement, sorted, each once.
fn checked(key: &str, mut values: Vec<&str>) -> Result<Vec<Name>, SelectorError> {
    values.sort_unstable();
    values.dedup();
    let faults: Vec<String> = values.iter().enumerate().filter_map(|(at, value)| fault(key, at, value)).collect();
    if faults.is_empty() { Ok(values.into_iter().map(Name::from).collect()) } else { Err(together(&faults)) }
}

fn fault(key: &str, at: usize, value: &str) -> Option<String> {
    let rule = names::label_value(value).err()?;
    Some(format!("values[{at}][{key}]: Invalid value: {value:?}: {rule}"))
}

fn together(faults: &[String]) -> SelectorError {
    SelectorError(if let [one] = faults { one.clone() } else { format!("[{}]", faults.join(", ")) })
}

fn integer(key: &str, values: &[&str]) -> Result<i64, SelectorError> {
    let value = values.first().copied().unwrap_or_default();
    let parsed = value.parse::<i64>().map_err(|_| {
        format!("values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer")
    });
    match (parsed, fault(key, 0, value)) {
        (Ok(value), None) => Ok(value),
        (parsed, fault) => Err(together(&parsed.err().into_iter().chain(fault).collect::<Vec<_>>())),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Fields, Query, tests::BODY},
        *,
    };

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
            let query = Query::parse(Fields::Metadata, selector, "").unwrap_or_else(|e| panic!("{selector}: {e}"));
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
        for (bad, expected) in [
            ("app=web=db", "found '=', expected: ',' or 'end of string'"),
            ("!app=web", "found '=', expected: ',' or 'end of string'"),
            ("app=w!b", "found '!', expected: ',' or 'end of string'"),
            ("=web", "found '=', expected: !, identifier, or 'end of string'"),
            ("a,", "found '', expected: identifier after ','"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            ("app in web", "unable to parse requirement: found 'web' expected: '('"),
            ("app notin", "unable to parse requirement: found '' expected: '('"),
            ("app in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
            ("app in (web", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("app in (a,=)", "unable to parse requirement: found '=', expected: ',', or identifier"),
            ("app=(", "unable to parse requirement: found '(', expected: identifier"),
            (
                "n>1.5",
                "unable to parse requirement: values[0]: Invalid value: \"1.5\": for 'Gt', 'Lt' operators, the value must \
                 be an integer",
            ),
        ] {
            assert_eq!(parse_labels(bad).unwrap_err().to_string(), expected, "{bad}");
        }
        let twice = parse_labels("app in (b/, a/)").unwrap_err().to_string();
        assert!(twice.starts_with("unable to parse requirement: [values[0][app]: Invalid value: \"a/\""), "{twice}");
        assert!(twice.contains(", values[1][app]: Invalid value: \"b/\""), "{twice}");
    }

    proptest::proptest! {
        #[test]
        fn no_selector_panics(text in "\\PC*", near in "([a-z!=(),<> ]|in|notin){0,20}") {
            for text in [&text, &near] {
                let _ = parse_labels(text);
                let _ = Query::parse(Fields::Metadata, "", text).map(|q| q.matches(text));
            }
        }
    }
}
