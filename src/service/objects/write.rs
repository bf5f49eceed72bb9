//! The path of every write of a stored object.
//!
//! Read the stored object → make the new one of it → admit and validate that → commit it for the revision that was read,
//! again from the beginning if another client was first → tell what is stored now. [`write`](fn@write) is that loop.
//!
//! To add a kind of write (a patch, an apply): a variant of [`Intent`], its reading in [`Draft::open`], and the object that
//! it makes of the stored one in [`Draft::next`].

use bytes::Bytes;

use super::{
    ATTEMPTS, admission,
    examine::{self, Accepted},
    generated, is_absent,
    list::find,
    revision, stamp,
    target::{Preconditions, Target},
    with_node,
};
use crate::{
    service::{
        Service,
        compute::read_on,
        error::{Error, Result},
    },
    store::{Atomicity, Body, Call, Change, Outcome, Precondition, Record, Refusal, Write},
    wire::{document::Document, selector, validation::fields::FieldValidation},
};

/// The change that a client asks for. Objects are in JSON.
#[derive(Clone, Debug)]
pub enum Intent {
    /// Stores this new object. One without a name gets one that begins with its `generateName`.
    Create(Bytes),
    /// Puts this object in the place of the stored one, whose identity it keeps.
    Replace(Bytes),
    /// Puts the `status` of this object in the place of the stored one's.
    ReplaceStatus(Bytes),
    /// Deletes the stored object.
    Delete,
}

/// The manner of a write.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `true`: do everything but store it.
    pub dry_run: bool,
    /// The treatment of unknown and repeated fields.
    pub fields: FieldValidation,
    /// Conditions on the stored object.
    pub preconditions: Preconditions,
}

/// The result of a write.
#[derive(Clone, Debug)]
pub struct Written {
    /// The object, by the name that it has got.
    pub target: Target,
    /// Its uid.
    pub uid: String,
    /// The object as it is stored now; `None` once it is deleted.
    pub body: Option<Body>,
    /// The revision at which it is so; `None` for a new object in a dry run.
    pub revision: Option<u64>,
    /// Unknown and repeated fields.
    pub warnings: Vec<String>,
}

/// Carries out one write.
///
/// # Errors
/// [`Error::NotFound`] and [`Error::AlreadyExists`]; [`Error::Conflict`] if a precondition does not hold, or others kept
/// changing the object; [`Error::Invalid`] with all faults; [`Error::Forbidden`] if the object contradicts others.
pub async fn write(service: &Service, target: &Target, intent: Intent, options: &Options) -> Result<Written> {
    let mut draft = Draft::open(service, target, intent, options.fields).await?;
    let mut error = target.modified();
    for _ in 0..ATTEMPTS {
        let target = draft.named(target);
        let stored = if draft.reads_stored() || options.dry_run {
            service.store.get(&target.cluster, &target.key()).await?
        } else {
            None
        };
        if let Some(stored) = &stored {
            options.preconditions.check(&target, stored)?;
        }
        let next = draft.next(service, &target, stored.as_ref()).await?;
        let done = if options.dry_run {
            draft.tried(stored.as_ref())
        } else {
            commit(service, &target, stored.as_ref(), next.change()).await?.map(Some)
        };
        let (body, uid, told) = next.into_parts();
        match done {
            Ok(revision) => {
                draft.warnings.extend(told);
                return Ok(Written { target, uid, body, revision, warnings: draft.warnings });
            }
            Err(refusal) => {
                let is_settled = !draft.may_retry(&refusal);
                error = target.refused(refusal, &uid);
                if is_settled {
                    return Err(error);
                }
            }
        }
    }
    Err(error)
}

/// Deletes all selected objects of a collection in one commit. Objects that others delete or create meanwhile stay as they
/// left them.
///
/// # Errors
/// Those of the store.
pub async fn delete_all(service: &Service, target: &Target, selector: &selector::Query, dry_run: bool) -> Result<()> {
    let found = find(service, target, selector, None, None).await?;
    if dry_run || found.items.is_empty() {
        return Ok(());
    }
    let writes = found.items.into_iter().map(|record| Write {
        precondition: Precondition { uid: Some(record.uid), ..Precondition::default() },
        key: record.key,
        change: Change::Delete,
    });
    let call = Call { writes: writes.collect(), atomicity: Atomicity::Each };
    service.clusters.commit(&target.cluster, call, None).await?;
    Ok(())
}

