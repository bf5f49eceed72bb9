//! The request of `POST /placements`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    MOST_NAMES, bounded,
    clusters::{ClusterObject, ClustersRequest, Parts},
};
use crate::{
    fault::{Cause, Faults, Path},
    objects::{
        meta::{LabelSelector, LabelSelectorRequirement},
        pod,
    },
    span,
};
use podberth_core::{
    federation::{self, Candidate, Division, Ranking, Request, Spread, SpreadBy},
    model::Name,
};

/// Replicas of a request.
pub const MOST_REPLICAS: i64 = 1_000_000;
/// Clusters that may come with a request.
pub const MOST_CLUSTERS: usize = 10_000;
/// Components of a workload.
pub const MOST_COMPONENTS: usize = 32;
/// Spread constraints.
const MOST_SPREADS: usize = 16;
/// Rules for static weights.
const MOST_RULES: usize = 1_000;
/// The largest weight.
const MOST_WEIGHT: i64 = 1_000_000;
/// Bytes of the uid.
const LONGEST_UID: usize = 253;

/// Replicas of a workload, and the clusters that may take them.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PlacementRequest {
    /// The pod of one replica: a pod, a pod template, or an object that makes pods of a template. Needed unless `clusterObjects` are given.
    #[schema(nullable = false, value_type = pod::Pod)]
    pub template: Option<Box<RawValue>>,
    /// Instead of `template`: several sorts of pods that belong together. A replica is one of the whole set, which is placed in one cluster or not at all.
    pub components: Vec<ComponentRequest>,
    /// How many replicas; 1 where absent. With `clusterObjects` 0 is an object without replicas, which goes to every selected cluster.
    #[schema(nullable = false, minimum = 0, example = 120)]
    pub replicas: Option<i64>,
    /// The namespace of the pods, where the template names none.
    pub namespace: String,
    /// The workload's uid. It decides the direction of ties between clusters.
    pub uid: String,
    /// The kind that the clusters have to serve.
    #[schema(nullable = false)]
    pub resource: Option<ResourceReference>,
    /// Clusters that may be used.
    pub clusters: ClustersRequest,
    /// How replicas are spread.
    pub spread: Vec<SpreadRequest>,
    /// How replicas are divided: `"Duplicated"` (the default: every cluster gets all), `{"aggregated": {}}`, `{"weighted": {…}}`.
    #[schema(nullable = false, value_type = DividedRequest)]
    pub division: Option<DivisionRequest>,
    /// The last answer, in its order.
    pub previous: Vec<PreviousRequest>,
    /// Clusters that the workload is leaving.
    pub evicting: Vec<String>,
    /// `keep` (the default): what was placed stays, and only the difference is placed. `fresh`: all is placed anew.
    pub stability: Stability,
    /// `true` if what fits is placed where not all fits; otherwise nothing is placed then.
    pub partial: bool,
    /// Nodes that may be added to clusters.
    pub scale_up: NewNodesRequest,
    /// `true` if replicas may be placed where pods of lower priority would be evicted for them. It is never done here: such replicas are told, and not committed.
    pub preemption: bool,
    /// The order of clusters, by the rules for clusters (`GET /plugins`).
    pub priorities: PrioritiesRequest,
    /// `none` (the default): only an answer. `reserve`: nodes are reserved for the replicas. `bind`: the pods are made, on their nodes. Both in all clusters or in none.
    pub commit: Commit,
    /// The name of the pods and reservations that a commit makes, numbered; the template's where absent.
    #[schema(nullable = false, example = "web")]
    pub name: Option<String>,
    /// For how many seconds a reservation lasts; 30 where absent, a day at most.
    #[schema(nullable = false, example = 30)]
    pub ttl_seconds: Option<u32>,
    /// A mirror that is further behind gets nothing new, as `30s`; that of `--max-sync-lag` where absent.
    #[schema(nullable = false)]
    pub max_lag: Option<String>,
    /// Breaks ties between nodes: equal seeds give equal answers.
    pub seed: u64,
    /// Clusters to judge instead of the server's own. Nothing is stored, and there is no `template`.
    #[schema(nullable = false)]
    pub cluster_objects: Option<Vec<ClusterObject>>,
}

/// One sort of pods of a workload.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ComponentRequest {
    /// Its name.
    #[schema(example = "workers")]
    pub name: String,
    /// How many pods of a whole set; 1 where absent.
    #[schema(nullable = false, minimum = 1)]
    pub replicas: Option<i64>,
    /// The pod.
    #[schema(nullable = false, value_type = pod::Pod)]
    pub template: Option<Box<RawValue>>,
}

