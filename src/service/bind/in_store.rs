//! Binds in our own store.

use std::{collections::HashSet, sync::Arc};

use futures_util::future::{BoxFuture, try_join_all};

use super::{Bind, BindOutcome, Binder, lead_lost, volumes::Stored};
use crate::{
    core::{
        claim_choice::ClaimChoice,
        model::{MOST_RESERVED_FOR, Pod, PodDisruptionBudget},
        plan::Step,
        policy::Profile,
        snapshot::{Kind, NamespacedName, Object},
    },
    live::{CommitError, Judgement},
    service::{
        Service,
        error::{Error, Result},
        evict::with_allowance,
        lead::Lead,
        objects, reserve,
    },
    store::{Atomicity, Call, Change, Commit, Key, Outcome, Precondition, Refusal, StoreError, Write},
    telemetry::trace,
    wire::{
        document::Document,
        kinds,
        reservation::{self, ReservationKind},
    },
};

/// Binds in a cluster of our own store, each judged by the whole filter on the state that it is written to.
#[derive(Clone, Debug)]
pub struct InStore<'s> {
    /// The services.
    pub service: &'s Service,
    /// The cluster.
    pub cluster: &'s str,
    /// The profile that judges the binds; `None`: the policy in force at the commit.
    pub profile: Option<Arc<Profile>>,
    /// Nodes are reserved until then, and not bound.
    pub reserve_until: Option<String>,
    /// `true` if the profile has judged the binds on the state of their plans' revision, each in view of those before it. Where
    /// that is still the state, they are not judged again.
    pub is_judged: bool,
    /// The first write of each call, without which nothing of it is written ([`Lead::fence`]).
    pub fence: Option<Write>,
}

impl InStore<'_> {
    /// Notes a bind that is a fact already, whatever speaks against it by now.
    pub(super) async fn note(&self, bind: &Bind) -> Result<BindOutcome> {
        let write = of(&bind.pod, Change::SetNode(Some(bind.node.to_string())))?;
        let writes = [write].into_iter().chain(in_outbox(bind)?).collect();
        let call = Call { writes, atomicity: Atomicity::AllOrNothing };
        Ok(of_call(&self.service.clusters.commit(self.cluster, call, self.profile.clone()).await?, 0))
    }

    /// The writes for binds that are whole together, in order; `None` where something that they are about is gone, or a
    /// budget is no longer as it was when they were decided.
    async fn writes(&self, binds: &[Bind], stored: &Stored) -> Result<Option<Ordered>> {
        let steps: usize = binds.iter().map(|bind| bind.plan.steps.len()).sum();
        let mut writes = Vec::with_capacity(2 * binds.len() + steps);
        let (mut at, mut volumes) = (0, Vec::<Chosen>::new());
        writes.extend(self.fence.clone());
        for bind in binds {
            let Some(change) = &bind.new else { continue };
            writes.push(Write { key: key(&bind.pod)?, precondition: Precondition::absent(), change: change.clone() });
        }
        for (budget, used) in charges(binds) {
            let Some(write) = charged(self.service, self.cluster, &budget, used).await? else { return Ok(None) };
            writes.push(write);
        }
        for bind in binds {
            for step in &bind.plan.steps {
                match step {
                    Step::Evict(victim) => writes.push(of(victim, Change::Delete)?),
                    Step::Charge(..) => {}
                    Step::ClearNomination(waiting) => {
                        writes.extend(clear_nomination(self.service, self.cluster, waiting).await?);
                    }
                    Step::Bind(pod, node) => match &self.reserve_until {
                        None => {
                            at = writes.len();
                            writes.push(of(pod, Change::Bind { node: node.to_string() })?);
                            writes.extend(in_outbox(bind)?);
                        }
                        Some(until) => {
                            let kind = ReservationKind::Assumed;
                            let stored =
                                reservation::Stored { pod_uid: pod.uid.to_string(), kind, until: until.clone() };
                            writes.extend(reserve::reserving(&pod.namespace, &pod.name, node, &stored)?.writes);
                            at = writes.len() - 1;
                        }
                    },
                    // Only a bind settles claims.
                    Step::Choose(_) if self.reserve_until.is_some() => {}
                    Step::Choose(choice) => {
                        let Some(chosen) = stored.writes(choice, &writes)? else { return Ok(None) };
                        writes.extend(chosen);
                        match volumes.last_mut().filter(|(of, _)| *of == at) {
                            Some((_, choices)) => choices.push(choice.clone()),
                            None => volumes.push((at, vec![choice.clone()])),
                        }
                    }
                }
            }
        }
        Ok(Some(Ordered { writes, bind: at, volumes }))
    }
}

