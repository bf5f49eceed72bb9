//! Lists of objects: all, of a namespace, by selectors, page by page.
//!
//! A list is read at the store's newest revision. Further pages of it, and lists of a revision of the recent past, come from the cluster's
//! [`journal`](crate::live::journal), which has the objects as they were then. Where the journal does not reach that far (after a restart, or for a
//! page of another process), a further page is read at the newest revision: an object changed between two pages may appear twice. Every page has
//! the revision of the first page, so that a client that lists in pages and then follows from there misses nothing.

use std::sync::Arc;

use super::{
    narrow,
    page::{Found, ListTurn, Page, REACHED_WITHIN, SEARCHED_AT_ONCE, select},
    target::Target,
};
use crate::{
    core::work,
    live::journal::State,
    service::{
        Service,
        compute::compute,
        error::{Error, Result},
        past,
    },
    store::ListQuery,
    wire::selector,
};

/// The objects that a list is to have.
#[derive(Debug, Default)]
pub struct Selection {
    /// By labels and fields.
    pub selector: selector::Query,
    /// Largest number of objects.
    pub limit: Option<usize>,
    /// Where the page begins; `None`: at the beginning.
    pub from: Option<Page>,
    /// The revision that the list must have reached.
    pub not_older: NotOlder,
    /// The revision of the past of which it is to be.
    pub at: Option<u64>,
}

/// A demand on the revision of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NotOlder {
    /// None.
    #[default]
    Any,
    /// This revision or a newer one.
    Than(u64),
    /// This very revision.
    Exactly(u64),
}

/// A page of the selected objects.
///
/// # Errors
/// [`Error::Expired`] if the page or the revision is no longer kept, [`Error::Timeout`] if the revision is not reached.
pub async fn list(service: &Service, target: &Target, selection: Selection) -> Result<Found> {
    let Selection { selector, limit, from, not_older, at } = selection;
    if let Some(revision) = at.or(from.as_ref().filter(|page| page.is_past).map(|page| page.revision)) {
        past::check_reached(service, &target.cluster, revision).await?;
        if let Some(page) = &from
            && page.revision != revision
            && !(page.is_past && page.revision == past::batch_of(service, &target.cluster, revision).await?)
        {
            return Err(Error::BadRequest("the continue token is of a list of another revision".into()));
        }
        return find(service, target, &selector, limit, (from, Some(revision))).await;
    }
    let past = match (&from, not_older) {
        (Some(page), _) => Some(page.revision),
        (None, NotOlder::Exactly(revision)) => Some(revision),
        _ => None,
    };
    if from.is_some() || not_older != NotOlder::Any {
        let head = service.store.head(&target.cluster).await?;
        not_older.check(head.revision)?;
        if let Some(revision) = past.filter(|revision| *revision <= head.revision)
            && let Some(objects) = objects_at(service, target, revision, from.as_ref()).await?
        {
            return compute(move || page_of(&objects, revision, &selector, limit)).await;
        }
        if from.as_ref().is_some_and(|page| page.revision < head.compact_revision || page.revision > head.revision) {
            return Err(Error::Expired(
                "the continue token is too old: list again without it to get the newest state".into(),
            ));
        }
        if let NotOlder::Exactly(wanted) = not_older {
            return Err(Error::Expired(format!(
                "the resource version {wanted} is no longer kept, the newest is {}: list again without it",
                head.revision
            )));
        }
    }
    let is_first = from.is_none();
    let found = find(service, target, &selector, limit, (from, None)).await?;
    if is_first && found.next.is_some() {
        keep_past(service, target, found.revision, found.behind).await;
    }
    Ok(found)
}

/// Number of objects behind a page up to which the page waits until the journal has them.
const LOADED_AT_ONCE: u64 = 5_000;

/// Keeps the past of a kind from now on, for the further pages of a list.
async fn keep_past(service: &Service, target: &Target, revision: u64, behind: u64) {
    let Ok(cluster) = service.clusters.get(&target.cluster).await else { return };
    let Some(journal) = cluster.journal().cloned() else { return };
    let kind = target.kind;
    let keeping = async move {
        if let Err(error) = journal.keep(kind, revision).await {
            tracing::debug!(%error, "the past of a list is not kept");
        }
    };
    if behind <= LOADED_AT_ONCE {
        keeping.await;
    } else {
        tokio::spawn(keeping);
    }
}

