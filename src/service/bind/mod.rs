//! Binds, from the decision to the fact. A [`Bind`] says which pod goes to which node and what has to happen for that; a
//! [`Binder`] makes binds facts: in our own store ([`InStore`]), or by way of the extender of a policy that binds
//! ([`ByExtender`]), or by the API server of a live cluster ([`ByApiServer`]). [`binder`] chooses.
//!
//! Whoever decides does so on a state that may have changed by now: a bind that is stale is refused, which is a normal
//! answer, and its pod is decided anew.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use self::{in_mirror::InMirror, outbox::Outgoing};
use super::{
    Service,
    error::{Error, Result},
    lead::Lead,
};
use crate::{
    core::{
        batch::Placed,
        model::{Name, Pod},
        plan::{Plan, Step},
    },
    extenders::Chain,
    store::{Atomicity, Call, Change, Outcome, Refusal, Write},
    wire::{explanation::ExtenderError, extender_calls::PodDocument, source::ClusterSource},
};

pub use self::{
    as_api_server::bind_unjudged,
    by_api_server::ByApiServer,
    by_extender::ByExtender,
    in_store::InStore,
    recovery::look_after,
    requests::{bind_stored, extender_bind},
};

mod as_api_server;
mod by_api_server;
mod by_extender;
mod delivery;
mod in_mirror;
mod in_store;
mod outbox;
mod recovery;
mod replies;
mod requests;
#[cfg(test)]
mod tests;
mod volumes;

/// A pod that is to go to a node.
#[derive(Clone, Debug)]
pub struct Bind {
    /// The pod.
    pub pod: Arc<Pod>,
    /// The node.
    pub node: Name,
    /// All that has to happen for it, whole or not at all; its revision is that of the state on which it was decided.
    pub plan: Plan,
    /// The change that stores the pod first, where it is not stored yet.
    pub new: Option<Change>,
    /// The pod as the extender that is to bind it is told of it; `None` where no extender binds it.
    pub document: Option<PodDocument>,
    /// The calls of extenders that failed on the way.
    pub errors: Vec<ExtenderError>,
    /// The object in the outbox that is stored with it, and if that is done from the beginning; `None` in a cluster that mirrors none.
    outgoing: Option<(Outgoing, bool)>,
}

impl Bind {
    /// A stored pod that goes where it was placed, on the state of that revision.
    pub fn new(pod: &Arc<Pod>, placed: &Placed, revision: u64) -> Self {
        Self {
            pod: pod.clone(),
            node: placed.node.clone(),
            plan: placed.plan(pod, revision),
            new: None,
            document: None,
            errors: Vec::new(),
            outgoing: None,
        }
    }

    /// The part of the pod itself: it goes to the node, and its claims are settled. All else has been done.
    fn alone(&self) -> Self {
        let own = self.plan.steps.iter().filter(|step| matches!(step, Step::Bind(..) | Step::Choose(_)));
        let plan = Plan { revision: self.plan.revision, steps: own.cloned().collect() };
        let (pod, node) = (self.pod.clone(), self.node.clone());
        let outgoing = self.outgoing.clone();
        Self { pod, node, plan, new: None, document: None, errors: Vec::new(), outgoing }
    }
}

/// The outcome of a bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindOutcome {
    /// It is a fact.
    Bound {
        /// The cluster's revision afterwards.
        revision: u64,
        /// `true` if it was none before.
        is_new: bool,
    },
    /// It is none, and why; [`BindOutcome::STALE`] where others were first.
    Refused(Refusal),
    /// An extender was to bind it and did not, another one that was to be bound with it is not, or a claim of its pod has no room for it.
    NotBound(String),
    /// It cannot be made now, and why. `is_nominated`: pods are leaving the node for it, and it waits for that.
    Waits {
        /// The reason.
        why: String,
        /// `true` if the pod is nominated to the node.
        is_nominated: bool,
    },
}

impl BindOutcome {
    /// Others were first: it is to be decided anew.
    pub const STALE: Self = Self::Refused(Refusal::NotAttempted);

    /// `true` if others were first: it neither is a fact, nor is its pod bound elsewhere or gone.
    pub fn is_stale(&self) -> bool {
        let is_settled = |refusal: &Refusal| {
            matches!(refusal, Refusal::AlreadyBound { .. } | Refusal::NotFound | Refusal::UidMismatch { .. })
        };
        matches!(self, Self::Refused(refusal) if !is_settled(refusal))
    }
}

/// The way in which binds become facts.
pub trait Binder: Send + Sync {
    /// Carries binds out in their order, each whole or not at all or, `together`, all or none of them; what became of each.
    ///
    /// Where others make binds (an extender, an API server), `together` is weaker: they are committed or reserved all or none, then made one after the
    /// other. The first one that is refused ends that; those before it stay bound, and those behind it are taken back.
    ///
    /// # Errors
    /// Where it is not known what became of them.
    fn bind<'a>(&'a self, binds: &'a mut [Bind], together: bool) -> BoxFuture<'a, Result<Vec<BindOutcome>>>;

    /// Carries one bind out.
    ///
    /// # Errors
    /// As for [`Self::bind`].
    fn bind_one(&self, mut bind: Bind) -> BoxFuture<'_, Result<BindOutcome>> {
        Box::pin(async move {
            let outcomes = self.bind(std::slice::from_mut(&mut bind), false).await?;
            Ok(outcomes.into_iter().next().unwrap_or(BindOutcome::STALE))
        })
    }
}

/// Checks that this process still leads, before anything outside of the store is changed. Without a fence nobody has to.
///
/// # Errors
/// Those of the store, and that another process leads.
async fn check_lead(service: &Service, cluster: &str, fence: Option<&Write>) -> Result<()> {
    match fence {
        Some(_) => commit(service, cluster, fence, Vec::new()).await.map(drop),
        None => Ok(()),
    }
}

/// Commits writes behind a fence, all or none; the first refusal that is no consequence of another one.
///
/// # Errors
/// Those of the store, and that another process leads.
async fn commit(
    service: &Service,
    cluster: &str,
    fence: Option<&Write>,
    writes: Vec<Write>,
) -> Result<Option<Refusal>> {
    let call = Call { writes: fence.cloned().into_iter().chain(writes).collect(), atomicity: Atomicity::AllOrNothing };
    let outcomes = service.clusters.commit(cluster, call, None).await?.outcomes;
    if fence.is_some() && outcomes.first().is_some_and(Lead::is_lost) {
        return Err(lead_lost());
    }
    Ok(outcomes.into_iter().find_map(|outcome| match outcome {
        Outcome::Refused(refusal) if refusal != Refusal::NotAttempted => Some(refusal),
        _ => None,
    }))
}

fn lead_lost() -> Error {
    Error::internal("another process leads by now")
}

/// The binder for a cluster: by the extenders of the policy, if there are any; and if the cluster mirrors a live one, by its API server.
pub fn binder<'s>(
    store: InStore<'s>,
    source: Option<&Arc<ClusterSource>>,
    chain: Option<&'s Chain>,
) -> Box<dyn Binder + 's> {
    let Some(source) = source else {
        return match chain {
            Some(chain) => Box::new(ByExtender { store, mirrors: None, chain }),
            None => Box::new(store),
        };
    };
    let (service, cluster, fence) = (store.service, store.cluster, store.fence.clone());
    let inner: Box<dyn Binder + 's> = match chain {
        Some(chain) => Box::new(ByExtender { store, mirrors: Some(source.clone()), chain }),
        None => Box::new(ByApiServer { store, source: source.clone() }),
    };
    Box::new(InMirror { service, cluster, source: source.clone(), fence, inner })
}
