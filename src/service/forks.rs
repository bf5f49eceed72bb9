//! Forks of clusters: made, listed, compared with what they began with, removed. Work on a fork is that on any cluster.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    Service,
    access::{Caller, access},
    context::existing,
    error::{Error, Result, Subject},
    objects, past,
};
use crate::{
    core::access::{Attributes, ResourceAttributes},
    live::fork,
    store::{Cursor, Key, ListQuery, Record, Restore, Source, StoreError},
    wire::{
        explanation::PodName,
        fork::{Fork, ForkDiff, ForkList, ForkMove, ForkObject, ForkRequest, KIND, Stored},
        kinds, reservation,
    },
};

/// Forks of all clusters together.
pub const MOST_FORKS: usize = 1_000;

/// Seconds for which a fork is kept, if nothing else is asked for, and at most.
const TTL: u64 = 3_600;
const LONGEST_TTL: u64 = 7 * 24 * 3_600;

/// Length of a name.
const LONGEST_NAME: usize = 63;

/// Records of a fork that are compared at a time.
const PAGE: usize = 100;

/// Makes a fork of a cluster.
///
/// # Errors
/// The first fault of the request; [`Error::AlreadyExists`]; [`Error::Expired`] if the revision is not kept any more.
pub async fn create(service: &Service, base: &str, request: &ForkRequest) -> Result<Fork> {
    if let Some((_, name)) = fork::split(base) {
        return Err(Error::BadRequest(format!("{name:?} is a fork itself: make a fork of the cluster")));
    }
    let name = request.name.clone().unwrap_or_else(|| objects::generated("fork-"));
    check_name(&name)?;
    let ttl = request.ttl_seconds.unwrap_or(TTL);
    if !(1..=LONGEST_TTL).contains(&ttl) {
        return Err(Error::BadRequest(format!(
            "ttlSeconds: Invalid value: {ttl}: must be between 1 and {LONGEST_TTL}, which are seven days"
        )));
    }
    existing(service, base).await?;
    let revision = revision(service, base, request).await?;
    let created_at = service.clusters.now().await?;
    let expires_at = SignedDuration::try_from(Duration::from_secs(ttl)).map_err(Error::internal)?;
    let expires_at = created_at.checked_add(expires_at).map_err(Error::internal)?;
    make_room(service, base, &name, created_at).await?;
    let stored = Stored { revision, created_at, expires_at };
    let body = serde_json::to_vec(&stored).map_err(Error::internal)?;
    // Behind all revisions of the base, so that its objects can be adopted.
    let began = revision.saturating_add(1);
    let record = Record {
        key: fork::key(),
        uid: Uuid::new_v4().to_string(),
        revision: began,
        create_revision: began,
        node: None,
        deleted: false,
        body_revision: began,
        body: bytes::Bytes::from(body).into(),
    };
    let mut source = Beginning { revision: began, record: Some(record) };
    let cluster = fork::cluster_of(base, &name);
    match service.store.restore(&cluster, &mut source, Restore::default()).await {
        Ok(_) => {}
        // Another request was faster.
        Err(StoreError::Invalid(_)) => return Err(Error::AlreadyExists(subject(&name))),
        Err(error) => return Err(error.into()),
    }
    adopt_reservations(service, base, revision, &cluster).await?;
    Ok(shown(base, &name, &stored))
}

/// Makes the reservations of a base the fork's own: those of it alone are looked through for the ones whose time is over.
async fn adopt_reservations(service: &Service, base: &str, revision: u64, cluster: &str) -> Result<()> {
    let reserved = service.store.list_at(base, &ListQuery::all(reservation::KIND), revision).await;
    let reserved = match reserved {
        Ok(reserved) => reserved.items,
        Err(error) => return Err(past::explained(service, base, revision, error).await),
    };
    if !reserved.is_empty() {
        service.store.adopt(cluster, reserved).await?;
    }
    Ok(())
}

/// The revision of the base that a fork is to begin with, which is that of a batch.
async fn revision(service: &Service, base: &str, request: &ForkRequest) -> Result<u64> {
    let time = request.at.as_deref().map(|text| {
        let why = "it is a time of RFC 3339, as 2026-01-02T15:04:05Z";
        text.parse().map_err(|_| Error::BadRequest(format!("at: Invalid value: {text:?}: {why}")))
    });
    let at = past::At { revision: request.revision, time: time.transpose()? };
    let revision = match at.resolve(service, base).await? {
        Some(revision) => revision,
        None => service.store.head(base).await?.revision,
    };
    past::check_reached(service, base, revision).await?;
    past::batch_of(service, base, revision).await
}

