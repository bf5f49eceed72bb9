//! The mirror of one kind of a cluster: requests of [`Follow`] to the API server, and its effects into the store.
//!
//! While the store is slow, nothing is read of the watch, so that the API server is slowed down and nothing piles up here.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use jiff::Timestamp;
use metrics::counter;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::{
    clock,
    telemetry::{self, labels::CLUSTERS},
};

use super::{
    apply::{Applier, BATCH, Lost, Target, last_of_each},
    board::Board,
    client::Link,
    compare::Told,
    follow::{Effect, Ending, Event, Follow, Request},
    object::{Mirrored, SourceObject},
    stream::{self, Failure, Line, Lines, List, Versioned, encoded},
};

/// Objects that are read at a stretch, before other tasks get their turn.
const STRETCH: usize = 16;

/// Most bytes of events that are taken together.
const BATCH_BYTES: usize = 1 << 20;

/// A watch that ends sooner than this, without a word, had only begun. One that ends so much before its time lasted for it: the API server's time
/// begins before ours.
const BEGINNING: Duration = Duration::from_secs(1);

/// The times of a mirror.
#[derive(Clone, Copy, Debug)]
pub struct Watching {
    /// Longest time after which the API server is to end a watch; each is asked for up to a quarter less. It is the lag of a kind without events.
    pub lasts: Duration,
    /// Time after which a watch that tells nothing is given up.
    pub silent: Duration,
    /// Factor of all pauses after errors; tests make them short.
    pub pauses: f64,
    /// How often it is told to other processes how far the mirror is.
    pub told_every: Duration,
    /// How often it is read how far those of other processes are.
    pub read_every: Duration,
}

impl Default for Watching {
    fn default() -> Self {
        Self {
            lasts: Duration::from_mins(1),
            silent: Duration::from_secs(75),
            pauses: 1.0,
            told_every: Duration::from_secs(5),
            read_every: Duration::from_secs(2),
        }
    }
}

/// The mirror of one kind.
#[derive(Debug)]
pub(super) struct KindMirror<T> {
    pub(super) link: Arc<Link>,
    pub(super) follow: Follow,
    pub(super) applier: Applier<T>,
    pub(super) board: Board,
    pub(super) watching: Watching,
    /// When the first page of the list was asked for: all its pages are of a state of that time or later.
    listed_from: Timestamp,
}

impl<T: Target> KindMirror<T> {
    pub(super) fn new(link: Arc<Link>, of: Arc<Mirrored>, target: T, board: Board, watching: Watching) -> Self {
        // Kinds of the core group are served by every API server.
        let follow = Follow::new(board.version(&of.key), !of.kind.group.is_empty());
        let mut applier = Applier::new(of, target);
        applier.board = Some(board.clone());
        Self { link, follow, applier, board, watching, listed_from: clock::now() }
    }

    /// Mirrors until another process leads.
    pub(super) async fn run(mut self) -> Lost {
        loop {
            let taken = match self.follow.next() {
                Request::List { limit, from } => {
                    if from.is_none() {
                        self.listed_from = clock::now();
                    }
                    let link = self.link.clone();
                    let turn = link.page_turn().await;
                    let event = self.list(limit, from).await;
                    let (pauses, effects) =
                        self.follow.step(event).into_iter().partition(|effect| matches!(effect, Effect::Wait(_)));
                    let carried = self.carry_out(effects, self.listed_from).await;
                    // Others list during the pause.
                    drop(turn);
                    match carried {
                        Ok(()) => self.carry_out(pauses, self.listed_from).await,
                        lost => lost,
                    }
                }
                Request::Watch { version } => self.watch(&version).await,
            };
            if let Err(lost) = taken {
                return lost;
            }
        }
    }

    /// Asks for a page.
    async fn list(&mut self, limit: u32, from: Option<String>) -> Event<SourceObject> {
        let is_first = from.is_none();
        let next = from.map(|from| format!("&continue={}", encoded(&from))).unwrap_or_default();
        let path = format!("{}?limit={limit}{next}", self.applier.of.path());
        let page = match stream::page(&self.link, &path).await {
            Ok(page) => page,
            Err(failure) => return failed(failure),
        };
        self.count(telemetry::SYNC_BYTES, page.len() as u64);
        let List { metadata, items, .. } = match List::read(&page, self.applier.of.kind.kind, is_first) {
            Ok(list) => list,
            Err(why) => return Event::Lost { why },
        };
        let mut objects = Vec::new();
        for items in items.chunks(STRETCH) {
            for item in items {
                objects.extend(self.read(item.get()).or_else(|| self.known_pod(item.get())));
            }
            tokio::task::yield_now().await;
        }
        Event::Page { version: metadata.resource_version, next: metadata.next.unwrap_or_default(), objects }
    }

