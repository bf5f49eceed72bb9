//! Rules of writes that differ from kind to kind.
//!
//! Source: `pkg/registry/*/*/strategy.go`, `pkg/registry/*/*/storage/storage.go`.

use super::StoredKind;

/// A rule of writes that some kinds have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trait {
    /// A PUT creates an object that there is not (`AllowCreateOnUpdate`).
    CreatedByPut,
    /// A PUT names the revision that it is based on (no `AllowUnconditionalUpdate`).
    NeedsRevision,
    /// A deletion replies with the object, not with a Status (`ReturnDeletedObject`).
    RepliesWithObject,
    /// `metadata.generation` counts the changes of the spec (`PrepareForUpdate`).
    CountsChanges,
}

impl StoredKind {
    /// `true` if a PUT creates an object that there is not.
    pub fn is_created_by_put(&self) -> bool {
        self.traits.contains(&Trait::CreatedByPut)
    }

    /// `true` if a PUT has to name the revision that it is based on.
    pub fn needs_revision(&self) -> bool {
        self.traits.contains(&Trait::NeedsRevision)
    }

    /// `true` if the deletion of an object is answered with the object, `false` if with a Status.
    pub fn replies_with_object(&self) -> bool {
        self.traits.contains(&Trait::RepliesWithObject)
    }

    /// `true` if its objects count the changes of their spec.
    pub fn counts_changes(&self) -> bool {
        self.traits.contains(&Trait::CountsChanges)
    }
}
