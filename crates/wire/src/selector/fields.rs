//! Field selectors. A kind's row says by which fields its objects can be selected.
//!
//! Source: `apimachinery/pkg/fields/selector.go` (`ParseSelector`), `pkg/apis/core/v1/conversion.go` (the fields of each kind),
//! `apimachinery/pkg/runtime/conversion.go` (`DefaultMetaV1FieldSelectorConversion`).

use super::{Selected, SelectorError};

/// The fields by which objects of a kind can be selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fields {
    /// `metadata.name` and `metadata.namespace`.
    #[default]
    Metadata,
    /// `metadata.name` and these, of a kind that lists its fields; of one that has namespaces `metadata.namespace` too.
    Listed(&'static [Selectable]),
}

/// A field by which objects can be selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selectable {
    label: &'static str,
    at: &'static [&'static str],
    default: &'static str,
}

impl Selectable {
    /// The field of this name, as in `spec.nodeName`: two levels at most.
    pub const fn new(label: &'static str) -> Self {
        Self { label, at: &[], default: "" }
    }

    /// Another place in stored bodies than its name: the first of these that is not empty.
    #[must_use]
    pub const fn at(self, at: &'static [&'static str]) -> Self {
        Self { at, ..self }
    }

    /// The value where an object has none.
    #[must_use]
    pub const fn or(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    /// Its places in stored bodies.
    pub(super) fn places(&self) -> impl Iterator<Item = &'static str> {
        let own = self.at.is_empty().then_some(self.label);
        own.into_iter().chain(self.at.iter().copied())
    }

    pub(super) fn default_value(&self) -> &'static str {
        self.default
    }
}

/// The namespace, in the list of a kind that has it.
pub const NAMESPACE: Selectable = Selectable::new("metadata.namespace");

/// The node of a pod, by which watches of kubelets select.
pub const NODE: &str = "spec.nodeName";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldRequirement {
    field: Field,
    value: Box<str>,
    equal: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Namespace,
    /// The place in [`Fields::list`].
    Listed(usize),
}

impl FieldRequirement {
    pub(super) fn name(name: &str) -> Self {
        Self { field: Field::Name, value: name.into(), equal: true }
    }

    /// `true` if an object meets it.
    pub(super) fn holds(&self, object: &Selected) -> bool {
        let value = match self.field {
            Field::Name => &*object.name,
            Field::Namespace => &*object.namespace,
            Field::Listed(at) => object.fields.get(at).map_or("", |value| value),
        };
        (*value == *self.value) == self.equal
    }

    /// `true` unless an object's name, namespace or node, the listed field at a place, rules it out.
    pub(super) fn allows(&self, namespace: &str, name: &str, node: Option<(usize, &str)>) -> bool {
        let value = match (self.field, node) {
            (Field::Name, _) => name,
            (Field::Namespace, _) => namespace,
            (Field::Listed(at), Some((place, node))) if at == place => node,
            (Field::Listed(_), _) => return true,
        };
        (*value == *self.value) == self.equal
    }

    pub(super) fn is_metadata(&self) -> bool {
        matches!(self.field, Field::Name | Field::Namespace)
    }

    pub(super) fn exact_name(&self) -> Option<&str> {
        (self.equal && self.field == Field::Name).then_some(&self.value)
    }

    /// The value that a listed field must have.
    pub(super) fn exact(&self, at: usize) -> Option<&str> {
        (self.equal && self.field == Field::Listed(at)).then_some(&self.value)
    }
}

