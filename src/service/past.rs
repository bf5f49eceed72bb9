//! The past of clusters: any revision that the database still has, for reading and deciding. Rights are judged by the roles of today.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::{
    Service,
    compute::read_on,
    context::{self, DecisionContext, Fresh},
    error::{Error, Result},
};
use crate::{
    live::{View, past::PastError},
    store::StoreError,
    wire::decode,
};

/// How far the clocks of clients may be ahead of the database's.
const SKEW: SignedDuration = SignedDuration::from_secs(60);

/// The revision that a request is about: by its number, or by the time at which it was the newest; by default the present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// The revision.
    pub revision: Option<u64>,
    /// The time.
    pub time: Option<Timestamp>,
}

impl At {
    /// The revision; `None` for the present.
    ///
    /// # Errors
    /// [`Error::Expired`] if nothing is known of the time any more, [`Error::BadRequest`] if it is to come.
    pub async fn resolve(self, service: &Service, cluster: &str) -> Result<Option<u64>> {
        let time = match self {
            Self { revision: Some(_), time: Some(_) } => {
                return Err(Error::BadRequest("revision and at exclude each other".into()));
            }
            Self { revision, time: None } => return Ok(revision),
            Self { revision: None, time: Some(time) } => time,
        };
        let now = service.clusters.now().await?;
        if time.duration_since(now) > SKEW {
            return Err(Error::BadRequest(format!("at: Invalid value: \"{time}\": it is to come")));
        }
        match service.store.revision_at(cluster, time).await? {
            Some(revision) => Ok(Some(revision)),
            None => Err(Error::Expired(format!(
                "no revision of the cluster {cluster:?} is kept that was the newest at {time}: --history-retention keeps them for longer"
            ))),
        }
    }
}

/// The view of a cluster that was published at a revision; within a batch that of the batch before. It shares with the present what has not changed.
///
/// # Errors
/// [`Error::Expired`] with the revisions that are left, [`Error::TooNew`].
pub async fn view_at(service: &Service, cluster: &str, revision: u64) -> Result<Arc<View>> {
    match service.clusters.view_at(cluster, revision, service.freshness.max_wait).await {
        Ok(view) => Ok(view),
        Err(PastError::TooNew { wanted, current }) => Err(Error::TooNew { wanted, current }),
        Err(PastError::Store(error)) => Err(explained(service, cluster, revision, error).await),
    }
}

/// [`context::take`] of a revision, if one is asked for.
///
/// # Errors
/// As for [`context::take`] and [`view_at`].
pub async fn take(service: &Service, cluster: &Arc<str>, fresh: Fresh, at: Option<u64>) -> Result<DecisionContext> {
    let context = context::take(service, cluster, fresh).await?;
    let Some(revision) = at else { return Ok(context) };
    context.is_there()?;
    Ok(context.of_the_past(view_at(service, cluster, revision).await?))
}

/// Checks that a cluster has come as far as a revision.
///
/// # Errors
/// [`Error::TooNew`]
pub async fn check_reached(service: &Service, cluster: &str, wanted: u64) -> Result<()> {
    let current = service.store.head(cluster).await?.revision;
    if wanted > current { Err(Error::TooNew { wanted, current }) } else { Ok(()) }
}

/// The error of a read of a revision, with the revisions that are left if it is gone.
pub async fn explained(service: &Service, cluster: &str, revision: u64, error: StoreError) -> Error {
    let StoreError::Compacted { compact_revision: from, .. } = error else { return error.into() };
    let newest = service.store.head(cluster).await.map_or(from, |head| head.revision);
    let left = if newest > from {
        format!("the revisions from {from} to {newest} are left")
    } else {
        format!("only the newest one, {newest}, is left")
    };
    Error::Expired(format!(
        "revision {revision} of the cluster {cluster:?} is not kept any more: {left}. The setting --history-retention of the server keeps them for \
         longer"
    ))
}

/// The field `revision` of a request.
#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    revision: Option<u64>,
}

/// The revision that the field `revision` of a body names, if it has the field. All other faults are for the reader of the body.
///
/// # Errors
/// If the computation was stopped.
pub async fn of_body(body: bytes::Bytes) -> Result<Option<u64>> {
    let length = body.len();
    let find = move || {
        // Most bodies do without, and large ones are not parsed twice.
        let has_field = std::str::from_utf8(&body).is_ok_and(|text| text.contains("\"revision\""));
        let asked = has_field.then(|| decode::from_slice::<Asked>(&body).ok()).flatten();
        asked.and_then(|asked| asked.revision)
    };
    read_on(length, find).await
}
