//! Watches of stored objects.

use std::time::Duration;

use super::target::Target;
use crate::{
    live::journal::{Ask, From, Watch, WatchError},
    service::{
        Service,
        error::{Error, Result},
    },
    wire::selector,
};

/// Longest wait for the state to be as new as a watch demands.
const REACHED_WITHIN: Duration = Duration::from_secs(3);

/// Seconds after which another watch may find a place.
const RETRY_AFTER_SECONDS: u32 = 5;

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With the objects of the newest state, or not with them but with the next change.
    Newest {
        /// `true`: with the objects.
        objects: bool,
    },
    /// Like [`Begin::Newest`], of a state that need only be as new as a revision.
    NotOlder {
        /// The revision; 0 for any.
        revision: u64,
        /// `true`: with the objects.
        objects: bool,
    },
    /// With the changes after a revision.
    After(u64),
}

/// Begins a watch of a collection.
///
/// # Errors
/// [`Error::TooManyRequests`] if there are too many, [`Error::TooNew`] if the revision is not reached.
pub async fn watch(service: &Service, target: &Target, query: selector::Query, begin: Begin) -> Result<Watch> {
    let of_state = |objects, revision| if objects { From::State(revision) } else { From::Now(revision) };
    let from = match begin {
        Begin::Newest { objects } => of_state(objects, service.store.head(&target.cluster).await?.revision),
        Begin::NotOlder { revision, objects } => of_state(objects, revision),
        Begin::After(revision) => From::After(revision),
    };
    let (kind, namespace) = (target.kind, target.namespace.clone());
    let ask = Ask { kind, namespace, query, from, within: REACHED_WITHIN };
    Ok(service.clusters.watch(&target.cluster, ask).await?)
}

impl std::convert::From<WatchError> for Error {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::TooMany { .. } => {
                Self::TooManyRequests { message: error.to_string(), retry_after_seconds: RETRY_AFTER_SECONDS }
            }
            WatchError::NotReached { wanted, current } => Self::TooNew { wanted, current },
            WatchError::Store(error) => error.into(),
        }
    }
}
