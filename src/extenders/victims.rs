//! `preempt` and `bind`: the victims that extenders accept, and the extender that binds.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::value::RawValue;

use super::{Cause, Chain, Documents, Failure, Verb, peer::Peer};
use crate::{
    core::{
        model::{Name, Pod},
        snapshot::{NamespacedName, Snapshot},
    },
    wire::{
        extender::{MetaPod, MetaVictims},
        extender_calls::{FullVictims, PodDocument, parse_bound, parse_victims},
    },
};

/// The pods that would have to leave a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Victims {
    /// The pods.
    pub pods: Vec<Arc<Pod>>,
    /// How many disruption budgets that would break.
    pub budget_violations: i64,
}

/// The victims that extenders accept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preempted {
    /// The nodes that remain candidates, with their victims, which may be others than were proposed.
    pub candidates: BTreeMap<Name, Victims>,
    /// The ignorable extenders that did not answer, and were passed over.
    pub skipped: Vec<Failure>,
}

/// The party that bound a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// No extender binds it, or only ignorable ones that did not answer: bind it here.
    Here(Vec<Failure>),
    /// This extender, by its URL.
    By(Name),
}

impl Chain {
    /// Filters candidates: the extenders are called one after another, each with the candidates that the earlier ones left.
    ///
    /// # Errors
    /// If an extender that is not ignorable does not answer, or its reply is impossible.
    pub async fn preempt(
        &self,
        pod: &PodDocument,
        candidates: BTreeMap<Name, Victims>,
        snapshot: &Snapshot,
        documents: &dyn Documents,
    ) -> Result<Preempted, Failure> {
        let mut preempted = Preempted { candidates, ..Preempted::default() };
        for peer in self.asked(Verb::Preempt, pod) {
            if preempted.candidates.is_empty() {
                break;
            }
            match self.preempted_by(peer, pod, &preempted.candidates, snapshot, documents).await {
                Ok(candidates) => preempted.candidates = candidates,
                Err(failure) if peer.extender.ignorable => preempted.skipped.push(failure),
                Err(failure) => return Err(failure),
            }
        }
        Ok(preempted)
    }

    async fn preempted_by(
        &self,
        peer: &Peer,
        pod: &PodDocument,
        candidates: &BTreeMap<Name, Victims>,
        snapshot: &Snapshot,
        documents: &dyn Documents,
    ) -> Result<BTreeMap<Name, Victims>, Failure> {
        let failed = |cause| peer.failure(Verb::Preempt, cause);
        let question = if peer.extender.node_cache_capable {
            let by_uid = candidates.iter().map(|(node, victims)| (&**node, victims.by_uid()));
            pod.with_victims_by_uid(&by_uid.collect())
        } else {
            in_full(pod, candidates, documents).await.map_err(|why| failed(Cause::NoDocuments(why)))?
        };
        let answer = peer.ask(Verb::Preempt, question.into(), self.origin).await?;
        let reply = parse_victims(&answer).map_err(|error| failed(Cause::Unreadable(error.to_string())))?;
        resolved(reply, snapshot, peer.extender.ignorable).map_err(failed)
    }

    /// Has the pod bound by the extender that binds pods like it, if there is one.
    ///
    /// # Errors
    /// When it did not, and is not ignorable.
    pub async fn bind(&self, pod: &PodDocument, node: &str) -> Result<Bound, Failure> {
        let mut skipped = Vec::new();
        for peer in self.asked(Verb::Bind, pod) {
            let failed = |cause| peer.failure(Verb::Bind, cause);
            let answer = peer.ask(Verb::Bind, pod.binding_to(node).into(), self.origin).await;
            let bound = answer.and_then(|answer| match parse_bound(&answer) {
                Ok(error) if error.is_empty() => Ok(()),
                Ok(error) => Err(failed(Cause::Refused(error))),
                Err(error) => Err(failed(Cause::Unreadable(error.to_string()))),
            });
            match bound {
                Ok(()) => return Ok(Bound::By(peer.name.clone())),
                Err(failure) if peer.extender.ignorable => skipped.push(failure),
                Err(failure) => return Err(failure),
            }
        }
        Ok(Bound::Here(skipped))
    }
}

