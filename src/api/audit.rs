//! `/audit`: the record of requests.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::{
    cluster::ClusterName,
    extract::Query,
    openapi::{ReadErrors, free_form},
    state::AppState,
};
use crate::{
    live::DEFAULT_CLUSTER,
    service::{
        audit::{self, Asked, EventList},
        error::{Error, Result},
    },
    wire::audit::API_VERSION,
};

/// The events that are meant.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Only requests about this cluster; for a path with a cluster it is that one
    #[param(required = false, value_type = String, nullable = false)]
    cluster: Option<String>,
    /// Only requests of this user
    #[param(required = false, value_type = String, nullable = false)]
    user: Option<String>,
    /// Only this verb: `create`, `delete`
    #[param(required = false, value_type = String, nullable = false)]
    verb: Option<String>,
    /// Only objects in this namespace
    #[param(required = false, value_type = String, nullable = false)]
    namespace: Option<String>,
    /// Only this resource, with its subresources unless one is named: `pods`, `pods/binding`
    #[param(required = false, value_type = String, nullable = false)]
    resource: Option<String>,
    /// Only the object of this name
    #[param(required = false, value_type = String, nullable = false)]
    name: Option<String>,
    /// Only from this instant on, RFC 3339
    #[param(required = false, value_type = String, nullable = false)]
    since: Option<String>,
    /// Only before this instant, RFC 3339
    #[param(required = false, value_type = String, nullable = false)]
    until: Option<String>,
    /// At most this many events; default 100, at most 500
    #[param(required = false, value_type = u64, nullable = false)]
    limit: Option<usize>,
    /// The next page: `metadata.continue` of the page before
    #[param(required = false, value_type = String, nullable = false)]
    #[serde(rename = "continue")]
    #[param(rename = "continue")]
    after: Option<String>,
}

impl AuditQuery {
    /// The parsed query, for the path of a cluster.
    fn asked(self, cluster: &str) -> Result<Asked> {
        let instant = |name: &str, text: Option<String>| -> Result<Option<Timestamp>> {
            let parsed = text.as_deref().map(str::parse).transpose();
            parsed.map_err(|_| Error::BadRequest(format!("{name}: {text:?} is no RFC 3339 instant")))
        };
        let of_path = (cluster != DEFAULT_CLUSTER).then(|| cluster.to_owned());
        if of_path.is_some() && self.cluster.is_some() && of_path != self.cluster {
            let told = format!("cluster: the path is about {cluster:?} alone: leave it out, or ask /audit for others");
            return Err(Error::BadRequest(told));
        }
        Ok(Asked {
            cluster: of_path.or(self.cluster),
            user: self.user,
            verb: self.verb,
            namespace: self.namespace,
            resource: self.resource,
            name: self.name,
            since: instant("since", self.since)?,
            until: instant("until", self.until)?,
            limit: self.limit,
            after: self.after,
        })
    }
}

/// Events of the record of requests.
#[derive(Debug)]
pub struct AuditEventList;

impl PartialSchema for AuditEventList {
    fn schema() -> RefOr<Schema> {
        free_form(
            "An `EventList` of `audit.k8s.io/v1`: `items` has the events, `metadata.continue` where the next page begins.",
        )
    }
}

impl ToSchema for AuditEventList {}

/// List audit events
///
/// The newest first, as kube-apiserver writes them (`audit.k8s.io/v1`). Without a cluster in the path the events of all clusters, for which the right
/// to `list` `audits` in the cluster `podberth-system` is needed. A page may have fewer events than `limit`, or none, though there are more: there
/// are as long as it has `metadata.continue`.
#[utoipa::path(get, path = "/audit", operation_id = "listAuditEvents", tag = "access", params(AuditQuery),
    responses((status = 200, description = "The events.", body = AuditEventList), ReadErrors))]
pub async fn list(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Query(query): Query<AuditQuery>,
) -> Result<Response> {
    let EventList { items, next } = audit::list(&state, &query.asked(&cluster)?).await?;
    let metadata = next.map_or_else(|| json!({}), |next| json!({"continue": next}));
    let items: Vec<&str> = items.iter().map(|item| RawValue::get(item)).collect();
    let text = format!(
        r#"{{"kind":"EventList","apiVersion":"{API_VERSION}","metadata":{metadata},"items":[{}]}}"#,
        items.join(",")
    );
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}
