//! Claims, classes and slices of a cluster, slices by node, and the devices that claims have.

use std::sync::Arc;

use imbl::OrdMap;

use crate::model::{DeviceAllocation, DeviceClass, DeviceId, DeviceReach, Name, ResourceClaim, ResourceSlice};

/// Devices of a cluster, and claims to them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct DeviceIndex {
    classes: OrdMap<Name, Arc<DeviceClass>>,
    claims: OrdMap<(Name, Name), Arc<ResourceClaim>>,
    slices: OrdMap<Name, Arc<ResourceSlice>>,
    /// Slices of one node, in order of their names.
    of_node: OrdMap<Name, Vec<Arc<ResourceSlice>>>,
    /// Slices of several nodes.
    shared: OrdMap<Name, Arc<ResourceSlice>>,
    /// Devices that claims have and nobody else can have, with the number of these claims.
    taken: OrdMap<DeviceId, u32>,
}

impl DeviceIndex {
    /// A class by name.
    pub(crate) fn class(&self, name: &str) -> Option<&Arc<DeviceClass>> {
        self.classes.get(name)
    }

    /// A claim by namespace and name.
    pub(crate) fn claim(&self, namespace: &Name, name: &Name) -> Option<&Arc<ResourceClaim>> {
        self.claims.get(&(namespace.clone(), name.clone()))
    }

    /// All claims, in order of namespace and name.
    pub(crate) fn claims(&self) -> impl Iterator<Item = &Arc<ResourceClaim>> {
        self.claims.values()
    }

    /// Slices of this node alone, then those of several nodes, whether or not this is one of them.
    pub(super) fn slices_near(&self, node: &str) -> impl Iterator<Item = &Arc<ResourceSlice>> {
        self.of_node.get(node).into_iter().flatten().chain(self.shared.values())
    }

    /// `true` if a claim has the device and nobody else can have it.
    pub(super) fn is_taken(&self, device: &DeviceId) -> bool {
        self.taken.contains_key(device)
    }

    /// `true` if both share their memory. `false` does not mean that they differ.
    pub(crate) fn ptr_eq(&self, other: &Self) -> bool {
        self.classes.ptr_eq(&other.classes) && self.claims.ptr_eq(&other.claims) && self.slices.ptr_eq(&other.slices)
    }

    /// Adds a class, or puts it in the place of the one that had its name.
    pub(crate) fn insert_class(&mut self, class: DeviceClass) {
        self.classes.insert(class.name.clone(), Arc::new(class));
    }

    /// Takes a class out.
    pub(crate) fn remove_class(&mut self, name: &Name) {
        self.classes.remove(name);
    }

    /// Adds a claim, or puts it in the place of the one that had its name.
    pub(crate) fn insert_claim(&mut self, claim: ResourceClaim) {
        let key = (claim.namespace.clone(), claim.name.clone());
        self.remove_claim(&key);
        for device in claim.allocation.iter().flat_map(DeviceAllocation::taken) {
            *self.taken.entry(device.clone()).or_insert(0) += 1;
        }
        self.claims.insert(key, Arc::new(claim));
    }

    /// Takes a claim out.
    pub(crate) fn remove_claim(&mut self, key: &(Name, Name)) {
        let Some(old) = self.claims.remove(key) else { return };
        for device in old.allocation.iter().flat_map(DeviceAllocation::taken) {
            match self.taken.get_mut(device) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(self.taken.remove(device)),
            }
        }
    }

    /// Adds a slice, or puts it in the place of the one that had its name.
    pub(crate) fn insert_slice(&mut self, slice: ResourceSlice) {
        self.remove_slice(&slice.name);
        let slice = Arc::new(slice);
        self.slices.insert(slice.name.clone(), slice.clone());
        match &slice.reach {
            DeviceReach::None => {}
            DeviceReach::Node(node) => {
                let of_node = self.of_node.entry(node.clone()).or_default();
                let at = of_node.partition_point(|other| other.name < slice.name);
                of_node.insert(at, slice);
            }
            DeviceReach::All | DeviceReach::Selected(_) => drop(self.shared.insert(slice.name.clone(), slice)),
        }
    }

    /// Takes a slice out.
    pub(crate) fn remove_slice(&mut self, name: &Name) {
        let Some(old) = self.slices.remove(name) else { return };
        self.shared.remove(name);
        let DeviceReach::Node(node) = &old.reach else { return };
        let Some(mut of_node) = self.of_node.remove(node) else { return };
        of_node.retain(|other| other.name != *name);
        if !of_node.is_empty() {
            self.of_node.insert(node.clone(), of_node);
        }
    }
}
