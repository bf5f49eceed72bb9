//! Lists of pods of which a field selector leaves few: those of one node, those that wait, those of one name.
//!
//! The cluster's view tells which pods these may be, so that no others are read. A pod is as it was at the view's revision if nobody has written
//! it since. Where somebody has, a newer view is taken.

use std::sync::Arc;

use super::{
    page::{Found, ListTurn, Page, REACHED_WITHIN, SEARCHED_AT_ONCE, select},
    target::Target,
};
use crate::{
    core::{snapshot::Kind, work},
    live::View,
    service::{Service, compute::compute, error::Result},
    store::Key,
    wire::selector,
};

/// Views that are taken at most. Behind them all pods are searched, as for any other selector.
const ATTEMPTS: usize = 3;

/// The selected pods at the store's newest revision; `None` for another selection, and where these pods change all the time.
pub(super) async fn find(
    service: &Service,
    target: &Target,
    selector: &selector::Query,
    limit: Option<usize>,
    from: Option<&Page>,
) -> Result<Option<Found>> {
    if !target.kind.is(Kind::Pod) || !selector.is_narrow() {
        return Ok(None);
    }
    for _ in 0..ATTEMPTS {
        let head = service.store.head(&target.cluster).await?;
        let cluster = service.clusters.get(&target.cluster).await?;
        if !cluster.reached(head.revision, REACHED_WITHIN).await {
            return Ok(None);
        }
        let view = cluster.view();
        let (revision, pods) = (view.snapshot.revision, view.snapshot.pod_count());
        let (of, wanted, after) = (target.clone(), selector.clone(), from.cloned());
        let keys = compute(move || candidates(&view, &of, &wanted, after.as_ref())).await?;
        if let Some(mut found) = read(service, target, selector, limit, (&keys, revision)).await? {
            found.revision = from.map_or(revision, |page| page.revision);
            found.behind = if found.next.is_some() { pods as u64 } else { 0 };
            found.next = found.next.map(|next| Page { revision: found.revision, ..next });
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The pods of a view that may be selected, behind a page, in order of namespace and name.
fn candidates(view: &View, target: &Target, selector: &selector::Query, after: Option<&Page>) -> Vec<Key> {
    let kind: Arc<str> = target.kind.key().into();
    let mut keys = Vec::new();
    for pod in view.stored_pods() {
        work::spend(1);
        let place = (&*pod.namespace, &*pod.name);
        let is_asked = target.namespace.as_deref().is_none_or(|namespace| namespace == place.0)
            && after.is_none_or(|page| place > (&*page.namespace, &*page.name));
        if is_asked && selector.may_select_on(place.0, place.1, &pod.node_name) {
            keys.push(Key::new(kind.clone(), place.0, place.1));
        }
    }
    keys
}

/// The selected ones of some pods, as they were at a revision; `None` if one has changed since.
async fn read(
    service: &Service,
    target: &Target,
    selector: &selector::Query,
    limit: Option<usize>,
    (keys, revision): (&[Key], u64),
) -> Result<Option<Found>> {
    let is_large = keys.len() > SEARCHED_AT_ONCE && limit.is_none_or(|limit| limit > SEARCHED_AT_ONCE);
    let mut found = Found { turn: if is_large { Some(ListTurn::take().await?) } else { None }, ..Found::default() };
    let mut left = keys.len();
    for some in keys.chunks(SEARCHED_AT_ONCE) {
        let mut records = service.store.find(&target.cluster, some).await?;
        if records.len() < some.len() || records.iter().any(|record| record.revision > revision) {
            return Ok(None);
        }
        records.sort_unstable_by(|a, b| (&a.key.namespace, &a.key.name).cmp(&(&b.key.namespace, &b.key.name)));
        let (wanted, missing) = (selector.clone(), limit.map(|limit| limit.saturating_sub(found.items.len())));
        let (looked_at, last, selected) = compute(move || select(records, Some(&wanted), missing)).await??;
        found.items.extend(selected);
        left = left.saturating_sub(looked_at);
        if left > 0 && limit.is_some_and(|limit| found.items.len() >= limit) {
            found.next = last.map(|(namespace, name)| Page { revision, is_past: false, namespace, name });
            return Ok(Some(found));
        }
    }
    Ok(Some(found))
}