impl Binder for InStore<'_> {
    /// Binds in a row that need nothing else are one call.
    fn bind<'a>(&'a self, binds: &'a mut [Bind], together: bool) -> BoxFuture<'a, Result<Vec<BindOutcome>>> {
        Box::pin(async move {
            if binds.is_empty() {
                return Ok(Vec::new());
            }
            let chosen = binds.iter().flat_map(|bind| &bind.plan.steps).filter_map(|step| match step {
                Step::Choose(choice) if self.reserve_until.is_none() => Some(choice),
                _ => None,
            });
            let stored = Stored::read(self.service, self.cluster, chosen).await?;
            let mut outcomes = Vec::with_capacity(binds.len());
            let mut calls = Calls::default();
            for whole in binds.chunks(if together { binds.len() } else { 1 }) {
                // What is left of a budget is read from the store, so those that were charged before have to be written.
                if budgets(whole).any(|budget| calls.charged.contains(&budget)) {
                    outcomes.append(&mut std::mem::take(&mut calls).commit(self, None).await?);
                }
                calls.charged.extend(budgets(whole));
                match full_claim(whole) {
                    Some(why) => calls.places.push(Err(BindOutcome::NotBound(why))),
                    None => calls.add(self.writes(whole, &stored).await?),
                }
            }
            let is_one_call = outcomes.is_empty() && calls.waiting.len() == 1;
            let decided_at = binds.first().filter(|_| self.is_judged && is_one_call).map(|bind| bind.plan.revision);
            outcomes.append(&mut calls.commit(self, decided_at).await?);
            if together && let Some(outcome) = outcomes.first() {
                outcomes = vec![outcome.clone(); binds.len()];
            }
            Ok(outcomes)
        })
    }
}

/// The disruptions of each budget that binds use up together, as it was before any of it.
fn charges(binds: &[Bind]) -> Vec<(Arc<PodDisruptionBudget>, i32)> {
    let mut charges: Vec<(Arc<PodDisruptionBudget>, i32)> = Vec::new();
    for step in binds.iter().flat_map(|bind| &bind.plan.steps) {
        let Step::Charge(budget, used) = step else { continue };
        let is_same = |(other, _): &&mut (Arc<PodDisruptionBudget>, i32)| {
            other.namespace == budget.namespace && other.name == budget.name
        };
        match charges.iter_mut().find(is_same) {
            Some((_, sum)) => *sum = sum.saturating_add(*used),
            None => charges.push((budget.clone(), *used)),
        }
    }
    charges
}

/// Why a claim to devices cannot be reserved for one more pod, if that is so. The API server refuses it as well.
fn full_claim(binds: &[Bind]) -> Option<String> {
    binds.iter().flat_map(|bind| &bind.plan.steps).find_map(|step| match step {
        Step::Choose(ClaimChoice::Devices { claim, .. }) if claim.reserved_for.len() >= MOST_RESERVED_FOR => {
            let name = &claim.name;
            Some(format!(
                "resourceclaim {name} is reserved for {MOST_RESERVED_FOR} objects, the most: make another claim"
            ))
        }
        _ => None,
    })
}

/// The budgets that binds charge.
fn budgets(binds: &[Bind]) -> impl Iterator<Item = NamespacedName> {
    charges(binds).into_iter().map(|(budget, _)| (budget.namespace.clone(), budget.name.clone()))
}

/// Calls that need not wait for each other.
#[derive(Default)]
struct Calls {
    waiting: Vec<(Call, Vec<Chosen>)>,
    /// For each bind, or those that are whole together, its call, the place of its last bind there and whether others share the call; else
    /// what became of it without a call.
    places: Vec<std::result::Result<(usize, usize, bool), BindOutcome>>,
    /// The budgets that they charge.
    charged: HashSet<NamespacedName>,
}

impl Calls {
    /// Takes in what a bind writes; `None` is one that cannot be carried out any more.
    fn add(&mut self, ordered: Option<Ordered>) {
        let Some(Ordered { mut writes, bind, volumes }) = ordered else {
            self.places.push(Err(BindOutcome::STALE));
            return;
        };
        let [_] = &writes[..] else {
            self.places.push(Ok((self.waiting.len(), bind, false)));
            self.waiting.push((Call { writes, atomicity: Atomicity::AllOrNothing }, volumes));
            return;
        };
        match self.waiting.last_mut().filter(|(call, _)| call.atomicity == Atomicity::Each) {
            Some((call, _)) => call.writes.append(&mut writes),
            None => self.waiting.push((Call { writes, atomicity: Atomicity::Each }, Vec::new())),
        }
        let last = self.waiting.len() - 1;
        self.places.push(Ok((last, self.waiting[last].0.writes.len() - 1, true)));
    }

