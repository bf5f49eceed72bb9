//! Metrics that clients send: the newest values of pods, objects and things outside of the cluster, kept for some minutes.
//!
//! They are entries of the ledger, so that all processes on a database have them and no revision is taken. A value replaces the one of before; of an external
//! metric the newest message replaces all series. What is too old, or more than some megabytes, is dropped.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry as Slot},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    core::advise::hpa::Metrics,
    service::{
        Service,
        compute::compute,
        context::{self, Fresh},
        error::{Error, Result},
    },
    store::{Entry, EntryId, Retain, Scan, ledger::MAX_BODY},
    wire::{
        autoscale::hpa::{ExternalMetricValue, MetricValue, PodMetrics, custom_values, external_values, pod_usages},
        fault::{Faults, Path},
    },
};

/// The ledger's kind.
const KIND: &str = "metrics";

/// Time for which a value counts.
pub const KEPT_FOR: Duration = Duration::from_mins(3);

/// Bytes of values that are kept of a cluster.
const MOST_BYTES: u64 = 64 << 20;

/// Items of one message.
const MOST_ITEMS: usize = 20_000;

/// The kind of values that a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// `PodMetrics`
    Pods,
    /// `MetricValue`
    Custom,
    /// `ExternalMetricValue`
    External,
}

impl Sort {
    fn word(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Custom => "custom",
            Self::External => "external",
        }
    }
}

/// The name of a message.
const REQUEST: &str = "MetricsList";

/// Keeps the values of a message. `namespace` is that of the path; empty where each item names its own.
///
/// # Errors
/// [`Error::Invalid`] with the faults of items, [`Error::NotFound`] if there is no such cluster, and those of the store.
pub async fn keep<T: Serialize>(
    service: &Service,
    cluster: &Arc<str>,
    sort: Sort,
    namespace: &str,
    items: &[T],
    faults: Faults,
) -> Result<usize> {
    let causes = faults.into_causes();
    if !causes.is_empty() {
        return Err(super::refused(REQUEST)(causes));
    }
    if items.len() > MOST_ITEMS {
        let why = format!("Too many: a message has at most {MOST_ITEMS} items");
        return Err(super::fault(REQUEST, "items", |faults, at| faults.too_many(at, why)));
    }
    // Values of clusters that nobody made would grow without a bound.
    context::take(service, cluster, Fresh::default()).await?.is_there()?;
    let bodies = bodies(items)?;
    if sort == Sort::External && bodies.len() > 1 {
        // A message replaces all series of its metrics, so that it must be one entry.
        return Err(super::fault(REQUEST, "items", |faults, at| faults.too_long(at, MAX_BODY)));
    }
    let now = service.clusters.now().await?;
    let entry = |body: Bytes| Entry {
        cluster: cluster.clone(),
        kind: KIND.into(),
        id: EntryId::new(now, Uuid::new_v4().as_u64_pair().1),
        subject: sort.word().into(),
        object: namespace.to_owned(),
        body,
    };
    let entries: Vec<Entry> = bodies.into_iter().map(entry).collect();
    for some in entries.chunks(8) {
        service.store.append(some).await?;
    }
    let since = now.checked_sub(SignedDuration::try_from(KEPT_FOR * 2).unwrap_or_default()).ok();
    service.store.prune(cluster, KIND, &Retain { since, bytes: Some(MOST_BYTES), entries: None }).await?;
    Ok(items.len())
}

/// The items as lists of JSON, each of which an entry can hold.
fn bodies<T: Serialize>(items: &[T]) -> Result<Vec<Bytes>> {
    let mut bodies = Vec::new();
    let mut text = String::new();
    for (i, item) in items.iter().enumerate() {
        let json = serde_json::to_string(item).map_err(Error::internal)?;
        if json.len() + 2 > MAX_BODY {
            return Err(super::fault(REQUEST, "items", |faults, at| faults.too_long(&at.index(i), MAX_BODY)));
        }
        if text.len() + json.len() + 2 > MAX_BODY {
            text.push(']');
            bodies.push(Bytes::from(std::mem::take(&mut text)));
        }
        text.push(if text.is_empty() { '[' } else { ',' });
        text.push_str(&json);
    }
    if !text.is_empty() {
        text.push(']');
        bodies.push(Bytes::from(text));
    }
    Ok(bodies)
}

