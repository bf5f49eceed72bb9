//! Lists of objects: all, of a namespace, by selectors, page by page.
//!
//! A page is read at the store's newest revision. Every page has the revision of the first page, so that a client that lists in pages and
//! then follows from there misses nothing. An object changed between two pages may appear twice.

use std::sync::{Arc, LazyLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{target::Target, with_node};
use crate::{
    core::work,
    service::{
        Service,
        compute::compute,
        error::{Error, Result},
    },
    store::{ListQuery, Record},
    wire::selector,
};

/// Steps of work that reading one object's labels takes.
const SELECTED: u64 = 128;

/// Number of objects read at a time while searching by selectors.
const SEARCHED_AT_ONCE: usize = 1_000;

/// Whole collections that are read at once.
const LISTS_AT_ONCE: usize = 2;

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

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The list's revision: that of its first page.
    pub revision: u64,
    /// The namespace of the last object of the page before.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A page of a list.
#[derive(Debug, Default)]
pub struct Found {
    /// The objects.
    pub items: Vec<Record>,
    /// The list's revision.
    pub revision: u64,
    /// Where the next page begins.
    pub next: Option<Page>,
    /// Number of objects behind the page, if it is known.
    pub remaining: Option<u64>,
    /// Held if it may be a whole collection.
    pub turn: Option<ListTurn>,
}

/// The turn of a request that reads a whole collection. It lasts until there is room for the reply, so that no more of them are in memory.
#[derive(Clone, Debug)]
pub struct ListTurn {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl ListTurn {
    async fn take() -> Result<Self> {
        static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(LISTS_AT_ONCE)));
        let permit = TURNS.clone().acquire_owned().await.map_err(Error::internal)?;
        Ok(Self { _permit: Arc::new(permit) })
    }
}

/// A page of the selected objects.
///
/// # Errors
/// [`Error::Expired`] if the page or the revision is no longer kept, [`Error::Timeout`] if the revision is not reached.
pub async fn list(service: &Service, target: &Target, selection: Selection) -> Result<Found> {
    let Selection { selector, limit, from, not_older } = selection;
    if from.is_some() || not_older != NotOlder::Any {
        let head = service.store.head(&target.cluster).await?;
        if from.as_ref().is_some_and(|page| page.revision < head.compact_revision || page.revision > head.revision) {
            return Err(Error::Expired(
                "the continue token is too old: list again without it to get the newest state".into(),
            ));
        }
        not_older.check(head.revision)?;
    }
    find(service, target, &selector, limit, from).await
}

impl NotOlder {
    fn check(self, head: u64) -> Result<()> {
        match self {
            Self::Than(wanted) | Self::Exactly(wanted) if wanted > head => {
                Err(Error::Timeout(format!("Too large resource version: {wanted}, current: {head}")))
            }
            Self::Exactly(wanted) if wanted != head => {
                Err(Error::Expired(format!("the resource version {wanted} is no longer kept, only the newest, {head}")))
            }
            _ => Ok(()),
        }
    }
}

/// The selected objects, read page by page of the store if selectors exclude some.
pub(super) async fn find(
    service: &Service,
    target: &Target,
    selector: &selector::Query,
    limit: Option<usize>,
    from: Option<Page>,
) -> Result<Found> {
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
        let page = service.store.list(&target.cluster, &query).await?;
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
            found.next = after.map(|(namespace, name)| Page { revision: found.revision, namespace, name });
            found.remaining = everything.then_some(remaining);
            return Ok(found);
        }
    }
}

/// A namespace and a name.
type Place = (String, String);

/// At most this many selected objects of a page; the number of objects examined, and the last of these.
fn select(
    records: Vec<Record>,
    selector: Option<&selector::Query>,
    most: Option<usize>,
) -> Result<(usize, Option<Place>, Vec<Record>)> {
    let (mut looked_at, mut last, mut selected) = (0, None, Vec::new());
    for record in records {
        if most.is_some_and(|most| selected.len() >= most) {
            break;
        }
        looked_at += 1;
        last = Some((record.key.namespace.clone(), record.key.name.clone()));
        if let Some(selector) = selector {
            work::spend(SELECTED + selector.cost());
            if !selector.matches(&with_node(&record)?) {
                continue;
            }
        }
        selected.push(record);
    }
    Ok((looked_at, last, selected))
}
