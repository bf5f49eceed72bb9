//! One random trace of operations gives equal answers and equal objects, byte for byte, on the fake, SQLite and PostgreSQL.
//! `PODBERTH_DIFFERENTIAL_CASES=5000` makes a short run a long one.

use std::sync::Arc;
use std::time::Duration;

use podberth::store::{
    Atomicity, Bodies, Call, Change, Changes, Compaction, Cursor, Head, Judge, Keep, Key, List, ListQuery, Options,
    Place, Precondition, Record, Storage, StoreError, Write, Written,
};
use proptest::collection::vec;
use proptest::option::{of, weighted};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use uuid::Uuid;

use crate::database::{Database, Engine, with_database};

const CASES: u32 = 24;
const CLUSTERS: [&str; 2] = ["a", "ü"];

#[derive(Debug, Clone)]
enum Step {
    Write {
        cluster: usize,
        calls: Vec<Call>,
        known: Known,
    },
    Get {
        cluster: usize,
        key: Key,
    },
    List {
        cluster: usize,
        query: ListQuery,
    },
    Feed {
        cluster: usize,
        cursor: Cursor,
        limit: usize,
    },
    /// Reads on from where the last one ended.
    Follow {
        cluster: usize,
        limit: usize,
    },
    Past {
        cluster: usize,
        key: Key,
        revision: Option<u64>,
    },
    Compact {
        cluster: usize,
        keep: Keep,
    },
    Epoch {
        cluster: usize,
        lost: Head,
    },
    Head {
        cluster: usize,
    },
}

/// The judge's knowledge before a write.
#[derive(Debug, Clone)]
enum Known {
    /// Its knowledge after the write before.
    Last,
    At(u64),
}

#[derive(Debug, Clone, PartialEq)]
enum Answer {
    Written(Result<Written, StoreError>, Vec<Told>),
    Get(Result<Option<Record>, StoreError>),
    List(Result<List, StoreError>),
    Feed(Result<Changes, StoreError>),
    /// The state, and one object of it.
    Past(Result<Vec<Record>, StoreError>, Option<Result<Option<Record>, StoreError>>),
    Compact(Result<Compaction, StoreError>),
    Head(Result<Head, StoreError>),
}

/// Every engine has its own tokens: only their presence is compared.
fn blind(head: &mut Head) {
    if !head.token.is_nil() {
        head.token = Uuid::max();
    }
}

fn blind_page(mut page: Changes) -> Changes {
    blind(&mut page.head);
    page.next.seen.iter_mut().for_each(blind);
    page
}

/// A report or a question to a judge.
#[derive(Debug, Clone, PartialEq)]
enum Told {
    Begin(Head, Vec<Record>),
    Bind(Place, Record, String),
    Note(Record),
    Mark,
    RollBack,
}

/// Records everything and refuses the node `full`.
struct Scribe {
    known: u64,
    seen: Option<Head>,
    told: Vec<Told>,
}

impl Judge for Scribe {
    fn bodies(&self) -> Bodies {
        if self.known.is_multiple_of(2) { Bodies::All } else { Bodies::Of(&["pods"]) }
    }

    fn known(&self) -> u64 {
        self.known
    }

    fn seen(&self) -> Option<Head> {
        self.seen
    }

    fn begin(&mut self, mut head: Head, missed: &[Record]) {
        blind(&mut head);
        self.told.push(Told::Begin(head, missed.to_vec()));
    }

    fn may_bind(&mut self, place: Place, record: &Record, node: &str) -> Result<(), String> {
        self.told.push(Told::Bind(place, record.clone(), node.to_owned()));
        if node == "full" { Err("it is full".into()) } else { Ok(()) }
    }

    fn note(&mut self, record: &Record) {
        self.told.push(Told::Note(record.clone()));
    }

    fn mark(&mut self) {
        self.told.push(Told::Mark);
    }

    fn roll_back(&mut self) {
        self.told.push(Told::RollBack);
    }
}

fn key() -> impl Strategy<Value = Key> {
    let kind = select(vec!["pods", "pods", "nodes"]);
    (kind, select(vec!["", "x", "x-y"]), select(vec!["a", "b", "B", "é", "a\0"])).prop_map(|(kind, namespace, name)| {
        let name = if name == "a\0" && namespace != "x-y" { "c" } else { name };
        Key::new(kind, namespace, name)
    })
}

