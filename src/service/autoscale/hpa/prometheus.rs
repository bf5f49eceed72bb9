//! Metrics out of Prometheus: one query for each metric, by its HTTP API.
//!
//! A turn of the loop asks all queries at once and waits for ten seconds at most. A query without an answer is a metric without values, which the
//! autoscalers that need it report; the others go on.
//!
//! Source: <https://prometheus.io/docs/prometheus/latest/querying/api/> (instant queries).

use std::{collections::BTreeMap, time::Duration};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use jiff::Timestamp;
use metrics::counter;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::{
    fetch::Fetcher,
    telemetry::{self, seldom::Texts},
    wire::{
        autoscale::hpa::{ContainerUsage, DescribedObject, ExternalMetricValue, MetricName, MetricValue, PodMetrics},
        objects::{
            meta::{LabelSelector, ObjectMeta},
            quantity::QuantityText,
        },
    },
};

/// Queries of a file.
const MOST_QUERIES: usize = 200;

/// Queries that are asked at a time.
const AT_ONCE: usize = 8;

/// Time that a turn waits for all of them.
const WAITED_FOR: Duration = Duration::from_secs(10);

/// Bytes of a reply.
const LONGEST: usize = 16 << 20;

/// Why queries have no answer, by metric.
static TROUBLE: Texts = Texts::new();

/// A query, and the meaning of the series of its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Query {
    /// The name of the metric; with `type: Resource` a resource, as in `cpu`.
    pub metric: String,
    /// The type of the metric, as in HorizontalPodAutoscalers.
    #[serde(rename = "type")]
    pub kind: QueryType,
    /// The query (PromQL).
    pub query: String,
    /// With `type: Object`: the objects that the series are of.
    pub object: Option<QueryObject>,
    /// With `type: Resource`: the length of the measured time, as in the query.
    #[serde(default)]
    pub window: String,
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum QueryType {
    /// The use of a resource: series with the labels `namespace`, `pod` and `container`.
    Resource,
    /// A metric of pods: series with the labels `namespace` and `pod`.
    Pods,
    /// A metric of objects: series with the label `namespace` and one with the object's name.
    Object,
    /// Anything else: the labels of the series are those that selectors read. With the label `namespace` it is of that one, else of all.
    External,
}

/// The objects that series are of.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QueryObject {
    /// Their group and version.
    #[serde(default)]
    pub api_version: String,
    /// Their kind.
    pub kind: String,
    /// The label that has the object's name.
    pub name_label: String,
}

/// A Prometheus, and what it is asked.
#[derive(Clone, Debug)]
pub struct Prometheus {
    url: String,
    queries: Vec<Query>,
    fetcher: Fetcher,
}

/// The values of a turn: of pods, of objects, and of external metrics by namespace.
type Values = (Vec<PodMetrics>, Vec<MetricValue>, Vec<(String, ExternalMetricValue)>);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reply {
    status: String,
    error: String,
    data: Data,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    result: Vec<Series>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Series {
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
}

impl Prometheus {
    /// A Prometheus at a URL.
    ///
    /// # Errors
    /// The query that cannot be asked.
    pub fn new(url: &str, queries: Vec<Query>, fetcher: Fetcher) -> Result<Self, String> {
        if queries.is_empty() || queries.len() > MOST_QUERIES {
            return Err(format!("{} queries: there are 1 to {MOST_QUERIES}", queries.len()));
        }
        for (i, query) in queries.iter().enumerate() {
            if query.metric.is_empty() || query.query.is_empty() {
                return Err(format!("[{i}]: a query has a metric and a query"));
            }
            if (query.kind == QueryType::Object) != query.object.is_some() {
                return Err(format!("[{i}].object: queries with type: Object have it, and no others"));
            }
        }
        Ok(Self { url: url.trim_end_matches('/').to_owned(), queries, fetcher })
    }

    /// The values of now. Queries that are not answered in time have none.
    pub(super) async fn values(&self, now: Timestamp) -> Values {
        let until = Instant::now() + WAITED_FOR;
        let asked: Vec<BoxFuture<'_, Answered<'_>>> =
            self.queries.iter().map(|query| self.asked(query).boxed()).collect();
        let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
        let mut all = Found::default();
        loop {
            match timeout_at(until, answers.next()).await {
                Ok(Some((query, Ok(series)))) => all.take(query, series, now),
                Ok(Some((query, Err(why)))) => trouble(&query.metric, &why),
                Ok(None) => return all.values(),
                Err(_) => {
                    trouble("", "not all queries were answered in time");
                    return all.values();
                }
            }
        }
    }

    async fn asked<'q>(&self, query: &'q Query) -> (&'q Query, Result<Vec<Series>, String>) {
        (query, self.ask(query).await)
    }

    async fn ask(&self, query: &Query) -> Result<Vec<Series>, String> {
        let url = format!("{}/api/v1/query?query={}", self.url, encoded(&query.query));
        let body = self.fetcher.get(&url, LONGEST).await?;
        let reply: Reply =
            serde_json::from_slice(&body).map_err(|error| format!("the reply cannot be read: {error}"))?;
        if reply.status == "success" { Ok(reply.data.result) } else { Err(reply.error) }
    }
}

