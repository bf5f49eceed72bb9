//! Objects of kinds that no decision reads.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Converted, converted, meta::ObjectMeta, names::NameRule};

/// An object of a kind that no decision reads: its metadata is checked, everything else is kept as it came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = StoredObject)]
pub struct Unread {
    /// Name, labels and annotations.
    pub metadata: ObjectMeta,
}

impl Unread {
    /// Tells what is wrong with its name, namespace and labels.
    pub(crate) fn check(&self, rule: NameRule, namespaced: bool) -> Converted<()> {
        converted(|faults| {
            if namespaced {
                self.metadata.namespaced(rule, faults);
            } else {
                self.metadata.cluster_scoped(rule, faults);
            }
            self.metadata.labels(faults);
        })
    }
}
