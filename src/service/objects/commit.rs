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

/// Commits a change of an object for which the precondition holds, together with writes of other objects: all of them or none. The next
/// decision of this process sees it. The refusal is [`Refusal::NotAttempted`] if one of the others was refused.
pub(super) async fn commit(
    service: &Service,
    target: &Target,
    precondition: Precondition,
    change: Change,
    others: Vec<Write>,
) -> Result<std::result::Result<u64, Refusal>> {
    let mut writes = vec![Write { key: target.key(), precondition, change }];
    writes.extend(others);
    let call = Call { writes, atomicity: Atomicity::AllOrNothing };
    let outcomes = service.clusters.commit(&target.cluster, call, None).await?.outcomes;
    match outcomes.into_iter().next() {
        Some(Outcome::Refused(refusal)) => Ok(Err(refusal)),
        Some(Outcome::Written { revision, .. } | Outcome::Unchanged { revision } | Outcome::Deleted { revision }) => {
            Ok(Ok(revision))
        }
        None => Err(Error::internal("the store did not answer for a write")),
    }
}
