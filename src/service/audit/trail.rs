//! The trail of one request: what becomes known of it on its way, and the events that are made of that.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Audit, KIND, recorder::Place};
use crate::{
    clock,
    core::{
        access::{Attributes, ResourceAttributes, User, Verdict},
        audit::{Level, Recording, Stage},
    },
    service::{compute::SMALL_BODY, error::Result},
    store::{Entry, EntryId, ledger::NO_CLUSTER},
    wire::{
        audit::event::{self, CLUSTER, DECISION, Event, Outcome, REASON, TRUNCATED},
        yaml,
    },
};

/// The largest body that an event has.
pub const LARGEST_BODY: usize = 64 << 10;

/// Bytes of an event at most; the ledger takes no more than four times as many.
const LARGEST_EVENT: usize = 160 << 10;

/// Longest path and program of a sender who is not known.
const LONGEST_OF_UNKNOWN: usize = 256;

/// Bytes at most of a path with its query, of a client's name, of a message, of the words by which an event is looked up.
const LONGEST_URI: usize = 8 << 10;
const LONGEST_TEXT: usize = 1 << 10;
const LONGEST_WORD: usize = 500;

/// API groups and resources whose bodies have secrets or are whole clusters: no event has them.
const WITHOUT_BODIES: &[(&str, &str)] = &[
    ("podberth.io", "tokens"),
    ("podberth.io", "imports"),
    ("authentication.k8s.io", ""),
    ("", "secrets"),
    ("", "serviceaccounts/token"),
];

/// The client of a request, and the request as it came.
#[derive(Clone, Debug)]
pub struct Client {
    /// Names the request.
    pub audit_id: String,
    /// The path and the query, without any token.
    pub uri: String,
    /// The addresses from which it came.
    pub addresses: Vec<String>,
    /// The client's program.
    pub program: String,
}

/// The trail of a request. Clones share it.
#[derive(Clone, Debug)]
pub struct Trail(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    audit: Audit,
    client: Client,
    received: Timestamp,
    known: Mutex<Known>,
}

/// The facts that are known so far.
#[derive(Debug, Default)]
struct Known {
    recording: Recording,
    cluster: Arc<str>,
    attributes: Option<Attributes<'static>>,
    user: Option<Arc<User>>,
    impersonated: Option<Arc<User>>,
    request_object: Option<Box<RawValue>>,
    response_object: Option<Box<RawValue>>,
    failure: Option<Outcome>,
    annotations: BTreeMap<&'static str, String>,
    /// The room for the event of a change.
    place: Option<Place>,
}

tokio::task_local! {
    static TRAIL: Trail;
}

/// Carries a request out on its trail.
pub async fn within<T>(trail: Trail, request: impl Future<Output = T>) -> T {
    TRAIL.scope(trail, request).await
}

/// Writes an annotation on the trail of the current request, if it has one.
pub fn note(annotation: &'static str, value: impl FnOnce() -> String) {
    on_trail(|known| drop(known.annotations.insert(annotation, value())));
}

/// Writes on the trail of the current request which object it is about, if its path does not tell.
pub fn named(namespace: &str, name: &str) {
    on_trail(|known| known.name(namespace, name));
}

/// Writes on the trail of the current request that it fails.
pub fn failed(code: u16, reason: &str, message: &str) {
    on_trail(|known| {
        known.failure = Some(Outcome::failure(code, reason, shortened(message, LONGEST_TEXT)));
    });
}

/// Writes the body of the current request on its trail, as far as its events have it.
pub fn request_body(is_yaml: bool, body: &Bytes) {
    on_trail(|known| known.take_request(is_yaml, body));
}

/// The current request's trail.
pub fn current() -> Option<Trail> {
    TRAIL.try_with(Clone::clone).ok()
}

fn on_trail(write: impl FnOnce(&mut Known)) {
    let _ = TRAIL.try_with(|trail| {
        let mut known = trail.known();
        if known.recording.level > Level::None {
            write(&mut known);
        }
    });
}

/// A request as it was judged.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// Its cluster.
    pub cluster: &'a str,
    /// Its attributes.
    pub attributes: &'a Attributes<'a>,
    /// It may change something.
    pub may_change: bool,
}

impl Trail {
    /// The trail of a request that has just come.
    pub fn new(audit: &Audit, client: Client) -> Self {
        let client = Client {
            uri: shortened(&client.uri, LONGEST_URI),
            program: shortened(&client.program, LONGEST_TEXT),
            ..client
        };
        let received = clock::now();
        Self(Arc::new(Shared { audit: audit.clone(), client, received, known: Mutex::default() }))
    }