/// The newest values of a cluster, by namespace.
#[derive(Clone, Debug, Default)]
pub struct Newest {
    /// The use of pods.
    pub pods: BTreeMap<(String, String), PodMetrics>,
    /// The values of objects: by namespace, metric, object and labels.
    custom: BTreeMap<(String, String), MetricValue>,
    /// The series of external metrics, by namespace and metric.
    external: BTreeMap<(String, String), Vec<ExternalMetricValue>>,
}

/// The newest values.
///
/// # Errors
/// Those of the store.
pub async fn newest(service: &Service, cluster: &Arc<str>) -> Result<Newest> {
    let now = service.clusters.now().await?;
    let since: Option<Timestamp> = now.checked_sub(SignedDuration::try_from(KEPT_FOR).unwrap_or_default()).ok();
    let mut scan = Scan { since, ..Scan::all(cluster.clone(), KIND) };
    let mut newest = Newest::default();
    loop {
        let page = service.store.scan(&scan).await?;
        let entries = page.entries;
        newest = compute(move || {
            for entry in &entries {
                newest.take(entry);
            }
            newest
        })
        .await?;
        scan.after = page.next;
        if scan.after.is_none() {
            return Ok(newest);
        }
    }
}

/// The list of an entry. It was checked when it came.
fn list<T: DeserializeOwned>(entry: &Entry) -> Vec<T> {
    serde_json::from_slice(&entry.body).unwrap_or_default()
}

impl Newest {
    /// Takes in an entry that is older than those before.
    fn take(&mut self, entry: &Entry) {
        let or = |namespace: &str| if namespace.is_empty() { entry.object.clone() } else { namespace.to_owned() };
        match &*entry.subject {
            "pods" => {
                for pod in list::<PodMetrics>(entry) {
                    let key = (or(&pod.metadata.namespace), pod.metadata.name.clone());
                    self.pods.entry(key).or_insert(pod);
                }
            }
            "custom" => {
                for value in list::<MetricValue>(entry) {
                    let of = &value.described_object;
                    let metric = if value.metric.name.is_empty() { &value.metric_name } else { &value.metric.name };
                    let labels = value.metric.selector.as_ref().map(|selector| &selector.match_labels);
                    let rest = format!("{metric}\n{}\n{}\n{}\n{labels:?}", of.api_version, of.kind, of.name);
                    self.custom.entry((or(&of.namespace), rest)).or_insert(value);
                }
            }
            _ => {
                let mut series: BTreeMap<String, Vec<ExternalMetricValue>> = BTreeMap::new();
                for value in list::<ExternalMetricValue>(entry) {
                    series.entry(value.metric_name.clone()).or_default().push(value);
                }
                for (metric, values) in series {
                    if let Slot::Vacant(absent) = self.external.entry((entry.object.clone(), metric)) {
                        absent.insert(values);
                    }
                }
            }
        }
    }

    /// Adds what another source has. The values that are there already stay.
    pub fn add(
        &mut self,
        pods: Vec<PodMetrics>,
        custom: Vec<MetricValue>,
        external: Vec<(String, ExternalMetricValue)>,
    ) {
        for pod in pods {
            let key = (pod.metadata.namespace.clone(), pod.metadata.name.clone());
            self.pods.entry(key).or_insert(pod);
        }
        for (i, value) in custom.into_iter().enumerate() {
            let key = (value.described_object.namespace.clone(), format!("\n{i}\n{}", value.metric.name));
            self.custom.insert(key, value);
        }
        for (namespace, value) in external {
            self.external.entry((namespace, value.metric_name.clone())).or_default().push(value);
        }
    }

