//! `/explain`: the whole decision for one pod, as a matrix of every node by every predicate and priority.

use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    cluster::ClusterName,
    context::{self, Chosen, FreshnessQuery, PolicyQuery},
    error::{ApiError, Result, Subject},
    extenders::{self, RawQuestion, Sent, Stored},
    extract::{JsonBytes, Query},
    openapi::DecisionErrors,
    state::AppState,
    warning::{self, FieldValidationQuery, warn},
};
use crate::{
    cluster::View,
    core::{
        cycle,
        extenders::ExtenderAnswers,
        model::{self, Name},
        policy::{Faults, Profiles},
        preempt,
        snapshot::{Kind, Snapshot},
    },
    extenders::Documents,
    wire::{
        asked::{self, AskedPod, TemplateOwner},
        cluster::{Brought, Cluster},
        decode::{self, DecodeError},
        defaults,
        document::Document,
        explanation::{Explanation, PreemptionExplanation},
        extender_calls::PodDocument,
        fault::{Cause, TOO_MANY},
        objects::pod,
        policy::{
            self,
            schema::{PolicyDocument, SchedulerProfile},
        },
        status::StatusCause,
        table,
        validation::fields::Examined,
    },
};

/// A question: this pod, under this policy, on this cluster. Everything but the pod has a default.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ExplainRequest {
    /// The pod, in full; or a Deployment, ReplicaSet, StatefulSet, DaemonSet, ReplicationController, Job, CronJob or
    /// PodTemplate, whose template's pod is meant.
    #[schema(nullable = false, value_type = pod::Pod)]
    pub pod: Option<Box<RawValue>>,
    /// Instead of `pod`: a stored one, as `namespace/name` or, in the namespace `default`, `name`.
    #[schema(nullable = false, example = "default/web")]
    pub pod_name: Option<String>,
    /// A `kind: Policy` (or a KubeSchedulerConfiguration v1) to decide under instead of the one in force.
    #[schema(nullable = false, value_type = PolicyDocument)]
    pub policy: Option<Box<RawValue>>,
    /// Instead of `policy`: a KubeSchedulerConfiguration v1, or one profile of it.
    #[schema(nullable = false, value_type = SchedulerProfile)]
    pub profile: Option<Box<RawValue>>,
    /// The cluster to decide over instead of the stored one. Nothing of it is stored.
    #[schema(nullable = false, value_type = Cluster)]
    pub cluster: Option<Brought>,
    /// Whether to say which pods would have to leave for it where it fits nowhere.
    pub preempt: bool,
    /// Breaks ties: the same seed, the same answer.
    pub seed: u64,
    /// Whether the policy's own extenders are asked too, as the server's setting `downstream-extenders` allows.
    pub call_extenders: bool,
}

/// Why each node can or cannot take a pod, and which is best
///
/// The whole decision: every node by every predicate (verdict and reasons) and every priority (score and weight), the
/// totals, the ranks, the node chosen and kube-scheduler's own message; over the stored cluster, or over one that comes
/// with the request. Of nodes with equal totals the one with the lower hash of seed, pod and node name ranks first, so
/// the same question always has the same answer. Under a decision tree (`scoring.strategy: Lexicographic`) it names the
/// level that decided, and for each node the one at which it fell behind the best. With `preempt` it also tells which pods
/// kube-scheduler would evict, and where, to make room; nothing is evicted.
///
/// A stored pod that runs already is asked about as if it waited: `boundTo` tells where it is, and whether that is still the
/// best. Of several profiles the one that the pod's `schedulerName` names decides. Unknown keys of the request are refused,
/// those of objects in it are told in `Warning` headers.
///
/// With `callExtenders` the policy's extenders are asked about the nodes that fit: a node that one rules out has its verdict,
/// and their scores count. Where one that is not `ignorable` does not answer, no node is selected and `message` says why.
///
/// With `Accept: text/plain` the reply is a table for people.
#[utoipa::path(post, path = "/explain", operation_id = "explainPod", tag = "decisions", params(PolicyQuery, FreshnessQuery, FieldValidationQuery),
    request_body(content = ExplainRequest, example = json!({
        "pod": {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}},
        "cluster": {"nodes": [{"metadata": {"name": "node-a"}, "status": {"allocatable": {"cpu": "4", "pods": "110"}}}]}
    })),
    responses((status = 200, description = "The decision, with everything that led to it.", body = Explanation),
        DecisionErrors))]
