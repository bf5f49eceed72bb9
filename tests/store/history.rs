//! The past can be read as it was, for as long as it is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use podberth::store::{
    Atomicity, Bodies, Change, Keep, Key, ListQuery, Options, Outcome, Precondition, Record, Rewind, Storage,
    StoreError, Write,
};

use crate::build::{CLUSTER, bind, delete, each, one, only, pod, put};
use crate::database::{Database, Engine, with_database};

const NOTHING: Keep = Keep { age: Duration::ZERO, revisions: 0 };

fn keeping(history: Option<Duration>) -> Options {
    Options { history, ..Options::default() }
}

type State = BTreeMap<Key, Record>;

fn by_key(records: Vec<Record>) -> State {
    let count = records.len();
    let state: State = records.into_iter().map(|record| (record.key.clone(), record)).collect();
    assert_eq!(state.len(), count, "each object is handed out once");
    state
}

async fn state(store: &dyn Storage, revision: Option<u64>) -> Result<State, StoreError> {
    let mut records = Vec::new();
    store.state_at(CLUSTER, revision, &mut records).await?;
    Ok(by_key(records))
}

/// A batch of some of everything, drawn from `random`.
fn batch(random: &mut impl FnMut(usize) -> usize) -> Vec<Write> {
    (0..=random(5))
        .map(|_| {
            let key = pod(&random(12).to_string());
            match random(8) {
                0..=2 => put(key, &random(3).to_string()),
                3 => {
                    let uid = format!("other-{}", random(2));
                    let change = Change::Put { body: "[]".into(), uid, node: Some("n".into()) };
                    Write { key, precondition: Precondition::default(), change }
                }
                4..=5 => bind(key, &random(3).to_string()),
                6 => delete(key),
                _ => Write { key, precondition: Precondition::default(), change: Change::SetNode(None) },
            }
        })
        .collect()
}

fn dice(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |sides| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % sides
    }
}

pub(crate) async fn state_at_a_revision_stays(database: Database) {
    let store = database.store_with(keeping(Some(Duration::from_hours(1)))).await;
    let mut random = dice(7);
    let mut seen: Vec<(u64, State)> = vec![(0, State::new())];
    for _ in 0..60 {
        let revision = each(&*store, batch(&mut random)).await.revision;
        seen.push((revision, state(&*store, None).await.unwrap()));
    }
    for (revision, expected) in &seen {
        assert_eq!(&state(&*store, Some(*revision)).await.unwrap(), expected, "at {revision}");
        for name in 0..12 {
            let key = pod(&name.to_string());
            let found = store.get_at(CLUSTER, &key, *revision).await.unwrap();
            assert_eq!(found.as_ref(), expected.get(&key), "{name} at {revision}");
        }
    }
    // In the midst of a batch, the one before.
    for pair in seen.windows(2) {
        if pair[1].0 > pair[0].0 + 1 {
            assert_eq!(state(&*store, Some(pair[1].0 - 1)).await.unwrap(), pair[0].1);
        }
    }
    let (head, last) = seen.last().unwrap();
    assert!(matches!(state(&*store, Some(head + 1)).await, Err(StoreError::Invalid(_))));

    // History older than the retention goes; the rest stays as it was.
    store.compact(CLUSTER, &NOTHING).await.unwrap();
    for (revision, expected) in &seen[1..] {
        assert_eq!(&state(&*store, Some(*revision)).await.unwrap(), expected, "after compaction, at {revision}");
    }
    assert_eq!(&state(&*store, None).await.unwrap(), last);
}

pub(crate) async fn compaction_removes_history_past_its_retention(database: Database) {
    let store = database.store_with(keeping(Some(Duration::ZERO))).await;
    for body in ["1", "2", "3"] {
        one(&*store, put(pod("a"), body)).await;
    }
    assert_eq!(state(&*store, Some(2)).await.unwrap()[&pod("a")].body, "2");
    let done = store.compact(CLUSTER, &NOTHING).await.unwrap();
    assert_eq!((done.revision, done.batches, done.versions), (3, 2, 2));
    let gone = StoreError::Compacted { after: 2, compact_revision: 3 };
    assert_eq!(state(&*store, Some(2)).await, Err(gone.clone()));
    assert_eq!(store.get_at(CLUSTER, &pod("a"), 2).await, Err(gone));
    assert_eq!(state(&*store, Some(3)).await.unwrap()[&pod("a")].body, "3");
}

