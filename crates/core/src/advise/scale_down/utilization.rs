//! # Rule
//! The utilization of a node is the sum of its pods' requests as a part of what it has for pods (`allocatable`): of CPU or memory, whichever is higher,
//! and memory where both are equal. A node with GPUs is measured by its GPUs alone, and is at 0 while it reports none. A node is underutilized up to
//! and including `scaleDownUtilizationThreshold` (`scaleDownGpuUtilizationThreshold`), which is 0.5.
//!
//! Pods of DaemonSets and mirror pods count, unless `ignoreDaemonSetsUtilization` and `ignoreMirrorPodsUtilization` take them off both sides. Pods that
//! should be gone (being deleted for longer than their grace period and 30 seconds) do not count.
//!
//! # Reason
//! `NotUnderutilized`
//!
//! # Source
//! `cluster-autoscaler/simulator/utilization/info.go` (`Calculate`), `utils/gpu/gpu.go` (`NodeHasGpu`)
//!
//! # Example
//! Of 3.92 cores, pods ask for 1.96: the utilization is 0.5, and the node may go. One more milli-core, and it stays.

use std::sync::Arc;

use super::{
    Options,
    drainability::{is_daemon_set_pod, long_terminating::is_long_terminating},
};
use crate::model::{Name, Node, Pod, Resources, resources};

/// The names under which vendors offer GPUs.
const GPU_RESOURCES: [&str; 5] =
    ["nvidia.com/gpu", "habana.ai/gaudi", "gpu.intel.com/xe", "amd.com/gpu", "microsoft.com/directx"];

/// How full a node is.
#[derive(Clone, Debug, PartialEq)]
pub struct Utilization {
    /// The resource that counts.
    pub resource: Name,
    /// The part of it that is asked for: what the threshold is compared with.
    pub value: f64,
    /// The part of the CPU; `None` for a node with GPUs.
    pub cpu: Option<f64>,
    /// The part of the memory; `None` for a node with GPUs.
    pub memory: Option<f64>,
    /// `true` if GPUs count.
    pub of_gpus: bool,
}

/// Pods that are taken off both sides.
pub(super) struct Ignored {
    pub(super) daemon_sets: bool,
    pub(super) mirrors: bool,
}

/// The utilization of a node; `None` for one that offers no CPU or no memory.
pub(super) fn of(
    node: &Node,
    pods: &[Arc<Pod>],
    ignored: &Ignored,
    options: &Options,
    now: i64,
) -> Option<Utilization> {
    let part = |resource: &str| part_of(resource, node, pods, ignored, now);
    if let Some(resource) = gpu_of(node, options) {
        let value = part(resource).unwrap_or(0.0);
        return Some(Utilization { resource: resource.into(), value, cpu: None, memory: None, of_gpus: true });
    }
    let (cpu, memory) = (part(resources::CPU)?, part(resources::MEMORY)?);
    let (resource, value) = if cpu > memory { (resources::CPU, cpu) } else { (resources::MEMORY, memory) };
    Some(Utilization { resource: resource.into(), value, cpu: Some(cpu), memory: Some(memory), of_gpus: false })
}

/// The resource by which a node with GPUs is measured; `None` for a node without.
fn gpu_of(node: &Node, options: &Options) -> Option<&'static str> {
    let offered = GPU_RESOURCES.into_iter().find(|name| node.allocatable.get(name) != 0);
    offered.or_else(|| node.labels.has(&options.gpu_label).then_some(GPU_RESOURCES[0]))
}

fn part_of(resource: &str, node: &Node, pods: &[Arc<Pod>], ignored: &Ignored, now: i64) -> Option<f64> {
    let offered = node.allocatable.get(resource);
    if offered == 0 {
        return None;
    }
    let (mut asked, mut left_out) = (0_i64, 0_i64);
    for pod in pods {
        let amount = held(pod).get(resource);
        if (ignored.daemon_sets && is_daemon_set_pod(pod)) || (ignored.mirrors && pod.facts().mirror) {
            left_out = left_out.saturating_add(amount);
        } else if !is_long_terminating(pod, now) {
            asked = asked.saturating_add(amount);
        }
    }
    let rest = offered.saturating_sub(left_out);
    if asked == 0 {
        return Some(0.0);
    }
    #[expect(clippy::cast_precision_loss, reason = "a part, which is compared with a threshold")]
    Some(if rest == 0 { f64::MAX } else { asked as f64 / rest as f64 })
}

/// The amounts that the pod holds while its containers are resized in place.
fn held(pod: &Pod) -> &Resources {
    pod.held.as_ref().map_or(&pod.spec.requests, |held| &held.requests)
}
