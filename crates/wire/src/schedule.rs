//! The request and the reply of `/schedule`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    cluster::{Brought, Cluster},
    explanation::{DecidingLevel, ExtenderError, PodName, PolicyUsed},
    policy::schema::{PolicyDocument, SchedulerProfile},
    source::SourceRead,
    status::Status,
    suggestion::Suggestion,
};
use podberth_core::claim_choice::ClaimChoice;

/// The pods to schedule, and options. Pods are given in one of three ways: in full (`pods`), by name (`podNames`), or by selection: those
/// that wait for a node and are in a `namespace`, have the labels of a `selector` and name a `schedulerName`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ScheduleRequest {
    /// Pods in full. Pods that are not stored yet are stored and bound in one commit; for the others the stored pod counts.
    #[schema(nullable = false, value_type = Vec<super::objects::pod::Pod>)]
    pub pods: Option<Vec<Box<RawValue>>>,
    /// Stored pods, each as `namespace/name` or, in the namespace `default`, `name`.
    #[schema(nullable = false, example = json!(["default/web"]))]
    pub pod_names: Option<Vec<String>>,
    /// Those that wait and have these labels.
    #[schema(nullable = false, example = "app=web")]
    pub selector: Option<String>,
    /// Those that wait in this namespace.
    #[schema(nullable = false)]
    pub namespace: Option<String>,
    /// Those that wait for the scheduler of this name.
    #[schema(nullable = false)]
    pub scheduler_name: Option<String>,
    /// Decide, and store nothing.
    pub dry_run: bool,
    /// All pods or none: nothing is bound unless all fit, and then all are in one commit.
    pub all_or_nothing: bool,
    /// Allows evicting pods of lower priority for one that fits nowhere; default `true`, as in kube-scheduler. With a profile without
    /// preemption, or for a pod with `preemptionPolicy: Never`, no pod is evicted.
    #[schema(nullable = false)]
    pub preempt: Option<bool>,
    /// Reserve the nodes for this number of seconds (1 to 86400) instead of binding, as `/reservations` does: the pods count as running there
    /// until they are bound or the time is over.
    #[schema(nullable = false, minimum = 1, maximum = 86400)]
    pub assume: Option<u32>,
    /// Asks for suggestions for pods that fit nowhere; default `true`.
    #[schema(nullable = false)]
    pub suggestions: Option<bool>,
    /// A `kind: Policy` (or a KubeSchedulerConfiguration v1) to decide under instead of the one in force.
    #[schema(nullable = false, value_type = PolicyDocument)]
    pub policy: Option<Box<RawValue>>,
    /// Instead of `policy`: a KubeSchedulerConfiguration v1, or one profile of it.
    #[schema(nullable = false, value_type = SchedulerProfile)]
    pub profile: Option<Box<RawValue>>,
    /// The cluster to decide over instead of the stored one; only with `dryRun`.
    #[schema(nullable = false, value_type = Cluster)]
    pub cluster: Option<Brought>,
    /// Breaks ties: equal seeds give equal placements.
    pub seed: u64,
}

/// The results for the pods.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduleReport {
    /// Each pod, in the order of the request; pods found by selector in order of namespace and name.
    pub pods: Vec<ScheduledPod>,
    /// All together.
    pub summary: ScheduleSummary,
}

/// The result for a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ScheduleResult {
    /// It is on its node now, durably.
    Bound,
    /// Its node is reserved for it now (`assume`).
    Assumed,
    /// It was on a node before.
    AlreadyBound,
    /// It would go to its node (`dryRun`).
    WouldBind,
    /// It fits nowhere.
    Unschedulable,
    /// It would have gone to its node, but others of the `allOrNothing` request fit nowhere.
    NotAttempted,
    /// It could not be scheduled for another reason.
    #[default]
    Failed,
}

/// One pod and where it goes, or why nowhere.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its result.
    pub result: ScheduleResult,
    /// The node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub node: Option<String>,
    /// The node's scores combined, as in `/explain`. Absent where preemption chose the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub total: Option<i64>,
    /// The level of a decision tree that parted the node from the next best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub decided_by: Option<DecidingLevel>,
    /// Why it is on no node; of a pod that fits nowhere kube-scheduler's own sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
    /// The node on which preemption made room; equals `node`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub nominated_node: Option<String>,
    /// The pods evicted for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub victims: Vec<PodName>,
    /// Where those of its claims get their volumes from that waited for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<ChosenVolume>,
    /// Changes that would help, the cheapest first, each tried. Of several pods with equal demands only the first one has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggestions: Vec<Suggestion>,
    /// The calls of the policy's extenders that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extender_errors: Vec<ExtenderError>,
}

/// The volume or the devices that a claim gets which waited for its pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChosenVolume {
    /// The claim, in the pod's namespace.
    pub claim: String,
    /// The volume; absent where the claim's provisioner is to make one for the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub volume: Option<String>,
    /// The devices, as `driver/pool/device`, of a claim to devices that had none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
}

/// The whole request in numbers.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleSummary {
    /// The revision of the state afterwards, or decided over where nothing was stored; 0 where the cluster came with
    /// the request.
    pub revision: u64,
    /// Bound by this request; with `dryRun` those that would be.
    pub bound: usize,
    /// Given a reservation by this request.
    pub assumed: usize,
    /// On a node before.
    pub already_bound: usize,
    /// Fit nowhere.
    pub unschedulable: usize,
    /// Held back since others of an `allOrNothing` request fit nowhere.
    pub not_attempted: usize,
    /// Not scheduled for another reason.
    pub failed: usize,
    /// Pods evicted.
    pub evicted: usize,
    /// The policy decided under.
    pub policy: PolicyUsed,
    /// The seed that breaks ties.
    pub seed: u64,
    /// `true` if nothing was stored.
    pub dry_run: bool,
    /// The live cluster that the cluster mirrors; absent for one that mirrors none, and where the cluster came with the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub source: Option<SourceRead>,
}

impl ScheduleSummary {
    /// Notes the mirror that was decided on, unless the cluster came with the request.
    pub fn read_from(&mut self, source: Option<SourceRead>) {
        self.source = source.filter(|_| self.revision > 0);
    }
}

/// One line of a report in progress (`Accept: application/x-ndjson`): exactly one of its fields is present.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ScheduleLine {
    /// A pod whose result is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pod: Option<ScheduledPod>,
    /// The last line, if all went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub summary: Option<ScheduleSummary>,
    /// The last line after a failure; earlier lines stay valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error: Option<Status>,
}

impl From<&ClaimChoice> for ChosenVolume {
    fn from(choice: &ClaimChoice) -> Self {
        let (volume, allocation) = match choice {
            ClaimChoice::Bind { volume, .. } => (Some(volume.name.to_string()), None),
            ClaimChoice::Make { .. } => (None, None),
            ClaimChoice::Devices { allocation, .. } => (None, allocation.as_ref()),
        };
        let results = allocation.iter().flat_map(|allocation| &allocation.results);
        let devices = results.map(|result| format!("{}/{}/{}", result.id.driver, result.id.pool, result.id.device));
        let (_, _, claim) = choice.claim();
        Self { claim: claim.to_string(), volume, devices: devices.collect() }
    }
}
