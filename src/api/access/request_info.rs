//! The attributes of a request, worked out once from its method and path, for rights and for records of what happened.
//!
//! The paths of Kubernetes mean what they mean to the API server. Podberth's own operations are resources of the group `podberth.io`,
//! so that roles can name them. Any other path is no resource: what a route means that is in no table here, nobody may do but those who may
//! do everything.
//!
//! Source: `apiserver/pkg/endpoints/request/requestinfo.go` (`NewRequestInfo`).

use std::borrow::Cow;

use axum::http::Method;

use crate::{
    api::queries::is_set,
    core::access::{Attributes, OWN, ResourceAttributes},
    live::{DEFAULT_CLUSTER, SYSTEM_CLUSTER},
    wire::{
        kinds::{self, StoredKind},
        policy::revision,
    },
};

/// The attributes of a request, and the cluster in which it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInfo<'a> {
    /// The cluster.
    pub cluster: &'a str,
    /// The attributes.
    pub attributes: Attributes<'a>,
}

/// Paths under which all is a resource of a version, or of a group and version.
const LEGACY: &str = "api";
const GROUPS: &str = "apis";

/// The resource of what a map of a cluster shows.
const OVERVIEWS: &str = "overviews";

/// Subresources of a namespace, which are no resources in it.
const OF_NAMESPACES: [&str; 2] = ["finalize", "status"];

impl<'a> RequestInfo<'a> {
    /// The attributes of a request for a path of a cluster, whose prefix is taken off.
    pub fn of(method: &'a Method, cluster: &'a str, path: &'a str, query: &str) -> Self {
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let kubernetes = match segments.as_slice() {
            [LEGACY, version, rest @ ..] if !rest.is_empty() => Some(("", *version, rest)),
            [GROUPS, group, version, rest @ ..] if !rest.is_empty() => Some((*group, *version, rest)),
            _ => None,
        };
        if let Some((group, version, rest)) = kubernetes {
            let attributes = of_kubernetes(method, (group, version), rest, query);
            let is_of_all = kinds::by_plural(group, &attributes.resource).is_some_and(StoredKind::is_of_all);
            let cluster = if is_of_all { SYSTEM_CLUSTER } else { cluster };
            return Self { cluster, attributes: Attributes::Resource(attributes) };
        }
        if let Some((mut attributes, is_of_all)) = own(method, cluster, &segments) {
            if attributes.resource == OVERVIEWS && attributes.verb == "list" && is_watch(query) {
                attributes.verb = "watch".into();
            }
            let cluster = if is_of_all { SYSTEM_CLUSTER } else { cluster };
            return Self { cluster, attributes: Attributes::Resource(attributes) };
        }
        let verb = method.as_str().to_ascii_lowercase().into();
        Self { cluster, attributes: Attributes::Path { verb, path: path.into() } }
    }

    /// `true` if the request may change something that is stored.
    pub fn may_change(&self) -> bool {
        let Attributes::Resource(of) = &self.attributes else { return false };
        let asks = match (&*of.group, &*of.resource, &*of.subresource) {
            (OWN, "extenders", verb) => verb != "bind",
            // With `store` it writes status and checkpoints.
            (OWN, "autoscalings", "vpa") => false,
            (OWN, resource, _) => {
                matches!(resource, "explanations" | "simulations" | "replays" | "autoscalings" | "reschedulings")
            }
            (group, ..) => matches!(group, "authentication.k8s.io" | "authorization.k8s.io"),
        };
        !asks && !matches!(&*of.verb, "" | "get" | "list" | "watch")
    }
}

/// The verb of a method; one without a name where the API server has none.
fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET | Method::HEAD => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// The attributes of a path behind its version.
fn of_kubernetes<'a>(
    method: &Method,
    (group, version): (&'a str, &'a str),
    rest: &[&'a str],
    query: &str,
) -> ResourceAttributes<'a> {
    let mut verb = verb(method);
    let mut parts = rest;
    let special = ["watch", "proxy"].into_iter().find(|special| parts.first() == Some(special));
    if let (Some(special), [_, behind @ ..]) = (special, parts)
        && !behind.is_empty()
    {
        (verb, parts) = (special, behind);
    }
    let mut namespace = Cow::default();
    if let ["namespaces", name, ..] = parts {
        namespace = decoded(name);
        if let [_, _, resource, ..] = parts
            && !OF_NAMESPACES.contains(resource)
        {
            parts = parts.get(2..).unwrap_or_default();
        }
    }
    let part = |at: usize| parts.get(at).copied().map(decoded).unwrap_or_default();
    let (resource, mut name) = (part(0), part(1));
    let subresource = if special.is_none() { part(2) } else { Cow::default() };
    if name.is_empty() && verb == "get" {
        verb = if is_watch(query) { "watch" } else { "list" };
        name = selected(query).into();
    }
    if name.is_empty() && verb == "delete" {
        verb = "deletecollection";
    }
    let [group, version, verb] = [group, version, verb].map(Cow::Borrowed);
    ResourceAttributes { verb, group, version, resource, subresource, namespace, name }
}

