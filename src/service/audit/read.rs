//! Reading of recorded events: the newest first, page by page.

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::{KIND, trail::word};
use crate::{
    service::{
        Service,
        error::{Error, Result},
    },
    store::{Entry, EntryId, Scan, ledger::NO_CLUSTER},
    wire::audit::event::Found,
};

/// Events of a page: the default, and the maximum.
const LIMIT: usize = 100;
const LARGEST_LIMIT: usize = 500;

/// Bytes of a page, which may be exceeded by one event.
const LARGEST_PAGE: usize = 4 << 20;

/// The number of events that one request looks through. If there are more, its page ends there.
const MOST_READ: usize = 5_000;

/// Read at a time.
const AT_ONCE: usize = 500;

/// The events that are asked for. A condition that is `None` selects all.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Of this cluster.
    pub cluster: Option<String>,
    /// Of this user.
    pub user: Option<String>,
    /// With this verb.
    pub verb: Option<String>,
    /// About objects in this namespace.
    pub namespace: Option<String>,
    /// About this resource, with its subresources unless one is named: `pods`, `pods/binding`.
    pub resource: Option<String>,
    /// About the object of this name.
    pub name: Option<String>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// So many at most.
    pub limit: Option<usize>,
    /// Behind the page whose `continue` this is.
    pub after: Option<String>,
}

/// Some of the events.
#[derive(Clone, Debug)]
pub struct EventList {
    /// The newest first.
    pub items: Vec<Box<RawValue>>,
    /// `continue` of the next page; `None` if this is the last. A page may be empty though more follow.
    pub next: Option<String>,
}

/// A page of the events.
///
/// # Errors
/// [`Error::BadRequest`] for a `continue` that is none, and those of the store.
pub async fn list(service: &Service, asked: &Asked) -> Result<EventList> {
    let after = asked.after.as_deref().filter(|after| !after.is_empty()).map(str::parse::<EntryId>);
    let after =
        after.transpose().map_err(|_| Error::BadRequest("continue: it is not of a page of this list".into()))?;
    let limit = asked.limit.filter(|limit| *limit > 0).unwrap_or(LIMIT).min(LARGEST_LIMIT);
    let mut scan = Scan {
        subject: asked.user.as_deref().map(word),
        object: asked.cluster.as_deref().map(word),
        since: asked.since,
        until: asked.until,
        after,
        limit: AT_ONCE,
        ..Scan::all(NO_CLUSTER, KIND)
    };
    let (mut items, mut bytes, mut read) = (Vec::new(), 0_usize, 0_usize);
    loop {
        let page = service.store.scan(&scan).await?;
        let mut left = page.entries.into_iter();
        while let Some(entry) = left.next() {
            read += 1;
            scan.after = Some(entry.id);
            if asked.selects(&entry) {
                bytes = bytes.saturating_add(entry.body.len());
                items.push(serde_json::from_slice(&entry.body).map_err(Error::internal)?);
            }
            let is_full = items.len() >= limit || bytes >= LARGEST_PAGE || read >= MOST_READ;
            if is_full && (page.next.is_some() || left.len() > 0) {
                return Ok(EventList { items, next: scan.after.map(|id| id.to_string()) });
            }
        }
        if page.next.is_none() {
            return Ok(EventList { items, next: None });
        }
        scan.after = page.next;
    }
}

impl Asked {
    /// `true` if an event of the scan is asked for.
    fn selects(&self, entry: &Entry) -> bool {
        if [&self.verb, &self.namespace, &self.resource, &self.name].iter().all(|one| one.is_none()) {
            return true;
        }
        let Found { verb, object_ref: of } = Found::parse(&entry.body);
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        let is_resource = self.resource.as_deref().is_none_or(|wanted| {
            let whole = format!("{}/{}", of.resource, of.subresource);
            wanted == of.resource || wanted == whole
        });
        is(&self.verb, &verb) && is(&self.namespace, &of.namespace) && is(&self.name, &of.name) && is_resource
    }
}
