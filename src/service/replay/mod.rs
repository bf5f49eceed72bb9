//! Recorded decisions made again: each at its revision, under its policy and seed, with the pods that were placed before it in its batch.
//!
//! Batches are taken newest first, since views of the past are made by going back; the decisions of one in their order, since each sees those before
//! it. A request ends after a while, and its reply tells where the next one goes on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use self::{
    compared::{Replayed, compared_call, masked_fields},
    reader::{Read, Reader, Wanted, after},
    walk::{Visit, Walk, through},
};
use super::{
    Service,
    access::sight::Sight,
    compute::compute_long,
    context::{DecisionContext, Fresh, take},
    decisions::{self, Answered, masked},
    error::{Error, Result, Subject},
    explain::{explained, mask},
    filter, prioritize,
};
use crate::core::summary::summarize;
use crate::store::EntryId;
use crate::wire::decision::{CallKind, Decision, DecisionOutcome, ReplayReport, ReplayRequest};
use crate::wire::explanation::Explanation;
use crate::wire::policy::revision::DEFAULT;

pub use bundle::bundle;

mod bundle;
mod compared;
mod head;
mod reader;
mod renamed;
pub mod states;
mod walk;

/// Decisions that a request names.
const MOST_NAMED: usize = 10_000;

/// Bytes of the records in a reply.
const MOST_BYTES: usize = 8 << 20;

/// The time after which a request goes no further: long before that of a request is over.
const AT_MOST: Duration = Duration::from_secs(10);

/// Decisions that are made again for a request.
struct Replaying {
    report: ReplayReport,
    sight: Sight,
    /// The present context, for calls of `/filter` and `/prioritize`.
    asked: DecisionContext,
    /// The number that may still be made again.
    left: usize,
    until: Instant,
    /// Of the records in the report.
    bytes: usize,
    last: Option<EntryId>,
}

/// Makes recorded decisions of a cluster again. `sight`: the pods that the caller may name.
///
/// # Errors
/// [`Error::BadRequest`], those of the store, and those that stop it.
pub async fn replay(
    service: &Service,
    cluster: &Arc<str>,
    request: &ReplayRequest,
    sight: Sight,
) -> Result<ReplayReport> {
    let since = request.since.as_deref().map(str::parse::<Timestamp>).transpose();
    let since = since.map_err(|_| {
        let text = request.since.as_deref().unwrap_or_default();
        Error::BadRequest(format!("since: {text:?} is no RFC 3339 instant"))
    })?;
    if usize::from(request.decisions.is_some()) + usize::from(since.is_some()) + usize::from(request.all) != 1 {
        return Err(Error::BadRequest("one of decisions, since and all (true) is needed".into()));
    }
    let after = after(request.after.as_deref())?;
    let mut report = ReplayReport::default();
    let wanted = match &request.decisions {
        Some(ids) => Wanted::Named(named(ids, after.is_none(), &mut report)?),
        None => Wanted::Since(since),
    };
    if after.is_none() {
        service.decisions.flush().await;
    }
    let mut replaying = Replaying {
        report,
        sight,
        asked: take(service, cluster, Fresh::default()).await?,
        left: request.limit.filter(|_| request.decisions.is_none()).unwrap_or(usize::MAX).max(1),
        until: Instant::now() + AT_MOST,
        bytes: 0,
        last: None,
    };
    let mut reader = Reader::new(cluster, wanted, after);
    let mut walk = None;
    // Requests wait their turn, and are refused where too many do.
    compute_long(false, || ()).await?;
    while let Some(reads) = reader.next(service).await? {
        let rest;
        (walk, replaying, rest) = Box::pin(through(service, cluster, walk, reads, replaying)).await?;
        if rest > 0 {
            replaying.report.next = replaying.last.map(|id| id.to_string());
            break;
        }
    }
    Ok(replaying.report)
}

/// The ids of a request. Texts that are none are skipped, and counted once.
fn named(texts: &[String], is_first: bool, report: &mut ReplayReport) -> Result<Vec<EntryId>> {
    if texts.len() > MOST_NAMED {
        let count = texts.len();
        return Err(Error::BadRequest(format!(
            "decisions: {count} ids are more than {MOST_NAMED}: ask in parts, or by since"
        )));
    }
    let mut ids = Vec::with_capacity(texts.len());
    for text in texts {
        match text.parse() {
            Ok(id) => ids.push(id),
            Err(_) if is_first => report.skip(text.clone(), "there is no such decision, or not any more".into()),
            Err(_) => {}
        }
    }
    Ok(ids)
}

impl Visit for Replaying {
    fn goes_on(&mut self) -> bool {
        self.left > 0 && (self.last.is_none() || Instant::now() < self.until)
    }

