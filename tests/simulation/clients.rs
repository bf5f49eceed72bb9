//! Clients: each sends a request to any replica, waits for the reply, and goes on.

use std::sync::{Arc, Mutex};

use podberth::live::{CommitError, View};
use podberth::store::{Atomicity, Call, Change, Key, ListQuery, Precondition, StoreError, Write};
use tokio::task::JoinSet;

use crate::faulty::lock;
use crate::history::{History, OWN, Ticket};
use crate::objects::{self, FACT};
use crate::world::{CLUSTERS, Replica};

const NODES: u64 = 4;
const PODS: u64 = 24;

/// One client's chance.
pub(crate) struct Client {
    pub(crate) chance: fastrand::Rng,
    /// Makes each body one of its own.
    pub(crate) stamps: Arc<std::sync::atomic::AtomicU64>,
}

impl Client {
    fn stamp(&self) -> u64 {
        self.stamps.fetch_add(1, std::sync::atomic::Ordering::SeqCst)
    }

    fn node(&mut self) -> String {
        format!("node-{}", self.chance.u64(0..NODES))
    }

    fn pod(&mut self) -> Key {
        Key::new("pods", "shop", format!("pod-{}", self.chance.u64(0..PODS)))
    }

    fn put_node(&mut self) -> Write {
        let (name, cpus, stamp) = (self.node(), self.chance.i64(2..9), self.stamp());
        let change = Change::Put { body: objects::node(&name, cpus, stamp), uid: name.clone(), node: None };
        Write { key: Key::new("nodes", "", name), precondition: Precondition::default(), change }
    }

    /// Creates or replaces a pod.
    fn put_pod(&mut self) -> Write {
        let (key, stamp) = (self.pod(), self.stamp());
        let uid = format!("uid-{stamp}");
        let body = objects::pod(&key.name, &uid, self.chance.i64(1..4), stamp);
        let absent = self.chance.u32(0..4) > 0;
        let precondition = if absent { Precondition::absent() } else { Precondition::default() };
        Write { key, precondition, change: Change::Put { body, uid, node: None } }
    }

    /// A pod that is reported to run on a node.
    fn put_fact(&mut self) -> Write {
        let (name, node, stamp) = (format!("{FACT}-{}", self.chance.u64(0..4)), self.node(), self.stamp());
        let body = objects::pod(&name, &name, 1, stamp);
        let change = Change::Put { body, uid: name.clone(), node: Some(node) };
        Write { key: Key::new("pods", "shop", name), precondition: Precondition::default(), change }
    }

    fn move_fact(&mut self) -> Write {
        let name = format!("{FACT}-{}", self.chance.u64(0..4));
        let node = if self.chance.bool() { Some(self.node()) } else { None };
        Write {
            key: Key::new("pods", "shop", name),
            precondition: Precondition::default(),
            change: Change::SetNode(node),
        }
    }

    fn delete(&mut self, view: &View) -> Write {
        let key = if self.chance.u32(0..8) == 0 { Key::new("nodes", "", self.node()) } else { self.pod() };
        let seen = view.snapshot.pod(&key.namespace, &key.name).map(|pod| pod.uid.to_string());
        let uid = seen.filter(|_| self.chance.bool());
        Write { key, precondition: Precondition { uid, ..Precondition::default() }, change: Change::Delete }
    }

    /// Binds a pod, mostly one that is seen to wait.
    fn bind(&mut self, view: &View) -> Write {
        let waiting: Vec<_> = view.snapshot.pods().filter(|pod| pod.node_name.is_empty()).collect();
        let seen = self.chance.choice(waiting).filter(|pod| !pod.name.starts_with(FACT));
        let name = seen.map(|pod| pod.name.to_string());
        let key = name.map_or_else(|| self.pod(), |name| Key::new("pods", "shop", name));
        let uid = seen.filter(|_| self.chance.bool()).map(|pod| pod.uid.to_string());
        let precondition = Precondition { uid, ..Precondition::default() };
        Write { key, precondition, change: Change::Bind { node: self.node() } }
    }

    /// One write, or several, at least one of them with a unique body.
    fn call(&mut self, view: &View) -> Call {
        let atomicity = if self.chance.bool() { Atomicity::Each } else { Atomicity::AllOrNothing };
        let mut writes = vec![match self.chance.u32(0..20) {
            0..7 => self.put_pod(),
            7..14 => self.bind(view),
            14..16 => self.delete(view),
            16 => self.put_fact(),
            17 => self.move_fact(),
            _ => self.put_node(),
        }];
        if matches!(writes[0].change, Change::Put { .. }) && self.chance.u32(0..4) == 0 {
            for _ in 0..self.chance.usize(1..4) {
                let write = match self.chance.u32(0..4) {
                    0 => self.put_pod(),
                    1 => self.delete(view),
                    _ => self.bind(view),
                };
                if writes.iter().all(|other| other.key != write.key) {
                    writes.push(write);
                }
            }
        }
        Call { writes, atomicity }
    }

