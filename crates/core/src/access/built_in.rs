//! The roles and bindings that are there from the beginning: those of Kubernetes that mean something here, and Podberth's own.
//!
//! They are no stored objects. A stored ClusterRole of the same name takes the place of one, and a ClusterRole with a label
//! `rbac.authorization.k8s.io/aggregate-to-view` (`-edit`, `-admin`) adds to it.
//!
//! Source: `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go`, `namespace_policy.go`.

use std::sync::{Arc, LazyLock};

use super::{
    AUTHENTICATED, Access, Binding, MASTERS, Object, Objects, Role, RoleKind, RoleRef, Rule, Subject, UNAUTHENTICATED,
};
use crate::model::{Labels, Name, Selector};

/// The group of the users of extender tokens.
pub const EXTENDERS: &str = "system:extenders";

const READ: &str = "get,list,watch";
const WRITE: &str = "create,update,patch,delete,deletecollection";
const READ_WRITE: &str = "get,list,watch,create,update,patch,delete,deletecollection";
const READ_UPDATE: &str = "get,list,watch,update,patch";
const SCHEDULER: &str = "system:kube-scheduler";

/// A rule on resources: verbs, groups, resources, names, each a list with commas. An empty group is the core group.
type Line = (&'static str, &'static str, &'static str, &'static str);