/// The objects of a target as they were at a revision, behind a page; `None` if that is not kept.
async fn objects_at(
    service: &Service,
    target: &Target,
    revision: u64,
    from: Option<&Page>,
) -> Result<Option<Vec<Arc<State>>>> {
    let cluster = service.clusters.get(&target.cluster).await?;
    let Some(journal) = cluster.journal() else { return Ok(None) };
    if from.is_none() {
        // Further lists of this revision are expected.
        journal.keep(target.kind, revision).await?;
    }
    let after = from.map(|page| (page.namespace.clone(), page.name.clone()));
    let namespace = target.namespace.as_deref();
    Ok(journal.objects_at(target.kind, revision, namespace, after.as_ref(), REACHED_WITHIN).await?)
}

/// A page of objects that are in memory.
fn page_of(objects: &[Arc<State>], revision: u64, selector: &selector::Query, limit: Option<usize>) -> Found {
    let (mut items, mut looked_at) = (Vec::new(), 0);
    for state in objects {
        if limit.is_some_and(|limit| items.len() >= limit) {
            break;
        }
        looked_at += 1;
        work::spend(1 + selector.cost());
        if state.is_selected(selector) {
            items.push(state.record.clone());
        }
    }
    let remaining = objects.len() - looked_at;
    let last = looked_at.checked_sub(1).and_then(|at| objects.get(at)).filter(|_| remaining > 0);
    let next = last.map(|state| Page {
        revision,
        is_past: false,
        namespace: state.record.key.namespace.clone(),
        name: state.record.key.name.clone(),
    });
    let remaining = (remaining > 0 && selector.is_everything()).then_some(remaining as u64);
    Found { items, revision, next, remaining, ..Found::default() }
}

impl NotOlder {
    fn check(self, head: u64) -> Result<()> {
        match self {
            Self::Than(wanted) | Self::Exactly(wanted) if wanted > head => Err(Error::TooNew { wanted, current: head }),
            _ => Ok(()),
        }
    }
}

/// The selected objects, read page by page of the store if selectors exclude some: as they are, or as they were at a revision.
pub(super) async fn find(
    service: &Service,
    target: &Target,
    selector: &selector::Query,
    limit: Option<usize>,
    (from, at): (Option<Page>, Option<u64>),
) -> Result<Found> {
    if at.is_none()
        && let Some(found) = narrow::find(service, target, selector, limit, from.as_ref()).await?
    {
        return Ok(found);
    }
    let everything = selector.is_everything();
    let is_whole = limit.is_none_or(|limit| limit > SEARCHED_AT_ONCE);
    let mut found = Found {
        revision: from.as_ref().map_or(0, |page| page.revision),
        turn: if is_whole { Some(ListTurn::take().await?) } else { None },
        ..Found::default()
    };
    let mut after = from.map(|page| (page.namespace, page.name));
    loop {
        let missing = limit.map(|limit| limit.saturating_sub(found.items.len()));
        let at_once = if everything { missing } else { missing.map(|missing| missing.max(SEARCHED_AT_ONCE)) };
        let query = ListQuery {
            kind: target.kind.key().into(),
            namespace: target.namespace.clone(),
            after: after.take(),
            limit: at_once,
        };
        let page = match at {
            None => service.store.list(&target.cluster, &query).await?,
            Some(at) => match service.store.list_at(&target.cluster, &query, at).await {
                Ok(page) => page,
                Err(error) => return Err(past::explained(service, &target.cluster, at, error).await),
            },
        };
        if found.revision == 0 {
            found.revision = page.revision;
        }
        let mut remaining = page.remaining.unwrap_or(0);
        let read = page.items.len();
        let (looked_at, last, selected) = if everything {
            select(page.items, None, missing)?
        } else {
            let selector = selector.clone();
            compute(move || select(page.items, Some(&selector), missing)).await??
        };
        after = last;
        found.items.extend(selected);
        remaining = remaining.saturating_add(read.saturating_sub(looked_at) as u64);
        if remaining == 0 {
            return Ok(found);
        }
        if limit.is_some_and(|limit| found.items.len() >= limit) {
            let (revision, is_past) = (found.revision, at.is_some());
            found.next = after.map(|(namespace, name)| Page { revision, is_past, namespace, name });
            (found.remaining, found.behind) = (everything.then_some(remaining), remaining);
            return Ok(found);
        }
    }
}
