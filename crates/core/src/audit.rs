//! Audit policies: which requests are recorded, at which stages, and how much of each.
//!
//! The first rule that matches a request decides; a request that no rule matches is not recorded.
//!
//! Source: `apiserver/pkg/audit/policy/checker.go`.

use crate::{
    access::{Attributes, ResourceAttributes, User},
    model::Name,
};

/// The amount that is recorded of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    #[default]
    None,
    /// Its sender, its attributes and its outcome.
    Metadata,
    /// Also its body, if it is about a resource.
    Request,
    /// Also the body of its reply, if it is about a resource.
    RequestResponse,
}

impl Level {
    /// All levels, the least first.
    pub const ALL: [Self; 4] = [Self::None, Self::Metadata, Self::Request, Self::RequestResponse];

    /// The name in policies and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

/// A moment of a request at which an event is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its sender is known, and it is not yet carried out.
    RequestReceived,
    /// The head of the reply of a watch is sent.
    ResponseStarted,
    /// It is answered.
    ResponseComplete,
    /// Its handler panicked.
    Panic,
}

impl Stage {
    /// All stages.
    pub const ALL: [Self; 4] = [Self::RequestReceived, Self::ResponseStarted, Self::ResponseComplete, Self::Panic];

    /// The name in policies and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

/// A set of stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages(u8);

impl Stages {
    /// `true` if a stage is in the set.
    pub fn has(self, stage: Stage) -> bool {
        self.0 & 1 << stage as u8 != 0
    }

    /// The stages of both sets.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<Stage> for Stages {
    fn from_iter<I: IntoIterator<Item = Stage>>(stages: I) -> Self {
        Self(stages.into_iter().fold(0, |set, stage| set | 1 << stage as u8))
    }
}

/// Resources of one API group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupResources {
    /// The group; empty for the core group.
    pub group: Name,
    /// `pods`, `pods/status`, `*/scale`, `pods/*`, `*`; none for all.
    pub resources: Vec<Name>,
    /// The objects; none for all.
    pub names: Vec<Name>,
}

/// Requests, and how they are recorded. A list that is empty restricts nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The amount.
    pub level: Level,
    /// Users, by name.
    pub users: Vec<Name>,
    /// Groups of users, of which one suffices.
    pub groups: Vec<Name>,
    /// `get`, `create`, …
    pub verbs: Vec<Name>,
    /// Resources.
    pub resources: Vec<GroupResources>,
    /// Namespaces; an empty name for requests in none.
    pub namespaces: Vec<Name>,
    /// Paths that are no resources; a `*` at the end stands for any rest.
    pub paths: Vec<Name>,
    /// Stages without an event, besides those of the policy.
    pub omit_stages: Stages,
    /// `true`: `managedFields` are left out of bodies; `None` as the policy has it.
    pub omit_managed_fields: Option<bool>,
}

/// Rules in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The rules, of which the first one counts that matches.
    pub rules: Vec<Rule>,
    /// Stages without an event.
    pub omit_stages: Stages,
    /// `true`: `managedFields` are left out of bodies.
    pub omit_managed_fields: bool,
}

/// The policy's answer for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// The amount.
    pub level: Level,
    /// Stages without an event.
    pub omit_stages: Stages,
    /// `true`: `managedFields` are left out of bodies.
    pub omit_managed_fields: bool,
}

impl Recording {
    /// `true` if an event is recorded at a stage.
    pub fn has(&self, stage: Stage) -> bool {
        self.level > Level::None && !self.omit_stages.has(stage)
    }
}

impl Policy {
    /// How a request is recorded. `None` is a sender who could not be known.
    pub fn recording(&self, user: Option<&User>, attributes: &Attributes<'_>) -> Recording {
        let rule = self.rules.iter().find(|rule| rule.matches(user, attributes));
        let of_policy = Recording {
            level: Level::None,
            omit_stages: self.omit_stages,
            omit_managed_fields: self.omit_managed_fields,
        };
        rule.map_or(of_policy, |rule| Recording {
            level: rule.level,
            omit_stages: self.omit_stages.and(rule.omit_stages),
            omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
        })
    }
}

impl Rule {
    /// `true` if the rule is about a request.
    pub fn matches(&self, user: Option<&User>, attributes: &Attributes<'_>) -> bool {
        let verb = match attributes {
            Attributes::Resource(of) => &of.verb,
            Attributes::Path { verb, .. } => verb,
        };
        if !self.users.is_empty() && !user.is_some_and(|user| has(&self.users, &user.name))
            || !self.groups.is_empty() && !user.is_some_and(|user| user.groups.iter().any(|g| has(&self.groups, g)))
            || !self.verbs.is_empty() && !has(&self.verbs, verb)
        {
            return false;
        }
        let of_resources = !self.namespaces.is_empty() || !self.resources.is_empty();
        match attributes {
            Attributes::Resource(of) if of_resources => {
                (self.namespaces.is_empty() || has(&self.namespaces, &of.namespace))
                    && (self.resources.is_empty() || self.resources.iter().any(|resources| resources.have(of)))
            }
            Attributes::Path { .. } if of_resources => false,
            Attributes::Resource(_) => self.paths.is_empty(),
            Attributes::Path { path, .. } => {
                self.paths.is_empty() || self.paths.iter().any(|pattern| is_path(pattern, path))
            }
        }
    }
}

