//! Clients that watch: each keeps what it is told, breaks off now and then, and goes on at any replica from the last revision that it has seen.

use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use imbl::OrdMap;
use podberth::core::snapshot::Kind as Of;
use podberth::live::journal::{Ask, Event, From, Kind, Step, Watch};
use podberth::store::{Key, Record};
use podberth::wire::kinds::{self, StoredKind};
use podberth::wire::selector::Query;
use podberth_testkit::watches::{Broken, Client, Told, Type};
use tokio::time::{Instant, timeout};

use crate::faulty::{FIRST_WATCHER, Stream, lock};
use crate::history::{Cursor, History, Rule};
use crate::world::{CLUSTERS, Replica};

/// Until a quiet watch is given a bookmark.
const QUIET: Duration = Duration::from_secs(2);

const WITHIN: Duration = Duration::from_secs(3);

/// A client that watches a kind of a cluster.
pub(crate) struct Watcher {
    pub(crate) cluster: usize,
    kind: &'static StoredKind,
    /// Only the pods of this node.
    node: Option<&'static str>,
    pub(crate) own: Stream,
    told: Mutex<TellTale>,
}

/// The objects that it has been told of.
struct TellTale {
    /// `None`: it is to list first.
    client: Option<Client>,
    state: OrdMap<Key, Record>,
    place: Cursor,
    /// The replica that it was at.
    at: Weak<Replica>,
}

impl fmt::Display for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a watch of {} of {} in {}", self.kind.plural, self.node.unwrap_or("all"), CLUSTERS[self.cluster])
    }
}

impl Watcher {
    /// The watchers of all clusters.
    pub(crate) fn all(chance: &mut fastrand::Rng, start: Instant) -> Vec<Arc<Self>> {
        let by_kind = |of: Of| kinds::imported().find(|kind| kind.is(of)).expect("a stored kind");
        let mut all = Vec::new();
        for cluster in 0..CLUSTERS.len() {
            for (of, node) in [(Of::Pod, None), (Of::Node, None), (Of::Pod, Some("node-1"))] {
                let own = Stream::new(chance.fork(), FIRST_WATCHER + all.len() as u64, start);
                let place = History::beginning(cluster);
                let told = Mutex::new(TellTale { client: None, state: OrdMap::new(), place, at: Weak::new() });
                all.push(Arc::new(Self { cluster, kind: by_kind(of), node, own, told }));
            }
        }
        all
    }

    /// `true` if it was told everything up to a revision.
    pub(crate) fn has_seen(&self, revision: u64) -> bool {
        lock(&self.told).client.as_ref().is_some_and(|client| client.check_marked(revision).is_ok())
    }

    fn is_told(&self, record: &Record) -> bool {
        let key = self.kind.key();
        *record.key.kind == *key && self.node.is_none_or(|node| record.node.as_deref() == Some(node))
    }

    async fn begin(&self, replica: &Replica, from: From) -> Option<Watch> {
        let fields = self.node.map(|node| format!("spec.nodeName={node}")).unwrap_or_default();
        let query = Query::parse(self.kind.selectable, "", &fields).expect("a selector");
        let ask = Ask { kind: self.kind, namespace: None, query, from, within: WITHIN };
        replica.clusters.watch(CLUSTERS[self.cluster], ask).await.ok()
    }

    /// Takes in a step; `false` if the watch is over.
    fn take(&self, step: Step, watch: &Watch, is_lost: bool, history: &History) -> bool {
        let mut told = lock(&self.told);
        let mut last = None;
        let result = match step {
            Step::Objects(objects) => {
                told.state.extend(objects.iter().map(|state| (state.record.key.clone(), state.record.clone())));
                return true;
            }
            Step::ObjectsEnd(revision) => {
                let of = |record: &Record| (record.key.name.clone(), (record.create_revision, record.revision));
                told.client = Some(Client::listed(told.state.values().map(of).collect(), revision));
                self.check(&mut told, revision, history)
            }
            Step::Changes(changes) => changes.iter().try_for_each(|(kind, event)| {
                last =
                    event.object(*kind).map(|object| (*kind, object.key.name, object.create_revision, object.revision));
                told.take(*kind, event)
            }),
            Step::Expired { .. } => {
                history.count("watch: expired");
                told.client = None;
                return false;
            }
            Step::Ended => {
                history.count("watch: ended");
                return false;
            }
        };
        let result = result.and_then(|()| self.mark(&mut told, watch, history));
        if let Err(broken) = result {
            if is_lost {
                history.count("watch: of a lost history");
            } else {
                let (client, around) = (&told.client, history.around(&told.place));
                history.wrong(Rule::Watch, format!("{self} breaks {broken:?} by {last:?}, {around}: {client:?}"));
            }
            told.client = None;
        }
        result.is_ok()
    }

