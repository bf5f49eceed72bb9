//! The journal over a real store: events of this process and of others, restarts, lost history, slow watches.

use std::{sync::Arc, time::Duration};

use podberth_testkit::memory::{Memory, Numbering};
use tokio::time::timeout;

use super::*;
use crate::{
    live::{
        Clusters, Limits, Watches,
        gated::{Fault, Gated},
    },
    store::{self, Atomicity, Call, Change, Key, Precondition, Schema, Write},
    wire::{
        forms::{Form, Include, MetaVersion},
        kinds,
        selector::Query,
    },
};

mod model;

const CLUSTER: &str = "prod";
const WITHIN: Duration = Duration::from_secs(30);

fn body(name: &str, value: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"shop","labels":{{"v":"{value}"}}}},"data":{{"v":"{value}"}}}}"#
    )
}

fn put_as(uid: &str, name: &str, value: &str) -> Write {
    let change = Change::Put { body: body(name, value).into(), uid: uid.into(), node: None };
    Write { key: Key::new("configmaps", "shop", name), precondition: Precondition::default(), change }
}

fn put(name: &str, value: &str) -> Write {
    put_as(name, name, value)
}

fn delete(name: &str) -> Write {
    Write { key: Key::new("configmaps", "shop", name), precondition: Precondition::default(), change: Change::Delete }
}

/// Writes through this process.
async fn write(clusters: &Clusters, writes: Vec<Write>) -> u64 {
    let call = Call { writes, atomicity: Atomicity::AllOrNothing };
    clusters.commit(CLUSTER, call, None).await.expect("the store writes").revision
}

/// Writes as another process does.
async fn write_elsewhere(store: &Arc<Gated>, writes: Vec<Write>) -> u64 {
    store.commit(CLUSTER, writes, Atomicity::AllOrNothing).await.expect("the store writes").revision
}

fn clusters(store: &Arc<Gated>) -> Clusters {
    Clusters::new(store.clone(), Duration::from_millis(20))
}

fn kind() -> &'static StoredKind {
    kinds::by_key("configmaps").expect("a kind")
}

fn ask(selector: &str, fields: &str, from: From) -> Ask {
    let query = Query::parse(kind().selectable, selector, fields).expect("a selector");
    Ask { kind: kind(), namespace: Some("shop".into()), query, from, within: WITHIN }
}

async fn watch(clusters: &Clusters, selector: &str, from: From) -> Watch {
    clusters.watch(CLUSTER, ask(selector, "", from)).await.expect("a watch")
}

/// The content of the next steps, until there are `count` of it: `+a1` is an added object with its value, `~` a modified one, `-` a deleted one, `=`
/// one that is there, `.` the end of those, `!` lost events and `#` the end.
async fn told(watch: &mut Watch, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.len() < count {
        match timeout(WITHIN, watch.next()).await.expect("something happens") {
            Step::Objects(states) => told.extend(states.iter().map(|state| format!("={}", short(&state.record)))),
            Step::ObjectsEnd(_) => told.push(".".into()),
            Step::Changes(changes) => told.extend(changes.iter().map(|(kind, event)| {
                let sign = match kind {
                    Kind::Added => '+',
                    Kind::Modified => '~',
                    Kind::Deleted => '-',
                };
                format!("{sign}{}", short(&event.object(*kind).expect("an object")))
            })),
            Step::Expired { .. } => told.push("!".into()),
            Step::Ended => told.push("#".into()),
        }
    }
    told
}

fn short(record: &store::Record) -> String {
    let value: serde_json::Value = serde_json::from_slice(&record.body).expect("JSON");
    format!("{}{}", record.key.name, value["data"]["v"].as_str().expect("a value"))
}

#[test]
fn a_ring_is_bounded_by_the_bytes_of_its_objects_and_of_their_written_forms() {
    const MOST: usize = 100_000;
    let bounds = Bounds { events: usize::MAX, bytes: MOST };
    let mut track = track::Track::new(kind().selectable, bounds, Vec::new(), 0);
    let lane = track::Lane::Everything;
    let _woken = track.join(&lane);
    let kept = |track: &track::Track| match track.read(&lane, track.end_position().saturating_sub(5), usize::MAX) {
        track::Read::Events { events, .. } => events,
        track::Read::Lost => panic!("the newest events are kept"),
    };
    for revision in 1..=200 {
        let record = store::Record {
            key: Key::new("configmaps", "shop", format!("{}", revision % 7)),
            uid: "1".into(),
            revision,
            create_revision: revision % 7,
            node: None,
            deleted: false,
            body_revision: revision,
            body: body("a", &"x".repeat(2_000)).into(),
        };
        track.apply(&[record], &[revision], revision).expect("it goes on");
        assert!(track.bytes() <= MOST, "{} after {revision}", track.bytes());
        if revision < 5 {
            let event = &kept(&track)[0];
            for first in [true, false] {
                let write = || if first { Ok::<_, ()>(vec![0; 100].into()) } else { panic!("a form is written once") };
                event.line((Form::Whole, true), Kind::Modified, write).expect("a line");
            }
            continue;
        }
        for event in kept(&track) {
            let includes = [Include::None, Include::Metadata, Include::Object];
            let tables = includes
                .into_iter()
                .flat_map(|include| [MetaVersion::V1, MetaVersion::V1Beta1].map(|of| Form::Table(of, include)));
            for form in tables.flat_map(|form| [(form, true), (form, false)]) {
                let line = event.line(form, Kind::Modified, || Ok::<_, ()>(vec![0; 10_000].into())).expect("a line");
                assert_eq!(line.len(), 10_000);
            }
        }
        assert!(track.bytes() <= 2 * MOST, "{} with forms", track.bytes());
    }
    for event in kept(&track) {
        event.count_out();
        event.count_out();
    }
    assert!(track.bytes() < MOST, "what leaves the ring is given back, once");
}

