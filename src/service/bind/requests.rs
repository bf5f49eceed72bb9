//! Binds that clients ask for, one pod each: `pods/binding`, and kube-scheduler's extender verb `bind`.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{Bind, BindOutcome, InStore, binder, by_api_server::resume};
use crate::{
    core::{
        batch::Placed,
        claim_choice::ClaimChoice,
        model::{Name, Pod},
        policy::Profile,
    },
    live::View,
    service::{
        Service,
        compute::compute,
        context,
        decisions::NotedBind,
        error::{Error, Result, Subject},
        objects::{Target, kind_of_pods},
        source::{lag, requests::PodRef},
    },
    store::{Key, Refusal},
    telemetry::trace,
    wire::{decision::AskedBy, extender::ExtenderBindingArgs},
};

/// Binds the pod of a target to a node, if it has this uid (empty: any) and fits there by the policy (`None`: the one in
/// force). `dry_run`: judges it only.
///
/// # Errors
/// [`Error::NotFound`] if there is no such pod or policy, [`Error::Conflict`] with the reason why it is not bound.
pub async fn bind_stored(
    service: &Service,
    target: &Target,
    uid: &str,
    node: &str,
    policy: Option<&str>,
    dry_run: bool,
) -> Result<()> {
    let (cluster, key) = (&target.cluster, target.key());
    let outcome = if dry_run {
        try_bind(service, cluster, &key, uid, node, policy).await?
    } else {
        lag::check(service, cluster).await?;
        let judged_by = context::judged_by(service, cluster, policy, (&key.namespace, &key.name)).await?;
        bind_pod(service, cluster, &key, uid, node, judged_by).await?
    };
    let refusal = match outcome {
        // Only with the uid is it known to be the same bind, repeated.
        BindOutcome::Bound { is_new: false, .. } if uid.is_empty() => Refusal::AlreadyBound { node: node.into() },
        BindOutcome::Refused(refusal) => refusal,
        BindOutcome::NotBound(why) | BindOutcome::Waits { why, .. } => Refusal::Rejected(why),
        BindOutcome::Bound { .. } => return Ok(()),
    };
    Err(match target.refused(refusal, uid) {
        Error::Conflict { message, .. } => {
            Error::Conflict { subject: Subject::new("", "pods/binding", &*target.name), message }
        }
        other => other,
    })
}

/// Binds as the extender verb does; the reason why the pod is not bound, if it is not.
///
/// # Errors
/// [`Error::NotFound`] if there is no such cluster.
pub async fn extender_bind(
    service: &Service,
    cluster: &Arc<str>,
    args: ExtenderBindingArgs,
    policy: Option<&str>,
    by: &AskedBy,
) -> Result<Option<String>> {
    let ExtenderBindingArgs { pod_name, pod_namespace, pod_uid, node } = args;
    if pod_name.is_empty() || node.is_empty() {
        return Ok(Some("the request names no pod or no node".into()));
    }
    context::existing(service, cluster).await?;
    lag::check(service, cluster).await?;
    let judged_by = match context::judged_by(service, cluster, policy, (&pod_namespace, &pod_name)).await {
        Err(error @ Error::NotFound(_)) => return Ok(Some(error.to_string())),
        judged_by => judged_by?,
    };
    let key = Key::new(kind_of_pods()?.key(), &*pod_namespace, &*pod_name);
    let _committing = trace::phase("commit");
    Ok(match bind_pod(service, cluster, &key, &pod_uid, &node, judged_by).await? {
        BindOutcome::Refused(refusal) => Some(why(refusal, &pod_namespace, &pod_name, &pod_uid)),
        BindOutcome::NotBound(why) | BindOutcome::Waits { why, .. } => Some(why),
        BindOutcome::Bound { revision, is_new } => {
            if is_new && service.decisions.is_on() {
                let (pod, policy) = ((pod_namespace, pod_name), policy.map(ToOwned::to_owned));
                let (cluster, by) = (cluster.clone(), by.clone());
                let live = service.clusters.get(&cluster).await?;
                let (epoch, view) = (live.progress().epoch(), live.view());
                service.decisions.bound(NotedBind { cluster, by, pod, node, policy, revision, view, epoch });
            }
            None
        }
    })
}

/// The reason for kube-scheduler.
fn why(refusal: Refusal, namespace: &str, name: &str, uid: &str) -> String {
    match refusal {
        Refusal::NotFound => format!("pod {namespace}/{name} is not known to the extender"),
        Refusal::UidMismatch { current } => {
            format!("pod {namespace}/{name} has the uid {current}: it is not the pod with the uid {uid}")
        }
        Refusal::AlreadyBound { node } => format!("pod {name} is already assigned to node {node:?}"),
        Refusal::Rejected(why) => why,
        Refusal::AlreadyExists { .. } | Refusal::Conflict { .. } | Refusal::NotAttempted => {
            format!("pod {namespace}/{name} has been modified meanwhile")
        }
    }
}

/// The outcome that a bind would have now.
async fn try_bind(
    service: &Service,
    cluster: &Arc<str>,
    Key { namespace, name, .. }: &Key,
    uid: &str,
    node: &str,
    policy: Option<&str>,
) -> Result<BindOutcome> {
    let view = context::view(service, cluster).await?;
    let Some(pod) = view.snapshot.pod(namespace, name) else { return Ok(BindOutcome::Refused(Refusal::NotFound)) };
    if !uid.is_empty() && *uid != *pod.uid {
        return Ok(BindOutcome::Refused(Refusal::UidMismatch { current: pod.uid.to_string() }));
    }
    let chosen = context::chosen(&view, policy)?.pick_or_first(Some(pod));
    let revision = view.snapshot.revision;
    if !uid.is_empty() && view.bound_to(namespace, name) == Some(node) {
        return Ok(BindOutcome::Bound { revision, is_new: false });
    }
    Ok(match view.may_bind(namespace, name, node, chosen.profile()) {
        Ok(()) => BindOutcome::Bound { revision, is_new: true },
        Err(why) => BindOutcome::Refused(Refusal::Rejected(why)),
    })
}

