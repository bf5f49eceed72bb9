//! The judge of a batch: the view as the batch would leave it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use metrics::counter;

use super::{Judgement, View, view::BODIES};
use crate::{
    core::work::{self, Stop},
    store::{Bodies, Head, Judge, Place, Record},
    telemetry,
    wire::reservation,
};

/// A view that applies the writes of others before the batch and the writes of the batch itself; the published view stays as it is until the
/// batch is committed.
///
/// Records are only noted when they come. They are parsed when a bind has to be judged over them or the batch is committed, so that a large
/// import is not parsed while the cluster's counter is held.
pub(super) struct Draft {
    base: View,
    /// Where the cluster stood when `base` was its exact state.
    seen: Head,
    /// The rules that judge the binds, by call.
    judgements: Vec<Judgement>,
    /// All of `noted` up to `read`, laid over the base.
    view: View,
    read: usize,
    noted: Vec<Noted>,
    /// The revision of which the view, once all is read, is the exact state.
    exact: u64,
    mark: Mark,
    /// How much work judging may still take.
    steps: u64,
    /// `true` if a bind was refused for lack of steps since [`Self::give`].
    ran_out: bool,
}

/// A record, and the revision of whose exact state it changes: bodies up to that are known.
struct Noted {
    record: Record,
    complete: u64,
}

/// Where to go back to.
#[derive(Default)]
pub(super) struct Mark {
    view: View,
    read: usize,
    noted: usize,
    exact: u64,
}

impl Draft {
    /// A judge whose view is exactly that of the cluster as it stood at `seen`.
    pub(super) fn new(base: View, seen: Head, judgements: Vec<Judgement>) -> Self {
        let (view, mark) = (base.clone(), Mark::default());
        let (noted, exact, steps) = (Vec::new(), seen.revision, work::UNBOUNDED);
        Self { base, seen, judgements, view, read: 0, noted, exact, mark, steps, ran_out: false }
    }

    /// Gives judging a number of steps of work from now on.
    pub(super) fn give(&mut self, steps: u64) {
        (self.steps, self.ran_out) = (steps, false);
    }

    /// The steps that are left.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// `true` if a bind was refused for lack of steps since they were given.
    pub(super) fn ran_out(&self) -> bool {
        self.ran_out
    }

    /// Where the cluster stood when the draft was begun.
    pub(super) fn seen_head(&self) -> Head {
        self.seen
    }

    /// The revision of which the view, once all is read, is the exact state.
    pub(super) fn exact(&self) -> u64 {
        self.exact
    }

    /// The rules that judge the binds of a call.
    pub(super) fn judgement(&self, call: usize) -> Option<&Judgement> {
        self.judgements.get(call)
    }

    /// Takes a call out: those after it move up by one place.
    pub(super) fn leave_out(&mut self, call: usize) {
        self.judgements.remove(call);
    }

    /// The view with all that was noted.
    pub(super) fn whole_view(&mut self) -> &View {
        while self.read_next() {}
        &self.view
    }

    /// How many records are noted and not read.
    pub(super) fn unread(&self) -> usize {
        self.noted.len() - self.read
    }

    /// The state as it is, to be gone back to.
    pub(super) fn here(&self) -> Mark {
        Mark { view: self.view.clone(), read: self.read, noted: self.noted.len(), exact: self.exact }
    }

    /// Goes back to a state that this one came from.
    pub(super) fn go_back(&mut self, to: &Mark) {
        self.noted.truncate(to.noted);
        self.exact = to.exact;
        if self.read > to.read {
            self.read = to.read;
            self.view = to.view.clone();
        }
    }

    /// Applies the next noted record that is not parsed yet; `false` if there was none.
    pub(super) fn read_next(&mut self) -> bool {
        let Some(Noted { record, complete }) = self.noted.get(self.read) else { return false };
        self.view.apply(record, *complete);
        self.read += 1;
        true
    }

    /// The view as far as it was read.
    pub(super) fn into_view(self) -> View {
        self.view
    }
}

impl Judge for Draft {
    fn known(&self) -> u64 {
        self.seen.revision
    }

    fn seen(&self) -> Option<Head> {
        Some(self.seen)
    }

    fn bodies(&self) -> Bodies {
        *BODIES
    }

    fn begin(&mut self, head: Head, missed: &[Record]) {
        self.view = self.base.clone();
        self.read = 0;
        // Of several changes of one object only the last is given: the states in between are not exact.
        self.noted =
            missed.iter().map(|record| Noted { record: record.clone(), complete: self.seen.revision }).collect();
        self.exact = head.revision;
    }

