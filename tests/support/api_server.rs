//! An API server of Kubernetes that follows a script: it holds objects, lists them in pages, and tells of changes, on a real socket; faults come when
//! a test asks for them.
//!
//! Versions are numbers that all kinds share, as in etcd. Every version stays known until [`ApiServer::compact`].
//!
//! Requests other than list, watch, get, create, replace and delete are answered by handlers that a test adds ([`ApiServer::answer`]).

#![allow(dead_code, reason = "each suite takes of it what it needs")]

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::{
    net::TcpListener,
    sync::{broadcast, watch},
    task::AbortHandle,
    time::timeout,
};

mod api_objects;

use api_objects::Change;
pub(crate) use api_objects::Objects;

/// The paths of kinds that tests use most.
pub(crate) const PODS: &str = "/api/v1/pods";
pub(crate) const NODES: &str = "/api/v1/nodes";

/// Longest wait of a test.
const WITHIN: Duration = Duration::from_mins(1);

/// A running API server; it ends when this is dropped.
pub(crate) struct ApiServer {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    serving: AbortHandle,
}

/// A handler of requests, by method and path, given the objects and the body of the request.
type Handler = Box<dyn Fn(&mut Objects, &str, &Value) -> Option<(u16, Value)> + Send + Sync>;

struct Shared {
    objects: Mutex<Objects>,
    /// Grows with each change and each request.
    moved: watch::Sender<u64>,
    commands: broadcast::Sender<(String, Command)>,
    handlers: Mutex<Vec<(&'static str, Handler)>>,
}

/// Something that is done to the watches of a kind.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// They end as they do after their time.
    End,
    /// Their connections break.
    Break,
    /// They tell nothing more, not even their end.
    Silence,
    /// They get a bookmark at the newest version.
    Bookmark,
    /// They get this line.
    Line(String),
}

/// A fault of the next request of a kind.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// A list is refused with this code, and a time to wait.
    List(u16, Option<u64>),
    /// A watch is refused with this code.
    Watch(u16),
    /// A list is of an earlier version.
    Stale(u64),
    /// The reply never comes.
    Hang,
}

impl ApiServer {
    /// Starts an empty one on a port of its own.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let objects = Objects { version: 100, ..Objects::default() };
        let (moved, commands) = (watch::Sender::new(0), broadcast::Sender::new(1_024));
        let shared = Arc::new(Shared { objects: Mutex::new(objects), moved, commands, handlers: Mutex::default() });
        let router = Router::new().fallback(serve).with_state(shared.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Self { address, shared, serving }
    }

    /// A kubeconfig with which it is reached, by the token `secret-token`.
    pub(crate) fn kubeconfig(&self) -> NamedTempFile {
        kubeconfig(&format!("http://{}", self.address))
    }

