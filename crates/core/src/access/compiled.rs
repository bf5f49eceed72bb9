//! Roles and bindings, compiled for questions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rustc_hash::FxHashMap;

use super::{Attributes, Binding, Key, Objects, Role, RoleKind, RoleRef, Rule, User, is_one_of};
use crate::model::Name;

/// One layer of roles and bindings, on top of those below.
#[derive(Debug, Default)]
pub struct Access {
    below: Option<Arc<Self>>,
    objects: Objects,
    /// The rules of ClusterRoles, also of those below; aggregated ones are filled in.
    cluster_roles: BTreeMap<Name, Arc<[Rule]>>,
    /// ClusterRoleBindings by name, then RoleBindings by namespace and name.
    bindings: Vec<(Key, Binding)>,
    /// The bindings of a user's or group's name: the places of each and of the subject in it.
    users: FxHashMap<Name, Vec<(usize, usize)>>,
    groups: FxHashMap<Name, Vec<(usize, usize)>>,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The user may do everything.
    Master,
    /// A binding allows it.
    Allowed(Grant<'a>),
    /// Nothing allows it. Bindings of the user to these roles, which do not exist, could.
    Denied(Vec<&'a RoleRef>),
}

/// A binding that allows a request, to one of its subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant<'a> {
    key: &'a Key,
    binding: &'a Binding,
    subject: usize,
}

impl Verdict<'_> {
    /// `true` if the request may be carried out.
    pub fn is_allowed(&self) -> bool {
        !matches!(self, Self::Denied(_))
    }

    /// The reason, in the API server's words; may be empty.
    pub fn reason(&self) -> String {
        match self {
            Self::Master => String::new(),
            Self::Allowed(grant) => format!("RBAC: allowed by {}", grant.describe()),
            Self::Denied(missing) => {
                let mut errors: Vec<String> = Vec::new();
                for role in missing {
                    let error = role.to_string();
                    if !errors.contains(&error) {
                        errors.push(error);
                    }
                }
                match errors.as_slice() {
                    [] => String::new(),
                    [one] => format!("RBAC: {one}"),
                    several => format!("RBAC: [{}]", several.join(", ")),
                }
            }
        }
    }
}

impl Grant<'_> {
    /// `RoleBinding "r/ns" of Role "r" to User "cat"`
    fn describe(&self) -> String {
        let Self { key: (namespace, name), binding: Binding { role, subjects, .. }, subject } = self;
        let binding = if namespace.is_empty() {
            format!("ClusterRoleBinding {:?}", &**name)
        } else {
            format!("RoleBinding {:?}", format!("{name}/{namespace}"))
        };
        let subject = subjects.get(*subject).map(|subject| subject.describe(namespace)).unwrap_or_default();
        format!("{binding} of {} {:?} to {subject}", role.kind.name(), &*role.name)
    }
}

impl Access {
    /// Compiles the objects of a layer.
    pub fn new(objects: Objects, below: Option<Arc<Self>>) -> Self {
        let cluster_roles = cluster_roles(&objects, below.as_deref());
        let of_cluster =
            objects.cluster_role_bindings.iter().map(|(name, binding)| (("".into(), name.clone()), binding));
        let of_namespaces = objects.role_bindings.iter().map(|(key, binding)| (key.clone(), binding));
        let bindings: Vec<(Key, Binding)> =
            of_cluster.chain(of_namespaces).map(|(key, binding)| (key, binding.clone())).collect();
        let (mut users, mut groups) = (FxHashMap::<_, Vec<_>>::default(), FxHashMap::<_, Vec<_>>::default());
        for (at, ((namespace, _), binding)) in bindings.iter().enumerate() {
            for (subject, (is_group, name)) in
                binding.subjects.iter().enumerate().filter_map(|(i, subject)| Some((i, subject.key(namespace)?)))
            {
                let of: &mut Vec<(usize, usize)> =
                    if is_group { groups.entry(name).or_default() } else { users.entry(name).or_default() };
                of.push((at, subject));
            }
        }
        Self { below, objects, cluster_roles, bindings, users, groups }
    }

