//! Scheduling: decides for any number of pods and binds them.
//!
//! Steps of a request: find the pods ([`pods`]) → chunk by chunk, place them on a working snapshot off the runtime's threads (calling the policy's
//! extenders, if any, [`extenders`]), carry the binds out ([`super::bind`]), and go on from the view that shows them ([`run`]) → suggest remedies for
//! unschedulable pods → the summary. A pod whose bind is stale is placed again.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::value::RawValue;

use self::{
    deciding::Asking,
    pods::{Found, Task},
    run::Run,
};
use super::{
    Service,
    access::sight::Sight,
    context::Chosen,
    decide::{brought_cluster, decided_under},
    decisions::{About, Making},
    error::{Error, Result, Subject},
    extenders::{RawQuestion, Sent},
    objects::AdmissionMode,
    reserve::LONGEST_TTL_SECONDS,
    source::guard,
};
use crate::{
    core::{
        batch,
        model::{Name, Pod},
    },
    live::View,
    store::{ListQuery, Write},
    wire::{
        decision::{AskedBy, CallKind},
        decode, kinds,
        schedule::{ScheduleRequest, ScheduleSummary},
    },
};

pub use deciding::{Again, Batched, decide_again};
pub use report::Answers;
pub use run::avoiding;

mod deciding;
mod extenders;
mod pods;
mod report;
mod run;

/// Why decisions in which extenders had a say cannot be made again.
const ASKED_OTHERS: &str = "extenders of its policy had a say";

/// Checks a request and prepares it. `body` is its text; `sight`: the stored pods that the caller may name.
///
/// # Errors
/// The faults of the request.
#[allow(clippy::needless_pass_by_value, reason = "what runs afterwards keeps them")]
pub fn prepare(
    request: &ScheduleRequest,
    body: &[u8],
    policy: Option<&str>,
    service: Service,
    cluster: Arc<str>,
    view: &View,
    sight: Sight,
) -> Result<Runs> {
    let chosen = decided_under(request.policy.as_deref(), request.profile.as_deref(), policy, view)?;
    if request.cluster.is_some() && !request.dry_run {
        return Err(Error::BadRequest("cluster: a cluster that comes with the request takes dryRun: true".into()));
    }
    if let Some(seconds) = request.assume.filter(|seconds| !(1..=LONGEST_TTL_SECONDS).contains(seconds)) {
        let message = format!("assume: Invalid value: {seconds}: must be 1 to {LONGEST_TTL_SECONDS}");
        return Err(Error::BadRequest(message));
    }
    let brought = request.cluster.as_ref().map(brought_cluster).transpose()?;
    let snapshot = brought.unwrap_or_else(|| view.snapshot.clone());
    let bound_to = |pod: &Pod| match &request.cluster {
        Some(_) => pod.is_assigned(),
        None => view.bound_to(&pod.namespace, &pod.name).is_some(),
    };
    // Those of a cluster in the request are the caller's own.
    let mut sight = if request.cluster.is_some() { Sight::default() } else { sight };
    let is_strict = service.admission == AdmissionMode::Kubernetes;
    let Found { tasks, mut settled, namespaces, creates_in } =
        pods::asked(request, &snapshot, &bound_to, &mut sight, is_strict)?;
    if !request.dry_run && !creates_in.is_empty() {
        guard::check_view(view, &cluster)?;
    }
    let mut stretches: Vec<(Chosen, Vec<Task>)> = Vec::new();
    let mut scheduler = None;
    for task in tasks {
        let name = task.pod.spec.scheduler_name.clone();
        match stretches.last_mut() {
            Some((_, tasks)) if scheduler.as_ref() == Some(&name) => tasks.push(task),
            _ => match chosen.clone().pick(&name) {
                Ok(picked) => {
                    // Where there is but one profile, all pods are of it.
                    scheduler = Some(name);
                    match stretches.last_mut() {
                        Some((_, tasks)) if !matches!(picked, Chosen::Picked(..)) => tasks.push(task),
                        _ => stretches.push((picked, vec![task])),
                    }
                }
                Err(error) if request.pods.is_some() => return Err(error),
                Err(error) => {
                    settled.push((task.index, pods::failed(&task.pod.namespace, &task.pod.name, error.to_string())));
                }
            },
        }
    }
    if stretches.len() > 1 && request.all_or_nothing {
        let message =
            "allOrNothing: the pods pick different profiles by their schedulerName; ask for those of one at a time";
        return Err(Error::BadRequest(message.into()));
    }
    if stretches.is_empty() {
        stretches.push((chosen.clone(), Vec::new()));
    }
    let extenders = &chosen.profile().extenders;
    let asking = if extenders.is_empty() || !service.extenders.is_on() {
        None
    } else {
        let raw: RawQuestion<'_> = decode::from_slice(body).map_err(|error| Error::BadRequest(error.to_string()))?;
        let sent = raw.cluster.map(Sent::new);
        Some(Asking { chain: service.extenders.chain(extenders, chosen.origin()), sent })
    };
    let run = |(chosen, tasks): (Chosen, Vec<Task>)| Run {
        options: batch::Options { seed: request.seed, preempt: request.preempt.unwrap_or(true), reuse: true },
        assume: request.assume,
        is_trial: request.dry_run,
        all_or_nothing: request.all_or_nothing,
        suggestions: request.suggestions.unwrap_or(true),
        fence: None,
        avoids: Vec::new(),
        asking: asking.clone(),
        making: Making::default(),
        service: service.clone(),
        cluster: cluster.clone(),
        chosen,
        snapshot: snapshot.clone(),
        tasks,
        settled: std::mem::take(&mut settled),
    };
    let runs = stretches.into_iter().map(run).collect();
    Ok(Runs {
        stretches: runs,
        sight,
        binds_in: if request.dry_run { BTreeSet::new() } else { namespaces },
        creates_in,
    })
}