/// Tells of a query without an answer.
fn trouble(metric: &str, why: &str) {
    counter!(telemetry::HPA_QUERIES_FAILED).increment(1);
    if TROUBLE.is_new(metric, why) {
        tracing::warn!(metric, why, "Prometheus does not answer a query");
    }
}

/// A text as a part of a query string.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&crate::hex::hex(&[byte]));
        }
    }
    encoded
}

/// A value as a quantity; `None` for one that is none (`NaN`, `+Inf`), or negative.
fn quantity(value: &str) -> Option<QuantityText> {
    let number: f64 = value.parse().ok()?;
    if !number.is_finite() || number < 0.0 {
        return None;
    }
    // The conversion saturates.
    Some(QuantityText(format!("{}m", (number * 1_000.0).ceil() as i64)))
}

/// The use of each container, by resource.
type UseByContainer = BTreeMap<String, BTreeMap<String, QuantityText>>;

/// A query and its answer.
type Answered<'q> = (&'q Query, Result<Vec<Series>, String>);

/// The values found so far.
#[derive(Default)]
struct Found {
    /// The use by namespace and pod, then by container.
    pods: BTreeMap<(String, String), (String, UseByContainer)>,
    custom: Vec<MetricValue>,
    external: Vec<(String, ExternalMetricValue)>,
    now: Option<Timestamp>,
}

impl Found {
    /// Takes in the series of a query. Those without a label that is needed, or without a value, are left out.
    fn take(&mut self, query: &Query, series: Vec<Series>, now: Timestamp) {
        self.now = Some(now);
        for one in series {
            let Some(value) = one.value.as_ref().and_then(|(_, value)| quantity(value)) else { continue };
            let label = |name: &str| one.metric.get(name).filter(|value| !value.is_empty()).cloned();
            match query.kind {
                QueryType::Resource => {
                    let (Some(namespace), Some(pod)) = (label("namespace"), label("pod")) else { continue };
                    let (window, containers) = self.pods.entry((namespace, pod)).or_default();
                    window.clone_from(&query.window);
                    let container = label("container").unwrap_or_default();
                    containers.entry(container).or_default().insert(query.metric.clone(), value);
                }
                QueryType::Pods | QueryType::Object => {
                    let pods = QueryObject { kind: "Pod".into(), name_label: "pod".into(), ..QueryObject::default() };
                    let object = query.object.as_ref().unwrap_or(&pods);
                    let (Some(namespace), Some(name)) = (label("namespace"), label(&object.name_label)) else {
                        continue;
                    };
                    let selector = LabelSelector { match_labels: one.metric.clone(), ..LabelSelector::default() };
                    self.custom.push(MetricValue {
                        described_object: DescribedObject {
                            api_version: object.api_version.clone(),
                            kind: object.kind.clone(),
                            namespace,
                            name,
                        },
                        metric: MetricName { name: query.metric.clone(), selector: Some(selector) },
                        value,
                        ..MetricValue::default()
                    });
                }
                QueryType::External => {
                    let namespace = label("namespace").unwrap_or_default();
                    let metric_name = query.metric.clone();
                    let metric_labels = one.metric;
                    let timestamp = None;
                    self.external
                        .push((namespace, ExternalMetricValue { metric_name, metric_labels, timestamp, value }));
                }
            }
        }
    }

