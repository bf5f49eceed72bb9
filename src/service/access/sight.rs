//! The pods whose names a caller may know: those of namespaces whose pods the caller may list.
//!
//! Decisions count all pods of a cluster, and replies tell amounts of them all. This is the one place that decides which of them a reply calls by
//! their names; the others are numbered, as in `pod 3` of `namespace-hidden`. A caller who may do everything pays nothing for it.

use std::{collections::HashMap, sync::Arc};

use super::{Caller, access, denied};
use crate::{
    core::{
        access::{Access, Attributes, ResourceAttributes, User},
        model::Name,
    },
    live::fork,
    service::{Service, error::Result},
};

/// The namespace in a reply of a pod whose name is hidden.
pub const HIDDEN: &str = "namespace-hidden";

/// The pods whose names a caller may know; by default all.
#[derive(Debug, Default)]
pub struct Sight(Option<Limited>);

#[derive(Debug)]
struct Limited {
    access: Arc<Access>,
    cluster: Arc<str>,
    user: Arc<User>,
    /// Namespaces, and `true` if their pods are seen.
    seen: HashMap<Name, bool>,
    /// The numbers of the pods that are hidden, by namespace and name.
    numbers: HashMap<(String, String), usize>,
}

impl Sight {
    /// The pods of a cluster that a caller may know.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn of(caller: &Caller, service: &Service, cluster: &Arc<str>) -> Result<Self> {
        let Some(user) = caller.limited() else { return Ok(Self::default()) };
        let access = access(service, cluster).await?;
        let limited = Limited {
            access,
            cluster: fork::judged_in(cluster).into(),
            user: user.clone(),
            seen: HashMap::new(),
            numbers: HashMap::new(),
        };
        let all = ResourceAttributes::new("list", "", "pods");
        Ok(Self((!limited.may(all)).then_some(limited)))
    }

    /// `true` if the caller may know the pods of a namespace, since the caller may list or bind them.
    pub fn knows(&mut self, namespace: &Name) -> bool {
        self.0.as_mut().is_none_or(|limited| limited.knows(namespace))
    }

    /// Refuses to tell of a pod that the caller may not read.
    ///
    /// # Errors
    /// [`Error::Denied`](crate::service::error::Error::Denied), whether there is such a pod or not.
    pub fn check(&self, namespace: &str, name: &str) -> Result<()> {
        let Some(limited) = &self.0 else { return Ok(()) };
        let get = ResourceAttributes::new("get", "", "pods").within(namespace).named(name);
        if limited.may(get.clone()) { Ok(()) } else { Err(denied(&limited.user, &Attributes::Resource(get), "")) }
    }

    /// Puts a number in place of the names of a pod that the caller may not know.
    pub fn mask(&mut self, namespace: &mut String, name: &mut String, uid: Option<&mut String>) {
        let Some(limited) = &mut self.0 else { return };
        if limited.knows(&Name::from(namespace.as_str())) {
            return;
        }
        let next = limited.numbers.len() + 1;
        let hidden = (std::mem::replace(namespace, HIDDEN.into()), std::mem::take(name));
        *name = format!("pod {}", limited.numbers.entry(hidden).or_insert(next));
        if let Some(uid) = uid {
            uid.clear();
        }
    }
}

impl Limited {
    fn knows(&mut self, namespace: &Name) -> bool {
        if let Some(is_seen) = self.seen.get(namespace) {
            return *is_seen;
        }
        let list = ResourceAttributes::new("list", "", "pods").within(namespace);
        let bind = ResourceAttributes::new("create", "", "pods").below("binding").within(namespace);
        let is_seen = self.may(list) || self.may(bind);
        self.seen.insert(namespace.clone(), is_seen);
        is_seen
    }

    fn may(&self, attributes: ResourceAttributes<'_>) -> bool {
        self.access.verdict(&self.cluster, &self.user, &Attributes::Resource(attributes)).is_allowed()
    }
}
