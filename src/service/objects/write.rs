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
    commit::{as_read, commit},
    delete,
    examine::{self, Accepted},
    generated, is_absent, revision, stamp,
    target::{Preconditions, Target},
    with_node,
};
use crate::{
    service::{
        Service,
        compute::read_on,
        error::{Error, Result},
    },
    store::{Body, Change, Record, Refusal},
    wire::{document::Document, validation::fields::FieldValidation},
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
    /// The object as it is stored now, or as it was last if the write removed it.
    pub body: Body,
    /// The revision at which it is so; `None` for a new object in a dry run.
    pub revision: Option<u64>,
    /// `true` if there was no object before.
    pub is_new: bool,
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
            commit(service, &target, as_read(stored.as_ref()), next.change()).await?.map(Some)
        };
        let (body, uid, told) = next.into_parts();
        match done {
            Ok(revision) => {
                draft.warnings.extend(told);
                let is_new = stored.is_none();
                return Ok(Written { target, uid, body, revision, is_new, warnings: draft.warnings });
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
}

/// The state of an object after a write.
enum Next {
    Put(Accepted),
    /// Removed: it was being deleted, and waited for this write alone.
    End(Accepted),
}

impl Next {
    fn change(&self) -> Change {
        match self {
            Self::Put(accepted) => accepted.put(),
            Self::End(_) => Change::Delete,
        }
    }

    /// The body, the uid and the warnings.
    fn into_parts(self) -> (Body, String, Vec<String>) {
        let (Self::Put(accepted) | Self::End(accepted)) = self;
        (accepted.body, accepted.uid, accepted.warnings)
    }
}

impl Draft {
    async fn open(service: &Service, target: &Target, intent: Intent, mode: FieldValidation) -> Result<Self> {
        match intent {
            Intent::Create(body) => Self::new(service, target, body, mode).await,
            Intent::Replace(body) => Self::edit(target, body, mode, (whole, false)).await,
            Intent::ReplaceStatus(body) => Self::edit(target, body, mode, (only_status, true)).await,
        }
    }

    async fn new(service: &Service, target: &Target, body: Bytes, mode: FieldValidation) -> Result<Self> {
        let length = body.len();
        let (mut document, warnings) = opened(target, body, mode).await?;
        if !is_absent(document.metadata("resourceVersion")) {
            return Err(Error::BadRequest("resourceVersion should not be set on objects to be created".into()));
        }
        document = admitted(service, target, document, length).await?;
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
            DraftKind::Edit { sent, based_on, edit, is_status } => (sent, *based_on, edit, *is_status),
        };
        let Some(stored) = stored else {
            return if !is_status && kind.is_created_by_put() {
                self.next_put(service, target, sent).await
            } else {
                Err(target.not_found())
            };
        };
        if based_on.is_none() && service.admission.holds_for(kind) && kind.needs_revision() {
            return Err(target.without_revision());
        }
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
        let is_end = delete::succeed(service, target, &mut document, &before)?;
        let mode = service.admission;
        let checked = read_on(length, move || examine::check_update(kind, document, &before, mode)).await?;
        let mut accepted = checked.map_err(|refused| refused.into_error(target))?;
        accepted.uid.clone_from(&stored.uid);
        Ok(if is_end { Next::End(accepted) } else { Next::Put(accepted) })
    }

    /// The new object that a PUT makes where there is none.
    async fn next_put(&self, service: &Service, target: &Target, sent: &Document) -> Result<Next> {
        let (kind, mode) = (target.kind, service.admission);
        let document = admitted(service, target, sent.clone(), self.length).await?;
        let checked = read_on(self.length, move || examine::check(kind, document, mode)).await?;
        checked.map(Next::Put).map_err(|refused| refused.into_error(target))
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
            DraftKind::Edit { based_on, .. } => {
                based_on.is_none() && matches!(refusal, Refusal::Conflict { .. } | Refusal::AlreadyExists { .. })
            }
        }
    }
}

/// A new object, filled in and let in by the rules of admission.
async fn admitted(service: &Service, target: &Target, document: Document, length: usize) -> Result<Document> {
    let mut document = admission::read(service, target, document, length).await?;
    admission::of_new(service, target, &mut document, length).await?;
    document = admission::limit(service, target, document, length).await?;
    document = admission::begin(service, target, document, length).await?;
    admission::count(service, target, &document, length).await?;
    stamp(&mut document);
    Ok(document)
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
