//! The mirrors of all clusters: each is led by one process of those on a database, which mirrors all its kinds and tells the others how far it is.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};
use uuid::Uuid;

use crate::{
    clock,
    service::{
        Service,
        lead::{Lead, Leads, lead},
        source::mirrored,
        supervised::Supervised,
    },
    telemetry::labels::CLUSTERS,
    wire::{
        kinds::StoredKind,
        source::{ClusterSource, SyncStatus, mirrored as mirrored_kinds},
    },
};

use super::{
    apply::Led,
    board::{self, Board},
    client::{KubeConnector, Link},
    kind::{KindMirror, Watching},
    object::Mirrored,
};

/// The duty that is led.
pub const DUTY: &str = "sync";

/// How long statuses are kept in the ledger, and how many are appended between two looks for older ones.
const KEPT: Duration = Duration::from_hours(1);
const PRUNED_EVERY: u32 = 60;

/// Pause before the mirror of a kind, or of a cluster, begins again after a fault.
const AGAIN: Duration = Duration::from_secs(2);

/// The mirrors of this process; they end when this is dropped.
#[derive(Debug)]
pub struct Mirrors {
    leads: Leads,
    _reading: Supervised,
}

/// The common ground of all mirrors of a process.
#[derive(Clone, Debug)]
struct Shared {
    service: Service,
    connector: KubeConnector,
    watching: Watching,
    /// The clusters that this process mirrors.
    own: Arc<Mutex<BTreeSet<Arc<str>>>>,
}

impl Mirrors {
    /// Starts the mirrors of all clusters that have a source. `holder` names this process.
    pub fn start(service: &Service, holder: Uuid, connector: &KubeConnector, watching: Watching) -> Self {
        let shared = Shared { service: service.clone(), connector: connector.clone(), watching, own: Arc::default() };
        let of = shared.clone();
        let run = move |lead| mirror(of.clone(), lead);
        let wanted = |service: Service| async move { Ok(mirrored::all(&service).await?.into_keys().collect()) };
        let leads = lead(service, holder, DUTY, wanted, run);
        let reading =
            Supervised::start("the reader of mirrors' statuses", AGAIN, move || read_statuses(shared.clone()));
        Self { leads, _reading: reading }
    }

    /// Ends them, so that other processes go on at once.
    pub async fn end(self) {
        self.leads.end().await;
    }
}

/// Reads how far the mirrors of other processes are.
async fn read_statuses(shared: Shared) {
    loop {
        sleep(shared.watching.read_every).await;
        let Ok(sources) = mirrored::all(&shared.service).await else { continue };
        shared.service.sources.retain(|cluster| sources.contains_key(cluster));
        CLUSTERS.retain(&sources.keys().map(ToString::to_string).collect());
        for (cluster, source) in sources {
            if shared.lock().contains(&cluster) {
                continue;
            }
            // Where it is mirrored by this process meanwhile, that knows more.
            if let Ok(status) = board::newest(&shared.service, &cluster, &source.server()).await
                && !shared.lock().contains(&cluster)
            {
                shared.service.sources.tell(&cluster, status);
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<Arc<str>>> {
        // Each change of it is one call.
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A cluster that this process mirrors, until this is dropped.
struct Owned(Shared, Arc<str>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

/// Mirrors a cluster for as long as this process leads it. Ends when another process does; then it is begun again if this one gets the lead back.
async fn mirror(shared: Shared, lead: Lead) {
    let cluster = lead.cluster().clone();
    shared.lock().insert(cluster.clone());
    let _owned = Owned(shared.clone(), cluster.clone());
    let mut has_moved = false;
    loop {
        let live = match shared.service.clusters.get(&cluster).await {
            Ok(live) => live,
            Err(error) => {
                tracing::debug!(cluster = &*cluster, %error, "the cluster cannot be read yet");
                return;
            }
        };
        let Some(source) = live.view().source() else {
            // It was removed, or is not seen yet.
            mirrored::changed(&shared.service, &cluster, None).await;
            continue;
        };
        // Versions of another API server say nothing.
        let Ok(before) = board::newest(&shared.service, &cluster, &source.server()).await else { return };
        let before = if std::mem::take(&mut has_moved) { SyncStatus::of(source.server()) } else { before };
        let kinds = kinds_of(&source);
        let board = Board::new(&shared.service, &cluster, before, kinds.iter().map(|of| &*of.key));
        tracing::info!(cluster = &*cluster, source = source.title(), kinds = kinds.len(), "mirroring");
        let link = Arc::new(shared.connector.link(&source));
        let lost = Arc::new(Notify::new());
        let running: Vec<Supervised> =
            kinds.into_iter().map(|of| start(&shared, &lead, &link, &board, &lost, of)).collect();
        tokio::select! {
            () = mirrored::changed(&shared.service, &cluster, Some(&source)) => {}
            () = link.moved() => has_moved = true,
            () = lost.notified() => return,
            () = tell(&shared, &board) => return,
        }
        drop(running);
    }
}

/// Starts the mirror of one kind.
fn start(
    shared: &Shared,
    lead: &Lead,
    link: &Arc<Link>,
    board: &Board,
    lost: &Arc<Notify>,
    of: Arc<Mirrored>,
) -> Supervised {
    let (service, watching) = (shared.service.clone(), shared.watching);
    let (lead, link, board, lost) = (lead.clone(), link.clone(), board.clone(), lost.clone());
    Supervised::start("the mirror of a kind", AGAIN, move || {
        let target = Led { service: service.clone(), lead: lead.clone() };
        let mirror = KindMirror::new(link.clone(), of.clone(), target, board.clone(), watching);
        let lost = lost.clone();
        async move {
            mirror.run().await;
            lost.notify_one();
        }
    })
}

/// Tells the ledger how far the mirror is. Never ends.
async fn tell(shared: &Shared, board: &Board) {
    let service = &shared.service;
    let cluster = board.cluster();
    let mut appended = 0_u32;
    loop {
        sleep(shared.watching.told_every).await;
        let Some(status) = board.take_changed() else { continue };
        let now = clock::now();
        if let Err(error) = board::append(service, cluster, &status, now).await {
            board.put_back();
            tracing::debug!(cluster = &**cluster, %error, "the mirror's status is not in the ledger");
            continue;
        }
        if appended.is_multiple_of(PRUNED_EVERY) {
            drop(board::prune(service, cluster, now.checked_sub(KEPT).ok()).await);
        }
        appended = appended.wrapping_add(1);
    }
}

/// The kinds that a source is mirrored in.
pub(super) fn kinds_of(source: &ClusterSource) -> Vec<Arc<Mirrored>> {
    let is_wanted = |kind: &&StoredKind| source.kinds.as_ref().is_none_or(|keys| keys.contains(&kind.key()));
    let kinds = mirrored_kinds().filter(is_wanted);
    kinds.map(|kind| Arc::new(Mirrored::new(kind, source.trim))).collect()
}