pub async fn explain(
    State(state): State<AppState>,
    cluster: ClusterName,
    Query(query): Query<PolicyQuery>,
    Query(fresh): Query<FreshnessQuery>,
    accepted: HeaderMap,
    Query(fields): Query<FieldValidationQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let (mode, size) = (fields.parse()?, body.len());
    let context = context::stand(&state, &cluster, &fresh).await?;
    let (headers, is_there, view) = (context.headers(), context.is_there(), context.view);
    let first = move || -> Result<(Step, Vec<String>)> {
        let Examined { json, odd, .. } =
            warning::examined("ExplainRequest", "the request cannot be read", &body, mode)?;
        Ok((Step::first(&json, &query, &view, is_there)?, odd))
    };
    let (step, odd) = context::compute_on(size, first).await??;
    let explanation = match step {
        Step::Answer(explanation) => *explanation,
        Step::Ask { question, fitting, pod, sent } => {
            let stored = Stored { state: state.clone(), cluster: cluster.0 };
            let pod = match pod {
                Some(json) => json,
                None => stored_pod(&stored, &question.pod, sent.is_some()).await?,
            };
            let pod = PodDocument::parse(pod.as_bytes()).map_err(|e| ApiError::BadRequest(format!("pod.{e}")))?;
            let chain = state.extenders.chain(&question.chosen.profile().extenders, question.chosen.origin());
            let documents: &dyn Documents = sent.as_ref().map_or(&stored, |sent| sent);
            let (extenders, failures) = extenders::ask(&chain, &pod, &fitting, documents).await;
            let mut explanation = context::compute(move || question.answer(&extenders)).await?;
            explanation.extender_errors = failures.into_iter().map(Into::into).collect();
            explanation
        }
    };
    if wants_text(&accepted) {
        let warnings = odd.iter().map(|odd| format!("\nwarning: {odd}")).collect::<Vec<_>>().concat();
        let text = context::compute(move || table::render(&explanation, table::WIDTH)).await? + &warnings;
        return Ok(warn((headers, text).into_response(), &odd));
    }
    Ok(warn((headers, context::written(explanation).await?).into_response(), &odd))
}

/// Whether a client asks for plain text before JSON: people with curl.
fn wants_text(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').next().is_some_and(|first| first.trim().starts_with("text/plain"))
}

/// How far a question gets without anybody else.
enum Step {
    Answer(Box<Explanation>),
    /// The extenders are to be asked about the nodes that fit.
    Ask {
        question: Box<Question>,
        fitting: Vec<Name>,
        /// As it was sent; `None` where it was asked about by name.
        pod: Option<String>,
        /// Where a cluster was sent: its nodes.
        sent: Option<Sent>,
    },
}

impl Step {
    /// `is_there`: whether the stored cluster is.
    fn first(body: &[u8], query: &PolicyQuery, view: &View, is_there: Result<()>) -> Result<Self> {
        let wrong = |error: DecodeError| ApiError::BadRequest(error.to_string());
        let request: ExplainRequest = decode::from_slice(body).map_err(wrong)?;
        if request.cluster.is_none() {
            is_there?;
        }
        let calls = request.call_extenders;
        let question = Question::new(&request, query, view)?;
        if !calls || question.chosen.profile().extenders.is_empty() {
            return Ok(Self::Answer(Box::new(question.answer(&ExtenderAnswers::default()))));
        }
        let raw: RawQuestion<'_> = decode::from_slice(body).map_err(wrong)?;
        let asked = |pod: &RawValue| asked::pod(pod.get()).map(|pod| pod.json.into_owned());
        let pod = raw.pod.map(asked).transpose().map_err(|causes| invalid("Pod", "", causes))?;
        let sent = raw.cluster.map(Sent::new);
        Ok(Self::Ask {
            fitting: extenders::fitting(question.chosen.profile(), &question.pod, &question.snapshot),
            question: Box::new(question),
            pod,
            sent,
        })
    }
}

