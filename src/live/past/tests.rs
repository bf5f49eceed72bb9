use std::collections::BTreeMap;

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};

use super::*;
use crate::{
    store::{self, Atomicity, Change, Keep, Key, Options, Precondition, Storage, Write},
    wire::{policy::revision::IN_FORCE, reservation, source},
};

const CLUSTER: &str = "prod";
const WITHIN: Duration = Duration::from_secs(30);

async fn store(history: Option<Duration>) -> Arc<dyn Storage> {
    let options = Options { history, ..Options::default() };
    let store = store::open("sqlite::memory:", &options).await.expect("an empty database opens");
    store.migrate().await.expect("and migrates");
    store
}

/// An object or its end, with choices that are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
struct Step {
    kind: u8,
    name: u8,
    what: u8,
}

fn step() -> impl Strategy<Value = Step> {
    (0_u8..9, 0_u8..3, 0_u8..5).prop_map(|(kind, name, what)| Step { kind, name, what })
}

fn write(key: Key, change: Change) -> Write {
    Write { key, precondition: Precondition::default(), change }
}

fn put(body: &str, what: u8, node: Option<&str>) -> Change {
    Change::Put { body: body.to_owned().into(), uid: format!("u{}", what % 2), node: node.map(str::to_owned) }
}

impl Step {
    fn write(self) -> Write {
        let Self { kind, name, what } = self;
        let (pod, node) = (format!("p{name}"), format!("n{name}"));
        let pods = || Key::new("pods", "shop", pod.clone());
        match (kind, what) {
            (0..=1, 0) => write(Key::new("nodes", "", node), Change::Delete),
            (0..=1, _) => {
                let body = format!(
                    r#"{{"metadata":{{"name":"{node}","labels":{{"zone":"{what}"}}}},"status":{{"allocatable":{{"cpu":"{what}","pods":"10"}}}}}}"#
                );
                write(Key::new("nodes", "", node), put(&body, 0, None))
            }
            (2..=3, 0) => write(pods(), Change::Delete),
            (2..=3, _) => {
                let body = format!(
                    r#"{{"metadata":{{"name":"{pod}","namespace":"shop","uid":"u{}","labels":{{"app":"{what}"}}}},"spec":{{"containers":[{{"name":"c","resources":{{"requests":{{"cpu":"{what}00m"}}}}}}]}}}}"#,
                    what % 2
                );
                write(pods(), put(&body, what, None))
            }
            (4, 0) => write(pods(), Change::SetNode(None)),
            (4, _) => write(pods(), Change::SetNode(Some(format!("n{}", what % 3)))),
            (5, 0) => write(Key::new(reservation::KIND, "shop", pod), Change::Delete),
            (5, _) => {
                let kind = if what % 2 == 0 { "Assumed" } else { "Nominated" };
                let body = format!(r#"{{"podUid":"u{}","kind":"{kind}","until":"2099-01-01T00:00:00Z"}}"#, what % 2);
                write(Key::new(reservation::KIND, "shop", pod), put(&body, 0, Some("n0")))
            }
            (6, 0) => write(Key::new(IN_FORCE, "", node), Change::Delete),
            (6, _) => {
                let body = format!(
                    r#"{{"revision":{what},"createdAt":"2026-01-01T00:00:00Z","text":"{{\"kind\":\"Policy\",\"apiVersion\":\"v1\"}}"}}"#
                );
                write(Key::new(IN_FORCE, "", node), put(&body, 0, None))
            }
            (7, 0) => write(Key::new("clusterroles.rbac.authorization.k8s.io", "", node), Change::Delete),
            (7, _) => {
                let body = format!(
                    r#"{{"metadata":{{"name":"{node}"}},"rules":[{{"verbs":["get"],"apiGroups":[""],"resources":["r{what}"]}}]}}"#
                );
                write(Key::new("clusterroles.rbac.authorization.k8s.io", "", node), put(&body, 0, None))
            }
            (_, 0) => write(Key::new(source::KIND, "", "source"), Change::Delete),
            // A kind that no decision reads.
            _ => write(Key::new("configmaps", "shop", node), put("{}", what, None)),
        }
    }
}

/// The parts of a view that decisions read.
fn read(view: &View) -> (crate::core::snapshot::Snapshot, BTreeMap<String, u64>, String, bool) {
    let policies = view.policies().map(|(name, policy)| (name.to_string(), policy.revision.revision));
    let reserved = format!("{:?}", view.reserved());
    (view.snapshot.clone(), policies.collect(), reserved + &format!("{:?}", view.access), view.source().is_some())
}

/// Each view, by the revision at which it was published.
type Published = Vec<(u64, Arc<View>)>;

async fn published(store: &Arc<dyn Storage>, clusters: &Clusters, batches: &[Vec<Step>]) -> Published {
    let mut published = Vec::new();
    for batch in batches {
        let writes = batch.iter().map(|step| step.write()).collect();
        let revision = store.commit(CLUSTER, writes, Atomicity::Each).await.expect("the store writes").revision;
        let cluster = clusters.get(CLUSTER).await.expect("the cluster loads");
        assert!(cluster.reached(revision, WITHIN).await);
        published.push((revision, cluster.view()));
    }
    published
}

#[test]
fn view_at_a_revision_equals_the_view_that_was_published_at_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let histories = (vec(vec(step(), 1..6), 2..24), vec(any::<prop::sample::Index>(), 8));
    TestRunner::new(Config { cases: 48, ..Config::default() })
        .run(&histories, |(batches, order)| {
            runtime.block_on(async {
                let store = store(Some(Duration::from_hours(1))).await;
                let clusters = Clusters::new(store.clone(), Duration::from_hours(1));
                let published = published(&store, &clusters, &batches).await;
                for at in order {
                    let (revision, expected) = &published[at.index(published.len())];
                    let past = clusters.view_at(CLUSTER, *revision, WITHIN).await.expect("it is kept");
                    prop_assert_eq!(read(&past), read(expected), "at {}", revision);
                    prop_assert_eq!(past.snapshot.revision, *revision);
                }
                Ok(())
            })
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn histories_have_all_that_views_have() {
    let store = store(Some(Duration::from_hours(1))).await;
    let clusters = Clusters::new(store.clone(), Duration::from_hours(1));
    let steps: Vec<Vec<Step>> = (0..9).map(|kind| vec![Step { kind, name: 0, what: 1 }]).collect();
    let published = published(&store, &clusters, &steps).await;
    let (_, last) = &published[8];
    assert_eq!((last.snapshot.node_count(), last.snapshot.pod_count(), last.policies().count()), (1, 1, 1));
    assert_ne!(format!("{:?}", last.reserved()), format!("{:?}", View::default().reserved()));
    assert_ne!(format!("{:?}", last.access), format!("{:?}", View::default().access));
}

#[tokio::test]
async fn past_views_share_what_has_not_changed() {
    let store = store(Some(Duration::from_hours(1))).await;
    let clusters = Clusters::new(store.clone(), Duration::from_hours(1));
    let steps: Vec<Vec<Step>> =
        [(0, 0, 1), (0, 1, 2), (0, 0, 3)].map(|(kind, name, what)| vec![Step { kind, name, what }]).into();
    let published = published(&store, &clusters, &steps).await;
    let past = clusters.view_at(CLUSTER, 2, WITHIN).await.expect("it is kept");
    assert_eq!(read(&past), read(&published[1].1));
    let node = |view: &View, name: &str| view.snapshot.node(name).map(|node| Arc::as_ptr(node).addr());
    assert_eq!(node(&past, "n1"), node(&published[2].1, "n1"));
    assert_ne!(node(&past, "n0"), node(&published[2].1, "n0"));
    let again = clusters.view_at(CLUSTER, 2, WITHIN).await.expect("it is kept");
    assert!(Arc::ptr_eq(&past, &again), "it was made once");
}

#[tokio::test]
async fn revisions_that_are_gone_or_not_there_yet_are_errors() {
    let store = store(Some(Duration::ZERO)).await;
    let clusters = Clusters::new(store.clone(), Duration::from_hours(1));
    let steps: Vec<Vec<Step>> = (1..5).map(|what| vec![Step { kind: 0, name: 0, what }]).collect();
    published(&store, &clusters, &steps).await;
    clusters.view_at(CLUSTER, 2, WITHIN).await.expect("it is still there");
    let nothing = Keep { age: Duration::ZERO, revisions: 0 };
    store.compact(CLUSTER, &nothing).await.expect("compaction succeeds");
    let gone = clusters.view_at(CLUSTER, 2, WITHIN).await;
    assert!(matches!(gone, Err(PastError::Store(StoreError::Compacted { after: 2, compact_revision: 4 }))), "{gone:?}");
    let later = clusters.view_at(CLUSTER, 5, WITHIN).await;
    assert!(matches!(later, Err(PastError::TooNew { wanted: 5, current: 4 })), "{later:?}");
    assert_eq!(clusters.view_at(CLUSTER, 4, WITHIN).await.expect("the present").snapshot.revision, 4);
}

#[tokio::test]
async fn kept_views_weigh_by_what_differs_from_the_present_and_are_let_go_of() {
    let store = store(Some(Duration::from_hours(1))).await;
    let clusters = Clusters::new(store.clone(), Duration::from_hours(1));
    let node = |what| vec![Step { kind: 0, name: 0, what }];
    published(&store, &clusters, &[node(1), node(2), node(3), node(4)]).await;
    let weights = || {
        let kept = clusters.registry.pasts().kept.lock().expect("no test has panicked");
        kept.iter().map(|kept| (kept.view.snapshot.revision, kept.weight())).collect::<Vec<_>>()
    };
    for revision in [3, 2] {
        clusters.view_at(CLUSTER, revision, WITHIN).await.expect("it is kept");
    }
    // The second was made of the first.
    assert_eq!(weights(), [(3, Some(1)), (2, Some(2))]);
    published(&store, &clusters, &[node(1)]).await;
    assert_eq!(weights(), [(3, Some(2)), (2, Some(3))]);
    for (after, left) in [(UNUSED_FOR / 2, 2), (UNUSED_FOR, 0)] {
        clusters.registry.pasts().release(Instant::now() + after);
        assert_eq!(weights().len(), left);
    }
}