/// Checks that one more fork may be made under a name.
async fn make_room(service: &Service, base: &str, name: &str, now: Timestamp) -> Result<()> {
    let cluster = fork::cluster_of(base, name);
    if let Some(record) = service.store.get(&cluster, &fork::key()).await? {
        if !fork::parse(&record)?.has_expired(now) {
            return Err(Error::AlreadyExists(subject(name)));
        }
        service.clusters.remove(&cluster).await?;
    }
    if service.store.everywhere(KIND).await?.found.len() >= MOST_FORKS {
        return Err(Error::NotAllowed(format!(
            "there are {MOST_FORKS} forks, which is the most: delete one (DELETE /forks/{{name}}), or wait until one expires"
        )));
    }
    Ok(())
}

/// The forks of a cluster.
///
/// # Errors
/// Those of the store.
pub async fn list(service: &Service, base: &str) -> Result<ForkList> {
    let now = service.clusters.now().await?;
    let mut items = Vec::new();
    for (cluster, record) in service.store.everywhere(KIND).await?.found {
        let Some((of, name)) = fork::split(&cluster).filter(|(of, _)| *of == base) else { continue };
        match record.and_then(|record| fork::parse(&record)) {
            Ok(stored) if !stored.has_expired(now) => items.push(shown(of, name, &stored)),
            Ok(_) => {}
            Err(error) => tracing::error!(cluster, %error, "a fork cannot be read"),
        }
    }
    items.sort_by(|one: &Fork, other| one.name.cmp(&other.name));
    Ok(ForkList { items })
}

/// One fork.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Expired`] if its time is over.
pub async fn describe(service: &Service, base: &str, name: &str) -> Result<Fork> {
    let (_, stored) = stored(service, base, name).await?;
    Ok(shown(base, name, &stored))
}

/// Checks that a cluster is there, if it is a fork. One in memory is known without the database, which may be away.
///
/// # Errors
/// As for [`describe`].
pub async fn check(service: &Service, cluster: &str) -> Result<()> {
    let Some((base, name)) = fork::split(cluster) else { return Ok(()) };
    match service.clusters.fork_in_memory(cluster) {
        Some(stored) => check_time(name, &stored, service.clusters.time_by_last_contact()),
        None => stored(service, base, name).await.map(drop),
    }
}

/// Checks that the time of a fork is not over.
fn check_time(name: &str, stored: &Stored, now: Timestamp) -> Result<()> {
    if !stored.has_expired(now) {
        return Ok(());
    }
    let end = stored.expires_at;
    Err(Error::Expired(format!("the fork {name:?} has expired at {end}: make another one")))
}

/// Removes a fork.
///
/// # Errors
/// [`Error::NotFound`]
pub async fn remove(service: &Service, base: &str, name: &str) -> Result<()> {
    check_name(name)?;
    let was_there = service.clusters.remove(&fork::cluster_of(base, name)).await?;
    if was_there { Ok(()) } else { Err(Error::NotFound(subject(name))) }
}

/// The differences between a fork and what it began with. The caller is told of objects that the caller may list in the base.
///
/// # Errors
/// As for [`describe`].
pub async fn diff(service: &Service, caller: &Caller, base: &str, name: &str) -> Result<ForkDiff> {
    let (record, stored) = stored(service, base, name).await?;
    let cluster = fork::cluster_of(base, name);
    let rights = match caller.limited() {
        Some(user) => Some((access(service, base).await?, user.clone())),
        None => None,
    };
    let mut diff =
        ForkDiff { name: name.to_owned(), cluster: base.to_owned(), revision: stored.revision, ..ForkDiff::default() };
    let mut cursor = Cursor::after(record.revision);
    loop {
        let page = service.store.changes(&cluster, &cursor, PAGE).await?;
        let keys: Vec<Key> = page.records.iter().map(|record| record.key.clone()).collect();
        let before = service.store.find_at(base, &keys, stored.revision).await.map_err(|error| match error {
            StoreError::Compacted { .. } | StoreError::Invalid(_) => {
                Error::from(fork::gone(base, name, stored.revision))
            }
            error => error.into(),
        })?;
        let mut before: HashMap<Key, Record> = before.into_iter().map(|record| (record.key.clone(), record)).collect();
        for after in page.records {
            let Some(kind) = kinds::by_key(&after.key.kind).filter(|kind| kind.is_shared()) else { continue };
            let before = before.remove(&after.key);
            let namespace = Some(after.key.namespace.clone()).filter(|namespace| !namespace.is_empty());
            let of = ResourceAttributes::new("list", kind.group, kind.plural);
            let of = of.within(namespace.as_deref().unwrap_or_default());
            let may_list = rights
                .as_ref()
                .is_none_or(|(access, user)| access.verdict(base, user, &Attributes::Resource(of)).is_allowed());
            add(&mut diff, kind, (before, after, namespace), may_list);
        }
        if page.complete {
            break;
        }
        cursor = page.next;
    }
    for objects in [&mut diff.added, &mut diff.changed, &mut diff.removed] {
        objects.sort();
    }
    diff.moved.sort_by(|one, other| (&one.pod.namespace, &one.pod.name).cmp(&(&other.pod.namespace, &other.pod.name)));
    Ok(diff)
}

