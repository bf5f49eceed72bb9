//! Access control as verdicts: roles, bindings, a user and a request in, allowed or denied with the reason out.
//!
//! This is Kubernetes' RBAC. [`Objects`] holds the roles and bindings of a cluster, [`Access`] is what they compile to, in layers:
//! the [built-in](built_in::access) roles at the bottom, those that count for all clusters above, a cluster's own on top. A name is
//! looked up from the layer of its binding downwards, so that no cluster changes the meaning of a binding below it.
//!
//! Source: `plugin/pkg/auth/authorizer/rbac/rbac.go`, `pkg/registry/rbac/validation/rule.go`, `pkg/apis/rbac/v1/evaluation_helpers.go`.

use std::{borrow::Cow, collections::BTreeMap};

use crate::model::Name;

pub mod built_in;
mod compiled;
mod covers;
mod objects;
mod rule;
#[cfg(test)]
mod tests;

pub use compiled::{Access, Grant, Verdict};
pub use covers::{Excess, MOST_RULES, excess};
pub use objects::{Binding, Key, Object, Objects, Role, RoleKind, RoleRef, Subject};
pub use rule::{Rule, quoted};

/// Users of this group may do everything, whatever roles say.
pub const MASTERS: &str = "system:masters";
/// The group of all users that are known.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of those that are not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The name of a user that is not known.
pub const ANONYMOUS: &str = "system:anonymous";
/// The API group of roles and bindings.
pub const RBAC: &str = "rbac.authorization.k8s.io";
/// The API group of Podberth's own resources.
pub const OWN: &str = "podberth.io";

/// The sender of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name that bindings name.
    pub name: Name,
    /// Tells apart users that had the same name at different times; may be empty.
    pub uid: String,
    /// The groups.
    pub groups: Vec<Name>,
    /// Anything else that an authenticator tells.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user with groups.
    pub fn new<'n>(name: &str, groups: impl IntoIterator<Item = &'n str>) -> Self {
        Self { name: name.into(), groups: groups.into_iter().map(Name::from).collect(), ..Self::default() }
    }

    /// `true` if the user is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|of| &**of == group)
    }

    /// `true` if the user may do everything, whatever roles say.
    pub fn is_master(&self) -> bool {
        self.is_in(MASTERS)
    }
}

/// The user name of a service account (`apiserver/pkg/authentication/serviceaccount/util.go`).
pub fn service_account(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// The namespace and the name of the service account that a user name means.
pub fn split_service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

/// The parts of a request that rights are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attributes<'a> {
    /// An action on resources.
    Resource(ResourceAttributes<'a>),
    /// A path that is no resource.
    Path {
        /// The HTTP method in lower case.
        verb: Cow<'a, str>,
        /// The path.
        path: Cow<'a, str>,
    },
}

/// An action on resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceAttributes<'a> {
    /// `get`, `list`, `create`, …
    pub verb: Cow<'a, str>,
    /// The API group; empty for the core group.
    pub group: Cow<'a, str>,
    /// The version, which no rule reads.
    pub version: Cow<'a, str>,
    /// `pods`
    pub resource: Cow<'a, str>,
    /// `binding`; empty for the resource itself.
    pub subresource: Cow<'a, str>,
    /// Empty for all namespaces, and for resources without.
    pub namespace: Cow<'a, str>,
    /// Empty where the request names no object.
    pub name: Cow<'a, str>,
}

impl<'a> ResourceAttributes<'a> {
    /// An action on a group's resource.
    pub fn new(verb: &'a str, group: &'a str, resource: &'a str) -> Self {
        let [verb, group, resource] = [verb, group, resource].map(Cow::Borrowed);
        Self { verb, group, resource, ..Self::default() }
    }

    /// These on a subresource.
    #[must_use]
    pub fn below(self, subresource: &'a str) -> Self {
        Self { subresource: subresource.into(), ..self }
    }

    /// These in a namespace.
    #[must_use]
    pub fn within(self, namespace: &'a str) -> Self {
        Self { namespace: namespace.into(), ..self }
    }

    /// These on one object.
    #[must_use]
    pub fn named(self, name: &'a str) -> Self {
        Self { name: name.into(), ..self }
    }
}

impl Attributes<'_> {
    /// The namespace of the request; empty if it is in none.
    pub fn namespace(&self) -> &str {
        match self {
            Self::Resource(attributes) => &attributes.namespace,
            Self::Path { .. } => "",
        }
    }

    /// The sentence of a refusal (`apiserver/pkg/endpoints/handlers/responsewriters/errors.go`, `forbiddenMessage`).
    pub fn refusal(&self, user: &str) -> String {
        match self {
            Self::Path { verb, path } => format!("User {} cannot {verb} path {}", quoted(user), quoted(path)),
            Self::Resource(ResourceAttributes { verb, group, resource, subresource, namespace, .. }) => {
                let below = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
                let resource = quoted(&format!("{resource}{below}"));
                let place = if namespace.is_empty() {
                    "at the cluster scope".into()
                } else {
                    format!("in the namespace {}", quoted(namespace))
                };
                format!(
                    "User {} cannot {verb} resource {resource} in API group {} {place}",
                    quoted(user),
                    quoted(group)
                )
            }
        }
    }
}

/// `true` if a name is one of a list of patterns, each a name that may end in `*`.
pub fn is_one_of<P: AsRef<str>>(patterns: &[P], name: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.as_ref().strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern.as_ref() == name,
    })
}
