//! The ledger: what is appended is there, once, in order, until it is pruned or its cluster is removed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use podberth::store::ledger::{MAX_BODY, MAX_BYTES, NO_CLUSTER};
use podberth::store::{Entry, EntryId, Order, Retain, Scan, Storage, StoreError};

use crate::build::{CLUSTER, each, pod, put};
use crate::database::Database;

const KIND: &str = "decisions";

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a time of this century")
}

/// An entry of a second, which is its chance as well.
pub(crate) fn entry(second: i64) -> Entry {
    Entry {
        cluster: CLUSTER.into(),
        kind: KIND.into(),
        id: EntryId::new(time(second), second.unsigned_abs()),
        subject: format!("node-{}", second % 3),
        object: format!("default/pod-{}", second % 5),
        body: format!("{second}").into(),
    }
}

pub(crate) fn all() -> Scan {
    Scan::all(CLUSTER, KIND)
}

fn oldest_first() -> Scan {
    Scan { order: Order::OldestFirst, ..all() }
}

/// The bodies of all pages.
pub(crate) async fn read(store: &dyn Storage, mut scan: Scan) -> Vec<String> {
    let mut bodies = Vec::new();
    loop {
        let page = store.scan(&scan).await.expect("the page is read");
        assert!(page.entries.len() <= scan.limit);
        bodies.extend(page.entries.iter().map(|entry| String::from_utf8_lossy(&entry.body).into_owned()));
        let Some(next) = page.next else { return bodies };
        scan.after = Some(next.to_string().parse().expect("a cursor is text"));
    }
}

fn seconds(seconds: impl IntoIterator<Item = i64>) -> Vec<String> {
    seconds.into_iter().map(|second| second.to_string()).collect()
}

pub(crate) async fn append(store: &dyn Storage, seconds: impl IntoIterator<Item = i64>) {
    let entries: Vec<Entry> = seconds.into_iter().map(entry).collect();
    store.append(&entries).await.expect("the entries are appended");
}

pub(crate) async fn entries_come_page_by_page_in_either_order(database: Database) {
    let store = database.store().await;
    append(&*store, [3, 1, 2]).await;
    append(&*store, 4..10).await;
    append(&*store, []).await;
    for limit in [1, 2, 3, 9, 100] {
        assert_eq!(read(&*store, Scan { limit, ..oldest_first() }).await, seconds(1..10), "{limit}");
        assert_eq!(read(&*store, Scan { limit, ..all() }).await, seconds((1..10).rev()), "{limit}");
    }
    assert_eq!(store.scan(&Scan { limit: 0, ..all() }).await.unwrap().entries, []);
    let whole = store.scan(&Scan { only: Some(entry(5).id), ..all() }).await.unwrap();
    assert_eq!((whole.entries, whole.next), (vec![entry(5)], None), "as it was appended");
    assert_eq!(store.head(CLUSTER).await.unwrap().revision, 0, "it takes no revision");
}

pub(crate) async fn entries_are_found_by_their_words_and_time(database: Database) {
    let store = database.store().await;
    append(&*store, 0..30).await;
    let (subject, object) = (Some("node-1".to_owned()), Some("default/pod-2".to_owned()));
    let of = |scan: Scan| read(&*store, scan);
    assert_eq!(of(Scan { subject: subject.clone(), limit: 4, ..oldest_first() }).await, seconds((1..30).step_by(3)));
    assert_eq!(of(Scan { object: object.clone(), limit: 4, ..oldest_first() }).await, seconds((2..30).step_by(5)));
    assert_eq!(of(Scan { subject: subject.clone(), object, ..oldest_first() }).await, seconds([7, 22]));
    let (since, until) = (Some(time(10)), Some(time(13)));
    assert_eq!(of(Scan { since, until, ..all() }).await, seconds([12, 11, 10]), "until is left out");
    assert_eq!(of(Scan { since, until, subject, limit: 1, ..all() }).await, seconds([10]));
    assert!(of(Scan { since: until, until: since, ..all() }).await.is_empty());
    assert!(of(Scan { subject: Some("node-9".into()), ..all() }).await.is_empty());
    assert!(of(Scan { kind: "audit".into(), ..all() }).await.is_empty());
}

pub(crate) async fn an_entry_is_appended_once(database: Database) {
    let store = database.store().await;
    append(&*store, [1, 2]).await;
    let other = Entry { body: "other".into(), subject: "x".into(), ..entry(2) };
    store.append(&[other, entry(3), entry(3)]).await.unwrap();
    append(&*store, [1, 2, 3]).await;
    assert_eq!(read(&*store, oldest_first()).await, seconds([1, 2, 3]));
    assert!(read(&*store, Scan { subject: Some("x".into()), ..all() }).await.is_empty());
    let elsewhere = Entry { kind: "audit".into(), ..entry(2) };
    store.append(&[elsewhere]).await.unwrap();
    assert_eq!(read(&*store, Scan::all(CLUSTER, "audit")).await, seconds([2]), "the id is unique within its kind");
}

