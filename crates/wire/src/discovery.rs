//! Discovery documents: the groups, versions and resources that are served, read off the table of kinds.
//!
//! Source: `apimachinery/pkg/apis/meta/v1/types.go` (one document per group version), `api/apidiscovery/v2/types.go` (all in
//! one), `apiserver/pkg/endpoints/discovery/storageversionhash.go`.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::kinds::{self, StoredKind, Subresource, Verb};
use base64::{Engine, prelude::BASE64_STANDARD};
use podberth_core::access;

/// The version of the aggregated documents.
pub const AGGREGATED: &str = "apidiscovery.k8s.io/v2";

/// A group with its versions, preferred one first.
#[derive(Debug)]
pub struct Group {
    /// Its name; empty for the core group.
    pub name: &'static str,
    /// The versions in which it is served.
    pub versions: Vec<&'static str>,
}

/// All groups in the order of the table: the core group is among them.
pub fn groups() -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let stored = kinds::shared().map(|kind| (kind.group, kind.version));
    let taken = TAKEN.iter().map(|taken| (taken.group, taken.version));
    for (name, version) in stored.chain(taken).chain([(access::OWN, OWN_VERSION)]) {
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) if group.versions.contains(&version) => {}
            Some(group) => group.versions.push(version),
            None => groups.push(Group { name, versions: vec![version] }),
        }
    }
    groups
}

/// The group of that name.
pub fn group(name: &str) -> Option<Group> {
    groups().into_iter().find(|group| group.name == name)
}

impl Group {
    /// `APIGroup`, or its entry in an `APIGroupList`, which has no kind.
    pub fn document(&self, is_entry: bool) -> Value {
        let version = |version: &&str| json!({"groupVersion": group_version(self.name, version), "version": version});
        let versions: Vec<Value> = self.versions.iter().map(version).collect();
        let mut document = Map::new();
        if !is_entry {
            document.insert("kind".into(), "APIGroup".into());
            document.insert("apiVersion".into(), "v1".into());
        }
        document.insert("name".into(), self.name.into());
        document.insert("preferredVersion".into(), versions.first().cloned().unwrap_or_default());
        document.insert("versions".into(), versions.into());
        document.into()
    }

    /// Its entry in an `APIGroupDiscoveryList`.
    fn aggregated(&self) -> Value {
        let version = |version: &&str| {
            let resources: Vec<Value> = rows(self.name, version).into_iter().map(|row| row.aggregated()).collect();
            json!({"version": version, "resources": resources, "freshness": "Current"})
        };
        let mut metadata = Map::new();
        if !self.name.is_empty() {
            metadata.insert("name".into(), self.name.into());
        }
        metadata.insert("creationTimestamp".into(), Value::Null);
        json!({"metadata": metadata, "versions": self.versions.iter().map(version).collect::<Vec<_>>()})
    }
}

/// `APIVersions`: the versions of the core group.
pub fn core_versions() -> Value {
    let versions = group("").map(|group| group.versions).unwrap_or_default();
    json!({"kind": "APIVersions", "versions": versions, "serverAddressByClientCIDRs": []})
}

/// `APIGroupList`: all groups but the core group.
pub fn group_list() -> Value {
    let groups = groups().into_iter().filter(|group| !group.name.is_empty());
    let groups: Vec<Value> = groups.map(|group| group.document(true)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `APIGroupDiscoveryList`: the core group alone, or all others.
pub fn aggregated(is_core: bool) -> Value {
    let groups = groups().into_iter().filter(|group| group.name.is_empty() == is_core);
    let items: Vec<Value> = groups.map(|group| group.aggregated()).collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": AGGREGATED, "metadata": {}, "items": items})
}

/// `APIResourceList` of a group version; `None` if it is not served.
pub fn resource_list(group: &str, version: &str) -> Option<Value> {
    let rows = rows(group, version);
    if rows.is_empty() {
        return None;
    }
    let resources: Vec<Value> = rows.into_iter().flat_map(|row| row.resources()).collect();
    let name = group_version(group, version);
    Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": resources}))
}

/// `v1`, or `apps/v1`.
fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.into() } else { format!("{group}/{version}") }
}

