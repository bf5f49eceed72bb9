//! Binds: pods go to their nodes, judged at the commit.

use std::sync::Arc;

use super::{
    Service,
    compute::compute,
    error::{Error, Result},
    volumes,
};
use crate::{
    cluster::Judgement,
    core::{model::Pod, policy::Profile, volume_choice::VolumeChoice},
    store::{Atomicity, Call, Change, Key, Outcome, Precondition, Refusal, Write},
};

/// How often a bind is tried when its volumes go to others first.
const ATTEMPTS: usize = 8;

/// Binds a pod to a node, if it has this uid (empty: any), and in the same commit settles its waiting claims.
pub async fn bind_pod(
    service: &Service,
    cluster: &str,
    key: &Key,
    uid: &str,
    node: &str,
    judged_by: Option<Arc<Profile>>,
) -> Result<Outcome> {
    let uid = Some(uid.to_owned()).filter(|uid| !uid.is_empty());
    let precondition = Precondition { uid, ..Precondition::exists() };
    let bind = Write { key: key.clone(), precondition, change: Change::Bind { node: node.to_owned() } };
    let mut before: Option<(Vec<VolumeChoice>, Outcome)> = None;
    for _ in 0..ATTEMPTS {
        let chosen = volumes_for(service, cluster, key, node, judged_by.as_ref()).await?;
        if let Some((tried, outcome)) = before
            && tried == chosen
        {
            // It is not for the choice that the bind was refused.
            return Ok(outcome);
        }
        let mut writes = vec![bind.clone()];
        let stored = volumes::Stored::read(service, cluster, chosen.iter()).await?;
        for choice in &chosen {
            writes.extend(stored.writes(choice)?.unwrap_or_default());
        }
        let volumes = if chosen.is_empty() { Vec::new() } else { vec![(0, chosen.clone())] };
        let judgement = Judgement { profile: judged_by.clone(), decided_at: None, volumes };
        let call = Call { writes, atomicity: Atomicity::AllOrNothing };
        let commit = service.clusters.commit_judged(cluster, call, judgement).await?;
        let mut outcomes = commit.outcomes.into_iter();
        let outcome = outcomes.next().ok_or_else(|| Error::internal("the store did not answer for a write"))?;
        match outcome {
            Outcome::Refused(Refusal::Rejected(_)) => before = Some((chosen, outcome)),
            // One of the volumes or claims was written meanwhile.
            Outcome::Refused(Refusal::NotAttempted) => before = None,
            outcome => return Ok(outcome),
        }
    }
    Ok(Outcome::Refused(Refusal::NotAttempted))
}

/// Where the pod's claims would get their volumes from on the node. Most pods have none.
async fn volumes_for(
    service: &Service,
    cluster: &str,
    key: &Key,
    node: &str,
    profile: Option<&Arc<Profile>>,
) -> Result<Vec<VolumeChoice>> {
    let view = service.clusters.get(cluster).await?.view();
    let has_volumes = |pod: &Arc<Pod>| !pod.volumes.is_empty() && view.bound_to(&pod.namespace, &pod.name).is_none();
    if !view.snapshot.pod(&key.namespace, &key.name).is_some_and(has_volumes) {
        return Ok(Vec::new());
    }
    let profile = profile.unwrap_or_else(|| view.profile_of(&key.namespace, &key.name)).clone();
    let (view, key, node) = (view.clone(), key.clone(), node.to_owned());
    compute(move || view.choices(&key.namespace, &key.name, &node, &profile)).await
}