    /// Reads or changes the objects, and tells the watches.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut Objects) -> R) -> R {
        let result = change(&mut self.shared.lock());
        self.shared.wake();
        result
    }

    /// Reads the objects.
    pub(crate) fn look<R>(&self, read: impl FnOnce(&Objects) -> R) -> R {
        read(&self.shared.lock())
    }

    /// Creates or replaces an object.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.with(|objects| objects.put(path, object));
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, path: &str, namespace: &str, name: &str) {
        self.with(|objects| objects.delete(path, namespace, name)).expect("it is there");
    }

    /// Lets a handler answer requests of a method, before those that are built in. The first one that answers counts.
    pub(crate) fn answer(
        &self,
        method: &'static str,
        handler: impl Fn(&mut Objects, &str, &Value) -> Option<(u16, Value)> + Send + Sync + 'static,
    ) {
        let mut handlers = self.shared.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        handlers.push((method, Box::new(handler)));
    }

    /// Does something to all watches of a kind.
    pub(crate) fn command(&self, path: &str, command: Command) {
        // An error means that there is no watch.
        drop(self.shared.commands.send((path.to_owned(), command)));
    }

    /// Sends an event to the watches of a kind that is in no log.
    pub(crate) fn event(&self, path: &str, kind: &str, object: &Value) {
        self.command(path, Command::Line(json!({"type": kind, "object": object}).to_string()));
    }

    /// Tells the watches of a kind that their version is too old (410).
    pub(crate) fn expire(&self, path: &str) {
        self.event(path, "ERROR", &status(410, "too old resource version"));
    }

    /// Plans a fault of the next request of a kind that can have it.
    pub(crate) fn fault(&self, path: &str, fault: Fault) {
        self.shared.lock().faults.entry(path.to_owned()).or_default().push_back(fault);
    }

    /// Forgets the past: watches from before now have expired.
    pub(crate) fn compact(&self) {
        self.with(|objects| objects.compacted = objects.version);
    }

    /// Changes that come now are never told to watches, which real API servers do not do.
    pub(crate) fn quiet(&self, is_quiet: bool) {
        self.shared.lock().is_quiet = is_quiet;
    }

    /// Tells every event twice.
    pub(crate) fn double(&self, is_doubled: bool) {
        self.shared.lock().is_doubled = is_doubled;
    }

    /// Writes the object of events before their type.
    pub(crate) fn object_first(&self) {
        self.shared.lock().is_object_first = true;
    }

    /// Serves a kind no more.
    pub(crate) fn withdraw(&self, path: &str) {
        self.shared.lock().absent.push(path.to_owned());
    }

    /// Method and path of the requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.lock().requests.clone()
    }

    /// How many requests begin so.
    pub(crate) fn count(&self, begin: &str) -> usize {
        self.shared.lock().requests.iter().filter(|request| request.starts_with(begin)).count()
    }

    /// Watches of a kind so far.
    pub(crate) fn watches(&self, path: &str) -> usize {
        self.count(&format!("GET {path}?watch="))
    }

    /// Waits until there were so many watches of a kind: then the mirror has its list.
    pub(crate) async fn watched(&self, path: &str, times: usize) {
        self.until(|server| server.watches(path) >= times, &format!("{times} watches of {path}")).await;
    }

    /// Waits until a condition holds, which is looked at after each change and each request.
    pub(crate) async fn until(&self, holds: impl Fn(&Self) -> bool, what: &str) {
        let mut moved = self.shared.moved.subscribe();
        let waits = async {
            while !holds(self) {
                moved.changed().await.expect("the server lives");
            }
        };
        let waited = timeout(WITHIN, waits).await;
        assert!(waited.is_ok(), "waited for {what}; the requests were {:#?}", self.requests());
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A kubeconfig for a server.
pub(crate) fn kubeconfig(server: &str) -> NamedTempFile {
    let file = NamedTempFile::new().expect("a file");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": server}}],
        "users": [{"name": "it", "user": {"token": "secret-token"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    });
    std::fs::write(file.path(), text.to_string()).expect("the file is written");
    file
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.moved.send_modify(|moved| *moved += 1);
    }

    /// The next fault of a kind, if it is one of these.
    fn fault(&self, path: &str, is_it: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut objects = self.lock();
        let faults = objects.faults.get_mut(path)?;
        let at = faults.iter().position(is_it)?;
        faults.remove(at)
    }
}

/// A `Status` of a failure.
pub(crate) fn status(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code})
}

fn reply(code: u16, body: &Value) -> Response {
    let head = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::from_u16(code).expect("a code"), head, body.to_string()).into_response()
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (method, uri) = (request.method().as_str().to_owned(), request.uri().clone());
    let token = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes().to_vec());
    if token.as_deref() != Some(b"Bearer secret-token") {
        return reply(401, &status(401, "Unauthorized"));
    }
    let body = to_bytes(request.into_body(), 64 << 20).await.unwrap_or_default();
    let is_watch = query(&uri, "watch").is_some();
    // A watch is noted when it gets all events from then on.
    if !is_watch {
        note(&shared, &method, &uri);
    }
    let response = answer(&shared, &method, &uri, &body).await;
    if is_watch {
        note(&shared, &method, &uri);
    }
    response
}

