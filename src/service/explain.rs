//! Explaining: the whole decision for one pod, as a matrix of every node by every predicate and priority.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    Service,
    access::sight::Sight,
    compute::compute_long,
    context::Chosen,
    decide::{brought_cluster, decidable, decided_under, sent_pod},
    error::{Error, Result, Subject},
    extenders::{self, RawQuestion, Sent, Stored},
};
use crate::{
    core::{
        cycle,
        extenders::ExtenderAnswers,
        model::{self, Name},
        preempt,
        snapshot::{Kind, Snapshot},
        suggest,
    },
    extenders::Documents,
    live::View,
    wire::{
        asked::{self, TemplateOwner},
        cluster::{Brought, Cluster},
        decode::{self, DecodeError},
        document::Document,
        explanation::{Explanation, PodName, PreemptionExplanation},
        extender_calls::PodDocument,
        objects::pod,
        policy::schema::{PolicyDocument, SchedulerProfile},
        suggestion::Suggestion,
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
    /// The revision of the cluster to decide over, as the query `revision`; the present where absent.
    #[schema(nullable = false)]
    pub revision: Option<u64>,
    /// Show which pods would have to leave for it if it fits nowhere.
    pub preempt: bool,
    /// Suggest the cheapest changes with which it would fit if it fits nowhere. Each was tried on a copy of the cluster.
    pub suggestions: bool,
    /// Breaks ties: equal seeds give equal answers.
    pub seed: u64,
    /// Call the policy's own extenders too, as far as the server's setting `downstream-extenders` allows.
    pub call_extenders: bool,
}

/// The progress of a request without extenders.
pub struct Step {
    reached: Reached,
    /// The pods that the answer may name.
    sight: Sight,
}

enum Reached {
    Answer(Box<Explanation>),
    /// The extenders must be called for the nodes that fit.
    Ask {
        question: Box<Question>,
        fitting: Vec<Name>,
        /// The pod as it was sent; `None` if it was named.
        pod: Option<String>,
        /// Where a cluster was sent: its nodes.
        sent: Option<Sent>,
    },
}

impl Step {
    /// Reads an [`ExplainRequest`] and answers it as far as possible without extenders. `is_there`: `Ok` if the stored cluster exists. `sight`:
    /// the stored pods that the caller may name.
    ///
    /// # Errors
    /// The first fault of the question, or of what it names.
    pub fn first(
        body: &[u8],
        policy: Option<&str>,
        view: &View,
        is_there: Result<()>,
        mut sight: Sight,
    ) -> Result<Self> {
        let wrong = |error: DecodeError| Error::BadRequest(error.to_string());
        let request: ExplainRequest = decode::from_slice(body).map_err(wrong)?;
        if request.cluster.is_none() {
            is_there?;
            if let Some(name) = &request.pod_name {
                let (namespace, name) = PodName::parse(name);
                sight.check(namespace, name)?;
            }
        } else {
            sight = Sight::default();
        }
        let calls = request.call_extenders;
        let question = Question::new(&request, policy, view)?;
        if !calls || question.chosen.profile().extenders.is_empty() {
            let answer = question.answer(&ExtenderAnswers::default());
            return Ok(Self { reached: Reached::Answer(Box::new(answer)), sight });
        }
        let raw: RawQuestion<'_> = decode::from_slice(body).map_err(wrong)?;
        let asked = |pod: &RawValue| asked::pod(pod.get()).map(|pod| pod.json.into_owned());
        let pod = raw.pod.map(asked).transpose().map_err(|causes| Error::invalid("Pod", "", causes))?;
        let sent = raw.cluster.map(Sent::new);
        let fitting = extenders::fitting(question.chosen.profile(), &question.pod, &question.snapshot);
        Ok(Self { reached: Reached::Ask { question: Box::new(question), fitting, pod, sent }, sight })
    }

    /// Calls the extenders, if required, and answers.
    ///
    /// # Errors
    /// If the documents for them cannot be read.
    pub async fn finish(self, service: &Service, cluster: &Arc<str>) -> Result<Explanation> {
        let Self { reached, mut sight } = self;
        let mut explanation = match reached {
            Reached::Answer(explanation) => *explanation,
            Reached::Ask { question, fitting, pod, sent } => {
                with_extenders(service, cluster, (question, fitting, pod, sent)).await?
            }
        };
        mask(&mut explanation, &mut sight);
        Ok(explanation)
    }
}

/// Calls the extenders, and answers.
async fn with_extenders(
    service: &Service,
    cluster: &Arc<str>,
    (question, fitting, pod, sent): (Box<Question>, Vec<Name>, Option<String>, Option<Sent>),
) -> Result<Explanation> {
    let stored = Stored { service: service.clone(), cluster: cluster.clone() };
    let pod = match pod {
        Some(json) => json,
        None => stored_pod(&stored, &question.pod, sent.is_some()).await?,
    };
    let pod = PodDocument::parse(pod.as_bytes()).map_err(|e| Error::BadRequest(format!("pod.{e}")))?;
    let chain = service.extenders.chain(&question.chosen.profile().extenders, question.chosen.origin());
    let documents: &dyn Documents = sent.as_ref().map_or(&stored, |sent| sent);
    let (extenders, failures) = extenders::ask(&chain, &pod, &fitting, documents).await;
    let mut explanation = compute_long(true, move || question.answer(&extenders)).await?;
    explanation.extender_errors = failures.into_iter().map(Into::into).collect();
    Ok(explanation)
}

/// The document of a pod that was named, as if it were not bound.
async fn stored_pod(stored: &Stored, pod: &model::Pod, is_sent: bool) -> Result<String> {
    if is_sent {
        return Err(Error::BadRequest("callExtenders needs the pod itself where the cluster is sent".into()));
    }
    let found = stored.pods(&[(pod.namespace.clone(), pod.name.clone())]).await;
    let found = found.map_err(|message| Error::Unavailable { message, retry_after_seconds: 1 })?;
    let text = found.into_iter().flatten().next();
    let text = text.ok_or_else(|| Error::NotFound(Subject::new("", "pods", &*pod.name)))?;
    let mut document = Document::parse(text.as_bytes()).map_err(Error::internal)?;
    document.set_text_in("spec", "nodeName", "").map_err(Error::internal)?;
    Ok(document.to_json())
}

/// Answers a request over a view, without extenders.
///
/// # Errors
/// The first fault of the question, or of what it names.
pub fn answer(request: &ExplainRequest, policy: Option<&str>, view: &View) -> Result<Explanation> {
    Question::new(request, policy, view).map(|question| question.answer(&ExtenderAnswers::default()))
}

/// The whole decision for a pod on a snapshot.
pub fn explained(chosen: &Chosen, snapshot: &Snapshot, pod: &model::Pod, seed: u64, preempt: bool) -> Explanation {
    let pod = model::Pod { node_name: Name::default(), ..pod.clone() };
    let (chosen, snapshot) = (chosen.clone(), snapshot.clone());
    let question = Question { chosen, snapshot, pod, template: None, bound_to: None, seed, preempt, suggests: false };
    question.answer(&ExtenderAnswers::default())
}

/// Numbers in place of the names of pods that a caller may not know.
pub fn mask(explanation: &mut Explanation, sight: &mut Sight) {
    let candidates = explanation.preemption.iter_mut().flat_map(|preemption| &mut preemption.candidates);
    for victim in candidates.flat_map(|candidate| &mut candidate.victims) {
        sight.mask(&mut victim.namespace, &mut victim.name, Some(&mut victim.uid));
    }
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
    suggests: bool,
}

impl Question {
    fn new(request: &ExplainRequest, policy: Option<&str>, view: &View) -> Result<Self> {
        let chosen = decided_under(request.policy.as_deref(), request.profile.as_deref(), policy, view)?;
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
        let chosen = chosen.pick(&pod.spec.scheduler_name)?;
        let (seed, preempt, suggests) = (request.seed, request.preempt, request.suggestions);
        Ok(Self { chosen, snapshot, pod, template, bound_to, seed, preempt, suggests })
    }

    fn answer(&self, extenders: &ExtenderAnswers) -> Explanation {
        let Self { chosen, snapshot, pod, template, bound_to, seed, preempt, suggests } = self;
        let decision = cycle::decide_with(chosen.profile(), pod, snapshot, *seed, extenders);
        let preemption = preempt.then(|| {
            let attempt = preempt::attempt(chosen.profile(), pod, snapshot, *seed);
            PreemptionExplanation::new(&attempt, snapshot)
        });
        let suggestions = if *suggests && decision.selected.is_none() {
            suggest::suggest(chosen.profile(), pod, snapshot, 1)
        } else {
            Vec::new()
        };
        let explanation = Explanation {
            preemption,
            suggestions: suggestions.iter().map(Suggestion::from).collect(),
            template: template.clone(),
            ..Explanation::new(pod, &decision, chosen.used(), snapshot.revision, *seed)
        };
        match bound_to {
            Some(node) => explanation.of_bound(node),
            None => explanation,
        }
    }
}

/// The pod of the request, and the owner of its template.
fn asked_pod(
    sent: Option<&RawValue>,
    name: Option<&str>,
    snapshot: &Snapshot,
) -> Result<(model::Pod, Option<TemplateOwner>)> {
    match (sent, name) {
        (Some(_), Some(_)) => Err(Error::BadRequest("pod and podName exclude each other".into())),
        (Some(sent), None) => sent_pod(sent, "pod", snapshot),
        (None, Some(name)) => {
            let (namespace, name) = PodName::parse(name);
            let stored = snapshot.pod(namespace, name);
            // Who left the namespace out is told where it was looked for.
            let missing = || Error::NotFound(Subject::new("", "pods", format!("{namespace}/{name}")));
            let stored = stored.ok_or_else(missing)?;
            Ok(((**stored).clone(), None))
        }
        (None, None) => Err(Error::BadRequest("either pod or podName is needed".into())),
    }
}
