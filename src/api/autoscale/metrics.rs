//! Metrics that clients send, in the shapes of Kubernetes' metrics APIs.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use utoipa::ToSchema;

use crate::{
    api::{
        cluster::ClusterName,
        context::written,
        extract::{JsonBytes, Path, Query},
        openapi::ReadErrors,
        state::AppState,
    },
    clock,
    service::{
        autoscale::metrics::{KEPT_FOR, Sort, keep, newest},
        compute::read_on,
        error::{Error, Result},
    },
    wire::{
        autoscale::hpa::{ExternalMetricValue, MetricValue, PodMetrics, custom_values, external_values, pod_usages},
        decode,
        fault::{Faults, Path as At},
        selector::parse_labels,
    },
};

/// Values of metrics: a list as Kubernetes writes it (`{"items": […]}`), a list alone, or one value.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MetricItems<T> {
    /// The values.
    pub items: Vec<T>,
}

#[derive(Deserialize)]
struct List<T> {
    items: Vec<T>,
}

/// Tells a list from one value.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Shape {
    items: Option<IgnoredAny>,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for MetricItems<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
        let read = || -> std::result::Result<Vec<T>, decode::DecodeError> {
            let json = text.get().as_bytes();
            if text.get().starts_with('[') {
                return decode::from_slice(json);
            }
            if decode::from_slice::<Shape>(json)?.items.is_some() {
                return decode::from_slice::<List<T>>(json).map(|list| list.items);
            }
            Ok(vec![decode::from_slice(json)?])
        };
        read().map(|items| Self { items }).map_err(serde::de::Error::custom)
    }
}

/// The values that were kept.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricsKept {
    /// The number of values.
    pub items: usize,
    /// The seconds for which they count, unless newer ones come.
    pub kept_for_seconds: u64,
}

/// The use of pods (`metrics.k8s.io/v1beta1`)
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodMetricsList {
    /// `PodMetricsList`
    pub kind: &'static str,
    /// `metrics.k8s.io/v1beta1`
    pub api_version: &'static str,
    /// Empty.
    #[schema(value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    pub metadata: serde_json::Value,
    /// The use of each pod.
    pub items: Vec<PodMetrics>,
}

/// Which pods are listed.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct LabelQuery {
    /// Only pods with these labels, as in `app=web`
    #[param(required = false, value_type = String, nullable = false)]
    pub label_selector: Option<String>,
}

type Kept = (StatusCode, Json<MetricsKept>);

fn kept(items: usize) -> Kept {
    (StatusCode::CREATED, Json(MetricsKept { items, kept_for_seconds: KEPT_FOR.as_secs() }))
}

async fn read<T: DeserializeOwned + Send + 'static>(JsonBytes(body): JsonBytes) -> Result<Vec<T>> {
    let read = read_on(body.len(), move || decode::from_slice::<MetricItems<T>>(&body)).await?;
    read.map(|list| list.items).map_err(|error| Error::BadRequest(error.to_string()))
}

async fn keep_pods(state: &AppState, cluster: ClusterName, namespace: &str, body: JsonBytes) -> Result<Kept> {
    let mut items: Vec<PodMetrics> = read(body).await?;
    let now = clock::now_rfc3339();
    let (mut faults, root) = (Faults::default(), At::ROOT);
    let at = root.child("items");
    for (i, pod) in items.iter_mut().enumerate() {
        let at = at.index(i);
        let at = at.child("metadata");
        let own = &*pod.metadata.namespace;
        if !(namespace.is_empty() || own.is_empty() || own == namespace) {
            faults.invalid(&at.child("namespace"), &pod.metadata.namespace, "must be that of the path");
        }
        if namespace.is_empty() && pod.metadata.namespace.is_empty() {
            faults.required(&at.child("namespace"), "");
        }
        if pod.timestamp.is_empty() {
            pod.timestamp.clone_from(&now);
        }
    }
    pod_usages(&items, namespace, &at, &mut faults);
    keep(state, &cluster.0, Sort::Pods, namespace, &items, faults).await.map(kept)
}

/// Send the use of pods of a namespace
///
/// `PodMetrics`, a list of them, or a `PodMetricsList`, as metrics-server has it. The newest values of each pod count, for three minutes.
#[utoipa::path(post, path = "/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods", operation_id = "sendPodMetricsOfNamespace", tag = "autoscaling",
    params(("namespace" = String, Path, description = "The namespace.", example = "default")),
    request_body(content = MetricItems<PodMetrics>, example = json!({"items": [
        {"metadata": {"name": "web-1", "namespace": "default"}, "containers": [{"name": "main", "usage": {"cpu": "250m", "memory": "64Mi"}}]}]})),
    responses((status = 201, description = "The values are kept.", body = MetricsKept), ReadErrors))]
pub async fn send_pods_of(
    State(state): State<AppState>,
    cluster: ClusterName,
    Path(namespace): Path<String>,
    body: JsonBytes,
) -> Result<Kept> {
    keep_pods(&state, cluster, &namespace, body).await
}