fn note(shared: &Shared, method: &str, uri: &Uri) {
    shared.lock().requests.push(format!("{method} {uri}"));
    shared.wake();
}

async fn answer(shared: &Arc<Shared>, method: &str, uri: &Uri, body: &Bytes) -> Response {
    let path = uri.path();
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    {
        let handlers = shared.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = handlers.iter().filter(|(of, _)| *of == method);
        let answered =
            fitting.map(|(_, handler)| handler).find_map(|handler| handler(&mut shared.lock(), path, &value));
        if let Some((code, value)) = answered {
            shared.wake();
            return reply(code, &value);
        }
    }
    let (kind, namespace, name) = place(path);
    if shared.lock().absent.contains(&kind) {
        return reply(404, &status(404, "the server could not find the requested resource"));
    }
    if shared.fault(&kind, |fault| matches!(fault, Fault::Hang)).is_some() {
        std::future::pending::<()>().await;
    }
    match (method, name.as_str()) {
        ("GET", "") if query(uri, "watch").is_some() => watch_of(shared, &kind, uri),
        ("GET", "") => list_of(shared, &kind, uri),
        ("GET", name) => match shared.lock().get(&kind, &namespace, name) {
            Some(object) => reply(200, &object),
            None => reply(404, &status(404, "not found")),
        },
        ("POST", "") | ("PUT", _) => {
            let object = shared.lock().put(&kind, value);
            shared.wake();
            reply(if method == "POST" { 201 } else { 200 }, &object)
        }
        ("DELETE", name) => {
            let deleted = shared.lock().delete(&kind, &namespace, name);
            shared.wake();
            deleted.map_or_else(|| reply(404, &status(404, "not found")), |object| reply(200, &object))
        }
        _ => reply(405, &status(405, "not supported")),
    }
}

/// The path of the kind, the namespace and the name in a path.
fn place(path: &str) -> (String, String, String) {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let group = if parts.first() == Some(&"api") { 2 } else { 3 };
    let (group, rest) = parts.split_at(group.min(parts.len()));
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        _ => ("", rest),
    };
    let kind = format!("/{}/{}", group.join("/"), rest.first().copied().unwrap_or_default());
    (kind, namespace.to_owned(), rest.get(1..).unwrap_or_default().join("/"))
}

fn query(uri: &Uri, key: &str) -> Option<String> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(name, _)| *name == key).map(|(_, value)| decoded(value))
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first == b'%' && after.len() >= 2 {
            let code = std::str::from_utf8(&after[..2]).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
            bytes.push(code.expect("two hexadecimal digits"));
            rest = &after[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).expect("queries are UTF-8")
}

