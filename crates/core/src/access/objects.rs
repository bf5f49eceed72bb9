//! Roles and bindings, as they are stored.

use std::fmt;

use imbl::OrdMap;

use super::{RBAC, Rule, service_account};
use crate::model::{Labels, Name, Selector};

/// A Role or a ClusterRole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// Its rules; those of an aggregated role are the ones it was stored with.
    pub rules: Vec<Rule>,
    /// By these the ClusterRoles find it whose rules are made of others.
    pub labels: Labels,
    /// Of a ClusterRole whose rules are made of those of others: their labels, one selector or another.
    pub aggregates: Option<Vec<Selector>>,
}

/// The two kinds of roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleKind {
    /// Of the binding's namespace.
    Role,
    /// Of the cluster.
    ClusterRole,
}

impl RoleKind {
    /// `ClusterRole`
    pub fn name(self) -> &'static str {
        match self {
            Self::Role => "Role",
            Self::ClusterRole => "ClusterRole",
        }
    }

    /// `clusterroles`
    pub fn plural(self) -> &'static str {
        match self {
            Self::Role => "roles",
            Self::ClusterRole => "clusterroles",
        }
    }
}

/// A role by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRef {
    /// Its kind.
    pub kind: RoleKind,
    /// Its name.
    pub name: Name,
}

/// There is no such role, as bindings to it are told of.
impl fmt::Display for RoleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.plural().trim_end_matches('s');
        write!(f, "{kind}.{RBAC} {:?} not found", &*self.name)
    }
}

/// Someone to whom a role is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A user by name.
    User(Name),
    /// All users of a group.
    Group(Name),
    /// A service account.
    ServiceAccount {
        /// Its namespace; that of the binding where it is empty.
        namespace: Name,
        /// Its name.
        name: Name,
    },
}

impl Subject {
    /// The user or group name under which requests come, in a binding of a namespace (empty: of the cluster).
    pub(super) fn key(&self, within: &str) -> Option<(bool, Name)> {
        match self {
            Self::User(name) => Some((false, name.clone())),
            Self::Group(name) => Some((true, name.clone())),
            Self::ServiceAccount { namespace, name } => {
                let namespace = if namespace.is_empty() { within } else { namespace };
                (!namespace.is_empty()).then(|| (false, service_account(namespace, name).into()))
            }
        }
    }

    /// The subject in a reason.
    pub(super) fn describe(&self, within: &str) -> String {
        match self {
            Self::User(name) => format!("User {:?}", &**name),
            Self::Group(name) => format!("Group {:?}", &**name),
            Self::ServiceAccount { namespace, name } => {
                let namespace = if namespace.is_empty() { within } else { namespace };
                format!("ServiceAccount {:?}", format!("{name}/{namespace}"))
            }
        }
    }
}

/// A RoleBinding or a ClusterRoleBinding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The role that is given.
    pub role: RoleRef,
    /// To these.
    pub subjects: Vec<Subject>,
    /// The clusters in which it counts, by name or by its beginning and `*`; `None` for all. Only bindings that count
    /// for several clusters have it.
    pub clusters: Option<Vec<Name>>,
}

/// The namespace, empty for kinds without, and the name of an object.
pub type Key = (Name, Name);

/// An object that decides on access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A Role.
    Role(Role),
    /// A ClusterRole.
    ClusterRole(Role),
    /// A RoleBinding.
    RoleBinding(Binding),
    /// A ClusterRoleBinding.
    ClusterRoleBinding(Binding),
}

/// The roles and bindings of a cluster. Clones share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    pub(super) roles: OrdMap<Key, Role>,
    pub(super) cluster_roles: OrdMap<Name, Role>,
    pub(super) role_bindings: OrdMap<Key, Binding>,
    pub(super) cluster_role_bindings: OrdMap<Name, Binding>,
}

impl Objects {
    /// Puts an object in place of one of that kind and name.
    pub fn put(&mut self, (namespace, name): Key, object: Object) {
        match object {
            Object::Role(role) => drop(self.roles.insert((namespace, name), role)),
            Object::ClusterRole(role) => drop(self.cluster_roles.insert(name, role)),
            Object::RoleBinding(binding) => drop(self.role_bindings.insert((namespace, name), binding)),
            Object::ClusterRoleBinding(binding) => drop(self.cluster_role_bindings.insert(name, binding)),
        }
    }

    /// Takes an object out, by its resource.
    pub fn remove(&mut self, resource: &str, (namespace, name): Key) {
        match resource {
            "roles" => drop(self.roles.remove(&(namespace, name))),
            "clusterroles" => drop(self.cluster_roles.remove(&name)),
            "rolebindings" => drop(self.role_bindings.remove(&(namespace, name))),
            "clusterrolebindings" => drop(self.cluster_role_bindings.remove(&name)),
            _ => {}
        }
    }

    /// The ClusterRoles whose rules are made of those of others.
    pub fn aggregated(&self) -> impl Iterator<Item = (&Name, &Role)> {
        self.cluster_roles.iter().filter(|(_, role)| role.aggregates.is_some())
    }
}
