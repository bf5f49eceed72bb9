//! Nodes on their way out: they are cordoned with the taint of nodes that are to be deleted, and their pods are evicted.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{json, value::to_raw_value};

use crate::{
    core::{
        advise::{plan::has_to_move, scale_down::TO_BE_DELETED},
        model::Effect,
        snapshot::Kind,
    },
    live::View,
    service::{
        Service, decisions,
        error::{Error, Result},
        evict::evict,
        objects::{Deletion, Preconditions, Target},
        source::{ApiRequest, mirrored},
    },
    wire::{decision::CallKind, deletion, document::Document, kinds, objects::node::NodeTaint},
};

/// Grace of evicted pods at most, in seconds.
const MOST_GRACE: i64 = 60;

/// Pods of a node that are evicted in one turn at most.
const EVICTED_AT_ONCE: usize = 64;

/// Cordons a node, with the taint of nodes that are to be deleted; its value is the time in seconds since 1970.
pub(super) fn closed(document: &mut Document, now: Timestamp) -> Result<()> {
    let mut taints = unmarked_taints(document)?;
    let (value, effect) = (now.as_second().to_string(), Effect::NoSchedule.name().to_owned());
    taints.push(NodeTaint { key: TO_BE_DELETED.to_owned(), value, effect, time_added: None });
    set(document, &taints, Some(true))
}

/// Takes the taint off, and the cordon where it `opens` the node.
pub(super) fn opened(document: &mut Document, opens: bool) -> Result<()> {
    let taints = unmarked_taints(document)?;
    set(document, &taints, opens.then_some(false))
}

fn unmarked_taints(document: &Document) -> Result<Vec<NodeTaint>> {
    let mut taints: Vec<NodeTaint> = document.list_in("spec", "taints").map_err(Error::internal)?;
    taints.retain(|taint| taint.key != TO_BE_DELETED);
    Ok(taints)
}

fn set(document: &mut Document, taints: &[NodeTaint], unschedulable: Option<bool>) -> Result<()> {
    let mut fields = vec![("taints", to_raw_value(taints).map_err(Error::internal)?)];
    if let Some(unschedulable) = unschedulable {
        fields.push(("unschedulable", to_raw_value(&unschedulable).map_err(Error::internal)?));
    }
    document.set_all_in("spec", fields).map_err(Error::internal)
}

/// The cluster whose nodes leave.
pub(super) struct Leave<'a> {
    pub(super) service: &'a Service,
    pub(super) cluster: &'a Arc<str>,
    pub(super) view: &'a View,
    pub(super) epoch: u64,
}

impl Leave<'_> {
    /// Cordons or uncordons a node by the API server of the live cluster, where this is the mirror of one and the node is not so yet; `false` if it could not
    /// be done.
    pub(super) async fn cordon_live(&self, node: &str, cordon: bool) -> bool {
        let is_so = self.view.snapshot.node(node).is_some_and(|info| info.node.unschedulable == cordon);
        if self.view.source().is_none() || is_so {
            return true;
        }
        let outcome = self.patch_live(node, cordon).await;
        if let Err(why) = &outcome {
            tracing::warn!(cluster = &**self.cluster, node, why, "the node cannot be cordoned or uncordoned");
        }
        outcome.is_ok()
    }

    async fn patch_live(&self, node: &str, cordon: bool) -> std::result::Result<(), String> {
        let source = mirrored::of(self.service, self.cluster).await.map_err(|error| error.for_log())?;
        let Some(source) = source else { return Ok(()) };
        let server = self.service.sources.server(self.cluster, &source).await?;
        let reply = server
            .send(ApiRequest {
                method: "PATCH",
                path: format!("/api/v1/nodes/{node}"),
                content_type: "application/merge-patch+json",
                body: json!({"spec": {"unschedulable": cordon}}).to_string().into(),
            })
            .await?;
        if reply.code < 300 { Ok(()) } else { Err(format!("the API server answered {}", reply.code)) }
    }

    /// Evicts the pods of a node, as far as budgets allow.
    pub(super) async fn evict_pods(&self, node: &str) {
        let Some(info) = self.view.snapshot.node(node) else { return };
        let Some(kind) = kinds::by_core(Kind::Pod) else { return };
        for pod in info.pods.iter().filter(|pod| has_to_move(pod) && !pod.terminating).take(EVICTED_AT_ONCE) {
            let grace = pod.facts().grace_seconds.map_or(MOST_GRACE, |own| own.clamp(0, MOST_GRACE));
            let target = Target {
                cluster: self.cluster.clone(),
                kind,
                namespace: Some(pod.namespace.to_string()),
                name: pod.name.to_string(),
            };
            let deletion = Deletion {
                options: deletion::Options { grace_period_seconds: Some(grace), ..deletion::Options::default() },
                preconditions: Preconditions { uid: Some(pod.uid.to_string()), ..Preconditions::default() },
                dry_run: false,
            };
            match evict(self.service, &target, &deletion).await {
                Ok(_) => {
                    let object = (pod.namespace.to_string(), pod.name.to_string());
                    self.record(object, Some(node.to_owned()), format!("evicted: node {node} is not needed"));
                }
                Err(error) => {
                    tracing::debug!(cluster = &**self.cluster, node, pod = pod.full_name(), %error, "not evicted yet");
                }
            }
        }
    }

    /// Records an action with its reason.
    pub(super) fn record(&self, object: (String, String), node: Option<String>, message: String) {
        self.service.decisions.acted(decisions::Action {
            cluster: self.cluster.clone(),
            epoch: self.epoch,
            call: CallKind::Autoscale,
            object,
            node,
            revision: self.view.snapshot.revision,
            message,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(spec: &str, edit: impl FnOnce(&mut Document) -> Result<()>) -> serde_json::Value {
        let body = format!(r#"{{"metadata":{{"name":"n1"}},"spec":{spec}}}"#);
        let mut document = Document::parse(body.as_bytes()).expect("an object");
        edit(&mut document).expect("it is edited");
        let body = document.into_body();
        serde_json::from_slice::<serde_json::Value>(body.as_bytes()).expect("JSON")["spec"].clone()
    }

    const OTHER: &str = r#"{"key":"gpu","value":"","effect":"NoSchedule"}"#;
    const MARK: &str = r#"{"key":"ToBeDeletedByClusterAutoscaler","value":"7","effect":"NoSchedule"}"#;

    fn spec(taints: &[&str], unschedulable: Option<bool>) -> serde_json::Value {
        let taints: Vec<serde_json::Value> =
            taints.iter().map(|taint| serde_json::from_str(taint).expect("JSON")).collect();
        unschedulable.map_or_else(
            || json!({"taints": taints}),
            |unschedulable| json!({"taints": taints, "unschedulable": unschedulable}),
        )
    }

    #[test]
    fn a_node_is_closed_and_opened_and_keeps_its_other_taints() {
        let at = Timestamp::from_second(7).expect("a time");
        let closed = edited(&format!(r#"{{"taints":[{OTHER}]}}"#), |document| closed(document, at));
        assert_eq!(closed, spec(&[OTHER, MARK], Some(true)));
        let again = closed.to_string();
        assert_eq!(edited(&again, |document| opened(document, true)), spec(&[OTHER], Some(false)));
    }

    #[test]
    fn a_cordon_of_an_admin_outlives_the_mark() {
        let marked = format!(r#"{{"taints":[{MARK}],"unschedulable":true}}"#);
        assert_eq!(edited(&marked, |document| opened(document, false)), spec(&[], Some(true)));
    }
}
