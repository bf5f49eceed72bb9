//! Plans carried out.

use std::{collections::HashSet, sync::Arc};

use futures_util::future::try_join_all;

use super::pods;
use crate::{
    cluster::Judgement,
    core::{
        batch::Placed,
        model::{Pod, PodDisruptionBudget},
        plan::{Plan, Step},
        policy::Profile,
        snapshot::{Kind, NamespacedName, Object},
        volume_choice::VolumeChoice,
    },
    service::{
        Service,
        error::{Error, Result},
        evict::with_allowance,
        reserve,
        volumes::Stored,
    },
    store::{Atomicity, Call, Change, Commit, Key, Outcome, Precondition, Refusal, Write},
    telemetry::trace,
    wire::{
        document::Document,
        kinds,
        reservation::{self, ReservationKind},
    },
};

/// A plan, and the change that stores its pod first if it is not stored yet.
pub(super) struct Order {
    pub(super) plan: Plan,
    pub(super) new: Vec<(Arc<Pod>, Change)>,
}

impl Order {
    /// The disruptions used up of each budget, which is in its earlier state.
    fn charges(&self) -> Vec<(Arc<PodDisruptionBudget>, i32)> {
        let mut charges: Vec<(Arc<PodDisruptionBudget>, i32)> = Vec::new();
        for step in &self.plan.steps {
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

    /// The budgets that it charges.
    fn budgets(&self) -> impl Iterator<Item = NamespacedName> {
        self.charges().into_iter().map(|(budget, _)| (budget.namespace.clone(), budget.name.clone()))
    }
}

/// How orders are carried out.
pub(super) struct Manner {
    /// The profile that judges the binds.
    pub(super) profile: Arc<Profile>,
    /// Nodes are reserved until then, and not bound.
    pub(super) reserve_until: Option<String>,
}

/// The outcome of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// It was carried out. The newest revision afterwards.
    Out(u64),
    /// The pod is on this node already.
    AlreadyOn(String),
    /// The pod is no more, or another one has its name.
    Gone,
    /// Others came first: decide again.
    Stale,
    /// An extender was to bind it and did not, or another one of its gang is not bound.
    NotBound(String),
}

/// Binds a pod to its reserved node. If an extender bound it already, that is a fact and is recorded in any case.
pub(super) async fn recorded(
    service: &Service,
    cluster: &str,
    manner: &Manner,
    pod: &Arc<Pod>,
    there: &Placed,
    is_fact: bool,
    until: &str,
) -> Result<Carried> {
    let node = &there.node;
    // The victims were evicted when the node was reserved.
    let bind = Placed { node: node.clone(), volumes: there.volumes.clone(), ..Placed::default() };
    let plan = bind.plan(pod, 0);
    let carried = carry_out(service, cluster, manner, &[Order { plan, new: Vec::new() }], None).await?;
    let mut carried = carried.into_iter().next().unwrap_or(Carried::Stale);
    if carried == Carried::Stale && is_fact {
        let call = Call { writes: vec![of(pod, Change::SetNode(Some(node.to_string())))?], atomicity: Atomicity::Each };
        carried = of_call(&service.clusters.commit(cluster, call, Some(manner.profile.clone())).await?, 0);
    }
    released(service, cluster, pod, until).await?;
    Ok(carried)
}

/// Takes the reservation back that was made until then; a later one stays.
pub(super) async fn released(service: &Service, cluster: &str, pod: &Pod, until: &str) -> Result<()> {
    let key = Key::new(reservation::KIND, &*pod.namespace, &*pod.name);
    let Some(record) = service.store.get(cluster, &key).await? else { return Ok(()) };
    if reservation::Stored::parse(&record.body).is_ok_and(|stored| stored.until == until && *stored.pod_uid == *pod.uid)
    {
        let precondition = Precondition::revision(record.revision);
        let write = Write { key, precondition, change: Change::Delete };
        service.clusters.commit(cluster, Call { writes: vec![write], atomicity: Atomicity::Each }, None).await?;
    }
    Ok(())
}

/// Carries plans out in their order, each whole or not at all; those in a row that only bind are one call. `decided_at` is
/// the revision of the state on which they were decided, each in view of those before it, where the manner's profile has
/// judged them all; that is of use where all of them are one call.
pub(super) async fn carry_out(
    service: &Service,
    cluster: &str,
    manner: &Manner,
    orders: &[Order],
    decided_at: Option<u64>,
) -> Result<Vec<Carried>> {
    let chosen = orders.iter().flat_map(|order| &order.plan.steps).filter_map(|step| match step {
        Step::Choose(choice) if manner.reserve_until.is_none() => Some(choice),
        _ => None,
    });
    let stored = Stored::read(service, cluster, chosen).await?;
    let mut carried = Vec::with_capacity(orders.len());
    let mut calls = Calls::default();
    for order in orders {
        // What is left of a budget is read from the store, so those that were charged before have to be written.
        if order.budgets().any(|budget| calls.charged.contains(&budget)) {
            carried.append(&mut std::mem::take(&mut calls).commit(service, cluster, manner, None).await?);
        }
        calls.charged.extend(order.budgets());
        calls.add(writes(service, cluster, manner, order, &stored).await?);
    }
    let decided_at = decided_at.filter(|_| carried.is_empty() && calls.waiting.len() == 1);
    carried.append(&mut calls.commit(service, cluster, manner, decided_at).await?);
    Ok(carried)
}

/// Calls that need not wait for each other.
#[derive(Default)]
struct Calls {
    waiting: Vec<(Call, Vec<Chosen>)>,
    /// For each order its call, the place of its last bind there and whether others share the call; `None` where it is
    /// stale.
    places: Vec<Option<(usize, usize, bool)>>,
    /// The budgets that they charge.
    charged: HashSet<NamespacedName>,
}

impl Calls {
    /// Takes in an order; `None` is one that cannot be carried out any more.
    fn add(&mut self, ordered: Option<Ordered>) {
        let Some(Ordered { mut writes, bind, volumes }) = ordered else {
            self.places.push(None);
            return;
        };
        let [_] = &writes[..] else {
            self.places.push(Some((self.waiting.len(), bind, false)));
            self.waiting.push((Call { writes, atomicity: Atomicity::AllOrNothing }, volumes));
            return;
        };
        match self.waiting.last_mut().filter(|(call, _)| call.atomicity == Atomicity::Each) {
            Some((call, _)) => call.writes.append(&mut writes),
            None => self.waiting.push((Call { writes, atomicity: Atomicity::Each }, Vec::new())),
        }
        let last = self.waiting.len() - 1;
        self.places.push(Some((last, self.waiting[last].0.writes.len() - 1, true)));
    }