    /// The outcome of each.
    async fn commit(self, binder: &InStore<'_>, decided_at: Option<u64>) -> Result<Vec<BindOutcome>> {
        let is_alone = self.waiting.len() == 1;
        let commits = self.waiting.into_iter().map(|(call, volumes)| async move {
            let judgement = Judgement { profile: binder.profile.clone(), decided_at, volumes };
            match binder.service.clusters.commit_judged(binder.cluster, call, judgement).await {
                // Others may have found room.
                Err(CommitError::Store(StoreError::Full(why))) if !is_alone => Ok(Err(why)),
                commit => commit.map(Ok),
            }
        });
        let _committing = trace::phase("commit");
        let commits: Vec<Result<Commit, String>> = try_join_all(commits).await?;
        let firsts = commits.iter().flatten().filter_map(|commit| commit.outcomes.first());
        if binder.fence.is_some() && firsts.into_iter().any(Lead::is_lost) {
            return Err(lead_lost());
        }
        let carried = self.places.into_iter().map(|place| match place {
            Err(outcome) => outcome,
            Ok((call, bind, is_shared)) => match &commits[call] {
                Err(why) => BindOutcome::NotBound(why.clone()),
                Ok(commit) if is_shared => of_bind(&commit.outcomes[bind], commit.revision),
                Ok(commit) => of_call(commit, bind),
            },
        });
        Ok(carried.collect())
    }
}

/// That anything but the last bind of the call, at `bind`, is refused means that the plan is stale.
fn of_call(commit: &Commit, bind: usize) -> BindOutcome {
    let refused = |outcome: &Outcome| matches!(outcome, Outcome::Refused(_));
    let others = commit.outcomes.iter().enumerate().filter(|(at, _)| *at != bind);
    let stale = others.map(|(_, o)| o).any(|o| refused(o) && *o != Outcome::Refused(Refusal::NotAttempted));
    match commit.outcomes.get(bind) {
        Some(outcome) if !stale => of_bind(outcome, commit.revision),
        _ => BindOutcome::STALE,
    }
}

fn of_bind(outcome: &Outcome, revision: u64) -> BindOutcome {
    match outcome {
        Outcome::Refused(refusal) => BindOutcome::Refused(refusal.clone()),
        Outcome::Unchanged { .. } => BindOutcome::Bound { revision, is_new: false },
        Outcome::Written { .. } | Outcome::Deleted { .. } => BindOutcome::Bound { revision, is_new: true },
    }
}

/// The choices for the claims of the pod whose bind stands at this place.
type Chosen = (usize, Vec<ClaimChoice>);

/// The writes for a bind.
struct Ordered {
    writes: Vec<Write>,
    /// Where the last bind stands.
    bind: usize,
    volumes: Vec<Chosen>,
}

/// The write that uses up disruptions of a budget, if it allows as many as when that was decided.
async fn charged(service: &Service, cluster: &str, budget: &PodDisruptionBudget, used: i32) -> Result<Option<Write>> {
    let Some(kind) = kinds::by_core(Kind::PodDisruptionBudget) else { return Ok(None) };
    let key = Key::new(kind.key(), &*budget.namespace, &*budget.name);
    let Some(record) = service.store.get(cluster, &key).await? else { return Ok(None) };
    let parsed = kind.parse(&record.body).map_err(Error::internal)?;
    let Object::PodDisruptionBudget(stored) = parsed.object else { return Ok(None) };
    if stored.disruptions_allowed != budget.disruptions_allowed {
        return Ok(None);
    }
    with_allowance(&record, stored.disruptions_allowed.saturating_sub(used).max(0)).map(Some)
}

/// The write of the bind's object in the outbox, if it has one.
fn in_outbox(bind: &Bind) -> Result<Option<Write>> {
    let Some((outgoing, is_done)) = &bind.outgoing else { return Ok(None) };
    let change = outgoing.put(*is_done)?;
    Ok(Some(Write { key: outgoing.key(), precondition: Precondition::default(), change }))
}

/// A change of this very pod, not of a later one of its name.
fn of(pod: &Pod, change: Change) -> Result<Write> {
    let uid = (!pod.uid.is_empty()).then(|| pod.uid.to_string());
    Ok(Write { key: key(pod)?, precondition: Precondition { uid, ..Precondition::exists() }, change })
}

fn key(pod: &Pod) -> Result<Key> {
    Ok(Key::new(objects::kind_of_pods()?.key(), &*pod.namespace, &*pod.name))
}

/// Takes the node out of the pod's status, if it is still there.
async fn clear_nomination(service: &Service, cluster: &str, pod: &Pod) -> Result<Option<Write>> {
    let key = key(pod)?;
    let Some(stored) = service.store.get(cluster, &key).await? else { return Ok(None) };
    let cleared = Document::parse(&stored.body).and_then(|mut document| {
        document.set_text_in("status", "nominatedNodeName", "")?;
        Ok(document)
    });
    // What cannot be read is no nomination either.
    let Ok(document) = cleared else { return Ok(None) };
    let change = Change::body(&stored, document.into_body());
    Ok(Some(Write { key, precondition: Precondition::revision(stored.revision), change }))
}
