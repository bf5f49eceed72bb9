//! How far the mirror of a cluster is, as its kinds tell it: for this process at once, for others by the ledger.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    service::{Service, source::Sources},
    store::{Entry, EntryId, Order, Retain, Scan, StoreError},
    wire::source::{KindStatus, STATUS, SourceServer, SyncStatus},
};

/// The status of the mirror of one cluster. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Board {
    cluster: Arc<str>,
    sources: Sources,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    status: SyncStatus,
    is_changed: bool,
}

/// The status of a kind of which nothing is known.
fn unknown() -> KindStatus {
    KindStatus { as_of: None, source_version: String::new(), objects: 0, relists: 0, trouble: None }
}

impl Board {
    /// A board for these kinds, which goes on with what was known of them before.
    pub(super) fn new<'k>(
        service: &Service,
        cluster: &Arc<str>,
        mut before: SyncStatus,
        kinds: impl Iterator<Item = &'k str>,
    ) -> Self {
        let kinds = kinds.map(|kind| (kind.to_owned(), before.kinds.remove(kind).unwrap_or_else(unknown)));
        let status = SyncStatus { kinds: kinds.collect(), server: before.server };
        let board = Self { cluster: cluster.clone(), sources: service.sources.clone(), state: Arc::default() };
        {
            let mut state = board.lock();
            // Others are to know that it is of this server from now on.
            (state.status, state.is_changed) = (status, true);
            for kind in state.status.kinds.values_mut() {
                (kind.relists, kind.trouble) = (0, None);
            }
        }
        board.tell();
        board
    }

    /// The cluster.
    pub(super) fn cluster(&self) -> &Arc<str> {
        &self.cluster
    }

    /// Changes the status of a kind.
    pub(super) fn update(&self, kind: &str, change: impl FnOnce(&mut KindStatus)) {
        let mut state = self.lock();
        state.is_changed = true;
        change(state.status.kinds.entry(kind.to_owned()).or_insert_with(unknown));
        drop(state);
        self.tell();
    }

    /// Notes that a kind stands still; `true` if none did before.
    pub(super) fn trouble(&self, kind: &str, why: &str) -> bool {
        let was_well = self.is_well();
        self.update(kind, |status| status.trouble = Some(why.to_owned()));
        was_well
    }

    /// Notes that a kind goes on; `true` if all do now.
    pub(super) fn well(&self, kind: &str) -> bool {
        self.update(kind, |status| status.trouble = None);
        self.is_well()
    }

    fn is_well(&self) -> bool {
        self.lock().status.kinds.values().all(|kind| kind.trouble.is_none())
    }

    /// The version at which a kind was seen last.
    pub(super) fn version(&self, kind: &str) -> String {
        self.lock().status.kinds.get(kind).map(|kind| kind.source_version.clone()).unwrap_or_default()
    }

    /// The status, if it has changed since the last call.
    pub(super) fn take_changed(&self) -> Option<SyncStatus> {
        let mut state = self.lock();
        std::mem::take(&mut state.is_changed).then(|| state.status.clone())
    }

    /// The status is to be taken again: it did not reach the ledger.
    pub(super) fn put_back(&self) {
        self.lock().is_changed = true;
    }

    fn tell(&self) {
        let status = self.lock().status.clone();
        self.sources.tell(&self.cluster, status);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the status of a cluster's mirror to the ledger.
pub(super) async fn append(
    service: &Service,
    cluster: &str,
    status: &SyncStatus,
    now: Timestamp,
) -> Result<(), StoreError> {
    let body = serde_json::to_vec(status).map_err(|error| StoreError::Internal(error.to_string()))?;
    let entry = Entry {
        cluster: cluster.into(),
        kind: STATUS.into(),
        id: EntryId::new(now, Uuid::new_v4().as_u64_pair().1),
        subject: String::new(),
        object: String::new(),
        body: body.into(),
    };
    service.store.append(&[entry]).await
}

/// Removes statuses from the ledger that are older than a time.
pub(super) async fn prune(service: &Service, cluster: &str, since: Option<Timestamp>) -> Result<(), StoreError> {
    service.store.prune(cluster, STATUS, &Retain { since, ..Retain::default() }).await.map(drop)
}

/// The newest status of the mirror of a server, of the ledger or known to this process; an empty one if the last one of either was of another server,
/// or there is none that can be read.
pub(super) async fn newest(service: &Service, cluster: &str, server: &SourceServer) -> Result<SyncStatus, StoreError> {
    let scan = Scan { order: Order::NewestFirst, limit: 1, ..Scan::all(cluster, STATUS) };
    let entries = service.store.scan(&scan).await?.entries;
    let stored = entries.first().and_then(|entry| serde_json::from_slice(&entry.body).ok());
    let all: Vec<SyncStatus> = stored.into_iter().chain(service.sources.status(cluster)).collect();
    let is_other = all.iter().any(|status| status.server.as_ref() != Some(server));
    let latest = |status: &SyncStatus| status.kinds.values().filter_map(|kind| kind.as_of).max();
    let later = |stored, known| if latest(&known) > latest(&stored) { known } else { stored };
    let newest = if is_other { None } else { all.into_iter().reduce(later) };
    Ok(newest.unwrap_or_else(|| SyncStatus::of(server.clone())))
}