/// ClusterRoles: their name, and their rules.
const ROLES: &[(&str, &[Line])] = &[
    ("cluster-admin", &[("*", "*", "*", "")]),
    (
        "system:basic-user",
        &[
            ("create", "authorization.k8s.io", "selfsubjectaccessreviews,selfsubjectrulesreviews", ""),
            ("create", "authentication.k8s.io", "selfsubjectreviews", ""),
        ],
    ),
    ("system:discovery", &[]),
    ("system:public-info-viewer", &[]),
    ("system:monitoring", &[]),
    (
        "system:auth-delegator",
        &[
            ("create", "authentication.k8s.io", "tokenreviews", ""),
            ("create", "authorization.k8s.io", "subjectaccessreviews", ""),
        ],
    ),
    (
        "system:aggregate-to-admin",
        &[
            ("create", "authorization.k8s.io", "localsubjectaccessreviews", ""),
            (READ_WRITE, "rbac.authorization.k8s.io", "roles,rolebindings", ""),
        ],
    ),
    (
        "system:aggregate-to-edit",
        &[
            (READ, "", "pods/attach,pods/proxy,pods/exec,pods/portforward,secrets,services/proxy", ""),
            ("impersonate", "", "serviceaccounts", ""),
            (WRITE, "", "pods,pods/attach,pods/proxy,pods/exec,pods/portforward", ""),
            ("create", "", "pods/eviction", ""),
            (
                WRITE,
                "",
                "replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/proxy,\
                 persistentvolumeclaims,configmaps,secrets,events",
                "",
            ),
            ("create", "", "serviceaccounts/token", ""),
            (
                WRITE,
                "apps",
                "statefulsets,statefulsets/scale,daemonsets,deployments,deployments/scale,deployments/rollback,\
                 replicasets,replicasets/scale",
                "",
            ),
            (WRITE, "autoscaling", "horizontalpodautoscalers", ""),
            (WRITE, "batch", "jobs,cronjobs", ""),
            (
                WRITE,
                "extensions",
                "daemonsets,deployments,deployments/scale,deployments/rollback,ingresses,replicasets,replicasets/scale,\
                 replicationcontrollers/scale,networkpolicies",
                "",
            ),
            (WRITE, "policy", "poddisruptionbudgets", ""),
            (WRITE, "networking.k8s.io", "networkpolicies,ingresses", ""),
            (READ_WRITE, "coordination.k8s.io", "leases", ""),
            (WRITE, "resource.k8s.io", "resourceclaims,resourceclaimtemplates", ""),
            (WRITE, "podberth.io", "reservations", ""),
        ],
    ),
    (
        "system:aggregate-to-view",
        &[
            (
                READ,
                "",
                "pods,replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/status,\
                 endpoints,persistentvolumeclaims,persistentvolumeclaims/status,configmaps",
                "",
            ),
            (
                READ,
                "",
                "limitranges,resourcequotas,bindings,events,pods/status,resourcequotas/status,namespaces/status,\
                 replicationcontrollers/status,pods/log",
                "",
            ),
            (READ, "", "namespaces", ""),
            (READ, "discovery.k8s.io", "endpointslices", ""),
            (
                READ,
                "apps",
                "controllerrevisions,statefulsets,statefulsets/status,statefulsets/scale,daemonsets,daemonsets/status,\
                 deployments,deployments/status,deployments/scale,replicasets,replicasets/status,replicasets/scale",
                "",
            ),
            (READ, "autoscaling", "horizontalpodautoscalers,horizontalpodautoscalers/status", ""),
            (READ, "batch", "jobs,cronjobs,cronjobs/status,jobs/status", ""),
            (
                READ,
                "extensions",
                "daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,ingresses,\
                 ingresses/status,replicasets,replicasets/scale,replicasets/status,replicationcontrollers/scale,\
                 networkpolicies",
                "",
            ),
            (READ, "policy", "poddisruptionbudgets,poddisruptionbudgets/status", ""),
            (READ, "networking.k8s.io", "networkpolicies,ingresses,ingresses/status", ""),
            (READ, "resource.k8s.io", "resourceclaims,resourceclaims/status,resourceclaimtemplates", ""),
            (READ, "podberth.io", "policies,policies/revisions,reservations", ""),
        ],
    ),
    (
        SCHEDULER,
        &[
            ("create,patch,update", ",events.k8s.io", "events", ""),
            ("create", "coordination.k8s.io", "leases", ""),
            ("get,list,watch,update", "coordination.k8s.io", "leases", "kube-scheduler"),
            ("create", "coordination.k8s.io", "leasecandidates", ""),
            ("get,list,watch,update,patch", "coordination.k8s.io", "leasecandidates", ""),
            (READ, "", "nodes", ""),
            ("delete,get,list,watch", "", "pods", ""),
            ("create", "", "bindings,pods/binding", ""),
            ("patch,update", "", "pods/status", ""),
            (READ, "", "replicationcontrollers,services", ""),
            (READ, "apps,extensions", "replicasets", ""),
            (READ, "apps", "statefulsets", ""),
            (READ, "policy", "poddisruptionbudgets", ""),
            (READ, "", "persistentvolumeclaims,persistentvolumes", ""),
            ("create", "authentication.k8s.io", "tokenreviews", ""),
            ("create", "authorization.k8s.io", "subjectaccessreviews", ""),
            (READ, "storage.k8s.io", "csinodes", ""),
            (READ, "", "namespaces", ""),
            (READ, "storage.k8s.io", "csidrivers", ""),
            (READ, "storage.k8s.io", "csistoragecapacities", ""),
            (READ, "storage.k8s.io", "volumeattachments", ""),
            (READ, "resource.k8s.io", "deviceclasses", ""),
            ("get,list,patch,update,watch", "resource.k8s.io", "resourceclaims", ""),
            ("get,list,patch,update,watch", "resource.k8s.io", "resourceclaims/status", ""),
            (READ, "resource.k8s.io", "resourceslices", ""),
        ],
    ),
    (
        "system:volume-scheduler",
        &[
            (READ_UPDATE, "", "persistentvolumes", ""),
            (READ, "storage.k8s.io", "storageclasses", ""),
            (READ_UPDATE, "", "persistentvolumeclaims", ""),
        ],
    ),
    (
        "podberth:explainer",
        &[
            ("create", "podberth.io", "explanations", ""),
            ("create", "podberth.io", "simulations,simulations/estimate", ""),
            ("create", "podberth.io", "placements/clusters", ""),
            (READ, "podberth.io", "overviews,explanations/pending,explanations/fit", ""),
            ("get,list", "podberth.io", "policies,policies/revisions", ""),
        ],
    ),
    (
        "podberth:extender",
        &[
            ("create", "podberth.io", "extenders/filter,extenders/prioritize,extenders/preempt,extenders/bind", ""),
            ("create", "", "pods/binding", ""),
        ],
    ),
    (
        "podberth:sync",
        &[
            ("create", "podberth.io", "imports", ""),
            (
                READ_WRITE,
                ",apps,autoscaling,batch,coordination.k8s.io,events.k8s.io,networking.k8s.io,node.k8s.io,policy,\
                 resource.k8s.io,scheduling.k8s.io,storage.k8s.io",
                "*",
                "",
            ),
        ],
    ),
    ("podberth:metrics", &[]),
    ("podberth:page", &[]),
    ("podberth:auditor", &[("list", "podberth.io", "audits", "")]),
];

/// Rules on paths, which are read: the ClusterRole, and the paths.
const PATHS: &[(&str, &str)] = &[
    ("cluster-admin", "*"),
    ("system:discovery", "/livez,/readyz,/healthz,/version,/version/,/openapi,/openapi/*,/api,/api/*,/apis,/apis/*"),
    // Podberth's own documents tell no more than those of discovery.
    ("system:discovery", "/,/docs,/docs/*,/openapi.json,/openapi-3.1.json,/plugins"),
    ("system:public-info-viewer", "/livez,/readyz,/healthz,/version,/version/"),
    ("system:monitoring", "/metrics,/metrics/slis,/livez,/readyz,/healthz,/livez/*,/readyz/*,/healthz/*"),
    ("podberth:extender", "/extender/config"),
    // The page asks for a token itself, and shows nothing without one. `/` leads there.
    ("podberth:page", "/,/ui,/ui/*"),
    ("podberth:metrics", "/metrics,/livez,/readyz,/healthz,/livez/*,/readyz/*,/healthz/*"),
];