fn node() -> impl Strategy<Value = String> {
    select(vec!["n", "m", "full"]).prop_map(str::to_owned)
}

fn write() -> impl Strategy<Value = Write> {
    let body = prop_oneof![4 => vec(any::<u8>(), 0..4), 1 => select(vec![vec![7; 5_000], b"{}".to_vec()])];
    let uid = || select(vec!["1", "2"]).prop_map(str::to_owned);
    let change = prop_oneof![
        5 => (body, uid(), weighted(0.3, node()))
            .prop_map(|(body, uid, node)| Change::Put { body: body.into(), uid, node }),
        1 => of(node()).prop_map(Change::SetNode),
        3 => node().prop_map(|node| Change::Bind { node }),
        2 => Just(Change::Delete),
    ];
    let precondition = (weighted(0.2, any::<bool>()), weighted(0.2, 0_u64..30), weighted(0.2, uid()))
        .prop_map(|(exists, revision, uid)| Precondition { exists, revision, uid });
    (key(), precondition, change).prop_map(|(key, precondition, change)| Write { key, precondition, change })
}

fn call() -> impl Strategy<Value = Call> {
    (vec(write(), 0..5), select(vec![Atomicity::AllOrNothing, Atomicity::Each]))
        .prop_map(|(writes, atomicity)| Call { writes, atomicity })
}

fn step() -> impl Strategy<Value = Step> {
    let cluster = || 0..CLUSTERS.len();
    let known =
        prop_oneof![4 => Just(Known::Last), 1 => (0_u64..40).prop_map(Known::At), 1 => Just(Known::At(u64::MAX))];
    let page =
        (of(select(vec!["", "x", "x-y"])), of((select(vec!["", "x"]), select(vec!["", "a", "b"]))), of(0_usize..5));
    let query = (select(vec!["pods", "nodes"]), page).prop_map(|(kind, (namespace, after, limit))| ListQuery {
        kind: kind.into(),
        namespace: namespace.map(str::to_owned),
        after: after.map(|(namespace, name)| (namespace.to_owned(), name.to_owned())),
        limit,
    });
    let bodies = select(vec![Bodies::All, Bodies::Of(&[]), Bodies::Of(&["nodes"])]);
    let cursor = (0_u64..40, 0_u64..40, weighted(0.2, 0_u64..40), bodies);
    let cursor = cursor.prop_map(|(after, complete, began, bodies)| Cursor {
        after,
        complete,
        began: began.unwrap_or(0),
        seen: None,
        bodies,
    });
    let age = select(vec![Duration::ZERO, Duration::ZERO, Duration::from_mins(10)]);
    let keep = (age, 0_u64..20).prop_map(|(age, revisions)| Keep { age, revisions });
    prop_oneof![
        8 => (cluster(), vec(call(), 0..4), known)
            .prop_map(|(cluster, calls, known)| Step::Write { cluster, calls, known }),
        1 => (cluster(), key()).prop_map(|(cluster, key)| Step::Get { cluster, key }),
        1 => (cluster(), query).prop_map(|(cluster, query)| Step::List { cluster, query }),
        2 => (cluster(), cursor, 0_usize..6).prop_map(|(cluster, cursor, limit)| Step::Feed { cluster, cursor, limit }),
        3 => (cluster(), 1_usize..6).prop_map(|(cluster, limit)| Step::Follow { cluster, limit }),
        3 => (cluster(), key(), of(0_u64..40))
            .prop_map(|(cluster, key, revision)| Step::Past { cluster, key, revision }),
        2 => (cluster(), keep).prop_map(|(cluster, keep)| Step::Compact { cluster, keep }),
        1 => (cluster(), weighted(0.3, 0_u64..60)).prop_map(|(cluster, lost)| {
            Step::Epoch { cluster, lost: Head { revision: lost.unwrap_or(0), ..Head::default() } }
        }),
        1 => cluster().prop_map(|cluster| Step::Head { cluster }),
    ]
}

/// The token of every epoch, equal on all engines.
const EPOCH: Uuid = Uuid::from_u128(7);

