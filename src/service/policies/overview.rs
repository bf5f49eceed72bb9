//! Which policies there are, for lists and metrics.

use std::collections::BTreeSet;

use crate::{
    extenders::label,
    live::{DEFAULT_CLUSTER, View},
    service::Service,
    telemetry::{
        self,
        labels::{EXTENDERS, PROFILES},
    },
    wire::policy::{PolicySummary, revision},
};

/// Number of named policies whose revisions `/metrics` shows.
const MOST_LISTED: usize = 100;

/// The policies of a cluster by name, the default one always among them.
pub fn list(view: &View) -> Vec<PolicySummary> {
    let stored = view.policies().map(|(name, policy)| PolicySummary {
        name: name.to_string(),
        revision: policy.revision.revision,
        created_at: Some(policy.revision.created_at.clone()),
    });
    let mut items: Vec<_> = stored.collect();
    if let Err(at) = items.binary_search_by(|item| (*item.name).cmp(revision::DEFAULT)) {
        items.insert(at, PolicySummary { name: revision::DEFAULT.into(), revision: 0, created_at: None });
    }
    items
}

/// The revisions in force in the default cluster, as lines of `/metrics`; empty until the cluster is loaded.
pub fn metrics(service: &Service) -> String {
    let Some(cluster) = service.clusters.peek(DEFAULT_CLUSTER) else { return String::new() };
    let items = list(&cluster.view());
    let (default, others): (Vec<_>, Vec<_>) = items.iter().partition(|item| item.name == revision::DEFAULT);
    let listed = default.into_iter().chain(others.into_iter().take(MOST_LISTED));
    telemetry::policy_revisions(listed.map(|item| (&*item.name, item.revision)))
}

/// Drops the label values of policies and extenders that no cluster in memory has any more.
pub fn retain_labels(service: &Service) {
    let (mut profiles, mut extenders) = (BTreeSet::new(), BTreeSet::new());
    for cluster in service.clusters.live() {
        for (name, policy) in cluster.view().policies() {
            profiles.insert(name.to_string());
            extenders.extend(policy.profile.extenders.iter().map(|extender| label(&extender.url_prefix)));
        }
    }
    PROFILES.retain(&profiles);
    EXTENDERS.retain(&extenders);
}
