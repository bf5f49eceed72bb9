//! A commit over several clusters: all or nothing.
//!
//! No transaction spans two clusters. So the pods of each cluster are made with a reservation of their nodes, by one commit of that cluster, as `/schedule` does with `assume` and
//! `allOrNothing`. When all clusters have them, they stay so (`reserve`), or are bound (`bind`). If one has not, all are taken back. A reservation of a server that
//! dies half-way ends with its time.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde_json::{Value, value::RawValue};
use uuid::Uuid;

use super::own::{Answer, Question, Template};
use crate::{
    core::access::ResourceAttributes,
    service::{
        Service,
        access::{Caller, sight::Sight},
        compute::compute_long,
        context::{self, Fresh},
        error::{Error, Result, Subject},
        objects::kind_of_pods,
        schedule::{self, Answers},
    },
    store::{Atomicity, Call, Change, Key, Precondition, Write},
    wire::{
        decision::{AskedBy, CallKind},
        federation::{request::Commit, template},
        reservation,
        schedule::{ScheduleRequest, ScheduleResult, ScheduledPod},
    },
};

/// Clusters that are written to at a time.
const AT_ONCE: usize = 8;

/// Seconds within which all clusters have to answer before pods are bound.
const WITHIN: u32 = 60;

/// The pods of one cluster.
struct Part {
    cluster: Arc<str>,
    pods: Vec<Box<RawValue>>,
    /// As `namespace/name`.
    names: Vec<String>,
}

/// The way in which an answer is committed.
#[derive(Clone, Copy)]
pub(super) struct Order {
    pub(super) commit: Commit,
    /// For how long the nodes are reserved, unless pods are bound.
    pub(super) seconds: u32,
    pub(super) seed: u64,
}

/// The result of a commit.
pub(super) struct Done {
    /// The label of its pods.
    pub(super) placement: String,
    /// The pods of each cluster, with their nodes.
    pub(super) pods: Pods,
}

type Pods = Vec<(Arc<str>, Vec<ScheduledPod>)>;

/// Commits an answer.
///
/// # Errors
/// [`Error::Conflict`] if others were first: it is to be worked out anew. Errors of rights, those of the store.
pub(super) async fn commit(
    service: &Service,
    who: (&Caller, &AskedBy),
    order: Order,
    question: Arc<Question>,
    answer: Arc<Answer>,
) -> Result<Done> {
    let mut placement = Uuid::new_v4().simple().to_string();
    placement.truncate(8);
    let (of, label) = (question.clone(), placement.clone());
    let parts = compute_long(true, move || parts(&of, &answer, &label)).await??;
    let seconds = if order.commit == Commit::Bind { WITHIN } else { order.seconds };
    let reserve =
        |part: &Part| ScheduleRequest { pods: Some(part.pods.clone()), assume: Some(seconds), ..asked(order) };
    let reserved = each(service, who, question.policy(), &parts, reserve).await;
    let mut done = settled(reserved, ScheduleResult::Assumed);
    if done.is_ok() && order.commit == Commit::Bind {
        let bind = |part: &Part| ScheduleRequest { pod_names: Some(part.names.clone()), ..asked(order) };
        done = settled(each(service, who, question.policy(), &parts, bind).await, ScheduleResult::Bound);
    }
    if done.is_err() {
        release(service, &parts).await;
    }
    Ok(Done { placement, pods: done? })
}

fn asked(order: Order) -> ScheduleRequest {
    ScheduleRequest {
        all_or_nothing: true,
        preempt: Some(false),
        suggestions: Some(false),
        seed: order.seed,
        ..ScheduleRequest::default()
    }
}

/// The new pods of each cluster, under names that no other placement has, and no other cluster of this one: a pod may move to any of them.
fn parts(question: &Question, answer: &Answer, placement: &str) -> Result<Vec<Part>> {
    let templates: Vec<(Value, &Template)> = question
        .templates()
        .iter()
        .map(|of| Ok((serde_json::from_str(of.json.get()).map_err(Error::internal)?, of)))
        .collect::<Result<_>>()?;
    let (mut parts, mut number) = (Vec::new(), 0_usize);
    for share in &answer.outcome.shares {
        let new = answer.new_replicas(&share.cluster, share.replicas);
        let mut part = Part { cluster: share.cluster.clone(), pods: Vec::new(), names: Vec::new() };
        for (template, of) in (0..new).flat_map(|_| &templates) {
            for _ in 0..of.count {
                number += 1;
                let (pod, name) = template::numbered(template, placement, number)
                    .map_err(|error| Error::BadRequest(format!("{}: {error}", of.at)))?;
                part.pods.push(pod);
                part.names.push(name);
            }
        }
        if !part.pods.is_empty() {
            parts.push(part);
        }
    }
    Ok(parts)
}

