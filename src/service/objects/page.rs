//! Parts of lists: pages, the selection of records, and the turns of those that read a whole collection.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::with_node;
use crate::{
    core::work,
    service::error::{Error, Result},
    store::Record,
    wire::selector,
};

/// Steps of work that reading one object's labels takes.
const SELECTED: u64 = 128;

/// Number of objects read at a time while searching by selectors.
pub(super) const SEARCHED_AT_ONCE: usize = 1_000;

/// Longest wait of a list for the journal to have come as far as the store.
pub(super) const REACHED_WITHIN: Duration = Duration::from_secs(2);

/// Whole collections that are read at once.
const LISTS_AT_ONCE: usize = 2;

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The list's revision: that of its first page.
    pub revision: u64,
    /// `true` if the database is to be read as it was then.
    pub is_past: bool,
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
    /// Number of objects of the collection that are behind the page, selected or not.
    pub behind: u64,
    /// Held if it may be a whole collection.
    pub turn: Option<ListTurn>,
}

/// The turn of a request that reads a whole collection. It lasts until there is room for the reply, so that no more of them are in memory.
#[derive(Clone, Debug)]
pub struct ListTurn {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl ListTurn {
    pub(super) async fn take() -> Result<Self> {
        static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(LISTS_AT_ONCE)));
        let permit = TURNS.clone().acquire_owned().await.map_err(Error::internal)?;
        Ok(Self { _permit: Arc::new(permit) })
    }
}

/// A namespace and a name.
pub(super) type Place = (String, String);

/// At most this many selected objects of a page; the number of objects examined, and the last of these.
pub(super) fn select(
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
