//! Admission: fills in a new object the defaults that other objects decide ([`crate::wire::defaults`]), or refuses it.

use std::sync::Arc;

use super::{examine::undecodable, is_absent, patched::Part, target::Target};
use crate::{
    clock,
    core::snapshot::{Kind, Snapshot},
    service::{
        Service,
        compute::read_on,
        context::{self, Fresh},
        error::{Error, Result, Subject},
    },
    store::{ListQuery, Record},
    wire::{
        decode::DecodeError,
        defaults::{self, Denied},
        document::Document,
        kinds::{self, StoredKind},
    },
};

/// Namespaces that every cluster has from its beginning.
pub(super) const BUILT_IN: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Gives an object that was sent the form in which it is stored.
///
/// # Errors
/// [`Error::BadRequest`] if a value has not the type of its field.
pub(super) async fn read(service: &Service, target: &Target, document: Document, length: usize) -> Result<Document> {
    let read = normalized(service, target, document, length).await?;
    read.map_err(|error| undecodable(target.kind, &error))
}

/// Like [`read`], with the fault of the object by itself.
pub(super) async fn normalized(
    service: &Service,
    target: &Target,
    document: Document,
    length: usize,
) -> Result<std::result::Result<Document, DecodeError>> {
    if !service.admission.holds_for(target.kind) {
        return Ok(Ok(document));
    }
    let kind = target.kind;
    read_on(length, move || defaults::normalized(kind, &document)).await
}

/// Fills in and checks a new object by the limit ranges of its namespace.
///
/// # Errors
/// [`Error::Forbidden`] if they refuse it.
pub(super) async fn limit(service: &Service, target: &Target, document: Document, length: usize) -> Result<Document> {
    let Some(ranges) = kinds::by_plural("", "limitranges") else { return Ok(document) };
    if !service.admission.holds_for(target.kind) || !defaults::is_limited(target.kind) {
        return Ok(document);
    }
    let query = ListQuery { namespace: target.namespace.clone(), ..ListQuery::all(ranges.key()) };
    let stored = service.store.list(&target.cluster, &query).await?.items;
    if stored.is_empty() {
        return Ok(document);
    }
    let (kind, name) = (target.kind, document.metadata_text("name").unwrap_or_default());
    let limited = move || {
        // One that cannot be read limits nothing.
        let ranges: Vec<_> = stored.iter().filter_map(|range| serde_json::from_slice(&range.body).ok()).collect();
        defaults::limited(kind, &document, &ranges)
    };
    let limited = read_on(length, limited).await?.map_err(|error| undecodable(kind, &error))?;
    limited.map_err(|denied| forbidden(target, name, denied))
}

/// Makes an admitted object a new one: its status and generation are those of the beginning.
///
/// # Errors
/// If it cannot be read.
pub(super) async fn begin(service: &Service, target: &Target, document: Document, length: usize) -> Result<Document> {
    if !service.admission.holds_for(target.kind) {
        return Ok(document);
    }
    let (kind, now) = (target.kind, clock::now_rfc3339());
    read_on(length, move || defaults::created(kind, &document, &now)).await?.map_err(|error| undecodable(kind, &error))
}

/// Makes an object the successor of the stored one: clients do not write status and generation through it.
///
/// # Errors
/// If one of them cannot be read.
pub(super) async fn succeed(
    service: &Service,
    target: &Target,
    document: Document,
    stored: &Document,
    length: usize,
) -> Result<Document> {
    if !service.admission.holds_for(target.kind) {
        return Ok(document);
    }
    let (kind, stored) = (target.kind, stored.clone());
    let succeed = move || defaults::updated(kind, &document, &stored);
    read_on(length, succeed).await?.map_err(|error| undecodable(kind, &error))
}

/// Fills in an object to create, with a text of `length` bytes.
///
/// # Errors
/// [`Error::Forbidden`] if it contradicts other objects, or names a class that does not exist. [`Error::NotFound`] if its namespace does
/// not exist, [`Error::Terminating`] if that is being deleted.
pub(super) async fn of_new(service: &Service, target: &Target, document: &mut Document, length: usize) -> Result<()> {
    let is_strict = service.admission.holds_for(target.kind);
    let namespace = target.namespace.as_deref().filter(|name| is_strict && !BUILT_IN.contains(name));
    if !defaults::is_admitted(target.kind) && namespace.is_none() {
        return Ok(());
    }
    let mut fresh = Fresh::default();
    loop {
        let snapshot = snapshot(service, &target.cluster, fresh).await?;
        let is_open = |name: &str| snapshot.has_namespace(name) && !snapshot.is_terminating(name);
        if let Some(name) = namespace.filter(|name| !is_open(name)) {
            if !fresh.is_newest {
                fresh.is_newest = true;
                continue;
            }
            return Err(if snapshot.has_namespace(name) {
                let subject = target.named(document.metadata_text("name").unwrap_or_default()).subject();
                Error::Terminating { subject, namespace: name.to_owned() }
            } else {
                Error::NotFound(Subject::new("", "namespaces", name))
            });
        }
        let (kind, mut filled) = (target.kind, document.clone());
        let filled = read_on(length, move || {
            let admitted = defaults::admit(kind, &mut filled, &snapshot, is_strict);
            admitted.map(|()| filled)
        });
        match filled.await? {
            Ok(filled) => {
                *document = filled;
                return Ok(());
            }
            // Somebody may have stored the class through another replica.
            Err(denied) if denied.is_unknown && !fresh.is_newest => fresh.is_newest = true,
            Err(denied) => {
                let name = document.metadata_text("name").unwrap_or_default();
                return Err(forbidden(target, name, denied));
            }
        }
    }
}

