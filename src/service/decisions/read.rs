//! Reading of recorded decisions.

use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use serde::Deserialize;

use super::KIND;
use crate::{
    service::{
        Service,
        access::sight::Sight,
        audit::word,
        compute::compute,
        error::{Error, Result, Subject},
        limits::{self, Seats},
    },
    store::{Entry, EntryId, Order, Scan},
    wire::decision::{Decision, DecisionList, DecisionOutcome},
};

/// Decisions of a page: the default, and the maximum.
const LIMIT: usize = 100;
const LARGEST_LIMIT: usize = 500;

/// Bytes of a page, which may be exceeded by one decision.
const LARGEST_PAGE: usize = 4 << 20;

/// The decisions that one request looks through, and the bytes of their records. If there are more, its page ends there.
const MOST_READ: usize = 5_000;
const MOST_BYTES_READ: usize = 16 << 20;

/// The pages that are read at a time, so that their readers leave connections of the database to others.
const PAGES_AT_ONCE: usize = 2;

/// The turns of those who read pages.
static TURNS: LazyLock<Seats> = LazyLock::new(|| Seats::new("decisions", PAGES_AT_ONCE));

/// Read at a time.
const AT_ONCE: usize = 500;

/// The decisions that are asked for. A condition that is `None` selects all.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// About this pod, as `namespace/name` or, in the namespace `default`, `name`.
    pub pod: Option<String>,
    /// For this node.
    pub node: Option<String>,
    /// With this outcome.
    pub outcome: Option<DecisionOutcome>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// So many at most.
    pub limit: Option<usize>,
    /// Behind the page whose `continue` this is.
    pub after: Option<String>,
    /// The oldest first.
    pub oldest_first: bool,
}

impl Asked {
    /// The scan that has all of them.
    pub(super) fn scan(&self, cluster: &Arc<str>) -> Result<Scan> {
        let after = self.after.as_deref().filter(|after| !after.is_empty()).map(str::parse::<EntryId>);
        let after =
            after.transpose().map_err(|_| Error::BadRequest("continue: it is not of a page of this list".into()))?;
        let whole = |pod: &String| if pod.contains('/') { pod.clone() } else { format!("default/{pod}") };
        Ok(Scan {
            subject: self.node.as_deref().map(word),
            object: self.pod.as_ref().map(|pod| word(&whole(pod))),
            since: self.since,
            order: if self.oldest_first { Order::OldestFirst } else { Order::NewestFirst },
            after,
            limit: AT_ONCE,
            ..Scan::all(cluster.clone(), KIND)
        })
    }

    /// So many of them are a page.
    fn page(&self) -> usize {
        self.limit.filter(|limit| *limit > 0).unwrap_or(LIMIT).min(LARGEST_LIMIT)
    }
}

/// The only field of a record that is searched.
#[derive(Deserialize)]
struct Brief {
    outcome: DecisionOutcome,
}

/// The decisions that were found so far.
#[derive(Default)]
struct Found {
    list: DecisionList,
    /// The bytes of their records.
    bytes: usize,
    /// The records that were read, and their bytes.
    read: usize,
    bytes_read: usize,
    /// The last one that was looked at.
    last: Option<EntryId>,
}

impl Found {
    /// Takes in those that are selected, until there are enough; `true` if it looked at all.
    fn take(&mut self, entries: Vec<Entry>, outcome: Option<DecisionOutcome>, limit: usize) -> bool {
        let mut left = entries.into_iter();
        for entry in left.by_ref() {
            self.read += 1;
            self.bytes_read = self.bytes_read.saturating_add(entry.body.len());
            self.last = Some(entry.id);
            let selects = |outcome| {
                let brief = serde_json::from_slice::<Brief>(&entry.body);
                brief.map_or(true, |brief| brief.outcome == outcome)
            };
            if outcome.is_none_or(selects) {
                match parsed(&entry) {
                    Ok(decision) => {
                        self.bytes = self.bytes.saturating_add(entry.body.len());
                        self.list.items.push(decision);
                    }
                    Err(_) => self.list.unreadable += 1,
                }
            }
            if self.is_full(limit) {
                break;
            }
        }
        left.len() == 0
    }

    fn is_full(&self, limit: usize) -> bool {
        self.list.items.len() >= limit
            || self.bytes >= LARGEST_PAGE
            || self.read >= MOST_READ
            || self.bytes_read >= MOST_BYTES_READ
    }
}

/// A page of a cluster's decisions, the newest first unless asked otherwise. Records of an unknown form are left out and counted.
///
/// # Errors
/// [`Error::BadRequest`] for a `continue` that is none, and those of the store.
pub async fn list(service: &Service, cluster: &Arc<str>, asked: &Asked) -> Result<DecisionList> {
    let mut scan = asked.scan(cluster)?;
    if asked.after.is_none() {
        service.decisions.flush().await;
    }
    let (limit, outcome) = (asked.page(), asked.outcome);
    // Who has begun to read goes on.
    let _turn = TURNS.seat(&limits::flow(), asked.after.is_some()).await?;
    let mut found = Found::default();
    loop {
        scan.limit = if outcome.is_none() { limit - found.list.items.len().min(limit - 1) } else { AT_ONCE };
        let page = service.store.scan(&scan).await?;
        let (has_more, entries) = (page.next.is_some(), page.entries);
        let (taken, is_whole) = compute(move || {
            let is_whole = found.take(entries, outcome, limit);
            (found, is_whole)
        })
        .await?;
        found = taken;
        if is_whole && !has_more {
            return Ok(found.list);
        }
        if found.is_full(limit) {
            found.list.next = found.last.map(|id| id.to_string());
            return Ok(found.list);
        }
        scan.after = page.next;
    }
}

/// One decision of a cluster.
///
/// # Errors
/// [`Error::NotFound`], and those of the store.
pub async fn get(service: &Service, cluster: &Arc<str>, id: &str) -> Result<Decision> {
    let missing = || Error::NotFound(Subject::new("podberth.io", "decisions", id));
    let only = id.parse::<EntryId>().map_err(|_| missing())?;
    let scan = Scan { only: Some(only), ..Scan::all(cluster.clone(), KIND) };
    let found = service.store.scan(&scan).await?.entries.pop();
    let found = match found {
        None => {
            // It may be on its way.
            service.decisions.flush().await;
            service.store.scan(&scan).await?.entries.pop()
        }
        found => found,
    };
    let unreadable =
        || Error::Expired(format!("the record of the decision {id} is of a form that this version does not know"));
    parsed(&found.ok_or_else(missing)?).map_err(|_| unreadable())
}

fn parsed(entry: &Entry) -> Result<Decision> {
    Decision::parse(&entry.body).map_err(Error::internal)
}

/// Puts numbers in place of the names of pods that the caller may not know, and takes out what they asked for.
pub fn masked(mut decision: Decision, sight: &mut Sight) -> Decision {
    let own = decision.pod.namespace.clone();
    if !sight.knows(&own.as_str().into()) {
        (decision.pod.body, decision.message, decision.verdicts) = (None, None, None);
    }
    sight.mask(&mut decision.pod.namespace, &mut decision.pod.name, Some(&mut decision.pod.uid));
    for pod in decision.victims.iter_mut().chain(&mut decision.effects.cleared) {
        sight.mask(&mut pod.namespace, &mut pod.name, None);
    }
    for budget in &mut decision.effects.charges {
        if !sight.knows(&budget.namespace.as_str().into()) {
            (budget.namespace, budget.name) = (crate::service::access::sight::HIDDEN.into(), String::new());
        }
    }
    decision
}
