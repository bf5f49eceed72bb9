//! Builders of devices, their classes and claims to them.

use podberth_core::{
    cel::Expression,
    model::{
        AllocatedDevice, AttributeName, AttributeValue, ConstraintRule, Device, DeviceAllocation, DeviceClass,
        DeviceConstraint, DeviceCount, DeviceId, DeviceReach, DeviceRequest, ExactRequest, PodClaim, PodClaimSource,
        ResourceClaim, ResourceSlice, Wants,
    },
    snapshot::Object,
};

use super::PodBuilder;

/// A slice of driver `gpu.example.com` that is the whole pool of its name, for no node yet.
pub fn resource_slice(name: &str) -> SliceBuilder {
    SliceBuilder(ResourceSlice {
        name: name.into(),
        driver: "gpu.example.com".into(),
        pool: name.into(),
        generation: 1,
        slice_count: 1,
        reach: DeviceReach::None,
        devices: Vec::new(),
    })
}

/// Builds a [`ResourceSlice`].
#[derive(Clone, Debug)]
pub struct SliceBuilder(ResourceSlice);

impl SliceBuilder {
    /// For this node.
    #[must_use]
    pub fn on(mut self, node: &str) -> Self {
        self.0.reach = DeviceReach::Node(node.into());
        self
    }

    /// With a device of these attributes, whole numbers.
    #[must_use]
    pub fn device(mut self, name: &str, attributes: &[(&str, i64)]) -> Self {
        let attribute = |(name, value): &(&str, i64)| (AttributeName::new(name), AttributeValue::Int(*value));
        self.0.devices.push(Device {
            name: name.into(),
            attributes: attributes.iter().map(attribute).collect(),
            capacity: Vec::new(),
            has_binding_conditions: false,
            consumes_counters: false,
        });
        self
    }

    /// With any change.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut ResourceSlice)) -> Self {
        change(&mut self.0);
        self
    }
}

impl From<SliceBuilder> for Object {
    fn from(builder: SliceBuilder) -> Self {
        Self::ResourceSlice(builder.0)
    }
}

/// A class of the devices that meet these expressions.
pub fn device_class(name: &str, expressions: &[&str]) -> Object {
    let selectors = expressions.iter().map(|expression| Some(Expression::parse(expression))).collect();
    Object::DeviceClass(DeviceClass { name: name.into(), selectors })
}

/// A request for so many devices of a class.
pub fn wants(class: &str, count: i64) -> ExactRequest {
    ExactRequest {
        name: "one".into(),
        class: class.into(),
        selectors: Vec::new(),
        count: DeviceCount::Exact(count),
        admin_access: false,
        requests_capacity: false,
    }
}

/// A claim in namespace `default` without requests.
pub fn resource_claim(name: &str) -> ResourceClaimBuilder {
    ResourceClaimBuilder(ResourceClaim {
        namespace: "default".into(),
        name: name.into(),
        uid: format!("uid-{name}").into(),
        controller_uid: None,
        terminating: false,
        requests: Vec::new(),
        constraints: Vec::new(),
        allocation: None,
        reserved_for: Vec::new(),
    })
}

/// Builds a [`ResourceClaim`].
#[derive(Clone, Debug)]
pub struct ResourceClaimBuilder(ResourceClaim);

impl ResourceClaimBuilder {
    /// With a request, named by its place: `r0`.
    #[must_use]
    pub fn request(mut self, request: ExactRequest) -> Self {
        let name = format!("r{}", self.0.requests.len());
        let wants = Wants::Exactly(ExactRequest { name: name.as_str().into(), ..request });
        self.0.requests.push(DeviceRequest { name: name.into(), wants });
        self
    }

    /// With a request for the first of these that can be met, named by their places: `s0`.
    #[must_use]
    pub fn first_of(mut self, alternatives: Vec<ExactRequest>) -> Self {
        let named = |(i, request): (usize, ExactRequest)| ExactRequest { name: format!("s{i}").into(), ..request };
        let wants = Wants::FirstAvailable(alternatives.into_iter().enumerate().map(named).collect());
        self.0.requests.push(DeviceRequest { name: format!("r{}", self.0.requests.len()).into(), wants });
        self
    }

    /// All devices have one value of this attribute.
    #[must_use]
    pub fn matching(mut self, attribute: &str) -> Self {
        let rule = ConstraintRule::Match(AttributeName::new(attribute));
        self.0.constraints.push(DeviceConstraint { requests: Vec::new(), rule });
        self
    }

    /// It has these devices of driver `gpu.example.com`, as `pool/device`.
    #[must_use]
    pub fn has(mut self, devices: &[&str]) -> Self {
        let result = |device: &&str| {
            let (pool, name) = device.split_once('/').unwrap_or(("", device));
            let id = DeviceId { driver: "gpu.example.com".into(), pool: pool.into(), device: name.into() };
            AllocatedDevice { request: "r0".into(), id, admin_access: false }
        };
        self.0.allocation =
            Some(DeviceAllocation { results: devices.iter().map(result).collect(), node_selector: None });
        self
    }

    /// With any change.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut ResourceClaim)) -> Self {
        change(&mut self.0);
        self
    }

    /// The claim.
    pub fn build(self) -> ResourceClaim {
        self.0
    }
}

impl From<ResourceClaimBuilder> for Object {
    fn from(builder: ResourceClaimBuilder) -> Self {
        Self::ResourceClaim(builder.0)
    }
}

impl PodBuilder {
    /// With a claim to devices.
    #[must_use]
    pub fn devices(self, claim: &str) -> Self {
        let source = PodClaimSource::Claim(claim.into());
        self.with(|pod| pod.resource_claims.push(PodClaim { name: claim.into(), source }))
    }
}