    /// Reads an object; one that cannot be read is counted.
    fn read(&mut self, json: &str) -> Option<SourceObject> {
        match self.applier.of.read(json) {
            Ok(object) => Some(object),
            Err(unreadable) => {
                self.applier.skipped(&unreadable.name, &unreadable.why);
                None
            }
        }
    }

    /// The name of a pod that cannot be read: where it is mirrored, it stays as it was.
    fn known_pod(&self, json: &str) -> Option<SourceObject> {
        self.applier.of.is_pods().then(|| self.applier.of.named(json)).flatten()
    }

    /// Watches until the watch ends, or another request is to be sent.
    async fn watch(&mut self, version: &str) -> Result<(), Lost> {
        // Not all kinds come back at once.
        let lasts = Duration::from_secs(self.watching.lasts.mul_f64(1.0 - chance() / 4.0).as_secs().max(1));
        let path = format!(
            "{}?watch=1&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={}",
            self.applier.of.path(),
            encoded(version),
            lasts.as_secs()
        );
        let mut lines = match stream::watch(&self.link, &path).await {
            Ok(lines) => lines,
            Err(failure) => {
                let effects = self.follow.step(failed(failure));
                return self.carry_out(effects, clock::now()).await;
            }
        };
        let (began, mut is_silent) = (Instant::now(), true);
        loop {
            let (events, end) = self.events(&mut lines).await;
            is_silent &= events.is_empty();
            let told_at = clock::now();
            let mut effects = Vec::new();
            for event in events {
                effects.extend(self.follow.step(event));
            }
            let end = end.map(|end| match end {
                End::Ended => Event::Ended { how: ending(lasts, began.elapsed(), is_silent) },
                End::Lost(why) => Event::Lost { why },
            });
            let is_over = end.is_some();
            effects.extend(end.into_iter().flat_map(|end| self.follow.step(end)));
            let has_pause = effects.iter().any(|effect| matches!(effect, Effect::Wait(_)));
            self.carry_out(effects, told_at).await?;
            if is_over || has_pause || !matches!(self.follow.next(), Request::Watch { .. }) {
                return Ok(());
            }
        }
    }

    /// The next events of a watch, as many as are there; and its end, if it has one.
    async fn events(&mut self, lines: &mut Lines) -> (Vec<Event<SourceObject>>, Option<End>) {
        let (mut events, mut bytes) = (Vec::new(), 0);
        let Ok(first) = timeout(self.watching.silent, lines.next()).await else {
            let why = format!("the watch told nothing for {} s", self.watching.silent.as_secs());
            return (events, Some(End::Lost(why)));
        };
        let mut next = Some(first);
        while let Some(told) = next {
            match told {
                Ok(Some(line)) => {
                    bytes += line.len();
                    events.extend(self.event(&line));
                }
                Ok(None) => return (events, Some(End::Ended)),
                Err(why) => return (events, Some(End::Lost(why))),
            }
            let is_full = events.len() >= BATCH || bytes >= BATCH_BYTES;
            next = if is_full { None } else { lines.next().now_or_never() };
        }
        (events, None)
    }

    /// Reads an event; `None` for one that says nothing.
    fn event(&mut self, line: &[u8]) -> Option<Event<SourceObject>> {
        self.count(telemetry::SYNC_BYTES, line.len() as u64);
        let Ok(Line { kind, object }) = serde_json::from_slice(line) else {
            return Some(Event::Lost { why: "an event of the watch is not JSON".into() });
        };
        let version =
            |json: &str| serde_json::from_str::<Versioned>(json).unwrap_or_default().metadata.resource_version;
        self.count(telemetry::SYNC_EVENTS, 1);
        match &*kind {
            "ADDED" | "MODIFIED" => {
                let object = self.read(object.get())?;
                Some(Event::Applied { version: object.version.clone(), object })
            }
            "DELETED" => {
                // Its name will do.
                let object = self.applier.of.named(object.get()).or_else(|| self.read(object.get()))?;
                Some(Event::Deleted { version: object.version.clone(), object })
            }
            "BOOKMARK" => Some(Event::Bookmark { version: version(object.get()) }),
            "ERROR" => Some(failed(stream::refusal(object.get().as_bytes()))),
            // A later kind of event.
            _ => None,
        }
    }

