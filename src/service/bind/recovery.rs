//! Looking after the outbox: binds whose process died on the way, and those that nobody carried out, come to an end.
//!
//! One process does it for a cluster, under the lead of the duty `binds`. It sees an object for as long as it is the same, by its own clock:
//!
//! - One that is not done belongs to a process that brings it to its end, or died. After [`LEFT_AFTER`], and at the beginning of a lead, the API server is
//!   asked, and the bind is sent to the same node again if need be. Should the other process be alive, both say the same.
//! - One that is done goes with the mirror's write of its pod. If there was none, it goes here as soon as the mirrored pod shows why.
//! - One that is done and of which nothing is shown for [`LAPSES_AFTER`]: the API server is asked, and if the pod is on no node it waits again. Such are the
//!   binds of `bind: record` that no client carried out.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    by_api_server::note,
    commit,
    delivery::{First, deliver},
    outbox::Outgoing,
    replies::{Delivered, Found, to_look},
};
use crate::{
    service::{
        Service,
        error::{Error, Result},
        lead::{self, Lead, Leads},
        objects::kind_of_pods,
        source::{ApiServer, mirrored, requests::send},
    },
    store::{Change, Key, ListQuery, Record, Write},
    telemetry::seldom::Texts,
    wire::{outbox, source::BindMode},
};

/// The name of the duty.
const DUTY: &str = "binds";

/// Interval of the rounds over the outbox of a cluster.
const ROUND: Duration = Duration::from_secs(5);

/// Age of a bind that is not done from which it is looked after.
const LEFT_AFTER: Duration = Duration::from_secs(30);

/// Age of a done bind from which the mirrored pod is read.
const SHOWN_AFTER: Duration = Duration::from_secs(10);

/// Age of a done bind of which nothing is shown, from which the API server is asked.
const LAPSES_AFTER: Duration = Duration::from_mins(5);

/// Objects of a page, and pods read at a time.
const PAGE: usize = 500;

/// Binds brought to an end at a time.
const AT_ONCE: usize = 64;

/// Why outboxes cannot be looked after, by cluster.
static TROUBLE: Texts = Texts::new();

/// Starts looking after the outboxes of all mirrored clusters that this process leads. `holder` names it.
pub fn look_after(service: &Service, holder: Uuid) -> Leads {
    let wanted = |service: Service| async move { Ok(mirrored::all(&service).await?.into_keys().collect()) };
    let of = service.clone();
    lead::lead(service, holder, DUTY, wanted, move |lead| follow(of.clone(), lead))
}

async fn follow(service: Service, lead: Lead) {
    let mut rounds = Rounds::new(&service, lead.cluster());
    loop {
        let round = async { rounds.round(&lead.fence().await?).await };
        if let Err(error) = round.await {
            let (cluster, why) = (&**lead.cluster(), error.for_log());
            if TROUBLE.is_new(cluster, &why) {
                tracing::warn!(cluster, why, "the outbox cannot be looked after; it is tried again");
            }
            return;
        }
        sleep(ROUND).await;
    }
}

/// The rounds over the outbox of a cluster.
#[derive(Debug)]
pub(super) struct Rounds {
    service: Service,
    cluster: Arc<str>,
    /// When each was first seen or asked about last, by its uid and if it is done. In the first round none is here.
    seen: HashMap<(String, bool), Instant>,
    is_first: bool,
}

/// A bind in the outbox that is due.
struct Due {
    outgoing: Outgoing,
    is_done: bool,
    /// `true` if its API server is to be asked.
    is_asked: bool,
}

impl Rounds {
    pub(super) fn new(service: &Service, cluster: &Arc<str>) -> Self {
        Self { service: service.clone(), cluster: cluster.clone(), seen: HashMap::new(), is_first: true }
    }

    /// One round.
    ///
    /// # Errors
    /// Those of the store, and that another process leads.
    pub(super) async fn round(&mut self, fence: &Write) -> Result<()> {
        let (mut after, mut met) = (None, HashSet::new());
        loop {
            let query = ListQuery { after, limit: Some(PAGE), ..ListQuery::all(outbox::KIND) };
            let list = self.service.store.list(&self.cluster, &query).await?;
            let is_end = list.remaining.is_none();
            after = list.items.last().map(|last| (last.key.namespace.clone(), last.key.name.clone()));
            let (due, unreadable) = self.due(&list.items, &mut met);
            self.bring_to_an_end(due, fence).await?;
            if !unreadable.is_empty() {
                // What cannot be read is no bind on its way.
                commit(&self.service, &self.cluster, Some(fence), unreadable).await?;
            }
            if is_end {
                break;
            }
        }
        self.seen.retain(|key, _| met.contains(key));
        self.is_first = false;
        Ok(())
    }

