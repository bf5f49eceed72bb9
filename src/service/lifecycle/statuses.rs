//! Statuses that are counted: of disruption budgets from pods, of quotas from all that they limit. In a cluster of Kubernetes two controllers
//! count them. A client that writes such a status itself is taken for its controller: then it is left to the client. Imported objects are left alone.
//!
//! A namespace with a budget or a quota is counted anew a second and a half after something in it has changed, later where counting takes long.
//!
//! Source: `pkg/controller/disruption`, `pkg/controller/resourcequota`.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, value::to_raw_value};
use tokio::time::Instant;

use crate::{
    clock,
    core::snapshot::{Kind, Object},
    service::compute::compute,
    store::{Atomicity, Change, Key, ListQuery, Outcome, Record, Store, StoreError, Write},
    wire::{
        decode::DecodeError,
        defaults,
        disruption_status::{self, Workload},
        document::Document,
        kinds::{self, StoredKind},
        patch::{self, Writer},
    },
};

/// The manager of the fields that are counted here.
const MANAGER: &str = "podberth";

/// Time for which an object, and all that it counts, is left alone after a change.
const SETTLES: SignedDuration = SignedDuration::from_millis(1_500);

/// Part of the time that counting a namespace may take: one twentieth.
const SHARE: u32 = 20;

/// Namespaces that are counted in one turn.
const AT_ONCE: usize = 20;

/// The kinds of workloads that budgets ask for their number of pods.
const WORKLOADS: [(&str, &str); 4] =
    [("apps", "deployments"), ("apps", "replicasets"), ("apps", "statefulsets"), ("", "replicationcontrollers")];

/// The namespaces with something to count.
#[derive(Debug, Default)]
pub(super) struct Statuses {
    /// Budgets and quotas by their namespaces, with the time of their last change.
    counting: HashMap<String, HashMap<Key, Timestamp>>,
    /// Namespaces to count, and when.
    due: BTreeMap<String, Timestamp>,
}

fn is_counting(kind: &str) -> bool {
    let rows = [kinds::by_core(Kind::PodDisruptionBudget), kinds::by_plural("", "resourcequotas")];
    rows.into_iter().flatten().any(|row| row.key() == kind)
}

impl Statuses {
    /// Takes in a record of the feed.
    pub(super) fn apply(&mut self, record: &Record, now: Timestamp) {
        let Key { kind, namespace, .. } = &record.key;
        if is_counting(kind) {
            let counting = self.counting.entry(namespace.clone()).or_default();
            if record.deleted {
                counting.remove(&record.key);
            } else {
                counting.insert(record.key.clone(), now);
            }
            if counting.is_empty() {
                self.counting.remove(namespace);
                self.due.remove(namespace);
                return;
            }
        }
        if self.counting.contains_key(namespace) {
            self.due.entry(namespace.clone()).or_insert_with(|| later(now, SETTLES));
        }
    }

    /// `true` if something is to be counted now.
    pub(super) fn has_work(&self, now: Timestamp) -> bool {
        self.next().is_some_and(|next| next <= now)
    }

    /// When something is to be counted.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.values().min().copied()
    }

    /// Counts what is due; returns the number of objects whose status was written.
    ///
    /// # Errors
    /// Those of the store. What was not done is due again.
    pub(super) async fn turn(&mut self, store: &dyn Store, cluster: &str, now: Timestamp) -> Result<usize, StoreError> {
        let due: Vec<String> = self.due.iter().filter(|(_, due)| **due <= now).map(|(name, _)| name.clone()).collect();
        let mut written = 0;
        for namespace in due.into_iter().take(AT_ONCE) {
            let settled = |changed: &Timestamp| later(*changed, SETTLES) <= now;
            let Some(counting) = self.counting.get(&namespace) else { continue };
            let keys: Vec<Key> = counting.iter().filter(|(_, at)| settled(at)).map(|(key, _)| key.clone()).collect();
            let is_left = keys.len() < counting.len();
            let start = Instant::now();
            written += count(store, cluster, &namespace, keys, now).await?;
            let took = SignedDuration::try_from(start.elapsed() * SHARE).unwrap_or(SETTLES);
            if is_left || took > SETTLES {
                self.due.insert(namespace, later(now, took.max(SETTLES)));
            } else {
                self.due.remove(&namespace);
            }
        }
        Ok(written)
    }
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(time)
}