    /// Carries effects out in their order. `told_at` is when the API server told what they come of.
    async fn carry_out(&mut self, effects: Vec<Effect<SourceObject>>, told_at: Timestamp) -> Result<(), Lost> {
        let key = self.applier.of.key.clone();
        let mut told: Vec<Told> = Vec::new();
        let mut reached = None;
        for effect in effects {
            match effect {
                Effect::Store(object) => told.push(Told::Present(object)),
                Effect::Delete(object) => told.push(Told::Gone(object)),
                Effect::Reached(version) => reached = Some(version),
                other => {
                    self.flush(std::mem::take(&mut told), reached.take(), told_at).await?;
                    match other {
                        Effect::Begin => self.applier.begin(),
                        Effect::Listed(objects) => self.applier.listed(objects).await?,
                        Effect::Sweep => {
                            self.applier.sweep().await?;
                            self.board.update(&key, |status| status.relists = status.relists.saturating_add(1));
                        }
                        Effect::Relist(reason) => {
                            counter!(telemetry::SYNC_RELISTS, "cluster" => CLUSTERS.of(self.board.cluster()),
                                "kind" => key.to_string(), "reason" => reason.name())
                            .increment(1);
                        }
                        Effect::Trouble(why) => self.trouble(&why),
                        Effect::Well => {
                            if self.board.well(&key) {
                                tracing::info!(cluster = &**self.board.cluster(), "the mirror goes on");
                            }
                        }
                        Effect::NotServed => self.board.update(&key, |status| {
                            (status.as_of, status.trouble) = (Some(told_at), None);
                        }),
                        Effect::Wait(pause) => sleep(jittered(pause.mul_f64(self.watching.pauses))).await,
                        Effect::Store(_) | Effect::Delete(_) | Effect::Reached(_) => {}
                    }
                }
            }
        }
        self.flush(told, reached, told_at).await
    }

    /// Stores what was told, and notes how far the mirror is then.
    async fn flush(&mut self, told: Vec<Told>, reached: Option<String>, told_at: Timestamp) -> Result<(), Lost> {
        if !told.is_empty() {
            self.applier.store(last_of_each(told)).await?;
        }
        let Some(version) = reached else { return Ok(()) };
        let objects = self.applier.objects;
        self.board.update(&self.applier.of.key, |status| {
            (status.as_of, status.source_version, status.objects) = (Some(told_at), version, objects);
        });
        Ok(())
    }

    /// Tells of trouble. An outage is logged once, by the first kind that has it.
    fn trouble(&self, why: &str) {
        let key = &*self.applier.of.key;
        self.count(telemetry::SYNC_ERRORS, 1);
        if self.board.trouble(key, why) {
            tracing::warn!(cluster = &**self.board.cluster(), kind = key, why, "the mirror stands still");
        }
    }

    fn count(&self, metric: &'static str, by: u64) {
        let labels = [("cluster", CLUSTERS.of(self.board.cluster())), ("kind", self.applier.of.key.to_string())];
        counter!(metric, &labels).increment(by);
    }
}

/// The end of a watch.
enum End {
    Ended,
    Lost(String),
}

fn failed(failure: Failure) -> Event<SourceObject> {
    match failure {
        Failure::Refused { code, retry_after, why } => Event::Refused { code, retry_after, why },
        Failure::TooLong => Event::TooLong,
        Failure::Lost(why) => Event::Lost { why },
    }
}

/// How far a watch got that was to last for some time and ended.
fn ending(lasts: Duration, lasted: Duration, is_silent: bool) -> Ending {
    if is_silent && lasted < BEGINNING {
        Ending::AtOnce
    } else if lasted + BEGINNING < lasts {
        Ending::Early
    } else {
        Ending::Whole
    }
}

/// A pause, a quarter longer or shorter by chance, so that the kinds of all clusters do not come back at once.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.75 + chance() / 2.0)
}

/// A number from 0 to 1 by chance.
fn chance() -> f64 {
    f64::from(Uuid::new_v4().as_u128() as u16) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_whole_when_it_lasted_for_its_time() {
        let of = |lasted, is_silent| ending(Duration::from_secs(50), Duration::from_millis(lasted), is_silent);
        assert_eq!([of(0, true), of(999, true)], [Ending::AtOnce; 2]);
        assert_eq!([of(0, false), of(1_000, true), of(48_999, true)], [Ending::Early; 3]);
        assert_eq!([of(49_000, true), of(60_000, false)], [Ending::Whole; 2]);
    }
}
