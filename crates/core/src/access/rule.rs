//! One rule of a role.

use std::fmt;

use super::{Attributes, ResourceAttributes};
use crate::model::Name;

/// Actions that a role allows: on resources, or on paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// `get`; `*` for any.
    pub verbs: Vec<Name>,
    /// API groups; `*` for any, empty text for the core group.
    pub groups: Vec<Name>,
    /// `pods`, `pods/status`, `*/scale`; `*` for any with its subresources.
    pub resources: Vec<Name>,
    /// The objects; none for any.
    pub names: Vec<Name>,
    /// Paths that are no resources; a `*` at the end stands for any rest.
    pub paths: Vec<Name>,
}

impl Rule {
    /// `true` if the rule allows a request.
    pub fn allows(&self, attributes: &Attributes<'_>) -> bool {
        match attributes {
            Attributes::Path { verb, path } => {
                has(&self.verbs, verb) && self.paths.iter().any(|pattern| path_matches(pattern, path))
            }
            Attributes::Resource(ResourceAttributes { verb, group, resource, subresource, name, .. }) => {
                has(&self.verbs, verb)
                    && has(&self.groups, group)
                    && self.resources.iter().any(|of| resource_matches(of, resource, subresource))
                    && (self.names.is_empty() || self.names.iter().any(|one| **one == **name))
            }
        }
    }

    /// `true` if all that another rule allows is allowed by this one, as `ruleCovers` has it: part by part.
    pub(super) fn covers(&self, other: &Self) -> bool {
        has_all(&self.verbs, &other.verbs)
            && has_all(&self.groups, &other.groups)
            && other.resources.iter().all(|resource| self.covers_resource(resource))
            && (self.names.is_empty()
                || (!other.names.is_empty() && other.names.iter().all(|name| self.names.contains(name))))
            && other.paths.iter().all(|path| {
                self.paths
                    .iter()
                    .any(|of| of == path || of.ends_with('*') && path.starts_with(of.trim_end_matches('*')))
            })
    }

    fn covers_resource(&self, resource: &str) -> bool {
        let star = |below: &str| self.resources.iter().any(|of| of.strip_prefix("*/") == Some(below));
        has(&self.resources, resource) || resource.split_once('/').is_some_and(|(_, below)| star(below))
    }
}

/// `true` if a list has a word, or `*`.
fn has(list: &[Name], word: &str) -> bool {
    list.iter().any(|one| &**one == "*" || &**one == word)
}

fn has_all(list: &[Name], words: &[Name]) -> bool {
    list.iter().any(|one| &**one == "*") || words.iter().all(|word| list.contains(word))
}

fn resource_matches(of: &str, resource: &str, subresource: &str) -> bool {
    if of == "*" {
        return true;
    }
    if subresource.is_empty() {
        return of == resource;
    }
    of.strip_suffix(subresource).and_then(|of| of.strip_suffix('/')).is_some_and(|of| of == "*" || of == resource)
}

fn path_matches(pattern: &str, path: &str) -> bool {
    pattern == "*" || pattern == path || pattern.ends_with('*') && path.starts_with(pattern.trim_end_matches('*'))
}

/// A text in quotation marks, as Go's `%q` writes it.
pub fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// A list of texts as Go's `%q` writes it: `["get" "list"]`.
pub(super) fn quoted_list(texts: &[Name]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(" "))
}

/// The short form of `pkg/apis/rbac/v1/evaluation_helpers.go`, `CompactString`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.paths),
            ("ResourceNames", &self.names),
            ("Verbs", &self.verbs),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(name, list)| format!("{name}:{}", quoted_list(list)))
            .collect();
        write!(f, "{{{}}}", parts.join(", "))
    }
}