/// A kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ResourceReference {
    /// Group and version.
    #[schema(example = "apps/v1")]
    pub api_version: String,
    /// The kind.
    #[schema(example = "Deployment")]
    pub kind: String,
}

/// A spread constraint.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SpreadRequest {
    /// `cluster`, `region`, `zone`, `provider`, or `label:` with a label's key. One by `cluster` has to be there.
    #[schema(example = "region")]
    pub by: String,
    /// At least so many groups; 1 where absent.
    #[schema(nullable = false, minimum = 0)]
    pub min_groups: Option<i64>,
    /// At most so many groups; no bound where absent.
    #[schema(nullable = false, minimum = 0)]
    pub max_groups: Option<i64>,
    /// The greatest difference of replicas between two selected groups; no bound where absent. As many groups are selected then as `maxGroups` allows. Not by `zone`, and in one
    /// constraint of a request.
    #[schema(nullable = false, minimum = 1, example = 1)]
    pub max_skew: Option<i64>,
}

/// How replicas are divided.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum DivisionRequest {
    /// `Duplicated`: every cluster gets all of them.
    Named(String),
    /// Among the clusters.
    Divided(DividedRequest),
}

/// Division among the clusters: exactly one of its fields is present.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DividedRequest {
    /// As few clusters as hold them all, each by its room.
    #[schema(nullable = false)]
    pub aggregated: Option<AggregatedRequest>,
    /// By weights.
    #[schema(nullable = false)]
    pub weighted: Option<WeightedRequest>,
}

/// No options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AggregatedRequest {}

/// Weights of clusters. `dynamic` goes before `static`; with neither all are equal.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct WeightedRequest {
    /// Rules. The heaviest that matches a cluster counts; without one the cluster gets nothing.
    #[serde(rename = "static")]
    pub fixed: Vec<WeightRequest>,
    /// `AvailableReplicas`: by the room that the clusters have.
    #[schema(nullable = false, example = "AvailableReplicas")]
    pub dynamic: Option<String>,
}

/// A weight, and the clusters that have it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct WeightRequest {
    /// Labels.
    #[schema(nullable = false)]
    pub selector: Option<LabelSelector>,
    /// Conditions on `provider`, `region` and `zone`.
    pub fields: Vec<LabelSelectorRequirement>,
    /// Names; all where there are none.
    pub names: Vec<String>,
    /// Names of clusters that do not have it.
    pub exclude: Vec<String>,
    /// The weight.
    #[schema(minimum = 0)]
    pub weight: i64,
}

/// Replicas that a cluster has by the last answer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PreviousRequest {
    /// The cluster.
    #[schema(example = "eu-1")]
    pub cluster: String,
    /// How many.
    #[schema(minimum = 0, example = 40)]
    pub replicas: i64,
}

/// The fate of what was placed before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Stability {
    /// It stays.
    #[default]
    Keep,
    /// It is placed anew.
    Fresh,
}

/// The effect of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Commit {
    /// None.
    #[default]
    None,
    /// Nodes are reserved.
    Reserve,
    /// Pods are made on their nodes.
    Bind,
}

/// Nodes that may be added to clusters.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NewNodesRequest {
    /// `true` if room on new nodes counts, where that on existing ones is not enough. It is a promise: nothing is committed on it.
    pub allowed: bool,
    /// Nodes that take longer to start do not count, as `10m`; any time where absent.
    #[schema(nullable = false)]
    pub max_wait: Option<String>,
}

/// The order of clusters: `weights` or `tree`. By default clusters of `previous` go first, then those with more room.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PrioritiesRequest {
    /// By the sum of scores, each times its weight.
    #[schema(nullable = false)]
    pub weights: Option<BTreeMap<String, i64>>,
    /// By one score after the other.
    #[schema(nullable = false)]
    pub tree: Option<Vec<String>>,
}

impl<'de> Deserialize<'de> for DivisionRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let text = text.get();
        let read = if text.starts_with('"') {
            serde_json::from_str(text).map(Self::Named)
        } else {
            serde_json::from_str(text).map(Self::Divided)
        };
        read.map_err(|error| D::Error::custom(error.to_string()))
    }
}

