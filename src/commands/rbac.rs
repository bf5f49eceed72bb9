//! `podberth rbac`: the least rights that a live cluster has to give, as objects for `kubectl apply`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::wire::{
    kinds::StoredKind,
    source::{kind_name, mirrored},
};

const RBAC: &str = "rbac.authorization.k8s.io";

/// The duties for which rights are needed.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// To mirror the cluster
    Sync(Options),
    /// To mirror it, and to carry binds and evictions out through its API server (bind: apiserver)
    Bind(Options),
    /// To schedule its pods as a scheduler of its own (loop)
    Loop(Options),
    /// To mirror it, and to close its nodes and evict their pods (--autoscale=act)
    Autoscale(Options),
}

/// Options of all duties.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Service account to bind the role to, as namespace:name
    #[arg(long, value_name = "NAMESPACE:NAME", value_parser = service_account)]
    service_account: Option<ServiceAccount>,

    /// Name of the role and of its binding; podberth-sync, podberth-bind, podberth-loop or podberth-autoscale unless told
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// The kinds that are mirrored, as in the source's `kinds`: pods,nodes,replicasets.apps. All that decisions read unless told
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = kind)]
    kinds: Vec<String>,

    /// The source's Lease, as namespace/name
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = lease)]
    lease: Option<Lease>,

    /// Also to ask about bearer tokens (--authentication-token-webhook-cluster)
    #[arg(long)]
    token_review: bool,
}

/// A service account.
#[derive(Clone, Debug)]
struct ServiceAccount {
    namespace: String,
    name: String,
}

/// A Lease.
#[derive(Clone, Debug)]
struct Lease {
    namespace: String,
    name: String,
}

fn parts(text: &str, mark: char) -> Option<(String, String)> {
    let (namespace, name) = text.split_once(mark)?;
    let is_name = |text: &str| {
        let is_part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
        (1..=253).contains(&text.len()) && text.bytes().all(is_part)
    };
    (is_name(namespace) && is_name(name)).then(|| (namespace.to_owned(), name.to_owned()))
}

fn service_account(text: &str) -> Result<ServiceAccount, String> {
    let (namespace, name) = parts(text, ':').ok_or("expected namespace:name of a service account")?;
    Ok(ServiceAccount { namespace, name })
}

fn lease(text: &str) -> Result<Lease, String> {
    let (namespace, name) = parts(text, '/').ok_or("expected namespace/name of a Lease")?;
    Ok(Lease { namespace, name })
}

fn kind(text: &str) -> Result<String, String> {
    let known: Vec<String> = mirrored().map(kind_name).collect();
    if known.iter().any(|name| name == text) {
        Ok(text.to_owned())
    } else {
        Err(format!("no kind that is mirrored; those are {}", known.join(", ")))
    }
}

/// Rights on resources of a group.
struct Rule {
    group: &'static str,
    resources: Vec<&'static str>,
    verbs: &'static [&'static str],
}

fn rule(group: &'static str, resources: &[&'static str], verbs: &'static [&'static str]) -> Rule {
    Rule { group, resources: resources.to_vec(), verbs }
}

/// The rights to mirror these kinds, one rule for each group.
fn of_sync(kinds: &[String]) -> Vec<Rule> {
    let is_wanted = |kind: &&StoredKind| kinds.is_empty() || kinds.contains(&kind_name(kind));
    let mut groups: BTreeMap<&'static str, Vec<&'static str>> = BTreeMap::new();
    for kind in mirrored().filter(is_wanted) {
        groups.entry(kind.group).or_default().push(kind.plural);
    }
    let of = |(group, resources)| Rule { group, resources, verbs: &["list", "watch"] };
    groups.into_iter().map(of).collect()
}

/// The further rights to carry binds and evictions out.
fn of_bind() -> Vec<Rule> {
    vec![
        rule("", &["pods/binding", "pods/eviction"], &["create"]),
        rule("", &["pods"], &["get", "delete"]),
        rule("", &["pods/status"], &["patch"]),
    ]
}

/// The further rights to drain nodes.
fn of_autoscale() -> Vec<Rule> {
    vec![rule("", &["pods/eviction"], &["create"]), rule("", &["nodes"], &["patch"])]
}

/// The further rights of a scheduler.
fn of_loop() -> Vec<Rule> {
    vec![rule("events.k8s.io", &["events"], &["create", "patch"])]
}

/// The objects, as YAML documents.
///
/// # Errors
/// If they cannot be written.
pub fn run(command: &Command) -> Result<String, String> {
    let (duty, options, more) = match command {
        Command::Sync(options) => ("sync", options, Vec::new()),
        Command::Bind(options) => ("bind", options, of_bind()),
        Command::Autoscale(options) => ("autoscale", options, of_autoscale()),
        Command::Loop(options) => ("loop", options, of_bind().into_iter().chain(of_loop()).collect()),
    };
    let name = options.name.clone().unwrap_or_else(|| format!("podberth-{duty}"));
    let mut rules: Vec<Value> = of_sync(&options.kinds).into_iter().chain(more).map(shown).collect();
    if options.token_review {
        rules.push(shown(rule("authentication.k8s.io", &["tokenreviews"], &["create"])));
    }
    let mut objects = vec![json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules,
    })];
    objects.extend(options.service_account.as_ref().map(|account| binding("Cluster", &json!({"name": name}), account)));
    if let Some(lease) = &options.lease {
        let metadata = json!({"namespace": lease.namespace, "name": name});
        objects.push(json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": "Role", "metadata": metadata,
            "rules": [
                // A name cannot restrict who creates: the object has none yet.
                shown(rule("coordination.k8s.io", &["leases"], &["create"])),
                {
                    "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [lease.name],
                    "verbs": ["get", "update"],
                },
            ],
        }));
        objects.extend(options.service_account.as_ref().map(|account| binding("", &metadata, account)));
    }
    let documents: Result<Vec<String>, _> = objects.iter().map(serde_saphyr::to_string).collect();
    Ok(documents.map_err(|error| error.to_string())?.join("---\n"))
}