pub(crate) async fn an_append_is_whole_or_nothing(database: Database) {
    let store = database.store().await;
    let large = Entry { body: vec![0; MAX_BODY + 1].into(), ..entry(2) };
    let wordy = Entry { object: "o".repeat(2_000), ..entry(2) };
    let unfit = Entry { subject: "\0".into(), ..entry(2) };
    for bad in [large, wordy, unfit] {
        let refused = store.append(&[entry(1), bad]).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
    }
    assert!(read(&*store, all()).await.is_empty());
    let many: Vec<Entry> = (0..2_000).map(entry).collect();
    store.append(&many).await.unwrap();
    assert_eq!(read(&*store, Scan { limit: 700, ..oldest_first() }).await, seconds(0..2_000));
}

/// Bodies are opaque, and a page of large ones is cut short.
pub(crate) async fn pages_are_bounded_in_bytes(database: Database) {
    let store = database.store().await;
    let body: Vec<u8> = (0..MAX_BODY).map(|at| (at * 7 % 256) as u8).collect();
    for part in 0..3 {
        let large = |second: i64| Entry { body: body.clone().into(), ..entry(second) };
        store.append(&(part * 8..part * 8 + 8).map(large).collect::<Vec<_>>()).await.unwrap();
    }
    let (mut scan, mut count) = (oldest_first(), 0);
    loop {
        let page = store.scan(&scan).await.unwrap();
        assert!(page.entries.len() * MAX_BODY <= MAX_BYTES);
        assert!(page.entries.iter().all(|entry| entry.body == body));
        count += page.entries.len();
        scan.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(count, 24);
}

pub(crate) async fn pruning_keeps_the_newest(database: Database) {
    let store = database.store().await;
    append(&*store, 0..100).await;
    store.append(&[Entry { kind: "audit".into(), ..entry(1) }]).await.unwrap();
    let prune = async |retain: Retain| store.prune(CLUSTER, KIND, &retain).await.unwrap();
    assert_eq!(prune(Retain::default()).await, 0);
    assert_eq!(prune(Retain { since: Some(time(10)), ..Retain::default() }).await, 10);
    assert_eq!(prune(Retain { entries: Some(60), ..Retain::default() }).await, 30);
    // Two digits each.
    assert_eq!(prune(Retain { bytes: Some(41), ..Retain::default() }).await, 40);
    let both = Retain { since: Some(time(85)), entries: Some(10), bytes: Some(1_000) };
    assert_eq!(prune(both).await, 10, "whatever asks for less");
    assert_eq!(read(&*store, oldest_first()).await, seconds(90..100));
    assert_eq!(prune(Retain { entries: Some(0), ..Retain::default() }).await, 10);
    assert_eq!(store.books().await.unwrap(), [(CLUSTER.to_owned(), "audit".to_owned())], "others stay");
}

pub(crate) async fn pruning_goes_in_pieces(database: Database) {
    let store = database.store().await;
    for part in 0..3 {
        append(&*store, part * 2_000..part * 2_000 + 2_000).await;
    }
    let retain = Retain { entries: Some(2_500), ..Retain::default() };
    assert_eq!(store.prune(CLUSTER, KIND, &retain).await, Ok(3_500));
    let left = read(&*store, oldest_first()).await;
    assert_eq!((left.len(), &*left[0]), (2_500, "3500"));
    let since = time(6_000).checked_sub(SignedDuration::from_micros(1)).unwrap();
    let retain = Retain { since: Some(since), ..Retain::default() };
    assert_eq!(store.prune(CLUSTER, KIND, &retain).await, Ok(2_500));
}

pub(crate) async fn entries_go_with_their_cluster(database: Database) {
    let store = database.store().await;
    each(&*store, vec![put(pod("a"), "1")]).await;
    append(&*store, 0..2_000).await;
    let of = |cluster: &str, second: i64| Entry { cluster: cluster.into(), ..entry(second) };
    let audit = Entry { kind: "audit".into(), ..entry(1) };
    store.append(&[of("other", 1), of(NO_CLUSTER, 2), audit.clone()]).await.unwrap();
    let book = |cluster: &str| (cluster.to_owned(), KIND.to_owned());
    let others = [book(NO_CLUSTER), book("other")];
    let own = [(CLUSTER.to_owned(), "audit".to_owned()), book(CLUSTER)];
    assert_eq!(store.books().await.unwrap(), [others.clone(), own].concat());
    store.remove(CLUSTER).await.unwrap();
    assert_eq!(store.books().await.unwrap(), others);

    // An entry that arrives late goes with the next sweep.
    store.append(&[audit]).await.unwrap();
    store.sweep(Duration::from_hours(1)).await.unwrap();
    assert_eq!(store.books().await.unwrap(), others);

    // A cluster that comes again keeps what is of itself.
    each(&*store, vec![put(pod("a"), "1")]).await;
    append(&*store, [7]).await;
    store.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(read(&*store, all()).await, seconds([7]));
    assert_eq!(read(&*store, Scan::all(NO_CLUSTER, KIND)).await, seconds([2]));
}
