//! The past of clusters: any revision that the database still has, for reading and deciding. Rights are judged by the roles of today.

use std::{fmt, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Service,
    compute::read_on,
    context::{self, DecisionContext, Fresh},
    error::{Error, Result},
};
use crate::{
    live::{View, fork, past::PastError},
    store::{Bodies, Rewind, StoreError},
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
        if let Some(error) = no_past(cluster) {
            return Err(error);
        }
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

/// The revision of the batch that a revision stands for.
///
/// # Errors
/// [`Error::Expired`] if it is not kept any more.
pub async fn batch_of(service: &Service, cluster: &str, revision: u64) -> Result<u64> {
    match service.store.rewind(cluster, &Rewind::between(revision, revision, Bodies::Of(&[])), 1).await {
        Ok(undone) => Ok(undone.revision),
        Err(error) => Err(explained(service, cluster, revision, error).await),
    }
}

/// The error of a read of the past of a fork; `None` for another cluster.
fn no_past(cluster: &str) -> Option<Error> {
    let (base, name) = fork::split(cluster)?;
    Some(Error::Expired(format!(
        "the fork {name:?} has no past of its own: read it without revision and at, or read the cluster {base:?} with them"
    )))
}

/// The error of a read of a revision, with the revisions that are left if it is gone.
pub async fn explained(service: &Service, cluster: &str, revision: u64, error: StoreError) -> Error {
    let StoreError::Compacted { compact_revision: from, .. } = error else { return error.into() };
    if let Some(error) = no_past(cluster) {
        return error;
    }
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

/// The fields of a request that say which cluster it is about.
#[derive(Debug, Default)]
struct Asked {
    revision: Option<u64>,
    /// The field `revision` comes more than once.
    is_repeated: bool,
    /// The field with a cluster in full: of `/explain`, or of `/simulate`, where the field may have a name instead.
    sent: Option<&'static str>,
}

impl<'de> Deserialize<'de> for Asked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(Self::default())
    }
}

impl<'de> Visitor<'de> for Asked {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> std::result::Result<Self, A::Error> {
        let mut is_seen = false;
        while let Some(name) = fields.next_key::<String>()? {
            match &*name {
                "revision" => {
                    self.is_repeated |= is_seen;
                    is_seen = true;
                    self.revision = fields.next_value()?;
                }
                "cluster" if fields.next_value::<Option<IgnoredAny>>()?.is_some() => self.sent = Some("cluster"),
                "cluster" => {}
                "on" => {
                    let on = fields.next_value::<Option<Box<RawValue>>>()?;
                    if on.is_some_and(|on| on.get().starts_with('{')) {
                        self.sent = Some("on");
                    }
                }
                _ => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(self)
    }
}

/// The past that a request is about: by its query, or by the field `revision` of its body. All other faults of the body are for its reader.
///
/// # Errors
/// [`Error::BadRequest`] if both name one, the field comes twice, or the request has a cluster of its own.
pub async fn of_request(query: At, body: bytes::Bytes) -> Result<At> {
    let length = body.len();
    let find = move || {
        // Most bodies do without, and large ones are not parsed twice. Letters of a name may be written as escapes.
        let lacks_field =
            || std::str::from_utf8(&body).is_ok_and(|text| !text.contains("\"revision\"") && !text.contains("\\u"));
        if query == At::default() && lacks_field() {
            return Ok(query);
        }
        decode::from_slice::<Asked>(&body).map_or(Ok(query), |asked| asked.past(query))
    };
    read_on(length, find).await?
}

impl Asked {
    fn past(self, query: At) -> Result<At> {
        let refused = |message: String| Err(Error::BadRequest(message));
        if self.is_repeated {
            return refused("revision: the body has it twice".into());
        }
        let at = match (query, self.revision) {
            (at, None) => at,
            (At { revision: None, time: None }, revision) => At { revision, time: None },
            _ => return refused("revision: both the query and the body name one".into()),
        };
        match self.sent {
            Some(field) if at != At::default() => refused(format!(
                "{} and {field} exclude each other: a cluster that comes with the request has no past",
                if at.time.is_some() { "at" } else { "revision" }
            )),
            _ => Ok(at),
        }
    }
}
