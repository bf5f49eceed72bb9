//! Placements: which clusters take how many replicas of a workload.
//!
//! The rules for clusters are those of [`crate::core::federation`]. The room of the server's own clusters is counted by the node engine, on one
//! snapshot of each that is taken at the beginning ([`own`]); a commit reserves it or binds on it, in all clusters or in none ([`commit`]).

use std::sync::Arc;

use self::{commit::Order, own::Question};
use crate::{
    core::federation,
    service::{
        Service,
        access::Caller,
        compute::compute_long,
        error::{Error, Result},
        reserve::{TTL_SECONDS, check_ttl},
    },
    telemetry::trace::Here,
    wire::{
        decision::AskedBy,
        fault::Cause,
        federation::{
            estimate::{self, EstimateReport, EstimateRequest},
            reply::ClusterPlacementReport,
            request::{Asked, Commit, PlacementRequest},
        },
    },
};

mod commit;
#[cfg(feature = "karmada")]
pub mod estimator;
mod own;
mod told;

/// Times that an answer is worked out anew because others were first.
const ATTEMPTS: usize = 4;

/// Places the replicas of a request. `by`: the sender, as the decisions of a commit are recorded with.
///
/// # Errors
/// The faults of the request, by their fields; what the caller may not do; those of the store.
pub async fn place(
    service: &Service,
    caller: &Caller,
    by: &AskedBy,
    request: &PlacementRequest,
    policy: Option<String>,
) -> Result<ClusterPlacementReport> {
    let mut asked = request.read().map_err(|causes| refused(&causes))?;
    if let Some(clusters) = asked.clusters.take() {
        return compute_long(false, move || ClusterPlacementReport::new(&federation::place(&asked.request, &clusters)))
            .await;
    }
    if let Some(seconds) = request.ttl_seconds {
        check_ttl(seconds)?;
    }
    let Asked { request: core, max_lag, max_wait, .. } = asked;
    let question = Arc::new(Question::new(service, core, request, policy, (max_lag, max_wait))?);
    let mut attempt = 1;
    loop {
        // After others were first it is worked out anew on the clusters as they are now.
        let answer = Arc::new(question.answer(service, caller, attempt > 1).await?);
        if request.commit == Commit::None || answer.outcome.shares.is_empty() {
            return Ok(told::report(&answer));
        }
        let order =
            Order { commit: request.commit, seconds: request.ttl_seconds.unwrap_or(TTL_SECONDS), seed: request.seed };
        let (service, caller, by) = (service.clone(), caller.clone(), by.clone());
        let (question, answered) = (question.clone(), answer.clone());
        let committing = async move { commit::commit(&service, (&caller, &by), order, question, answered).await };
        // It comes to its end, or is taken back, also if the client leaves.
        match tokio::spawn(Here::carry(Here::now(), committing)).await.map_err(Error::internal)? {
            Ok(done) => return Ok(told::committed(told::report(&answer), &done, request.commit)),
            Err(Error::Conflict { .. }) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

/// How many more pods of a sort a cluster takes.
///
/// # Errors
/// The faults of the request, by their fields.
pub async fn estimate(request: EstimateRequest) -> Result<EstimateReport> {
    let work = move || estimate::answer(request, &own::newest_defaults()?).map_err(|causes| refused(&causes));
    compute_long(false, work).await?
}

/// The error of a request with these faults.
fn refused(causes: &[Cause]) -> Error {
    let one = |cause: &Cause| format!("{}: {}", cause.field, cause.message);
    Error::BadRequest(causes.iter().map(one).collect::<Vec<_>>().join(", "))
}