#[tokio::test]
async fn every_change_of_this_process_is_told() {
    let store = Gated::open().await;
    let clusters = clusters(&store);
    write(&clusters, vec![put("a", "1"), put("b", "1")]).await;
    let mut all = watch(&clusters, "", From::State(0)).await;
    assert_eq!(told(&mut all, 3).await, ["=a1", "=b1", "."]);
    // One transaction.
    write(&clusters, vec![put("c", "1"), put("c", "2"), delete("c"), put_as("other", "c", "3"), put("a", "2")]).await;
    write(&clusters, vec![delete("b")]).await;
    assert_eq!(told(&mut all, 6).await, ["+c1", "~c2", "-c2", "+c3", "~a2", "-b1"]);
    assert_eq!(all.bookmark(), Some(store.head(CLUSTER).await.expect("a head").revision));
}

/// The store is ahead of the view whenever something else than the writer writes.
#[tokio::test(start_paused = true)]
async fn nothing_is_told_before_decisions_know_it() {
    let store = Memory::new(Numbering::Counter);
    store.migrate().await.expect("it migrates");
    let commit = async |write: Write| {
        store.commit(CLUSTER, vec![write], Atomicity::Each).await.expect("the store writes");
        store.head(CLUSTER).await.expect("a head")
    };
    let view = channel::Sender::new(Progress::at(commit(put("a", "1")).await));
    let bounds = Bounds { events: 100, bytes: usize::MAX };
    let journal = Arc::new(Journal::new(Arc::new(store.handle()), CLUSTER, view.subscribe(), bounds));
    let track = journal.load(kind()).await.expect("the store reads");
    let second = commit(put("a", "2")).await;
    let third = commit(put("a", "3")).await;
    view.send_replace(Progress::at(second));
    let mut told = track.at.subscribe();
    let is_early = timeout(Duration::from_secs(1), told.wait_for(|at| *at > second.revision)).await.is_ok();
    assert!(!is_early, "told before the view has it");
    view.send_replace(Progress::at(third));
    timeout(WITHIN, told.wait_for(|at| *at == third.revision)).await.expect("told then").expect("the track lives");
    // A view that does not move holds nothing up for ever.
    let fourth = commit(put("a", "4")).await;
    let batch = Batch { before: third, after: fourth, records: Vec::new(), is_whole: true };
    journal.committed(batch);
    timeout(WITHIN, told.wait_for(|at| *at == fourth.revision)).await.expect("told late").expect("the track lives");
}

#[tokio::test]
async fn objects_enter_and_leave_a_selection() {
    let store = Gated::open().await;
    let clusters = clusters(&store);
    let first = write(&clusters, vec![put("a", "1"), put("b", "2")]).await;
    let mut ones = watch(&clusters, "v=1", From::State(first)).await;
    assert_eq!(told(&mut ones, 2).await, ["=a1", "."]);
    write(&clusters, vec![put("b", "1")]).await;
    let left = write(&clusters, vec![put("a", "3")]).await;
    write(&clusters, vec![put("a", "4"), delete("b")]).await;
    let Step::Changes(changes) = timeout(WITHIN, ones.next()).await.expect("something happens") else { panic!() };
    assert_eq!(changes[0].0, Kind::Added);
    let mut rest: Vec<_> = changes.into_iter().skip(1).collect();
    while rest.len() < 2 {
        let Step::Changes(more) = timeout(WITHIN, ones.next()).await.expect("something happens") else { panic!() };
        rest.extend(more);
    }
    let gone = rest[0].1.object(rest[0].0).expect("an object");
    assert_eq!((rest[0].0, short(&gone), gone.revision), (Kind::Deleted, "a1".into(), left), "as it was before");
    assert_eq!(rest[1].0, Kind::Deleted);
}