/// A request carried out: in one go or, where its pods pick different profiles, one stretch of them after the other.
pub struct Runs {
    stretches: Vec<Run>,
    sight: Sight,
    /// The namespaces of the pods that it is to bind; none of a trial.
    pub binds_in: BTreeSet<Name>,
    /// The namespaces of the pods that it is to store.
    pub creates_in: BTreeSet<Name>,
}

impl Runs {
    /// Records its decisions, unless it is a trial: the kind of call, and the part of the cluster's history that its view belongs to. `text`: the policy
    /// that came with it.
    #[must_use]
    pub fn recorded(mut self, (call, epoch): (CallKind, u64), by: &AskedBy, text: Option<&RawValue>) -> Self {
        for run in self.stretches.iter_mut().filter(|run| !run.is_trial) {
            let about = || {
                // Where others had a say, the text of the policy is of no use.
                let text = text.filter(|_| run.asking.is_none());
                let about = About::new(&run.cluster, call, by.clone(), &run.chosen, text);
                About {
                    epoch,
                    options: run.options,
                    avoided: run.avoids.clone(),
                    read_at: run.snapshot.revision,
                    unrepeatable: run.asking.as_ref().map_or(about.unrepeatable, |_| Some(ASKED_OTHERS)),
                    ..about
                }
            };
            run.making = run.service.decisions.making(about);
        }
        self
    }

    /// Binds only while the lead is held to which this write belongs.
    #[must_use]
    pub fn fenced(mut self, fence: &Write) -> Self {
        for run in &mut self.stretches {
            run.fence = Some(fence.clone());
        }
        self
    }

    /// Places no pod on these nodes that does not tolerate everything.
    #[must_use]
    pub fn avoiding(mut self, nodes: &[Name]) -> Self {
        for run in &mut self.stretches {
            run.avoids = nodes.to_vec();
            run.snapshot = run.as_avoided(run.snapshot.clone());
        }
        self
    }

    /// Refuses pods that are to be stored in a namespace that quotas or limit ranges limit: those are counted where pods are created.
    ///
    /// # Errors
    /// [`Error::Forbidden`], and those of the store.
    pub async fn check_limits(&self, service: &Service, cluster: &Arc<str>) -> Result<()> {
        if service.admission != AdmissionMode::Kubernetes {
            return Ok(());
        }
        for namespace in &self.creates_in {
            for kind in ["resourcequotas", "limitranges"].into_iter().filter_map(|plural| kinds::by_plural("", plural))
            {
                let query = ListQuery { namespace: Some(namespace.to_string()), ..ListQuery::all(kind.key()) };
                if !service.store.list(cluster, &query).await?.items.is_empty() {
                    let message = format!(
                        "the namespace {namespace:?} has {}: create its pods first (POST pods), then schedule them by podNames",
                        kind.plural
                    );
                    return Err(Error::Forbidden { subject: Subject::new("", "pods", ""), message });
                }
            }
        }
        Ok(())
    }

    /// Carries it out, and reports the result for each pod.
    ///
    /// # Errors
    /// If it breaks off.
    pub async fn run(self, answers: &mut Answers) -> Result<ScheduleSummary> {
        answers.sight = self.sight;
        let mut last = None;
        let are_several = self.stretches.len() > 1;
        for mut run in self.stretches {
            if let Some((_, snapshot)) = last.take() {
                run.snapshot = snapshot;
            }
            last = Some(Box::pin(run.run(answers)).await?);
        }
        let summary = last.map(|(mut summary, _): (ScheduleSummary, _)| {
            // No one profile decided for all.
            summary.policy.profile = summary.policy.profile.filter(|_| !are_several);
            summary
        });
        summary.ok_or_else(|| Error::internal("a request was carried out in no part"))
    }
}
