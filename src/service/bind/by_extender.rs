//! Binds by an extender of the policy.
//!
//! Where an extender binds, the node is reserved first, as kube-scheduler assumes a pod: durable, judged like a bind, and
//! with the evictions in one commit. Then the extender is asked to bind, then its bind is recorded. What may go wrong:
//!
//! - It refuses: the reservation is taken back, the pod waits.
//! - Whether it bound is not known (no answer, or none that can be read), or this server dies in between: the reservation
//!   stays until it lapses, and a repeated request has the pod bound to the same node.
//! - The cluster changed so that the bind would be refused by now: it is a fact all the same and is recorded.
//!
//! Evictions are not undone, in kube-scheduler neither.
//!
//! In a cluster that mirrors a live one the extender's bind is noted like one that another client sends, and the API server binds the pods that no
//! extender binds.

use std::sync::Arc;

use futures_util::{StreamExt, future::BoxFuture, stream};
use jiff::Timestamp;

use super::{Bind, BindOutcome, Binder, ByApiServer, InStore, outbox::Outgoing};
use crate::{
    core::model::Pod,
    extenders::{Bound, Chain},
    service::{
        Service,
        error::Result,
        reserve::{LONGEST_TTL_SECONDS, lapsing_in},
    },
    store::{Atomicity, Call, Change, Key, Precondition, Write},
    wire::{reservation, source::ClusterSource},
};

/// Seconds for the commits around a bind.
const MARGIN_SECONDS: u64 = 30;

/// Binds under way at a time.
const AT_ONCE: usize = 16;

/// Binds of which extenders make those whose pods have a document; the others are made in the store.
#[derive(Clone, Debug)]
pub struct ByExtender<'s> {
    /// Where binds are reserved before and recorded afterwards.
    pub store: InStore<'s>,
    /// The live cluster that the cluster mirrors.
    pub mirrors: Option<Arc<ClusterSource>>,
    /// The extenders of the policy.
    pub chain: &'s Chain,
}

impl Binder for ByExtender<'_> {
    fn bind<'a>(&'a self, binds: &'a mut [Bind], together: bool) -> BoxFuture<'a, Result<Vec<BindOutcome>>> {
        Box::pin(async move {
            if !binds.iter().any(is_by_extender) {
                return self.without().bind(binds, together).await;
            }
            for bind in binds.iter_mut().filter(|bind| self.mirrors.is_some() && is_by_extender(bind)) {
                bind.outgoing = Some((Outgoing::of_bind(bind), true));
            }
            if together { self.bind_together(binds).await } else { self.bind_each(binds).await }
        })
    }
}