#[tokio::test]
async fn changes_of_other_processes_are_told_at_their_newest_state() {
    let store = Gated::open().await;
    let clusters = clusters(&store);
    write(&clusters, vec![put("a", "1"), put("b", "1"), put("c", "1")]).await;
    let mut all = watch(&clusters, "", From::Now(0)).await;
    write_elsewhere(&store, vec![put("a", "2"), put("d", "1"), delete("d"), delete("b"), put_as("new", "b", "2")])
        .await;
    assert_eq!(told(&mut all, 3).await, ["~a2", "-b1", "+b2"]);
    // A batch of this process behind changes of others.
    write_elsewhere(&store, vec![put("e", "1")]).await;
    write(&clusters, vec![delete("c")]).await;
    assert_eq!(told(&mut all, 2).await, ["+e1", "-c1"]);
}

#[tokio::test]
async fn a_watch_goes_on_from_any_event() {
    let store = Gated::open().await;
    let clusters = clusters(&store);
    let mut revisions = vec![write(&clusters, vec![put("a", "0")]).await];
    let mut all = watch(&clusters, "", From::After(revisions[0])).await;
    for i in 1..6 {
        revisions.push(write(&clusters, vec![put("a", &i.to_string())]).await);
    }
    let whole = told(&mut all, 5).await;
    for (i, revision) in revisions.iter().enumerate().take(5) {
        let mut later = watch(&clusters, "", From::After(*revision)).await;
        assert_eq!(told(&mut later, 5 - i).await, whole[i..], "after {revision}");
    }
}

#[tokio::test]
async fn after_a_restart_a_watch_goes_on_where_nothing_is_missing() {
    let store = Gated::open().await;
    let before = clusters(&store);
    let seen = write(&before, vec![put("a", "1"), put("b", "1")]).await;
    write(&before, vec![put("a", "2"), put("c", "1")]).await;

    let after = clusters(&store);
    let mut all = watch(&after, "", From::After(seen)).await;
    assert_eq!(told(&mut all, 2).await, ["~a2", "+c1"]);
    write(&after, vec![put("c", "2")]).await;
    assert_eq!(told(&mut all, 1).await, ["~c2"]);
    let mut selecting = watch(&after, "v=2", From::After(seen)).await;
    assert_eq!(told(&mut selecting, 2).await, ["~a2", "+c2"]);
    write(&after, vec![put("c", "3")]).await;
    let again = clusters(&store);
    let mut selecting = watch(&again, "v=2", From::After(seen)).await;
    assert_eq!(told(&mut selecting, 1).await, ["!"], "another c may have been selected before");
    let mut leaving = watch(&after, "v=1", From::After(seen)).await;
    assert_eq!(told(&mut leaving, 1).await, ["!"], "a may have been selected before: the last state is not kept");

    write(&after, vec![delete("b")]).await;
    let restarted = clusters(&store);
    let mut gone = watch(&restarted, "", From::After(seen)).await;
    assert_eq!(told(&mut gone, 1).await, ["!"], "the last state of b is not kept");
    let mut other = restarted.watch(CLUSTER, ask("", "metadata.name=a", From::After(seen))).await.expect("a watch");
    assert_eq!(told(&mut other, 1).await, ["~a2"], "it is not about b");
}

#[tokio::test]
async fn history_tells_what_was_deleted_before_a_restart() {
    let options = store::Options { history: Some(Duration::from_hours(1)), ..store::Options::default() };
    let store = Gated::over(store::open("sqlite::memory:", &options).await.expect("a database")).await;
    let before = clusters(&store);
    let seen = write(&before, vec![put("a", "1"), put("b", "1"), put("c", "2")]).await;
    write(&before, vec![delete("b"), put("a", "2"), put("c", "3")]).await;
    let after = clusters(&store);
    let mut all = watch(&after, "", From::After(seen)).await;
    assert_eq!(told(&mut all, 3).await, ["-b1", "~a2", "~c3"]);
    let mut ones = watch(&after, "v=1", From::After(seen)).await;
    assert_eq!(told(&mut ones, 2).await, ["-b1", "-a1"]);
}

