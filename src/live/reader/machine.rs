//! The reading of a feed as a state machine without I/O: [`Machine::step`] takes an [`Event`] and returns the one [`Effect`] to carry out next.
//!
//! ```text
//! Starting ─┐
//! Partway  ─┼─ Begin ─▶ Reading
//! AtHead   ─┘
//!
//! Reading, Turning ─┬─ a page, with more behind it ─▶ Turning
//!                   ├─ the last page ─▶ Finishing ─▶ AtHead
//!                   ├─ compacted ─▶ Reading, from the beginning
//!                   ├─ history lost ─▶ BeginningEpoch ─▶ Reading, from the beginning
//!                   └─ another error ─▶ Starting, Partway or AtHead: as far as pages were applied
//! ```
//!
//! A cursor moves when its page has been applied: view and cursor are one value, [`Applied`]. While a page is being applied the machine does not
//! have it. If it does not come back, the machine starts again from nothing.
//!
//! Model: `State` of kube-rs `kube-runtime/src/watcher.rs`.

use crate::{
    live::{View, view::BODIES, view::Page},
    store::{Changes, Cursor, Head, Record, StoreError},
};

const HISTORY_LOST: &str = "history was lost";

/// A view, and how much of the feed it holds.
#[derive(Debug)]
pub(super) struct Applied {
    view: View,
    cursor: Cursor,
}

impl Applied {
    /// Takes in a page.
    pub(super) fn apply(&mut self, Pending { page, next }: Pending) {
        self.view.apply_all(page);
        self.cursor = next;
        if let Some(head) = self.head() {
            self.view.snapshot.revision = head.revision;
        }
    }

    pub(super) fn apply_all(&mut self, pages: impl IntoIterator<Item = Pending>) {
        for page in pages {
            self.apply(page);
        }
    }

    /// Where the cluster stood when this was its exact state; `None` between two pages.
    fn head(&self) -> Option<Head> {
        let Cursor { after, complete, seen, .. } = self.cursor;
        seen.filter(|_| after == complete)
    }
}

impl Default for Applied {
    fn default() -> Self {
        Self { view: View::default(), cursor: Cursor::reading(*BODIES) }
    }
}

/// A page that was read and parsed and is not applied yet.
#[derive(Debug)]
pub(super) struct Pending {
    page: Page,
    next: Cursor,
}

/// A page that was read and not parsed yet.
#[derive(Debug)]
pub(super) struct Unparsed {
    records: Vec<Record>,
    /// The last revision of which the reader's state was exact when it asked for the page.
    known: u64,
    next: Cursor,
}

impl Unparsed {
    pub(super) fn parse(self) -> Pending {
        Pending { page: Page::parse(self.records, self.known), next: self.next }
    }
}

#[derive(Debug)]
enum State {
    /// Nothing is read, or what was read is void.
    Starting,
    /// The first page of some is being read, from here.
    Reading { applied: Box<Applied>, at: Cursor },
    /// A page is being parsed, the one before it applied, and the one behind it read.
    Turning { next: Cursor },
    /// The last page is being applied.
    Finishing,
    /// History was lost: the view is of another one, and an epoch is being begun.
    BeginningEpoch(Box<Applied>),
    /// Some pages are applied: the view equals the state at no revision.
    Partway(Box<Applied>),
    /// All is applied: the view is the state at a head.
    AtHead(Box<Applied>, Head),
}

/// Something that has happened.
#[derive(Debug)]
pub(super) enum Event {
    /// The view is to reach the head. Whatever was under way before is not: its reply will not come.
    Begin,
    /// The reply to [`Effect::Read`].
    Page(Result<Changes, StoreError>),
    /// The reply to [`Effect::BeginEpoch`].
    EpochBegun(Result<(), StoreError>),
    /// [`Effect::Turn`] is done.
    Turned { applied: Box<Applied>, pending: Pending, following: Result<Changes, StoreError> },
    /// [`Effect::Finish`] is done.
    Finished(Box<Applied>),
    /// [`Effect::Turn`] or [`Effect::Finish`] has failed, and what it had is lost.
    Broken(String),
}

/// Something to do. All but `Done` end with an event.
#[derive(Debug)]
pub(super) enum Effect {
    /// Read a page. With the reason if it is the first one again.
    Read { at: Cursor, restart: Option<&'static str> },
    /// Begin an epoch; this head was seen.
    BeginEpoch(Head),
    /// Do three things at once: apply the page `before`, parse the next one, and read the one behind it.
    Turn { applied: Box<Applied>, before: Option<Pending>, page: Unparsed, following: Cursor },
    /// Apply the page `before`, then parse and apply the last one.
    Finish(Last),
    /// Stop: the view has reached the head, or an error came in between.
    Done(Result<(), StoreError>),
}

/// The end of a feed.
#[derive(Debug)]
pub(super) struct Last {
    applied: Box<Applied>,
    before: Option<Pending>,
    page: Unparsed,
}

impl Last {
    /// How many records it has.
    pub(super) fn len(&self) -> usize {
        self.page.records.len() + self.before.as_ref().map_or(0, |before| before.page.len())
    }