    /// The answer to a request of a user in a cluster.
    pub fn verdict(&self, cluster: &str, user: &User, attributes: &Attributes<'_>) -> Verdict<'_> {
        if user.is_master() {
            return Verdict::Master;
        }
        let namespace = attributes.namespace();
        let mut layer = Some(self);
        while let Some(access) = layer {
            let allows = |(_, binding): &(Key, Binding)| {
                access.rules(&binding.role, namespace).is_some_and(|rules| rules.iter().any(|r| r.allows(attributes)))
            };
            // The first binding that allows it, and of its subjects the first.
            let mut found: Option<(usize, usize)> = None;
            for (at, subject) in access.given(user) {
                let is_first = found.is_none_or(|found| (at, subject) < found);
                if is_first && access.bindings.get(at).is_some_and(|one| counts(one, cluster, namespace) && allows(one))
                {
                    found = Some((at, subject));
                }
            }
            if let Some((at, subject)) = found
                && let Some((key, binding)) = access.bindings.get(at)
            {
                return Verdict::Allowed(Grant { key, binding, subject });
            }
            layer = access.below.as_deref();
        }
        let missing = |(access, binding): (&Self, &'_ Binding)| access.rules(&binding.role, namespace).is_none();
        let bindings = self.bindings_of(cluster, user, namespace);
        Verdict::Denied(bindings.into_iter().filter(|one| missing(*one)).map(|(_, binding)| &binding.role).collect())
    }

    /// The rules of a user in a namespace, or in all of the cluster (an empty one), as `RulesFor` lists them, and the roles of
    /// the user's bindings that do not exist.
    pub fn rules_of(&self, cluster: &str, user: &User, namespace: &str) -> (Vec<Rule>, Vec<&RoleRef>) {
        let (mut rules, mut missing) = (Vec::new(), Vec::new());
        for (access, binding) in self.bindings_of(cluster, user, namespace) {
            match access.rules(&binding.role, namespace) {
                Some(of_role) => rules.extend(of_role.iter().cloned()),
                None => missing.push(&binding.role),
            }
        }
        (rules, missing)
    }

    /// The rules of a role, as bindings of this layer in a namespace have it; `None` if there is no such role.
    pub fn rules(&self, role: &RoleRef, namespace: &str) -> Option<&[Rule]> {
        match role.kind {
            RoleKind::ClusterRole => self.cluster_roles.get(&role.name).map(|rules| &**rules),
            RoleKind::Role => {
                let key = (Name::from(namespace), role.name.clone());
                let own = self.objects.roles.get(&key).map(|role| role.rules.as_slice());
                own.or_else(|| self.below.as_deref()?.rules(role, namespace))
            }
        }
    }

    /// The ClusterRoles whose rules are made of others, with the rules that they are stored with and those that they have.
    pub fn aggregated(&self) -> impl Iterator<Item = (&Name, &[Rule], &[Rule])> {
        let filled = |name: &Name| self.cluster_roles.get(name).map(|rules| &**rules).unwrap_or_default();
        self.objects.aggregated().map(move |(name, role)| (name, role.rules.as_slice(), filled(name)))
    }

    /// The places of the bindings of this layer that a user has, and of the subject that the user is in each.
    fn given(&self, user: &User) -> impl Iterator<Item = (usize, usize)> {
        let of_user = self.users.get(&user.name);
        let of_groups = user.groups.iter().filter_map(|group| self.groups.get(group));
        of_user.into_iter().chain(of_groups).flatten().copied()
    }

    /// The bindings that a user has in a namespace, each once with its layer.
    fn bindings_of(&self, cluster: &str, user: &User, namespace: &str) -> Vec<(&Self, &Binding)> {
        let mut found = Vec::new();
        let mut layer = Some(self);
        while let Some(access) = layer {
            let mut places: Vec<usize> = access.given(user).map(|(at, _)| at).collect();
            places.sort_unstable();
            places.dedup();
            let bindings = places.into_iter().filter_map(|at| access.bindings.get(at));
            let counting = bindings.filter(|one| counts(one, cluster, namespace));
            found.extend(counting.map(|(_, binding)| (access, binding)));
            layer = access.below.as_deref();
        }
        found
    }
}

/// `true` if a binding counts in a cluster and a namespace.
fn counts(((of, _), binding): &(Key, Binding), cluster: &str, namespace: &str) -> bool {
    (of.is_empty() || **of == *namespace)
        && binding.clusters.as_ref().is_none_or(|clusters| is_one_of(clusters, cluster))
}

/// The rules of all ClusterRoles of a layer and those below. An aggregated role has the rules of the roles that it selects, in
/// order of their names, each rule once (`pkg/controller/clusterroleaggregation`); those may be aggregated themselves.
fn cluster_roles(objects: &Objects, below: Option<&Access>) -> BTreeMap<Name, Arc<[Rule]>> {
    let mut all: BTreeMap<&Name, &Role> = BTreeMap::new();
    let mut layers = vec![objects];
    let mut layer = below;
    while let Some(access) = layer {
        layers.push(&access.objects);
        layer = access.below.as_deref();
    }
    for layer in layers.into_iter().rev() {
        all.extend(layer.cluster_roles.iter());
    }
    let rules = |name: &Name| {
        let mut rules = Vec::new();
        collect(name, &all, &mut BTreeSet::new(), &mut rules);
        (name.clone(), rules.into())
    };
    all.keys().copied().map(rules).collect()
}

/// Collects the rules of a role and of those that it selects, except of roles that were visited.
fn collect<'a>(
    name: &'a Name,
    all: &BTreeMap<&'a Name, &'a Role>,
    visited: &mut BTreeSet<&'a Name>,
    rules: &mut Vec<Rule>,
) {
    let Some(role) = all.get(name).filter(|_| visited.insert(name) && visited.len() <= MOST_VISITED) else { return };
    let Some(selectors) = &role.aggregates else {
        for rule in &role.rules {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
        return;
    };
    for (other, of) in all {
        if selectors.iter().any(|selector| selector.matches(&of.labels)) {
            collect(other, all, visited, rules);
        }
    }
}

/// The largest number of roles of which the rules of one are made.
const MOST_VISITED: usize = 200;
