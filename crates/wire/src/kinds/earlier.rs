//! Versions of kinds that Kubernetes served once, and that its old clients still ask for.
//!
//! They are served like the current version, and no document lists them: new clients have no use for them. The fields of both versions are
//! the same, so an object that was written in one is read in the other.
//!
//! | version | kind | asked for by |
//! |---|---|---|
//! | `policy/v1beta1` | PodDisruptionBudget | kube-scheduler up to 1.20 (`pkg/scheduler/framework/plugins/defaultpreemption`) |
//! | `storage.k8s.io/v1beta1` | CSIStorageCapacity | kube-scheduler 1.21 to 1.23 (`pkg/scheduler/framework/plugins/volumebinding`) |

use podberth_core::snapshot::{Kind, Object};

use super::{Served, StoredKind, Subresource, Trait, View, columns::NAME, table::ROW, wire};
use crate::objects::{csi, disruption};

/// The rows. None of them is in [`super::ALL`].
pub static EARLIER: &[StoredKind] = &[
    StoredKind {
        group: "policy",
        version: "v1beta1",
        kind: "PodDisruptionBudget",
        plural: "poddisruptionbudgets",
        subresources: &[Subresource::Status],
        columns: super::printed::POD_DISRUPTION_BUDGET,
        read: wire!(Kind::PodDisruptionBudget, disruption::PodDisruptionBudget => Object::PodDisruptionBudget),
        served: Served::View(View {
            of: "poddisruptionbudgets.policy",
            renamed: &[],
            word: "Earlier",
            fields: "PodDisruptionBudget",
        }),
        traits: &[Trait::NeedsRevision, Trait::CountsChanges],
        ..ROW
    },
    StoredKind {
        group: "storage.k8s.io",
        version: "v1beta1",
        kind: "CSIStorageCapacity",
        plural: "csistoragecapacities",
        columns: &[NAME],
        read: wire!(Kind::CsiStorageCapacity, csi::CsiStorageCapacity => Object::CsiStorageCapacity),
        served: Served::View(View {
            of: "csistoragecapacities.storage.k8s.io",
            renamed: &[],
            word: "Earlier",
            fields: "CSIStorageCapacity",
        }),
        traits: &[Trait::NeedsRevision, Trait::RepliesWithObject],
        ..ROW
    },
];
