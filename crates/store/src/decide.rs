//! Decides the effect of a batch of writes, given the current rows. Pure; both engines call it while they hold the cluster's lock.

use std::collections::HashMap;

use super::{Atomicity, Body, Call, Change, Commit, Judge, Key, Outcome, Place, Precondition, Record, Refusal, Write};

/// The effect of a batch.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// The counter after the batch.
    pub revision: u64,
    /// One for each call, in their order.
    pub commits: Vec<Commit>,
    /// The rows to write, ascending by revision, each key once. Empty when the batch changes nothing.
    pub rows: Vec<NewRow>,
}

/// A row after the batch.
#[derive(Debug, PartialEq, Eq)]
pub struct NewRow {
    /// The object or tombstone.
    pub record: Record,
    /// The revision of the row it replaces; `None` inserts.
    pub replaces: Option<u64>,
    /// `false`: of the stored row only the revision and the node change.
    pub body_changed: bool,
}

/// The state of one key while the batch is being gone through.
#[derive(Clone, Default)]
struct Slot {
    /// The revision of the row in the database.
    stored: Option<u64>,
    /// The row after the writes so far.
    state: Option<Record>,
    written: bool,
    body_changed: bool,
}

/// The keys of a batch, each once, and whether it is put: only then is the stored body needed, to compare it.
pub fn keys(calls: &[Call]) -> Vec<(&Key, bool)> {
    let writes = calls.iter().flat_map(|call| &call.writes);
    let mut keys: Vec<_> = writes.map(|write| (&write.key, matches!(write.change, Change::Put { .. }))).collect();
    keys.sort_unstable();
    keys.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        kept.1 |= same && next.1;
        same
    });
    keys
}

/// How many writes a batch has.
pub fn count(calls: &[Call]) -> usize {
    calls.iter().map(|call| call.writes.len()).sum()
}

/// Carries out the calls and their writes in order, each seeing the writes before it. `current` has the existing rows (including tombstones) of
/// their keys, with the bodies of those that are put; `head` is the counter before the batch. The judge has begun.
pub fn decide(head: u64, current: Vec<Record>, calls: &[Call], judge: &mut dyn Judge) -> Plan {
    let mut slots: HashMap<Key, Slot> = current
        .into_iter()
        .map(|row| (row.key.clone(), Slot { stored: Some(row.revision), state: Some(row), ..Slot::default() }))
        .collect();
    let mut revision = head;
    let mut commits = Vec::with_capacity(calls.len());
    for (at, call) in calls.iter().enumerate() {
        let before = (call.atomicity == Atomicity::AllOrNothing).then(|| {
            judge.mark();
            let slot = |key: &Key| (key.clone(), slots.get(key).cloned().unwrap_or_default());
            (revision, keys(std::slice::from_ref(call)).into_iter().map(|(key, _)| slot(key)).collect::<Vec<_>>())
        });
        let mut outcomes = Vec::with_capacity(call.writes.len());
        let began = revision;
        for (in_call, write) in call.writes.iter().enumerate() {
            let place = Place { call: at, write: in_call, began };
            let slot = slots.entry(write.key.clone()).or_default();
            let next = revision.saturating_add(1);
            let outcome = apply(slot, write, next, |row, node| judge.may_bind(place, row, node));
            if matches!(outcome, Outcome::Written { .. } | Outcome::Deleted { .. }) {
                revision = next;
                slot.state.iter().for_each(|row| judge.note(row));
            }
            outcomes.push(outcome);
        }
        if let Some((revision_before, slots_before)) = before
            && outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_)))
        {
            for outcome in &mut outcomes {
                if !matches!(outcome, Outcome::Refused(_)) {
                    *outcome = Outcome::Refused(Refusal::NotAttempted);
                }
            }
            revision = revision_before;
            slots.extend(slots_before);
            judge.roll_back();
        }
        commits.push(Commit { revision, outcomes });
    }
    for commit in &mut commits {
        commit.revision = revision;
    }
    let mut rows: Vec<NewRow> = slots
        .into_values()
        .filter(|slot| slot.written)
        .filter_map(|Slot { stored, state, body_changed, .. }| {
            state.map(|record| NewRow { record, replaces: stored, body_changed })
        })
        .collect();
    rows.sort_unstable_by_key(|row| row.record.revision);
    Plan { revision, commits, rows }
}

