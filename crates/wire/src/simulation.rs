//! The request and the reply of `/simulate`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    cluster::{Brought, Cluster},
    explanation::{PodName, PolicyUsed},
    objects::{node, pod},
    overview::OverviewReply,
    policy::schema::{PolicyDocument, SchedulerProfile},
};
use podberth_core::{
    model::{Pod, Quantity, resources},
    simulate::{self, Blocked, PlacedPod, StuckPod},
};

/// Steps on a copy of a cluster, and questions about the cluster after them. Nothing is stored.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SimulateRequest {
    /// The cluster to begin with, in full; `"cluster"`, like no such field, is the stored one.
    #[schema(nullable = false, value_type = Cluster)]
    pub on: Option<On>,
    /// The revision of the stored cluster to begin with, as the query `revision`; the present where absent.
    #[schema(nullable = false)]
    pub revision: Option<u64>,
    /// The steps, in their order.
    pub steps: Vec<StepRequest>,
    /// Asks how many copies of a pod fit besides all that is there.
    #[schema(nullable = false)]
    pub how_many: Option<HowManyRequest>,
    /// Asks how many more nodes some pods need.
    #[schema(nullable = false)]
    pub nodes_needed: Option<NodesNeededRequest>,
    /// Asks which of these pods fit, each for itself.
    #[schema(nullable = false, value_type = Vec<pod::Pod>)]
    pub what_fits: Option<Vec<Box<RawValue>>>,
    /// Asks for all nodes before the first step and after the last one, as `GET /overview` has them.
    #[schema(nullable = false)]
    pub overview: Option<OverviewRequest>,
    /// A `kind: Policy` (or a KubeSchedulerConfiguration v1) to decide under instead of the one in force.
    #[schema(nullable = false, value_type = PolicyDocument)]
    pub policy: Option<Box<RawValue>>,
    /// Instead of `policy`: a KubeSchedulerConfiguration v1, or one profile of it.
    #[schema(nullable = false, value_type = SchedulerProfile)]
    pub profile: Option<Box<RawValue>>,
    /// Allows evicting pods of lower priority for one that fits nowhere; default `true`. The step `preempt` changes it.
    #[schema(nullable = false)]
    pub preempt: Option<bool>,
    /// Breaks ties: equal seeds give equal answers.
    pub seed: u64,
}

/// The cluster that a simulation begins with.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum On {
    /// A name: `cluster`.
    Named(String),
    /// A cluster in full.
    Sent(Box<Brought>),
}

impl<'de> Deserialize<'de> for On {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        if text.get().starts_with('"') { read(&text).map(Self::Named) } else { read(&text).map(Self::Sent) }
    }
}

/// A value by the form that it has.
fn read<T: serde::de::DeserializeOwned, E: serde::de::Error>(text: &RawValue) -> Result<T, E> {
    serde_json::from_str(text.get()).map_err(E::custom)
}

/// One step: exactly one of its fields is present.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct StepRequest {
    /// Nodes join.
    #[schema(nullable = false)]
    pub add_nodes: Option<AddNodes>,
    /// A node goes, with its pods. Those of controllers but DaemonSets are placed again.
    #[schema(nullable = false)]
    pub remove_node: Option<OfNode>,
    /// A node takes no new pods.
    #[schema(nullable = false)]
    pub cordon: Option<OfNode>,
    /// A node takes new pods again.
    #[schema(nullable = false)]
    pub uncordon: Option<OfNode>,
    /// A node is cordoned and its pods are evicted, as far as disruption budgets allow, and placed again.
    #[schema(nullable = false)]
    pub drain: Option<OfNode>,
    /// A node gets a taint.
    #[schema(nullable = false)]
    pub taint: Option<TaintNode>,
    /// A node gets or loses labels.
    #[schema(nullable = false)]
    pub label: Option<LabelNode>,
    /// Pods come that wait for a node: a `template` with a `count`, or a list of pods.
    #[schema(nullable = false)]
    pub add_pods: Option<AddPods>,
    /// Pods are deleted.
    #[schema(nullable = false)]
    pub delete_pods: Option<DeletePods>,
    /// Another policy decides from now on.
    #[schema(nullable = false, value_type = PolicyDocument)]
    pub set_policy: Option<Box<RawValue>>,
    /// Permission to preempt, from now on, for pods that fit nowhere.
    #[schema(nullable = false)]
    pub preempt: Option<bool>,
    /// All nodes with a label go at once.
    #[schema(nullable = false)]
    pub fail_zone: Option<FailZone>,
}

/// A node by its name. The name alone, as text, is the same.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(from = "Named")]
pub struct OfNode {
    /// The node's name.
    #[schema(example = "node-a")]
    pub node: String,
}

/// The forms of [`OfNode`].
#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Text(String),
    Field {
        #[serde(alias = "name")]
        node: String,
    },
}

impl From<Named> for OfNode {
    fn from(named: Named) -> Self {
        let (Named::Text(node) | Named::Field { node }) = named;
        Self { node }
    }
}