/// A resource of a group version.
enum Row {
    /// A stored kind.
    Of(&'static StoredKind),
    /// A resource that takes objects and stores none of them.
    Taken(&'static Taken),
    /// One of Podberth's own operations.
    Own(&'static Own),
}

/// One of Podberth's own operations, as a resource that roles name. Nothing is served under its path in the group, so it is listed with the verbs
/// that change something, if there are any, and never with those by which clients look around.
struct Own {
    plural: &'static str,
    singular: &'static str,
    kind: &'static str,
    namespaced: bool,
    verbs: &'static [&'static str],
    subresources: &'static [&'static str],
}

const OWN_VERSION: &str = "v1";

const fn own(names: [&'static str; 3], verbs: &'static [&'static str], subresources: &'static [&'static str]) -> Own {
    let [plural, singular, kind] = names;
    Own { plural, singular, kind, namespaced: false, verbs, subresources }
}

/// Podberth's own operations.
const OWN: &[Own] = &[
    own(["audits", "audit", "Audit"], &[], &[]),
    own(["evictions", "eviction", "Eviction"], &["create"], &[]),
    own(["explanations", "explanation", "Explanation"], &["create"], &[]),
    own(["simulations", "simulation", "Simulation"], &["create"], &[]),
    own(["extenders", "extender", "Extender"], &["create"], &["bind", "filter", "preempt", "prioritize"]),
    own(["imports", "import", "Import"], &["create"], &[]),
    own(["placements", "placement", "Placement"], &["create"], &[]),
    own(["policies", "policy", "Policy"], &["delete", "update"], &["rollback"]),
    Own { namespaced: true, ..own(["reservations", "reservation", "Reservation"], &["delete", "update"], &[]) },
    own(["sources", "source", "Source"], &["use"], &[]),
    own(["tokens", "token", "Token"], &["create", "delete"], &[]),
];

/// A resource that takes objects and stores none of them.
pub(crate) struct Taken {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) namespaced: bool,
}

const fn review(group: &'static str, plural: &'static str, kind: &'static str, namespaced: bool) -> Taken {
    Taken { group, version: "v1", plural, kind, namespaced }
}

/// All of these resources.
pub(crate) const TAKEN: &[Taken] = &[
    Taken { group: "", version: "v1", plural: "bindings", kind: "Binding", namespaced: true },
    review("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview", false),
    review("authorization.k8s.io", "localsubjectaccessreviews", "LocalSubjectAccessReview", true),
    review("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview", false),
    review("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview", false),
    review("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview", false),
    review("authentication.k8s.io", "tokenreviews", "TokenReview", false),
];

impl Taken {
    fn singular(&self) -> &'static str {
        self.plural.strip_suffix('s').unwrap_or(self.plural)
    }
}

/// The resources of a group version, by their names.
fn rows(group: &str, version: &str) -> Vec<Row> {
    let stored = kinds::shared().filter(|kind| kind.group == group && kind.version == version);
    let mut rows: Vec<Row> = stored.map(Row::Of).collect();
    rows.extend(TAKEN.iter().filter(|taken| taken.group == group && taken.version == version).map(Row::Taken));
    if (group, version) == (access::OWN, OWN_VERSION) {
        rows.extend(OWN.iter().map(Row::Own));
    }
    rows.sort_by_key(Row::plural);
    rows
}

impl Row {
    fn plural(&self) -> &'static str {
        match self {
            Self::Of(kind) => kind.plural,
            Self::Taken(taken) => taken.plural,
            Self::Own(own) => own.plural,
        }
    }

    /// Its entries in an `APIResourceList`: its own, and those of its subresources.
    fn resources(&self) -> Vec<Value> {
        let kind = match self {
            Self::Of(kind) => kind,
            Self::Taken(taken) => {
                let Taken { plural, kind, namespaced, .. } = taken;
                let name = taken.singular();
                return vec![
                    json!({"name": plural, "singularName": name, "namespaced": namespaced, "kind": kind, "verbs": ["create"]}),
                ];
            }
            Self::Own(own) => return own.resources(),
        };
        let mut entry = json!({"name": kind.plural, "singularName": kind.singular(), "namespaced": kind.namespaced, "kind": kind.kind, "verbs": verbs(kind)});
        add_names(&mut entry, kind);
        if let Some(entry) = entry.as_object_mut() {
            entry.insert("storageVersionHash".into(), storage_version_hash(kind).into());
        }
        let mut subresources: Vec<&Subresource> = kind.subresources.iter().collect();
        subresources.sort_by_key(|subresource| subresource.name());
        let mut entries = vec![entry];
        entries.extend(subresources.into_iter().map(|subresource| {
            let (group, version, response) = subresource.answers(kind);
            let name = format!("{}/{}", kind.plural, subresource.name());
            let mut entry = json!({"name": name, "singularName": "", "namespaced": kind.namespaced, "kind": response, "verbs": subresource.verbs()});
            if let (true, Some(entry)) = (group != kind.group, entry.as_object_mut()) {
                entry.insert("group".into(), group.into());
                entry.insert("version".into(), version.into());
            }
            entry
        }));
        entries
    }

    /// Its entry in an `APIGroupDiscoveryList`.
    fn aggregated(&self) -> Value {
        let answer =
            |(group, version, kind): (&str, &str, &str)| json!({"group": group, "version": version, "kind": kind});
        let scope = |namespaced: bool| if namespaced { "Namespaced" } else { "Cluster" };
        let kind = match self {
            Self::Of(kind) => kind,
            Self::Taken(taken) => {
                let Taken { group, version, plural, kind, namespaced } = taken;
                return json!({
                    "resource": plural, "responseKind": answer((group, version, kind)), "scope": scope(*namespaced),
                    "singularResource": taken.singular(), "verbs": ["create"],
                });
            }
            Self::Own(own) => return own.aggregated(),
        };
        let mut entry = json!({
            "resource": kind.plural, "responseKind": answer((kind.group, kind.version, kind.kind)),
            "scope": scope(kind.namespaced),
            "singularResource": kind.singular(), "verbs": verbs(kind),
        });
        add_names(&mut entry, kind);
        let mut subresources: Vec<&Subresource> = kind.subresources.iter().collect();
        subresources.sort_by_key(|subresource| subresource.name());
        let subresource = |subresource: &Subresource| json!({"subresource": subresource.name(), "responseKind": answer(subresource.answers(kind)), "verbs": subresource.verbs()});
        if let (false, Some(entry)) = (subresources.is_empty(), entry.as_object_mut()) {
            entry.insert("subresources".into(), subresources.into_iter().map(subresource).collect());
        }
        entry
    }
}

impl Own {
    fn resources(&self) -> Vec<Value> {
        let Self { plural, singular, kind, namespaced, verbs, subresources } = self;
        let below = subresources.iter().map(|subresource| {
            let name = format!("{plural}/{subresource}");
            json!({"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["create"]})
        });
        let own =
            json!({"name": plural, "singularName": singular, "namespaced": namespaced, "kind": kind, "verbs": verbs});
        [own].into_iter().chain(below).collect()
    }

    fn aggregated(&self) -> Value {
        let Self { plural, singular, kind, namespaced, verbs, subresources } = self;
        let answer = json!({"group": access::OWN, "version": OWN_VERSION, "kind": kind});
        let scope = if *namespaced { "Namespaced" } else { "Cluster" };
        let mut entry = json!({"resource": plural, "responseKind": answer, "scope": scope, "singularResource": singular, "verbs": verbs});
        let below = |name: &&str| json!({"subresource": name, "responseKind": answer, "verbs": ["create"]});
        if !subresources.is_empty() {
            entry["subresources"] = subresources.iter().map(below).collect();
        }
        entry
    }
}

/// Adds the short names and categories, if there are any.
fn add_names(entry: &mut Value, kind: &StoredKind) {
    let Some(entry) = entry.as_object_mut() else { return };
    for (field, names) in [("shortNames", kind.short_names), ("categories", kind.categories)] {
        if !names.is_empty() {
            entry.insert(field.into(), names.into());
        }
    }
}

/// The operations on a kind, in the order of the alphabet. One that is listed can be watched.
fn verbs(kind: &StoredKind) -> BTreeSet<&'static str> {
    let mut verbs: BTreeSet<_> = kind.verbs.iter().map(|verb| verb.name()).collect();
    if kind.verbs.contains(&Verb::List) {
        verbs.insert("watch");
    }
    verbs
}

/// A name for the form in which a kind is stored, as the API server makes it.
fn storage_version_hash(kind: &'static StoredKind) -> String {
    let stored = kind.stored();
    let hash = Sha256::digest(format!("{}/{}/{}", stored.group, stored.version, stored.kind));
    BASE64_STANDARD.encode(&hash[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(list: &Value, name: &str) -> Value {
        let resources = list["resources"].as_array().expect("resources");
        resources.iter().find(|resource| resource["name"] == name).cloned().unwrap_or_default()
    }

    #[test]
    fn resources_are_listed_as_the_api_server_lists_them() {
        let core = resource_list("", "v1").expect("the core group");
        let pods = json!({
            "name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod", "shortNames": ["po"],
            "categories": ["all"], "storageVersionHash": "xPOwRZ+Yhw8=",
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        });
        assert_eq!(resource(&core, "pods"), pods);
        let eviction = json!({
            "name": "pods/eviction", "singularName": "", "namespaced": true, "group": "policy", "version": "v1",
            "kind": "Eviction", "verbs": ["create"],
        });
        assert_eq!(resource(&core, "pods/eviction"), eviction);
        assert_eq!(resource(&core, "pods/status")["verbs"], json!(["get", "patch", "update"]));
        assert_eq!(resource(&core, "bindings")["singularName"], "binding");
        assert!(resource(&core, "namespaces")["verbs"].as_array().is_some_and(|verbs| verbs.len() == 7));
        let events = resource_list("events.k8s.io", "v1").expect("a group");
        let hash = &resource(&core, "events")["storageVersionHash"];
        assert_eq!(&resource(&events, "events")["storageVersionHash"], hash, "one object, stored once");
        assert!(resource_list("apps", "v7").is_none() && resource_list("podberth.io", "v2").is_none());
    }

    /// `kubectl get all` and garbage collectors list every resource that says it can be listed.
    #[test]
    fn own_operations_are_known_and_are_not_to_be_listed() {
        let own = resource_list("podberth.io", "v1").expect("the group");
        let placements = json!({"name": "placements", "singularName": "placement", "namespaced": false, "kind": "Placement", "verbs": ["create"]});
        assert_eq!(resource(&own, "placements"), placements);
        assert_eq!(resource(&own, "extenders/filter")["verbs"], json!(["create"]));
        assert_eq!(resource(&own, "reservations")["namespaced"], true);
        let looks = |verb: &&str| ["get", "list", "watch"].contains(verb);
        assert!(!OWN.iter().any(|own| own.verbs.iter().any(looks)));
    }

    #[test]
    fn both_forms_of_discovery_list_the_same_resources() {
        let names = |aggregated: &Value| -> BTreeSet<String> {
            let of_version = |group: &Value, version: &Value| -> Vec<String> {
                let group = group["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                let resources = version["resources"].as_array().cloned().unwrap_or_default();
                let name = |resource: &Value| {
                    let own = format!("{group}/{}", resource["resource"].as_str().unwrap_or_default());
                    let subresources = resource["subresources"].as_array().cloned().unwrap_or_default();
                    let below = subresources
                        .into_iter()
                        .map(|one| format!("{own}/{}", one["subresource"].as_str().unwrap_or_default()));
                    below.chain([own.clone()]).collect::<Vec<_>>()
                };
                resources.iter().flat_map(name).collect()
            };
            let items = aggregated["items"].as_array().cloned().unwrap_or_default();
            let versions = |group: &Value| -> Vec<String> {
                let versions = group["versions"].as_array().cloned().unwrap_or_default();
                versions.iter().flat_map(|version| of_version(group, version)).collect()
            };
            items.iter().flat_map(versions).collect()
        };
        let mut listed = BTreeSet::new();
        for group in groups() {
            for version in &group.versions {
                let list = resource_list(group.name, version).expect("a version of a group");
                let resources = list["resources"].as_array().cloned().unwrap_or_default();
                let name = |one: &Value| format!("{}/{}", group.name, one["name"].as_str().unwrap_or_default());
                listed.extend(resources.iter().map(name));
            }
        }
        assert_eq!(&names(&aggregated(true)) | &names(&aggregated(false)), listed);
        let core = group_list()["groups"].as_array().is_some_and(|all| all.iter().any(|group| group["name"] == ""));
        assert!(!core, "the core group has a root of its own");
    }
}
