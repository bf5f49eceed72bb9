//! Pods that wait for a node, in groups that wait for equal reasons. The groups of a state are made once, for all pages and callers.

use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use super::{
    access::sight::Sight,
    compute::compute_long,
    context,
    error::{Error, Result},
};
use crate::{
    core::{
        model::Name,
        pending::{Pending, pending},
    },
    live::View,
    wire::pending::{PendingGroup, PendingReply},
};

/// Groups of a page: the default, and the maximum.
pub const LIMIT: usize = 50;
/// The largest page.
pub const LARGEST_LIMIT: usize = 500;

/// Pods with different demands that are judged: each costs a decision.
const MOST_JUDGED: usize = 1_000;

/// States whose groups are kept.
const KEPT: usize = 8;

/// The groups that are asked for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The policy; `None`: the one in force.
    pub policy: Option<String>,
    /// One namespace, or all.
    pub namespace: Option<String>,
    /// So many groups at most.
    pub limit: Option<usize>,
    /// Behind the page whose `continue` this is.
    pub after: Option<String>,
}

/// The groups of a state under a policy.
struct Made {
    /// The state, which it does not keep.
    view: Weak<View>,
    policy: Option<String>,
    namespace: Option<String>,
    pods: usize,
    unjudged: usize,
    groups: Vec<PendingGroup>,
}

/// The groups that were asked for last, the newest first.
static RECENT: LazyLock<Mutex<Vec<Arc<Made>>>> = LazyLock::new(Mutex::default);

/// A page of the groups. Pods that the caller may not know are numbered; a namespace of such pods has none.
///
/// # Errors
/// [`Error::NotFound`] if there is no such policy, [`Error::BadRequest`] for a `continue` that is none.
pub async fn page(view: Arc<View>, asked: Asked, mut sight: Sight) -> Result<PendingReply> {
    let begin = asked.after.as_deref().filter(|after| !after.is_empty()).map_or(Ok(0), str::parse::<usize>);
    let begin = begin.map_err(|_| Error::BadRequest("continue: it is not of a page of this list".into()))?;
    let limit = asked.limit.unwrap_or(LIMIT).clamp(1, LARGEST_LIMIT);
    let (revision, nodes) = (view.snapshot.revision, view.snapshot.node_count());
    let used = context::chosen(&view, asked.policy.as_deref())?.used();
    let empty = PendingReply { revision, policy: used, nodes, pods: 0, unjudged: 0, groups: Vec::new(), next: None };
    if !asked.namespace.as_deref().is_none_or(|namespace| sight.knows(&Name::from(namespace))) {
        return Ok(empty);
    }
    let made = match recent(&view, &asked) {
        Some(made) => made,
        None => keep(compute_long(false, move || make(&view, asked)).await??),
    };
    let mut groups: Vec<PendingGroup> = made.groups.iter().skip(begin).take(limit).cloned().collect();
    let end = begin.saturating_add(groups.len());
    for pod in groups.iter_mut().flat_map(|group| &mut group.pods) {
        sight.mask(&mut pod.namespace, &mut pod.name, None);
    }
    let next = (!groups.is_empty() && end < made.groups.len()).then(|| end.to_string());
    Ok(PendingReply { pods: made.pods, unjudged: made.unjudged, groups, next, ..empty })
}

fn make(view: &Arc<View>, asked: Asked) -> Result<Made> {
    let profiles = context::chosen(view, asked.policy.as_deref())?.profiles();
    let namespace = asked.namespace.as_deref().map(Name::from);
    let Pending { pods, unjudged, groups } = pending(&profiles, &view.snapshot, namespace.as_ref(), MOST_JUDGED);
    let groups = groups.iter().map(PendingGroup::from).collect();
    let Asked { policy, namespace, .. } = asked;
    Ok(Made { view: Arc::downgrade(view), policy, namespace, pods, unjudged, groups })
}

fn recent(view: &Arc<View>, asked: &Asked) -> Option<Arc<Made>> {
    let is_it = |made: &&Arc<Made>| {
        Weak::ptr_eq(&made.view, &Arc::downgrade(view))
            && made.policy == asked.policy
            && made.namespace == asked.namespace
    };
    RECENT.lock().unwrap_or_else(PoisonError::into_inner).iter().find(is_it).cloned()
}

/// Keeps groups in place of those of states that are gone, or of the oldest.
fn keep(made: Made) -> Arc<Made> {
    let made = Arc::new(made);
    let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    recent.retain(|made| made.view.strong_count() > 0);
    recent.truncate(KEPT - 1);
    recent.insert(0, made.clone());
    made
}
