//! Rights: who may do what, by the roles and bindings of clusters.
//!
//! Roles and bindings of a cluster count in that cluster, those of the cluster [`SYSTEM_CLUSTER`] in all of them (or in those that a
//! binding's annotation `podberth.io/clusters` names), on top of the built-in ones. Paths that are no resources are about the whole
//! process; the rights on them are those of the default cluster. Resources that are about all clusters, such as tokens and clusters, are
//! judged in [`SYSTEM_CLUSTER`].

use std::sync::{Arc, LazyLock};

use super::{
    Service,
    error::{Error, Result, Subject},
};
use crate::{
    core::access::{AUTHENTICATED, Access, Attributes, MASTERS, ResourceAttributes, User, Verdict, built_in},
    live::{DEFAULT_CLUSTER, SYSTEM_CLUSTER, fork},
};

pub mod authenticate;
pub mod issuers;
mod remembered;
pub mod reviewer;
pub mod sight;
pub mod tokens;
pub mod uses;

/// The sender of a request, for the checks that operations make themselves.
#[derive(Clone, Debug)]
pub struct Caller(pub Arc<User>);

/// Everybody, where nobody is asked who they are.
static ANYBODY: LazyLock<Arc<User>> = LazyLock::new(|| Arc::new(User::new("system:admin", [MASTERS, AUTHENTICATED])));

impl Default for Caller {
    /// A user who may do everything: everybody, where nobody is asked who they are.
    fn default() -> Self {
        Self(ANYBODY.clone())
    }
}

impl Caller {
    /// The user, if the user's rights are limited.
    pub fn limited(&self) -> Option<&Arc<User>> {
        Some(&self.0).filter(|user| !user.is_master())
    }

    /// Refuses what the sender may not do in a cluster.
    ///
    /// # Errors
    /// [`Error::Denied`], and those of the store.
    pub async fn check(&self, service: &Service, cluster: &str, attributes: ResourceAttributes<'_>) -> Result<()> {
        let Some(user) = self.limited() else { return Ok(()) };
        check(service, cluster, user, &Attributes::Resource(attributes)).await
    }

    /// Refuses a bind of pods of a namespace that the sender may not bind.
    ///
    /// # Errors
    /// As for [`Self::check`].
    pub async fn check_bind(&self, service: &Service, cluster: &str, namespace: &str, pod: &str) -> Result<()> {
        let attributes = ResourceAttributes::new("create", "", "pods").below("binding").within(namespace).named(pod);
        self.check(service, cluster, attributes).await
    }

    /// `true` if the sender may do everything in a cluster.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn may_everything(&self, service: &Service, cluster: &str) -> Result<bool> {
        let Some(user) = self.limited() else { return Ok(true) };
        let all = Attributes::Resource(ResourceAttributes::new("*", "*", "*"));
        Ok(access(service, cluster).await?.verdict(judging(cluster, &all), user, &all).is_allowed())
    }
}

/// The roles and bindings that count in a cluster: in a fork those of its base as it is now, so that no change in the fork gives rights.
///
/// # Errors
/// Those of the store, if a cluster cannot be loaded.
pub async fn access(service: &Service, cluster: &str) -> Result<Arc<Access>> {
    let cluster = fork::judged_in(cluster);
    let system = service.clusters.get(SYSTEM_CLUSTER).await?.view().access.on(built_in::access());
    if cluster == SYSTEM_CLUSTER {
        return Ok(system);
    }
    Ok(service.clusters.get(cluster).await?.view().access.on(&system))
}

/// The cluster in which rights on a request's attributes are judged.
pub fn judging<'a>(cluster: &'a str, attributes: &Attributes<'_>) -> &'a str {
    match attributes {
        Attributes::Path { .. } => DEFAULT_CLUSTER,
        Attributes::Resource(_) => fork::judged_in(cluster),
    }
}

/// Refuses what a user may not do in a cluster.
///
/// # Errors
/// [`Error::Denied`], and those of the store.
pub async fn check(service: &Service, cluster: &str, user: &User, attributes: &Attributes<'_>) -> Result<()> {
    check_seen(service, cluster, user, attributes, |_| ()).await
}

/// Like [`check`]; `seen` is shown the verdict.
///
/// # Errors
/// As for [`check`].
pub async fn check_seen(
    service: &Service,
    cluster: &str,
    user: &User,
    attributes: &Attributes<'_>,
    seen: impl FnOnce(&Verdict<'_>),
) -> Result<()> {
    if user.is_master() {
        seen(&Verdict::Master);
        return Ok(());
    }
    let cluster = judging(cluster, attributes);
    // The health of a process without its database is told all the same.
    let is_path = matches!(attributes, Attributes::Path { .. });
    if is_path {
        let verdict = built_in::access().verdict(cluster, user, attributes);
        if verdict.is_allowed() {
            seen(&verdict);
            return Ok(());
        }
    }
    let access = access(service, cluster).await?;
    let verdict = access.verdict(cluster, user, attributes);
    seen(&verdict);
    if verdict.is_allowed() { Ok(()) } else { Err(denied(user, attributes, &verdict.reason())) }
}

/// The refusal of a request (`apiserver/pkg/endpoints/handlers/responsewriters/errors.go`, `Forbidden`).
pub fn denied(user: &User, attributes: &Attributes<'_>, reason: &str) -> Error {
    let subject = match attributes {
        Attributes::Path { .. } => Subject::default(),
        Attributes::Resource(of) => Subject::new(&*of.group, &*of.resource, &*of.name),
    };
    let mut message = attributes.refusal(&user.name);
    if !reason.is_empty() {
        message = format!("{message}: {reason}");
    }
    Error::Denied { subject, message }
}
