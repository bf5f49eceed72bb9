//! The pods that NoExecute taints drive off their nodes, and their departure.
//!
//! Nothing here runs by itself: a client lists the evictions that are due and has them carried out. Disruption budgets do not matter, as in
//! Kubernetes' taint eviction.
//!
//! Node and pods are read again from the store before anything is deleted, and the deletions are committed only if neither has changed since. So a
//! pod stays if its taint was removed, or a toleration added, in time.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    clock,
    core::{
        evictions::{Eviction, evictions, notice},
        model::{Node, Pod, Taint},
        snapshot::{Kind, Object},
    },
    live::View,
    service::{
        Service,
        access::sight::Sight,
        compute::compute,
        context,
        error::{Error, Result},
        objects::ATTEMPTS,
        source::guard,
    },
    store::{Atomicity, Call, Change, Key, Outcome, Precondition, Record, Write},
    wire::{fault::Cause, kinds},
};

/// Which evictions are meant.
#[derive(Clone, Debug, Default)]
pub struct Meant {
    /// Those from this node only.
    pub node: Option<String>,
    /// Those of pods of this namespace only.
    pub namespace: Option<String>,
    /// Those that are due by this instant only.
    pub before: Option<Timestamp>,
    /// Largest number of evictions.
    pub limit: usize,
}

impl Meant {
    /// The evictions of a view that are meant, the soonest first, and how many more there are.
    fn of(&self, view: &View, now: i64, before: Option<i64>) -> (Vec<Eviction>, usize) {
        let mut found = evictions(&view.snapshot, now);
        found.retain(|eviction| {
            self.node.as_ref().is_none_or(|node| *eviction.node == **node)
                && self.namespace.as_ref().is_none_or(|namespace| *eviction.pod.namespace == **namespace)
                && before.is_none_or(|before| eviction.notice.is_due(before))
        });
        let remaining = found.len().saturating_sub(self.limit);
        found.truncate(self.limit);
        (found, remaining)
    }
}

/// The pods that are to leave their nodes.
#[derive(Debug, Serialize, ToSchema)]
pub struct EvictionList {
    /// The soonest first, those without a time last.
    pub items: Vec<EvictionItem>,
    /// How many more there are behind the limit.
    pub remaining: usize,
    /// The revision of the state that this was read from; 0 with `scope=clusters`.
    pub revision: u64,
    /// Why nothing is to be done, where that needs a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
}

/// A pod that is to leave its node.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvictionItem {
    /// The pod.
    pub pod: EvictedPod,
    /// The node that it is on.
    pub node: String,
    /// The time, RFC 3339; absent if the taint has no `timeAdded`, and then it is never due.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub at: Option<String>,
    /// `true` if that time has come.
    pub due: bool,
    /// The taints that it does not tolerate, or no longer at that time.
    pub taints: Vec<EvictingTaint>,
    /// For how many seconds it tolerates the taint; absent where it does not tolerate it at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub toleration_seconds: Option<i64>,
    /// With `scope=clusters`: the placement that the pod belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub placement: Option<String>,
    /// With `scope=clusters`: the cluster that the pod is to leave.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cluster: Option<String>,
    /// With `scope=clusters`: the cluster that has room for it; absent if none has, or it is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub to: Option<String>,
    /// With `scope=clusters`: why it stays for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub held: Option<String>,
}

/// A pod by all its names.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EvictedPod {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The uid.
    pub uid: String,
}

/// A NoExecute taint.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvictingTaint {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// The time when it was added, RFC 3339; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub time_added: Option<String>,
}

/// The evictions carried out.
#[derive(Debug, Serialize, ToSchema)]
pub struct EvictionReport {
    /// The outcome for each pod, in the order of a list.
    pub items: Vec<EvictionResult>,
    /// How many more are due: ask again.
    pub remaining: usize,
    /// The cluster's revision afterwards; 0 with `scope=clusters`.
    pub revision: u64,
    /// Why nothing was done, where that needs a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
}

/// The outcome for a pod.
#[derive(Debug, Serialize, ToSchema)]
pub struct EvictionResult {
    /// The pod.
    pub pod: EvictedPod,
    /// The node that it was on.
    pub node: String,
    /// Its outcome.
    pub outcome: EvictionOutcome,
    /// With `scope=clusters`: the cluster that it was in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cluster: Option<String>,
    /// With `scope=clusters`: the cluster that has room for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub to: Option<String>,
    /// With `scope=clusters`: why it is no other outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub why: Option<String>,
}