fn list_of(shared: &Shared, kind: &str, uri: &Uri) -> Response {
    if let Some(Fault::List(code, seconds)) = shared.fault(kind, |fault| matches!(fault, Fault::List(..))) {
        let mut refused = reply(code, &status(code, "planned"));
        if let Some(seconds) = seconds {
            refused.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        return refused;
    }
    let stale = shared.fault(kind, |fault| matches!(fault, Fault::Stale(_)));
    let objects = shared.lock();
    let limit = query(uri, "limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    // The token is the version and the last key.
    let token = query(uri, "continue").map(|token| {
        let parts: Vec<String> = token.split('/').map(str::to_owned).collect();
        (parts[0].parse::<u64>().expect("a version"), (parts[1].clone(), parts[2].clone()))
    });
    let version = match (&token, stale) {
        (Some((version, _)), _) => *version,
        (None, Some(Fault::Stale(version))) => version,
        _ => objects.version,
    };
    if version < objects.compacted && token.is_some() {
        return reply(410, &status(410, "The provided continue parameter is too old"));
    }
    let all = objects.at(kind, version);
    let after = |key: &&(String, String)| token.as_ref().is_none_or(|(_, last)| *key > last);
    let mut page = all.iter().filter(|(key, _)| after(key)).peekable();
    let mut items = String::new();
    let (mut taken, mut last) = (0, None);
    while taken < limit
        && let Some((key, text)) = page.next()
    {
        let comma = if taken == 0 { "" } else { "," };
        let _ = write!(items, "{comma}{text}");
        (taken, last) = (taken + 1, Some(key));
    }
    let next = match (page.peek(), last) {
        (Some(_), Some((namespace, name))) => format!("{version}/{namespace}/{name}"),
        _ => String::new(),
    };
    let body = format!(
        r#"{{"kind":"List","apiVersion":"v1","metadata":{{"resourceVersion":"{version}","continue":{}}},"items":[{items}]}}"#,
        Value::from(next)
    );
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn watch_of(shared: &Arc<Shared>, kind: &str, uri: &Uri) -> Response {
    if let Some(Fault::Watch(code)) = shared.fault(kind, |fault| matches!(fault, Fault::Watch(_))) {
        return reply(code, &status(code, "planned"));
    }
    let from: u64 = query(uri, "resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
    let objects = shared.lock();
    if from < objects.compacted {
        return reply(410, &status(410, "too old resource version"));
    }
    if from > objects.version {
        return reply(504, &status(504, "Too large resource version"));
    }
    drop(objects);
    let watch = Watch {
        moved: shared.moved.subscribe(),
        commands: shared.commands.subscribe(),
        shared: shared.clone(),
        kind: kind.to_owned(),
        at: from,
        is_silent: false,
    };
    let lines = stream::unfold(Some(watch), |watch| async move {
        let mut watch = watch?;
        match watch.next().await? {
            Ok(lines) => Some((Ok(Bytes::from(lines)), Some(watch))),
            Err(broken) => Some((Err(broken), None)),
        }
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response()
}

/// A watch in progress.
struct Watch {
    moved: watch::Receiver<u64>,
    commands: broadcast::Receiver<(String, Command)>,
    shared: Arc<Shared>,
    kind: String,
    at: u64,
    is_silent: bool,
}

impl Watch {
    /// The next lines; `None` at the end.
    async fn next(&mut self) -> Option<Result<String, std::io::Error>> {
        loop {
            let lines = self.lines();
            if !lines.is_empty() {
                return Some(Ok(lines));
            }
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Ok((kind, command)) if kind == self.kind => match command {
                        Command::End => return None,
                        Command::Break => return Some(Err(std::io::Error::other("planned"))),
                        Command::Silence => self.is_silent = true,
                        Command::Bookmark => {
                            let version = self.shared.lock().version.to_string();
                            let object = json!({"kind": "Bookmark", "apiVersion": "v1", "metadata": {"resourceVersion": version}});
                            return Some(Ok(self.line("BOOKMARK", &object.to_string())));
                        }
                        Command::Line(line) => return Some(Ok(format!("{line}\n"))),
                    },
                    Ok(_) => {}
                    Err(_) => return None,
                },
                moved = self.moved.changed() => moved.ok()?,
            }
        }
    }

    /// The changes since the last ones.
    fn lines(&mut self) -> String {
        if self.is_silent {
            return String::new();
        }
        let objects = self.shared.lock();
        let (times, mut lines) = (if objects.is_doubled { 2 } else { 1 }, String::new());
        let begin = objects.log.partition_point(|change| change.version <= self.at);
        let changes: Vec<Change> = objects.log[begin..]
            .iter()
            .filter(|change| change.path == self.kind && !change.is_quiet)
            .cloned()
            .collect();
        let newest = objects.version;
        drop(objects);
        for change in changes {
            for _ in 0..times {
                lines.push_str(&self.line(change.kind, &change.object));
            }
        }
        self.at = newest;
        lines
    }

    fn line(&self, kind: &str, object: &str) -> String {
        if self.shared.lock().is_object_first {
            format!("{{\"object\":{object},\"type\":\"{kind}\"}}\n")
        } else {
            format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
        }
    }
}