#[tokio::test]
async fn compacted_and_slow_watches_expire_and_harm_nobody() {
    let store = Gated::open().await;
    let kept = Bounds { events: 3, bytes: usize::MAX };
    let limits = Limits { watches: Watches { most: 3, kept }, ..Limits::default() };
    let clusters = Clusters::limited(store.clone(), limits);
    let first = write(&clusters, vec![put("a", "0")]).await;
    let (mut slow, mut quick) =
        (watch(&clusters, "", From::Now(first)).await, watch(&clusters, "", From::Now(first)).await);
    let mut quiet = clusters.watch(CLUSTER, ask("", "metadata.name=b", From::Now(first))).await.expect("a watch");
    let refused = clusters.watch(CLUSTER, ask("", "", From::Now(first))).await.expect_err("one too many");
    assert!(matches!(refused, WatchError::TooMany { most: 3 }), "{refused}");
    for i in 1..6 {
        write(&clusters, vec![put("a", &i.to_string())]).await;
        assert_eq!(told(&mut quick, 1).await, [format!("~a{i}")]);
    }
    write(&clusters, vec![put("b", "1")]).await;
    assert_eq!(told(&mut quiet, 1).await, ["+b1"], "it has missed nothing that it is about");
    assert_eq!(told(&mut slow, 1).await, ["!"]);
    assert_eq!(told(&mut quick, 1).await, ["+b1"]);
    drop((slow, quick));
    let mut old = watch(&clusters, "", From::After(first)).await;
    assert_eq!(told(&mut old, 2).await, ["~a5", "+b1"], "the store fills in");
}

#[tokio::test]
async fn watches_survive_a_database_that_is_away() {
    let store = Gated::open().await;
    let clusters = clusters(&store);
    write(&clusters, vec![put("a", "1")]).await;
    let mut all = watch(&clusters, "", From::Now(0)).await;
    for _ in 0..3 {
        store.fail_page(0, Fault::Cut);
        write_elsewhere(&store, vec![put("a", "2"), put("b", "1")]).await;
        assert_eq!(told(&mut all, 2).await, ["~a2", "+b1"]);
        write(&clusters, vec![put("a", "1"), delete("b")]).await;
        assert_eq!(told(&mut all, 2).await, ["~a1", "-b1"]);
    }
}

#[tokio::test]
async fn watches_end_with_their_cluster_and_with_the_server() {
    let store = Gated::open().await;
    let clusters = clusters(&store);
    write(&clusters, vec![put("a", "1")]).await;
    let mut all = watch(&clusters, "", From::Now(0)).await;
    assert!(clusters.remove(CLUSTER).await.expect("it goes"));
    assert_eq!(told(&mut all, 1).await, ["#"]);
    write(&clusters, vec![put("a", "1")]).await;
    let mut all = watch(&clusters, "", From::Now(0)).await;
    clusters.end_watches();
    assert_eq!(told(&mut all, 1).await, ["#"]);
    assert_eq!(told(&mut watch(&clusters, "", From::Now(0)).await, 1).await, ["#"], "and those that come later");
}

#[tokio::test]
async fn a_cluster_that_is_not_there_yet_can_be_watched() {
    let store = Gated::open().await;
    let clusters = clusters(&store);
    let mut all = watch(&clusters, "", From::State(0)).await;
    assert_eq!(told(&mut all, 1).await, ["."]);
    write_elsewhere(&store, vec![put("a", "1")]).await;
    assert_eq!(told(&mut all, 1).await, ["+a1"]);
    write(&clusters, vec![put("a", "2")]).await;
    assert_eq!(told(&mut all, 1).await, ["~a2"]);
}

#[tokio::test]
async fn lists_of_the_recent_past_are_kept() {
    let store = Gated::open().await;
    let clusters = clusters(&store);
    let names = |states: Option<Vec<Arc<State>>>| {
        states.map(|states| states.iter().map(|state| short(&state.record)).collect::<Vec<_>>())
    };
    let first = write(&clusters, vec![put("a", "1"), put("b", "1")]).await;
    let cluster = clusters.get(CLUSTER).await.expect("a cluster");
    let journal = cluster.journal().expect("a journal");
    let at = async |revision, after: Option<&Place>| {
        names(journal.objects_at(kind(), revision, Some("shop"), after, WITHIN).await.expect("the store reads"))
    };
    assert_eq!(at(first, None).await, None, "not asked for before");
    // Something else changes before the journal begins.
    let node = Write { key: Key::new("nodes", "", "n"), ..put("n", "1") };
    write(&clusters, vec![node]).await;
    journal.keep(kind(), first).await.expect("it is kept");
    write(&clusters, vec![delete("a"), put("b", "2")]).await;
    let last = write(&clusters, vec![put("c", "1"), put("b", "3")]).await;
    assert_eq!(at(first, None).await, Some(vec!["a1".into(), "b1".into()]));
    assert_eq!(at(first, Some(&("shop".into(), "a".into()))).await, Some(vec!["b1".into()]));
    assert_eq!(at(last, None).await, Some(vec!["b3".into(), "c1".into()]));
    let others = Clusters::new(store.clone(), WITHIN);
    let other = others.get(CLUSTER).await.expect("a cluster");
    let other = other.journal().expect("a journal");
    other.keep(kind(), first).await.expect("it is kept from now on");
    assert!(other.objects_at(kind(), first, None, None, WITHIN).await.expect("the store reads").is_none());
}