/// The attributes of Podberth's own operations, and `true` if they are about all clusters.
fn own<'a>(method: &Method, cluster: &str, segments: &[&'a str]) -> Option<(ResourceAttributes<'a>, bool)> {
    let of = |resource: &'a str, name: Cow<'a, str>| {
        let verb = match (verb(method), name.is_empty()) {
            ("get", true) => "list",
            ("delete", true) => "deletecollection",
            (verb, _) => verb,
        };
        ResourceAttributes { name, ..ResourceAttributes::new(verb, OWN, resource) }
    };
    let none = Cow::default;
    let attributes = match segments {
        [verb @ ("filter" | "prioritize" | "preempt" | "bind")] => of("extenders", none()).below(verb),
        ["explain"] | ["policy", "diff"] => of("explanations", none()),
        // `/placements` asks for this right in each cluster, and so does the estimator.
        ["simulate"] | ["estimator", _] => of("simulations", none()),
        ["overview"] => of(OVERVIEWS, none()),
        ["pending"] => of("explanations", none()).below("pending"),
        ["nodes", name, "fit"] => of("explanations", decoded(name)).below("fit"),
        ["autoscale", part @ ("status" | "scale-up" | "scale-down" | "hpa" | "vpa")] => {
            of("autoscalings", none()).below(part)
        }
        ["reschedule"] => of("reschedulings", none()),
        ["schedule"] => of("placements", none()),
        // Each cluster judges for itself who may place there.
        ["placements"] => of("placements", none()).below("clusters"),
        ["placements", "estimate"] => of("simulations", none()).below("estimate"),
        ["import"] => of("imports", none()),
        ["policy"] => {
            let attributes = of("policies", revision::DEFAULT.into());
            // `POST /policy` is `PUT /policy`.
            if *method == Method::POST {
                ResourceAttributes { verb: "update".into(), ..attributes }
            } else {
                attributes
            }
        }
        ["policy", part @ ("revisions" | "rollback")] => of("policies", revision::DEFAULT.into()).below(part),
        ["policies", name, part @ ("revisions" | "rollback")] => of("policies", decoded(name)).below(part),
        ["reservations", namespace, pod] => {
            ResourceAttributes { namespace: decoded(namespace), ..of("reservations", decoded(pod)) }
        }
        [resource @ ("policies" | "reservations" | "evictions" | "clusters" | "forks" | "tokens")] => {
            of(resource, none())
        }
        [resource @ ("policies" | "clusters" | "forks" | "tokens"), name] => of(resource, decoded(name)),
        ["forks", name, part @ "diff"] => of("forks", decoded(name)).below(part),
        ["audit"] => of("audits", none()),
        ["decisions"] => of("decisions", none()),
        ["replay"] => of("replays", none()),
        ["decisions", id] => of("decisions", decoded(id)),
        ["decisions", id, part @ ("explain" | "bundle")] => of("decisions", decoded(id)).below(part),
        _ => return None,
    };
    let is_of_all = match &*attributes.resource {
        "clusters" | "tokens" => true,
        // The events of one cluster are of its path, those of all of the path without a cluster.
        "audits" => cluster == DEFAULT_CLUSTER,
        _ => false,
    };
    Some((attributes, is_of_all))
}

/// `true` if a query asks for a watch; the first value counts, as it does to the handlers.
pub(in crate::api) fn is_watch(query: &str) -> bool {
    value(query, "watch").is_some_and(|value| is_set(&value))
}

/// The one name that a query selects, empty if it selects others too.
fn selected(query: &str) -> String {
    let selector = value(query, "fieldSelector").unwrap_or_default();
    if selector.contains('\\') {
        return String::new();
    }
    let name = selector.split(',').find_map(|term| {
        let rest = term.trim().strip_prefix("metadata.name")?.strip_prefix('=')?;
        Some(rest.strip_prefix('=').unwrap_or(rest).to_owned())
    });
    name.filter(|name| !matches!(name.as_str(), "." | "..") && !name.contains(['/', '%'])).unwrap_or_default()
}

