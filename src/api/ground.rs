//! What a decision stands on: one view of one cluster, taken at the door and never refreshed half-way, and a profile.

use std::sync::Arc;

use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    cluster::ClusterName,
    error::{ApiError, Result, Subject},
    state::AppState,
};
use crate::{
    cluster::{ActivePolicy, BUILT_IN, View},
    core::{policy::Profile, rule::Release},
    wire::{explanation::PolicyUsed, policy::revision},
};

/// Which policy a decision is made under.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PolicyQuery {
    /// A policy of `/policies/{name}`; the one of `/policy` where absent
    #[param(required = false, value_type = String, nullable = false)]
    pub policy: Option<String>,
}

/// Where the profile comes from.
#[derive(Clone, Debug)]
pub enum Chosen {
    /// Nobody said anything.
    BuiltIn,
    /// A stored policy.
    Stored(Arc<str>, Arc<ActivePolicy>),
    /// One that came with the request.
    Request(Arc<Profile>),
}

impl Chosen {
    /// The profile to decide with.
    pub fn profile(&self) -> &Arc<Profile> {
        match self {
            Self::BuiltIn => &BUILT_IN,
            Self::Stored(_, policy) => &policy.profile,
            Self::Request(profile) => profile,
        }
    }

    /// How an explanation names it.
    pub fn used(&self) -> PolicyUsed {
        let (name, revision) = match self {
            Self::BuiltIn => (revision::DEFAULT, 0),
            Self::Stored(name, policy) => (&**name, policy.revision.revision),
            Self::Request(_) => ("(request)", 0),
        };
        let release = match self.profile().release {
            Release::V1_22 => "1.22",
            Release::V1_34 => "1.34",
        };
        PolicyUsed { name: name.into(), revision, release: release.into() }
    }
}

/// The newest view of the request's cluster.
pub async fn view(state: &AppState, cluster: &ClusterName) -> Result<Arc<View>> {
    Ok(state.clusters.get(&cluster.0).await?.view())
}

/// The policy that a request names, or the one in force.
///
/// # Errors
/// [`ApiError::NotFound`] when there is no policy of that name.
pub fn chosen(view: &View, query: &PolicyQuery) -> Result<Chosen> {
    let name = query.policy.as_deref().unwrap_or(revision::DEFAULT);
    match view.policy(name) {
        Some(policy) => Ok(Chosen::Stored(name.into(), policy.clone())),
        None if name == revision::DEFAULT => Ok(Chosen::BuiltIn),
        None => Err(ApiError::NotFound(Subject::new("podberth.io", "policies", name))),
    }
}

/// Runs what computes for long on a thread of its own, so that small requests are not kept waiting.
pub async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)
}
