//! The rules of ClusterRoles that are made of others (`pkg/controller/clusterroleaggregation/clusterroleaggregation_controller.go`).
//!
//! Decisions on access do not read these rules, they make them of the selected roles; they are written for those who read the object. So
//! a write that is lost costs nothing but that, and the next one makes up for it.

use std::sync::Arc;

use super::Target;
use crate::{
    core::access::Rule,
    service::{Service, access::access, error::Result},
    store::{Atomicity, Call, Change, Precondition, Write},
    wire::{access::rule_to_json, document::Document, kinds::StoredKind},
};

/// The resource whose objects may be made of others.
pub(super) const RESOURCE: &str = "clusterroles.rbac.authorization.k8s.io";

/// After a change of an object of a kind: writes the rules of aggregated roles of its cluster that are not as they should be.
pub(super) async fn after_change(service: &Service, cluster: &Arc<str>, kind: &'static StoredKind) {
    if kind.key() != RESOURCE || !service.admission.holds_for(kind) {
        return;
    }
    if let Err(error) = fill(service, cluster, kind).await {
        tracing::warn!(%cluster, %error, "the rules of aggregated roles are not written yet");
    }
}

async fn fill(service: &Service, cluster: &Arc<str>, kind: &'static StoredKind) -> Result<()> {
    let access = access(service, cluster).await?;
    let mut writes = Vec::new();
    for (name, stored, rules) in access.aggregated().filter(|(_, stored, rules)| stored != rules) {
        tracing::debug!(%cluster, role = &**name, from = stored.len(), to = rules.len(), "an aggregated role changes");
        let target = Target { cluster: cluster.clone(), kind, namespace: None, name: name.to_string() };
        let Some(record) = service.store.get(cluster, &target.key()).await? else { continue };
        let Some(body) = with_rules(&record.body, rules) else { continue };
        let change = Change::body(&record, body);
        writes.push(Write { key: target.key(), precondition: Precondition::revision(record.revision), change });
    }
    if !writes.is_empty() {
        let call = Call { writes, atomicity: Atomicity::Each };
        service.clusters.commit(cluster, call, None).await?;
    }
    Ok(())
}

/// The object with these rules.
fn with_rules(body: &[u8], rules: &[Rule]) -> Option<String> {
    let mut document = Document::parse(body).ok()?;
    let rules: serde_json::Value = rules.iter().map(rule_to_json).collect();
    document.set("rules", serde_json::value::to_raw_value(&rules).ok()?);
    Some(document.into_body())
}
