//! Facts of pods and nodes that placement does not read: whether a pod may be evicted, and how long a node has been so.
//!
//! Source: `cluster-autoscaler/simulator/drainability/rules`, `descheduler/pkg/framework/plugins/defaultevictor`.

use std::sync::LazyLock;

use super::{Name, Resources};

/// The annotation by which a pod says that the cluster autoscaler may evict it, or may not.
pub const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
/// The annotation with the names of local volumes that may be lost, separated by commas.
pub const SAFE_LOCAL_VOLUMES: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
/// The annotation that lets the descheduler evict a pod which it would spare otherwise.
pub const EVICT: &str = "descheduler.alpha.kubernetes.io/evict";
/// The annotation that asks the descheduler to spare a pod.
pub const PREFER_NO_EVICTION: &str = "descheduler.alpha.kubernetes.io/prefer-no-eviction";
/// The annotation of a pod that counts as one of a DaemonSet for the cluster autoscaler, whoever makes it.
pub const DAEMON_SET_POD: &str = "cluster-autoscaler.kubernetes.io/daemonset-pod";
/// The annotation of a mirror pod, which stands for one that a kubelet runs by itself.
pub const MIRROR: &str = "kubernetes.io/config.mirror";
/// The annotation with the source of a pod: `api`, or that of a static pod.
pub const SOURCE: &str = "kubernetes.io/config.source";
/// The annotation of a node that is never to be removed.
pub const SCALE_DOWN_DISABLED: &str = "cluster-autoscaler.kubernetes.io/scale-down-disabled";

/// How far a pod has come (`status.phase`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Phase {
    Pending,
    /// Also where the object names no phase.
    #[default]
    Running,
    Succeeded,
    Failed,
    Unknown,
}

/// `spec.restartPolicy` of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum RestartPolicy {
    #[default]
    Always,
    OnFailure,
    Never,
}

/// A volume whose content is lost with the pod, or stays on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalVolume {
    /// Its name within the pod.
    pub name: Name,
    /// Its kind.
    pub kind: LocalVolumeKind,
}

/// The kind of a local volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalVolumeKind {
    /// A folder of the node.
    HostPath,
    /// An `emptyDir` on the node's disk.
    Disk,
    /// An `emptyDir` in memory (`medium: Memory`).
    Memory,
}

/// How a container is, where it is not simply running without a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerState {
    /// `true` for an init container.
    pub is_init: bool,
    /// How often it was started again.
    pub restarts: i32,
    /// The reason why it waits; empty if it does not.
    pub waiting: Name,
    /// The reason why it has ended; empty if it has not, or gives none.
    pub terminated: Name,
    /// Its exit code, if it has ended.
    pub exit_code: Option<i32>,
}

/// Facts of a pod that eviction and autoscaling read, and placement does not. A pod without any has none of this ([`super::Pod::facts`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct PodFacts {
    /// How far it has come.
    pub phase: Phase,
    /// `status.reason`; empty for none.
    pub reason: Name,
    /// Treatment of containers that end.
    pub restart_policy: RestartPolicy,
    /// `metadata.deletionTimestamp`, in nanoseconds since 1970.
    pub deleted: Option<i64>,
    /// `spec.terminationGracePeriodSeconds`.
    pub grace_seconds: Option<i64>,
    /// The kinds of its owners that are not its controller (`metadata.ownerReferences`).
    pub other_owners: Vec<Name>,
    /// Annotation [`SAFE_TO_EVICT`].
    pub safe_to_evict: Option<Name>,
    /// Annotation [`SAFE_LOCAL_VOLUMES`].
    pub safe_local_volumes: Option<Name>,
    /// `true` if all its containers have limits of CPU and memory, which their requests equal in sum (quality of service `Guaranteed`).
    pub guaranteed: bool,
    /// `true` if annotation [`EVICT`] is there.
    pub evict: bool,
    /// `true` if annotation [`PREFER_NO_EVICTION`] is there.
    pub prefers_no_eviction: bool,
    /// `true` if annotation [`DAEMON_SET_POD`] is `true`.
    pub daemon_set_pod: bool,
    /// `true` if annotation [`MIRROR`] is there.
    pub mirror: bool,
    /// `true` for a static pod: annotation [`SOURCE`] is there and not `api`.
    pub static_pod: bool,
    /// Volumes on its node.
    pub local_volumes: Vec<LocalVolume>,
    /// Containers that wait, have ended or were started again.
    pub containers: Vec<ContainerState>,
    /// Time of the last change of its condition `PodScheduled`, where that is `False` with reason `Unschedulable`.
    pub unschedulable_since: Option<i64>,
}

/// Facts of a pod that has none of its own: a running one.
static PLAIN: LazyLock<PodFacts> = LazyLock::new(PodFacts::default);

impl super::Pod {
    /// Facts that eviction and autoscaling read.
    pub fn facts(&self) -> &PodFacts {
        self.facts.as_deref().unwrap_or_else(|| &PLAIN)
    }
}

/// Facts of a node that autoscaling reads, and placement does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// All that it has (`status.capacity`); its allocatable amounts where absent.
    pub capacity: Resources,
    /// `metadata.creationTimestamp`, in nanoseconds since 1970.
    pub created: Option<i64>,
    /// Time of the last change of its condition `Ready`.
    pub ready_changed: Option<i64>,
    /// `true` if annotation [`SCALE_DOWN_DISABLED`] is `true`.
    pub scale_down_disabled: bool,
    /// `spec.providerID`: the name of its machine at the cloud provider.
    pub provider_id: Option<Name>,
}