/// Carries a request out in each cluster.
async fn each(
    service: &Service,
    who: (&Caller, &AskedBy),
    policy: Option<&str>,
    parts: &[Part],
    request: impl Fn(&Part) -> ScheduleRequest,
) -> Vec<Result<(Arc<str>, Vec<ScheduledPod>)>> {
    let runs = parts.iter().map(|part| (part.cluster.clone(), request(part)));
    let runs: Vec<_> = runs.collect();
    let run = |(cluster, request): (Arc<str>, ScheduleRequest)| async move {
        let pods = scheduled(service, who, policy, &cluster, request).await?;
        Ok::<_, Error>((cluster, pods))
    };
    stream::iter(runs.into_iter().map(run)).buffered(AT_ONCE).collect().await
}

/// One request to schedule in one cluster. Its decisions are recorded there.
async fn scheduled(
    service: &Service,
    (caller, by): (&Caller, &AskedBy),
    policy: Option<&str>,
    cluster: &Arc<str>,
    request: ScheduleRequest,
) -> Result<Vec<ScheduledPod>> {
    let context = context::take(service, cluster, Fresh::default()).await?;
    context.may_decide()?;
    let sight = Sight::of(caller, service, cluster).await?;
    let call = (CallKind::Placement, context.epoch);
    let (view, own, named, policy) = (context.view, service.clone(), cluster.clone(), policy.map(str::to_owned));
    let prepared = move || schedule::prepare(&request, b"{}", policy.as_deref(), own, named, &view, sight);
    let runs = compute_long(true, prepared).await??.recorded(call, by, None);
    for namespace in &runs.binds_in {
        caller.check_bind(service, cluster, namespace, "").await?;
    }
    for namespace in &runs.creates_in {
        let create = ResourceAttributes::new("create", "", "pods").within(namespace);
        caller.check(service, cluster, create).await?;
    }
    runs.check_limits(service, cluster).await?;
    let mut answers = Answers::collected();
    Box::pin(runs.run(&mut answers)).await?;
    Ok(answers.into_pods())
}

/// The pods of all clusters, if all have the wanted result.
///
/// # Errors
/// The first one of any cluster; a conflict where a pod has another result.
fn settled(results: Vec<Result<(Arc<str>, Vec<ScheduledPod>)>>, wanted: ScheduleResult) -> Result<Pods> {
    let done = results.into_iter().collect::<Result<Pods>>()?;
    let other = done.iter().find_map(|(cluster, pods)| Some((cluster, pods.iter().find(|pod| pod.result != wanted)?)));
    let Some((cluster, pod)) = other else { return Ok(done) };
    let why = pod.message.as_deref().unwrap_or("others were first");
    let message = format!("the replicas do not fit in the cluster {:?} any more: {why}", &**cluster);
    Err(Error::Conflict { subject: Subject::new("podberth.io", "placements", ""), message })
}

/// Takes back what was made of an attempt.
async fn release(service: &Service, parts: &[Part]) {
    let Ok(pods) = kind_of_pods() else { return };
    for part in parts {
        let keys = part.names.iter().filter_map(|name| name.split_once('/')).flat_map(|(namespace, name)| {
            [Key::new(pods.key(), namespace, name), Key::new(reservation::KIND, namespace, name)]
        });
        let delete = |key| Write { key, precondition: Precondition::exists(), change: Change::Delete };
        let call = Call { writes: keys.map(delete).collect(), atomicity: Atomicity::Each };
        if let Err(error) = service.clusters.commit(&part.cluster, call, None).await {
            tracing::error!(cluster = &*part.cluster, %error, "pods of a placement that came to nothing cannot be deleted; their reservations end by themselves");
        }
    }
}
