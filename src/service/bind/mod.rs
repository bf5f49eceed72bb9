//! Binds, from the decision to the fact. A [`Bind`] says which pod goes to which node and what has to happen for that; a
//! [`Binder`] makes binds facts: in our own store ([`InStore`]), or by way of the extender of a policy that binds
//! ([`ByExtender`]). An API server
//! of Kubernetes would be a third make.
//!
//! Whoever decides does so on a state that may have changed by now: a bind that is stale is refused, which is a normal
//! answer, and its pod is decided anew.

use std::sync::Arc;

use async_trait::async_trait;

use super::error::Result;
use crate::{
    core::{
        batch::Placed,
        model::{Name, Pod},
        plan::{Plan, Step},
    },
    store::{Change, Refusal},
    wire::{explanation::ExtenderError, extender_calls::PodDocument},
};

pub use self::{
    as_api_server::bind_unjudged,
    by_extender::ByExtender,
    in_store::InStore,
    requests::{bind_stored, extender_bind},
};

mod as_api_server;
mod by_extender;
mod in_store;
mod requests;
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
        }
    }

    /// The part of the pod itself: it goes to the node, and its claims are settled. All else has been done.
    fn alone(&self) -> Self {
        let own = self.plan.steps.iter().filter(|step| matches!(step, Step::Bind(..) | Step::Choose(_)));
        let plan = Plan { revision: self.plan.revision, steps: own.cloned().collect() };
        let (pod, node) = (self.pod.clone(), self.node.clone());
        Self { pod, node, plan, new: None, document: None, errors: Vec::new() }
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
#[async_trait]
pub trait Binder: Send + Sync {
    /// Carries binds out in their order, each whole or not at all or, `together`, all or none of them; what became of each.
    ///
    /// # Errors
    /// Where it is not known what became of them.
    async fn bind(&self, binds: &mut [Bind], together: bool) -> Result<Vec<BindOutcome>>;

    /// Carries one bind out.
    ///
    /// # Errors
    /// As for [`Self::bind`].
    async fn bind_one(&self, mut bind: Bind) -> Result<BindOutcome> {
        let outcomes = self.bind(std::slice::from_mut(&mut bind), false).await?;
        Ok(outcomes.into_iter().next().unwrap_or(BindOutcome::STALE))
    }
}
