//! The guard against giving away more rights than one has.
//!
//! Source: `pkg/registry/rbac/validation/{rule.go,policy_compact.go}` and `component-helpers/auth/rbac/validation/policy_comparator.go`.

use std::{collections::BTreeMap, fmt};

use super::{RoleRef, Rule, User, quoted, rule::quoted_list};
use crate::model::Name;

/// The largest number of single rights that rules are taken apart into.
pub const MOST_RULES: usize = 20_000;

/// Rights that rules give and that a user does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Excess {
    /// These.
    Rules(Vec<Rule>),
    /// The rules give more single rights than are gone through.
    TooMany,
}

/// The rights that rules give beyond a user's own; `None` if there are none.
pub fn excess(own: &[Rule], given: &[Rule]) -> Option<Excess> {
    let count = given.iter().map(singles_of).try_fold(0_usize, usize::checked_add);
    if given.iter().all(|rule| own.iter().any(|own| own.covers(rule))) {
        return None;
    }
    if count.is_none_or(|count| count > MOST_RULES) {
        return Some(Excess::TooMany);
    }
    let missing: Vec<Rule> =
        given.iter().flat_map(singles).filter(|single| !own.iter().any(|own| own.covers(single))).collect();
    (!missing.is_empty()).then(|| Excess::Rules(compacted(missing)))
}

impl Excess {
    /// The refusal of `ConfirmNoEscalation`.
    pub fn refusal(&self, user: &User, missing: &[&RoleRef]) -> String {
        let errors: Vec<String> = missing.iter().map(ToString::to_string).collect();
        let errors =
            if errors.is_empty() { String::new() } else { format!("; resolution errors: [{}]", errors.join(" ")) };
        let (user, groups) = (quoted(&user.name), quoted_list(&user.groups));
        format!(
            "user {user} (groups={groups}) is attempting to grant RBAC permissions not currently held:\n{self}{errors}"
        )
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(
                f,
                "more than {MOST_RULES} single ones: split the role, or let someone write it who has them all"
            ),
            Self::Rules(rules) => {
                let mut lines: Vec<String> = rules.iter().map(ToString::to_string).collect();
                lines.sort();
                lines.dedup();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

/// The number of single rights of a rule; `usize::MAX` if it is too large a number.
fn singles_of(rule: &Rule) -> usize {
    let resources = rule.groups.len().saturating_mul(rule.resources.len()).saturating_mul(rule.names.len().max(1));
    rule.verbs.len().saturating_mul(resources.saturating_add(rule.paths.len()))
}

/// The single rights of a rule: one verb on one resource of one group, perhaps of one name, or on one path.
fn singles(rule: &Rule) -> Vec<Rule> {
    let mut singles = Vec::new();
    let names: Vec<Vec<Name>> =
        if rule.names.is_empty() { vec![vec![]] } else { rule.names.iter().map(|name| vec![name.clone()]).collect() };
    for group in &rule.groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                for names in &names {
                    let [verbs, groups, resources] = [verb, group, resource].map(|one| vec![one.clone()]);
                    singles.push(Rule { verbs, groups, resources, names: names.clone(), paths: vec![] });
                }
            }
        }
    }
    for path in &rule.paths {
        for verb in &rule.verbs {
            singles.push(Rule { verbs: vec![verb.clone()], paths: vec![path.clone()], ..Rule::default() });
        }
    }
    singles
}

/// Single rights on the same resource as one rule.
fn compacted(rules: Vec<Rule>) -> Vec<Rule> {
    let mut of_paths = Vec::new();
    let mut of_resources: BTreeMap<[Vec<Name>; 3], Rule> = BTreeMap::new();
    for rule in rules {
        if !rule.paths.is_empty() {
            of_paths.push(rule);
            continue;
        }
        let key = [rule.groups.clone(), rule.resources.clone(), rule.names.clone()];
        match of_resources.get_mut(&key) {
            Some(known) => known.verbs.extend(rule.verbs),
            None => drop(of_resources.insert(key, rule)),
        }
    }
    of_paths.extend(of_resources.into_values());
    of_paths
}
