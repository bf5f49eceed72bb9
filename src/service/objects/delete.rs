//! Deletions: of one object, and of all selected ones of a collection. The rules are in [`crate::wire::deletion`].
//!
//! Under `--admission=kubernetes` an object may stay, marked, until its finalizers are gone, a running pod until its grace is over, and a
//! namespace until it is empty; [`lifecycle`](crate::service::lifecycle) sees to the rest. Under `--admission=none` a deletion is a fact: the
//! object goes at once.

use std::collections::{HashMap, HashSet};

use super::{
    ATTEMPTS, Found, aggregate,
    commit::commit,
    examine::undecodable,
    list::find,
    members,
    target::{Preconditions, Target},
    with_node,
};
use crate::{
    clock,
    core::{model::PriorityClass, snapshot::Kind},
    service::{
        Service,
        compute::{compute_on, read_on},
        error::{Error, Result, Subject},
        source::guard,
    },
    store::{Atomicity, Call, Change, Key, Outcome, Precondition, Record, Refusal, Write},
    wire::{
        decode::DecodeError,
        deletion::{self, End},
        document::Document,
        kinds::StoredKind,
        selector,
    },
};

/// Objects of a collection that are deleted in one commit.
const DELETED_AT_ONCE: usize = 500;

/// A deletion as it was asked for.
#[derive(Clone, Debug, Default)]
pub struct Deletion {
    /// Its manner.
    pub options: deletion::Options,
    /// Conditions on the stored object.
    pub preconditions: Preconditions,
    /// `true`: do everything but store it.
    pub dry_run: bool,
}

/// The result of a deletion.
#[derive(Clone, Debug)]
pub struct Deleted {
    /// The object's uid.
    pub uid: String,
    /// The object: as it was last, or as it stays.
    pub body: String,
    /// The revision at which it is so.
    pub revision: u64,
    /// `true` if it is gone, `false` if it stays for a while.
    pub is_gone: bool,
}

/// Deletes an object.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] if a precondition does not hold, or others kept changing the object; [`Error::Forbidden`] if it is a
/// namespace that every cluster has; [`Error::ReadOnly`] in a cluster that mirrors a live one.
pub async fn delete(service: &Service, target: &Target, deletion: &Deletion) -> Result<Deleted> {
    guard::check(service, &target.cluster, target.kind).await?;
    if target.kind.is_of_all() && !deletion.dry_run && service.clusters.fleet().await?.member(&target.name).is_some() {
        members::forget_earlier(service, &target.name).await?;
    }
    let is_strict = service.admission.holds_for(target.kind);
    if is_strict && target.kind.is(Kind::Namespace) && deletion::IMMORTAL.contains(&target.name.as_str()) {
        let message = "this namespace may not be deleted".into();
        return Err(Error::Forbidden { subject: target.subject(), message });
    }
    if is_strict && target.kind.is(Kind::PriorityClass) && PriorityClass::system(&target.name).is_some() {
        // `pkg/registry/scheduling/priorityclass/storage/storage.go`
        let message = "this is a system priority class and cannot be deleted".into();
        return Err(Error::Forbidden { subject: target.subject(), message });
    }
    let mut marked: Option<Deleted> = None;
    'attempts: for _ in 0..ATTEMPTS {
        let stored = service.store.get(&target.cluster, &target.key()).await?;
        // Whoever removes what is marked may come before the second write of this deletion.
        let is_same = |stored: &Record| marked.as_ref().is_none_or(|marked| marked.uid == stored.uid);
        let Some(stored) = stored.filter(is_same) else { return marked.ok_or_else(|| target.not_found()) };
        check(&deletion.preconditions, target, &stored)?;
        let (kind, options, length) = (target.kind, deletion.options, stored.body.len());
        let record = stored.clone();
        let next = read_on(length, move || ended(kind, &record, options, is_strict)).await??;
        let Next { mark, change, body, is_gone } = next;
        let told = |revision| Deleted { uid: stored.uid.clone(), body: body.clone(), revision, is_gone };
        let Some(change) = change.filter(|_| !deletion.dry_run) else { return Ok(told(stored.revision)) };
        let mut at = stored.revision;
        for change in mark.into_iter().chain([change]) {
            match commit(service, target, Precondition::revision(at), change, Vec::new()).await? {
                Ok(revision) => at = revision,
                Err(Refusal::Conflict { .. } | Refusal::NotFound) => {
                    if at != stored.revision {
                        marked = Some(told(at));
                    }
                    continue 'attempts;
                }
                Err(refusal) => return Err(target.refused(refusal, &stored.uid)),
            }
        }
        aggregate::after_change(service, &target.cluster, target.kind).await;
        return Ok(told(at));
    }
    Err(target.modified())
}