/// A request in the core's terms.
#[derive(Debug, Default)]
pub struct Asked {
    /// The request.
    pub request: Request,
    /// The clusters that came with it; `None` for the server's own.
    pub clusters: Option<Vec<Candidate>>,
    /// The largest lag of a mirror, in nanoseconds, where it is told.
    pub max_lag: Option<i64>,
    /// The longest time until a new node is ready, in nanoseconds; `None` for any.
    pub max_wait: Option<i64>,
}

impl PlacementRequest {
    /// The request.
    ///
    /// # Errors
    /// All faults, by their fields: `spread[0].minGroups`.
    pub fn read(&self) -> Result<Asked, Vec<Cause>> {
        let mut faults = Faults::default();
        let at = &Path::ROOT;
        let division = self.division(at, &mut faults);
        let is_skewed = self.spread.iter().any(|of| of.max_skew.is_some());
        let overflows = matches!(division, Division::Aggregated | Division::Dynamic) && !is_skewed;
        let clusters_at = at.child("clusters");
        let request = Request {
            uid: self.uid.as_str().into(),
            resource: self.resource.as_ref().map(|of| (Name::from(&*of.api_version), Name::from(&*of.kind))),
            replicas: self.count(at, &mut faults),
            affinity: self.clusters.terms(overflows, &clusters_at, &mut faults),
            tolerations: self.clusters.tolerated(&clusters_at, &mut faults),
            spread: self.spread(division == Division::Duplicated, at, &mut faults),
            division,
            previous: self.previous(at, &mut faults),
            evicting: self.evicting.iter().take(MOST_NAMES).map(|name| Name::from(&**name)).collect(),
            fresh: self.stability == Stability::Fresh,
            partial: self.partial,
            ranking: self.priorities.to_core(&at.child("priorities"), &mut faults),
            live: None,
        };
        bounded(self.evicting.len(), MOST_NAMES, &at.child("evicting"), &mut faults);
        if self.uid.len() > LONGEST_UID {
            faults.too_long(&at.child("uid"), LONGEST_UID);
        }
        let clusters = self.cluster_objects.as_deref().map(|of| brought(of, &at.child("clusterObjects"), &mut faults));
        self.check(at, &mut faults);
        let wait_at = at.child("scaleUp");
        let max_lag = span::read(self.max_lag.as_deref(), &at.child("maxLag"), &mut faults);
        let max_wait = span::read(self.scale_up.max_wait.as_deref(), &wait_at.child("maxWait"), &mut faults);
        let causes = faults.into_causes();
        if causes.is_empty() { Ok(Asked { request, clusters, max_lag, max_wait }) } else { Err(causes) }
    }

    fn count(&self, at: &Path<'_>, faults: &mut Faults) -> i64 {
        let at = at.child("replicas");
        let replicas = self.replicas.unwrap_or(1);
        if !(0..=MOST_REPLICAS).contains(&replicas) {
            faults.invalid(&at, replicas, format!("must be between 0 and {MOST_REPLICAS}, inclusive"));
        }
        if replicas == 0 && self.cluster_objects.is_none() {
            faults.invalid(&at, replicas, "there is nothing to place: at least 1, or clusterObjects");
        }
        replicas.clamp(0, MOST_REPLICAS)
    }

    /// Refuses fields that exclude each other.
    fn check(&self, at: &Path<'_>, faults: &mut Faults) {
        let is_brought = self.cluster_objects.is_some();
        let components_at = at.child("components");
        for (field, is_given) in [
            ("template", self.template.is_some()),
            ("components", !self.components.is_empty()),
            ("scaleUp", self.scale_up.allowed),
            ("preemption", self.preemption),
            ("commit", self.commit != Commit::None),
            ("maxLag", self.max_lag.is_some()),
        ] {
            if is_brought && is_given {
                faults.forbidden(&at.child(field), "may not be specified together with clusterObjects, whose availableReplicas are taken at their word");
            }
        }
        match (self.template.is_some(), self.components.is_empty()) {
            (true, false) => faults.forbidden(&components_at, "may not be specified together with template"),
            (false, true) if !is_brought => {
                faults.required(&at.child("template"), "the pod of one replica, or components, or clusterObjects");
            }
            _ => {}
        }
        bounded(self.components.len(), MOST_COMPONENTS, &components_at, faults);
        for (index, component) in self.components.iter().enumerate() {
            let at = components_at.index(index);
            if component.template.is_none() {
                faults.required(&at.child("template"), "the pod of the component");
            }
            let count = component.replicas.unwrap_or(1);
            if !(1..=MOST_REPLICAS).contains(&count) {
                faults.invalid(
                    &at.child("replicas"),
                    count,
                    format!("must be between 1 and {MOST_REPLICAS}, inclusive"),
                );
            }
        }
        if self.ttl_seconds.is_some() && self.commit != Commit::Reserve {
            faults.forbidden(&at.child("ttlSeconds"), "only a reservation lasts for a time: commit is not reserve");
        }
    }

