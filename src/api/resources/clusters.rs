//! `/clusters`: which clusters there are, what they mirror, and their removal.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    api::{
        extract::{JsonBytes, Path, Query},
        openapi::{ReadErrors, UnknownErrors, WriteErrors},
        queries::WriteQuery,
        state::AppState,
    },
    clock,
    service::{
        Service,
        access::Caller,
        clusters::{self, Described},
        error::{Error, Result},
        source::{
            configure,
            mirrored::{self, since},
        },
    },
    store::{Record, Standing},
    wire::{
        decode, document,
        objects::member_cluster::{Member, MemberCluster},
        source::{ClusterSource, KindStatus, SyncStatus},
        status::Status,
    },
};

/// The clusters that hold anything, or have an object.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClusterList {
    /// By name.
    pub items: Vec<ClusterItem>,
}

/// A cluster.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterItem {
    /// Its name, as in `/clusters/{name}/…`.
    #[schema(example = "default")]
    pub name: String,
    /// How many changes it has seen.
    #[schema(example = 42)]
    pub revision: u64,
    /// The live cluster that it mirrors; absent if it mirrors none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "context prod of /etc/podberth/prod.kubeconfig")]
    pub source: Option<String>,
    /// How many seconds the mirror is behind; absent before it was whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 2)]
    pub lag_seconds: Option<u64>,
}

/// A cluster and what it mirrors.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClusterStatus)]
pub struct Cluster {
    /// Its name, as in `/clusters/{name}/…`.
    #[schema(example = "prod")]
    pub name: String,
    /// How many changes it has seen.
    #[schema(example = 42)]
    pub revision: u64,
    /// The live cluster that it mirrors; `null` if it mirrors none.
    pub source: Option<ClusterSource>,
    /// The object about it, as `/apis/podberth.io/v1/clusters/{name}` has it; `null` if there is none.
    #[schema(value_type = Option<MemberCluster>)]
    pub object: Option<Value>,
    /// How far the mirror is; absent if there is none, or nothing is known of it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sync: Option<ClusterSync>,
}

/// How far the mirror of a cluster is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSync {
    /// The time of which the whole mirror is at least the state; `null` before the first whole list of each kind.
    #[schema(value_type = Option<String>, example = "2026-01-02T15:04:05Z")]
    pub as_of: Option<Timestamp>,
    /// Seconds since then.
    #[schema(example = 2)]
    pub lag_seconds: Option<u64>,
    /// Nothing is decided on the mirror at the moment: it was never whole, or is further behind than `--max-sync-lag` allows.
    #[schema(example = false)]
    pub is_stale: bool,
    /// Each mirrored kind, by plural and group.
    pub kinds: BTreeMap<String, KindSync>,
}

/// How far the mirror of one kind is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KindSync {
    /// The kind's part of the status.
    #[serde(flatten)]
    pub status: KindStatus,
    /// Seconds since `asOf`.
    #[schema(example = 2)]
    pub lag_seconds: Option<u64>,
}

/// An object as the Kubernetes API shows it.
fn shown(object: &Record) -> Option<Value> {
    let body = document::render(object.body.as_text()?, Member::kind()?, object.revision);
    serde_json::from_str(&body).ok()
}

/// The source that a cluster is to have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterRequest {
    /// The live cluster to mirror; `null` for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<ClusterSource>, required = true)]
    pub source: Option<Option<ClusterSource>>,
}

/// Refuses fields of the Cluster object, which has a path of its own. A body that cannot be read is left to the parser.
fn refuse_others(name: &str, body: &[u8]) -> Result<()> {
    let fields: serde_json::Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let others: Vec<&str> = fields.keys().map(|field| &**field).filter(|field| *field != "source").collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(Error::BadRequest(format!(
        "{}: Forbidden: this path takes source alone; labels, taints, region and all else that is known of a cluster are fields of its object: PUT /apis/podberth.io/v1/clusters/{name}",
        others.join(", ")
    )))
}

/// Tells a `null` from a field that is missing.
#[expect(clippy::option_option, reason = "a null is no absence")]
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<ClusterSource>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl ClusterSync {
    fn of(service: &Service, cluster: &str, status: SyncStatus, now: Timestamp) -> Self {
        let lag = |as_of: Option<Timestamp>| as_of.map(|as_of| since(as_of, now).as_secs());
        let as_of = status.as_of();
        let kind = |(name, status): (String, KindStatus)| {
            let lag_seconds = lag(status.as_of);
            (name, KindSync { status, lag_seconds })
        };
        Self {
            as_of,
            lag_seconds: lag(as_of),
            is_stale: service.sources.is_stale(cluster, now),
            kinds: status.kinds.into_iter().map(kind).collect(),
        }
    }
}