/// The document of a pod that was asked about by name, as if it were not bound.
async fn stored_pod(stored: &Stored, pod: &model::Pod, is_sent: bool) -> Result<String> {
    if is_sent {
        return Err(ApiError::BadRequest("callExtenders needs the pod itself where the cluster is sent".into()));
    }
    let found = stored.pods(&[(pod.namespace.clone(), pod.name.clone())]).await;
    let found = found.map_err(|message| ApiError::Unavailable { message, retry_after_seconds: 1 })?;
    let text = found.into_iter().flatten().next();
    let text = text.ok_or_else(|| ApiError::NotFound(Subject::new("", "pods", &*pod.name)))?;
    let mut document = Document::parse(text.as_bytes()).map_err(ApiError::internal)?;
    document.set_text_in("spec", "nodeName", "").map_err(ApiError::internal)?;
    Ok(document.to_json())
}

/// Answers a question over a view, without asking any extender.
pub fn answer(request: &ExplainRequest, query: &PolicyQuery, view: &View) -> Result<Explanation> {
    Question::new(request, query, view).map(|question| question.answer(&ExtenderAnswers::default()))
}

/// A question that is understood.
struct Question {
    chosen: Chosen,
    snapshot: Snapshot,
    pod: model::Pod,
    template: Option<TemplateOwner>,
    /// The node that it is on already.
    bound_to: Option<Name>,
    seed: u64,
    preempt: bool,
}

impl Question {
    fn new(request: &ExplainRequest, query: &PolicyQuery, view: &View) -> Result<Self> {
        let chosen = decided_under(request.policy.as_deref(), request.profile.as_deref(), query, view)?;
        let brought = request.cluster.as_ref().map(brought_cluster).transpose()?;
        let is_brought = brought.is_some();
        let mut snapshot = brought.unwrap_or_else(|| view.snapshot.clone());
        let (pod, template) = asked_pod(request.pod.as_deref(), request.pod_name.as_deref(), &snapshot)?;
        let mut bound_to = None;
        if request.pod_name.is_some() && pod.is_assigned() {
            // A reserved node is none that it is on.
            let told = if is_brought { Some(&*pod.node_name) } else { view.bound_to(&pod.namespace, &pod.name) };
            bound_to = told.map(Name::from);
            snapshot.delete(Kind::Pod, &pod.namespace, &pod.name);
        }
        // A stored one is asked about as if it waited.
        let node_name = if request.pod_name.is_some() { Name::default() } else { pod.node_name.clone() };
        let pod = model::Pod { node_name, ..pod };
        decidable(&pod)?;
        let chosen = chosen.pick(&pod.scheduler_name)?;
        let (seed, preempt) = (request.seed, request.preempt);
        Ok(Self { chosen, snapshot, pod, template, bound_to, seed, preempt })
    }

    fn answer(&self, extenders: &ExtenderAnswers) -> Explanation {
        let Self { chosen, snapshot, pod, template, bound_to, seed, preempt } = self;
        let decision = cycle::decide_with(chosen.profile(), pod, snapshot, *seed, extenders);
        let preemption = preempt.then(|| {
            let attempt = preempt::attempt(chosen.profile(), pod, snapshot, *seed);
            PreemptionExplanation::new(&attempt, snapshot)
        });
        let explanation = Explanation {
            preemption,
            template: template.clone(),
            ..Explanation::new(pod, &decision, chosen.used(), snapshot.revision, *seed)
        };
        match bound_to {
            Some(node) => explanation.of_bound(node),
            None => explanation,
        }
    }
}