    /// The values as the engine reads them, by namespace. Values without a namespace are in that of the empty name.
    pub fn by_namespace(&self) -> BTreeMap<String, Arc<Metrics>> {
        fn of<T: Clone>(map: &BTreeMap<(String, String), T>, namespace: &str) -> Vec<T> {
            let from = map.range((namespace.to_owned(), String::new())..);
            from.take_while(|((of, _), _)| of == namespace).map(|(_, value)| value.clone()).collect()
        }
        let namespaces: BTreeSet<&String> = self
            .pods
            .keys()
            .chain(self.custom.keys())
            .chain(self.external.keys())
            .map(|(namespace, _)| namespace)
            .collect();
        // Each was checked before.
        let mut faults = Faults::default();
        let root = Path::ROOT;
        let mut found = BTreeMap::new();
        for namespace in namespaces {
            let pods = pod_usages(&of(&self.pods, namespace), namespace, &root, &mut faults);
            let custom = custom_values(&of(&self.custom, namespace), namespace, &root, &mut faults);
            let external = external_values(&of(&self.external, namespace).concat(), &root, &mut faults);
            found.insert(namespace.clone(), Arc::new(Metrics { pods, custom, external }));
        }
        found
    }
}

/// The values of one namespace, with those of external metrics that belong to none.
pub fn of_namespace(all: &BTreeMap<String, Arc<Metrics>>, namespace: &str) -> Arc<Metrics> {
    let own = all.get(namespace).cloned().unwrap_or_default();
    match all.get("").filter(|others| !others.external.is_empty()) {
        None => own,
        Some(others) => {
            let mut own = Arc::unwrap_or_clone(own);
            own.external.extend(others.external.iter().cloned());
            Arc::new(own)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_several_entries() {
        let items: Vec<String> = (0..6).map(|i| format!("{i}").repeat(100_000)).collect();
        let bodies = bodies(&items).expect("bodies");
        assert_eq!(bodies.len(), 3);
        let read: Vec<String> =
            bodies.iter().flat_map(|body| serde_json::from_slice::<Vec<String>>(body).expect("a list")).collect();
        assert_eq!(read, items);
        assert_eq!(super::bodies::<String>(&[]).expect("none").len(), 0);
    }

    #[test]
    fn the_newest_value_counts() {
        let entry = |subject: &str, body: &str| Entry {
            cluster: "default".into(),
            kind: KIND.into(),
            id: EntryId::new(Timestamp::UNIX_EPOCH, 1),
            subject: subject.into(),
            object: "shop".into(),
            body: Bytes::from(body.to_owned()),
        };
        let mut newest = Newest::default();
        let pods = |cpu: &str| {
            format!(
                r#"[{{"metadata":{{"name":"a"}},"timestamp":"2026-01-05T12:00:00Z","containers":[{{"name":"c","usage":{{"cpu":"{cpu}"}}}}]}}]"#
            )
        };
        newest.take(&entry("pods", &pods("2")));
        newest.take(&entry("pods", &pods("1")));
        newest.take(&entry("external", r#"[{"metricName":"q","value":"5"}]"#));
        newest.take(&entry(
            "external",
            r#"[{"metricName":"q","value":"7"},{"metricName":"q","value":"8"},{"metricName":"r","value":"1"}]"#,
        ));
        let metrics = of_namespace(&newest.by_namespace(), "shop");
        assert_eq!(metrics.pods[0].containers[0].1["cpu"], 2_000);
        let mut external: Vec<i64> = metrics.external.iter().map(|value| value.milli).collect();
        external.sort_unstable();
        assert_eq!(external, [1_000, 5_000], "a newer message replaces all series of its metrics");
        assert_eq!(of_namespace(&newest.by_namespace(), "other").pods.len(), 0);
    }
}
