//! List and watch of one kind, as a state machine without I/O: [`Follow::next`] is the request to send, [`Follow::step`] takes what came of it and
//! tells what to do.
//!
//! kube-rs has such a machine (`kube_runtime::watcher`). It tells neither bookmarks nor the version of a list, on which the age of the mirror and
//! the check for stale API servers rest, and needs an event's `type` before its `object`; so this one takes its place, on kube's client.
//!
//! Rules, as in client-go's `tools/cache/reflector.go` where nothing else is said:
//!
//! - A list comes in pages and is of the state at the version of its first page. Nothing is swept before its last page.
//! - A list that is older than what was seen before comes from a stale API server: it is asked for again, twice. If it is still older, the API
//!   server's database was restored, and the list counts.
//! - A watch begins at the version of the list and goes on at the last version told, by events and by bookmarks. One that ends is begun again there;
//!   if it lasted for its time, all up to its end was told. API servers send no bookmarks of kinds that have no events.
//! - 410 is no error: the kind is listed again. So it is when events come in another order than that of their versions, which no API server does, and
//!   when a watch is refused three times in a row.
//! - After errors the pause doubles, from 0.8 s to 30 s, until something is told again. `Retry-After` is kept to.

use std::time::Duration;

/// Objects of a page at first, and the fewest and most that are asked for.
const PAGE: u32 = 500;
const SMALLEST_PAGE: u32 = 10;
const LARGEST_PAGE: u32 = 4_000;

/// The shortest and the longest pause after errors.
const FIRST_PAUSE: Duration = Duration::from_millis(800);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause that an API server can ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(2);

/// How often a kind is asked for that the API server does not serve.
const NOT_SERVED: Duration = Duration::from_mins(1);

/// How often a stale list is asked for again, and how often a refused watch is tried again.
const MOST_STALE: u32 = 2;
const MOST_REFUSED: u32 = 3;

/// A request to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// A page of the list.
    List {
        /// Objects at most.
        limit: u32,
        /// Where it goes on, as the page before said.
        from: Option<String>,
    },
    /// A watch from a version on.
    Watch {
        /// The version.
        version: String,
    },
}

/// Something that came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event<O> {
    /// A page of the list.
    Page {
        /// The list's version.
        version: String,
        /// Where the next page begins; empty at the last one.
        next: String,
        /// Its objects.
        objects: Vec<O>,
    },
    /// A watched object was made or changed.
    Applied {
        /// Its version.
        version: String,
        /// It.
        object: O,
    },
    /// A watched object was deleted.
    Deleted {
        /// The version of the deletion.
        version: String,
        /// As it was.
        object: O,
    },
    /// All events up to a version were told.
    Bookmark {
        /// The version.
        version: String,
    },
    /// A reply or an event that is an error.
    Refused {
        /// The HTTP status.
        code: u16,
        /// The pause that it asks for.
        retry_after: Option<Duration>,
        /// Its message.
        why: String,
    },
    /// A page is longer than a reply may be.
    TooLong,
    /// There is no reply, or its end is missing.
    Lost {
        /// The cause.
        why: String,
    },
    /// The watch ended as watches do.
    Ended {
        /// How far it got.
        how: Ending,
    },
}

/// How far a watch got that ended as watches do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It had only begun.
    AtOnce,
    /// It ended before its time, as one does that the API server gives up: events may be missing.
    Early,
    /// It lasted for its time: all was told that happened.
    Whole,
}

/// Something to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect<O> {
    /// A list begins: from now on it is noted what is in it.
    Begin,
    /// Objects of the list: store those that differ, note all.
    Listed(Vec<O>),
    /// The list is complete: delete what it did not have.
    Sweep,
    /// Store an object.
    Store(O),
    /// Delete an object.
    Delete(O),
    /// With the effects before it the mirror is of this version.
    Reached(String),
    /// The kind is listed again, for this reason.
    Relist(Reason),
    /// Tell that there is trouble.
    Trouble(String),
    /// The trouble is over.
    Well,
    /// The API server does not have the kind.
    NotServed,
    /// Wait before the next request, give or take some.
    Wait(Duration),
}

