//! Binds judged before their transaction.
//!
//! The questions of a batch to its judge are answered on the working view first, off the runtime's threads and while nobody waits for
//! the cluster's counter. In the transaction the verdicts hold as long as it follows this script: the state is the one that was seen,
//! and the judge gets the same questions and reports in the same order. Where it leaves the script (others wrote meanwhile, or a write
//! is refused that was expected to succeed) binds are judged within the transaction, in few steps. A bind that needs more is refused,
//! and its call may be judged again in the next batch.
//!
//! All judging is bounded in steps of [`work`](crate::core::work). A batch judges its first call with [`ALONE`] steps, so that every
//! bind that can be judged at all gets its turn, and the others with [`TOGETHER`] at most. Calls that need more wait for a later batch;
//! calls without binds go on.

use std::collections::BTreeSet;

use super::{View, draft::Draft, judgement::is_bind};
use crate::{
    core::snapshot::Kind,
    store::{Atomicity, Bodies, Body, Call, Change, Head, Judge, Place, Record, Write},
    wire::kinds,
};

/// Steps for the binds of the call that is judged first: under a second.
pub(super) const ALONE: u64 = 1 << 24;

/// Steps for those of all other calls of the batch.
pub(super) const TOGETHER: u64 = ALONE / 2;

/// Of these, steps for those of one call.
const EACH: u64 = TOGETHER / 8;

/// Steps while the cluster's counter is held: some tens of milliseconds.
pub(super) const HELD: u64 = 1 << 20;

/// The judge of a batch, with the verdicts of the rehearsal.
pub(super) struct Rehearsed {
    draft: Draft,
    script: Vec<Line>,
    /// The view at the script's end.
    end: Option<View>,
    /// The next line, as long as the transaction goes by the script.
    next: Option<usize>,
    /// `true` if others had written before the transaction began.
    is_overtaken: bool,
    /// Calls with a bind that was not judged in the transaction for want of steps.
    unjudged: BTreeSet<usize>,
}

/// A question or a report to the judge.
enum Line {
    Mark,
    RollBack,
    Bind(Place, Result<(), String>),
    Note(Record),
}

/// The outcome of a write.
enum Played {
    Written(Record),
    Unchanged,
    Refused,
}

impl Rehearsed {
    /// A judge that has judged nothing yet.
    pub(super) fn new(draft: Draft) -> Self {
        Self { draft, script: Vec::new(), end: None, next: None, is_overtaken: false, unjudged: BTreeSet::new() }
    }

    /// `true` if the calls have binds to judge: all but those that were decided on the very state that they are written to.
    pub(super) fn is_needed(&self, calls: &[Call]) -> bool {
        let mut revision = self.draft.exact();
        calls.iter().enumerate().any(|(at, call)| {
            let decided_at = self.draft.judgement(at).and_then(|judgement| judgement.decided_at);
            let is_judged = decided_at != Some(revision) && call.writes.iter().any(is_bind);
            revision = revision.saturating_add(call.writes.len() as u64);
            is_judged
        })
    }

    /// Judges the calls' binds; which of the calls the batch is to have. The others are left for a later one.
    pub(super) fn rehearse(&mut self, calls: &[Call]) -> Vec<bool> {
        let (mut is_first, mut left, mut taken) = (true, TOGETHER, 0);
        let mut is_taken = |call: &Call| {
            let (before, point) = (self.script.len(), self.draft.here());
            let given = if is_first { ALONE } else { left.min(EACH) };
            self.draft.give(given);
            self.play(taken, call);
            let spent = given - self.draft.steps();
            if !is_first {
                left -= spent;
                if self.draft.ran_out() {
                    self.script.truncate(before);
                    self.draft.go_back(&point);
                    self.draft.leave_out(taken);
                    return false;
                }
            }
            is_first &= spent == 0;
            taken += 1;
            true
        };
        let is_taken = calls.iter().map(&mut is_taken).collect();
        self.end = Some(self.draft.whole_view().clone());
        is_taken
    }

    /// Plays a call as the store will, as far as the view knows the store's state.
    fn play(&mut self, number: usize, call: &Call) {
        let began = self.draft.exact();
        let is_whole = call.atomicity == Atomicity::AllOrNothing;
        if is_whole {
            self.draft.mark();
            self.script.push(Line::Mark);
        }
        let mut is_refused = false;
        for (in_call, write) in call.writes.iter().enumerate() {
            let place = Place { call: number, write: in_call, began };
            match self.play_write(place, write) {
                Played::Written(record) => {
                    self.draft.note(&record);
                    self.script.push(Line::Note(record));
                }
                Played::Unchanged => {}
                Played::Refused => is_refused = true,
            }
        }
        if is_whole && is_refused {
            self.draft.roll_back();
            self.script.push(Line::RollBack);
        }
    }

