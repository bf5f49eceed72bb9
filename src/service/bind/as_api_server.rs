//! Binds as the API server makes them, under `--admission=kubernetes`: the scheduler has decided, so nothing is judged again, and the node need
//! not exist. In a cluster that mirrors a live one each bind is judged: there Podberth is the scheduler.

use std::collections::BTreeMap;

use super::bind_stored;
use crate::{
    clock,
    service::{
        Service,
        error::{Error, Result, Subject},
        objects::{self, ATTEMPTS, Target, with_node},
        source::mirrored,
    },
    store::{Atomicity, Call, Change, Outcome, Precondition, Write},
    wire::{
        binding::{self, NotBound},
        document::Document,
    },
};

/// Binds the pod of a target to a node, if it has this uid (empty: any). `dry_run`: stores nothing.
///
/// # Errors
/// [`Error::NotFound`] if there is no such pod; [`Error::Conflict`] if it is bound already, waits for its gates, is being deleted, or has
/// another uid.
pub async fn bind_unjudged(
    service: &Service,
    target: &Target,
    uid: &str,
    node: &str,
    annotations: &BTreeMap<String, String>,
    dry_run: bool,
) -> Result<()> {
    if mirrored::of(service, &target.cluster).await?.is_some() {
        return bind_stored(service, target, uid, node, None, dry_run).await;
    }
    for _ in 0..ATTEMPTS {
        let stored = objects::read(service, target, None).await?;
        if !uid.is_empty() && *uid != *stored.uid {
            return Err(target.other_uid(uid, &stored.uid));
        }
        let pod = Document::parse(with_node(&stored)?.as_bytes()).map_err(Error::internal)?;
        let bound = match binding::bound(&pod, node, annotations, &clock::now_rfc3339()) {
            Ok(bound) => bound,
            Err(NotBound::Refused(message)) => {
                return Err(Error::Conflict { subject: Subject::new("", "pods/binding", &*target.name), message });
            }
            Err(NotBound::Unreadable(error)) => return Err(Error::internal(error)),
        };
        if dry_run {
            return Ok(());
        }
        let change = Change::Put { body: bound.into_body().into(), uid: stored.uid.clone(), node: Some(node.into()) };
        let write = Write { key: stored.key.clone(), precondition: Precondition::revision(stored.revision), change };
        let call = Call { writes: vec![write], atomicity: Atomicity::Each };
        let outcomes = service.clusters.commit(&target.cluster, call, None).await?.outcomes;
        if !outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))) {
            return Ok(());
        }
    }
    Err(target.modified())
}
