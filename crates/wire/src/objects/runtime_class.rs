//! Runtime classes.
//!
//! Source: `api/node/v1/types.go`, `pkg/apis/node/validation/validation.go`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Converted, converted,
    meta::{ObjectMeta, labels},
    names,
    pod::Toleration,
    quantity::{QuantityText, resource_list},
};
use crate::{
    defaults::amounts,
    fault::{Faults, Path},
};
use podberth_core::model;

/// A RuntimeClass, which pods name in `runtimeClassName`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RuntimeClass {
    /// Name.
    pub metadata: ObjectMeta,
    /// The handler that runs the containers, by a name that the nodes know.
    pub handler: String,
    /// Its overhead.
    #[schema(nullable = false)]
    pub overhead: Option<Overhead>,
    /// Where its pods run.
    pub scheduling: Scheduling,
}

/// The overhead of a runtime class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Overhead {
    /// Amounts that running a pod takes besides its containers.
    pub pod_fixed: BTreeMap<String, QuantityText>,
}

/// Where the pods of a runtime class run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Scheduling {
    /// Labels that their nodes must have, besides those that the pods ask for.
    pub node_selector: BTreeMap<String, String>,
    /// Tolerations that its pods get in addition to their own.
    pub tolerations: Vec<Toleration>,
}

impl RuntimeClass {
    /// The class, and its faults.
    pub fn to_core(&self) -> Converted<model::RuntimeClass> {
        converted(|faults| self.convert(faults))
    }

    fn convert(&self, faults: &mut Faults) -> model::RuntimeClass {
        let name = self.metadata.cluster_scoped(names::dns_subdomain, faults);
        if let Err(rule) = names::dns_label(&self.handler) {
            faults.invalid(&Path::ROOT.child("handler"), &self.handler, rule);
        }
        let (overhead_at, scheduling_at) = (Path::ROOT.child("overhead"), Path::ROOT.child("scheduling"));
        let overhead = self.overhead.as_ref().map(|overhead| {
            let mut list = resource_list(&overhead.pod_fixed, &overhead_at.child("podFixed"), faults);
            amounts::round(&mut list);
            list
        });
        let tolerations_at = scheduling_at.child("tolerations");
        let tolerations = self.scheduling.tolerations.iter().enumerate();
        model::RuntimeClass {
            name,
            overhead,
            node_selector: labels(&self.scheduling.node_selector, &scheduling_at.child("nodeSelector"), faults),
            tolerations: tolerations.filter_map(|(i, t)| t.to_core(&tolerations_at.index(i), faults)).collect(),
        }
    }
}
