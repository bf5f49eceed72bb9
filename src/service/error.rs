//! The error of the service layer, for all callers. HTTP has a code and a body for each ([`crate::api::error`]).
//!
//! "Does not fit" is a verdict, not an error.

use std::fmt::Display;

use crate::{
    core::policy::{Fault, Faults},
    live::CommitError,
    store::StoreError,
    telemetry::seldom::REFUSED_REQUESTS,
    wire::{
        decode::DecodeError,
        fault::{self, Cause},
        patch::PatchError,
        policy::Places,
        status::StatusCause,
    },
};

/// The object that an error is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource in the plural, `pods`; in [`Error::Invalid`] the kind, `Pod`.
    pub resource: String,
    /// The object's name.
    pub name: String,
}

impl Subject {
    /// An object of a group's resource (in [`Error::Invalid`]: kind).
    pub fn new(group: impl Into<String>, resource: impl Into<String>, name: impl Into<String>) -> Self {
        Self { group: group.into(), resource: resource.into(), name: name.into() }
    }

    /// `pods`, or `deployments.apps` in a group.
    fn qualified(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }
}

/// The reason why an operation failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be understood.
    #[error("{0}")]
    BadRequest(String),
    /// The object contradicts others, or names one that does not exist (Kubernetes' admission).
    #[error("{} \"{}\" is forbidden: {message}", .subject.qualified(), .subject.name)]
    Forbidden {
        /// The object to create.
        subject: Subject,
        /// The reason.
        message: String,
    },
    /// The object's namespace is being deleted.
    #[error(
        "{} \"{}\" is forbidden: unable to create new content in namespace {namespace} because it is being terminated",
        .subject.qualified(),
        .subject.name
    )]
    Terminating {
        /// The object to create.
        subject: Subject,
        /// Its namespace.
        namespace: String,
    },
    /// No such object.
    #[error("{} \"{}\" not found", .0.qualified(), .0.name)]
    NotFound(Subject),
    /// The sender has not the right to do this.
    #[error("{}", denied(.subject, .message))]
    Denied {
        /// The object; its fields are empty as far as the request names none.
        subject: Subject,
        /// The right that is missing.
        message: String,
    },
    /// The operator has ruled it out.
    #[error("{0}")]
    NotAllowed(String),
    /// The cluster mirrors a live one, whose objects are not written here.
    #[error(
        "the cluster {cluster:?} mirrors {source_title}, so its objects are not written here: write them in that cluster, or end the mirror (PUT \
         /clusters/{cluster} with {{\"source\": null}}). Binds, reservations, policies, roles and annotations under podberth.io/ can be written"
    )]
    ReadOnly {
        /// The cluster, by its name here.
        cluster: String,
        /// The live cluster, as people are told of it.
        source_title: String,
    },
    /// An object of this name exists.
    #[error("{} \"{}\" already exists", .0.qualified(), .0.name)]
    AlreadyExists(Subject),
    /// The object is not (or no longer) as the request takes it to be.
    #[error("Operation cannot be fulfilled on {} \"{}\": {message}", .subject.qualified(), .subject.name)]
    Conflict {
        /// The object to change.
        subject: Subject,
        /// The reason.
        message: String,
    },
    /// A condition of the request's head (`If-Match`, `If-None-Match`) does not hold.
    #[error("{0}")]
    PreconditionFailed(String),
    /// The requested history is gone: list again.
    #[error("{0}")]
    Expired(String),
    /// The parsed body takes more memory than one request may have.
    #[error("{}", crate::wire::allowance::USED_UP)]
    TooMuch,
    /// The request is readable, and its content is invalid.
    #[error("{} \"{}\" is invalid: {}", .subject.qualified(), .subject.name, list(.causes))]
    Invalid {
        /// The object, by kind.
        subject: Subject,
        /// Every fault, with the field's path.
        causes: Vec<StatusCause>,
    },
    /// A patch cannot be read, does not fit, or sets fields of other managers.
    #[error("{}", .0.message())]
    Patch(PatchError),
    /// More requests than can be taken on now.
    #[error("{message}")]
    TooManyRequests {
        /// The overloaded part.
        message: String,
        /// When to try again.
        retry_after_seconds: u32,
    },
    /// A disruption budget forbids the eviction at the moment.
    #[error("Cannot evict pod as it would violate the pod's disruption budget.")]
    Disruption {
        /// Which budget, and why.
        cause: String,
        /// When to try again, where that is known.
        retry_after_seconds: Option<u32>,
    },
    /// An internal fault. The cause is logged and not shown.
    #[error("an internal error occurred, see the server's log under this reply's x-request-id")]
    Internal(String),
    /// The database, which the request needs, is unreachable.
    #[error("{message}")]
    Unavailable {
        /// The unreachable part.
        message: String,
        /// When to try again.
        retry_after_seconds: u32,
    },
    /// The request took too long; its change may or may not have been made.
    #[error("{0}")]
    Timeout(String),
    /// The requested revision does not exist yet.
    #[error("Timeout: Too large resource version: {wanted}, current: {current}")]
    TooNew {
        /// The requested revision.
        wanted: u64,
        /// The newest one.
        current: u64,
    },
}

/// A refusal as the API server words it (`apimachinery/pkg/api/errors/errors.go`, `NewForbidden`).
fn denied(subject: &Subject, message: &str) -> String {
    let (resource, name) = (subject.qualified(), &subject.name);
    if resource.is_empty() {
        format!("forbidden: {message}")
    } else if name.is_empty() {
        format!("{resource} is forbidden: {message}")
    } else {
        format!("{resource} {name:?} is forbidden: {message}")
    }
}