    fn visit(&mut self, walk: &mut Walk, read: Read) {
        self.left -= 1;
        self.last = Some(read.id);
        let decision = match read.decision {
            Ok(decision) => decision,
            Err(why) => return self.report.skip(read.id.to_string(), why.into()),
        };
        match self.again(walk, &decision) {
            Replayed::Identical => self.report.is_identical(),
            Replayed::Skipped(why) => self.report.skip(decision.id, why),
            Replayed::Different { fields, namespaces } => {
                let fields = masked_fields(&decision, fields, &namespaces, &mut self.sight);
                self.bytes = self.bytes.saturating_add(read.bytes);
                if self.bytes > MOST_BYTES && !self.report.different.is_empty() {
                    self.report.differs_too();
                } else {
                    self.report.differs(masked(decision, &mut self.sight), fields);
                }
            }
        }
    }
}

impl Replaying {
    /// Makes a decision again, and passes it.
    fn again(&self, walk: &mut Walk, decision: &Decision) -> Replayed {
        let answer = match (decision.call, walk.stands_at(decision)) {
            (_, Err(why)) => Replayed::Skipped(why),
            (CallKind::Bind, Ok(head)) => head.bind_again(decision),
            (CallKind::Autoscale | CallKind::Hpa | CallKind::Reschedule, Ok(_)) => {
                Replayed::Skipped("it is an action of a loop and no placement".into())
            }
            (CallKind::Filter | CallKind::Prioritize, Ok(head)) => {
                call_again(self.asked.clone().of_the_past(head.view.clone()), decision)
            }
            (CallKind::Schedule | CallKind::Loop | CallKind::Placement, Ok(_)) => match walk.come_to(decision) {
                Ok((pod, is_sent)) => return walk.decide(decision, &pod, is_sent),
                Err(why) => Replayed::Skipped(why),
            },
        };
        if let Replayed::Skipped(why) = &answer {
            walk.pass(decision.clone(), Err(why.clone()));
        }
        answer
    }
}

/// Explains a recorded decision: every node by every predicate and priority, on the state on which it was made. `sight`: the pods that the caller may
/// name.
///
/// # Errors
/// [`Error::Expired`] with the reason if the state is not kept, [`Error::NotFound`], and those of the store.
pub async fn explain(service: &Service, cluster: &Arc<str>, id: &str, mut sight: Sight) -> Result<Explanation> {
    let decision = decisions::get(service, cluster, id).await?;
    if !sight.knows(&decision.pod.namespace.as_str().into()) {
        let subject = Subject::new("podberth.io", "decisions", id);
        let message = format!("decisions.podberth.io {id:?} is forbidden: it is about a pod that you may not list");
        return Err(Error::Denied { subject, message });
    }
    let gone = |why: String| Error::Expired(format!("the decision {id} cannot be explained: {why}"));
    let mut walk = Box::pin(Walk::to(service, cluster, &decision, false)).await?;
    let explain = move || {
        let (pod, _) = walk.come_to(&decision)?;
        let snapshot = walk.snapshot();
        let Some(head) = walk.head() else { return Err("the state is not known".to_owned()) };
        let is_nowhere = decision.outcome == DecisionOutcome::Unschedulable || !decision.victims.is_empty();
        let preempt = decision.preempt && is_nowhere;
        Ok(explained(&head.chosen, &snapshot, &pod, decision.seed, preempt))
    };
    let mut explanation = compute_long(false, explain).await?.map_err(gone)?;
    mask(&mut explanation, &mut sight);
    Ok(explanation)
}

/// Completes a record with why nodes were ruled out and the best nodes, if the state on which it was made is kept.
///
/// # Errors
/// Those of the store.
pub async fn completed(service: &Service, cluster: &Arc<str>, decision: Decision) -> Result<Decision> {
    if decision.verdicts.is_some() || decision.digest.is_some() || !decision.call.is_choice() {
        return Ok(decision);
    }
    let mut walk = Box::pin(Walk::to(service, cluster, &decision, false)).await?;
    let complete = move || {
        let mut decision = decision;
        if let Ok((pod, _)) = walk.come_to(&decision) {
            let snapshot = walk.snapshot();
            if let Some(head) = walk.head() {
                let summary = summarize(head.chosen.profile(), &pod, &snapshot, decision.seed, decisions::BEST);
                decisions::summarized(&mut decision, &summary);
            }
        }
        decision
    };
    compute_long(false, complete).await
}

/// Answers a call of `/filter` or `/prioritize` again.
fn call_again(mut asked: DecisionContext, decision: &Decision) -> Replayed {
    asked.in_flight = Arc::default();
    let all = || asked.view.snapshot.nodes().map(|node| node.name().to_string()).collect();
    let names: Vec<String> = decision.candidates.clone().unwrap_or_else(all);
    let body = serde_json::json!({"Pod": decision.pod.body, "NodeNames": names}).to_string().into();
    let policy = Some(&*decision.policy.name).filter(|name| *name != DEFAULT);
    let answer = match decision.call {
        CallKind::Filter => filter::filter(&body, policy, &asked),
        _ => prioritize::prioritize(&body, policy, &asked),
    };
    match answer.body.ok().and_then(|body| Answered::parse(decision.call, body)) {
        Some(answered) => compared_call(decision, &answered),
        None => Replayed::Skipped("there is no answer to it now".into()),
    }
}