impl GroupResources {
    fn have(&self, of: &ResourceAttributes<'_>) -> bool {
        if *self.group != *of.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        (self.names.is_empty() || has(&self.names, &of.name))
            && self.resources.iter().any(|resource| is_resource(resource, &of.resource, &of.subresource))
    }
}

fn has(list: &[Name], word: &str) -> bool {
    list.iter().any(|one| **one == *word)
}

/// A resource alone does not stand for its subresources; `pods/*` stands for `pods` as well.
fn is_resource(pattern: &str, resource: &str, subresource: &str) -> bool {
    let is_whole = match pattern.split_once('/') {
        Some((of, below)) => of == resource && below == subresource && !subresource.is_empty(),
        None => pattern == resource && subresource.is_empty(),
    };
    pattern == "*"
        || is_whole
        || !subresource.is_empty() && pattern.strip_prefix("*/") == Some(subresource)
        || pattern.strip_suffix("/*") == Some(resource)
}

fn is_path(pattern: &str, path: &str) -> bool {
    pattern == "*" || pattern == path || pattern.ends_with('*') && path.starts_with(pattern.trim_end_matches('*'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(names: &[&str]) -> Vec<Name> {
        names.iter().map(|name| (*name).into()).collect()
    }

    fn resources(group: &str, resources: &[&str], objects: &[&str]) -> Vec<GroupResources> {
        vec![GroupResources { group: group.into(), resources: names(resources), names: names(objects) }]
    }

    fn jane() -> User {
        User::new("jane", ["dev", "humans"])
    }

    fn pod() -> Attributes<'static> {
        Attributes::Resource(ResourceAttributes::new("get", "", "pods").within("ns").named("web"))
    }

    fn status() -> Attributes<'static> {
        Attributes::Resource(ResourceAttributes::new("update", "apps", "deployments").below("status").within("ns"))
    }

    fn path(path: &'static str) -> Attributes<'static> {
        Attributes::Path { verb: "get".into(), path: path.into() }
    }

    #[test]
    fn each_condition_of_a_rule_restricts_it() {
        let rule = |rule: Rule, attributes: &Attributes<'_>| rule.matches(Some(&jane()), attributes);
        let of = |group: &str, of: &[&str], objects: &[&str]| Rule {
            resources: resources(group, of, objects),
            ..Rule::default()
        };
        let cases = [
            (Rule::default(), pod(), true),
            (Rule::default(), path("/x"), true),
            (Rule { users: names(&["jane"]), ..Rule::default() }, pod(), true),
            (Rule { users: names(&["*"]), ..Rule::default() }, pod(), false),
            (Rule { groups: names(&["ops", "humans"]), ..Rule::default() }, pod(), true),
            (Rule { groups: names(&["ops"]), ..Rule::default() }, pod(), false),
            (Rule { verbs: names(&["get"]), ..Rule::default() }, pod(), true),
            (Rule { verbs: names(&["list"]), ..Rule::default() }, pod(), false),
            (Rule { namespaces: names(&["ns"]), ..Rule::default() }, pod(), true),
            (Rule { namespaces: names(&[""]), ..Rule::default() }, pod(), false),
            (Rule { namespaces: names(&["ns"]), ..Rule::default() }, path("/ns"), false),
            (of("", &[], &[]), pod(), true),
            (of("", &[], &["other"]), pod(), true),
            (of("apps", &[], &[]), pod(), false),
            (of("", &["pods"], &["web"]), pod(), true),
            (of("", &["pods"], &["other"]), pod(), false),
            (of("", &["*"], &[]), path("/api"), false),
            (of("apps", &["deployments"], &[]), status(), false),
            (of("apps", &["deployments/status"], &[]), status(), true),
            (of("apps", &["deployments/*"], &[]), status(), true),
            (of("apps", &["*/status"], &[]), status(), true),
            (of("apps", &["*/scale"], &[]), status(), false),
            (of("apps", &["*/*"], &[]), status(), false),
            (of("apps", &["*"], &[]), status(), true),
            (of("", &["pods/*"], &[]), pod(), true),
            (of("", &["pods/status"], &[]), pod(), false),
            (Rule { paths: names(&["/health*"]), ..Rule::default() }, path("/healthz"), true),
            (Rule { paths: names(&["/healthz"]), ..Rule::default() }, path("/healthz/ping"), false),
            (Rule { paths: names(&["*"]), ..Rule::default() }, path("/anything"), true),
            (Rule { paths: names(&["*"]), ..Rule::default() }, pod(), false),
        ];
        for (at, (one, attributes, expected)) in cases.into_iter().enumerate() {
            assert_eq!(rule(one.clone(), &attributes), expected, "case {at}: {one:?} {attributes:?}");
        }
    }

    #[test]
    fn a_sender_who_is_not_known_matches_no_rule_on_users() {
        let of_groups = Rule { groups: names(&["humans"]), ..Rule::default() };
        let of_users = Rule { users: names(&[""]), ..Rule::default() };
        assert!(!of_groups.matches(None, &pod()) && !of_users.matches(None, &pod()));
        assert!(Rule::default().matches(None, &pod()));
    }

    #[test]
    fn stages_of_the_policy_and_of_the_rule_are_left_out() {
        let rule = Rule {
            level: Level::Request,
            omit_stages: [Stage::Panic].into_iter().collect(),
            omit_managed_fields: Some(false),
            verbs: names(&["get"]),
            ..Rule::default()
        };
        let policy = Policy {
            rules: vec![rule],
            omit_stages: [Stage::RequestReceived].into_iter().collect(),
            omit_managed_fields: true,
        };
        let recording = policy.recording(None, &pod());
        assert_eq!((recording.level, recording.omit_managed_fields), (Level::Request, false));
        let kept: Vec<&str> = Stage::ALL.into_iter().filter(|stage| recording.has(*stage)).map(Stage::name).collect();
        assert_eq!(kept, ["ResponseStarted", "ResponseComplete"]);
        let other = policy.recording(None, &status());
        assert!(Stage::ALL.into_iter().all(|stage| !other.has(stage)) && other.omit_managed_fields);
    }

    fn some_names(of: &'static [&'static str]) -> impl Strategy<Value = Vec<Name>> {
        prop::sample::subsequence(of, 0..=of.len()).prop_map(|list| names(&list))
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let resources = (
            prop::sample::select(&["", "apps"][..]),
            some_names(&["pods", "*", "pods/*", "*/status", "deployments/status"]),
            some_names(&["web", "db"]),
        );
        let resources = prop::collection::vec(resources, 0..3).prop_map(|list| {
            let one =
                |(group, resources, names): (&str, _, _)| GroupResources { group: group.into(), resources, names };
            list.into_iter().map(one).collect::<Vec<_>>()
        });
        (
            prop::sample::select(&Level::ALL[..]),
            some_names(&["jane", "joe"]),
            some_names(&["dev", "ops"]),
            some_names(&["get", "update"]),
            resources,
            some_names(&["ns", ""]),
            some_names(&["/x*", "*"]),
        )
            .prop_map(|(level, users, groups, verbs, resources, namespaces, paths)| Rule {
                level,
                users,
                groups,
                verbs,
                resources,
                namespaces,
                paths,
                ..Rule::default()
            })
    }

    fn any_attributes() -> impl Strategy<Value = Attributes<'static>> {
        prop::sample::select(vec![pod(), status(), path("/x/y"), path("/z")])
    }

    proptest! {
        /// The rules behind the first one that matches change nothing.
        #[test]
        fn the_first_rule_that_matches_decides(rules in prop::collection::vec(any_rule(), 0..6), attributes in any_attributes(), more in any_rule()) {
            let user = jane();
            let policy = Policy { rules, ..Policy::default() };
            let first = policy.rules.iter().find(|rule| rule.matches(Some(&user), &attributes));
            let level = policy.recording(Some(&user), &attributes).level;
            prop_assert_eq!(level, first.map_or(Level::None, |rule| rule.level));
            if first.is_some() {
                let longer = Policy { rules: [policy.rules.clone(), vec![more]].concat(), ..policy };
                prop_assert_eq!(longer.recording(Some(&user), &attributes).level, level);
            }
        }

        /// A condition more never makes a rule match a request that it did not match before.
        #[test]
        fn a_condition_less_matches_no_less(rule in any_rule(), attributes in any_attributes(), condition in 0_usize..4) {
            let user = jane();
            let mut wider = rule.clone();
            match condition {
                0 => wider.users.clear(),
                1 => wider.groups.clear(),
                2 => wider.verbs.clear(),
                _ => wider.resources.iter_mut().for_each(|resources| resources.names.clear()),
            }
            if rule.matches(Some(&user), &attributes) {
                prop_assert!(wider.matches(Some(&user), &attributes));
            }
        }
    }
}
