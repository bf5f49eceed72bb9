//! Rules of writes that differ from kind to kind.

use super::StoredKind;

/// Plurals of the kinds of which a PUT creates an object that there is not (`AllowCreateOnUpdate` in `pkg/registry/*/*/strategy.go`).
const CREATED_BY_PUT: [&str; 9] = [
    "clusterrolebindings",
    "clusterroles",
    "events",
    "leases",
    "limitranges",
    "priorityclasses",
    "rolebindings",
    "roles",
    "services",
];

/// Plurals of the kinds of which a PUT names the revision that it is based on (no `AllowUnconditionalUpdate` in
/// `pkg/registry/*/*/strategy.go`).
const WITH_REVISION: [&str; 8] = [
    "csidrivers",
    "csinodes",
    "csistoragecapacities",
    "leases",
    "poddisruptionbudgets",
    "runtimeclasses",
    "serviceaccounts",
    "volumeattachments",
];

impl StoredKind {
    /// `true` if a PUT creates an object that there is not.
    pub fn is_created_by_put(&self) -> bool {
        CREATED_BY_PUT.contains(&self.plural)
    }

    /// `true` if a PUT has to name the revision that it is based on.
    pub fn needs_revision(&self) -> bool {
        WITH_REVISION.contains(&self.plural)
    }
}