/// The policy or profile that came with a request, else the one that its query names, else the one in force.
pub fn decided_under(
    policy: Option<&RawValue>,
    profile: Option<&RawValue>,
    query: &PolicyQuery,
    view: &View,
) -> Result<Chosen> {
    match (policy, profile) {
        (Some(_), Some(_)) => Err(ApiError::BadRequest("policy and profile exclude each other".into())),
        (Some(text), None) => brought(policy::parse(text.get()).and_then(|d| d.compile_all()), "Policy"),
        (None, Some(text)) => {
            let compiled = policy::parse_configuration(text.get()).and_then(|c| c.compile_all());
            brought(compiled, "KubeSchedulerConfiguration")
        }
        (None, None) => context::chosen(view, query),
    }
}

/// A cluster that came with a request.
pub fn brought_cluster(Brought(cluster): &Brought) -> Result<Snapshot> {
    cluster.to_snapshot().map_err(|causes| invalid("Cluster", "", causes))
}

/// A policy that came with the request.
fn brought(compiled: std::result::Result<Profiles, Faults>, kind: &str) -> Result<Chosen> {
    compiled.map(Chosen::Request).map_err(|faults| refused(kind, "", faults))
}

/// The error that tells a policy's faults.
pub fn refused(kind: &str, name: &str, faults: Faults) -> ApiError {
    let cause = |fault: crate::core::policy::Fault| StatusCause {
        reason: "FieldValueInvalid".into(),
        message: fault.message,
        field: fault.field,
    };
    ApiError::Invalid { subject: Subject::new("", kind, name), causes: faults.0.into_iter().map(cause).collect() }
}

/// The error that tells what is wrong with an object.
pub fn invalid(kind: &str, name: &str, causes: Vec<Cause>) -> ApiError {
    ApiError::Invalid { subject: Subject::new("", kind, name), causes: causes.into_iter().map(Into::into).collect() }
}

/// Whether a pod asks for no more than is decided on.
///
/// # Errors
/// What is too much, and the limit.
pub fn decidable(pod: &model::Pod) -> Result<()> {
    let Some(excess) = &pod.excess else { return Ok(()) };
    let (field, message) = excess.split_once(": ").unwrap_or(("spec", excess));
    let (field, reason) = (field.into(), TOO_MANY.into());
    Err(invalid("Pod", &pod.name, vec![Cause { field, reason, message: message.into(), unreadable: false }]))
}

/// The pod asked about, and whose template it was made of.
fn asked_pod(
    sent: Option<&RawValue>,
    name: Option<&str>,
    snapshot: &Snapshot,
) -> Result<(model::Pod, Option<TemplateOwner>)> {
    match (sent, name) {
        (Some(_), Some(_)) => Err(ApiError::BadRequest("pod and podName exclude each other".into())),
        (Some(sent), None) => {
            let AskedPod { json, template } = asked::pod(sent.get()).map_err(|causes| invalid("Pod", "", causes))?;
            let mut sent: pod::Pod = decode::from_slice(json.as_bytes())
                .map_err(|error| ApiError::BadRequest(error.without_place().within("pod").to_string()))?;
            defaults::ask(&mut sent.spec, snapshot);
            let mut pod = sent.to_core().bounded().map_err(|causes| invalid("Pod", &sent.metadata.name, causes))?;
            defaults::fill_new(&mut pod, snapshot);
            Ok((pod, template))
        }
        (None, Some(name)) => {
            let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
            let stored = snapshot.pod(namespace, name);
            let stored = stored.ok_or_else(|| ApiError::NotFound(Subject::new("", "pods", name)))?;
            Ok(((**stored).clone(), None))
        }
        (None, None) => Err(ApiError::BadRequest("either pod or podName is needed".into())),
    }
}
