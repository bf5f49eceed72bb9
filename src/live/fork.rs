//! Forks: clusters that begin as another one was at a revision, and share with it what is not changed.
//!
//! In the database a fork is a cluster of its own, under a name that no user can give, with the rows that differ from its base ([`super::forked`]). In
//! memory it begins with the past view of the base.

use std::{future::Future, pin::Pin, sync::Arc};

use jiff::Timestamp;
use uuid::Uuid;

use super::{Clusters, View, past::PastError};
use crate::{
    store::{Head, Key, Record, StoreError},
    wire::fork::{KIND, Stored},
};

/// The beginning of the names of forks. Names that users give have no colon.
const PREFIX: &str = "fork:";

/// How long the present of the base is waited for.
const WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// The cluster of a fork.
pub fn cluster_of(base: &str, name: &str) -> String {
    format!("{PREFIX}{base}:{name}")
}

/// The base and the name of a fork; `None` for another cluster.
pub fn split(cluster: &str) -> Option<(&str, &str)> {
    cluster.strip_prefix(PREFIX)?.split_once(':')
}

/// The cluster whose roles count in a cluster: that of a fork is its base.
pub fn judged_in(cluster: &str) -> &str {
    split(cluster).map_or(cluster, |(base, _)| base)
}

/// The key of the object that makes a cluster a fork.
pub fn key() -> Key {
    Key::new(KIND, "", "fork")
}

/// The fork in its record.
///
/// # Errors
/// [`StoreError::Corrupt`]
pub fn parse(record: &Record) -> Result<Stored, StoreError> {
    Stored::parse(&record.body).map_err(|error| StoreError::Corrupt(format!("a fork: {error}")))
}

/// The error of a fork whose base is not kept any more.
pub fn gone(base: &str, name: &str, revision: u64) -> StoreError {
    StoreError::Gone(format!(
        "the fork {name:?} began with revision {revision} of the cluster {base:?}, which is not kept any more: delete the fork, and make another one"
    ))
}

/// The view that a fork begins with, and the head of the fork then.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) view: View,
    pub(super) head: Head,
    pub(super) fork: Stored,
}

/// A past view, or why there is none.
type Viewed<'a> = Pin<Box<dyn Future<Output = Result<Arc<View>, PastError>> + Send + 'a>>;

impl Clusters {
    /// The beginning of a fork; `None` for another cluster.
    pub(super) async fn origin(&self, cluster: &str) -> Result<Option<Origin>, StoreError> {
        let Some((base, name)) = split(cluster) else { return Ok(None) };
        let Some(record) = self.store.get(cluster, &key()).await? else {
            return Err(StoreError::Gone(format!("the fork {name:?} is not there any more")));
        };
        let fork = parse(&record)?;
        let revision = fork.revision;
        let view = self.viewed(base, revision).await.map_err(|error| match error {
            PastError::Store(StoreError::Compacted { .. }) | PastError::TooNew { .. } => gone(base, name, revision),
            PastError::Store(error) => error,
        })?;
        let epoch = self.store.head(cluster).await?.epoch;
        // Nothing is bound in the live cluster that the base mirrors.
        let view = view.without_source();
        let (revision, compact_revision) = (record.revision, record.revision);
        Ok(Some(Origin { view, head: Head { revision, compact_revision, epoch, token: Uuid::nil() }, fork }))
    }
}

impl Clusters {
    /// [`Self::view_at`] as a boxed future: it may load a cluster, and a fork is loaded with it.
    fn viewed<'a>(&'a self, base: &'a str, revision: u64) -> Viewed<'a> {
        Box::pin(self.view_at(base, revision, WITHIN))
    }

    /// Removes the forks whose time is over. One that cannot be removed keeps no other.
    pub(super) async fn remove_expired_forks(&self, now: Timestamp) -> Result<(), StoreError> {
        for (cluster, record) in self.store.everywhere(KIND).await?.found {
            match record.and_then(|record| parse(&record)) {
                Ok(fork) if fork.has_expired(now) => self.remove_fork(&cluster).await?,
                Ok(_) => {}
                Err(error) => tracing::error!(cluster, %error, "a fork cannot be read"),
            }
        }
        Ok(())
    }

    /// Removes the forks of a cluster that is removed: they have its objects.
    pub(super) async fn remove_forks_of(&self, cluster: &str) -> Result<(), StoreError> {
        if split(cluster).is_some() {
            return Ok(());
        }
        for (name, _) in self.store.everywhere(KIND).await?.found {
            if split(&name).is_some_and(|(base, _)| base == cluster) {
                self.remove_fork(&name).await?;
            }
        }
        Ok(())
    }

    async fn remove_fork(&self, cluster: &str) -> Result<(), StoreError> {
        let removed = self.store.remove(cluster).await;
        self.registry.remove_if(cluster, |_| true);
        match removed {
            Ok(_) => Ok(()),
            Err(error @ StoreError::Unavailable(_)) => Err(error),
            Err(error) => {
                tracing::error!(cluster, %error, "a fork cannot be removed");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_forks_have_their_base() {
        let cluster = cluster_of("prod", "a");
        assert_eq!((split(&cluster), judged_in(&cluster)), (Some(("prod", "a")), "prod"));
        assert_eq!((split("prod"), judged_in("prod")), (None, "prod"));
    }
}