/// Carries one write out on its slot, under revision `next` if it has an effect.
fn apply(
    slot: &mut Slot,
    write: &Write,
    next: u64,
    may_bind: impl FnOnce(&Record, &str) -> Result<(), String>,
) -> Outcome {
    let live = slot.state.as_mut().filter(|row| !row.deleted);
    if let Some(refusal) = refuse(live.as_deref(), &write.precondition) {
        return Outcome::Refused(refusal);
    }
    let outcome = match (&write.change, live) {
        (Change::Put { body, uid, node }, live) => {
            let before = live.map(|row| &*row).filter(|row| row.uid == *uid);
            if let Some(row) = before
                && row.body == *body
                && row.node == *node
            {
                return Outcome::Unchanged { revision: row.revision };
            }
            let create_revision = before.map_or(next, |row| row.create_revision);
            let body_stays = before.filter(|row| row.body == *body).map(|row| row.body_revision);
            slot.body_changed |= body_stays.is_none();
            slot.state = Some(Record {
                key: write.key.clone(),
                uid: uid.clone(),
                revision: next,
                create_revision,
                node: node.clone(),
                deleted: false,
                body_revision: body_stays.unwrap_or(next),
                body: body.clone(),
            });
            Outcome::Written { revision: next, created: create_revision == next }
        }
        (Change::SetNode(_) | Change::Bind { .. } | Change::Delete, None) => {
            return Outcome::Refused(Refusal::NotFound);
        }
        (Change::SetNode(node), Some(row)) => {
            if row.node == *node {
                return Outcome::Unchanged { revision: row.revision };
            }
            row.node.clone_from(node);
            row.revision = next;
            Outcome::Written { revision: next, created: false }
        }
        (Change::Bind { node }, Some(row)) => {
            match &row.node {
                Some(bound) if bound == node => return Outcome::Unchanged { revision: row.revision },
                Some(bound) => return Outcome::Refused(Refusal::AlreadyBound { node: bound.clone() }),
                None => {}
            }
            if let Err(why) = may_bind(row, node) {
                return Outcome::Refused(Refusal::Rejected(why));
            }
            row.node = Some(node.clone());
            row.revision = next;
            Outcome::Written { revision: next, created: false }
        }
        (Change::Delete, Some(row)) => {
            row.deleted = true;
            row.revision = next;
            row.body_revision = next;
            row.body = Body::default();
            slot.body_changed = true;
            Outcome::Deleted { revision: next }
        }
    };
    slot.written = true;
    outcome
}

