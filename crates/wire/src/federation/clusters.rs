//! Clusters of a request: which may be used, and those that it brings.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{MOST_NAMES, bounded};
use crate::{
    fault::{Faults, Path},
    objects::{
        member_cluster::{MemberCluster, MemberClusterSpec, MemberClusterStatus},
        meta::{LabelSelector, LabelSelectorRequirement, ObjectMeta},
        pod::Toleration,
    },
};
use podberth_core::{
    federation::{Affinity, Apis, Candidate, Field, Room, Term, Terms},
    model::{self, Name, Operator},
};

/// Terms of a request, and groups of one for the overflow.
const MOST_TERMS: usize = 64;
/// Conditions of one affinity.
const MOST_CONDITIONS: usize = 64;
/// Tolerations of a request.
const MOST_TOLERATIONS: usize = 256;
/// The most replicas that a cluster can be said to have room for.
const MOST_ROOM: i64 = i32::MAX as i64;

/// Clusters that may be used: one affinity, or several under `affinities`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClustersRequest {
    /// Labels.
    #[schema(nullable = false)]
    pub selector: Option<LabelSelector>,
    /// Conditions on `provider`, `region` and `zone`, with `In` and `NotIn`. Of the zones of a cluster one is enough for `In`.
    pub fields: Vec<LabelSelectorRequirement>,
    /// Names; all where there are none.
    pub names: Vec<String>,
    /// Names of clusters that are not used.
    pub exclude: Vec<String>,
    /// Several affinities instead: the first with which all goes well decides.
    pub affinities: Vec<TermRequest>,
    /// The name of the affinity that decided last time (`affinity` of the reply): earlier ones are not tried, unless `stability` is `fresh`.
    #[schema(nullable = false)]
    pub observed_affinity: Option<String>,
    /// Taints of clusters that are tolerated.
    pub tolerations: Vec<Toleration>,
}

/// One of several affinities.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TermRequest {
    /// Its name.
    #[schema(example = "own")]
    pub name: String,
    /// Labels.
    #[schema(nullable = false)]
    pub selector: Option<LabelSelector>,
    /// Conditions on `provider`, `region` and `zone`.
    pub fields: Vec<LabelSelectorRequirement>,
    /// Names; all where there are none.
    pub names: Vec<String>,
    /// Names of clusters that are not used.
    pub exclude: Vec<String>,
    /// Groups of clusters that take what the term's own have no room for, one after the other.
    pub overflow: Vec<OverflowRequest>,
}

/// A group of clusters that takes what others have no room for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct OverflowRequest {
    /// Its name.
    #[schema(example = "rented")]
    pub name: String,
    /// Labels.
    #[schema(nullable = false)]
    pub selector: Option<LabelSelector>,
    /// Conditions on `provider`, `region` and `zone`.
    pub fields: Vec<LabelSelectorRequirement>,
    /// Names; all where there are none.
    pub names: Vec<String>,
    /// Names of clusters that are not used.
    pub exclude: Vec<String>,
}

/// The parts of an affinity, wherever it stands.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) selector: Option<&'a LabelSelector>,
    pub(super) fields: &'a [LabelSelectorRequirement],
    pub(super) names: &'a [String],
    pub(super) exclude: &'a [String],
}

impl ClustersRequest {
    fn parts(&self) -> Parts<'_> {
        let Self { selector, fields, names, exclude, .. } = self;
        Parts { selector: selector.as_ref(), fields, names, exclude }
    }

    /// The clusters that may be used. `overflows` is false where the division cannot overflow.
    pub(super) fn terms(&self, overflows: bool, at: &Path<'_>, faults: &mut Faults) -> Terms {
        let parts = self.parts();
        if self.affinities.is_empty() {
            if self.observed_affinity.is_some() {
                faults.forbidden(&at.child("observedAffinity"), "may not be specified without affinities");
            }
            return Terms::One(parts.to_core(at, faults));
        }
        for (field, is_given) in [
            ("selector", parts.selector.is_some()),
            ("fields", !parts.fields.is_empty()),
            ("names", !parts.names.is_empty()),
            ("exclude", !parts.exclude.is_empty()),
        ] {
            if is_given {
                faults.forbidden(&at.child(field), "may not be specified together with affinities");
            }
        }
        let list_at = at.child("affinities");
        bounded(self.affinities.len(), MOST_TERMS, &list_at, faults);
        let mut terms: Vec<Term> = Vec::new();
        for (index, term) in self.affinities.iter().take(MOST_TERMS).enumerate() {
            let at = list_at.index(index);
            let term = term.to_core(overflows, &at, faults);
            if terms.iter().any(|other| other.name == term.name) {
                faults.duplicate(&at.child("name"), &*term.name);
            }
            terms.push(term);
        }
        Terms::InOrder { terms, observed: self.observed_affinity.as_deref().map(Name::from) }
    }

    /// The taints that are tolerated.
    pub(super) fn tolerated(&self, at: &Path<'_>, faults: &mut Faults) -> Vec<model::Toleration> {
        let at = at.child("tolerations");
        bounded(self.tolerations.len(), MOST_TOLERATIONS, &at, faults);
        let tolerations = self.tolerations.iter().take(MOST_TOLERATIONS).enumerate();
        tolerations.filter_map(|(index, toleration)| toleration.to_core(&at.index(index), faults)).collect()
    }
}

