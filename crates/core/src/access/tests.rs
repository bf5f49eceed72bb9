//! Tests of verdicts.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::{Labels, Selector};

fn names(words: &str) -> Vec<Name> {
    words.split(' ').filter(|word| !word.is_empty()).map(|word| if word == "core" { "" } else { word }.into()).collect()
}

fn rule(verbs: &str, groups: &str, resources: &str) -> Rule {
    Rule { verbs: names(verbs), groups: names(groups), resources: names(resources), ..Rule::default() }
}

fn role(rules: Vec<Rule>) -> Role {
    Role { rules, ..Role::default() }
}

fn binding(kind: RoleKind, role: &str, subjects: Vec<Subject>) -> Binding {
    Binding { role: RoleRef { kind, name: role.into() }, subjects, clusters: None }
}

fn user(name: &str) -> Subject {
    Subject::User(name.into())
}

fn access(objects: Vec<(&str, &str, Object)>) -> Access {
    layered(objects, Some(built_in::access().clone()))
}

fn layered(objects: Vec<(&str, &str, Object)>, below: Option<Arc<Access>>) -> Access {
    let mut all = Objects::default();
    for (namespace, name, object) in objects {
        all.put((namespace.into(), name.into()), object);
    }
    Access::new(all, below)
}

fn get<'a>(resource: &'a str, namespace: &'a str) -> Attributes<'a> {
    Attributes::Resource(ResourceAttributes::new("get", "", resource).within(namespace))
}

fn path<'a>(verb: &'a str, path: &'a str) -> Attributes<'a> {
    Attributes::Path { verb: verb.into(), path: path.into() }
}

