//! Policy diff over recorded decisions: each is made again alone, on the cluster that it was made on, under the policy that decided and under the
//! candidate.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use jiff::Timestamp;

use super::{candidate, listed, notes, tell};
use crate::{
    core::{
        access::ResourceAttributes,
        diff::{Comparison, Differences},
        policy::Profiles,
    },
    service::{
        Service,
        access::{Caller, sight::Sight},
        compute::compute_long,
        decisions::{self, Asked},
        error::{Error, Result},
        replay::states::{self, Case},
    },
    wire::{
        decision::{Decision, DecisionOutcome},
        explanation::PolicyUsed,
        policy_diff::{OverDecisions, PolicyDiffReport, PolicyDiffRequest, SkippedDecision},
    },
};

/// The most decisions that are compared.
pub const MOST_DECISIONS: usize = 50_000;

/// Decisions read at a time.
const PAGE: usize = 500;

/// Decisions whose states are put together before they are compared.
const AT_ONCE: usize = 256;

/// The profiles of decisions, each once: the boards that a comparison keeps are known by them.
type Known = HashMap<(String, u64, Option<String>, Option<String>), Profiles>;

/// A comparison under way.
struct Under {
    comparison: Comparison,
    known: Known,
    /// The decisions that were compared, in their order.
    ids: Vec<String>,
    skipped: Vec<SkippedDecision>,
    skipped_count: usize,
}

/// Compares a candidate with the policies of recorded decisions. `sight`: the pods that the caller may name.
///
/// # Errors
/// The first fault of the request, all faults of the candidate, [`Error::Denied`] for callers who may not list decisions, and those of the store.
pub async fn compare(
    service: &Service,
    cluster: &Arc<str>,
    caller: &Caller,
    request: &PolicyDiffRequest,
    (over, mut sight): (&OverDecisions, Sight),
) -> Result<PolicyDiffReport> {
    caller.check(service, cluster, ResourceAttributes::new("list", "podberth.io", "decisions")).await?;
    if request.cluster.is_some() {
        return Err(Error::BadRequest("cluster: a decision is compared on the cluster that it was made on".into()));
    }
    let last = over.last.unwrap_or(MOST_DECISIONS);
    if last > MOST_DECISIONS {
        let why = format!("Invalid value: {last}: must be at most {MOST_DECISIONS}");
        return Err(Error::BadRequest(format!("over.decisions.last: {why}")));
    }
    let since = over.since.as_deref().map(str::parse::<Timestamp>).transpose();
    let since = since.map_err(|_| {
        let text = over.since.as_deref().unwrap_or_default();
        Error::BadRequest(format!(
            "over.decisions.since: Invalid value: {text:?}: expected a time as 2026-01-02T15:04:05Z"
        ))
    })?;
    let (candidate, limit) = (candidate(request)?, listed(request.limit)?);
    let mut under = Under {
        comparison: Comparison::new(candidate.profiles(), limit),
        known: Known::new(),
        ids: Vec::new(),
        skipped: Vec::new(),
        skipped_count: 0,
    };
    let mut asked = Asked { since, limit: Some(PAGE), ..Asked::default() };
    let (mut read, mut ready) = (0, Vec::new());
    let mut page = Vec::new().into_iter().peekable();
    let mut has_more = true;
    while read < last {
        if page.peek().is_none() {
            if !has_more {
                break;
            }
            let found = decisions::list(service, cluster, &asked).await?;
            has_more = found.next.is_some();
            asked.after = found.next;
            page = found.items.into_iter().peekable();
            continue;
        }
        let group = group(&mut page, last - read);
        read += group.len();
        // A pod that others were ahead of was decided again.
        let group = group.into_iter().filter(|decision| decision.outcome != DecisionOutcome::Stale).collect();
        let (cases, skipped) = Box::pin(states::of_batch(service, cluster, group)).await?;
        ready.extend(cases);
        under.skip(skipped, limit);
        if ready.len() >= AT_ONCE {
            under = under.compare(std::mem::take(&mut ready)).await?;
        }
    }
    let is_cut = has_more || page.peek().is_some();
    let Under { comparison, known, ids, skipped, skipped_count } = under.compare(ready).await?;
    let mut report = PolicyDiffReport {
        before: PolicyUsed { name: "(recorded)".into(), release: releases(&known), ..PolicyUsed::default() },
        candidate: candidate.used(),
        skipped,
        notes: notes(known.values(), &candidate.profiles()),
        ..PolicyDiffReport::default()
    };
    if over.last.is_none() && is_cut {
        report.notes.push(format!("only the newest {MOST_DECISIONS} decisions are compared"));
    }
    let (differences, counts) = compute_long(true, move || comparison.finish()).await?;
    let index: Vec<Vec<usize>> =
        lists(&differences).map(|list| list.iter().map(|change| change.index).collect()).into();
    tell(&mut report, &differences, counts, &mut sight);
    report.counts.skipped = skipped_count;
    let lists = [&mut report.moved, &mut report.newly_unschedulable, &mut report.newly_schedulable];
    for (list, places) in lists.into_iter().zip(index) {
        for (told, place) in list.iter_mut().zip(places) {
            told.decision = ids.get(place).cloned();
        }
    }
    Ok(report)
}

/// The releases whose rules the policies of decisions follow, as `1.22`, or `1.22, 1.34` where they differ.
fn releases(known: &Known) -> String {
    let names: BTreeSet<&str> = known.values().flat_map(Profiles::all).map(|profile| profile.release.name()).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn lists(of: &Differences) -> [&Vec<crate::core::diff::Change>; 3] {
    [&of.moved, &of.newly_unschedulable, &of.newly_schedulable]
}

/// The next decisions, which come newest first: those of one batch, in the order of their places.
fn group(left: &mut std::iter::Peekable<std::vec::IntoIter<Decision>>, most: usize) -> Vec<Decision> {
    let batch_of = |decision: &Decision| decision.batch.as_ref().map(|batch| batch.id.clone());
    let mut group: Vec<Decision> = left.next().into_iter().collect();
    let batch = group.first().and_then(batch_of);
    while group.len() < most
        && let Some(next) = left.next_if(|next| batch.is_some() && batch_of(next) == batch)
    {
        group.push(next);
    }
    group.reverse();
    group
}

impl Under {
    fn skip(&mut self, skipped: Vec<(Decision, String)>, limit: usize) {
        self.skipped_count += skipped.len();
        for (decision, why) in skipped {
            if self.skipped.len() < limit {
                self.skipped.push(SkippedDecision { id: decision.id, why });
            }
        }
    }

    /// Compares some more decisions.
    async fn compare(self, cases: Vec<Case>) -> Result<Self> {
        compute_long(true, move || {
            let mut under = self;
            for Case { decision, pod, snapshot, profile } in cases {
                let Decision { id, policy, policy_text, seed, .. } = decision;
                let text = policy_text.map(|text| text.get().to_owned());
                let key = (policy.name, policy.revision, policy.profile, text);
                let in_force = under.known.entry(key).or_insert_with(|| profile.into()).clone();
                under.comparison.at(&snapshot);
                under.comparison.decide(&pod, &in_force, seed);
                under.ids.push(id);
            }
            under
        })
        .await
    }
}