/// Deletes the selected objects of a collection in steps, and returns them as they were. Objects that others delete or create meanwhile stay as
/// they left them.
///
/// # Errors
/// Those of [`delete`] but [`Error::NotFound`]. Some objects may be deleted already then.
pub async fn delete_all(
    service: &Service,
    target: &Target,
    selector: &selector::Query,
    limit: Option<usize>,
    deletion: &Deletion,
) -> Result<Found> {
    guard::check(service, &target.cluster, target.kind).await?;
    let found = find(service, target, selector, limit, (None, None)).await?;
    if deletion.dry_run {
        return Ok(found);
    }
    let (kind, options, is_strict) = (target.kind, deletion.options, service.admission.holds_for(target.kind));
    for some in found.items.chunks(DELETED_AT_ONCE) {
        for record in some {
            check(&deletion.preconditions, &of(target, &record.key), record)?;
        }
        let (records, length) = (some.to_vec(), some.iter().map(|record| record.body.len()).sum());
        let (marks, writes) = compute_on(length, move || write_all(kind, &records, options, is_strict)).await??;
        let (mut changed, marked) = commit_all(service, target, marks).await?;
        let writes = writes.into_iter().filter(|write| !changed.contains(&write.key)).map(|mut write| {
            if let Some(revision) = marked.get(&write.key) {
                write.precondition = Precondition::revision(*revision);
            }
            write
        });
        changed.extend(commit_all(service, target, writes.collect()).await?.0);
        // Another client changed them meanwhile: they are judged anew.
        for key in changed {
            match delete(service, &of(target, &key), deletion).await {
                Ok(_) | Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    aggregate::after_change(service, &target.cluster, target.kind).await;
    Ok(found)
}

/// Commits writes, each for itself. Returns the objects that are not as they were read, and the revisions of those that were written.
async fn commit_all(
    service: &Service,
    target: &Target,
    writes: Vec<Write>,
) -> Result<(HashSet<Key>, HashMap<Key, u64>)> {
    let (mut changed, mut written) = (HashSet::new(), HashMap::new());
    if writes.is_empty() {
        return Ok((changed, written));
    }
    let keys: Vec<Key> = writes.iter().map(|write| write.key.clone()).collect();
    let call = Call { writes, atomicity: Atomicity::Each };
    let commit = service.clusters.commit(&target.cluster, call, None).await?;
    for (key, outcome) in keys.into_iter().zip(commit.outcomes) {
        match outcome {
            Outcome::Written { revision, .. } | Outcome::Unchanged { revision } => drop(written.insert(key, revision)),
            Outcome::Refused(Refusal::Conflict { .. }) => drop(changed.insert(key)),
            Outcome::Refused(_) | Outcome::Deleted { .. } => {}
        }
    }
    Ok((changed, written))
}

/// The write that deletes an object as it was read, for other operations that delete; `None` if it is being deleted already. With it the object
/// stays or goes as by [`delete`].
///
/// # Errors
/// If the stored object cannot be read.
pub(in crate::service) fn deletion_of(
    service: &Service,
    kind: &StoredKind,
    record: &Record,
    options: deletion::Options,
) -> Result<Option<Write>> {
    let next = ended(kind, record, options, service.admission.holds_for(kind))?;
    Ok(next.change.map(|change| write(record, change)))
}

/// Keeps the mark of an object that is being deleted in its successor; `true` if the successor is its end.
///
/// # Errors
/// [`Error::Invalid`] if the update contradicts the deletion.
pub(super) fn succeed(service: &Service, target: &Target, next: &mut Document, stored: &Document) -> Result<bool> {
    if !service.admission.holds_for(target.kind) {
        return Ok(false);
    }
    let unreadable = |error: DecodeError| undecodable(target.kind, &error);
    let causes = deletion::keep(next, stored).map_err(unreadable)?;
    if causes.is_empty() {
        deletion::ends(target.kind, next, stored).map_err(unreadable)
    } else {
        Err(target.invalid(causes))
    }
}

/// The state of an object after a deletion.
struct Next {
    /// Comes before the change: watches see that a pod was marked before it went.
    mark: Option<Change>,
    /// `None`: nothing changes.
    change: Option<Change>,
    body: String,
    is_gone: bool,
}

/// Computes it. `is_strict`: by the API server's rules.
fn ended(kind: &StoredKind, record: &Record, options: deletion::Options, is_strict: bool) -> Result<Next> {
    let stored = Document::parse(with_node(record)?.as_bytes()).map_err(Error::internal)?;
    let end = if is_strict {
        deletion::end(kind, &stored, options, clock::now()).map_err(Error::internal)?
    } else {
        End::Removed(stored.clone())
    };
    let put = |body: &str| Change::body(record, body.to_owned());
    let before = stored.into_body();
    Ok(match end {
        End::Removed(last) => {
            let body = last.into_body();
            let mark = (is_strict && kind.is(Kind::Pod) && body != before).then(|| put(&body));
            Next { mark, change: Some(Change::Delete), body, is_gone: true }
        }
        End::Marked(next) => {
            let body = next.into_body();
            Next { mark: None, change: Some(put(&body)), body, is_gone: false }
        }
        End::Pending => Next { mark: None, change: None, body: before, is_gone: false },
    })
}

/// The writes that delete objects, and those that come before.
fn write_all(
    kind: &StoredKind,
    records: &[Record],
    options: deletion::Options,
    is_strict: bool,
) -> Result<(Vec<Write>, Vec<Write>)> {
    let (mut marks, mut writes) = (Vec::new(), Vec::with_capacity(records.len()));
    for record in records {
        let next = ended(kind, record, options, is_strict)?;
        marks.extend(next.mark.map(|mark| write(record, mark)));
        writes.extend(next.change.map(|change| write(record, change)));
    }
    Ok((marks, writes))
}

fn write(record: &Record, change: Change) -> Write {
    Write { key: record.key.clone(), precondition: Precondition::revision(record.revision), change }
}

/// The target of one object of a collection.
fn of(target: &Target, key: &Key) -> Target {
    let namespace = target.kind.namespaced.then(|| key.namespace.clone());
    Target { namespace, ..target.named(&*key.name) }
}

/// Checks the preconditions of a deletion. Its words are not those of other writes.
///
/// Source: `apiserver/pkg/registry/rest/delete.go` (`BeforeDelete`); of namespaces `pkg/registry/core/namespace/storage/storage.go` (`Delete`).
fn check(preconditions: &Preconditions, target: &Target, stored: &Record) -> Result<()> {
    if target.kind.is(Kind::Namespace) {
        return preconditions.check(target, stored);
    }
    let refused = |message: String| {
        let subject = Subject::new(target.kind.group, target.kind.kind, &*target.name);
        Err(Error::Conflict { subject, message })
    };
    if let Some(uid) = preconditions.uid.as_ref().filter(|uid| **uid != stored.uid) {
        return refused(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
            stored.uid
        ));
    }
    match &preconditions.resource_version {
        Some(wanted) if *wanted != stored.revision.to_string() => refused(format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({}). The object might have been \
             modified",
            stored.revision
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use podberth_testkit::memory::{Memory, Numbering};
    use tokio::task::yield_now;

    use super::*;
    use crate::{
        extenders::Extenders,
        live::Clusters,
        service::{Freshness, objects::AdmissionMode},
        store::{Schema as _, Store as _},
        wire::kinds,
    };

    const CLUSTER: &str = "default";

    #[tokio::test]
    async fn a_pod_that_its_lifecycle_removes_meanwhile_was_deleted() {
        let store = Memory::new(Numbering::Counter);
        store.migrate().await.expect("it migrates");
        let clusters = Clusters::new(Arc::new(store.handle()), Duration::from_hours(1));
        let service = Service {
            admission: AdmissionMode::Kubernetes,
            ..Service::new(clusters, Freshness::default(), Extenders::default())
        };
        let key = Key::new("pods", "shop", "a");
        let body = r#"{"metadata":{"name":"a","namespace":"shop","uid":"u"},"spec":{"containers":[{"name":"c"}]}}"#;
        let put = Change::Put { body: body.into(), uid: "u".into(), node: None };
        let write = |change| Write { key: key.clone(), precondition: Precondition::default(), change };
        let call = Call { writes: vec![write(put)], atomicity: Atomicity::Each };
        service.clusters.commit(CLUSTER, call, None).await.expect("it is stored");

        let kind = kinds::by_core(Kind::Pod).expect("pods are stored");
        let target = Target { cluster: CLUSTER.into(), kind, namespace: Some("shop".into()), name: "a".into() };
        let removes = async {
            while !String::from_utf8_lossy(
                &store.get(CLUSTER, &key).await.expect("memory").expect("it is marked first").body,
            )
            .contains("deletionTimestamp")
            {
                yield_now().await;
            }
            store.commit(CLUSTER, vec![write(Change::Delete)], Atomicity::Each).await.expect("memory takes all")
        };
        let deletion = Deletion::default();
        let (deleted, removed) = tokio::join!(delete(&service, &target, &deletion), removes);
        assert!(matches!(removed.outcomes[..], [Outcome::Deleted { .. }]), "it was first: {removed:?}");
        let deleted = deleted.expect("it is gone, as was asked for");
        assert!(deleted.is_gone && deleted.body.contains("deletionTimestamp"));
    }
}
