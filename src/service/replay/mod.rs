//! Recorded decisions made again: each at its revision, under its policy and seed, with the pods that were placed before it in its batch.
//!
//! Decisions are taken newest first, since views of the past are made by going back; those of a batch in their order, since each sees those before it.

use std::sync::Arc;

use jiff::Timestamp;

use self::state::{Context, Working};
use super::{
    Service,
    access::sight::Sight,
    compute::compute_long,
    context::{Fresh, take},
    decisions::{self, Answered, Asked, Said, effects, masked},
    error::{Error, Result, Subject},
    explain::{explained, mask},
    filter, prioritize,
    schedule::Again,
};
use crate::core::summary::summarize;
use crate::wire::decision::{CallKind, Decision, DecisionOutcome, ReplayReport, ReplayRequest, ReplayedField};
use crate::wire::explanation::Explanation;
use crate::wire::policy::revision::DEFAULT;

pub use bundle::bundle;

mod bundle;
mod renamed;
mod state;
pub mod states;

/// Decisions that a request names.
const MOST_NAMED: usize = 10_000;

/// Read at a time.
const AT_ONCE: usize = 500;

/// The answer of making a decision again.
enum Replayed {
    Identical,
    Different(Vec<ReplayedField>),
    Skipped(String),
}

/// Makes recorded decisions of a cluster again. `sight`: the pods that the caller may name.
///
/// # Errors
/// [`Error::BadRequest`], those of the store, and those that stop it.
pub async fn replay(
    service: &Service,
    cluster: &Arc<str>,
    request: &ReplayRequest,
    mut sight: Sight,
) -> Result<ReplayReport> {
    let since = request.since.as_deref().map(str::parse::<Timestamp>).transpose();
    let since = since.map_err(|_| Error::BadRequest(format!("since: {:?} is no RFC 3339 instant", request.since)))?;
    if usize::from(request.decisions.is_some()) + usize::from(since.is_some()) + usize::from(request.all) != 1 {
        return Err(Error::BadRequest("one of decisions, since and all (true) is needed".into()));
    }
    let mut report = ReplayReport::default();
    if let Some(ids) = &request.decisions {
        let found = named(service, cluster, ids, &mut report).await?;
        several(service, cluster, found, &mut report, &mut sight).await?;
        return Ok(report);
    }
    let most = request.limit.unwrap_or(usize::MAX).max(1);
    let mut asked = Asked { since, limit: Some(AT_ONCE.min(most)), after: request.after.clone(), ..Asked::default() };
    loop {
        let page = decisions::list(service, cluster, &asked).await?;
        several(service, cluster, page.items, &mut report, &mut sight).await?;
        asked.after = page.next;
        if asked.after.is_none() {
            return Ok(report);
        }
        if report.total >= most {
            report.next = asked.after;
            return Ok(report);
        }
    }
}

/// The decisions of these ids, the newest first. Those that are not recorded are skipped.
async fn named(
    service: &Service,
    cluster: &Arc<str>,
    ids: &[String],
    report: &mut ReplayReport,
) -> Result<Vec<Decision>> {
    if ids.len() > MOST_NAMED {
        let count = ids.len();
        return Err(Error::BadRequest(format!(
            "decisions: {count} ids are more than {MOST_NAMED}: ask in parts, or by since"
        )));
    }
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        match decisions::get(service, cluster, id).await {
            Ok(decision) => found.push(decision),
            Err(Error::NotFound(_)) => report.skip(id.clone(), "there is no such decision, or not any more".into()),
            Err(error) => return Err(error),
        }
    }
    found.sort_by(|a, b| b.id.cmp(&a.id));
    found.dedup_by(|a, b| a.id == b.id);
    Ok(found)
}

/// Makes decisions again, which come newest first.
async fn several(
    service: &Service,
    cluster: &Arc<str>,
    found: Vec<Decision>,
    report: &mut ReplayReport,
    sight: &mut Sight,
) -> Result<()> {
    let batch_of = |decision: &Decision| decision.batch.as_ref().map(|batch| batch.id.clone());
    let mut left = found.into_iter().peekable();
    while let Some(first) = left.next() {
        let batch = batch_of(&first);
        let mut group = vec![first];
        while let Some(next) = left.next_if(|next| batch.is_some() && batch_of(next) == batch) {
            group.push(next);
        }
        group.reverse();
        for (decision, replayed) in of_batch(service, cluster, group).await? {
            match replayed {
                Replayed::Identical => report.is_identical(),
                Replayed::Skipped(why) => report.skip(decision.id, why),
                Replayed::Different(mut fields) => {
                    let names = decision.victims.clone();
                    let input = masked(decision, sight);
                    if input.victims != names {
                        // Names of pods that the caller may not know.
                        fields.retain(|field| !matches!(&*field.field, "victims" | "effects"));
                    }
                    report.differs(input, fields);
                }
            }
        }
    }
    Ok(())
}

/// Makes decisions of one batch again, or a single one of none.
async fn of_batch(service: &Service, cluster: &Arc<str>, group: Vec<Decision>) -> Result<Vec<(Decision, Replayed)>> {
    let mut replayed = Vec::with_capacity(group.len());
    let mut left = group;
    while !left.is_empty() {
        let context = Context::of(service, cluster, &left[0]).await?;
        let context = match context {
            Ok(context) => context,
            Err(why) => {
                let decision = left.remove(0);
                replayed.push((decision, Replayed::Skipped(why)));
                continue;
            }
        };
        if matches!(left[0].call, CallKind::Filter | CallKind::Prioritize) {
            let decision = left.remove(0);
            let answer = call_again(service, cluster, context, &decision).await?;
            replayed.push((decision, answer));
            continue;
        }
        // After a decision that differs the rest goes on from what was recorded.
        let (done, rest) = compute_long(true, move || in_order(context, left)).await?;
        replayed.extend(done);
        left = rest;
    }
    Ok(replayed)
}

