//! Clusters as objects (`podberth.io/v1` Cluster).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Converted, converted,
    meta::{ObjectMeta, instant, read_instant},
    names::{self, NameRule},
    node::{Node, NodeSpec, NodeTaint, condition_status},
    node_group::{NodeTemplate, amount, size},
    quantity::QuantityText,
};
use crate::{
    fault::{Faults, Path},
    kinds::StoredKind,
    source::ClusterSource,
    span,
};
use podberth_core::{
    federation::{self, Apis},
    model::{Labels, Name},
};

/// The store's kind of Cluster objects.
pub const KIND: &str = "clusters.podberth.io";

/// The condition of a cluster that can be asked.
pub const READY: &str = "Ready";

/// The condition of a mirror that is whole and not too far behind.
pub const SYNCED: &str = "Synced";

/// The condition of a cluster whose `apiEnablements` are whole (Karmada's name).
pub const COMPLETE_APIS: &str = "CompleteAPIEnablements";

/// The annotation with the time of the last move out of the cluster.
pub const MOVED_AT: &str = "podberth.io/moved-at";

/// Entries of each list at most.
const MOST_TEMPLATES: usize = 64;
const MOST_ZONES: usize = 64;
const MOST_TAINTS: usize = 64;
const MOST_LABELS: usize = 256;
const MOST_CONDITIONS: usize = 64;
const MOST_APIS: usize = 4_096;

/// The price of nothing, where a Cluster names the other one alone.
const NO_PRICE: &str = "0";

/// A cluster of those that placement chooses from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MemberCluster {
    /// Name, labels, annotations.
    pub metadata: ObjectMeta,
    /// Desired state.
    pub spec: MemberClusterSpec,
    /// Reported state.
    pub status: MemberClusterStatus,
}

/// Desired state of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MemberClusterSpec {
    /// The cloud provider.
    #[schema(example = "aws")]
    pub provider: String,
    /// The region.
    #[schema(example = "eu-central-1")]
    pub region: String,
    /// The zones that it spans, at most 64.
    pub zones: Vec<String>,
    /// Marks that keep workloads away which do not tolerate them, at most 64.
    pub taints: Vec<NodeTaint>,
    /// The price of what pods request.
    #[schema(nullable = false)]
    pub cost: Option<ClusterCost>,
    /// The live cluster that it mirrors; none if absent.
    #[schema(nullable = false)]
    pub source: Option<ClusterSource>,
    /// Nodes that its autoscaler could add, at most 64.
    pub node_templates: Vec<ClusterNodeTemplate>,
}

/// The price of what pods request in a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterCost {
    /// Of one CPU for an hour; zero if absent.
    #[schema(nullable = false)]
    pub per_cpu_hour: Option<QuantityText>,
    /// Of one GiB of memory for an hour; zero if absent.
    #[schema(nullable = false)]
    pub per_gi_hour: Option<QuantityText>,
    /// The currency, three capital letters. Prices of different currencies are compared as numbers: give all clusters the same one.
    #[schema(example = "EUR")]
    pub currency: String,
}

/// A sort of node that a cluster's autoscaler could add.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterNodeTemplate {
    /// Its name, unique in the cluster.
    #[schema(example = "large")]
    pub name: String,
    /// Such a node: labels, taints and amounts.
    pub template: NodeTemplate,
    /// At most so many more nodes.
    #[schema(example = 10)]
    pub max: i64,
    /// Time until a new one is ready, as `3m`; zero if absent.
    #[schema(nullable = false, example = "3m")]
    pub start_time: Option<String>,
    /// The price of one for an hour.
    #[schema(nullable = false)]
    pub cost: Option<QuantityText>,
}

/// Reported state of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MemberClusterStatus {
    /// `Ready`, `Synced`, …: of a cluster with a source Podberth writes these two, of others whoever knows them.
    pub conditions: Vec<ClusterCondition>,
    /// The kinds that it serves; every kind counts as served if absent.
    pub api_enablements: Vec<ApiEnablement>,
    /// How much there is in it.
    #[schema(nullable = false)]
    pub summary: Option<ClusterSummary>,
}

