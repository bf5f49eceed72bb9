//! Validation of bodies: everything that a client sends is checked here before anything is stored.

use super::{is_absent, mode::AdmissionMode, target::Target};
use crate::{
    core::snapshot::{Kind, Object},
    live::{self, Validated},
    service::{
        error::{Error, Result},
        fields,
    },
    store::{Body, Change},
    wire::{
        decode::DecodeError,
        document::Document,
        ephemeral,
        fault::Cause,
        kinds::StoredKind,
        validation::{
            self, complete,
            fields::{Examined, FieldValidation},
            update,
        },
    },
};

/// An object that has passed.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// As it is stored, with what was parsed from it.
    pub body: Body,
    /// The node its pod is on.
    pub node: Option<String>,
    /// Its own.
    pub uid: String,
    /// Warnings for the client.
    pub warnings: Vec<String>,
}

impl Accepted {
    /// The change that stores it.
    pub(crate) fn put(&self) -> Change {
        Change::Put { body: self.body.clone(), uid: self.uid.clone(), node: self.node.clone() }
    }
}

/// Why an object does not pass.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It cannot be read.
    Undecodable(DecodeError),
    /// It breaks rules: all of them, field by field.
    Invalid(Vec<Cause>),
}

impl Refused {
    /// As the reply to a request for this object.
    pub(crate) fn into_error(self, target: &Target) -> Error {
        match self {
            Self::Undecodable(error) => undecodable(target.kind, &error),
            Self::Invalid(causes) => target.invalid(causes),
        }
    }
}

pub(super) fn undecodable(kind: &StoredKind, error: &DecodeError) -> Error {
    let (kind, version) = (kind.kind, kind.api_version());
    Error::BadRequest(format!("{kind} in version {version:?} cannot be handled as a {kind}: {error}"))
}

/// Checks the fields of a body to be stored as this kind.
///
/// # Errors
/// Under `Strict`, if a field is unknown or repeated.
pub(crate) fn examined<'b>(kind: &StoredKind, json: &'b [u8], mode: FieldValidation) -> Result<Examined<'b>> {
    let (known, kind, version) = (kind.fields(), kind.kind, kind.api_version());
    fields::examined(known, &format!("{kind} in version {version:?} cannot be handled as a {kind}"), json, mode)
}

/// Reads a body to be stored under the path.
///
/// # Errors
/// If it cannot be read, is of another kind, or names another namespace.
pub(crate) fn open(target: &Target, json: &[u8]) -> Result<Document> {
    let kind = target.kind;
    let mut document = Document::parse(json).map_err(|error| undecodable(kind, &error))?;
    let (api_version, named) = (kind.api_version(), kind.kind);
    let (said_version, said_kind) = (document.text("apiVersion"), document.text("kind"));
    if said_version.as_deref().is_some_and(|v| !v.is_empty() && v != api_version)
        || said_kind.as_deref().is_some_and(|k| !k.is_empty() && k != named)
    {
        let said =
            |text: Option<String>, of: &str| text.filter(|text| !text.is_empty()).unwrap_or_else(|| of.to_owned());
        let (version, kind) = (said(said_version, "no apiVersion"), said(said_kind, "object"));
        return Err(Error::BadRequest(format!(
            "the object is {kind:?} of {version:?}; this path takes {named:?} of {api_version:?}"
        )));
    }
    document.to_stored(kind);
    if let Some(namespace) = &target.namespace {
        if is_absent(document.metadata("namespace")) {
            document.set_metadata_text("namespace", namespace);
        }
        target.agrees_in_namespace(&document.metadata_text("namespace").unwrap_or_default())?;
    }
    Ok(document)
}

