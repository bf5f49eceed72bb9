//! Devices for claims: which are free, which suit, which a pod gets on a node.
//!
//! Source: `dynamic-resource-allocation/structured/internal/experimental`: the allocator that 1.34 chooses by default, since
//! `DRAResourceClaimDeviceStatus` is on (`structured/allocator.go`).

mod allocate;
mod constraint;
mod index;
mod pod_claims;
mod pools;
mod reach;
mod selector;
#[cfg(test)]
mod tests;

pub(crate) use index::DeviceIndex;
pub(crate) use pod_claims::PodClaims;
