//! The rules that binds are judged by.

use std::sync::Arc;

use crate::{
    core::{claim_choice::ClaimChoice, policy::Profile},
    store::{Change, Place, Write},
};

/// The rules that judge the binds of a call.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// `None`: the policy in force at the commit.
    pub profile: Option<Arc<Profile>>,
    /// They were decided, by the profile, on the state of this revision, each in view of the writes before it. Where
    /// nothing else has been written since, they need no other judgement.
    pub decided_at: Option<u64>,
    /// The volumes and devices chosen for the claims of pods, by the place of their bind in the call. The writes behind a bind record them.
    pub volumes: Vec<(usize, Vec<ClaimChoice>)>,
}

impl Judgement {
    /// `true` if a bind is written to the very state that it was decided on: its call began at that revision, and each write of it so far
    /// took a revision, so that none was refused.
    pub(super) fn holds_at(&self, place: Place, revision: u64) -> bool {
        self.decided_at == Some(place.began) && place.began.saturating_add(place.write as u64) == revision
    }

    /// The volumes and devices chosen for the claims of the pod that is bound at this place.
    pub(super) fn volumes_at(&self, place: Place) -> &[ClaimChoice] {
        let found = self.volumes.iter().find(|(write, _)| *write == place.write);
        found.map_or(&[], |(_, volumes)| volumes)
    }
}

/// `true` for a write that is judged.
pub(super) fn is_bind(write: &Write) -> bool {
    matches!(write.change, Change::Bind { .. })
}
