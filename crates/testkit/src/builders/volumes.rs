//! Builders of volumes, claims, storage classes and CSI nodes.

use super::quantity;
use podberth_core::{
    model::{
        AccessMode, BindingMode, CsiDriver, CsiNode, CsiNodeDriver, CsiStorageCapacity, Labels, NodeSelector,
        NodeSelectorTerm, Operator, PersistentVolume, PersistentVolumeClaim, Requirement, Selector, StorageClass,
        TopologyRequirement, VolumeAttachment, VolumePhase, VolumeSource,
    },
    snapshot::Object,
};

/// An available volume of 1Gi, for one writer, of no class, within every node's reach.
pub fn pv(name: &str) -> VolumeBuilder {
    VolumeBuilder {
        volume: PersistentVolume {
            name: name.into(),
            labels: Labels::default(),
            annotations: Labels::default(),
            capacity: [("storage".into(), quantity("1Gi"))].into(),
            access_modes: vec![AccessMode::ReadWriteOnce],
            storage_class_name: "".into(),
            block: false,
            volume_attributes_class_name: "".into(),
            claim_ref: None,
            node_affinity: None,
            source: VolumeSource::Other,
            phase: VolumePhase::Available,
            terminating: false,
        },
        labels: Vec::new(),
    }
}

/// An unbound claim in namespace `default` to 1Gi for one writer, of no class.
pub fn pvc(name: &str) -> ClaimBuilder {
    ClaimBuilder {
        claim: PersistentVolumeClaim {
            namespace: "default".into(),
            name: name.into(),
            uid: format!("uid-{name}").into(),
            annotations: Labels::default(),
            access_modes: vec![AccessMode::ReadWriteOnce],
            storage_class_name: None,
            block: false,
            volume_attributes_class_name: "".into(),
            selector: None,
            request: quantity("1Gi"),
            volume_name: "".into(),
            phase: VolumePhase::Pending,
            owner_pod_uid: None,
            terminating: false,
        },
        annotations: Vec::new(),
    }
}

/// A class that waits for the first consumer and whose volumes the driver `csi.example.com` makes anywhere.
pub fn storage_class(name: &str) -> ClassBuilder {
    ClassBuilder(StorageClass {
        name: name.into(),
        provisioner: "csi.example.com".into(),
        binding_mode: Some(BindingMode::WaitForFirstConsumer),
        allowed_topologies: Vec::new(),
        is_default: false,
        created: None,
    })
}

/// A node's CSI drivers: none yet.
pub fn csi_node(name: &str) -> CsiNodeBuilder {
    CsiNodeBuilder(CsiNode { name: name.into(), migrated_plugins: Vec::new(), drivers: Vec::new() })
}

/// A CSI driver that publishes how much room it has.
pub fn csi_driver(name: &str) -> Object {
    Object::CsiDriver(CsiDriver { name: name.into(), storage_capacity: true })
}

/// Room for volumes of a class up to a size, on the nodes that the topology selects.
pub fn room(class: &str, largest: &str, topology: Selector) -> Object {
    Object::CsiStorageCapacity(CsiStorageCapacity {
        namespace: "kube-system".into(),
        name: format!("{class}-{largest}-{topology:?}").into(),
        storage_class_name: class.into(),
        node_topology: Some(topology),
        largest_volume: Some(quantity(largest)),
    })
}

/// A volume that a driver has attached to a node.
pub fn attachment(attacher: &str, volume: &str, node: &str) -> Object {
    Object::VolumeAttachment(VolumeAttachment {
        name: format!("{volume}-{node}").into(),
        attacher: attacher.into(),
        node_name: node.into(),
        volume_name: volume.into(),
    })
}

/// Builds a [`PersistentVolume`].
#[derive(Clone)]
pub struct VolumeBuilder {
    volume: PersistentVolume,
    labels: Vec<(String, String)>,
}

/// Builds a [`PersistentVolumeClaim`].
#[derive(Clone)]
pub struct ClaimBuilder {
    claim: PersistentVolumeClaim,
    annotations: Vec<(String, String)>,
}

/// Builds a [`StorageClass`].
#[derive(Clone)]
pub struct ClassBuilder(StorageClass);

/// Builds a [`CsiNode`].
#[derive(Clone)]
pub struct CsiNodeBuilder(CsiNode);

impl VolumeBuilder {
    /// Holds so much.
    #[must_use]
    pub fn size(mut self, amount: &str) -> Self {
        self.volume.capacity = [("storage".into(), quantity(amount))].into();
        self
    }