/// A condition of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterCondition {
    /// `Ready`, `Synced`, `CompleteAPIEnablements`, …
    #[serde(rename = "type")]
    pub condition_type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in one word.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// When its status changed last, RFC 3339.
    #[schema(nullable = false)]
    pub last_transition_time: Option<String>,
}

/// The kinds of a group and version that a cluster serves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiEnablement {
    /// The group and version.
    #[schema(example = "apps/v1")]
    pub group_version: String,
    /// Its kinds.
    pub resources: Vec<ApiResource>,
}

/// A kind that a cluster serves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiResource {
    /// Its name in paths.
    #[schema(example = "deployments")]
    pub name: String,
    /// The kind.
    #[schema(example = "Deployment")]
    pub kind: String,
}

/// How much there is in a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterSummary {
    /// Nodes.
    #[schema(minimum = 0)]
    pub nodes: i64,
    /// Pods.
    #[schema(minimum = 0)]
    pub pods: i64,
}

/// A Cluster object, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// The cluster as placement judges it.
    pub cluster: Arc<federation::Cluster>,
    /// The live cluster that it mirrors.
    pub source: Option<Arc<ClusterSource>>,
    /// The currency of its prices.
    pub currency: Option<Name>,
    /// When the last move out of it began, in nanoseconds since 1970.
    pub moved_at: Option<i64>,
}

impl Member {
    /// Reads a stored object. Its faults, besides those that make it unreadable, were told when it was written.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let object: MemberCluster = crate::decode::from_slice(body).map_err(|error| error.to_string())?;
        let read = object.to_core().lenient();
        read.map_err(|causes| {
            causes.first().map(|cause| format!("{}: {}", cause.field, cause.message)).unwrap_or_default()
        })
    }

    /// The kind of Cluster objects.
    pub fn kind() -> Option<&'static StoredKind> {
        crate::kinds::by_key(KIND)
    }
}

impl MemberCluster {
    /// The cluster, and its faults.
    pub fn to_core(&self) -> Converted<Member> {
        converted(|faults| {
            let name = self.metadata.cluster_scoped(names::dns_label, faults);
            let labels = self.labels(faults);
            let deleted = self.metadata.deletion_timestamp.as_deref().and_then(read_instant);
            let (spec_at, status_at) = (Path::ROOT.child("spec"), Path::ROOT.child("status"));
            let (spec, status) = (&self.spec, &self.status);
            let cost = spec.cost.as_ref().map(|cost| cost.convert(&spec_at.child("cost"), faults));
            let conditions = status.conditions(&status_at.child("conditions"), faults);
            let apis = status.apis(&status_at.child("apiEnablements"), faults);
            status.check_summary(&status_at.child("summary"), faults);
            let cluster = federation::Cluster {
                name,
                labels,
                provider: word(&spec.provider, names::label_value, &spec_at.child("provider"), faults),
                region: word(&spec.region, names::label_value, &spec_at.child("region"), faults),
                zones: spec.zones(&spec_at.child("zones"), faults),
                taints: spec.taints(&spec_at, faults),
                apis,
                conditions,
                lag: None,
                cost,
                node_templates: spec.templates(&spec_at.child("nodeTemplates"), faults),
                deleted,
            };
            if let Some(source) = &spec.source {
                faults.adopt("spec.source", source.faults());
            }
            let currency = spec.cost.as_ref().map(|cost| Name::from(&*cost.currency)).filter(|name| !name.is_empty());
            let moved_at = self.metadata.annotations.get(MOVED_AT).and_then(|text| read_instant(text));
            Member { cluster: Arc::new(cluster), source: spec.source.clone().map(Arc::new), currency, moved_at }
        })
    }

