//! Why a change could not be committed.

use crate::store::StoreError;

/// The failure of a commit. Its own preconditions are not failures; the [`crate::store::Commit`] has their outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// As many changes wait to be written to this cluster as may. Nothing was written.
    #[error("{waiting} changes wait to be written already")]
    Overloaded {
        /// How many.
        waiting: usize,
    },
    /// The cluster does not exist and is not one of those that may be made. Nothing was written.
    #[error("the cluster {cluster:?} may not be made: `--clusters` names those that may")]
    NotAllowed {
        /// Its name.
        cluster: String,
    },
    /// The database's error. While the database is known to be unreachable, calls fail at once.
    #[error(transparent)]
    Store(#[from] StoreError),
}