impl Victims {
    fn by_uid(&self) -> MetaVictims {
        let pods = self.pods.iter().map(|pod| MetaPod { uid: pod.uid.to_string() }).collect();
        MetaVictims { pods, num_pdb_violations: self.budget_violations }
    }
}

/// The question with victims in full. A victim that is gone is left out: it needs no eviction.
async fn in_full(
    pod: &PodDocument,
    candidates: &BTreeMap<Name, Victims>,
    documents: &dyn Documents,
) -> Result<Vec<u8>, String> {
    let victims = candidates.iter().flat_map(|(node, victims)| victims.pods.iter().map(move |pod| (node, pod)));
    let (nodes, names): (Vec<&Name>, Vec<NamespacedName>) =
        victims.map(|(node, pod)| (node, (pod.namespace.clone(), pod.name.clone()))).unzip();
    let mut full: BTreeMap<&str, FullVictims> = BTreeMap::new();
    for (node, victims) in candidates {
        let num_pdb_violations = victims.budget_violations;
        full.insert(node, FullVictims { pods: Vec::new(), num_pdb_violations });
    }
    for (node, document) in nodes.into_iter().zip(documents.pods(&names).await?) {
        if let (Some(victims), Some(document)) = (full.get_mut(&**node), document) {
            victims.pods.push(RawValue::from_string(document.to_string()).map_err(|error| error.to_string())?);
        }
    }
    pod.with_victims(&full).map_err(|error| error.to_string())
}

/// An answer with its victims looked up: each must be on its node, whether it was proposed or not.
fn resolved(
    reply: BTreeMap<String, MetaVictims>,
    snapshot: &Snapshot,
    ignorable: bool,
) -> Result<BTreeMap<Name, Victims>, Cause> {
    let mut candidates = BTreeMap::new();
    for (node, named) in reply {
        let info = snapshot.node(&node).ok_or_else(|| Cause::UnknownNode(node.clone()))?;
        let on_node = |uid: &str| info.pods.iter().find(|pod| *pod.uid == *uid).cloned();
        let pods: Result<Vec<Arc<Pod>>, Cause> = named
            .pods
            .iter()
            .map(|pod| on_node(&pod.uid).ok_or_else(|| Cause::UnknownVictim(pod.uid.clone(), node.clone())))
            .collect();
        let victims = Victims { pods: pods?, budget_violations: named.num_pdb_violations };
        if !victims.pods.is_empty() {
            candidates.insert(info.name().clone(), victims);
        } else if !ignorable {
            return Err(Cause::NoVictims(node));
        }
    }
    Ok(candidates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use podberth_testkit::{cluster, node, pod};

    #[test]
    fn victims_are_looked_up_on_their_node() {
        let snapshot = cluster([node("a").into(), node("b").into(), pod("p").on("a").into(), pod("q").on("b").into()]);
        let reply = |text: &str| parse_victims(format!(r#"{{"NodeNameToMetaVictims":{text}}}"#).as_bytes()).unwrap();
        let found =
            resolved(reply(r#"{"a":{"Pods":[{"UID":"uid-p"}],"NumPDBViolations":1}}"#), &snapshot, false).unwrap();
        assert_eq!((&*found["a"].pods[0].name, found["a"].budget_violations), ("p", 1));
        let stranger = reply(r#"{"a":{"Pods":[{"UID":"uid-q"}]}}"#);
        assert_eq!(resolved(stranger, &snapshot, true), Err(Cause::UnknownVictim("uid-q".into(), "a".into())));
        assert_eq!(resolved(reply(r#"{"z":null}"#), &snapshot, true), Err(Cause::UnknownNode("z".into())));
        assert_eq!(resolved(reply(r#"{"a":null}"#), &snapshot, true), Ok(BTreeMap::new()));
        assert_eq!(resolved(reply(r#"{"a":{}}"#), &snapshot, false), Err(Cause::NoVictims("a".into())));
    }
}
