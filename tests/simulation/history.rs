//! The checker: compares the commits in the database's own journal with the replies to clients and followers. It shares only the core's snapshot
//! with the code under test.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use imbl::OrdMap;
use podberth::core::snapshot::{Object, Snapshot};
use podberth::store::{Atomicity, Call, Change, Changes, Commit, Head, Key, List, Outcome, Record, Refusal, Write};
use podberth::wire::kinds;
use podberth_testkit::memory::{Event, Memory};

use crate::objects::{FACT, cpu};

mod watches;

/// The replica that answered a writer.
pub(crate) const OWN: &str = "the writer's own replica";

/// Something that must never be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) what: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// Revisions are unique, without gaps, and in the order of commits.
    Order,
    /// An acknowledged write exists, as it was acknowledged.
    Acknowledged,
    /// Every stored object was written by a client, once.
    Explained,
    /// A batch exists whole or not at all.
    Whole,
    /// The reason of a refusal held at some moment while the call was in progress.
    Refused,
    /// A bound pod stays where it is.
    BoundOnce,
    /// A bind leaves no node with more than it has.
    Overcommitted,
    /// A list or an object is the state of one moment while the call was in progress.
    Read,
    /// A view is the state of one revision, and the next one is of a later moment.
    View,
    /// A follower of the feed has the exact state at each complete page, and is sent nothing twice.
    Feed,
    /// A watch keeps its contract, over replicas, and what it has told is the state of one revision.
    Watch,
    /// After the faults all replicas reach the same state.
    Settled,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// The cluster as one write left it.
struct Moment {
    head: Head,
    /// Its transaction; its intermediate states are invisible.
    batch: u64,
    last_of_batch: bool,
    /// The object written; `None` where an older copy came back.
    changed: Option<Key>,
    /// Live objects.
    state: OrdMap<Key, Record>,
    /// CPU that each object requests or has.
    cpus: OrdMap<Key, i64>,
    snapshot: Snapshot,
    /// An acknowledgement names it.
    claimed: bool,
}

struct Pending {
    cluster: usize,
    from: usize,
    call: Call,
}

#[derive(Default)]
struct Ledger {
    violations: Vec<Violation>,
    names: Vec<String>,
    timelines: Vec<Vec<Moment>>,
    unknown: Vec<Pending>,
    batches: u64,
    trace: u64,
    tally: BTreeMap<&'static str, usize>,
}

/// All events, and the violations.
pub(crate) struct History {
    memory: Memory,
    ledger: Mutex<Ledger>,
}

/// A call in progress.
pub(crate) struct Ticket(Pending);

/// A place in a cluster's history, from which a reader never goes back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor {
    cluster: usize,
    at: usize,
}

/// A read in progress.
pub(crate) type Window = Cursor;

impl History {
    pub(crate) fn new(memory: Memory, clusters: &[&str]) -> Arc<Self> {
        memory.keep_journal();
        let names = clusters.iter().map(|&name| name.to_owned()).collect();
        let timelines = clusters.iter().map(|_| vec![Moment::empty()]).collect();
        let ledger = Ledger { names, timelines, ..Ledger::default() };
        Arc::new(Self { memory, ledger: Mutex::new(ledger) })
    }

