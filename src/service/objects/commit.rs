//! The commit of one write.

use super::target::Target;
use crate::{
    service::{
        Service,
        error::{Error, Result},
    },
    store::{Atomicity, Call, Change, Outcome, Precondition, Record, Refusal, Write},
};

/// That an object is as it was read.
pub(super) fn as_read(stored: Option<&Record>) -> Precondition {
    stored.map_or_else(Precondition::absent, |stored| Precondition::revision(stored.revision))
}

/// Commits a change of an object for which the precondition holds. The next decision of this process sees it.
pub(super) async fn commit(
    service: &Service,
    target: &Target,
    precondition: Precondition,
    change: Change,
) -> Result<std::result::Result<u64, Refusal>> {
    let write = Write { key: target.key(), precondition, change };
    let call = Call { writes: vec![write], atomicity: Atomicity::Each };
    match service.clusters.commit(&target.cluster, call, None).await?.outcomes.pop() {
        Some(Outcome::Refused(refusal)) => Ok(Err(refusal)),
        Some(Outcome::Written { revision, .. } | Outcome::Unchanged { revision } | Outcome::Deleted { revision }) => {
            Ok(Ok(revision))
        }
        None => Err(Error::internal("the store did not answer for a write")),
    }
}
