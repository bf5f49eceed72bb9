//! The memory of the loop: proposals and changes of the last hour, as entries of the ledger. Whoever leads next goes on with it.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    clock::nanoseconds,
    core::advise::hpa::{Event, History, Recommendation},
    service::{
        Service,
        error::{Error, Result},
    },
    store::{Entry, EntryId, Order, Retain, Scan},
};

/// The ledger's kind.
const KIND: &str = "hpa";

/// Time for which entries count: the longest stabilization window, and longer than the longest period of a policy.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(1);

/// Additions of one synchronization.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Note {
    /// The proposal.
    #[serde(skip_serializing_if = "Option::is_none")]
    proposed: Option<i32>,
    /// The change that was carried out: more replicas are positive. It counts for autoscalers with rules of the speed of scaling.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<i32>,
    /// The reason of the change.
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
}

/// The word by which the entries of an autoscaler are looked up.
fn word(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// An entry about a synchronization; `None` if there is nothing to remember.
pub(super) fn entry(
    cluster: &Arc<str>,
    (namespace, name): (&str, &str),
    proposed: Option<i32>,
    change: Option<i32>,
    reason: &str,
    now: Timestamp,
) -> Option<Entry> {
    if proposed.is_none() && change.is_none() {
        return None;
    }
    let body = serde_json::to_vec(&Note { proposed, change, reason: reason.to_owned() }).ok()?;
    Some(Entry {
        cluster: cluster.clone(),
        kind: KIND.into(),
        id: EntryId::new(now, Uuid::new_v4().as_u64_pair().1),
        subject: String::new(),
        object: word(namespace, name),
        body: Bytes::from(body),
    })
}

/// Appends entries, and drops those that are too old.
pub(super) async fn append(service: &Service, cluster: &Arc<str>, entries: &[Entry], now: Timestamp) -> Result<()> {
    for some in entries.chunks(1_000) {
        service.store.append(some).await?;
    }
    service.store.prune(cluster, KIND, &Retain { since: now.checked_sub(KEPT_FOR).ok(), ..Retain::default() }).await?;
    Ok(())
}

/// The memory of one autoscaler.
pub(super) async fn of(service: &Service, cluster: &Arc<str>, namespace: &str, name: &str) -> Result<History> {
    let word = word(namespace, name);
    let mut found = read(service, cluster, Some(word.clone())).await?;
    Ok(found.remove(&word).unwrap_or_default())
}

/// The memories of all autoscalers of a cluster, by namespace and name.
pub(super) async fn all(service: &Service, cluster: &Arc<str>) -> Result<HashMap<String, History>> {
    read(service, cluster, None).await
}

async fn read(service: &Service, cluster: &Arc<str>, object: Option<String>) -> Result<HashMap<String, History>> {
    let now = service.clusters.now().await?;
    let since = now.checked_sub(KEPT_FOR).ok();
    let mut scan = Scan { object, since, order: Order::OldestFirst, ..Scan::all(cluster.clone(), KIND) };
    let mut found: HashMap<String, History> = HashMap::new();
    loop {
        let page = service.store.scan(&scan).await?;
        for entry in &page.entries {
            let note: Note = serde_json::from_slice(&entry.body).map_err(Error::internal)?;
            take(found.entry(entry.object.clone()).or_default(), &note, nanoseconds(entry.id.at()));
        }
        scan.after = page.next;
        if scan.after.is_none() {
            return Ok(found);
        }
    }
}

fn take(history: &mut History, note: &Note, time: i64) {
    if let Some(replicas) = note.proposed {
        history.recommendations.push(Recommendation { time, replicas });
    }
    if let Some(change) = note.change {
        let event = Event { time, change: change.saturating_abs() };
        if change > 0 { history.ups.push(event) } else { history.downs.push(event) }
    }
}
