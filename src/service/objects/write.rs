//! The path of every write of a stored object.
//!
//! Read the stored object → make the new one of it → admit and validate that → commit it for the revision that was read,
//! again from the beginning if another client was first → tell what is stored now. [`write`](fn@write) is that loop.
//!
//! To add a kind of write: a variant of [`Intent`], its reading in [`Draft::open`], and the object that it makes of the
//! stored one in [`Draft::next`].

use std::sync::Arc;

use bytes::Bytes;

use super::{
    ATTEMPTS, admission, aggregate,
    commit::{as_read, commit},
    delete,
    examine::{self, Accepted, Refused},
    generated, guard, is_absent, members,
    mode::AdmissionMode,
    patched::{Manager, Part, Patched, Patching},
    quota, revision, stamp,
    target::{Preconditions, Target},
    turns::Turn,
    with_node,
};
use crate::{
    core::access::User,
    service::{
        Service,
        compute::read_on,
        error::{Error, Result},
    },
    store::{Body, Change, Record, Refusal},
    wire::{
        defaults,
        document::Document,
        kinds::StoredKind,
        patch::{Patch, PatchError, PatchType},
        validation::fields::FieldValidation,
    },
};

/// The change that a client asks for. Objects are in JSON.
#[derive(Clone, Debug)]
pub enum Intent {
    /// Stores this new object. One without a name gets one that begins with its `generateName`.
    Create(Bytes),
    /// Puts this object, or a part of it, in the place of the stored one, which keeps its identity.
    Replace {
        /// The object.
        body: Bytes,
        /// The part of the object that the path is about.
        part: Part,
    },
    /// Patches the stored object; an apply makes one where there is none.
    Patch {
        /// The sort of the patch.
        patch: PatchType,
        /// The patch.
        body: Bytes,
        /// The part of the object that the path is about.
        part: Part,
    },
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
    /// The owner of the fields that the write sets.
    pub manager: Manager,
    /// `true` if an apply takes fields from other managers.
    pub force: bool,
    /// The user who writes, if the user's rights are limited: nobody gives away rights that they do not have.
    pub by: Option<Arc<User>>,
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
pub(super) async fn write(service: &Service, target: &Target, intent: Intent, options: &Options) -> Result<Written> {
    let mut draft = Draft::open(service, target, intent, options).await?;
    let mut error = target.modified();
    let waited = Turn::default();
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
        if let (Some(user), Next::Put(accepted)) = (&options.by, &next) {
            let before = stored.as_ref().map(|stored| &*stored.body);
            guard::check(service, user, &target, &accepted.body, before).await?;
        }
        if let (true, Next::Put(accepted)) = (target.kind.is_of_all(), &next) {
            let change = (&*accepted.body, stored.as_ref());
            members::check(service, options.by.as_deref(), &target, change, options.dry_run).await?;
        }
        let charges = match &next {
            Next::Put(accepted) => {
                quota::charges(service, &target, accepted, stored.as_ref(), draft.part(), &draft.turn).await?
            }
            Next::End(_) => Vec::new(),
        };
        let done = if options.dry_run {
            draft.tried(stored.as_ref())
        } else {
            commit(service, &target, as_read(stored.as_ref()), next.change(), charges).await?.map(Some)
        };
        let (body, uid, told) = next.into_parts();
        match done {
            Ok(revision) => {
                draft.warnings.extend(told);
                if !options.dry_run {
                    aggregate::after_change(service, &target.cluster, target.kind).await;
                    if target.kind.is_of_all() {
                        members::forget_earlier(service, &target.name).await?;
                    }
                }
                let is_new = stored.is_none();
                return Ok(Written { target, uid, body, revision, is_new, warnings: draft.warnings });
            }
            Err(refusal) => {
                let is_settled = !draft.may_retry(&refusal);
                error = target.refused(refusal, &uid);
                if is_settled {
                    return Err(error);
                }
                // Many writers of one object would use up their attempts: from the second one on they go one by one. Whoever has a turn by a
                // quota does not wait for another one, so no two wait for each other.
                if draft.reads_stored() && !draft.turn.is_taken() {
                    let object = (&*target.cluster, target.kind.plural, &target.namespace, &target.name);
                    waited.take(&service.object_turns, object).await;
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
    manager: Manager,
    warnings: Vec<String>,
    /// Kept until the write is done.
    turn: Turn,
}

enum DraftKind {
    /// A new object, admitted; `prefix` is the beginning of its name if that is to be generated.
    New { document: Document, prefix: Option<String> },
    /// The object that a PUT makes of the one sent and the stored one, which is at the revision `based_on` if that is named.
    Edit { sent: Document, based_on: Option<u64>, part: Part },
    /// The object that a patch makes of the stored one.
    Patch(Patching),
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
    async fn open(service: &Service, target: &Target, intent: Intent, options: &Options) -> Result<Self> {
        match intent {
            Intent::Create(body) => Self::new(service, target, body, options).await,
            Intent::Replace { body, part } => Self::edit(target, body, part, options).await,
            Intent::Patch { patch, body, part } => Self::patch(patch, body, part, options).await,
        }
    }

    fn of(kind: DraftKind, length: usize, warnings: Vec<String>, options: &Options) -> Self {
        Self { kind, length, manager: options.manager.clone(), warnings, turn: Turn::default() }
    }

    async fn patch(patch: PatchType, body: Bytes, part: Part, options: &Options) -> Result<Self> {
        let length = body.len();
        let patch = read_on(length, move || Patch::parse(patch, &body)).await??;
        let patching = Patching { patch, part, force: options.force, fields: options.fields };
        Ok(Self::of(DraftKind::Patch(patching), length, Vec::new(), options))
    }

    async fn new(service: &Service, target: &Target, body: Bytes, options: &Options) -> Result<Self> {
        let length = body.len();
        let (mut document, warnings) = opened(target, body, options.fields).await?;
        if !is_absent(document.metadata("resourceVersion")) {
            return Err(Error::BadRequest("resourceVersion should not be set on objects to be created".into()));
        }
        document = admitted(service, target, document, length).await?;
        let prefix = if is_absent(document.metadata("name")) { document.metadata_text("generateName") } else { None };
        let prefix = prefix.filter(|prefix| !prefix.is_empty());
        Ok(Self::of(DraftKind::New { document, prefix }, length, warnings, options))
    }

    async fn edit(target: &Target, body: Bytes, part: Part, options: &Options) -> Result<Self> {
        let length = body.len();
        let (mut sent, warnings) = opened(target, body, options.fields).await?;
        if is_absent(sent.metadata("name")) {
            sent.set_metadata_text("name", &target.name);
        }
        target.agrees_in_name(&sent.metadata_text("name").unwrap_or_default())?;
        let based_on = revision(&sent.metadata_text("resourceVersion").unwrap_or_default())?;
        Ok(Self::of(DraftKind::Edit { sent, based_on, part }, length, warnings, options))
    }

    /// The object of the next attempt: a new one may get another name each time.
    fn named(&mut self, target: &Target) -> Target {
        let DraftKind::New { document, prefix } = &mut self.kind else { return target.clone() };
        if let Some(prefix) = prefix {
            document.set_metadata_text("name", &generated(prefix));
        }
        target.named(document.metadata_text("name").unwrap_or_default())
    }

    /// The part of the object that the write is about.
    fn part(&self) -> Part {
        match &self.kind {
            DraftKind::New { .. } => Part::Main,
            DraftKind::Edit { part, .. } => *part,
            DraftKind::Patch(patching) => patching.part,
        }
    }

    /// `false` if the write needs no stored object: the commit finds out if there is one.
    fn reads_stored(&self) -> bool {
        !matches!(self.kind, DraftKind::New { .. })
    }

    /// The object after the write, admitted and validated.
    async fn next(&mut self, service: &Service, target: &Target, stored: Option<&Record>) -> Result<Next> {
        let kind = target.kind;
        let (sent, based_on, part) = match &self.kind {
            DraftKind::New { document, .. } => return self.next_new(service, target, document.clone()).await,
            DraftKind::Patch(patching) => {
                let patching = patching.clone();
                return self.next_patched(service, target, stored, patching).await;
            }
            DraftKind::Edit { sent, based_on, part } => (sent, *based_on, *part),
        };
        let Some(stored) = stored else {
            return if part == Part::Main && kind.is_created_by_put() {
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
        let document = part.of(kind, sent, &before).map_err(|error| examine::undecodable(kind, &error))?;
        let document = document.unwrap_or_else(|| whole(sent, &before));
        let update = Update { document, before, length, part, manager: Some(self.manager.clone()) };
        update.next(service, target, stored).await?.map_err(|refused| refused.into_error(target))
    }

    /// The new object, as it is admitted.
    async fn next_new(&self, service: &Service, target: &Target, mut document: Document) -> Result<Next> {
        let (kind, mode, manager) = (target.kind, service.admission, self.manager.clone());
        let checked = read_on(self.length, move || {
            manager.track(kind, None, &mut document, Part::Main).map_err(Refused::Undecodable)?;
            examine::check(kind, identified(kind, document, mode)?, mode)
        });
        checked.await?.map(Next::Put).map_err(|refused| refused.into_error(target))
    }

    /// The new object that a PUT makes where there is none.
    async fn next_put(&self, service: &Service, target: &Target, sent: &Document) -> Result<Next> {
        let document = admitted(service, target, sent.clone(), self.length).await?;
        self.next_new(service, target, document).await
    }

    /// The object that a patch makes of the stored one, admitted and validated.
    async fn next_patched(
        &mut self,
        service: &Service,
        target: &Target,
        stored: Option<&Record>,
        patching: Patching,
    ) -> Result<Next> {
        if stored.is_none() && !patching.creates() {
            return Err(target.not_found());
        }
        let (kind, part) = (target.kind, patching.part);
        let is_applied = matches!(patching.patch, Patch::Apply(_));
        let length = self.length.max(stored.map_or(0, |stored| stored.body.len()));
        let (named, manager, record) = (target.clone(), self.manager.clone(), stored.cloned());
        let patched = read_on(length, move || patching.patched(&named, &manager, record.as_ref())).await??;
        let Patched { mut document, before, warnings } = patched;
        self.warnings = warnings;
        // An apply has noted its manager itself.
        let manager = (!is_applied).then(|| self.manager.clone());
        let checked = if let (Some(before), Some(stored)) = (before, stored) {
            Update { document, before, length, part, manager }.next(service, target, stored).await?
        } else {
            document = admitted(service, target, document, length).await?;
            // As after every other write they stand last: an apply that changes nothing then writes the same text.
            if let Some(fields) = document.metadata("managedFields").map(ToOwned::to_owned) {
                document.remove_metadata("managedFields");
                document.set_metadata("managedFields", fields);
            }
            let mode = service.admission;
            let check = move || examine::check(kind, identified(kind, document, mode)?, mode);
            read_on(length, check).await?.map(Next::Put)
        };
        checked.map_err(|refused| match refused {
            Refused::Undecodable(error) if !error.is_used_up() => PatchError::Invalid(error.to_string()).into(),
            // The API server's decoder refuses it: then the patch is to blame.
            Refused::Invalid(causes) if causes.iter().any(|cause| cause.unreadable) => {
                let unreadable = causes.into_iter().filter(|cause| cause.unreadable);
                let told: Vec<_> = unreadable.map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
                PatchError::Invalid(told.join(", ")).into()
            }
            refused => refused.into_error(target),
        })
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
        // A quota was charged through another replica: what is left of it is counted again.
        if matches!(refusal, Refusal::NotAttempted) {
            return true;
        }
        match &self.kind {
            DraftKind::New { prefix, .. } => prefix.is_some(),
            DraftKind::Edit { based_on, .. } => {
                based_on.is_none() && matches!(refusal, Refusal::Conflict { .. } | Refusal::AlreadyExists { .. })
            }
            DraftKind::Patch(_) => {
                matches!(refusal, Refusal::Conflict { .. } | Refusal::AlreadyExists { .. } | Refusal::NotFound)
            }
        }
    }
}

/// An object that replaces a stored one.
struct Update {
    document: Document,
    /// The stored one.
    before: Document,
    /// The longer text of both.
    length: usize,
    part: Part,
    /// The writer of its fields, if none is noted yet.
    manager: Option<Manager>,
}

impl Update {
    /// Admits and validates it.
    async fn next(
        self,
        service: &Service,
        target: &Target,
        stored: &Record,
    ) -> Result<std::result::Result<Next, Refused>> {
        let Self { document, before, length, part, manager } = self;
        let (kind, mode) = (target.kind, service.admission);
        let before = admission::read(service, target, before.clone(), length).await.unwrap_or(before);
        let mut document = match admission::normalized(service, target, document, length).await? {
            Ok(document) => document,
            Err(error) => return Ok(Err(Refused::Undecodable(error))),
        };
        admission::of_update(service, target, &mut document, &before, length).await?;
        if !matches!(part, Part::Status | Part::Finalize) {
            document = admission::succeed(service, target, document, &before, length).await?;
        }
        let is_end = delete::succeed(service, target, &mut document, &before)?;
        let earlier = admission::holds_change(service, kind, part).then(|| before.clone());
        let checked = read_on(length, move || {
            if let Some(manager) = manager {
                manager.track(kind, Some(&before), &mut document, part).map_err(Refused::Undecodable)?;
            }
            match part.allowed(&document, &before).map_err(Refused::Undecodable)? {
                None => examine::check_update(kind, document, &before, &before, mode),
                Some((causes, changed_from)) if causes.is_empty() => {
                    examine::check_update(kind, document, &before, &changed_from, mode)
                }
                Some((causes, _)) => Err(Refused::Invalid(causes)),
            }
        });
        let checked = checked.await?;
        if let (Ok(accepted), Some(earlier)) = (&checked, &earlier) {
            admission::of_change(service, target, &accepted.body, earlier, length).await?;
        }
        Ok(checked.map(|mut accepted| {
            accepted.uid.clone_from(&stored.uid);
            if part == Part::Status {
                // Programs write it, and nobody reads what is told to them.
                accepted.warnings.clear();
            }
            if is_end { Next::End(accepted) } else { Next::Put(accepted) }
        }))
    }
}

/// A new object, filled in and let in by the rules of admission.
async fn admitted(service: &Service, target: &Target, document: Document, length: usize) -> Result<Document> {
    let mut document = admission::read(service, target, document, length).await?;
    admission::of_new(service, target, &mut document, length).await?;
    document = admission::limit(service, target, document, length).await?;
    document = admission::begin(service, target, document, length).await?;
    if target.kind.is_of_all() {
        members::begin(service, &mut document).await?;
    }
    stamp(&mut document);
    Ok(document)
}

/// A new object with what the API server makes of its name and its uid. No client owns these fields, so this follows the noting of owners.
fn identified(kind: &StoredKind, document: Document, mode: AdmissionMode) -> std::result::Result<Document, Refused> {
    if !mode.holds_for(kind) {
        return Ok(document);
    }
    defaults::identified(kind, document).map_err(Refused::Undecodable)
}

/// Reads a body to be stored as an object of the target, with warnings about its fields.
pub(super) async fn opened(target: &Target, body: Bytes, mode: FieldValidation) -> Result<(Document, Vec<String>)> {
    let (target, length) = (target.clone(), body.len());
    let read = move || -> Result<_> {
        let examined = examine::examined(target.kind, &body, mode)?;
        Ok((examine::open(&target, &examined.json)?, examined.odd))
    };
    read_on(length, read).await?
}

/// The object sent in place of the stored one, which keeps its identity.
pub(super) fn whole(sent: &Document, stored: &Document) -> Document {
    let mut document = sent.clone();
    for field in ["uid", "creationTimestamp"] {
        document.copy_metadata(field, stored);
    }
    document
}