/// Why a kind is listed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The version is too old for a watch, or for the next page (410).
    Expired,
    /// The list is older than what was seen before.
    Stale,
    /// Events came in another order than that of their versions.
    Order,
    /// The watch was refused again and again.
    Refused,
}

impl Reason {
    /// As a label of metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Stale => "stale",
            Self::Order => "order",
            Self::Refused => "refused",
        }
    }
}

/// The list and watch of one kind.
#[derive(Clone, Debug)]
pub(super) struct Follow {
    phase: Phase,
    limit: u32,
    /// The newest version that was seen, also by the process that followed before.
    newest: String,
    /// `true` if some API servers do not have this kind.
    is_optional: bool,
    /// Errors since something was told.
    failures: u32,
    stale: u32,
    /// Refused watches since one told something.
    refused: u32,
    /// Events out of order since a watch lasted for its time.
    disorders: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// Lists. Between pages, the version of the first one and where the next begins.
    Lists(Option<(String, String)>),
    /// Watches, and has come to a version.
    Watches(String),
}

impl Follow {
    /// A kind that was seen at a version before; an empty one for never. An optional kind need not be served.
    pub(super) fn new(newest: impl Into<String>, is_optional: bool) -> Self {
        let phase = Phase::Lists(None);
        let newest = newest.into();
        Self { phase, limit: PAGE, newest, is_optional, failures: 0, stale: 0, refused: 0, disorders: 0 }
    }

    /// The request to send now.
    pub(super) fn next(&self) -> Request {
        match &self.phase {
            Phase::Lists(at) => Request::List { limit: self.limit, from: at.as_ref().map(|(_, next)| next.clone()) },
            Phase::Watches(version) => Request::Watch { version: version.clone() },
        }
    }

    /// Takes what came of the request. After [`Event::Applied`], [`Event::Deleted`] and [`Event::Bookmark`] the watch goes on if [`Self::next`]
    /// still is one.
    pub(super) fn step<O>(&mut self, event: Event<O>) -> Vec<Effect<O>> {
        match event {
            Event::Page { version, next, objects } => self.page(version, next, objects),
            Event::Applied { version, object } => self.changed(&version, Effect::Store(object), true),
            // The version of a deletion may be that of the object: its uid tells it from a later one.
            Event::Deleted { version, object } => self.changed(&version, Effect::Delete(object), false),
            Event::Bookmark { version } => {
                let Phase::Watches(at) = &mut self.phase else { return Vec::new() };
                if !version.is_empty() && !is_older(&version, at) {
                    at.clone_from(&version);
                }
                self.reached()
            }
            Event::Refused { code, retry_after, why } => self.refused(code, retry_after, why),
            Event::TooLong => {
                self.limit = (self.limit / 2).max(SMALLEST_PAGE);
                self.phase = Phase::Lists(None);
                self.failed("a page of the list is longer than a reply may be".into(), None)
            }
            Event::Lost { why } => self.failed(why, None),
            Event::Ended { how: Ending::Whole } => {
                self.disorders = 0;
                self.reached()
            }
            Event::Ended { how: Ending::Early } => Vec::new(),
            Event::Ended { how: Ending::AtOnce } => self.failed("the watch ended when it had only begun".into(), None),
        }
    }

