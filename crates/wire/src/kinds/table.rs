//! The table of stored kinds.
//!
//! Source: `pkg/registry/*/*/storage/storage.go` of Kubernetes (short names, categories, subresources),
//! `pkg/apis/*/validation/validation.go` (rules for names), `pkg/printers/internalversion/printers.go` (columns).

use podberth_core::{
    model::WorkloadKind,
    snapshot::{Kind, Object},
};

use super::{
    OfAll,
    Read::Nothing,
    Served, StoredKind, Subresource, Trait, Verb, View, checked,
    columns::{
        AGE, CREATED,
        Cell::{Count, Made, Text},
        NAME, column,
    },
    printed, printers, selectable, wire,
};
use crate::objects::{
    csi, device, disruption, member_cluster::MemberCluster, names, node, node_group, pod, runtime_class, storage,
    workload,
};
use crate::selector::Fields;

/// The operations of the handlers that all kinds share.
const ALL_VERBS: &[Verb] =
    &[Verb::Get, Verb::List, Verb::Create, Verb::Update, Verb::Patch, Verb::Delete, Verb::DeleteCollection];

/// Those of a kind whose objects are deleted one by one.
const ALL_BUT_COLLECTIONS: &[Verb] = &[Verb::Get, Verb::List, Verb::Create, Verb::Update, Verb::Patch, Verb::Delete];

/// The values that most rows have.
pub(super) const ROW: StoredKind = StoredKind {
    group: "",
    version: "v1",
    kind: "",
    plural: "",
    short_names: &[],
    categories: &[],
    namespaced: true,
    verbs: ALL_VERBS,
    subresources: &[],
    columns: &[NAME, AGE],
    selectable: Fields::Metadata,
    example: "{}",
    read: Nothing(names::dns_subdomain),
    served: Served::Shared,
    traits: &[],
};