    // What it holds is whole after any panic: each change of it is one assignment.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sender is known, or not (`None`): from here on there are events. For one of a change there is room from here on.
    ///
    /// # Errors
    /// [`crate::service::error::Error::Unavailable`] if the event of a change could not be recorded.
    pub async fn begin(&self, user: Option<&Arc<User>>, judged: Judged<'_>) -> Result<()> {
        let Judged { cluster, attributes, may_change } = judged;
        let recording = self.0.audit.policy.recording(user.map(|user| &**user), attributes);
        if recording.level == Level::None {
            return Ok(());
        }
        let is_change = may_change && user.is_some();
        let place = if is_change { Some(self.0.audit.recorder.reserve().await?) } else { None };
        {
            let mut known = self.known();
            *known = Known {
                recording,
                cluster: cluster.into(),
                attributes: Some(owned(attributes)),
                user: user.cloned(),
                place,
                ..Known::default()
            };
            known.annotations.insert(CLUSTER, cluster.to_owned());
        }
        if let Some(entry) = self.event(Stage::RequestReceived, None) {
            self.0.audit.recorder.note(entry, is_change);
        }
        Ok(())
    }

    /// `true` for a request whose reply ends when its client wants: a watch. A compressed reply has no known length either.
    pub fn is_watch(&self) -> bool {
        matches!(&self.known().attributes, Some(Attributes::Resource(of)) if of.verb == "watch")
    }

    /// The sender acts as another user.
    pub fn impersonated(&self, user: &Arc<User>) {
        self.known().impersonated = Some(user.clone());
    }

    /// The answer of authorization.
    pub fn judged(&self, verdict: &Verdict<'_>) {
        let mut known = self.known();
        if known.recording.level == Level::None {
            return;
        }
        let decision = if verdict.is_allowed() { "allow" } else { "forbid" };
        known.annotations.insert(DECISION, decision.into());
        known.annotations.insert(REASON, shortened(&verdict.reason(), LONGEST_TEXT));
    }

    /// `true` if events have the body of the reply.
    pub fn wants_reply(&self) -> bool {
        let known = self.known();
        known.recording.level == Level::RequestResponse && known.has_bodies()
    }

    /// The body of the reply; `None` if it is too large for an event.
    pub fn reply_body(&self, json: Option<&[u8]>) {
        let mut known = self.known();
        let object = json.and_then(|json| event::body(json, known.recording.omit_managed_fields));
        if json.is_none() {
            known.annotations.insert(TRUNCATED, "true".into());
        }
        known.response_object = object;
    }

    /// The reply of a watch begins.
    pub fn started(&self, code: u16) {
        let entry = self.event(Stage::ResponseStarted, Some(&Outcome::of_code(code)));
        if let Some(entry) = entry {
            self.0.audit.recorder.note(entry, false);
        }
    }

    /// The request is answered: waits until the event of a change is recorded.
    pub async fn answered(&self, stage: Stage, code: u16) {
        let Some((place, entry)) = self.last(stage, code) else { return };
        match place {
            Some(place) => self.0.audit.recorder.record(place, entry).await,
            None => self.0.audit.recorder.note(entry, false),
        }
    }

    /// The request ends, and nobody waits for it.
    pub fn ended(&self, code: u16) {
        if let Some((place, entry)) = self.last(Stage::ResponseComplete, code) {
            self.0.audit.recorder.note(entry, place.is_some());
        }
    }

    /// The last event, and the room for it.
    fn last(&self, stage: Stage, code: u16) -> Option<(Option<Place>, Entry)> {
        let (place, failure) = {
            let mut known = self.known();
            (known.place.take(), known.failure.take())
        };
        let outcome = failure.filter(|failure| failure.code == code).unwrap_or_else(|| Outcome::of_code(code));
        let entry = self.event(stage, Some(&outcome))?;
        Some((place, entry))
    }

