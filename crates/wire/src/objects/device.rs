//! Devices: slices, classes, claims.
//!
//! Source: `api/resource/v1/types.go`, `pkg/apis/resource/v1/defaults.go`, `pkg/apis/resource/validation/validation.go`.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Converted,
    affinity::NodeSelector,
    converted,
    meta::ObjectMeta,
    names,
    quantity::{QuantityText, amount},
};
use crate::fault::{Faults, Path};
use podberth_core::{
    cel::{Expression, Semver},
    model::{self, AttributeName, AttributeValue, ConstraintRule, DeviceCount, DeviceId, DeviceReach, Name, Wants},
};

/// Devices of one driver in one pool, or a part of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceSlice {
    /// Name.
    pub metadata: ObjectMeta,
    /// The devices, and who has access to them.
    pub spec: ResourceSliceSpec,
}

/// The devices of a slice, and who has access to them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceSliceSpec {
    /// The driver that published it.
    pub driver: String,
    /// The pool that it is a part of.
    pub pool: ResourcePool,
    /// The node that has access to the devices.
    pub node_name: String,
    /// Nodes that have access to the devices.
    #[schema(nullable = false)]
    pub node_selector: Option<NodeSelector>,
    /// `true` if all nodes have access to the devices.
    pub all_nodes: bool,
    /// Set if each device says who has access to it. Such slices are not read, as in 1.34 by default.
    #[schema(nullable = false)]
    pub per_device_node_selection: Option<bool>,
    /// The devices.
    pub devices: Vec<Device>,
}

/// A pool of devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourcePool {
    /// Its name, with local devices often that of the node.
    pub name: String,
    /// Counts up when the devices change. Only slices of the highest generation count.
    pub generation: i64,
    /// How many slices the pool has in this generation.
    pub resource_slice_count: i64,
}

/// A device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Device {
    /// Its name within the pool.
    pub name: String,
    /// Its attributes, by name or by `domain/name`.
    pub attributes: BTreeMap<String, DeviceAttribute>,
    /// Its capacities, by name or by `domain/name`.
    pub capacity: BTreeMap<String, DeviceCapacity>,
    /// Counters that it shares with others. Such devices are not allocated, as in 1.34 by default.
    pub consumes_counters: Vec<DeviceCounterConsumption>,
    /// Conditions before it can be used. Such devices are not allocated, as in 1.34 by default.
    pub binding_conditions: Vec<String>,
}

/// The value of an attribute: one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DeviceAttribute {
    /// A whole number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub int: Option<i64>,
    /// A truth.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub bool: Option<bool>,
    /// A text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub string: Option<String>,
    /// A semantic version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub version: Option<String>,
}

/// A capacity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = DeviceCapacityAmount)]
pub struct DeviceCapacity {
    /// How much there is.
    pub value: QuantityText,
}

/// Counters that a device takes. Only their presence is read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceCounterConsumption {
    /// The set of counters.
    pub counter_set: String,
}

/// A class of devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceClass {
    /// Name.
    pub metadata: ObjectMeta,
    /// Its devices.
    pub spec: DeviceClassSpec,
}

/// The devices of a class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceClassSpec {
    /// All must hold for a device.
    pub selectors: Vec<DeviceSelector>,
}

/// A condition on a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceSelector {
    /// As an expression.
    #[schema(nullable = false)]
    pub cel: Option<CelDeviceSelector>,
}

/// A condition on a device, as an expression.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = CELDeviceSelector)]
pub struct CelDeviceSelector {
    /// An expression of the Common Expression Language over `device`, which has `driver`, `attributes` and `capacity`.
    pub expression: String,
}

/// A claim to devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceClaim {
    /// Name, namespace, owner.
    pub metadata: ObjectMeta,
    /// Its requests.
    pub spec: ResourceClaimSpec,
    /// The devices that it has.
    pub status: ResourceClaimStatus,
}

/// Requests of a claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceClaimSpec {
    /// The requests.
    pub devices: DeviceClaim,
}

/// Requests of a claim, and conditions on their devices together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceClaim {
    /// The requests; all must be met.
    pub requests: Vec<DeviceRequest>,
    /// Conditions on the devices together.
    pub constraints: Vec<DeviceConstraint>,
}

/// A request: one of its two forms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceRequest {
    /// Its name within the claim.
    pub name: String,
    /// Just this.
    #[schema(nullable = false)]
    pub exactly: Option<ExactDeviceRequest>,
    /// The first of these that can be met.
    pub first_available: Vec<ExactDeviceRequest>,
}

