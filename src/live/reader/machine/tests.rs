//! Transitions of the machine, by plain calls: a script of replies, and the effects that it leads to. The feed has seven nodes, in pages of three.

use uuid::Uuid;

use super::{Applied, Effect, Event, Machine, State};
use crate::{
    live::View,
    store::{Changes, Cursor, Head, Key, Record, StoreError},
};

const NODES: u64 = 7;
const PAGE: usize = 3;

/// A reply to a read or to the beginning of an epoch.
#[derive(Clone, Copy)]
enum Reply {
    /// The page that was asked for, or the epoch.
    Given,
    Cut,
    Compacted,
    Lost,
    /// The thread that applies or parses pages panics.
    Panic,
}
use Reply::{Compacted, Cut, Given, Lost, Panic};

impl Reply {
    fn to<T>(self, given: impl FnOnce() -> T) -> Result<T, StoreError> {
        match self {
            Given | Panic => Ok(given()),
            Cut => Err(StoreError::Unavailable("cut".into())),
            Compacted => Err(StoreError::Compacted { after: 3, compact_revision: 5 }),
            Lost => Err(StoreError::HistoryLost { revision: 2, epoch: 0 }),
        }
    }
}

fn head() -> Head {
    Head { revision: NODES, compact_revision: 0, epoch: 0, token: Uuid::from_u128(7) }
}

