//! The source of a cluster: what it is, set and removed.
//!
//! Whoever names a kubeconfig file, or the service account of the server's own pod, has Podberth use credentials that are the server's. So that
//! needs a right of its own: `use` on `sources` of the group `podberth.io`, with the file (or [`IN_CLUSTER`](super::naming::IN_CLUSTER)) as the resource's name. It is checked
//! before anything is read, and nothing here reads the file: what is wrong with it is told by the status of the mirror, to those who may see that.

use serde_json::{Value, json};

use crate::{
    core::access::OWN,
    live::SYSTEM_CLUSTER,
    service::{
        Service,
        access::Caller,
        clusters::{self, check_name},
        error::{Error, Result, Subject},
        objects::{self, Intent, Options, Part, Target, members::forget_earlier},
        source::{mirrored::key, naming::use_of},
    },
    store::{Atomicity, Call, Change, Precondition, Record, Write},
    wire::{objects::member_cluster::Member, source::ClusterSource},
};

/// Number of attempts while others change the source.
const ATTEMPTS: usize = 8;

/// Makes a cluster the mirror of a live one, or (`None`) no mirror any more: its objects stay as they are then. A cluster that does not exist is
/// made. Returns `true` if it is new. `dry_run`: stores nothing.
///
/// # Errors
/// [`Error::Invalid`] with the faults of the source, [`Error::Denied`] if the caller may not use it, [`Error::BadRequest`] for the cluster that has
/// the tokens, [`Error::NotAllowed`] if no cluster of this name may be made.
pub async fn set(
    service: &Service,
    caller: &Caller,
    cluster: &str,
    source: Option<&ClusterSource>,
    dry_run: bool,
) -> Result<bool> {
    check_name(cluster)?;
    if cluster == SYSTEM_CLUSTER {
        return Err(Error::BadRequest(format!("the cluster {cluster:?} has the tokens and mirrors none")));
    }
    if let Some(source) = source {
        let causes = source.faults();
        if !causes.is_empty() {
            let causes = causes
                .into_iter()
                .map(|cause| crate::wire::fault::Cause { field: format!("source.{}", cause.field), ..cause });
            return Err(Error::invalid("Cluster", cluster, causes.collect()));
        }
        caller.check(service, SYSTEM_CLUSTER, use_of(source)).await?;
    }
    let is_new = !clusters::exists(service, cluster).await?;
    if !dry_run {
        put(service, cluster, source, is_new).await?;
    }
    Ok(is_new)
}

/// Stores the source of a cluster, as an operator has configured it.
///
/// # Errors
/// Those of the store.
pub async fn configure(service: &Service, cluster: &str, source: &ClusterSource) -> Result<()> {
    let is_new = !clusters::exists(service, cluster).await?;
    put(service, cluster, Some(source), is_new).await
}

async fn put(service: &Service, cluster: &str, source: Option<&ClusterSource>, is_new: bool) -> Result<()> {
    if is_new {
        make(service, cluster).await?;
    }
    let kind = Member::kind().ok_or_else(|| Error::internal("Cluster objects are not stored"))?;
    let target = Target { cluster: SYSTEM_CLUSTER.into(), kind, namespace: None, name: cluster.to_owned() };
    for _ in 0..ATTEMPTS {
        let stored = service.store.get(SYSTEM_CLUSTER, &target.key()).await?;
        let intent = match (source, &stored) {
            // An object would take the source over that an earlier release has stored.
            (None, None) => return forget_earlier(service, cluster).await,
            (Some(source), None) => {
                let object = json!({"metadata": {"name": cluster}, "spec": {"source": source}});
                Intent::Create(object.to_string().into())
            }
            (source, Some(stored)) => {
                let now = Member::parse(&stored.body).map_err(Error::internal)?.source;
                if now.as_deref() == source {
                    return Ok(());
                }
                Intent::Replace { body: with_source(stored, source)?.into(), part: Part::Main }
            }
        };
        match objects::write(service, &target, intent, &Options::default()).await {
            Err(Error::Conflict { .. } | Error::AlreadyExists(_) | Error::NotFound(_)) => {}
            done => return done.map(drop),
        }
    }
    let subject = Subject::new(OWN, "clusters", cluster);
    Err(Error::Conflict { subject, message: "its source was being changed all the while; please try again".into() })
}

/// Makes a cluster that has nothing.
async fn make(service: &Service, cluster: &str) -> Result<()> {
    let write = |precondition, change| Write { key: key(), precondition, change };
    let body = serde_json::to_string(&ClusterSource::default()).map_err(Error::internal)?;
    let put = Change::Put { body: body.into(), uid: uuid::Uuid::new_v4().to_string(), node: None };
    let writes = vec![write(Precondition::absent(), put), write(Precondition::exists(), Change::Delete)];
    let call = Call { writes, atomicity: Atomicity::AllOrNothing };
    // If another one has made it meanwhile, the call is refused.
    service.clusters.commit(cluster, call, None).await?;
    Ok(())
}

/// A stored object with another source, to be written for the revision that was read.
fn with_source(stored: &Record, source: Option<&ClusterSource>) -> Result<String> {
    let mut object: Value = serde_json::from_slice(&stored.body).map_err(Error::internal)?;
    object["spec"]["source"] = json!(source);
    object["metadata"]["resourceVersion"] = stored.revision.to_string().into();
    Ok(object.to_string())
}
