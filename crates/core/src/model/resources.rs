//! Amounts of resources, in the integer units in which the scheduler compares them.
//!
//! Source: `pkg/scheduler/framework/types.go` (`Resource`), `pkg/scheduler/util/pod_resources.go`,
//! `pkg/scheduler/util/utils.go` (`IsScalarResourceName`).

use std::collections::BTreeMap;

use super::{Name, Quantity};

/// Amounts that one object requests or offers, by resource name, as written.
pub type ResourceList = BTreeMap<Name, Quantity>;

/// CPU in thousandths of a core.
pub const CPU: &str = "cpu";
/// Memory in bytes.
pub const MEMORY: &str = "memory";
/// Local ephemeral storage in bytes.
pub const EPHEMERAL_STORAGE: &str = "ephemeral-storage";
/// How many pods a node takes.
pub const PODS: &str = "pods";

/// CPU that a container without a CPU request counts as in scores, in thousandths of a core.
pub const DEFAULT_MILLI_CPU_REQUEST: i64 = 100;
/// Memory that a container without a memory request counts as in scores, in bytes.
pub const DEFAULT_MEMORY_REQUEST: i64 = 200 * 1024 * 1024;

/// The names of huge pages begin so; their page size follows.
pub const HUGE_PAGES_PREFIX: &str = "hugepages-";

/// `true` for an extended resource: a name with a domain that is neither `kubernetes.io` nor below it.
pub fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

/// `true` for names that count besides CPU, memory, ephemeral storage and pods: extended resources, huge pages, volume counts and
/// names under `kubernetes.io/`. Requests of other names are ignored.
pub fn is_scalar(name: &str) -> bool {
    is_extended(name)
        || name.contains("kubernetes.io/")
        || name.starts_with(HUGE_PAGES_PREFIX)
        || name.starts_with("attachable-volumes-")
}

/// Amounts per resource. CPU is in thousandths of a core, everything else in whole units (bytes, pieces).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a core.
    pub milli_cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Bytes.
    pub ephemeral_storage: i64,
    /// Number of pods (offered by nodes; requests leave it 0).
    pub pods: i64,
    /// Extended resources, huge pages and attachable-volume counts, sorted by name.
    pub scalar: BTreeMap<Name, i64>,
}

impl Resources {
    /// The list in scheduler units, each amount rounded up.
    pub fn from_list(list: &ResourceList) -> Self {
        let mut resources = Self::default();
        for (name, quantity) in list {
            resources.set(name, *quantity);
        }
        resources
    }

    /// Sets the amount of one resource, rounded up to a whole unit. A name that denotes no resource is ignored.
    pub fn set(&mut self, name: &Name, quantity: Quantity) {
        match &**name {
            CPU => self.milli_cpu = quantity.milli_value(),
            MEMORY | EPHEMERAL_STORAGE | PODS => *self.slot(name) = quantity.value(),
            scalar if is_scalar(scalar) => *self.slot(name) = quantity.value(),
            _ => {}
        }
    }

    /// The amount of one resource; 0 where it is not named.
    pub fn get(&self, name: &str) -> i64 {
        match name {
            CPU => self.milli_cpu,
            MEMORY => self.memory,
            EPHEMERAL_STORAGE => self.ephemeral_storage,
            PODS => self.pods,
            _ => self.scalar.get(name).copied().unwrap_or(0),
        }
    }

    /// The amount of one resource, to be changed.
    pub(crate) fn slot(&mut self, name: &Name) -> &mut i64 {
        match &**name {
            CPU => &mut self.milli_cpu,
            MEMORY => &mut self.memory,
            EPHEMERAL_STORAGE => &mut self.ephemeral_storage,
            PODS => &mut self.pods,
            _ => self.scalar.entry(name.clone()).or_insert(0),
        }
    }

    /// Adds `other` to this, resource by resource.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, i64::saturating_add);
    }

    /// Takes `other` off this, resource by resource.
    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, i64::saturating_sub);
    }

    /// Raises this to at least `other`, resource by resource.
    pub fn raise_to(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }

    fn combine(&mut self, other: &Self, f: impl Fn(i64, i64) -> i64) {
        self.milli_cpu = f(self.milli_cpu, other.milli_cpu);
        self.memory = f(self.memory, other.memory);
        self.ephemeral_storage = f(self.ephemeral_storage, other.ephemeral_storage);
        self.pods = f(self.pods, other.pods);
        for (name, amount) in &other.scalar {
            let slot = self.slot(name);
            *slot = f(*slot, *amount);
        }
    }
}