/// Nodes that join.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddNodes {
    /// The node; each is named after it with a number.
    #[schema(value_type = node::Node)]
    pub template: Box<RawValue>,
    /// How many.
    #[serde(default = "one")]
    pub count: usize,
}

/// A taint of a node.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaintNode {
    /// The node.
    pub node: String,
    /// The taint's key.
    pub key: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// Labels of a node.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelNode {
    /// The node.
    pub node: String,
    /// The labels by key; `null` takes one away.
    pub labels: BTreeMap<String, Option<String>>,
}

/// Pods that come: copies of a template, or pods in full. A list alone is the same as `pods`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddPods {
    /// The pod, or an object with a pod template; each is named after it with a number.
    #[schema(nullable = false, value_type = pod::Pod)]
    pub template: Option<Box<RawValue>>,
    /// The number of copies; 1 if absent.
    #[schema(nullable = false)]
    pub count: Option<usize>,
    /// Pods in full, in place of a template.
    #[schema(nullable = false, value_type = Vec<pod::Pod>)]
    pub pods: Option<Vec<Box<RawValue>>>,
}

impl<'de> Deserialize<'de> for AddPods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default, deny_unknown_fields)]
        struct Fields {
            template: Option<Box<RawValue>>,
            count: Option<usize>,
            pods: Option<Vec<Box<RawValue>>>,
        }
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let Fields { template, count, pods } = match text.get().as_bytes().first() {
            Some(b'[') => Fields { pods: read(&text)?, ..Fields::default() },
            Some(b'{') => read(&text)?,
            _ => return Err(D::Error::custom("expected a list of pods, or an object with template and count")),
        };
        Ok(Self { template, count, pods })
    }
}

/// Pods that are deleted: by selection or by name.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DeletePods {
    /// Those with these labels.
    #[schema(nullable = false, example = "app=web")]
    pub selector: Option<String>,
    /// Of this namespace alone.
    #[schema(nullable = false)]
    pub namespace: Option<String>,
    /// Each as `namespace/name` or, in the namespace `default`, `name`.
    #[schema(nullable = false)]
    pub names: Option<Vec<String>>,
}

/// Nodes that fail together.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailZone {
    /// The label of nodes.
    #[schema(example = "topology.kubernetes.io/zone")]
    pub topology_key: String,
    /// Its value.
    pub value: String,
}

/// How many copies of a pod fit.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HowManyRequest {
    /// The pod, or an object with a pod template.
    #[schema(value_type = pod::Pod)]
    pub pod: Box<RawValue>,
    /// No more than this number are tried.
    #[serde(default)]
    #[schema(nullable = false)]
    pub limit: Option<usize>,
}

/// How many nodes some pods need.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodesNeededRequest {
    /// The node.
    #[schema(value_type = node::Node)]
    pub template: Box<RawValue>,
    /// The pods; those that wait in the cluster if absent.
    #[serde(default)]
    #[schema(nullable = false)]
    pub pods: Option<AddPods>,
    /// No more than this number are tried.
    #[serde(default)]
    #[schema(nullable = false)]
    pub limit: Option<usize>,
}

/// The form of the overviews of a simulation.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[schema(as = SimulatedOverviewRequest)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct OverviewRequest {
    /// The key of a label, by whose values nodes are summed; all nodes are one group where absent.
    #[schema(nullable = false, example = "topology.kubernetes.io/zone")]
    pub group: Option<String>,
}

fn one() -> usize {
    1
}

/// The cluster after each step, and the answers.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SimulateReport {
    /// The revision of the state that was begun with; 0 where the cluster came with the request.
    pub revision: u64,
    /// The policy that was begun with.
    pub policy: PolicyUsed,
    /// The seed that breaks ties.
    pub seed: u64,
    /// The cluster before the first step.
    pub before: UtilizationReport,
    /// Each step.
    pub steps: Vec<StepReport>,
    /// The answer to `howMany`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub how_many: Option<HowManyReport>,
    /// The answer to `nodesNeeded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub nodes_needed: Option<NodesNeededReport>,
    /// The answer to `whatFits`, in the order of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub what_fits: Option<Vec<FitReport>>,
    /// The nodes, where `overview` asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub overview: Option<BeforeAndAfter>,
}

/// The nodes of a cluster before the first step and after the last one.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SimulatedOverviews)]
pub struct BeforeAndAfter {
    /// Before the first step.
    pub before: OverviewReply,
    /// After the last one. Its `revision` is that of the state that was begun with.
    pub after: OverviewReply,
}

/// The cluster after a step.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepReport {
    /// The step, by its field in the request.
    #[schema(example = "drain")]
    pub step: String,
    /// The nodes that joined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Pods that were on no node and found one.
    pub placements: Vec<PlacementReport>,
    /// Pods that changed their node.
    pub moved: Vec<PlacementReport>,
    /// Pods that fit nowhere.
    pub stuck: Vec<StuckReport>,
    /// Pods that are gone, since no controller makes them anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<PodName>,
    /// Pods that stay on a drained node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<StuckReport>,
    /// How full the nodes are.
    pub utilization: UtilizationReport,
}