    /// Sends a request, which is on the ticket until it is answered.
    pub(crate) async fn ask(&mut self, replica: &Arc<Replica>, tickets: &Arc<Tickets>, history: &Arc<History>) {
        let cluster = self.chance.usize(0..CLUSTERS.len());
        match self.chance.u32(0..12) {
            0 => self.list(replica, cluster, history).await,
            1 => self.get(replica, cluster, history).await,
            2 => self.replace(replica, cluster, tickets, history).await,
            _ => {
                let Some(view) = replica.view(cluster).await else { return };
                let many = if self.chance.u32(0..3) == 0 { self.chance.usize(2..4) } else { 1 };
                let mut calls: Vec<Call> = (0..many).map(|_| self.call(&view)).collect();
                let binds = |write: &Write| matches!(write.change, Change::Bind { .. });
                if many == 1 && !calls[0].writes.iter().any(binds) && self.chance.u32(0..4) == 0 {
                    return write_directly(replica, cluster, calls.remove(0), tickets, history).await;
                }
                write(replica, cluster, calls, tickets, history).await;
            }
        }
    }

    async fn list(&mut self, replica: &Replica, cluster: usize, history: &History) {
        let kind = if self.chance.bool() { "pods" } else { "nodes" };
        let window = history.window(cluster);
        if let Ok(list) = replica.store.list(CLUSTERS[cluster], &ListQuery::all(kind)).await {
            history.listed(window, kind, &list);
        }
    }

    async fn get(&mut self, replica: &Replica, cluster: usize, history: &History) {
        let (key, window) = (self.pod(), history.window(cluster));
        if let Ok(record) = replica.store.get(CLUSTERS[cluster], &key).await {
            history.got(window, &key, record.as_ref());
        }
    }

    /// Reads a pod and replaces its body, if no other client was faster.
    async fn replace(
        &mut self,
        replica: &Arc<Replica>,
        cluster: usize,
        tickets: &Arc<Tickets>,
        history: &Arc<History>,
    ) {
        let key = self.pod();
        let Ok(Some(record)) = replica.store.get(CLUSTERS[cluster], &key).await else { return };
        let body = objects::pod(&key.name, &record.uid, objects::cpu(&record.body), self.stamp());
        let change = Change::Put { body, uid: record.uid, node: record.node };
        let write_it = Write { key, precondition: Precondition::revision(record.revision), change };
        let call = Call { writes: vec![write_it], atomicity: Atomicity::Each };
        write(replica, cluster, vec![call], tickets, history).await;
    }
}

/// The calls of a client in progress, until each is answered: they outlive a crashed replica.
pub(crate) type Tickets = Mutex<Vec<Option<Ticket>>>;

/// Writes a call past the replica's writer, as is possible without a judge.
async fn write_directly(replica: &Replica, cluster: usize, call: Call, tickets: &Tickets, history: &History) {
    *lock(tickets) = vec![Some(history.begin(cluster, &call))];
    let written = replica.store.commit(CLUSTERS[cluster], call.writes, call.atomicity).await;
    let Some(ticket) = lock(tickets)[0].take() else { return };
    match written {
        Ok(commit) => {
            history.answered(&ticket, &commit);
        }
        Err(StoreError::OutcomeUnknown(_)) => history.unknown(ticket),
        Err(error) => history.failed(&error.to_string()),
    }
}

/// Has calls written, all at once.
async fn write(
    replica: &Arc<Replica>,
    cluster: usize,
    calls: Vec<Call>,
    tickets: &Arc<Tickets>,
    history: &Arc<History>,
) {
    *lock(tickets) = calls.iter().map(|call| Some(history.begin(cluster, call))).collect();
    let mut writing = JoinSet::new();
    for (i, call) in calls.into_iter().enumerate() {
        let (replica, tickets, history) = (replica.clone(), tickets.clone(), history.clone());
        writing.spawn(async move {
            let written = replica.write(cluster, call).await;
            let Some(ticket) = lock(&tickets)[i].take() else { return };
            match written {
                Ok(commit) => {
                    let mut cursor = history.answered(&ticket, &commit);
                    if let Some(view) = replica.shown(cluster) {
                        history.saw(&mut cursor, OWN, &view.snapshot);
                    }
                }
                Err(CommitError::Store(StoreError::OutcomeUnknown(_))) => history.unknown(ticket),
                Err(error) => history.failed(&error.to_string()),
            }
        });
    }
    writing.join_all().await;
}