/// Goes through a trace on clusters of its own, and in the end reads all there is.
async fn replay(store: &dyn Storage, case: u64, trace: &[Step]) -> Vec<Answer> {
    let names = CLUSTERS.map(|cluster| format!("{cluster}-{case}"));
    let mut known = [(0, None); CLUSTERS.len()];
    let mut cursors = [Cursor::default(); CLUSTERS.len()];
    let mut answers = Vec::new();
    for step in trace {
        answers.push(match step {
            Step::Write { cluster, calls, known: knows } => {
                let last = &mut known[*cluster];
                if let Known::At(revision) = knows {
                    *last = (*revision, None);
                }
                let mut scribe = Scribe { known: last.0, seen: last.1, told: Vec::new() };
                let mut written = store.write(&names[*cluster], calls, &mut scribe).await;
                *last = match &written {
                    Ok(written) => (written.head.revision, Some(written.head)),
                    Err(StoreError::Behind { revision, .. }) => (*revision, None),
                    Err(_) => *last,
                };
                if let Ok(written) = &mut written {
                    blind(&mut written.head);
                }
                Answer::Written(written, scribe.told)
            }
            Step::Get { cluster, key } => Answer::Get(store.get(&names[*cluster], key).await),
            Step::List { cluster, query } => Answer::List(store.list(&names[*cluster], query).await),
            Step::Feed { cluster, cursor, limit } => {
                Answer::Feed(store.changes(&names[*cluster], cursor, *limit).await.map(blind_page))
            }
            Step::Follow { cluster, limit } => {
                let page = store.changes(&names[*cluster], &cursors[*cluster], *limit).await;
                cursors[*cluster] = page.as_ref().map_or_else(|_| Cursor::default(), |page| page.next);
                Answer::Feed(page.map(blind_page))
            }
            Step::Past { cluster, key, revision } => past(store, &names[*cluster], key, *revision).await,
            Step::Compact { cluster, keep } => Answer::Compact(store.compact(&names[*cluster], keep).await),
            Step::Epoch { cluster, lost } => head(store.begin_epoch(&names[*cluster], lost, EPOCH).await),
            Step::Head { cluster } => head(store.head(&names[*cluster]).await),
        });
    }
    for name in &names {
        answers.push(Answer::Feed(store.changes(name, &Cursor::default(), usize::MAX).await.map(blind_page)));
        for kind in ["nodes", "pods"] {
            answers.push(Answer::List(store.list(name, &ListQuery::all(kind)).await));
        }
    }
    answers
}

fn head(mut head: Result<Head, StoreError>) -> Answer {
    head.iter_mut().for_each(blind);
    Answer::Head(head)
}

async fn past(store: &dyn Storage, cluster: &str, key: &Key, revision: Option<u64>) -> Answer {
    let mut records: Vec<Record> = Vec::new();
    let state = store.state_at(cluster, revision, &mut records).await;
    records.sort_by(|a, b| a.key.cmp(&b.key));
    let object = match revision {
        Some(revision) => Some(store.get_at(cluster, key, revision).await),
        None => None,
    };
    Answer::Past(state.map(|()| records), object)
}

async fn compare(databases: [Database; 3]) {
    let [fake, others @ ..] = databases;
    let keeping = || Options { history: Some(Duration::from_hours(1)), ..Options::default() };
    let fake: Arc<dyn Storage> = fake.store_with(keeping()).await;
    let others = [others[0].store_with(keeping()).await, others[1].store_with(keeping()).await];
    let cases = std::env::var("PODBERTH_DIFFERENTIAL_CASES").map_or(CASES, |n| n.parse().expect("a number"));
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        let case = std::cell::Cell::new(0);
        TestRunner::new(Config { cases, ..Config::default() })
            .run(&vec(step(), 1..24), |trace| {
                case.set(case.get() + 1);
                runtime.block_on(async {
                    let expected = replay(&*fake, case.get(), &trace).await;
                    for (other, engine) in others.iter().zip(["SQLite", "PostgreSQL"]) {
                        let answers = replay(&**other, case.get(), &trace).await;
                        for (at, (answer, expected)) in answers.iter().zip(&expected).enumerate() {
                            prop_assert_eq!(answer, expected, "{}, step {}: {:?}", engine, at, trace.get(at));
                        }
                    }
                    Ok(())
                })
            })
            .unwrap_or_else(|error| panic!("{error}"));
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_engines_give_equal_answers() {
    with_database(Engine::Memory, async |fake: Database| {
        with_database(Engine::SqliteMemory, async |sqlite: Database| {
            with_database(Engine::Postgres, async |postgres: Database| compare([fake, sqlite, postgres]).await).await;
        })
        .await;
    })
    .await;
}