/// The roles whose rules are made of those of others, with the role that they are a part of.
const AGGREGATED: &[(&str, Option<&str>)] = &[("admin", None), ("edit", Some("admin")), ("view", Some("edit"))];

/// ClusterRoleBindings to the role of the same name: the users and the groups.
const BINDINGS: &[(&str, &[&str], &[&str])] = &[
    ("cluster-admin", &[], &[MASTERS]),
    ("system:monitoring", &[], &["system:monitoring"]),
    ("system:discovery", &[], &[AUTHENTICATED]),
    ("system:basic-user", &[], &[AUTHENTICATED]),
    ("system:public-info-viewer", &[], &[AUTHENTICATED, UNAUTHENTICATED]),
    (SCHEDULER, &[SCHEDULER], &[]),
    ("system:volume-scheduler", &[SCHEDULER], &[]),
    ("podberth:extender", &[], &[EXTENDERS]),
    ("podberth:page", &[], &[AUTHENTICATED, UNAUTHENTICATED]),
];

/// Roles of `kube-system`, and the bindings to them with their user.
const KUBE_SYSTEM: &[(&str, &[Line], &str, &str)] = &[
    (
        "system::leader-locking-kube-scheduler",
        &[
            ("watch", "", "configmaps", ""),
            ("get,update", "", "configmaps", "kube-scheduler"),
            ("watch", "coordination.k8s.io", "leases", ""),
            ("get,update", "coordination.k8s.io", "leases", ""),
        ],
        "system::leader-locking-kube-scheduler",
        SCHEDULER,
    ),
    (
        "extension-apiserver-authentication-reader",
        &[("get,list,watch", "", "configmaps", "extension-apiserver-authentication")],
        "system::extension-apiserver-authentication-reader",
        SCHEDULER,
    ),
];

/// The built-in roles and bindings.
pub fn access() -> &'static Arc<Access> {
    static ACCESS: LazyLock<Arc<Access>> = LazyLock::new(|| Arc::new(Access::new(objects(), None)));
    &ACCESS
}

fn objects() -> Objects {
    let mut objects = Objects::default();
    let none = Name::from("");
    for (name, lines) in ROLES {
        let mut rules: Vec<Rule> = lines.iter().map(rule).collect();
        let paths = PATHS.iter().filter(|(role, _)| role == name);
        rules.extend(paths.map(|(role, paths)| {
            let verbs = if *role == "cluster-admin" { "*" } else { "get" };
            Rule { verbs: list(verbs), paths: list(paths), ..Rule::default() }
        }));
        let part_of = name.strip_prefix("system:aggregate-to-");
        let role = Role { rules, labels: labels(part_of), aggregates: None };
        objects.put((none.clone(), (*name).into()), Object::ClusterRole(role));
    }
    for (name, part_of) in AGGREGATED {
        let selector = Selector::from_map([(label(name), "true".to_owned())]);
        let role = Role { rules: Vec::new(), labels: labels(*part_of), aggregates: Some(vec![selector]) };
        objects.put((none.clone(), (*name).into()), Object::ClusterRole(role));
    }
    for (name, users, groups) in BINDINGS {
        let users = users.iter().map(|user| Subject::User((*user).into()));
        let groups = groups.iter().map(|group| Subject::Group((*group).into()));
        let binding = binding(RoleKind::ClusterRole, name, users.chain(groups).collect());
        objects.put((none.clone(), (*name).into()), Object::ClusterRoleBinding(binding));
    }
    let namespace = Name::from("kube-system");
    for (name, lines, binding_name, user) in KUBE_SYSTEM {
        let role = Role { rules: lines.iter().map(rule).collect(), ..Role::default() };
        objects.put((namespace.clone(), (*name).into()), Object::Role(role));
        let binding = binding(RoleKind::Role, name, vec![Subject::User((*user).into())]);
        objects.put((namespace.clone(), (*binding_name).into()), Object::RoleBinding(binding));
    }
    objects
}

fn binding(kind: RoleKind, role: &str, subjects: Vec<Subject>) -> Binding {
    Binding { role: RoleRef { kind, name: role.into() }, subjects, clusters: None }
}

fn label(to: &str) -> String {
    format!("rbac.authorization.k8s.io/aggregate-to-{to}")
}

/// The labels of a role that is a part of another.
fn labels(part_of: Option<&str>) -> Labels {
    let own = ("kubernetes.io/bootstrapping".to_owned(), "rbac-defaults");
    [own].into_iter().chain(part_of.map(|to| (label(to), "true"))).collect()
}

fn rule((verbs, groups, resources, names): &Line) -> Rule {
    let names = if names.is_empty() { Vec::new() } else { list(names) };
    Rule { verbs: list(verbs), groups: list(groups), resources: list(resources), names, paths: Vec::new() }
}

fn list(words: &str) -> Vec<Name> {
    words.split(',').map(|word| word.trim().into()).collect()
}