/// Makes decisions again, one after the other, until one differs or another needs a context of its own.
fn in_order(context: Context, group: Vec<Decision>) -> (Vec<(Decision, Replayed)>, Vec<Decision>) {
    let mut done = Vec::with_capacity(group.len());
    let mut left = group.into_iter();
    let mut working = match context.working() {
        Ok(working) => working,
        Err(why) => {
            done.extend(left.next().map(|decision| (decision, Replayed::Skipped(why))));
            return (done, left.collect());
        }
    };
    while let Some(decision) = left.next() {
        if !working.is_at(&decision) {
            return (done, std::iter::once(decision).chain(left).collect());
        }
        let answer = one(&context, &mut working, &decision);
        let goes_on = matches!(answer, Replayed::Identical);
        done.push((decision, answer));
        if !goes_on {
            break;
        }
    }
    (done, left.collect())
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
    let context = Context::of(service, cluster, &decision).await?.map_err(gone)?;
    let explain = move || {
        let (pod, _) = context.pod(&decision)?;
        let working = context.working()?;
        let is_nowhere = decision.outcome == DecisionOutcome::Unschedulable || !decision.victims.is_empty();
        let preempt = decision.preempt && is_nowhere;
        Ok(explained(&context.chosen, working.snapshot(), &pod, decision.seed, preempt))
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
    if decision.verdicts.is_some() || decision.digest.is_some() || decision.call == CallKind::Bind {
        return Ok(decision);
    }
    let Ok(context) = Context::of(service, cluster, &decision).await? else { return Ok(decision) };
    let complete = move || {
        let mut decision = decision;
        if let (Ok((pod, _)), Ok(working)) = (context.pod(&decision), context.working()) {
            let seed = decision.seed;
            let summary = summarize(context.chosen.profile(), &pod, working.snapshot(), seed, decisions::BEST);
            decisions::summarized(&mut decision, &summary);
        }
        decision
    };
    compute_long(false, complete).await
}

/// Answers a call of `/filter` or `/prioritize` again.
async fn call_again(service: &Service, cluster: &Arc<str>, context: Context, decision: &Decision) -> Result<Replayed> {
    let asked = take(service, cluster, Fresh::default()).await?;
    let mut asked = asked.of_the_past(context.view.clone());
    asked.in_flight = Arc::default();
    let call = decision.call;
    let all = || context.view.snapshot.nodes().map(|node| node.name().to_string()).collect();
    let names: Vec<String> = decision.candidates.clone().unwrap_or_else(all);
    let body = serde_json::json!({"Pod": decision.pod.body, "NodeNames": names}).to_string().into();
    let name = decision.policy.name.clone();
    let policy = (name != DEFAULT).then_some(name);
    let answer = move || match call {
        CallKind::Filter => filter::filter(&body, policy.as_deref(), &asked),
        _ => prioritize::prioritize(&body, policy.as_deref(), &asked),
    };
    let again = compute_long(true, answer).await?.body?;
    let now = Answered::parse(call, again).map(|answered| answered.digest()).unwrap_or_default();
    let recorded = decision.digest.clone().unwrap_or_default();
    if now == recorded {
        return Ok(Replayed::Identical);
    }
    Ok(Replayed::Different(vec![ReplayedField { field: "digest".into(), recorded, now }]))
}

/// Makes a decision again.
fn one(context: &Context, working: &mut Working, decision: &Decision) -> Replayed {
    if decision.call == CallKind::Bind {
        return context.bind_again(decision);
    }
    let (pod, is_sent) = match context.pod(decision) {
        Ok(pod) => pod,
        Err(why) => return Replayed::Skipped(why),
    };
    match working.decide(&pod, is_sent) {
        Again::Nothing(why) => Replayed::Skipped(why),
        Again::Said(said) => compared(decision, &said),
    }
}

/// Compares the recorded answer with that of now.
fn compared(decision: &Decision, said: &Said) -> Replayed {
    let mut fields = Vec::new();
    let mut differ = |field: &str, recorded: String, now: String| {
        if recorded != now {
            fields.push(ReplayedField { field: field.into(), recorded, now });
        }
    };
    let told = |text: &Option<String>| text.clone().unwrap_or_default();
    let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
    let is_placed = decision.outcome != DecisionOutcome::Unschedulable;
    match said {
        Said::Placed(there) => {
            differ("node", told(&decision.node), there.node.to_string());
            if is_placed {
                let total = there.victims.is_empty().then_some(there.total);
                differ("total", number(decision.total), number(total));
                let fitting = decision.fitting.unwrap_or_default();
                differ("fitting", fitting.to_string(), there.fitting.to_string());
                let names = |names: Vec<String>| names.join(", ");
                let recorded = decision.victims.iter().map(|pod| format!("{}/{}", pod.namespace, pod.name));
                let now = there.victims.iter().map(|pod| format!("{}/{}", pod.namespace, pod.name));
                differ("victims", names(recorded.collect()), names(now.collect()));
                differ("effects", format!("{:?}", decision.effects), format!("{:?}", effects(there)));
            }
        }
        Said::Nowhere(message) => {
            differ("node", told(&decision.node), String::new());
            if !is_placed {
                differ("message", told(&decision.message), message.clone());
            }
        }
    }
    if fields.is_empty() { Replayed::Identical } else { Replayed::Different(fields) }
}