    fn division(&self, at: &Path<'_>, faults: &mut Faults) -> Division {
        let at = at.child("division");
        let weighted = match &self.division {
            None => return Division::Duplicated,
            Some(DivisionRequest::Named(word)) => {
                if word != "Duplicated" {
                    faults.not_supported(&at, word, &["Duplicated"]);
                }
                return Division::Duplicated;
            }
            Some(DivisionRequest::Divided(DividedRequest { aggregated, weighted })) => match (aggregated, weighted) {
                (Some(_), None) => return Division::Aggregated,
                (None, Some(weighted)) => weighted,
                _ => {
                    let rule = "must have one of aggregated and weighted";
                    faults.invalid(&at, format_args!("{{}}"), rule);
                    return Division::Duplicated;
                }
            },
        };
        let at = at.child("weighted");
        match weighted.dynamic.as_deref() {
            Some("AvailableReplicas") => return Division::Dynamic,
            Some(other) if !other.is_empty() => {
                faults.not_supported(&at.child("dynamic"), other, &["AvailableReplicas"]);
            }
            _ => {}
        }
        let at = at.child("static");
        bounded(weighted.fixed.len(), MOST_RULES, &at, faults);
        let rule = |(index, of): (usize, &WeightRequest)| of.to_core(&at.index(index), faults);
        Division::Static(weighted.fixed.iter().take(MOST_RULES).enumerate().map(rule).collect())
    }

    fn spread(&self, is_duplicated: bool, at: &Path<'_>, faults: &mut Faults) -> Vec<Spread> {
        let at = at.child("spread");
        bounded(self.spread.len(), MOST_SPREADS, &at, faults);
        let mut spread: Vec<Spread> = Vec::new();
        for (index, of) in self.spread.iter().take(MOST_SPREADS).enumerate() {
            let at = at.index(index);
            let Some(read) = of.to_core(&at, faults) else { continue };
            let by_at = at.child("by");
            if spread.iter().any(|other| other.by == read.by) {
                faults.duplicate(&by_at, &of.by);
            } else if read.by.is_grouping() && spread.iter().any(|other| other.by.is_grouping()) {
                faults.invalid(&by_at, &of.by, "groups are made by one of region and label: they exclude each other");
            }
            if read.max_skew.is_some() && spread.iter().any(|other| other.max_skew.is_some()) {
                faults.forbidden(
                    &at.child("maxSkew"),
                    "another constraint has one: it holds among the groups of one constraint",
                );
            } else if read.max_skew.is_some() && is_duplicated {
                faults.forbidden(&at.child("maxSkew"), "with the division Duplicated every cluster gets all replicas");
            }
            spread.push(read);
        }
        // Karmada's answer then is a selection that has too many clusters.
        let most = spread.iter().find(|of| of.by == SpreadBy::Cluster).and_then(|of| of.max).unwrap_or(usize::MAX);
        if self.cluster_objects.is_none()
            && let Some((index, group)) = spread.iter().enumerate().find(|(_, of)| of.by.is_grouping() && of.min > most)
        {
            let rule = format!("more groups than clusters: the spread by cluster has maxGroups {most}");
            faults.invalid(&at.index(index).child("minGroups"), group.min, rule);
        }
        if !spread.is_empty() && !spread.iter().any(|of| of.by == SpreadBy::Cluster) {
            faults.required(&at, "one by \"cluster\" has to be among them: how many clusters there may be");
        }
        spread
    }

    fn previous(&self, at: &Path<'_>, faults: &mut Faults) -> Vec<(Name, i64)> {
        let at = at.child("previous");
        bounded(self.previous.len(), MOST_NAMES, &at, faults);
        let mut seen = std::collections::HashSet::new();
        let mut previous = Vec::new();
        for (index, PreviousRequest { cluster, replicas }) in self.previous.iter().take(MOST_NAMES).enumerate() {
            let at = at.index(index);
            if !(0..=MOST_REPLICAS).contains(replicas) {
                let rule = format!("must be between 0 and {MOST_REPLICAS}, inclusive");
                faults.invalid(&at.child("replicas"), replicas, rule);
            }
            if !seen.insert(cluster) {
                faults.duplicate(&at.child("cluster"), cluster);
            }
            previous.push((Name::from(&**cluster), (*replicas).clamp(0, MOST_REPLICAS)));
        }
        previous
    }
}