impl Cluster {
    fn of(service: &Service, name: String, Described { revision, source, object }: Described) -> Self {
        let status = source.as_ref().and_then(|_| service.sources.status(&name));
        let sync = status.map(|status| ClusterSync::of(service, &name, status, clock::now()));
        Self { name, revision, source: source.map(Arc::unwrap_or_clone), object: object.as_ref().and_then(shown), sync }
    }
}

/// List clusters
///
/// The first stored object creates its cluster. Every path of this document also exists under `/clusters/{name}`; without that prefix it is about
/// the cluster `default`, which always exists. Decisions over the stored nodes of a cluster that does not exist are answered 404.
#[utoipa::path(get, path = "/clusters", operation_id = "listClusters", tag = "state", responses(
    (status = 200, description = "All of them.", body = ClusterList), ReadErrors))]
pub async fn list(State(state): State<AppState>) -> Result<Json<ClusterList>> {
    let (sources, now) = (mirrored::all(&state).await?, clock::now());
    let item = |Standing { name, revision, .. }| {
        let source = sources.get(&*name).map(|source| source.title());
        let as_of = source.as_ref().and_then(|_| state.sources.as_of(&name));
        ClusterItem { name, revision, source, lag_seconds: as_of.map(|as_of| since(as_of, now).as_secs()) }
    };
    Ok(Json(ClusterList { items: clusters::list(&state).await?.into_iter().map(item).collect() }))
}

/// The path's variable.
#[derive(Debug, Deserialize)]
pub struct Named {
    name: String,
}

/// Show a cluster
///
/// If it mirrors a live cluster, the reply tells how far the mirror of each kind is.
#[utoipa::path(get, path = "/clusters/{name}", operation_id = "readCluster", tag = "state",
    params(("name" = String, Path, description = "The cluster's name", example = "default")),
    responses((status = 200, description = "The cluster.", body = Cluster), ReadErrors, UnknownErrors))]
pub async fn read(State(state): State<AppState>, Path(Named { name }): Path<Named>) -> Result<Json<Cluster>> {
    let described = clusters::describe(&state, &name).await?;
    Ok(Json(Cluster::of(&state, name, described)))
}

/// Make a cluster, or set what it mirrors
///
/// With a `source` the cluster becomes the mirror of a live cluster: its nodes, pods and the other kinds that decisions read become those of the live
/// one, and those that the live one does not have are deleted. While it is a mirror, objects are written in the live cluster alone: here only binds,
/// reservations, policies, roles and annotations under `podberth.io/`. With `"source": null` it is no mirror any more; its objects stay as they are.
///
/// Labels, taints, region, zones, cost and node templates are fields of the object about the cluster: `PUT /apis/podberth.io/v1/clusters/{name}`.
///
/// Naming a source needs, besides the right to `update` clusters, the right to `use` the resource `sources` of `podberth.io` with the file (or
/// `in-cluster`) as its name: the credentials are the server's.
#[utoipa::path(put, path = "/clusters/{name}", operation_id = "replaceCluster", tag = "state",
    params(("name" = String, Path, description = "The cluster's name", example = "staging"), WriteQuery),
    request_body(content = ClusterRequest, example = json!({"source": null})),
    responses((status = 200, description = "The cluster as it is now.", body = Cluster),
        (status = 201, description = "The cluster, which is new.", body = Cluster), WriteErrors))]
pub async fn replace(
    State(state): State<AppState>,
    Path(Named { name }): Path<Named>,
    Query(query): Query<WriteQuery>,
    caller: Caller,
    JsonBytes(body): JsonBytes,
) -> Result<(StatusCode, Json<Cluster>)> {
    let dry_run = query.dry_run()?;
    refuse_others(&name, &body)?;
    let request: ClusterRequest = decode::from_slice(&body)?;
    let Some(source) = request.source else {
        return Err(Error::BadRequest("source: Required value: null for a cluster that mirrors none".into()));
    };
    let is_new = configure::set(&state, &caller, &name, source.as_ref(), dry_run).await?;
    let described = if dry_run {
        let revision = state.store.head(&name).await?.revision;
        Described { revision, source: source.map(Arc::new), object: None }
    } else {
        clusters::describe(&state, &name).await?
    };
    let code = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((code, Json(Cluster::of(&state, name, described))))
}

/// Remove a cluster
///
/// This deletes all data of the cluster: objects, policies, reservations and their history, and the object about it. The cluster is gone at once and for good, on every
/// replica; its rows are deleted from the database in pieces. The cluster `default` cannot be removed.
#[utoipa::path(delete, path = "/clusters/{name}", operation_id = "deleteCluster", tag = "state",
    params(("name" = String, Path, description = "The cluster's name", example = "staging"), WriteQuery),
    responses((status = 200, description = "It is gone.", body = Status), WriteErrors, UnknownErrors))]
pub async fn delete(
    State(state): State<AppState>,
    Path(Named { name }): Path<Named>,
    Query(query): Query<WriteQuery>,
) -> Result<Json<Status>> {
    clusters::remove(&state, &name, query.dry_run()?).await?;
    Ok(Json(Status::success(200, None)))
}