fn shown(Rule { group, resources, verbs }: Rule) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

/// The binding of a role (`of`: `Cluster` for one of the whole cluster) to a service account.
fn binding(of: &str, metadata: &Value, account: &ServiceAccount) -> Value {
    let name = metadata["name"].clone();
    json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": format!("{of}RoleBinding"), "metadata": metadata,
        "roleRef": {"apiGroup": RBAC, "kind": format!("{of}Role"), "name": name},
        "subjects": [{"kind": "ServiceAccount", "namespace": account.namespace, "name": account.name}],
    })
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use hyper::Method;

    use super::*;
    use crate::{
        api::access::request_info::RequestInfo,
        core::access::Attributes,
        service::source::{
            ApiRequest,
            requests::{PodRef, collection, patch, post},
        },
        wire::kinds,
    };

    fn printed(words: &[&str]) -> Vec<Value> {
        let command = Command::augment_subcommands(clap::Command::new("rbac"));
        let matches = command.try_get_matches_from(std::iter::once(&"rbac").chain(words)).expect("options");
        let text = run(&Command::from_arg_matches(&matches).expect("options")).expect("YAML");
        text.split("---\n").map(|document| serde_saphyr::from_str(document).expect("YAML")).collect()
    }

    /// The right that a request needs.
    fn needed(request: &ApiRequest) -> String {
        let method = Method::from_bytes(request.method.as_bytes()).expect("a method");
        let info = RequestInfo::of(&method, "c", &request.path, "");
        let Attributes::Resource(of) = info.attributes else { panic!("{} is a resource", request.path) };
        let below = if of.subresource.is_empty() { String::new() } else { format!("/{}", of.subresource) };
        format!("{} {}/{}{below}", of.verb, of.group, of.resource)
    }

    #[test]
    fn every_request_to_an_api_server_is_allowed() {
        let pod = PodRef { namespace: "shop".into(), name: "web".into(), uid: "u".into() };
        let of_binds = [pod.get(), pod.bind("n"), pod.evict(json!({})), pod.delete(), pod.patch_status(&json!({}))];
        let events = collection(kinds::by_plural("events.k8s.io", "events").expect("events"), "shop");
        let of_loops = [post(events.clone(), &json!({})), patch(format!("{events}/e"), &json!({}))];
        let (binds, loops) = (rights(&printed(&["bind"])[0]), rights(&printed(&["loop"])[0]));
        for request in &of_binds {
            assert!(binds.contains(&needed(request)) && loops.contains(&needed(request)), "{}", needed(request));
        }
        for request in &of_loops {
            assert!(loops.contains(&needed(request)), "{}", needed(request));
            assert!(!binds.contains(&needed(request)), "{}", needed(request));
        }
        let used: Vec<String> = of_binds.iter().map(needed).collect();
        let of_sync = rights(&printed(&["sync"])[0]);
        let more: Vec<&String> = binds.iter().filter(|right| !of_sync.contains(right)).collect();
        assert!(more.iter().all(|right| used.contains(right)), "no more than is asked for: {more:?}");
    }

    /// Each right as `verb group/resource`.
    fn rights(role: &Value) -> Vec<String> {
        let words = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
        };
        let mut rights = Vec::new();
        for rule in role["rules"].as_array().into_iter().flatten() {
            for verb in words(&rule["verbs"]) {
                let group = rule["apiGroups"][0].as_str().unwrap_or_default();
                rights.extend(words(&rule["resources"]).iter().map(|resource| format!("{verb} {group}/{resource}")));
            }
        }
        rights
    }

    #[test]
    fn mirrors_read_each_kind_and_write_nothing() {
        let objects = printed(&["sync"]);
        let rights = rights(&objects[0]);
        for kind in mirrored() {
            for verb in ["list", "watch"] {
                let needed = format!("{verb} {}/{}", kind.group, kind.plural);
                assert!(rights.contains(&needed), "{needed}");
            }
        }
        assert_eq!(rights.len(), 2 * mirrored().count());
        assert_eq!((objects.len(), &objects[0]["metadata"]["name"]), (1, &json!("podberth-sync")));
    }

    #[test]
    fn roles_have_the_rights_of_their_options_alone() {
        let objects = printed(&[
            "loop",
            "--kinds=pods,replicasets.apps",
            "--service-account=podberth:main",
            "--lease=kube-system/mine",
        ]);
        let kinds: Vec<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
        assert_eq!(kinds, ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]);
        let granted = rights(&objects[0]);
        assert!(
            granted.contains(&"watch apps/replicasets".to_owned()) && !granted.contains(&"watch /nodes".to_owned())
        );
        for needed in [
            "create /pods/binding",
            "create /pods/eviction",
            "delete /pods",
            "patch /pods/status",
            "create events.k8s.io/events",
        ] {
            assert!(granted.contains(&needed.to_owned()), "{needed}");
        }
        assert_eq!(
            objects[1]["subjects"][0],
            json!({"kind": "ServiceAccount", "namespace": "podberth", "name": "main"})
        );
        assert_eq!(objects[3]["roleRef"]["kind"], "Role");
        assert_eq!(objects[2]["rules"][1]["resourceNames"], json!(["mine"]));
        assert!(!granted.iter().any(|right| right.contains("tokenreviews") || right.contains("leases")));
        let reviews = rights(&printed(&["sync", "--token-review"])[0]);
        assert!(reviews.contains(&"create authentication.k8s.io/tokenreviews".to_owned()));
    }
}
