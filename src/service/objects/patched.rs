//! Patches of stored objects: the object that a patch makes of the stored one ([`crate::wire::patch`]).

use serde_json::value::to_raw_value;

use super::{target::Target, with_node};
use crate::{
    clock,
    core::snapshot::Kind,
    service::error::{Error, Result},
    store::Record,
    wire::{
        decode::DecodeError,
        document::{self, Document},
        ephemeral,
        fault::{Cause, Faults, Path},
        kinds::{StoredKind, Subresource},
        patch::{self, Patch, PatchError, Writer},
        resize,
        validation::fields::FieldValidation,
    },
};

/// The manager of the fields that a write sets.
#[derive(Clone, Debug)]
pub struct Manager {
    /// Its name.
    pub name: String,
    /// `true` if the request names it, `false` if the name is that of the client's program.
    pub is_named: bool,
}

impl Default for Manager {
    fn default() -> Self {
        Self { name: "unknown".into(), is_named: false }
    }
}

impl Manager {
    /// Notes what a write did to the fields of an object.
    pub(super) fn track(
        &self,
        kind: &StoredKind,
        before: Option<&Document>,
        after: &mut Document,
        part: Part,
    ) -> std::result::Result<(), crate::wire::decode::DecodeError> {
        let now = clock::now_rfc3339();
        patch::track(kind, before, after, &self.writer(part, &now))
    }

    fn writer<'a>(&'a self, part: Part, now: &'a str) -> Writer<'a> {
        // The API server notes no time for a scale (`managedfields/scalehandler.go`).
        let now = (part != Part::Scale).then_some(now);
        Writer { manager: &self.name, is_named: self.is_named, subresource: part.subresource(), now }
    }
}

/// The part of an object that a path is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// All but the status, if the kind has a path for that.
    #[default]
    Main,
    /// The status.
    Status,
    /// The number of replicas of a workload.
    Scale,
    /// The ephemeral containers of a pod.
    EphemeralContainers,
    /// The resources of a pod's containers.
    Resize,
    /// The finalizers of a namespace's spec.
    Finalize,
}

impl Part {
    fn subresource(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Status => "status",
            Self::Scale => "scale",
            Self::EphemeralContainers => "ephemeralcontainers",
            Self::Resize => "resize",
            Self::Finalize => "finalize",
        }
    }

    /// The stored object with this part of the one sent; `None` for [`Part::Main`], which is most of it.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub(super) fn of(
        self,
        kind: &StoredKind,
        sent: &Document,
        stored: &Document,
    ) -> std::result::Result<Option<Document>, DecodeError> {
        Ok(Some(match self {
            Self::Main => return Ok(None),
            Self::Status => status_of(kind, sent, stored),
            Self::Scale => with_spec(stored, sent, "replicas"),
            Self::EphemeralContainers => with_spec(stored, sent, ephemeral::FIELD),
            Self::Resize => resize::of(stored, sent)?,
            Self::Finalize => {
                let none = || to_raw_value::<[&str; 0]>(&[]).ok();
                let finalizers = sent.get_in("spec", "finalizers")?.filter(|raw| raw.get() != "null").or_else(none);
                let mut document = stored.clone();
                if let Some(finalizers) = finalizers {
                    document.set_in("spec", "finalizers", finalizers)?;
                }
                document
            }
        }))
    }

    /// The faults of a change that this path alone allows, and the stored object as if it had been made; `None` for a path that allows no more
    /// than others.
    pub(super) fn allowed(
        self,
        next: &Document,
        stored: &Document,
    ) -> std::result::Result<Option<(Vec<Cause>, Document)>, DecodeError> {
        Ok(match self {
            Self::EphemeralContainers => {
                Some((ephemeral::changes(next, stored)?, with_spec(stored, next, ephemeral::FIELD)))
            }
            Self::Resize => Some((resize::changes(next, stored)?, resize::of(stored, next)?)),
            Self::Main | Self::Status | Self::Scale | Self::Finalize => None,
        })
    }

    /// The object with the other part as it is stored.
    fn keep_the_rest(
        self,
        kind: &StoredKind,
        document: Document,
        stored: Option<&Document>,
    ) -> std::result::Result<Document, DecodeError> {
        if let Some(stored) = stored
            && let Some(next) = self.of(kind, &document, stored)?
        {
            return Ok(next);
        }
        let mut document = document;
        if kind.has(Subresource::Status) {
            document.copy("status", stored.unwrap_or(&Document::default()));
        }
        Ok(document)
    }
}

/// The stored object with the status and the metadata sent.
///
/// Source: `PrepareForUpdate` of the status strategies in `pkg/registry`: they keep everything else.
pub(super) fn status_of(kind: &StoredKind, sent: &Document, stored: &Document) -> Document {
    let mut document = stored.clone();
    document.copy("status", sent);
    let kept: &[&str] = if kind.is(Kind::Pod) { &["ownerReferences"] } else { &[] };
    let taken = ["labels", "annotations", "finalizers", "ownerReferences", "managedFields"];
    for field in taken.iter().filter(|field| !kept.contains(field)) {
        document.copy_metadata(field, sent);
    }
    document
}