    fn page<O>(&mut self, version: String, next: String, objects: Vec<O>) -> Vec<Effect<O>> {
        let Phase::Lists(at) = &self.phase else { return Vec::new() };
        let is_first = at.is_none();
        // Later pages are of the first one's state, whatever version they tell.
        let version = at.as_ref().map_or(version, |(first, _)| first.clone());
        if at.as_ref().is_some_and(|(_, before)| !next.is_empty() && *before == next) {
            self.phase = Phase::Lists(None);
            return self.failed("the page of the list says that it goes on with itself".into(), None);
        }
        if is_first && is_older(&version, &self.newest) && self.stale < MOST_STALE {
            self.stale += 1;
            let why = format!("the list is of version {version}, older than {} that was seen before", self.newest);
            return begun(Effect::Relist(Reason::Stale), self.failed(why, None));
        }
        let mut effects = if is_first { vec![Effect::Begin] } else { Vec::new() };
        effects.push(Effect::Listed(objects));
        if next.is_empty() {
            self.stale = 0;
            // Also an older version, if it is told again and again.
            self.newest.clone_from(&version);
            self.phase = Phase::Watches(version.clone());
            effects.extend([Effect::Sweep, Effect::Reached(version)]);
            effects.extend(self.well());
        } else {
            self.phase = Phase::Lists(Some((version, next)));
        }
        effects
    }

    fn changed<O>(&mut self, version: &str, effect: Effect<O>, is_ordered: bool) -> Vec<Effect<O>> {
        let Phase::Watches(at) = &mut self.phase else { return Vec::new() };
        if is_ordered && is_older(version, at) {
            self.disorders = self.disorders.saturating_add(1);
            return self.relist(Reason::Order, "an event is older than the one before it".into());
        }
        if !version.is_empty() && !is_older(version, at) {
            version.clone_into(at);
        }
        let reached = at.clone();
        let mut effects = self.well();
        self.see(&reached);
        effects.extend([effect, Effect::Reached(reached)]);
        effects
    }

    fn refused<O>(&mut self, code: u16, retry_after: Option<Duration>, why: String) -> Vec<Effect<O>> {
        match (code, &self.phase) {
            (410, Phase::Lists(at)) => {
                // The pages are too slow for the API server.
                if at.is_some() {
                    self.limit = (self.limit * 2).min(LARGEST_PAGE);
                }
                self.relist(Reason::Expired, why)
            }
            (410, Phase::Watches(_)) => {
                self.refused = self.refused.saturating_add(1);
                if self.refused > 1 {
                    return self.relist(Reason::Expired, why);
                }
                self.phase = Phase::Lists(None);
                vec![Effect::Relist(Reason::Expired)]
            }
            (404, _) if self.is_optional => {
                self.phase = Phase::Lists(None);
                vec![Effect::NotServed, Effect::Wait(NOT_SERVED)]
            }
            (_, Phase::Lists(_)) => self.failed(why, retry_after),
            (_, Phase::Watches(_)) => {
                self.refused = self.refused.saturating_add(1);
                if self.refused >= MOST_REFUSED {
                    return self.relist(Reason::Refused, why);
                }
                self.failed(why, retry_after)
            }
        }
    }

    /// All up to the watch's version was told.
    fn reached<O>(&mut self) -> Vec<Effect<O>> {
        let Phase::Watches(at) = &self.phase else { return Vec::new() };
        let reached = at.clone();
        let mut effects = self.well();
        self.see(&reached);
        effects.push(Effect::Reached(reached));
        effects
    }

    /// Lists again, after a pause.
    fn relist<O>(&mut self, reason: Reason, why: String) -> Vec<Effect<O>> {
        self.phase = Phase::Lists(None);
        begun(Effect::Relist(reason), self.failed(why, None))
    }

    /// Something was told.
    fn well<O>(&mut self) -> Vec<Effect<O>> {
        let was_failing = std::mem::take(&mut self.failures) > 0;
        if was_failing { vec![Effect::Well] } else { Vec::new() }
    }

