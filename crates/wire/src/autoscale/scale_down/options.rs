//! Options of scale-down, under the names of the cluster autoscaler's flags in camel case.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    fault::{Faults, Path},
    objects::{node_group::amount, quantity::QuantityText},
    span,
};
use podberth_core::{advise::scale_down::Options, model::Quantity};

/// The most nodes that may go at a time.
const MOST_PARALLEL: i64 = 10_000;

/// Options of the cluster. Those absent have the cluster autoscaler's defaults.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ScaleDownOptions {
    /// The highest utilization of a node that may go; default 0.5.
    #[schema(nullable = false)]
    pub scale_down_utilization_threshold: Option<QuantityText>,
    /// Of a node with GPUs: of its GPUs; default 0.5.
    #[schema(nullable = false)]
    pub scale_down_gpu_utilization_threshold: Option<QuantityText>,
    /// Time for which a node is to be unneeded; default `10m`.
    #[schema(nullable = false)]
    pub scale_down_unneeded_time: Option<String>,
    /// Time for which a node that is not ready is to be unneeded; default `20m`.
    #[schema(nullable = false)]
    pub scale_down_unready_time: Option<String>,
    /// `true`, the default, if nodes that are not ready may go.
    #[schema(nullable = false)]
    pub scale_down_unready_enabled: Option<bool>,
    /// `true` if pods of DaemonSets do not count for the utilization.
    #[schema(nullable = false)]
    pub ignore_daemon_sets_utilization: Option<bool>,
    /// `true` if mirror pods do not count for the utilization.
    #[schema(nullable = false)]
    pub ignore_mirror_pods_utilization: Option<bool>,
    /// So many nodes go at a time; default 10.
    #[schema(nullable = false)]
    pub max_scale_down_parallelism: Option<i64>,
    /// So many of them with pods that have to move; default 1.
    #[schema(nullable = false)]
    pub max_drain_parallelism: Option<i64>,
    /// `true`, the default, if pods in `kube-system` without a disruption budget keep their node.
    #[schema(nullable = false)]
    pub skip_nodes_with_system_pods: Option<bool>,
    /// `true`, the default, if pods with local volumes keep their node.
    #[schema(nullable = false)]
    pub skip_nodes_with_local_storage: Option<bool>,
    /// `true`, the default, if pods of other controllers than Kubernetes' own keep their node.
    #[schema(nullable = false)]
    pub skip_nodes_with_custom_controller_pods: Option<bool>,
    /// A ReplicaSet or ReplicationController with fewer replicas keeps its pods; default 0.
    #[schema(nullable = false)]
    pub min_replica_count: Option<i32>,
    /// A pod in `kube-system` without a disruption budget keeps its node until it is so old; default `1h`.
    #[schema(nullable = false)]
    #[serde(alias = "blockingSystemPodDistruptionTimeout")]
    pub blocking_system_pod_disruption_timeout: Option<String>,
    /// The cluster keeps so many cores; default 0.
    #[schema(nullable = false)]
    pub min_cores_total: Option<QuantityText>,
    /// The cluster keeps so many bytes of memory; default 0.
    #[schema(nullable = false)]
    pub min_memory_total: Option<QuantityText>,
    /// Pods of lower priority are left out: they make way for any other; default -10.
    #[schema(nullable = false)]
    pub expendable_pods_priority_cutoff: Option<i32>,
    /// A node that was found unremovable is not looked at again for so long; default `5m`.
    #[schema(nullable = false)]
    pub unremovable_node_recheck_timeout: Option<String>,
    /// The label of nodes with GPUs; default `accelerator`. Nodes that offer GPUs are known without it.
    #[schema(nullable = false)]
    pub gpu_label: Option<String>,
    /// Time between two rounds, as `10s`. With it, more unneeded nodes are looked for than this round and the next can remove.
    #[schema(nullable = false)]
    pub scan_interval: Option<String>,
}