impl Fields {
    /// The fields besides name and namespace.
    pub(super) fn list(self) -> &'static [Selectable] {
        match self {
            Self::Metadata => &[],
            Self::Listed(list) => list,
        }
    }

    /// The place of the node among them.
    pub(super) fn node(self) -> Option<usize> {
        self.list().iter().position(|field| field.label == NODE)
    }

    fn find(self, label: &str) -> Result<Field, SelectorError> {
        let listed = self.list().iter().position(|field| field.label == label);
        match (self, label) {
            (_, "metadata.name") => Ok(Field::Name),
            (Self::Metadata, "metadata.namespace") => Ok(Field::Namespace),
            (Self::Metadata, _) => Err(SelectorError(format!(
                "{label:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            ))),
            (Self::Listed(_), "metadata.namespace") if listed.is_some() => Ok(Field::Namespace),
            (Self::Listed(_), _) => {
                listed.map(Field::Listed).ok_or_else(|| SelectorError(format!("field label not supported: {label}")))
            }
        }
    }

    /// Reads a field selector: fields compared by `=`, `==` or `!=`, joined by commas.
    pub(super) fn parse(self, text: &str) -> Result<Vec<FieldRequirement>, SelectorError> {
        let mut terms = terms(text);
        terms.sort_unstable();
        let split = terms.into_iter().filter(|term| !term.is_empty()).map(|term| {
            let (label, value, equal) = split(term)
                .ok_or_else(|| SelectorError(format!("invalid selector: '{text}'; can't understand '{term}'")))?;
            Ok((label, unescaped(value)?, equal))
        });
        // The form of all terms is looked at before the first field.
        let split = split.collect::<Result<Vec<_>, SelectorError>>()?;
        let named = split.into_iter().filter(|(label, value, _)| !(label.is_empty() && value.is_empty()));
        named.map(|(label, value, equal)| Ok(FieldRequirement { field: self.find(label)?, value, equal })).collect()
    }
}

/// The parts between commas that no backslash precedes.
fn terms(text: &str) -> Vec<&str> {
    let mut escaped = false;
    text.split(|c: char| {
        let ends = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })
    .collect()
}

/// The field, the value as it was written, and if they are to be equal.
fn split(term: &str) -> Option<(&str, &str, bool)> {
    let at = term
        .char_indices()
        .map(|(at, _)| at)
        .find(|at| term[*at..].starts_with("!=") || term[*at..].starts_with('='))?;
    let (label, rest) = term.split_at(at);
    match rest.strip_prefix("!=") {
        Some(value) => Some((label, value, false)),
        None => Some((label, rest.strip_prefix("==").or_else(|| rest.strip_prefix('='))?, true)),
    }
}

fn unescaped(value: &str) -> Result<Box<str>, SelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some(escaped @ ('\\' | ',' | '=')) => out.push(escaped),
                other => {
                    let sequence: String = std::iter::once('\\').chain(other).collect();
                    return Err(SelectorError(format!("invalid field selector: invalid escape sequence: {sequence}")));
                }
            },
            ',' | '=' => {
                let code = u32::from(c);
                return Err(SelectorError(format!("invalid field selector: unescaped character in value: {code}")));
            }
            _ => out.push(c),
        }
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::super::{Query, tests::BODY};
    use crate::kinds;

    fn parse(resource: &str, selector: &str) -> Result<Query, String> {
        let kind = kinds::by_key(resource).expect("a kind");
        Query::parse(kind.selectable, "", selector).map_err(|error| error.to_string())
    }

    #[test]
    fn field_selectors_select() {
        for (selector, expected) in [
            ("", true),
            (",", true),
            ("=", true),
            ("metadata.name=p", true),
            ("metadata.name==p,metadata.namespace=d", true),
            ("metadata.name=p,metadata.name=q", false),
            ("spec.nodeName!=", true),
            ("spec.nodeName=", false),
            ("spec.host=n1", true),
            ("status.phase!=Running", false),
            ("status.phase=Running,spec.nodeName=n1", true),
            ("spec.hostNetwork=true", true),
            ("spec.schedulerName=default-scheduler", true),
            ("spec.restartPolicy=Never", false),
            ("spec.serviceAccountName=", true),
            ("status.podIP=10.0.0.5", false),
            (r"metadata.name!=a\,b\=c\\", true),
        ] {
            assert_eq!(parse("pods", selector).map(|query| query.matches(BODY)), Ok(expected), "{selector}");
        }
        for body in [r#"{"metadata":{"name":"n"}}"#, r#"{"metadata":{"name":"n"},"spec":{"unschedulable":false}}"#] {
            assert_eq!(parse("nodes", "spec.unschedulable=false").map(|query| query.matches(body)), Ok(true));
        }
        let event =
            r#"{"metadata":{},"involvedObject":{"name":"p"},"source":{},"reportingComponent":"s","reason":"R"}"#;
        let by_source = "involvedObject.name=p,source=s,reason=R";
        assert_eq!(parse("events", by_source).map(|query| query.matches(event)), Ok(true));
        assert_eq!(
            parse("events.events.k8s.io", "regarding.name=p,reportingController=s").map(|query| query.matches(event)),
            Ok(true)
        );
    }

    #[test]
    fn invalid_field_selectors_are_refused_in_the_api_servers_words() {
        for (resource, selector, expected) in [
            ("pods", "spec.nope=a", "field label not supported: spec.nope"),
            ("pods", "=a", "field label not supported: "),
            ("pods", "metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
            ("pods", "spec.nope=a,x", "invalid selector: 'spec.nope=a,x'; can't understand 'x'"),
            ("pods", "metadata.name in (a,b)", "invalid selector: 'metadata.name in (a,b)'; can't understand 'b)'"),
            ("pods", r"metadata.name=a\b", r"invalid field selector: invalid escape sequence: \b"),
            ("pods", r"metadata.name=a\", r"invalid field selector: invalid escape sequence: \"),
            ("pods", "metadata.name=a=b", "invalid field selector: unescaped character in value: 61"),
            ("nodes", "metadata.namespace=a", "field label not supported: metadata.namespace"),
            ("nodes", "spec.nodeName=a", "field label not supported: spec.nodeName"),
            (
                "configmaps",
                "data=x",
                "\"data\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
            ),
        ] {
            assert_eq!(parse(resource, selector).expect_err("refused"), expected, "{resource} {selector}");
        }
    }

    #[test]
    fn a_demanded_name_or_node_is_found() {
        let query = parse("pods", "status.phase!=Failed,spec.nodeName=n1").expect("a selector");
        assert_eq!((query.node(), query.name(), query.is_by_name()), (Some("n1"), None, false));
        let query = parse("pods", "metadata.name=p,spec.nodeName!=n1").expect("a selector");
        assert_eq!((query.node(), query.name(), query.is_by_name()), (None, Some("p"), false));
        assert!(parse("configmaps", "metadata.name!=p").is_ok_and(|query| query.is_by_name()));
    }

    #[test]
    fn a_name_or_node_that_must_be_equal_makes_a_selection_narrow() {
        for (selector, is_narrow) in [
            ("", false),
            ("spec.nodeName=n1", true),
            ("spec.nodeName=", true),
            ("spec.nodeName!=n1", false),
            ("metadata.name=p,status.phase=Running", true),
            ("metadata.name!=p", false),
            ("metadata.namespace=d", false),
            ("spec.host=n1", false),
        ] {
            assert_eq!(parse("pods", selector).map(|query| query.is_narrow()), Ok(is_narrow), "{selector}");
        }
        assert_eq!(parse("nodes", "metadata.name=n").map(|query| query.is_narrow()), Ok(true));
    }

    #[test]
    fn name_and_node_rule_out_what_cannot_be_selected() {
        for (selector, expected) in [
            ("spec.nodeName=n1", true),
            ("spec.nodeName=n2", false),
            ("spec.nodeName=", false),
            ("spec.nodeName!=n1", false),
            ("metadata.name=p,spec.nodeName=n1", true),
            ("metadata.name=q,spec.nodeName=n1", false),
            ("metadata.namespace=e,spec.nodeName=n1", false),
            ("spec.nodeName=n1,status.phase=Failed", true),
        ] {
            let query = parse("pods", selector).expect("a selector");
            assert_eq!(query.may_select_on("d", "p", "n1"), expected, "{selector}");
        }
        let query = parse("pods", "spec.nodeName=n1,metadata.name=p").expect("a selector");
        assert!(query.may_select("d", "p") && !query.may_select("d", "q"), "wherever it is");
    }
}