    /// Those of a page that are due, and the deletions of those that cannot be read.
    fn due(&mut self, page: &[Record], met: &mut HashSet<(String, bool)>) -> (Vec<Due>, Vec<Write>) {
        let now = Instant::now();
        let (mut due, mut unreadable) = (Vec::new(), Vec::new());
        for record in page {
            let (outgoing, is_done) = match Outgoing::of(record) {
                Ok(read) => read,
                Err(error) => {
                    tracing::error!(key = ?record.key, %error, "a bind on its way cannot be read, and is deleted");
                    unreadable.push(Write::of(record, Change::Delete));
                    continue;
                }
            };
            let key = (outgoing.id.clone(), is_done);
            let since = *self.seen.entry(key.clone()).or_insert(now);
            met.insert(key.clone());
            let age = now.duration_since(since);
            let is_asked = if is_done { age >= LAPSES_AFTER } else { age >= LEFT_AFTER || self.is_first };
            if is_asked {
                self.seen.insert(key, now);
            }
            if is_asked || age >= SHOWN_AFTER {
                due.push(Due { outgoing, is_done, is_asked });
            }
        }
        (due, unreadable)
    }

    async fn bring_to_an_end(&self, due: Vec<Due>, fence: &Write) -> Result<()> {
        if due.is_empty() {
            return Ok(());
        }
        let pods = kind_of_pods()?.key();
        let of = |due: &Due| Key::new(&*pods, &*due.outgoing.pod.namespace, &*due.outgoing.pod.name);
        let keys: Vec<Key> = due.iter().map(of).collect();
        let records = self.service.store.find(&self.cluster, &keys).await?;
        let records: HashMap<Key, Record> = records.into_iter().map(|record| (record.key.clone(), record)).collect();
        let source = mirrored::of(&self.service, &self.cluster).await?;
        let is_sent = source.as_ref().is_some_and(|source| source.bind == BindMode::ApiServer);
        let server = match &source {
            Some(source) => self.service.sources.server(&self.cluster, source).await,
            None => Err("the cluster mirrors no live one".into()),
        };
        let mut ends = Vec::with_capacity(due.len());
        for (due, key) in due.into_iter().zip(&keys) {
            ends.push(self.end(due, records.get(key), &server, is_sent, fence));
        }
        let ends: Vec<Result<()>> = stream::iter(ends).buffer_unordered(AT_ONCE).collect().await;
        ends.into_iter().collect()
    }

    /// Brings one to an end, as far as that can be. `pod`: its pod's row.
    async fn end(
        &self,
        due: Due,
        pod: Option<&Record>,
        server: &std::result::Result<Arc<dyn ApiServer>, String>,
        is_sent: bool,
        fence: &Write,
    ) -> Result<()> {
        let (service, cluster) = (&self.service, &*self.cluster);
        let Due { outgoing, is_done, is_asked } = due;
        if !outgoing.is_open(pod) {
            return outgoing.release(service, cluster, None, Some(fence)).await;
        }
        if !is_asked {
            return Ok(());
        }
        let delivered = match server {
            Ok(server) if is_done || !is_sent => look(&**server, &outgoing).await,
            Ok(server) => self.finish(&**server, &outgoing).await,
            Err(why) => Delivered::Unknown(why.clone()),
        };
        if is_done && delivered == Delivered::Done {
            // It was counted before. The mirror is late, and it is asked about again.
            return Ok(());
        }
        note(cluster, &outgoing, &delivered);
        outgoing.settle(service, cluster, &delivered, Some(fence)).await
    }

    /// Finishes a bind that somebody may have sent.
    async fn finish(&self, server: &dyn ApiServer, outgoing: &Outgoing) -> Delivered {
        let Ok(_turn) = self.service.sources.turn(&self.cluster).await else {
            return Delivered::Unknown("the server stops".into());
        };
        let has_node = match self.service.clusters.get(&self.cluster).await {
            Ok(cluster) => cluster.view().snapshot.node(&outgoing.node).is_some(),
            Err(error) => return Delivered::Unknown(Error::from(error).to_string()),
        };
        // The API server would bind it to a node that has gone meanwhile.
        if has_node {
            deliver(server, &outgoing.pod, &outgoing.node, First::Look).await
        } else {
            look(server, outgoing).await
        }
    }
}

/// The bind as the API server shows the pod.
async fn look(server: &dyn ApiServer, outgoing: &Outgoing) -> Delivered {
    match to_look(&send(server, outgoing.pod.get()).await, &outgoing.pod.uid) {
        Found::On(node) if node == outgoing.node => Delivered::Done,
        Found::On(node) => Delivered::Taken(node),
        Found::Waits => Delivered::Refused("nobody carried it out in time".into()),
        Found::Gone => Delivered::Gone,
        Found::Unclear(unclear) => Delivered::Unknown(unclear.why),
    }
}