fn record(revision: u64) -> Record {
    let name = format!("n{revision}");
    Record {
        key: Key::new("nodes", "", &*name),
        uid: name.clone(),
        revision,
        create_revision: revision,
        node: None,
        deleted: false,
        body_revision: revision,
        body: format!(r#"{{"metadata":{{"name":"{name}"}}}}"#).into(),
    }
}

fn page(at: &Cursor) -> Changes {
    at.page(head(), (at.after + 1..=NODES).take(PAGE).map(record).collect(), PAGE)
}

/// Carries effects out with the replies of a script, until the machine is done or the script is over: its task was dropped then.
fn run(machine: &mut Machine, script: &[Reply]) -> Vec<String> {
    let (mut event, mut trace, mut script) = (Event::Begin, Vec::new(), script.iter());
    loop {
        let effect = machine.step(event);
        trace.push(told(&effect));
        let next = if let Effect::Finish(_) | Effect::Done(_) = effect { Some(&Given) } else { script.next() };
        let Some(reply) = next else { return trace };
        event = match effect {
            Effect::Read { at, .. } => Event::Page(reply.to(|| page(&at))),
            Effect::BeginEpoch(_) => Event::EpochBegun(reply.to(|| ())),
            Effect::Turn { .. } if matches!(reply, Panic) => Event::Broken("a panic".into()),
            Effect::Turn { mut applied, before, page: unparsed, following } => {
                applied.apply_all(before);
                Event::Turned { applied, pending: unparsed.parse(), following: reply.to(|| page(&following)) }
            }
            Effect::Finish(last) => Event::Finished(last.apply()),
            Effect::Done(_) => return trace,
        };
    }
}

fn told(effect: &Effect) -> String {
    match effect {
        Effect::Read { at, restart: None } => format!("read behind {}", at.after),
        Effect::Read { at, restart: Some(why) } => format!("read behind {}: {why}", at.after),
        Effect::BeginEpoch(seen) => format!("begin an epoch after {}", seen.revision),
        Effect::Turn { before, page, following, .. } => {
            let before = before.as_ref().map_or(0, |before| before.page.len());
            format!("apply {before}, parse {}, read behind {}", page.records.len(), following.after)
        }
        Effect::Finish(last) => format!("finish with {}", last.len()),
        Effect::Done(Ok(())) => "done".into(),
        Effect::Done(Err(StoreError::Unavailable(why) | StoreError::Internal(why))) => format!("error: {why}"),
        Effect::Done(Err(error)) => format!("another error: {error}"),
    }
}

/// A machine that has gone by these scripts, each a task of its own.
fn after(scripts: &[&[Reply]]) -> Machine {
    let mut machine = Machine::new();
    for script in scripts {
        run(&mut machine, script);
    }
    machine
}

fn nodes(machine: &Machine) -> usize {
    let count = |applied: &Applied| applied.view.snapshot.node_count();
    match &machine.state {
        State::Reading { applied, .. }
        | State::BeginningEpoch(applied)
        | State::Partway(applied)
        | State::AtHead(applied, _) => count(applied),
        State::Starting | State::Turning { .. } | State::Finishing => 0,
    }
}

/// After a script: the effects, the state, and how many nodes are applied in it.
#[test]
fn scripts_lead_to_these_effects_and_states() {
    let (first, second) = ("apply 0, parse 3, read behind 3", "apply 3, parse 3, read behind 6");
    let again = "read behind 0: compacted";
    let cases: &[(&[Reply], &[&str], &str, usize)] = &[
        (&[], &["read behind 0"], "Reading", 0),
        (&[Given], &["read behind 0", first], "Turning", 0),
        (&[Given, Given], &["read behind 0", first, second], "Turning", 0),
        (&[Given, Given, Given], &["read behind 0", first, second, "finish with 4", "done"], "AtHead", 7),
        (&[Cut], &["read behind 0", "error: cut"], "Starting", 0),
        (&[Given, Cut], &["read behind 0", first, "error: cut"], "Partway", 3),
        (&[Given, Given, Cut], &["read behind 0", first, second, "error: cut"], "Partway", 6),
        (&[Given, Panic], &["read behind 0", first, "error: a page of changes: a panic"], "Starting", 0),
        (&[Compacted], &["read behind 0", again], "Reading", 0),
        (&[Given, Compacted], &["read behind 0", first, again], "Reading", 0),
        (&[Given, Given, Compacted, Given], &["read behind 0", first, second, again, first], "Turning", 0),
        (&[Lost], &["read behind 0", "read behind 0: history was lost"], "Reading", 0),
        (&[Given, Lost], &["read behind 0", first, "begin an epoch after 7"], "BeginningEpoch", 0),
        (
            &[Given, Lost, Given],
            &["read behind 0", first, "begin an epoch after 7", "read behind 0: history was lost"],
            "Reading",
            0,
        ),
        (
            &[Given, Given, Lost, Cut],
            &["read behind 0", first, second, "begin an epoch after 7", "error: cut"],
            "Partway",
            3,
        ),
    ];
    for (script, expected, state, count) in cases {
        let mut machine = Machine::new();
        let trace = run(&mut machine, script);
        let trace: Vec<&str> = trace.iter().map(String::as_str).collect();
        assert_eq!((&trace[..], machine.state.name(), nodes(&machine)), (&expected[..], *state, *count));
    }
}

/// After a task that ended in any state, the next one reads behind what is applied, and reaches the same view.
#[test]
fn a_dropped_task_is_followed_by_a_read_behind_what_is_applied() {
    const ALL: &[Reply] = &[Given, Given, Given];
    let cases: &[(&[&[Reply]], &str, u64)] = &[
        (&[&[]], "Reading", 0),
        (&[&[Given]], "Turning", 0),
        (&[&[Given, Given]], "Turning", 0),
        (&[&[Given, Cut]], "Partway", 3),
        (&[&[Given, Cut], &[]], "Reading", 3),
        (&[&[Given, Given, Lost]], "BeginningEpoch", 3),
        (&[ALL], "AtHead", 7),
        (&[ALL, &[]], "Reading", 7),
        (&[ALL, &[Cut]], "AtHead", 7),
    ];
    for (scripts, state, expected) in cases {
        let mut machine = after(scripts);
        assert_eq!(machine.state.name(), *state);
        let Effect::Read { at, restart: None } = machine.step(Event::Begin) else { panic!("{state}: it reads") };
        assert_eq!(at.after, *expected, "{state}");
        let seen = machine.seen;
        assert_eq!(at.seen, seen, "{state}: the head that was seen last is told");
        run(&mut machine, ALL);
        assert_eq!((machine.at_head().map(|(_, head)| head), nodes(&machine)), (Some(head()), 7), "{state}");
    }
}

#[test]
fn a_task_dropped_at_the_last_page_is_followed_by_a_read_from_the_beginning() {
    let mut machine = after(&[&[Given, Given, Cut]]);
    let Effect::Read { at, .. } = machine.step(Event::Begin) else { panic!("it reads") };
    assert!(matches!(machine.step(Event::Page(Ok(page(&at)))), Effect::Finish(_)));
    let Effect::Read { at, .. } = machine.step(Event::Begin) else { panic!("it reads") };
    assert_eq!((at.after, at.seen), (0, Some(head())));
}

#[test]
fn a_view_is_shown_at_the_head_only() {
    for (script, is_shown) in [(&[][..], false), (&[Given, Cut], false), (&[Given, Given, Given], true)] {
        assert_eq!(after(&[script]).at_head().is_some(), is_shown);
    }
    let machine = after(&[&[Given, Given, Given]]);
    let (view, at) = machine.at_head().expect("it is at the head");
    assert_eq!((view.snapshot.revision, at), (NODES, head()));
}

#[test]
fn a_commit_moves_view_and_cursor_to_its_head() {
    let mut machine = after(&[&[Given, Given, Given]]);
    let later = Head { revision: 9, ..head() };
    machine.advance(View::default(), later);
    assert_eq!(machine.at_head().map(|(view, head)| (view.snapshot.revision, head)), Some((9, later)));
    let Effect::Read { at, .. } = machine.step(Event::Begin) else { panic!("it reads") };
    assert_eq!((at.after, at.complete, at.seen), (9, 9, Some(later)));
}

#[test]
fn an_event_out_of_place_is_an_error_and_changes_nothing() {
    let mut machine = after(&[&[Given, Given, Given]]);
    let Effect::Done(Err(StoreError::Internal(why))) = machine.step(Event::EpochBegun(Ok(()))) else {
        panic!("it is an error")
    };
    assert_eq!(why, "the reader of the feed got EpochBegun while it was AtHead");
    assert_eq!((machine.state.name(), nodes(&machine)), ("AtHead", 7));
}
