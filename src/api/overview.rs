//! `GET /overview`: the nodes of a cluster by columns, once or as they change.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use metrics::gauge;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    cluster::ClusterName,
    context::{AtQuery, FreshnessQuery, written},
    extract::Query,
    openapi::{ListErrors, UnknownErrors},
    queries::{is_set, number},
    state::AppState,
};
use crate::{
    service::{
        access::{Caller, sight::Sight},
        error::{Error, Result},
        overview::{self, Following},
        past,
    },
    telemetry,
    wire::overview::{OverviewReply, WATCH_MEDIA_TYPE},
};

/// The longest time of a reply that goes on.
const LONGEST: Duration = Duration::from_hours(1);

/// The overview that is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct OverviewQuery {
    /// The key of a label by whose values nodes are grouped, as `topology.kubernetes.io/zone`
    #[param(required = false, value_type = String, nullable = false)]
    group: Option<String>,
    /// Only the nodes with these labels, as `disk=ssd,!gpu`
    #[param(required = false, value_type = String, nullable = false)]
    label_selector: Option<String>,
    /// Count on each node the pods with these labels, as `app=web`
    #[param(required = false, value_type = String, nullable = false)]
    pod_selector: Option<String>,
    /// `1`: the reply goes on, a JSON object a line
    #[param(required = false, value_type = String, nullable = false)]
    watch: Option<String>,
    /// With `watch`: the revision of the last line that you know. The reply begins with the difference to it if the server still can tell
    #[param(required = false, value_type = u64, nullable = false)]
    since: Option<u64>,
    /// With `watch`: the reply ends after so many seconds; an hour where absent
    #[param(required = false, value_type = u64, nullable = false)]
    timeout_seconds: Option<String>,
}

/// The nodes of a cluster by columns, and their sums
///
/// For maps of a cluster: what each node offers and what its pods request, and the sums by the values of a label. Amounts are whole numbers: CPU in
/// thousandths of a core, memory and storage in bytes, anything else in pieces. 5,000 nodes are about 0.4 MB, and a tenth of that compressed, as the reply is for clients that take it so.
///
/// With `watch=1` the reply goes on, one JSON object a line, at most two a second: first the whole; then `revision`, `changed` (columns of the nodes
/// that differ, and their places in `index`), `groups` that differ and `totals`; after 15 seconds of silence `revision` alone. A line with `nodes` is
/// the whole again and replaces everything: nodes came or went, or their labels or resources changed. A line with `error` is the last. When the reply
/// ends, ask again with `since`.
///
/// With `revision` (or `at`) it shows the cluster as it was then.
///
/// Amounts are of all pods. Pods in namespaces whose pods you may not list never match `podSelector`.
#[utoipa::path(get, path = "/overview", operation_id = "readOverview", tag = "decisions", params(OverviewQuery, FreshnessQuery, AtQuery),
    responses((status = 200, description = "The overview.",
        content((OverviewReply = "application/json"), (String = "application/x-ndjson"))), ListErrors, UnknownErrors))]
pub async fn read(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    Query(query): Query<OverviewQuery>,
    Query(fresh): Query<FreshnessQuery>,
    Query(at): Query<AtQuery>,
) -> Result<Response> {
    let asked =
        overview::asked(query.group.as_deref(), query.label_selector.as_deref(), query.pod_selector.as_deref())?;
    let is_watch = query.watch.as_deref().is_some_and(is_set);
    let (at, lasts) = (at.parse()?, query.lasts()?);
    if is_watch && at != past::At::default() {
        return Err(Error::BadRequest("watch excludes revision and at: it goes on from since".into()));
    }
    if !is_watch && (query.since.is_some() || query.timeout_seconds.is_some()) {
        return Err(Error::BadRequest("since and timeoutSeconds go with watch=1".into()));
    }
    let at = at.resolve(&state, &cluster).await?;
    let context = past::take(&state, &cluster, fresh.fresh(), at).await?;
    context.is_there()?;
    let sight = Sight::of(&caller, &state, &cluster).await?;
    if is_watch {
        let following = Following::begin(&state, &cluster, asked, sight, (query.since, lasts)).await?;
        return Ok(lines(following));
    }
    let headers = context.headers();
    let overview = overview::overview(context.view, asked, sight).await?;
    Ok((headers, written(overview, false).await?).into_response())
}

impl OverviewQuery {
    fn lasts(&self) -> Result<Duration> {
        let seconds = self.timeout_seconds.as_deref().map(number).transpose()?;
        let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
        Ok(seconds.map_or(LONGEST, |seconds| Duration::from_secs(seconds).min(LONGEST)))
    }
}

/// A reply that goes on.
struct Lines(Following);

impl Drop for Lines {
    fn drop(&mut self) {
        gauge!(telemetry::WATCHES).decrement(1.0);
    }
}

fn lines(following: Following) -> Response {
    gauge!(telemetry::WATCHES).increment(1.0);
    let body = Body::from_stream(stream::unfold(Some(Lines(following)), |lines| async {
        let mut lines = lines?;
        match lines.0.next().await {
            Ok(line) => line.map(|line| (Ok::<_, Infallible>(line), Some(lines))),
            Err(error) => Some((Ok(error_line(&error)), None)),
        }
    }));
    ([(header::CONTENT_TYPE, WATCH_MEDIA_TYPE)], body).into_response()
}

fn error_line(error: &Error) -> Bytes {
    format!("{{\"error\":{}}}\n", serde_json::to_string(&error.status()).unwrap_or_default()).into()
}
