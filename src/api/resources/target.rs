//! The objects of a path, and their names in errors.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};
use serde::Deserialize;

use crate::{
    api::{
        cluster::ClusterName,
        error::{ApiError, Result, Subject},
        extract::Path,
    },
    store::{Key, Refusal},
    wire::{fault::Cause, kinds::StoredKind, status::StatusCause},
};

/// The variables that paths of stored objects can have.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Variables {
    namespace: Option<String>,
    name: Option<String>,
}

/// The object of a path: a kind, perhaps a namespace, perhaps a name.
#[derive(Clone, Debug)]
pub struct Target {
    /// The cluster.
    pub cluster: Arc<str>,
    /// The kind, from the route.
    pub kind: &'static StoredKind,
    /// `None` where the path has none: all of them, or a kind without.
    pub namespace: Option<String>,
    /// Empty for a whole collection.
    pub name: String,
}

/// The kind that a route serves, handed to its handlers by the router.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served(pub &'static StoredKind);

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let Ok(ClusterName(cluster)) = ClusterName::from_request_parts(parts, state).await;
        let Path(variables) = Path::<Variables>::from_request_parts(parts, state).await?;
        let served = parts.extensions.get::<Served>();
        let Served(kind) = *served.ok_or_else(|| ApiError::internal("a route does not say which kind it serves"))?;
        Ok(Self { cluster, kind, namespace: variables.namespace, name: variables.name.unwrap_or_default() })
    }
}

impl Target {
    /// This target with a name, for a created object.
    #[must_use]
    pub fn named(&self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self.clone() }
    }

    /// Under which the object is stored.
    pub fn key(&self) -> Key {
        Key::new(self.kind.key(), self.namespace.clone().unwrap_or_default(), &*self.name)
    }

    /// How errors call the object: `pods "web"`.
    pub fn subject(&self) -> Subject {
        Subject::new(self.kind.group, self.kind.plural, &*self.name)
    }

    /// The object breaks rules.
    pub fn invalid(&self, causes: Vec<Cause>) -> ApiError {
        ApiError::Invalid {
            subject: Subject::new(self.kind.group, self.kind.kind, &*self.name),
            causes: causes.into_iter().map(status_cause).collect(),
        }
    }

    /// The object is not as the request takes it to be.
    pub fn conflict(&self, message: impl Into<String>) -> ApiError {
        ApiError::Conflict { subject: self.subject(), message: message.into() }
    }

    /// Another client changed the object first.
    pub fn modified(&self) -> ApiError {
        self.conflict("the object has been modified; please apply your changes to the latest version and try again")
    }

    /// Another object has its name.
    pub fn other_uid(&self, wanted: &str, current: &str) -> ApiError {
        self.conflict(format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {current}"))
    }

    /// Why the store did not write the object.
    pub fn refused(&self, refusal: Refusal, uid: &str) -> ApiError {
        match refusal {
            Refusal::NotFound => ApiError::NotFound(self.subject()),
            Refusal::AlreadyExists { .. } => ApiError::AlreadyExists(self.subject()),
            Refusal::UidMismatch { current } => self.other_uid(uid, &current),
            Refusal::AlreadyBound { node } => {
                self.conflict(format!("pod {} is already assigned to node {node:?}", self.name))
            }
            Refusal::Rejected(why) => self.conflict(why),
            Refusal::Conflict { .. } | Refusal::NotAttempted => self.modified(),
        }
    }
}

/// A fault as a `Status` lists it.
pub(crate) fn status_cause(cause: Cause) -> StatusCause {
    StatusCause { reason: cause.reason, message: cause.message, field: cause.field }
}