#[test]
fn a_reason_names_the_binding_the_role_and_the_subject() {
    let access = access(vec![
        ("ns", "r", Object::Role(role(vec![rule("get", "core", "pods")]))),
        ("ns", "r", Object::RoleBinding(binding(RoleKind::Role, "r", vec![user("dog"), user("cat")]))),
        (
            "ns",
            "sa",
            Object::RoleBinding(binding(
                RoleKind::ClusterRole,
                "view",
                vec![Subject::ServiceAccount { namespace: "".into(), name: "s".into() }],
            )),
        ),
    ]);
    let reason = |name: &str| access.verdict("default", &User::new(name, []), &get("pods", "ns")).reason();
    assert_eq!(reason("cat"), r#"RBAC: allowed by RoleBinding "r/ns" of Role "r" to User "cat""#);
    let of_account = r#"RBAC: allowed by RoleBinding "sa/ns" of ClusterRole "view" to ServiceAccount "s/ns""#;
    assert_eq!(reason("system:serviceaccount:ns:s"), of_account);
    assert_eq!(reason("fox"), "");
    let version = access.verdict("default", &User::new("x", [UNAUTHENTICATED]), &path("get", "/version")).reason();
    let expected = r#"RBAC: allowed by ClusterRoleBinding "system:public-info-viewer" of ClusterRole "system:public-info-viewer" to Group "system:unauthenticated""#;
    assert_eq!(version, expected);
}

#[test]
fn a_binding_to_a_missing_role_is_told_only_in_a_refusal() {
    let to = |role: &str| Object::RoleBinding(binding(RoleKind::ClusterRole, role, vec![user("z")]));
    let access = access(vec![("ns", "a", to("gone")), ("ns", "b", to("lost")), ("ns", "c", to("gone"))]);
    let reason = |namespace: &str| access.verdict("default", &User::new("z", []), &get("pods", namespace)).reason();
    let gone = r#"clusterrole.rbac.authorization.k8s.io "gone" not found"#;
    assert_eq!(reason("ns"), format!("RBAC: [{gone}, {}]", gone.replace("gone", "lost")));
    assert_eq!(reason("other"), "");
}

#[test]
fn a_binding_of_a_namespace_gives_no_rights_elsewhere_and_none_on_paths() {
    let all = Role { rules: vec![Rule { paths: names("*"), ..rule("*", "*", "*") }], ..Role::default() };
    let access = access(vec![
        ("", "all", Object::ClusterRole(all)),
        ("ns", "b", Object::RoleBinding(binding(RoleKind::ClusterRole, "all", vec![user("u")]))),
    ]);
    let is_allowed = |attributes| access.verdict("default", &User::new("u", []), &attributes).is_allowed();
    assert!(is_allowed(get("pods", "ns")));
    assert!(!is_allowed(get("pods", "other")) && !is_allowed(get("nodes", "")) && !is_allowed(path("get", "/metrics")));
}

#[test]
fn aggregated_roles_have_the_rules_of_the_roles_that_they_select() {
    let labelled = |label: &str, rules| {
        let labels: Labels = [(label, "true")].into_iter().collect();
        Object::ClusterRole(Role { labels, ..role(rules) })
    };
    let selecting = |label: &str, own: &str| {
        let aggregates = Some(vec![Selector::from_map([(label, "true")])]);
        let labels: Labels = [(own, "true")].into_iter().collect();
        Object::ClusterRole(Role { labels, aggregates, ..role(vec![rule("*", "*", "*")]) })
    };
    let access = access(vec![
        ("", "one", labelled("to-a", vec![rule("get", "core", "pods")])),
        ("", "extra", labelled("rbac.authorization.k8s.io/aggregate-to-view", vec![rule("get", "x.io", "widgets")])),
        ("", "a", selecting("to-a", "to-b")),
        ("", "b", selecting("to-b", "to-a")),
        ("", "b", selecting("to-b", "to-a")),
    ]);
    let rules = |name: &str| {
        access.rules(&RoleRef { kind: RoleKind::ClusterRole, name: name.into() }, "").unwrap_or_default().to_vec()
    };
    assert_eq!((rules("a"), rules("b")), (vec![rule("get", "core", "pods")], vec![rule("get", "core", "pods")]));
    let widgets = rule("get", "x.io", "widgets");
    assert!(["view", "edit", "admin"].iter().all(|name| rules(name).contains(&widgets)));
    assert!(!rules("cluster-admin").contains(&widgets));
    let stored: Vec<_> = access.aggregated().map(|(name, stored, _)| (&**name, stored.len())).collect();
    assert_eq!(stored, [("a", 1), ("b", 1)], "stored rules of an aggregated role do not count");
}

#[test]
fn a_layer_does_not_change_what_bindings_below_it_mean() {
    let below = layered(
        vec![
            ("", "b", Object::ClusterRoleBinding(binding(RoleKind::ClusterRole, "view", vec![user("below")]))),
            (
                "",
                "p",
                Object::ClusterRoleBinding(Binding {
                    clusters: Some(names("prod-* lab")),
                    ..binding(RoleKind::ClusterRole, "cluster-admin", vec![user("prod")])
                }),
            ),
        ],
        Some(built_in::access().clone()),
    );
    let own = layered(
        vec![
            ("", "view", Object::ClusterRole(role(vec![rule("*", "*", "*")]))),
            ("", "b", Object::ClusterRoleBinding(binding(RoleKind::ClusterRole, "view", vec![user("own")]))),
        ],
        Some(Arc::new(below)),
    );
    let may =
        |cluster: &str, name: &str, attributes| own.verdict(cluster, &User::new(name, []), &attributes).is_allowed();
    assert!(may("a", "own", get("nodes", "")) && may("a", "below", get("pods", "ns")));
    assert!(!may("a", "below", get("nodes", "")), "the role of the layer above is not that of the binding");
    assert!(may("prod-1", "prod", get("nodes", "")) && may("lab", "prod", get("nodes", "")));
    assert!(!may("lab-1", "prod", get("nodes", "")) && !may("default", "prod", get("nodes", "")));
}

#[test]
fn rights_beyond_ones_own_are_listed_in_short() {
    let own = [rule("get list", "core", "pods"), rule("*", "core", "*/scale")];
    assert_eq!(excess(&own, &[rule("get", "core", "pods"), rule("update", "core", "jobs/scale")]), None);
    let given = [rule("get delete patch", "core apps", "pods"), Rule { paths: names("/x"), ..rule("get", "", "") }];
    let told = excess(&own, &given).expect("it is more").to_string();
    let lines = [
        r#"{APIGroups:[""], Resources:["pods"], Verbs:["delete" "patch"]}"#,
        r#"{APIGroups:["apps"], Resources:["pods"], Verbs:["get" "delete" "patch"]}"#,
        r#"{NonResourceURLs:["/x"], Verbs:["get"]}"#,
    ];
    assert_eq!(told, lines.join("\n"));
    let many = (0..100).map(|i| format!("v{i}")).collect::<Vec<_>>().join(" ");
    let wide = [rule(&many, &many, &many)];
    assert_eq!(excess(&own, &wide), Some(Excess::TooMany), "a million rights are not gone through");
    assert_eq!(excess(&[rule("*", "*", "*")], &wide), None, "who has them all needs no count");
}

#[test]
fn service_accounts_are_told_by_their_names() {
    assert_eq!(split_service_account("system:serviceaccount:ns:s"), Some(("ns", "s")));
    for text in ["system:serviceaccount:ns", "system:serviceaccount::s", "system:serviceaccount:ns:", "ns:s", "x"] {
        assert_eq!(split_service_account(text), None, "{text}");
    }
}

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "*", "a/s", "*/s", "b/t"])
}

