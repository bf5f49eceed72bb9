//! The tables of kinds with more than a few columns.
//!
//! Source: `pkg/printers/internalversion/printers.go` of 1.34.

use super::{
    columns::{
        AGE,
        Cell::{Made, Number, Text, Truth},
        Column, NAME, NONE, UNKNOWN, UNSET, column, wide,
    },
    printers,
};

pub(super) const PRIORITY_CLASS: &[Column] = &[
    NAME,
    column("Value", "integer", Number("/value", 0)),
    column("Global-Default", "boolean", Truth("/globalDefault", false)),
    AGE,
    column("PreemptionPolicy", "string", Text("/preemptionPolicy", "PreemptLowerPriority")),
];

pub(super) const STORAGE_CLASS: &[Column] = &[
    Column { format: "name", ..column("Name", "string", Made(printers::class_name)) },
    column("Provisioner", "string", Text("/provisioner", "")),
    column("ReclaimPolicy", "string", Text("/reclaimPolicy", "Delete")),
    column("VolumeBindingMode", "string", Text("/volumeBindingMode", "Immediate")),
    column("AllowVolumeExpansion", "string", Truth("/allowVolumeExpansion", false)),
    AGE,
];

pub(super) const CSI_DRIVER: &[Column] = &[
    NAME,
    column("AttachRequired", "boolean", Truth("/spec/attachRequired", true)),
    column("PodInfoOnMount", "boolean", Truth("/spec/podInfoOnMount", false)),
    column("StorageCapacity", "boolean", Truth("/spec/storageCapacity", false)),
    column("TokenRequests", "string", Made(printers::token_requests)),
    column("RequiresRepublish", "boolean", Truth("/spec/requiresRepublish", false)),
    column("Modes", "string", Made(printers::lifecycle_modes)),
    AGE,
];

pub(super) const RESOURCE_CLAIM: &[Column] =
    &[NAME, column("State", "string", Made(printers::resource_claim_state)), AGE];

pub(super) const RESOURCE_SLICE: &[Column] = &[
    NAME,
    column("Node", "string", Text("/spec/nodeName", "")),
    column("Driver", "string", Text("/spec/driver", "")),
    column("Pool", "string", Text("/spec/pool/name", "")),
    AGE,
];

pub(super) const PERSISTENT_VOLUME: &[Column] = &[
    NAME,
    column("Capacity", "string", Made(printers::volume_capacity)),
    column("Access Modes", "string", Made(printers::volume_modes)),
    column("Reclaim Policy", "string", Text("/spec/persistentVolumeReclaimPolicy", "Retain")),
    column("Status", "string", Made(printers::volume_phase)),
    column("Claim", "string", Made(printers::volume_claim)),
    column("StorageClass", "string", Made(printers::storage_class)),
    column("VolumeAttributesClass", "string", Text("/spec/volumeAttributesClassName", UNSET)),
    column("Reason", "string", Text("/status/reason", "")),
    AGE,
    wide("VolumeMode", Text("/spec/volumeMode", "Filesystem")),
];

pub(super) const PERSISTENT_VOLUME_CLAIM: &[Column] = &[
    NAME,
    column("Status", "string", Made(printers::volume_phase)),
    column("Volume", "string", Text("/spec/volumeName", "")),
    column("Capacity", "string", Made(printers::claim_capacity)),
    column("Access Modes", "string", Made(printers::claim_modes)),
    column("StorageClass", "string", Made(printers::storage_class)),
    column("VolumeAttributesClass", "string", Text("/spec/volumeAttributesClassName", UNSET)),
    AGE,
    wide("VolumeMode", Text("/spec/volumeMode", "Filesystem")),
];

pub(super) const SERVICE: &[Column] = &[
    NAME,
    column("Type", "string", Text("/spec/type", "ClusterIP")),
    column("Cluster-IP", "string", Made(printers::cluster_ip)),
    column("External-IP", "string", Made(printers::service_external_ip)),
    column("Port(s)", "string", Made(printers::service_ports)),
    AGE,
    wide("Selector", Made(printers::map_selector)),
];

pub(super) const REPLICATION_CONTROLLER: &[Column] = &[
    NAME,
    column("Desired", "integer", Number("/spec/replicas", 1)),
    column("Current", "integer", Number("/status/replicas", 0)),
    column("Ready", "integer", Number("/status/readyReplicas", 0)),
    AGE,
    wide("Containers", Made(printers::containers)),
    wide("Images", Made(printers::images)),
    wide("Selector", Made(printers::map_selector)),
];

pub(super) const REPLICA_SET: &[Column] = &[
    NAME,
    column("Desired", "integer", Number("/spec/replicas", 1)),
    column("Current", "integer", Number("/status/replicas", 0)),
    column("Ready", "integer", Number("/status/readyReplicas", 0)),
    AGE,
    wide("Containers", Made(printers::containers)),
    wide("Images", Made(printers::images)),
    wide("Selector", Made(printers::selector)),
];

pub(super) const STATEFUL_SET: &[Column] = &[
    NAME,
    column("Ready", "string", Made(printers::ready_replicas)),
    AGE,
    wide("Containers", Made(printers::containers)),
    wide("Images", Made(printers::images)),
];

pub(super) const POD_DISRUPTION_BUDGET: &[Column] = &[
    NAME,
    column("Min Available", "string", Made(printers::min_available)),
    column("Max Unavailable", "string", Made(printers::max_unavailable)),
    column("Allowed Disruptions", "integer", Number("/status/disruptionsAllowed", 0)),
    AGE,
];

