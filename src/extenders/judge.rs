//! `filter` and `prioritize`: the nodes that extenders accept, and their scores.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use hyper::body::Bytes;
use tokio::task::JoinSet;

use super::{Cause, Chain, Documents, Failure, Verb, peer::Peer};
use crate::{
    core::{
        extenders::{ExtenderScores, ExtenderVerdict, SCORE_SCALE},
        model::Name,
        verdict::{Reason, Verdict},
    },
    wire::extender_calls::{FilterReply, PodDocument, parse_scores},
};

/// The reason for a node that an extender's reply does not mention.
const LEFT_OUT: &str = "node(s) were left out by an extender";
/// The reason for a node whose document was deleted before it could be sent.
const GONE: &str = "node(s) are no longer stored";

/// The nodes that extenders accept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filtered {
    /// The nodes that fit, in the order of the call.
    pub fits: Vec<Name>,
    /// Why the others do not.
    pub verdicts: BTreeMap<Name, ExtenderVerdict>,
    /// The ignorable extenders that did not answer, and were passed over.
    pub skipped: Vec<Failure>,
}

/// The scores of extenders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scored {
    /// The scores of each that answered, in the chain's order.
    pub scores: Vec<ExtenderScores>,
    /// Extenders that did not answer: scoring goes on without them, ignorable or not.
    pub skipped: Vec<Failure>,
}

/// The verdicts of one extender on the nodes of a call.
#[derive(Debug, Default, PartialEq, Eq)]
struct Judged {
    fits: Vec<Name>,
    verdicts: BTreeMap<Name, Verdict>,
}

/// The documents of the nodes that one decision is about, got once when first needed.
struct Full<'d> {
    documents: &'d dyn Documents,
    by_name: Option<HashMap<Name, Arc<str>>>,
}

impl Full<'_> {
    async fn of(&mut self, nodes: &[Name]) -> Result<&HashMap<Name, Arc<str>>, Cause> {
        if self.by_name.is_none() {
            let documents = self.documents.nodes(nodes).await.map_err(Cause::NoDocuments)?;
            let there = nodes.iter().cloned().zip(documents).filter_map(|(name, node)| Some((name, node?)));
            self.by_name = Some(there.collect());
        }
        self.by_name.as_ref().ok_or_else(|| Cause::NoDocuments(String::new()))
    }
}

impl Chain {
    /// Filters nodes: the extenders are called one after another, each with the nodes that the earlier ones left.
    ///
    /// # Errors
    /// If an extender that is not ignorable does not answer: the attempt to place the pod fails.
    pub async fn filter(
        &self,
        pod: &PodDocument,
        nodes: &[Name],
        documents: &dyn Documents,
    ) -> Result<Filtered, Failure> {
        let mut filtered = Filtered { fits: nodes.to_vec(), ..Filtered::default() };
        let mut full = Full { documents, by_name: None };
        for peer in self.asked(Verb::Filter, pod) {
            if filtered.fits.is_empty() {
                break;
            }
            match self.filtered_by(peer, pod, &filtered.fits, &mut full).await {
                Ok(judged) => {
                    filtered.fits = judged.fits;
                    let by = |verdict| ExtenderVerdict { by: peer.name.clone(), verdict };
                    filtered.verdicts.extend(judged.verdicts.into_iter().map(|(node, verdict)| (node, by(verdict))));
                }
                Err(failure) if peer.extender.ignorable => filtered.skipped.push(failure),
                Err(failure) => return Err(failure),
            }
        }
        Ok(filtered)
    }

    async fn filtered_by(
        &self,
        peer: &Peer,
        pod: &PodDocument,
        nodes: &[Name],
        full: &mut Full<'_>,
    ) -> Result<Judged, Failure> {
        let failed = |cause| peer.failure(Verb::Filter, cause);
        let by_name = peer.extender.node_cache_capable;
        let (asked, gone, question) = if by_name {
            (nodes.to_vec(), Vec::new(), pod.with_names(nodes))
        } else {
            let documents = full.of(nodes).await.map_err(failed)?;
            let (there, gone): (Vec<Name>, Vec<Name>) =
                nodes.iter().cloned().partition(|node| documents.contains_key(node));
            let question = pod.with_nodes(there.iter().filter_map(|node| documents.get(node)).map(|text| &**text));
            (there, gone, question)
        };
        let answer = peer.ask(Verb::Filter, question.into(), self.origin).await?;
        let reply = FilterReply::parse(&answer).map_err(|error| failed(Cause::Unreadable(error.to_string())))?;
        let mut judged = judged(&asked, &reply, by_name).map_err(failed)?;
        judged.verdicts.extend(gone.into_iter().map(|node| (node, Verdict::unresolvable(GONE))));
        Ok(judged)
    }