/// The refusal if the precondition fails on the live object. A condition on revision or uid needs an object to compare with.
fn refuse(live: Option<&Record>, precondition: &Precondition) -> Option<Refusal> {
    let Precondition { exists, revision, uid } = precondition;
    let Some(row) = live else {
        let wanted = *exists == Some(true) || revision.is_some() || uid.is_some();
        return wanted.then_some(Refusal::NotFound);
    };
    if *exists == Some(false) {
        return Some(Refusal::AlreadyExists { current: row.revision });
    }
    if uid.as_ref().is_some_and(|uid| *uid != row.uid) {
        return Some(Refusal::UidMismatch { current: row.uid.clone() });
    }
    if revision.is_some_and(|revision| revision != row.revision) {
        return Some(Refusal::Conflict { current: row.revision });
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Unjudged;

    fn key(name: &str) -> Key {
        Key::new("pods", "default", name)
    }

    fn put(name: &str, body: &str, uid: &str) -> Write {
        let change = Change::Put { body: body.to_owned().into(), uid: uid.into(), node: None };
        Write { key: key(name), precondition: Precondition::default(), change }
    }

    fn change(name: &str, change: Change) -> Write {
        Write { key: key(name), precondition: Precondition::default(), change }
    }

    fn row(name: &str, revision: u64, deleted: bool) -> Record {
        let body = if deleted { Body::default() } else { "1".into() };
        Record {
            key: key(name),
            uid: "u".into(),
            revision,
            create_revision: 1,
            node: None,
            deleted,
            body_revision: revision,
            body,
        }
    }

    /// One call's batch.
    fn decide_one(head: u64, current: Vec<Record>, writes: &[Write], atomicity: Atomicity) -> (Plan, Vec<Outcome>) {
        let mut plan = decide(head, current, &[Call { writes: writes.to_vec(), atomicity }], &mut Unjudged);
        let outcomes = plan.commits.remove(0).outcomes;
        (plan, outcomes)
    }

    #[test]
    fn keys_are_asked_for_once() {
        let writes = [change("b", Change::Delete), put("b", "2", "u"), put("a", "1", "u"), change("c", Change::Delete)];
        let call = Call { writes: writes.to_vec(), atomicity: Atomicity::Each };
        assert_eq!(keys(&[call]), [(&key("a"), true), (&key("b"), true), (&key("c"), false)]);
    }

    #[test]
    fn rows_name_the_replaced_revision_and_if_the_body_changed() {
        let current = vec![row("a", 3, false), row("b", 4, true), row("c", 5, false)];
        let writes = [
            put("new", "1", "u"),
            change("a", Change::SetNode(Some("n".into()))),
            put("b", "1", "u"),
            change("c", Change::Delete),
        ];
        let (plan, _) = decide_one(5, current, &writes, Atomicity::Each);
        let rows: Vec<_> = plan.rows.iter().map(|r| (&*r.record.key.name, r.replaces, r.body_changed)).collect();
        assert_eq!(rows, [("new", None, true), ("a", Some(3), false), ("b", Some(4), true), ("c", Some(5), true)]);
        assert_eq!(plan.revision, 9);
    }

    #[test]
    fn an_object_made_and_deleted_in_one_batch_leaves_a_tombstone() {
        let (plan, _) = decide_one(0, vec![], &[put("a", "1", "u"), change("a", Change::Delete)], Atomicity::Each);
        let NewRow { record, replaces, .. } = &plan.rows[0];
        assert_eq!((record.deleted, record.revision, record.create_revision, *replaces), (true, 2, 1, None));
    }

    #[test]
    fn the_uid_is_compared_before_the_revision() {
        let precondition = Precondition { exists: None, revision: Some(1), uid: Some("x".into()) };
        let write = Write { precondition, ..change("a", Change::Delete) };
        let (_, outcomes) = decide_one(3, vec![row("a", 3, false)], &[write], Atomicity::Each);
        assert_eq!(outcomes, [Outcome::Refused(Refusal::UidMismatch { current: "u".into() })]);
    }

    fn any_write() -> impl Strategy<Value = Write> {
        let name = prop::sample::select(vec!["a", "b", "c"]);
        let few = || prop::sample::select(vec!["1", "2"]);
        let node = || prop::option::of(few().prop_map(str::to_owned));
        let change = prop_oneof![
            4 => (few(), few(), node()).prop_map(|(body, uid, node)| Change::Put {
                body: body.into(),
                uid: uid.into(),
                node,
            }),
            1 => node().prop_map(Change::SetNode),
            1 => few().prop_map(|node| Change::Bind { node: node.into() }),
            2 => Just(Change::Delete),
        ];
        let precondition = (
            prop::option::weighted(0.2, any::<bool>()),
            prop::option::weighted(0.2, 0_u64..12),
            prop::option::weighted(0.2, few().prop_map(str::to_owned)),
        )
            .prop_map(|(exists, revision, uid)| Precondition { exists, revision, uid });
        (name, precondition, change).prop_map(|(name, precondition, change)| Write {
            key: key(name),
            precondition,
            change,
        })
    }

    /// A database of one cluster, as simple as can be.
    #[derive(Debug, Clone, Default, PartialEq)]
    struct Model {
        head: u64,
        rows: HashMap<Key, Record>,
    }

    impl Model {
        fn commit(&mut self, writes: &[Write], atomicity: Atomicity) -> Vec<Outcome> {
            let call = Call { writes: writes.to_vec(), atomicity };
            let current = keys(std::slice::from_ref(&call))
                .into_iter()
                .filter_map(|(key, _)| self.rows.get(key).cloned())
                .collect();
            let (plan, outcomes) = decide_one(self.head, current, writes, atomicity);
            for NewRow { mut record, replaces, body_changed } in plan.rows {
                let before = self.rows.get(&record.key);
                assert_eq!(before.map(|row| row.revision), replaces, "the row is replaced as it was read");
                if let Some(before) = before.filter(|_| !body_changed) {
                    let Record { revision, node, .. } = record;
                    record = Record { revision, node, ..before.clone() };
                }
                assert!(record.revision > self.head && record.revision <= plan.revision);
                assert!(record.create_revision <= record.revision);
                self.rows.insert(record.key.clone(), record);
            }
            self.head = plan.revision;
            outcomes
        }
    }

    proptest! {
        /// A batch equals its writes one after another; under all or nothing it equals that or does nothing.
        #[test]
        fn a_batch_is_its_writes_in_order(
            history in prop::collection::vec(any_write(), 0..8),
            batch in prop::collection::vec(any_write(), 0..8),
        ) {
            let mut start = Model::default();
            start.commit(&history, Atomicity::Each);
            let mut singly = start.clone();
            let expected: Vec<Outcome> =
                batch.iter().flat_map(|write| singly.commit(std::slice::from_ref(write), Atomicity::Each)).collect();
            let mut together = start.clone();
            prop_assert_eq!(&together.commit(&batch, Atomicity::Each), &expected);
            prop_assert_eq!(&together, &singly);

            let mut whole = start.clone();
            let outcomes = whole.commit(&batch, Atomicity::AllOrNothing);
            if expected.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))) {
                prop_assert_eq!(&whole, &start);
                prop_assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Refused(_))));
            } else {
                prop_assert_eq!(&whole, &singly);
                prop_assert_eq!(&outcomes, &expected);
            }
        }

        /// A second time, every accepted put in a row changes nothing.
        #[test]
        fn repetition_changes_nothing(body in "[12]", uid in "[12]") {
            let mut model = Model::default();
            model.commit(&[put("a", &body, &uid)], Atomicity::Each);
            let once = model.clone();
            prop_assert_eq!(model.commit(&[put("a", &body, &uid)], Atomicity::Each), [Outcome::Unchanged { revision: 1 }]);
            prop_assert_eq!(model, once);
        }
    }
}
