//! The policy in force, as `GET /policy` and `GET /plugins` report it.

use serde::Serialize;
use utoipa::ToSchema;

use super::Places;
use podberth_core::policy::{Combination, Fault, Profile, Warning};

/// A policy or profile as it decides: defaults filled in, names resolved, in order of evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActiveProfile {
    /// The kube-scheduler release whose rules and reason texts apply.
    #[schema(example = "1.22")]
    pub release: &'static str,
    /// The predicates, in order of evaluation.
    pub predicates: Vec<ActivePredicate>,
    /// The priorities; under `Lexicographic` the levels, the most important first.
    pub priorities: Vec<ActivePriority>,
    /// How a node's scores become one order: `WeightedSum` or, each priority ordering only the nodes that tie on those
    /// before it, `Lexicographic`.
    #[schema(example = "WeightedSum")]
    pub combination: &'static str,
    /// `true` if a node's message names the reasons of every predicate that failed, not only of the first.
    pub always_check_all_predicates: bool,
    /// The highest score that the extender verb `prioritize` answers.
    #[schema(example = 10)]
    pub extender_max_score: i64,
    /// The base URLs of the named extenders, in the order of calls.
    pub extenders: Vec<String>,
}

/// A predicate in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActivePredicate {
    /// The name under which the policy has it.
    #[schema(example = "GeneralPredicates")]
    pub name: &'static str,
    /// The framework plugin that carries it in that release.
    #[schema(example = "NodeResourcesFit")]
    pub plugin: &'static str,
}

/// A priority in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActivePriority {
    /// The name under which the policy has it.
    #[schema(example = "LeastRequestedPriority")]
    pub name: String,
    /// The framework plugin that carries it in that release.
    #[schema(example = "NodeResourcesLeastAllocated")]
    pub plugin: &'static str,
    /// The factor of its scores; 1 under `Lexicographic`.
    #[schema(example = 1)]
    pub weight: i64,
    /// How far below the best a score may be and still tie with it; only under `Lexicographic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, maximum = 100)]
    pub tolerance: Option<i64>,
}

/// A fault or a warning, and its field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Remark {
    /// The field path; empty for the whole document.
    #[schema(example = "priorities[0].weight")]
    pub field: String,
    /// The fault or the doubt.
    pub message: String,
    /// The line of the field in the text, from 1; absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub line: Option<u32>,
    /// The column in the line, from 1, in UTF-16 code units.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub column: Option<u32>,
}

impl Remark {
    /// A remark about a field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), line: None, column: None }
    }

    /// The remarks with the places of their fields in a text.
    #[must_use]
    pub fn placed(remarks: Vec<Self>, text: &str) -> Vec<Self> {
        if remarks.is_empty() {
            return remarks;
        }
        let places = Places::of(text);
        let placed = |remark: Self| {
            let place = places.find(&remark.field);
            Self { line: place.map(|place| place.line), column: place.map(|place| place.column), ..remark }
        };
        remarks.into_iter().map(placed).collect()
    }
}

impl From<Fault> for Remark {
    fn from(Fault { field, message }: Fault) -> Self {
        Self::new(field, message)
    }
}

impl From<Warning> for Remark {
    fn from(Warning { field, message }: Warning) -> Self {
        Self::new(field, message)
    }
}

impl From<&Profile> for ActiveProfile {
    fn from(profile: &Profile) -> Self {
        Self {
            release: profile.release.name(),
            predicates: profile
                .predicates
                .iter()
                .map(|predicate| ActivePredicate { name: predicate.name, plugin: predicate.plugin })
                .collect(),
            priorities: profile
                .priorities
                .iter()
                .map(|p| ActivePriority {
                    name: p.name.to_string(),
                    plugin: p.plugin,
                    weight: p.weight,
                    tolerance: (profile.combination == Combination::Lexicographic).then_some(p.tolerance),
                })
                .collect(),
            combination: profile.combination.name(),
            always_check_all_predicates: profile.always_check_all_predicates,
            extender_max_score: profile.extender_max_score,
            extenders: profile.extenders.iter().map(|extender| extender.url_prefix.clone()).collect(),
        }
    }
}
