//! Karmada's estimator: karmada-scheduler and karmada-descheduler ask by gRPC how many pods a cluster takes, and how many wait.
//!
//! The calls come at an address of their own ([`door`](fn@door)), which makes each one a request of the API, under the path of the cluster that it names:
//! [`PATH`]. So it is authenticated, authorized, recorded, bounded and passed on to another replica as all others are. The path is in no document: it is
//! the inside of the address.
//!
//! Source: `karmada/pkg/estimator/service/service.proto`.

use axum::{
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};

use super::{
    cluster::ClusterName,
    extract::{Path, RawBody},
    state::AppState,
};
use crate::{
    clock,
    service::{
        access::Caller,
        compute::read_on,
        error::{Error, Result},
        memory,
        placements::estimator,
    },
    wire::{
        federation::estimator::{Asked, MaxReplicas, MaxSets, Unschedulable, answer},
        protobuf,
    },
};

mod door;

pub use door::door;

/// The path of a call: its body is the message of the request, that of the reply the message of the answer.
pub(super) const PATH: &str = "/estimator/{method}";

/// The service.
const SERVICE: &str = "/github.com.karmada_io.karmada.pkg.estimator.service.Estimator/";

/// The calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    MaxAvailableReplicas,
    MaxAvailableComponentSets,
    GetUnschedulableReplicas,
}

impl Method {
    fn named(name: &str) -> Option<Self> {
        match name {
            "MaxAvailableReplicas" => Some(Self::MaxAvailableReplicas),
            "MaxAvailableComponentSets" => Some(Self::MaxAvailableComponentSets),
            "GetUnschedulableReplicas" => Some(Self::GetUnschedulableReplicas),
            _ => None,
        }
    }
}

/// Answers a call about the cluster of the path.
pub(super) async fn answered(
    State(state): State<AppState>,
    caller: Caller,
    ClusterName(cluster): ClusterName,
    Path(method): Path<String>,
    RawBody(body): RawBody,
) -> Result<Response> {
    let method = Method::named(&method).ok_or_else(|| Error::BadRequest(format!("there is no call {method:?}")))?;
    memory::charge(protobuf::weight(&body))?;
    let number = match method {
        Method::MaxAvailableReplicas => {
            let question = read(body, |asked: MaxReplicas| asked.question()).await?;
            estimator::sets(&state, &caller, &cluster, question).await?
        }
        Method::MaxAvailableComponentSets => {
            let question = read(body, |asked: MaxSets| asked.question()).await?;
            estimator::sets(&state, &caller, &cluster, question).await?
        }
        Method::GetUnschedulableReplicas => {
            let asked = read(body, |asked: Unschedulable| asked).await?;
            estimator::unschedulable(&state, &caller, &cluster, &asked, clock::now()).await?
        }
    };
    Ok(answer(number).into_response())
}

/// The question of a message.
async fn read<A: Asked, T: Send + 'static>(body: Bytes, of: impl FnOnce(A) -> T + Send + 'static) -> Result<T> {
    let length = body.len();
    let read = move || A::read(&body).map(of).map_err(|error| Error::BadRequest(format!("the message: {error}")));
    read_on(length, read).await?
}