    fn values(self) -> Values {
        let now = self.now.map(|now| now.to_string()).unwrap_or_default();
        let pod =
            |((namespace, name), (window, containers)): ((String, String), (String, BTreeMap<_, _>))| PodMetrics {
                metadata: ObjectMeta { namespace, name, ..ObjectMeta::default() },
                timestamp: now.clone(),
                window,
                containers: containers.into_iter().map(|(name, usage)| ContainerUsage { name, usage }).collect(),
            };
        (self.pods.into_iter().map(pod).collect(), self.custom, self.external)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(kind: QueryType, metric: &str) -> Query {
        let object = QueryObject { kind: "Ingress".into(), name_label: "ingress".into(), ..QueryObject::default() };
        let object = (kind == QueryType::Object).then_some(object);
        Query { metric: metric.into(), kind, query: "up".into(), object, window: "1m".into() }
    }

    fn series(json: &str) -> Vec<Series> {
        let reply: Reply =
            serde_json::from_str(&format!(r#"{{"status":"success","data":{{"result":{json}}}}}"#)).expect("JSON");
        reply.data.result
    }

    #[test]
    fn series_become_values_by_their_labels() {
        let mut found = Found::default();
        let now = Timestamp::UNIX_EPOCH;
        let of = |labels: &str, value: &str| format!(r#"[{{"metric":{{{labels}}},"value":[0,"{value}"]}}]"#);
        found.take(
            &query(QueryType::Resource, "cpu"),
            series(&of(r#""namespace":"shop","pod":"a","container":"app""#, "0.25")),
            now,
        );
        found.take(&query(QueryType::Pods, "rps"), series(&of(r#""namespace":"shop","pod":"a""#, "7.0001")), now);
        found.take(&query(QueryType::Object, "hits"), series(&of(r#""namespace":"shop","ingress":"front""#, "9")), now);
        found.take(&query(QueryType::External, "depth"), series(&of(r#""queue":"orders""#, "1e3")), now);
        for (labels, value) in [(r#""pod":"a""#, "1"), (r#""namespace":"shop","pod":"a""#, "NaN"), ("", "-1")] {
            found.take(&query(QueryType::Pods, "rps"), series(&of(labels, value)), now);
        }
        let (pods, custom, external) = found.values();
        assert_eq!((pods.len(), &*pods[0].metadata.name, &*pods[0].window), (1, "a", "1m"));
        assert_eq!(pods[0].containers[0].usage["cpu"].0, "250m");
        let told: Vec<_> =
            custom.iter().map(|v| (&*v.described_object.kind, &*v.described_object.name, &*v.value.0)).collect();
        assert_eq!(told, [("Pod", "a", "7001m"), ("Ingress", "front", "9000m")]);
        assert_eq!((&*external[0].0, &*external[0].1.value.0), ("", "1000000m"));
    }

    #[test]
    fn queries_are_checked_when_the_server_starts() {
        let fetcher = Fetcher::with_http("").expect("a client");
        let new = |queries| Prometheus::new("http://127.0.0.1:9090/", queries, fetcher.clone());
        assert!(new(vec![query(QueryType::Pods, "rps"), query(QueryType::Object, "hits")]).is_ok());
        assert!(new(Vec::new()).is_err());
        let without_object = Query { object: None, ..query(QueryType::Object, "hits") };
        assert!(new(vec![without_object]).is_err_and(|why| why.contains("[0].object")));
        assert!(new(vec![query(QueryType::Pods, "")]).is_err());
    }

    #[tokio::test]
    async fn a_dead_prometheus_has_no_values() {
        let fetcher = Fetcher::with_http("").expect("a client");
        // Nobody listens on the port of discarded messages.
        let prometheus =
            Prometheus::new("http://127.0.0.1:9", vec![query(QueryType::Pods, "rps")], fetcher).expect("one");
        let (pods, custom, external) = prometheus.values(Timestamp::UNIX_EPOCH).await;
        assert_eq!((pods.len(), custom.len(), external.len()), (0, 0, 0));
    }

    #[test]
    fn a_query_is_encoded() {
        assert_eq!(encoded("rate(a{b=\"c\"}[1m])").to_ascii_uppercase(), "RATE%28A%7BB%3D%22C%22%7D%5B1M%5D%29");
    }
}
