//! `metadata`, and selectors over it.
//!
//! Source: `apimachinery/pkg/apis/meta/v1/types.go`, `apis/meta/v1/validation/validation.go`
//! (`ValidateLabelSelectorRequirement`), `apis/meta/v1/helpers.go` (`LabelSelectorAsSelector`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::names::{self, NameRule};
use crate::fault::{Faults, Path};
use podberth_core::model::{ControllerRef, Labels, Name, Operator, Requirement, Selector};

/// Metadata of all objects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectMeta {
    /// Unique within the kind and the namespace.
    pub name: String,
    /// Empty for kinds without namespaces.
    pub namespace: String,
    /// Given by the server, never used twice.
    pub uid: String,
    /// The revision of the object, opaque, given by the server.
    pub resource_version: String,
    /// When it was made, RFC 3339.
    #[schema(nullable = false)]
    pub creation_timestamp: Option<String>,
    /// When its deletion began, RFC 3339.
    #[schema(nullable = false)]
    pub deletion_timestamp: Option<String>,
    /// Labels, which selectors read.
    pub labels: BTreeMap<String, String>,
    /// Notes that selectors do not read.
    pub annotations: BTreeMap<String, String>,
    /// The objects it depends on.
    pub owner_references: Vec<OwnerReference>,
}

/// An object that another one depends on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// The owner's group and version.
    pub api_version: String,
    /// The owner's kind.
    pub kind: String,
    /// The owner's name, in this namespace.
    pub name: String,
    /// The owner's uid.
    pub uid: String,
    /// `true` if the owner is the managing controller.
    pub controller: bool,
}

/// Namespace and name of an object, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub namespace: Name,
    pub name: Name,
}

impl ObjectMeta {
    /// Checks and returns namespace and name; the default namespace is `default`.
    pub(super) fn namespaced(&self, rule: NameRule, faults: &mut Faults) -> Key {
        let at = Path::ROOT.child("metadata");
        let namespace = if self.namespace.is_empty() { "default" } else { &self.namespace };
        if let Err(rule) = names::dns_label(namespace) {
            faults.invalid(&at.child("namespace"), namespace, rule);
        }
        Key { namespace: namespace.into(), name: self.named(rule, faults) }
    }

    /// Checks and returns the name of an object without a namespace.
    pub(super) fn cluster_scoped(&self, rule: NameRule, faults: &mut Faults) -> Name {
        if !self.namespace.is_empty() {
            let at = Path::ROOT.child("metadata");
            faults.forbidden(&at.child("namespace"), "not allowed on this type");
        }
        self.named(rule, faults)
    }

    fn named(&self, rule: NameRule, faults: &mut Faults) -> Name {
        let at = Path::ROOT.child("metadata");
        if self.name.is_empty() {
            faults.required(&at.child("name"), "name or generateName is required");
        } else if let Err(rule) = rule(&self.name) {
            faults.invalid(&at.child("name"), &self.name, rule);
        }
        self.name.as_str().into()
    }

    /// Checks and gives the labels.
    pub(crate) fn labels(&self, faults: &mut Faults) -> Labels {
        let at = Path::ROOT.child("metadata");
        labels(&self.labels, &at.child("labels"), faults)
    }

    /// The annotations whose key begins with one of these.
    pub(super) fn annotations_of(&self, prefixes: &[&str]) -> Labels {
        self.annotations
            .iter()
            .filter(|(key, _)| prefixes.iter().any(|p| key.starts_with(p)))
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect()
    }

    /// The owner that manages the object: the first one marked as its controller.
    pub(super) fn controller(&self) -> Option<ControllerRef> {
        self.owner_references.iter().find(|o| o.controller).map(|o| ControllerRef {
            api_version: o.api_version.as_str().into(),
            kind: o.kind.as_str().into(),
            name: o.name.as_str().into(),
            uid: o.uid.as_str().into(),
        })
    }

    /// The creation time in nanoseconds since 1970. An invalid time counts as absent.
    pub(super) fn created(&self) -> Option<i64> {
        self.creation_timestamp.as_deref().and_then(read_instant)
    }

    /// `true` if its deletion has begun.
    pub(super) fn terminating(&self, faults: &mut Faults) -> bool {
        let at = Path::ROOT.child("metadata");
        self.deletion_timestamp.as_ref().is_some_and(|text| {
            instant(text, &at.child("deletionTimestamp"), faults);
            true
        })
    }
}