    fn play_write(&mut self, place: Place, Write { key, precondition, change }: &Write) -> Played {
        let next = self.draft.exact().saturating_add(1);
        let mut record = Record {
            key: key.clone(),
            uid: String::new(),
            revision: next,
            create_revision: 0,
            node: None,
            deleted: false,
            body_revision: 0,
            body: Body::default(),
        };
        match change {
            Change::Put { body, uid, node } => {
                if precondition.exists == Some(false) && self.stored(&record).is_some() {
                    return Played::Refused;
                }
                (record.uid, record.node, record.body) = (uid.clone(), node.clone(), body.clone());
                record.body_revision = next;
            }
            Change::SetNode(node) => record.node.clone_from(node),
            Change::Delete => record.deleted = true,
            Change::Bind { node } => {
                let judgement = self.draft.judgement(place.call);
                let is_decided = judgement.is_some_and(|judgement| judgement.holds_at(place, self.draft.exact()));
                if !is_decided && is_pod(&record) {
                    let Some((uid, on)) = self.stored(&record) else { return Played::Refused };
                    match on {
                        _ if precondition.uid.as_ref().is_some_and(|wanted| *wanted != uid) => return Played::Refused,
                        Some(on) if on == *node => return Played::Unchanged,
                        Some(_) => return Played::Refused,
                        None => {}
                    }
                }
                let verdict = self.draft.may_bind(place, &record, node);
                self.script.push(Line::Bind(place, verdict.clone()));
                if verdict.is_err() {
                    return Played::Refused;
                }
                record.node = Some(node.clone());
            }
        }
        Played::Written(record)
    }

    /// A pod's uid and the node that it is on, if there is one. Other kinds are not looked for.
    fn stored(&mut self, record: &Record) -> Option<(String, Option<String>)> {
        let (namespace, name) = (&record.key.namespace, &record.key.name);
        if is_pod(record) { self.draft.whole_view().stored_pod(namespace, name) } else { None }
    }

    /// Calls with a bind that was not judged in the transaction for want of steps.
    pub(super) fn unjudged(&self) -> &BTreeSet<usize> {
        &self.unjudged
    }

    /// `true` if others had written before the transaction began.
    pub(super) fn is_overtaken(&self) -> bool {
        self.is_overtaken
    }

    /// `true` if the transaction followed the script to its end.
    fn was_followed(&self) -> bool {
        self.end.is_some() && self.next == Some(self.script.len())
    }

    /// How many records have to be read for [`Self::into_view`].
    pub(super) fn unread(&self) -> usize {
        if self.was_followed() {
            return 0;
        }
        let is_note = |line: &&Line| matches!(line, Line::Note(_));
        self.draft.unread() + self.followed().iter().filter(is_note).count()
    }

    /// The view as the batch has left it.
    pub(super) fn into_view(mut self) -> View {
        if self.was_followed()
            && let Some(end) = self.end.take()
        {
            return end;
        }
        // The last planned write may have failed without a report.
        self.leave();
        while self.draft.read_next() {}
        self.draft.into_view()
    }

    /// The lines that the transaction has gone by, of which the draft does not know yet.
    fn followed(&self) -> &[Line] {
        self.next.and_then(|next| self.script.get(..next)).unwrap_or_default()
    }

    /// Leaves the script: the draft applies the part that was followed, and continues by itself.
    fn leave(&mut self) {
        let Some(at) = self.next.take() else { return };
        for line in &self.script[..at] {
            match line {
                Line::Mark => self.draft.mark(),
                Line::RollBack => self.draft.roll_back(),
                Line::Note(record) => self.draft.note(record),
                Line::Bind(..) => {}
            }
        }
    }

    /// `true` if the next line is this one; if not, the script is left.
    fn follows(&mut self, is: impl FnOnce(&Line) -> bool) -> bool {
        let Some(at) = self.next else { return false };
        if self.script.get(at).is_some_and(is) {
            self.next = Some(at + 1);
            return true;
        }
        self.leave();
        false
    }
}

impl Judge for Rehearsed {
    fn known(&self) -> u64 {
        self.draft.known()
    }

    fn seen(&self) -> Option<Head> {
        self.draft.seen()
    }

    fn bodies(&self) -> Bodies {
        self.draft.bodies()
    }

    fn begin(&mut self, head: Head, missed: &[Record]) {
        let seen = self.draft.seen_head();
        let is_as_seen = (head.revision, head.epoch) == (seen.revision, seen.epoch) && missed.is_empty();
        self.is_overtaken = !is_as_seen;
        self.next = (is_as_seen && self.end.is_some()).then_some(0);
        self.unjudged.clear();
        self.draft.begin(head, missed);
        self.draft.give(HELD);
    }

    fn may_bind(&mut self, place: Place, record: &Record, node: &str) -> Result<(), String> {
        let at = self.next;
        if self.follows(|line| matches!(line, Line::Bind(planned, _) if *planned == place))
            && let Some(Line::Bind(_, verdict)) = at.and_then(|at| self.script.get(at))
        {
            return verdict.clone();
        }
        let verdict = self.draft.may_bind(place, record, node);
        if self.draft.ran_out() {
            self.unjudged.insert(place.call);
        }
        verdict
    }

    fn note(&mut self, record: &Record) {
        if !self.follows(|line| matches!(line, Line::Note(planned) if is_same(planned, record))) {
            self.draft.note(record);
        }
    }

    fn mark(&mut self) {
        if !self.follows(|line| matches!(line, Line::Mark)) {
            self.draft.mark();
        }
    }

    fn roll_back(&mut self) {
        if !self.follows(|line| matches!(line, Line::RollBack)) {
            self.draft.roll_back();
        }
    }
}

fn is_pod(record: &Record) -> bool {
    kinds::by_key(&record.key.kind).is_some_and(|kind| kind.is(Kind::Pod))
}

/// `true` if the record is as planned. A plan without a body leaves the body unchanged.
fn is_same(planned: &Record, record: &Record) -> bool {
    (planned.revision, planned.deleted) == (record.revision, record.deleted)
        && planned.key == record.key
        && planned.node == record.node
        && (planned.body_revision == 0 || (planned.body == record.body && planned.uid == record.uid))
}
