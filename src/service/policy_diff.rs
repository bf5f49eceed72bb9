//! Policy diff: what would change if another policy were in force. Nothing is stored.

use std::{collections::HashSet, sync::Arc};

use super::{
    access::sight::Sight,
    context::{self, Chosen},
    decide::{brought_cluster, decidable, sent_pod},
    error::{Error, Result, Subject},
};
use crate::{
    core::{
        diff::{self, Differences},
        model::{Name, Pod},
        policy::Profiles,
        snapshot::{Kind, Snapshot},
        work,
    },
    live::View,
    wire::{
        explanation::PodName,
        policy,
        policy_diff::{
            PackingDiff, PolicyDiffCounts, PolicyDiffOver, PolicyDiffPod, PolicyDiffReport, PolicyDiffRequest,
            SpreadDiff,
        },
    },
};

pub mod decisions;

/// Pods that a request may compare.
pub const MOST_PODS: usize = 100_000;

/// The most pods in each list of a reply, by default and at most.
const LISTED: usize = 10_000;
const MOST_LISTED: usize = 100_000;

/// Steps of work that reading one pod takes.
const ITEM: u64 = 256;

/// Compares the policy in force with a candidate. `sight`: the stored pods that the caller may name.
///
/// # Errors
/// The first fault of the request, by its field, and all faults of the candidate.
pub fn compare(
    request: &PolicyDiffRequest,
    policy: Option<&str>,
    view: &View,
    is_there: Result<()>,
    mut sight: Sight,
) -> Result<PolicyDiffReport> {
    let candidate = candidate(request)?;
    let limit = listed(request.limit)?;
    let mut snapshot = if let Some(cluster) = &request.cluster {
        sight = Sight::default();
        brought_cluster(cluster)?
    } else {
        is_there?;
        view.snapshot.clone()
    };
    let in_force = context::chosen(view, policy)?;
    let pods = match &request.over {
        Some(over) => asked(over, &snapshot, &mut sight)?,
        None => waiting(&snapshot),
    };
    if pods.len() > MOST_PODS {
        let why = format!("a comparison has at most {MOST_PODS} pods; these would be {}", pods.len());
        return Err(Error::BadRequest(format!("over: Too many: {why}")));
    }
    for pod in &pods {
        if snapshot.pod(&pod.namespace, &pod.name).is_some_and(|there| there.is_assigned()) {
            snapshot.delete(Kind::Pod, &pod.namespace, &pod.name);
        }
    }
    let profiles = (in_force.profiles(), candidate.profiles());
    let mut report = PolicyDiffReport {
        revision: snapshot.revision,
        before: in_force.used(),
        candidate: candidate.used(),
        seed: request.seed,
        notes: notes([&profiles.0], &profiles.1),
        ..PolicyDiffReport::default()
    };
    let (differences, counts) = diff::in_turn(&snapshot, &pods, &profiles.0, profiles.1, (request.seed, limit));
    tell(&mut report, &differences, counts, &mut sight);
    Ok(report)
}

/// The candidate, compiled.
fn candidate(request: &PolicyDiffRequest) -> Result<Chosen> {
    let Some(text) = &request.candidate else {
        return Err(Error::BadRequest("candidate: Required value: the policy that may come into force".into()));
    };
    let compiled = policy::parse(text.get()).and_then(|document| document.compile_all());
    compiled.map(Chosen::Request).map_err(|faults| Error::invalid_policy("Policy", "", faults))
}

fn listed(limit: Option<usize>) -> Result<usize> {
    match limit.unwrap_or(LISTED) {
        limit if limit <= MOST_LISTED => Ok(limit),
        limit => Err(Error::BadRequest(format!("limit: Invalid value: {limit}: must be at most {MOST_LISTED}"))),
    }
}

/// The pods that a request is about, as they would be if they waited.
fn asked(over: &PolicyDiffOver, snapshot: &Snapshot, sight: &mut Sight) -> Result<Vec<Arc<Pod>>> {
    match over {
        PolicyDiffOver { decisions: None, pods: Some(sent), pod_names: None, pending: None | Some(false) } => {
            let mut pods = Vec::with_capacity(sent.len().min(MOST_PODS));
            for (index, sent) in sent.iter().enumerate() {
                let at = format!("over.pods[{index}]");
                pods.push(if let Ok(name) = serde_json::from_str::<String>(sent.get()) {
                    named(&name, &at, snapshot, sight)?
                } else {
                    work::spend(ITEM);
                    let (pod, _) = sent_pod(sent, &at, snapshot)?;
                    known(&pod, &at, sight)?;
                    Arc::new(pod)
                });
            }
            distinct(pods, "over.pods")
        }
        PolicyDiffOver { decisions: None, pods: None, pod_names: Some(names), pending: None | Some(false) } => {
            let names = names.iter().enumerate();
            let pods = names.map(|(index, name)| named(name, &format!("over.podNames[{index}]"), snapshot, sight));
            distinct(pods.collect::<Result<_>>()?, "over.podNames")
        }
        PolicyDiffOver { decisions: None, pods: None, pod_names: None, pending: Some(true) } => Ok(waiting(snapshot)),
        _ => {
            Err(Error::BadRequest("over: exactly one of decisions, pods, podNames and pending: true is needed".into()))
        }
    }
}