/// `Deleted`; `Gone`: it was no longer there; `Stays`: its taints or tolerations changed meanwhile, or its node did;
/// `Contended`: others kept changing it or its node, ask again; `Moved`: it runs in another cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "documented above")]
pub enum EvictionOutcome {
    Deleted,
    Gone,
    Stays,
    Contended,
    Moved,
}

impl EvictionItem {
    fn new(eviction: &Eviction, now: i64) -> Self {
        let notice = &eviction.notice;
        Self {
            pod: EvictedPod::new(&eviction.pod),
            node: eviction.node.to_string(),
            at: notice.at.map(rfc3339),
            due: notice.is_due(now),
            taints: notice.taints.iter().map(EvictingTaint::new).collect(),
            toleration_seconds: notice.toleration_seconds,
            placement: None,
            cluster: None,
            to: None,
            held: None,
        }
    }
}

impl EvictedPod {
    pub(super) fn new(pod: &Pod) -> Self {
        Self { namespace: pod.namespace.to_string(), name: pod.name.to_string(), uid: pod.uid.to_string() }
    }

    pub(super) fn mask(&mut self, sight: &mut Sight) {
        sight.mask(&mut self.namespace, &mut self.name, Some(&mut self.uid));
    }
}

impl EvictingTaint {
    pub(super) fn new(taint: &Taint) -> Self {
        Self { key: taint.key.to_string(), value: taint.value.to_string(), time_added: taint.added.map(rfc3339) }
    }
}

/// An instant, in nanoseconds since 1970, as Kubernetes writes it.
pub(super) fn rfc3339(nanos: i64) -> String {
    Timestamp::from_nanosecond(nanos.into()).unwrap_or_default().to_string()
}

/// The pods that taints drive off their nodes, by name as far as `sight` goes.
///
/// # Errors
/// Where the cluster is not known or too old.
pub async fn list(service: &Service, cluster: &Arc<str>, meant: Meant, mut sight: Sight) -> Result<EvictionList> {
    let now = clock::now_nanoseconds();
    context::existing(service, cluster).await?;
    let view = context::view(service, cluster).await?;
    let list = compute(move || {
        let (found, remaining) = meant.of(&view, now, meant.before.map(clock::nanoseconds));
        let mut items: Vec<_> = found.iter().map(|eviction| EvictionItem::new(eviction, now)).collect();
        for item in &mut items {
            item.pod.mask(&mut sight);
        }
        EvictionList { items, remaining, revision: view.snapshot.revision, message: None }
    });
    list.await
}

/// Deletes the pods of [`list`] whose evictions are due; `before` may only restrict that. `dry_run`: returns only the outcomes. The report names
/// pods as far as `sight` goes.
///
/// # Errors
/// If the cluster does not exist, mirrors a live one or its view is too old, and the store's errors.
pub async fn carry_out(
    service: &Service,
    cluster: &Arc<str>,
    meant: Meant,
    dry_run: bool,
    mut sight: Sight,
) -> Result<EvictionReport> {
    guard::check_all(service, cluster).await?;
    let now = clock::now_nanoseconds();
    let before = meant.before.map_or(now, |before| clock::nanoseconds(before).min(now));
    context::existing(service, cluster).await?;
    let view = context::view(service, cluster).await?;
    let revision = view.snapshot.revision;
    let (found, remaining) = compute(move || meant.of(&view, now, Some(before))).await?;

    let mut by_node: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, eviction) in found.iter().enumerate() {
        by_node.entry(&eviction.node).or_default().push(i);
    }
    let mut departure =
        Departure { service, cluster, found: &found, now, dry_run, outcomes: vec![None; found.len()], revision };
    for (node, pods) in by_node {
        departure.empty_node(node, &pods).await?;
    }
    let Departure { outcomes, revision, .. } = departure;
    let items = found.iter().zip(outcomes).map(|(eviction, outcome)| {
        let mut pod = EvictedPod::new(&eviction.pod);
        pod.mask(&mut sight);
        EvictionResult {
            pod,
            node: eviction.node.to_string(),
            outcome: outcome.unwrap_or(EvictionOutcome::Contended),
            cluster: None,
            to: None,
            why: None,
        }
    });
    Ok(EvictionReport { items: items.collect(), remaining, revision, message: None })
}

