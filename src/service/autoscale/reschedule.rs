//! `/reschedule`: which pods should leave their nodes, where they would go, and what becomes better. Nothing is stored.

use super::{
    super::{
        access::sight::Sight,
        decide::decided_under,
        error::{Error, Result},
    },
    asked_about, fault, name, refused,
};
use crate::{
    clock,
    core::{
        advise::{
            plan::AdviceStep,
            reschedule::{Measure, Move, Plan, Policy, Scheduling, Unsuited, best, carry_out, reschedule as cycle},
        },
        model::Name,
        snapshot::Snapshot,
    },
    live::View,
    wire::{
        autoscale::{
            reschedule::{Asked, MeasureReport, MoveReport, RescheduleReport, RescheduleRequest},
            step::AdviceStepReport,
        },
        explanation::PodName,
    },
};

mod act;
mod comebacks;
mod looping;

pub use self::looping::{Rescheduling, read, start};

/// The name of the request.
const KIND: &str = "RescheduleRequest";

/// The text in place of one that may name objects of a namespace whose pods the caller may not list.
const UNTOLD: &str = "for a reason in a namespace whose pods you may not list";

/// Answers a request. `sight`: the stored pods that the caller may name.
///
/// # Errors
/// All faults of the request by their fields, and those of its cluster.
pub fn reschedule(
    request: &RescheduleRequest,
    policy: Option<&str>,
    view: &View,
    is_there: Result<()>,
    mut sight: Sight,
) -> Result<RescheduleReport> {
    let asked = request.read().map_err(refused(KIND))?;
    let snapshot = asked_about(request.cluster.as_ref(), view, is_there, &mut sight)?;
    let (sent, profile) = (request.scheduling_policy.as_deref(), request.scheduling_profile.as_deref());
    let chosen = decided_under(sent, profile, policy, view)?;
    let scheduling = Scheduling { profiles: chosen.profiles(), seed: request.seed };
    let now = asked.now.unwrap_or_else(clock::now_nanoseconds);
    let (mut report, steps) = answer(&asked, &snapshot, &scheduling, now).map_err(|error| unsuited(&error))?;
    mask(&mut report, &mut sight);
    report.plan_steps = steps.iter().map(|step| told(step, &mut sight)).collect();
    report.list();
    Ok(report)
}

/// The error for a policy that names a priority class which the cluster does not have.
fn unsuited(error: &Unsuited) -> Error {
    fault(KIND, "policy", |faults, at| faults.forbidden(at, &error.to_string()))
}

fn answer(
    asked: &Asked,
    snapshot: &Snapshot,
    scheduling: &Scheduling,
    now: i64,
) -> std::result::Result<(RescheduleReport, Vec<AdviceStep>), Unsuited> {
    let Asked { policy, best: bounds, .. } = asked;
    let plan = match bounds {
        Some(bounds) => best(snapshot, policy, scheduling, *bounds, now)?,
        None => once(snapshot, policy, scheduling, now)?,
    };
    let (before, after) = (Measure::of(snapshot, policy, now)?, Measure::of(&plan.after, policy, now)?);
    let mut report = RescheduleReport { revision: snapshot.revision, ..RescheduleReport::default() };
    report.take(&plan.first);
    if bounds.is_none() {
        report.again = plan.first.once_each().1.iter().map(|pod| PodName::from(&**pod)).collect();
    }
    for (round, moves) in plan.rounds.iter().enumerate() {
        report.moves.extend(moves.iter().map(|one| MoveReport::new(one, round + 1)));
    }
    if bounds.is_some() && plan.rounds.is_empty() && !plan.first.evicted.is_empty() {
        let chosen = plan.first.evicted.len();
        let why = "none of the moves would leave the cluster better: nothing is evicted";
        report.notes.push(format!("one cycle of the descheduler would evict {chosen} pods; {why}"));
    }
    (report.before, report.after) = (MeasureReport::from(&before), MeasureReport::from(&after));
    report.better = after.is_better_than(&before);
    Ok((report, plan.steps(snapshot.revision).steps))
}

/// A step as far as the caller may know it.
fn told(step: &AdviceStep, sight: &mut Sight) -> AdviceStepReport {
    let mut is_known = true;
    let report = AdviceStepReport::new(step, |pod| {
        is_known = sight.knows(&pod.namespace);
        name(pod, sight)
    });
    if is_known { report } else { AdviceStepReport { why: UNTOLD.to_owned(), ..report } }
}

/// One cycle, as the descheduler runs it.
fn once(
    snapshot: &Snapshot,
    policy: &Policy,
    scheduling: &Scheduling,
    now: i64,
) -> std::result::Result<Plan, Unsuited> {
    let first = cycle(snapshot, policy, now)?;
    let (after, moves) = carry_out(snapshot, &first.once_each().0, scheduling, now);
    let rounds: Vec<Vec<Move>> = if moves.is_empty() { Vec::new() } else { vec![moves] };
    Ok(Plan { rounds, first, after })
}

/// Hides the pods that the caller may not know.
fn mask(report: &mut RescheduleReport, sight: &mut Sight) {
    let mut hide = |pod: &mut PodName, texts: &mut [&mut String]| {
        if !sight.knows(&Name::from(pod.namespace.as_str())) {
            for text in texts {
                UNTOLD.clone_into(text);
            }
        }
        sight.mask(&mut pod.namespace, &mut pod.name, None);
    };
    for one in &mut report.moves {
        let mut texts = vec![&mut one.why];
        texts.extend(&mut one.message);
        hide(&mut one.pod, &mut texts);
    }
    for pod in &mut report.again {
        hide(pod, &mut []);
    }
    for one in &mut report.kept {
        hide(&mut one.pod, &mut [&mut one.why]);
    }
}