    /// Takes in a bookmark, if there is one.
    fn mark(&self, told: &mut TellTale, watch: &Watch, history: &History) -> Result<(), Broken> {
        let (Some(revision), Some(client)) = (watch.bookmark(), &mut told.client) else { return Ok(()) };
        client.take(&Told { of: Type::Bookmark, place: String::new(), created: 0, revision })?;
        self.check(told, revision, history)
    }

    fn check(&self, told: &mut TellTale, revision: u64, history: &History) -> Result<(), Broken> {
        let TellTale { state, place, .. } = told;
        let is_so = history.watched(place, revision, state, |record| self.is_told(record));
        if is_so { Ok(()) } else { Err(Broken::Reliable) }
    }
}

impl TellTale {
    /// Takes in a change.
    fn take(&mut self, kind: Kind, event: &Event) -> Result<(), Broken> {
        let (Some(client), Some(object)) = (&mut self.client, event.object(kind)) else {
            return Err(Broken::Reliable);
        };
        let of = match kind {
            Kind::Added => Type::Added,
            Kind::Modified => Type::Modified,
            Kind::Deleted => Type::Deleted,
        };
        let place = object.key.name.clone();
        client.take(&Told { of, place, created: object.create_revision, revision: object.revision })?;
        let known = self.state.get(&object.key).map(|known| known.create_revision);
        if kind != Kind::Deleted {
            self.state.insert(object.key.clone(), object);
        } else if known == Some(object.create_revision) {
            self.state.remove(&object.key);
        }
        Ok(())
    }
}

/// One watch at a replica, until it ends or its client breaks it off.
pub(crate) async fn watch(watcher: Arc<Watcher>, replica: Arc<Replica>, history: Arc<History>) {
    let from = {
        let mut told = lock(&watcher.told);
        if let Some(client) = &told.client {
            From::After(client.seen)
        } else {
            // Its replica may be behind.
            (told.state, told.place) = (OrdMap::new(), History::beginning(watcher.cluster));
            From::State(0)
        }
    };
    let Some(mut watch) = watcher.begin(&replica, from).await else { return };
    let is_lost = {
        let mut told = lock(&watcher.told);
        let is_elsewhere = told.at.as_ptr() != Arc::as_ptr(&replica);
        told.at = Arc::downgrade(&replica);
        if let Some(client) = &mut told.client {
            client.resumes(true);
            history.count(if is_elsewhere { "watch: resumed elsewhere" } else { "watch: resumed" });
        }
        from != From::State(0) && history.is_lost(&told.place)
    };
    drop(replica);
    loop {
        if let Ok(step) = timeout(QUIET, watch.next()).await {
            if !watcher.take(step, &watch, is_lost, &history) {
                return;
            }
        } else {
            let mut told = lock(&watcher.told);
            let marked = watcher.mark(&mut told, &watch, &history);
            if let Err(broken) = marked {
                let (client, around) = (told.client.take(), history.around(&told.place));
                if !is_lost {
                    let what = format!("{watcher} breaks {broken:?} while it is quiet, {around}, {from:?}: {client:?}");
                    history.wrong(Rule::Watch, what);
                }
                return;
            }
        }
        if watcher.own.draw(|chance| chance.u32(0..8)) == 0 {
            return history.count("watch: broken off");
        }
    }
}