impl ScaleDownOptions {
    /// The options; those absent have their defaults.
    pub fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Options {
        let default = Options::default();
        let mut part = |text: &Option<QuantityText>, name: &str, default: f64| {
            amount(text.as_ref(), &at.child(name), faults).map_or(default, Quantity::approximate)
        };
        let utilization_threshold = part(
            &self.scale_down_utilization_threshold,
            "scaleDownUtilizationThreshold",
            default.utilization_threshold,
        );
        let gpu_utilization_threshold = part(
            &self.scale_down_gpu_utilization_threshold,
            "scaleDownGpuUtilizationThreshold",
            default.gpu_utilization_threshold,
        );
        let mut time = |text: &Option<String>, name: &str, default: i64| {
            span::read(text.as_deref(), &at.child(name), faults).unwrap_or(default)
        };
        let unneeded_time = time(&self.scale_down_unneeded_time, "scaleDownUnneededTime", default.unneeded_time);
        let unready_time = time(&self.scale_down_unready_time, "scaleDownUnreadyTime", default.unready_time);
        let system_pod_timeout = time(
            &self.blocking_system_pod_disruption_timeout,
            "blockingSystemPodDisruptionTimeout",
            default.system_pod_timeout,
        );
        let unremovable_node_recheck_timeout = time(
            &self.unremovable_node_recheck_timeout,
            "unremovableNodeRecheckTimeout",
            default.unremovable_node_recheck_timeout,
        );
        let scan_interval = span::read(self.scan_interval.as_deref(), &at.child("scanInterval"), faults);
        let mut count = |count: Option<i64>, name: &str, default: u32| {
            let Some(count) = count else { return default };
            if !(0..=MOST_PARALLEL).contains(&count) {
                let rule = format!("must be between 0 and {MOST_PARALLEL}, inclusive");
                faults.unreadable(&at.child(name), count, rule);
            }
            u32::try_from(count).unwrap_or(default)
        };
        let max_parallelism =
            count(self.max_scale_down_parallelism, "maxScaleDownParallelism", default.max_parallelism);
        let max_drain_parallelism =
            count(self.max_drain_parallelism, "maxDrainParallelism", default.max_drain_parallelism);
        if self.min_replica_count.is_some_and(|count| count < 0) {
            faults.unreadable(
                &at.child("minReplicaCount"),
                self.min_replica_count,
                "must be greater than or equal to 0",
            );
        }
        let mut whole = |text: &Option<QuantityText>, name: &str| {
            amount(text.as_ref(), &at.child(name), faults).map_or(0, Quantity::value)
        };
        Options {
            utilization_threshold,
            gpu_utilization_threshold,
            unneeded_time,
            unready_time,
            unready_enabled: self.scale_down_unready_enabled.unwrap_or(default.unready_enabled),
            ignore_daemon_sets_utilization: self.ignore_daemon_sets_utilization.unwrap_or_default(),
            ignore_mirror_pods_utilization: self.ignore_mirror_pods_utilization.unwrap_or_default(),
            max_parallelism,
            max_drain_parallelism,
            skip_system_pods: self.skip_nodes_with_system_pods.unwrap_or(default.skip_system_pods),
            skip_local_storage: self.skip_nodes_with_local_storage.unwrap_or(default.skip_local_storage),
            skip_custom_controller_pods: self
                .skip_nodes_with_custom_controller_pods
                .unwrap_or(default.skip_custom_controller_pods),
            min_replicas: self.min_replica_count.unwrap_or_default(),
            system_pod_timeout,
            min_cores_total: whole(&self.min_cores_total, "minCoresTotal"),
            min_memory_total: whole(&self.min_memory_total, "minMemoryTotal"),
            expendable_pods_priority_cutoff: self
                .expendable_pods_priority_cutoff
                .unwrap_or(default.expendable_pods_priority_cutoff),
            unremovable_node_recheck_timeout,
            gpu_label: self.gpu_label.as_deref().map_or(default.gpu_label, Into::into),
            scan_interval,
        }
    }
}