    pub(super) fn apply(self) -> Box<Applied> {
        let Self { mut applied, before, page } = self;
        applied.apply_all(before);
        applied.apply(page.parse());
        applied
    }
}

/// The reader of one cluster's feed.
#[derive(Debug)]
pub(super) struct Machine {
    state: State,
    /// Where the cluster stood when it was last read, whether or not that was applied.
    seen: Option<Head>,
}

impl Machine {
    /// A machine that has read nothing yet.
    pub(super) fn new() -> Self {
        Self { state: State::Starting, seen: None }
    }

    /// The view, and where the cluster stood when it was its exact state; `None` while it is not.
    pub(super) fn at_head(&self) -> Option<(&View, Head)> {
        if let State::AtHead(applied, head) = &self.state { Some((&applied.view, *head)) } else { None }
    }

    /// Takes over a view that equals the state of `head`, from a commit.
    pub(super) fn advance(&mut self, mut view: View, head: Head) {
        view.snapshot.revision = head.revision;
        let before = match &self.state {
            State::AtHead(applied, _) => applied.cursor,
            _ => Applied::default().cursor,
        };
        let cursor = Cursor { after: head.revision, complete: head.revision, seen: Some(head), ..before };
        self.seen = Some(head);
        self.state = State::AtHead(Box::new(Applied { view, cursor }), head);
    }

    /// Takes what has happened; returns what to do next.
    pub(super) fn step(&mut self, event: Event) -> Effect {
        match (std::mem::replace(&mut self.state, State::Starting), event) {
            (state, Event::Begin) => self.begin(state),
            (State::Reading { applied, at }, Event::Page(page)) => self.take(applied, at, None, page),
            (State::Turning { next: at }, Event::Turned { applied, pending, following }) => {
                self.take(applied, at, Some(pending), following)
            }
            (State::BeginningEpoch(_), Event::EpochBegun(Ok(()))) => {
                self.seen = None;
                self.restart(HISTORY_LOST)
            }
            (State::BeginningEpoch(applied), Event::EpochBegun(Err(error))) => self.rest(applied, Err(error)),
            (State::Finishing, Event::Finished(applied)) => self.rest(applied, Ok(())),
            (_, Event::Broken(why)) => Effect::Done(Err(StoreError::Internal(format!("a page of changes: {why}")))),
            (state, event) => {
                let why = format!("the reader of the feed got {} while it was {}", event.name(), state.name());
                self.state = state;
                Effect::Done(Err(StoreError::Internal(why)))
            }
        }
    }

    /// Begins to read behind what is applied.
    fn begin(&mut self, state: State) -> Effect {
        let applied = match state {
            State::Partway(applied)
            | State::AtHead(applied, _)
            | State::Reading { applied, .. }
            | State::BeginningEpoch(applied) => applied,
            State::Starting | State::Turning { .. } | State::Finishing => Box::default(),
        };
        self.read(applied, None)
    }

    fn read(&mut self, applied: Box<Applied>, restart: Option<&'static str>) -> Effect {
        let at = Cursor { seen: self.seen, ..applied.cursor };
        self.state = State::Reading { applied, at };
        Effect::Read { at, restart }
    }

    fn restart(&mut self, why: &'static str) -> Effect {
        self.read(Box::default(), Some(why))
    }

    /// Takes the reply to a read from `at`.
    fn take(
        &mut self,
        mut applied: Box<Applied>,
        at: Cursor,
        pending: Option<Pending>,
        page: Result<Changes, StoreError>,
    ) -> Effect {
        match page {
            Ok(Changes { records, head, complete, next }) => {
                self.seen = Some(head);
                let page = Unparsed { records, known: at.complete, next };
                if complete {
                    self.state = State::Finishing;
                    return Effect::Finish(Last { applied, before: pending, page });
                }
                self.state = State::Turning { next };
                Effect::Turn { applied, before: pending, page, following: Cursor { seen: self.seen, ..next } }
            }
            Err(StoreError::Compacted { .. }) => self.restart("compacted"),
            Err(StoreError::HistoryLost { .. }) => match self.seen {
                Some(seen) => {
                    self.state = State::BeginningEpoch(applied);
                    Effect::BeginEpoch(seen)
                }
                None => self.restart(HISTORY_LOST),
            },
            Err(error) => {
                // It is there already, and need not be read again.
                applied.apply_all(pending);
                self.rest(applied, Err(error))
            }
        }
    }

    fn rest(&mut self, applied: Box<Applied>, result: Result<(), StoreError>) -> Effect {
        self.state = match applied.head() {
            Some(head) => State::AtHead(applied, head),
            None if applied.cursor.after == 0 => State::Starting,
            None => State::Partway(applied),
        };
        Effect::Done(result)
    }
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Starting => "Starting",
            Self::Reading { .. } => "Reading",
            Self::Turning { .. } => "Turning",
            Self::Finishing => "Finishing",
            Self::BeginningEpoch(_) => "BeginningEpoch",
            Self::Partway(_) => "Partway",
            Self::AtHead(..) => "AtHead",
        }
    }
}

impl Event {
    fn name(&self) -> &'static str {
        match self {
            Self::Begin => "Begin",
            Self::Page(_) => "Page",
            Self::EpochBegun(_) => "EpochBegun",
            Self::Turned { .. } => "Turned",
            Self::Finished(_) => "Finished",
            Self::Broken(_) => "Broken",
        }
    }
}

#[cfg(test)]
mod tests;
