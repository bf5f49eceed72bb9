//! The request and the reply of `POST /autoscale/scale-down`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::groups::{self, GroupRequest};
use crate::{
    cluster::{Brought, Cluster},
    fault::{Cause, Faults, Path},
    objects::meta::instant,
    policy::schema::{PolicyDocument, SchedulerProfile},
};
use podberth_core::{
    advise::{
        groups::Groups,
        scale_down::{Options, State},
    },
    model::Name,
};

pub use self::{options::ScaleDownOptions, report::*};

mod options;
mod report;

/// Asks which nodes the cluster can do without, and what keeps the others.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ScaleDownRequest {
    /// The cluster in full; the stored one where absent. Pods that have ended count in it as if they held their place.
    #[schema(nullable = false, value_type = Cluster)]
    pub cluster: Option<Brought>,
    /// The groups that may become smaller; those of the cluster where absent.
    #[schema(nullable = false)]
    pub node_groups: Option<Vec<GroupRequest>>,
    /// Options of the cluster.
    pub options: ScaleDownOptions,
    /// Nodes that were unneeded in the round before, and since when: `unneededSince` of its reply.
    pub unneeded_since: BTreeMap<String, String>,
    /// Nodes that were found unremovable, and until when they are not looked at again: `unremovableUntil` of the reply before.
    pub unremovable_until: BTreeMap<String, String>,
    /// Nodes whose deletion is under way; `true` for those that are being drained. They are no place for pods, and count for the parallelism.
    pub deleting: BTreeMap<String, bool>,
    /// The time; the server's where absent.
    #[schema(nullable = false, example = "2026-01-05T12:00:00Z")]
    pub now: Option<String>,
    /// The revision of the stored cluster, as the query `revision`; the present where absent.
    #[schema(nullable = false)]
    pub revision: Option<u64>,
    /// A `kind: Policy` (or a KubeSchedulerConfiguration v1) that places the pods which move, instead of the one in force.
    #[schema(nullable = false, value_type = PolicyDocument)]
    pub policy: Option<Box<RawValue>>,
    /// Instead of `policy`: a KubeSchedulerConfiguration v1, or one profile of it.
    #[schema(nullable = false, value_type = SchedulerProfile)]
    pub profile: Option<Box<RawValue>>,
}

/// A request in the scheduler's terms.
#[derive(Debug)]
pub struct Asked {
    /// The groups; `None` for those of the cluster.
    pub groups: Option<Groups>,
    /// Options of the cluster.
    pub options: Options,
    /// The round before.
    pub state: State,
    /// The time, if the request says so.
    pub now: Option<i64>,
    /// The nodes in the order of the request's cluster.
    pub node_order: Vec<Name>,
}

impl ScaleDownRequest {
    /// The request in the scheduler's terms.
    ///
    /// # Errors
    /// All its faults, each with its field.
    pub fn read(&self) -> Result<Asked, Vec<Cause>> {
        let mut faults = Faults::default();
        let groups = self.node_groups.as_deref().map(|groups| groups::read(groups, &mut faults));
        let options = self.options.to_core(&Path::ROOT.child("options"), &mut faults);
        let mut times = |field: &str, map: &BTreeMap<String, String>| -> BTreeMap<Name, i64> {
            let at = Path::ROOT.child(field);
            map.iter()
                .filter_map(|(node, text)| Some((node.as_str().into(), instant(text, &at.key(node), &mut faults)?)))
                .collect()
        };
        let state = State {
            unneeded_since: times("unneededSince", &self.unneeded_since),
            unremovable_until: times("unremovableUntil", &self.unremovable_until),
            deleting: self.deleting.iter().map(|(node, drains)| (node.as_str().into(), *drains)).collect(),
        };
        let now = self.now.as_deref().and_then(|now| instant(now, &Path::ROOT.child("now"), &mut faults));
        let causes = faults.into_causes();
        if !causes.is_empty() {
            return Err(causes);
        }
        let names = self.cluster.iter().flat_map(|Brought(cluster)| &cluster.nodes);
        let node_order = names.map(|node| node.metadata.name.as_str().into()).collect();
        Ok(Asked { groups, options, state, now, node_order })
    }
}

/// An instant as texts have it.
fn time(nanoseconds: i64) -> String {
    jiff::Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or_default().to_string()
}