impl SpreadRequest {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Option<Spread> {
        let by = match self.by.as_str() {
            "cluster" => SpreadBy::Cluster,
            "region" => SpreadBy::Region,
            "zone" => SpreadBy::Zone,
            "provider" => SpreadBy::Provider,
            other => {
                let Some(key) = other.strip_prefix("label:").filter(|key| !key.is_empty()) else {
                    let known = ["cluster", "region", "zone", "provider", "label:KEY"];
                    faults.not_supported(&at.child("by"), other, &known);
                    return None;
                };
                SpreadBy::Label(key.into())
            }
        };
        let mut count = |count: Option<i64>, field: &str| {
            let count = count.unwrap_or(0);
            if count < 0 {
                faults.invalid(&at.child(field), count, "must be greater than or equal to 0");
            }
            usize::try_from(count).unwrap_or(0)
        };
        let (min, max) = (count(self.min_groups, "minGroups").max(1), count(self.max_groups, "maxGroups"));
        let max = (max > 0).then_some(max);
        if let Some(max) = max.filter(|max| *max < min) {
            let rule = format!("must be greater than or equal to minGroups, which is {min}");
            faults.invalid(&at.child("maxGroups"), max, rule);
        }
        let skew_at = at.child("maxSkew");
        if let Some(skew) = self.max_skew.filter(|skew| *skew < 1) {
            faults.invalid(&skew_at, skew, "must be greater than or equal to 1");
        } else if self.max_skew.is_some() && by == SpreadBy::Zone {
            faults.forbidden(&skew_at, "a cluster may span several zones, and its replicas are in any of them");
        }
        Some(Spread { by, min, max, max_skew: self.max_skew })
    }
}

impl WeightRequest {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> (federation::Affinity, i64) {
        let Self { selector, fields, names, exclude, weight } = self;
        if !(0..=MOST_WEIGHT).contains(weight) {
            faults.invalid(&at.child("weight"), weight, format!("must be between 0 and {MOST_WEIGHT}, inclusive"));
        }
        (Parts { selector: selector.as_ref(), fields, names, exclude }.to_core(at, faults), *weight)
    }
}

impl PrioritiesRequest {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Ranking {
        let known: Vec<&str> = federation::priorities().collect();
        match (&self.weights, &self.tree) {
            (None, None) => Ranking::default(),
            (Some(_), Some(_)) => {
                faults.forbidden(&at.child("tree"), "may not be specified together with weights");
                Ranking::default()
            }
            (None, Some(names)) => {
                let at = at.child("tree");
                bounded(names.len(), known.len(), &at, faults);
                let names = names.iter().take(known.len()).enumerate();
                Ranking::Tree(names.map(|(index, name)| priority(name, &at.index(index), faults)).collect())
            }
            (Some(weights), None) => {
                let at = at.child("weights");
                let mut named = Vec::new();
                for (name, weight) in weights {
                    named.push((priority(name, &at.key(name), faults), *weight));
                    if !(0..=MOST_WEIGHT).contains(weight) {
                        let rule = format!("must be between 0 and {MOST_WEIGHT}, inclusive");
                        faults.invalid(&at.key(name), weight, rule);
                    }
                }
                Ranking::Weights(named)
            }
        }
    }
}

/// The name of a priority.
fn priority(name: &str, at: &Path<'_>, faults: &mut Faults) -> Name {
    let known: Vec<&str> = federation::priorities().collect();
    if !known.contains(&name) {
        faults.not_supported(at, name, &known);
    }
    name.into()
}

/// The clusters that came with a request.
fn brought(objects: &[ClusterObject], at: &Path<'_>, faults: &mut Faults) -> Vec<Candidate> {
    bounded(objects.len(), MOST_CLUSTERS, at, faults);
    let mut seen = std::collections::HashSet::new();
    let mut clusters = Vec::new();
    for (index, object) in objects.iter().take(MOST_CLUSTERS).enumerate() {
        let at = at.index(index);
        if !seen.insert(&object.metadata.name) {
            faults.duplicate(&at.child("metadata").child("name"), &object.metadata.name);
        }
        clusters.push(object.to_core(&at, faults));
    }
    clusters
}
