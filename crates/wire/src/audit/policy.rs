//! Audit policies: `kind: Policy` of `audit.k8s.io/v1`, in JSON or YAML.
//!
//! kube-apiserver passes over fields that it does not know. They are refused here, as a misspelt condition would match more than was meant.
//!
//! Source: `apiserver/pkg/audit/policy/reader.go`, `apiserver/pkg/apis/audit/validation/validation.go`.

use serde::Deserialize;

use super::API_VERSION;
use crate::{decode, objects::names, yaml};
use podberth_core::{
    audit::{GroupResources, Level, Policy, Rule, Stage, Stages},
    model::Name,
};

/// Where no policy is given: changes by users who are known, without their bodies, and not those that come by the second.
pub const DEFAULT: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  userGroups: [system:unauthenticated]
- level: None
  resources:
  - {group: podberth.io, resources: [extenders/filter, extenders/prioritize, extenders/preempt, explanations, simulations]}
  - {group: authentication.k8s.io}
  - {group: authorization.k8s.io}
  - {group: '', resources: [events]}
  - {group: events.k8s.io}
  - {group: coordination.k8s.io, resources: [leases]}
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sent {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    #[expect(dead_code, reason = "a policy may have a name, which means nothing")]
    metadata: serde_json::Value,
    #[serde(default)]
    rules: Vec<SentRule>,
    #[serde(default)]
    omit_stages: Vec<String>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SentRule {
    #[serde(default)]
    level: String,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<SentResources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    #[serde(default)]
    omit_stages: Vec<String>,
    #[serde(default)]
    omit_managed_fields: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SentResources {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

/// Reads a policy.
///
/// # Errors
/// All faults, each with its field, in one line.
pub fn parse(text: &str) -> Result<Policy, String> {
    let json = yaml::to_json(text.as_bytes(), true).map_err(|error| error.to_string())?;
    let sent: Sent = decode::from_slice(&json).map_err(|error| error.without_place().to_string())?;
    let mut faults = Vec::new();
    if (&*sent.api_version, &*sent.kind) != (API_VERSION, "Policy") {
        faults.push(format!(
            "it is {:?} of {:?}: expected kind: Policy, apiVersion: {API_VERSION}",
            sent.kind, sent.api_version
        ));
    }
    if sent.rules.is_empty() {
        faults.push("rules: there are none: a policy that records nothing has the rule `level: None`".into());
    }
    let omit_stages = stages(&sent.omit_stages, "omitStages", &mut faults);
    let rules = sent.rules.into_iter().enumerate();
    let rules = rules.map(|(at, rule)| rule.to_core(&format!("rules[{at}]"), &mut faults)).collect();
    if faults.is_empty() {
        Ok(Policy { rules, omit_stages, omit_managed_fields: sent.omit_managed_fields })
    } else {
        Err(faults.join("; "))
    }
}

impl SentRule {
    fn to_core(&self, at: &str, faults: &mut Vec<String>) -> Rule {
        let level = Level::ALL.into_iter().find(|level| level.name() == self.level);
        if level.is_none() {
            let found =
                if self.level.is_empty() { "it is missing".into() } else { format!("{:?} is none", self.level) };
            faults.push(format!("{at}.level: {found}: expected None, Metadata, Request or RequestResponse"));
        }
        for (i, url) in self.non_resource_urls.iter().enumerate().filter(|(_, url)| *url != "*") {
            if !url.starts_with('/') {
                faults.push(format!("{at}.nonResourceURLs[{i}]: {url:?} must begin with a slash"));
            }
            if url.find('*').is_some_and(|star| star + 1 < url.len()) {
                faults.push(format!("{at}.nonResourceURLs[{i}]: in {url:?} a * may only stand at the end"));
            }
        }
        let is_about_resources = !(self.resources.is_empty() && self.namespaces.is_empty());
        if is_about_resources && !self.non_resource_urls.is_empty() {
            faults.push(format!(
                "{at}.nonResourceURLs: a rule is either about paths or about resources and namespaces: write two rules"
            ));
        }
        Rule {
            level: level.unwrap_or_default(),
            users: to_names(&self.users),
            groups: to_names(&self.user_groups),
            verbs: to_names(&self.verbs),
            resources: self.resources.iter().map(|resources| resources.to_core(at, faults)).collect(),
            namespaces: to_names(&self.namespaces),
            paths: to_names(&self.non_resource_urls),
            omit_stages: stages(&self.omit_stages, &format!("{at}.omitStages"), faults),
            omit_managed_fields: self.omit_managed_fields,
        }
    }
}

impl SentResources {
    fn to_core(&self, at: &str, faults: &mut Vec<String>) -> GroupResources {
        let Self { group, resources, resource_names } = self;
        if !group.is_empty() && names::dns_subdomain(group).is_err() {
            faults.push(format!("{at}.resources: {group:?} is no API group: expected one without a version, as apps"));
        }
        if !resource_names.is_empty() && resources.is_empty() {
            faults.push(format!("{at}.resources: resourceNames need resources beside them"));
        }
        GroupResources { group: group.as_str().into(), resources: to_names(resources), names: to_names(resource_names) }
    }
}

fn to_names(texts: &[String]) -> Vec<Name> {
    texts.iter().map(|text| text.as_str().into()).collect()
}

fn stages(texts: &[String], at: &str, faults: &mut Vec<String>) -> Stages {
    let stage = |text: &String| {
        let found = Stage::ALL.into_iter().find(|stage| stage.name() == text);
        if found.is_none() {
            let all = Stage::ALL.map(Stage::name).join(", ");
            faults.push(format!("{at}: {text:?} is no stage: expected some of {all}"));
        }
        found
    };
    texts.iter().filter_map(stage).collect()
}

#[cfg(test)]
mod tests {
    use podberth_core::access::{Attributes, ResourceAttributes, UNAUTHENTICATED, User};

    use super::*;

    #[test]
    fn a_policy_of_kube_apiserver_is_read() {
        let policy = parse(
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nmetadata: {name: p}\nomitStages: [RequestReceived]\nomitManagedFields: true\nrules:\n\
             - {level: RequestResponse, users: [a], userGroups: [b], verbs: [get], namespaces: [n], omitManagedFields: false,\n   \
                resources: [{group: apps, resources: [deployments, '*/scale'], resourceNames: [w]}], omitStages: [Panic]}\n\
             - {level: None, nonResourceURLs: ['/health*', '*'], users: null}\n",
        )
        .expect("a policy");
        assert!(policy.omit_managed_fields && policy.omit_stages.has(Stage::RequestReceived));
        let [first, second] = policy.rules.as_slice() else { panic!("two rules") };
        assert_eq!((first.level, first.omit_managed_fields), (Level::RequestResponse, Some(false)));
        assert_eq!((&*first.resources[0].group, &*first.resources[0].resources[1]), ("apps", "*/scale"));
        assert_eq!((&*first.users[0], &*first.groups[0], &*first.namespaces[0]), ("a", "b", "n"));
        assert!(first.omit_stages.has(Stage::Panic) && !first.omit_stages.has(Stage::ResponseComplete));
        assert_eq!((second.level, second.paths.len()), (Level::None, 2));
    }

    #[test]
    fn a_faulty_policy_is_refused_with_its_field() {
        let of = |rules: &str| format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: {rules}");
        for (text, told) in [
            (
                of("[{level: All}]"),
                "rules[0].level: \"All\" is none: expected None, Metadata, Request or RequestResponse",
            ),
            (of("[{users: [a]}]"), "rules[0].level: it is missing"),
            (of("[]"), "rules: there are none"),
            (of("[{level: None, user: [a]}]"), "unknown field `user`"),
            (of("[{level: None, omitStages: [Later]}]"), "rules[0].omitStages: \"Later\" is no stage"),
            (of("[{level: None, nonResourceURLs: [x]}]"), "must begin with a slash"),
            (of("[{level: None, nonResourceURLs: ['/*/x']}]"), "may only stand at the end"),
            (of("[{level: None, nonResourceURLs: [/x], namespaces: [a]}]"), "write two rules"),
            (of("[{level: None, resources: [{group: apps/v1}]}]"), "is no API group"),
            (of("[{level: None, resources: [{group: '', resourceNames: [a]}]}]"), "need resources beside them"),
            (
                of("[{level: None}]").replace("/v1\n", "/v1beta1\n"),
                "expected kind: Policy, apiVersion: audit.k8s.io/v1",
            ),
            (of("[{level: None}, {level: x, omitStages: [y]}]"), "rules[1].omitStages"),
            (of("{}"), "rules"),
            (String::new(), ""),
        ] {
            let refused = parse(&text).expect_err("it is faulty");
            assert!(refused.contains(told) && !refused.contains('\n'), "{text}: {refused}");
        }
    }

    #[test]
    fn changes_are_recorded_where_no_policy_is_given() {
        let policy = parse(DEFAULT).expect("a policy");
        let (jane, nobody) = (User::new("jane", []), User::new("system:anonymous", [UNAUTHENTICATED]));
        let level =
            |user: &User, of: ResourceAttributes<'_>| policy.recording(Some(user), &Attributes::Resource(of)).level;
        let create = |group, resource| ResourceAttributes::new("create", group, resource);
        assert_eq!(level(&jane, create("", "pods")), Level::Metadata);
        assert_eq!(level(&jane, create("podberth.io", "extenders").below("bind")), Level::Metadata);
        assert_eq!(level(&jane, create("podberth.io", "tokens")), Level::Metadata);
        assert_eq!(level(&nobody, create("", "pods")), Level::None);
        assert_eq!(level(&jane, create("podberth.io", "extenders").below("filter")), Level::None);
        assert_eq!(level(&jane, create("events.k8s.io", "events")), Level::None);
        assert_eq!(level(&jane, ResourceAttributes::new("list", "", "pods")), Level::None);
        let unknown = policy.recording(None, &Attributes::Resource(create("", "pods")));
        assert_eq!(unknown.level, Level::Metadata, "a failed authentication is recorded");
    }
}
