//! Devices: the slices in which drivers publish them, their classes, and claims to them.
//!
//! Source: `api/resource/v1/types.go`.

use std::sync::Arc;

use super::{Name, NodeSelector, Quantity};
use crate::cel::{Expression, Semver};

/// Devices of one driver in one pool, or a part of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceSlice {
    /// Its name.
    pub name: Name,
    /// The driver that published it.
    pub driver: Name,
    /// The pool that it is a part of.
    pub pool: Name,
    /// The generation of the pool: only slices of the highest count.
    pub generation: i64,
    /// How many slices the pool has in this generation.
    pub slice_count: i64,
    /// The nodes that have access to its devices.
    pub reach: DeviceReach,
    /// The devices.
    pub devices: Vec<Device>,
}

/// The nodes that have access to devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceReach {
    /// None that is known here: each device says it for itself, which 1.34 does not read by default, or nothing is said.
    #[default]
    None,
    /// This node.
    Node(Name),
    /// All nodes.
    All,
    /// Those selected.
    Selected(NodeSelector),
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name within the pool.
    pub name: Name,
    /// Its attributes in order of their names.
    pub attributes: Vec<(AttributeName, AttributeValue)>,
    /// Its capacities in order of their names.
    pub capacity: Vec<(AttributeName, Quantity)>,
    /// `true` if it needs conditions before it can be used. 1.34 does not allocate such devices by default.
    pub has_binding_conditions: bool,
    /// `true` if it takes counters that it shares with others. 1.34 does not allocate such devices by default.
    pub consumes_counters: bool,
}

/// The name of an attribute or a capacity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttributeName {
    /// The part before the slash; empty for that of the driver.
    pub domain: Name,
    /// The part behind it.
    pub id: Name,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// A whole number.
    Int(i64),
    /// A truth.
    Bool(bool),
    /// A text.
    Text(Name),
    /// A semantic version, as it is written, and as it is read.
    Version(Name, Result<Arc<Semver>, Name>),
    /// No value, or one of a type that is not known here.
    Unknown,
}

/// A device that is taken: driver, pool and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub struct DeviceId {
    pub driver: Name,
    pub pool: Name,
    pub device: Name,
}

/// A class of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceClass {
    /// Its name.
    pub name: Name,
    /// Its devices are those that meet all of these; `None` for a selector of a kind that is not known here.
    pub selectors: Vec<Option<Expression>>,
}

/// A claim to devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceClaim {
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// Its uid.
    pub uid: Name,
    /// The uid of the object that controls it, such as the pod that it was made for.
    pub controller_uid: Option<Name>,
    /// `true` if it is being deleted.
    pub terminating: bool,
    /// The devices requested.
    pub requests: Vec<DeviceRequest>,
    /// Conditions on the devices together.
    pub constraints: Vec<DeviceConstraint>,
    /// The devices that it has; `None` if it has none yet.
    pub allocation: Option<DeviceAllocation>,
    /// The uids of the objects that may use it now.
    pub reserved_for: Vec<Name>,
}

/// A request of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRequest {
    /// Its name within the claim.
    pub name: Name,
    /// Its alternatives.
    pub wants: Wants,
}

/// The alternatives of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Just this.
    Exactly(ExactRequest),
    /// The first of these that can be met.
    FirstAvailable(Vec<ExactRequest>),
    /// Nothing that is known here.
    Unknown,
}

/// Devices that are requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExactRequest {
    /// The name of an alternative; of the only one that of its request.
    pub name: Name,
    /// The class of the devices.
    pub class: Name,
    /// Further selectors; `None` for one of a kind that is not known here.
    pub selectors: Vec<Option<Expression>>,
    /// How many devices.
    pub count: DeviceCount,
    /// `true` if the devices may be in use, and are not taken.
    pub admin_access: bool,
    /// `true` if it requests a part of the capacity of devices, which 1.34 refuses by default.
    pub requests_capacity: bool,
}

/// How many devices are requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceCount {
    /// So many.
    Exact(i64),
    /// All that the node has access to, and at least one.
    All,
    /// A mode that is not known here.
    Unknown(Name),
}

/// A condition on the devices of a claim together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceConstraint {
    /// The requests that it is about, and alternatives as `request/alternative`; empty means all.
    pub requests: Vec<Name>,
    /// The condition.
    pub rule: ConstraintRule,
}

/// A condition on attributes of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConstraintRule {
    /// All have this attribute with one value.
    Match(AttributeName),
    /// All have this attribute, and no two have one value.
    Distinct(AttributeName),
    /// Nothing that is known here.
    Unknown,
}

/// The devices that a claim has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAllocation {
    /// The devices.
    pub results: Vec<AllocatedDevice>,
    /// The nodes on which they can be used; `None` means all.
    pub node_selector: Option<NodeSelector>,
}

/// A device that a claim has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocatedDevice {
    /// The request that it is for, an alternative as `request/alternative`.
    pub request: Name,
    /// The device.
    pub id: DeviceId,
    /// `true` if it is not taken: others may have it too.
    pub admin_access: bool,
}

/// The most devices of one claim (`AllocationResultsMaxSize`).
pub const MOST_DEVICES_OF_CLAIM: usize = 32;

/// The most objects that a claim is reserved for (`ResourceClaimReservedForMaxSize`).
pub const MOST_RESERVED_FOR: usize = 256;

/// A claim of a pod (`spec.resourceClaims`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodClaim {
    /// Its name within the pod.
    pub name: Name,
    /// The claim.
    pub source: PodClaimSource,
}

/// Where a pod has a claim from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodClaimSource {
    /// A claim by its name.
    Claim(Name),
    /// A claim made for the pod from a template, by its name.
    Made(Name),
    /// A template that demands no claim for the pod.
    Needless,
    /// A template: its claim has not been made yet.
    NotMade,
    /// Nothing that is known here.
    Unknown,
}

impl Wants {
    /// The alternatives in order; one for [`Wants::Exactly`].
    pub fn alternatives(&self) -> &[ExactRequest] {
        match self {
            Self::Exactly(exact) => std::slice::from_ref(exact),
            Self::FirstAvailable(alternatives) => alternatives,
            Self::Unknown => &[],
        }
    }
}

impl DeviceAllocation {
    /// The devices that nobody else can have.
    pub fn taken(&self) -> impl Iterator<Item = &DeviceId> {
        self.results.iter().filter(|result| !result.admin_access).map(|result| &result.id)
    }
}

impl AttributeName {
    /// The name `domain/id`, or `id` of the driver's own domain.
    pub fn new(name: &str) -> Self {
        let (domain, id) = name.split_once('/').unwrap_or(("", name));
        Self { domain: domain.into(), id: id.into() }
    }

    /// Its domain, if the device is that driver's.
    pub fn domain_of<'a>(&'a self, driver: &'a Name) -> &'a Name {
        if self.domain.is_empty() { driver } else { &self.domain }
    }
}

impl Device {
    /// The value of an attribute with a domain. A device of the domain's driver may name it without.
    pub fn attribute(&self, name: &AttributeName, driver: &Name) -> Option<&AttributeValue> {
        let exact = self.attributes.iter().find(|(other, _)| other == name);
        let short = |(other, _): &&(AttributeName, AttributeValue)| other.domain.is_empty() && other.id == name.id;
        let found = exact.or_else(|| self.attributes.iter().find(short).filter(|_| name.domain == *driver));
        found.map(|(_, value)| value)
    }
}