/// Counts budgets and quotas of a namespace, and writes the statuses that are not right.
async fn count(
    store: &dyn Store,
    cluster: &str,
    namespace: &str,
    keys: Vec<Key>,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut counting: Vec<(&'static StoredKind, Record, Value)> = Vec::new();
    for record in store.find(cluster, &keys).await? {
        // One that cannot be read is left as it is.
        if let Some(kind) = kinds::by_key(&record.key.kind)
            && let Ok(object) = serde_json::from_slice::<Value>(&record.body)
            && is_own(&object)
        {
            counting.push((kind, record, object));
        }
    }
    let mut needed: Vec<&'static StoredKind> = Vec::new();
    for (kind, _, object) in &counting {
        if kind.is(Kind::PodDisruptionBudget) {
            needed.extend(kinds::by_core(Kind::Pod));
            if disruption_status::needs_workloads(object) {
                needed.extend(WORKLOADS.iter().filter_map(|(group, plural)| kinds::by_plural(group, plural)));
            }
        } else {
            needed.extend(defaults::counted_by(object));
        }
    }
    let mut objects: HashMap<String, Vec<Record>> = HashMap::new();
    for key in needed.into_iter().map(StoredKind::key) {
        if let Entry::Vacant(absent) = objects.entry(key) {
            let query = ListQuery { namespace: Some(namespace.to_owned()), ..ListQuery::all(&**absent.key()) };
            absent.insert(store.list(cluster, &query).await?.items);
        }
    }
    let computed = compute(move || {
        let objects = Objects::read(&objects);
        counting.into_iter().filter_map(|(kind, record, object)| write(kind, &record, &object, &objects, now)).collect()
    });
    let writes: Vec<Write> = computed.await.map_err(|error| StoreError::Internal(error.to_string()))?;
    if writes.is_empty() {
        return Ok(0);
    }
    let outcomes = store.commit(cluster, writes, Atomicity::Each).await?.outcomes;
    Ok(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Written { .. })).count())
}

/// `true` if a client made the object here, and nobody else writes its status. One that was imported has the status that it has elsewhere.
fn is_own(object: &Value) -> bool {
    let managers = object["metadata"]["managedFields"].as_array().map_or(&[][..], Vec::as_slice);
    let mut others = managers.iter().filter(|entry| entry["manager"] != MANAGER);
    !managers.is_empty() && others.all(|entry| entry["subresource"] != "status")
}

/// The objects of a namespace that are counted.
struct Objects {
    of_kind: HashMap<&'static str, (&'static StoredKind, Vec<Value>)>,
    /// The pods, as decisions and as JSON read them.
    pods: Vec<(Object, Value)>,
    workloads: BTreeMap<String, Workload>,
}

impl Objects {
    fn read(records: &HashMap<String, Vec<Record>>) -> Self {
        let (mut of_kind, mut pods, mut workloads) = (HashMap::new(), Vec::new(), BTreeMap::new());
        for (key, records) in records {
            let Some(kind) = kinds::by_key(key) else { continue };
            // What cannot be read counts nothing.
            let read = |record: &Record| serde_json::from_slice::<Value>(&record.body).ok();
            let objects: Vec<Value> = records.iter().filter_map(read).collect();
            if kind.is(Kind::Pod) {
                let both = |record: &Record| Some((kind.parse(&record.body).ok()?.object, read(record)?));
                pods.extend(records.iter().filter_map(both));
            }
            for object in &objects {
                if let (Some(replicas), Some(uid)) =
                    (object["spec"]["replicas"].as_i64(), object["metadata"]["uid"].as_str())
                {
                    let controller = disruption_status::controller(object).map(str::to_owned);
                    workloads.insert(uid.to_owned(), Workload { replicas, controller });
                }
            }
            of_kind.insert(kind.plural, (kind, objects));
        }
        Self { of_kind, pods, workloads }
    }

    /// The pods that a budget covers.
    fn covered(&self, kind: &StoredKind, budget: &Record) -> Vec<Value> {
        let Ok(Object::PodDisruptionBudget(budget)) = kind.parse(&budget.body).map(|parsed| parsed.object) else {
            return Vec::new();
        };
        let covers = |pod: &Object| matches!(pod, Object::Pod(pod) if budget.covers(pod));
        self.pods.iter().filter(|(pod, _)| covers(pod)).map(|(_, pod)| pod.clone()).collect()
    }
}

/// The write of a status, if another one is stored.
fn write(
    kind: &'static StoredKind,
    record: &Record,
    object: &Value,
    objects: &Objects,
    now: Timestamp,
) -> Option<Write> {
    let status = if kind.is(Kind::PodDisruptionBudget) {
        disruption_status::status(object, &objects.covered(kind, record), &objects.workloads, now)
    } else {
        let counted: Vec<(&StoredKind, Vec<Value>)> = defaults::counted_by(object)
            .into_iter()
            .filter_map(|kind| objects.of_kind.get(kind.plural))
            .map(|(kind, objects)| (*kind, objects.clone()))
            .collect();
        defaults::quota_status(object, &counted)
    };
    if status == object["status"] {
        return None;
    }
    match with_status(kind, record, &status, now) {
        Ok(document) => Some(Write::of(record, Change::body(record, document.into_body()))),
        Err(error) => {
            tracing::debug!(kind = %record.key.kind, name = record.key.name, %error, "the status cannot be written");
            None
        }
    }
}

fn with_status(kind: &StoredKind, record: &Record, status: &Value, now: Timestamp) -> Result<Document, DecodeError> {
    let stored = Document::parse(&record.body)?;
    let mut next = stored.clone();
    if let Ok(raw) = to_raw_value(status) {
        next.set("status", raw);
    }
    let now = clock::rfc3339(now);
    let writer = Writer { manager: MANAGER, is_named: true, subresource: "status", now: Some(&now) };
    patch::track(kind, Some(&stored), &mut next, &writer)?;
    Ok(next)
}