/// Commits a change of an object that is as it was read. The next decision of this process sees it.
async fn commit(
    service: &Service,
    target: &Target,
    stored: Option<&Record>,
    change: Change,
) -> Result<std::result::Result<u64, Refusal>> {
    let precondition = stored.map_or_else(Precondition::absent, |stored| Precondition::revision(stored.revision));
    let write = Write { key: target.key(), precondition, change };
    let call = Call { writes: vec![write], atomicity: Atomicity::Each };
    match service.clusters.commit(&target.cluster, call, None).await?.outcomes.pop() {
        Some(Outcome::Refused(refusal)) => Ok(Err(refusal)),
        Some(Outcome::Written { revision, .. } | Outcome::Unchanged { revision } | Outcome::Deleted { revision }) => {
            Ok(Ok(revision))
        }
        None => Err(Error::internal("the store did not answer for a write")),
    }
}

/// An intent, read and checked as far as that goes without the stored object.
struct Draft {
    kind: DraftKind,
    /// Length of the body, by which the place of computations is chosen.
    length: usize,
    warnings: Vec<String>,
}

enum DraftKind {
    /// A new object, admitted; `prefix` is the beginning of its name if that is to be generated.
    New { document: Document, prefix: Option<String> },
    /// The object that `edit` makes of the one sent and the stored one; only of that of a revision, if one is named.
    Edit { sent: Document, based_on: Option<u64>, edit: fn(&Document, &Document) -> Document, is_status: bool },
    /// None any more.
    Deletion,
}

/// The state of an object after a write.
enum Next {
    Put(Accepted),
    Gone { uid: String },
}

impl Next {
    fn change(&self) -> Change {
        match self {
            Self::Put(accepted) => accepted.put(),
            Self::Gone { .. } => Change::Delete,
        }
    }

    /// The body, the uid and the warnings.
    fn into_parts(self) -> (Option<Body>, String, Vec<String>) {
        match self {
            Self::Put(Accepted { body, uid, warnings, .. }) => (Some(body), uid, warnings),
            Self::Gone { uid } => (None, uid, Vec::new()),
        }
    }
}

impl Draft {
    async fn open(service: &Service, target: &Target, intent: Intent, mode: FieldValidation) -> Result<Self> {
        match intent {
            Intent::Create(body) => Self::new(service, target, body, mode).await,
            Intent::Replace(body) => Self::edit(target, body, mode, (whole, false)).await,
            Intent::ReplaceStatus(body) => Self::edit(target, body, mode, (only_status, true)).await,
            Intent::Delete => Ok(Self { kind: DraftKind::Deletion, length: 0, warnings: Vec::new() }),
        }
    }

    async fn new(service: &Service, target: &Target, body: Bytes, mode: FieldValidation) -> Result<Self> {
        let length = body.len();
        let (mut document, warnings) = opened(target, body, mode).await?;
        if !is_absent(document.metadata("resourceVersion")) {
            return Err(Error::BadRequest("resourceVersion should not be set on objects to be created".into()));
        }
        document = admission::read(service, target, document, length).await?;
        admission::of_new(service, target, &mut document, length).await?;
        document = admission::limit(service, target, document, length).await?;
        document = admission::begin(service, target, document, length).await?;
        admission::count(service, target, &document, length).await?;
        stamp(&mut document);
        let prefix = if is_absent(document.metadata("name")) { document.metadata_text("generateName") } else { None };
        let prefix = prefix.filter(|prefix| !prefix.is_empty());
        Ok(Self { kind: DraftKind::New { document, prefix }, length, warnings })
    }

    async fn edit(
        target: &Target,
        body: Bytes,
        mode: FieldValidation,
        (edit, is_status): (fn(&Document, &Document) -> Document, bool),
    ) -> Result<Self> {
        let length = body.len();
        let (mut sent, warnings) = opened(target, body, mode).await?;
        if is_absent(sent.metadata("name")) {
            sent.set_metadata_text("name", &target.name);
        }
        if let Some(name) = sent.metadata_text("name").filter(|name| *name != target.name) {
            let url = &target.name;
            let message = format!("the name of the object ({name}) does not match the name on the URL ({url})");
            return Err(Error::BadRequest(message));
        }
        let based_on = revision(&sent.metadata_text("resourceVersion").unwrap_or_default())?;
        Ok(Self { kind: DraftKind::Edit { sent, based_on, edit, is_status }, length, warnings })
    }

