//! The owners that were deleted.

use std::collections::{HashSet, VecDeque};

/// Deleted objects that are remembered without dependents, for dependents that come late.
const REMEMBERED: usize = 10_000;

/// The uids of deleted objects: of those that still have dependents all, of others the latest.
#[derive(Debug, Default)]
pub(super) struct Gone {
    pinned: HashSet<String>,
    latest: HashSet<String>,
    order: VecDeque<String>,
}

impl Gone {
    /// Notes that an object was deleted.
    pub(super) fn add(&mut self, uid: &str, has_dependents: bool) {
        if uid.is_empty() {
            return;
        }
        if has_dependents {
            self.pinned.insert(uid.to_owned());
        }
        if self.latest.insert(uid.to_owned()) {
            self.order.push_back(uid.to_owned());
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.latest.remove(&oldest);
            }
        }
    }

    /// Notes that the last dependent of an object is gone.
    pub(super) fn has_no_dependents(&mut self, uid: &str) {
        self.pinned.remove(uid);
    }

    /// `true` if the object was deleted.
    pub(super) fn has(&self, uid: &str) -> bool {
        self.pinned.contains(uid) || self.latest.contains(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_with_dependents_are_never_forgotten_and_others_in_their_turn() {
        let mut gone = Gone::default();
        gone.add("owner", true);
        gone.add("first", false);
        for i in 0..REMEMBERED {
            gone.add(&format!("other-{i}"), false);
        }
        assert!(gone.has("owner") && !gone.has("first") && gone.has("other-0"));
        gone.has_no_dependents("owner");
        assert!(!gone.has("owner"));
    }
}