/// An RFC 3339 instant in nanoseconds since 1970; `None` where it cannot be read.
pub(crate) fn read_instant(text: &str) -> Option<i64> {
    let instant: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(instant.as_nanosecond()).ok()
}

/// An RFC 3339 instant in nanoseconds since 1970; one that cannot be read is a fault.
pub(crate) fn instant(text: &str, at: &Path<'_>, faults: &mut Faults) -> Option<i64> {
    let instant = read_instant(text);
    if instant.is_none() {
        faults.unreadable(at, text, "must be an RFC 3339 date and time");
    }
    instant
}

/// Checks and gives a map of labels.
pub(super) fn labels(map: &BTreeMap<String, String>, at: &Path<'_>, faults: &mut Faults) -> Labels {
    for (key, value) in map {
        if let Err(rule) = names::qualified_name(key) {
            faults.invalid(at, key, rule);
        }
        if let Err(rule) = names::label_value(value) {
            faults.invalid(at, value, rule);
        }
    }
    map.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// Which objects are meant, by their labels. Present but empty means all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Labels that must have these values.
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions; all must hold.
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// A condition on one label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelectorRequirement {
    /// The label's key.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`; of nodes also `Gt` and `Lt`.
    pub operator: String,
    /// Values for the operator.
    pub values: Vec<String>,
}

impl LabelSelector {
    /// The selector, or `None` (which selects nothing) where any of its conditions is faulty.
    pub(crate) fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Option<Selector> {
        let before = faults.count();
        labels(&self.match_labels, &at.child("matchLabels"), faults);
        let mut selector = Selector::from_map(self.match_labels.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let expressions = at.child("matchExpressions");
        let mut whole = faults.count() == before;
        for (i, requirement) in self.match_expressions.iter().enumerate() {
            match requirement.to_core(On::Pods, &expressions.index(i), faults) {
                Some(requirement) => selector.0.push(requirement),
                None => whole = false,
            }
        }
        whole.then_some(selector)
    }
}

/// The subject of a condition.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    /// Objects, by a label selector.
    Pods,
    /// Nodes. Numbers may be compared.
    Nodes,
    /// Nodes that are preferred: the values may be no label values, which no node has
    /// (`ValidatePreferredSchedulingTerms`).
    PreferredNodes,
}

impl LabelSelectorRequirement {
    /// The condition, or `None` where it holds for nothing.
    pub(super) fn to_core(&self, on: On, at: &Path<'_>, faults: &mut Faults) -> Option<Requirement> {
        let values = || self.values.iter().map(|v| Name::from(v.as_str())).collect::<Vec<_>>();
        let (values_at, mut good) = (at.child("values"), true);
        let operator = match self.operator.as_str() {
            operator @ ("In" | "NotIn") => {
                if self.values.is_empty() {
                    faults.required(&values_at, "must be specified when `operator` is 'In' or 'NotIn'");
                    good = false;
                }
                if operator == "In" { Operator::In(values()) } else { Operator::NotIn(values()) }
            }
            operator @ ("Exists" | "DoesNotExist") => {
                if !self.values.is_empty() {
                    faults.forbidden(&values_at, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
                    good = false;
                }
                if operator == "Exists" { Operator::Exists } else { Operator::DoesNotExist }
            }
            operator @ ("Gt" | "Lt") if on != On::Pods => {
                let bound = if let [bound] = self.values.as_slice() {
                    bound.parse::<i64>()
                } else {
                    faults.required(&values_at, "must be specified single value when `operator` is 'Lt' or 'Gt'");
                    "".parse::<i64>()
                };
                // A value that is no number is let in, and no node has more or less than that.
                good = bound.is_ok();
                let bound = bound.unwrap_or_default();
                if operator == "Gt" { Operator::Gt(bound) } else { Operator::Lt(bound) }
            }
            other => {
                faults.invalid(&at.child("operator"), other, "not a valid selector operator");
                good = false;
                Operator::Exists
            }
        };
        if let Err(rule) = names::qualified_name(&self.key) {
            faults.invalid(&at.child("key"), &self.key, rule);
            good = false;
        }
        for (i, value) in self.values.iter().enumerate() {
            if let Err(rule) = names::label_value(value) {
                if on != On::PreferredNodes {
                    faults.invalid(&values_at.index(i), value, rule);
                }
                good = false;
            }
        }
        good.then(|| Requirement { key: self.key.as_str().into(), operator })
    }
}
