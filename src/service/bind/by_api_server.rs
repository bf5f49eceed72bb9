//! Binds in a cluster that mirrors a live one.
//!
//! A bind is committed first, judged like any other, together with an object in the outbox ([`crate::wire::outbox`]). Then the API server is asked, and the
//! object is settled by what it says. The API server checks neither that the node exists nor that it has room: that is done here alone.
//!
//! - It binds the pod: the object is done, and goes when the mirror shows the pod on the node.
//! - It does not: the object goes and the pod waits again, in one commit.
//! - That is not known, or this process dies in between: the object stays, and so does the pod's node. Whoever looks after the outbox ([`super::recovery`])
//!   brings it to an end.
//!
//! Where the source says `bind: record`, another client sends the binding. The object is done from the beginning, so that the mirror keeps the pod's
//! node while the live cluster shows none; if that lasts too long, the pod waits again.

use std::{sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, join_all};
use metrics::counter;
use tokio::time::Instant;

use super::{
    Bind, BindOutcome, Binder, InStore,
    delivery::{First, deliver},
    outbox::Outgoing,
    replies::Delivered,
};
use crate::{
    service::{
        Service,
        error::{Error, Result},
        source::{ApiServer, requests::PodRef},
    },
    store::Refusal,
    telemetry::{self, seldom::UNMADE_BINDS},
    wire::source::{BindMode, ClusterSource},
};

/// Age of a commit from which others may have gone on from it: the pod is looked at before its binding is sent.
const MAY_BE_TAKEN_UP: Duration = Duration::from_secs(10);

/// Binds that the API server of the mirrored cluster carries out, or that are noted for those who do.
#[derive(Clone, Debug)]
pub struct ByApiServer<'s> {
    /// Where binds are committed.
    pub store: InStore<'s>,
    /// The mirrored cluster.
    pub source: Arc<ClusterSource>,
}

impl Binder for ByApiServer<'_> {
    fn bind<'a>(&'a self, binds: &'a mut [Bind], together: bool) -> BoxFuture<'a, Result<Vec<BindOutcome>>> {
        Box::pin(async move {
            if self.store.reserve_until.is_some() {
                return self.store.bind(binds, together).await;
            }
            let InStore { service, cluster, .. } = self.store;
            let is_sent = self.source.bind == BindMode::ApiServer;
            let server = if is_sent { Some(service.sources.server(cluster, &self.source).await) } else { None };
            let server = match server.transpose() {
                Ok(server) => server,
                Err(why) => {
                    let why = format!("the API server of {} cannot be asked: {why}", self.source.title());
                    return Ok(vec![BindOutcome::NotBound(why); binds.len()]);
                }
            };
            for bind in binds.iter_mut() {
                bind.outgoing = Some((Outgoing::of_bind(bind), !is_sent));
            }
            // Before the commit: others count from its end.
            let committed = Instant::now();
            let mut outcomes = self.store.bind(binds, together).await?;
            let Some(server) = server else { return Ok(outcomes) };
            let sends = binds.iter().zip(&mut outcomes).filter_map(|(bind, outcome)| {
                let (outgoing, _) = bind.outgoing.clone()?;
                matches!(outcome, BindOutcome::Bound { .. }).then_some((outgoing, outcome))
            });
            let delivering = |outgoing| Delivery {
                service: service.clone(),
                cluster: cluster.to_owned(),
                server: server.clone(),
                outgoing,
                committed,
                first: First::Send,
            };
            if together {
                let mut failed = None;
                for (outgoing, outcome) in sends {
                    let pod = &outgoing.pod;
                    let name = format!("{}/{}", pod.namespace, pod.name);
                    if let Some(failed) = &failed {
                        *outcome = BindOutcome::NotBound(format!("another of the request, {failed}, was not bound"));
                        if let Err(error) = outgoing.release(service, cluster, None, None).await {
                            let why = error.for_log();
                            tracing::warn!(
                                cluster,
                                pod = name,
                                why,
                                "a bind that was not sent stays; it is looked at again"
                            );
                            *outcome = unknown(&outgoing.node, &error.to_string());
                        }
                        continue;
                    }
                    *outcome = delivering(outgoing).on(outcome).await;
                    if !matches!(outcome, BindOutcome::Bound { .. }) {
                        failed = Some(name);
                    }
                }
            } else {
                let sends: Vec<_> = sends.collect();
                join_all(sends.into_iter().map(|(outgoing, outcome)| {
                    let delivery = delivering(outgoing);
                    async move { *outcome = delivery.on(outcome).await }
                }))
                .await;
            }
            Ok(outcomes)
        })
    }
}

