//! Batches of several calls, and their judge.

use podberth::store::{
    Atomicity, Bodies, Call, Change, Cursor, Head, Judge, Key, Outcome, Place, Precondition, Record, Refusal, Storage,
    StoreError, Write, Written,
};

use crate::build::{CLUSTER, created, delete, one, pod, put, refused, unchanged, written};
use crate::database::Database;

/// Refuses the node `full`, and records everything.
#[derive(Debug, Default)]
struct Clerk {
    known: u64,
    head: u64,
    missed: Vec<(u64, bool)>,
    notes: Vec<u64>,
    marked: usize,
}

impl Judge for Clerk {
    fn known(&self) -> u64 {
        self.known
    }

    fn begin(&mut self, head: Head, missed: &[Record]) {
        self.head = head.revision;
        self.missed = missed.iter().map(|record| (record.revision, record.body_is_known(self.known))).collect();
        self.notes.clear();
    }

    fn may_bind(&mut self, place: Place, record: &Record, node: &str) -> Result<(), String> {
        if node == "full" { Err(format!("call {}: {} does not fit", place.call, record.key.name)) } else { Ok(()) }
    }

    fn note(&mut self, record: &Record) {
        self.notes.push(record.revision);
    }

    fn mark(&mut self) {
        self.marked = self.notes.len();
    }

    fn roll_back(&mut self) {
        self.notes.truncate(self.marked);
    }
}

fn bind(name: &str, node: &str) -> Write {
    Write { key: pod(name), precondition: Precondition::exists(), change: Change::Bind { node: node.into() } }
}

fn call(atomicity: Atomicity, writes: Vec<Write>) -> Call {
    Call { writes, atomicity }
}

async fn judged(store: &dyn Storage, calls: &[Call], clerk: &mut Clerk) -> Written {
    store.write(CLUSTER, calls, clerk).await.expect("the batch is written")
}

fn outcomes(written: Written) -> Vec<Vec<Outcome>> {
    written.commits.into_iter().map(|commit| commit.outcomes).collect()
}

pub(crate) async fn calls_do_not_harm_each_other(database: Database) {
    let store = database.store().await;
    one(&*store, put(pod("a"), "1")).await;
    let calls = [
        call(Atomicity::AllOrNothing, vec![put(pod("b"), "1"), bind("a", "full")]),
        call(Atomicity::Each, vec![bind("a", "full"), bind("a", "n")]),
        call(Atomicity::AllOrNothing, vec![put(pod("c"), "1"), bind("b", "n")]),
        call(Atomicity::AllOrNothing, vec![put(pod("b"), "2"), bind("b", "n")]),
    ];
    let mut clerk = Clerk { known: 1, ..Clerk::default() };
    let batch = judged(&*store, &calls, &mut clerk).await;
    assert_eq!(batch.head.revision, 4, "what was taken back took no revision");
    assert!(batch.commits.iter().all(|commit| commit.revision == 4));
    let rejected = |call: usize| refused(Refusal::Rejected(format!("call {call}: a does not fit")));
    assert_eq!(
        outcomes(batch),
        [
            vec![refused(Refusal::NotAttempted), rejected(0)],
            vec![rejected(1), written(2)],
            vec![refused(Refusal::NotAttempted), refused(Refusal::NotFound)],
            vec![created(3), written(4)],
        ]
    );
    assert_eq!(clerk.notes, [2, 3, 4], "what was taken back is not noted");
    let listed = store.changes(CLUSTER, &Cursor::default(), 10).await.unwrap().records;
    let seen: Vec<_> = listed.iter().map(|r| (&*r.key.name, r.revision, r.node.as_deref())).collect();
    assert_eq!(seen, [("a", 2, Some("n")), ("b", 4, Some("n"))]);
}

pub(crate) async fn binds_once(database: Database) {
    let store = database.store().await;
    one(&*store, put(pod("a"), "1")).await;
    let calls = [call(Atomicity::Each, vec![bind("a", "n"), bind("a", "n"), bind("a", "full"), bind("x", "n")])];
    let batch = judged(&*store, &calls, &mut Clerk::default()).await;
    let bound = refused(Refusal::AlreadyBound { node: "n".into() });
    assert_eq!(outcomes(batch), [vec![written(2), unchanged(2), bound, refused(Refusal::NotFound)]]);
    let record = store.get(CLUSTER, &pod("a")).await.unwrap().unwrap();
    assert_eq!((record.node.as_deref(), &*record.body, record.body_revision), (Some("n"), &b"1"[..], 1));
}

pub(crate) async fn the_judge_is_told_what_it_missed(database: Database) {
    let store = database.store().await;
    for name in ["a", "b", "c"] {
        one(&*store, put(pod(name), "1")).await;
    }
    one(&*store, bind("a", "n")).await;
    one(&*store, delete(pod("b"))).await;
    one(&*store, put(pod("c"), "2")).await;
    let mut clerk = Clerk { known: 3, ..Clerk::default() };
    judged(&*store, &[call(Atomicity::Each, vec![bind("c", "n")])], &mut clerk).await;
    assert_eq!(clerk.missed, [(4, true), (5, false), (6, false)], "a's body has not changed since");
    assert_eq!((clerk.head, clerk.notes), (6, vec![7]));

    let mut clerk = Clerk { known: 9, ..Clerk::default() };
    let ahead = store.write(CLUSTER, &[call(Atomicity::Each, vec![bind("c", "n")])], &mut clerk).await;
    assert_eq!(ahead, Err(StoreError::Behind { known: 9, revision: 7 }), "history was lost: read it again first");
}