/// Requested devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ExactDeviceRequest {
    /// Of an alternative: its name within the request.
    pub name: String,
    /// The class of the devices.
    pub device_class_name: String,
    /// Further conditions on each device.
    pub selectors: Vec<DeviceSelector>,
    /// `ExactCount` (default) or `All`.
    pub allocation_mode: String,
    /// How many, with `ExactCount`: 1 if absent.
    #[schema(nullable = false)]
    pub count: Option<i64>,
    /// The devices may be in use by others. Not of an alternative.
    pub admin_access: bool,
    /// A part of the capacity. Such requests are refused, as in 1.34 by default; only its presence is read.
    #[schema(nullable = false, value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    pub capacity: Option<CapacityRequirements>,
}

/// A part of the capacity of devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CapacityRequirements {}

/// A condition on devices together: one of the attributes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceConstraint {
    /// The requests meant, and alternatives as `request/alternative`; empty means all.
    pub requests: Vec<String>,
    /// All devices have this attribute with one value: `domain/name`.
    #[schema(nullable = false)]
    pub match_attribute: Option<String>,
    /// All devices have this attribute, and no two have one value: `domain/name`.
    #[schema(nullable = false)]
    pub distinct_attribute: Option<String>,
}

/// The devices that a claim has, and who may use them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceClaimStatus {
    /// The devices; absent until it has some.
    #[schema(nullable = false)]
    pub allocation: Option<AllocationResult>,
    /// The objects that may use it: pods.
    pub reserved_for: Vec<ResourceClaimConsumerReference>,
}

/// The devices that a claim has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AllocationResult {
    /// The devices.
    pub devices: DeviceAllocationResult,
    /// The nodes on which they can be used; absent means all.
    #[schema(nullable = false)]
    pub node_selector: Option<NodeSelector>,
}

/// Devices of a claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceAllocationResult {
    /// The devices.
    pub results: Vec<DeviceRequestAllocationResult>,
}

/// A device of a claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceRequestAllocationResult {
    /// The request that it is for, an alternative as `request/alternative`.
    pub request: String,
    /// Its driver.
    pub driver: String,
    /// Its pool.
    pub pool: String,
    /// Its name within the pool.
    pub device: String,
    /// `true` if others may have it too.
    pub admin_access: bool,
}

/// An object that may use a claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceClaimConsumerReference {
    /// Its group; empty for pods.
    pub api_group: String,
    /// Its plural: `pods`.
    pub resource: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl ResourceSlice {
    /// The slice, and its faults.
    pub fn to_core(&self) -> Converted<model::ResourceSlice> {
        converted(|faults| {
            let spec = &self.spec;
            let at = Path::ROOT.child("spec");
            let devices_at = at.child("devices");
            let selector = spec.node_selector.as_ref();
            let selector = selector.map(|selector| selector.to_core(&at.child("nodeSelector"), faults));
            let reach = match selector {
                _ if spec.per_device_node_selection.is_some() => DeviceReach::None,
                _ if !spec.node_name.is_empty() => DeviceReach::Node(spec.node_name.as_str().into()),
                _ if spec.all_nodes => DeviceReach::All,
                Some(selector) => DeviceReach::Selected(selector),
                None => DeviceReach::None,
            };
            let devices = spec.devices.iter().enumerate();
            model::ResourceSlice {
                name: self.metadata.cluster_scoped(names::dns_subdomain, faults),
                driver: spec.driver.as_str().into(),
                pool: spec.pool.name.as_str().into(),
                generation: spec.pool.generation,
                slice_count: spec.pool.resource_slice_count,
                reach,
                devices: devices.map(|(i, device)| device.to_core(&devices_at.index(i), faults)).collect(),
            }
        })
    }
}

impl Device {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> model::Device {
        let capacity_at = at.child("capacity");
        let mut attributes: Vec<_> =
            self.attributes.iter().map(|(name, value)| (AttributeName::new(name), value.to_core())).collect();
        attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut capacity: Vec<_> = self
            .capacity
            .iter()
            .filter_map(|(name, capacity)| {
                Some((AttributeName::new(name), amount(&capacity.value.0, &capacity_at.key(name), faults)?))
            })
            .collect();
        capacity.sort_by(|(a, _), (b, _)| a.cmp(b));
        model::Device {
            name: self.name.as_str().into(),
            attributes,
            capacity,
            has_binding_conditions: !self.binding_conditions.is_empty(),
            consumes_counters: !self.consumes_counters.is_empty(),
        }
    }
}

impl DeviceAttribute {
    /// The first value of the attribute that is given, in the order in which 1.34 looks.
    fn to_core(&self) -> AttributeValue {
        match self {
            Self { int: Some(value), .. } => AttributeValue::Int(*value),
            Self { bool: Some(value), .. } => AttributeValue::Bool(*value),
            Self { string: Some(value), .. } => AttributeValue::Text(value.as_str().into()),
            Self { version: Some(value), .. } => {
                AttributeValue::Version(value.as_str().into(), Semver::parse(value).map(Arc::new).map_err(Name::from))
            }
            _ => AttributeValue::Unknown,
        }
    }
}

