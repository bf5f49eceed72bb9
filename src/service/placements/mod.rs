//! Placements: which clusters take how many replicas of a workload.
//!
//! The rules for clusters are those of [`crate::core::federation`]. The room of the server's own clusters is counted by the node engine, on one
//! snapshot of each that is taken at the beginning ([`own`]); a commit reserves it or binds on it, in all clusters or in none ([`commit`]).

use crate::{
    core::federation,
    service::{
        Service,
        access::Caller,
        compute::compute_long,
        error::{Error, Result},
    },
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
    let Asked { request: core, max_lag, max_wait, .. } = asked;
    let mut question = own::Question::new(service, core, request, policy, (max_lag, max_wait))?;
    let mut attempt = 1;
    loop {
        let answer = question.answer(service, caller).await?;
        if request.commit == Commit::None || answer.outcome.shares.is_empty() {
            return Ok(told::report(&answer));
        }
        match commit::commit(service, (caller, by), request, &question, &answer).await {
            Ok(done) => return Ok(told::committed(told::report(&answer), &done, request.commit)),
            // Others were first: what is left is divided anew, on the clusters as they are now.
            Err(Error::Conflict { .. }) if attempt < ATTEMPTS => question.is_newest = true,
            Err(error) => return Err(error),
        }
        attempt += 1;
    }
}

/// How many more pods of a sort a cluster takes.
///
/// # Errors
/// The faults of the request, by their fields.
pub async fn estimate(request: EstimateRequest) -> Result<EstimateReport> {
    let work = move || estimate::answer(&request, &own::newest_defaults()?).map_err(|causes| refused(&causes));
    compute_long(false, work).await?
}

/// The error of a request with these faults.
fn refused(causes: &[Cause]) -> Error {
    let one = |cause: &Cause| format!("{}: {}", cause.field, cause.message);
    Error::BadRequest(causes.iter().map(one).collect::<Vec<_>>().join(", "))
}
