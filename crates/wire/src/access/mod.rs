//! Access control in JSON: roles and bindings, [reviews](review), [tokens](token), [tokens of others](jwt).
//!
//! Source: `staging/src/k8s.io/api/rbac/v1/types.go`, `pkg/apis/rbac/v1/defaults.go`.

use serde::Deserialize;

use crate::{
    decode::{self, DecodeError},
    fault::{Faults, Path},
    objects::meta::{LabelSelector, ObjectMeta},
};
use podberth_core::{
    access::{Binding, Object, Role, RoleKind, RoleRef, Rule, Subject},
    model::Name,
};

pub mod authentication;
pub mod jwt;
pub mod review;
pub mod token;
pub mod token_file;
pub mod token_review;

/// The annotation of a binding in the cluster for all clusters with the names of those in which it counts.
pub const CLUSTERS: &str = "podberth.io/clusters";

/// The store's kinds of roles and bindings, with their resource.
pub const STORED: [(&str, &str); 4] = [
    ("roles.rbac.authorization.k8s.io", "roles"),
    ("clusterroles.rbac.authorization.k8s.io", "clusterroles"),
    ("rolebindings.rbac.authorization.k8s.io", "rolebindings"),
    ("clusterrolebindings.rbac.authorization.k8s.io", "clusterrolebindings"),
];

/// The resource of a stored kind, if its objects are roles or bindings.
pub fn resource(kind: &str) -> Option<&'static str> {
    STORED.iter().find(|(stored, _)| *stored == kind).map(|(_, resource)| *resource)
}

/// A rule: `PolicyRule`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PolicyRule {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AggregationRule {
    cluster_role_selectors: Vec<LabelSelector>,
}

/// Any role or binding.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Stored {
    metadata: ObjectMeta,
    rules: Vec<PolicyRule>,
    aggregation_rule: Option<AggregationRule>,
    role_ref: SentRoleRef,
    subjects: Vec<SentSubject>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SentRoleRef {
    kind: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SentSubject {
    kind: String,
    name: String,
    namespace: String,
}

/// Reads a role or binding of a resource; `None` if the resource has neither.
///
/// # Errors
/// If the text is not JSON or a field has the wrong type. Parts that mean nothing give no rights.
pub fn parse(resource: &str, json: &[u8]) -> Result<Option<Object>, DecodeError> {
    let stored: Stored = decode::from_slice(json)?;
    Ok(match resource {
        "roles" => Some(Object::Role(stored.role())),
        "clusterroles" => Some(Object::ClusterRole(stored.role())),
        "rolebindings" => Some(Object::RoleBinding(stored.binding())),
        "clusterrolebindings" => Some(Object::ClusterRoleBinding(stored.binding())),
        _ => None,
    })
}

impl Stored {
    fn role(self) -> Role {
        let mut faults = Faults::default();
        let labels = self.metadata.labels(&mut faults);
        let selector = |selector: LabelSelector| selector.to_core(&Path::ROOT, &mut Faults::default());
        let selectors = |rule: AggregationRule| rule.cluster_role_selectors.into_iter().filter_map(selector).collect();
        let rules = self.rules.into_iter().map(PolicyRule::into_core).collect();
        Role { rules, labels, aggregates: self.aggregation_rule.map(selectors) }
    }

    fn binding(self) -> Binding {
        let kind = if self.role_ref.kind == "Role" { RoleKind::Role } else { RoleKind::ClusterRole };
        let role = RoleRef { kind, name: self.role_ref.name.into() };
        let clusters = self.metadata.annotations.get(CLUSTERS);
        let clusters = clusters.map(|names| names.split(',').map(|name| Name::from(name.trim())).collect());
        Binding { role, subjects: self.subjects.into_iter().filter_map(SentSubject::into_core).collect(), clusters }
    }
}

impl PolicyRule {
    fn into_core(self) -> Rule {
        let names = |texts: Vec<String>| texts.into_iter().map(Name::from).collect();
        Rule {
            verbs: names(self.verbs),
            groups: names(self.api_groups),
            resources: names(self.resources),
            names: names(self.resource_names),
            paths: names(self.non_resource_urls),
        }
    }
}

impl SentSubject {
    fn into_core(self) -> Option<Subject> {
        let name = Name::from(self.name);
        match self.kind.as_str() {
            "User" => Some(Subject::User(name)),
            "Group" => Some(Subject::Group(name)),
            "ServiceAccount" => Some(Subject::ServiceAccount { namespace: self.namespace.into(), name }),
            _ => None,
        }
    }
}

/// A rule as JSON: of resources, or of paths.
pub fn rule_to_json(rule: &Rule) -> serde_json::Value {
    let lists = [
        ("verbs", &rule.verbs),
        ("apiGroups", &rule.groups),
        ("resources", &rule.resources),
        ("resourceNames", &rule.names),
        ("nonResourceURLs", &rule.paths),
    ];
    let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
    lists.map(|(name, list)| (name.to_owned(), list.iter().map(|one| &**one).collect::<serde_json::Value>())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_bindings_are_read_as_they_are_stored() {
        let role = br#"{"metadata":{"name":"r","labels":{"a":"b"}},"rules":[{"verbs":["get"],"apiGroups":[""],"resources":["pods"],"resourceNames":null},{"verbs":["get"],"nonResourceURLs":["/x"]}],"aggregationRule":{"clusterRoleSelectors":[{"matchLabels":{"a":"b"}},{"matchExpressions":[{"key":"a","operator":"In"}]}]}}"#;
        let Ok(Some(Object::ClusterRole(read))) = parse("clusterroles", role) else { panic!("it is a role") };
        assert_eq!(
            rule_to_json(&read.rules[0]).to_string(),
            r#"{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}"#
        );
        assert_eq!(rule_to_json(&read.rules[1]).to_string(), r#"{"verbs":["get"],"nonResourceURLs":["/x"]}"#);
        assert_eq!(read.aggregates.map(|selectors| selectors.len()), Some(1), "a faulty selector selects nothing");
        let binding = br#"{"metadata":{"name":"b","annotations":{"podberth.io/clusters":"a, prod-*"}},"roleRef":{"kind":"ClusterRole","name":"view"},"subjects":[{"kind":"User","name":"x"},{"kind":"Robot","name":"y"},{"kind":"ServiceAccount","name":"s","namespace":"n"}]}"#;
        let Ok(Some(Object::RoleBinding(read))) = parse("rolebindings", binding) else { panic!("it is a binding") };
        assert_eq!(read.role.to_string(), r#"clusterrole.rbac.authorization.k8s.io "view" not found"#);
        assert_eq!(read.subjects.len(), 2);
        assert_eq!(read.clusters, Some(vec!["a".into(), "prod-*".into()]));
        assert!(parse("pods", b"{}").is_ok_and(|object| object.is_none()));
        assert!(parse("roles", b"[").is_err() && parse("roles", br#"{"rules":[{"verbs":"get"}]}"#).is_err());
    }
}