/// The first value of a name in a query.
fn value<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if decoded(key) != name {
            return None;
        }
        if value.contains('+') {
            Some(decoded(&value.replace('+', " ")).into_owned().into())
        } else {
            Some(decoded(value))
        }
    })
}

/// A part of a path or a query without its percent signs; one that is not UTF-8 then stays as it is.
pub(super) fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let hex = behind.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.filter(|hex| !hex.starts_with('+')).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
    }
    String::from_utf8(bytes).map_or_else(|_| text.into(), Into::into)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `VERB GROUP/RESOURCE[/SUBRESOURCE] [NAMESPACE] [NAME] [in CLUSTER]`, or `VERB PATH`.
    fn told(method: &str, path: &str) -> String {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let RequestInfo { cluster, attributes } = RequestInfo::of(&method, "c", path, query);
        match attributes {
            Attributes::Path { verb, path } => format!("{verb} {path}"),
            Attributes::Resource(of) => {
                let ResourceAttributes { verb, group, resource, subresource, namespace, name, .. } = of;
                let mut text = format!("{verb} {group}/{resource}");
                for (part, mark) in [(subresource, "/"), (namespace, " -n "), (name, " ")] {
                    if !part.is_empty() {
                        text.push_str(mark);
                        text.push_str(&part);
                    }
                }
                text + if cluster == "c" { "" } else { " in all" }
            }
        }
    }

    #[test]
    fn paths_of_kubernetes_mean_what_they_mean_to_the_api_server() {
        let cases = [
            ("GET", "/api/v1/namespaces", "list /namespaces"),
            ("GET", "/api/v1/namespaces/a", "get /namespaces -n a a"),
            ("PUT", "/api/v1/namespaces/a/status", "update /namespaces/status -n a a"),
            ("PUT", "/api/v1/namespaces/a/finalize", "update /namespaces/finalize -n a a"),
            ("GET", "/api/v1/namespaces/a/pods", "list /pods -n a"),
            ("HEAD", "/api/v1/namespaces/a/pods/b", "get /pods -n a b"),
            ("POST", "/api/v1/namespaces/a/pods/b/binding", "create /pods/binding -n a b"),
            ("DELETE", "/api/v1/namespaces/a/pods", "deletecollection /pods -n a"),
            ("DELETE", "/api/v1/nodes/n", "delete /nodes n"),
            ("GET", "/api/v1/pods?watch=1", "watch /pods"),
            ("GET", "/api/v1/pods?watch=false&watch=1", "list /pods"),
            ("GET", "/api/v1/pods?watch", "watch /pods"),
            ("GET", "/api/v1/pods?watch=False", "list /pods"),
            ("GET", "/api/v1/pods?w%61tch=%30", "list /pods"),
            ("GET", "/api/v1/pods?w%61tch=no", "watch /pods"),
            ("GET", "/api/v1/watch/namespaces/a/pods/b", "watch /pods -n a b"),
            ("GET", "/api/v1/watch/pods", "watch /pods"),
            ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", "patch apps/deployments/scale -n a d"),
            (
                "GET",
                "/apis/storage.k8s.io/v1/csinodes?fieldSelector=metadata.name%3Dx",
                "list storage.k8s.io/csinodes x",
            ),
            ("GET", "/api/v1/pods?fieldSelector=spec.nodeName=n,metadata.name==x&watch=1", "watch /pods x"),
            ("GET", "/api/v1/pods?fieldSelector=&fieldSelector=metadata.name=x", "list /pods"),
            ("GET", "/api/v1/pods?fieldSelector=metadata.name!=x", "list /pods"),
            ("GET", "/api/v1/namespaces/a%62/pods/%70", "get /pods -n ab p"),
            ("OPTIONS", "/api/v1/pods", " /pods"),
            ("GET", "/api", "get /api"),
            ("GET", "/api/v1", "get /api/v1"),
            ("GET", "/apis/apps/v1", "get /apis/apps/v1"),
            ("GET", "/apis/apps", "get /apis/apps"),
            ("GET", "/healthz", "get /healthz"),
            ("POST", "/api/v1/namespaces/a/bindings", "create /bindings -n a"),
        ];
        for (method, path, expected) in cases {
            assert_eq!(told(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn own_operations_are_resources() {
        let cases = [
            ("POST", "/filter", "create podberth.io/extenders/filter"),
            ("POST", "/bind", "create podberth.io/extenders/bind"),
            ("POST", "/explain", "create podberth.io/explanations"),
            ("POST", "/policy/diff", "create podberth.io/explanations"),
            ("POST", "/simulate", "create podberth.io/simulations"),
            ("POST", "/estimator/MaxAvailableReplicas", "create podberth.io/simulations"),
            ("GET", "/overview?group=zone", "list podberth.io/overviews"),
            ("GET", "/overview?watch=1", "watch podberth.io/overviews"),
            ("GET", "/pending?watch=1", "list podberth.io/explanations/pending"),
            ("GET", "/nodes/n%61/fit?pod=a/b", "get podberth.io/explanations/fit na"),
            ("GET", "/autoscale/status", "list podberth.io/autoscalings/status"),
            ("POST", "/autoscale/scale-up", "create podberth.io/autoscalings/scale-up"),
            ("POST", "/reschedule", "create podberth.io/reschedulings"),
            ("POST", "/schedule", "create podberth.io/placements"),
            ("POST", "/placements", "create podberth.io/placements/clusters"),
            ("POST", "/placements/estimate", "create podberth.io/simulations/estimate"),
            ("POST", "/import", "create podberth.io/imports"),
            ("GET", "/policy", "get podberth.io/policies default"),
            ("POST", "/policy", "update podberth.io/policies default"),
            ("DELETE", "/policies/x", "delete podberth.io/policies x"),
            ("GET", "/policies", "list podberth.io/policies"),
            ("POST", "/policies/x/rollback", "create podberth.io/policies/rollback x"),
            ("GET", "/policy/revisions", "get podberth.io/policies/revisions default"),
            ("PUT", "/reservations/ns/p", "update podberth.io/reservations -n ns p"),
            ("GET", "/evictions", "list podberth.io/evictions"),
            ("POST", "/evictions", "create podberth.io/evictions"),
            ("GET", "/clusters/x", "get podberth.io/clusters x in all"),
            ("PUT", "/clusters/x", "update podberth.io/clusters x in all"),
            ("DELETE", "/clusters/x", "delete podberth.io/clusters x in all"),
            ("POST", "/forks", "create podberth.io/forks"),
            ("GET", "/forks/x/diff", "get podberth.io/forks/diff x"),
            ("GET", "/tokens", "list podberth.io/tokens in all"),
            ("GET", "/audit", "list podberth.io/audits"),
            ("GET", "/explain/x", "get /explain/x"),
            ("GET", "/%70olicy", "get /%70olicy"),
            ("PURGE", "/metrics", "purge /metrics"),
        ];
        for (method, path, expected) in cases {
            assert_eq!(told(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn the_audit_of_all_clusters_is_judged_for_all() {
        let judged_in = |cluster: &'static str| RequestInfo::of(&Method::GET, cluster, "/audit", "").cluster;
        assert_eq!([DEFAULT_CLUSTER, "prod"].map(judged_in), [SYSTEM_CLUSTER, "prod"]);
    }

    #[test]
    fn questions_change_nothing_and_all_else_may() {
        let may_change = |method: Method, path: &str| RequestInfo::of(&method, "c", path, "").may_change();
        for path in [
            "/filter",
            "/prioritize",
            "/preempt",
            "/explain",
            "/simulate",
            "/autoscale/scale-up",
            "/reschedule",
            "/replay",
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        ] {
            assert!(!may_change(Method::POST, path), "{path}");
        }
        assert!(!may_change(Method::POST, "/placements/estimate") && may_change(Method::POST, "/placements"));
        let others = ["/bind", "/schedule", "/import", "/evictions", "/tokens", "/policy/rollback", "/autoscale/vpa"];
        for path in others.into_iter().chain(["/api/v1/pods"]) {
            assert!(may_change(Method::POST, path), "{path}");
        }
        assert!(may_change(Method::DELETE, "/clusters/x") && may_change(Method::PATCH, "/api/v1/nodes/n"));
        assert!(!may_change(Method::GET, "/api/v1/pods") && !may_change(Method::GET, "/metrics"));
    }

    proptest! {
        #[test]
        fn any_path_has_attributes(path in "(/(api|apis|v1|watch|proxy|namespaces|policies|[a-z%/.+]{0,4})){0,9}", query in "[a-z=&%+.!,]{0,20}") {
            let info = RequestInfo::of(&Method::GET, "c", &path, &query);
            let is_told = match &info.attributes {
                Attributes::Resource(_) => true,
                Attributes::Path { path: told, .. } => **told == *path,
            };
            prop_assert!(is_told);
        }

        #[test]
        fn encoded_texts_are_decoded(text in "\\PC{0,12}") {
            let encoded = text.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
            prop_assert_eq!(decoded(&encoded), text);
        }
    }
}
