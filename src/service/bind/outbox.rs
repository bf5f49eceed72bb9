//! The outbox: binds on their way to an API server, each an object beside its pod.

use uuid::Uuid;

use super::{Bind, commit, replies::Delivered};
use crate::{
    service::{
        Service,
        error::{Error, Result, Subject},
        objects::{ATTEMPTS, kind_of_pods},
        source::requests::{PodRef, PodShown},
    },
    store::{Change, Key, Precondition, Record, Refusal, Write},
    wire::outbox::{self, PendingBind, shown},
};

/// A bind on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outgoing {
    /// The pod.
    pub(super) pod: PodRef,
    /// The node.
    pub(super) node: String,
    /// The uid of the object in the outbox, which tells it from a later one of the pod.
    pub(super) id: String,
}

impl Outgoing {
    /// A new one.
    pub(super) fn new(pod: PodRef, node: &str) -> Self {
        Self { pod, node: node.to_owned(), id: Uuid::new_v4().to_string() }
    }

    /// That of a bind.
    pub(super) fn of_bind(bind: &Bind) -> Self {
        Self::new(PodRef::of(&bind.pod), &bind.node)
    }

    /// Reads a stored one, and if it is done.
    pub(super) fn of(record: &Record) -> Result<(Self, bool)> {
        let PendingBind { pod_uid, node, is_done } = PendingBind::parse(&record.body).map_err(Error::internal)?;
        let Key { namespace, name, .. } = record.key.clone();
        Ok((Self { pod: PodRef { namespace, name, uid: pod_uid }, node, id: record.uid.clone() }, is_done))
    }

    pub(super) fn key(&self) -> Key {
        Key::new(outbox::KIND, &*self.pod.namespace, &*self.pod.name)
    }

    /// The change that stores it.
    pub(super) fn put(&self, is_done: bool) -> Result<Change> {
        let (pod_uid, node) = (self.pod.uid.clone(), self.node.clone());
        let body = serde_json::to_vec(&PendingBind { pod_uid, node, is_done }).map_err(Error::internal)?;
        Ok(Change::Put { body: body.into(), uid: self.id.clone(), node: None })
    }

    /// A change of its stored object, if that is this one.
    fn write(&self, change: Change) -> Write {
        let precondition = Precondition { uid: Some(self.id.clone()), ..Precondition::exists() };
        Write { key: self.key(), precondition, change }
    }

    /// `true` if it is stored.
    pub(super) async fn is_stored(&self, service: &Service, cluster: &str) -> Result<bool> {
        let record = service.store.get(cluster, &self.key()).await?;
        Ok(record.is_some_and(|record| record.uid == self.id))
    }

    /// Notes the end of its delivery. Of one that is not known nothing is noted. `fence`: the first write of each call.
    ///
    /// # Errors
    /// Those of [`Self::release`].
    pub(super) async fn settle(
        &self,
        service: &Service,
        cluster: &str,
        delivered: &Delivered,
        fence: Option<&Write>,
    ) -> Result<()> {
        match delivered {
            Delivered::Done => {
                // The mirror may have been faster.
                commit(service, cluster, fence, vec![self.write(self.put(true)?)]).await.map(drop)
            }
            Delivered::Taken(node) => self.release(service, cluster, Some(node), fence).await,
            Delivered::Gone | Delivered::Refused(_) => self.release(service, cluster, None, fence).await,
            Delivered::Unknown(_) => Ok(()),
        }
    }

    /// Takes it out of the outbox, and its pod off the node unless the mirror shows it on one. `on`: the node that the API server told instead.
    ///
    /// # Errors
    /// Those of the store, [`Error::Conflict`] if others kept changing the pod, and that another process leads.
    pub(super) async fn release(
        &self,
        service: &Service,
        cluster: &str,
        on: Option<&str>,
        fence: Option<&Write>,
    ) -> Result<()> {
        let key = Key::new(kind_of_pods()?.key(), &*self.pod.namespace, &*self.pod.name);
        for _ in 0..ATTEMPTS {
            let pod = service.store.get(cluster, &key).await?;
            let mut writes = vec![self.write(Change::Delete)];
            if let Some(pod) = pod.filter(|pod| self.holds(pod)) {
                writes.push(Write::of(&pod, Change::SetNode(on.map(str::to_owned))));
            }
            match commit(service, cluster, fence, writes).await? {
                Some(Refusal::Conflict { .. }) => {}
                // It has been settled by others, or the pod is gone.
                _ => return Ok(()),
            }
        }
        let message = format!("the bind to node {} could not be taken back: others keep changing the pod", self.node);
        Err(Error::Conflict { subject: Subject::new("", "pods", &*self.pod.name), message })
    }

    /// `true` if the row of the pod is on the node because of this bind alone.
    fn holds(&self, pod: &Record) -> bool {
        pod.uid == self.pod.uid && pod.node.as_deref() == Some(&*self.node) && self.is_open(Some(pod))
    }

    /// `true` if the mirrored pod does not show yet what came of it.
    pub(super) fn is_open(&self, pod: Option<&Record>) -> bool {
        let pending = PendingBind { pod_uid: self.pod.uid.clone(), node: self.node.clone(), is_done: false };
        let body = pod.and_then(|pod| PodShown::parse(&pod.body).ok());
        let place = pod.map(|pod| (&*pod.uid, body.as_ref().map_or("", |body| body.place().1)));
        !shown(Some(&pending), place).is_over
    }
}