pub(crate) async fn the_feed_leaves_out_bodies_its_reader_has(database: Database) {
    let store = database.store().await;
    one(&*store, put(pod("a"), "1")).await;
    one(&*store, put(pod("b"), "1")).await;
    one(&*store, bind("a", "n")).await;
    let bodies = async |after, complete| {
        let records =
            store.changes(CLUSTER, &Cursor { after, complete, ..Cursor::default() }, 10).await.unwrap().records;
        let seen = records.iter().map(|r| (r.key.name.clone(), r.body_is_known(complete), r.body.len()));
        seen.collect::<Vec<_>>()
    };
    assert_eq!(bodies(2, 2).await, [("a".into(), true, 0)]);
    assert_eq!(bodies(2, 0).await, [("a".into(), false, 1)], "a reader between two pages has not seen it");
    one(&*store, put(pod("a"), "2")).await;
    assert_eq!(bodies(2, 2).await, [("a".into(), false, 1)]);
}

pub(crate) async fn bodies_of_kinds_that_nobody_reads_are_left_out(database: Database) {
    const READ: Bodies = Bodies::Of(&["nodes", "pods"]);
    /// Knows the first revision.
    struct Reader(Vec<(String, usize)>);
    impl Judge for Reader {
        fn known(&self) -> u64 {
            1
        }
        fn bodies(&self) -> Bodies {
            READ
        }
        fn begin(&mut self, _: Head, missed: &[Record]) {
            self.0 = missed.iter().map(size).collect();
        }
        fn may_bind(&mut self, _: Place, _: &Record, _: &str) -> Result<(), String> {
            Ok(())
        }
        fn note(&mut self, _: &Record) {}
        fn mark(&mut self) {}
        fn roll_back(&mut self) {}
    }
    fn size(record: &Record) -> (String, usize) {
        (record.key.kind.to_string(), record.body.len())
    }
    let store = database.store().await;
    for kind in ["configmaps", "pods", "events.k8s.io", "nodes"] {
        one(&*store, put(Key::new(kind, "", "a"), "12")).await;
    }
    let all = [("configmaps", 2), ("pods", 2), ("events.k8s.io", 2), ("nodes", 2)];
    let read = [("configmaps", 0), ("pods", 2), ("events.k8s.io", 0), ("nodes", 2)];
    let none = read.map(|(kind, _)| (kind, 0));
    for (bodies, expected) in [(Bodies::All, all), (READ, read), (Bodies::Of(&[]), none)] {
        let (mut cursor, mut seen) = (Cursor::reading(bodies), Vec::new());
        for complete in [false, true] {
            let page = store.changes(CLUSTER, &cursor, 3).await.unwrap();
            assert_eq!(page.complete, complete, "records without a body count as others do");
            seen.extend(page.records.iter().map(size));
            cursor = page.next;
        }
        assert_eq!(seen, expected.map(|(kind, size)| (kind.to_owned(), size)));
        assert_eq!((cursor.after, cursor.bodies), (4, bodies));
    }
    let mut reader = Reader(Vec::new());
    let calls = [call(Atomicity::Each, vec![put(Key::new("configmaps", "", "b"), "1")])];
    store.write(CLUSTER, &calls, &mut reader).await.expect("the batch is written");
    assert_eq!(reader.0, read[1..].iter().map(|(kind, size)| ((*kind).to_owned(), *size)).collect::<Vec<_>>());
    let whole = store.get(CLUSTER, &Key::new("configmaps", "", "a")).await.unwrap().unwrap();
    assert_eq!(whole.body, "12", "it is stored all the same");
}

/// A bind needs no body and reads none: the judge has it already, or has just got it.
pub(crate) async fn only_what_is_put_is_read_with_its_body(database: Database) {
    #[derive(Default)]
    struct Bodies(Vec<usize>);
    impl Judge for Bodies {
        fn known(&self) -> u64 {
            2
        }
        fn begin(&mut self, _: Head, missed: &[Record]) {
            self.0.extend(missed.iter().map(|record| record.body.len()));
        }
        fn may_bind(&mut self, _: Place, record: &Record, _: &str) -> Result<(), String> {
            self.0.push(record.body.len());
            Ok(())
        }
        fn note(&mut self, _: &Record) {}
        fn mark(&mut self) {}
        fn roll_back(&mut self) {}
    }
    let store = database.store().await;
    one(&*store, put(pod("a"), "12")).await;
    one(&*store, put(pod("b"), "12")).await;
    one(&*store, put(pod("c"), "12")).await;
    let mut bodies = Bodies::default();
    let calls = [call(Atomicity::Each, vec![bind("a", "n"), put(pod("b"), "123"), bind("b", "n"), bind("c", "n")])];
    store.write(CLUSTER, &calls, &mut bodies).await.expect("the batch is written");
    assert_eq!(bodies.0, [2, 0, 3, 0], "c is missed with its body, b's is new");
    let bodies = store.changes(CLUSTER, &Cursor::default(), 10).await.unwrap().records;
    let bodies: Vec<_> = bodies.iter().map(|r| (&*r.key.name, &*r.body, r.body_revision, r.node.is_some())).collect();
    assert_eq!(bodies, [("a", &b"12"[..], 1, true), ("b", b"123", 5, true), ("c", b"12", 3, true)]);
}