/// Adds an object to a diff, as it was and as it is.
fn add(
    diff: &mut ForkDiff,
    kind: &kinds::StoredKind,
    (before, after, namespace): (Option<Record>, Record, Option<String>),
    may_list: bool,
) {
    let name = after.key.name.clone();
    let is_changed = |before: &Record| before.body != after.body || before.uid != after.uid;
    let is_moved = |before: &Record| before.node != after.node;
    let differs = match &before {
        Some(before) => after.deleted || is_changed(before) || is_moved(before),
        None => !after.deleted,
    };
    if !differs {
        return;
    }
    if !may_list {
        diff.hidden += 1;
        return;
    }
    let object = ForkObject {
        kind: kind.kind.to_owned(),
        api_version: kind.api_version(),
        namespace: namespace.clone(),
        name: name.clone(),
    };
    match before {
        None => diff.added.push(object),
        Some(_) if after.deleted => diff.removed.push(object),
        Some(before) => {
            if is_moved(&before) {
                let pod = PodName { namespace: namespace.unwrap_or_default(), name };
                diff.moved.push(ForkMove { pod, from: before.node.clone(), to: after.node.clone() });
            }
            if is_changed(&before) {
                diff.changed.push(object);
            }
        }
    }
}

/// The record of a fork, and what it says.
async fn stored(service: &Service, base: &str, name: &str) -> Result<(Record, Stored)> {
    check_name(name)?;
    let record = service.store.get(&fork::cluster_of(base, name), &fork::key()).await?;
    let record = record.ok_or_else(|| Error::NotFound(subject(name)))?;
    let stored = fork::parse(&record)?;
    check_time(name, &stored, service.clusters.now().await?)?;
    Ok((record, stored))
}

fn shown(base: &str, name: &str, stored: &Stored) -> Fork {
    let prefix = if base == crate::live::DEFAULT_CLUSTER { String::new() } else { format!("/clusters/{base}") };
    Fork {
        name: name.to_owned(),
        cluster: base.to_owned(),
        revision: stored.revision,
        path: format!("{prefix}/forks/{name}"),
        created_at: stored.created_at,
        expires_at: stored.expires_at,
    }
}

fn subject(name: &str) -> Subject {
    Subject::new("podberth.io", "forks", name)
}

/// Refuses invalid names of forks.
///
/// # Errors
/// [`Error::BadRequest`]
pub fn check_name(name: &str) -> Result<()> {
    let is_label = (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if is_label {
        return Ok(());
    }
    let shown: String = name.chars().take(LONGEST_NAME).collect();
    Err(Error::BadRequest(format!(
        "name: Invalid value: {shown:?}: a fork's name is lower case letters, digits and '-', {LONGEST_NAME} at most"
    )))
}

/// The one record with which a fork begins.
struct Beginning {
    revision: u64,
    record: Option<Record>,
}

impl Source for Beginning {
    fn revision(&self) -> u64 {
        self.revision
    }

    fn records(&mut self) -> std::result::Result<Option<Vec<Record>>, String> {
        Ok(self.record.take().map(|record| vec![record]))
    }
}

/// The fork that a path names, of a cluster.
///
/// # Errors
/// [`Error::BadRequest`]
pub fn cluster(base: &str, name: &str) -> Result<Arc<str>> {
    check_name(name)?;
    if fork::split(base).is_some() {
        return Err(Error::BadRequest("a fork has no forks".into()));
    }
    Ok(fork::cluster_of(base, name).into())
}
