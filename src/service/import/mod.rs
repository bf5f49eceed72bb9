//! Imports: a whole cluster, or a part of one, in one commit.
//!
//! The body is the output of `kubectl get … -o json` or `-o yaml`, or objects one after another. Objects are facts: they keep their uid and creation
//! time, a pod is on the node that its body names, and resource versions of their cluster are ignored. A pod that was bound here and whose body
//! names no node stays on its node, since its cluster has not heard of the bind yet. Volumes and claims that a bind here bound to each other stay
//! so, too.

use std::sync::Arc;

use bytes::Bytes;

use self::{
    compare::{Gone, compare},
    read::{Import, read},
    report::refusal,
};
use super::{
    Service,
    compute::compute_long,
    context::Fresh,
    error::{Error, Result, Subject},
    objects::{ATTEMPTS, admission},
    source::guard,
};
use crate::{
    store::{Atomicity, Call, Change, Key, Outcome, Precondition, Record, Write},
    wire::validation::fields::FieldValidation,
};

pub use self::report::{ImportReport, RefusedObject};

mod compare;
mod read;
mod report;

/// The manner of an import.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a parameter of the query")]
pub struct Options {
    /// `true` for a body in YAML; else it is JSON.
    pub is_yaml: bool,
    /// Delete every stored object, of any kind, that is not in the body.
    pub replace: bool,
    /// Store the objects that can be read and named, and report the others; otherwise one such fault refuses all.
    pub skip_invalid: bool,
    /// Report the changes and make none.
    pub dry_run: bool,
    /// The treatment of unknown and repeated fields.
    pub fields: FieldValidation,
    /// Refuse roles and bindings, and leave those that are stored: the sender may not do everything.
    pub without_access: bool,
}

/// Imports the objects of a body.
///
/// # Errors
/// [`Error::Invalid`] with the faults of the objects that cannot be read or named, [`Error::Conflict`] if others kept changing the objects,
/// [`Error::ReadOnly`] if the cluster mirrors a live one.
pub async fn import(service: &Service, cluster: &Arc<str>, body: Bytes, options: Options) -> Result<ImportReport> {
    guard::check_all(service, cluster).await?;
    let Options { is_yaml, replace, skip_invalid, dry_run, fields, without_access } = options;
    let classes = admission::snapshot(service, cluster, Fresh::default()).await?;
    let import = compute_long(false, move || read(&body, is_yaml, fields, classes)).await?;
    let mut import = import.map_err(|error| Error::BadRequest(error.to_string()))?;
    if !import.report.refused.is_empty() && !skip_invalid {
        return Err(refusal(&import.report.refused));
    }
    let decides_on_access = |key: &Key| without_access && crate::wire::access::resource(&key.kind).is_some();
    if let Some(object) = import.objects.iter().find(|object| decides_on_access(&object.key)) {
        return Err(Error::Denied {
            subject: Subject::new(object.kind.group, object.kind.plural, &*object.key.name),
            message: "only those who may do everything in a cluster import roles and bindings into it".into(),
        });
    }
    if replace && import.objects.is_empty() {
        return Err(Error::BadRequest("replace=true with no object to store would delete the whole cluster".into()));
    }

    for _ in 0..ATTEMPTS {
        let mut gone = compare(service, cluster, &mut import, replace, dry_run).await?;
        gone.retain(|gone| !decides_on_access(&gone.key));
        let Import { objects, report, .. } = &mut import;
        if dry_run {
            report.deleted = gone.len() as u64;
            report.revision = service.store.head(cluster).await?.revision;
            return Ok(import.report);
        }
        let imported = objects.len();
        let writes = objects.iter().map(read::Incoming::write).chain(gone.into_iter().flat_map(deletion)).collect();
        let call = Call { writes, atomicity: Atomicity::AllOrNothing };
        let commit = service.clusters.commit(cluster, call, None).await?;
        // Somebody bound or deleted a pod since it was compared: compare again.
        if commit.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))) {
            continue;
        }
        for (at, outcome) in commit.outcomes.iter().enumerate() {
            match outcome {
                Outcome::Written { .. } if at >= imported => {}
                Outcome::Written { created: true, .. } => report.created += 1,
                Outcome::Written { created: false, .. } => report.updated += 1,
                Outcome::Unchanged { .. } => report.unchanged += 1,
                Outcome::Deleted { .. } => report.deleted += 1,
                Outcome::Refused(_) => {}
            }
        }
        report.revision = commit.revision;
        return Ok(import.report);
    }
    Err(Error::Conflict {
        subject: Subject::new("", "lists", ""),
        message: "the objects were being changed all the while; please import them again".into(),
    })
}

/// The writes that delete an object which is not in the body. An owner of objects that are gets another uid first, under which nobody names it:
/// the import says that they are there, so [`lifecycle`](super::lifecycle) must not collect them.
fn deletion(Gone { key, owner }: Gone) -> impl Iterator<Item = Write> {
    let exists = Precondition::exists();
    let rename = owner.map(|Record { body, node, .. }| Write {
        key: key.clone(),
        precondition: exists.clone(),
        change: Change::Put { body, uid: String::new(), node },
    });
    rename.into_iter().chain([Write { key, precondition: exists, change: Change::Delete }])
}