impl TermRequest {
    fn to_core(&self, overflows: bool, at: &Path<'_>, faults: &mut Faults) -> Term {
        if self.name.is_empty() {
            faults.required(&at.child("name"), "a term needs a name, which the reply tells");
        }
        let Self { name, selector, fields, names, exclude, overflow } = self;
        let parts = Parts { selector: selector.as_ref(), fields, names, exclude };
        let overflow_at = at.child("overflow");
        if !overflows && !overflow.is_empty() {
            faults.forbidden(
                &overflow_at,
                "only a division that is aggregated or weighted by AvailableReplicas overflows, and none with maxSkew",
            );
        }
        bounded(overflow.len(), MOST_TERMS, &overflow_at, faults);
        let group = |(index, of): (usize, &OverflowRequest)| {
            let OverflowRequest { name: _, selector, fields, names, exclude } = of;
            Parts { selector: selector.as_ref(), fields, names, exclude }.to_core(&overflow_at.index(index), faults)
        };
        let overflow = overflow.iter().take(MOST_TERMS).enumerate().map(group).collect();
        Term { name: name.as_str().into(), affinity: parts.to_core(at, faults), overflow }
    }
}

impl Parts<'_> {
    /// The affinity.
    pub(super) fn to_core(self, at: &Path<'_>, faults: &mut Faults) -> Affinity {
        let selector_at = at.child("selector");
        if let Some(selector) = self.selector {
            let count = selector.match_labels.len() + selector.match_expressions.len();
            bounded(count, MOST_CONDITIONS, &selector_at, faults);
        }
        let selector = self.selector.and_then(|selector| selector.to_core(&selector_at, faults));
        let fields_at = at.child("fields");
        bounded(self.fields.len(), MOST_CONDITIONS, &fields_at, faults);
        let fields = self.fields.iter().take(MOST_CONDITIONS).enumerate();
        Affinity {
            selector: selector.unwrap_or_default(),
            fields: fields.filter_map(|(index, of)| condition(of, &fields_at.index(index), faults)).collect(),
            names: names(self.names, &at.child("names"), faults),
            exclude: names(self.exclude, &at.child("exclude"), faults),
        }
    }
}

/// A condition on a field of clusters.
fn condition(of: &LabelSelectorRequirement, at: &Path<'_>, faults: &mut Faults) -> Option<(Field, Operator)> {
    let field = match of.key.as_str() {
        "provider" => Some(Field::Provider),
        "region" => Some(Field::Region),
        "zone" => Some(Field::Zone),
        other => {
            faults.not_supported(&at.child("key"), other, &["provider", "region", "zone"]);
            None
        }
    };
    let values_at = at.child("values");
    if of.values.is_empty() {
        faults.required(&values_at, "must be specified when `operator` is 'In' or 'NotIn'");
    }
    let values = names(&of.values, &values_at, faults);
    let operator = match of.operator.as_str() {
        "In" => Operator::In(values),
        "NotIn" => Operator::NotIn(values),
        other => {
            faults.not_supported(&at.child("operator"), other, &["In", "NotIn"]);
            return None;
        }
    };
    Some((field?, operator))
}

fn names(names: &[String], at: &Path<'_>, faults: &mut Faults) -> Vec<Name> {
    bounded(names.len(), MOST_NAMES, at, faults);
    names.iter().take(MOST_NAMES).map(|name| name.as_str().into()).collect()
}

/// A cluster that came with the request: a Cluster object, and its room.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterObject {
    /// Name, labels, deletion.
    pub metadata: ObjectMeta,
    /// Provider, region, zones, taints, cost.
    pub spec: MemberClusterSpec,
    /// Served kinds and conditions. With a status the cluster serves the kinds that it lists and no others.
    pub status: MemberClusterStatus,
    /// How many more replicas fit, beside those of `previous`; absent if nobody knows, which counts as room for all.
    #[schema(nullable = false, minimum = 0)]
    pub available_replicas: Option<i64>,
}

impl ClusterObject {
    /// The cluster.
    pub(super) fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Candidate {
        let Self { metadata, spec, status, available_replicas } = self;
        if metadata.name.is_empty() {
            faults.required(&at.child("metadata").child("name"), "");
        }
        if let Some(room) = available_replicas.filter(|room| !(0..=MOST_ROOM).contains(room)) {
            let rule = format!("must be between 0 and {MOST_ROOM}, inclusive");
            faults.invalid(&at.child("availableReplicas"), room, rule);
        }
        let object = MemberCluster { metadata: metadata.clone(), spec: spec.clone(), status: status.clone() };
        let cluster = match object.to_core().lenient() {
            Ok(member) => {
                let mut cluster = Arc::unwrap_or_clone(member.cluster);
                // Where a status is told it is the whole one: a kind that it does not list is not served.
                if cluster.apis == Apis::Untold && *status != MemberClusterStatus::default() {
                    cluster.apis = Apis::Told { kinds: Vec::new(), complete: false };
                }
                cluster
            }
            Err(causes) => {
                faults.adopt(&at.to_string(), causes);
                return Candidate::default();
            }
        };
        let room = Room { on_existing: *available_replicas, ..Room::default() };
        Candidate { cluster: Arc::new(cluster), room, price: None }
    }
}