/// A committed bind that is to be delivered and settled.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) service: Service,
    pub(super) cluster: String,
    pub(super) server: Arc<dyn ApiServer>,
    pub(super) outgoing: Outgoing,
    /// When it was committed, or before.
    pub(super) committed: Instant,
    /// [`First::Look`] where somebody else committed it.
    pub(super) first: First,
}

impl Delivery {
    /// Delivers a bind that has this outcome in the store. It goes on if the caller leaves.
    async fn on(self, stored: &BindOutcome) -> BindOutcome {
        let (node, stored) = (self.outgoing.node.clone(), stored.clone());
        match tokio::spawn(self.run(stored)).await {
            Ok(outcome) => outcome,
            Err(error) => unknown(&node, &error.to_string()),
        }
    }

    /// Delivers it. If this is dropped at any point, the outbox has what is left to be done.
    pub(super) async fn run(self, stored: BindOutcome) -> BindOutcome {
        let Self { service, cluster, server, outgoing, committed, mut first } = self;
        let node = &outgoing.node;
        let Ok(_turn) = service.sources.turn(&cluster).await else { return stored };
        // This process may have slept.
        if first == First::Look || committed.elapsed() > MAY_BE_TAKEN_UP {
            match outgoing.is_stored(&service, &cluster).await {
                Ok(true) => first = First::Look,
                Ok(false) => return BindOutcome::STALE,
                Err(error) => return unknown(node, &error.to_string()),
            }
        }
        let delivered = deliver(&*server, &outgoing.pod, node, first).await;
        note(&cluster, &outgoing, &delivered);
        if let Err(error) = outgoing.settle(&service, &cluster, &delivered, None).await {
            tracing::warn!(cluster, why = error.for_log(), "the end of a bind cannot be noted; it is looked at again");
        }
        match delivered {
            Delivered::Done => stored,
            Delivered::Taken(node) => BindOutcome::Refused(Refusal::AlreadyBound { node }),
            Delivered::Gone => BindOutcome::Refused(Refusal::NotFound),
            Delivered::Refused(why) => BindOutcome::NotBound(format!("the API server does not bind it: {why}")),
            Delivered::Unknown(why) => unknown(node, &why),
        }
    }
}

/// Counts and logs the end of a delivery.
pub(super) fn note(cluster: &str, outgoing: &Outgoing, delivered: &Delivered) {
    counter!(telemetry::API_BINDS, "result" => delivered.word()).increment(1);
    let (pod, node) = (&outgoing.pod, &outgoing.node);
    match delivered {
        Delivered::Refused(why) | Delivered::Unknown(why) => {
            if let Some(left_out) = UNMADE_BINDS.turn() {
                let (namespace, pod, result) = (&*pod.namespace, &*pod.name, delivered.word());
                tracing::warn!(cluster, namespace, pod, node, result, why, left_out, "a bind was not made");
            }
        }
        Delivered::Done | Delivered::Taken(_) | Delivered::Gone => {}
    }
}

fn unknown(node: &str, why: &str) -> BindOutcome {
    BindOutcome::NotBound(format!(
        "whether it is bound is not known yet ({why}); node {node} is kept for it until that is known"
    ))
}

/// Goes on with a bind that was committed for the same pod and node before, if it is under way.
///
/// # Errors
/// Those of the store.
pub(super) async fn resume(
    service: &Service,
    cluster: &str,
    source: &Arc<ClusterSource>,
    pod: &PodRef,
    stored: BindOutcome,
) -> Result<BindOutcome> {
    let key = Outgoing::new(pod.clone(), "").key();
    let Some(record) = service.store.get(cluster, &key).await? else { return Ok(stored) };
    let (outgoing, is_done) = Outgoing::of(&record)?;
    if is_done || outgoing.pod != *pod {
        return Ok(stored);
    }
    let server = service.sources.server(cluster, source).await.map_err(|why| Error::Unavailable {
        message: format!("the API server of {} cannot be asked: {why}", source.title()),
        retry_after_seconds: 1,
    })?;
    // Whoever committed it may have sent it, and may be gone.
    let (committed, first) = (Instant::now(), First::Look);
    let delivery =
        Delivery { service: service.clone(), cluster: cluster.to_owned(), server, outgoing, committed, first };
    Ok(delivery.on(&stored).await)
}
