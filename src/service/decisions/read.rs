//! Reading of recorded decisions.

use std::sync::Arc;

use jiff::Timestamp;

use super::KIND;
use crate::{
    service::{
        Service,
        access::sight::Sight,
        audit::word,
        error::{Error, Result, Subject},
    },
    store::{Entry, EntryId, Order, Scan},
    wire::decision::{Decision, DecisionList, DecisionOutcome},
};

/// Decisions of a page: the default, and the maximum.
const LIMIT: usize = 100;
const LARGEST_LIMIT: usize = 500;

/// Bytes of a page, which may be exceeded by one decision.
const LARGEST_PAGE: usize = 4 << 20;

/// The number of decisions that one request looks through. If there are more, its page ends there.
const MOST_READ: usize = 5_000;

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

    fn selects(&self, decision: &Decision) -> bool {
        self.outcome.is_none_or(|outcome| outcome == decision.outcome)
    }
}

/// A page of a cluster's decisions, the newest first unless asked otherwise.
///
/// # Errors
/// [`Error::BadRequest`] for a `continue` that is none, and those of the store.
pub async fn list(service: &Service, cluster: &Arc<str>, asked: &Asked) -> Result<DecisionList> {
    let mut scan = asked.scan(cluster)?;
    if asked.after.is_none() {
        service.decisions.flush().await;
    }
    let limit = asked.limit.filter(|limit| *limit > 0).unwrap_or(LIMIT).min(LARGEST_LIMIT);
    let (mut items, mut bytes, mut read) = (Vec::new(), 0_usize, 0_usize);
    loop {
        let page = service.store.scan(&scan).await?;
        let mut left = page.entries.into_iter();
        while let Some(entry) = left.next() {
            read += 1;
            scan.after = Some(entry.id);
            let decision = parsed(&entry)?;
            if asked.selects(&decision) {
                bytes = bytes.saturating_add(entry.body.len());
                items.push(decision);
            }
            let is_full = items.len() >= limit || bytes >= LARGEST_PAGE || read >= MOST_READ;
            if is_full && (page.next.is_some() || left.len() > 0) {
                return Ok(DecisionList { items, next: scan.after.map(|id| id.to_string()) });
            }
        }
        if page.next.is_none() {
            return Ok(DecisionList { items, next: None });
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
    parsed(&found.ok_or_else(missing)?)
}

fn parsed(entry: &Entry) -> Result<Decision> {
    Decision::parse(&entry.body).map_err(Error::internal)
}

/// Puts numbers in place of the names of pods that the caller may not know, and takes out what they asked for.
pub fn masked(mut decision: Decision, sight: &mut Sight) -> Decision {
    let own = decision.pod.namespace.clone();
    if !sight.knows(&own.as_str().into()) {
        (decision.pod.body, decision.message) = (None, None);
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