/// Fields of events: in the core group, which is how they are stored, and in `events.k8s.io`
/// (`pkg/apis/core/types.go`, `pkg/apis/events/v1/conversion.go`).
const EVENT_FIELDS: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// Every stored kind, in the order in which an import applies them: what others refer to comes first, and what decisions
/// read before what they do not.
pub static ALL: &[StoredKind] = &[
    StoredKind {
        kind: "Namespace",
        plural: "namespaces",
        short_names: &["ns"],
        namespaced: false,
        verbs: ALL_BUT_COLLECTIONS,
        subresources: &[Subresource::Status, Subresource::Finalize],
        columns: &[NAME, column("Status", "string", Text("/status/phase", "Active")), AGE],
        read: wire!(Kind::Namespace, workload::Namespace => Object::Namespace),
        selectable: Fields::Listed(selectable::NAMESPACE),
        traits: &[Trait::RepliesWithObject],
        ..ROW
    },
    StoredKind {
        group: "scheduling.k8s.io",
        kind: "PriorityClass",
        plural: "priorityclasses",
        short_names: &["pc"],
        namespaced: false,
        columns: printed::PRIORITY_CLASS,
        example: r#"{"value":1000}"#,
        read: wire!(Kind::PriorityClass, disruption::PriorityClass => Object::PriorityClass),
        traits: &[Trait::CreatedByPut, Trait::CountsChanges],
        ..ROW
    },
    StoredKind {
        group: "node.k8s.io",
        kind: "RuntimeClass",
        plural: "runtimeclasses",
        namespaced: false,
        columns: &[NAME, column("Handler", "string", Text("/handler", "")), AGE],
        example: r#"{"handler":"kata","overhead":{"podFixed":{"cpu":"250m","memory":"160Mi"}}}"#,
        read: wire!(Kind::RuntimeClass, runtime_class::RuntimeClass => Object::RuntimeClass),
        traits: &[Trait::NeedsRevision],
        ..ROW
    },
    StoredKind {
        group: "storage.k8s.io",
        kind: "StorageClass",
        plural: "storageclasses",
        short_names: &["sc"],
        namespaced: false,
        columns: printed::STORAGE_CLASS,
        example: r#"{"provisioner":"ebs.csi.aws.com","volumeBindingMode":"WaitForFirstConsumer"}"#,
        read: wire!(Kind::StorageClass, storage::StorageClass => Object::StorageClass),
        traits: &[Trait::RepliesWithObject],
        ..ROW
    },
    StoredKind {
        group: "storage.k8s.io",
        kind: "CSIDriver",
        plural: "csidrivers",
        namespaced: false,
        columns: printed::CSI_DRIVER,
        example: r#"{"spec":{"attachRequired":true,"storageCapacity":true}}"#,
        read: wire!(Kind::CsiDriver, csi::CsiDriver => Object::CsiDriver),
        traits: &[Trait::NeedsRevision, Trait::RepliesWithObject],
        ..ROW
    },
    StoredKind {
        group: "resource.k8s.io",
        kind: "DeviceClass",
        plural: "deviceclasses",
        namespaced: false,
        example: r#"{"spec":{"selectors":[{"cel":{"expression":"device.driver == 'gpu.example.com'"}}]}}"#,
        read: wire!(Kind::DeviceClass, device::DeviceClass => Object::DeviceClass),
        traits: &[Trait::RepliesWithObject, Trait::CountsChanges],
        ..ROW
    },
    StoredKind {
        group: "resource.k8s.io",
        kind: "ResourceSlice",
        plural: "resourceslices",
        namespaced: false,
        columns: printed::RESOURCE_SLICE,
        example: r#"{"spec":{"driver":"gpu.example.com","nodeName":"node-1","pool":{"name":"node-1","generation":1,"resourceSliceCount":1},"devices":[{"name":"gpu-0","attributes":{"model":{"string":"a100"}},"capacity":{"memory":{"value":"40Gi"}}}]}}"#,
        read: wire!(Kind::ResourceSlice, device::ResourceSlice => Object::ResourceSlice),
        selectable: Fields::Listed(selectable::RESOURCE_SLICE),
        traits: &[Trait::RepliesWithObject, Trait::CountsChanges],
        ..ROW
    },
    StoredKind {
        group: "resource.k8s.io",
        kind: "ResourceClaim",
        plural: "resourceclaims",
        subresources: &[Subresource::Status],
        columns: printed::RESOURCE_CLAIM,
        example: r#"{"spec":{"devices":{"requests":[{"name":"gpu","exactly":{"deviceClassName":"example","allocationMode":"ExactCount","count":1}}]}}}"#,
        read: wire!(Kind::ResourceClaim, device::ResourceClaim => Object::ResourceClaim),
        traits: &[Trait::RepliesWithObject],
        ..ROW
    },
    StoredKind {
        kind: "PersistentVolume",
        plural: "persistentvolumes",
        short_names: &["pv"],
        namespaced: false,
        subresources: &[Subresource::Status],
        columns: printed::PERSISTENT_VOLUME,
        example: r#"{"spec":{"capacity":{"storage":"10Gi"},"accessModes":["ReadWriteOnce"],"csi":{"driver":"ebs.csi.aws.com","volumeHandle":"vol-1"}}}"#,
        read: wire!(Kind::PersistentVolume, storage::PersistentVolume => Object::PersistentVolume),
        traits: &[Trait::RepliesWithObject],
        ..ROW
    },
    StoredKind {
        kind: "PersistentVolumeClaim",
        plural: "persistentvolumeclaims",
        short_names: &["pvc"],
        subresources: &[Subresource::Status],
        columns: printed::PERSISTENT_VOLUME_CLAIM,
        example: r#"{"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"10Gi"}}}}"#,
        read: wire!(Kind::PersistentVolumeClaim, storage::PersistentVolumeClaim => Object::PersistentVolumeClaim),
        traits: &[Trait::RepliesWithObject],
        ..ROW
    },
    StoredKind {
        kind: "Service",
        plural: "services",
        short_names: &["svc"],
        categories: &["all"],
        subresources: &[Subresource::Status],
        columns: printed::SERVICE,
        example: r#"{"spec":{"selector":{"app":"web"}}}"#,
        read: wire!(Kind::Workload(WorkloadKind::Service), workload::Service => Object::Workload),
        selectable: Fields::Listed(selectable::SERVICE),
        traits: &[Trait::CreatedByPut, Trait::RepliesWithObject],
        ..ROW
    },
    StoredKind {
        kind: "ReplicationController",
        plural: "replicationcontrollers",
        short_names: &["rc"],
        categories: &["all"],
        subresources: &[Subresource::Status, Subresource::Scale],
        columns: printed::REPLICATION_CONTROLLER,
        example: r#"{"spec":{"selector":{"app":"web"}}}"#,
        read: wire!(Kind::Workload(WorkloadKind::ReplicationController), workload::ReplicationController => Object::Workload),
        selectable: Fields::Listed(selectable::REPLICATION_CONTROLLER),
        traits: &[Trait::CountsChanges],
        ..ROW
    },
    StoredKind {
        group: "apps",
        kind: "ReplicaSet",
        plural: "replicasets",
        short_names: &["rs"],
        categories: &["all"],
        subresources: &[Subresource::Status, Subresource::Scale],
        columns: printed::REPLICA_SET,
        example: r#"{"spec":{"selector":{"matchLabels":{"app":"web"}}}}"#,
        read: wire!(Kind::Workload(WorkloadKind::ReplicaSet), workload::ReplicaSet => Object::Workload),
        traits: &[Trait::CountsChanges],
        ..ROW
    },
    StoredKind {
        group: "apps",
        kind: "StatefulSet",
        plural: "statefulsets",
        short_names: &["sts"],
        categories: &["all"],
        subresources: &[Subresource::Status, Subresource::Scale],
        columns: printed::STATEFUL_SET,
        example: r#"{"spec":{"selector":{"matchLabels":{"app":"web"}}}}"#,
        read: wire!(Kind::Workload(WorkloadKind::StatefulSet), workload::StatefulSet => Object::Workload),
        traits: &[Trait::CountsChanges],
        ..ROW
    },
    StoredKind {
        group: "policy",
        kind: "PodDisruptionBudget",
        plural: "poddisruptionbudgets",
        short_names: &["pdb"],
        subresources: &[Subresource::Status],
        columns: printed::POD_DISRUPTION_BUDGET,
        example: r#"{"spec":{"selector":{"matchLabels":{"app":"web"}}},"status":{"disruptionsAllowed":1}}"#,
        read: wire!(Kind::PodDisruptionBudget, disruption::PodDisruptionBudget => Object::PodDisruptionBudget),
        traits: &[Trait::NeedsRevision, Trait::CountsChanges],
        ..ROW
    },
    StoredKind {
        kind: "Node",
        plural: "nodes",
        short_names: &["no"],
        namespaced: false,
        subresources: &[Subresource::Status],
        columns: printed::NODE,
        example: r#"{"status":{"allocatable":{"cpu":"4","memory":"16Gi","pods":"110"}}}"#,
        read: wire!(Kind::Node, node::Node => Object::Node),
        selectable: Fields::Listed(selectable::NODE),
        ..ROW
    },
    StoredKind {
        group: "storage.k8s.io",
        kind: "CSINode",
        plural: "csinodes",
        namespaced: false,
        columns: &[NAME, column("Drivers", "integer", Count(&["/spec/drivers"])), AGE],
        example: r#"{"spec":{"drivers":[{"name":"ebs.csi.aws.com","nodeID":"i-1","allocatable":{"count":25}}]}}"#,
        read: wire!(Kind::CsiNode, storage::CsiNode => Object::CsiNode),
        traits: &[Trait::NeedsRevision, Trait::RepliesWithObject],
        ..ROW
    },
    StoredKind {
        group: "storage.k8s.io",
        kind: "CSIStorageCapacity",
        plural: "csistoragecapacities",
        columns: &[
            NAME,
            column("StorageClassName", "string", Text("/storageClassName", "")),
            column("Capacity", "string", Made(printers::csi_capacity)),
        ],
        example: r#"{"storageClassName":"local","capacity":"100Gi","nodeTopology":{"matchLabels":{"topology.kubernetes.io/zone":"az1"}}}"#,
        read: wire!(Kind::CsiStorageCapacity, csi::CsiStorageCapacity => Object::CsiStorageCapacity),
        traits: &[Trait::NeedsRevision, Trait::RepliesWithObject],
        ..ROW
    },
    StoredKind {
        group: "storage.k8s.io",
        kind: "VolumeAttachment",
        plural: "volumeattachments",
        namespaced: false,
        subresources: &[Subresource::Status],
        columns: printed::VOLUME_ATTACHMENT,
        example: r#"{"spec":{"attacher":"ebs.csi.aws.com","nodeName":"node-a","source":{"persistentVolumeName":"pv-1"}}}"#,
        read: wire!(Kind::VolumeAttachment, csi::VolumeAttachment => Object::VolumeAttachment),
        traits: &[Trait::NeedsRevision, Trait::RepliesWithObject],
        ..ROW
    },
    StoredKind {
        kind: "Pod",
        plural: "pods",
        short_names: &["po"],
        categories: &["all"],
        subresources: &[
            Subresource::Status,
            Subresource::Binding,
            Subresource::Eviction,
            Subresource::EphemeralContainers,
            Subresource::Resize,
        ],
        columns: printed::POD,
        example: r#"{"spec":{"containers":[{"name":"web","image":"nginx","resources":{"requests":{"cpu":"500m","memory":"128Mi"}}}]}}"#,
        read: wire!(Kind::Pod, pod::Pod => |pod| Object::Pod(Box::new(pod))),
        selectable: Fields::Listed(selectable::POD),
        traits: &[Trait::RepliesWithObject, Trait::CountsChanges],
        ..ROW
    },
    StoredKind {
        kind: "ServiceAccount",
        plural: "serviceaccounts",
        short_names: &["sa"],
        columns: &[NAME, column("Secrets", "string", Count(&["/secrets"])), AGE],
        read: Nothing(names::dns_subdomain),
        traits: &[Trait::NeedsRevision, Trait::RepliesWithObject],
        ..ROW
    },
    StoredKind {
        kind: "ConfigMap",
        plural: "configmaps",
        short_names: &["cm"],
        columns: &[NAME, column("Data", "string", Count(&["/data", "/binaryData"])), AGE],
        example: r#"{"data":{"greeting":"hello"}}"#,
        read: Nothing(names::dns_subdomain),
        ..ROW
    },
    StoredKind {
        kind: "LimitRange",
        plural: "limitranges",
        short_names: &["limits"],
        columns: &[NAME, CREATED],
        example: r#"{"spec":{"limits":[{"type":"Container","defaultRequest":{"cpu":"100m"}}]}}"#,
        read: Nothing(names::dns_subdomain),
        traits: &[Trait::CreatedByPut],
        ..ROW
    },
    StoredKind {
        kind: "ResourceQuota",
        plural: "resourcequotas",
        short_names: &["quota"],
        subresources: &[Subresource::Status],
        columns: &[
            NAME,
            column("Request", "string", Made(printers::quota_requests)),
            column("Limit", "string", Made(printers::quota_limits)),
            AGE,
        ],
        example: r#"{"spec":{"hard":{"requests.cpu":"10","pods":"50"}}}"#,
        read: Nothing(names::dns_subdomain),
        traits: &[Trait::RepliesWithObject],
        ..ROW
    },
    StoredKind {
        group: "apps",
        kind: "Deployment",
        plural: "deployments",
        short_names: &["deploy"],
        categories: &["all"],
        subresources: &[Subresource::Status, Subresource::Scale],
        columns: printed::DEPLOYMENT,
        example: r#"{"spec":{"replicas":2,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"web","image":"nginx"}]}}}}"#,
        read: Nothing(names::dns_subdomain),
        traits: &[Trait::CountsChanges],
        ..ROW
    },
    StoredKind {
        group: "apps",
        kind: "DaemonSet",
        plural: "daemonsets",
        short_names: &["ds"],
        categories: &["all"],
        subresources: &[Subresource::Status],
        columns: printed::DAEMON_SET,
        example: r#"{"spec":{"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"web","image":"nginx"}]}}}}"#,
        read: wire!(Kind::Workload(WorkloadKind::DaemonSet), workload::DaemonSet => Object::Workload),
        traits: &[Trait::CountsChanges],
        ..ROW
    },
    StoredKind {
        group: "batch",
        kind: "Job",
        plural: "jobs",
        categories: &["all"],
        subresources: &[Subresource::Status],
        columns: printed::JOB,
        example: r#"{"spec":{"completions":1,"template":{"metadata":{"labels":{"app":"web"}},"spec":{"restartPolicy":"Never","containers":[{"name":"web","image":"nginx"}]}}}}"#,
        read: wire!(Kind::Workload(WorkloadKind::Job), workload::Job => Object::Workload),
        selectable: Fields::Listed(selectable::JOB),
        traits: &[Trait::CountsChanges],
        ..ROW
    },
    StoredKind {
        group: "autoscaling",
        version: "v2",
        kind: "HorizontalPodAutoscaler",
        plural: "horizontalpodautoscalers",
        short_names: &["hpa"],
        categories: &["all"],
        subresources: &[Subresource::Status],
        columns: printed::HORIZONTAL_POD_AUTOSCALER,
        example: r#"{"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"example"},"minReplicas":1,"maxReplicas":5,"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":80}}}]}}"#,
        read: Nothing(names::dns_subdomain),
        ..ROW
    },
    StoredKind {
        group: "networking.k8s.io",
        kind: "NetworkPolicy",
        plural: "networkpolicies",
        short_names: &["netpol"],
        columns: &[NAME, column("Pod-Selector", "string", Made(printers::pod_selector)), AGE],
        example: r#"{"spec":{"podSelector":{"matchLabels":{"app":"web"}},"policyTypes":["Ingress"]}}"#,
        read: Nothing(names::dns_subdomain),
        traits: &[Trait::CountsChanges],
        ..ROW
    },
    StoredKind {
        group: "rbac.authorization.k8s.io",
        kind: "Role",
        plural: "roles",
        columns: &[NAME, CREATED],
        example: r#"{"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get","list"]}]}"#,
        read: Nothing(names::path_segment),
        traits: &[Trait::CreatedByPut],
        ..ROW
    },
    StoredKind {
        group: "rbac.authorization.k8s.io",
        kind: "ClusterRole",
        plural: "clusterroles",
        namespaced: false,
        columns: &[NAME, CREATED],
        example: r#"{"rules":[{"apiGroups":[""],"resources":["nodes"],"verbs":["get","list"]}]}"#,
        read: Nothing(names::path_segment),
        traits: &[Trait::CreatedByPut],
        ..ROW
    },
    StoredKind {
        group: "rbac.authorization.k8s.io",
        kind: "RoleBinding",
        plural: "rolebindings",
        columns: printed::ROLE_BINDING,
        example: r#"{"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"example"},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"jane"}]}"#,
        read: Nothing(names::path_segment),
        traits: &[Trait::CreatedByPut],
        ..ROW
    },
    StoredKind {
        group: "rbac.authorization.k8s.io",
        kind: "ClusterRoleBinding",
        plural: "clusterrolebindings",
        namespaced: false,
        columns: printed::ROLE_BINDING,
        example: r#"{"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"example"},"subjects":[{"kind":"ServiceAccount","name":"default","namespace":"default"}]}"#,
        read: Nothing(names::path_segment),
        traits: &[Trait::CreatedByPut],
        ..ROW
    },
    StoredKind {
        group: "coordination.k8s.io",
        kind: "Lease",
        plural: "leases",
        columns: &[NAME, column("Holder", "string", Text("/spec/holderIdentity", "")), AGE],
        example: r#"{"spec":{"holderIdentity":"node-a","leaseDurationSeconds":40}}"#,
        read: Nothing(names::dns_subdomain),
        traits: &[Trait::CreatedByPut, Trait::NeedsRevision],
        ..ROW
    },
    StoredKind {
        kind: "Event",
        plural: "events",
        short_names: &["ev"],
        columns: printed::EVENT,
        example: r#"{"involvedObject":{"kind":"Pod","namespace":"default","name":"example"},"reason":"Scheduled","message":"Successfully assigned","type":"Normal"}"#,
        read: Nothing(names::dns_subdomain),
        selectable: Fields::Listed(selectable::EVENT),
        traits: &[Trait::CreatedByPut],
        ..ROW
    },
    // The other form of events: the same objects with some fields called otherwise.
    StoredKind {
        group: "events.k8s.io",
        kind: "Event",
        plural: "events",
        short_names: &["ev"],
        columns: printed::EVENT,
        example: r#"{"regarding":{"kind":"Pod","namespace":"default","name":"example"},"reason":"Scheduled","action":"Binding","note":"Successfully assigned","type":"Normal","eventTime":"2026-01-02T15:04:05.000000Z","reportingController":"default-scheduler","reportingInstance":"default-scheduler-0"}"#,
        read: Nothing(names::dns_subdomain),
        served: Served::View(View { of: "events", renamed: EVENT_FIELDS, word: "EventsV1", fields: "events.Event" }),
        selectable: Fields::Listed(selectable::EVENT_V1),
        traits: &[Trait::CreatedByPut],
        ..ROW
    },
    StoredKind {
        group: "resource.k8s.io",
        kind: "ResourceClaimTemplate",
        plural: "resourceclaimtemplates",
        example: r#"{"spec":{"spec":{"devices":{"requests":[{"name":"gpu","exactly":{"deviceClassName":"example","allocationMode":"ExactCount","count":1}}]}}}}"#,
        read: Nothing(names::dns_subdomain),
        traits: &[Trait::RepliesWithObject, Trait::CountsChanges],
        ..ROW
    },
    StoredKind {
        group: "autoscaling.k8s.io",
        kind: "VerticalPodAutoscaler",
        plural: "verticalpodautoscalers",
        short_names: &["vpa"],
        subresources: &[Subresource::Status],
        columns: printed::VERTICAL_POD_AUTOSCALER,
        example: r#"{"spec":{"targetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"example"},"updatePolicy":{"updateMode":"Off"},"resourcePolicy":{"containerPolicies":[{"containerName":"*","minAllowed":{"cpu":"50m","memory":"64Mi"}}]}}}"#,
        read: Nothing(names::dns_subdomain),
        traits: &[Trait::CountsChanges],
        ..ROW
    },
    StoredKind {
        group: "autoscaling.k8s.io",
        kind: "VerticalPodAutoscalerCheckpoint",
        plural: "verticalpodautoscalercheckpoints",
        short_names: &["vpacheckpoint"],
        columns: &[NAME, AGE],
        example: r#"{"spec":{"vpaObjectName":"example","containerName":"web"},"status":{"version":"v3","totalSamplesCount":0}}"#,
        read: Nothing(names::dns_subdomain),
        ..ROW
    },
    StoredKind {
        group: "autoscaling.podberth.io",
        kind: "NodeGroup",
        plural: "nodegroups",
        short_names: &["ng"],
        namespaced: false,
        subresources: &[Subresource::Status],
        columns: printed::NODE_GROUP,
        example: r#"{"spec":{"minSize":0,"maxSize":10,"targetSize":2,"template":{"status":{"allocatable":{"cpu":"4","memory":"16Gi","pods":"110"}}}}}"#,
        read: wire!(Kind::NodeGroup, node_group::NodeGroup => Object::NodeGroup),
        ..ROW
    },
    StoredKind {
        group: "podberth.io",
        kind: "Cluster",
        plural: "clusters",
        namespaced: false,
        subresources: &[Subresource::Status],
        columns: printed::CLUSTER,
        example: r#"{"spec":{"provider":"aws","region":"eu-central-1","zones":["eu-central-1a"],"taints":[{"key":"tier","value":"edge","effect":"NoSchedule"}],"cost":{"perCpuHour":"0.04","perGiHour":"0.005","currency":"EUR"},"nodeTemplates":[{"name":"large","max":10,"startTime":"3m","cost":"0.34","template":{"status":{"allocatable":{"cpu":"8","memory":"32Gi","pods":"110"}}}}]}}"#,
        read: checked!(MemberCluster),
        served: Served::OfAll(OfAll { word: "Member", fields: "MemberCluster" }),
        traits: &[Trait::CreatedByPut, Trait::CountsChanges],
        ..ROW
    },
    StoredKind {
        group: "podberth.io",
        kind: "Policy",
        plural: "policies",
        namespaced: false,
        verbs: &[Verb::Get, Verb::List, Verb::Update, Verb::Delete],
        columns: &[NAME],
        read: Nothing(names::dns_subdomain),
        served: Served::Own("/policies"),
        ..ROW
    },
    StoredKind {
        group: "podberth.io",
        kind: "PolicyRevision",
        plural: "policyrevisions",
        verbs: &[Verb::List],
        columns: &[NAME],
        read: Nothing(names::dns_subdomain),
        served: Served::Own("/policies/{name}/revisions"),
        ..ROW
    },
    StoredKind {
        group: "podberth.io",
        kind: "Reservation",
        plural: "reservations",
        verbs: &[Verb::List, Verb::Update, Verb::Delete],
        columns: &[NAME],
        read: Nothing(names::dns_subdomain),
        served: Served::Own("/reservations"),
        ..ROW
    },
];