pub(crate) async fn store_without_history_serves_only_the_head(database: Database) {
    let store = database.store().await;
    one(&*store, put(pod("a"), "1")).await;
    one(&*store, put(pod("a"), "2")).await;
    assert_eq!(state(&*store, Some(1)).await, Err(StoreError::Compacted { after: 1, compact_revision: 2 }));
    assert_eq!(state(&*store, Some(2)).await.unwrap()[&pod("a")].body, "2");
    assert_eq!(store.get_at(CLUSTER, &pod("a"), 2).await.unwrap().unwrap().body, "2");
    assert_eq!(store.get_at(CLUSTER, &pod("b"), 2).await.unwrap(), None);
}

pub(crate) async fn time_maps_to_its_revision(database: Database) {
    let store = database.store().await;
    let later = podberth::clock::now() + jiff::SignedDuration::from_hours(1);
    assert_eq!(store.revision_at(CLUSTER, later).await.unwrap(), None, "of a cluster never written to");
    for body in ["1", "2", "3"] {
        one(&*store, put(pod("a"), body)).await;
    }
    assert_eq!(store.revision_at(CLUSTER, later).await.unwrap(), Some(3));
    assert_eq!(store.revision_at(CLUSTER, Timestamp::UNIX_EPOCH).await.unwrap(), None);
}

/// A process without history has written in between: the past is unknown.
async fn a_gap(database: Database) {
    let on = keeping(Some(Duration::from_hours(1)));
    for (options, body) in [(on.clone(), "1"), (on.clone(), "2"), (keeping(None), "3"), (on.clone(), "4"), (on, "5")] {
        let store = database.store_with(options).await;
        one(&*store, put(pod("a"), body)).await;
        store.close().await;
    }
    let store = database.open().await;
    for (revision, there) in [(1, false), (2, false), (3, true), (4, true), (5, true)] {
        assert_eq!(state(&*store, Some(revision)).await.is_ok(), there, "{revision}");
    }
}

#[tokio::test]
async fn a_gap_sqlite() {
    with_database(Engine::SqliteFile, a_gap).await;
}

#[tokio::test]
async fn a_gap_postgres() {
    with_database(Engine::Postgres, a_gap).await;
}

/// More objects than fit a page, of now and of before.
pub(crate) async fn large_past_state_comes_in_pages(database: Database) {
    let store = database.store_with(keeping(Some(Duration::from_hours(1)))).await;
    let name = |i: usize| pod(&format!("{i:04}"));
    each(&*store, (0..1_700).map(|i| put(name(i), "1")).collect()).await;
    each(&*store, (0..1_200).map(|i| put(name(i), "2")).collect()).await;
    let before = state(&*store, Some(1_700)).await.unwrap();
    assert!(before.len() == 1_700 && before.values().all(|record| record.body == "1"));
    let mut now = Vec::new();
    store.state_at(CLUSTER, None, &mut now).await.unwrap();
    assert!(now.is_sorted_by(|a, b| a.key < b.key) && now.len() == 1_700);
}

/// Takes a state back to an earlier revision, in windows of `limit` revisions.
async fn rewound(store: &dyn Storage, now: &State, (from, to): (u64, u64), limit: usize) -> (u64, State) {
    let (mut state, mut rewind) = (now.clone(), Rewind::between(to, from, Bodies::All));
    loop {
        let undone = store.rewind(CLUSTER, &rewind, limit).await.unwrap();
        for record in undone.records {
            if record.deleted {
                state.remove(&record.key);
            } else {
                state.insert(record.key.clone(), record);
            }
        }
        match undone.next {
            Some(below) => rewind.below = below,
            None => return (undone.revision, state),
        }
    }
}

