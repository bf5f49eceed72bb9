//! The states on which recorded decisions were made, for decisions that are made again under another policy.

use std::sync::Arc;

use super::state::Context;
use crate::{
    core::{model::Pod, policy::Profile, snapshot::Snapshot},
    service::{Service, compute::compute_long, error::Result},
    wire::decision::{CallKind, Decision},
};

/// A decision with all that it was made on.
pub struct Case {
    /// The decision.
    pub decision: Decision,
    /// The pod as it was judged.
    pub pod: Arc<Pod>,
    /// The cluster as the decision saw it.
    pub snapshot: Snapshot,
    /// The profile that decided.
    pub profile: Arc<Profile>,
}

/// The cases of decisions, and those without one, each with the reason.
pub type Found = (Vec<Case>, Vec<(Decision, String)>);

/// The cases of decisions of one batch, in the order of their places, or of a single one of none.
///
/// # Errors
/// Those of the store.
pub async fn of_batch(service: &Service, cluster: &Arc<str>, group: Vec<Decision>) -> Result<Found> {
    let (mut cases, mut skipped) = (Vec::with_capacity(group.len()), Vec::new());
    let mut left = group;
    while !left.is_empty() {
        if left[0].call == CallKind::Bind || left[0].candidates.is_some() {
            let decision = left.remove(0);
            let why =
                if decision.call == CallKind::Bind { "its client named the node" } else { "it was about some nodes" };
            skipped.push((decision, why.to_owned()));
            continue;
        }
        match Context::of(service, cluster, &left[0]).await? {
            Err(why) => skipped.push((left.remove(0), why)),
            Ok(context) => {
                let (found, rest) = compute_long(true, move || in_order(&context, left)).await?;
                cases.extend(found.0);
                skipped.extend(found.1);
                left = rest;
            }
        }
    }
    Ok((cases, skipped))
}

/// The cases of decisions, one after the other, until one needs a context of its own.
fn in_order(context: &Context, group: Vec<Decision>) -> (Found, Vec<Decision>) {
    let (mut cases, mut skipped) = (Vec::with_capacity(group.len()), Vec::new());
    let mut left = group.into_iter();
    let is_alone = left.len() == 1 && left.as_slice()[0].batch.as_ref().is_none_or(|batch| batch.place == 0);
    let mut working = match if is_alone { Ok(None) } else { context.working().map(Some) } {
        Ok(working) => working,
        Err(why) => {
            skipped.extend(left.next().map(|decision| (decision, why)));
            return ((cases, skipped), left.collect());
        }
    };
    while let Some(decision) = left.next() {
        if working.as_ref().is_some_and(|working| !working.is_at(&decision)) {
            return ((cases, skipped), std::iter::once(decision).chain(left).collect());
        }
        let pod = match context.pod(&decision) {
            Ok((pod, _)) => pod,
            Err(why) => {
                skipped.push((decision, why));
                return ((cases, skipped), left.collect());
            }
        };
        let profile = context.chosen.profile().clone();
        let snapshot = match &mut working {
            None => context.base(),
            Some(working) => {
                let snapshot = working.snapshot().clone();
                working.put(&pod, &decision);
                snapshot
            }
        };
        cases.push(Case { decision, pod, snapshot, profile });
    }
    ((cases, skipped), Vec::new())
}