    fn labels(&self, faults: &mut Faults) -> Labels {
        let metadata = Path::ROOT.child("metadata");
        bounded(self.metadata.labels.len(), MOST_LABELS, &metadata.child("labels"), faults);
        self.metadata.labels(faults)
    }
}

impl MemberClusterSpec {
    fn zones(&self, at: &Path<'_>, faults: &mut Faults) -> Vec<Name> {
        bounded(self.zones.len(), MOST_ZONES, at, faults);
        let mut zones: Vec<Name> = Vec::new();
        for (i, zone) in self.zones.iter().enumerate().take(MOST_ZONES) {
            let at = at.index(i);
            match word(zone, names::label_value, &at, faults) {
                None => faults.required(&at, "the name of a zone"),
                Some(zone) if zones.contains(&zone) => faults.duplicate(&at, &*zone),
                Some(zone) => zones.push(zone),
            }
        }
        zones
    }

    /// The taints, which are read as those of a node.
    fn taints(&self, at: &Path<'_>, faults: &mut Faults) -> Vec<podberth_core::model::Taint> {
        bounded(self.taints.len(), MOST_TAINTS, &at.child("taints"), faults);
        let taints = self.taints.iter().take(MOST_TAINTS).cloned().collect();
        let metadata = ObjectMeta { name: "node".into(), ..ObjectMeta::default() };
        let node = Node { metadata, spec: NodeSpec { taints, ..NodeSpec::default() }, ..Node::default() };
        let Converted { object, causes } = node.to_core();
        faults.adopt("", causes);
        object.taints
    }

    fn templates(&self, at: &Path<'_>, faults: &mut Faults) -> Vec<federation::NodeTemplate> {
        bounded(self.node_templates.len(), MOST_TEMPLATES, at, faults);
        let mut templates: Vec<federation::NodeTemplate> = Vec::new();
        for (i, template) in self.node_templates.iter().enumerate().take(MOST_TEMPLATES) {
            let at = at.index(i);
            let template = template.convert(&at, faults);
            if templates.iter().any(|other| other.name == template.name) {
                faults.duplicate(&at.child("name"), &*template.name);
            }
            templates.push(template);
        }
        templates
    }
}

impl ClusterNodeTemplate {
    fn convert(&self, at: &Path<'_>, faults: &mut Faults) -> federation::NodeTemplate {
        let name_at = at.child("name");
        if self.name.is_empty() {
            faults.required(&name_at, "the name of a node group");
        } else if let Err(rule) = names::dns_label(&self.name) {
            faults.invalid(&name_at, &self.name, rule);
        }
        let (start_at, cost_at) = (at.child("startTime"), at.child("cost"));
        federation::NodeTemplate {
            name: (&*self.name).into(),
            node: Arc::new(self.template.convert(&self.name, &Labels::default(), &at.child("template"), faults)),
            limit: size(self.max, &at.child("max"), faults),
            start: span::read(self.start_time.as_deref(), &start_at, faults).unwrap_or_default(),
            cost: amount(self.cost.as_ref(), &cost_at, faults),
        }
    }
}

impl ClusterCost {
    fn convert(&self, at: &Path<'_>, faults: &mut Faults) -> federation::Cost {
        let currency_at = at.child("currency");
        if self.currency.is_empty() {
            faults.required(&currency_at, "prices without a currency cannot be compared, such as EUR");
        } else if self.currency.len() != 3 || !self.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            faults.invalid(&currency_at, &self.currency, "must be three capital letters, such as EUR");
        }
        let nothing = QuantityText(NO_PRICE.into());
        let mut price = |text: &Option<QuantityText>, field: &str| {
            amount(Some(text.as_ref().unwrap_or(&nothing)), &at.child(field), faults).unwrap_or_default()
        };
        federation::Cost {
            per_cpu_hour: price(&self.per_cpu_hour, "perCpuHour"),
            per_gib_hour: price(&self.per_gi_hour, "perGiHour"),
        }
    }
}