pub(crate) async fn undone_history_gives_the_earlier_state(database: Database) {
    let store = database.store_with(keeping(Some(Duration::from_hours(1)))).await;
    let mut random = dice(11);
    let mut seen: Vec<(u64, State)> = vec![(0, State::new())];
    for _ in 0..40 {
        let revision = each(&*store, batch(&mut random)).await.revision;
        seen.push((revision, state(&*store, None).await.unwrap()));
    }
    for (at, (from, now)) in seen.iter().enumerate() {
        for (to, then) in &seen[..=at] {
            let limit = 1 + random(40);
            assert_eq!(rewound(&*store, now, (*from, *to), limit).await, (*to, then.clone()), "from {from} to {to}");
        }
    }
    let ((head, now), (before, then)) = (&seen[40], &seen[20]);
    // In the midst of a batch, the one before.
    let within = seen.windows(2).find(|pair| pair[1].0 > pair[0].0 + 1).expect("a batch of several");
    assert_eq!(rewound(&*store, now, (*head, within[1].0 - 1), 7).await, within[0].clone());
    // What changes between two windows is not missed.
    let mut rewind = Rewind::between(*before, *head, Bodies::All);
    let mut state = now.clone();
    loop {
        let undone = store.rewind(CLUSTER, &rewind, 5).await.unwrap();
        for record in undone.records {
            state.insert(record.key.clone(), record);
        }
        each(&*store, batch(&mut random)).await;
        let Some(below) = undone.next else { break };
        rewind.below = below;
    }
    state.retain(|_, record| !record.deleted);
    assert_eq!(&state, then);

    let leaves_out = store.rewind(CLUSTER, &Rewind::between(*before, *head, Bodies::Of(&["nodes"])), 1_000).await;
    assert!(leaves_out.unwrap().records.iter().all(|record| record.body.is_empty()));
    let beyond = Rewind::between(head + 1_000, *head, Bodies::All);
    assert!(matches!(store.rewind(CLUSTER, &beyond, 5).await, Err(StoreError::Invalid(_))));
}

pub(crate) async fn history_that_is_gone_is_not_undone(database: Database) {
    let store = database.store_with(keeping(Some(Duration::ZERO))).await;
    for body in ["1", "2", "3"] {
        one(&*store, put(pod("a"), body)).await;
    }
    store.compact(CLUSTER, &NOTHING).await.unwrap();
    let gone = StoreError::Compacted { after: 2, compact_revision: 3 };
    assert_eq!(store.rewind(CLUSTER, &Rewind::between(2, 3, Bodies::All), 5).await, Err(gone.clone()));
    assert_eq!(store.list_at(CLUSTER, &ListQuery::all("pods"), 2).await, Err(gone));
}

pub(crate) async fn lists_of_the_past_come_page_by_page(database: Database) {
    let store = database.store_with(keeping(Some(Duration::from_hours(1)))).await;
    let mut random = dice(13);
    let mut seen: Vec<(u64, State)> = vec![(0, State::new())];
    for _ in 0..30 {
        let revision = each(&*store, batch(&mut random)).await.revision;
        seen.push((revision, state(&*store, None).await.unwrap()));
    }
    for (revision, expected) in &seen {
        let expected: Vec<Record> = expected.values().cloned().collect();
        let all = store.list_at(CLUSTER, &ListQuery::all("pods"), *revision).await.unwrap();
        assert_eq!((&all.items, all.revision, all.remaining), (&expected, *revision, None));
        let mut query = ListQuery { limit: Some(3), namespace: Some("default".into()), ..ListQuery::all("pods") };
        let mut found = Vec::new();
        loop {
            let page = store.list_at(CLUSTER, &query, *revision).await.unwrap();
            found.extend(page.items);
            assert_eq!(page.remaining.unwrap_or_default(), (expected.len() - found.len()) as u64);
            query.after = found.last().map(|last: &Record| (last.key.namespace.clone(), last.key.name.clone()));
            if page.remaining.is_none() {
                break;
            }
        }
        assert_eq!(found, expected);
        let elsewhere = ListQuery { namespace: Some("other".into()), ..ListQuery::all("pods") };
        assert!(store.list_at(CLUSTER, &elsewhere, *revision).await.unwrap().items.is_empty());
    }
}

