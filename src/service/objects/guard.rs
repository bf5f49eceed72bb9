//! Guards of writes of roles and bindings: nobody gives away rights that they do not have.
//!
//! A role may be written by those who have all its rights or the right to `escalate`, a binding by those who have all rights of
//! its role or the right to `bind` it.
//!
//! Source: `pkg/registry/rbac/{role,clusterrole,rolebinding,clusterrolebinding}/policybased/storage.go`, `pkg/registry/rbac/escalation_check.go`.

use super::Target;
use crate::{
    core::access::{Access, Attributes, Binding, Object, RBAC, ResourceAttributes, Role, Rule, User, excess},
    live::{SYSTEM_CLUSTER, fork},
    service::{
        Service,
        access::access,
        error::{Error, Result, Subject},
    },
    wire::access as wire,
};

/// Stands for every cluster: no cluster is called so.
const EVERY_CLUSTER: &str = "*";

/// Refuses a write of a role or binding by which a user would give away more than the user has.
///
/// # Errors
/// [`Error::Denied`]; [`Error::NotFound`] if the user may not bind the role and it does not exist.
pub(super) async fn check(
    service: &Service,
    user: &User,
    target: &Target,
    body: &[u8],
    stored: Option<&[u8]>,
) -> Result<()> {
    let Some(resource) = wire::resource(&target.kind.key()) else { return Ok(()) };
    if user.is_master() {
        return Ok(());
    }
    let read = |body| wire::parse(resource, body).map_err(Error::internal);
    let (Some(next), before) = (read(body)?, stored.map(read).transpose()?.flatten()) else { return Ok(()) };
    let access = access(service, &target.cluster).await?;
    let write = Write { access: &access, user, target };
    match (next, before) {
        (Object::Role(next) | Object::ClusterRole(next), before) => {
            let before = match before {
                Some(Object::Role(before) | Object::ClusterRole(before)) => Some(before),
                _ => None,
            };
            write.role(&next, before.as_ref())
        }
        (next, Some(before)) if next == before => Ok(()),
        (Object::RoleBinding(next) | Object::ClusterRoleBinding(next), _) => write.binding(&next),
    }
}

/// A write that is judged.
struct Write<'a> {
    access: &'a Access,
    user: &'a User,
    target: &'a Target,
}

impl Write<'_> {
    fn role(&self, next: &Role, before: Option<&Role>) -> Result<()> {
        // Its labels give its rules to the roles that are made of others.
        if before == Some(next) {
            return Ok(());
        }
        let escalate = ResourceAttributes::new("escalate", RBAC, self.target.kind.plural).named(&self.target.name);
        if self.may(escalate) {
            return Ok(());
        }
        self.has_all(&next.rules)?;
        let is_aggregated = next.aggregates.is_some() || before.is_some_and(|before| before.aggregates.is_some());
        if is_aggregated && self.has_all(&everything()).is_err() {
            return Err(self.refused("must have cluster-admin privileges to use the aggregationRule"));
        }
        Ok(())
    }

    fn binding(&self, next: &Binding) -> Result<()> {
        let role = &next.role;
        if self.may(ResourceAttributes::new("bind", RBAC, role.kind.plural()).named(&role.name)) {
            return Ok(());
        }
        let Some(rules) = self.access.rules(role, self.namespace()) else {
            return Err(Error::NotFound(Subject::new(RBAC, role.kind.plural(), &*role.name)));
        };
        self.has_all(rules)
    }

    fn namespace(&self) -> &str {
        self.target.namespace.as_deref().unwrap_or_default()
    }

    fn may(&self, attributes: ResourceAttributes<'_>) -> bool {
        let attributes = Attributes::Resource(attributes.within(self.namespace()));
        self.access.verdict(self.cluster(), self.user, &attributes).is_allowed()
    }

    /// The cluster whose rights count. What is written in [`SYSTEM_CLUSTER`] may count everywhere: so do only those rights that are kept to no
    /// clusters, since no list of names has this one.
    fn cluster(&self) -> &str {
        if *self.target.cluster == *SYSTEM_CLUSTER { EVERY_CLUSTER } else { fork::judged_in(&self.target.cluster) }
    }

    /// Refuses rules that the user has not all the rights of.
    fn has_all(&self, rules: &[Rule]) -> Result<()> {
        let (own, missing) = self.access.rules_of(self.cluster(), self.user, self.namespace());
        excess(&own, rules).map_or(Ok(()), |excess| Err(self.refused(&excess.refusal(self.user, &missing))))
    }

    fn refused(&self, message: &str) -> Error {
        Error::Denied { subject: self.target.subject(), message: message.into() }
    }
}

/// All rights there are.
fn everything() -> [Rule; 2] {
    let any = || vec!["*".into()];
    [
        Rule { verbs: any(), groups: any(), resources: any(), ..Rule::default() },
        Rule { verbs: any(), paths: any(), ..Rule::default() },
    ]
}