    /// Scores nodes: all extenders are called at once.
    pub async fn prioritize(&self, pod: &PodDocument, nodes: &[Name], documents: &dyn Documents) -> Scored {
        let mut scored = Scored::default();
        let mut full = Full { documents, by_name: None };
        let mut names: Option<Bytes> = None;
        let mut in_full: Option<Bytes> = None;
        let mut calls = JoinSet::new();
        for (at, peer) in self.asked(Verb::Prioritize, pod).enumerate() {
            let question = if peer.extender.node_cache_capable {
                names.get_or_insert_with(|| pod.with_names(nodes).into()).clone()
            } else {
                match full.of(nodes).await {
                    Ok(documents) => {
                        let there = nodes.iter().filter_map(|node| documents.get(node)).map(|text| &**text);
                        in_full.get_or_insert_with(|| pod.with_nodes(there).into()).clone()
                    }
                    Err(cause) => {
                        scored.skipped.push(peer.failure(Verb::Prioritize, cause));
                        continue;
                    }
                }
            };
            let (peer, origin) = (peer.clone(), self.origin);
            calls.spawn(async move {
                let answer = peer.ask(Verb::Prioritize, question, origin).await;
                let scores = answer.and_then(|answer| scores(&peer, &answer));
                (at, scores)
            });
        }
        let mut answers = BTreeMap::new();
        while let Some(answer) = calls.join_next().await {
            // A panicked call counts as none; the panic was logged.
            answers.extend(answer.ok());
        }
        for answer in answers.into_values() {
            match answer {
                Ok(scores) => scored.scores.push(scores),
                Err(failure) => scored.skipped.push(failure),
            }
        }
        scored
    }
}

/// The verdicts in a reply. Nodes that were not in the call are ignored, unless the reply lists them as fitting.
fn judged(asked: &[Name], reply: &FilterReply, by_name: bool) -> Result<Judged, Cause> {
    if !reply.error.is_empty() {
        return Err(Cause::Refused(reply.error.clone()));
    }
    let known: BTreeSet<&str> = asked.iter().map(|node| &**node).collect();
    let fitting = reply.fitting(by_name);
    if let Some(unknown) = fitting.iter().find(|node| !known.contains(**node)) {
        return Err(Cause::UnknownNode((*unknown).to_owned()));
    }
    let fitting: BTreeSet<&str> = fitting.into_iter().collect();
    let mut judged = Judged::default();
    for node in asked {
        let text = |reason: &String| Reason::from(if reason.is_empty() { LEFT_OUT.to_owned() } else { reason.clone() });
        if fitting.contains(&**node) {
            judged.fits.push(node.clone());
            continue;
        }
        let verdict = match (reply.failed_and_unresolvable_nodes.get(&**node), reply.failed_nodes.get(&**node)) {
            (Some(reason), _) => Verdict::unresolvable(text(reason)),
            (None, Some(reason)) => Verdict::unschedulable(text(reason)),
            (None, None) => Verdict::unschedulable(LEFT_OUT),
        };
        judged.verdicts.insert(node.clone(), verdict);
    }
    Ok(judged)
}

/// The scores in a reply, on the scale of priorities. Nodes that were not in the call do no harm.
fn scores(peer: &Peer, answer: &[u8]) -> Result<ExtenderScores, Failure> {
    let read = parse_scores(answer)
        .map_err(|error| peer.failure(Verb::Prioritize, Cause::Unreadable(error.to_string())))?
        .into_iter()
        .map(|(node, score)| (Name::from(node), score.saturating_mul(SCORE_SCALE)));
    Ok(ExtenderScores { by: peer.name.clone(), weight: peer.extender.weight, scores: read.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<Name> {
        names.iter().map(|name| Name::from(*name)).collect()
    }

    #[test]
    fn nodes_left_out_of_a_reply_do_not_fit() {
        let asked = names(&["a", "b", "c", "d", "e"]);
        let reply = FilterReply::parse(
            br#"{"NodeNames":["e","a","a"],"FailedNodes":{"b":"x","c":"y","a":"z","other":"o"},
                "FailedAndUnresolvableNodes":{"c":""}}"#,
        )
        .unwrap();
        let said = judged(&asked, &reply, true).unwrap();
        assert_eq!(said.fits, names(&["a", "e"]), "in the order asked, each once");
        let expected = [
            ("b", Verdict::unschedulable("x")),
            ("c", Verdict::unresolvable(LEFT_OUT)),
            ("d", Verdict::unschedulable(LEFT_OUT)),
        ];
        assert_eq!(said.verdicts, expected.map(|(node, verdict)| (Name::from(node), verdict)).into());

        let lie = FilterReply::parse(br#"{"NodeNames":["a","f"]}"#).unwrap();
        assert_eq!(judged(&asked, &lie, true), Err(Cause::UnknownNode("f".into())));
        let no = FilterReply::parse(br#"{"NodeNames":["f"],"Error":"no"}"#).unwrap();
        assert_eq!(judged(&asked, &no, true), Err(Cause::Refused("no".into())));
    }

    proptest::proptest! {
        #[test]
        fn every_node_is_in_one_place(
            fits in proptest::collection::vec("[a-f]", 0..6), failed in proptest::collection::vec("[a-f]", 0..6),
        ) {
            let asked = names(&["a", "b", "c", "d"]);
            let failed: BTreeMap<&String, &str> = failed.iter().map(|node| (node, "r")).collect();
            let reply = serde_json::json!({"NodeNames": fits, "FailedNodes": failed}).to_string();
            match judged(&asked, &FilterReply::parse(reply.as_bytes()).unwrap(), true) {
                Ok(judged) => {
                    let mut places: Vec<Name> = judged.fits.into_iter().chain(judged.verdicts.into_keys()).collect();
                    places.sort();
                    proptest::prop_assert_eq!(places, asked);
                }
                Err(cause) => {
                    let lied = fits.iter().any(|node| matches!(&**node, "e" | "f"));
                    proptest::prop_assert!(lied && matches!(cause, Cause::UnknownNode(_)));
                }
            }
        }
    }
}