/// The stored object with one field of the spec sent.
pub(super) fn with_spec(stored: &Document, sent: &Document, field: &str) -> Document {
    let mut document = stored.clone();
    if let Ok(Some(value)) = sent.get_in("spec", field) {
        // A spec that is no object has no such field, and stays.
        let _ = document.set_in("spec", field, value);
    }
    document
}

/// A patch of one object.
#[derive(Clone, Debug)]
pub(super) struct Patching {
    pub(super) patch: Patch,
    pub(super) part: Part,
    /// `true` to take fields that other managers own.
    pub(super) force: bool,
    pub(super) fields: FieldValidation,
}

/// An object that was patched.
pub(super) struct Patched {
    /// As it is to be stored.
    pub(super) document: Document,
    /// As it was stored; `None` if it is new.
    pub(super) before: Option<Document>,
    /// Fields that do not exist, and that it did not have before.
    pub(super) warnings: Vec<String>,
}

impl Patching {
    /// `true` if the patch makes an object where there is none.
    pub(super) fn creates(&self) -> bool {
        matches!(self.patch, Patch::Apply(_)) && self.part == Part::Main
    }

    /// Patches the stored object.
    ///
    /// # Errors
    /// [`Error::Patch`], [`Error::Conflict`] if the patch is for another revision, and those of a document that cannot be read.
    pub(super) fn patched(self, target: &Target, manager: &Manager, record: Option<&Record>) -> Result<Patched> {
        let (kind, part) = (target.kind, self.part);
        let rendered = record.map(|record| -> Result<_> {
            let json = document::render(&with_node(record)?, kind, record.revision);
            Document::parse(json.as_bytes()).map_err(Error::internal)
        });
        let rendered = rendered.transpose()?;
        let is_applied = matches!(self.patch, Patch::Apply(_));
        let (made, unknown) = match (self.patch, &rendered) {
            (Patch::Apply(config), rendered) => {
                let now = clock::now_rfc3339();
                let (path, writer) = ((target.namespace.as_deref(), &*target.name), manager.writer(part, &now));
                (patch::server_side(kind, rendered.as_ref(), config, path, &writer, self.force)?, Vec::new())
            }
            (patch, Some(stored)) => {
                let merged = patch::merged(kind, stored, patch)?;
                (merged.document, merged.unknown)
            }
            (_, None) => return Err(target.not_found()),
        };
        let warnings = match self.fields {
            FieldValidation::Strict if !unknown.is_empty() => {
                return Err(PatchError::Invalid(format!("strict decoding error: {}", unknown.join(", "))).into());
            }
            FieldValidation::Ignore => Vec::new(),
            FieldValidation::Strict | FieldValidation::Warn => unknown,
        };
        // Before the rest is kept as it is stored, its revision among it.
        check_revision(target, &made, record)?;
        // An apply has noted its manager itself.
        let managers = made.metadata("managedFields").filter(|_| is_applied).map(ToOwned::to_owned);
        let mut document = part.keep_the_rest(kind, made, rendered.as_ref()).map_err(unreadable)?;
        if let Some(managers) = managers {
            document.set_metadata("managedFields", managers);
        }
        document.to_stored(kind);
        check_identity(target, &mut document, record)?;
        let before = rendered.map(|mut before| {
            before.to_stored(kind);
            if let Some(created) = before.metadata("creationTimestamp") {
                document.set_metadata("creationTimestamp", created.to_owned());
            }
            before
        });
        Ok(Patched { document, before, warnings })
    }
}

/// A patched part that has not the type of its field.
fn unreadable(error: DecodeError) -> PatchError {
    if error.is_used_up() { PatchError::Unread(error) } else { PatchError::Invalid(error.to_string()) }
}

/// Checks that a patched object is at the revision that the patch names.
fn check_revision(target: &Target, made: &Document, record: Option<&Record>) -> Result<()> {
    let revision = made.metadata_text("resourceVersion").unwrap_or_default();
    match record {
        Some(record) if !matches!(&*revision, "" | "0") && revision != record.revision.to_string() => {
            Err(target.modified())
        }
        _ => Ok(()),
    }
}

/// Checks that a patched object is still the one of the path.
fn check_identity(target: &Target, document: &mut Document, record: Option<&Record>) -> Result<()> {
    if let Some(namespace) = &target.namespace {
        let said = document.metadata_text("namespace").unwrap_or_default();
        if said.is_empty() {
            document.set_metadata_text("namespace", namespace);
        }
        target.agrees_in_namespace(&said)?;
    }
    let uid = document.metadata_text("uid").unwrap_or_default();
    let Some(record) = record else {
        return if uid.is_empty() { Ok(()) } else { Err(target.other_uid(&uid, "")) };
    };
    if !uid.is_empty() && uid != record.uid {
        // A patch has no preconditions: the uid is a field that it changes (`ValidateObjectMetaAccessorUpdate`).
        let mut faults = Faults::default();
        faults.invalid(&Path::ROOT.child("metadata").child("uid"), &uid, "field is immutable");
        return Err(target.invalid(faults.into_causes()));
    }
    document.set_metadata_text("uid", &record.uid);
    Ok(())
}
