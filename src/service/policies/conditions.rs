//! Writes that hold only for the revision that they were made for.

use crate::service::error::{Error, Result};

/// The conditions of a write on the revision in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// It must be one of these.
    pub if_match: Option<Tags>,
    /// It must be none of these.
    pub if_none_match: Option<Tags>,
}

/// Revisions that a condition names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// Any that there is.
    Any,
    /// These; 0 while no policy is stored.
    These(Vec<u64>),
}

impl Tags {
    /// `None`: no policy is stored.
    fn include(&self, revision: Option<u64>) -> bool {
        match self {
            Self::Any => revision.is_some(),
            Self::These(revisions) => revisions.contains(&revision.unwrap_or(0)),
        }
    }
}

impl Conditions {
    /// Checks them against the revision in force; `None` if no policy is stored.
    ///
    /// # Errors
    /// [`Error::PreconditionFailed`] when not.
    pub fn check(&self, revision: Option<u64>) -> Result<()> {
        let failed = |header: &str| {
            let current = revision.unwrap_or(0);
            Error::PreconditionFailed(format!("{header} does not hold: the revision in force is \"{current}\""))
        };
        match self {
            Self { if_match: Some(tags), .. } if !tags.include(revision) => Err(failed("If-Match")),
            Self { if_none_match: Some(tags), .. } if tags.include(revision) => Err(failed("If-None-Match")),
            _ => Ok(()),
        }
    }
}