fn words() -> impl Strategy<Value = Vec<Name>> {
    prop::collection::vec(word().prop_map(Name::from), 1..3)
}

prop_compose! {
    fn any_rule()(verbs in words(), groups in words(), resources in words(), names in prop::collection::vec(word().prop_map(Name::from), 0..2)) -> Rule {
        Rule { verbs, groups, resources, names, paths: Vec::new() }
    }
}

prop_compose! {
    fn any_request()(verb in "[ab]", group in "[ab]", resource in "[ab]", subresource in "[st]?", name in "[ab]?") -> Attributes<'static> {
        Attributes::Resource(ResourceAttributes {
            verb: verb.into(), group: group.into(), resource: resource.into(), subresource: subresource.into(),
            name: name.into(), ..ResourceAttributes::default()
        })
    }
}

proptest! {
    /// The guard is worth nothing unless this holds: no right is gained by a role that one may write.
    #[test]
    fn rules_without_excess_allow_nothing_more(own in prop::collection::vec(any_rule(), 0..4), given in prop::collection::vec(any_rule(), 0..3), request in any_request()) {
        let allow = |rules: &[Rule]| rules.iter().any(|rule| rule.allows(&request));
        if excess(&own, &given).is_none() && allow(&given) {
            prop_assert!(allow(&own), "{own:?} {given:?}");
        }
    }

    #[test]
    fn what_is_in_excess_covers_what_is_missing(own in prop::collection::vec(any_rule(), 0..4), given in prop::collection::vec(any_rule(), 0..3)) {
        if let Some(Excess::Rules(missing)) = excess(&own, &given) {
            let all: Vec<Rule> = own.iter().cloned().chain(missing).collect();
            prop_assert_eq!(excess(&all, &given), None);
        }
    }

    /// The index finds what going through all bindings finds.
    #[test]
    fn the_first_binding_that_allows_is_found(subjects in prop::collection::vec(prop::collection::vec("[a-c]", 0..4), 1..4), roles in prop::collection::vec(any_rule(), 4), request in any_request()) {
        let mut objects = Vec::new();
        for (i, of) in subjects.iter().enumerate() {
            let of: Vec<Subject> = of.iter().enumerate().map(|(k, name)| {
                if k % 2 == 0 { Subject::User(name.as_str().into()) } else { Subject::Group(name.as_str().into()) }
            }).collect();
            objects.push((i, role(vec![roles[i].clone()]), binding(RoleKind::ClusterRole, &format!("r{i}"), of)));
        }
        let mut all = Objects::default();
        for (i, role, binding) in &objects {
            all.put(("".into(), format!("r{i}").into()), Object::ClusterRole(role.clone()));
            all.put(("".into(), format!("b{i}").into()), Object::ClusterRoleBinding(binding.clone()));
        }
        let user = User::new("a", ["b", "c"]);
        let is_user = |subject: &Subject| match subject {
            Subject::User(name) => **name == *user.name,
            Subject::Group(name) => user.is_in(name),
            Subject::ServiceAccount { .. } => false,
        };
        let expected = objects.iter().find_map(|(i, role, binding)| {
            let subject = binding.subjects.iter().find(|subject| is_user(subject))?;
            role.rules[0].allows(&request).then(|| format!("ClusterRoleBinding \"b{i}\" of ClusterRole \"r{i}\" to {}", subject.describe("")))
        });
        let access = Access::new(all, None);
        let verdict = access.verdict("default", &user, &request);
        prop_assert_eq!(verdict.reason(), expected.map(|text| format!("RBAC: allowed by {text}")).unwrap_or_default());
    }
}