/// Of namespaces whose pods the caller may not list nothing is told, so none is tried there.
fn known(pod: &Pod, at: &str, sight: &mut Sight) -> Result<()> {
    decidable(pod)?;
    if sight.knows(&pod.namespace) {
        return Ok(());
    }
    let why = format!("you may not list the pods of namespace {:?}", &*pod.namespace);
    Err(Error::BadRequest(format!("{at}.metadata.namespace: Forbidden: {why}")))
}

/// A pod of the cluster, as if it waited.
fn named(text: &str, at: &str, snapshot: &Snapshot, sight: &Sight) -> Result<Arc<Pod>> {
    let (namespace, name) = PodName::parse(text);
    sight.check(namespace, name)?;
    let Some(pod) = snapshot.pod(namespace, name) else {
        return Err(Error::NotFound(Subject::new("", "pods", name)));
    };
    decidable(pod)?;
    if pod.terminal || pod.terminating {
        let why = if pod.terminal { "has ended" } else { "is being deleted" };
        return Err(Error::BadRequest(format!("{at}: Invalid value: {text:?}: the pod {why}")));
    }
    Ok(Arc::new(Pod { node_name: Name::default(), ..(**pod).clone() }))
}

/// The pods as they are, each once.
fn distinct(pods: Vec<Arc<Pod>>, at: &str) -> Result<Vec<Arc<Pod>>> {
    let mut seen = HashSet::with_capacity(pods.len());
    for (index, pod) in pods.iter().enumerate() {
        if !seen.insert((&pod.namespace, &pod.name)) {
            return Err(Error::BadRequest(format!("{at}[{index}]: Duplicate value: {:?}", pod.full_name())));
        }
    }
    Ok(pods)
}

/// The pods that wait for a node, as they came.
pub(super) fn waiting(snapshot: &Snapshot) -> Vec<Arc<Pod>> {
    let waits = |pod: &&Arc<Pod>| {
        work::spend(1);
        pod.waits()
    };
    let mut pods: Vec<Arc<Pod>> = snapshot.pods().filter(waits).cloned().collect();
    pods.sort_by_key(|pod| pod.arrival);
    pods
}

/// Parts of the policies that the comparison leaves out of account.
fn notes<'p>(in_force: impl IntoIterator<Item = &'p Profiles>, candidate: &Profiles) -> Vec<String> {
    let has_extenders = |profiles: &Profiles| profiles.all().any(|profile| !profile.extenders.is_empty());
    let of = match (in_force.into_iter().any(has_extenders), has_extenders(candidate)) {
        (false, false) => return Vec::new(),
        (true, true) => "both policies",
        (true, false) => "the policy in force",
        (false, true) => "the candidate",
    };
    vec![format!("the extenders of {of} are not called")]
}

/// Puts differences into a reply. Names of pods that the caller may not know are hidden.
fn tell(report: &mut PolicyDiffReport, differences: &Differences, counts: [usize; 3], sight: &mut Sight) {
    let Differences { total, same, moved, newly_unschedulable, newly_schedulable, by_reason, spread, packing } =
        differences;
    let [moved_count, unschedulable, schedulable] = counts;
    report.total = *total;
    report.same = *same;
    report.counts = PolicyDiffCounts {
        moved: moved_count,
        newly_unschedulable: unschedulable,
        newly_schedulable: schedulable,
        skipped: 0,
    };
    let mut list = |changes: &[diff::Change]| {
        let tell = |change: &diff::Change| {
            let mut told = PolicyDiffPod::from(change);
            // Reasons may name objects of the pod's namespace.
            if !sight.knows(&change.pod.namespace) {
                told.why = "for a reason in a namespace whose pods you may not list".into();
                told.message = None;
            }
            sight.mask(&mut told.pod.namespace, &mut told.pod.name, None);
            told
        };
        changes.iter().map(tell).collect()
    };
    report.moved = list(moved);
    report.newly_unschedulable = list(newly_unschedulable);
    report.newly_schedulable = list(newly_schedulable);
    report.by_reason.clone_from(by_reason);
    report.packing = packing.as_ref().map(PackingDiff::from);
    report.spread = spread.iter().map(|(key, both)| ((*key).to_owned(), SpreadDiff::from(both))).collect();
}