    /// The outcome of each order.
    async fn commit(
        self,
        service: &Service,
        cluster: &str,
        manner: &Manner,
        decided_at: Option<u64>,
    ) -> Result<Vec<Carried>> {
        let commits = self.waiting.into_iter().map(|(call, volumes)| {
            let judgement = Judgement { profile: Some(manner.profile.clone()), decided_at, volumes };
            service.clusters.commit_judged(cluster, call, judgement)
        });
        let _committing = trace::phase("commit");
        let commits: Vec<Commit> = try_join_all(commits).await?;
        let carried = self.places.into_iter().map(|place| match place {
            None => Carried::Stale,
            Some((call, bind, false)) => of_call(&commits[call], bind),
            Some((call, bind, true)) => of_bind(&commits[call].outcomes[bind], commits[call].revision),
        });
        Ok(carried.collect())
    }
}

/// That anything but the last bind of the call, at `bind`, is refused means that the plan is stale.
fn of_call(commit: &Commit, bind: usize) -> Carried {
    let refused = |outcome: &Outcome| matches!(outcome, Outcome::Refused(_));
    if !commit.outcomes.iter().any(refused) {
        return Carried::Out(commit.revision);
    }
    let others = commit.outcomes.iter().enumerate().filter(|(at, _)| *at != bind);
    let stale = others.map(|(_, o)| o).any(|o| refused(o) && *o != Outcome::Refused(Refusal::NotAttempted));
    match commit.outcomes.get(bind) {
        Some(outcome) if !stale => of_bind(outcome, commit.revision),
        _ => Carried::Stale,
    }
}

fn of_bind(outcome: &Outcome, revision: u64) -> Carried {
    match outcome {
        Outcome::Written { .. } | Outcome::Unchanged { .. } | Outcome::Deleted { .. } => Carried::Out(revision),
        Outcome::Refused(Refusal::AlreadyBound { node }) => Carried::AlreadyOn(node.clone()),
        Outcome::Refused(Refusal::NotFound | Refusal::UidMismatch { .. }) => Carried::Gone,
        Outcome::Refused(_) => Carried::Stale,
    }
}

/// The choices for the claims of the pod that is bound at this place.
type Chosen = (usize, Vec<VolumeChoice>);

/// The writes of an order.
struct Ordered {
    writes: Vec<Write>,
    /// The place of the last bind.
    bind: usize,
    volumes: Vec<Chosen>,
}

/// The writes of the order, in their order; `None` if one of its objects is gone, or a budget has changed since the order was decided.
async fn writes(
    service: &Service,
    cluster: &str,
    manner: &Manner,
    order: &Order,
    stored: &Stored,
) -> Result<Option<Ordered>> {
    let mut writes = Vec::with_capacity(order.new.len() + order.plan.steps.len());
    let (mut bind, mut volumes) = (0, Vec::<Chosen>::new());
    for (pod, change) in &order.new {
        writes.push(Write { key: key(pod)?, precondition: Precondition::absent(), change: change.clone() });
    }
    for (budget, used) in order.charges() {
        let Some(write) = charged(service, cluster, &budget, used).await? else { return Ok(None) };
        writes.push(write);
    }
    for step in &order.plan.steps {
        match step {
            Step::Evict(victim) => writes.push(of(victim, Change::Delete)?),
            Step::Charge(..) => {}
            Step::ClearNomination(waiting) => writes.extend(clear_nomination(service, cluster, waiting).await?),
            Step::Bind(pod, node) => match &manner.reserve_until {
                None => {
                    bind = writes.len();
                    writes.push(of(pod, Change::Bind { node: node.to_string() })?);
                }
                Some(until) => {
                    let kind = ReservationKind::Assumed;
                    let stored = reservation::Stored { pod_uid: pod.uid.to_string(), kind, until: until.clone() };
                    writes.extend(reserve::reserving(&pod.namespace, &pod.name, node, &stored)?.writes);
                    bind = writes.len() - 1;
                }
            },
            // Only a bind settles claims.
            Step::Choose(_) if manner.reserve_until.is_some() => {}
            Step::Choose(choice) => {
                let Some(chosen) = stored.writes(choice)? else { return Ok(None) };
                writes.extend(chosen);
                match volumes.last_mut().filter(|(at, _)| *at == bind) {
                    Some((_, choices)) => choices.push(choice.clone()),
                    None => volumes.push((bind, vec![choice.clone()])),
                }
            }
        }
    }
    Ok(Some(Ordered { writes, bind, volumes }))
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

/// A change of this very pod, not of a later one of its name.
fn of(pod: &Pod, change: Change) -> Result<Write> {
    let uid = (!pod.uid.is_empty()).then(|| pod.uid.to_string());
    Ok(Write { key: key(pod)?, precondition: Precondition { uid, ..Precondition::exists() }, change })
}

fn key(pod: &Pod) -> Result<Key> {
    Ok(Key::new(pods::kind()?.key(), &*pod.namespace, &*pod.name))
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
    let change = Change::Put { body: document.into_body().into(), uid: stored.uid, node: stored.node };
    Ok(Some(Write { key, precondition: Precondition::revision(stored.revision), change }))
}