    /// The event of a stage, if there is one.
    fn event(&self, stage: Stage, status: Option<&Outcome>) -> Option<Entry> {
        let Shared { client, received, .. } = &*self.0;
        let known = self.known();
        let attributes = known.attributes.as_ref().filter(|_| known.recording.has(stage))?;
        let at = clock::now();
        // Nobody answers for what an unknown sender writes.
        let told = |text: &str| match known.user {
            Some(_) => text.to_owned(),
            None => shortened(text, LONGEST_OF_UNKNOWN),
        };
        let (uri, program) = (told(&client.uri), told(&client.program));
        let event = Event {
            level: known.recording.level,
            audit_id: &client.audit_id,
            stage,
            request_uri: &uri,
            attributes,
            user: known.user.as_deref(),
            impersonated: known.impersonated.as_deref(),
            source_ips: &client.addresses,
            user_agent: &program,
            status,
            request_object: known.request_object.as_deref(),
            response_object: known.response_object.as_deref(),
            received: *received,
            at,
            annotations: &known.annotations,
        };
        let body = event.to_json(LARGEST_EVENT).into();
        let subject = known.user.as_ref().map(|user| word(&user.name)).unwrap_or_default();
        let (object, id) = (word(&known.cluster), EntryId::new(at, chance()));
        Some(Entry { cluster: NO_CLUSTER.into(), kind: KIND.into(), id, subject, object, body })
    }
}

impl Known {
    /// `true` if events may have bodies.
    fn has_bodies(&self) -> bool {
        let Some(Attributes::Resource(of)) = &self.attributes else { return false };
        let ResourceAttributes { group, resource, subresource, .. } = of;
        let whole = if subresource.is_empty() { resource.to_string() } else { format!("{resource}/{subresource}") };
        !WITHOUT_BODIES
            .iter()
            .any(|(of_group, of)| of_group == group && (of.is_empty() || *of == whole || *of == *resource))
    }

    /// Names the object where the path did not.
    fn name(&mut self, namespace: &str, name: &str) {
        if let Some(Attributes::Resource(of)) = &mut self.attributes {
            for (known, told) in [(&mut of.namespace, namespace), (&mut of.name, name)] {
                if known.is_empty() {
                    *known = shortened(told, LONGEST_TEXT).into();
                }
            }
        }
    }

    fn take_request(&mut self, is_yaml: bool, body: &Bytes) {
        if body.is_empty() || !self.has_bodies() {
            return;
        }
        let has_name =
            matches!(&self.attributes, Some(Attributes::Resource(of)) if of.verb != "create" || !of.name.is_empty());
        let wants_body = self.recording.level >= Level::Request;
        if has_name && !wants_body {
            return;
        }
        let is_short = body.len() <= LARGEST_BODY;
        if wants_body && !is_short {
            self.annotations.insert(TRUNCATED, "true".into());
        }
        if !is_short && (has_name || is_yaml || body.len() > SMALL_BODY) {
            return;
        }
        let Ok(json) = yaml::to_json(body, is_yaml) else { return };
        if !has_name {
            self.name("", &event::name_in(&json).unwrap_or_default());
        }
        if wants_body && is_short {
            self.request_object = event::body(&json, self.recording.omit_managed_fields);
        }
    }
}

/// A client that goes before it is answered: then the request has an event all the same.
#[derive(Debug)]
pub struct Unanswered(Option<Trail>);

impl Unanswered {
    /// Watches over the trail of a request.
    pub fn new(trail: &Trail) -> Self {
        Self(Some(trail.clone()))
    }

    /// The request is answered.
    pub fn is_answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(trail) = &self.0 {
            let message = "the client was gone before the answer; the request may or may not have been carried out";
            trail.known().failure = Some(Outcome::failure(504, "Timeout", message.into()));
            trail.ended(504);
        }
    }
}

/// Attributes that outlive their request.
fn owned(attributes: &Attributes<'_>) -> Attributes<'static> {
    let text = |text: &str| text.to_owned().into();
    match attributes {
        Attributes::Path { verb, path } => Attributes::Path { verb: text(verb), path: text(path) },
        Attributes::Resource(of) => Attributes::Resource(ResourceAttributes {
            verb: text(&of.verb),
            group: text(&of.group),
            version: text(&of.version),
            resource: text(&of.resource),
            subresource: text(&of.subresource),
            namespace: text(&of.namespace),
            name: text(&of.name),
        }),
    }
}

/// A word by which an event is looked up, as the ledger takes it.
pub fn word(text: &str) -> String {
    shortened(text, LONGEST_WORD).replace('\0', "\u{fffd}")
}

/// The beginning of a text, with at most so many bytes.
pub fn shortened(text: &str, most: usize) -> String {
    let end = text.floor_char_boundary(most);
    text.get(..end).unwrap_or_default().to_owned()
}

fn chance() -> u64 {
    u64::from_le_bytes(Uuid::new_v4().as_bytes()[8..].try_into().unwrap_or_default())
}
