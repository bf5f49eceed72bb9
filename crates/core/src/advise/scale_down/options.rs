//! Options of scale-down, under the names of the cluster autoscaler's flags.
//!
//! Source: `cluster-autoscaler/config/autoscaling_options.go`, `config/flags/flags.go`.

use super::SECOND;
use crate::model::Name;

const MINUTE: i64 = 60 * SECOND;

/// Options of the cluster. Times are in nanoseconds.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Options {
    /// The highest utilization of a node that may go.
    pub utilization_threshold: f64,
    /// Of a node with GPUs: of its GPUs.
    pub gpu_utilization_threshold: f64,
    /// Time for which a node is to be unneeded.
    pub unneeded_time: i64,
    /// Time for which a node that is not ready is to be unneeded.
    pub unready_time: i64,
    /// `true` if nodes that are not ready may go.
    pub unready_enabled: bool,
    /// `true` if pods of DaemonSets do not count for the utilization.
    pub ignore_daemon_sets_utilization: bool,
    /// `true` if mirror pods do not count for the utilization.
    pub ignore_mirror_pods_utilization: bool,
    /// So many nodes go at a time.
    pub max_parallelism: u32,
    /// So many of them with pods that have to move.
    pub max_drain_parallelism: u32,
    /// `true` if pods in `kube-system` without a budget keep their node.
    pub skip_system_pods: bool,
    /// `true` if pods with local volumes keep their node.
    pub skip_local_storage: bool,
    /// `true` if pods of other controllers than Kubernetes' own keep their node.
    pub skip_custom_controller_pods: bool,
    /// A ReplicaSet or ReplicationController with fewer replicas keeps its pods.
    pub min_replicas: i32,
    /// A pod in `kube-system` without a budget keeps its node until it is so old.
    pub system_pod_timeout: i64,
    /// The cluster keeps so many cores.
    pub min_cores_total: i64,
    /// The cluster keeps so many bytes of memory.
    pub min_memory_total: i64,
    /// Pods of lower priority are left out: they make way for any other.
    pub expendable_pods_priority_cutoff: i32,
    /// A node that was found unremovable is not looked at again for so long.
    pub unremovable_node_recheck_timeout: i64,
    /// The label of nodes with GPUs.
    pub gpu_label: Name,
    /// Time between two rounds; `None` for a round that stands alone.
    pub scan_interval: Option<i64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            utilization_threshold: 0.5,
            gpu_utilization_threshold: 0.5,
            unneeded_time: 10 * MINUTE,
            unready_time: 20 * MINUTE,
            unready_enabled: true,
            ignore_daemon_sets_utilization: false,
            ignore_mirror_pods_utilization: false,
            max_parallelism: 10,
            max_drain_parallelism: 1,
            skip_system_pods: true,
            skip_local_storage: true,
            skip_custom_controller_pods: true,
            min_replicas: 0,
            system_pod_timeout: 60 * MINUTE,
            min_cores_total: 0,
            min_memory_total: 0,
            expendable_pods_priority_cutoff: -10,
            unremovable_node_recheck_timeout: 5 * MINUTE,
            gpu_label: "accelerator".into(),
            scan_interval: None,
        }
    }
}

impl Options {
    /// The number of unneeded nodes after which no more are looked for: this round and the next cannot remove more.
    ///
    /// Source: `cluster-autoscaler/core/scaledown/planner/planner.go` (`unneededNodesLimit`).
    pub(super) fn most_unneeded(&self, unneeded_before: usize) -> usize {
        let parallel = self.max_parallelism as usize;
        let interval = self.scan_interval.unwrap_or(self.unneeded_time).max(1);
        let rounds = usize::try_from(self.unneeded_time.max(interval) / interval).unwrap_or(usize::MAX);
        let most = parallel.saturating_mul(rounds).saturating_add(parallel);
        most.min(unneeded_before.saturating_add(2 * parallel))
    }
}
