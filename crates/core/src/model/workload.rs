//! Objects that own or group pods: namespaces, services and controllers.
//!
//! Source: `api/core/v1/types.go`, `api/apps/v1/types.go`.

use std::sync::Arc;

use super::{Labels, Name, Pod, Selector};

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: Name,
    /// Its labels, which namespace selectors read.
    pub labels: Labels,
    /// `true` if it is being deleted: nothing new is created in it.
    pub is_terminating: bool,
}

/// The kind of an object that groups pods by a selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum WorkloadKind {
    Service,
    ReplicationController,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
    Job,
}

/// A service or a controller: a selector over the pods of its namespace. Placement reads no pods of Jobs and DaemonSets off their selectors, so those
/// have none here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// The kind.
    pub kind: WorkloadKind,
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// Its uid; empty where the object carries none.
    pub uid: Name,
    /// The pods it means; `None` (absent in the object) means none.
    pub selector: Option<Selector>,
    /// The number of pods that it is to have; `None` for kinds that do not say.
    pub replicas: Option<i32>,
    /// The pod that a DaemonSet makes for each node, on none. `None` for other kinds.
    pub template: Option<Arc<Pod>>,
}

/// The controller that owns a pod (`ownerReferences` with `controller: true`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ControllerRef {
    /// Its API group and version, as in `apps/v1`.
    pub api_version: Name,
    /// Its kind, as in `ReplicaSet`.
    pub kind: Name,
    /// Its name, in the pod's namespace.
    pub name: Name,
    /// Its uid.
    pub uid: Name,
}
