//! The object that an operation is about, and its name in errors.

use std::sync::Arc;

use serde::Deserialize;

use crate::{
    service::error::{Error, Result, Subject},
    store::{Key, Record, Refusal},
    wire::{fault::Cause, kinds::StoredKind, status::StatusCause},
};

/// A stored object, or a collection of them: a kind, perhaps a namespace, perhaps a name.
#[derive(Clone, Debug)]
pub struct Target {
    /// The cluster.
    pub cluster: Arc<str>,
    /// The kind.
    pub kind: &'static StoredKind,
    /// `None` for all namespaces, and for a kind without.
    pub namespace: Option<String>,
    /// Empty for a whole collection.
    pub name: String,
}

impl Target {
    /// This target with a name, for a created object.
    #[must_use]
    pub fn named(&self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self.clone() }
    }

    /// The key under which the object is stored.
    pub fn key(&self) -> Key {
        Key::new(self.kind.key(), self.namespace.clone().unwrap_or_default(), &*self.name)
    }

    /// The object's name in errors: `pods "web"`.
    pub fn subject(&self) -> Subject {
        Subject::new(self.kind.group, self.kind.plural, &*self.name)
    }

    /// The object breaks rules.
    pub fn invalid(&self, causes: Vec<Cause>) -> Error {
        // Faults are found in the form in which the object is stored.
        let kind = self.kind.stored();
        Error::Invalid {
            subject: Subject::new(kind.group, kind.kind, &*self.name),
            causes: causes.into_iter().map(Into::into).collect(),
        }
    }

    /// Checks that an object in a body is in the namespace of the path, if it names one.
    ///
    /// # Errors
    /// [`Error::BadRequest`]
    pub fn agrees_in_namespace(&self, said: &str) -> Result<()> {
        if said.is_empty() || said == self.namespace.as_deref().unwrap_or_default() {
            return Ok(());
        }
        let message = "the namespace of the provided object does not match the namespace sent on the request";
        Err(Error::BadRequest(message.into()))
    }

    /// Checks that an object in a body has the name of the path, if it has one.
    ///
    /// # Errors
    /// [`Error::BadRequest`]
    pub fn agrees_in_name(&self, said: &str) -> Result<()> {
        if said.is_empty() || said == self.name {
            return Ok(());
        }
        let url = &self.name;
        Err(Error::BadRequest(format!("the name of the object ({said}) does not match the name on the URL ({url})")))
    }

    /// There is no such object.
    pub fn not_found(&self) -> Error {
        Error::NotFound(self.subject())
    }

    /// The object is not as the request takes it to be.
    pub fn conflict(&self, message: impl Into<String>) -> Error {
        Error::Conflict { subject: self.subject(), message: message.into() }
    }

    /// Another client changed the object first.
    pub fn modified(&self) -> Error {
        self.conflict("the object has been modified; please apply your changes to the latest version and try again")
    }

    /// A PUT does not name the revision that it is based on (`registry/generic/registry/store.go`, `Update`).
    pub fn without_revision(&self) -> Error {
        let cause = StatusCause {
            reason: "FieldValueInvalid".into(),
            message: "Invalid value: 0: must be specified for an update".into(),
            field: "metadata.resourceVersion".into(),
            ..StatusCause::default()
        };
        Error::Invalid { subject: self.subject(), causes: vec![cause] }
    }

    /// Another object has its name.
    pub fn other_uid(&self, wanted: &str, current: &str) -> Error {
        self.conflict(format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {current}"))
    }

    /// The store refused a write of the object.
    pub fn refused(&self, refusal: Refusal, uid: &str) -> Error {
        match refusal {
            Refusal::NotFound => self.not_found(),
            Refusal::AlreadyExists { .. } => Error::AlreadyExists(self.subject()),
            Refusal::UidMismatch { current } => self.other_uid(uid, &current),
            Refusal::AlreadyBound { node } => {
                self.conflict(format!("pod {} is already assigned to node {node:?}", self.name))
            }
            Refusal::Rejected(why) => self.conflict(why),
            Refusal::Conflict { .. } | Refusal::NotAttempted => self.modified(),
        }
    }
}

/// Conditions of a write on the stored object (`meta/v1` Preconditions).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Preconditions {
    /// It has this uid.
    pub uid: Option<String>,
    /// It is at this revision.
    pub resource_version: Option<String>,
}

impl Preconditions {
    /// Checks them on the stored object.
    ///
    /// # Errors
    /// [`Error::Conflict`] if one does not hold.
    pub fn check(&self, target: &Target, stored: &Record) -> Result<()> {
        if let Some(uid) = self.uid.as_ref().filter(|uid| **uid != stored.uid) {
            return Err(target.other_uid(uid, &stored.uid));
        }
        match &self.resource_version {
            Some(wanted) if *wanted != stored.revision.to_string() => {
                let current = stored.revision;
                Err(target.conflict(format!(
                    "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: \
                     {current}"
                )))
            }
            _ => Ok(()),
        }
    }
}