    /// The ledger with all that has been committed until now.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        for event in self.memory.take_journal() {
            ledger.take_in(event);
        }
        ledger
    }

    pub(crate) fn count(&self, what: &'static str) {
        *self.ledger().tally.entry(what).or_default() += 1;
    }

    pub(crate) fn begin(&self, cluster: usize, call: &Call) -> Ticket {
        Ticket(Pending { cluster, from: self.window(cluster).at, call: call.clone() })
    }

    /// The call was answered. From now on its client sees at least its writes.
    pub(crate) fn answered(&self, ticket: &Ticket, commit: &Commit) -> Cursor {
        let mut ledger = self.ledger();
        ledger.note(&format!("{commit:?}"));
        let at = ledger.answered(&ticket.0, commit);
        Cursor { cluster: ticket.0.cluster, at }
    }

    /// The call certainly did nothing: a write of it would stay unexplained.
    pub(crate) fn failed(&self, why: &str) {
        self.ledger().note(why);
        self.count("failed");
    }

    /// The outcome of the call is unknown.
    pub(crate) fn unknown(&self, ticket: Ticket) {
        self.ledger().unknown.push(ticket.0);
        self.count("unknown");
    }

    pub(crate) fn window(&self, cluster: usize) -> Window {
        Cursor { cluster, at: self.ledger().timelines[cluster].len() - 1 }
    }

    pub(crate) fn listed(&self, window: Window, kind: &str, list: &List) {
        let mut ledger = self.ledger();
        ledger.note(&format!("{} {}", list.revision, list.items.len()));
        let moments = &ledger.timelines[window.cluster][window.at..];
        let is_it = |moment: &Moment| {
            let items = moment.state.values().filter(|record| &*record.key.kind == kind);
            moment.last_of_batch && moment.head.revision == list.revision && items.eq(list.items.iter())
        };
        if !moments.iter().any(is_it) {
            ledger.wrong(Rule::Read, format!("a list of {kind} at {}: {:?}", list.revision, list.items));
        }
    }

    pub(crate) fn got(&self, window: Window, key: &Key, record: Option<&Record>) {
        let mut ledger = self.ledger();
        let moments = &ledger.timelines[window.cluster][window.at..];
        if !moments.iter().any(|moment| moment.last_of_batch && moment.state.get(key) == record) {
            ledger.wrong(Rule::Read, format!("{key:?} as {record:?}"));
        }
    }

    /// A replica shows a view.
    pub(crate) fn saw(&self, cursor: &mut Cursor, who: &str, snapshot: &Snapshot) {
        let mut ledger = self.ledger();
        let moments = &ledger.timelines[cursor.cluster];
        let is_it = |moment: &Moment| {
            moment.last_of_batch && moment.head.revision == snapshot.revision && moment.snapshot == *snapshot
        };
        if let Some(ahead) = moments[cursor.at..].iter().position(is_it) {
            cursor.at += ahead;
            return;
        }
        let before = moments[..cursor.at].iter().position(is_it);
        let again = before.is_some();
        let why = if again { "goes back to" } else { "shows what was never so as" };
        let what = format!("{who} {why} revision {} of {}", snapshot.revision, ledger.names[cursor.cluster]);
        ledger.wrong(Rule::View, what);
    }

    /// `true` if a view is that of the newest moment.
    pub(crate) fn is_newest(&self, cluster: usize, snapshot: &Snapshot) -> bool {
        let ledger = self.ledger();
        ledger.timelines[cluster].last().is_some_and(|moment| moment.snapshot == *snapshot)
    }

    /// A follower that has read after `after` was sent a page, with which it holds `state`.
    pub(crate) fn followed(&self, place: &mut Cursor, after: u64, page: &Changes, state: &OrdMap<Key, Record>) {
        let mut ledger = self.ledger();
        ledger.note(&format!("{after} {:?} {}", page.head, page.records.len()));
        let ascend = page.records.is_sorted_by(|a, b| a.revision < b.revision);
        let fresh = page.records.first().is_none_or(|record| record.revision > after);
        if !ascend || !fresh || page.records.last().is_some_and(|record| record.revision > page.head.revision) {
            ledger.wrong(Rule::Feed, format!("a page after {after}: {page:?}"));
        }
        if !page.complete {
            return;
        }
        let moments = &ledger.timelines[place.cluster];
        let is_it =
            |moment: &Moment| moment.last_of_batch && is_same(&moment.head, &page.head) && moment.state == *state;
        if let Some(ahead) = moments[place.at..].iter().position(is_it) {
            place.at += ahead;
        } else {
            let what = format!("a follower of {} differs at {:?}", ledger.names[place.cluster], page.head);
            ledger.wrong(Rule::Feed, what);
        }
    }

    pub(crate) fn wrong(&self, rule: Rule, what: String) {
        self.ledger().wrong(rule, what);
    }

    /// The violations, the counts of events, and a number that is equal for equal histories.
    pub(crate) fn finish(&self) -> (Vec<Violation>, BTreeMap<&'static str, usize>, u64) {
        let mut ledger = self.ledger();
        ledger.explain();
        (ledger.violations.clone(), ledger.tally.clone(), ledger.trace)
    }
}

/// `true` if these are the same point of a history; compaction makes no difference.
fn is_same(one: &Head, other: &Head) -> bool {
    let point = |head: &Head| (head.epoch, head.revision, head.token);
    point(one) == point(other)
}

impl Moment {
    fn empty() -> Self {
        Self {
            head: Head::default(),
            batch: 0,
            last_of_batch: true,
            changed: None,
            state: OrdMap::new(),
            cpus: OrdMap::new(),
            snapshot: Snapshot::default(),
            claimed: true,
        }
    }

