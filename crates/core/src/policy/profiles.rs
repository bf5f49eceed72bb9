//! The profiles of one policy, of which a pod picks one by `spec.schedulerName`.
//!
//! Source: `pkg/scheduler/schedule_one.go` (`frameworkForPod`): no profile handles a pod whose scheduler has none.

use std::sync::Arc;

use super::Profile;
use crate::model::Name;

/// One profile, which decides for any scheduler name, or several.
#[derive(Clone, Debug)]
pub struct Profiles {
    first: Arc<Profile>,
    /// Its `schedulerName`; `None` where it has none.
    first_name: Option<Name>,
    /// By name, where there are several.
    named: Vec<(Name, Arc<Profile>)>,
}

/// There are several profiles, and none is called as a pod asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no profile has the schedulerName {wanted:?}; there are {}", .known.join(", "))]
pub struct NoSuchProfile {
    /// The name that the pod gives.
    pub wanted: String,
    /// The names that there are.
    pub known: Vec<String>,
}

impl From<Arc<Profile>> for Profiles {
    fn from(first: Arc<Profile>) -> Self {
        Self { first, first_name: None, named: Vec::new() }
    }
}

impl Profiles {
    /// Several profiles by name. Of none there is nothing to make.
    pub fn named(mut named: Vec<(Name, Arc<Profile>)>, default: usize) -> Option<Self> {
        let (first_name, first) = named.get(default)?.clone();
        if named.len() == 1 {
            named.clear();
        }
        Some(Self { first, first_name: Some(first_name), named })
    }

    /// The profile for requests without a choice: the only one, `default-scheduler`, or the first.
    pub fn first(&self) -> &Arc<Profile> {
        &self.first
    }

    /// Every profile.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Profile>> {
        let only = Some(&self.first).filter(|_| self.named.is_empty());
        self.named.iter().map(|(_, profile)| profile).chain(only)
    }

    /// The `schedulerName` of [`Self::first`]; `None` for a Policy.
    pub fn first_name(&self) -> Option<&Name> {
        self.first_name.as_ref()
    }

    /// `true` if there are several, so that a pod's `schedulerName` matters.
    pub fn are_several(&self) -> bool {
        !self.named.is_empty()
    }

    /// The profile of a pod that names this scheduler.
    ///
    /// # Errors
    /// Where there are several, and none of that name.
    pub fn of(&self, scheduler: &str) -> Result<&Arc<Profile>, NoSuchProfile> {
        if self.named.is_empty() {
            return Ok(&self.first);
        }
        let found = self.named.iter().find(|(name, _)| &**name == scheduler);
        found.map(|(_, profile)| profile).ok_or_else(|| NoSuchProfile {
            wanted: scheduler.into(),
            known: self.named.iter().map(|(name, _)| format!("{:?}", &**name)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Release;

    #[test]
    fn a_pod_picks_among_several_profiles_and_takes_the_only_one() {
        let profile = || Arc::new(Profile::empty(Release::V1_34));
        let (a, b) = (profile(), profile());
        let both = Profiles::named(vec![("a".into(), a.clone()), ("b".into(), b.clone())], 1).unwrap();
        assert!(Arc::ptr_eq(both.first(), &b) && Arc::ptr_eq(both.of("a").unwrap(), &a));
        let error = both.of("default-scheduler").unwrap_err().to_string();
        assert_eq!(error, r#"no profile has the schedulerName "default-scheduler"; there are "a", "b""#);
        let only = Profiles::named(vec![("a".into(), a.clone())], 0).unwrap();
        assert!(!only.are_several() && Arc::ptr_eq(only.of("anything").unwrap(), &a));
        assert!(Profiles::named(Vec::new(), 0).is_none());
    }
}
