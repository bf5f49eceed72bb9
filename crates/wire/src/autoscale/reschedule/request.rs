//! The request of `POST /reschedule`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::DeschedulerPolicy;
use crate::{
    cluster::{Brought, Cluster},
    fault::{Cause, Faults, Path},
    objects::meta::instant,
    policy::schema::{PolicyDocument, SchedulerProfile},
};
use podberth_core::advise::reschedule::{Bounds, Charging, Policy};

/// Moves of a plan at most.
pub const MOST_MOVES: u64 = 10_000;
/// Rounds of a search at most.
pub const MOST_ROUNDS: usize = 50;
/// Rounds of a search where the request does not say.
const ROUNDS: usize = 5;

/// Asks which pods should leave their nodes, and where they would go.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RescheduleRequest {
    /// Strategies and limits, as the descheduler reads them.
    pub policy: DeschedulerPolicy,
    /// The cluster in full; the stored one where absent.
    #[schema(nullable = false, value_type = Cluster)]
    pub cluster: Option<Brought>,
    /// The time; the server's where absent.
    #[schema(nullable = false, example = "2026-01-05T12:00:00Z")]
    pub now: Option<String>,
    /// The revision of the stored cluster, as the query `revision`; the present where absent.
    #[schema(nullable = false)]
    pub revision: Option<u64>,
    /// `once` (the default): what one cycle of the descheduler evicts. `best`: moves in several rounds, as few as possible, after which nothing is worse
    /// than before.
    #[schema(nullable = false, example = "best")]
    pub until: Option<String>,
    /// Rounds of `best` at most; 5 where absent.
    #[schema(nullable = false)]
    pub rounds: Option<usize>,
    /// Pods that leave their nodes at most, of all rounds together, besides the limits of the policy.
    #[schema(nullable = false)]
    pub max_moves: Option<u64>,
    /// The evictions that use up disruption budgets: `everyPod` (the default) that a budget covers, or `apiServer`: as kube-apiserver counts, to which pods
    /// that have ended or have not started cost nothing.
    #[schema(nullable = false, example = "everyPod")]
    pub budgets: Option<String>,
    /// Breaks ties of placement.
    pub seed: u64,
    /// A `kind: Policy` (or a KubeSchedulerConfiguration v1) that places the evicted pods again, instead of the one in force.
    #[schema(nullable = false, value_type = PolicyDocument)]
    pub scheduling_policy: Option<Box<RawValue>>,
    /// Instead of `schedulingPolicy`: a KubeSchedulerConfiguration v1, or one profile of it.
    #[schema(nullable = false, value_type = SchedulerProfile)]
    pub scheduling_profile: Option<Box<RawValue>>,
}

/// A request in the scheduler's terms.
#[derive(Debug)]
pub struct Asked {
    /// The policy, with the bound on moves.
    pub policy: Policy,
    /// The time, if the request says so, in nanoseconds since 1970.
    pub now: Option<i64>,
    /// The bounds of a search; `None` for one cycle.
    pub best: Option<Bounds>,
}

impl RescheduleRequest {
    /// The request in the scheduler's terms.
    ///
    /// # Errors
    /// All its faults, each with its field.
    pub fn read(&self) -> Result<Asked, Vec<Cause>> {
        let (at, mut faults) = (Path::ROOT, Faults::default());
        let is_absent = self.policy.api_version.is_empty() && self.policy.profiles.is_empty();
        let policy = match self.policy.to_core() {
            Ok(policy) => Some(policy),
            Err(_) if is_absent => {
                faults.required(&at.child("policy"), "a DeschedulerPolicy of descheduler/v1alpha2");
                None
            }
            Err(causes) => {
                faults.adopt("policy", causes);
                None
            }
        };
        let is_best = match self.until.as_deref() {
            None | Some("once") => false,
            Some("best") => true,
            Some(other) => {
                faults.not_supported(&at.child("until"), other, &["once", "best"]);
                false
            }
        };
        let charging = match self.budgets.as_deref() {
            None | Some("everyPod") => Charging::EveryPod,
            Some("apiServer") => Charging::AsApiServer,
            Some(other) => {
                faults.not_supported(&at.child("budgets"), other, &["everyPod", "apiServer"]);
                Charging::EveryPod
            }
        };
        if self.max_moves.is_some_and(|moves| moves > MOST_MOVES) {
            let rule = format_args!("must be less than or equal to {MOST_MOVES}");
            faults.invalid(&at.child("maxMoves"), self.max_moves.unwrap_or_default(), rule);
        }
        let rounds = self.rounds.unwrap_or(ROUNDS);
        if !(1..=MOST_ROUNDS).contains(&rounds) {
            faults.invalid(&at.child("rounds"), rounds, format_args!("must be between 1 and {MOST_ROUNDS}, inclusive"));
        }
        let now = self.now.as_deref().and_then(|now| instant(now, &at.child("now"), &mut faults));
        let causes = faults.into_causes();
        let Some(mut policy) = policy.filter(|_| causes.is_empty()) else { return Err(causes) };
        policy.charging = charging;
        policy.limits.total = match (policy.limits.total, self.max_moves) {
            (Some(total), Some(most)) => Some(total.min(most)),
            (total, most) => total.or(most),
        };
        let best = is_best.then(|| Bounds { rounds, moves: self.max_moves.unwrap_or(MOST_MOVES) });
        Ok(Asked { policy, now, best })
    }
}
