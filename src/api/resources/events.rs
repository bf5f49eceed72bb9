//! Watches: the changes of a collection as they happen, one JSON document a line.
//!
//! The request ends with the head of the reply, so no time limit of requests concerns a watch. It ends at `timeoutSeconds` or after half an hour to
//! an hour, when the server stops, or with an ERROR event when its client asked for too old a revision or took its events too slowly.
//!
//! Source: `apiserver/pkg/endpoints/handlers/watch.go`, `apiserver/pkg/storage/cacher/cache_watcher.go` (bookmarks).

use std::{borrow::Cow, collections::VecDeque, pin::Pin, time::Duration};

use axum::{
    Extension,
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use metrics::{counter, gauge};
use tokio::time::{Instant, Sleep, sleep_until};
use uuid::Uuid;

use super::list_options::WatchOptions;
use crate::{
    api::state::AppState,
    clock,
    live::journal::{Event, Kind, Step, Watch},
    service::{
        error::{Error, Result},
        objects::{self, Target, with_node},
    },
    store::Record,
    telemetry,
    wire::{
        document,
        forms::{self, Form, Headers, Representation},
        kinds::StoredKind,
    },
};

/// Least time of a watch that names none; its client's share of chance doubles it at most (`--min-request-timeout` of kube-apiserver).
const LEAST_TIME: Duration = Duration::from_mins(30);

/// Interval of bookmarks.
const BOOKMARK_EVERY: Duration = Duration::from_mins(1);

/// The last bookmark comes so long before the end.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

/// Lines of so many bytes together are sent as one piece.
const SHORT: usize = 16 << 10;

/// The annotation of the bookmark behind the objects that there are.
const INITIAL_END: &str = r#","annotations":{"k8s.io/initial-events-end":"true"}"#;

/// Begins a watch. The reply's body is its events.
pub(super) async fn watch(
    state: &AppState,
    target: &Target,
    options: WatchOptions,
    wanted: Option<Extension<Representation>>,
) -> Result<Response> {
    let form = wanted.map_or(Form::Whole, |Extension(wanted)| wanted.form);
    let WatchOptions { selector, begin, bookmarks, timeout } = options;
    let watch = objects::watch(state, target, selector, begin).await?;
    let ends = Instant::now() + timeout.unwrap_or_else(|| LEAST_TIME + LEAST_TIME.mul_f64(chance()));
    let alarm = if bookmarks { next_bookmark(ends) } else { ends };
    let events = Events {
        watch,
        kind: target.kind,
        form,
        has_columns: false,
        bookmarks,
        alarm: Box::pin(sleep_until(alarm)),
        ends,
        unsent: VecDeque::new(),
        is_over: false,
    };
    gauge!(telemetry::WATCHES).increment(1.0);
    let body = Body::from_stream(stream::unfold(Some(events), |events| async {
        let mut events = events?;
        let lines = events.next().await?;
        Some((Ok::<_, std::convert::Infallible>(lines), Some(events)))
    }));
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// A number from 0 to 1.
fn chance() -> f64 {
    f64::from(u32::from_le_bytes(Uuid::new_v4().as_bytes()[..4].try_into().unwrap_or_default())) / f64::from(u32::MAX)
}

fn next_bookmark(ends: Instant) -> Instant {
    let next = Instant::now() + BOOKMARK_EVERY;
    let last = ends.checked_sub(LAST_BOOKMARK).filter(|last| *last > Instant::now());
    last.map_or(next, |last| last.min(next)).min(ends)
}

/// The events of a watch as lines.
struct Events {
    watch: Watch,
    kind: &'static StoredKind,
    form: Form,
    /// `true` once a table has told its columns.
    has_columns: bool,
    bookmarks: bool,
    /// It is time for a bookmark, or for the end.
    alarm: Pin<Box<Sleep>>,
    ends: Instant,
    /// Lines that are sent one by one.
    unsent: VecDeque<Bytes>,
    is_over: bool,
}

impl Drop for Events {
    fn drop(&mut self) {
        gauge!(telemetry::WATCHES).decrement(1.0);
    }
}

impl Events {
    /// The next lines; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(line) = self.unsent.pop_front() {
            return Some(line);
        }
        while !self.is_over {
            let lines = tokio::select! {
                biased;
                () = &mut self.alarm => {
                    if Instant::now() >= self.ends {
                        return None;
                    }
                    self.alarm.as_mut().reset(next_bookmark(self.ends));
                    match self.watch.bookmark() {
                        Some(revision) => self.bookmark(revision, ""),
                        None => continue,
                    }
                }
                step = self.watch.next() => self.lines(step),
            };
            match lines {
                Ok(lines) if lines.is_empty() => {}
                Ok(lines) => return Some(lines),
                Err(error) => {
                    self.is_over = true;
                    return Some(error_line(&error));
                }
            }
        }
        None
    }

    fn lines(&mut self, step: Step) -> Result<Bytes> {
        match step {
            Step::Objects(states) => {
                let mut lines = String::new();
                for state in states {
                    self.write(&mut lines, Kind::Added, &state.record)?;
                }
                Ok(lines.into())
            }
            Step::ObjectsEnd(revision) if self.bookmarks => self.bookmark(revision, INITIAL_END),
            Step::ObjectsEnd(_) => Ok(Bytes::new()),
            Step::Changes(changes) => {
                let mut lines = VecDeque::with_capacity(changes.len());
                for (kind, event) in changes {
                    lines.push_back(match self.shared_form() {
                        Some(form) => event.line(form, kind, || self.line(kind, &event))?,
                        None => self.line(kind, &event)?,
                    });
                }
                Ok(self.piece(lines))
            }
            Step::Expired { seen, since } => {
                counter!(telemetry::WATCHES_EXPIRED).increment(1);
                Err(Error::Expired(format!("too old resource version: {seen} ({since})")))
            }
            Step::Ended => {
                self.is_over = true;
                Ok(Bytes::new())
            }
        }
    }

    /// The first piece of lines, which all watches share: several short ones are sent as one piece, long ones are not copied.
    fn piece(&mut self, mut lines: VecDeque<Bytes>) -> Bytes {
        if lines.len() > 1 && lines.iter().map(Bytes::len).sum::<usize>() <= SHORT {
            return lines.make_contiguous().concat().into();
        }
        let first = lines.pop_front().unwrap_or_default();
        self.unsent = lines;
        first
    }

    fn line(&mut self, kind: Kind, event: &Event) -> Result<Bytes> {
        let object = event.object(kind).ok_or_else(|| Error::internal("an event has no object"))?;
        let mut line = String::new();
        self.write(&mut line, kind, &object)?;
        Ok(line.into())
    }

    fn write(&mut self, lines: &mut String, kind: Kind, record: &Record) -> Result<()> {
        lines.push_str(match kind {
            Kind::Added => r#"{"type":"ADDED","object":"#,
            Kind::Modified => r#"{"type":"MODIFIED","object":"#,
            Kind::Deleted => r#"{"type":"DELETED","object":"#,
        });
        if self.form == Form::Whole {
            document::render_into(lines, &with_node(record)?, self.kind, record.revision);
        } else {
            let whole = document::render(&with_node(record)?, self.kind, record.revision);
            lines.push_str(&self.shaped(&whole)?);
        }
        lines.push_str("}\n");
        Ok(())
    }

    /// An object in the form that the watch is in. A table has its columns in the first event alone.
    fn shaped<'t>(&mut self, whole: &'t str) -> Result<Cow<'t, str>> {
        let headers = if self.has_columns { Headers::LeftOut } else { Headers::Written };
        self.has_columns = true;
        forms::event_object(whole, self.form, self.kind, headers, clock::now()).map_err(Error::internal)
    }

    /// The form of the next event, if other watches in this form have the event in common.
    fn shared_form(&self) -> Option<(Form, bool)> {
        let is_first_row = matches!(self.form, Form::Table(..)) && !self.has_columns;
        // A row has at most one other form, whose watches follow the same events.
        (!is_first_row).then(|| (self.form, self.kind.is_stored_form()))
    }

    fn bookmark(&mut self, revision: u64, annotations: &str) -> Result<Bytes> {
        let (kind, version) = (self.kind.kind, self.kind.api_version());
        let whole = format!(
            r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":{{"resourceVersion":"{revision}","creationTimestamp":null{annotations}}}}}"#
        );
        Ok(format!("{{\"type\":\"BOOKMARK\",\"object\":{}}}\n", self.shaped(&whole)?).into())
    }
}

fn error_line(error: &Error) -> Bytes {
    let status = serde_json::to_string(&error.status()).unwrap_or_default();
    format!("{{\"type\":\"ERROR\",\"object\":{status}}}\n").into()
}
