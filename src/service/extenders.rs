//! Calls to a policy's extenders: the stored (or sent) documents go out, verdicts and scores come back for the core.

use std::{collections::HashMap, sync::Arc};

use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Service, objects::with_node};
use crate::{
    core::{
        cycle::Cycle,
        extenders::ExtenderAnswers,
        model::{Name, Pod},
        policy::Profile,
        snapshot::{Kind, NamespacedName, Snapshot},
    },
    extenders::{Chain, Documents, Failure},
    store::{Key, ListQuery, Record},
    wire::{
        decode, document,
        explanation::ExtenderError,
        extender_calls::PodDocument,
        extender_calls::{node_name, pod_name},
        kinds,
        kinds::StoredKind,
        yaml,
    },
};

/// Largest number of nodes that are read one by one; for more, all are listed.
const READ_ONE_BY_ONE: usize = 32;

/// Calls the extenders of a policy for a pod that fits these nodes. Returns their answers and the failed calls. Like kube-scheduler, it asks for
/// scores only if more than one node is left.
pub async fn ask(
    chain: &Chain,
    pod: &PodDocument,
    fitting: &[Name],
    documents: &dyn Documents,
) -> (ExtenderAnswers, Vec<Failure>) {
    let filtered = match chain.filter(pod, fitting, documents).await {
        Ok(filtered) => filtered,
        Err(failure) => {
            let extenders = ExtenderAnswers { failure: Some(failure.to_string()), ..ExtenderAnswers::default() };
            return (extenders, vec![failure]);
        }
    };
    let mut extenders = ExtenderAnswers { verdicts: filtered.verdicts, ..ExtenderAnswers::default() };
    let mut skipped = filtered.skipped;
    if filtered.fits.len() > 1 {
        let scored = chain.prioritize(pod, &filtered.fits, documents).await;
        extenders.scores = scored.scores;
        skipped.extend(scored.skipped);
    }
    (extenders, skipped)
}

/// The nodes that every predicate accepts, in order of their names.
pub fn fitting(profile: &Profile, pod: &Pod, snapshot: &Snapshot) -> Vec<Name> {
    let snapshot = snapshot.asked_about(pod);
    let cycle = Cycle::prepare(profile, pod, &snapshot);
    let mut names: Vec<Name> = cycle.fitting().iter().map(|node| node.name().clone()).collect();
    names.sort();
    names
}

impl From<Failure> for ExtenderError {
    fn from(failure: Failure) -> Self {
        Self {
            extender: failure.extender.to_string(),
            verb: failure.verb.name().to_owned(),
            message: failure.cause.to_string(),
        }
    }
}

/// The documents of a stored cluster.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Where they are stored.
    pub service: Service,
    /// Whose they are.
    pub cluster: Arc<str>,
}

impl Stored {
    async fn get(&self, kind: &StoredKind, namespace: &str, name: &str) -> Result<Option<Arc<str>>, String> {
        let record = self.service.store.get(&self.cluster, &Key::new(kind.key(), namespace, name)).await;
        record.map_err(for_client)?.map(|record| rendered(kind, &record)).transpose()
    }
}

fn rendered(kind: &StoredKind, record: &Record) -> Result<Arc<str>, String> {
    let body = with_node(record).map_err(for_client)?;
    Ok(document::render(&body, kind, record.revision).into())
}

/// The error for the client; the cause is in the log only.
fn for_client(error: impl std::fmt::Display) -> String {
    tracing::warn!(%error, "documents for an extender cannot be read");
    "the database does not answer".into()
}

fn stored(kind: Kind) -> Result<&'static StoredKind, String> {
    kinds::by_core(kind).ok_or_else(|| format!("{kind:?} is not stored"))
}

impl Documents for Stored {
    fn nodes<'a>(&'a self, names: &'a [Name]) -> BoxFuture<'a, Result<Vec<Option<Arc<str>>>, String>> {
        Box::pin(async move {
            let kind = stored(Kind::Node)?;
            let mut found = Vec::with_capacity(names.len());
            if names.len() <= READ_ONE_BY_ONE {
                for name in names {
                    found.push(self.get(kind, "", name).await?);
                }
                return Ok(found);
            }
            let list = self.service.store.list(&self.cluster, &ListQuery::all(kind.key())).await.map_err(for_client)?;
            let by_name: HashMap<&str, &Record> = list.items.iter().map(|record| (&*record.key.name, record)).collect();
            for name in names {
                found.push(by_name.get(&**name).map(|record| rendered(kind, record)).transpose()?);
            }
            Ok(found)
        })
    }

    fn pods<'a>(&'a self, names: &'a [NamespacedName]) -> BoxFuture<'a, Result<Vec<Option<Arc<str>>>, String>> {
        Box::pin(async move {
            let kind = stored(Kind::Pod)?;
            let mut found = Vec::with_capacity(names.len());
            for (namespace, name) in names {
                found.push(self.get(kind, namespace, name).await?);
            }
            Ok(found)
        })
    }
}

/// The documents of a cluster that came with a request.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    nodes: HashMap<String, Arc<str>>,
    /// By namespace and name.
    pods: HashMap<(String, String), Arc<str>>,
}

/// The parts of a question as they were written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawQuestion<'a> {
    /// The pod.
    #[serde(borrow)]
    pub pod: Option<&'a RawValue>,
    /// The cluster.
    #[serde(borrow)]
    pub cluster: Option<&'a RawValue>,
}

/// The parts of a cluster as they were written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawCluster<'a> {
    #[serde(borrow)]
    nodes: Vec<&'a RawValue>,
    #[serde(borrow)]
    pods: Vec<&'a RawValue>,
}

impl Sent {
    /// The documents of a cluster. Of two objects of one name the last counts.
    pub fn new(cluster: &RawValue) -> Self {
        let lists: RawCluster<'_> = decode::from_slice(cluster.get().as_bytes()).unwrap_or_default();
        let named = lists.nodes.iter().filter_map(|node| Some((node_name(node.get())?, node.get().into())));
        let pods = lists.pods.iter().filter_map(|pod| Some((pod_name(pod.get())?, pod.get().into())));
        let mut sent = Self { nodes: named.collect(), pods: pods.collect() };
        // A list as kubectl prints it.
        for item in yaml::parse_items(cluster.get().as_bytes(), false).unwrap_or_default() {
            match item.kind.as_str() {
                "Node" => sent.nodes.extend(node_name(&item.json).map(|name| (name, item.json.as_str().into()))),
                "Pod" => sent.pods.extend(pod_name(&item.json).map(|name| (name, item.json.as_str().into()))),
                _ => {}
            }
        }
        sent
    }
}

impl Documents for Sent {
    fn nodes<'a>(&'a self, names: &'a [Name]) -> BoxFuture<'a, Result<Vec<Option<Arc<str>>>, String>> {
        Box::pin(async move { Ok(names.iter().map(|name| self.nodes.get(&**name).cloned()).collect()) })
    }

    fn pods<'a>(&'a self, names: &'a [NamespacedName]) -> BoxFuture<'a, Result<Vec<Option<Arc<str>>>, String>> {
        Box::pin(async move {
            let found =
                |(namespace, name): &NamespacedName| self.pods.get(&(namespace.to_string(), name.to_string())).cloned();
            Ok(names.iter().map(found).collect())
        })
    }
}