    /// `true` if an older copy came back, or an epoch was begun.
    fn is_restored(&self) -> bool {
        self.changed.is_none() && self.batch > 0
    }

    /// The record that this moment wrote.
    fn written(&self) -> Option<&Record> {
        self.changed.as_ref().and_then(|key| self.state.get(key))
    }

    /// Applies one record to a state and its snapshot.
    fn apply(&mut self, record: &Record) {
        let Key { kind, namespace, name } = &record.key;
        let kind = kinds::by_key(kind).expect("the simulation writes kinds that there are");
        if record.deleted {
            self.state.remove(&record.key);
            self.cpus.remove(&record.key);
            self.snapshot.delete(
                kind.core().expect("a kind that decisions read"),
                &namespace.as_str().into(),
                &name.as_str().into(),
            );
            return;
        }
        if self.state.insert(record.key.clone(), record.clone()).is_none_or(|old| old.body != record.body) {
            self.cpus.insert(record.key.clone(), cpu(&record.body));
        }
        let mut object = kind.parse(&record.body).ok().and_then(|c| c.lenient().ok()).expect("a body that can be read");
        if let Object::Pod(pod) = &mut object {
            pod.node_name = record.node.as_deref().unwrap_or_default().into();
        }
        self.snapshot.apply(object);
    }

    /// `true` if the pods on a node, with one more pod, request more than it has, or if the node does not exist.
    fn is_overcommitted(&self, node: &str, with: Option<&Key>) -> bool {
        let on_it = self.state.values().filter(|record| record.node.as_deref() == Some(node)).map(|record| &record.key);
        let used: i64 = on_it.chain(with).filter_map(|key| self.cpus.get(key)).sum();
        self.cpus.get(&Key::new("nodes", "", node)).is_none_or(|has| used > *has)
    }
}