/// Evictions in progress.
struct Departure<'a> {
    service: &'a Service,
    cluster: &'a str,
    found: &'a [Eviction],
    now: i64,
    dry_run: bool,
    /// One for each eviction; `None` while it is open.
    outcomes: Vec<Option<EvictionOutcome>>,
    /// The newest revision known.
    revision: u64,
}

impl Departure<'_> {
    /// Deletes pods of one node, in one commit that holds only if the node and every one of them are as they were read.
    async fn empty_node(&mut self, name: &str, pods: &[usize]) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let Some(record) = self.service.store.get(self.cluster, &key(Kind::Node, "", name)?).await? else {
                self.settle(pods, EvictionOutcome::Stays);
                return Ok(());
            };
            let Object::Node(node) = read(Kind::Node, &record)? else { return Err(misread(&record)) };
            // A put of what is there already: nothing is written, but the commit depends on the node being so.
            let unchanged = Change::body(&record, record.body.clone());
            let precondition = Precondition::revision(record.revision);
            let mut writes = vec![Write { key: record.key, precondition, change: unchanged }];
            let mut leaving = Vec::new();
            for i in pods.iter().copied().filter(|i| self.outcomes[*i].is_none()).collect::<Vec<_>>() {
                match self.judge(&self.found[i], &node).await? {
                    Ok(write) => {
                        writes.push(write);
                        leaving.push(i);
                    }
                    Err(outcome) => self.settle(&[i], outcome),
                }
            }
            if self.dry_run || leaving.is_empty() {
                self.settle(&leaving, EvictionOutcome::Deleted);
                return Ok(());
            }
            let call = Call { writes, atomicity: Atomicity::AllOrNothing };
            let commit = self.service.clusters.commit(self.cluster, call, None).await?;
            if !commit.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))) {
                self.revision = self.revision.max(commit.revision);
                self.settle(&leaving, EvictionOutcome::Deleted);
                return Ok(());
            }
            // The node or a pod has changed in between: judge anew.
        }
        Ok(())
    }

    fn settle(&mut self, pods: &[usize], outcome: EvictionOutcome) {
        for i in pods {
            self.outcomes[*i].get_or_insert(outcome);
        }
    }

    /// The deletion of a pod as it is in the store now, or why there is none.
    async fn judge(&self, eviction: &Eviction, node: &Node) -> Result<std::result::Result<Write, EvictionOutcome>> {
        let asked = &eviction.pod;
        let key = key(Kind::Pod, &asked.namespace, &asked.name)?;
        let Some(record) = self.service.store.get(self.cluster, &key).await? else {
            return Ok(Err(EvictionOutcome::Gone));
        };
        let Object::Pod(pod) = read(Kind::Pod, &record)? else { return Err(misread(&record)) };
        if pod.uid != asked.uid {
            return Ok(Err(EvictionOutcome::Gone));
        }
        let is_here = record.node.as_deref().unwrap_or(&pod.node_name) == &*node.name;
        let is_due = || notice(&pod, &node.taints, self.now).is_some_and(|notice| notice.is_due(self.now));
        if !is_here || !is_due() {
            return Ok(Err(EvictionOutcome::Stays));
        }
        Ok(Ok(Write::of(&record, Change::Delete)))
    }
}

/// Where an object is stored.
fn key(kind: Kind, namespace: &str, name: &str) -> Result<Key> {
    let kind = kinds::by_core(kind).ok_or_else(|| Error::internal("a kind is not stored"))?;
    Ok(Key::new(kind.key(), namespace, name))
}

/// The object of a record.
fn read(kind: Kind, record: &Record) -> Result<Object> {
    let kind = kinds::by_core(kind).ok_or_else(|| misread(record))?;
    let converted = kind.parse(&record.body).map_err(Error::internal)?;
    converted.lenient().map_err(|causes: Vec<Cause>| Error::internal(format!("{causes:?}")))
}

fn misread(record: &Record) -> Error {
    Error::internal(format!("the stored object {:?} is not of its kind", record.key))
}