impl ByExtender<'_> {
    /// The binder of pods that no extender binds.
    fn without(&self) -> Box<dyn Binder + '_> {
        match &self.mirrors {
            Some(source) => Box::new(ByApiServer { store: self.store.clone(), source: source.clone() }),
            None => Box::new(self.store.clone()),
        }
    }

    /// The store, where nodes are reserved while so many binds are asked for, one after the other; and until when.
    async fn reserving(&self, binds: usize) -> Result<(InStore<'_>, String)> {
        let until = until(self.store.service.clusters.now().await?, self.chain, binds)?;
        Ok((InStore { reserve_until: Some(until.clone()), is_judged: false, ..self.store.clone() }, until))
    }

    /// Each bind for itself.
    async fn bind_each(&self, binds: &mut [Bind]) -> Result<Vec<BindOutcome>> {
        let part = |extenders: bool| -> Vec<Bind> {
            binds.iter().filter(|bind| is_by_extender(bind) == extenders).cloned().collect()
        };
        let here = self.without().bind(&mut part(false), false).await?;
        let (reserving, until) = self.reserving(1).await?;
        let reserved = reserving.bind(&mut part(true), false).await?;
        let (mut here, mut reserved) = (here.into_iter(), reserved.into_iter());
        let outcomes = binds.iter().map(|bind| if is_by_extender(bind) { reserved.next() } else { here.next() });
        let mut outcomes: Vec<BindOutcome> = outcomes.map(|outcome| outcome.unwrap_or(BindOutcome::STALE)).collect();
        let asked: Vec<_> = binds
            .iter_mut()
            .zip(&mut outcomes)
            .filter(|(bind, outcome)| is_by_extender(bind) && matches!(outcome, BindOutcome::Bound { .. }))
            .map(|(bind, outcome)| (bind, outcome, &until))
            .map(|(bind, outcome, until)| async move {
                *outcome = match self.ask(bind, until).await? {
                    Ok(()) => self.record(bind, true, until).await?,
                    Err(message) => BindOutcome::NotBound(message),
                };
                Ok(())
            })
            .collect();
        let done: Vec<Result<()>> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        done.into_iter().collect::<Result<()>>()?;
        Ok(outcomes)
    }

    /// All binds or none: the extenders make one after the other; where one of them is not made, those after it are not
    /// either.
    async fn bind_together(&self, binds: &mut [Bind]) -> Result<Vec<BindOutcome>> {
        let asked = binds.iter().filter(|bind| bind.document.is_some()).count();
        let (reserving, until) = self.reserving(asked).await?;
        let reserved = reserving.bind(binds, true).await?;
        if !matches!(reserved.first(), Some(BindOutcome::Bound { .. })) {
            return Ok(reserved);
        }
        let mut failed = None;
        let mut outcomes: Vec<Option<BindOutcome>> = vec![None; binds.len()];
        for (bind, outcome) in binds.iter_mut().zip(&mut outcomes) {
            if failed.is_some() || bind.document.is_none() {
                continue;
            }
            *outcome = Some(match self.ask(bind, &until).await? {
                Ok(()) => self.record(bind, true, &until).await?,
                Err(message) => {
                    failed = Some(format!("{}/{} was not bound", bind.pod.namespace, bind.pod.name));
                    BindOutcome::NotBound(message)
                }
            });
        }
        let mut all = Vec::with_capacity(binds.len());
        for (bind, outcome) in binds.iter().zip(outcomes) {
            all.push(match (outcome, &failed) {
                (Some(outcome), _) => outcome,
                (None, Some(why)) => {
                    self.release(&bind.pod, &until).await?;
                    BindOutcome::NotBound(format!("another of the request, {why}"))
                }
                (None, None) => self.record(bind, false, &until).await?,
            });
        }
        Ok(all)
    }

    /// Has the extender bind a pod whose node is reserved; why it did not.
    async fn ask(&self, bind: &mut Bind, until: &str) -> Result<Result<(), String>> {
        let Some(document) = &bind.document else { return Ok(Ok(())) };
        match self.chain.bind(document, &bind.node).await {
            Ok(Bound::By(_)) => Ok(Ok(())),
            Ok(Bound::Here(skipped)) => {
                bind.errors.extend(skipped.into_iter().map(Into::into));
                Ok(Ok(()))
            }
            Err(failure) => {
                let mut message = failure.to_string();
                if failure.cause.is_unclear() {
                    let node = &bind.node;
                    message =
                        format!("{message}; whether it bound is not known, and node {node} is reserved until {until}");
                } else {
                    self.release(&bind.pod, until).await?;
                }
                bind.errors.push(failure.into());
                Ok(Err(message))
            }
        }
    }

    /// Binds a pod whose node was reserved for it until then. Where an extender bound it already that is a fact, and is
    /// noted whatever speaks against it by now.
    async fn record(&self, bind: &Bind, is_fact: bool, until: &str) -> Result<BindOutcome> {
        // Whoever had to leave has left when the node was reserved.
        let mut outcome = if is_fact {
            self.store.bind_one(bind.alone()).await?
        } else {
            self.without().bind_one(bind.alone()).await?
        };
        if is_fact && outcome.is_stale() {
            outcome = self.store.note(bind).await?;
        }
        self.release(&bind.pod, until).await?;
        Ok(outcome)
    }

    /// Takes the reservation back that was made until then; a later one stays.
    async fn release(&self, pod: &Pod, until: &str) -> Result<()> {
        let InStore { service, cluster, .. } = self.store;
        let service: &Service = service;
        let key = Key::new(reservation::KIND, &*pod.namespace, &*pod.name);
        let Some(record) = service.store.get(cluster, &key).await? else { return Ok(()) };
        let stored = reservation::Stored::parse(&record.body);
        if stored.is_ok_and(|stored| stored.until == until && *stored.pod_uid == *pod.uid) {
            let precondition = Precondition::revision(record.revision);
            let write = Write { key, precondition, change: Change::Delete };
            let call = Call { writes: vec![write], atomicity: Atomicity::Each };
            service.clusters.commit(cluster, call, None).await?;
        }
        Ok(())
    }
}

/// `true` if an extender makes the bind.
fn is_by_extender(bind: &Bind) -> bool {
    bind.document.is_some()
}

/// When a node is free again that is reserved while so many binds are asked for, one after the other.
fn until(now: Timestamp, chain: &Chain, binds: usize) -> Result<String> {
    let seconds = chain.patience().as_secs().saturating_add(1).saturating_mul(binds as u64);
    let seconds = seconds.saturating_add(MARGIN_SECONDS).min(LONGEST_TTL_SECONDS.into());
    lapsing_in(now, u32::try_from(seconds).unwrap_or(LONGEST_TTL_SECONDS))
}