impl Ledger {
    fn note(&mut self, text: &str) {
        for byte in text.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn wrong(&mut self, rule: Rule, what: String) {
        self.violations.push(Violation { rule, what });
    }

    fn place(&mut self, cluster: &str) -> usize {
        self.names.iter().position(|name| name == cluster).expect("a cluster of the simulation")
    }

    fn take_in(&mut self, event: Event) {
        self.batches += 1;
        let batch = self.batches;
        match event {
            Event::Committed(committed) => {
                let place = self.place(&committed.cluster);
                let many = committed.steps.len();
                self.note(&committed.cluster);
                for (i, step) in committed.steps.into_iter().enumerate() {
                    self.step(place, batch, i + 1 == many, Head { revision: step.revision, ..committed.head }, &step);
                }
            }
            Event::Restored { cluster, head, rows } => {
                self.note(&format!("{head:?}"));
                let place = self.place(&cluster);
                let mut moment = Moment { head, batch, ..Moment::empty() };
                for row in &rows {
                    moment.apply(row);
                }
                moment.snapshot.revision = head.revision;
                self.timelines[place].push(moment);
            }
            Event::Epoch { cluster, head } => {
                self.note(&format!("{head:?}"));
                let place = self.place(&cluster);
                let before = self.timelines[place].last().expect("a timeline has a beginning");
                if head.revision <= before.head.revision || head.epoch <= before.head.epoch {
                    let what = format!("{head:?} was begun after {:?}", before.head);
                    self.wrong(Rule::Order, what);
                }
                let before = self.timelines[place].last().expect("a timeline has a beginning");
                let mut moment = Moment {
                    head,
                    batch,
                    last_of_batch: true,
                    changed: None,
                    state: before.state.clone(),
                    cpus: before.cpus.clone(),
                    snapshot: before.snapshot.clone(),
                    claimed: true,
                };
                moment.snapshot.revision = head.revision;
                self.timelines[place].push(moment);
                *self.tally.entry("epoch").or_default() += 1;
            }
        }
    }

    fn step(&mut self, cluster: usize, batch: u64, last: bool, head: Head, record: &Record) {
        let Record { key, revision, node, deleted, .. } = record;
        self.note(&format!("{}/{} {revision} {node:?} {deleted}", key.kind, key.name));
        let before = self.timelines[cluster].last().expect("a timeline has a beginning");
        let mut moment = Moment {
            head,
            batch,
            last_of_batch: last,
            changed: Some(record.key.clone()),
            state: before.state.clone(),
            cpus: before.cpus.clone(),
            snapshot: before.snapshot.clone(),
            claimed: false,
        };
        moment.apply(record);
        moment.snapshot.revision = head.revision;
        let mut wrong = Vec::new();
        if head.revision != before.head.revision + 1 || head.epoch != before.head.epoch {
            wrong.push((Rule::Order, format!("{:?} was committed after {:?}", head, before.head)));
        }
        let same = before.state.get(&record.key).filter(|old| !record.deleted && old.uid == record.uid);
        if let Some(old) = same
            && old.node != record.node
            && !record.key.name.starts_with(FACT)
        {
            if let Some(node) = &old.node {
                let what = format!("{} moved from {node} to {:?} at {}", record.key.name, record.node, head.revision);
                wrong.push((Rule::BoundOnce, what));
            }
            if let Some(node) = record.node.as_deref().filter(|node| moment.is_overcommitted(node, None)) {
                wrong.push((Rule::Overcommitted, format!("{node} by {} at {}", record.key.name, head.revision)));
            }
        }
        self.timelines[cluster].push(moment);
        for (rule, what) in wrong {
            self.wrong(rule, what);
        }
    }

    fn answered(&mut self, pending: &Pending, commit: &Commit) -> usize {
        let Pending { cluster, from, call } = pending;
        if commit.outcomes.len() != call.writes.len() {
            self.wrong(Rule::Acknowledged, format!("{} outcomes for {call:?}", commit.outcomes.len()));
        }
        let mut newest = *from;
        let alone = call.writes.len() == 1;
        for (write, outcome) in call.writes.iter().zip(&commit.outcomes) {
            let moments = &mut self.timelines[*cluster][*from..];
            let (what, rule, well) = match outcome {
                Outcome::Written { revision, .. } | Outcome::Deleted { revision } => {
                    let it = moments[1..].iter_mut().rposition(|moment| {
                        let is_it = moment.head.revision == *revision && moment.is_effect_of(write);
                        is_it && !std::mem::replace(&mut moment.claimed, true)
                    });
                    newest = it.map_or(newest, |it| newest.max(from + 1 + it));
                    ("written", Rule::Acknowledged, it.is_some())
                }
                Outcome::Unchanged { revision } => {
                    let is_so = |moment: &Moment| {
                        let stored = moment.state.get(&write.key).filter(|record| record.revision == *revision);
                        stored.is_some_and(|record| is_as_asked(record, write))
                    };
                    ("unchanged", Rule::Acknowledged, moments.iter().any(is_so))
                }
                Outcome::Refused(refusal) => {
                    let well = moments.iter().any(|moment| moment.would_refuse(write, refusal, alone));
                    (name(refusal), Rule::Refused, well)
                }
            };
            *self.tally.entry(what).or_default() += 1;
            if !well {
                let now = self.timelines[*cluster].last().map(|moment| moment.head);
                self.wrong(rule, format!("{outcome:?} for {write:?}, begun at {from}, answered at {now:?}"));
            }
        }
        newest
    }

    /// Finds for each unacknowledged write a call of unknown outcome.
    fn explain(&mut self) {
        let mut unknown = std::mem::take(&mut self.unknown);
        // A write that began last has the fewest possible places. Placed first, it takes no place that another one needs.
        unknown.sort_by_key(|pending| std::cmp::Reverse(pending.from));
        let mut without_put = Vec::new();
        for pending in unknown {
            // A body is one call's only one: it tells in which transaction the call was carried out. The last one: before it
            // the call may have been carried out in a history that was lost, and then once more.
            let moments = &self.timelines[pending.cluster][pending.from + 1..];
            let puts = pending.call.writes.iter().filter(|write| matches!(write.change, Change::Put { .. }));
            let its = puts.filter_map(|put| moments.iter().rfind(|moment| !moment.claimed && moment.is_effect_of(put)));
            match its.map(|moment| moment.batch).next() {
                Some(batch) => self.explain_call(&pending, Some(batch)),
                None if is_whole(&pending.call) => {
                    *self.tally.entry("unknown: nothing there").or_default() += 1;
                }
                None => without_put.push(pending),
            }
        }
        for pending in without_put {
            self.explain_call(&pending, None);
        }
        let mut wrong = Vec::new();
        for (timeline, name) in self.timelines.iter().zip(&self.names) {
            for (i, moment) in timeline.iter().enumerate().filter(|(_, moment)| !moment.claimed) {
                // A write lost with its history needs no explanation: its writer may have got an error.
                let is_back_before = |later: &Moment| later.is_restored() && later.head.revision < moment.head.revision;
                if timeline[i..].iter().any(is_back_before) {
                    continue;
                }
                wrong.push(format!("{name} {:?}: {:?} {:?}", moment.head, moment.changed, moment.written()));
            }
        }
        for what in wrong {
            self.wrong(Rule::Explained, what);
        }
    }

    /// Claims the possible writes of a call of unknown outcome: in this transaction, if that is known.
    fn explain_call(&mut self, pending: &Pending, batch: Option<u64>) {
        let Pending { cluster, from, call } = pending;
        let moments = &mut self.timelines[*cluster][from + 1..];
        let mut missing = Vec::new();
        let mut found = 0;
        for write in &call.writes {
            let fits = |moment: &&mut Moment| {
                !moment.claimed && batch.is_none_or(|batch| batch == moment.batch) && moment.is_effect_of(write)
            };
            match moments.iter_mut().find(fits) {
                Some(moment) => {
                    moment.claimed = true;
                    found += 1;
                }
                None if matches!(write.change, Change::Put { .. } | Change::Delete) => missing.push(write.clone()),
                None => {} // A bind may have found the pod where it was to go.
            }
        }
        let what = if found > 0 { "unknown: there" } else { "unknown: nothing there" };
        *self.tally.entry(what).or_default() += 1;
        if found > 0 && !missing.is_empty() && call.atomicity == Atomicity::AllOrNothing {
            self.wrong(Rule::Whole, format!("of {call:?} this is missing: {missing:?}"));
        }
    }
}

impl Moment {
    /// `true` if this moment is the effect of the write.
    fn is_effect_of(&self, write: &Write) -> bool {
        self.changed.as_ref() == Some(&write.key)
            && match (&write.change, self.written()) {
                (Change::Delete, written) => written.is_none(),
                (_, None) => false,
                (Change::Put { .. }, Some(record)) => {
                    record.body_revision == record.revision && is_as_asked(record, write)
                }
                (_, Some(record)) => record.body_revision < record.revision && is_as_asked(record, write),
            }
    }

