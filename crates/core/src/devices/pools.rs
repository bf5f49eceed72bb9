//! The pools of devices that a node has access to.
//!
//! Source: `structured/internal/experimental/pools_experimental.go` (`GatherPools`).

use std::{collections::BTreeMap, collections::BTreeSet, sync::Arc};

use super::DeviceIndex;
use crate::{
    model::{DeviceReach, Name, ResourceSlice},
    node_info::NodeInfo,
    work,
};

/// A pool of one driver, in its newest generation, as far as the node has access to it.
#[derive(Debug)]
pub(super) struct Pool {
    /// Its slices in order of their names; those with conditions before use come last.
    pub slices: Vec<Arc<ResourceSlice>>,
    /// `true` if slices are missing.
    pub is_incomplete: bool,
    /// A device name that two devices have.
    pub repeated: Option<Name>,
}

impl Pool {
    /// Driver and pool, for messages.
    pub(super) fn id(&self) -> String {
        self.slices.first().map(|slice| format!("{}/{}", slice.driver, slice.pool)).unwrap_or_default()
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.slices.first().map_or("", |slice| &slice.pool)
    }
}

fn has_conditions(slice: &ResourceSlice) -> bool {
    slice.devices.iter().any(|device| device.has_binding_conditions)
}

/// The pools in order of driver and name. Those with conditions before use come last, so that others are taken first.
pub(super) fn pools(devices: &DeviceIndex, node: &NodeInfo) -> Vec<Pool> {
    let mut pools: BTreeMap<(&Name, &Name), Vec<&Arc<ResourceSlice>>> = BTreeMap::new();
    for slice in devices.slices_near(node.name()) {
        work::spend(2);
        let reaches = match &slice.reach {
            DeviceReach::None => false,
            DeviceReach::All => true,
            DeviceReach::Node(name) => name == node.name(),
            DeviceReach::Selected(selector) => selector.matches(node.name(), node.labels()),
        };
        if !reaches {
            continue;
        }
        let slices = pools.entry((&slice.driver, &slice.pool)).or_default();
        match slices.first().map(|first| slice.generation.cmp(&first.generation)) {
            Some(std::cmp::Ordering::Less) => continue,
            Some(std::cmp::Ordering::Greater) => slices.clear(),
            _ => {}
        }
        slices.push(slice);
    }
    let mut gathered: Vec<Pool> = pools.into_values().map(pool).collect();
    gathered.sort_by_key(|pool| pool.slices.iter().any(|slice| has_conditions(slice)));
    gathered
}

fn pool(mut slices: Vec<&Arc<ResourceSlice>>) -> Pool {
    slices.sort_by_key(|slice| (has_conditions(slice), &slice.name));
    let mut names = BTreeSet::new();
    work::spend_on(slices.iter().map(|slice| slice.devices.len()).sum());
    let repeated = slices.iter().flat_map(|slice| &slice.devices).find(|device| !names.insert(&device.name));
    let expected = slices.first().map_or(0, |slice| slice.slice_count);
    Pool {
        is_incomplete: i64::try_from(slices.len()) != Ok(expected),
        repeated: repeated.map(|device| device.name.clone()),
        slices: slices.into_iter().cloned().collect(),
    }
}