    /// The object of the next attempt: a new one may get another name each time.
    fn named(&mut self, target: &Target) -> Target {
        let DraftKind::New { document, prefix } = &mut self.kind else { return target.clone() };
        if let Some(prefix) = prefix {
            document.set_metadata_text("name", &generated(prefix));
        }
        target.named(document.metadata_text("name").unwrap_or_default())
    }

    /// `false` if the write needs no stored object: the commit finds out if there is one.
    fn reads_stored(&self) -> bool {
        !matches!(self.kind, DraftKind::New { .. })
    }

    /// The object after the write, admitted and validated.
    async fn next(&self, service: &Service, target: &Target, stored: Option<&Record>) -> Result<Next> {
        let kind = target.kind;
        let (sent, based_on, edit, is_status) = match &self.kind {
            DraftKind::New { document, .. } => {
                let (document, mode) = (document.clone(), service.admission);
                let checked = read_on(self.length, move || examine::check(kind, document, mode)).await?;
                return checked.map(Next::Put).map_err(|refused| refused.into_error(target));
            }
            DraftKind::Deletion => {
                let stored = stored.ok_or_else(|| target.not_found())?;
                return Ok(Next::Gone { uid: stored.uid.clone() });
            }
            DraftKind::Edit { sent, based_on, edit, is_status } => (sent, *based_on, edit, *is_status),
        };
        let stored = stored.ok_or_else(|| target.not_found())?;
        if based_on.is_some_and(|revision| revision != stored.revision) {
            return Err(target.modified());
        }
        if let Some(uid) = sent.metadata_text("uid").filter(|uid| !uid.is_empty() && *uid != stored.uid) {
            return Err(target.other_uid(&uid, &stored.uid));
        }
        let length = self.length.max(stored.body.len());
        let record = stored.clone();
        let before = read_on(length, move || -> Result<_> {
            Document::parse(with_node(&record)?.as_bytes()).map_err(Error::internal)
        });
        let before = before.await??;
        let before = admission::read(service, target, before.clone(), length).await.unwrap_or(before);
        let mut document = admission::read(service, target, edit(sent, &before), length).await?;
        admission::of_update(service, target, &mut document, &before, length).await?;
        if !is_status {
            document = admission::succeed(service, target, document, &before, length).await?;
        }
        let mode = service.admission;
        let checked = read_on(length, move || examine::check_update(kind, document, &before, mode)).await?;
        let mut accepted = checked.map_err(|refused| refused.into_error(target))?;
        accepted.uid.clone_from(&stored.uid);
        Ok(Next::Put(accepted))
    }

    /// The outcome of a dry run.
    fn tried(&self, stored: Option<&Record>) -> std::result::Result<Option<u64>, Refusal> {
        match (&self.kind, stored) {
            (DraftKind::New { .. }, Some(stored)) => Err(Refusal::AlreadyExists { current: stored.revision }),
            (_, stored) => Ok(stored.map(|stored| stored.revision)),
        }
    }

    /// `true` if the write may be tried again after this refusal.
    fn may_retry(&self, refusal: &Refusal) -> bool {
        match &self.kind {
            DraftKind::New { prefix, .. } => prefix.is_some(),
            DraftKind::Edit { based_on, .. } => based_on.is_none() && matches!(refusal, Refusal::Conflict { .. }),
            DraftKind::Deletion => matches!(refusal, Refusal::Conflict { .. }),
        }
    }
}

/// Reads a body to be stored as an object of the target, with warnings about its fields.
async fn opened(target: &Target, body: Bytes, mode: FieldValidation) -> Result<(Document, Vec<String>)> {
    let (target, length) = (target.clone(), body.len());
    let read = move || -> Result<_> {
        let examined = examine::examined(target.kind, &body, mode)?;
        Ok((examine::open(&target, &examined.json)?, examined.odd))
    };
    read_on(length, read).await?
}

/// The object sent in place of the stored one, which keeps its identity.
fn whole(sent: &Document, stored: &Document) -> Document {
    let mut document = sent.clone();
    for field in ["uid", "creationTimestamp"] {
        match stored.metadata(field) {
            Some(value) => document.set_metadata(field, value.to_owned()),
            None => document.remove_metadata(field),
        }
    }
    document
}

/// The stored object with the status sent.
fn only_status(sent: &Document, stored: &Document) -> Document {
    let mut document = stored.clone();
    match sent.get("status") {
        Some(status) => document.set("status", status.to_owned()),
        None => document.remove("status"),
    }
    document
}
