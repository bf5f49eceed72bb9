//! The source of a cluster: what it is, set and removed.
//!
//! Whoever names a kubeconfig file, or the service account of the server's own pod, has Podberth use credentials that are the server's. So that
//! needs a right of its own: `use` on `sources` of the group `podberth.io`, with the file (or [`IN_CLUSTER`]) as the resource's name. It is checked
//! before anything is read, and nothing here reads the file: what is wrong with it is told by the status of the mirror, to those who may see that.

use crate::{
    core::access::{OWN, ResourceAttributes},
    live::SYSTEM_CLUSTER,
    service::{
        Service,
        access::Caller,
        clusters::check_name,
        error::{Error, Result, Subject},
        source::mirrored::key,
    },
    store::{Atomicity, Call, Change, Outcome, Precondition, Record, Refusal, Retain, Write},
    wire::source::{ClusterSource, STATUS},
};

/// The name of the server's own cluster in rights to use it as a source.
pub const IN_CLUSTER: &str = "in-cluster";

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
        check_use(service, caller, source).await?;
    }
    let is_new = service.store.head(cluster).await?.revision == 0;
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
    let is_new = service.store.head(cluster).await?.revision == 0;
    put(service, cluster, Some(source), is_new).await
}

/// Refuses sources whose credentials the caller may not use.
async fn check_use(service: &Service, caller: &Caller, source: &ClusterSource) -> Result<()> {
    let name = source.kubeconfig_file.as_deref().unwrap_or(IN_CLUSTER);
    caller.check(service, SYSTEM_CLUSTER, ResourceAttributes::new("use", OWN, "sources").named(name)).await
}

async fn put(service: &Service, cluster: &str, source: Option<&ClusterSource>, is_new: bool) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let stored = service.store.get(cluster, &key()).await?;
        let writes = match (source, &stored) {
            (None, None) if is_new => vec![write(None, body(&ClusterSource::default())?), delete(None)],
            (None, None) => return Ok(()),
            (None, Some(stored)) => vec![delete(Some(stored))],
            (Some(source), Some(stored)) if ClusterSource::parse(&stored.body).is_ok_and(|now| now == *source) => {
                return Ok(());
            }
            (Some(source), Some(stored)) => vec![write(Some(stored), body(source)?)],
            (Some(source), None) => {
                // How far an earlier mirror was says nothing: the objects may have been written since.
                service.store.prune(cluster, STATUS, &Retain { entries: Some(0), ..Retain::default() }).await?;
                vec![write(None, body(source)?)]
            }
        };
        let call = Call { writes, atomicity: Atomicity::AllOrNothing };
        let outcomes = service.clusters.commit(cluster, call, None).await?.outcomes;
        let is_refused =
            |outcome: &Outcome| matches!(outcome, Outcome::Refused(refusal) if *refusal != Refusal::NotAttempted);
        if !outcomes.iter().any(is_refused) {
            return Ok(());
        }
    }
    let subject = Subject::new("podberth.io", "clusters", cluster);
    Err(Error::Conflict { subject, message: "its source was being changed all the while; please try again".into() })
}

fn body(source: &ClusterSource) -> Result<String> {
    serde_json::to_string(source).map_err(Error::internal)
}

fn as_read(stored: Option<&Record>) -> Precondition {
    stored.map_or_else(Precondition::absent, |stored| Precondition::revision(stored.revision))
}

fn write(stored: Option<&Record>, body: String) -> Write {
    let uid = stored.map_or_else(|| uuid::Uuid::new_v4().to_string(), |stored| stored.uid.clone());
    Write { key: key(), precondition: as_read(stored), change: Change::Put { body: body.into(), uid, node: None } }
}

/// Deletes the source as it was read, or the one that the write before it makes.
fn delete(stored: Option<&Record>) -> Write {
    let precondition = stored.map_or_else(Precondition::exists, |stored| Precondition::revision(stored.revision));
    Write { key: key(), precondition, change: Change::Delete }
}