    fn would_refuse(&self, write: &Write, refusal: &Refusal, alone: bool) -> bool {
        let live = self.state.get(&write.key);
        match refusal {
            Refusal::NotFound => live.is_none(),
            Refusal::AlreadyExists { current } => live.is_some_and(|record| record.revision == *current),
            Refusal::Conflict { current } => live.is_some_and(|record| {
                record.revision == *current && write.precondition.revision.is_some_and(|wanted| wanted != *current)
            }),
            Refusal::UidMismatch { current } => live.is_some_and(|record| {
                record.uid == *current && write.precondition.uid.as_ref().is_some_and(|wanted| wanted != current)
            }),
            Refusal::AlreadyBound { node } => live.is_some_and(|record| record.node.as_ref() == Some(node)),
            // Others of its call, taken back since, may have stood in the way.
            Refusal::Rejected(_) if !alone => true,
            Refusal::Rejected(_) => match &write.change {
                Change::Bind { node } => live.is_some() && self.is_overcommitted(node, Some(&write.key)),
                _ => false,
            },
            Refusal::NotAttempted => !alone,
        }
    }
}

/// `true` if a call without any stored put has no effect at all: it is all or nothing, and has a put.
fn is_whole(call: &Call) -> bool {
    let is_put = |write: &Write| matches!(write.change, Change::Put { .. });
    call.atomicity == Atomicity::AllOrNothing && call.writes.iter().any(is_put)
}

fn is_as_asked(record: &Record, write: &Write) -> bool {
    match &write.change {
        Change::Put { body, uid, node } => record.body == *body && record.uid == *uid && record.node == *node,
        Change::SetNode(node) => record.node == *node,
        Change::Bind { node } => record.node.as_ref() == Some(node),
        Change::Delete => false,
    }
}

fn name(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NotFound => "not found",
        Refusal::AlreadyExists { .. } => "already exists",
        Refusal::Conflict { .. } => "conflict",
        Refusal::UidMismatch { .. } => "uid mismatch",
        Refusal::AlreadyBound { .. } => "already bound",
        Refusal::Rejected(_) => "rejected",
        Refusal::NotAttempted => "not attempted",
    }
}