    fn failed<O>(&mut self, why: String, retry_after: Option<Duration>) -> Vec<Effect<O>> {
        // Lists that are whole do not make up for watches that never are.
        let doubled = self.failures.max(self.refused.saturating_sub(1)).max(self.disorders.saturating_sub(1));
        let pause = FIRST_PAUSE.saturating_mul(1 << doubled.min(8)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        let asked = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        vec![Effect::Trouble(why), Effect::Wait(pause.max(asked))]
    }

    fn see(&mut self, version: &str) {
        // A watch that tells something is not refused any more.
        self.refused = 0;
        if !is_older(version, &self.newest) {
            version.clone_into(&mut self.newest);
        }
    }
}

/// Effects with one before them.
fn begun<O>(first: Effect<O>, mut rest: Vec<Effect<O>>) -> Vec<Effect<O>> {
    rest.insert(0, first);
    rest
}

/// `true` if a version is older than another one. They are numbers in Kubernetes (KEP-5504); others are never older.
fn is_older(version: &str, than: &str) -> bool {
    match (version.parse::<u64>(), than.parse::<u64>()) {
        (Ok(version), Ok(than)) => version < than,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Effects = Vec<Effect<u32>>;

    fn page(version: &str, next: &str) -> Event<u32> {
        Event::Page { version: version.into(), next: next.into(), objects: vec![1] }
    }

    fn applied(version: &str) -> Event<u32> {
        Event::Applied { version: version.into(), object: 1 }
    }

    fn refused(code: u16) -> Event<u32> {
        Event::Refused { code, retry_after: None, why: "no".into() }
    }

    fn lost() -> Event<u32> {
        Event::Lost { why: "no".into() }
    }

    fn watching(version: &str) -> Follow {
        let mut follow = Follow::new("", false);
        follow.step(page(version, ""));
        assert_eq!(follow.next(), Request::Watch { version: version.into() });
        follow
    }

    fn pause(effects: &Effects) -> Option<Duration> {
        effects.iter().find_map(|effect| if let Effect::Wait(pause) = effect { Some(*pause) } else { None })
    }

    #[test]
    fn a_list_sweeps_after_its_last_page_and_is_of_the_version_of_its_first() {
        let mut follow = Follow::new("", false);
        assert_eq!(follow.next(), Request::List { limit: 500, from: None });
        assert_eq!(follow.step(page("7", "a")), [Effect::Begin, Effect::Listed(vec![1])]);
        assert_eq!(follow.next(), Request::List { limit: 500, from: Some("a".into()) });
        let effects = follow.step(page("9", ""));
        assert_eq!(effects, [Effect::Listed(vec![1]), Effect::Sweep, Effect::Reached("7".into())]);
        assert_eq!(follow.next(), Request::Watch { version: "7".into() });
    }

    #[test]
    fn a_watch_goes_on_where_events_and_bookmarks_came() {
        let mut follow = watching("7");
        assert_eq!(follow.step(applied("8")), [Effect::Store(1), Effect::Reached("8".into())]);
        assert_eq!(follow.step::<u32>(Event::Bookmark { version: "12".into() }), [Effect::Reached("12".into())]);
        assert_eq!(follow.step::<u32>(Event::Bookmark { version: "3".into() }), [Effect::Reached("12".into())]);
        let deleted = Event::Deleted { version: "9".into(), object: 1 };
        assert_eq!(follow.step(deleted), [Effect::Delete(1), Effect::Reached("12".into())]);
        assert_eq!(follow.step::<u32>(Event::Ended { how: Ending::Early }), []);
        assert_eq!(follow.next(), Request::Watch { version: "12".into() });
    }

    #[test]
    fn a_watch_that_lasted_for_its_time_told_all() {
        let mut follow = watching("7");
        follow.step(lost());
        let whole = follow.step::<u32>(Event::Ended { how: Ending::Whole });
        assert_eq!(whole, [Effect::Well, Effect::Reached("7".into())]);
        assert_eq!(follow.next(), Request::Watch { version: "7".into() });
        follow.step::<u32>(Event::Bookmark { version: String::new() });
        assert_eq!(follow.next(), Request::Watch { version: "7".into() }, "a bookmark without a version");
    }

    #[test]
    fn a_page_that_goes_on_with_itself_is_an_error() {
        let mut follow = Follow::new("", false);
        follow.step(page("7", "a"));
        let effects = follow.step(page("7", "a"));
        assert!(pause(&effects).is_some() && !effects.iter().any(|effect| matches!(effect, Effect::Listed(_))));
        assert_eq!(follow.next(), Request::List { limit: 500, from: None });
    }

    #[test]
    fn an_expired_watch_is_listed_again_at_once() {
        let mut follow = watching("7");
        assert_eq!(follow.step(refused(410)), [Effect::Relist(Reason::Expired)]);
        assert_eq!(follow.next(), Request::List { limit: 500, from: None });
        let again = |follow: &mut Follow| {
            follow.step(page("8", ""));
            pause(&follow.step(refused(410))).map(|pause| pause.as_millis())
        };
        assert_eq!([again(&mut follow), again(&mut follow)], [Some(1_600), Some(3_200)], "not at once for ever");
    }

    #[test]
    fn an_expired_page_begins_the_list_anew_with_larger_pages() {
        let mut follow = Follow::new("", false);
        follow.step(page("7", "a"));
        assert!(pause(&follow.step(refused(410))).is_some());
        assert_eq!(follow.next(), Request::List { limit: 1_000, from: None });
        assert!(follow.step(page("9", "")).contains(&Effect::Well));
    }

    #[test]
    fn too_long_a_page_is_asked_for_in_smaller_ones() {
        let mut follow = Follow::new("", false);
        for limit in [250, 125, 62, 31, 15, 10, 10] {
            follow.step::<u32>(Event::TooLong);
            assert_eq!(follow.next(), Request::List { limit, from: None });
        }
    }

    #[test]
    fn a_stale_list_is_asked_for_again_and_counts_the_third_time() {
        let mut follow = Follow::new("100", false);
        for _ in 0..2 {
            let effects = follow.step(page("40", ""));
            assert_eq!(effects[0], Effect::Relist(Reason::Stale));
            assert!(!effects.iter().any(|effect| matches!(effect, Effect::Listed(_) | Effect::Sweep)));
        }
        assert!(follow.step(page("40", "")).contains(&Effect::Sweep), "the database was restored");
        assert_eq!(follow.next(), Request::Watch { version: "40".into() });
        let mut follow = Follow::new("100", false);
        follow.step(page("40", ""));
        assert!(follow.step(page("100", "")).contains(&Effect::Sweep), "another API server knows more");
    }

    #[test]
    fn events_out_of_order_and_refused_watches_end_in_a_list() {
        let mut follow = watching("7");
        follow.step(applied("9"));
        assert_eq!(follow.step(applied("9")), [Effect::Store(1), Effect::Reached("9".into())], "a repeated one");
        assert_eq!(follow.step(applied("8"))[0], Effect::Relist(Reason::Order));
        let mut follow = watching("7");
        for _ in 0..2 {
            assert!(pause(&follow.step(refused(504))).is_some());
            assert_eq!(follow.next(), Request::Watch { version: "7".into() });
        }
        assert_eq!(follow.step(refused(504))[0], Effect::Relist(Reason::Refused));
    }

    #[test]
    fn pauses_double_until_something_is_told() {
        let mut follow = watching("7");
        let pauses: Vec<_> = (0..8).filter_map(|_| pause(&follow.step(lost()))).map(|p| p.as_millis()).collect();
        assert_eq!(pauses, [800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
        assert_eq!(follow.step(applied("8"))[0], Effect::Well);
        assert_eq!(pause(&follow.step(lost())), Some(Duration::from_millis(800)));
        let busy = Event::Refused { code: 429, retry_after: Some(Duration::from_secs(7)), why: String::new() };
        assert_eq!(pause(&follow.step(busy)), Some(Duration::from_secs(7)));
        assert!(pause(&follow.step(Event::Ended { how: Ending::AtOnce })).is_some(), "a watch that ends at once");
    }

    #[test]
    fn a_kind_that_is_not_served_is_asked_for_now_and_then() {
        let mut follow = Follow::new("", true);
        assert_eq!(follow.step(refused(404)), [Effect::NotServed, Effect::Wait(NOT_SERVED)]);
        let mut follow = Follow::new("", false);
        assert!(follow.step(refused(404)).contains(&Effect::Trouble("no".into())), "pods are always served");
    }
}
