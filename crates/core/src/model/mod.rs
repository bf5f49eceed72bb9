//! The parsed nouns of scheduling, one file each: only what decisions read, in the units in which they are compared.

mod affinity;
mod device;
mod disruption;
mod facts;
mod labels;
mod node;
mod node_group;
mod pod;
mod ports;
mod quantity;
mod requests;
pub mod resources;
mod runtime_class;
mod taint;
pub mod topology;
mod volume;
mod workload;

pub use affinity::{
    Affinity, NODE_NAME_FIELD, NodeSelector, NodeSelectorTerm, PodAffinityTerm, PreferredNode, WeightedPodAffinityTerm,
};
pub use device::{
    AllocatedDevice, AttributeName, AttributeValue, ConstraintRule, Device, DeviceAllocation, DeviceClass,
    DeviceConstraint, DeviceCount, DeviceId, DeviceReach, DeviceRequest, ExactRequest, MOST_DEVICES_OF_CLAIM,
    MOST_RESERVED_FOR, PodClaim, PodClaimSource, ResourceClaim, ResourceSlice, Wants,
};
pub use disruption::{PodDisruptionBudget, PreemptionPolicy, PriorityClass};
pub use facts::{
    ContainerState, DAEMON_SET_POD, EVICT, LocalVolume, LocalVolumeKind, MIRROR, NodeFacts, PREFER_NO_EVICTION, Phase,
    PodFacts, RestartPolicy, SAFE_LOCAL_VOLUMES, SAFE_TO_EVICT, SCALE_DOWN_DISABLED, SOURCE,
};
pub use labels::{Labels, Operator, Requirement, Selector};
pub use node::{AvoidController, ConditionStatus, Image, Node, PREFER_AVOID_PODS};
pub use node_group::{NODE_GROUP, NodeGroup, NodeGroupOptions};
pub use pod::{Pod, PodSpec};
pub use ports::{HostPort, Protocol};
pub use quantity::{Quantity, QuantityError};
pub use requests::{ContainerHolds, ContainerRequests, Held, PodRequests, may_stand_at_pod_level};
pub use resources::{ResourceList, Resources};
pub use runtime_class::RuntimeClass;
pub use taint::{Effect, Taint, Toleration, TolerationOperator, UNSCHEDULABLE, first_untolerated};
pub use topology::{InclusionPolicy, TopologySpreadConstraint, WhenUnsatisfiable};
pub use volume::{
    AccessMode, BindingMode, ClaimRef, CsiDriver, CsiNode, CsiNodeDriver, CsiStorageCapacity, PersistentVolume,
    PersistentVolumeClaim, StorageClass, TopologyRequirement, Volume, VolumeAttachment, VolumePhase, VolumeSource,
};
pub use workload::{ControllerRef, Namespace, Workload, WorkloadKind};

/// A name, a key or any other short text that many objects share.
pub type Name = std::sync::Arc<str>;