    /// Is of a class.
    #[must_use]
    pub fn class(mut self, name: &str) -> Self {
        self.volume.storage_class_name = name.into();
        self
    }

    /// Carries a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.push((key.into(), value.into()));
        self
    }

    /// Is within reach of the nodes whose label has this value.
    #[must_use]
    pub fn reached_by(mut self, label: &str, value: &str) -> Self {
        let requirement = Requirement { key: label.into(), operator: Operator::In(vec![value.into()]) };
        let term = NodeSelectorTerm { match_expressions: vec![requirement], match_fields: Vec::new() };
        self.volume.node_affinity = Some(NodeSelector(vec![term]));
        self
    }

    /// Sets the source.
    #[must_use]
    pub fn source(mut self, source: VolumeSource) -> Self {
        self.volume.source = source;
        self
    }

    /// Changes anything else.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut PersistentVolume)) -> Self {
        change(&mut self.volume);
        self
    }
}

impl ClaimBuilder {
    /// Sets the requested size.
    #[must_use]
    pub fn size(mut self, amount: &str) -> Self {
        self.claim.request = quantity(amount);
        self
    }

    /// Sets the class.
    #[must_use]
    pub fn class(mut self, name: &str) -> Self {
        self.claim.storage_class_name = Some(name.into());
        self
    }

    /// Is bound to a volume.
    #[must_use]
    pub fn bound_to(mut self, volume: &str) -> Self {
        self.claim.volume_name = volume.into();
        self.claim.phase = VolumePhase::Bound;
        self.annotation("pv.kubernetes.io/bind-completed", "yes")
    }

    /// Is made for a pod of the builder [`pod`](super::pod).
    #[must_use]
    pub fn made_for(mut self, pod: &str) -> Self {
        self.claim.owner_pod_uid = Some(format!("uid-{pod}").into());
        self
    }

    /// Carries an annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.push((key.into(), value.into()));
        self
    }

    /// Changes anything else.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut PersistentVolumeClaim)) -> Self {
        change(&mut self.claim);
        self
    }
}

impl ClassBuilder {
    /// Has its volumes made by someone else.
    #[must_use]
    pub fn provisioner(mut self, name: &str) -> Self {
        self.0.provisioner = name.into();
        self
    }

    /// Binds its claims at once.
    #[must_use]
    pub fn immediate(mut self) -> Self {
        self.0.binding_mode = Some(BindingMode::Immediate);
        self
    }

    /// Has its volumes made only where the node's label has one of these values.
    #[must_use]
    pub fn only_in(mut self, label: &str, values: &[&str]) -> Self {
        let values = values.iter().map(|value| (*value).into()).collect();
        self.0.allowed_topologies.push(vec![TopologyRequirement { key: label.into(), values }]);
        self
    }

    /// Changes anything else.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut StorageClass)) -> Self {
        change(&mut self.0);
        self
    }
}

impl CsiNodeBuilder {
    /// Adds a driver with a limit of volumes.
    #[must_use]
    pub fn driver(mut self, name: &str, count: i32) -> Self {
        self.0.drivers.push(CsiNodeDriver {
            name: name.into(),
            allocatable_count: Some(count),
            node_id: self.0.name.clone(),
            topology_keys: Vec::new(),
        });
        self
    }

    /// Marks an in-tree plugin as migrated to CSI.
    #[must_use]
    pub fn migrated(mut self, plugin: &str) -> Self {
        self.0.migrated_plugins.push(plugin.into());
        self
    }
}

impl From<VolumeBuilder> for Object {
    fn from(builder: VolumeBuilder) -> Self {
        let labels = builder.labels.into_iter().collect();
        Object::PersistentVolume(PersistentVolume { labels, ..builder.volume })
    }
}

impl From<ClaimBuilder> for Object {
    fn from(builder: ClaimBuilder) -> Self {
        let annotations = builder.annotations.into_iter().collect();
        Object::PersistentVolumeClaim(PersistentVolumeClaim { annotations, ..builder.claim })
    }
}

impl From<ClassBuilder> for Object {
    fn from(builder: ClassBuilder) -> Self {
        Object::StorageClass(builder.0)
    }
}

impl From<CsiNodeBuilder> for Object {
    fn from(builder: CsiNodeBuilder) -> Self {
        Object::CsiNode(builder.0)
    }
}