impl DeviceClass {
    /// The class, and its faults.
    pub fn to_core(&self) -> Converted<model::DeviceClass> {
        converted(|faults| {
            let at = Path::ROOT.child("spec");
            model::DeviceClass {
                name: self.metadata.cluster_scoped(names::dns_subdomain, faults),
                selectors: selectors(&self.spec.selectors, &at.child("selectors"), faults),
            }
        })
    }
}

fn selectors(selectors: &[DeviceSelector], at: &Path<'_>, faults: &mut Faults) -> Vec<Option<Expression>> {
    let selector = |(i, selector): (usize, &DeviceSelector)| {
        let at = at.index(i);
        let cel_at = at.child("cel");
        let Some(cel) = &selector.cel else {
            faults.required(&cel_at, "");
            return None;
        };
        let expression = Expression::condition(&cel.expression);
        if let Some(why) = expression.refusal() {
            faults.invalid(&cel_at.child("expression"), &cel.expression, why);
        }
        Some(expression)
    };
    selectors.iter().enumerate().map(selector).collect()
}

impl ResourceClaim {
    /// The claim, and its faults.
    pub fn to_core(&self) -> Converted<model::ResourceClaim> {
        converted(|faults| {
            let key = self.metadata.namespaced(names::dns_subdomain, faults);
            let at = Path::ROOT.child("spec");
            let (claim_at, status_at) = (at.child("devices"), Path::ROOT.child("status"));
            let requests_at = claim_at.child("requests");
            let requests = self.spec.devices.requests.iter().enumerate();
            let allocation_at = status_at.child("allocation");
            let allocation = self.status.allocation.as_ref();
            model::ResourceClaim {
                namespace: key.namespace,
                name: key.name,
                uid: self.metadata.uid.as_str().into(),
                controller_uid: self.metadata.controller().map(|controller| controller.uid),
                terminating: self.metadata.terminating(faults),
                requests: requests.map(|(i, request)| request.to_core(&requests_at.index(i), faults)).collect(),
                constraints: self.spec.devices.constraints.iter().map(DeviceConstraint::to_core).collect(),
                allocation: allocation.map(|allocation| allocation.to_core(&allocation_at, faults)),
                reserved_for: self.status.reserved_for.iter().map(|consumer| consumer.uid.as_str().into()).collect(),
            }
        })
    }
}

impl DeviceRequest {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> model::DeviceRequest {
        let name: Name = self.name.as_str().into();
        let list_at = at.child("firstAvailable");
        let wants = match &self.exactly {
            Some(exact) => Wants::Exactly(exact.to_core(&name, exact.admin_access, &at.child("exactly"), faults)),
            None if self.first_available.is_empty() => Wants::Unknown,
            None => {
                let alternatives = self.first_available.iter().enumerate();
                let alternative = |(i, alternative): (usize, &ExactDeviceRequest)| {
                    alternative.to_core(&alternative.name.as_str().into(), false, &list_at.index(i), faults)
                };
                Wants::FirstAvailable(alternatives.map(alternative).collect())
            }
        };
        model::DeviceRequest { name, wants }
    }
}

impl ExactDeviceRequest {
    fn to_core(&self, name: &Name, admin_access: bool, at: &Path<'_>, faults: &mut Faults) -> model::ExactRequest {
        model::ExactRequest {
            name: name.clone(),
            class: self.device_class_name.as_str().into(),
            selectors: selectors(&self.selectors, &at.child("selectors"), faults),
            count: match self.allocation_mode.as_str() {
                "" | "ExactCount" => DeviceCount::Exact(self.count.filter(|count| *count != 0).unwrap_or(1)),
                "All" => DeviceCount::All,
                other => DeviceCount::Unknown(other.into()),
            },
            admin_access,
            requests_capacity: self.capacity.is_some(),
        }
    }
}

impl DeviceConstraint {
    fn to_core(&self) -> model::DeviceConstraint {
        model::DeviceConstraint {
            requests: self.requests.iter().map(|name| name.as_str().into()).collect(),
            rule: match (&self.match_attribute, &self.distinct_attribute) {
                (Some(attribute), _) => ConstraintRule::Match(AttributeName::new(attribute)),
                (None, Some(attribute)) => ConstraintRule::Distinct(AttributeName::new(attribute)),
                (None, None) => ConstraintRule::Unknown,
            },
        }
    }
}

impl AllocationResult {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> model::DeviceAllocation {
        let selector = self.node_selector.as_ref();
        let result = |result: &DeviceRequestAllocationResult| model::AllocatedDevice {
            request: result.request.as_str().into(),
            id: DeviceId {
                driver: result.driver.as_str().into(),
                pool: result.pool.as_str().into(),
                device: result.device.as_str().into(),
            },
            admin_access: result.admin_access,
        };
        model::DeviceAllocation {
            results: self.devices.results.iter().map(result).collect(),
            node_selector: selector.map(|selector| selector.to_core(&at.child("nodeSelector"), faults)),
        }
    }
}