impl MemberClusterStatus {
    fn conditions(&self, at: &Path<'_>, faults: &mut Faults) -> Vec<(Name, federation::Condition)> {
        bounded(self.conditions.len(), MOST_CONDITIONS, at, faults);
        let mut conditions: Vec<(Name, federation::Condition)> = Vec::new();
        for (i, condition) in self.conditions.iter().enumerate().take(MOST_CONDITIONS) {
            let at = at.index(i);
            let type_at = at.child("type");
            let name: Name = (&*condition.condition_type).into();
            if let Err(rule) = names::qualified_name(&name) {
                faults.invalid(&type_at, &*name, rule);
            } else if conditions.iter().any(|(other, _)| *other == name) {
                faults.duplicate(&type_at, &*name);
            }
            if !matches!(&*condition.status, "True" | "False" | "Unknown") {
                faults.not_supported(&at.child("status"), &condition.status, &["True", "False", "Unknown"]);
            }
            let since = condition.last_transition_time.as_ref();
            if since.is_none() && &*name == READY && condition.status != "True" {
                faults.required(&at.child("lastTransitionTime"), "since when it is so: pods leave some time after it");
            }
            let since = since.and_then(|text| instant(text, &at.child("lastTransitionTime"), faults));
            let status = condition_status(&condition.status);
            let (reason, message) = ((&*condition.reason).into(), (&*condition.message).into());
            conditions.push((name, federation::Condition { status, reason, message, since }));
        }
        conditions
    }

    fn apis(&self, at: &Path<'_>, faults: &mut Faults) -> Apis {
        if self.api_enablements.is_empty() {
            return Apis::Untold;
        }
        bounded(self.api_enablements.iter().map(|of| of.resources.len().max(1)).sum(), MOST_APIS, at, faults);
        let mut kinds: Vec<(Name, Name)> = Vec::new();
        for enabled in self.api_enablements.iter().take(MOST_APIS) {
            let version = Name::from(&*enabled.group_version);
            kinds.extend(enabled.resources.iter().take(MOST_APIS).map(|of| (version.clone(), Name::from(&*of.kind))));
        }
        kinds.sort_unstable();
        kinds.dedup();
        let is_told = |condition: &&ClusterCondition| condition.condition_type == COMPLETE_APIS;
        let complete = self.conditions.iter().find(is_told).is_some_and(|condition| condition.status == "True");
        Apis::Told { kinds, complete }
    }

    fn check_summary(&self, at: &Path<'_>, faults: &mut Faults) {
        let Some(ClusterSummary { nodes, pods }) = self.summary else { return };
        for (field, count) in [("nodes", nodes), ("pods", pods)] {
            if count < 0 {
                faults.invalid(&at.child(field), count, "must be greater than or equal to 0");
            }
        }
    }
}

/// A text that follows a rule; `None` for an empty one.
fn word(text: &str, rule: NameRule, at: &Path<'_>, faults: &mut Faults) -> Option<Name> {
    if let Err(rule) = rule(text) {
        faults.invalid(at, text, rule);
    }
    (!text.is_empty()).then(|| text.into())
}