/// Checks a complete object that a client makes, which has its uid. `mode` says by which rules.
pub(crate) fn check(
    kind: &StoredKind,
    document: Document,
    mode: AdmissionMode,
) -> std::result::Result<Accepted, Refused> {
    let (mut more, warnings) = (more(kind, &document, mode)?, warnings(kind, &document, None, mode)?);
    if kind.is(Kind::Pod) {
        more.extend(ephemeral::on_create(&document).map_err(Refused::Undecodable)?);
    }
    let (mut accepted, mut causes) = validated(kind, document)?;
    accepted.warnings = warnings;
    add(&mut causes, more);
    if causes.is_empty() { Ok(accepted) } else { Err(Refused::Invalid(causes)) }
}

/// Checks an object that replaces a stored one. Faults that the stored one has already are ignored, since facts are stored with their faults.
/// `changed_from` is the stored one, with the changes that the path allows besides those that every update may make.
pub(crate) fn check_update(
    kind: &StoredKind,
    document: Document,
    stored: &Document,
    changed_from: &Document,
    mode: AdmissionMode,
) -> std::result::Result<Accepted, Refused> {
    let mut changes = if kind.is(Kind::Pod) { update::pod(&document, changed_from) } else { Vec::new() };
    if mode.holds_for(kind) {
        changes.extend(complete::changes(kind, &document, changed_from).map_err(Refused::Undecodable)?);
    }
    let faults = more(kind, &document, mode)?;
    let warnings = warnings(kind, &document, Some(stored), mode)?;
    let (mut accepted, mut causes) = validated(kind, document)?;
    accepted.warnings = warnings;
    add(&mut causes, faults);
    if !causes.is_empty() {
        let mut before = kind.validate(stored.clone().into_body().as_bytes()).map_err(Refused::Undecodable)?.causes;
        before.extend(more(kind, stored, mode)?);
        causes.retain(|cause| !before.contains(cause));
    }
    causes.extend(changes);
    if causes.is_empty() { Ok(accepted) } else { Err(Refused::Invalid(causes)) }
}

/// The faults that only the API server's rules find.
fn more(kind: &StoredKind, document: &Document, mode: AdmissionMode) -> std::result::Result<Vec<Cause>, Refused> {
    if !mode.holds_for(kind) {
        return Ok(Vec::new());
    }
    complete::faults(kind, document).map_err(Refused::Undecodable)
}

/// The API server's warnings.
fn warnings(
    kind: &StoredKind,
    document: &Document,
    stored: Option<&Document>,
    mode: AdmissionMode,
) -> std::result::Result<Vec<String>, Refused> {
    if !mode.holds_for(kind) {
        return Ok(Vec::new());
    }
    complete::warnings(kind, document, stored).map_err(Refused::Undecodable)
}

/// Adds the faults that are not told yet.
fn add(causes: &mut Vec<Cause>, more: Vec<Cause>) {
    for cause in more {
        if !causes.contains(&cause) {
            causes.push(cause);
        }
    }
}

/// Checks a fact: it is refused only if it cannot be read or named. Its other faults are returned with it.
pub(crate) fn check_fact(
    kind: &StoredKind,
    document: Document,
) -> std::result::Result<(Accepted, Vec<Cause>), Refused> {
    let (accepted, causes) = validated(kind, document)?;
    if causes.iter().any(validation::unstorable) { Err(Refused::Invalid(causes)) } else { Ok((accepted, causes)) }
}

/// The object as it would be stored, and everything that is wrong with it.
fn validated(kind: &StoredKind, document: Document) -> std::result::Result<(Accepted, Vec<Cause>), Refused> {
    let uid = document.metadata_text("uid").unwrap_or_default();
    let node = |object: Option<&Object>| match object {
        Some(Object::Pod(pod)) if !pod.node_name.is_empty() => Some(pod.node_name.as_ref().to_owned()),
        _ => None,
    };
    // The text is not the one that was sent, so its lines mean nothing to the client.
    let Validated { body, read: node, causes } = live::validate(kind, document.into_body(), node)
        .map_err(|error| Refused::Undecodable(error.without_place()))?;
    Ok((Accepted { body, node, uid, warnings: Vec::new() }, causes))
}