/// A pod that came to a node.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacementReport {
    /// The pod.
    pub pod: PodName,
    /// Its node before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub from: Option<String>,
    /// Its node now.
    pub to: String,
    /// The pods that were evicted for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub victims: Vec<PodName>,
}

/// A pod, and why it is where it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct StuckReport {
    /// The pod.
    pub pod: PodName,
    /// The node that it was on, or still is; absent for one that has waited from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub from: Option<String>,
    /// Why; of a pod that fits nowhere kube-scheduler's own sentence.
    pub message: String,
}

/// How full nodes are.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UtilizationReport {
    /// Nodes.
    pub nodes: usize,
    /// Nodes with a pod that no DaemonSet owns.
    pub nodes_in_use: usize,
    /// Each of `cpu`, `memory` and `pods`.
    pub resources: BTreeMap<String, ShareReport>,
}

/// A part of a resource.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ShareReport {
    /// Requested by pods on nodes.
    #[schema(example = "1500m")]
    pub requested: String,
    /// Offered by nodes.
    #[schema(example = "4")]
    pub allocatable: String,
    /// The first by the second.
    #[schema(example = 0.375)]
    pub ratio: f64,
}

/// How many copies of a pod fit.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HowManyReport {
    /// Copies that fit.
    pub count: usize,
    /// How many of them each node takes.
    pub by_node: BTreeMap<String, usize>,
    /// Why the next one fits nowhere; absent where `limit` was reached first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub limited_by: Option<String>,
}

/// How many more nodes some pods need.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodesNeededReport {
    /// The smallest number with which all of them fit; `null` if `limit` is too few.
    pub count: Option<usize>,
    /// The proof: what fits nowhere with one node less, or with `limit` nodes where these are too few.
    pub with_one_less: Vec<StuckReport>,
}

/// A pod, and the node that it would get.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FitReport {
    /// The pod.
    pub pod: PodName,
    /// `true` if a node takes it.
    pub fits: bool,
    /// The best node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub node: Option<String>,
    /// How many nodes would take it.
    pub nodes: usize,
    /// Why it fits nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
}

impl From<&Pod> for PodName {
    fn from(pod: &Pod) -> Self {
        Self { namespace: pod.namespace.to_string(), name: pod.name.to_string() }
    }
}

impl From<&PlacedPod> for PlacementReport {
    fn from(placed: &PlacedPod) -> Self {
        Self {
            pod: PodName::from(&*placed.pod),
            from: Some(placed.from.to_string()).filter(|from| !from.is_empty()),
            to: placed.to.to_string(),
            victims: placed.victims.iter().map(|victim| PodName::from(&**victim)).collect(),
        }
    }
}

impl From<&StuckPod> for StuckReport {
    fn from(stuck: &StuckPod) -> Self {
        let from = Some(stuck.from.to_string()).filter(|from| !from.is_empty());
        Self { pod: PodName::from(&*stuck.pod), from, message: stuck.message.clone() }
    }
}

impl From<&Blocked> for StuckReport {
    fn from(blocked: &Blocked) -> Self {
        let from = Some(blocked.pod.node_name.to_string());
        Self { pod: PodName::from(&*blocked.pod), from, message: blocked.why.clone() }
    }
}

impl From<&simulate::Utilization> for UtilizationReport {
    fn from(of: &simulate::Utilization) -> Self {
        let share = |(name, share): (&podberth_core::model::Name, &simulate::Share)| {
            let amount = |amount: i64| {
                let is_cpu = &**name == resources::CPU;
                if is_cpu { Quantity::from_milli(amount) } else { Quantity::from_units(amount) }.to_string()
            };
            let (requested, allocatable) = (amount(share.requested), amount(share.allocatable));
            (name.to_string(), ShareReport { requested, allocatable, ratio: share.ratio() })
        };
        Self { nodes: of.nodes, nodes_in_use: of.in_use, resources: of.resources.iter().map(share).collect() }
    }
}

impl StepReport {
    /// The report of a step.
    pub fn new(step: &str, outcome: &simulate::Outcome) -> Self {
        let (moved, placements): (Vec<_>, Vec<_>) =
            outcome.placed.iter().map(PlacementReport::from).partition(|placed| placed.from.is_some());
        Self {
            step: step.to_owned(),
            added: outcome.added.iter().map(ToString::to_string).collect(),
            placements,
            moved,
            stuck: outcome.stuck.iter().map(StuckReport::from).collect(),
            lost: outcome.lost.iter().map(|pod| PodName::from(&**pod)).collect(),
            blocked: outcome.blocked.iter().map(StuckReport::from).collect(),
            utilization: UtilizationReport::from(&outcome.utilization),
        }
    }
}