/// Refuses a list with more entries than `most`.
fn bounded(count: usize, most: usize, at: &Path<'_>, faults: &mut Faults) {
    if count > most {
        faults.too_many(at, format!("Too many: {count}: must have at most {most} items"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use podberth_core::model::{ConditionStatus, Effect};

    fn faults(object: &Value) -> Vec<String> {
        let kind = Member::kind().expect("a row");
        let causes = kind.validate(object.to_string().as_bytes()).expect("it is read").causes;
        causes.into_iter().map(|cause| cause.field).collect()
    }

    fn cluster(spec: &Value, status: &Value) -> Value {
        json!({"metadata": {"name": "eu-1"}, "spec": spec, "status": status})
    }

    #[test]
    fn a_cluster_is_read_as_placement_judges_it() {
        let object = json!({
            "metadata": {"name": "eu-1", "labels": {"tier": "gold"}, "deletionTimestamp": "1970-01-01T00:00:01Z"},
            "spec": {
                "provider": "aws", "region": "eu", "zones": ["a", "b"], "source": {"inCluster": true},
                "taints": [{"key": "k", "value": "v", "effect": "NoExecute", "timeAdded": "1970-01-01T00:00:02Z"}],
                "cost": {"perCpuHour": "40m", "currency": "EUR"},
                "nodeTemplates": [{"name": "large", "max": 3, "startTime": "2m", "cost": 1,
                    "template": {"metadata": {"labels": {"x": "y"}}, "status": {"allocatable": {"cpu": "8"}}}}],
            },
            "status": {
                "conditions": [{"type": "Ready", "status": "False", "reason": "Away", "lastTransitionTime": "1970-01-01T00:00:03Z"},
                    {"type": "CompleteAPIEnablements", "status": "True"}],
                "apiEnablements": [{"groupVersion": "apps/v1", "resources": [{"name": "deployments", "kind": "Deployment"}]}],
                "summary": {"nodes": 2, "pods": 5},
            },
        });
        let Member { cluster, source, currency, moved_at } =
            Member::parse(object.to_string().as_bytes()).expect("it is read");
        assert!(source.expect("a source").in_cluster && moved_at.is_none());
        assert_eq!((currency.as_deref(), cluster.deleted, cluster.lag), (Some("EUR"), Some(1_000_000_000), None));
        assert_eq!((cluster.provider.as_deref(), cluster.region.as_deref()), (Some("aws"), Some("eu")));
        assert_eq!(cluster.zones.iter().map(|zone| &**zone).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((cluster.taints[0].effect, cluster.taints[0].added), (Effect::NoExecute, Some(2_000_000_000)));
        let cost = cluster.cost.as_ref().expect("prices");
        assert_eq!((cost.per_cpu_hour, cost.per_gib_hour), ("0.04".parse().unwrap(), "0".parse().unwrap()));
        let template = &cluster.node_templates[0];
        assert_eq!((&*template.name, template.limit, template.start), ("large", 3, 120_000_000_000));
        assert_eq!((template.node.allocatable.milli_cpu, template.node.labels.has("x")), (8000, true));
        let ready = cluster.condition(READY).expect("a condition");
        assert_eq!((ready.status, &*ready.reason, ready.since), (ConditionStatus::False, "Away", Some(3_000_000_000)));
        assert!(cluster.apis.serve("apps/v1", "Deployment") && !cluster.apis.serve("v1", "Pod"));
        assert!(matches!(cluster.apis, Apis::Told { complete: true, .. }));
        assert_eq!(faults(&object), [] as [&str; 0]);
    }

    #[test]
    fn faults_are_told_with_the_path_of_their_field() {
        let template = |with: Value| {
            let mut template = json!({"name": "n", "max": 1, "template": {"status": {"allocatable": {"cpu": "1"}}}});
            template.as_object_mut().expect("an object").extend(with.as_object().expect("an object").clone());
            json!({"nodeTemplates": [template]})
        };
        for (spec, field) in [
            (json!({"provider": "a b"}), "spec.provider"),
            (json!({"region": "-"}), "spec.region"),
            (json!({"zones": ["a", ""]}), "spec.zones[1]"),
            (json!({"zones": ["a", "a"]}), "spec.zones[1]"),
            (json!({"zones": vec!["z"; 65]}), "spec.zones"),
            (json!({"taints": [{"key": "k", "effect": "Never"}]}), "spec.taints[0].effect"),
            (json!({"taints": [{"key": "", "effect": "NoExecute"}]}), "spec.taints[0].key"),
            (
                json!({"taints": [{"key": "k", "effect": "NoExecute"}, {"key": "k", "effect": "NoExecute"}]}),
                "spec.taints[1]",
            ),
            (json!({"cost": {"perCpuHour": "1"}}), "spec.cost.currency"),
            (json!({"cost": {"currency": "euro"}}), "spec.cost.currency"),
            (json!({"cost": {"currency": "EUR", "perGiHour": "-1"}}), "spec.cost.perGiHour"),
            (json!({"source": {"kubeconfigFile": "a"}}), "spec.source.kubeconfigFile"),
            (template(json!({"name": "A"})), "spec.nodeTemplates[0].name"),
            (template(json!({"name": ""})), "spec.nodeTemplates[0].name"),
            (template(json!({"max": -1})), "spec.nodeTemplates[0].max"),
            (template(json!({"startTime": "soon"})), "spec.nodeTemplates[0].startTime"),
            (template(json!({"cost": "-1"})), "spec.nodeTemplates[0].cost"),
            (template(json!({"template": {}})), "spec.nodeTemplates[0].template.status.allocatable"),
            (
                template(json!({"template": {"status": {"capacity": {"cpu": "x"}}}})),
                "spec.nodeTemplates[0].template.status.capacity[cpu]",
            ),
        ] {
            assert_eq!(faults(&cluster(&spec, &Value::Null)).first().map(String::as_str), Some(field), "{spec}");
        }
        let twice = json!({"nodeTemplates": [template(json!({}))["nodeTemplates"][0], template(json!({}))["nodeTemplates"][0]]});
        assert_eq!(faults(&cluster(&twice, &Value::Null)), ["spec.nodeTemplates[1].name"]);
        let one = &template(json!({}))["nodeTemplates"][0];
        let many: Vec<_> = (0..65)
            .map(|i| {
                let mut one = one.clone();
                one["name"] = format!("n{i}").into();
                one
            })
            .collect();
        assert_eq!(faults(&cluster(&json!({"nodeTemplates": many}), &Value::Null)), ["spec.nodeTemplates"]);
        for (status, field) in [
            (
                json!({"conditions": [{"type": "Ready", "status": "Yes", "lastTransitionTime": "2026-01-02T15:04:05Z"}]}),
                "status.conditions[0].status",
            ),
            (json!({"conditions": [{"type": "Ready", "status": "False"}]}), "status.conditions[0].lastTransitionTime"),
            (json!({"conditions": [{"type": "", "status": "True"}]}), "status.conditions[0].type"),
            (
                json!({"conditions": [{"type": "A", "status": "True"}, {"type": "A", "status": "True"}]}),
                "status.conditions[1].type",
            ),
            (
                json!({"conditions": [{"type": "A", "status": "True", "lastTransitionTime": "now"}]}),
                "status.conditions[0].lastTransitionTime",
            ),
            (json!({"summary": {"nodes": -1}}), "status.summary.nodes"),
        ] {
            assert_eq!(faults(&cluster(&Value::Null, &status)).first().map(String::as_str), Some(field), "{status}");
        }
        let many: serde_json::Map<String, Value> = (0..257).map(|i| (format!("l{i}"), "v".into())).collect();
        assert_eq!(faults(&json!({"metadata": {"name": "a", "labels": many}})), ["metadata.labels"]);
        assert_eq!(faults(&json!({"metadata": {"name": "A.b"}})).first().map(String::as_str), Some("metadata.name"));
    }

    proptest! {
        #[test]
        fn no_object_panics(text in "[\\[\\]{}:,\"a-zA-Z0-9 .-]{0,200}", zone in ".{0,80}", amount in "[-+0-9a-zA-Z.]{0,12}") {
            let _ = Member::parse(text.as_bytes());
            let spec = json!({"zones": [zone], "cost": {"perCpuHour": amount, "currency": zone},
                "nodeTemplates": [{"name": zone, "startTime": amount, "cost": amount, "template": {"status": {"capacity": {zone.as_str(): amount}}}}],
                "taints": [{"key": zone, "effect": amount, "timeAdded": amount}]});
            let _ = Member::kind().expect("a row").validate(cluster(&spec, &Value::Null).to_string().as_bytes());
        }
    }
}