/// `true` if a valid change of a part of an object is held against other objects.
pub(super) fn holds_change(service: &Service, kind: &StoredKind, part: Part) -> bool {
    let is_held = match part {
        Part::Resize => kind.is(Kind::Pod),
        Part::Main => kind.is(Kind::PersistentVolumeClaim),
        _ => false,
    };
    is_held && service.admission.holds_for(kind)
}

/// Holds a valid change of a pod's resources or of a claim against the limit ranges of its namespace, and the growth of a claim against its
/// storage class.
///
/// Source: `plugin/pkg/admission/limitranger/admission.go` (`SupportsAttributes`),
/// `plugin/pkg/admission/storage/persistentvolume/resize/admission.go`.
///
/// # Errors
/// [`Error::Forbidden`] if one of them refuses it.
pub(super) async fn of_change(
    service: &Service,
    target: &Target,
    body: &[u8],
    before: &Document,
    length: usize,
) -> Result<()> {
    let document = Document::parse(body).map_err(Error::internal)?;
    if is_absent(before.metadata("deletionTimestamp")) {
        limit(service, target, document.clone(), length).await?;
    }
    if !target.kind.is(Kind::PersistentVolumeClaim) {
        return Ok(());
    }
    let Some(class) = defaults::class_of_growth(&document, before) else { return Ok(()) };
    let stored = match kinds::by_core(Kind::StorageClass) {
        Some(kind) if !class.is_empty() => {
            let class = Target { cluster: target.cluster.clone(), kind, namespace: None, name: class };
            service.store.get(&class.cluster, &class.key()).await?
        }
        _ => None,
    };
    if stored.is_some_and(|class| defaults::lets_grow(&class.body)) {
        return Ok(());
    }
    let message = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
    Err(Error::Forbidden { subject: target.subject(), message: message.into() })
}

/// Keeps in an object that replaces a stored one the values that were written at its creation.
///
/// # Errors
/// [`Error::Invalid`] if it changes fixed fields, [`Error::Forbidden`] as for [`of_new`].
pub(super) async fn of_update(
    service: &Service,
    target: &Target,
    sent: &mut Document,
    stored: &Document,
    length: usize,
) -> Result<()> {
    let is_strict = service.admission.holds_for(target.kind);
    defaults::keep(target.kind, sent, stored, is_strict).map_err(|causes| target.invalid(causes))?;
    if defaults::is_admitted_again(target.kind) { of_new(service, target, sent, length).await } else { Ok(()) }
}

/// Fills in an imported object without a uid, which was not created anywhere yet. A stored object of its name keeps the values written at its
/// creation. Nothing is refused.
pub(crate) fn fill_in_imported(
    kind: &StoredKind,
    mut document: Document,
    stored: Option<&Record>,
    snapshot: &Snapshot,
) -> Document {
    if !is_absent(document.metadata("uid")) || !defaults::is_admitted(kind) {
        return document;
    }
    let mut filled = document.clone();
    if let Some(stored) = stored.and_then(|record| Document::parse(&record.body).ok()) {
        // What may not be changed by PUT may be by an import.
        let _ = defaults::keep(kind, &mut filled, &stored, false);
    }
    if defaults::admit(kind, &mut filled, snapshot, false).is_ok() {
        document = filled;
    }
    document
}

/// The state of a cluster; an empty one where there is no such cluster yet.
pub(crate) async fn snapshot(service: &Service, cluster: &Arc<str>, fresh: Fresh) -> Result<Snapshot> {
    match context::take(service, cluster, fresh).await {
        Ok(context) => Ok(context.view.snapshot.clone()),
        Err(Error::NotFound(_)) => Ok(Snapshot::default()),
        Err(error) => Err(error),
    }
}

fn forbidden(target: &Target, name: String, denied: Denied) -> Error {
    Error::Forbidden { subject: target.named(name).subject(), message: denied.message }
}
