//! Failures of calls to extenders.

use std::time::Duration;

use crate::core::{model::Name, policy::Extender};

/// The verb of a call to an extender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Verb {
    Filter,
    Prioritize,
    Preempt,
    Bind,
}

impl Verb {
    /// Its standard name, independent of the policy.
    pub fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Prioritize => "prioritize",
            Self::Preempt => "preempt",
            Self::Bind => "bind",
        }
    }

    /// The extender's name for the verb; empty if it does not have the verb.
    pub(super) fn of(self, extender: &Extender) -> &str {
        match self {
            Self::Filter => &extender.filter_verb,
            Self::Prioritize => &extender.prioritize_verb,
            Self::Preempt => &extender.preempt_verb,
            Self::Bind => &extender.bind_verb,
        }
    }
}

/// A call to an extender without a valid reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("extender {extender:?} failed to {}: {cause}", .verb.name())]
pub struct Failure {
    /// The extender, by its URL.
    pub extender: Name,
    /// The verb of the call.
    pub verb: Verb,
    /// Why there is no answer.
    pub cause: Cause,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The operator did not name its host.
    #[error("this server may not call {0}: its setting downstream-extenders does not name it")]
    NotAllowed(String),
    /// Its URL cannot be called.
    #[error("{0}")]
    Url(String),
    /// Its TLS settings cannot be used.
    #[error("its tlsConfig cannot be used: {0}")]
    Tls(String),
    /// There was no connection, or it broke.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// Its time was up.
    #[error("it did not answer within {0:?}")]
    Timeout(Duration),
    /// It answered with another code than 200.
    #[error("it answered with code {0}")]
    Code(u16),
    /// Its answer is too long.
    #[error("its answer is longer than {0} bytes")]
    TooLong(usize),
    /// Its answer cannot be read.
    #[error("its answer cannot be read: {0}")]
    Unreadable(String),
    /// The reply itself has an error.
    #[error("{0}")]
    Refused(String),
    /// The reply names a node that was not in the call.
    #[error("it claims a filtered node {0:?} which is not found in the input node list")]
    UnknownNode(String),
    /// It names a victim that is not on the node.
    #[error("it claims to preempt pod (UID: {0}) on node {1:?}, but the pod is not found on that node")]
    UnknownVictim(String, String),
    /// It names a node without victims.
    #[error("it names no victim pod on node {0:?}")]
    NoVictims(String),
    /// The documents to send could not be had.
    #[error("the documents to send it cannot be had: {0}")]
    NoDocuments(String),
}

impl Cause {
    /// `true` if the extender may have done it all the same.
    pub fn is_unclear(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Timeout(_) | Self::TooLong(_) | Self::Unreadable(_))
    }

    /// In one word, for metrics.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timeout",
            Self::TooLong(_) => "too_long",
            _ => "unreachable",
        }
    }
}