pub(crate) async fn adopted_objects_are_as_they_were_and_take_writes(database: Database) {
    let store = database.store_with(keeping(Some(Duration::from_hours(1)))).await;
    each(&*store, vec![put(pod("a"), "1"), put(pod("b"), "1")]).await;
    let of_base = by_key(store.list(CLUSTER, &ListQuery::all("pods")).await.unwrap().items);
    let other = |name: &str, body: &str| vec![put(pod(name), body)];
    let commit = async |writes| store.commit("fork", writes, Atomicity::Each).await.unwrap().outcomes;
    for name in ["x", "y", "z"] {
        commit(other(name, "1")).await;
    }
    let keys = [pod("a"), pod("b"), pod("x")];
    assert_eq!(by_key(store.rows("fork", &keys).await.unwrap()).into_keys().collect::<Vec<_>>(), [pod("x")]);
    let too_new = Record { revision: 4, ..of_base[&pod("a")].clone() };
    assert!(matches!(store.adopt("fork", vec![too_new]).await, Err(StoreError::Invalid(_))));
    // The revisions of those that are there are taken: in another cluster they begin behind.
    commit(vec![delete(pod("x"))]).await;
    let free = |record: &Record| Record { revision: 1, create_revision: 1, body_revision: 1, ..record.clone() };
    let adopted = free(&of_base[&pod("b")]);
    assert_eq!(store.adopt("fork", vec![adopted.clone()]).await.unwrap(), 4);
    let head = store.head("fork").await.unwrap().revision;
    assert_eq!((head, store.get("fork", &pod("b")).await.unwrap()), (4, Some(adopted.clone())));
    let again = Record { body: "2".into(), ..adopted.clone() };
    assert_eq!(store.adopt("fork", vec![again]).await.unwrap(), 4, "it is there");
    assert_eq!(store.get("fork", &pod("b")).await.unwrap(), Some(adopted));

    let stale = only(Precondition::revision(9), put(pod("b"), "2"));
    let fresh = only(Precondition::revision(1), put(pod("b"), "2"));
    assert!(matches!(commit(vec![stale]).await[..], [Outcome::Refused(_)]));
    assert!(matches!(commit(vec![fresh]).await[..], [Outcome::Written { revision: 5, created: false }]));
    commit(vec![delete(pod("b"))]).await;
    let gone = store.rows("fork", &[pod("b")]).await.unwrap();
    assert!(gone[0].deleted && store.adopt("fork", vec![free(&of_base[&pod("b")])]).await.unwrap() == 4);
    assert_eq!(store.get("fork", &pod("b")).await.unwrap(), None, "a tombstone stays");
}

pub(crate) async fn found_objects_of_a_revision_are_as_they_were(database: Database) {
    let store = database.store_with(keeping(Some(Duration::from_hours(1)))).await;
    each(&*store, vec![put(pod("a"), "1"), put(pod("b"), "1"), put(pod("c"), "1")]).await;
    one(&*store, put(pod("a"), "2")).await;
    one(&*store, delete(pod("b"))).await;
    one(&*store, put(pod("d"), "1")).await;
    one(&*store, put(pod("b"), "3")).await;
    let keys = [pod("a"), pod("b"), pod("c"), pod("d"), pod("none")];
    for revision in 3..=7 {
        let found = by_key(store.find_at(CLUSTER, &keys, revision).await.unwrap());
        assert_eq!(found, state(&*store, Some(revision)).await.unwrap(), "{revision}");
        let some = store.find_at(CLUSTER, &keys[..1], revision).await.unwrap();
        assert_eq!(some.first(), found.get(&keys[0]));
    }
    assert!(store.find_at(CLUSTER, &[], 7).await.unwrap().is_empty());
    let later = store.find_at(CLUSTER, &keys, 8).await;
    assert!(matches!(later, Err(StoreError::Invalid(_))), "{later:?}");
}

pub(crate) async fn held_history_stays(database: Database) {
    let store = database.store_with(keeping(Some(Duration::ZERO))).await;
    for body in ["1", "2", "3", "4"] {
        one(&*store, put(pod("a"), body)).await;
    }
    store.compact_holding(CLUSTER, &NOTHING, Some(2)).await.unwrap();
    assert!(matches!(state(&*store, Some(1)).await, Err(StoreError::Compacted { compact_revision: 2, .. })));
    assert_eq!(state(&*store, Some(2)).await.unwrap()[&pod("a")].body, "2");
    store.compact_holding(CLUSTER, &NOTHING, Some(9)).await.unwrap();
    assert!(matches!(state(&*store, Some(3)).await, Err(StoreError::Compacted { compact_revision: 4, .. })));
}
