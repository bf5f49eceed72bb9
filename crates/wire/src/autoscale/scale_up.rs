//! Request and reply of scale-up: how many nodes of which group the waiting pods need.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::groups::{self, GroupRequest};
use crate::{
    cluster::{Brought, Cluster},
    fault::{Cause, Faults, Path},
    objects::meta::read_instant,
    policy::schema::{PolicyDocument, SchedulerProfile},
};
use podberth_core::advise::{
    groups::Groups,
    scale_up::{Options, exact::Goal},
};

pub use self::{
    options::{ExactOptions, GoalName, ScaleUpOptions},
    report::{ExactReport, NewNodeReport, OptionReport, PodNames, ScaleUpReport, WasteReport},
};

mod options;
mod report;

/// The question which node groups are to grow, and by how many nodes. Nothing is stored.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ScaleUpRequest {
    /// The cluster, in full; the stored one where absent.
    #[schema(nullable = false, value_type = Cluster)]
    pub cluster: Option<Box<Brought>>,
    /// The node groups; the stored ones where absent.
    #[schema(nullable = false)]
    pub node_groups: Option<Vec<GroupRequest>>,
    /// The revision of the stored cluster, as the query `revision`; the present where absent.
    #[schema(nullable = false)]
    pub revision: Option<u64>,
    /// How to decide.
    pub options: ScaleUpOptions,
    /// The time to decide at; the present where absent.
    #[schema(nullable = false, value_type = String, format = DateTime)]
    pub now: Option<String>,
    /// `cluster-autoscaler` (the default): one group wins, as one loop of cluster-autoscaler decides. `exact`: the smallest number of nodes, of
    /// any mixture of groups.
    pub engine: Engine,
    /// Aim of the exact engine, and its time.
    pub exact: ExactOptions,
    /// A `kind: Policy` (or a KubeSchedulerConfiguration v1) to decide under instead of the one in force. A cluster that comes with the request is decided
    /// under the default configuration of 1.34 where no policy is set.
    #[schema(nullable = false, value_type = PolicyDocument)]
    pub policy: Option<Box<RawValue>>,
    /// Instead of `policy`: a KubeSchedulerConfiguration v1, or one profile of it.
    #[schema(nullable = false, value_type = SchedulerProfile)]
    pub profile: Option<Box<RawValue>>,
    /// Chooses among equal options: equal seeds give equal answers.
    pub seed: u64,
}

/// How a scale-up is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// As one loop of cluster-autoscaler.
    #[default]
    ClusterAutoscaler,
    /// The smallest number of nodes, with proof.
    Exact,
}

/// A request in the core's terms.
#[derive(Debug)]
pub struct Asked {
    /// The groups; `None` for the stored ones.
    pub groups: Option<Groups>,
    /// How to decide.
    pub options: Options,
    /// Aim of the exact engine, and the steps that it may take.
    pub search: (Goal, u64),
    /// The time, in nanoseconds since 1970; `None` for the present.
    pub now: Option<i64>,
}

impl ScaleUpRequest {
    /// The request.
    ///
    /// # Errors
    /// All faults, by their fields: `nodeGroups[0].maxSize`.
    pub fn read(&self) -> Result<Asked, Vec<Cause>> {
        let mut faults = Faults::default();
        let groups = self.node_groups.as_deref().map(|requested| groups::read(requested, &mut faults));
        let now = self.now.as_deref().and_then(|text| {
            let now = read_instant(text);
            if now.is_none() {
                faults.unreadable(&Path::ROOT.child("now"), text, "must be a time in RFC 3339");
            }
            now
        });
        let mut causes = faults.into_causes();
        let options = self.options.to_core(self.seed).map_err(|more| causes.extend(more));
        let search = self.exact.to_core().map_err(|more| causes.extend(more));
        match (options, search) {
            (Ok(options), Ok(search)) if causes.is_empty() => Ok(Asked { groups, options, search, now }),
            _ => Err(causes),
        }
    }
}
