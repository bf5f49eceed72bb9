//! Checks placements, by the stored objects and by a second implementation of the rules.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use serde::Deserialize;

use super::client::Client;
use podberth_core::model::Quantity;

/// Objects of one page of a list.
const PAGE: usize = 2_000;

/// The amounts that a node offers, and those in use.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pub(super) zone: &'static str,
    /// Millicores.
    pub(super) cpu: i64,
    /// Bytes.
    pub(super) memory: i64,
    pub(super) pods: i64,
}

/// Nodes by name.
pub(super) type Rooms = BTreeMap<String, Room>;

/// A stored pod.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    /// Empty where it waits for one.
    pub(super) node: String,
    cpu: i64,
    memory: i64,
}

#[derive(Deserialize)]
struct PodList {
    metadata: ListMeta,
    items: Vec<Pod>,
}

#[derive(Deserialize)]
struct ListMeta {
    #[serde(rename = "continue", default)]
    next: String,
}

#[derive(Deserialize)]
struct Pod {
    metadata: Meta,
    spec: Spec,
}

#[derive(Deserialize)]
struct Meta {
    namespace: String,
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    node_name: String,
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    resources: Requests,
}

#[derive(Deserialize)]
struct Requests {
    requests: Amounts,
}

#[derive(Deserialize)]
struct Amounts {
    cpu: String,
    memory: String,
}

impl TryFrom<Pod> for Stored {
    type Error = String;

    fn try_from(pod: Pod) -> Result<Self, String> {
        let (mut cpu, mut memory) = (0, 0);
        for Container { resources: Requests { requests } } in &pod.spec.containers {
            cpu += quantity(&requests.cpu)?.milli_value();
            memory += quantity(&requests.memory)?.value();
        }
        let (Meta { namespace, name, labels }, node) = (pod.metadata, pod.spec.node_name);
        Ok(Self { namespace, name, labels, node, cpu, memory })
    }
}

fn quantity(text: &str) -> Result<Quantity, String> {
    text.parse().map_err(|_| format!("{text:?} is no quantity"))
}

/// All pods that a list has; `url` is the list's.
pub(super) async fn stored(client: &Client, url: &str) -> Result<Vec<Stored>, String> {
    let (mut found, mut next) = (Vec::new(), String::new());
    loop {
        let page = format!("{url}?limit={PAGE}&continue={next}");
        let reply = client.send(Method::GET, &page, None, "").await?;
        let list: PodList = serde_json::from_slice(&reply.body).map_err(|error| format!("{url}: {error}"))?;
        for pod in list.items {
            found.push(Stored::try_from(pod)?);
        }
        if list.metadata.next.is_empty() {
            return Ok(found);
        }
        next = list.metadata.next;
    }
}

/// Every pod is on a node, and no node has more than it offers.
pub(super) fn fits(mut rooms: Rooms, pods: &[Stored]) -> Result<(), String> {
    for pod in pods {
        let Stored { namespace, name, node, cpu, memory, .. } = pod;
        if node.is_empty() {
            return Err(format!("{namespace}/{name} is on no node"));
        }
        let room =
            rooms.get_mut(node).ok_or_else(|| format!("{namespace}/{name} is on {node:?}, which there is not"))?;
        room.cpu -= cpu;
        room.memory -= memory;
        room.pods -= 1;
    }
    match rooms.iter().find(|(_, room)| room.cpu < 0 || room.memory < 0 || room.pods < 0) {
        Some((node, room)) => Err(format!("{node} is overcommitted: {room:?} is left")),
        None => Ok(()),
    }
}

/// No two of the pods share a node.
pub(super) fn apart<'p>(pods: impl IntoIterator<Item = &'p Stored>) -> Result<(), String> {
    let mut taken = BTreeSet::new();
    match pods.into_iter().find(|pod| !taken.insert(&pod.node)) {
        Some(pod) => {
            Err(format!("{}/{} shares {} with one that it must be apart from", pod.namespace, pod.name, pod.node))
        }
        None => Ok(()),
    }
}

/// Checks that the pods are all in one zone, as affinity to each other over zones demands.
pub(super) fn together<'p>(rooms: &Rooms, pods: impl IntoIterator<Item = &'p Stored>) -> Result<(), String> {
    let zones: BTreeSet<&str> = pods.into_iter().filter_map(|pod| rooms.get(&pod.node)).map(|room| room.zone).collect();
    if zones.len() <= 1 { Ok(()) } else { Err(format!("pods that must be together are in {zones:?}")) }
}

/// The zones have about as many of the pods each.
pub(super) fn spread<'p>(
    rooms: &Rooms,
    pods: impl IntoIterator<Item = &'p Stored>,
    max_skew: usize,
) -> Result<(), String> {
    let mut counts: BTreeMap<&str, usize> = rooms.values().map(|room| (room.zone, 0)).collect();
    for pod in pods {
        *rooms.get(&pod.node).and_then(|room| counts.get_mut(room.zone)).ok_or("a pod is in no zone")? += 1;
    }
    let (least, most) = (counts.values().min().unwrap_or(&0), counts.values().max().unwrap_or(&0));
    if most - least <= max_skew { Ok(()) } else { Err(format!("the skew is above {max_skew}: {counts:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms() -> Rooms {
        let room = |zone| Room { zone, cpu: 1_000, memory: 100, pods: 2 };
        [("a".to_owned(), room("x")), ("b".to_owned(), room("y"))].into()
    }

    fn pod(node: &str, cpu: i64) -> Stored {
        let (namespace, name, labels) = ("ns".to_owned(), "p".to_owned(), BTreeMap::new());
        Stored { namespace, name, labels, node: node.to_owned(), cpu, memory: 1 }
    }

    #[test]
    fn wrong_placements_are_seen() {
        assert_eq!(fits(rooms(), &[pod("a", 600), pod("b", 600)]), Ok(()));
        assert!(fits(rooms(), &[pod("a", 600), pod("a", 600)]).is_err_and(|e| e.contains("overcommitted")));
        assert!(fits(rooms(), &[pod("a", 1), pod("a", 1), pod("a", 1)]).is_err_and(|e| e.contains("overcommitted")));
        assert!(fits(rooms(), &[pod("", 1)]).is_err_and(|e| e.contains("no node")));
        assert!(fits(rooms(), &[pod("c", 1)]).is_err_and(|e| e.contains("there is not")));
        assert!(apart(&[pod("a", 1), pod("a", 1)]).is_err() && apart(&[pod("a", 1), pod("b", 1)]).is_ok());
        assert!(together(&rooms(), &[pod("a", 1), pod("b", 1)]).is_err());
        assert!(together(&rooms(), &[pod("a", 1), pod("a", 1)]).is_ok());
        // 2 in x, 0 in y.
        assert!(spread(&rooms(), &[pod("a", 1), pod("a", 1)], 1).is_err());
        assert!(spread(&rooms(), &[pod("a", 1), pod("a", 1)], 2).is_ok());
    }
}
