//! Admission: fills in a new object the defaults that other objects decide ([`crate::wire::defaults`]), or refuses it.

use std::sync::Arc;

use super::{is_absent, target::Target};
use crate::{
    core::snapshot::Snapshot,
    service::{
        Service,
        compute::read_on,
        context::{self, Fresh},
        error::{Error, Result},
    },
    store::Record,
    wire::{
        defaults::{self, Denied},
        document::Document,
        kinds::StoredKind,
    },
};

/// Fills in an object to create, with a text of `length` bytes.
///
/// # Errors
/// [`Error::Forbidden`] if it contradicts other objects, or names a class that does not exist.
pub(super) async fn of_new(service: &Service, target: &Target, document: &mut Document, length: usize) -> Result<()> {
    if !defaults::is_admitted(target.kind) {
        return Ok(());
    }
    let mut fresh = Fresh::default();
    loop {
        let classes = classes(service, &target.cluster, fresh).await?;
        let (kind, mut filled) = (target.kind, document.clone());
        let filled = read_on(length, move || {
            let admitted = defaults::admit(kind, &mut filled, &classes);
            admitted.map(|()| filled)
        });
        match filled.await? {
            Ok(filled) => {
                *document = filled;
                return Ok(());
            }
            // Somebody may have stored the class through another replica.
            Err(denied) if denied.is_unknown && !fresh.is_newest => fresh.is_newest = true,
            Err(denied) => return Err(forbidden(target, document, denied)),
        }
    }
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
    defaults::keep(target.kind, sent, stored).map_err(|causes| target.invalid(causes))?;
    if defaults::is_admitted_again(target.kind) { of_new(service, target, sent, length).await } else { Ok(()) }
}

/// Fills in an imported object without a uid, which was not created anywhere yet. A stored object of its name keeps the values written at its
/// creation. Nothing is refused.
pub(crate) fn of_imported(
    kind: &StoredKind,
    mut document: Document,
    stored: Option<&Record>,
    classes: &Snapshot,
) -> Document {
    if !is_absent(document.metadata("uid")) || !defaults::is_admitted(kind) {
        return document;
    }
    let mut filled = document.clone();
    if let Some(stored) = stored.and_then(|record| Document::parse(&record.body).ok()) {
        // What may not be changed by PUT may be by an import.
        let _ = defaults::keep(kind, &mut filled, &stored);
    }
    if defaults::admit(kind, &mut filled, classes).is_ok() {
        document = filled;
    }
    document
}

/// The state of a cluster; an empty one where there is no such cluster yet.
pub(crate) async fn classes(service: &Service, cluster: &Arc<str>, fresh: Fresh) -> Result<Snapshot> {
    match context::stand(service, cluster, fresh).await {
        Ok(context) => Ok(context.view.snapshot.clone()),
        Err(Error::NotFound(_)) => Ok(Snapshot::default()),
        Err(error) => Err(error),
    }
}

fn forbidden(target: &Target, document: &Document, denied: Denied) -> Error {
    let name = document.metadata_text("name").unwrap_or_default();
    Error::Forbidden { subject: target.named(name).subject(), message: denied.message }
}