pub(super) const NODE: &[Column] = &[
    NAME,
    column("Status", "string", Made(printers::node_status)),
    column("Roles", "string", Made(printers::node_roles)),
    AGE,
    column("Version", "string", Text("/status/nodeInfo/kubeletVersion", "")),
    wide("Internal-IP", Made(printers::internal_ip)),
    wide("External-IP", Made(printers::external_ip)),
    wide("OS-Image", Text("/status/nodeInfo/osImage", UNKNOWN)),
    wide("Kernel-Version", Text("/status/nodeInfo/kernelVersion", UNKNOWN)),
    wide("Container-Runtime", Text("/status/nodeInfo/containerRuntimeVersion", UNKNOWN)),
];

pub(super) const VOLUME_ATTACHMENT: &[Column] = &[
    NAME,
    column("Attacher", "string", Text("/spec/attacher", "")),
    column("PV", "string", Text("/spec/source/persistentVolumeName", "")),
    column("Node", "string", Text("/spec/nodeName", "")),
    column("Attached", "boolean", Truth("/status/attached", false)),
    AGE,
];

pub(super) const POD: &[Column] = &[
    NAME,
    column("Ready", "string", Made(printers::pod::ready)),
    column("Status", "string", Made(printers::pod::status)),
    column("Restarts", "string", Made(printers::pod::restarts)),
    AGE,
    wide("IP", Text("/status/podIPs/0/ip", NONE)),
    wide("Node", Text("/spec/nodeName", NONE)),
    wide("Nominated Node", Text("/status/nominatedNodeName", NONE)),
    wide("Readiness Gates", Made(printers::pod::readiness_gates)),
];

pub(super) const DEPLOYMENT: &[Column] = &[
    NAME,
    column("Ready", "string", Made(printers::ready_replicas)),
    column("Up-to-date", "string", Number("/status/updatedReplicas", 0)),
    column("Available", "string", Number("/status/availableReplicas", 0)),
    AGE,
    wide("Containers", Made(printers::containers)),
    wide("Images", Made(printers::images)),
    wide("Selector", Made(printers::deployment_selector)),
];

pub(super) const DAEMON_SET: &[Column] = &[
    NAME,
    column("Desired", "integer", Number("/status/desiredNumberScheduled", 0)),
    column("Current", "integer", Number("/status/currentNumberScheduled", 0)),
    column("Ready", "integer", Number("/status/numberReady", 0)),
    column("Up-to-date", "integer", Number("/status/updatedNumberScheduled", 0)),
    column("Available", "integer", Number("/status/numberAvailable", 0)),
    column("Node Selector", "string", Made(printers::node_selector)),
    AGE,
    wide("Containers", Made(printers::containers)),
    wide("Images", Made(printers::images)),
    wide("Selector", Made(printers::selector)),
];

pub(super) const JOB: &[Column] = &[
    NAME,
    column("Status", "string", Made(printers::job_status)),
    column("Completions", "string", Made(printers::job_completions)),
    column("Duration", "string", Made(printers::job_duration)),
    AGE,
    wide("Containers", Made(printers::containers)),
    wide("Images", Made(printers::images)),
    wide("Selector", Made(printers::selector)),
];

pub(super) const HORIZONTAL_POD_AUTOSCALER: &[Column] = &[
    NAME,
    column("Reference", "string", Made(printers::scale_target)),
    column("Targets", "string", Made(printers::metrics)),
    column("MinPods", "string", Made(printers::min_pods)),
    column("MaxPods", "string", Number("/spec/maxReplicas", 0)),
    column("Replicas", "string", Number("/status/currentReplicas", 0)),
    AGE,
];

/// `additionalPrinterColumns` of `vertical-pod-autoscaler/deploy/vpa-v1-crd-gen.yaml`
pub(super) const VERTICAL_POD_AUTOSCALER: &[Column] = &[
    NAME,
    column("Mode", "string", Text("/spec/updatePolicy/updateMode", "")),
    column("CPU", "string", Text("/status/recommendation/containerRecommendations/0/target/cpu", "")),
    column("Mem", "string", Text("/status/recommendation/containerRecommendations/0/target/memory", "")),
    column("Provided", "string", Made(printers::provided)),
    AGE,
];

pub(super) const ROLE_BINDING: &[Column] = &[
    NAME,
    column("Role", "string", Made(printers::role)),
    AGE,
    wide("Users", Made(printers::users)),
    wide("Groups", Made(printers::groups)),
    wide("ServiceAccounts", Made(printers::service_accounts)),
];

pub(super) const NODE_GROUP: &[Column] = &[
    NAME,
    column("Min", "integer", Number("/spec/minSize", 0)),
    column("Max", "integer", Number("/spec/maxSize", 0)),
    column("Target", "integer", Number("/spec/targetSize", 0)),
    AGE,
];

pub(super) const CLUSTER: &[Column] = &[
    NAME,
    column("Ready", "string", Made(printers::cluster_ready)),
    column("Provider", "string", Text("/spec/provider", NONE)),
    column("Region", "string", Text("/spec/region", NONE)),
    column("Source", "string", Made(printers::cluster_source)),
    AGE,
    wide("Nodes", Made(printers::cluster_nodes)),
];

/// Events have the same columns in both of their forms: cells are taken from objects as they are stored.
pub(super) const EVENT: &[Column] = &[
    column("Last Seen", "string", Made(printers::last_seen)),
    column("Type", "string", Text("/type", "")),
    column("Reason", "string", Text("/reason", "")),
    column("Object", "string", Made(printers::event_object)),
    wide("Subobject", Text("/involvedObject/fieldPath", "")),
    wide("Source", Made(printers::event_source)),
    column("Message", "string", Made(printers::event_message)),
    wide("First Seen", Made(printers::first_seen)),
    wide("Count", Made(printers::event_count)),
    Column { priority: 1, ..NAME },
];