/// The result of a service.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A fault of Podberth; `cause` goes to the log only.
    pub fn internal(cause: impl Display) -> Self {
        Self::Internal(cause.to_string())
    }

    /// The text for the log, with the cause of a fault of Podberth.
    pub fn for_log(&self) -> String {
        match self {
            Self::Internal(cause) => cause.clone(),
            other => other.to_string(),
        }
    }

    /// An object of a kind is not as it must be.
    pub fn invalid(kind: &str, name: &str, causes: Vec<Cause>) -> Self {
        Self::Invalid { subject: Subject::new("", kind, name), causes: causes.into_iter().map(Into::into).collect() }
    }

    /// The options of a request (`meta/v1`) are not as they must be. `options` is their kind: `ListOptions`.
    pub fn invalid_options(options: &str, causes: Vec<Cause>) -> Self {
        let subject = Subject::new("meta.k8s.io", options, "");
        Self::Invalid { subject, causes: causes.into_iter().map(Into::into).collect() }
    }

    /// Refuses options that have faults.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults.
    pub fn check_options(options: &str, faults: fault::Faults) -> Result<()> {
        if faults.count() == 0 { Ok(()) } else { Err(Self::invalid_options(options, faults.into_causes())) }
    }

    /// A policy, or another document that holds one, does not compile.
    pub fn invalid_policy(kind: &str, name: &str, faults: Faults) -> Self {
        let cause = |fault: Fault| StatusCause {
            reason: "FieldValueInvalid".into(),
            message: fault.message,
            field: fault.field,
            ..StatusCause::default()
        };
        Self::Invalid { subject: Subject::new("", kind, name), causes: faults.0.into_iter().map(cause).collect() }
    }

    /// A policy that was sent as a text does not compile: the listed faults have their places in it.
    pub fn invalid_policy_text(name: &str, text: &str, faults: Faults) -> Self {
        let places = Places::of(text);
        let mut error = Self::invalid_policy("Policy", name, faults);
        if let Self::Invalid { causes, .. } = &mut error {
            for cause in causes.iter_mut().take(FAULTS_LISTED + 1) {
                let place = places.find(&cause.field);
                (cause.line, cause.column) = (place.map(|place| place.line), place.map(|place| place.column));
            }
        }
        error
    }
}

/// Number of faults that a refusal lists; it counts the others.
pub const FAULTS_LISTED: usize = 100;

/// The listed faults.
pub fn listed(causes: &[StatusCause]) -> Vec<StatusCause> {
    // One more may be the sentence about the others.
    if causes.len() <= FAULTS_LISTED + 1 {
        return causes.to_vec();
    }
    let mut listed: Vec<StatusCause> = causes.iter().take(FAULTS_LISTED).cloned().collect();
    let more = causes.len() - listed.len();
    if more > 0 {
        listed.push(StatusCause { message: format!("and {more} more faults"), ..StatusCause::default() });
    }
    listed
}

/// Faults as Kubernetes lists them in a message: one as it is, several in brackets.
fn list(causes: &[StatusCause]) -> String {
    let faults: Vec<String> =
        listed(causes)
            .iter()
            .map(|cause| {
                if cause.field.is_empty() {
                    cause.message.clone()
                } else {
                    format!("{}: {}", cause.field, cause.message)
                }
            })
            .collect();
    if faults.len() == 1 { faults.concat() } else { format!("[{}]", faults.join(", ")) }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            error @ (StoreError::Unavailable(_)
            | StoreError::Unwritable(_)
            | StoreError::Busy(_)
            | StoreError::Aborted(_)
            | StoreError::Behind { .. }
            | StoreError::Corrupt(_)) => {
                if let Some(left_out) = REFUSED_REQUESTS.turn() {
                    tracing::warn!(%error, left_out, "the database did not take a request");
                }
                Self::Unavailable { message: format!("{error}; nothing was changed"), retry_after_seconds: 1 }
            }
            StoreError::OutcomeUnknown(cause) => {
                tracing::warn!(cause, "the outcome of a commit is unknown");
                Self::Timeout("the database was lost during the change, which may or may not have happened".into())
            }
            StoreError::Compacted { .. } | StoreError::HistoryLost { .. } => {
                Self::Expired("the revision asked for is too old: list again".into())
            }
            StoreError::Invalid(message) => Self::BadRequest(message),
            StoreError::Full(message) => Self::NotAllowed(message),
            StoreError::Gone(message) => Self::Expired(message),
            other => Self::internal(other),
        }
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        if error.is_used_up() { Self::TooMuch } else { Self::BadRequest(error.to_string()) }
    }
}

impl From<PatchError> for Error {
    fn from(error: PatchError) -> Self {
        match error {
            PatchError::Unread(error) => error.into(),
            error => Self::Patch(error),
        }
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Overloaded { .. } => Self::TooManyRequests {
                message: "too many changes wait to be written, nothing was changed".into(),
                retry_after_seconds: 1,
            },
            error @ CommitError::NotAllowed { .. } => Self::NotAllowed(error.to_string()),
            CommitError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_listed_with_their_fields() {
        let cause = |field: &str, message: &str| StatusCause {
            reason: "FieldValueRequired".into(),
            message: message.into(),
            field: field.into(),
            ..StatusCause::default()
        };
        let invalid = |causes| Error::Invalid { subject: Subject::new("", "Pod", "web"), causes };
        assert_eq!(
            invalid(vec![cause("spec.a", "Required value")]).to_string(),
            "Pod \"web\" is invalid: spec.a: Required value"
        );
        assert_eq!(invalid(vec![cause("a", "x"), cause("b", "y")]).to_string(), "Pod \"web\" is invalid: [a: x, b: y]");
    }
}