/// Longest wait for a mirror to show what the scheduler that asks for a bind has seen.
const SHOWN_WITHIN: Duration = Duration::from_secs(2);

/// How often a bind is tried when its volumes go to others first.
const ATTEMPTS: usize = 8;

/// Binds a pod to a node, if it is the pod of this uid (empty: whichever it is), and in the same commit settles those of
/// its claims that waited for it.
async fn bind_pod(
    service: &Service,
    cluster: &str,
    key: &Key,
    uid: &str,
    node: &str,
    judged_by: Option<Arc<Profile>>,
) -> Result<BindOutcome> {
    let view = shown(service, cluster, key).await?;
    let (mut uid, source) = (uid, view.source());
    let source = source.as_ref();
    let stored = view.snapshot.pod(&key.namespace, &key.name);
    if let Some(source) = source {
        // Whoever carries it out is told of this very pod.
        match stored {
            Some(stored) if uid.is_empty() => uid = &stored.uid,
            None if uid.is_empty() => return Ok(BindOutcome::Refused(Refusal::NotFound)),
            _ => {}
        }
        if view.bound_to(&key.namespace, &key.name) == Some(node) && stored.is_some_and(|stored| *stored.uid == *uid) {
            let pod = PodRef { namespace: key.namespace.clone(), name: key.name.clone(), uid: uid.to_owned() };
            let bound = BindOutcome::Bound { revision: view.snapshot.revision, is_new: false };
            return resume(service, cluster, source, &pod, bound).await;
        }
    }
    let name = |text: &str| Name::from(text);
    let pod = Pod { namespace: name(&key.namespace), name: name(&key.name), uid: name(uid), ..Pod::default() };
    let pod = Arc::new(pod);
    let (profile, reserve_until) = (judged_by.clone(), None);
    let store = InStore { service, cluster, profile, reserve_until, is_judged: false, fence: None };
    let binder = binder(store, source, None);
    let mut before: Option<(Vec<ClaimChoice>, BindOutcome)> = None;
    if source.is_some() {
        claims_settled(service, cluster, key, node, judged_by.as_ref()).await?;
    }
    for _ in 0..ATTEMPTS {
        let chosen = volumes_for(service, cluster, key, node, judged_by.as_ref()).await?;
        if let Some((tried, outcome)) = before
            && tried == chosen
        {
            // It is not for the choice that the bind was refused.
            return Ok(outcome);
        }
        let placed = Placed { node: node.into(), volumes: chosen.clone(), ..Placed::default() };
        let outcome = binder.bind_one(Bind::new(&pod, &placed, 0)).await?;
        match outcome {
            BindOutcome::Refused(Refusal::Rejected(_)) => before = Some((chosen, outcome)),
            // One of the volumes, claims or devices was written meanwhile.
            BindOutcome::Refused(Refusal::NotAttempted) => {
                let head = service.store.head(cluster).await?.revision;
                service.clusters.get(cluster).await?.reached(head, service.freshness.max_wait).await;
                before = None;
            }
            outcome => return Ok(outcome),
        }
    }
    Ok(BindOutcome::STALE)
}

/// The view, in a mirror as soon as it shows the pod, for a bounded time: the scheduler that asks for the bind has seen it.
async fn shown(service: &Service, cluster: &str, key: &Key) -> Result<Arc<View>> {
    let live = service.clusters.get(cluster).await?;
    let mut progress = live.subscribe();
    let is_there = |view: &View| view.source().is_none() || view.snapshot.pod(&key.namespace, &key.name).is_some();
    let there = async { while !is_there(&live.view()) && progress.changed().await.is_ok() {} };
    // The bind says so if it is not.
    drop(timeout(SHOWN_WITHIN, there).await);
    Ok(live.view())
}

/// Waits until the mirror shows the claims of a pod as settled, for a bounded time: the scheduler that asks for the bind has seen them so.
async fn claims_settled(
    service: &Service,
    cluster: &str,
    key: &Key,
    node: &str,
    profile: Option<&Arc<Profile>>,
) -> Result<()> {
    let live = service.clusters.get(cluster).await?;
    let mut progress = live.subscribe();
    let settled = async {
        while !volumes_for(service, cluster, key, node, profile).await?.is_empty() {
            if progress.changed().await.is_err() {
                break;
            }
        }
        Ok(())
    };
    timeout(SHOWN_WITHIN, settled).await.unwrap_or(Ok(()))
}

/// The choices for the pod's claims on the node. Most pods have none.
async fn volumes_for(
    service: &Service,
    cluster: &str,
    key: &Key,
    node: &str,
    profile: Option<&Arc<Profile>>,
) -> Result<Vec<ClaimChoice>> {
    let view = service.clusters.get(cluster).await?.view();
    let has_claims = |pod: &Arc<Pod>| pod.may_have_claims() && view.bound_to(&pod.namespace, &pod.name).is_none();
    if !view.snapshot.pod(&key.namespace, &key.name).is_some_and(has_claims) {
        return Ok(Vec::new());
    }
    let profile = profile.unwrap_or_else(|| view.profile_of(&key.namespace, &key.name)).clone();
    let (view, key, node) = (view.clone(), key.clone(), node.to_owned());
    compute(move || view.choices(&key.namespace, &key.name, &node, &profile)).await
}