    fn may_bind(&mut self, place: Place, record: &Record, node: &str) -> Result<(), String> {
        if self.judgements.get(place.call).is_some_and(|judgement| judgement.holds_at(place, self.exact)) {
            return Ok(());
        }
        while self.read_next() {}
        let judgement = self.judgements.get(place.call);
        let profile = judgement.and_then(|judgement| judgement.profile.as_ref());
        let (view, steps, name) = (&self.view, &mut self.steps, &record.key.name);
        let profile = profile.unwrap_or_else(|| view.profile_of(&record.key.namespace, name));
        let ask = || {
            // A reservation of a node binds no volume.
            if &*record.key.kind == reservation::KIND {
                return view.may_bind(&record.key.namespace, name, node, profile);
            }
            let volumes = judgement.map_or(&[][..], |judgement| judgement.volumes_at(place));
            view.may_bind_with(&record.key.namespace, name, node, profile, volumes)
        };
        match catch_unwind(AssertUnwindSafe(|| work::run(&Stop::default(), steps, ask))) {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) => {
                self.ran_out = true;
                counter!(telemetry::BINDS_UNJUDGED, "reason" => telemetry::TOO_LONG).increment(1);
                Err(format!(
                    "pod {name} was not judged: whether it fits takes too long to tell in this cluster; try again, or \
                     give it fewer or narrower rules about other pods and nodes"
                ))
            }
            Err(panic) => {
                let why = panic.downcast_ref::<&str>().map(ToString::to_string);
                let why = why.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                tracing::error!(key = ?record.key, node, why, "judging a bind panicked");
                counter!(telemetry::BINDS_UNJUDGED, "reason" => telemetry::PANICKED).increment(1);
                Err(format!("pod {name} was not judged: an internal error occurred, see the server's log"))
            }
        }
    }

    fn note(&mut self, record: &Record) {
        self.noted.push(Noted { record: record.clone(), complete: self.exact });
        self.exact = record.revision;
    }

    fn mark(&mut self) {
        self.mark = self.here();
    }

    fn roll_back(&mut self) {
        let mark = std::mem::take(&mut self.mark);
        self.go_back(&mark);
        self.mark = mark;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Key;

    fn record(kind: &str, name: &str, revision: u64, node: Option<&str>, body: &str) -> Record {
        Record {
            key: Key::new(kind, if kind == "pods" { "shop" } else { "" }, name),
            uid: name.into(),
            revision,
            create_revision: revision,
            node: node.map(str::to_owned),
            deleted: false,
            body_revision: if body.is_empty() { 1 } else { revision },
            body: body.to_owned().into(),
        }
    }

    fn pod(name: &str, revision: u64, node: Option<&str>) -> Record {
        let body = format!(
            r#"{{"metadata":{{"name":"{name}","namespace":"shop"}},"spec":{{"containers":[{{"resources":{{"requests":{{"cpu":"1"}}}}}}]}}}}"#
        );
        record("pods", name, revision, node, &body)
    }

    fn node(name: &str, revision: u64) -> Record {
        let body = format!(r#"{{"metadata":{{"name":"{name}"}},"status":{{"allocatable":{{"cpu":"2","pods":"9"}}}}}}"#);
        record("nodes", name, revision, None, &body)
    }

    /// The first write of the first call.
    const FIRST: Place = Place { call: 0, write: 0, began: 4 };

    fn head(revision: u64) -> Head {
        Head { revision, ..Head::default() }
    }

    fn bound(name: &str, revision: u64) -> Record {
        record("pods", name, revision, Some("n"), "")
    }

    #[test]
    fn binds_decided_on_the_current_state_are_not_judged_again() {
        let decided = Judgement { decided_at: Some(4), ..Judgement::default() };
        let mut draft = Draft::new(View::default(), Head::default(), vec![Judgement::default(), decided]);
        let missed = [node("n", 1), pod("a", 2, None), pod("b", 3, None), pod("c", 4, None)];
        let at = |write| Place { call: 1, write, began: 4 };
        draft.begin(head(4), &missed);
        assert_eq!(draft.may_bind(at(0), &missed[1], "no node"), Ok(()), "whoever decided knows");
        draft.note(&bound("a", 5));
        assert_eq!(draft.may_bind(at(1), &missed[2], "no node"), Ok(()));
        assert!(draft.may_bind(at(2), &missed[3], "no node").is_err(), "the second write took no revision");
        assert!(draft.may_bind(FIRST, &missed[2], "no node").is_err(), "another call");
        draft.begin(head(5), &missed);
        let late = |write| Place { call: 1, write, began: 5 };
        assert!(draft.may_bind(late(0), &missed[1], "no node").is_err(), "something was written meanwhile");
        assert!(draft.may_bind(late(1), &missed[1], "no node").is_err(), "and the first write was refused");
    }

    #[test]
    fn each_attempt_begins_anew_and_marks_are_gone_back_to() {
        let mut draft = Draft::new(View::default(), Head::default(), vec![Judgement::default()]);
        let missed = [node("n", 1), pod("a", 2, None), pod("b", 3, None), pod("c", 4, None)];
        draft.begin(head(4), &missed);
        draft.note(&bound("a", 5));
        draft.note(&bound("b", 6));
        assert!(draft.may_bind(FIRST, &missed[3], "n").is_err(), "the first attempt, which is not committed");

        draft.begin(head(4), &missed);
        assert_eq!(draft.may_bind(FIRST, &missed[1], "n"), Ok(()));
        draft.note(&bound("a", 5));
        draft.mark();
        assert_eq!(draft.may_bind(FIRST, &missed[2], "n"), Ok(()));
        draft.note(&bound("b", 6));
        assert!(draft.may_bind(FIRST, &missed[3], "n").is_err());
        draft.roll_back();
        assert_eq!(draft.may_bind(FIRST, &missed[3], "n"), Ok(()), "b is not there after all");
        draft.note(&bound("c", 6));
        assert!(draft.may_bind(FIRST, &missed[2], "n").is_err());
        draft.mark();
        draft.note(&pod("d", 7, None));
        draft.roll_back();
        while draft.read_next() {}
        let view = draft.into_view();
        let on_node: Vec<_> = view.snapshot.pods().filter(|p| p.is_assigned()).map(|p| p.name.to_string()).collect();
        assert_eq!((view.snapshot.pod_count(), on_node), (3, vec!["a".to_owned(), "c".to_owned()]));
    }
}