/// Send the use of pods
///
/// As for one namespace; each item names its namespace.
#[utoipa::path(post, path = "/apis/metrics.k8s.io/v1beta1/pods", operation_id = "sendPodMetrics", tag = "autoscaling",
    request_body(content = MetricItems<PodMetrics>, example = json!({"items": [
        {"metadata": {"name": "web-1", "namespace": "default"}, "containers": [{"name": "main", "usage": {"cpu": "250m", "memory": "64Mi"}}]}]})),
    responses((status = 201, description = "The values are kept.", body = MetricsKept), ReadErrors))]
pub async fn send_pods(State(state): State<AppState>, cluster: ClusterName, body: JsonBytes) -> Result<Kept> {
    keep_pods(&state, cluster, "", body).await
}

async fn list(
    state: &AppState,
    ClusterName(cluster): ClusterName,
    namespace: Option<&str>,
    query: &LabelQuery,
) -> Result<Response> {
    let selector = query.label_selector.as_deref().unwrap_or_default();
    let selector = parse_labels(selector).map_err(|error| Error::BadRequest(format!("labelSelector: {error}")))?;
    let newest = newest(state, &cluster).await?;
    let is_listed = |((of, _), pod): &(&(String, String), &PodMetrics)| {
        let labels = pod.metadata.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        namespace.is_none_or(|namespace| namespace == of) && selector.matches(&labels)
    };
    let items = newest.pods.iter().filter(is_listed).map(|((namespace, _), pod)| {
        let mut pod = pod.clone();
        pod.metadata.namespace.clone_from(namespace);
        pod
    });
    let (kind, api_version) = ("PodMetricsList", "metrics.k8s.io/v1beta1");
    let list = PodMetricsList { kind, api_version, metadata: serde_json::json!({}), items: items.collect() };
    Ok(written(list, false).await?.into_response())
}

/// Show the use of pods of a namespace
#[utoipa::path(get, path = "/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods", operation_id = "listPodMetricsOfNamespace", tag = "autoscaling",
    params(("namespace" = String, Path, description = "The namespace.", example = "default"), LabelQuery), responses((status = 200, description = "The newest values that were sent.", body = PodMetricsList), ReadErrors))]
pub async fn list_pods_of(
    State(state): State<AppState>,
    cluster: ClusterName,
    Path(namespace): Path<String>,
    Query(query): Query<LabelQuery>,
) -> Result<Response> {
    list(&state, cluster, Some(&namespace), &query).await
}

/// Show the use of pods
#[utoipa::path(get, path = "/apis/metrics.k8s.io/v1beta1/pods", operation_id = "listPodMetrics", tag = "autoscaling", params(LabelQuery),
    responses((status = 200, description = "The newest values that were sent.", body = PodMetricsList), ReadErrors))]
pub async fn list_pods(
    State(state): State<AppState>,
    cluster: ClusterName,
    Query(query): Query<LabelQuery>,
) -> Result<Response> {
    list(&state, cluster, None, &query).await
}

/// Send metrics of objects
///
/// `MetricValue`s of pods and of other objects of the namespace, or a `MetricValueList`. The newest value of each series counts, for three minutes.
#[utoipa::path(post, path = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}", operation_id = "sendCustomMetrics", tag = "autoscaling",
    params(("namespace" = String, Path, description = "The namespace.", example = "default")),
    request_body(content = MetricItems<MetricValue>, example = json!({"items": [
        {"describedObject": {"kind": "Pod", "name": "web-1"}, "metric": {"name": "requests_per_second"}, "value": "12"}]})),
    responses((status = 201, description = "The values are kept.", body = MetricsKept), ReadErrors))]
pub async fn send_custom(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Path(namespace): Path<String>,
    body: JsonBytes,
) -> Result<Kept> {
    let mut items: Vec<MetricValue> = read(body).await?;
    let (mut faults, root) = (Faults::default(), At::ROOT);
    let at = root.child("items");
    for (i, value) in items.iter_mut().enumerate() {
        let of = &mut value.described_object;
        if of.namespace.is_empty() {
            of.namespace.clone_from(&namespace);
        } else if of.namespace != namespace {
            let at = at.index(i);
            let at = at.child("describedObject");
            faults.invalid(&at.child("namespace"), &of.namespace, "must be that of the path");
        }
    }
    custom_values(&items, &namespace, &at, &mut faults);
    keep(&state, &cluster, Sort::Custom, &namespace, &items, faults).await.map(kept)
}

/// Send metrics of things outside of the cluster
///
/// `ExternalMetricValue`s for autoscalers of the namespace, or an `ExternalMetricValueList`. The series of a metric in one message replace all earlier
/// ones of that metric. They count for three minutes.
#[utoipa::path(post, path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}", operation_id = "sendExternalMetrics", tag = "autoscaling",
    params(("namespace" = String, Path, description = "The namespace.", example = "default")),
    request_body(content = MetricItems<ExternalMetricValue>, example = json!({"items": [{"metricName": "queue_length", "value": "40"}]})),
    responses((status = 201, description = "The values are kept.", body = MetricsKept), ReadErrors))]
pub async fn send_external(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Path(namespace): Path<String>,
    body: JsonBytes,
) -> Result<Kept> {
    let items: Vec<ExternalMetricValue> = read(body).await?;
    let (mut faults, root) = (Faults::default(), At::ROOT);
    external_values(&items, &root.child("items"), &mut faults);
    keep(&state, &cluster, Sort::External, &namespace, &items, faults).await.map(kept)
}
